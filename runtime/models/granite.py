"""Granite family (3 and the dense ones of 4): Llama with multipliers on embeddings, residuals, attention and logits."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.keys import Keys
from runtime.models.llama import llama_like
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a GraniteConfig dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    bias = keys.flag("attention_bias", False)
    scaling = keys.number("logits_scaling", default=1.0)
    if scaling == 0:
        raise keys.error("value", "logits_scaling must not be 0")
    return llama_like(
        keys,
        qkv_bias=bias,
        o_bias=bias,
        mlp_bias=keys.flag("mlp_bias", False),
        embedding_scale=keys.number("embedding_multiplier", default=1.0),
        residual_scale=keys.number("residual_multiplier", default=1.0),
        attention_scale=keys.number("attention_multiplier", default=1.0),
        logits_scale=1.0 / scaling,
    )
