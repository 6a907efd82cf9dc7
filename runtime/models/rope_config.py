"""RopeSpec of a Hugging Face config: `rope_scaling` and top-level keys (transformers 4) or `rope_parameters` (5).

The numbers that a config leaves out are those that transformers fills in (`modeling_rope_utils`). Knows no family.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from runtime.files import limits
from runtime.models.keys import Keys
from runtime.nn.rotary import KINDS, RopeSpec


def rope_table(keys: Keys) -> dict:
    """rope_scaling if the config has it, else rope_parameters, else {}; FormatError if it is no object."""
    table = keys.get("rope_scaling") or keys.get("rope_parameters") or {}
    if not isinstance(table, Mapping):
        raise keys.error("value", "rope_parameters and rope_scaling must be objects")
    return dict(table)


def rope_spec(
    keys: Keys,
    head_dim: int,
    context: int,
    theta: float = 10000.0,
    partial: float | None = None,
    table: Mapping | None = None,
    aliases: Mapping[str, str] | None = None,
) -> RopeSpec:
    """How a model with this config rotates.

    head_dim, context (max_position_embeddings): as the family has read them. theta, partial: its defaults.
    partial None: a family that rotates whole heads, whatever the config says.
    table: the object to read instead of the config's only one. aliases: other names of rope types in this family.
    """
    shared = table is None
    inner = Keys(rope_table(keys) if shared else table, keys.path)
    kind = inner.get("rope_type") or inner.get("type") or "default"
    if isinstance(kind, str):
        kind = (aliases or {}).get(kind, kind)
    if kind not in KINDS:
        message = f"rope type {kind!r:.40} is not supported; supported: {', '.join(KINDS)}"
        raise keys.error("unsupported_model", message)
    if any(isinstance(value, Mapping) for value in inner.config.values()):
        raise keys.error("unsupported_model", "rotary positions that differ by layer are not supported in this family")
    theta = inner.number("rope_theta", default=keys.number("rope_theta", default=theta) if shared else theta)
    fields = {"theta": theta, "kind": kind} | _rotated(keys, inner, shared, head_dim, partial)
    if kind != "default":
        fields |= _scaling(keys, inner, kind, context)
    return keys.build(RopeSpec, **fields)


def _rotated(keys: Keys, inner: Keys, shared: bool, head_dim: int, partial: float | None) -> dict:
    """How many values of a head are rotated, and which number their frequencies count with."""
    if partial is None:
        return {"dim": head_dim}
    if shared:
        partial = keys.number("partial_rotary_factor", default=partial)
    partial = inner.number("partial_rotary_factor", default=partial)
    if not 0 < partial <= 1:
        raise keys.error("value", f"partial_rotary_factor must lie above 0 and up to 1, not {partial}")
    dim = int(head_dim * partial)
    # transformers rotates a pair more when the number is odd, and still counts frequencies with the odd one.
    return {"dim": dim + 1, "counted": dim} if dim % 2 and dim < head_dim else {"dim": dim}


def _scaling(keys: Keys, inner: Keys, kind: str, context: int) -> dict:
    """The fields of RopeSpec that belong to a kind of scaling."""
    if kind == "linear":
        return {"factor": inner.number("factor")}
    if kind == "dynamic":
        return {"factor": inner.number("factor"), "original_context": context}
    name = "original_max_position_embeddings"
    original = keys.integer(name, default=inner.integer(name, default=context, high=limits.CONTEXT))
    if kind == "llama3":
        return {
            "factor": inner.number("factor"),
            "original_context": original,
            "low_freq_factor": inner.number("low_freq_factor"),
            "high_freq_factor": inner.number("high_freq_factor"),
        }
    factor = inner.number("factor", default=context / original)
    if kind == "longrope":
        return {
            "factor": factor,
            "original_context": original,
            "attention_factor": inner.number("attention_factor", default=_longrope_attention(factor, original)),
            "short_factors": _numbers(inner, "short_factor"),
            "long_factors": _numbers(inner, "long_factor"),
        }
    return {
        "factor": factor,
        "original_context": original,
        "attention_factor": inner.number("attention_factor", default=_yarn_attention(inner, factor)),
        "beta_fast": inner.number("beta_fast", default=0.0) or 32.0,
        "beta_slow": inner.number("beta_slow", default=0.0) or 1.0,
        "truncate": inner.flag("truncate", True),
    }


def _longrope_attention(factor: float, original: int) -> float:
    """Ding et al. 2024: attention gets sharper by the logarithm of how far the context was stretched."""
    return 1.0 if factor <= 1 or original < 2 else math.sqrt(1 + math.log(factor) / math.log(original))


def _yarn_attention(inner: Keys, factor: float) -> float:
    """Peng et al. 2023, equation 22; DeepSeek divides two of them."""

    def scale(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    mscale, all_dims = inner.number("mscale", default=0.0), inner.number("mscale_all_dim", default=0.0)
    return scale(mscale) / scale(all_dims) if mscale and all_dims else scale(1.0)


def _numbers(inner: Keys, name: str) -> tuple[float, ...]:
    values = inner.get(name)
    if not isinstance(values, list) or not all(type(v) in (int, float) for v in values):
        raise inner.error("value", f"{name} of longrope must be a list of numbers")
    return tuple(map(float, values))


def stretched(rope: RopeSpec, context: int) -> int:
    """Positions a model may be run with: those its config declares, or as many as its scaling stretches them to."""
    original = {"linear": context, "dynamic": context, "yarn": rope.original_context}.get(rope.kind, 0)
    return min(max(context, int(original * rope.factor)), limits.CONTEXT)
