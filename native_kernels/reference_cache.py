"""The numpy twins of the caches' kernels: storing and turning keys and values, attention over several sequences.

Knows no threads, no tiles and no models. A cache of one layer is a flat uint8 array of rows of D values, head-major
(kv_heads, capacity, D), each row stored as `kv_type` "f32", "f16" or "q8_0" says.
"""

import numpy as np

ROW_BYTES = {"f32": lambda d: 4 * d, "f16": lambda d: 2 * d, "q8_0": lambda d: d // 32 * 34}


def kv_bytes(kv_type, kv_heads, capacity, D):
    """Bytes of the keys, or of the values, of one layer."""
    return kv_heads * capacity * ROW_BYTES[kv_type](D)


def encode_rows(kv_type, rows):
    """float32 (..., D) -> uint8 (..., row bytes). Q8_0: scale max|x| / 127 as f16, int8 rounded to nearest even."""
    rows = np.ascontiguousarray(rows, np.float32)
    if kv_type != "q8_0":
        return rows.astype("<f4" if kv_type == "f32" else "<f2").view(np.uint8)
    blocks = rows.reshape(*rows.shape[:-1], -1, 32)
    scale = np.abs(blocks).max(axis=-1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale > 0)
    values = np.clip(np.rint(blocks * inverse), -127, 127).astype(np.int8)
    raw = np.concatenate([scale.astype("<f2").view(np.uint8), values.view(np.uint8)], axis=-1)
    return raw.reshape(*rows.shape[:-1], -1)


def decode_rows(kv_type, raw):
    """The inverse of encode_rows: uint8 (..., row bytes) -> float32 (..., D)."""
    raw = np.ascontiguousarray(raw)
    if kv_type != "q8_0":
        return raw.view("<f4" if kv_type == "f32" else "<f2").astype(np.float32)
    blocks = raw.reshape(*raw.shape[:-1], -1, 34)
    scale = np.ascontiguousarray(blocks[..., :2]).view("<f2").astype(np.float32)
    values = np.ascontiguousarray(blocks[..., 2:]).view(np.int8).astype(np.float32)
    return (scale * values).reshape(*raw.shape[:-1], -1)


def kv_store(kv_type, rows, data, start):
    """Rows (R, kv_heads, D) become positions start .. start + R - 1 of `data`, which is written in place."""
    count, heads, D = rows.shape
    cache = data.reshape(heads, -1, ROW_BYTES[kv_type](D))
    cache[:, start : start + count] = encode_rows(kv_type, rows).transpose(1, 0, 2)


def kv_rotate(kv_type, keys, kv_heads, D, begin, end, cos, sin, interleaved=False):
    """Turn pair p of the stored keys at [begin, end) by the angle of cos[p], sin[p]: (p, p + n) or (2p, 2p + 1)."""
    cache = keys.reshape(kv_heads, -1, ROW_BYTES[kv_type](D))
    x = decode_rows(kv_type, cache[:, begin:end])
    n = len(cos)
    first, second = (
        (np.s_[..., 0 : 2 * n : 2], np.s_[..., 1 : 2 * n : 2])
        if interleaved
        else (
            np.s_[..., :n],
            np.s_[..., n : 2 * n],
        )
    )
    a, b = x[first].copy(), x[second].copy()
    x[first] = a * cos - b * sin
    x[second] = b * cos + a * sin
    cache[:, begin:end] = encode_rows(kv_type, x)


def visible(position, length, window, causal):
    """bool (length,): the keys that the row at `position` sees; `window` 0 is none."""
    away = position - np.arange(length)
    seen = away >= 0 if causal else np.ones(length, bool)
    return seen & (np.abs(away) < window) if window else seen


def attention_cached(q, sequences, kv_heads, kv_type, scale, softcap=0.0, window=0, causal=True, out=None):
    """softmax(cap(q k^T * scale)) v over the visible keys of each row's sequence, in float64; q and out (R, H, D).

    sequences: (row, rows, start, keys, values): the rows row .. row + rows - 1 of q stand at positions start, ...
    cap(s) = softcap * tanh(s / softcap), unless softcap is 0 (Gemma 2).
    """
    result = np.zeros_like(q) if out is None else out
    heads, D = q.shape[1:]
    for row, rows, start, keys, values in sequences:
        length = start + rows
        k, v = (
            decode_rows(kv_type, x.reshape(kv_heads, -1, ROW_BYTES[kv_type](D))[:, :length]).astype(np.float64)
            for x in (keys, values)
        )
        for r in range(rows):
            seen = visible(start + r, length, window, causal)
            grouped = q[row + r].astype(np.float64).reshape(kv_heads, heads // kv_heads, 1, D)
            scores = (grouped * k[:, None, seen]).sum(axis=-1) * scale  # (kv_heads, group, keys)
            if softcap:
                scores = softcap * np.tanh(scores / softcap)
            p = np.exp(scores - scores.max(axis=-1, keepdims=True))
            p /= p.sum(axis=-1, keepdims=True)
            result[row + r] = (p[..., None] * v[:, None, seen]).sum(axis=2).reshape(heads, D)
    return result
