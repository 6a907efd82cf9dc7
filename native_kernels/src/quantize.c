// Quantisers of weights: see quantize.h. Block layouts: reference_quant.py; the same searches in numpy, bit for bit:
// reference_quantize.py.
//
// The legacy types (blocks of 32) follow ggml's definition: the value of largest magnitude, or the range, sets the
// scale. The K types search: many scales are tried, each gives rounded values, and for these the least squares scale
// and minimum are computed in closed form; the pair with the smallest weighted error wins. Scales and minima are then
// rounded to their six or eight bits, and each is tried one step up and down with the values that it really gives.
// The inner loops run over the scales that are tried, so that they become vectors without re-ordering any sum.
#include "quantize.h"
#include "pool.h"
#include "simd_generic.h"
#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum { TRIES = 24, BLOCK = 32, SUPER = 256 };

static void put_half(uint8_t *at, float x) {
    uint16_t h = f32_to_f16(x);
    memcpy(at, &h, 2);
}

static inline float nearest(float x) { // to an integer, halves to even; |x| < 2^22
    return (x + 12582912.0f) - 12582912.0f;
}

static inline float within(float x, float low, float high) { // NaN becomes low: it must not reach a cast
    return !(x > low) ? low : x > high ? high : x;
}

// ---- blocks of 32 ---------------------------------------------------------------------------------------------------

static void q8_0(const float *x, uint8_t *out) {
    float largest = 0;
    for (int i = 0; i < BLOCK; i++) largest = fmaxf(largest, fabsf(x[i]));
    const float scale = largest / 127.0f, inverse = scale != 0 ? 1.0f / scale : 0.0f;
    put_half(out, scale);
    for (int i = 0; i < BLOCK; i++) out[2 + i] = (uint8_t)(int8_t)within(roundf(x[i] * inverse), -127, 127);
}

// Values 0 .. 2 * half - 1 that stand for (value - half) * scale; the value of largest magnitude becomes 0.
static float symmetric(const float *x, int half, uint8_t *values) {
    float most = 0, signed_most = 0;
    for (int i = 0; i < BLOCK; i++)
        if (fabsf(x[i]) > most) most = fabsf(x[i]), signed_most = x[i];
    const float scale = signed_most / (float)-half, inverse = scale != 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < BLOCK; i++)
        values[i] = (uint8_t)within(x[i] * inverse + ((float)half + 0.5f), 0, (float)(2 * half - 1));
    return scale;
}

// Values 0 .. top that stand for value * scale + minimum.
static float affine(const float *x, int top, uint8_t *values, float *minimum) {
    float low = x[0], high = x[0];
    for (int i = 1; i < BLOCK; i++) low = fminf(low, x[i]), high = fmaxf(high, x[i]);
    const float scale = (high - low) / (float)top, inverse = scale != 0 ? 1.0f / scale : 0.0f;
    for (int i = 0; i < BLOCK; i++) values[i] = (uint8_t)within((x[i] - low) * inverse + 0.5f, 0, (float)top);
    *minimum = low;
    return scale;
}

static void put_nibbles(uint8_t *out, const uint8_t *values) {
    for (int i = 0; i < BLOCK / 2; i++) out[i] = (uint8_t)((values[i] & 15) | (values[i + BLOCK / 2] & 15) << 4);
}

static void put_fifth_bits(uint8_t *out, const uint8_t *values) {
    memset(out, 0, 4);
    for (int i = 0; i < BLOCK; i++) out[i / 8] |= (uint8_t)(values[i] >> 4 << (i % 8));
}

static void q4_0(const float *x, uint8_t *out) {
    uint8_t values[BLOCK];
    put_half(out, symmetric(x, 8, values));
    put_nibbles(out + 2, values);
}

static void q5_0(const float *x, uint8_t *out) {
    uint8_t values[BLOCK];
    put_half(out, symmetric(x, 16, values));
    put_fifth_bits(out + 2, values);
    put_nibbles(out + 6, values);
}

static void q4_1(const float *x, uint8_t *out) {
    uint8_t values[BLOCK];
    float minimum;
    put_half(out, affine(x, 15, values, &minimum));
    put_half(out + 2, minimum);
    put_nibbles(out + 4, values);
}

static void q5_1(const float *x, uint8_t *out) {
    uint8_t values[BLOCK];
    float minimum;
    put_half(out, affine(x, 31, values, &minimum));
    put_half(out + 2, minimum);
    put_fifth_bits(out + 4, values);
    put_nibbles(out + 8, values);
}

// ---- blocks of 256: Q4_K, Q5_K --------------------------------------------------------------------------------------

// Large values matter more, but no value is worth nothing.
static void weights_of(const float *x, float *w) {
    float squares = 0;
    for (int i = 0; i < BLOCK; i++) squares += x[i] * x[i];
    const float mean = sqrtf(squares / BLOCK);
    for (int i = 0; i < BLOCK; i++) w[i] = mean + fabsf(x[i]);
}

// x ~ scale * q - offset with q in 0 .. top and offset >= 0, least squares weighted by w.
static void search_affine(const float *x, const float *w, float top, float *scale, float *offset) {
    float low = 0, high = x[0], sum_w = 0, sum_wx = 0;
    for (int i = 0; i < BLOCK; i++) {
        low = fminf(low, x[i]), high = fmaxf(high, x[i]);
        sum_w += w[i], sum_wx += w[i] * x[i];
    }
    *scale = 0, *offset = 0.0f - low; // never -0: it would be written
    if (!(high > low)) return;
    float inverse[TRIES], q_sum[TRIES] = {0}, qq_sum[TRIES] = {0}, qx_sum[TRIES] = {0};
    for (int c = 0; c < TRIES; c++) inverse[c] = (top + (-1.0f + 0.1f * (float)c)) / (high - low);
    for (int i = 0; i < BLOCK; i++) {
        const float above = x[i] - low, weight = w[i], value = x[i];
        for (int c = 0; c < TRIES; c++) {
            float q = nearest(inverse[c] * above);
            q = q > top ? top : q;
            const float wq = weight * q;
            q_sum[c] += wq;
            qq_sum[c] += wq * q;
            qx_sum[c] += wq * value;
        }
    }
    double best = 0; // how much of sum w x^2 a fit explains: the larger, the smaller the error
    for (int c = 0; c < TRIES; c++) {
        const double W = sum_w, X = sum_wx, Q = q_sum[c], QQ = qq_sum[c], QX = qx_sum[c];
        const double det = W * QQ - Q * Q;
        double s = 0, m = 0;
        if (det > 0) s = (W * QX - X * Q) / det, m = (QQ * X - Q * QX) / det;
        if (!(det > 0) || m > 0) {
            m = 0;
            s = QQ > 0 ? QX / QQ : 0;
        }
        const double explained = 2 * (s * QX + m * X) - (s * s * QQ + 2 * s * m * Q + m * m * W);
        if (explained > best && s > 0) {
            best = explained;
            *scale = (float)s, *offset = (float)(0 - m);
        }
    }
}

// The error of 32 values under scale a and offset b, for nine pairs at once; the best pair's number.
static int best_of_nine(const float *x, const float *w, float top, const float *a, const float *b) {
    float inverse[9], error[9] = {0};
    for (int c = 0; c < 9; c++) inverse[c] = a[c] > 0 ? 1.0f / a[c] : 0.0f;
    for (int i = 0; i < BLOCK; i++) {
        const float value = x[i], weight = w[i];
        for (int c = 0; c < 9; c++) {
            float q = nearest(within((value + b[c]) * inverse[c], 0, top));
            const float miss = (a[c] * q - b[c]) - value;
            error[c] += weight * (miss * miss);
        }
    }
    int best = 0;
    for (int c = 1; c < 9; c++)
        if (error[c] < error[best]) best = c;
    return best;
}

// d, dmin and the packed scales to out[0 .. 16), values (one byte each) to `values`.
static void k_affine(const float *x, float top, uint8_t *out, uint8_t *values) {
    float w[SUPER], scale[8], offset[8], most_scale = 0, most_offset = 0;
    uint8_t s6[8], m6[8];
    for (int j = 0; j < 8; j++) {
        weights_of(x + j * BLOCK, w + j * BLOCK);
        search_affine(x + j * BLOCK, w + j * BLOCK, top, &scale[j], &offset[j]);
        most_scale = fmaxf(most_scale, scale[j]), most_offset = fmaxf(most_offset, offset[j]);
    }
    put_half(out, most_scale / 63.0f), put_half(out + 2, most_offset / 63.0f);
    const float d = f16_to_f32(f32_to_f16(most_scale / 63.0f)), dmin = f16_to_f32(f32_to_f16(most_offset / 63.0f));
    const float per_d = d > 0 ? 1.0f / d : 0.0f, per_dmin = dmin > 0 ? 1.0f / dmin : 0.0f;
    for (int j = 0; j < 8; j++) {
        const float s = within(nearest(within(scale[j] * per_d, 0, 63)), 0, 63);
        const float m = within(nearest(within(offset[j] * per_dmin, 0, 63)), 0, 63);
        float a[9], b[9], steps[9], minima[9];
        for (int c = 0; c < 9; c++) { // the rounded pair first: it stays where nothing is better
            const int k = (c + 4) % 9;
            steps[c] = within(s + (float)(k / 3 - 1), 0, 63), minima[c] = within(m + (float)(k % 3 - 1), 0, 63);
            a[c] = d * steps[c], b[c] = dmin * minima[c];
        }
        const int c = best_of_nine(x + j * BLOCK, w + j * BLOCK, top, a, b);
        s6[j] = (uint8_t)steps[c], m6[j] = (uint8_t)minima[c];
        const float inverse = a[c] > 0 ? 1.0f / a[c] : 0.0f;
        for (int i = 0; i < BLOCK; i++)
            values[j * BLOCK + i] = (uint8_t)nearest(within((x[j * BLOCK + i] + b[c]) * inverse, 0, top));
    }
    for (int j = 0; j < 4; j++) {
        out[4 + j] = (uint8_t)(s6[j] | s6[j + 4] >> 4 << 6);
        out[8 + j] = (uint8_t)(m6[j] | m6[j + 4] >> 4 << 6);
        out[12 + j] = (uint8_t)((s6[j + 4] & 15) | (m6[j + 4] & 15) << 4);
    }
}

static void put_k_nibbles(uint8_t *out, const uint8_t *values) { // per 64 values 32 bytes: low halves, high halves
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < BLOCK; i++)
            out[j * BLOCK + i] = (uint8_t)((values[64 * j + i] & 15) | (values[64 * j + BLOCK + i] & 15) << 4);
}

static void q4_k(const float *x, uint8_t *out) {
    uint8_t values[SUPER];
    k_affine(x, 15, out, values);
    put_k_nibbles(out + 16, values);
}

static void q5_k(const float *x, uint8_t *out) {
    uint8_t values[SUPER];
    k_affine(x, 31, out, values);
    memset(out + 16, 0, 32);
    for (int i = 0; i < SUPER; i++) out[16 + i % 32] |= (uint8_t)(values[i] >> 4 << (i / 32));
    put_k_nibbles(out + 48, values);
}

// ---- blocks of 256: Q6_K --------------------------------------------------------------------------------------------

enum { SIXTEEN = 16 };

// x ~ scale * q with q in -32 .. 31, least squares weighted by x^2.
static float search_symmetric(const float *x) {
    float most = 0, signed_most = 0;
    for (int i = 0; i < SIXTEEN; i++)
        if (fabsf(x[i]) > most) most = fabsf(x[i]), signed_most = x[i];
    if (!(most > 0)) return 0;
    float inverse[TRIES], qq_sum[TRIES] = {0}, qx_sum[TRIES] = {0};
    for (int c = 0; c < TRIES; c++) inverse[c] = -(31.0f + 0.1f * (float)c) / signed_most;
    for (int i = 0; i < SIXTEEN; i++) {
        const float value = x[i], weight = x[i] * x[i];
        for (int c = 0; c < TRIES; c++) {
            float q = nearest(within(inverse[c] * value, -32, 31));
            const float wq = weight * q;
            qq_sum[c] += wq * q;
            qx_sum[c] += wq * value;
        }
    }
    double best = 0;
    float scale = 0;
    for (int c = 0; c < TRIES; c++) {
        const double QQ = qq_sum[c], QX = qx_sum[c];
        if (QQ > 0 && QX * QX > best * QQ) best = QX * QX / QQ, scale = (float)(QX / QQ);
    }
    return scale;
}

static void q6_k(const float *x, uint8_t *out) {
    float scale[16], signed_most = 0;
    for (int j = 0; j < 16; j++) {
        scale[j] = search_symmetric(x + j * SIXTEEN);
        if (fabsf(scale[j]) > fabsf(signed_most)) signed_most = scale[j];
    }
    uint8_t values[SUPER];
    const uint16_t half = f32_to_f16(signed_most / -128.0f);
    const float d = f16_to_f32(half), per_d = d != 0 ? 1.0f / d : 0.0f;
    for (int j = 0; j < 16; j++) {
        const float *part = x + j * SIXTEEN;
        const float s = nearest(within(scale[j] * per_d, -128, 127));
        float best_error = 0, best_scale = 0;
        for (int c = 0; c < 3; c++) { // the rounded scale first
            const float step = within(s + (float)(c == 1 ? -1 : c == 2), -128, 127), a = d * step;
            const float inverse = a != 0 ? 1.0f / a : 0.0f;
            float error = 0;
            for (int i = 0; i < SIXTEEN; i++) {
                const float miss = a * nearest(within(part[i] * inverse, -32, 31)) - part[i];
                error += (part[i] * part[i]) * (miss * miss);
            }
            if (c == 0 || error < best_error) best_error = error, best_scale = step;
        }
        out[192 + j] = (uint8_t)(int8_t)best_scale;
        const float a = d * best_scale, inverse = a != 0 ? 1.0f / a : 0.0f;
        for (int i = 0; i < SIXTEEN; i++)
            values[j * SIXTEEN + i] = (uint8_t)(nearest(within(part[i] * inverse, -32, 31)) + 32.0f);
    }
    memcpy(out + 208, &half, 2);
    memset(out, 0, 192);
    for (int i = 0; i < SUPER; i++) { // per 128 values 64 bytes of low halves and 32 bytes of upper pairs
        const int part = i / 128, k = i % 128;
        out[part * 64 + k % 64] |= (uint8_t)((values[i] & 15) << (k / 64 * 4));
        out[128 + part * 32 + k % 32] |= (uint8_t)(values[i] >> 4 << (k / 32 * 2));
    }
}

// ---- single values --------------------------------------------------------------------------------------------------

static void f32(const float *x, uint8_t *out) { memcpy(out, x, 4); }
static void f16(const float *x, uint8_t *out) { put_half(out, *x); }
static void bf16(const float *x, uint8_t *out) {
    uint32_t bits;
    memcpy(&bits, x, 4);
    const uint16_t upper = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    memcpy(out, &upper, 2);
}

typedef struct {
    int type, values, size;
    void (*block)(const float *, uint8_t *);
} quantiser;

static const quantiser QUANTISERS[] = {
    {0, 1, 4, f32},       {1, 1, 2, f16},       {30, 1, 2, bf16},     {2, 32, 18, q4_0},
    {3, 32, 20, q4_1},    {6, 32, 22, q5_0},    {7, 32, 24, q5_1},    {8, 32, 34, q8_0},
    {12, 256, 144, q4_k}, {13, 256, 176, q5_k}, {14, 256, 210, q6_k},
};

typedef struct {
    const quantiser *how;
    const float *src;
    uint8_t *dst;
    int64_t per_row, K;
    atomic_int bad;
} job;

static void rows(void *arg, int64_t begin, int64_t end, int thread) {
    job *g = arg;
    for (int64_t i = begin * g->K; i < end * g->K; i++)
        if (!(g->src[i] - g->src[i] == 0)) {
            atomic_store(&g->bad, 1);
            return;
        }
    for (int64_t b = begin * g->per_row; b < end * g->per_row; b++)
        g->how->block(g->src + b * g->how->values, g->dst + b * g->how->size);
}

int nk_quantize(int type, const float *src, uint8_t *dst, int64_t N, int64_t K) {
    for (size_t i = 0; i < sizeof QUANTISERS / sizeof *QUANTISERS; i++)
        if (QUANTISERS[i].type == type) {
            job g = {.how = &QUANTISERS[i], .src = src, .dst = dst, .per_row = K / QUANTISERS[i].values, .K = K};
            nk_parallel_for(N, 1 + (1 << 14) / (K + 1), rows, &g);
            return atomic_load(&g.bad);
        }
    return -1;
}
