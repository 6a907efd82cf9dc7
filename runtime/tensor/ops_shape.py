"""Operations that move values and compute nothing, each beside its vector-Jacobian product.

Reshape (where the layout allows it), permute, broadcast and basic indexing give views: they share memory with their
input. Concatenation, stacking and indexing with arrays copy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtime.tensor.broadcasting import as_tensor, check, check_axes, unbroadcast
from runtime.tensor.tensor import Tensor


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The same values in another shape, row-major; one size may be -1. No copy where the layout allows it."""
    try:
        out = x.data.reshape(shape)
    except ValueError:
        raise ValueError(f"reshape: {x.shape} does not fit into {shape}") from None

    def vjp(dout):
        return (dout.reshape(x.shape),)

    return Tensor.from_op(out, (x,), vjp)


def permute(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Axis i of the result is axis axes[i] of x (a view)."""
    order = check_axes("permute", axes, len(x.shape))
    check(len(order) == len(x.shape), f"permute: {len(order)} axes for shape {x.shape}")
    inverse = np.argsort(order)

    def vjp(dout):
        return (dout.transpose(inverse),)

    return Tensor.from_op(x.data.transpose(order), (x,), vjp)


def transpose(x: Tensor, first: int = -2, second: int = -1) -> Tensor:
    """Two axes exchanged, by default the last two (a view)."""
    order = list(range(len(x.shape)))
    i, j = check_axes("transpose", (first, second), len(x.shape))
    order[i], order[j] = order[j], order[i]
    return permute(x, order)


def broadcast_to(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """x repeated to `shape` by numpy's rules (a read-only view)."""
    try:
        out = np.broadcast_to(x.data, shape)
    except ValueError:
        raise ValueError(f"broadcast_to: {x.shape} does not broadcast to {shape}") from None

    def vjp(dout):
        return (unbroadcast(dout, x.shape),)

    return Tensor.from_op(out, (x,), vjp)


def index(x: Tensor, key) -> Tensor:
    """x[key] as numpy has it: numbers, slices, None and ... give a view; boolean and integer arrays a copy.

    IndexError outside the bounds. The gradient of an element taken twice is the sum of both.
    """
    parts = key if isinstance(key, tuple) else (key,)
    basic = all(
        part is None or part is Ellipsis or (isinstance(part, int | np.integer | slice) and not isinstance(part, bool))
        for part in parts
    )

    def vjp(dout):
        grad = np.zeros(x.shape, dtype=np.float32)
        if basic:
            grad[key] = dout
        else:
            np.add.at(grad, key, dout)
        return (grad,)

    try:
        return Tensor.from_op(x.data[key], (x,), vjp)
    except IndexError as error:
        raise IndexError(f"index: {key!r} does not fit shape {x.shape}: {error}") from None


def concatenate(parts: Sequence[Tensor], axis: int = 0) -> Tensor:
    """The parts one after another along an axis that all have; the other sizes must agree."""
    check(len(parts) > 0, "concatenate: nothing to join")
    parts = tuple(as_tensor(part) for part in parts)
    shapes = " and ".join(str(part.shape) for part in parts)
    (axis,) = check_axes("concatenate", axis, len(parts[0].shape))
    rest = {part.shape[:axis] + part.shape[axis + 1 :] for part in parts}
    same = len(rest) == 1 and len({len(part.shape) for part in parts}) == 1
    check(same, f"concatenate: shapes {shapes} differ outside axis {axis}")
    ends = np.cumsum([part.shape[axis] for part in parts])[:-1]

    def vjp(dout):
        return np.split(dout, ends, axis=axis)

    return Tensor.from_op(np.concatenate([part.data for part in parts], axis=axis), parts, vjp)


def stack(parts: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Parts of one shape along a new axis."""
    check(len(parts) > 0, "stack: nothing to join")
    parts = tuple(as_tensor(part) for part in parts)
    check(len({part.shape for part in parts}) == 1, f"stack: shapes {' and '.join(str(p.shape) for p in parts)} differ")
    (axis,) = check_axes("stack", axis, len(parts[0].shape) + 1)

    def vjp(dout):
        return [dout.take(i, axis=axis) for i in range(len(parts))]

    return Tensor.from_op(np.stack([part.data for part in parts], axis=axis), parts, vjp)
