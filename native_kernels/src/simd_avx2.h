// The vector operations of the kernels for AVX2 + FMA + F16C: eight floats. Knows no kernels. Names: see
// simd_generic.h.
#pragma once
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { VW = 8 };
enum { V_REGISTERS = 16 };
enum { GEMM_MR = 6, GEMM_NV = 2, GEMM_NR = GEMM_NV * VW }; // 12 of the 16 registers hold the tile

typedef __m256 vf;

static inline __m256i v_lanes(int64_t n) { // all ones in the first n lanes
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n > VW ? VW : (int)n), lane);
}
static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline vf v_loadn(const float *p, int64_t n) { return _mm256_maskload_ps(p, v_lanes(n)); }
static inline void v_store(float *p, vf v) { _mm256_storeu_ps(p, v); }
static inline void v_storen(float *p, vf v, int64_t n) { _mm256_maskstore_ps(p, v_lanes(n), v); }
static inline vf v_set1(float x) { return _mm256_set1_ps(x); }
static inline vf v_zero(void) { return _mm256_setzero_ps(); }
static inline vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf v_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline float v_sum(vf v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float v_hmax(vf v) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
static inline vf v_round(vf v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// p * 2^n, n integral in [-252, 254]: in two steps, so that neither factor leaves the normal range.
static inline vf v_scale2(vf p, vf n) {
    __m256i e = _mm256_cvtps_epi32(n), h = _mm256_srai_epi32(e, 1), g = _mm256_sub_epi32(e, h);
    const __m256i bias = _mm256_set1_epi32(127);
    p = _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(h, bias), 23)));
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(g, bias), 23)));
}
static inline void v_transpose(vf r[VW]) { // the square r[row][lane], in place
    vf q[VW];                              // q[4 g + i]: columns i and i + 4 of the rows 4 g .. 4 g + 3
#pragma GCC unroll 2
    for (int g = 0; g < VW; g += 4) {
        vf a = _mm256_unpacklo_ps(r[g], r[g + 1]), b = _mm256_unpackhi_ps(r[g], r[g + 1]);
        vf c = _mm256_unpacklo_ps(r[g + 2], r[g + 3]), d = _mm256_unpackhi_ps(r[g + 2], r[g + 3]);
        q[g] = _mm256_shuffle_ps(a, c, 0x44), q[g + 1] = _mm256_shuffle_ps(a, c, 0xee);
        q[g + 2] = _mm256_shuffle_ps(b, d, 0x44), q[g + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(q[i], q[4 + i], 0x20);
        r[4 + i] = _mm256_permute2f128_ps(q[i], q[4 + i], 0x31);
    }
}
#include "simd_math.h"

static inline float f16_to_f32(uint16_t h) { return _cvtsh_ss(h); }
static inline uint16_t f32_to_f16(float f) { return (uint16_t)_cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT); }

static inline vf v_load_f16(const uint8_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
static inline void v_store_f16(uint8_t *p, vf v) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
static inline vf v_load_i8(const uint8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline vf v_sums(const vf r[VW]) { // lane i: the sum of r[i]
    const vf a = _mm256_hadd_ps(_mm256_hadd_ps(r[0], r[1]), _mm256_hadd_ps(r[2], r[3]));
    const vf b = _mm256_hadd_ps(_mm256_hadd_ps(r[4], r[5]), _mm256_hadd_ps(r[6], r[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

// ---- sixteen rows at a time (quantised products): see simd_generic.h ----------------------------------------------
typedef struct {
    __m256i lo, hi;
} vi16;
typedef struct {
    __m256 lo, hi;
} vf16;
enum { DOT_BIAS = 0 };
// maddubs wants one unsigned side: |w| (0 .. 128) times x with w's sign. 2 * 128 * 127 < 2^15: it never saturates.
static inline __m256i i8_dot4(__m256i acc, __m256i w, __m256i x) {
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
static inline vf16 f16x16_load(const uint8_t *p) {
    return (vf16){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                  _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 16)))};
}
static inline vf16 vf16_zero(void) { return (vf16){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
typedef vi16 vline;
typedef __m256i vx16;
typedef __m128i vb16;
typedef vi16 vn16;
enum { DOT_NARROW = 1 };
static inline vline l_load(const void *p) {
    return (vline){_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)p + 1)};
}
static inline void l_store(void *p, vline v) {
    _mm256_storeu_si256((__m256i *)p, v.lo);
    _mm256_storeu_si256((__m256i *)p + 1, v.hi);
}
static inline vline l_bits(vline v, int right, int mask) {
    const __m256i m = _mm256_set1_epi8((char)mask);
    return (vline){_mm256_and_si256(_mm256_srli_epi16(v.lo, right), m),
                   _mm256_and_si256(_mm256_srli_epi16(v.hi, right), m)};
}
static inline vline l_bits_up(vline v, int left, int mask) {
    const __m256i m = _mm256_set1_epi8((char)mask);
    return (vline){_mm256_and_si256(_mm256_slli_epi16(v.lo, left), m),
                   _mm256_and_si256(_mm256_slli_epi16(v.hi, left), m)};
}
static inline vline l_or(vline a, vline b) { return (vline){_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
static inline vline l_lookup(const int8_t t[16], vline index) {
    const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)t));
    return (vline){_mm256_shuffle_epi8(table, index.lo), _mm256_shuffle_epi8(table, index.hi)};
}
static inline vline l_bias(vline v) { return v; }
static inline vx16 x16_load(const int8_t *x4) {
    int32_t four;
    memcpy(&four, x4, 4);
    return _mm256_set1_epi32(four);
}
static inline vx16 x16_keep(vx16 x) {
    __asm__("" : "+x"(x));
    return x;
}
static inline vi16 i16_set1(int32_t x) { return (vi16){_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
static inline vn16 n16_zero(void) { return (vn16){_mm256_setzero_si256(), _mm256_setzero_si256()}; }
static inline vn16 n16_dot(vn16 n, vline w, vx16 x) {
    return (vn16){_mm256_add_epi16(n.lo, _mm256_maddubs_epi16(w.lo, x)),
                  _mm256_add_epi16(n.hi, _mm256_maddubs_epi16(w.hi, x))};
}
static inline vi16 i16_widen(vi16 acc, vn16 n) {
    const __m256i one = _mm256_set1_epi16(1);
    return (vi16){_mm256_add_epi32(acc.lo, _mm256_madd_epi16(n.lo, one)),
                  _mm256_add_epi32(acc.hi, _mm256_madd_epi16(n.hi, one))};
}
static inline vi16 i16_dot_small(vi16 acc, vline w, vx16 x) {
    return i16_widen(acc, (vn16){_mm256_maddubs_epi16(w.lo, x), _mm256_maddubs_epi16(w.hi, x)});
}
typedef vline vfull;
static inline vfull l_full(vline stored) { return stored; }
static inline vi16 i16_dot_full(vi16 acc, vfull w, vx16 x) {
    return (vi16){i8_dot4(acc.lo, w.lo, x), i8_dot4(acc.hi, w.hi, x)};
}
static inline vf16 vf16_of(vi16 i) { return (vf16){_mm256_cvtepi32_ps(i.lo), _mm256_cvtepi32_ps(i.hi)}; }
static inline vf16 vf16_set1(float x) { return (vf16){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
static inline vf16 vf16_load(const float *p) { return (vf16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
static inline void vf16_put(float *p, vf16 v) { _mm256_storeu_ps(p, v.lo), _mm256_storeu_ps(p + 8, v.hi); }
static inline vf16 vf16_add(vf16 a, vf16 b) { return (vf16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
static inline vf16 vf16_mul(vf16 a, vf16 b) { return (vf16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
static inline vf16 vf16_fma(vf16 a, vf16 b, vf16 c) {
    return (vf16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
static inline vb16 b16_load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline vb16 b16_bits(vb16 v, int right, int mask) {
    return _mm_and_si128(_mm_srl_epi16(v, _mm_cvtsi32_si128(right)), _mm_set1_epi8((char)mask));
}
static inline vb16 b16_join(vb16 low, vb16 high) { return _mm_or_si128(low, _mm_slli_epi16(high, 4)); }
static inline vf16 vf16_u8(vb16 v) {
    return (vf16){_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v)),
                  _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(v, 8)))};
}
static inline vf16 vf16_s8(vb16 v) {
    return (vf16){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)),
                  _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)))};
}
static inline __m256 e8m0_half8(__m128i v) {
    const __m256i e = _mm256_cvtepu8_epi32(v), small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, small, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e)));
}
static inline vf16 vf16_e8m0(vb16 v) { return (vf16){e8m0_half8(v), e8m0_half8(_mm_srli_si128(v, 8))}; }
static inline void v_to_i8(int8_t *p, vf v) { // |v| <= 127, to nearest even; NaN: some int8
    const __m256i i = _mm256_cvtps_epi32(v);
    const __m128i h = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(h, h));
}
static inline int32_t b16_sum(const int8_t *p) { // of sixteen int8
    const __m128i v = _mm_xor_si128(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8((char)0x80));
    const __m128i two = _mm_sad_epu8(v, _mm_setzero_si128());
    return _mm_cvtsi128_si32(two) + _mm_extract_epi16(two, 4) - 16 * 128;
}
enum { QUANT_FEW = 4 };          // activation rows for which the packed weights are not expanded to memory
enum { TILE_R = 4, TILE_V = 1 }; // 8 sums, 2 half lines, a broadcast and room to work; the floats stay in memory
