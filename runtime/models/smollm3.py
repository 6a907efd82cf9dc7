"""SmolLM3 family: Llama in which some layers do not rotate (NoPE), by default every fourth."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.keys import Keys
from runtime.models.llama import llama_like
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a SmolLM3Config dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    layers = keys.sizes()["n_layers"]
    bias = keys.flag("attention_bias", False)
    interval = keys.integer("no_rope_layer_interval", default=4)
    rotating = keys.layer_list("no_rope_layers", layers)  # despite its name: 1 where a layer rotates
    if rotating is None:
        rotating = [int((n + 1) % interval != 0) for n in range(layers)]
    if not all(type(value) in (int, bool) for value in rotating):
        raise keys.error("value", "no_rope_layers must be a list of 0 and 1")
    window = keys.window(None) if keys.flag("use_sliding_window", False) else 0
    return llama_like(
        keys,
        context=32768,
        kv_heads=4,
        theta=2000000.0,
        tied=True,
        qkv_bias=bias,
        o_bias=bias,
        mlp_bias=keys.flag("mlp_bias", False),
        layer_rope=tuple(bool(value) for value in rotating),
        windows=keys.windows(layers, window, lambda n: not rotating[n]),
    )
