"""Where the canonical weights of a decoder lie in a GGUF file: names, fused matrices, rotated rows, stacks of experts.

One table for reading and, turned round, for writing. The names are llama.cpp's; its architectures that rotate pairs of
neighbours keep the rows of queries and keys in another order. Knows no metadata and no values.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

import numpy as np

from runtime.models.sources import Source, fused, renamed
from runtime.models.spec import DecoderSpec

OWN_SECTION = "codehearth.config"  # metadata key, JSON: what this program keeps for itself in a config (own_section)

# Hugging Face's model_type -> llama.cpp's architecture
ARCHITECTURES = {
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "gpt2": "gpt2",
    "gpt_bigcode": "starcoder",
    "gpt_neox": "gptneox",
    "granite": "granite",
    "llama": "llama",
    "mistral": "llama",
    "olmo2": "olmo2",
    "phi": "phi2",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "smollm3": "smollm3",
    "starcoder2": "starcoder2",
}
ROTATE_NEIGHBOURS = frozenset({"llama", "granite", "smollm3"})
FUSED_QKV = frozenset({"gpt2", "starcoder", "gptneox", "phi3"})
FUSED_GATE = frozenset({"phi3"})

_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.embed_positions": "position_embd",
    "model.norm": "output_norm",
    "model.layers": "blk",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
}


def gguf_sources(spec: DecoderSpec, architecture: str, stored: Container[str] | None = None) -> dict[str, Source]:
    """Canonical name -> where it lies in a file of this architecture.

    stored: the names of a file that is read, which may fuse what others keep apart; None: as files are written.
    """
    second = "ffn_norm" if spec.norm_layout == "pre" else "post_attention_norm"
    found = renamed(spec, _NAMES | {"post_attention_layernorm": second})
    for n in range(spec.n_layers):
        at, block = f"model.layers.{n}.", f"blk.{n}."
        if architecture in ROTATE_NEIGHBOURS:
            _neighbours(found, spec, at)
        for kind in ("weight", "bias"):
            if f"{at}self_attn.q_proj.{kind}" in found and _is(
                f"{block}attn_qkv.{kind}", stored, architecture in FUSED_QKV
            ):
                fused(found, f"{block}attn_qkv.{kind}", [f"{at}self_attn.{part}_proj.{kind}" for part in "qkv"])
        if spec.sparse_layers[n]:
            _stack_experts(found, spec, at, block)
        elif spec.gated and not _is(f"{block}ffn_gate.weight", stored, architecture not in FUSED_GATE):
            for kind in ("weight", "bias"):
                if f"{at}mlp.gate_proj.{kind}" in found:
                    fused(found, f"{block}ffn_up.{kind}", [f"{at}mlp.{part}_proj.{kind}" for part in ("gate", "up")])
    return found


def _is(name: str, stored: Container[str] | None, usual: bool) -> bool:
    return usual if stored is None else name in stored


def _neighbours(found: dict[str, Source], spec: DecoderSpec, at: str) -> None:
    """Rows of queries and keys: of each head (0, half), (1, half + 1), ... instead of 0, 1, ..., half, half + 1, ..."""
    for part, heads in (("q", spec.n_heads), ("k", spec.n_kv_heads)):
        rows = np.arange(heads * spec.head_dim).reshape(heads, spec.head_dim // 2, 2).swapaxes(1, 2).reshape(-1)
        for kind in ("weight", "bias"):
            name = f"{at}self_attn.{part}_proj.{kind}"
            if name in found:
                found[name] = replace(found[name], rows=rows)


def _stack_experts(found: dict[str, Source], spec: DecoderSpec, at: str, block: str) -> None:
    for part in ("gate", "up", "down"):
        for m in range(spec.n_experts):
            name = f"{at}mlp.experts.{m}.{part}_proj.weight"
            shape = (spec.n_experts, *found[name].shape)
            found[name] = Source(f"{block}ffn_{part}_exps.weight", shape, item=m)
