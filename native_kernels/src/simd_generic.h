// The vector operations of the kernels for any CPU: four floats in GCC's portable vector type (SSE2, NEON, ... by the
// compiler). Knows no kernels. The same names are defined by simd_avx2.h and simd_avx512.h; VW is the number of lanes,
// V_REGISTERS how many vectors the CPU holds.
//   v_loadn(p, n) reads the first n lanes only (the rest is 0), v_storen(p, v, n) writes the first n lanes only.
//   v_max(a, b) and v_min(a, b) return b if either is NaN, as the x86 instructions do.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { VW = 4 };
enum { V_REGISTERS = 16 };                                 // at least
enum { GEMM_MR = 4, GEMM_NV = 2, GEMM_NR = GEMM_NV * VW }; // register tile of the matrix product: MR rows x NV vectors

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vf_bits __attribute__((vector_size(16)));

static inline vf v_load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void v_store(float *p, vf v) { memcpy(p, &v, sizeof v); }
static inline vf v_loadn(const float *p, int64_t n) {
    vf v = {0, 0, 0, 0};
    for (int64_t i = 0; i < n && i < VW; i++) v[i] = p[i];
    return v;
}
static inline void v_storen(float *p, vf v, int64_t n) {
    for (int64_t i = 0; i < n && i < VW; i++) p[i] = v[i];
}
static inline vf v_set1(float x) { return (vf){x, x, x, x}; }
static inline vf v_zero(void) { return (vf){0, 0, 0, 0}; }
static inline vf v_add(vf a, vf b) { return a + b; }
static inline vf v_sub(vf a, vf b) { return a - b; }
static inline vf v_mul(vf a, vf b) { return a * b; }
static inline vf v_div(vf a, vf b) { return a / b; }
static inline vf v_fma(vf a, vf b, vf c) { return a * b + c; } // one rounding only where the CPU has the instruction
static inline vf v_fnma(vf a, vf b, vf c) { return c - a * b; }
static inline vf v_pick(vf_bits m, vf a, vf b) { return (vf)((m & (vf_bits)a) | (~m & (vf_bits)b)); }
static inline vf v_max(vf a, vf b) { return v_pick(a > b, a, b); }
static inline vf v_min(vf a, vf b) { return v_pick(a < b, a, b); }
static inline vf v_sqrt(vf a) {
    for (int i = 0; i < VW; i++) a[i] = sqrtf(a[i]);
    return a;
}
static inline float v_sum(vf v) { return (v[0] + v[2]) + (v[1] + v[3]); }
static inline float v_hmax(vf v) {
    float a = v[0] > v[1] ? v[0] : v[1], b = v[2] > v[3] ? v[2] : v[3];
    return a > b ? a : b;
}
static inline vf v_round(vf v) { // to nearest even, |v| < 2^22
    const vf magic = v_set1(12582912.0f);
    return (v + magic) - magic;
}
// p * 2^n, n integral in [-252, 254]: in two steps, so that neither factor leaves the normal range.
static inline vf v_scale2(vf p, vf n) {
    for (int i = 0; i < VW; i++) {
        int32_t e = (int32_t)n[i], h = e >> 1, bits[2] = {(h + 127) << 23, (e - h + 127) << 23};
        float s[2];
        memcpy(s, bits, sizeof s);
        p[i] = p[i] * s[0] * s[1];
    }
    return p;
}
static inline void v_transpose(vf r[VW]) { // the square r[row][lane], in place
    for (int i = 0; i < VW; i++)
        for (int j = 0; j < i; j++) {
            float t = r[i][j];
            r[i][j] = r[j][i];
            r[j][i] = t;
        }
}
#include "simd_math.h"

// ---- half precision -------------------------------------------------------------------------------------------
static inline float f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff, bits;
    float f;
    if (exponent == 0) { // zero or subnormal: exact in float
        f = (float)mantissa * 0x1p-24f;
        return sign ? -f : f;
    }
    bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
    memcpy(&f, &bits, 4);
    return f;
}
static inline uint16_t f32_to_f16(float f) { // round to nearest even
    uint32_t bits, sign;
    memcpy(&bits, &f, 4);
    sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (bits >= 0x477ff000) return (uint16_t)(sign | 0x7c00); // rounds to infinity
    if (bits < 0x38800000) {                                  // subnormal: let the float adder round
        float magnitude, half = 0.5f;
        memcpy(&magnitude, &bits, 4);
        magnitude += half;
        memcpy(&bits, &magnitude, 4);
        return (uint16_t)(sign | (bits - 0x3f000000));
    }
    return (uint16_t)(sign | (bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13);
}

// VW stored halves or int8 as floats, and back to halves.
static inline vf v_load_f16(const uint8_t *p) {
    vf v;
    for (int i = 0; i < VW; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, 2);
        v[i] = f16_to_f32(h);
    }
    return v;
}
static inline void v_store_f16(uint8_t *p, vf v) {
    for (int i = 0; i < VW; i++) {
        const uint16_t h = f32_to_f16(v[i]);
        memcpy(p + 2 * i, &h, 2);
    }
}
static inline vf v_load_i8(const uint8_t *p) { return (vf){(int8_t)p[0], (int8_t)p[1], (int8_t)p[2], (int8_t)p[3]}; }
static inline vf v_sums(const vf r[VW]) { // lane i: the sum of r[i]
    return (vf){v_sum(r[0]), v_sum(r[1]), v_sum(r[2]), v_sum(r[3])};
}

// ---- sixteen rows at a time (quantised products) ------------------------------------------------------------------
typedef int16_t vs8 __attribute__((vector_size(16)));
typedef struct {
    vf_bits quarter[4]; // four rows each
} vi16;
typedef struct {
    float lane[16];
} vf16;
enum {
    DOT_BIAS = 0
}; // the offset that this ISA adds to the weights; its effect is taken off through the sums of the activations

static inline vf16 f16x16_load(const uint8_t *p) { // 16 half floats
    vf16 v;
    for (int r = 0; r < 16; r++) {
        uint16_t h;
        memcpy(&h, p + 2 * r, 2);
        v.lane[r] = f16_to_f32(h);
    }
    return v;
}
static inline vf16 vf16_zero(void) {
    vf16 v = {{0}};
    return v;
}
// A line (vline) is 64 bytes: 16 rows x 4 codes (quant_layout.h). vx16: 4 activations for all rows. vb16: a byte for
// each of the 16 rows. l_bits(v, right, mask) is (v >> right) & mask in every byte, if mask keeps to the byte's own
// bits; l_bits_up shifts the other way. Codes are "small" (0 .. 127) or "full" (any int8, stored with DOT_BIAS added).
// Where DOT_NARROW is set small codes may also be summed in 16 bits (n16_dot) before they are widened.
typedef uint8_t vb16 __attribute__((vector_size(16)));
typedef struct {
    vb16 quarter[4];
} vline;
typedef struct {
    vs8 even, odd;
} vx16;
typedef vline vfull;
typedef vi16 vn16;
enum { DOT_NARROW = 0 };
static inline vline l_load(const void *p) {
    vline v;
    memcpy(&v, p, 64);
    return v;
}
static inline void l_store(void *p, vline v) { memcpy(p, &v, 64); }
static inline vline l_bits(vline v, int right, int mask) {
    for (int i = 0; i < 4; i++) v.quarter[i] = (v.quarter[i] >> (uint8_t)right) & (uint8_t)mask;
    return v;
}
static inline vline l_bits_up(vline v, int left, int mask) {
    for (int i = 0; i < 4; i++) v.quarter[i] = (v.quarter[i] << (uint8_t)left) & (uint8_t)mask;
    return v;
}
static inline vline l_or(vline a, vline b) {
    for (int i = 0; i < 4; i++) a.quarter[i] |= b.quarter[i];
    return a;
}
static inline vline l_lookup(const int8_t t[16], vline index) {
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 16; j++) index.quarter[i][j] = (uint8_t)t[index.quarter[i][j]];
    return index;
}
static inline vline l_bias(vline v) { return v; }
static inline vx16 x16_load(const int8_t *x4) {
    const int16_t a = x4[0], b = x4[1], c = x4[2], d = x4[3];
    return (vx16){{a, c, a, c, a, c, a, c}, {b, d, b, d, b, d, b, d}};
}
static inline vx16 x16_keep(vx16 x) { return x; } // what comes out is the same, but the compiler does not know it
static inline vi16 i16_set1(int32_t x) {
    const vf_bits v = {x, x, x, x};
    return (vi16){{v, v, v, v}};
}
static inline vn16 n16_zero(void) { return i16_set1(0); }
static inline vn16 n16_dot(vn16 n, vline w, vx16 x) { return n; }
static inline vi16 i16_widen(vi16 acc, vn16 n) { return acc; }
static inline vfull l_full(vline stored) { return stored; }
// In 16-bit lanes: a sum of two products is at most 2 * 128 * 127 < 2^15. Little-endian bytes are assumed.
static inline vi16 i16_dot_full(vi16 acc, vfull w, vx16 x) {
    for (int i = 0; i < 4; i++) {
        const vs8 codes = (vs8)w.quarter[i];
        const vf_bits pairs = (vf_bits)(((codes << 8) >> 8) * x.even + (codes >> 8) * x.odd);
        acc.quarter[i] += ((pairs << 16) >> 16) + (pairs >> 16);
    }
    return acc;
}
static inline vi16 i16_dot_small(vi16 acc, vline w, vx16 x) { return i16_dot_full(acc, w, x); }
#define EACH(out, expression)                                                                                          \
    for (int r = 0; r < 16; r++) (out).lane[r] = (expression)
static inline vf16 vf16_of(vi16 v) {
    vf16 f;
    EACH(f, (float)v.quarter[r / 4][r % 4]);
    return f;
}
static inline vf16 vf16_set1(float x) {
    vf16 f;
    EACH(f, x);
    return f;
}
static inline vf16 vf16_load(const float *p) {
    vf16 f;
    EACH(f, p[r]);
    return f;
}
static inline void vf16_put(float *p, vf16 v) { memcpy(p, &v, 64); }
static inline vf16 vf16_add(vf16 a, vf16 b) {
    EACH(a, a.lane[r] + b.lane[r]);
    return a;
}
static inline vf16 vf16_mul(vf16 a, vf16 b) {
    EACH(a, a.lane[r] * b.lane[r]);
    return a;
}
static inline vf16 vf16_fma(vf16 a, vf16 b, vf16 c) {
    EACH(c, a.lane[r] * b.lane[r] + c.lane[r]);
    return c;
}
static inline vb16 b16_load(const uint8_t *p) {
    vb16 v;
    memcpy(&v, p, 16);
    return v;
}
static inline vb16 b16_bits(vb16 v, int right, int mask) { return (v >> (uint8_t)right) & (uint8_t)mask; }
static inline vb16 b16_join(vb16 low, vb16 high) { return low | high << 4; }
static inline vf16 vf16_u8(vb16 v) {
    vf16 f;
    EACH(f, (float)v[r]);
    return f;
}
static inline vf16 vf16_s8(vb16 v) {
    vf16 f;
    EACH(f, (float)(int8_t)v[r]);
    return f;
}
static inline vf16 vf16_e8m0(vb16 v) { // 2^(v - 128)
    vf16 f;
    for (int r = 0; r < 16; r++) {
        const uint32_t bits = v[r] < 2 ? 0x00200000u << v[r] : (uint32_t)(v[r] - 1) << 23;
        memcpy(&f.lane[r], &bits, 4);
    }
    return f;
}
#undef EACH
static inline void v_to_i8(int8_t *p, vf v) {   // |v| <= 127, to nearest even; NaN: some int8
    const vf shifted = v + v_set1(12582912.0f); // 1.5 * 2^23: the integer stands in the low bits
    for (int i = 0; i < VW; i++) {
        int32_t bits;
        memcpy(&bits, (const char *)&shifted + 4 * i, 4);
        p[i] = (int8_t)(bits - 0x4b400000);
    }
}
static inline int32_t b16_sum(const int8_t *p) { // of sixteen int8
    int32_t sum = 0;
    for (int i = 0; i < 16; i++) sum += p[i];
    return sum;
}
enum { QUANT_FEW = 1 };          // activation rows for which the packed weights are not expanded to memory
enum { TILE_R = 2, TILE_V = 1 }; // activation rows x groups of weight rows per pass
