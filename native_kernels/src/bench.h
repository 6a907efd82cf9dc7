// Yardsticks for `python -m native_kernels`: not part of the engine.
#pragma once
#include <stdint.h>

// `rounds` rounds of independent multiply-adds in registers, on this thread; returns the floating-point operations
// done. pairs: of bfloat16 pairs, where the instruction set has them.
double fma_peak_generic(int64_t rounds, int pairs);
#if defined(__x86_64__) || defined(_M_X64)
double fma_peak_avx2(int64_t rounds, int pairs);
double fma_peak_avx512(int64_t rounds, int pairs);
double fma_peak_avx512_vnni(int64_t rounds, int pairs);
#elif defined(__aarch64__)
double fma_peak_neon(int64_t rounds, int pairs);
double fma_peak_neon_dotprod(int64_t rounds, int pairs);
#endif
double bench_fma_peak(const char *isa, int64_t rounds,
                      int pairs); // by name; 0 if unknown. All threads; returns GFLOP/s

// C(M,N) = A(M,K) B(K,N), row-major without gaps, one thread, plain C (k_baseline.inc).
void baseline_gemm_naive(int64_t M, int64_t N, int64_t K, const float *A, const float *B, float *C);
void baseline_gemm_tiled(int64_t M, int64_t N, int64_t K, const float *A, const float *B, float *C);
