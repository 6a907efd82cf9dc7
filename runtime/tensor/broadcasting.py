"""What operations share: arguments become Tensors, shapes are checked, gradients of broadcast operands are summed."""

from __future__ import annotations

import numpy as np

from runtime.tensor.tensor import Tensor


def check(ok: bool, message: str) -> None:
    """ValueError with `message` unless ok."""
    if not ok:
        raise ValueError(message)


def as_tensor(value) -> Tensor:
    """A Tensor as it is; a number or an array as a Tensor without gradient."""
    return value if isinstance(value, Tensor) else Tensor(value)


def dense(x: Tensor) -> np.ndarray:
    """The values in row-major order, which the kernels want: views such as a transpose are copied, others are not."""
    return np.asarray(x.data, order="C")


def common_shape(name: str, *parts: Tensor) -> tuple[int, ...]:
    """The shape that the operands broadcast to; ValueError that names the operation and the shapes."""
    try:
        return np.broadcast_shapes(*(part.shape for part in parts))
    except ValueError:
        shapes = " and ".join(str(part.shape) for part in parts)
        raise ValueError(f"{name}: shapes {shapes} do not broadcast") from None


def check_axes(name: str, axis, ndim: int) -> tuple[int, ...]:
    """`axis` (None, a number or several) as distinct numbers 0 .. ndim - 1; ValueError otherwise."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    positive = tuple(a + ndim if a < 0 else a for a in axes)
    fits = all(0 <= a < ndim for a in positive) and len(set(positive)) == len(positive)
    check(fits, f"{name}: axes {axes} do not fit {ndim} dimensions")
    return positive


def unbroadcast(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum a gradient over the axes along which an operand of `shape` was broadcast."""
    extra = grad.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and grad.shape[i + extra] != 1)
    return grad.sum(axis=axes, keepdims=True).reshape(shape) if axes else grad
