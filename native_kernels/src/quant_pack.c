// Moves stored weights between GGUF order and the packed order of quant_layout.h. Bytes only: knows no arithmetic.
#include "pool.h"
#include "quant_codes.h"
#include "quant_layout.h"
#include <string.h>

const nk_block *nk_block_of(int64_t type) {
    return type >= 0 && type < NK_TYPES && block_shapes[type].values ? &block_shapes[type] : NULL;
}

INLINED void write_codes(const int type, const nk_block *b, uint8_t *block, int k, const uint8_t code[NK_UNIT]) {
    const int n = run_values(type), mask = (1 << b->low_bits) - 1;
    for (int at = 0; at < NK_UNIT; at += n) {
        const run r = low_run(type, k + at);
        for (int i = 0; i < n; i++) block[r.first + i] |= (uint8_t)((code[at + i] & mask) << r.shift);
    }
    if (!b->high_bits) return;
    const run r = high_run(type, k);
    if (b->values == 32)
        for (int i = 0; i < NK_UNIT; i++) block[r.first + i / 8] |= (uint8_t)((code[i] >> b->low_bits) << i % 8);
    else
        for (int i = 0; i < NK_UNIT; i++) block[r.first + i] |= (uint8_t)((code[i] >> b->low_bits) << r.shift);
}

// ---- one row of a group ------------------------------------------------------------------------------------------
// The codes of row r. In a line of 64 bytes the row owns bytes 4 r .. 4 r + 3, which this file moves as one word.
INLINED uint32_t word_at(const uint8_t *p) {
    uint32_t w;
    memcpy(&w, p, 4);
    return w;
}
INLINED void put_word(uint8_t *p, uint32_t w) { memcpy(p, &w, 4); }

INLINED void pack_unit(const nk_block *b, uint8_t *low, uint8_t *high, int r, const uint8_t code[NK_UNIT]) {
    uint32_t line[8];
    memcpy(line, code, NK_UNIT);
    low += 4 * r, high += 4 * r;
    if (b->low_bits == 8) {
        for (int s = 0; s < 8; s++) put_word(low + 64 * s, line[s]);
    } else if (b->low_bits == 4) {
        for (int i = 0; i < 4; i++) put_word(low + 64 * i, (line[i] & 0x0f0f0f0f) | (line[i + 4] & 0x0f0f0f0f) << 4);
    } else {
        for (int i = 0; i < 2; i++) {
            uint32_t w = 0;
            for (int j = 0; j < 4; j++) w |= (line[4 * i + j] & 0x03030303) << 2 * j;
            put_word(low + 64 * i, w);
        }
    }
    if (b->high_bits == 1) {
        uint32_t w = 0;
        for (int s = 0; s < 8; s++) w |= (line[s] >> b->low_bits & 0x01010101) << s;
        put_word(high, w);
    } else if (b->high_bits == 2) {
        for (int i = 0; i < 2; i++) {
            uint32_t w = 0;
            for (int j = 0; j < 4; j++) w |= (line[4 * i + j] >> b->low_bits & 0x03030303) << 2 * j;
            put_word(high + 64 * i, w);
        }
    }
}

INLINED void unpack_unit(const nk_block *b, const uint8_t *low, const uint8_t *high, int r, uint8_t code[NK_UNIT]) {
    uint32_t line[8];
    low += 4 * r, high += 4 * r;
    for (int s = 0; s < 8; s++) {
        if (b->low_bits == 8)
            line[s] = word_at(low + 64 * s);
        else if (b->low_bits == 4)
            line[s] = word_at(low + 64 * (s & 3)) >> (s & 4) & 0x0f0f0f0f;
        else
            line[s] = word_at(low + 64 * (s >> 2)) >> 2 * (s & 3) & 0x03030303;
        if (b->high_bits == 1)
            line[s] |= (word_at(high) >> s & 0x01010101) << b->low_bits;
        else if (b->high_bits == 2)
            line[s] |= (word_at(high + 64 * (s >> 2)) >> 2 * (s & 3) & 0x03030303) << b->low_bits;
    }
    memcpy(code, line, NK_UNIT);
}

// ---- scales ------------------------------------------------------------------------------------------------------
// Moves what a block holds beside its codes. `to` is the group's record of 16 x scale_bytes; k_quant_types.inc reads
// it.
// Six-bit numbers of 16 rows: `four` holds the low four bits of numbers 2 h and 2 h + 1 in the halves of byte (h, r),
// `two` the high two bits of numbers 4 h .. 4 h + 3, lowest first, in byte (h, r).
INLINED void put_six(uint8_t *four, uint8_t *two, int r, const uint8_t *number, int count) {
    for (int h = 0; h < count / 2; h++)
        four[16 * h + r] = (uint8_t)((number[2 * h] & 15) | (number[2 * h + 1] & 15) << 4);
    for (int h = 0; h < count / 4; h++) {
        int v = 0;
        for (int j = 0; j < 4; j++) v |= number[4 * h + j] >> 4 << 2 * j;
        two[16 * h + r] = (uint8_t)v;
    }
}
INLINED void get_six(const uint8_t *four, const uint8_t *two, int r, uint8_t *number, int count) {
    for (int j = 0; j < count; j++)
        number[j] =
            (uint8_t)((four[16 * (j / 2) + r] >> 4 * (j & 1) & 15) | (two[16 * (j / 4) + r] >> 2 * (j & 3) & 3) << 4);
}

// The bytes of the float16 fields, in the order of the record, and where the rest begins.
typedef struct {
    int halves, half[2]; // how many, at which bytes of the block
} half_fields;
INLINED half_fields halves_of(const int type) {
    switch (type) {
    case NK_Q4_1:
    case NK_Q5_1:
    case NK_Q4_K:
    case NK_Q5_K:
        return (half_fields){2, {0, 2}};
    case NK_Q2_K:
        return (half_fields){2, {80, 82}};
    case NK_Q3_K:
        return (half_fields){1, {108, 0}};
    case NK_Q6_K:
        return (half_fields){1, {208, 0}};
    case NK_MXFP4:
        return (half_fields){0, {0, 0}};
    default:
        return (half_fields){1, {0, 0}};
    }
}

INLINED void pack_scales(const int type, const uint8_t *block, uint8_t *to, int r) {
    const half_fields f = halves_of(type);
    for (int i = 0; i < f.halves; i++) memcpy(to + 32 * i + 2 * r, block + f.half[i], 2);
    to += 32 * f.halves;
    uint8_t number[16];
    block_scales(type, block, number);
    switch (type) {
    case NK_MXFP4:
        to[r] = block[0];
        break;
    case NK_Q4_K:
    case NK_Q5_K:
    case NK_Q3_K:
        put_six(to, to + 128, r, number, 16);
        break;
    case NK_Q2_K:
    case NK_Q6_K:
        for (int j = 0; j < 16; j++) to[16 * j + r] = number[j];
        break;
    case NK_IQ4_XS:
        put_six(to, to + 64, r, number, 8);
        break;
    default:
        break;
    }
}

INLINED void unpack_scales(const int type, const uint8_t *from, uint8_t *block, int r) {
    const half_fields f = halves_of(type);
    for (int i = 0; i < f.halves; i++) memcpy(block + f.half[i], from + 32 * i + 2 * r, 2);
    from += 32 * f.halves;
    uint8_t number[16];
    switch (type) {
    case NK_MXFP4:
        block[0] = from[r];
        break;
    case NK_Q4_K:
    case NK_Q5_K: {
        uint8_t *s = block + 4;
        get_six(from, from + 128, r, number, 16);
        for (int j = 0; j < 4; j++) {
            s[j] = (uint8_t)(number[2 * j] | number[8 + 2 * j] >> 4 << 6);
            s[4 + j] = (uint8_t)(number[2 * j + 1] | number[9 + 2 * j] >> 4 << 6);
            s[8 + j] = (uint8_t)((number[8 + 2 * j] & 15) | (number[9 + 2 * j] & 15) << 4);
        }
        break;
    }
    case NK_Q2_K:
        for (int j = 0; j < 16; j++) block[j] = from[16 * j + r];
        break;
    case NK_Q3_K: {
        uint8_t *s = block + 96;
        get_six(from, from + 128, r, number, 16);
        for (int j = 0; j < 8; j++) s[j] = (uint8_t)((number[j] & 15) | (number[8 + j] & 15) << 4);
        for (int j = 0; j < 4; j++) {
            s[8 + j] = 0;
            for (int i = 0; i < 4; i++) s[8 + j] |= (uint8_t)(number[4 * i + j] >> 4 << 2 * i);
        }
        break;
    }
    case NK_Q6_K:
        for (int j = 0; j < 16; j++) block[192 + j] = from[16 * j + r];
        break;
    case NK_IQ4_XS: {
        unsigned high = 0;
        get_six(from, from + 64, r, number, 8);
        for (int j = 0; j < 8; j++) {
            high |= (unsigned)(number[j] >> 4) << 2 * j;
            block[4 + j / 2] |= (uint8_t)((number[j] & 15) << 4 * (j & 1));
        }
        block[2] = (uint8_t)high, block[3] = (uint8_t)(high >> 8);
        break;
    }
    default:
        break;
    }
}

// ---- groups ------------------------------------------------------------------------------------------------------
INLINED void pack_group(const int type, const uint8_t *src, uint8_t *group, int64_t rows, int64_t K) {
    const nk_block *b = &block_shapes[type];
    const int64_t row_bytes = nk_row_bytes(b, K), units = b->values / NK_UNIT;
    uint8_t *low = group, *high = group + nk_high_plane(b, K), *scales = group + nk_scale_plane(b, K);
    if (rows < NK_GROUP) memset(group, 0, (size_t)(row_bytes * NK_GROUP));
    for (int64_t i = 0; i < K / b->values; i++) {
        for (int r = 0; r < rows; r++) {
            const uint8_t *block = src + r * row_bytes + i * b->bytes;
            uint8_t code[NK_UNIT];
            for (int64_t u = 0; u < units; u++) {
                block_codes(type, block, (int)u * NK_UNIT, code);
                pack_unit(b, low + u * 64 * b->low_bits, high + u * 64 * b->high_bits, r, code);
            }
            pack_scales(type, block, scales, r);
        }
        low += units * 64 * b->low_bits, high += units * 64 * b->high_bits, scales += NK_GROUP * b->scale_bytes;
    }
}

INLINED void unpack_row(const int type, const uint8_t *group, uint8_t *dst, int r, int64_t K) {
    const nk_block *b = &block_shapes[type];
    const int64_t units = b->values / NK_UNIT;
    const uint8_t *low = group, *high = group + nk_high_plane(b, K), *scales = group + nk_scale_plane(b, K);
    for (int64_t i = 0; i < K / b->values; i++, dst += b->bytes) {
        uint8_t code[NK_UNIT];
        memset(dst, 0, (size_t)b->bytes);
        for (int64_t u = 0; u < units; u++) {
            unpack_unit(b, low + u * 64 * b->low_bits, high + u * 64 * b->high_bits, r, code);
            write_codes(type, b, dst, (int)u * NK_UNIT, code);
        }
        unpack_scales(type, scales, dst, r);
        low += units * 64 * b->low_bits, high += units * 64 * b->high_bits, scales += NK_GROUP * b->scale_bytes;
    }
}

void nk_pack_group(int type, const uint8_t *src, uint8_t *group, int64_t rows, int64_t K) {
    switch (type) {
#define CASE(name)                                                                                                     \
    case name:                                                                                                         \
        pack_group(name, src, group, rows, K);                                                                         \
        break;
        EACH_QUANTISED_TYPE(CASE)
#undef CASE
    }
}

static void unpack_group_row(int type, const uint8_t *group, uint8_t *dst, int r, int64_t K) {
    switch (type) {
#define CASE(name)                                                                                                     \
    case name:                                                                                                         \
        unpack_row(name, group, dst, r, K);                                                                            \
        break;
        EACH_QUANTISED_TYPE(CASE)
#undef CASE
    }
}

void nk_unpack_row(int type, const uint8_t *packed, uint8_t *dst, int64_t row, int64_t N, int64_t K) {
    const int64_t row_bytes = nk_row_bytes(&block_shapes[type], K), grouped = N / NK_GROUP * NK_GROUP;
    if (block_shapes[type].values == 1 || row >= grouped)
        memcpy(dst, packed + row * row_bytes, (size_t)row_bytes);
    else
        unpack_group_row(type, packed + row / NK_GROUP * NK_GROUP * row_bytes, dst, (int)(row % NK_GROUP), K);
}

typedef struct {
    int type;
    const uint8_t *src;
    uint8_t *dst;
    int64_t N, K, row_bytes;
} pack_job;

static void pack_groups(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const pack_job *j = arg;
    for (int64_t g = begin; g < end; g++) {
        const int64_t rows = j->N - g * NK_GROUP, at = g * NK_GROUP * j->row_bytes;
        if (rows < NK_GROUP || block_shapes[j->type].values == 1)
            memcpy(j->dst + at, j->src + at, (size_t)((rows < NK_GROUP ? rows : NK_GROUP) * j->row_bytes));
        else
            nk_pack_group(j->type, j->src + at, j->dst + at, NK_GROUP, j->K);
    }
}

static void unpack_groups(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const pack_job *j = arg;
    for (int64_t n = begin * NK_GROUP; n < end * NK_GROUP && n < j->N; n++)
        nk_unpack_row(j->type, j->src, j->dst + n * j->row_bytes, n, j->N, j->K);
}

void nk_quant_pack(int type, const uint8_t *src, uint8_t *packed, int64_t N, int64_t K) {
    pack_job j = {type, src, packed, N, K, nk_row_bytes(&block_shapes[type], K)};
    nk_parallel_for((N + NK_GROUP - 1) / NK_GROUP, 4, pack_groups, &j);
}

void nk_quant_unpack(int type, const uint8_t *packed, uint8_t *dst, int64_t N, int64_t K) {
    pack_job j = {type, packed, dst, N, K, nk_row_bytes(&block_shapes[type], K)};
    nk_parallel_for((N + NK_GROUP - 1) / NK_GROUP, 4, unpack_groups, &j);
}
