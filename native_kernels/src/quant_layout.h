// Stored weight types: block sizes, and the packed order that the products read. Knows no instruction set.
//
// Packed order (the same on every instruction set, the same size as the GGUF order): groups of 16 rows. With `units` =
// K / 32, a group holds three planes, one behind the other:
//   low     units x 64 low_bits bytes    the low bits of the codes
//   high    units x 64 high_bits bytes   the remaining bits of 3-, 5- and 6-bit codes
//   scales  blocks x 16 scale_bytes      what else a block holds, arranged in vectors of 16 rows (k_quant_types.inc)
// Within a unit of 32 values, "line" s = 0 .. 7 is the 64 bytes that belong to values 4 s .. 4 s + 3 of the 16 rows,
// row by row: a vector of 16 int32 sums takes one line and four activations. 8-bit codes: 8 lines. 4-bit: lines i and i
// + 4 share the bytes of vector i (low and high half). 2-bit: lines 4 i .. 4 i + 3 share vector i, lowest bits first.
// 1-bit: line s is bit s of one vector. The last N % 16 rows keep GGUF order. F32, F16 and BF16 stay as they are.
#pragma once
#include <stddef.h>
#include <stdint.h>

// ggml's numbers (ggml_type), as GGUF files store them.
typedef enum {
    NK_F32 = 0,
    NK_F16 = 1,
    NK_Q4_0 = 2,
    NK_Q4_1 = 3,
    NK_Q5_0 = 6,
    NK_Q5_1 = 7,
    NK_Q8_0 = 8,
    NK_Q2_K = 10,
    NK_Q3_K = 11,
    NK_Q4_K = 12,
    NK_Q5_K = 13,
    NK_Q6_K = 14,
    NK_IQ4_NL = 20,
    NK_IQ4_XS = 23,
    NK_BF16 = 30,
    NK_MXFP4 = 39,
    NK_TYPES = 40 // numbers below this
} nk_type;

enum { NK_GROUP = 16, NK_UNIT = 32 }; // rows of a group, values of a unit

typedef struct {
    int32_t values, bytes; // of a block; values == 1: plain floats
    int32_t low_bits, high_bits;
    int32_t scale_bytes; // of a block, in one row: bytes minus those of the codes
} nk_block;

const nk_block *nk_block_of(int64_t type); // NULL: no such type

static inline int64_t nk_row_bytes(const nk_block *b, int64_t K) { return K / b->values * b->bytes; }

// Bytes from the start of a packed group to its planes.
static inline int64_t nk_high_plane(const nk_block *b, int64_t K) { return K / NK_UNIT * 64 * b->low_bits; }
static inline int64_t nk_scale_plane(const nk_block *b, int64_t K) {
    return K / NK_UNIT * 64 * (b->low_bits + b->high_bits);
}

// N rows of K values, GGUF order <-> packed order; K is a multiple of the block. Parallel over groups.
void nk_quant_pack(int type, const uint8_t *src, uint8_t *packed, int64_t N, int64_t K);
void nk_quant_unpack(int type, const uint8_t *packed, uint8_t *dst, int64_t N, int64_t K);
// One group from `rows` <= 16 rows in GGUF order; rows that are missing become zero codes and zero scales.
void nk_pack_group(int type, const uint8_t *src, uint8_t *group, int64_t rows, int64_t K);
// Row `row` of a packed matrix of N rows, back in GGUF order.
void nk_unpack_row(int type, const uint8_t *packed, uint8_t *dst, int64_t row, int64_t N, int64_t K);

// One row in GGUF order -> K floats: the bits of ggml's dequantize_row_* functions.
void nk_dequantize_row(int type, const uint8_t *row, float *dst, int64_t K);
