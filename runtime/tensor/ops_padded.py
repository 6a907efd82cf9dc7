"""Attention over rows of different lengths: what stands after a row's end is neither seen nor computed.

Rows are padded at their end to one width T. Instead of masking scores, each run of rows with one length is one call of
the kernel on a view without its padding. Knows full attention only: a causal row never sees its padding anyway.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np

import native_kernels as nk
from runtime.tensor.broadcasting import check, dense
from runtime.tensor.tensor import Tensor


def padded_attention(qkv: Tensor, lengths: np.ndarray, n_heads: int, n_kv_heads: int, scale: float) -> Tensor:
    """Full attention over a fused qkv (B, T, H + 2K, D) -> (B, T, H, D), zeros where t >= lengths[b].

    lengths: integers (B,), 1 .. T: how many positions each row has.
    """
    heads = n_heads + 2 * n_kv_heads
    fits = len(qkv.shape) == 4 and qkv.shape[2] == heads
    check(fits, f"padded_attention: qkv {qkv.shape} is not (B, T, {n_heads} + 2 * {n_kv_heads}, D)")
    B, T, _, D = qkv.shape
    lengths = np.asarray(lengths)
    good = lengths.shape == (B,) and (not B or (int(lengths.min()) >= 1 and int(lengths.max()) <= T))
    check(good, f"padded_attention: lengths must be {B} numbers from 1 to {T}")
    runs = []  # (rows, length)
    for length, rows in groupby(range(B), key=lambda b: int(lengths[b])):
        rows = list(rows)
        runs.append((slice(rows[0], rows[-1] + 1), length))

    def split(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return a[:, :, :n_heads], a[:, :, n_heads : n_heads + n_kv_heads], a[:, :, n_heads + n_kv_heads :]

    values = dense(qkv)
    out = np.zeros((B, T, n_heads, D), dtype=np.float32)
    saved = []  # log sum exp of each run
    for rows, length in runs:
        _, lse = nk.attention(*split(values[rows, :length]), scale, causal=False, out=out[rows, :length])
        saved.append(lse)

    def vjp(dout):
        dqkv = np.zeros(qkv.shape, dtype=np.float32)
        for (rows, length), lse in zip(runs, saved, strict=True):
            parts, shares = split(values[rows, :length]), split(dqkv[rows, :length])
            given = dict(zip(("dq", "dk", "dv"), shares, strict=True))
            nk.attention_backward(dout[rows, :length], *parts, out[rows, :length], lse, scale, causal=False, **given)
        return (dqkv,)

    return Tensor.from_op(out, (qkv,), vjp)
