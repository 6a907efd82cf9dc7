// The vector operations of the kernels for AArch64 NEON: four floats. Knows no kernels. Names: see simd_generic.h.
// With the dot product extension (ARMv8.2 DotProd) the int8 products use sdot.
#pragma once
#include <arm_neon.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { VW = 4 };
enum { V_REGISTERS = 32 };
enum { GEMM_MR = 7, GEMM_NV = 3, GEMM_NR = GEMM_NV * VW }; // 21 registers hold the tile, 3 a row of B, 7 a column of A

typedef float32x4_t vf;

static inline vf v_load(const float *p) { return vld1q_f32(p); }
static inline void v_store(float *p, vf v) { vst1q_f32(p, v); }
static inline vf v_zero(void) { return vdupq_n_f32(0.0f); }
// NEON has no masked access: the rest of a row goes in pairs and single lanes, out of line because it is rare.
static __attribute__((noinline)) vf v_load_part(const float *p, int64_t n) {
    vf v = v_zero();
    if (n >= 2) v = vcombine_f32(vld1_f32(p), vdup_n_f32(0.0f));
    if (n == 3) v = vld1q_lane_f32(p + 2, v, 2);
    return n == 1 ? vld1q_lane_f32(p, v, 0) : v;
}
static __attribute__((noinline)) void v_store_part(float *p, vf v, int64_t n) {
    if (n >= 2) vst1_f32(p, vget_low_f32(v));
    if (n == 3) vst1q_lane_f32(p + 2, v, 2);
    if (n == 1) vst1q_lane_f32(p, v, 0);
}
static inline vf v_loadn(const float *p, int64_t n) { return n >= VW ? vld1q_f32(p) : v_load_part(p, n); }
static inline void v_storen(float *p, vf v, int64_t n) {
    if (n >= VW)
        vst1q_f32(p, v);
    else
        v_store_part(p, v, n);
}
static inline vf v_set1(float x) { return vdupq_n_f32(x); }
static inline vf v_add(vf a, vf b) { return vaddq_f32(a, b); }
static inline vf v_sub(vf a, vf b) { return vsubq_f32(a, b); }
static inline vf v_mul(vf a, vf b) { return vmulq_f32(a, b); }
static inline vf v_div(vf a, vf b) { return vdivq_f32(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf v_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
// fmax and fmin return NaN if either side is NaN; the contract wants b.
static inline vf v_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline vf v_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
static inline vf v_sqrt(vf a) { return vsqrtq_f32(a); }
static inline float v_sum(vf v) { return vaddvq_f32(v); }
static inline float v_hmax(vf v) { return vmaxvq_f32(v); }
static inline vf v_round(vf v) { return vrndnq_f32(v); }
// p * 2^n, n integral in [-252, 254]: in two steps, so that neither factor leaves the normal range.
static inline vf v_scale2(vf p, vf n) {
    const int32x4_t e = vcvtq_s32_f32(n), h = vshrq_n_s32(e, 1), g = vsubq_s32(e, h), bias = vdupq_n_s32(127);
    p = vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(h, bias), 23)));
    return vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(g, bias), 23)));
}
static inline void v_transpose(vf r[VW]) { // the square r[row][lane], in place
    const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(r[0], r[1])),
                      b = vreinterpretq_f64_f32(vtrn2q_f32(r[0], r[1])),
                      c = vreinterpretq_f64_f32(vtrn1q_f32(r[2], r[3])),
                      d = vreinterpretq_f64_f32(vtrn2q_f32(r[2], r[3]));
    r[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c)), r[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
    r[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c)), r[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}
#include "simd_math.h"

// ---- half precision: the base instruction set converts both ways, to nearest even ---------------------------------
static inline float f16_to_f32(uint16_t h) {
    __fp16 half;
    memcpy(&half, &h, 2);
    return (float)half;
}
static inline uint16_t f32_to_f16(float f) {
    const __fp16 half = (__fp16)f;
    uint16_t h;
    memcpy(&h, &half, 2);
    return h;
}

static inline vf v_load_f16(const uint8_t *p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
static inline void v_store_f16(uint8_t *p, vf v) { vst1_u8(p, vreinterpret_u8_f16(vcvt_f16_f32(v))); }
static inline vf v_load_i8(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four))))));
}
static inline vf v_sums(const vf r[VW]) { return vpaddq_f32(vpaddq_f32(r[0], r[1]), vpaddq_f32(r[2], r[3])); }

// ---- sixteen rows at a time (quantised products): see simd_generic.h ----------------------------------------------
typedef struct {
    int32x4_t quarter[4]; // four rows each
} vi16;
typedef struct {
    float32x4_t quarter[4];
} vf16;
enum { DOT_BIAS = 0 };

static inline int32x4_t i8_dot4(int32x4_t acc, int8x16_t w, int8x16_t x) {
#ifdef __ARM_FEATURE_DOTPROD
    return vdotq_s32(acc, w, x);
#else
    // In 16-bit lanes: a sum of two products is at most 2 * 128 * 127 < 2^15.
    return vpadalq_s16(acc, vpaddq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x)), vmull_high_s8(w, x)));
#endif
}
static inline vf16 f16x16_load(const uint8_t *p) { // 16 half floats
    vf16 v;
    for (int i = 0; i < 4; i++) v.quarter[i] = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p + 8 * i)));
    return v;
}
static inline vf16 vf16_zero(void) { return (vf16){{v_zero(), v_zero(), v_zero(), v_zero()}}; }
typedef struct {
    uint8x16_t quarter[4];
} vline;
typedef int8x16_t vx16;
typedef uint8x16_t vb16;
typedef vi16 vn16;
typedef vline vfull;
enum { DOT_NARROW = 0 };
#define EACH(out, expression)                                                                                          \
    for (int i = 0; i < 4; i++) (out).quarter[i] = (expression)
static inline vline l_load(const void *p) {
    vline v;
    EACH(v, vld1q_u8((const uint8_t *)p + 16 * i));
    return v;
}
static inline void l_store(void *p, vline v) {
    for (int i = 0; i < 4; i++) vst1q_u8((uint8_t *)p + 16 * i, v.quarter[i]);
}
static inline vline l_bits(vline v, int right, int mask) {
    EACH(v, vandq_u8(vshlq_u8(v.quarter[i], vdupq_n_s8((int8_t)-right)), vdupq_n_u8((uint8_t)mask)));
    return v;
}
static inline vline l_bits_up(vline v, int left, int mask) {
    EACH(v, vandq_u8(vshlq_u8(v.quarter[i], vdupq_n_s8((int8_t)left)), vdupq_n_u8((uint8_t)mask)));
    return v;
}
static inline vline l_or(vline a, vline b) {
    EACH(a, vorrq_u8(a.quarter[i], b.quarter[i]));
    return a;
}
static inline vline l_lookup(const int8_t t[16], vline index) {
    const uint8x16_t table = vreinterpretq_u8_s8(vld1q_s8(t));
    EACH(index, vqtbl1q_u8(table, index.quarter[i]));
    return index;
}
static inline vline l_bias(vline v) { return v; }
static inline vx16 x16_load(const int8_t *x4) {
    int32_t four;
    memcpy(&four, x4, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
static inline vx16 x16_keep(vx16 x) {
    __asm__("" : "+w"(x));
    return x;
}
static inline vi16 i16_set1(int32_t x) {
    const int32x4_t v = vdupq_n_s32(x);
    return (vi16){{v, v, v, v}};
}
static inline vn16 n16_zero(void) { return i16_set1(0); }
static inline vn16 n16_dot(vn16 n, vline w, vx16 x) { return n; }
static inline vi16 i16_widen(vi16 acc, vn16 n) { return acc; }
static inline vfull l_full(vline stored) { return stored; }
static inline vi16 i16_dot_full(vi16 acc, vfull w, vx16 x) {
    EACH(acc, i8_dot4(acc.quarter[i], vreinterpretq_s8_u8(w.quarter[i]), x));
    return acc;
}
static inline vi16 i16_dot_small(vi16 acc, vline w, vx16 x) { return i16_dot_full(acc, w, x); }
static inline vf16 vf16_of(vi16 v) {
    vf16 f;
    EACH(f, vcvtq_f32_s32(v.quarter[i]));
    return f;
}
static inline vf16 vf16_set1(float x) {
    const float32x4_t v = vdupq_n_f32(x);
    return (vf16){{v, v, v, v}};
}
static inline vf16 vf16_load(const float *p) {
    vf16 f;
    EACH(f, vld1q_f32(p + 4 * i));
    return f;
}
static inline void vf16_put(float *p, vf16 v) {
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, v.quarter[i]);
}
static inline vf16 vf16_add(vf16 a, vf16 b) {
    EACH(a, vaddq_f32(a.quarter[i], b.quarter[i]));
    return a;
}
static inline vf16 vf16_mul(vf16 a, vf16 b) {
    EACH(a, vmulq_f32(a.quarter[i], b.quarter[i]));
    return a;
}
static inline vf16 vf16_fma(vf16 a, vf16 b, vf16 c) {
    EACH(c, vfmaq_f32(c.quarter[i], a.quarter[i], b.quarter[i]));
    return c;
}
static inline vb16 b16_load(const uint8_t *p) { return vld1q_u8(p); }
static inline vb16 b16_bits(vb16 v, int right, int mask) {
    return vandq_u8(vshlq_u8(v, vdupq_n_s8((int8_t)-right)), vdupq_n_u8((uint8_t)mask));
}
static inline vb16 b16_join(vb16 low, vb16 high) { return vorrq_u8(low, vshlq_n_u8(high, 4)); }
static inline vf16 vf16_u16(uint16x8_t low, uint16x8_t high) {
    return (vf16){{vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
                   vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)))}};
}
static inline vf16 vf16_u8(vb16 v) { return vf16_u16(vmovl_u8(vget_low_u8(v)), vmovl_u8(vget_high_u8(v))); }
static inline vf16 vf16_s8(vb16 v) { // v + 128 - 128
    return vf16_add(vf16_u8(veorq_u8(v, vdupq_n_u8(0x80))), vf16_set1(-128.0f));
}
static inline vf16 vf16_e8m0(vb16 v) {
    const uint16x8_t pair[2] = {vmovl_u8(vget_low_u8(v)), vmovl_u8(vget_high_u8(v))};
    vf16 f;
    for (int i = 0; i < 4; i++) {
        const uint32x4_t e = vmovl_u16(i & 1 ? vget_high_u16(pair[i / 2]) : vget_low_u16(pair[i / 2]));
        const uint32x4_t small = vshlq_u32(vdupq_n_u32(0x00200000), vreinterpretq_s32_u32(e));
        const uint32x4_t normal = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
        f.quarter[i] = vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), small, normal));
    }
    return f;
}
#undef EACH
static inline void v_to_i8(int8_t *p, vf v) { // |v| <= 127, to nearest even; NaN: 0
    const int16x4_t h = vmovn_s32(vcvtnq_s32_f32(v));
    const int32x2_t four = vreinterpret_s32_s8(vmovn_s16(vcombine_s16(h, h)));
    const int32_t word = vget_lane_s32(four, 0);
    memcpy(p, &word, 4);
}
static inline int32_t b16_sum(const int8_t *p) { return vaddlvq_s8(vld1q_s8(p)); } // of sixteen int8
enum { QUANT_FEW = 4 };          // activation rows for which the packed weights are not expanded to memory
enum { TILE_R = 4, TILE_V = 1 }; // 16 sums, a line of 4 and a broadcast; the floats stay in memory
