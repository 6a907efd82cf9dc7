"""The numpy twin of packing weights and of products with packed weights, and blocks to try them on.

Activations are rounded as the kernels round them; everything after that is float64: what remains between the two is the
rounding of float32 sums. quant_pack describes the order in which the kernels keep weights. Knows no threads.
"""

import numpy as np

from native_kernels import reference_quant as quant
from native_kernels.qtypes import QTYPES
from native_kernels.reference import _give, bf16_round, gemm
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


def product(qtype, x, blocks, n, bias=None, residual=None):
    """x (M, K) times W(n, K) transposed [+ bias] [+ residual], float32; W as blocks in GGUF order; sums in float64.

    Quantised types round x as round_rows does, BF16 rounds it to bfloat16, F32 and F16 take it as it is.
    """
    w = dequantize(qtype, blocks, n, x.shape[1]).astype(np.float64)
    if QTYPES[qtype].values > 1:
        x = round_rows(x)
    elif qtype == "BF16":
        x = bf16_round(x)
    return gemm(x.astype(np.float64), w, None, False, True, bias, residual).astype(np.float32)


def gemm_quant(qtype, x, packed, n, bias=None, residual=None, out=None):
    """out(M, n) = x(M, K) W^T [+ bias(n)] [+ residual(M, n)], float32; packed holds W(n, K) from quant_pack."""
    return _give(product(qtype, x, quant_unpack(qtype, packed, n, x.shape[1]), n, bias, residual), out)


def packed_rows(qtype, packed, n, k, ids):
    """Rows ids of packed W(n, k) -> float32 (*ids.shape, k)."""
    return dequantize(qtype, quant_unpack(qtype, packed, n, k), n, k)[ids]


# ---- the packed order ------------------------------------------------------------------------------------------------
# Bits of a code in the "low" and in the "high" plane.
_PLANES = {"Q8_0": (8, 0), "Q5_0": (4, 1), "Q5_1": (4, 1), "Q5_K": (4, 1), "Q6_K": (4, 2), "Q2_K": (2, 0)}
_PLANES["Q3_K"] = (2, 1)  # all others: (4, 0)


def _codes(qtype, raw):
    """(blocks, size) bytes -> (blocks, values) codes as they are stored: no offset, no table."""
    whole = {
        "Q8_0": lambda: raw[:, 2:],
        "Q4_1": lambda: quant._nibbles(raw[:, 4:]),
        "Q5_0": lambda: quant._nibbles(raw[:, 6:]) | quant._bits(raw[:, 2:6]) << 4,
        "Q5_1": lambda: quant._nibbles(raw[:, 8:]) | quant._bits(raw[:, 4:8]) << 4,
        "MXFP4": lambda: quant._nibbles(raw[:, 1:]),
        "IQ4_XS": lambda: quant._nibbles(raw[:, 8:].reshape(-1, 8, 16)).reshape(-1, 256),
        "Q4_K": lambda: quant._k_nibbles(raw[:, 16:]),
        "Q5_K": lambda: quant._k_nibbles(raw[:, 48:]) | _bits_of(raw[:, 16:48]) << 4,
        "Q6_K": lambda: (
            quant._nibbles(raw[:, :128].reshape(-1, 2, 64)).reshape(-1, 256) | quant._pairs(raw[:, 128:192]) << 4
        ),
        "Q2_K": lambda: quant._pairs(raw[:, 16:80]),
        "Q3_K": lambda: quant._pairs(raw[:, 32:96]) | _bits_of(raw[:, :32]) << 2,
    }
    return whole.get(qtype, lambda: quant._nibbles(raw[:, 2:]))()  # Q4_0, IQ4_NL


def _bits_of(raw):
    """(blocks, 32) -> (blocks, 256): bit b of byte i belongs to value 32 b + i."""
    return (raw[:, None, :] >> np.arange(8, dtype=np.uint8)[:, None] & 1).reshape(-1, 256)


def _six(numbers):
    """(..., J, 16) six-bit numbers of 16 rows -> bytes: low four bits of two, then high two bits of four."""
    low, high = numbers & 15, numbers >> 4
    four = low[..., 0::2, :] | low[..., 1::2, :] << 4
    two = high[..., 0::4, :] | high[..., 1::4, :] << 2 | high[..., 2::4, :] << 4 | high[..., 3::4, :] << 6
    return np.concatenate([four, two], axis=-2)


def _scales(qtype, raw):
    """(groups, 16, blocks, size) -> (groups, blocks, bytes of 16 rows): what a block holds beside its codes."""
    columns = raw.transpose(0, 2, 3, 1)  # rows last
    halves = {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,), "MXFP4": ()}.get(qtype, SCALES_AT.get(qtype, (0,)))
    parts = [columns[:, :, at : at + 2].transpose(0, 1, 3, 2).reshape(*columns.shape[:2], 32) for at in halves]
    flat = raw.transpose(0, 2, 1, 3).reshape(-1, raw.shape[-1])  # every block of every row

    def rows_last(numbers):  # (all blocks, J) -> (groups, blocks, J, 16)
        return numbers.reshape(raw.shape[0], raw.shape[2], 16, -1).transpose(0, 1, 3, 2).astype(np.uint8)

    rest = None
    if qtype == "MXFP4":
        rest = columns[:, :, :1]
    elif qtype in ("Q4_K", "Q5_K"):
        rest = _six(rows_last(np.stack(quant.k_scales(flat[:, 4:16]), axis=-1).reshape(-1, 16)))
    elif qtype == "Q2_K":
        rest = columns[:, :, :16]
    elif qtype == "Q3_K":
        rest = _six(rows_last((quant._q3_k_scales(flat[:, 96:108]) + 32).astype(np.uint8)))
    elif qtype == "Q6_K":
        rest = columns[:, :, 192:208]
    elif qtype == "IQ4_XS":
        high = np.ascontiguousarray(flat[:, 2:4]).view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16) & 3
        low = np.stack([flat[:, 4:8] & 15, flat[:, 4:8] >> 4], axis=-1).reshape(-1, 8)
        rest = _six(rows_last(low | (high << 4).astype(np.uint8)))
    if rest is not None:
        parts.append(rest.reshape(*columns.shape[:2], -1))
    return np.concatenate(parts, axis=-1)


def quant_pack(qtype, blocks, n, k, out=None):
    """uint8 blocks of n rows of k values in GGUF order -> as many bytes, 1-D, in the order of quant_layout.h.

    Groups of 16 rows hold three planes: low bits of the codes, high bits, scales. A unit of 32 values is eight lines of
    [16 rows][4 values]; lines share bytes: 4-bit codes i and i + 4, 2-bit codes four neighbours, single bits all eight.
    """
    kind, raw = QTYPES[qtype], np.ascontiguousarray(blocks, np.uint8).reshape(-1)
    width, full = kind.row_bytes(k), n // 16 * 16
    if kind.values == 1 or full == 0:
        return _give(raw.copy(), out)
    groups = raw[: full * width].reshape(full // 16, 16, -1, kind.size)
    codes = _codes(qtype, groups.reshape(-1, kind.size)).reshape(full // 16, 16, k // 32, 8, 4)
    lines = codes.transpose(0, 2, 3, 1, 4).reshape(full // 16, k // 32, 8, 64)  # group, unit, line, row and value
    low_bits, high_bits = _PLANES.get(qtype, (4, 0))

    def plane(parts, bits):
        if bits == 8:
            return parts
        share = 8 // bits  # lines that share a byte: neighbours, or four apart
        if bits == 4:
            parts = parts.reshape(*parts.shape[:2], 2, 4, 64).swapaxes(2, 3)
        folded = parts.reshape(*parts.shape[:2], -1, share, 64)
        shifts = (np.arange(share, dtype=np.uint8) * bits)[:, None]
        return np.bitwise_or.reduce(folded << shifts, axis=-2)

    planes = [plane(lines & (2**low_bits - 1), low_bits)]
    if high_bits:
        planes.append(plane(lines >> low_bits, high_bits))
    planes.append(_scales(qtype, groups))
    packed = np.concatenate([p.reshape(full // 16, -1) for p in planes], axis=1)
    return _give(np.concatenate([packed.reshape(-1), raw[full * width :]]), out)


def quant_unpack(qtype, packed, n, k):
    """The inverse of quant_pack. Packing only moves bits: where each bit of a group goes shows when a group whose bits
    are numbered is packed, one binary digit of the numbers at a time."""
    kind, raw = QTYPES[qtype], np.ascontiguousarray(packed, np.uint8).reshape(-1)
    full = n // 16 * 16
    if kind.values == 1 or full == 0:
        return raw.copy()
    size = 16 * kind.row_bytes(k)
    number = np.arange(size * 8)
    origin = np.zeros_like(number)
    for digit in range(int(number[-1]).bit_length()):
        numbered = np.packbits((number >> digit & 1).astype(np.uint8), bitorder="little")
        origin |= np.unpackbits(quant_pack(qtype, numbered, 16, k), bitorder="little").astype(np.int64) << digit
    bits = np.unpackbits(raw[: full // 16 * size].reshape(-1, size), axis=1, bitorder="little")
    back = np.empty_like(bits)
    back[:, origin] = bits
    return np.concatenate([np.packbits(back, axis=1, bitorder="little").reshape(-1), raw[full // 16 * size :]])


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
