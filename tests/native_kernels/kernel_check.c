// Runs the kernel tables of this machine on the cases of a file and compares with the numpy twin's results, without any
// Python: for emulated and foreign machines, and for sanitizers (every array is a block of its own, of exact size).
// usage: kernel_check CASES [ISA ...]; without ISA every table that this CPU runs. Prints a line per table or the first
// differences. The file is written by kernel_cases.py. Knows the table of kernels.h and the order of its arguments.
#include "kernels.h"
#include "pool.h"
#include "quant_layout.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INTS = 24, MAX_FLOATS = 8, MAX_ARRAYS = 12, GUARD = 64 };
enum { BYTES = 0, FLOATS = 1, DOUBLES = 2 }; // how an array is compared

typedef struct {
    int64_t nbytes, kind, compared; // nbytes < 0: a null pointer
    double allowed;                 // the largest difference
    unsigned char *given, *expected, *block, *one_thread;
} array;

typedef struct {
    char name[32];
    int64_t n_ints, n_floats, n_arrays, ints[MAX_INTS];
    double floats[MAX_FLOATS];
    array arrays[MAX_ARRAYS];
} test_case;

static void fail(const char *what) {
    fprintf(stderr, "kernel_check: %s\n", what);
    exit(2);
}

static void *need(size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    if (p == NULL) fail("out of memory");
    return p;
}

static void read_exactly(FILE *f, void *to, size_t bytes) {
    if (fread(to, 1, bytes, f) != bytes) fail("the file of cases ends early");
}

static void read_case(FILE *f, test_case *c) {
    memset(c, 0, sizeof *c);
    read_exactly(f, c->name, sizeof c->name);
    read_exactly(f, &c->n_ints, 3 * sizeof(int64_t));
    if (c->n_ints > MAX_INTS || c->n_floats > MAX_FLOATS || c->n_arrays > MAX_ARRAYS) fail("too many arguments");
    read_exactly(f, c->ints, (size_t)c->n_ints * 8);
    read_exactly(f, c->floats, (size_t)c->n_floats * 8);
    for (int64_t i = 0; i < c->n_arrays; i++) {
        array *a = &c->arrays[i];
        read_exactly(f, a, 4 * 8);
        if (a->nbytes < 0) continue;
        a->given = need((size_t)a->nbytes);
        read_exactly(f, a->given, (size_t)a->nbytes);
        if (!a->compared) continue;
        a->expected = need((size_t)a->nbytes);
        read_exactly(f, a->expected, (size_t)a->nbytes);
    }
}

// Under a memory sanitizer a block ends where the array ends; elsewhere bytes around it show a write outside.
#if defined(__SANITIZE_ADDRESS__)
#define MARGIN 0
#else
#define MARGIN GUARD
#endif

static void *argument(const test_case *c, int i) {
    if (i >= c->n_arrays) fail("a case lacks an array");
    return c->arrays[i].nbytes < 0 ? NULL : c->arrays[i].block + MARGIN;
}

// Products with stored weights: the case holds them in the file's order. They are packed, and unpacked again.
static int stored_weights(const kernel_table *K, const test_case *c) {
    const int64_t *n = c->ints;
    const int type = (int)n[0], rows = strcmp(c->name, "packed_rows") == 0,
              twice = strcmp(c->name, "gemm_quant_rows") == 0;
    if (!rows && !twice && strcmp(c->name, "gemm_quant") != 0) return 0;
    const int64_t M = n[1], N = rows ? n[1] : n[2], width = rows ? n[2] : n[3];
    const uint8_t *blocks = argument(c, rows ? 0 : 1);
    const size_t bytes = (size_t)(N * nk_row_bytes(nk_block_of(type), width));
    uint8_t *packed = need(bytes), *back = need(bytes);
    K->quant_pack(type, blocks, packed, N, width);
    K->quant_unpack(type, packed, back, N, width);
    if (memcmp(back, blocks, bytes) != 0) fail("unpacking does not give back what was packed");
    if (rows) {
        K->packed_rows(type, packed, N, width, argument(c, 1), n[3], argument(c, 2));
    } else if (twice) {
        uint8_t *rounded = need((size_t)K->quant_rows_bytes(M, width) + 64);
        uint8_t *aligned = rounded + (64 - (uintptr_t)rounded % 64) % 64;
        K->quantize_rows(M, width, argument(c, 0), n[4], aligned);
        K->gemm_quant_rows(type, M, N, width, aligned, packed, argument(c, 2), n[5], argument(c, 3), argument(c, 4),
                           n[6]);
        free(rounded);
    } else {
        K->gemm_quant(type, M, N, width, argument(c, 0), n[4], packed, argument(c, 2), n[5], argument(c, 3),
                      argument(c, 4), n[6]);
    }
    free(packed), free(back);
    return 1;
}

static void call(const kernel_table *K, const test_case *c) {
    const int64_t *n = c->ints;
#define F(i) ((float)c->floats[i])
#define P(i) argument(c, i)
#define KERNEL(member, ...)                                                                                            \
    if (strcmp(c->name, #member) == 0) {                                                                               \
        K->member(__VA_ARGS__);                                                                                        \
        return;                                                                                                        \
    }
    KERNEL(gemm_f32, (int)n[0], (int)n[1], n[2], n[3], n[4], P(0), n[5], P(1), n[6], P(2), n[7], (int)n[8], P(3), P(4),
           n[9])
    KERNEL(gemm_bf16, (int)n[0], (int)n[1], n[2], n[3], n[4], P(0), (int)n[10], n[5], P(1), (int)n[11], n[6], P(2),
           n[7], (int)n[8], P(3), P(4), n[9])
    KERNEL(dequantize, (int)n[0], P(0), P(1), n[1], n[2])
    KERNEL(embedding, P(0), P(1), P(2), n[0], n[1])
    KERNEL(embedding_backward, P(0), P(1), P(2), n[0], n[1])
    KERNEL(rmsnorm, P(0), P(1), P(2), P(3), n[0], n[1], F(0))
    KERNEL(rmsnorm_backward, P(0), P(1), P(2), P(3), P(4), P(5), n[0], n[1])
    KERNEL(layernorm, P(0), P(1), P(2), P(3), P(4), P(5), n[0], n[1], F(0))
    KERNEL(layernorm_backward, P(0), P(1), P(2), P(3), P(4), P(5), P(6), P(7), n[0], n[1])
    KERNEL(rope, P(0), n[0], P(1), P(2), P(3), n[1], n[2], n[3], (int)n[4])
    KERNEL(attention, P(0), P(1), P(2), P(3), P(4), n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10],
           n[11], F(0), (int)n[12])
    KERNEL(attention_backward, P(0), P(1), P(2), P(3), P(4), P(5), P(6), P(7), P(8), n[0], n[1], n[2], n[3], n[4], n[5],
           n[6], n[7], n[8], n[9], n[10], n[11], F(0), (int)n[12])
    KERNEL(swiglu, P(0), P(1), n[0], n[1])
    KERNEL(swiglu_backward, P(0), P(1), P(2), n[0], n[1])
    KERNEL(activation, (int)n[0], P(0), P(1), n[1])
    KERNEL(activation_backward, (int)n[0], P(0), P(1), P(2), n[1])
    KERNEL(geglu, (int)n[0], P(0), P(1), n[1], n[2])
    KERNEL(geglu_backward, (int)n[0], P(0), P(1), P(2), n[1], n[2])
    KERNEL(softmax_cross_entropy, P(0), P(1), P(2), P(3), n[0], n[1], F(0))
    KERNEL(adamw, P(0), P(1), P(2), P(3), n[0], F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7))
    KERNEL(add, P(0), P(1), P(2), n[0])
    KERNEL(mul, P(0), P(1), P(2), n[0])
    KERNEL(axpy, P(0), P(1), F(0), n[0])
    KERNEL(bias_backward, P(0), P(1), n[0], n[1])
    KERNEL(serve_gate, (int)n[0], (int)n[1], P(0), n[2], P(1), n[3], n[4], n[5])
    KERNEL(serve_add, P(0), n[0], P(1), n[1], P(2), n[2], n[3], n[4], F(0), F(1))
    if (strcmp(c->name, "serve_norm") == 0) {
        const nk_norm norm = {.kind = (int)n[0],
                              .rows = n[1],
                              .groups = n[2],
                              .n = n[3],
                              .x = P(0),
                              .weight = P(1),
                              .bias = P(2),
                              .residual = P(3),
                              .x_row = n[4],
                              .residual_row = n[5],
                              .out_row = n[6],
                              .out = P(4),
                              .eps = F(0),
                              .scale = F(1)};
        K->serve_norm(&norm);
        return;
    }
    if (strcmp(c->name, "serve_rope") == 0) {
        const nk_rope rope = {.x = P(0),
                              .x_row = n[0],
                              .rows = n[1],
                              .heads = n[2],
                              .D = n[3],
                              .dim = n[4],
                              .interleaved = (int)n[5],
                              .cos = P(1),
                              .sin = P(2),
                              .index = P(3)};
        K->serve_rope(&rope);
        return;
    }
    KERNEL(kv_rotate, (int)n[0], P(0), n[1], n[2], n[3], n[4], n[5], P(1), P(2), n[6], (int)n[7])
    if (strcmp(c->name, "kv_store") == 0) {
        const nk_sequence s = {.rows = n[0], .start = n[1], .capacity = n[2], .keys = P(1), .values = P(1)};
        K->kv_store((int)n[7], P(0), n[4], n[5], n[6], &s, (int)n[3]);
        return;
    }
    if (strcmp(c->name, "attention_cached") == 0) {
        const nk_cached_attention a = {.q = P(0),
                                       .out = P(1),
                                       .q_row = n[0] * n[2],
                                       .o_row = n[0] * n[2],
                                       .heads = n[0],
                                       .kv_heads = n[1],
                                       .D = n[2],
                                       .kv_type = (int)n[3],
                                       .window = n[4],
                                       .causal = (int)n[5],
                                       .scale = F(0),
                                       .softcap = F(1)};
        nk_sequence sequences[MAX_ARRAYS];
        for (int i = 0; i < n[6]; i++)
            sequences[i] =
                (nk_sequence){n[7 + 4 * i], n[8 + 4 * i], n[9 + 4 * i], n[10 + 4 * i], P(2 + 2 * i), P(3 + 2 * i)};
        K->attention_cached(&a, sequences, n[6]);
        return;
    }
    if (stored_weights(K, c)) return;
    if (strcmp(c->name, "sum_squares") == 0) {
        double sum = K->sum_squares(P(0), n[0]);
        memcpy(P(1), &sum, sizeof sum);
        return;
    }
    fprintf(stderr, "kernel_check: no call of %s is written here\n", c->name);
    exit(2);
}

// 0: equal enough. Otherwise the reason is printed.
static int wrong(const test_case *c, int index, const char *isa) {
    const array *a = &c->arrays[index];
    const unsigned char *got = a->block + MARGIN;
    for (int64_t i = 0; i < MARGIN; i++)
        if (a->block[i] != 0xa5 || got[a->nbytes + i] != 0xa5) {
            printf("%s %s: array %d: a byte outside was written\n", isa, c->name, index);
            return 1;
        }
    if (!a->compared) {
        if (memcmp(got, a->given, (size_t)a->nbytes) == 0) return 0;
        printf("%s %s: array %d is an input and was written\n", isa, c->name, index);
        return 1;
    }
    if (a->kind == BYTES) {
        if (memcmp(got, a->expected, (size_t)a->nbytes) == 0) return 0;
        printf("%s %s: array %d has other bytes\n", isa, c->name, index);
        return 1;
    }
    double error = 0;
    const int64_t size = a->kind == FLOATS ? 4 : 8, n = a->nbytes / size;
    for (int64_t i = 0; i < n; i++) {
        float g4, e4;
        double g, e;
        memcpy(&g4, got + 4 * i, 4), memcpy(&e4, a->expected + 4 * i, 4), g = g4, e = e4;
        if (size == 8) memcpy(&g, got + 8 * i, 8), memcpy(&e, a->expected + 8 * i, 8);
        if (!isfinite(g)) error = INFINITY;
        error = fmax(error, fabs(g - e));
    }
    if (error <= a->allowed) return 0;
    printf("%s %s(", isa, c->name);
    for (int64_t i = 0; i < c->n_ints; i++) printf("%s%lld", i ? ", " : "", (long long)c->ints[i]);
    printf("): array %d: error %g, allowed %g\n", index, error, a->allowed);
    return 1;
}

static int check(const kernel_table *K, test_case *c) { // on one and two threads, which must give the same bits
    int failures = 0;
    for (int threads = 1; threads <= 2; threads++) {
        nk_set_threads(threads);
        for (int64_t i = 0; i < c->n_arrays; i++) {
            array *a = &c->arrays[i];
            if (a->nbytes < 0) continue;
            a->block = need((size_t)a->nbytes + 2 * MARGIN);
            memset(a->block, 0xa5, (size_t)a->nbytes + 2 * MARGIN);
            memcpy(a->block + MARGIN, a->given, (size_t)a->nbytes);
        }
        call(K, c);
        for (int i = 0; i < c->n_arrays; i++) {
            array *a = &c->arrays[i];
            if (a->nbytes < 0) continue;
            failures += wrong(c, i, K->name);
            if (threads == 1) {
                a->one_thread = a->block;
                continue;
            }
            if (memcmp(a->one_thread + MARGIN, a->block + MARGIN, (size_t)a->nbytes) != 0) {
                printf("%s %s: array %d: two threads give other bits than one\n", K->name, c->name, i);
                failures++;
            }
            free(a->one_thread), free(a->block);
        }
    }
    return failures;
}

int main(int argc, char **argv) {
    static const char *all[] = {"generic", "avx2", "avx512", "avx512_vnni", "neon", "neon_dotprod"};
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (f == NULL) fail("usage: kernel_check CASES [ISA ...]");
    int64_t n_cases;
    char magic[8], why[512];
    read_exactly(f, magic, 8);
    if (memcmp(magic, "NKCASES1", 8) != 0) fail("this is no file of cases");
    read_exactly(f, &n_cases, 8);
    test_case *cases = need((size_t)n_cases * sizeof *cases);
    for (int64_t i = 0; i < n_cases; i++) read_case(f, &cases[i]);
    fclose(f);

    int failures = 0, tables = 0;
    const int named = argc > 2, names = named ? argc - 2 : (int)(sizeof all / sizeof all[0]);
    for (int t = 0; t < names; t++) {
        const char *name = named ? argv[2 + t] : all[t];
        const kernel_table *K = kernels_select(name, why, sizeof why);
        if (K == NULL && !named) continue;
        if (K == NULL) fail(why);
        int before = failures;
        for (int64_t i = 0; i < n_cases; i++) failures += check(K, &cases[i]);
        printf("%s: %lld cases, %d failures\n", name, (long long)n_cases, failures - before);
        tables++;
    }
    for (int64_t i = 0; i < n_cases; i++)
        for (int64_t k = 0; k < cases[i].n_arrays; k++)
            free(cases[i].arrays[k].given), free(cases[i].arrays[k].expected);
    free(cases);
    return failures || !tables;
}
