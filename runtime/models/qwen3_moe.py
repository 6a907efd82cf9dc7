"""Qwen3-MoE family (Qwen3-Coder-30B-A3B): Qwen3 with a mixture of experts in place of most feed-forward parts.

Files hold each expert apart (mlp.experts.M.gate_proj), or all of a layer stacked: gate_up_proj (E, 2G, d) and down_proj
(E, d, G).
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.files import limits
from runtime.models.keys import Keys
from runtime.models.llama import llama_like
from runtime.models.sources import Source, whole
from runtime.models.spec import DecoderSpec

IS_FAMILY = True


def spec(config: Mapping, path: object = "config.json") -> DecoderSpec:
    """DecoderSpec of a Qwen3MoeConfig dict. FormatError names the key that is missing or not supported."""
    keys = Keys(config, path)
    layers = keys.sizes()["n_layers"]
    bias = keys.flag("attention_bias", False)
    window = keys.window(4096) if keys.flag("use_sliding_window", False) else 0
    experts = keys.integer("num_experts", "num_local_experts", default=128, low=0, high=limits.EXPERTS)
    dense = keys.get("mlp_only_layers") or []
    if not isinstance(dense, list) or not all(type(n) is int for n in dense):
        raise keys.error("value", "mlp_only_layers must be a list of layer numbers")
    step = keys.integer("decoder_sparse_step", default=1)
    sparse = tuple(experts > 0 and n not in dense and (n + 1) % step == 0 for n in range(layers))
    return llama_like(
        keys,
        context=32768,
        kv_heads=4,
        qk_norm="head",
        qkv_bias=bias,
        o_bias=bias,
        windows=(window,) * layers,
        n_experts=experts if any(sparse) else 0,
        experts_per_token=keys.integer("num_experts_per_tok", default=8),
        expert_d_ff=keys.integer("moe_intermediate_size", default=768, high=limits.FEED_FORWARD),
        norm_topk=keys.flag("norm_topk_prob", False),
        sparse_layers=sparse,
    )


def sources(spec: DecoderSpec, config: Mapping, stored) -> dict[str, Source]:
    """Where the canonical weights lie; `stored` (names in the file) tells how the experts are kept."""
    found = whole(spec)
    E, G, d = spec.n_experts, spec.expert_d_ff, spec.d_model
    for n in range(spec.n_layers):
        at = f"model.layers.{n}.mlp.experts."
        if not spec.sparse_layers[n] or at.removeprefix("model.") + "gate_up_proj" not in stored:
            continue
        for e in range(E):
            both, down = at + "gate_up_proj", at + "down_proj"
            found[f"{at}{e}.gate_proj.weight"] = Source(both, (E, 2 * G, d), item=e, rows=slice(0, G))
            found[f"{at}{e}.up_proj.weight"] = Source(both, (E, 2 * G, d), item=e, rows=slice(G, 2 * G))
            found[f"{at}{e}.down_proj.weight"] = Source(down, (E, d, G), item=e)
    return found
