// Stored weights -> float32, bit for bit as ggml's dequantize_row_* functions. Compiled without contraction of products
// and sums into fused multiply-adds: the float operations and their order are part of the definition. Knows no threads.
#include "quant_codes.h"
#include "quant_layout.h"
#include <string.h>

static float half_to_float(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    float f;
    if (exponent == 0) { // zero or subnormal: exact in float
        f = (float)mantissa * 0x1p-24f;
        return sign ? -f : f;
    }
    const uint32_t bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
    memcpy(&f, &bits, 4);
    return f;
}

// IQ4: the sixteen values of a nibble. MXFP4: E2M1 doubled, the scale below is halved for it.
static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static float e8m0_half(uint8_t e) { // 2^(e - 128)
    const uint32_t bits = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

// 32 values of a block, from value k on.
INLINED void dequantize_unit(const int type, const uint8_t *block, int k, const uint8_t *number, float *dst) {
    uint8_t code[NK_UNIT];
    block_codes(type, block, k, code);
    const int first16 = k / 16, first32 = k / 32;
    switch (type) {
    case NK_Q4_0: {
        const float d = half_to_float(block);
        for (int i = 0; i < NK_UNIT; i++) dst[i] = (float)(code[i] - 8) * d;
        break;
    }
    case NK_Q5_0: {
        const float d = half_to_float(block);
        for (int i = 0; i < NK_UNIT; i++) dst[i] = (float)(code[i] - 16) * d;
        break;
    }
    case NK_Q4_1:
    case NK_Q5_1: {
        const float d = half_to_float(block), m = half_to_float(block + 2);
        for (int i = 0; i < NK_UNIT; i++) dst[i] = (float)code[i] * d + m;
        break;
    }
    case NK_Q8_0: {
        const float d = half_to_float(block);
        for (int i = 0; i < NK_UNIT; i++) dst[i] = (float)(int8_t)code[i] * d;
        break;
    }
    case NK_IQ4_NL: {
        const float d = half_to_float(block);
        for (int i = 0; i < NK_UNIT; i++) dst[i] = (float)iq4_values[code[i]] * d;
        break;
    }
    case NK_MXFP4: {
        const float d = e8m0_half(block[0]);
        for (int i = 0; i < NK_UNIT; i++) dst[i] = (float)mxfp4_values[code[i]] * d;
        break;
    }
    case NK_Q2_K:
        for (int h = 0; h < 2; h++) {
            const uint8_t s = number[first16 + h];
            const float d = half_to_float(block + 80) * (float)(s & 15),
                        m = half_to_float(block + 82) * (float)(s >> 4);
            for (int i = 16 * h; i < 16 * h + 16; i++) dst[i] = d * (float)code[i] - m;
        }
        break;
    case NK_Q3_K:
        for (int h = 0; h < 2; h++) {
            const float d = half_to_float(block + 108) * (float)(number[first16 + h] - 32);
            for (int i = 16 * h; i < 16 * h + 16; i++) dst[i] = d * (float)(code[i] - 4);
        }
        break;
    case NK_Q4_K:
    case NK_Q5_K: {
        const float d = half_to_float(block) * (float)number[2 * first32];
        const float m = half_to_float(block + 2) * (float)number[2 * first32 + 1];
        for (int i = 0; i < NK_UNIT; i++) dst[i] = d * (float)code[i] - m;
        break;
    }
    case NK_Q6_K:
        for (int h = 0; h < 2; h++) {
            const float d = half_to_float(block + 208) * (float)(int8_t)number[first16 + h];
            for (int i = 16 * h; i < 16 * h + 16; i++) dst[i] = d * (float)(code[i] - 32);
        }
        break;
    case NK_IQ4_XS: {
        const float d = half_to_float(block) * (float)(number[first32] - 32);
        for (int i = 0; i < NK_UNIT; i++) dst[i] = d * (float)iq4_values[code[i]];
        break;
    }
    default:
        break;
    }
}

INLINED void dequantize_blocks(const int type, const uint8_t *row, float *dst, int64_t K) {
    const nk_block *b = &block_shapes[type];
    for (int64_t i = 0; i < K / b->values; i++, row += b->bytes) {
        uint8_t number[16];
        block_scales(type, row, number);
        for (int k = 0; k < b->values; k += NK_UNIT, dst += NK_UNIT) dequantize_unit(type, row, k, number, dst);
    }
}

void nk_dequantize_row(int type, const uint8_t *row, float *dst, int64_t K) {
    switch (type) {
    case NK_F32:
        memcpy(dst, row, (size_t)K * 4);
        return;
    case NK_F16:
        for (int64_t k = 0; k < K; k++) dst[k] = half_to_float(row + 2 * k);
        return;
    case NK_BF16:
        for (int64_t k = 0; k < K; k++) {
            uint16_t h;
            memcpy(&h, row + 2 * k, 2);
            const uint32_t bits = (uint32_t)h << 16;
            memcpy(dst + k, &bits, 4);
        }
        return;
#define CASE(name)                                                                                                     \
    case name:                                                                                                         \
        dequantize_blocks(name, row, dst, K);                                                                          \
        return;
        EACH_QUANTISED_TYPE(CASE)
#undef CASE
    default:
        return;
    }
}
