"""Operations on Tensors, each beside its vector-Jacobian product (the inner function `vjp`).

Shapes: B batch, T positions, R rows (any leading shape, flattened), d width, H heads, K key/value heads, D head width,
F feed-forward width, V vocabulary. All values are float32; heavy arithmetic goes to native_kernels, whose numpy
twins in native_kernels/reference.py say exactly what is computed.
"""

from __future__ import annotations

import numpy as np

import native_kernels as nk
from runtime.tensor.tensor import Tensor, needs_grad


def _check(ok: bool, message: str) -> None:
    if not ok:
        raise ValueError(message)


def _unbroadcast(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum a gradient over the axes along which an operand of `shape` was broadcast."""
    extra = grad.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, n in enumerate(shape) if n == 1 and grad.shape[i + extra] != 1)
    return np.ascontiguousarray(grad.sum(axis=axes, keepdims=True).reshape(shape)) if axes else grad


def add(a: Tensor, b: Tensor) -> Tensor:
    """a + b with numpy broadcasting."""

    def vjp(dout):
        return _unbroadcast(dout, a.shape), _unbroadcast(dout.copy(), b.shape)

    return Tensor.from_op(a.data + b.data, (a, b), vjp)


def mul(a: Tensor, b: Tensor) -> Tensor:
    """a * b, element by element, with numpy broadcasting."""

    def vjp(dout):
        return _unbroadcast(dout * b.data, a.shape), _unbroadcast(dout * a.data, b.shape)

    return Tensor.from_op(a.data * b.data, (a, b), vjp)


def sum_(x: Tensor) -> Tensor:
    """Sum of all values, shape ()."""

    def vjp(dout):
        return (np.full(x.shape, dout.reshape(-1)[0], dtype=np.float32),)

    return Tensor.from_op(np.asarray(x.data.sum(dtype=np.float64), dtype=np.float32), (x,), vjp)


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The same values in another shape (no copy)."""

    def vjp(dout):
        return (dout.reshape(x.shape),)

    return Tensor.from_op(x.data.reshape(shape), (x,), vjp)


def embedding(table: Tensor, ids: np.ndarray) -> Tensor:
    """Rows of `table` (V, d) for int32 `ids` of any shape -> ids.shape + (d,)."""

    def vjp(dout):
        nk.embedding_backward(dout, ids, table.grad_buffer())
        return (None,)

    return Tensor.from_op(nk.embedding(table.data, ids), (table,), vjp)


def linear(x: Tensor, weight: Tensor, residual: Tensor | None = None) -> Tensor:
    """x (..., k) times weight (n, k) transposed -> (..., n); `residual` of that shape is added in the epilogue."""
    _check(x.shape[-1] == weight.shape[1], f"linear: x {x.shape} does not fit weight {weight.shape}")
    rows = x.data.reshape(-1, x.shape[-1])
    out_shape = x.shape[:-1] + (weight.shape[0],)
    added = None if residual is None else residual.data.reshape(-1, weight.shape[0])
    out = nk.gemm(rows, weight.data, trans_b=True, residual=added).reshape(out_shape)

    def vjp(dout):
        flat = dout.reshape(-1, weight.shape[0])
        if weight.requires_grad:
            nk.gemm(flat, rows, out=weight.grad_buffer(), trans_a=True, accumulate=True)
        dx = nk.gemm(flat, weight.data).reshape(x.shape) if x.requires_grad else None
        return (dx, None) if residual is None else (dx, None, dout)

    parents = (x, weight) if residual is None else (x, weight, residual)
    return Tensor.from_op(out, parents, vjp)


def rmsnorm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang & Sennrich 2019)."""
    out, rstd = nk.rmsnorm(x.data, weight.data, eps)

    def vjp(dout):
        return nk.rmsnorm_backward(dout, x.data, weight.data, rstd, weight.grad_buffer()), None

    return Tensor.from_op(out, (x, weight), vjp)


def rope(qkv: Tensor, n_rotated: int, cos: np.ndarray, sin: np.ndarray, positions: np.ndarray) -> Tensor:
    """Rotate the first `n_rotated` heads of qkv (R, heads, D) by their rows' positions (Su et al. 2021). IN PLACE.

    The projection before it does not need its own output for the backward pass, so no copy is made.
    """
    nk.rope(qkv.data[:, :n_rotated], cos, sin, positions)

    def vjp(dout):
        nk.rope(dout[:, :n_rotated], cos, sin, positions, inverse=True)
        return (dout,)

    return Tensor.from_op(qkv.data, (qkv,), vjp)


def attention(qkv: Tensor, n_heads: int, n_kv_heads: int, scale: float) -> Tensor:
    """Causal grouped-query attention over a fused qkv (B, T, H + 2K, D) -> (B, T, H, D); scores are never stored."""

    def split(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return a[:, :, :n_heads], a[:, :, n_heads : n_heads + n_kv_heads], a[:, :, n_heads + n_kv_heads :]

    q, k, v = split(qkv.data)
    out, lse = nk.attention(q, k, v, scale)

    def vjp(dout):
        dqkv = np.empty_like(qkv.data)
        dq, dk, dv = split(dqkv)
        nk.attention_backward(dout, q, k, v, out, lse, scale, dq=dq, dk=dk, dv=dv)
        return (dqkv,)

    return Tensor.from_op(out, (qkv,), vjp)


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up for rows that hold [gate | up]: (..., 2F) -> (..., F) (Shazeer 2020)."""

    def vjp(dout):
        return (nk.swiglu_backward(dout, gate_up.data),)

    return Tensor.from_op(nk.swiglu(gate_up.data), (gate_up,), vjp)


def cross_entropy(logits: Tensor, targets: np.ndarray) -> Tensor:
    """Mean of -log softmax(logits (R, V))[target] over rows with target >= 0; shape ()."""
    counted = max(1, int((targets >= 0).sum()))
    dlogits = np.empty_like(logits.data)
    losses = nk.softmax_cross_entropy(logits.data, targets, dlogits=dlogits, scale=1.0 / counted)

    def vjp(dout):
        return (dlogits * dout.reshape(-1)[0],)

    return Tensor.from_op(np.asarray(losses.sum(dtype=np.float64) / counted, dtype=np.float32), (logits,), vjp)


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: np.ndarray, chunk: int = 1024) -> Tensor:
    """cross_entropy(linear(x (R, d), weight (V, d)), targets) in chunks of rows, so that full logits never exist.

    Where gradients are needed, they are computed in the forward pass, while a chunk's logits are in cache, for a loss
    whose own gradient is 1; the backward pass only scales them.
    """
    rows = x.shape[0]
    counted = max(1, int((targets >= 0).sum()))
    train = needs_grad(x, weight)
    dx = np.empty_like(x.data) if train else None
    dweight = np.zeros_like(weight.data) if train else None
    logits = np.empty((min(chunk, rows), weight.shape[0]), dtype=np.float32)
    total = 0.0
    for start in range(0, rows, chunk):
        part = slice(start, min(start + chunk, rows))
        scores = logits[: part.stop - start]
        nk.gemm(x.data[part], weight.data, out=scores, trans_b=True)
        losses = nk.softmax_cross_entropy(scores, targets[part], dlogits=scores if train else None, scale=1.0 / counted)
        total += float(losses.sum(dtype=np.float64))
        if train:
            nk.gemm(scores, weight.data, out=dx[part])
            nk.gemm(scores, x.data[part], out=dweight, trans_a=True, accumulate=True)

    def vjp(dout):
        factor = float(dout.reshape(-1)[0])
        nk.axpy(weight.grad_buffer(), dweight, factor)
        return (dx if factor == 1.0 else dx * np.float32(factor)), None

    return Tensor.from_op(np.asarray(total / counted, dtype=np.float32), (x, weight), vjp)
