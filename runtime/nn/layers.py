"""Layers with weights of their own: dense, embedding, norms; and dropout. Each is a Module around one operation.

Shapes: (...) any leading axes, k inputs, n outputs, d width, V vocabulary. Initial weights come from a generator `rng`.
"""

from __future__ import annotations

import numpy as np

from runtime import tensor as t
from runtime.nn.initialisers import Initialiser, normal, xavier_uniform
from runtime.nn.module import Module
from runtime.tensor import Tensor


def parameter(values: np.ndarray) -> Tensor:
    """A Tensor that is trained."""
    return Tensor(values, requires_grad=True)


class Dense(Module):
    """x (..., k) -> x W^T + b (..., n), weight (n, k), bias (n,) or none; the bias starts at 0."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        rng: np.random.Generator,
        bias: bool = True,
        initialiser: Initialiser = xavier_uniform,
    ) -> None:
        self.weight = parameter(initialiser((outputs, inputs), rng))
        self.bias = parameter(np.zeros(outputs, dtype=np.float32)) if bias else None

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """`residual` (..., n) is added in the same pass."""
        return t.linear(x, self.weight, residual=residual, bias=self.bias)


class Embedding(Module):
    """int32 ids of any shape -> their rows of weight (V, d)."""

    def __init__(self, vocab_size: int, width: int, rng: np.random.Generator, initialiser: Initialiser | None = None):
        self.weight = parameter((initialiser or normal(0.02))((vocab_size, width), rng))

    def __call__(self, ids: np.ndarray) -> Tensor:
        return t.embedding(self.weight, np.ascontiguousarray(ids, dtype=np.int32))


class LayerNorm(Module):
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last axis; weight starts at 1, bias at 0."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        self.eps = eps
        self.weight = parameter(np.ones(width, dtype=np.float32))
        self.bias = parameter(np.zeros(width, dtype=np.float32))

    def __call__(self, x: Tensor) -> Tensor:
        return t.layernorm(x, self.weight, self.bias, self.eps)


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis; weight starts at 1."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        self.eps = eps
        self.weight = parameter(np.ones(width, dtype=np.float32))

    def __call__(self, x: Tensor) -> Tensor:
        return t.rmsnorm(x, self.weight, self.eps)


class Dropout(Module):
    """Drops values with probability p while training, from a generator of its own; in evaluation x as it is."""

    def __init__(self, p: float, seed: int = 0) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"dropout: p is {p}, expected 0 <= p < 1")
        self.p = p
        self._rng = np.random.default_rng(seed)

    def __call__(self, x: Tensor) -> Tensor:
        return t.dropout(x, self.p, self._rng if self.training else None)
