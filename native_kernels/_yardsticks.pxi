# Yardsticks for `python -m native_kernels`: peak, naive and tiled products. Included by _native.pyx.

cdef extern from "bench.h" nogil:
    int BENCH_F32, BENCH_BF16, BENCH_INT8
    double bench_fma_peak(const char *isa, int64_t rounds, int what)
    double bench_read(const char *isa, const uint8_t *p, int64_t bytes)
    void baseline_gemm_naive(int64_t, int64_t, int64_t, const float *, const float *, float *)
    void baseline_gemm_tiled(int64_t, int64_t, int64_t, const float *, const float *, float *)


def _bench_fma_peak(int64_t rounds=2000000, bint bf16=False):
    """GFLOP/s of multiply-adds in registers on all threads, of float32 or of bfloat16 pairs: the ceiling of the
    instruction set in use."""
    cdef double peak
    with nogil:
        peak = bench_fma_peak(K.name, rounds, BENCH_BF16 if bf16 else BENCH_F32)
    return peak


def _bench_int8_peak(int64_t rounds=2000000):
    """The same of int8 products with int32 sums (GOP/s, two operations a product)."""
    cdef double peak
    with nogil:
        peak = bench_fma_peak(K.name, rounds, BENCH_INT8)
    return peak


def _bench_read(buffer):
    """GB/s at which all threads read a uint8 buffer of at least 1 MiB: beyond the caches, the floor of a product with
    few rows."""
    cdef Arr B
    cdef double rate
    _dense(buffer, "buffer", U8, False, &B)
    with nogil:
        rate = bench_read(K.name, <const uint8_t *>B.p, B.n)
    return rate


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
