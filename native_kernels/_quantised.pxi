# Stored weights of every type: re-ordering, exact dequantisation, products. Included by _native.pyx.

from native_kernels.qtypes import QTYPES as _QTYPES


cdef int _stored(object qtype, object blocks, str name, int64_t n, int64_t k, Arr *r) except -1:
    """Number of the type; `blocks` must be the bytes of n rows of k values, in any shape."""
    kind = _QTYPES.get(qtype)
    if kind is None:
        raise ValueError(f"type {qtype!r} is unknown; known are {', '.join(_QTYPES)}")
    if n < 0 or k <= 0 or k % kind.values:
        raise ValueError(f"{name}: {n} rows of {k} values cannot be {qtype}, whose rows are whole blocks of {kind.values}")
    _dense(blocks, name, U8, False, r)
    if r.n != n * kind.row_bytes(k):
        raise ValueError(f"{name}: {r.n} bytes; {n} rows of {k} values as {qtype} take {n * kind.row_bytes(k)}")
    return kind.number


def quant_pack(qtype, blocks, int64_t n, int64_t k, out=None):
    """uint8 blocks of n rows of k values as GGUF stores them -> as many bytes, 1-D, in the order that gemm_quant reads.

    qtype: a name of native_kernels.qtypes.QTYPES. out: where they go. The order is the same on every instruction set.
    """
    cdef Arr B, O
    cdef int number = _stored(qtype, blocks, "blocks", n, k, &B)
    if out is None:
        out = _empty((B.n,), _u8)
    _dense(out, "out", U8, True, &O)
    _shape1(&O, "out", B.n)
    if O.p < B.p + B.n and B.p < O.p + O.n:
        raise ValueError("out overlaps blocks")
    if B.n:
        with nogil:
            K.quant_pack(number, <const uint8_t *>B.p, <uint8_t *>O.p, n, k)
    return out


def quant_unpack(qtype, packed, int64_t n, int64_t k):
    """The inverse of quant_pack."""
    cdef Arr B, O
    cdef int number = _stored(qtype, packed, "packed", n, k, &B)
    out = _empty((B.n,), _u8)
    _dense(out, "out", U8, True, &O)
    if B.n:
        with nogil:
            K.quant_unpack(number, <const uint8_t *>B.p, <uint8_t *>O.p, n, k)
    return out


def dequantize(qtype, blocks, int64_t n, int64_t k):
    """uint8 blocks of n rows of k values in GGUF order -> float32 (n, k), the bits of ggml's dequantisation."""
    cdef Arr B, O
    cdef int number = _stored(qtype, blocks, "blocks", n, k, &B)
    out = _empty((n, k), _f32)
    _dense(out, "out", F32, True, &O)
    if O.n:
        with nogil:
            K.dequantize(number, <const uint8_t *>B.p, <float *>O.p, n, k)
    return out


def packed_rows(qtype, packed, int64_t n, int64_t k, ids):
    """Rows ids (int32, any shape) of packed W(n, k) -> float32 (*ids.shape, k), exact."""
    cdef Arr B, I, O
    cdef int number = _stored(qtype, packed, "packed", n, k, &B)
    _dense(ids, "ids", I32, False, &I)
    _in_range(&I, "ids", 0, n)
    out = _empty((*ids.shape, k), _f32)
    _dense(out, "out", F32, True, &O)
    if O.n:
        with nogil:
            K.packed_rows(number, <const uint8_t *>B.p, n, k, <const int32_t *>I.p, I.n, <float *>O.p)
        _finished()
    return out


def gemm_quant(qtype, x, packed, int64_t n, bias=None, residual=None, out=None):
    """out(M, n) = x(M, K) W^T [+ bias(n)] [+ residual(M, n)], float32; packed holds W(n, K) from quant_pack.

    Quantised types: x is rounded to int8 with a float scale per row and 128 values (64 or 32 where K is no multiple);
    the sums of int8 products are exact. F32 computes as gemm, F16 the same of its exact values, BF16 as gemm_bf16 with x
    rounded. A row of the result does not depend on the other rows. Rows of x, out, residual may be apart.
    """
    cdef Arr X, P, C, R, BI
    cdef int64_t M, KK, ldr = 0
    cdef const float *pr = NULL
    cdef const float *pb = NULL
    cdef int number
    _rows(x, "x", False, &X)
    M, KK = X.shape[0], X.shape[1]
    number = _stored(qtype, packed, "packed", n, KK, &P)
    if out is None:
        out = _empty((M, n), _f32)
    _rows(out, "out", True, &C)
    _shape2(&C, "out", M, n)
    _apart(&C, "out", &X, "x", C.stride[0], X.stride[0], n, KK, False)
    if bias is not None:
        _dense(bias, "bias", F32, False, &BI)
        _shape1(&BI, "bias", n)
        _distinct(&C, "out", &BI, "bias")
        pb = <const float *>BI.p
    if residual is not None:
        _rows(residual, "residual", False, &R)
        _shape2(&R, "residual", M, n)
        _apart(&C, "out", &R, "residual", C.stride[0], R.stride[0], n, n, True)
        pr = <const float *>R.p
        ldr = R.stride[0]
    if C.n:
        with nogil:
            K.gemm_quant(number, M, n, KK, <const float *>X.p, X.stride[0], <const uint8_t *>P.p, <float *>C.p,
                         C.stride[0], pb, pr, ldr)
        _finished()
    return out
