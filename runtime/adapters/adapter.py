"""Adapter: low-rank changes of named weights, out += B (A x), in the form that the plan of a network takes.

LoRA (Hu et al. 2021), its scale folded into B; DoRA (Liu et al. 2024) multiplies the rows of the weight besides. Knows
no files and no network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LowRank:
    """Change of a weight (n, k): a (r, k), b (n, r) with the scale in it. factors (n,): of its rows, DoRA's; or None.

    Of the table of token embeddings (V, d): a (r, V), b (d, r).
    """

    a: np.ndarray
    b: np.ndarray
    factors: np.ndarray | None = None


class Adapter:
    """parts: canonical name of a weight, without .weight -> LowRank. name: for people.

    Two adapters are the same if their `key` is: it decides what may share a step and a cache.
    """

    def __init__(self, name: str, parts: Mapping[str, LowRank], key: object = None) -> None:
        self.name, self.parts = name, dict(parts)
        self.key = object() if key is None else key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Adapter) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        ranks = sorted({part.a.shape[0] for part in self.parts.values()})
        return f"Adapter({self.name!r}, {len(self.parts)} weights, rank {', '.join(map(str, ranks))})"

    @property
    def nbytes(self) -> int:
        return sum(part.a.nbytes + part.b.nbytes for part in self.parts.values())


def combined(adapters: Sequence[tuple[Adapter, float]]) -> Adapter | None:
    """Several adapters at once, each times a factor: their changes add up. None for none.

    ValueError for DoRA beside another adapter or with a factor: what that should be is not defined.
    """
    adapters = [(adapter, float(scale)) for adapter, scale in adapters if scale != 0]
    if not adapters:
        return None
    if len(adapters) == 1 and adapters[0][1] == 1:
        return adapters[0][0]
    parts: dict[str, LowRank] = {}
    for adapter, scale in adapters:
        for name, part in adapter.parts.items():
            if part.factors is not None:
                raise ValueError(f"the adapter {adapter.name!r} is a DoRA: it works alone and unscaled only")
            a, b = part.a, part.b * np.float32(scale)
            if name in parts:
                a, b = np.concatenate([parts[name].a, a]), np.concatenate([parts[name].b, b], axis=1)
            parts[name] = LowRank(a, b)
    name = " + ".join(a.name if s == 1 else f"{s:g} * {a.name}" for a, s in adapters)
    return Adapter(name, parts, tuple((adapter.key, scale) for adapter, scale in adapters))
