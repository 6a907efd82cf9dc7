"""Checks gradients by central differences: a slope along a direction, once from the tape, once from two values.

Of f(x) = sum(function(x) * weights) the tape gives grad . d, two values give (f(x + h d) - f(x - h d)) / 2h. Values
are float32: h = 0.01 balances the rounding of f (too small an h) against its curvature (too large an h), which leaves
two to four digits. Knows no operation; the oracle for values is native_kernels/reference.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from runtime.tensor.tensor import Tensor


class Slopes(NamedTuple):
    """tape: from the gradients; difference: from two values; scale: what an error between them is measured against."""

    tape: float
    difference: float
    scale: float

    @property
    def error(self) -> float:
        """How far the two are apart, relative to `scale`."""
        return abs(self.tape - self.difference) / self.scale


def slopes(
    function: Callable[..., Tensor],
    arrays: Sequence[np.ndarray],
    directions: Sequence[np.ndarray],
    weights: np.ndarray | float = 1.0,
    h: float = 1e-2,
) -> Slopes:
    """The slope of sum(function(*arrays) * weights) along `directions` (float32, the shapes of `arrays`).

    scale is at least 1 and grows with the slope and with the number of values that rounding errors come from.
    """
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    out = function(*leaves)
    out.backward(np.broadcast_to(np.asarray(weights, dtype=np.float32), out.shape))

    def value(step: float) -> float:
        moved = [Tensor(a + np.float32(step) * d) for a, d in zip(arrays, directions, strict=True)]
        return float((function(*moved).data.astype(np.float64) * weights).sum())

    difference = (value(h) - value(-h)) / (2 * h)
    pairs = [(leaf.grad_buffer(), d) for leaf, d in zip(leaves, directions, strict=True)]
    tape = sum(float((grad.astype(np.float64) * d).sum()) for grad, d in pairs)
    moved = sum(float(np.abs(grad[d != 0]).sum()) for grad, d in pairs)
    return Slopes(tape, difference, max(1.0, abs(difference), moved**0.5))
