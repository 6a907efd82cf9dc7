"""Operations element by element, each beside its vector-Jacobian product: arithmetic, functions, activations.

Operands broadcast as in numpy; numbers and arrays stand for Tensors without gradient. Knows no layers.
"""

from __future__ import annotations

import numpy as np

import native_kernels as nk
from runtime.tensor.broadcasting import as_tensor, check, common_shape, dense, unbroadcast
from runtime.tensor.tensor import Tensor

# ---- arithmetic -----------------------------------------------------------------------------------------------------


def add(a: Tensor, b: Tensor) -> Tensor:
    """a + b."""
    a, b = as_tensor(a), as_tensor(b)
    common_shape("add", a, b)

    def vjp(dout):
        # The gradient array may be handed on to one parent only: the other gets a copy.
        return unbroadcast(dout, a.shape), unbroadcast(dout.copy(), b.shape)

    return Tensor.from_op(a.data + b.data, (a, b), vjp)


def sub(a: Tensor, b: Tensor) -> Tensor:
    """a - b."""
    a, b = as_tensor(a), as_tensor(b)
    common_shape("sub", a, b)

    def vjp(dout):
        return unbroadcast(dout, a.shape), unbroadcast(-dout, b.shape)

    return Tensor.from_op(a.data - b.data, (a, b), vjp)


def mul(a: Tensor, b: Tensor) -> Tensor:
    """a * b."""
    a, b = as_tensor(a), as_tensor(b)
    common_shape("mul", a, b)

    def vjp(dout):
        return unbroadcast(dout * b.data, a.shape), unbroadcast(dout * a.data, b.shape)

    return Tensor.from_op(a.data * b.data, (a, b), vjp)


def div(a: Tensor, b: Tensor) -> Tensor:
    """a / b; division by zero gives inf or NaN, as IEEE 754 says."""
    a, b = as_tensor(a), as_tensor(b)
    common_shape("div", a, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        out = a.data / b.data

    def vjp(dout):
        with np.errstate(divide="ignore", invalid="ignore"):
            da = dout / b.data
            return unbroadcast(da, a.shape), unbroadcast(-da * out, b.shape)

    return Tensor.from_op(out, (a, b), vjp)


def neg(x: Tensor) -> Tensor:
    """-x."""

    def vjp(dout):
        return (-dout,)

    return Tensor.from_op(-x.data, (x,), vjp)


def power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent for a number; the slope is exponent * x ** (exponent - 1), and 0 everywhere for exponent 0."""
    if isinstance(exponent, Tensor) or not np.isscalar(exponent):
        raise TypeError(f"power: the exponent must be a number, got {type(exponent).__name__}")
    n = np.float32(exponent)

    def vjp(dout):
        if n == 0:
            return (np.zeros_like(dout),)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (dout * n * x.data ** (n - np.float32(1)),)

    with np.errstate(divide="ignore", invalid="ignore"):
        return Tensor.from_op(x.data**n, (x,), vjp)


def where(condition: np.ndarray, a: Tensor, b: Tensor) -> Tensor:
    """a where the boolean array `condition` is true, else b; the three broadcast."""
    a, b, condition = as_tensor(a), as_tensor(b), np.asarray(condition)
    check(condition.dtype == np.bool_, f"where: the condition must be boolean, got {condition.dtype}")
    common_shape("where", as_tensor(condition), a, b)

    def vjp(dout):
        zero = np.float32(0)
        return unbroadcast(np.where(condition, dout, zero), a.shape), unbroadcast(
            np.where(condition, zero, dout), b.shape
        )

    return Tensor.from_op(np.where(condition, a.data, b.data), (a, b), vjp)


def maximum(a: Tensor, b: Tensor) -> Tensor:
    """The larger of a and b; where they are equal, each gets half of the gradient."""
    a, b = as_tensor(a), as_tensor(b)
    common_shape("maximum", a, b)

    def vjp(dout):
        share = (np.float32(1) + np.sign(a.data - b.data)) * np.float32(0.5)
        return unbroadcast(dout * share, a.shape), unbroadcast(dout * (1 - share), b.shape)

    return Tensor.from_op(np.maximum(a.data, b.data), (a, b), vjp)


# ---- functions ------------------------------------------------------------------------------------------------------


def exp(x: Tensor) -> Tensor:
    """e ** x; inf from 88.73 on."""
    with np.errstate(over="ignore"):
        out = np.exp(x.data)

    def vjp(dout):
        return (dout * out,)

    return Tensor.from_op(out, (x,), vjp)


def log(x: Tensor) -> Tensor:
    """Natural logarithm; -inf at 0, NaN below."""

    def vjp(dout):
        with np.errstate(divide="ignore", invalid="ignore"):
            return (dout / x.data,)

    with np.errstate(divide="ignore", invalid="ignore"):
        return Tensor.from_op(np.log(x.data), (x,), vjp)


def sqrt(x: Tensor) -> Tensor:
    """Square root; NaN below 0."""
    with np.errstate(invalid="ignore"):
        out = np.sqrt(x.data)

    def vjp(dout):
        with np.errstate(divide="ignore", invalid="ignore"):
            return (dout * np.float32(0.5) / out,)

    return Tensor.from_op(out, (x,), vjp)


def absolute(x: Tensor) -> Tensor:
    """|x|; the slope at 0 is 0."""

    def vjp(dout):
        return (dout * np.sign(x.data),)

    return Tensor.from_op(np.abs(x.data), (x,), vjp)


# ---- activations: one kernel, one name each -------------------------------------------------------------------------


def _activation(kind: str, x: Tensor) -> Tensor:
    values = dense(x)

    def vjp(dout):
        return (nk.activation_backward(kind, dout, values, out=dout),)

    return Tensor.from_op(nk.activation(kind, values), (x,), vjp)


def relu(x: Tensor) -> Tensor:
    """max(x, 0); the slope at 0 is 0."""
    return _activation("relu", x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return _activation("tanh", x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return _activation("sigmoid", x)


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return _activation("silu", x)


def gelu(x: Tensor, form: str = "erf") -> Tensor:
    """x * Phi(x) (form "erf") or its approximation by tanh (form "tanh", GPT-2's); Hendrycks & Gimpel 2016."""
    check(form in ("erf", "tanh"), f"gelu: form {form!r}, expected erf or tanh")
    return _activation("gelu_" + form, x)
