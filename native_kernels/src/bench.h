// Yardsticks for `python -m native_kernels`: not part of the engine.
#pragma once
#include <stdint.h>

enum { BENCH_F32, BENCH_BF16, BENCH_INT8 };
// `rounds` rounds of independent multiply-adds in registers, on this thread; returns the operations done. BENCH_BF16:
// of bfloat16 pairs, where the instruction set has them; BENCH_INT8: of int8 with int32 sums. read_streams: reads bytes
// (a multiple of 2048) and returns something of them.
double fma_peak_generic(int64_t rounds, int what);
uint64_t read_streams_generic(const uint8_t *p, int64_t bytes);
#if defined(__x86_64__) || defined(_M_X64)
double fma_peak_avx2(int64_t rounds, int what);
uint64_t read_streams_avx2(const uint8_t *p, int64_t bytes);
double fma_peak_avx512(int64_t rounds, int what);
uint64_t read_streams_avx512(const uint8_t *p, int64_t bytes);
double fma_peak_avx512_vnni(int64_t rounds, int what);
uint64_t read_streams_avx512_vnni(const uint8_t *p, int64_t bytes);
#elif defined(__aarch64__)
double fma_peak_neon(int64_t rounds, int what);
uint64_t read_streams_neon(const uint8_t *p, int64_t bytes);
double fma_peak_neon_dotprod(int64_t rounds, int what);
uint64_t read_streams_neon_dotprod(const uint8_t *p, int64_t bytes);
#endif
// By name, on all threads; 0 if unknown. Billions of operations per second; gigabytes per second of reading a buffer.
double bench_fma_peak(const char *isa, int64_t rounds, int what);
double bench_read(const char *isa, const uint8_t *p, int64_t bytes);

// C(M,N) = A(M,K) B(K,N), row-major without gaps, one thread, plain C (k_baseline.inc).
void baseline_gemm_naive(int64_t M, int64_t N, int64_t K, const float *A, const float *B, float *C);
void baseline_gemm_tiled(int64_t M, int64_t N, int64_t K, const float *A, const float *B, float *C);
