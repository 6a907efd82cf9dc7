// The mixture of experts of a plan (NK_OP_EXPERTS in plan.h): chooses experts row by row, then works expert by expert
// on the rows that chose it, so that a weight is read once for a step, and not at all if nobody chose it. Knows no
// layers.
#include "plan.h"
#include "pool.h"
#include "alloc.h"
#include <math.h>
#include <string.h>

typedef struct {
    float *x, *wide, *narrow, *y; // rows of one expert: inputs (n), gate and up (2 k), their product (k), results (n)
    float *share;                 // (rows, chosen)
    int32_t *expert, *row;        // (rows, chosen) ascending in each row; rows of one expert
} experts_work;

int64_t nk_experts_scratch(const nk_op *op, int64_t rows) {
    return rows * (2 * op->n + 3 * op->k + 2 * op->chosen + 1);
}

static experts_work divide(const nk_op *op, float *p, int64_t rows) {
    experts_work w;
    w.x = p, p += rows * op->n;
    w.wide = p, p += rows * 2 * op->k;
    w.narrow = p, p += rows * op->k;
    w.y = p, p += rows * op->n;
    w.share = p, p += rows * op->chosen;
    w.expert = (int32_t *)(void *)p;
    w.row = w.expert + rows * op->chosen;
    return w;
}

// The `chosen` highest of the scores (the first of equals), in ascending order of the expert, and their weights. With a
// NaN among them the choice means nothing, but names experts that exist.
static void choose(const nk_op *op, const float *scores, int32_t *expert, float *share) {
    const int64_t E = op->experts, n = op->chosen;
    float max = scores[0], all = 0, kept = 0;
    for (int64_t e = 1; e < E; e++) max = scores[e] > max ? scores[e] : max;
    for (int64_t e = 0; e < E; e++) all += expf(scores[e] - max);
    int64_t count = 0; // expert[0 .. count) by falling score
    for (int64_t e = 0; e < E; e++) {
        int64_t at = count < n ? count++ : n;
        if (at == n && !(scores[e] > scores[expert[n - 1]])) continue;
        if (at == n) at = n - 1;
        for (; at > 0 && scores[e] > scores[expert[at - 1]]; at--) expert[at] = expert[at - 1];
        expert[at] = (int32_t)e;
    }
    for (int64_t i = 1; i < n; i++) { // ascending: every row adds up its experts in the same order
        const int32_t e = expert[i];
        int64_t at = i;
        for (; at > 0 && expert[at - 1] > e; at--) expert[at] = expert[at - 1];
        expert[at] = e;
    }
    for (int64_t i = 0; i < n; i++) kept += share[i] = expf(scores[expert[i]] - max);
    for (int64_t i = 0; i < n; i++) share[i] /= op->norm_chosen ? kept : all;
}

void nk_run_experts(const kernel_table *K, const nk_op *op, const nk_buffer *buffers, int64_t rows) {
    const int64_t n = op->n, k = op->k, chosen = op->chosen;
    const float *a = (const float *)buffers[op->a].data + op->a_offset;
    const float *scores = (const float *)buffers[op->c].data + op->c_offset;
    const uint8_t *up = buffers[op->b].data, *down = buffers[op->b2].data;
    const int64_t up_bytes = nk_matrix_bytes(op->type, 2 * k, n), down_bytes = nk_matrix_bytes(op->type2, n, k);
    const float *bias = op->bias < 0 ? NULL : buffers[op->bias].data;
    const float *bias2 = op->bias2 < 0 ? NULL : buffers[op->bias2].data;
    float *out = (float *)buffers[op->out].data + op->out_offset;
    const experts_work w = divide(op, buffers[op->scratch].data, rows);
    for (int64_t r = 0; r < rows; r++) {
        choose(op, scores + r * op->c_stride, w.expert + r * chosen, w.share + r * chosen);
        memset(out + r * op->out_stride, 0, (size_t)n * sizeof(float));
    }
    for (int64_t e = 0; e < op->experts; e++) {
        int64_t m = 0;
        for (int64_t i = 0; i < rows * chosen; i++) {
            if (w.expert[i] != e) continue;
            memcpy(w.x + m * n, a + i / chosen * op->a_stride, (size_t)n * sizeof(float));
            w.row[m++] = (int32_t)i;
        }
        if (m == 0) continue;
        if (nk_cancelled() || nk_failed()) return;
        K->gemm_quant((int)op->type, m, 2 * k, n, w.x, n, up + e * up_bytes, w.wide, 2 * k,
                      bias ? bias + e * 2 * k : NULL, NULL, 0);
        K->serve_gate((int)op->mode, 1, w.narrow, k, w.wide, 2 * k, m, k);
        K->gemm_quant((int)op->type2, m, n, k, w.narrow, k, down + e * down_bytes, w.y, n, bias2 ? bias2 + e * n : NULL,
                      NULL, 0);
        for (int64_t i = 0; i < m; i++) {
            float *to = out + w.row[i] / chosen * op->out_stride;
            K->serve_add(to, n, w.y + i * n, n, to, n, 1, n, w.share[w.row[i]], 0);
        }
    }
}
