"""The numpy twin of every kernel: same names, same arguments, same results up to rounding. Read this to learn what the
kernels compute; tests compare every kernel with it on every instruction set.

Knows no threads, no tiles, no strides. Computes in float64 and returns float32 where the kernel does, unless the
input is float64 already: then everything stays float64, which makes it fit for finite differences.
Shapes: B batch, T query rows, S key rows, H heads, KH key heads, D head or model dimension, F feed-forward width,
V vocabulary.
"""

import math

import numpy as np

from native_kernels.reference_quant import dequantize  # noqa: F401 - twins with a file of their own
from native_kernels.reference_quantize import quantize  # noqa: F401


def _like(result, model):
    """Float64 results go back to float32, unless the caller works in float64."""
    return result if model.dtype == np.float64 else result.astype(np.float32)


def _give(result, out):
    if out is None:
        return result
    out[...] = result
    return out


# ---- matrix products ------------------------------------------------------------------------------------------------


def gemm(a, b, out=None, trans_a=False, trans_b=False, bias=None, residual=None, accumulate=False):
    """out(M, N) = op(a) op(b) [+ out if accumulate] [+ bias(N)] [+ residual(M, N)]."""
    left = (a.T if trans_a else a).astype(np.float64)
    right = (b.T if trans_b else b).astype(np.float64)
    c = left @ right
    if accumulate:
        c = c + out
    if bias is not None:
        c = c + bias
    if residual is not None:
        c = c + residual
    return _give(_like(c, a), out)


def bf16_round(x):
    """float32 -> float32 that bfloat16 can hold: the upper 16 bits, to nearest, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), np.float32(np.nan), rounded.view(np.float32))


def bf16_from_bits(bits):
    """uint16 bit patterns of bfloat16 -> float32, exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def gemm_bf16(a, b, out=None, trans_a=False, trans_b=False, bias=None, residual=None, accumulate=False):
    """As gemm; operands are uint16 bit patterns of bfloat16, or float32 that is rounded to bfloat16 first."""
    a, b = (bf16_from_bits(x) if x.dtype == np.uint16 else bf16_round(x) for x in (a, b))
    return gemm(a, b, out, trans_a, trans_b, bias, residual, accumulate)


# ---- embedding ------------------------------------------------------------------------------------------------------


def embedding(table, ids, out=None):
    """table (V, D), ids of any shape -> ids.shape + (D,)."""
    return _give(table[ids], out)


def embedding_backward(dout, ids, dtable):
    """dtable[id] += dout, once for every mention of an id."""
    np.add.at(dtable, ids, dout)
    return dtable


# ---- RMSNorm --------------------------------------------------------------------------------------------------------


def rmsnorm(x, weight, eps, out=None):
    """out = x * rstd * weight with rstd = 1 / sqrt(mean(x^2) + eps), for each row. Zhang & Sennrich 2019."""
    x64 = x.astype(np.float64)
    rstd = 1 / np.sqrt((x64**2).mean(axis=-1, keepdims=True) + eps)
    return _give(_like(x64 * rstd * weight, x), out), _like(rstd.reshape(-1), x)


def rmsnorm_backward(dout, x, weight, rstd, dweight, out=None):
    """dweight = sum of dout * n over rows, n = x * rstd; dx = rstd * (gw - n * mean(gw * n)), gw = dout * weight."""
    r = rstd.astype(np.float64).reshape((*x.shape[:-1], 1))
    n = x * r
    g = dout.astype(np.float64)
    dweight += (g * n).reshape(-1, x.shape[-1]).sum(axis=0)
    gw = g * weight
    return _give(_like(r * (gw - n * (gw * n).mean(axis=-1, keepdims=True)), x), out)


# ---- LayerNorm ------------------------------------------------------------------------------------------------------


def layernorm(x, weight, bias, eps, out=None):
    """out = (x - mean) * rstd * weight + bias with rstd = 1 / sqrt(variance + eps), for each row. Ba et al. 2016."""
    x64 = x.astype(np.float64)
    mean = x64.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(x64.var(axis=-1, keepdims=True) + eps)
    result = (x64 - mean) * rstd * weight + bias
    return _give(_like(result, x), out), _like(mean.reshape(-1), x), _like(rstd.reshape(-1), x)


def layernorm_backward(dout, x, weight, mean, rstd, dweight, dbias, out=None):
    """dx = rstd * (gw - mean(gw) - n * mean(gw * n)) with gw = dout * weight and n = (x - mean) * rstd.

    dweight = sum of dout * n and dbias = sum of dout over rows; both accumulate.
    """
    per_row = (*x.shape[:-1], 1)
    r = rstd.astype(np.float64).reshape(per_row)
    n = (x - mean.astype(np.float64).reshape(per_row)) * r
    g = dout.astype(np.float64)
    dweight += (g * n).reshape(-1, x.shape[-1]).sum(axis=0)
    dbias += g.reshape(-1, x.shape[-1]).sum(axis=0)
    gw = g * weight
    dx = r * (gw - gw.mean(axis=-1, keepdims=True) - n * (gw * n).mean(axis=-1, keepdims=True))
    return _give(_like(dx, x), out)


# ---- rotary positions -----------------------------------------------------------------------------------------------


def rope(x, cos, sin, positions, inverse=False):
    """Rotate pair (i, i + D/2) of each head by the angle of its row's position, in place. Su et al. 2021."""
    half = x.shape[-1] // 2
    rows = (*x.shape[:-2], 1, half)
    c = cos[positions.reshape(-1)].astype(np.float64).reshape(rows)
    s = sin[positions.reshape(-1)].astype(np.float64).reshape(rows) * (-1 if inverse else 1)
    a, b = x[..., :half].copy(), x[..., half:].copy()
    x[..., :half] = a * c - b * s
    x[..., half:] = b * c + a * s
    return x


# ---- attention ------------------------------------------------------------------------------------------------------


def _scores(q, k, scale, causal):
    """Scaled scores (B, H, T, S) in float64, hidden ones -inf. Head h reads key head h // (H / KH)."""
    H, T = q.shape[2], q.shape[1]
    S, KH = k.shape[1], k.shape[2]
    keys = np.repeat(k.astype(np.float64), H // KH, axis=2)
    scores = np.einsum("bthd,bshd->bhts", q.astype(np.float64), keys) * scale
    if causal:  # query t sees keys 0 .. t + (S - T)
        scores = np.where(np.arange(S)[None, :] <= np.arange(T)[:, None] + (S - T), scores, -np.inf)
    return scores


def attention(q, k, v, scale, causal=True, out=None, need_lse=True):
    """softmax(q k^T * scale) v for each head -> (out (B, T, H, D), lse (B, H, T) = log sum exp of the scores)."""
    scores = _scores(q, k, scale, causal)
    top = scores.max(axis=-1, keepdims=True)
    lse = top + np.log(np.exp(scores - top).sum(axis=-1, keepdims=True))
    values = np.repeat(v.astype(np.float64), q.shape[2] // k.shape[2], axis=2)
    result = np.einsum("bhts,bshd->bthd", np.exp(scores - lse), values)
    return _give(_like(result, q), out), _like(lse[..., 0], q) if need_lse else None


def attention_backward(dout, q, k, v, out, lse, scale, causal=True, dq=None, dk=None, dv=None):
    """Gradients of attention, the probabilities recomputed from lse as the kernel does it.

    dp = dout v^T; ds = p * (dp - delta), delta = sum(dout * out); dq = ds k * scale; dk = ds^T q * scale;
    dv = p^T dout.
    Heads that share a key head add up. Dao 2023 (FlashAttention-2), algorithm 2.
    """
    B, S, KH, D = k.shape
    group = q.shape[2] // KH
    p = np.exp(_scores(q, k, scale, causal) - lse.astype(np.float64)[..., None])
    g = dout.astype(np.float64)
    dp = np.einsum("bthd,bshd->bhts", g, np.repeat(v.astype(np.float64), group, axis=2))
    delta = (g * out).sum(axis=-1).transpose(0, 2, 1)[..., None]
    ds = p * (dp - delta) * scale
    dq_ = np.einsum("bhts,bshd->bthd", ds, np.repeat(k.astype(np.float64), group, axis=2))
    dk_ = np.einsum("bhts,bthd->bshd", ds, q.astype(np.float64)).reshape(B, S, KH, group, D).sum(axis=3)
    dv_ = np.einsum("bhts,bthd->bshd", p, g).reshape(B, S, KH, group, D).sum(axis=3)
    return _give(_like(dq_, q), dq), _give(_like(dk_, k), dk), _give(_like(dv_, v), dv)


# ---- SwiGLU ---------------------------------------------------------------------------------------------------------


def _sigmoid(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def swiglu(gu, out=None):
    """gu (..., 2F) = [gate | up] -> silu(gate) * up with silu(x) = x * sigmoid(x). Shazeer 2020."""
    gate, up = np.split(gu.astype(np.float64), 2, axis=-1)
    return _give(_like(gate * _sigmoid(gate) * up, gu), out)


def swiglu_backward(dout, gu, out=None):
    """dgate = dout * up * silu'(gate) with silu'(x) = s + x s (1 - s), s = sigmoid(x); dup = dout * silu(gate)."""
    gate, up = np.split(gu.astype(np.float64), 2, axis=-1)
    s = _sigmoid(gate)
    dgate = dout * up * (s + gate * s * (1 - s))
    return _give(_like(np.concatenate([dgate, dout * gate * s], axis=-1), gu), out)


# ---- activations ----------------------------------------------------------------------------------------------------

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _activation(kind, x):
    """Value and slope in float64."""
    if kind == "relu":
        return np.maximum(x, 0), (x > 0).astype(np.float64)
    if kind == "tanh":
        return np.tanh(x), 1 - np.tanh(x) ** 2
    if kind == "relu2":
        return np.maximum(x, 0) ** 2, 2 * np.maximum(x, 0)
    if kind == "quick_gelu":
        s = _sigmoid(1.702 * x)
        return x * s, s + 1.702 * x * s * (1 - s)
    s = _sigmoid(x)
    if kind == "sigmoid":
        return s, s * (1 - s)
    if kind == "silu":
        return x * s, s + x * s * (1 - s)
    if kind == "gelu_tanh":
        half = (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
        du = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
        return x * half, half + x * 2 * half * (1 - half) * du
    phi = (1 + _erf(x / np.sqrt(2))) / 2
    return x * phi, phi + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def activation(kind, x, out=None):
    """relu, tanh, sigmoid, silu = x sigmoid(x), gelu_erf = x Phi(x), gelu_tanh: Hendrycks & Gimpel 2016.

    relu2: the square of relu (So et al. 2021); quick_gelu = x sigmoid(1.702 x).
    """
    return _give(_like(_activation(kind, x.astype(np.float64))[0], x), out)


def activation_backward(kind, dout, x, out=None):
    """dout times the slope at x. The slope of relu at 0 is 0."""
    return _give(_like(dout * _activation(kind, x.astype(np.float64))[1], x), out)


def geglu(gu, out=None, kind="gelu_tanh"):
    """gu (..., 2F) = [gate | up] -> gelu(gate) * up. Shazeer 2020."""
    gate, up = np.split(gu.astype(np.float64), 2, axis=-1)
    return _give(_like(_activation(kind, gate)[0] * up, gu), out)


def geglu_backward(dout, gu, out=None, kind="gelu_tanh"):
    """dgate = dout * up * gelu'(gate); dup = dout * gelu(gate)."""
    gate, up = np.split(gu.astype(np.float64), 2, axis=-1)
    value, slope = _activation(kind, gate)
    return _give(_like(np.concatenate([dout * up * slope, dout * value], axis=-1), gu), out)


# ---- loss -----------------------------------------------------------------------------------------------------------


def softmax_cross_entropy(logits, targets, dlogits=None, scale=1.0):
    """losses(rows) = -log softmax(logits)[target]; dlogits = (softmax - onehot) * scale. Targets < 0 are ignored: 0."""
    x = logits.astype(np.float64)
    x = x - x.max(axis=-1, keepdims=True)
    log_p = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
    rows, used = np.arange(len(targets)), targets >= 0
    losses = np.where(used, -log_p[rows, np.where(used, targets, 0)], 0.0)
    if dlogits is not None:
        gradient = np.exp(log_p)
        gradient[rows[used], targets[used]] -= 1
        dlogits[...] = gradient * scale * used[:, None]
    return _like(losses, logits)


# ---- optimiser and vector helpers -----------------------------------------------------------------------------------


def adamw(p, g, m, v, lr, beta1, beta2, eps, weight_decay, step, grad_scale=1.0):
    """One step in place on p, m, v. Decay is decoupled from the gradient. Loshchilov & Hutter 2019, algorithm 2."""
    gradient = g.astype(np.float64) * grad_scale
    m[...] = beta1 * m.astype(np.float64) + (1 - beta1) * gradient
    v[...] = beta2 * v.astype(np.float64) + (1 - beta2) * gradient**2
    m_hat = m.astype(np.float64) / (1 - beta1**step)
    v_hat = v.astype(np.float64) / (1 - beta2**step)
    p[...] = p - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p.astype(np.float64))


def sum_squares(x):
    """Sum of squares in double precision."""
    return float((x.astype(np.float64) ** 2).sum())


def add(a, b, out=None):
    """a + b, element by element."""
    return _give(a + b, out)


def mul(a, b, out=None):
    """a * b, element by element."""
    return _give(a * b, out)


def axpy(y, x, alpha):
    """y += alpha * x."""
    y += np.asarray(alpha, y.dtype) * x
    return y


def bias_backward(dout, dbias):
    """dbias(N) += column sums of dout (..., N)."""
    dbias += dout.astype(np.float64).reshape(-1, dout.shape[-1]).sum(axis=0)
    return dbias
