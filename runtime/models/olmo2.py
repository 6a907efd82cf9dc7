"""OLMo 2 family: Llama with its norms after attention and feed-forward, and a norm over all of query and of key."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.keys import Keys
from runtime.models.llama import llama_like
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of an Olmo2Config dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    bias = keys.flag("attention_bias", False)
    return llama_like(keys, eps=1e-5, norm_layout="post", qk_norm="full", qkv_bias=bias, o_bias=bias)
