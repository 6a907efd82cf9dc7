"""The numpy twin of dequantisation: blocks of every storage type as GGUF lays them out -> float32, bit for bit.

Read this to learn the layouts (they are ggml's, https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h). A
block of B values is one little-endian record; scales are float16 (`d`, minima `m`), values small integers. The float32
operations and their order are part of the definition. Knows no threads and no packed layouts.
"""

import numpy as np

from native_kernels.qtypes import QTYPES

IQ4_VALUES = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
MXFP4_VALUES = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)  # E2M1, doubled


def dequantize(qtype, blocks, n, k):
    """uint8 blocks of n rows of k values -> float32 (n, k). qtype: a name of native_kernels.qtypes.QTYPES."""
    kind = QTYPES[qtype]
    raw = np.ascontiguousarray(blocks, np.uint8).reshape(n * (kind.row_bytes(k) // kind.size), kind.size)
    values = np.empty((len(raw), kind.values), np.float32)
    for start in range(0, len(raw), 4096):  # small pieces: the steps below make several copies
        part = raw[start : start + 4096]
        with np.errstate(invalid="ignore", over="ignore"):  # a scale may be NaN or infinite: that is legal input
            values[start : start + 4096] = _OF[qtype](part)
    return values.reshape(n, k)


def _half(raw, at):
    """The float16 at byte `at` of every block, as a float32 column."""
    return np.ascontiguousarray(raw[:, at : at + 2]).view("<f2").astype(np.float32)


def _nibbles(quants):
    """(blocks, B) -> (blocks, 2 B): all low halves of the bytes, then all high halves."""
    return np.concatenate([quants & 15, quants >> 4], axis=-1)


def _bits(raw):
    """(blocks, B) -> (blocks, 8 B): the bits of every byte, lowest first."""
    return np.unpackbits(np.ascontiguousarray(raw), axis=-1, bitorder="little")


def _f32(raw):
    return np.ascontiguousarray(raw).view("<f4")


def _f16(raw):
    return np.ascontiguousarray(raw).view("<f2").astype(np.float32)


def _bf16(raw):
    return (np.ascontiguousarray(raw).view("<u2").astype(np.uint32) << 16).view(np.float32)


def _q8_0(raw):
    return raw[:, 2:].view(np.int8) * _half(raw, 0)


def _q4_0(raw):
    return (_nibbles(raw[:, 2:]).astype(np.float32) - 8) * _half(raw, 0)


def _q4_1(raw):
    return _nibbles(raw[:, 4:]) * _half(raw, 0) + _half(raw, 2)


def _q5_0(raw):
    return ((_nibbles(raw[:, 6:]) | _bits(raw[:, 2:6]) << 4).astype(np.float32) - 16) * _half(raw, 0)


def _q5_1(raw):
    return (_nibbles(raw[:, 8:]) | _bits(raw[:, 4:8]) << 4) * _half(raw, 0) + _half(raw, 2)


def _pairs(quants):
    """(blocks, 64) bytes of four 2-bit numbers -> (blocks, 256): per 32 bytes first all lowest pairs, then the next."""
    halves = quants.reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    return halves.reshape(-1, 256)


def _q2_k(raw):
    scales = raw[:, :16]
    d, dmin = _half(raw, 80), _half(raw, 82)
    factor, minimum = d * (scales & 15), dmin * (scales >> 4)  # one pair per 16 values
    values = factor[..., None] * _pairs(raw[:, 16:80]).reshape(-1, 16, 16) - minimum[..., None]
    return values.reshape(-1, 256)


def _q3_k_scales(packed):
    """(blocks, 12) bytes -> (blocks, 16) int8 -32 .. 31: four low bits in bytes 0-7, two high bits in bytes 8-11."""
    low = np.concatenate([packed[:, :8] & 15, packed[:, :8] >> 4], axis=-1)
    high = (packed[:, None, 8:] >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3).reshape(-1, 16)
    return (low | high << 4).astype(np.int8) - np.int8(32)


def _q3_k(raw):
    # hmask: bit b of byte i belongs to value 32 b + i; a bit that is *not* set subtracts 4
    high = (raw[:, None, :32] >> np.arange(8, dtype=np.uint8)[:, None] & 1).reshape(-1, 256)
    values = _pairs(raw[:, 32:96]).astype(np.int8) - np.where(high, 0, 4).astype(np.int8)
    factor = _half(raw, 108) * _q3_k_scales(raw[:, 96:108])
    return (factor[..., None] * values.reshape(-1, 16, 16)).reshape(-1, 256)


def k_scales(packed):
    """(blocks, 12) bytes -> two (blocks, 8) uint8: six-bit scales and minima of Q4_K and Q5_K.

    Bytes 0-3 hold scales 0-3, bytes 4-7 minima 0-3 (their upper two bits: those of 4-7), bytes 8-11 the lower four bits
    of scale 4-7 and of minimum 4-7.
    """
    a, b, c = packed[:, :4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([a & 63, c & 15 | a >> 6 << 4], axis=-1)
    minima = np.concatenate([b & 63, c >> 4 | b >> 6 << 4], axis=-1)
    return scales, minima


def _k_affine(raw, values):
    """values (blocks, 256) of Q4_K or Q5_K with the scales in front of their blocks -> float32."""
    scales, minima = k_scales(raw[:, 4:16])
    factor, minimum = _half(raw, 0) * scales, _half(raw, 2) * minima  # one pair per 32 values
    return (factor[..., None] * values.reshape(-1, 8, 32) - minimum[..., None]).reshape(-1, 256)


def _k_nibbles(quants):
    """(blocks, 128) -> (blocks, 256): per 32 bytes 32 low halves, then 32 high halves."""
    return _nibbles(quants.reshape(-1, 4, 32)).reshape(-1, 256)


def _q4_k(raw):
    return _k_affine(raw, _k_nibbles(raw[:, 16:]))


def _q5_k(raw):
    # qh: bit b of byte i belongs to value 32 b + i
    high = (raw[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None] & 1).reshape(-1, 256)
    return _k_affine(raw, _k_nibbles(raw[:, 48:]) | high << 4)


def _q6_k(raw):
    low = _nibbles(raw[:, :128].reshape(-1, 2, 64)).reshape(-1, 256)  # per 64 bytes 64 low halves, 64 high halves
    values = (low | _pairs(raw[:, 128:192]) << 4).astype(np.int8) - np.int8(32)
    factor = _half(raw, 208) * raw[:, 192:208].view(np.int8)
    return (factor[..., None] * values.reshape(-1, 16, 16)).reshape(-1, 256)


def _iq4_nl(raw):
    return _half(raw, 0) * IQ4_VALUES[_nibbles(raw[:, 2:])]


def _iq4_xs(raw):
    high = np.ascontiguousarray(raw[:, 2:4]).view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16) & 3
    low = np.stack([raw[:, 4:8] & 15, raw[:, 4:8] >> 4], axis=-1).reshape(-1, 8)
    scales = (low | (high << 4).astype(np.uint8)).astype(np.int8) - np.int8(32)
    values = IQ4_VALUES[_nibbles(raw[:, 8:].reshape(-1, 8, 16))]
    return ((_half(raw, 0) * scales)[..., None] * values).reshape(-1, 256)


def _mxfp4(raw):
    exponent = raw[:, :1].astype(np.uint32)  # E8M0; halved, because MXFP4_VALUES are doubled
    bits = np.where(exponent < 2, np.uint32(0x00200000) << exponent, (np.maximum(exponent, 1) - 1) << 23)
    return MXFP4_VALUES[_nibbles(raw[:, 1:])] * bits.astype(np.uint32).view(np.float32)


_OF = {
    "F32": _f32,
    "F16": _f16,
    "BF16": _bf16,
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "IQ4_NL": _iq4_nl,
    "IQ4_XS": _iq4_xs,
    "MXFP4": _mxfp4,
}
