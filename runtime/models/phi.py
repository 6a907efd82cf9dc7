"""Phi family (Phi-1, Phi-2): attention and feed-forward side by side behind one LayerNorm, biases everywhere."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.keys import Keys
from runtime.models.llama import llama_like
from runtime.models.sources import Source, renamed
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a PhiConfig dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    return llama_like(
        keys,
        rope_options={"partial": 0.5},
        norm="layer",
        norm_bias=True,
        norm_eps=keys.number("layer_norm_eps", default=1e-5),
        parallel=True,
        shared_norm=True,
        activation=keys.activation("hidden_act", default="gelu_new"),
        gated=False,
        qkv_bias=True,
        o_bias=True,
        mlp_bias=True,
        head_bias=True,
        qk_norm="head" if keys.flag("qk_layernorm", False) else None,
    )


def sources(spec: DecoderSpec, config: Mapping, stored) -> dict[str, Source]:
    """Where the canonical weights lie."""
    return renamed(
        spec,
        {
            "model.norm": "model.final_layernorm",
            "self_attn.o_proj": "self_attn.dense",
            "self_attn.q_norm": "self_attn.q_layernorm",
            "self_attn.k_norm": "self_attn.k_layernorm",
            "mlp.up_proj": "mlp.fc1",
            "mlp.down_proj": "mlp.fc2",
        },
    )
