"""GPTBigCode family (StarCoder, SantaCoder): GPT-2 with one head for keys and values, matrices as (out, in)."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.gpt2 import NAMES, gpt2_like
from runtime.models.keys import Keys
from runtime.models.sources import Source, fused, fused_by_head, renamed
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a GPTBigCodeConfig dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    if keys.flag("add_cross_attention", False):
        raise keys.unsupported("add_cross_attention", "a decoder alone is")
    kv_heads = 1 if keys.flag("multi_query", True) else keys.sizes()["n_heads"]
    activation = keys.activation("activation_function", default="gelu_pytorch_tanh")
    return gpt2_like(keys, n_kv_heads=kv_heads, activation=activation)


def sources(spec: DecoderSpec, config: Mapping, stored) -> dict[str, Source]:
    """Where the canonical weights lie: query, key and value in one matrix.

    With one key head they follow each other; with many, each head has its query, key and value together.
    """
    found = renamed(spec, NAMES)
    by_head = config.get("multi_query") is False
    for n in range(spec.n_layers):
        for kind in ("weight", "bias"):
            parts = [f"model.layers.{n}.self_attn.{part}_proj.{kind}" for part in "qkv"]
            join = fused_by_head if by_head else fused
            join(found, f"h.{n}.attn.c_attn.{kind}", parts, *([spec.n_heads] if by_head else []))
    return found
