// Where a block in GGUF order keeps its codes and small scales. Inlined with a constant type, so that the loops know
// their lengths and shifts. Knows no packed order and no arithmetic.
#pragma once
#include "quant_layout.h"
#include <string.h>

#define INLINED static inline __attribute__((always_inline))

static const nk_block block_shapes[NK_TYPES] = {
    [NK_F32] = {1, 4, 0, 0, 0},       [NK_F16] = {1, 2, 0, 0, 0},       [NK_BF16] = {1, 2, 0, 0, 0},
    [NK_Q4_0] = {32, 18, 4, 0, 2},    [NK_Q4_1] = {32, 20, 4, 0, 4},    [NK_Q5_0] = {32, 22, 4, 1, 2},
    [NK_Q5_1] = {32, 24, 4, 1, 4},    [NK_Q8_0] = {32, 34, 8, 0, 2},    [NK_Q2_K] = {256, 84, 2, 0, 20},
    [NK_Q3_K] = {256, 110, 2, 1, 14}, [NK_Q4_K] = {256, 144, 4, 0, 16}, [NK_Q5_K] = {256, 176, 4, 1, 16},
    [NK_Q6_K] = {256, 210, 4, 2, 18}, [NK_IQ4_NL] = {32, 18, 4, 0, 2},  [NK_IQ4_XS] = {256, 136, 4, 0, 8},
    [NK_MXFP4] = {32, 17, 4, 0, 1},
};

// ---- where a GGUF block keeps its codes ----------------------------------------------------------------------------
// The codes of a block stand in runs: 16 or 32 consecutive values in as many consecutive bytes, at the same bits.
typedef struct {
    int first, shift; // byte of the run's first value, lowest bit
} run;

INLINED int run_values(const int type) { // 16: formats whose 32 values take the low, then the high halves of 16 bytes
    switch (type) {
    case NK_Q2_K:
    case NK_Q3_K:
    case NK_Q4_K:
    case NK_Q5_K:
    case NK_Q6_K:
    case NK_Q8_0:
        return 32;
    default:
        return 16;
    }
}

INLINED run low_run(const int type, int k) { // of value k
    const int half = k / 128, in = k % 128;
    switch (type) {
    case NK_Q8_0:
        return (run){2 + k, 0};
    case NK_Q2_K:
        return (run){16 + 32 * half, in / 32 * 2};
    case NK_Q3_K:
        return (run){32 + 32 * half, in / 32 * 2};
    case NK_Q4_K:
        return (run){16 + k / 64 * 32, k % 64 / 32 * 4};
    case NK_Q5_K:
        return (run){48 + k / 64 * 32, k % 64 / 32 * 4};
    case NK_Q6_K:
        return (run){64 * half + in % 64, in / 64 * 4};
    case NK_IQ4_XS:
        return (run){8 + k / 32 * 16, k % 32 / 16 * 4};
    case NK_Q4_1:
        return (run){4, k / 16 * 4};
    case NK_Q5_0:
        return (run){6, k / 16 * 4};
    case NK_Q5_1:
        return (run){8, k / 16 * 4};
    case NK_MXFP4:
        return (run){1, k / 16 * 4};
    default: // Q4_0, IQ4_NL
        return (run){2, k / 16 * 4};
    }
}

// The high bits of K-quants stand in runs of 32; Q5_0 and Q5_1 keep theirs in one little-endian word at the byte given.
INLINED run high_run(const int type, int k) {
    switch (type) {
    case NK_Q3_K:
        return (run){0, k / 32};
    case NK_Q5_K:
        return (run){16, k / 32};
    case NK_Q6_K:
        return (run){128 + k / 128 * 32, k % 128 / 32 * 2};
    case NK_Q5_0:
        return (run){2, 0};
    default: // Q5_1
        return (run){4, 0};
    }
}

// The codes of values k .. k + 31 of a block, a byte each.
INLINED void block_codes(const int type, const uint8_t *block, int k, uint8_t code[NK_UNIT]) {
    const nk_block *b = &block_shapes[type];
    const int n = run_values(type), mask = (1 << b->low_bits) - 1;
    for (int at = 0; at < NK_UNIT; at += n) {
        const run r = low_run(type, k + at);
        for (int i = 0; i < n; i++) code[at + i] = (uint8_t)(block[r.first + i] >> r.shift & mask);
    }
    if (!b->high_bits) return;
    const run r = high_run(type, k);
    if (b->values == 32)
        for (int i = 0; i < NK_UNIT; i++) code[i] |= (uint8_t)((block[r.first + i / 8] >> i % 8 & 1) << b->low_bits);
    else
        for (int i = 0; i < NK_UNIT; i++)
            code[i] |= (uint8_t)((block[r.first + i] >> r.shift & ((1 << b->high_bits) - 1)) << b->low_bits);
}

INLINED uint16_t half_at(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return h;
}
// What it holds of small numbers beside codes and float16 scales: Q2_K 16 bytes (scale | minimum << 4), Q3_K 16 six-bit
// scales (plus 32), Q4_K and Q5_K 8 pairs {scale, minimum} of six bits, Q6_K 16 int8 scales, IQ4_XS 8 six-bit scales.
INLINED void block_scales(const int type, const uint8_t *block, uint8_t number[16]) {
    const uint8_t *s = block + 4;
    switch (type) {
    case NK_Q4_K:
    case NK_Q5_K:
        for (int j = 0; j < 4; j++) {
            number[2 * j] = s[j] & 63, number[2 * j + 1] = s[4 + j] & 63;
            number[8 + 2 * j] = (uint8_t)((s[8 + j] & 15) | s[j] >> 6 << 4);
            number[9 + 2 * j] = (uint8_t)(s[8 + j] >> 4 | s[4 + j] >> 6 << 4);
        }
        break;
    case NK_Q2_K:
        memcpy(number, block, 16);
        break;
    case NK_Q3_K:
        s = block + 96;
        for (int j = 0; j < 16; j++)
            number[j] = (uint8_t)((s[j & 7] >> 4 * (j >> 3) & 15) | (s[8 + (j & 3)] >> 2 * (j >> 2) & 3) << 4);
        break;
    case NK_Q6_K:
        memcpy(number, block + 192, 16);
        break;
    case NK_IQ4_XS:
        for (int j = 0; j < 8; j++)
            number[j] = (uint8_t)((s[j / 2] >> 4 * (j & 1) & 15) | (half_at(block + 2) >> 2 * j & 3) << 4);
        break;
    default:
        break;
    }
}

// CASE(type) for every quantised type, inside a switch: makes its body with a constant type.
#define EACH_QUANTISED_TYPE(CASE)                                                                                      \
    CASE(NK_Q4_0)                                                                                                      \
    CASE(NK_Q4_1)                                                                                                      \
    CASE(NK_Q5_0)                                                                                                      \
    CASE(NK_Q5_1)                                                                                                      \
    CASE(NK_Q8_0)                                                                                                      \
    CASE(NK_Q2_K)                                                                                                      \
    CASE(NK_Q3_K)                                                                                                      \
    CASE(NK_Q4_K) CASE(NK_Q5_K) CASE(NK_Q6_K) CASE(NK_IQ4_NL) CASE(NK_IQ4_XS) CASE(NK_MXFP4)
