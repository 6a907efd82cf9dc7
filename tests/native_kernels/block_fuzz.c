// Feeds every kernel that takes blocks of stored weights, and the quantisers, with hostile ones: random bytes, scales
// that are NaN or infinite, values from subnormal to huge. Built with sanitizers; every array is a heap block of exact
// size. usage: block_fuzz SEED SECONDS. Prints the rounds; a difference or a sanitizer's finding ends it.
// Knows the table of kernels.h; what the numbers should be is checked elsewhere, against numpy.
#include "kernels.h"
#include "pool.h"
#include "quant_layout.h"
#include "quantize.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t state;

static uint64_t random64(void) { // xorshift64*
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return state * 2685821657736338717u;
}

static int64_t below(int64_t n) { return (int64_t)(random64() >> 1) % n; }

static void *need(int64_t bytes) {
    void *p = malloc((size_t)(bytes > 0 ? bytes : 1));
    if (p == NULL) exit(2);
    return p;
}

static void fail(const char *isa, int type, const char *what) {
    fprintf(stderr, "block_fuzz: %s, type %d: %s\n", isa, type, what);
    exit(1);
}

static float hostile(void) {
    static const float odd[] = {0.0f, -0.0f, 1e-45f, -1e-39f, 1.2e-38f, 1e38f, -3.4e38f, 1e-20f, 65504.0f, 1.0f};
    const uint64_t r = random64();
    if (r % 16 == 0) return odd[r / 16 % (sizeof odd / sizeof *odd)];
    return ((float)(int32_t)(r >> 32) / 2147483648.0f) * (r % 3 ? 1.0f : 1e-3f);
}

// Blocks that one table packs, unpacks, reads and multiplies with.
static void use_blocks(const kernel_table *K, int type, const nk_block *b) {
    const int64_t N = 1 + below(40), k = b->values * (1 + below(b->values > 32 ? 3 : 9)) * (b->values == 1 ? 8 : 1);
    const int64_t bytes = N * nk_row_bytes(b, k), M = 1 + below(9), n = 1 + below(5);
    uint8_t *src = need(bytes), *packed = need(bytes), *back = need(bytes);
    for (int64_t i = 0; i < bytes; i++) src[i] = (uint8_t)random64();
    K->quant_pack(type, src, packed, N, k);
    K->quant_unpack(type, packed, back, N, k);
    if (memcmp(src, back, (size_t)bytes)) fail(K->name, type, "unpacking does not give back what was packed");
    float *values = need(N * k * 4), *rows = need(n * k * 4), *x = need(M * k * 4), *out = need(M * N * 4);
    K->dequantize(type, src, values, N, k);
    int32_t *ids = need(n * 4);
    for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)below(N);
    K->packed_rows(type, packed, N, k, ids, n, rows);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++) {
            const float a = rows[i * k + j], e = values[ids[i] * k + j];
            if (memcmp(&a, &e, 4) && !(isnan(a) && isnan(e))) fail(K->name, type, "a row of the packed matrix differs");
        }
    for (int64_t i = 0; i < M * k; i++) x[i] = hostile();
    K->gemm_quant(type, M, N, k, x, k, packed, out, N, NULL, NULL, 0);
    free(src), free(packed), free(back), free(values), free(rows), free(x), free(out), free(ids);
}

// What is quantised comes back finite; values that are not finite are reported and not cast.
static void quantise(const kernel_table *K, int type, const nk_block *b) {
    const int64_t N = 1 + below(4), k = b->values * (1 + below(3)), bytes = N * nk_row_bytes(b, k);
    float *x = need(N * k * 4), *back = need(N * k * 4);
    uint8_t *blocks = need(bytes);
    for (int64_t i = 0; i < N * k; i++) x[i] = hostile();
    if (nk_quantize(type, x, blocks, N, k) == 0) K->dequantize(type, blocks, back, N, k);
    for (int64_t i = 0; i < N * k; i++) x[i] = (float)(int32_t)random64() * 1e-10f;
    if (nk_quantize(type, x, blocks, N, k) == 0) {
        K->dequantize(type, blocks, back, N, k);
        for (int64_t i = 0; i < N * k; i++)
            if (!isfinite(back[i]) || fabsf(back[i] - x[i]) > 0.3f)
                fail(K->name, type, "quantised, a value is far off");
    }
    const uint32_t bits = 0x7f800000u | (uint32_t)random64() % 2 * 12345u; // an infinity or a NaN
    memcpy(&x[below(N * k)], &bits, 4);
    if (nk_quantize(type, x, blocks, N, k) == 0) fail(K->name, type, "a value that is not finite was not reported");
    free(x), free(back), free(blocks);
}

int main(int argc, char **argv) {
    static const char *all[] = {"generic", "avx2", "avx512", "avx512_vnni", "neon", "neon_dotprod"};
    if (argc != 3) return 2;
    state = strtoull(argv[1], NULL, 10) * 2 + 1;
    const time_t end = time(NULL) + atoi(argv[2]);
    int64_t rounds = 0;
    char why[512];
    nk_set_threads(2);
    do {
        for (size_t t = 0; t < sizeof all / sizeof *all; t++) {
            const kernel_table *K = kernels_select(all[t], why, sizeof why);
            if (K == NULL) continue;
            for (int type = 0; type < NK_TYPES; type++) {
                const nk_block *b = nk_block_of(type);
                if (b == NULL) continue;
                use_blocks(K, type, b);
                quantise(K, type, b);
            }
        }
        rounds++;
    } while (time(NULL) < end);
    printf("%lld rounds\n", (long long)rounds);
    return 0;
}
