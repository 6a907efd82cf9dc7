"""The numpy twin of quantise.c: float32 weights -> blocks of a storage type, the same bytes.

Read this to learn how scales and values are chosen; the layouts are described in reference_quant.py. The order of the
float32 sums is part of the definition, so sums over the values of a block are loops. Knows no threads.
"""

import numpy as np

from native_kernels.qtypes import QTYPES

TRIES, BLOCK = 24, 32
_F = np.float32


def quantize(qtype, w):
    """float32 (N, K) -> uint8 (N, bytes of a row). ValueError for types without a quantiser and values not finite."""
    kind = QTYPES[qtype]
    if qtype not in _OF:
        raise ValueError(f"there is no quantiser that writes {qtype}")
    if not np.isfinite(w).all():
        raise ValueError("w holds a value that is not finite")
    n, k = w.shape
    size = kind.row_bytes(k)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        return _OF[qtype](w.astype(_F).reshape(-1, kind.values)).reshape(n, size)


def _nearest(x):
    """To an integer, halves to even, for |x| < 2^22."""
    return (x + _F(12582912)) - _F(12582912)


def _within(x, low, high):
    """Clamped; NaN becomes low."""
    return np.where(~(x > low), _F(low), np.where(x > high, _F(high), x))


def _inverse(scale):
    return np.where(scale != 0, _F(1) / scale, _F(0))


def _half(x):
    """(blocks,) float32 -> (blocks, 2) bytes of float16."""
    return x.astype("<f2").reshape(-1, 1).view(np.uint8)


def _halved(x):
    return x.astype(np.float16).astype(_F)


def _of_largest_magnitude(x):
    """(blocks, B) -> the signed value of largest magnitude (the first of equals)."""
    return np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)[:, 0]


def _pack_nibbles(values):
    half = values.shape[-1] // 2
    return (values[..., :half] & 15) | (values[..., half:] & 15) << 4


def _pack_bits(values):
    return np.packbits(values >> 4 & 1, axis=-1, bitorder="little")


# ---- blocks of 32 ---------------------------------------------------------------------------------------------------


def _q8_0(x):
    scale = np.abs(x).max(axis=1) / _F(127)
    values = x * _inverse(scale)[:, None]
    values = np.trunc(values + np.copysign(_F(0.5), values))  # halves away from zero
    return np.concatenate([_half(scale), _within(values, -127, 127).astype(np.int8).view(np.uint8)], axis=1)


def _symmetric(x, half):
    scale = _of_largest_magnitude(x) / _F(-half)
    return scale, _within(x * _inverse(scale)[:, None] + _F(half + 0.5), 0, 2 * half - 1).astype(np.uint8)


def _affine(x, top):
    low = x.min(axis=1)
    scale = (x.max(axis=1) - low) / _F(top)
    return scale, low, _within((x - low[:, None]) * _inverse(scale)[:, None] + _F(0.5), 0, top).astype(np.uint8)


def _q4_0(x):
    scale, values = _symmetric(x, 8)
    return np.concatenate([_half(scale), _pack_nibbles(values)], axis=1)


def _q5_0(x):
    scale, values = _symmetric(x, 16)
    return np.concatenate([_half(scale), _pack_bits(values), _pack_nibbles(values)], axis=1)


def _q4_1(x):
    scale, low, values = _affine(x, 15)
    return np.concatenate([_half(scale), _half(low), _pack_nibbles(values)], axis=1)


def _q5_1(x):
    scale, low, values = _affine(x, 31)
    return np.concatenate([_half(scale), _half(low), _pack_bits(values), _pack_nibbles(values)], axis=1)


# ---- blocks of 256: Q4_K, Q5_K --------------------------------------------------------------------------------------


def _weights(x):
    """Large values matter more, but no value is worth nothing. x (sub-blocks, 32)."""
    squares = np.zeros(len(x), _F)
    for i in range(BLOCK):
        squares += x[:, i] * x[:, i]
    return np.sqrt(squares / _F(BLOCK))[:, None] + np.abs(x)


def _search_affine(x, w, top):
    """Scale and offset of x ~ scale * q - offset with q in 0 .. top: weighted least squares, the best of TRIES."""
    low, high = np.minimum(x.min(axis=1), _F(0)), x.max(axis=1)
    tries = _F(-1) + _F(0.1) * np.arange(TRIES, dtype=_F)
    inverse = (_F(top) + tries) / (high - low)[:, None]
    sums = np.zeros((3, len(x), TRIES), _F)
    sum_w, sum_wx = np.zeros(len(x), _F), np.zeros(len(x), _F)
    for i in range(BLOCK):
        value, weight = x[:, i, None], w[:, i, None]
        q = _nearest(inverse * (value - low[:, None]))
        q = np.where(q > top, _F(top), q)
        wq = weight * q
        for total, term in zip(sums, (wq, wq * q, wq * value), strict=True):
            total += term
        sum_w, sum_wx = sum_w + w[:, i], sum_wx + w[:, i] * x[:, i]
    Q, QQ, QX = sums.astype(np.float64)
    W, X = sum_w.astype(np.float64)[:, None], sum_wx.astype(np.float64)[:, None]
    det = W * QQ - Q * Q
    s, m = (W * QX - X * Q) / det, (QQ * X - Q * QX) / det
    alone = ~(det > 0) | (m > 0)
    s, m = np.where(alone, np.where(QQ > 0, QX / QQ, 0), s), np.where(alone, 0, m)
    explained = 2 * (s * QX + m * X) - (s * s * QQ + 2 * s * m * Q + m * m * W)
    explained = np.where((explained > 0) & (s > 0), explained, 0)
    best = explained.argmax(axis=1)[:, None]
    found = (np.take_along_axis(explained, best, 1)[:, 0] > 0) & (high > low)
    scale = np.where(found, np.take_along_axis(s, best, 1)[:, 0].astype(_F), _F(0))
    return scale, np.where(found, np.take_along_axis(0 - m, best, 1)[:, 0].astype(_F), _F(0) - low)


def _best_of_nine(x, w, top, a, b):
    """Number of the pair (scale a, offset b), each (sub-blocks, 9), under which x has the smallest error."""
    inverse = np.where(a > 0, _F(1) / a, _F(0))
    error = np.zeros_like(a)
    for i in range(BLOCK):
        value = x[:, i, None]
        miss = (a * _nearest(_within((value + b) * inverse, 0, top)) - b) - value
        error += w[:, i, None] * (miss * miss)
    return error.argmin(axis=1)[:, None]


def _k_affine(x, top):
    """x (blocks, 256) -> first 16 bytes of the blocks, values (blocks, 256)."""
    blocks = len(x)
    x = x.reshape(-1, BLOCK)
    w = _weights(x)
    scale, offset = _search_affine(x, w, top)
    d = np.maximum(scale.reshape(blocks, 8).max(axis=1), _F(0)) / _F(63)
    dmin = np.maximum(offset.reshape(blocks, 8).max(axis=1), _F(0)) / _F(63)
    head = [_half(d), _half(dmin)]
    d, dmin = np.repeat(_halved(d), 8), np.repeat(_halved(dmin), 8)
    s = _nearest(_within(scale * _inverse(d), 0, 63))
    m = _nearest(_within(offset * _inverse(dmin), 0, 63))
    number = (np.arange(9) + 4) % 9  # the rounded pair first: it stays where nothing is better
    steps = _within(s[:, None] + (number // 3 - 1).astype(_F), 0, 63)
    minima = _within(m[:, None] + (number % 3 - 1).astype(_F), 0, 63)
    best = _best_of_nine(x, w, top, d[:, None] * steps, dmin[:, None] * minima)
    s, m = (np.take_along_axis(part, best, 1)[:, 0] for part in (steps, minima))
    a, b = d * s, dmin * m
    inverse = np.where(a > 0, _F(1) / a, _F(0))[:, None]
    values = _nearest(_within((x + b[:, None]) * inverse, 0, top)).astype(np.uint8)
    s, m = s.astype(np.uint8).reshape(blocks, 8), m.astype(np.uint8).reshape(blocks, 8)
    head += [s[:, :4] | s[:, 4:] >> 4 << 6, m[:, :4] | m[:, 4:] >> 4 << 6, (s[:, 4:] & 15) | (m[:, 4:] & 15) << 4]
    return np.concatenate(head, axis=1), values.reshape(blocks, 256)


def _pack_k_nibbles(values):
    return _pack_nibbles(values.reshape(-1, 4, 64)).reshape(-1, 128)


def _q4_k(x):
    head, values = _k_affine(x, 15)
    return np.concatenate([head, _pack_k_nibbles(values)], axis=1)


def _q5_k(x):
    head, values = _k_affine(x, 31)
    high = (values >> 4).reshape(-1, 8, 32) << np.arange(8, dtype=np.uint8)[:, None]
    return np.concatenate([head, np.bitwise_or.reduce(high, axis=1), _pack_k_nibbles(values)], axis=1)


# ---- blocks of 256: Q6_K --------------------------------------------------------------------------------------------


def _search_symmetric(x):
    """Scale of x (sub-blocks, 16) ~ scale * q with q in -32 .. 31: least squares weighted by x^2, the best of TRIES."""
    most = _of_largest_magnitude(x)
    inverse = -(_F(31) + _F(0.1) * np.arange(TRIES, dtype=_F)) / most[:, None]
    qq, qx = np.zeros((2, len(x), TRIES), _F)
    for i in range(16):
        value = x[:, i, None]
        q = _nearest(_within(inverse * value, -32, 31))
        wq = (value * value) * q
        qq += wq * q
        qx += wq * value
    QQ, QX = qq.astype(np.float64), qx.astype(np.float64)
    best, scale = np.zeros(len(x)), np.zeros(len(x), _F)
    for c in range(TRIES):  # as the kernel compares: without dividing by what may be zero
        better = (QQ[:, c] > 0) & (QX[:, c] * QX[:, c] > best * QQ[:, c])
        best = np.where(better, QX[:, c] * QX[:, c] / QQ[:, c], best)
        scale = np.where(better, (QX[:, c] / QQ[:, c]).astype(_F), scale)
    return np.where(most != 0, scale, _F(0))


def _q6_k(x):
    blocks = len(x)
    scale = _search_symmetric(x.reshape(-1, 16)).reshape(blocks, 16)
    half = _half(_of_largest_magnitude(scale) / _F(-128))
    d = np.repeat(half.view("<f2")[:, 0].astype(_F), 16)
    x = x.reshape(-1, 16)
    s = _nearest(_within(scale.reshape(-1) * _inverse(d), -128, 127))
    steps = _within(s[:, None] + np.array([0, -1, 1], _F), -128, 127)
    a = d[:, None] * steps
    inverse = _inverse(a)
    error = np.zeros_like(a)
    for i in range(16):
        value = x[:, i, None]
        miss = a * _nearest(_within(value * inverse, -32, 31)) - value
        error += (value * value) * (miss * miss)
    s = np.take_along_axis(steps, error.argmin(axis=1)[:, None], 1)[:, 0]
    values = _nearest(_within(x * _inverse(d * s)[:, None], -32, 31)) + _F(32)
    values = values.astype(np.uint8).reshape(blocks, 2, 128)
    low = _pack_nibbles(values).reshape(blocks, 128)
    pairs = (values >> 4).reshape(blocks, 2, 4, 32) << np.array([0, 2, 4, 6], np.uint8)[:, None]
    high = np.bitwise_or.reduce(pairs, axis=2).reshape(blocks, 64)
    return np.concatenate([low, high, s.astype(np.int8).view(np.uint8).reshape(blocks, 16), half], axis=1)


# ---- single values --------------------------------------------------------------------------------------------------


def _f32(x):
    return x.view(np.uint8)


def _f16(x):
    return x.astype("<f2").view(np.uint8)


def _bf16(x):
    bits = x.view(np.uint32)
    return ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype("<u2").view(np.uint8)


_OF = {
    "F32": _f32,
    "F16": _f16,
    "BF16": _bf16,
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}
