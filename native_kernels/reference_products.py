"""The numpy twin of products with stored weights, and blocks to try them on.

Activations are rounded as the kernels round them; everything after that is float64: what remains between the two is the
rounding of float32 sums. Knows no packed layouts.
"""

import numpy as np

from native_kernels.qtypes import QTYPES
from native_kernels.reference import bf16_round
from native_kernels.reference_quant import dequantize


def round_rows(x):
    """x float32 (M, K) -> float64 of the same shape: what the quantised products make of their activations.

    128 consecutive values of a row (64 or 32 where K is no multiple of more) become int8 with one float32 scale,
    max|x| / 127, to nearest even.
    """
    m, k = x.shape
    span = 128 if k % 128 == 0 else 64 if k % 64 == 0 else 32
    parts = x.reshape(m, k // span, span).astype(np.float32)
    scale = np.abs(parts).max(axis=-1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale > 2.0**-126)
    return (np.rint(parts * inverse).astype(np.float64) * scale).reshape(m, k)


def gemm_quant(qtype, x, blocks, n, bias=None, residual=None):
    """x (M, K) times W(n, K) transposed [+ bias] [+ residual], float32; sums in float64.

    `blocks` hold W in GGUF order (the kernel takes them packed). Quantised types round x as round_rows does, BF16
    rounds it to bfloat16, F32 and F16 take it as it is.
    """
    w = dequantize(qtype, blocks, n, x.shape[1]).astype(np.float64)
    if QTYPES[qtype].values > 1:
        x = round_rows(x)
    elif qtype == "BF16":
        x = bf16_round(x)
    c = x.astype(np.float64) @ w.T
    c = c if bias is None else c + bias
    return (c if residual is None else c + residual).astype(np.float32)


# Bytes of a block that hold float16 scales; (0,) where a type is not named.
SCALES_AT = {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,), "MXFP4": (), "F32": (), "F16": (), "BF16": ()}
SCALES_AT |= dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), (0, 2))


def random_blocks(rng, qtype, n, k):
    """Blocks of n rows of k values for checks: every code there is, scales near 0.02 of either sign, finite values."""
    kind = QTYPES[qtype]
    if kind.values == 1:
        x = rng.standard_normal((n, k)).astype(np.float32)
        raw = x if qtype == "F32" else x.astype(np.float16) if qtype == "F16" else (x.view(np.uint32) >> 16)
        return (raw.astype(np.uint16) if qtype == "BF16" else raw).view(np.uint8).reshape(-1)
    raw = rng.integers(0, 256, (n * (k // kind.values), kind.size), dtype=np.uint8)
    for at in SCALES_AT.get(qtype, (0,)):
        scale = rng.uniform(0.01, 0.03, len(raw)) * rng.choice([-1, 1], len(raw))
        raw[:, at : at + 2] = scale.astype("<f2").view(np.uint8).reshape(-1, 2)
    if qtype == "MXFP4":
        raw[:, 0] = rng.integers(118, 125, len(raw))
    return raw.reshape(-1)
