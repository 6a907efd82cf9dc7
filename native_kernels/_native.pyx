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

cdef extern from "quantize.h" nogil:
    int nk_quantize(int type, const float *src, uint8_t *dst, int64_t N, int64_t K)

cdef extern from "alloc.h" nogil:
    int NK_MEMORY_PLAN, NK_MEMORY_KINDS
    ctypedef struct nk_memory_count:
        int64_t live, peak, allocations, failures
    void *nk_alloc(int kind, int64_t count, size_t size)
    void nk_free(void *p)
    nk_memory_count nk_memory_counts(int kind)
    const char *nk_memory_name(int kind)
    int nk_take_failure()
    void nk_fail_allocation(int64_t n)

cdef extern from "kernels.h" nogil:
    int NK_RELU, NK_TANH, NK_SIGMOID, NK_SILU, NK_GELU_TANH, NK_GELU_ERF, NK_RELU2, NK_QUICK_GELU

    int NK_KV_F32, NK_KV_F16, NK_KV_Q8_0, NK_KV_KEYS, NK_KV_VALUES
    ctypedef struct nk_sequence:
        int64_t row, rows, start, capacity
        void *keys
        void *values
    ctypedef struct nk_cached_attention:
        const float *q
        float *out
        int64_t q_row, o_row, heads, kv_heads, D
        int kv_type
        float scale, softcap
        int64_t window
        int causal

    ctypedef struct kernel_table:
        const char *name
        void (*gemm_f32)(int, int, int64_t, int64_t, int64_t, const float *, int64_t, const float *, int64_t, float *,
                         int64_t, int, const float *, const float *, int64_t) noexcept nogil
        void (*gemm_bf16)(int, int, int64_t, int64_t, int64_t, const void *, int, int64_t, const void *, int, int64_t,
                          float *, int64_t, int, const float *, const float *, int64_t) noexcept nogil
        void (*quant_pack)(int, const uint8_t *, uint8_t *, int64_t, int64_t) noexcept nogil
        void (*quant_unpack)(int, const uint8_t *, uint8_t *, int64_t, int64_t) noexcept nogil
        void (*dequantize)(int, const uint8_t *, float *, int64_t, int64_t) noexcept nogil
        void (*packed_rows)(int, const uint8_t *, int64_t, int64_t, const int32_t *, int64_t, float *) noexcept nogil
        void (*gemm_quant)(int, int64_t, int64_t, int64_t, const float *, int64_t, const uint8_t *, float *, int64_t,
                           const float *, const float *, int64_t) noexcept nogil
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
        void (*kv_store)(int, const float *, int64_t, int64_t, int64_t, const nk_sequence *, int) noexcept nogil
        void (*kv_rotate)(int, void *, int64_t, int64_t, int64_t, int64_t, int64_t, const float *, const float *,
                          int64_t, int) noexcept nogil
        void (*attention_cached)(const nk_cached_attention *, const nk_sequence *, int64_t) noexcept nogil
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
_ISA_NAMES = ("generic", "avx2", "avx512", "avx512_vnni", "neon", "neon_dotprod")


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


def memory():
    """Memory that the kernels themselves hold (arrays belong to numpy), by what it is for.

    {"all" | "gemm" | "q8_0" | "attention" | "partial_sums" | "plan": {"live": bytes now, "peak": the most there have
    been, "allocations": how many, "failures": how many found no memory}}. Every thread that computes keeps its work
    buffers until it ends.
    """
    cdef int kind
    return {(<bytes>nk_memory_name(kind)).decode(): nk_memory_counts(kind) for kind in range(NK_MEMORY_KINDS + 1)}


def _fail_allocation(int64_t n):
    """For tests: the n-th allocation from now on finds no memory; 0: none."""
    nk_fail_allocation(n)


include "_checks.pxi"
include "_products.pxi"
include "_quantize.pxi"
include "_quantised.pxi"
include "_layers.pxi"
include "_cache.pxi"
include "_vectors.pxi"
include "_yardsticks.pxi"
include "_plan.pxi"
