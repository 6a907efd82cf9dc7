"""Numpy twins of the serving kernels (src/k_serve.inc): norms, rotary positions and activations in their general forms.

Same values as the kernels up to rounding; row strides are numpy's. Computes in float64 and returns float32.
"""

import numpy as np

from native_kernels.reference import _activation


def serve_norm(kind, x, weight, bias=None, residual=None, eps=1e-5, scale=1.0):
    """x (..., n), weight (n): RMSNorm ("rms") or LayerNorm ("layer") [+ bias]; with a residual: + scale * that."""
    v = x.astype(np.float64)
    if kind == "layer":
        v = v - v.mean(axis=-1, keepdims=True)
    v = v / np.sqrt((v * v).mean(axis=-1, keepdims=True) + eps) * weight
    if bias is not None:
        v = v + bias
    return (v if residual is None else residual + scale * v).astype(np.float32)


def serve_rope(x, cos, sin, index, interleaved=False):
    """x (rows, H, D): the first 2n values of each head turned by row index[r] of cos and sin (entries, n)."""
    n = cos.shape[1]
    first, second = (slice(0, 2 * n, 2), slice(1, 2 * n, 2)) if interleaved else (slice(0, n), slice(n, 2 * n))
    c, s = cos[index][:, None].astype(np.float64), sin[index][:, None].astype(np.float64)
    out = x.copy()
    out[..., first] = x[..., first] * c - x[..., second] * s
    out[..., second] = x[..., second] * c + x[..., first] * s
    return out


def serve_gate(kind, x, gated):
    """activation(x), or with x (rows, 2F) = [gate | up]: activation(gate) * up."""
    v = x.astype(np.float64)
    if not gated:
        return _activation(kind, v)[0].astype(np.float32)
    gate, up = np.split(v, 2, axis=-1)
    return (_activation(kind, gate)[0] * up).astype(np.float32)


def serve_add(a, c=None, scale=1.0, cap=0.0):
    """scale * a, then cap * tanh(that / cap) if cap > 0, then + c."""
    v = a.astype(np.float64) * scale
    v = cap * np.tanh(v / cap) if cap > 0 else v
    return (v if c is None else v + c).astype(np.float32)
