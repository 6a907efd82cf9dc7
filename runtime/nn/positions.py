"""Positions that are added to embeddings: sinusoidal (Vaswani et al. 2017) and learned (Radford et al. 2018).

Rotary positions are not added but turn queries and keys: `rotary.py`.
"""

from __future__ import annotations

import numpy as np

from runtime import tensor as t
from runtime.nn.initialisers import normal
from runtime.nn.layers import parameter
from runtime.nn.module import Module
from runtime.tensor import Tensor


def sinusoidal_table(max_positions: int, width: int) -> np.ndarray:
    """float32 (max_positions, width), width even: column 2i is sin(pos / 10000^(2i/width)), 2i + 1 its cosine."""
    if width < 2 or width % 2:
        raise ValueError(f"sinusoidal positions: the width must be even, got {width}")
    angles = np.arange(max_positions)[:, None] / 10000.0 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(max_positions, width).astype(np.float32)


def _first_rows(table: Tensor, x: Tensor) -> Tensor:
    T = x.shape[-2]
    if T > table.shape[0]:
        raise ValueError(f"{T} positions exceed the {table.shape[0]} of the table")
    return t.add(x, t.index(table, slice(T)))


class SinusoidalPositions(Module):
    """x (..., T, d) plus the first T rows of a fixed table."""

    def __init__(self, max_positions: int, width: int) -> None:
        self._table = Tensor(sinusoidal_table(max_positions, width))

    def __call__(self, x: Tensor) -> Tensor:
        return _first_rows(self._table, x)


class LearnedPositions(Module):
    """x (..., T, d) plus the first T rows of a trained table, weight (max_positions, d)."""

    def __init__(self, max_positions: int, width: int, rng: np.random.Generator, std: float = 0.02) -> None:
        self.weight = parameter(normal(std)((max_positions, width), rng))

    def __call__(self, x: Tensor) -> Tensor:
        return _first_rows(self.weight, x)
