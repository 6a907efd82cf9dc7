"""Phi-3 family (Phi-3.5, Phi-4-mini too): Llama with fused projections, LongRoPE, a window, part of a head rotated."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.models.keys import Keys
from runtime.models.llama import llama_like
from runtime.models.sources import Source, fused, whole
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a Phi3Config dict. FormatError names the key that is missing or not supported."""
    keys = Keys({"original_max_position_embeddings": 4096, **config}, path)
    layers = keys.sizes()["n_layers"]
    return llama_like(
        keys,
        context=4096,
        eps=1e-5,
        rope_options={"partial": 1.0, "aliases": {"su": "longrope", "yarn": "longrope"}},
        windows=(keys.window(None),) * layers,
    )


def sources(spec: DecoderSpec, config: Mapping, stored) -> dict[str, Source]:
    """Where the canonical weights lie: query, key and value in one matrix, gate and up in another."""
    found = whole(spec)
    for n in range(spec.n_layers):
        at = f"model.layers.{n}."
        fused(found, at + "self_attn.qkv_proj.weight", [f"{at}self_attn.{part}_proj.weight" for part in "qkv"])
        fused(found, at + "mlp.gate_up_proj.weight", [at + "mlp.gate_proj.weight", at + "mlp.up_proj.weight"])
    return found
