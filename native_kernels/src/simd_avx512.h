// The vector operations of the kernels for AVX-512 F/BW/VL/DQ: sixteen floats. Knows no kernels. Names: simd_generic.h.
// With -mavx512vnni the int8 products use vpdpbusd.
#pragma once
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { VW = 16 };
enum { V_REGISTERS = 32 };
enum { GEMM_MR = 14, GEMM_NV = 2, GEMM_NR = GEMM_NV * VW }; // 28 of the 32 registers hold the tile

typedef __m512 vf;

static inline __mmask16 v_lanes(int64_t n) { return (__mmask16)(n >= VW ? 0xffff : n <= 0 ? 0 : (1u << n) - 1); }
static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline vf v_loadn(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(v_lanes(n), p); }
static inline void v_store(float *p, vf v) { _mm512_storeu_ps(p, v); }
static inline void v_storen(float *p, vf v, int64_t n) { _mm512_mask_storeu_ps(p, v_lanes(n), v); }
static inline vf v_set1(float x) { return _mm512_set1_ps(x); }
static inline vf v_zero(void) { return _mm512_setzero_ps(); }
static inline vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf v_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
static inline float v_sum(vf v) { return _mm512_reduce_add_ps(v); }
static inline float v_hmax(vf v) { return _mm512_reduce_max_ps(v); }
static inline vf v_round(vf v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf v_scale2(vf p, vf n) { return _mm512_scalef_ps(p, n); } // p * 2^n
static inline void v_transpose(vf r[VW]) {                               // the square r[row][lane], in place
    vf q[VW]; // q[4 g + i]: columns i, i + 4, i + 8, i + 12 of the rows 4 g .. 4 g + 3
#pragma GCC unroll 4
    for (int g = 0; g < VW; g += 4) {
        vf a = _mm512_unpacklo_ps(r[g], r[g + 1]), b = _mm512_unpackhi_ps(r[g], r[g + 1]);
        vf c = _mm512_unpacklo_ps(r[g + 2], r[g + 3]), d = _mm512_unpackhi_ps(r[g + 2], r[g + 3]);
        q[g] = _mm512_shuffle_ps(a, c, 0x44), q[g + 1] = _mm512_shuffle_ps(a, c, 0xee);
        q[g + 2] = _mm512_shuffle_ps(b, d, 0x44), q[g + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        vf even = _mm512_shuffle_f32x4(q[i], q[4 + i], 0x88), odd = _mm512_shuffle_f32x4(q[i], q[4 + i], 0xdd);
        vf even2 = _mm512_shuffle_f32x4(q[8 + i], q[12 + i], 0x88),
           odd2 = _mm512_shuffle_f32x4(q[8 + i], q[12 + i], 0xdd);
        r[i] = _mm512_shuffle_f32x4(even, even2, 0x88), r[8 + i] = _mm512_shuffle_f32x4(even, even2, 0xdd);
        r[4 + i] = _mm512_shuffle_f32x4(odd, odd2, 0x88), r[12 + i] = _mm512_shuffle_f32x4(odd, odd2, 0xdd);
    }
}
#include "simd_math.h"

static inline float f16_to_f32(uint16_t h) { return _cvtsh_ss(h); }
static inline uint16_t f32_to_f16(float f) { return (uint16_t)_cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT); }

static inline vf v_load_f16(const uint8_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
static inline void v_store_f16(uint8_t *p, vf v) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline vf v_load_i8(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
static inline vf v_sums(const vf r[VW]) { // lane i: the sum of r[i]
    vf four[4];                           // four[g]: in each quarter, partial sums of the rows 4 g .. 4 g + 3
#pragma GCC unroll 4
    for (int g = 0; g < VW; g += 4) {
        const vf a = _mm512_add_ps(_mm512_unpacklo_ps(r[g], r[g + 1]), _mm512_unpackhi_ps(r[g], r[g + 1]));
        const vf b = _mm512_add_ps(_mm512_unpacklo_ps(r[g + 2], r[g + 3]), _mm512_unpackhi_ps(r[g + 2], r[g + 3]));
        four[g / 4] = _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
    }
    const vf a =
        _mm512_add_ps(_mm512_shuffle_f32x4(four[0], four[1], 0x88), _mm512_shuffle_f32x4(four[0], four[1], 0xdd));
    const vf b =
        _mm512_add_ps(_mm512_shuffle_f32x4(four[2], four[3], 0x88), _mm512_shuffle_f32x4(four[2], four[3], 0xdd));
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}

// ---- sixteen rows at a time (quantised products): see simd_generic.h ----------------------------------------------
typedef __m512i vi16;
typedef __m512 vf16;
static inline vf16 f16x16_load(const uint8_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
static inline vf16 vf16_zero(void) { return _mm512_setzero_ps(); }
typedef __m512i vline;
typedef __m512i vx16;
typedef __m128i vb16;
static inline vline l_load(const void *p) { return _mm512_loadu_si512(p); }
static inline void l_store(void *p, vline v) { _mm512_storeu_si512(p, v); }
static inline vline l_bits(vline v, int right, int mask) {
    return _mm512_and_si512(_mm512_srli_epi16(v, (unsigned)right), _mm512_set1_epi8((char)mask));
}
static inline vline l_bits_up(vline v, int left, int mask) {
    return _mm512_and_si512(_mm512_slli_epi16(v, (unsigned)left), _mm512_set1_epi8((char)mask));
}
static inline vline l_or(vline a, vline b) { return _mm512_or_si512(a, b); }
static inline vline l_lookup(const int8_t t[16], vline index) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)t)), index);
}
#ifdef __AVX512VNNI__
// vpdpbusd wants one unsigned side: codes + 128. The surplus 128 * sum(x) is known per block of activations, and the
// sum starts at its negative, so that the result is exact for every int8 weight.
enum { DOT_BIAS = 128 };
#else
enum { DOT_BIAS = 0 };
#endif
static inline vline l_bias(vline v) { return DOT_BIAS ? _mm512_xor_si512(v, _mm512_set1_epi8((char)0x80)) : v; }
static inline vx16 x16_load(const int8_t *x4) {
    int32_t four;
    memcpy(&four, x4, 4);
    return _mm512_set1_epi32(four);
}
static inline vx16 x16_keep(vx16 x) { // one broadcast for several lines: stops the compiler from loading it for each
    __asm__("" : "+v"(x));
    return x;
}
static inline vi16 i16_set1(int32_t x) { return _mm512_set1_epi32(x); }
typedef __m512i vn16;
static inline vn16 n16_zero(void) { return _mm512_setzero_si512(); }
#ifdef __AVX512VNNI__
enum { DOT_NARROW = 0 };
typedef vline vfull;
static inline vfull l_full(vline stored) { return stored; }
static inline vi16 i16_dot_full(vi16 acc, vfull w, vx16 x) { return _mm512_dpbusd_epi32(acc, w, x); }
static inline vi16 i16_dot_small(vi16 acc, vline w, vx16 x) { return _mm512_dpbusd_epi32(acc, w, x); }
static inline vn16 n16_dot(vn16 n, vline w, vx16 x) { return n; }
static inline vi16 i16_widen(vi16 acc, vn16 n) { return acc; }
#else
enum { DOT_NARROW = 1 };
// |w| (0 .. 128) times x with w's sign. 2 * 128 * 127 < 2^15: maddubs never saturates.
typedef struct {
    __m512i magnitude;
    __mmask64 negative;
} vfull;
static inline vfull l_full(vline w) { return (vfull){_mm512_abs_epi8(w), _mm512_movepi8_mask(w)}; }
static inline vn16 n16_dot(vn16 n, vline w, vx16 x) { return _mm512_add_epi16(n, _mm512_maddubs_epi16(w, x)); }
static inline vi16 i16_widen(vi16 acc, vn16 n) {
    return _mm512_add_epi32(acc, _mm512_madd_epi16(n, _mm512_set1_epi16(1)));
}
static inline vi16 i16_dot_small(vi16 acc, vline w, vx16 x) { return i16_widen(acc, _mm512_maddubs_epi16(w, x)); }
static inline vi16 i16_dot_full(vi16 acc, vfull w, vx16 x) {
    return i16_dot_small(acc, w.magnitude, _mm512_mask_sub_epi8(x, w.negative, _mm512_setzero_si512(), x));
}
#endif
static inline vf16 vf16_of(vi16 i) { return _mm512_cvtepi32_ps(i); }
static inline vf16 vf16_set1(float x) { return _mm512_set1_ps(x); }
static inline vf16 vf16_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vf16_put(float *p, vf16 v) { _mm512_storeu_ps(p, v); }
static inline vf16 vf16_add(vf16 a, vf16 b) { return _mm512_add_ps(a, b); }
static inline vf16 vf16_mul(vf16 a, vf16 b) { return _mm512_mul_ps(a, b); }
static inline vf16 vf16_fma(vf16 a, vf16 b, vf16 c) { return _mm512_fmadd_ps(a, b, c); }
static inline vb16 b16_load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline vb16 b16_bits(vb16 v, int right, int mask) {
    return _mm_and_si128(_mm_srl_epi16(v, _mm_cvtsi32_si128(right)), _mm_set1_epi8((char)mask));
}
static inline vb16 b16_join(vb16 low, vb16 high) { return _mm_or_si128(low, _mm_slli_epi16(high, 4)); }
static inline vf16 vf16_u8(vb16 v) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(v)); }
static inline vf16 vf16_s8(vb16 v) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v)); }
static inline vf16 vf16_e8m0(vb16 v) {
    const __m512i e = _mm512_cvtepu8_epi32(v), two = _mm512_set1_epi32(2);
    const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    return _mm512_castsi512_ps(
        _mm512_mask_sllv_epi32(normal, _mm512_cmplt_epi32_mask(e, two), _mm512_set1_epi32(0x00200000), e));
}
static inline void v_to_i8(int8_t *p, vf v) { // |v| <= 127, to nearest even; NaN: 0
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}
static inline int32_t b16_sum(const int8_t *p) { // of sixteen int8
    const __m128i v = _mm_xor_si128(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8((char)0x80));
    const __m128i two = _mm_sad_epu8(v, _mm_setzero_si128());
    return _mm_cvtsi128_si32(two) + _mm_extract_epi16(two, 4) - 16 * 128;
}
enum { QUANT_FEW = 7 };          // activation rows for which the packed weights are not expanded to memory
enum { TILE_R = 7, TILE_V = 2 }; // 14 sums + 14 floats + 2 lines + 1 broadcast fill 31 registers
