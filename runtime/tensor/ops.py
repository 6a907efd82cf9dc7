"""Operations that networks are made of, each beside its vector-Jacobian product (the inner function `vjp`).

Shapes: B batch, T positions, R rows (any leading shape, flattened), d width, H heads, K key/value heads, D head width,
F feed-forward width, V vocabulary. All values are float32; the arithmetic is done by native_kernels, whose numpy twins
in native_kernels/reference.py say exactly what is computed.
"""

from __future__ import annotations

import math

import numpy as np

import native_kernels as nk
from runtime.tensor.broadcasting import as_tensor, check, dense, unbroadcast
from runtime.tensor.precision import product
from runtime.tensor.tensor import Tensor


def gemm(a: Tensor, b: Tensor) -> Tensor:
    """Matrix products over the last two axes: (..., M, K) times (..., K, N) -> (..., M, N); leading axes broadcast."""
    a, b = as_tensor(a), as_tensor(b)
    fits = len(a.shape) >= 2 and len(b.shape) >= 2 and a.shape[-1] == b.shape[-2]
    check(fits, f"gemm: shapes {a.shape} and {b.shape} are not (..., M, K) and (..., K, N)")
    try:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(f"gemm: the leading axes of {a.shape} and {b.shape} do not broadcast") from None
    places, M, N = math.prod(lead), a.shape[-2], b.shape[-1]

    def matrices(x: Tensor) -> np.ndarray:
        """One matrix for each place of the leading axes, (places, rows, columns)."""
        return np.broadcast_to(dense(x), lead + x.shape[-2:]).reshape((places,) + x.shape[-2:])

    def vjp(dout):
        g = dout.reshape(places, M, N)
        da = db = None
        if a.requires_grad:
            da = np.empty((places,) + a.shape[-2:], dtype=np.float32)
            for share, gi, bi in zip(da, g, matrices(b), strict=True):
                product(gi, bi, out=share, trans_b=True)
            da = unbroadcast(da.reshape(lead + a.shape[-2:]), a.shape)
        if b.requires_grad:
            db = np.empty((places,) + b.shape[-2:], dtype=np.float32)
            for share, gi, ai in zip(db, g, matrices(a), strict=True):
                product(ai, gi, out=share, trans_a=True)
            db = unbroadcast(db.reshape(lead + b.shape[-2:]), b.shape)
        return da, db

    out = np.empty((places, M, N), dtype=np.float32)
    for place, ai, bi in zip(out, matrices(a), matrices(b), strict=True):
        product(ai, bi, out=place)
    return Tensor.from_op(out.reshape(lead + (M, N)), (a, b), vjp)


def embedding(table: Tensor, ids: np.ndarray) -> Tensor:
    """Rows of `table` (V, d) for int32 `ids` of any shape -> ids.shape + (d,)."""

    def vjp(dout):
        dtable, share = table.grad_target()
        nk.embedding_backward(dout, ids, dtable)
        return (share,)

    return Tensor.from_op(nk.embedding(dense(table), ids), (table,), vjp)


def linear(x: Tensor, weight: Tensor, residual: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """x (..., k) times weight (n, k) transposed -> (..., n); bias (n,) and a residual of that shape in the epilogue."""
    fits = len(weight.shape) == 2 and x.shape[-1:] == weight.shape[1:]
    check(fits, f"linear: x {x.shape} does not fit weight {weight.shape}")
    n, k = weight.shape
    out_shape = x.shape[:-1] + (n,)
    check(bias is None or bias.shape == (n,), f"linear: bias {bias and bias.shape} does not fit weight {weight.shape}")
    fits = residual is None or residual.shape == out_shape
    check(fits, f"linear: residual {residual and residual.shape} does not fit the result {out_shape}")
    rows, w = dense(x).reshape(-1, k), dense(weight)
    added = None if residual is None else dense(residual).reshape(-1, n)
    out = product(rows, w, trans_b=True, residual=added, bias=None if bias is None else dense(bias))
    parents = tuple(part for part in (x, weight, residual, bias) if part is not None)

    def vjp(dout):
        flat = dout.reshape(-1, n)
        shares: list[np.ndarray | None] = [product(flat, w).reshape(x.shape) if x.requires_grad else None, None]
        if weight.requires_grad:
            dweight, shares[1] = weight.grad_target()
            product(flat, rows, out=dweight, trans_a=True, accumulate=True)
        if residual is not None:
            shares.append(dout)
        if bias is not None:
            dbias, share = bias.grad_target()
            nk.bias_backward(flat, dbias)
            shares.append(share)
        return shares

    return Tensor.from_op(out.reshape(out_shape), parents, vjp)


def rmsnorm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang & Sennrich 2019)."""
    values, w = dense(x), dense(weight)
    out, rstd = nk.rmsnorm(values, w, eps)

    def vjp(dout):
        dweight, share = weight.grad_target()
        return nk.rmsnorm_backward(dout, values, w, rstd, dweight), share

    return Tensor.from_op(out, (x, weight), vjp)


def layernorm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last axis (Ba et al. 2016)."""
    values, w = dense(x), dense(weight)
    out, mean, rstd = nk.layernorm(values, w, dense(bias), eps)

    def vjp(dout):
        dweight, weight_share = weight.grad_target()
        dbias, bias_share = bias.grad_target()
        dx = nk.layernorm_backward(dout, values, w, mean, rstd, dweight, dbias, out=dout)
        return dx, weight_share, bias_share

    return Tensor.from_op(out, (x, weight, bias), vjp)


def dropout(x: Tensor, p: float, rng: np.random.Generator | None) -> Tensor:
    """Each value is 0 with probability p and otherwise divided by 1 - p (Srivastava et al. 2014).

    Draws from `rng`: the same seed drops the same values. rng None means evaluation: x itself.
    """
    check(0 <= p < 1, f"dropout: p is {p}, expected 0 <= p < 1")
    if p == 0 or rng is None:
        return x
    mask = (rng.random(x.shape, dtype=np.float32) >= p) * np.float32(1 / (1 - p))

    def vjp(dout):
        return (dout * mask,)

    return Tensor.from_op(x.data * mask, (x,), vjp)


def rope(qkv: Tensor, n_rotated: int, cos: np.ndarray, sin: np.ndarray, positions: np.ndarray) -> Tensor:
    """Rotate the first `n_rotated` heads of qkv (R, heads, D) by their rows' positions (Su et al. 2021). IN PLACE.

    The projection before it does not need its own output for the backward pass, so no copy is made.
    """
    nk.rope(qkv.data[:, :n_rotated], cos, sin, positions)

    def vjp(dout):
        nk.rope(dout[:, :n_rotated], cos, sin, positions, inverse=True)
        return (dout,)

    return Tensor.from_op(qkv.data, (qkv,), vjp)


def attention(qkv: Tensor, n_heads: int, n_kv_heads: int, scale: float, causal: bool = True) -> Tensor:
    """Grouped-query attention over a fused qkv (B, T, H + 2K, D) -> (B, T, H, D); scores are never stored.

    Query t sees the keys 0 .. t, or all of them if `causal` is false. n_kv_heads == n_heads is multi-head attention
    (Vaswani et al. 2017), fewer are shared by groups of heads (Ainslie et al. 2023).
    """
    fits = len(qkv.shape) == 4 and qkv.shape[2] == n_heads + 2 * n_kv_heads
    check(fits, f"attention: qkv {qkv.shape} is not (B, T, {n_heads} + 2 * {n_kv_heads}, D)")

    def split(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return a[:, :, :n_heads], a[:, :, n_heads : n_heads + n_kv_heads], a[:, :, n_heads + n_kv_heads :]

    q, k, v = split(dense(qkv))
    out, lse = nk.attention(q, k, v, scale, causal=causal)

    def vjp(dout):
        dqkv = np.empty(qkv.shape, dtype=np.float32)
        dq, dk, dv = split(dqkv)
        nk.attention_backward(dout, q, k, v, out, lse, scale, causal=causal, dq=dq, dk=dk, dv=dv)
        return (dqkv,)

    return Tensor.from_op(out, (qkv,), vjp)


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up for rows that hold [gate | up]: (..., 2F) -> (..., F) (Shazeer 2020)."""
    values = dense(gate_up)

    def vjp(dout):
        return (nk.swiglu_backward(dout, values),)

    return Tensor.from_op(nk.swiglu(values), (gate_up,), vjp)


def geglu(gate_up: Tensor, form: str = "tanh") -> Tensor:
    """gelu(gate) * up for rows that hold [gate | up]: (..., 2F) -> (..., F) (Shazeer 2020); form "tanh" or "erf"."""
    check(form in ("erf", "tanh"), f"geglu: form {form!r}, expected erf or tanh")
    values, kind = dense(gate_up), "gelu_" + form

    def vjp(dout):
        return (nk.geglu_backward(dout, values, kind=kind),)

    return Tensor.from_op(nk.geglu(values, kind=kind), (gate_up,), vjp)
