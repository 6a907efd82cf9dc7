"""Gemma 2 family: Gemma with norms before and after each part, soft-caps, and a window in every other layer."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.gemma import gemma_like
from runtime.models.gemma import sources as sources
from runtime.models.keys import Keys
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a Gemma2Config dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    layers = keys.sizes(1, 1)["n_layers"]
    return gemma_like(
        keys,
        activation=keys.activation("hidden_activation", default="gelu_pytorch_tanh"),
        context=8192,
        kv_heads=4,
        norm_layout="sandwich",
        attention_scale=query_scale(keys),
        attention_softcap=softcap(keys, "attn_logit_softcapping", 50.0),
        final_softcap=softcap(keys, "final_logit_softcapping", 30.0),
        windows=keys.windows(layers, keys.window(4096), lambda n: n % 2 == 0),
    )


def query_scale(keys: Keys) -> float:
    """query_pre_attn_scalar ** -0.5."""
    scalar = keys.number("query_pre_attn_scalar", default=256.0)
    if scalar <= 0:
        raise keys.error("value", f"query_pre_attn_scalar must be positive, not {scalar}")
    return scalar**-0.5


def softcap(keys: Keys, name: str, default: float) -> float:
    """A soft-cap, 0 for none. The default stands for an absent key; null means none."""
    return keys.number(name, default=0.0) if name in keys.config else default
