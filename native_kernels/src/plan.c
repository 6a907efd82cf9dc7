// Runs and checks plans (plan.h). Kernels parallelise themselves; this file only does addresses.
#include "plan.h"
#include "alloc.h"
#include "pool.h"
#include <string.h>

static const float *read_at(const nk_buffer *buffers, int64_t index, int64_t offset) {
    return index < 0 ? NULL : (const float *)buffers[index].data + offset;
}

static void run_op(const kernel_table *K, const nk_op *op, float f, const nk_buffer *buf, int64_t rows, int64_t start,
                   int64_t last) {
    const int64_t skip = op->rows_kind == NK_ROWS_LAST ? rows - last : 0;
    const int64_t R = op->rows_kind == NK_ROWS_ALL ? rows : last;
    if (R <= 0) return;
    const float *a = read_at(buf, op->a, op->a_offset + skip * op->a_stride);
    float *out = (float *)buf[op->out].data + op->out_offset;
    switch ((nk_op_kind)op->kind) {
    case NK_OP_EMBED:
        K->embedding(out, (const float *)buf[op->b].data, (const int32_t *)buf[op->a].data, R, op->n);
        break;
    case NK_OP_RMSNORM:
        K->rmsnorm(out, NULL, a, (const float *)buf[op->b].data, R, op->n, f);
        break;
    case NK_OP_GEMM_F32:
        K->gemm_f32(0, 1, R, op->n, op->k, a, op->a_stride, (const float *)buf[op->b].data, op->k, out, op->out_stride,
                    0, NULL, read_at(buf, op->c, op->c_offset + skip * op->c_stride), op->c_stride);
        break;
    case NK_OP_GEMM_Q8:
        K->gemm_q8_0(R, op->n, op->k, a, op->a_stride, (const uint8_t *)buf[op->b].data, out, op->out_stride,
                     read_at(buf, op->c, op->c_offset + skip * op->c_stride), op->c_stride);
        break;
    case NK_OP_ROPE:
        K->rope(out, op->out_stride, (const float *)buf[op->b].data, (const float *)buf[op->c].data,
                (const int32_t *)buf[op->a].data, R, op->n, op->k, 0);
        break;
    case NK_OP_KV_STORE:
        for (int64_t r = 0; r < R; r++)
            memcpy(out + (start + r) * op->out_stride, a + r * op->a_stride, (size_t)op->n * sizeof(float));
        break;
    case NK_OP_ATTENTION: {
        const int64_t kv_row = op->kv_heads * op->k;
        K->attention(out, NULL, a, read_at(buf, op->b, op->c_offset), read_at(buf, op->c, op->c_offset), 1, R,
                     start + rows, op->n, op->kv_heads, op->k, op->a_stride, 0, kv_row, 0, op->out_stride, 0, f, 1);
        break;
    }
    case NK_OP_SWIGLU:
        K->swiglu(out, a, R, op->n);
        break;
    case NK_OP_COUNT:
        break;
    }
}

int nk_plan_run(const kernel_table *K, const nk_op *ops, const float *scalars, int64_t n_ops, const nk_buffer *buffers,
                int64_t rows, int64_t start, int64_t last) {
    for (int64_t i = 0; i < n_ops; i++) {
        if (nk_cancelled() || nk_failed()) return 1;
        run_op(K, &ops[i], scalars[i], buffers, rows, start, last);
    }
    return nk_cancelled() || nk_failed();
}

// Whether rows of `width` elements of `size` bytes, `stride` apart from `offset`, lie inside buffer `index`.
static int fits(const nk_buffer *buf, int64_t n_buffers, int64_t index, int64_t offset, int64_t rows, int64_t stride,
                int64_t width, int64_t size) {
    const int64_t limit = (int64_t)1 << 40;
    if (index < 0 || index >= n_buffers || offset < 0 || rows < 1 || width < 1 || stride < 0) return 0;
    if (offset > limit || stride > limit || width > limit || rows > ((int64_t)1 << 22)) return 0;
    int64_t end;
    if (__builtin_mul_overflow(rows - 1, stride, &end)) return 0;
    end += offset + width;
    return end <= buf[index].nbytes / size;
}

static int op_fits(const nk_op *op, const nk_buffer *buf, int64_t nb, int64_t max_rows, int64_t max_last) {
    const int64_t limit = (int64_t)1 << 31;
    if (op->n < 1 || op->k < 0 || op->n > limit || op->k > limit || op->kv_heads < 0 || op->kv_heads > limit) return 0;
    if (op->rows_kind < NK_ROWS_ALL || op->rows_kind > NK_ROWS_FRONT) return 0;
    const int64_t rows = op->rows_kind == NK_ROWS_FRONT ? max_last : max_rows;
    const int64_t out_rows = op->rows_kind == NK_ROWS_ALL ? max_rows : max_last;
#define A(width) fits(buf, nb, op->a, op->a_offset, rows, op->a_stride, width, 4)
#define OUT(width) fits(buf, nb, op->out, op->out_offset, out_rows, op->out_stride, width, 4)
    const int c_fits = op->c < 0 || fits(buf, nb, op->c, op->c_offset, rows, op->c_stride, op->n, 4);
    switch ((nk_op_kind)op->kind) {
    case NK_OP_EMBED:
        return fits(buf, nb, op->a, 0, rows, 1, 1, 4) && fits(buf, nb, op->b, 0, op->k, op->n, op->n, 4) &&
               op->out_stride == op->n && OUT(op->n);
    case NK_OP_RMSNORM:
        return op->a_stride == op->n && op->out_stride == op->n && A(op->n) && OUT(op->n) &&
               fits(buf, nb, op->b, 0, 1, 0, op->n, 4);
    case NK_OP_GEMM_F32:
        return op->k > 0 && A(op->k) && OUT(op->n) && c_fits && fits(buf, nb, op->b, 0, op->n, op->k, op->k, 4);
    case NK_OP_GEMM_Q8:
        return op->k > 0 && op->k % NK_Q8_BLOCK == 0 && A(op->k) && OUT(op->n) && c_fits &&
               fits(buf, nb, op->b, 0, op->n, op->k / NK_Q8_BLOCK * 34, op->k / NK_Q8_BLOCK * 34, 1);
    case NK_OP_ROPE:
        return op->k > 0 && op->k % 2 == 0 && OUT(op->n * op->k) && fits(buf, nb, op->a, 0, rows, 1, 1, 4) &&
               fits(buf, nb, op->b, 0, op->max_rows, op->k / 2, op->k / 2, 4) &&
               fits(buf, nb, op->c, 0, op->max_rows, op->k / 2, op->k / 2, 4);
    case NK_OP_KV_STORE:
        return A(op->n) && fits(buf, nb, op->out, op->out_offset, op->max_rows, op->out_stride, op->n, 4);
    case NK_OP_ATTENTION: {
        const int64_t kv_row = op->kv_heads * op->k;
        return op->k > 0 && op->kv_heads > 0 && op->n % op->kv_heads == 0 && A(op->n * op->k) && OUT(op->n * op->k) &&
               fits(buf, nb, op->b, op->c_offset, op->max_rows, kv_row, kv_row, 4) &&
               fits(buf, nb, op->c, op->c_offset, op->max_rows, kv_row, kv_row, 4);
    }
    case NK_OP_SWIGLU:
        return op->a_stride == 2 * op->n && op->out_stride == op->n && A(2 * op->n) && OUT(op->n);
    case NK_OP_COUNT:
        break;
    }
    return 0;
#undef A
#undef OUT
}

int64_t nk_plan_check(const nk_op *ops, int64_t n_ops, const nk_buffer *buffers, int64_t n_buffers, int64_t max_rows,
                      int64_t max_last) {
    for (int64_t i = 0; i < n_ops; i++)
        if (!op_fits(&ops[i], buffers, n_buffers, max_rows, max_last)) return i + 1;
    return 0;
}
