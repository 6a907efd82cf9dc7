"""Operations over axes, each beside its vector-Jacobian product: sums, means, maxima, softmax.

Sums run in float64 and are rounded once. `axis` is a number, several, or None for all; with keepdims reduced axes stay
with size 1.
"""

from __future__ import annotations

import math

import numpy as np

from runtime.tensor.broadcasting import check, check_axes
from runtime.tensor.tensor import Tensor


def sum_(x: Tensor, axis=None, keepdims: bool = False) -> Tensor:
    """Sum over axes."""
    axes = check_axes("sum", axis, len(x.shape))
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))

    def vjp(dout):
        return (np.broadcast_to(dout.reshape(kept), x.shape).copy(),)

    return Tensor.from_op(x.data.sum(axis=axes, keepdims=keepdims, dtype=np.float64), (x,), vjp)


def mean(x: Tensor, axis=None, keepdims: bool = False) -> Tensor:
    """Mean over axes; ValueError if there is nothing to average."""
    axes = check_axes("mean", axis, len(x.shape))
    count = math.prod(x.shape[a] for a in axes)
    check(count > 0, f"mean: shape {x.shape} has no values along axes {axes}")
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))

    def vjp(dout):
        return (np.broadcast_to(dout.reshape(kept) / np.float32(count), x.shape).copy(),)

    return Tensor.from_op(x.data.mean(axis=axes, keepdims=keepdims, dtype=np.float64), (x,), vjp)


def max_(x: Tensor, axis=None, keepdims: bool = False) -> Tensor:
    """Largest value over axes; where several are equal they share the gradient evenly."""
    axes = check_axes("max", axis, len(x.shape))
    check(all(x.shape[a] > 0 for a in axes), f"max: shape {x.shape} has no values along axes {axes}")
    top = x.data.max(axis=axes, keepdims=True)

    def vjp(dout):
        chosen = (x.data == top).astype(np.float32)
        return (chosen / chosen.sum(axis=axes, keepdims=True) * dout.reshape(top.shape),)

    kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    return Tensor.from_op(top if keepdims else top.reshape(kept), (x,), vjp)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along one axis; the largest value is taken off first, so that nothing overflows."""
    (axis,) = check_axes("softmax", axis, len(x.shape))
    e = np.exp(x.data - x.data.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)

    def vjp(dout):
        weighted = dout * p
        return (weighted - p * weighted.sum(axis=axis, keepdims=True),)

    return Tensor.from_op(p, (x,), vjp)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """log of softmax along one axis, without leaving the logarithm."""
    (axis,) = check_axes("log_softmax", axis, len(x.shape))
    centred = x.data - x.data.max(axis=axis, keepdims=True)
    out = centred - np.log(np.exp(centred).sum(axis=axis, keepdims=True))

    def vjp(dout):
        return (dout - np.exp(out) * dout.sum(axis=axis, keepdims=True),)

    return Tensor.from_op(out, (x,), vjp)
