// Checks plans (plan.h) before they run: no operation may reach outside its buffers, whatever its fields say.
#include "plan.h"
#include "quant_layout.h"

// Whether rows of `width` elements of `size` bytes, `stride` apart from `offset`, lie inside buffer `index`. A buffer
// that each run brings along holds head rows only (`head`: so does the operand): each must lie in a row of the buffer.
static int fits(const nk_plan *p, int head, int64_t index, int64_t offset, int64_t rows, int64_t stride, int64_t width,
                int64_t size) {
    const int64_t limit = (int64_t)1 << 40;
    if (index < 0 || index >= p->n_buffers || offset < 0 || rows < 1 || width < 1 || stride < 0) return 0;
    if (offset > limit || stride > limit || width > limit || rows > ((int64_t)1 << 31)) return 0;
    const nk_buffer *buffer = &p->buffers[index];
    if (buffer->row_bytes > 0)
        return head && stride * size == buffer->row_bytes && (offset + width) * size <= stride * size;
    int64_t end;
    if (__builtin_mul_overflow(rows - 1, stride, &end)) return 0;
    end += offset + width;
    return end <= buffer->nbytes / size;
}

static int written(const nk_plan *p, int head, int64_t index, int64_t offset, int64_t rows, int64_t stride,
                   int64_t width) {
    return fits(p, head, index, offset, rows, stride, width, 4) && p->buffers[index].writable && stride >= width;
}

static int absent_or_row(const nk_plan *p, int64_t index, int64_t n) {
    return index < 0 || fits(p, 0, index, 0, 1, n, n, 4);
}

// Whether two buffers share no byte.
static int apart(const nk_plan *p, int64_t a, int64_t b) {
    if (a < 0 || b < 0 || a >= p->n_buffers || b >= p->n_buffers) return 0;
    const uintptr_t a0 = (uintptr_t)p->buffers[a].data, b0 = (uintptr_t)p->buffers[b].data;
    return a0 + (uintptr_t)p->buffers[a].nbytes <= b0 || b0 + (uintptr_t)p->buffers[b].nbytes <= a0;
}

// Whether the int32 buffer a names a row of a table for each row, and stays as it is while `out` is written.
static int names_rows(const nk_plan *p, const nk_op *op, int64_t rows) {
    if (op->a_offset != 0 || !fits(p, 0, op->a, 0, rows, 1, 1, 4)) return 0;
    return apart(p, op->a, op->out);
}

int64_t nk_matrix_bytes(int64_t type, int64_t rows, int64_t columns) {
    const int64_t limit = (int64_t)1 << 29;
    const nk_block *block = nk_block_of(type);
    if (block == NULL || rows < 1 || columns < 1 || rows > limit || columns > limit || columns % block->values)
        return 0;
    return rows * nk_row_bytes(block, columns);
}

// Whether buffer `index` holds `count` matrices (rows, columns) stored as `type`, one behind the other.
static int matrices_fit(const nk_plan *p, int64_t index, int64_t type, int64_t count, int64_t rows, int64_t columns) {
    const int64_t bytes = nk_matrix_bytes(type, rows, columns);
    return bytes > 0 && fits(p, 0, index, 0, count, bytes, bytes, 1);
}

// Whether a product that takes the rounded input of the one before it (mode 2) has that one's input.
static int shares(const nk_plan *p, const nk_op *op) {
    if (op->mode < 0 || op->mode > 2) return 0;
    if (op->mode < 2) return 1;
    const nk_op *before = op - 1;
    return op > p->ops && before->kind == NK_OP_PRODUCT && before->mode >= 1 && before->rows_kind == op->rows_kind &&
           before->a == op->a && before->a_offset == op->a_offset && before->a_stride == op->a_stride &&
           before->k == op->k && apart(p, before->a, before->out);
}

static int experts_fit(const nk_plan *p, const nk_op *op, int64_t rows) {
    if (op->experts < 1 || op->experts > 1 << 16 || op->chosen < 1 || op->chosen > op->experts || op->k < 1) return 0;
    if (op->mode < 0 || op->mode >= NK_ACTIVATIONS || op->norm_chosen < 0 || op->norm_chosen > 1) return 0;
    if (op->bias >= 0 && !fits(p, 0, op->bias, 0, op->experts, 2 * op->k, 2 * op->k, 4)) return 0;
    if (op->bias2 >= 0 && !fits(p, 0, op->bias2, 0, op->experts, op->n, op->n, 4)) return 0;
    return matrices_fit(p, op->b, op->type, op->experts, 2 * op->k, op->n) &&
           matrices_fit(p, op->b2, op->type2, op->experts, op->n, op->k) &&
           written(p, 0, op->scratch, 0, 1, nk_experts_scratch(op, rows), nk_experts_scratch(op, rows)) &&
           apart(p, op->scratch, op->a) && apart(p, op->scratch, op->c) && apart(p, op->scratch, op->out);
}

static int op_fits(const nk_plan *p, const nk_op *op) {
    const int64_t limit = (int64_t)1 << 31;
    const int64_t sizes[] = {op->n, op->k, op->heads, op->kv_heads, op->head_dim, op->layer, op->window, op->max_rows};
    for (int i = 0; i < (int)(sizeof sizes / sizeof *sizes); i++)
        if (sizes[i] < 0 || sizes[i] > limit) return 0;
    const int64_t named[] = {op->a, op->b, op->c, op->out, op->bias, op->b2, op->bias2, op->scratch};
    for (int i = 0; i < (int)(sizeof named / sizeof *named); i++) // also those that this kind does not use
        if (named[i] < -1 || named[i] >= p->n_buffers) return 0;
    const int64_t offsets[] = {op->a_offset, op->c_offset, op->out_offset};
    for (int i = 0; i < 3; i++)
        if (offsets[i] < 0 || offsets[i] > (int64_t)1 << 40) return 0;
    if (op->rows_kind < NK_ROWS_ALL || op->rows_kind > NK_ROWS_HEAD) return 0;
    const nk_plan_cache *cache = &p->cache;
    const int head = op->rows_kind == NK_ROWS_HEAD;
    const int64_t rows = head ? p->max_head : p->max_rows;
    const int64_t wide = op->heads * op->n, q_width = op->heads * op->head_dim; // both below 2^62
#define A(width) fits(p, head, op->a, op->a_offset, rows, op->a_stride, width, 4)
#define OUT(width) written(p, head, op->out, op->out_offset, rows, op->out_stride, width)
#define RESIDUAL(width) (op->c < 0 || fits(p, head, op->c, op->c_offset, rows, op->c_stride, width, 4))
    switch ((nk_op_kind)op->kind) {
    case NK_OP_POSITIONS:
        return op->rows_kind == NK_ROWS_ALL && op->out_offset == 0 && written(p, 0, op->out, 0, rows, 1, 1);
    case NK_OP_EMBED:
        return names_rows(p, op, rows) && matrices_fit(p, op->b, op->type, 1, op->k, op->n) && OUT(op->n) &&
               (op->packed == 0 || (op->packed == 1 && op->out_stride == op->n)) && apart(p, op->b, op->out);
    case NK_OP_ADD_TABLE:
        return names_rows(p, op, rows) && fits(p, 0, op->b, 0, op->k, op->n, op->n, 4) && OUT(op->n);
    case NK_OP_NORM:
        return op->mode >= NK_RMSNORM && op->mode <= NK_LAYERNORM && A(wide) && OUT(wide) && RESIDUAL(wide) &&
               fits(p, 0, op->b, 0, 1, op->n, op->n, 4) && absent_or_row(p, op->bias, op->n);
    case NK_OP_PRODUCT:
        return shares(p, op) && A(op->k) && OUT(op->n) && RESIDUAL(op->n) && absent_or_row(p, op->bias, op->n) &&
               matrices_fit(p, op->b, op->type, 1, op->n, op->k);
    case NK_OP_ROPE:
        return op->k > 0 && op->k % 2 == 0 && op->k <= op->head_dim && OUT(q_width) && names_rows(p, op, rows) &&
               fits(p, 0, op->b, 0, op->max_rows, op->k / 2, op->k / 2, 4) &&
               fits(p, 0, op->c, 0, op->max_rows, op->k / 2, op->k / 2, 4);
    case NK_OP_KV_STORE:
        return op->rows_kind == NK_ROWS_ALL && op->mode >= 0 && op->mode <= 1 && op->layer < cache->layers &&
               op->kv_heads == cache->kv_heads && op->head_dim == cache->head_dim && A(op->kv_heads * op->head_dim);
    case NK_OP_ATTENTION: // on head rows, too, it touches rows of the whole step
        return op->layer < cache->layers && op->kv_heads == cache->kv_heads && op->head_dim == cache->head_dim &&
               op->heads % op->kv_heads == 0 &&
               fits(p, 0, op->a, op->a_offset, p->max_rows, op->a_stride, q_width, 4) &&
               written(p, 0, op->out, op->out_offset, p->max_rows, op->out_stride, q_width);
    case NK_OP_ACTIVATION:
        return op->mode >= 0 && op->mode < NK_ACTIVATIONS && op->k <= 1 && A((1 + op->k) * op->n) && OUT(op->n);
    case NK_OP_ADD:
        return A(op->n) && OUT(op->n) && RESIDUAL(op->n);
    case NK_OP_GATHER:
        return op->rows_kind == NK_ROWS_HEAD && OUT(op->n) && op->out != op->a &&
               fits(p, 0, op->a, op->a_offset, p->max_rows, op->a_stride, op->n, 4);
    case NK_OP_EXPERTS:
        return A(op->n) && OUT(op->n) && op->c >= 0 && RESIDUAL(op->experts) && experts_fit(p, op, rows);
    case NK_OP_SCALE:
        return A(op->n) && OUT(op->n) && fits(p, 0, op->b, 0, 1, op->n, op->n, 4) && absent_or_row(p, op->bias, op->n);
    case NK_OP_COUNT:
        break;
    }
    return 0;
#undef A
#undef OUT
#undef RESIDUAL
}

int64_t nk_plan_check(const nk_plan *plan) {
    for (int64_t i = 0; i < plan->n_ops; i++)
        if (!op_fits(plan, &plan->ops[i])) return i + 1;
    return 0;
}
