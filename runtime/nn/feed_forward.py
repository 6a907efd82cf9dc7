"""Feed-forward layers: the plain one (dense, activation, dense) and the gated ones, SwiGLU and GeGLU.

Shapes: d width, F inner width.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from runtime import tensor as t
from runtime.nn.initialisers import Initialiser, xavier_uniform
from runtime.nn.layers import Dense
from runtime.nn.module import Module
from runtime.tensor import Tensor

_GATES = {"swiglu": t.swiglu, "geglu": t.geglu}


class FeedForward(Module):
    """x (..., d) -> down(activation(up(x))) (..., d); up.weight (F, d), down.weight (d, F)."""

    def __init__(
        self,
        width: int,
        inner: int,
        rng: np.random.Generator,
        activation: Callable[[Tensor], Tensor] = t.gelu,
        bias: bool = True,
        initialiser: Initialiser = xavier_uniform,
        out_initialiser: Initialiser | None = None,
    ) -> None:
        self._activation = activation
        self.up = Dense(width, inner, rng, bias, initialiser)
        self.down = Dense(inner, width, rng, bias, out_initialiser or initialiser)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        return self.down(self._activation(self.up(x)), residual=residual)


class GatedFeedForward(Module):
    """x (..., d) -> down(act(gate(x)) * up(x)) (..., d), act silu ("swiglu") or gelu ("geglu") (Shazeer 2020).

    gate_up.weight (2F, d) holds gate, then up; down.weight (d, F).
    """

    def __init__(
        self,
        width: int,
        inner: int,
        rng: np.random.Generator,
        gate: str = "swiglu",
        bias: bool = False,
        initialiser: Initialiser = xavier_uniform,
        out_initialiser: Initialiser | None = None,
    ) -> None:
        if gate not in _GATES:
            raise ValueError(f"gate {gate!r}, expected one of {', '.join(_GATES)}")
        self._gate = _GATES[gate]
        self.gate_up = Dense(width, 2 * inner, rng, bias, initialiser)
        self.down = Dense(inner, width, rng, bias, out_initialiser or initialiser)

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        return self.down(self._gate(self.gate_up(x)), residual=residual)
