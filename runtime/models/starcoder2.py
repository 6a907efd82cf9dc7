"""StarCoder2 family: rotary positions and grouped queries with LayerNorm, GELU without a gate, biases, a window."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.keys import Keys
from runtime.models.llama import llama_like
from runtime.models.sources import Source, renamed
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a Starcoder2Config dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    layers, bias = keys.sizes()["n_layers"], keys.flag("use_bias", True)
    return llama_like(
        keys,
        context=4096,
        kv_heads=2,
        tied=True,
        norm="layer",
        norm_bias=True,
        norm_eps=keys.number("norm_epsilon", default=1e-5),
        activation=keys.activation("hidden_act", default="gelu_pytorch_tanh"),
        gated=False,
        qkv_bias=bias,
        o_bias=bias,
        mlp_bias=bias,
        windows=(keys.window(None),) * layers,
    )


def sources(spec: DecoderSpec, config: Mapping, stored) -> dict[str, Source]:
    """Where the canonical weights lie."""
    return renamed(spec, {"mlp.up_proj": "mlp.c_fc", "mlp.down_proj": "mlp.c_proj"})
