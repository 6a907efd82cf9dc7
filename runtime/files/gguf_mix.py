"""Which storage type each tensor of a GGUF file gets: the same choice as llama.cpp's `llama-quantize` makes.

Tables and norms stay exact, the head is kept finer than the rest, and Q4_K_M spends six bits on the values and
down-projections of some layers. Rows that do not fit a type's blocks get the nearest type that they fit. Knows GGUF's
tensor names, no values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from native_kernels.qtypes import QTYPES

# type as the caller names it -> (storage type of an ordinary matrix, llama.cpp's number in general.file_type)
TYPES: dict[str, tuple[str, int]] = {
    "F16": ("F16", 1),
    "Q4_0": ("Q4_0", 2),
    "Q8_0": ("Q8_0", 7),
    "Q4_K_M": ("Q4_K", 15),
    "Q6_K": ("Q6_K", 18),
}
_INSTEAD = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}  # for rows that are no multiple of 256
_LAYER = re.compile(r"blk\.(\d+)\.")
# Small tables and routers: what they save is nothing, what they cost is quality.
_EXACT = ("_norm.weight", "ffn_gate_inp.weight", "position_embd.weight", "token_types.weight", "rope_freqs.weight",
          "rope_factors_long.weight", "rope_factors_short.weight")  # fmt: skip


def storage_types(shapes: Mapping[str, tuple[int, ...]], kind: str, experts: int = 0) -> dict[str, str]:
    """Tensor name -> storage type. shapes: of all tensors, rows first; kind: a key of TYPES; experts: of a layer.

    What is not a matrix of weights is F32.
    """
    base = TYPES[kind][0]
    tied = "output.weight" not in shapes
    values = _in_layer_order(shapes, ("attn_v.weight", "attn_qkv.weight"))
    downs = _in_layer_order(shapes, ("ffn_down.weight", "ffn_down_exps.weight"))
    chosen = {}
    for name, shape in shapes.items():
        if len(shape) < 2 or not name.endswith(".weight") or name.endswith(_EXACT):
            chosen[name] = "F32"
        elif base == "F16":
            chosen[name] = "F16"
        else:
            chosen[name] = _fitting(_wanted(name, shape[-1], base, kind, tied, experts, values, downs), shape[-1])
    return chosen


def _in_layer_order(shapes: Mapping[str, tuple[int, ...]], endings: tuple[str, ...]) -> list[str]:
    found = [(int(match[1]), name) for name in shapes if name.endswith(endings) and (match := _LAYER.match(name))]
    return [name for _, name in sorted(found)]


def _more_bits(index: int, count: int) -> bool:
    """The first and the last eighth of the layers, and every third between them."""
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2


def _wanted(
    name: str, width: int, base: str, kind: str, tied: bool, experts: int, values: list[str], downs: list[str]
) -> str:
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        if width % QTYPES[base].values:
            return "Q8_0"
        return base if base == "Q8_0" else "Q6_K"
    if experts == 8 and name.endswith(("attn_v.weight", "attn_qkv.weight", "attn_k.weight")):
        return "Q8_0"
    if kind != "Q4_K_M":
        return base
    if name in values:
        return "Q6_K" if _more_bits(values.index(name), len(values)) else base
    if name in downs:
        return "Q6_K" if _more_bits(downs.index(name), len(downs)) else base
    return "Q5_K" if experts == 8 and name.endswith("attn_output.weight") else base


def _fitting(wanted: str, width: int) -> str:
    """The wanted type, or where rows of this width do not fit its blocks one that they fit."""
    if width % QTYPES[wanted].values:
        wanted = _INSTEAD.get(wanted, wanted)
    return "F16" if width % QTYPES[wanted].values else wanted
