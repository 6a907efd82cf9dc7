"""Gemma family (CodeGemma too): GeGLU, scaled embeddings, and norms that are stored as what they differ from 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runtime.models.keys import Keys
from runtime.models.llama import llama_like
from runtime.models.sources import Source, whole
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a GemmaConfig dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    activation = keys.activation("hidden_act", default="gelu_pytorch_tanh")
    if keys.get("hidden_act") == "gelu":  # early files say so and mean the approximation
        activation = "gelu_tanh"
    return gemma_like(keys, activation=activation, context=8192, kv_heads=16)


def gemma_like(keys: Keys, **fields) -> DecoderSpec:
    """DecoderSpec of what all Gemmas share; fields as for `llama_like`."""
    if keys.flag("use_bidirectional_attention", False):
        raise keys.unsupported("use_bidirectional_attention", "a decoder sees what stands before")
    bias = keys.flag("attention_bias", False)
    width = keys.sizes(1, 1)["d_model"]
    fields = {"head_dim": 256, "tied": True} | fields
    return llama_like(keys, qkv_bias=bias, o_bias=bias, embedding_scale=width**0.5, **fields)


def sources(spec: DecoderSpec, config: Mapping, stored) -> dict[str, Source]:
    """Where the canonical weights lie: norms hold w - 1."""
    return {
        name: replace(source, plus=1.0) if name.endswith("norm.weight") else source
        for name, source in whole(spec).items()
    }
