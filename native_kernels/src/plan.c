// Runs plans (plan.h): finds the addresses of each operation and calls its kernel, which parallelises itself.
// plan_check.c has made sure that they lie inside the buffers.
#include "plan.h"
#include "alloc.h"
#include "pool.h"
#include "quant_layout.h"
#include "threads.h"
#include <string.h>

typedef struct {
    const kernel_table *K;
    const nk_plan *plan;
    const nk_plan_sequence *sequences;
    int64_t n_sequences, rows, head_rows;
} step;

static const float *read_at(const nk_buffer *buffers, int64_t index, int64_t offset) {
    return index < 0 ? NULL : (const float *)buffers[index].data + offset;
}

static int in_range(const int32_t *index, int64_t n, int64_t end) {
    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= end) return 0;
    return 1;
}

static int64_t kv_row_bytes(int64_t kv_type, int64_t D) {
    return kv_type == NK_KV_F32                            ? 4 * D
           : kv_type == NK_KV_F16                          ? 2 * D
           : kv_type == NK_KV_Q8_0 && D % NK_Q8_BLOCK == 0 ? D / NK_Q8_BLOCK * 34
                                                           : 0;
}

int64_t nk_plan_cache_bytes(const nk_plan_cache *cache, int64_t kv_type, int64_t capacity) {
    return cache->layers * cache->kv_heads * capacity * kv_row_bytes(kv_type, cache->head_dim);
}

static void positions(const step *s, int32_t *out) {
    for (int64_t i = 0; i < s->n_sequences; i++)
        for (int64_t r = 0; r < s->sequences[i].rows; r++) *out++ = (int32_t)(s->sequences[i].start + r);
}

static void gather(const step *s, const nk_op *op, const float *a, float *out) {
    for (int64_t i = 0; i < s->n_sequences; i++) {
        const nk_plan_sequence *q = &s->sequences[i];
        for (int64_t r = q->rows - q->last; r < q->rows; r++, out += op->out_stride)
            memcpy(out, a + r * op->a_stride, (size_t)op->n * sizeof(float));
        a += q->rows * op->a_stride;
    }
}

static void embed(const step *s, const nk_op *op, float f, float *out, int64_t rows) {
    const kernel_table *K = s->K;
    const nk_buffer *buf = s->plan->buffers;
    const uint8_t *table = buf[op->b].data;
    const int32_t *ids = buf[op->a].data;
    const int64_t row_bytes = nk_row_bytes(nk_block_of(op->type), op->n);
    if (op->packed)
        K->packed_rows((int)op->type, table, op->k, op->n, ids, rows, out);
    else
        for (int64_t r = 0; r < rows; r++)
            nk_dequantize_row((int)op->type, table + ids[r] * row_bytes, out + r * op->out_stride, op->n);
    if (f != 1) K->serve_add(out, op->out_stride, out, op->out_stride, NULL, 0, rows, op->n, f, 0);
}

static void add_table(const step *s, const nk_op *op, float *out, int64_t rows) {
    const float *table = s->plan->buffers[op->b].data;
    const int32_t *index = s->plan->buffers[op->a].data;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < op->n; i++) out[r * op->out_stride + i] += table[index[r] * op->n + i];
}

static int is_rounded(int64_t type) { return nk_block_of(type)->values > 1; }

int64_t nk_plan_shared_bytes(const kernel_table *K, const nk_plan *plan) {
    int64_t most = 0;
    for (int64_t i = 0; i < plan->n_ops; i++) {
        const nk_op *op = &plan->ops[i];
        if (op->kind != NK_OP_PRODUCT || op->mode != 1 || !is_rounded(op->type)) continue;
        const int64_t bytes = K->quant_rows_bytes(plan->max_rows, op->k);
        most = bytes > most ? bytes : most;
    }
    return most;
}

// `shared` tells whether the plan's shared rows are those of this operation's input.
static void product(const step *s, const nk_op *op, const float *a, const float *c, float *out, int64_t rows,
                    int *shared) {
    const kernel_table *K = s->K;
    const nk_buffer *buf = s->plan->buffers;
    const uint8_t *weights = buf[op->b].data;
    const float *bias = read_at(buf, op->bias, 0);
    if (op->mode == 1) *shared = 0;
    if (op->mode == 0 || !is_rounded(op->type) || K->quant_rows_bytes(rows, op->k) > s->plan->shared_bytes) {
        K->gemm_quant((int)op->type, rows, op->n, op->k, a, op->a_stride, weights, out, op->out_stride, bias, c,
                      op->c_stride);
        return;
    }
    if (!*shared) K->quantize_rows(rows, op->k, a, op->a_stride, s->plan->shared);
    *shared = 1;
    if (nk_cancelled() || nk_failed()) return; // the rows may be unfinished
    K->gemm_quant_rows((int)op->type, rows, op->n, op->k, s->plan->shared, weights, out, op->out_stride, bias, c,
                       op->c_stride);
}

// The sequences as the cache kernels want them, for one layer; `trailing`: only their head rows.
static void layer_sequences(const step *s, int64_t layer, int trailing) {
    const nk_plan_cache *cache = &s->plan->cache;
    int64_t row = 0;
    for (int64_t i = 0; i < s->n_sequences; i++) {
        const nk_plan_sequence *q = &s->sequences[i];
        const int64_t rows = trailing ? q->last : q->rows, skip = q->rows - rows;
        const int64_t at = layer * cache->kv_heads * q->capacity * kv_row_bytes(q->kv_type, cache->head_dim);
        s->plan->work[i] = (nk_sequence){row + skip, rows, q->start + skip, q->capacity, q->keys + at, q->values + at};
        row += q->rows;
    }
}

static void kv_store(const step *s, const nk_op *op, const float *a) {
    const nk_plan_cache *cache = &s->plan->cache;
    layer_sequences(s, op->layer, 0);
    for (int64_t i = 0; i < s->n_sequences; i++)
        s->K->kv_store((int)s->sequences[i].kv_type, a + s->plan->work[i].row * op->a_stride, op->a_stride,
                       cache->kv_heads, cache->head_dim, &s->plan->work[i], (int)op->mode);
}

static void attention(const step *s, const nk_op *op, const float *scalars, const float *a, float *out) {
    nk_cached_attention job = {.q = a,
                               .out = out,
                               .q_row = op->a_stride,
                               .o_row = op->out_stride,
                               .heads = op->heads,
                               .kv_heads = op->kv_heads,
                               .D = op->head_dim,
                               .scale = scalars[0],
                               .softcap = scalars[1],
                               .window = op->window,
                               .causal = 1};
    layer_sequences(s, op->layer, op->rows_kind == NK_ROWS_HEAD);
    for (int64_t i = 0, end; i < s->n_sequences; i = end) { // a kernel call works on one storage type
        job.kv_type = (int)s->sequences[i].kv_type;
        for (end = i + 1; end < s->n_sequences && s->sequences[end].kv_type == job.kv_type;) end++;
        s->K->attention_cached(&job, s->plan->work + i, end - i);
    }
}

static int run_op(const step *s, const nk_op *op, const float *scalars, int *shared) {
    const nk_buffer *buf = s->plan->buffers;
    const int64_t R = op->rows_kind == NK_ROWS_HEAD ? s->head_rows : s->rows;
    if (R <= 0) return NK_PLAN_DONE;
    const float f = scalars[0], g = scalars[1];
    const float *a = read_at(buf, op->a, op->a_offset), *c = read_at(buf, op->c, op->c_offset);
    float *out = op->out < 0 ? NULL : (float *)buf[op->out].data + op->out_offset;
    switch ((nk_op_kind)op->kind) {
    case NK_OP_POSITIONS:
        positions(s, buf[op->out].data);
        break;
    case NK_OP_EMBED:
        if (!in_range((const int32_t *)a, R, op->k)) return NK_PLAN_BAD_INDEX;
        embed(s, op, f, out, R);
        break;
    case NK_OP_ADD_TABLE:
        if (!in_range((const int32_t *)a, R, op->k)) return NK_PLAN_BAD_INDEX;
        add_table(s, op, out, R);
        break;
    case NK_OP_NORM: {
        const nk_norm norm = {.kind = (int)op->mode,
                              .rows = R,
                              .groups = op->heads,
                              .n = op->n,
                              .x = a,
                              .weight = read_at(buf, op->b, 0),
                              .bias = read_at(buf, op->bias, 0),
                              .residual = c,
                              .x_row = op->a_stride,
                              .residual_row = op->c_stride,
                              .out_row = op->out_stride,
                              .out = out,
                              .eps = f,
                              .scale = g};
        s->K->serve_norm(&norm);
        break;
    }
    case NK_OP_PRODUCT:
        product(s, op, a, c, out, R, shared);
        break;
    case NK_OP_ROPE: {
        const int32_t *index = buf[op->a].data;
        if (!in_range(index, R, op->max_rows)) return NK_PLAN_BAD_INDEX;
        const nk_rope rope = {.x = out,
                              .x_row = op->out_stride,
                              .rows = R,
                              .heads = op->heads,
                              .D = op->head_dim,
                              .dim = op->k,
                              .interleaved = (int)op->mode,
                              .cos = buf[op->b].data,
                              .sin = buf[op->c].data,
                              .index = index};
        s->K->serve_rope(&rope);
        break;
    }
    case NK_OP_KV_STORE:
        kv_store(s, op, a);
        break;
    case NK_OP_ATTENTION:
        attention(s, op, scalars, a, out);
        break;
    case NK_OP_ACTIVATION:
        s->K->serve_gate((int)op->mode, (int)op->k, out, op->out_stride, a, op->a_stride, R, op->n);
        break;
    case NK_OP_ADD:
        s->K->serve_add(out, op->out_stride, a, op->a_stride, c, op->c_stride, R, op->n, f, g);
        break;
    case NK_OP_GATHER:
        gather(s, op, a, out);
        break;
    case NK_OP_EXPERTS:
        nk_run_experts(s->K, op, buf, R);
        break;
    case NK_OP_SCALE:
        for (int64_t r = 0; r < R; r++)
            s->K->mul(out + r * op->out_stride, a + r * op->a_stride, read_at(buf, op->b, 0), op->n);
        if (op->bias >= 0)
            s->K->serve_add(out, op->out_stride, out, op->out_stride, read_at(buf, op->bias, 0), 0, R, op->n, 1, 0);
        break;
    case NK_OP_COUNT:
        break;
    }
    return NK_PLAN_DONE;
}

int nk_plan_run(const kernel_table *K, const nk_plan *plan, const nk_plan_sequence *sequences, int64_t n_sequences) {
    step s = {.K = K, .plan = plan, .sequences = sequences, .n_sequences = n_sequences};
    for (int64_t i = 0; i < n_sequences; i++) s.rows += sequences[i].rows, s.head_rows += sequences[i].last;
    int shared = 0;
    for (int64_t i = 0; i < plan->n_ops; i++) {
        if (nk_cancelled() || nk_failed()) return NK_PLAN_STOPPED;
        const int64_t began = plan->times ? nk_now_ns() : 0;
        const int result = run_op(&s, &plan->ops[i], plan->scalars + 2 * i, &shared);
        if (plan->times) plan->times[i] += nk_now_ns() - began;
        if (result) return result;
    }
    return nk_cancelled() || nk_failed() ? NK_PLAN_STOPPED : NK_PLAN_DONE;
}
