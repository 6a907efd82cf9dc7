# cython: language_level=3, boundscheck=False, cdivision=True, initializedcheck=False
"""Bindings of the kernel table: checks dtype, shape, strides and overlap, releases the GIL, calls the kernel.

No arithmetic lives here, and no models: reference.py says in numpy what every function computes. All arrays are numpy
arrays in native byte order; float32 and C-contiguous unless the docstring says otherwise. Wrong types raise TypeError,
wrong shapes, strides, overlaps and out-of-range indices raise ValueError, both naming the argument.
"""
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stddef cimport size_t

import numpy as _np

cdef object _ndarray = _np.ndarray
cdef object _empty = _np.empty
cdef object _f32 = _np.float32
cdef object _u8 = _np.uint8

cdef extern from "pool.h" nogil:
    int nk_get_threads()
    void nk_set_threads(int n)

cdef extern from "kernels.h" nogil:
    int NK_RELU, NK_TANH, NK_SIGMOID, NK_SILU, NK_GELU_TANH, NK_GELU_ERF

    ctypedef struct kernel_table:
        const char *name
        void (*gemm_f32)(int, int, int64_t, int64_t, int64_t, const float *, int64_t, const float *, int64_t, float *,
                         int64_t, int, const float *, const float *, int64_t) noexcept nogil
        void (*q8_0_pack)(const uint8_t *, uint8_t *, int64_t, int64_t) noexcept nogil
        void (*q8_0_quantize)(const float *, uint8_t *, int64_t, int64_t) noexcept nogil
        void (*q8_0_dequantize)(const uint8_t *, float *, int64_t, int64_t) noexcept nogil
        void (*gemm_q8_0)(int64_t, int64_t, int64_t, const float *, int64_t, const uint8_t *, float *, int64_t,
                          const float *, int64_t) noexcept nogil
        void (*embedding)(float *, const float *, const int32_t *, int64_t, int64_t) noexcept nogil
        void (*embedding_backward)(float *, const float *, const int32_t *, int64_t, int64_t) noexcept nogil
        void (*rmsnorm)(float *, float *, const float *, const float *, int64_t, int64_t, float) noexcept nogil
        void (*rmsnorm_backward)(float *, float *, const float *, const float *, const float *, const float *, int64_t,
                                 int64_t) noexcept nogil
        void (*layernorm)(float *, float *, float *, const float *, const float *, const float *, int64_t, int64_t,
                          float) noexcept nogil
        void (*layernorm_backward)(float *, float *, float *, const float *, const float *, const float *,
                                   const float *, const float *, int64_t, int64_t) noexcept nogil
        void (*rope)(float *, int64_t, const float *, const float *, const int32_t *, int64_t, int64_t, int64_t,
                     int) noexcept nogil
        void (*attention)(float *, float *, const float *, const float *, const float *, int64_t, int64_t, int64_t,
                          int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, float,
                          int) noexcept nogil
        void (*attention_backward)(float *, float *, float *, const float *, const float *, const float *,
                                   const float *, const float *, const float *, int64_t, int64_t, int64_t, int64_t,
                                   int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, float,
                                   int) noexcept nogil
        void (*swiglu)(float *, const float *, int64_t, int64_t) noexcept nogil
        void (*swiglu_backward)(float *, const float *, const float *, int64_t, int64_t) noexcept nogil
        void (*activation)(int, float *, const float *, int64_t) noexcept nogil
        void (*activation_backward)(int, float *, const float *, const float *, int64_t) noexcept nogil
        void (*geglu)(int, float *, const float *, int64_t, int64_t) noexcept nogil
        void (*geglu_backward)(int, float *, const float *, const float *, int64_t, int64_t) noexcept nogil
        void (*softmax_cross_entropy)(float *, float *, const float *, const int32_t *, int64_t, int64_t,
                                      float) noexcept nogil
        void (*adamw)(float *, const float *, float *, float *, int64_t, float, float, float, float, float, float,
                      float, float) noexcept nogil
        double (*sum_squares)(const float *, int64_t) noexcept nogil
        void (*add)(float *, const float *, const float *, int64_t) noexcept nogil
        void (*mul)(float *, const float *, const float *, int64_t) noexcept nogil
        void (*axpy)(float *, const float *, float, int64_t) noexcept nogil
        void (*bias_backward)(float *, const float *, int64_t, int64_t) noexcept nogil

    const kernel_table *kernels_select(const char *force, char *why, size_t why_size)


# ---- which table, how many threads ------------------------------------------------------------------------------

cdef const kernel_table *K = NULL
cdef str _why_text = ""
_ISA_NAMES = ("generic", "avx2", "avx512", "avx512_vnni", "neon")


def _select(name=None):
    """Switch to the kernels of instruction set `name` (None: the best); ValueError if this CPU has not got it."""
    global K, _why_text
    cdef char why[512]
    cdef const kernel_table *t
    why[0] = 0
    if name is None:
        t = kernels_select(NULL, why, sizeof(why))
    else:
        encoded = name.encode()
        t = kernels_select(encoded, why, sizeof(why))
    text = (<bytes>why).decode("utf-8", "replace")
    if t == NULL:
        raise ValueError(f"{text} (this CPU has: {', '.join(available_isas())})")
    K = t
    _why_text = text


def isa():
    """Name of the instruction set whose kernels are in use."""
    return (<bytes>K.name).decode()


def why():
    """One sentence: why this instruction set was chosen."""
    return _why_text


def available_isas():
    """Names of the instruction sets that this build has and this CPU runs, weakest first."""
    cdef char text[512]
    names = []
    for name in _ISA_NAMES:
        encoded = name.encode()
        if kernels_select(encoded, text, sizeof(text)) != NULL:
            names.append(name)
    return names


def threads():
    """Threads that kernels use."""
    return nk_get_threads()


def set_threads(int n):
    """Use n threads (1 .. 256) from the next kernel on. Results do not depend on n."""
    if n < 1 or n > 256:
        raise ValueError(f"threads: {n} is outside 1 .. 256")
    nk_set_threads(n)


# ---- argument checks --------------------------------------------------------------------------------------------

cdef enum:
    MAXDIM = 8
    F32 = 0
    I32 = 1
    U8 = 2

ctypedef struct Arr:
    char *p
    int nd
    int64_t n               # elements
    int64_t shape[MAXDIM]
    int64_t stride[MAXDIM]  # in elements


cdef int _get(object a, str name, int kind, bint write, Arr *r) except -1:
    """Fill r from array a. The pointer stays valid as long as the caller holds a."""
    cdef Py_buffer view
    cdef int i, bad
    cdef char c
    if not isinstance(a, _ndarray):
        raise TypeError(f"{name}: expected a numpy array, got {type(a).__name__}")
    PyObject_GetBuffer(a, &view, PyBUF_STRIDES | PyBUF_FORMAT)
    bad = 0
    c = view.format[0] if view.format != NULL else b'B'
    if view.format != NULL and view.format[0] != 0 and view.format[1] != 0:
        bad = 1
    elif kind == F32:
        bad = c != b'f'
    elif kind == I32:
        bad = (c != b'i' and c != b'l') or view.itemsize != 4
    else:
        bad = c != b'B'
    if not bad and view.ndim > MAXDIM:
        bad = 2
    if not bad and write and view.readonly:
        bad = 3
    if not bad:
        r.p = <char *>view.buf
        r.nd = view.ndim
        r.n = 1
        for i in range(view.ndim):
            r.shape[i] = view.shape[i]
            r.n *= view.shape[i]
            if view.strides[i] % view.itemsize:
                bad = 4
            r.stride[i] = view.strides[i] // view.itemsize
    PyBuffer_Release(&view)
    if bad == 1:
        want = ("float32", "int32", "uint8")[kind]
        raise TypeError(f"{name}: dtype {a.dtype}{'' if a.flags.aligned else ' (unaligned)'}, expected native {want}")
    if bad == 2:
        raise ValueError(f"{name}: shape {a.shape} has too many dimensions")
    if bad == 3:
        raise ValueError(f"{name}: array is read-only")
    if bad == 4:
        raise ValueError(f"{name}: strides {a.strides} are not whole elements")
    return 0


cdef bint _is_contiguous(Arr *r, int first) noexcept:
    """Whether dimensions first.. are laid out without gaps (size-1 dimensions may have any stride)."""
    cdef int64_t want = 1
    cdef int i
    if r.n == 0:
        return True
    for i in range(r.nd - 1, first - 1, -1):
        if r.shape[i] != 1 and r.stride[i] != want:
            return False
        want *= r.shape[i]
    return True


cdef int _dense(object a, str name, int kind, bint write, Arr *r) except -1:
    _get(a, name, kind, write, r)
    if not _is_contiguous(r, 0):
        raise ValueError(f"{name}: shape {a.shape} with strides {a.strides} is not C-contiguous")
    return 0


cdef int _rows(object a, str name, bint write, Arr *r) except -1:
    """A float32 matrix whose rows may be apart; r.stride[0] becomes the distance of two rows."""
    _get(a, name, F32, write, r)
    if r.nd != 2:
        raise ValueError(f"{name}: shape {a.shape}, expected two dimensions")
    if r.n and ((r.shape[1] != 1 and r.stride[1] != 1) or (r.shape[0] > 1 and r.stride[0] < r.shape[1])):
        raise ValueError(f"{name}: shape {a.shape} with strides {a.strides}: rows must be contiguous and "
                         f"must not overlap")
    if r.shape[0] <= 1 or r.n == 0:
        r.stride[0] = r.shape[1]
    return 0


cdef int _heads(object a, str name, bint write, Arr *r) except -1:
    """(B, T, H, D) float32, heads contiguous; stride[1] = row stride, stride[0] = batch stride, made definite."""
    _get(a, name, F32, write, r)
    if r.nd != 4:
        raise ValueError(f"{name}: shape {a.shape}, expected (batch, rows, heads, head dimension)")
    cdef int64_t width = r.shape[2] * r.shape[3]
    if not _is_contiguous(r, 2):
        raise ValueError(f"{name}: shape {a.shape} with strides {a.strides}: a row of heads must be contiguous")
    if r.shape[1] <= 1 or r.n == 0:  # one row per batch: the batches are the rows
        r.stride[1] = r.stride[0] if r.shape[0] > 1 and r.n else width
    if r.shape[0] <= 1 or r.n == 0:
        r.stride[0] = r.shape[1] * r.stride[1]
    if r.n and (r.stride[1] < width or r.stride[0] < (r.shape[1] - 1) * r.stride[1] + width):
        raise ValueError(f"{name}: shape {a.shape} with strides {a.strides}: rows must not overlap")
    return 0


cdef int64_t _extent(Arr *r) noexcept:
    """Elements from the first to one past the last."""
    cdef int64_t e = 1
    cdef int i
    if r.n == 0:
        return 0
    for i in range(r.nd):
        e += (r.shape[i] - 1) * r.stride[i]
    return e


cdef int _apart(Arr *x, str xname, Arr *y, str yname, int64_t xrow, int64_t yrow, int64_t xwidth, int64_t ywidth,
                bint same_allowed) except -1:
    """ValueError if x and y share memory. Rows of equal stride may interleave (slices of one fused buffer)."""
    cdef int64_t ex, ey, d
    if x.p == NULL or y.p == NULL or (same_allowed and x.p == y.p and xrow == yrow and xwidth == ywidth):
        return 0
    ex = _extent(x) * 4
    ey = _extent(y) * 4
    if x.p + ex <= y.p or y.p + ey <= x.p:
        return 0
    if xrow > 0 and xrow == yrow and (x.nd < 4 or (x.stride[0] % xrow == 0 and y.stride[0] % xrow == 0)):
        d = (y.p - x.p) % (xrow * 4)
        if d < 0:
            d += xrow * 4
        if d >= xwidth * 4 and xrow * 4 - d >= ywidth * 4:
            return 0
    raise ValueError(f"{xname} and {yname} overlap in memory")


cdef int _distinct(Arr *x, str xname, Arr *y, str yname, bint same_allowed=False) except -1:
    return _apart(x, xname, y, yname, 0, 0, 0, 0, same_allowed)


cdef str _show(Arr *r):
    return "(" + ", ".join([str(r.shape[i]) for i in range(r.nd)]) + ")"


cdef int _shape1(Arr *r, str name, int64_t a) except -1:
    if r.nd != 1 or r.shape[0] != a:
        raise ValueError(f"{name}: shape {_show(r)}, expected ({a},)")
    return 0


cdef int _shape2(Arr *r, str name, int64_t a, int64_t b) except -1:
    if r.nd != 2 or r.shape[0] != a or r.shape[1] != b:
        raise ValueError(f"{name}: shape {_show(r)}, expected ({a}, {b})")
    return 0


cdef int _like(Arr *r, str name, Arr *want) except -1:
    cdef int i
    cdef bint ok = r.nd == want.nd
    if ok:
        for i in range(r.nd):
            ok = ok and r.shape[i] == want.shape[i]
    if not ok:
        raise ValueError(f"{name}: shape {_show(r)}, expected {_show(want)}")
    return 0


cdef int _in_range(Arr *ids, str name, int64_t low, int64_t high) except -1:
    """ValueError unless low <= id < high for all: an index outside would read or write foreign memory."""
    cdef const int32_t *p = <const int32_t *>ids.p
    cdef int64_t i
    cdef int64_t lo = high - 1 if high > low else low
    cdef int64_t hi = low
    for i in range(ids.n):
        if p[i] < lo:
            lo = p[i]
        if p[i] > hi:
            hi = p[i]
    if ids.n and (lo < low or hi >= high):
        raise ValueError(f"{name}: values {lo} .. {hi} are outside {low} .. {high - 1}")
    return 0


# ---- matrix products --------------------------------------------------------------------------------------------

def gemm(a, b, out=None, bint trans_a=False, bint trans_b=False, bias=None, residual=None, bint accumulate=False):
    """out(M, N) = op(a) op(b) [+ out if accumulate] [+ bias(N)] [+ residual(M, N)].

    a is (M, K), or (K, M) with trans_a; b is (K, N), or (N, K) with trans_b. Rows of the matrices may be apart
    (column slices of wider buffers). residual may be out itself.
    """
    cdef Arr A, B, C, bi, R
    cdef int64_t M, N, Ka, Kb
    cdef const float *pb = NULL
    cdef const float *pr = NULL
    cdef int64_t ldr = 0
    _rows(a, "a", False, &A)
    _rows(b, "b", False, &B)
    M, Ka = (A.shape[1], A.shape[0]) if trans_a else (A.shape[0], A.shape[1])
    N, Kb = (B.shape[0], B.shape[1]) if trans_b else (B.shape[1], B.shape[0])
    if Ka != Kb:
        raise ValueError(f"gemm: a {_show(&A)}{' transposed' if trans_a else ''} and b {_show(&B)}"
                         f"{' transposed' if trans_b else ''} do not agree on the inner dimension ({Ka} and {Kb})")
    if out is None:
        if accumulate:
            raise ValueError("gemm: accumulate needs out")
        out = _empty((M, N), _f32)
    _rows(out, "out", True, &C)
    _shape2(&C, "out", M, N)
    _apart(&C, "out", &A, "a", C.stride[0], A.stride[0], C.shape[1], A.shape[1], False)
    _apart(&C, "out", &B, "b", C.stride[0], B.stride[0], C.shape[1], B.shape[1], False)
    if bias is not None:
        _dense(bias, "bias", F32, False, &bi)
        _shape1(&bi, "bias", N)
        _distinct(&C, "out", &bi, "bias")
        pb = <const float *>bi.p
    if residual is not None:
        _rows(residual, "residual", False, &R)
        _shape2(&R, "residual", M, N)
        _apart(&C, "out", &R, "residual", C.stride[0], R.stride[0], N, N, True)
        pr = <const float *>R.p
        ldr = R.stride[0]
    if C.n:
        with nogil:
            K.gemm_f32(trans_a, trans_b, M, N, Ka, <const float *>A.p, A.stride[0], <const float *>B.p, B.stride[0],
                       <float *>C.p, C.stride[0], accumulate, pb, pr, ldr)
    return out


def q8_0_quantize(w):
    """w (N, K), K % 32 == 0 -> uint8 (N, K / 32 * 34): GGUF Q8_0 blocks {f16 scale, 32 int8}, scale = max|w| / 127."""
    cdef Arr W, O
    _dense(w, "w", F32, False, &W)
    if W.nd != 2 or W.shape[1] % 32:
        raise ValueError(f"w: shape {_show(&W)}, expected (N, K) with K a multiple of 32")
    out = _empty((W.shape[0], W.shape[1] // 32 * 34), _u8)
    _dense(out, "out", U8, True, &O)
    if W.n:
        with nogil:
            K.q8_0_quantize(<const float *>W.p, <uint8_t *>O.p, W.shape[0], W.shape[1])
    return out


cdef int _blocks(object blocks, int64_t k, Arr *r) except -1:
    _dense(blocks, "blocks", U8, False, r)
    if k < 0 or k % 32 or r.nd != 2 or r.shape[1] != k // 32 * 34:
        raise ValueError(f"blocks: shape {_show(r)} does not hold rows of K = {k} values as Q8_0 "
                         f"(K a multiple of 32, 34 bytes per 32 values)")
    return 0


def q8_0_dequantize(blocks, int64_t k):
    """blocks uint8 (N, k / 32 * 34) in GGUF order -> float32 (N, k)."""
    cdef Arr Q, O
    _blocks(blocks, k, &Q)
    out = _empty((Q.shape[0], k), _f32)
    _dense(out, "out", F32, True, &O)
    if O.n:
        with nogil:
            K.q8_0_dequantize(<const uint8_t *>Q.p, <float *>O.p, Q.shape[0], k)
    return out


def q8_0_pack(blocks, int64_t k):
    """blocks uint8 (N, k / 32 * 34) in GGUF order -> uint8 (N * k / 32 * 34,) in the order that gemm_q8_0 reads."""
    cdef Arr Q, O
    _blocks(blocks, k, &Q)
    out = _empty((Q.n,), _u8)
    _dense(out, "out", U8, True, &O)
    if O.n:
        with nogil:
            K.q8_0_pack(<const uint8_t *>Q.p, <uint8_t *>O.p, Q.shape[0], k)
    return out


def gemm_q8_0(x, packed, int64_t n, out=None, residual=None):
    """out(M, n) = x(M, K) W^T [+ residual]; packed holds W(n, K) from q8_0_pack of the same instruction set.

    x is quantised per row and block of 32 to int8 with a float scale. Rows of x, out, residual may be apart.
    """
    cdef Arr X, P, C, R
    cdef int64_t M, KK, ldr = 0
    cdef const float *pr = NULL
    _rows(x, "x", False, &X)
    M, KK = X.shape[0], X.shape[1]
    _dense(packed, "packed", U8, False, &P)
    if n < 0 or KK % 32 or P.nd != 1 or P.shape[0] != n * (KK // 32) * 34:
        raise ValueError(f"packed: shape {_show(&P)} does not hold W({n}, {KK}) for x {_show(&X)} "
                         f"(K a multiple of 32, 34 bytes per 32 values)")
    if out is None:
        out = _empty((M, n), _f32)
    _rows(out, "out", True, &C)
    _shape2(&C, "out", M, n)
    _apart(&C, "out", &X, "x", C.stride[0], X.stride[0], n, KK, False)
    if residual is not None:
        _rows(residual, "residual", False, &R)
        _shape2(&R, "residual", M, n)
        _apart(&C, "out", &R, "residual", C.stride[0], R.stride[0], n, n, True)
        pr = <const float *>R.p
        ldr = R.stride[0]
    if C.n:
        with nogil:
            K.gemm_q8_0(M, n, KK, <const float *>X.p, X.stride[0], <const uint8_t *>P.p, <float *>C.p, C.stride[0], pr,
                        ldr)
    return out


# ---- embedding --------------------------------------------------------------------------------------------------

def embedding(table, ids, out=None):
    """table (V, D), ids int32 of any shape, 0 <= id < V -> ids.shape + (D,)."""
    cdef Arr W, I, O
    _dense(table, "table", F32, False, &W)
    if W.nd != 2:
        raise ValueError(f"table: shape {_show(&W)}, expected (V, D)")
    _dense(ids, "ids", I32, False, &I)
    _in_range(&I, "ids", 0, W.shape[0])
    shape = ids.shape + (W.shape[1],)
    if out is None:
        out = _empty(shape, _f32)
    _dense(out, "out", F32, True, &O)
    if out.shape != shape:
        raise ValueError(f"out: shape {out.shape}, expected {shape}")
    _distinct(&O, "out", &W, "table")
    if O.n:
        with nogil:
            K.embedding(<float *>O.p, <const float *>W.p, <const int32_t *>I.p, I.n, W.shape[1])
    return out


def embedding_backward(dout, ids, dtable):
    """dtable(V, D)[ids] += dout(ids.shape + (D,)); rows named more than once are summed in the order of ids."""
    cdef Arr W, I, G
    _dense(dtable, "dtable", F32, True, &W)
    if W.nd != 2:
        raise ValueError(f"dtable: shape {_show(&W)}, expected (V, D)")
    _dense(ids, "ids", I32, False, &I)
    _in_range(&I, "ids", 0, W.shape[0])
    _dense(dout, "dout", F32, False, &G)
    if dout.shape != ids.shape + (W.shape[1],):
        raise ValueError(f"dout: shape {dout.shape}, expected {ids.shape + (W.shape[1],)}")
    _distinct(&W, "dtable", &G, "dout")
    if G.n:
        with nogil:
            K.embedding_backward(<float *>W.p, <const float *>G.p, <const int32_t *>I.p, I.n, W.shape[1])
    return dtable


# ---- RMSNorm ----------------------------------------------------------------------------------------------------

cdef int64_t _split(Arr *x, str name) except -1:
    """Number of rows of (..., D), D >= 1."""
    if x.nd < 1 or x.shape[x.nd - 1] < 1:
        raise ValueError(f"{name}: shape {_show(x)}, expected (..., D)")
    return x.n // x.shape[x.nd - 1]


def rmsnorm(x, weight, float eps, out=None):
    """x (..., D), weight (D,) -> (out like x, rstd (rows,)): out = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps).

    out may be x. Zhang & Sennrich 2019.
    """
    cdef Arr X, W, O, S
    cdef int64_t rows, D
    _dense(x, "x", F32, False, &X)
    rows = _split(&X, "x")
    D = X.shape[X.nd - 1]
    _dense(weight, "weight", F32, False, &W)
    _shape1(&W, "weight", D)
    if out is None:
        out = _empty(x.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "x", True)
    _distinct(&O, "out", &W, "weight")
    rstd = _empty((rows,), _f32)
    _dense(rstd, "rstd", F32, True, &S)
    if rows:
        with nogil:
            K.rmsnorm(<float *>O.p, <float *>S.p, <const float *>X.p, <const float *>W.p, rows, D, eps)
    return out, rstd


def rmsnorm_backward(dout, x, weight, rstd, dweight, out=None):
    """Gradient of rmsnorm: returns dx (written to out if given; may be dout), adds to dweight (D,)."""
    cdef Arr G, X, W, S, DW, O
    cdef int64_t rows, D
    _dense(x, "x", F32, False, &X)
    rows = _split(&X, "x")
    D = X.shape[X.nd - 1]
    _dense(dout, "dout", F32, False, &G)
    _like(&G, "dout", &X)
    _dense(weight, "weight", F32, False, &W)
    _shape1(&W, "weight", D)
    _dense(rstd, "rstd", F32, False, &S)
    if S.n != rows:
        raise ValueError(f"rstd: shape {_show(&S)}, expected ({rows},)")
    _dense(dweight, "dweight", F32, True, &DW)
    _shape1(&DW, "dweight", D)
    if out is None:
        out = _empty(x.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "x")
    _distinct(&O, "out", &G, "dout", True)
    _distinct(&O, "out", &W, "weight")
    _distinct(&DW, "dweight", &G, "dout")
    _distinct(&DW, "dweight", &X, "x")
    _distinct(&DW, "dweight", &O, "out")
    _distinct(&DW, "dweight", &W, "weight")
    if rows:
        with nogil:
            K.rmsnorm_backward(<float *>O.p, <float *>DW.p, <const float *>G.p, <const float *>X.p,
                               <const float *>W.p, <const float *>S.p, rows, D)
    return out


# ---- LayerNorm --------------------------------------------------------------------------------------------------

def layernorm(x, weight, bias, float eps, out=None):
    """x (..., D), weight and bias (D,) -> (out like x, mean (rows,), rstd (rows,)), rstd = 1 / sqrt(variance + eps).

    out = (x - mean) * rstd * weight + bias over each row; out may be x. Ba et al. 2016.
    """
    cdef Arr X, W, B, O, M, S
    cdef int64_t rows, D
    _dense(x, "x", F32, False, &X)
    rows = _split(&X, "x")
    D = X.shape[X.nd - 1]
    _dense(weight, "weight", F32, False, &W)
    _shape1(&W, "weight", D)
    _dense(bias, "bias", F32, False, &B)
    _shape1(&B, "bias", D)
    if out is None:
        out = _empty(x.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "x", True)
    _distinct(&O, "out", &W, "weight")
    _distinct(&O, "out", &B, "bias")
    mean = _empty((rows,), _f32)
    rstd = _empty((rows,), _f32)
    _dense(mean, "mean", F32, True, &M)
    _dense(rstd, "rstd", F32, True, &S)
    if rows:
        with nogil:
            K.layernorm(<float *>O.p, <float *>M.p, <float *>S.p, <const float *>X.p, <const float *>W.p,
                        <const float *>B.p, rows, D, eps)
    return out, mean, rstd


def layernorm_backward(dout, x, weight, mean, rstd, dweight, dbias, out=None):
    """Gradient of layernorm: returns dx (written to out if given; may be dout), adds to dweight and dbias (D,)."""
    cdef Arr G, X, W, M, S, DW, DB, O
    cdef int64_t rows, D
    _dense(x, "x", F32, False, &X)
    rows = _split(&X, "x")
    D = X.shape[X.nd - 1]
    _dense(dout, "dout", F32, False, &G)
    _like(&G, "dout", &X)
    _dense(weight, "weight", F32, False, &W)
    _shape1(&W, "weight", D)
    _dense(mean, "mean", F32, False, &M)
    _shape1(&M, "mean", rows)
    _dense(rstd, "rstd", F32, False, &S)
    _shape1(&S, "rstd", rows)
    _dense(dweight, "dweight", F32, True, &DW)
    _shape1(&DW, "dweight", D)
    _dense(dbias, "dbias", F32, True, &DB)
    _shape1(&DB, "dbias", D)
    if out is None:
        out = _empty(x.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "x")
    _distinct(&O, "out", &G, "dout", True)
    _distinct(&O, "out", &W, "weight")
    _distinct(&O, "out", &M, "mean")
    _distinct(&O, "out", &S, "rstd")
    for name, sums in (("dweight", dweight), ("dbias", dbias)):
        _dense(sums, name, F32, True, &DW)
        _distinct(&DW, name, &G, "dout")
        _distinct(&DW, name, &X, "x")
        _distinct(&DW, name, &O, "out")
        _distinct(&DW, name, &W, "weight")
        _distinct(&DW, name, &M, "mean")
        _distinct(&DW, name, &S, "rstd")
    _dense(dweight, "dweight", F32, True, &DW)
    _distinct(&DW, "dweight", &DB, "dbias")
    if rows:
        with nogil:
            K.layernorm_backward(<float *>O.p, <float *>DW.p, <float *>DB.p, <const float *>G.p, <const float *>X.p,
                                 <const float *>W.p, <const float *>M.p, <const float *>S.p, rows, D)
    return out


# ---- rotary positions -------------------------------------------------------------------------------------------

def rope(x, cos, sin, positions, bint inverse=False):
    """Rotate pairs (i, i + D/2) of x (..., H, D) in place by the angle of each row's position; inverse rotates back.

    cos, sin (max_pos, D/2); positions int32, one per row, 0 <= position < max_pos. The rows of x, flattened, must lie
    at one constant distance, which may exceed H * D (a slice of a fused buffer). Su et al. 2021, half-split order.
    """
    cdef Arr X, C, S, P
    cdef int64_t H, D, rows, row
    cdef int i
    _get(x, "x", F32, True, &X)
    if X.nd < 2 or X.shape[X.nd - 1] % 2 or X.shape[X.nd - 1] < 2:
        raise ValueError(f"x: shape {_show(&X)}, expected (..., H, D) with D even")
    H, D = X.shape[X.nd - 2], X.shape[X.nd - 1]
    if X.n == 0:
        return x
    rows = X.n // (H * D)
    if not _is_contiguous(&X, X.nd - 2):
        raise ValueError(f"x: shape {x.shape} with strides {x.strides}: a row of heads must be contiguous")
    row = 0
    cdef int64_t below = 1
    for i in range(X.nd - 3, -1, -1):
        if X.shape[i] != 1:
            if row == 0:
                row = X.stride[i]
            elif X.stride[i] != row * below:
                raise ValueError(f"x: shape {x.shape} with strides {x.strides}: rows are not at a constant distance")
            below *= X.shape[i]
    if row == 0:
        row = H * D
    if row < H * D:
        raise ValueError(f"x: shape {x.shape} with strides {x.strides}: rows must not overlap")
    _dense(cos, "cos", F32, False, &C)
    _dense(sin, "sin", F32, False, &S)
    if C.nd != 2 or C.shape[1] != D // 2:
        raise ValueError(f"cos: shape {_show(&C)}, expected (max_pos, {D // 2})")
    _like(&S, "sin", &C)
    _dense(positions, "positions", I32, False, &P)
    if P.n != rows:
        raise ValueError(f"positions: shape {_show(&P)}, expected one for each of the {rows} rows of x {_show(&X)}")
    _in_range(&P, "positions", 0, C.shape[0])
    with nogil:
        K.rope(<float *>X.p, row, <const float *>C.p, <const float *>S.p, <const int32_t *>P.p, rows, H, D, inverse)
    return x


# ---- attention --------------------------------------------------------------------------------------------------

cdef int _check_qkv(Arr *Q, Arr *Kk, Arr *V, bint causal) except -1:
    cdef int64_t B = Q.shape[0], T = Q.shape[1], H = Q.shape[2], D = Q.shape[3], S = Kk.shape[1], KH = Kk.shape[2]
    if Kk.shape[0] != B or Kk.shape[3] != D or KH < 1 or H % KH:
        raise ValueError(f"attention: q {_show(Q)} and k {_show(Kk)} do not agree (batch, head dimension, heads "
                         f"a multiple of key heads)")
    _like(V, "v", Kk)
    if D < 1 or D > 256:
        raise ValueError(f"attention: head dimension {D} is outside 1 .. 256")
    if S < 1 or (causal and S < T):
        raise ValueError(f"attention: q {_show(Q)} needs at least {T if causal else 1} keys, k is {_show(Kk)}")
    return 0


def attention(q, k, v, float scale, bint causal=True, out=None, bint need_lse=True):
    """Scaled dot product attention, softmax(q k^T * scale) v, with grouped heads; the scores are never stored.

    q (B, T, H, D); k, v (B, S, KH, D), H % KH == 0, D <= 256. causal: query t sees keys 0 .. t + (S - T), so S >= T.
    q, k, v may be views with wider rows; k and v must have equal strides. Returns (out (B, T, H, D), lse (B, H, T) or
    None), lse = log sum exp of the scaled scores, which the backward pass needs. Dao 2022 (FlashAttention).
    """
    cdef Arr Q, Kk, V, O, L
    cdef float *pl = NULL
    _heads(q, "q", False, &Q)
    _heads(k, "k", False, &Kk)
    _heads(v, "v", False, &V)
    _check_qkv(&Q, &Kk, &V, causal)
    if Kk.stride[0] != V.stride[0] or Kk.stride[1] != V.stride[1]:
        raise ValueError(f"attention: k and v have different strides, {k.strides} and {v.strides}")
    if out is None:
        out = _empty(q.shape, _f32)
    _heads(out, "out", True, &O)
    _like(&O, "out", &Q)
    cdef int64_t w = Q.shape[2] * Q.shape[3], wk = Kk.shape[2] * Kk.shape[3]
    _apart(&O, "out", &Q, "q", O.stride[1], Q.stride[1], w, w, False)
    _apart(&O, "out", &Kk, "k", O.stride[1], Kk.stride[1], w, wk, False)
    _apart(&O, "out", &V, "v", O.stride[1], V.stride[1], w, wk, False)
    lse = None
    if need_lse:
        lse = _empty((Q.shape[0], Q.shape[2], Q.shape[1]), _f32)
        _dense(lse, "lse", F32, True, &L)
        pl = <float *>L.p
    if Q.n:
        with nogil:
            K.attention(<float *>O.p, pl, <const float *>Q.p, <const float *>Kk.p, <const float *>V.p, Q.shape[0],
                        Q.shape[1], Kk.shape[1], Q.shape[2], Kk.shape[2], Q.shape[3], Q.stride[1], Q.stride[0],
                        Kk.stride[1], Kk.stride[0], O.stride[1], O.stride[0], scale, causal)
    return out, lse


cdef bint _same_rows(Arr *x, Arr *y) noexcept:
    return x.stride[0] == y.stride[0] and x.stride[1] == y.stride[1]


def attention_backward(dout, q, k, v, out, lse, float scale, bint causal=True, dq=None, dk=None, dv=None):
    """Gradients (dq, dk, dv) of attention; written, not accumulated. out and lse come from the forward pass.

    dq, dk, dv may be given as views with wider rows. It is fastest when dq has the strides of q, dk and dv those of k
    and v, and dout those of out; otherwise contiguous copies are made. Dao 2023 (FlashAttention-2), algorithm 2.
    """
    cdef Arr Q, Kk, V, G, O, L, DQ, DK, DV
    _heads(q, "q", False, &Q)
    _heads(k, "k", False, &Kk)
    _heads(v, "v", False, &V)
    _check_qkv(&Q, &Kk, &V, causal)
    _heads(dout, "dout", False, &G)
    _like(&G, "dout", &Q)
    _heads(out, "out", False, &O)
    _like(&O, "out", &Q)
    _dense(lse, "lse", F32, False, &L)
    if L.nd != 3 or L.shape[0] != Q.shape[0] or L.shape[1] != Q.shape[2] or L.shape[2] != Q.shape[1]:
        raise ValueError(f"lse: shape {_show(&L)}, expected ({Q.shape[0]}, {Q.shape[2]}, {Q.shape[1]})")
    # The kernel takes one pair of strides per operand group. Bring the inputs to that, allocate what is missing.
    if not _same_rows(&G, &O):
        dout, out = _np.ascontiguousarray(dout), _np.ascontiguousarray(out)
        _heads(dout, "dout", False, &G)
        _heads(out, "out", False, &O)
    given_q, given_k, given_v = dq, dk, dv
    if dq is not None:
        _heads(dq, "dq", True, &DQ)
        _like(&DQ, "dq", &Q)
    if dq is None or not _same_rows(&DQ, &Q):
        q = _np.ascontiguousarray(q)
        dq = _empty(q.shape, _f32)
        _heads(q, "q", False, &Q)
        _heads(dq, "dq", True, &DQ)
    if dk is not None:
        _heads(dk, "dk", True, &DK)
        _like(&DK, "dk", &Kk)
    if dv is not None:
        _heads(dv, "dv", True, &DV)
        _like(&DV, "dv", &V)
    if (dk is None or dv is None or not _same_rows(&DK, &Kk) or not _same_rows(&DV, &V) or not _same_rows(&Kk, &V)):
        k, v = _np.ascontiguousarray(k), _np.ascontiguousarray(v)
        dk, dv = _empty(k.shape, _f32), _empty(v.shape, _f32)
        _heads(k, "k", False, &Kk)
        _heads(v, "v", False, &V)
        _heads(dk, "dk", True, &DK)
        _heads(dv, "dv", True, &DV)
    cdef int64_t w = Q.shape[2] * Q.shape[3], wk = Kk.shape[2] * Kk.shape[3]
    _apart(&DQ, "dq", &DK, "dk", DQ.stride[1], DK.stride[1], w, wk, False)
    _apart(&DQ, "dq", &DV, "dv", DQ.stride[1], DV.stride[1], w, wk, False)
    _apart(&DK, "dk", &DV, "dv", DK.stride[1], DV.stride[1], wk, wk, False)
    for name, given in (("dq", dq), ("dk", dk), ("dv", dv)):
        _overlaps(name, given, (("dout", dout), ("out", out), ("q", q), ("k", k), ("v", v)))
    if Q.n:
        with nogil:
            K.attention_backward(<float *>DQ.p, <float *>DK.p, <float *>DV.p, <const float *>G.p, <const float *>O.p,
                                 <const float *>L.p, <const float *>Q.p, <const float *>Kk.p, <const float *>V.p,
                                 Q.shape[0], Q.shape[1], Kk.shape[1], Q.shape[2], Kk.shape[2], Q.shape[3], Q.stride[1],
                                 Q.stride[0], Kk.stride[1], Kk.stride[0], O.stride[1], O.stride[0], scale, causal)
    else:
        dk[...] = 0
        dv[...] = 0
    if given_q is not None and given_q is not dq:
        given_q[...] = dq
        dq = given_q
    if given_k is not None and given_k is not dk:
        given_k[...] = dk
        dk = given_k
    if given_v is not None and given_v is not dv:
        given_v[...] = dv
        dv = given_v
    return dq, dk, dv


cdef int _overlaps(str name, object written, tuple read) except -1:
    cdef Arr x, y
    _heads(written, name, True, &x)
    for other, a in read:
        _heads(a, other, False, &y)
        _apart(&x, name, &y, other, x.stride[1], y.stride[1], x.shape[2] * x.shape[3], y.shape[2] * y.shape[3], False)
    return 0


# ---- SwiGLU -----------------------------------------------------------------------------------------------------

def swiglu(gu, out=None):
    """gu (..., 2F) = [gate | up] -> silu(gate) * up, (..., F). Shazeer 2020."""
    cdef Arr X, O
    cdef int64_t rows, F
    _dense(gu, "gu", F32, False, &X)
    rows = _split(&X, "gu")
    if X.shape[X.nd - 1] % 2:
        raise ValueError(f"gu: shape {_show(&X)}, expected (..., 2F)")
    F = X.shape[X.nd - 1] // 2
    shape = gu.shape[:-1] + (F,)
    if out is None:
        out = _empty(shape, _f32)
    _dense(out, "out", F32, True, &O)
    if out.shape != shape:
        raise ValueError(f"out: shape {out.shape}, expected {shape}")
    _distinct(&O, "out", &X, "gu")
    if rows:
        with nogil:
            K.swiglu(<float *>O.p, <const float *>X.p, rows, F)
    return out


def swiglu_backward(dout, gu, out=None):
    """Gradient of swiglu: dout (..., F), gu (..., 2F) -> dgu (..., 2F), written to out if given (may be gu itself)."""
    cdef Arr G, X, O
    cdef int64_t rows, F
    _dense(gu, "gu", F32, False, &X)
    rows = _split(&X, "gu")
    if X.shape[X.nd - 1] % 2:
        raise ValueError(f"gu: shape {_show(&X)}, expected (..., 2F)")
    F = X.shape[X.nd - 1] // 2
    _dense(dout, "dout", F32, False, &G)
    if dout.shape != gu.shape[:-1] + (F,):
        raise ValueError(f"dout: shape {dout.shape}, expected {gu.shape[:-1] + (F,)}")
    if out is None:
        out = _empty(gu.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "gu", True)
    _distinct(&O, "out", &G, "dout")
    if rows:
        with nogil:
            K.swiglu_backward(<float *>O.p, <const float *>G.p, <const float *>X.p, rows, F)
    return out


# ---- activations ------------------------------------------------------------------------------------------------

_KINDS = {"relu": NK_RELU, "tanh": NK_TANH, "sigmoid": NK_SIGMOID, "silu": NK_SILU, "gelu_tanh": NK_GELU_TANH,
          "gelu_erf": NK_GELU_ERF}


cdef int _kind(object kind, bint gelu_only) except -1:
    if not isinstance(kind, str) or kind not in _KINDS or (gelu_only and not kind.startswith("gelu")):
        names = [name for name in _KINDS if not gelu_only or name.startswith("gelu")]
        raise ValueError(f"kind: {kind!r}, expected one of {', '.join(names)}")
    return _KINDS[kind]


def activation(kind, x, out=None):
    """relu, tanh, sigmoid, silu, gelu_tanh or gelu_erf of each value of x; out may be x.

    silu(x) = x sigmoid(x); gelu_erf(x) = x Phi(x) and gelu_tanh its approximation (Hendrycks & Gimpel 2016).
    """
    cdef Arr X, O
    cdef int code = _kind(kind, False)
    _dense(x, "x", F32, False, &X)
    if out is None:
        out = _empty(x.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "x", True)
    with nogil:
        K.activation(code, <float *>O.p, <const float *>X.p, X.n)
    return out


def activation_backward(kind, dout, x, out=None):
    """Gradient of activation: dout times the slope at x, of x's shape; out may be dout or x. relu's slope at 0 is 0."""
    cdef Arr G, X, O
    cdef int code = _kind(kind, False)
    _dense(x, "x", F32, False, &X)
    _dense(dout, "dout", F32, False, &G)
    _like(&G, "dout", &X)
    if out is None:
        out = _empty(x.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "x", True)
    _distinct(&O, "out", &G, "dout", True)
    with nogil:
        K.activation_backward(code, <float *>O.p, <const float *>G.p, <const float *>X.p, X.n)
    return out


def geglu(gu, out=None, kind="gelu_tanh"):
    """gu (..., 2F) = [gate | up] -> gelu(gate) * up, (..., F); kind is gelu_tanh or gelu_erf. Shazeer 2020."""
    cdef Arr X, O
    cdef int64_t rows, F
    cdef int code = _kind(kind, True)
    _dense(gu, "gu", F32, False, &X)
    rows = _split(&X, "gu")
    if X.shape[X.nd - 1] % 2:
        raise ValueError(f"gu: shape {_show(&X)}, expected (..., 2F)")
    F = X.shape[X.nd - 1] // 2
    shape = gu.shape[:-1] + (F,)
    if out is None:
        out = _empty(shape, _f32)
    _dense(out, "out", F32, True, &O)
    if out.shape != shape:
        raise ValueError(f"out: shape {out.shape}, expected {shape}")
    _distinct(&O, "out", &X, "gu")
    if rows:
        with nogil:
            K.geglu(code, <float *>O.p, <const float *>X.p, rows, F)
    return out


def geglu_backward(dout, gu, out=None, kind="gelu_tanh"):
    """Gradient of geglu: dout (..., F), gu (..., 2F) -> dgu (..., 2F), written to out if given (may be gu itself)."""
    cdef Arr G, X, O
    cdef int64_t rows, F
    cdef int code = _kind(kind, True)
    _dense(gu, "gu", F32, False, &X)
    rows = _split(&X, "gu")
    if X.shape[X.nd - 1] % 2:
        raise ValueError(f"gu: shape {_show(&X)}, expected (..., 2F)")
    F = X.shape[X.nd - 1] // 2
    _dense(dout, "dout", F32, False, &G)
    if dout.shape != gu.shape[:-1] + (F,):
        raise ValueError(f"dout: shape {dout.shape}, expected {gu.shape[:-1] + (F,)}")
    if out is None:
        out = _empty(gu.shape, _f32)
    _dense(out, "out", F32, True, &O)
    _like(&O, "out", &X)
    _distinct(&O, "out", &X, "gu", True)
    _distinct(&O, "out", &G, "dout")
    if rows:
        with nogil:
            K.geglu_backward(code, <float *>O.p, <const float *>G.p, <const float *>X.p, rows, F)
    return out


# ---- loss -------------------------------------------------------------------------------------------------------

def softmax_cross_entropy(logits, targets, dlogits=None, float scale=1.0):
    """logits (rows, V), targets int32 (rows,), negative = ignored -> losses (rows,) in nats, 0 where ignored.

    dlogits, if given, receives (softmax - onehot) * scale, zero in ignored rows; it may be logits itself.
    """
    cdef Arr X, Y, G, L
    cdef float *pg = NULL
    _dense(logits, "logits", F32, False, &X)
    if X.nd != 2 or X.shape[1] < 1:
        raise ValueError(f"logits: shape {_show(&X)}, expected (rows, V)")
    _dense(targets, "targets", I32, False, &Y)
    _shape1(&Y, "targets", X.shape[0])
    _in_range(&Y, "targets", -2147483648, X.shape[1])
    if dlogits is not None:
        _dense(dlogits, "dlogits", F32, True, &G)
        _like(&G, "dlogits", &X)
        _distinct(&G, "dlogits", &X, "logits", True)
        pg = <float *>G.p
    losses = _empty((X.shape[0],), _f32)
    _dense(losses, "losses", F32, True, &L)
    if X.n:
        with nogil:
            K.softmax_cross_entropy(<float *>L.p, pg, <const float *>X.p, <const int32_t *>Y.p, X.shape[0], X.shape[1],
                                    scale)
    return losses


# ---- optimiser and vector helpers -------------------------------------------------------------------------------

def adamw(p, g, m, v, double lr, double beta1, double beta2, double eps, double weight_decay, int64_t step,
          double grad_scale=1.0):
    """One AdamW step in place on p, m, v of equal shape; step counts from 1; g is multiplied by grad_scale first.

    Loshchilov & Hutter 2019, decay decoupled: p -= lr * (mhat / (sqrt(vhat) + eps) + weight_decay * p).
    """
    cdef Arr P, G, M, V
    cdef float c1, c2
    if step < 1:
        raise ValueError(f"step: {step}, counts from 1")
    _dense(p, "p", F32, True, &P)
    _dense(g, "g", F32, False, &G)
    _dense(m, "m", F32, True, &M)
    _dense(v, "v", F32, True, &V)
    _like(&G, "g", &P)
    _like(&M, "m", &P)
    _like(&V, "v", &P)
    _distinct(&P, "p", &G, "g")
    _distinct(&P, "p", &M, "m")
    _distinct(&P, "p", &V, "v")
    _distinct(&M, "m", &G, "g")
    _distinct(&M, "m", &V, "v")
    _distinct(&V, "v", &G, "g")
    c1 = 1.0 - beta1 ** <double>step
    c2 = 1.0 - beta2 ** <double>step
    if P.n:
        with nogil:
            K.adamw(<float *>P.p, <const float *>G.p, <float *>M.p, <float *>V.p, P.n, <float>lr, <float>beta1,
                    <float>beta2, <float>eps, <float>weight_decay, c1, c2, <float>grad_scale)


def sum_squares(x):
    """Sum of squares of all elements, in double; the same bits for any number of threads."""
    cdef Arr X
    cdef double s
    _dense(x, "x", F32, False, &X)
    with nogil:
        s = K.sum_squares(<const float *>X.p, X.n)
    return s


cdef object _binary(object a, object b, object out, Arr *A, Arr *B, Arr *O):
    _dense(a, "a", F32, False, A)
    _dense(b, "b", F32, False, B)
    _like(B, "b", A)
    if out is None:
        out = _empty(a.shape, _f32)
    _dense(out, "out", F32, True, O)
    _like(O, "out", A)
    _distinct(O, "out", A, "a", True)
    _distinct(O, "out", B, "b", True)
    return out


def add(a, b, out=None):
    """a + b of equal shapes; out may be a or b."""
    cdef Arr A, B, O
    out = _binary(a, b, out, &A, &B, &O)
    with nogil:
        K.add(<float *>O.p, <const float *>A.p, <const float *>B.p, A.n)
    return out


def mul(a, b, out=None):
    """a * b of equal shapes, element by element; out may be a or b."""
    cdef Arr A, B, O
    out = _binary(a, b, out, &A, &B, &O)
    with nogil:
        K.mul(<float *>O.p, <const float *>A.p, <const float *>B.p, A.n)
    return out


def axpy(y, x, float alpha):
    """y += alpha * x in place, equal shapes; returns y."""
    cdef Arr Y, X
    _dense(y, "y", F32, True, &Y)
    _dense(x, "x", F32, False, &X)
    _like(&X, "x", &Y)
    _distinct(&Y, "y", &X, "x", True)
    with nogil:
        K.axpy(<float *>Y.p, <const float *>X.p, alpha, Y.n)
    return y


def bias_backward(dout, dbias):
    """dbias (N,) += column sums of dout (..., N); returns dbias."""
    cdef Arr G, O
    _dense(dout, "dout", F32, False, &G)
    cdef int64_t rows = _split(&G, "dout"), N = G.shape[G.nd - 1]
    _dense(dbias, "dbias", F32, True, &O)
    _shape1(&O, "dbias", N)
    _distinct(&O, "dbias", &G, "dout")
    if rows:
        with nogil:
            K.bias_backward(<float *>O.p, <const float *>G.p, rows, N)
    return dbias


# ---- yardsticks for `python -m native_kernels` --------------------------------------------------------------------

cdef extern from "bench.h" nogil:
    double bench_fma_peak(const char *isa, int64_t rounds)
    void baseline_gemm_naive(int64_t, int64_t, int64_t, const float *, const float *, float *)
    void baseline_gemm_tiled(int64_t, int64_t, int64_t, const float *, const float *, float *)


def _bench_fma_peak(int64_t rounds=2000000):
    """GFLOP/s of multiply-adds in registers on all threads: the ceiling of the instruction set in use."""
    cdef double peak
    with nogil:
        peak = bench_fma_peak(K.name, rounds)
    return peak


def _bench_gemm(a, b, str method):
    """a(M, K) b(K, N) by plain C loops on one thread, `method` "naive" or "tiled"."""
    cdef Arr A, B, C
    cdef bint tiled = method == "tiled"
    _dense(a, "a", F32, False, &A)
    _dense(b, "b", F32, False, &B)
    if A.nd != 2 or B.nd != 2 or A.shape[1] != B.shape[0]:
        raise ValueError(f"a {_show(&A)} and b {_show(&B)} cannot be multiplied")
    out = _empty((A.shape[0], B.shape[1]), _f32)
    _dense(out, "out", F32, True, &C)
    with nogil:
        if tiled:
            baseline_gemm_tiled(A.shape[0], B.shape[1], A.shape[1], <const float *>A.p, <const float *>B.p, <float *>C.p)
        else:
            baseline_gemm_naive(A.shape[0], B.shape[1], A.shape[1], <const float *>A.p, <const float *>B.p, <float *>C.p)
    return out


include "_plan.pxi"
