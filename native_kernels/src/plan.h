// A plan: a network step as a flat list of operations over given buffers, run in one call. Knows no models.
//
// `rows` tokens enter a step. An operation marked NK_ROWS_LAST reads only the last `last` rows and writes them to the
// front of its output; one marked NK_ROWS_FRONT works on those `last` rows (the vocabulary head).
// Buffers are addressed by index. Activations are row-major float32 with the row stride given in the operation, so that
// a slice of a fused buffer (the queries inside query-key-value) is an offset and a stride. All offsets and strides
// count elements.
#pragma once
#include "kernels.h"
#include <stdint.h>

typedef enum {
    NK_OP_EMBED = 0,     // out[r, :n] = table b (k rows of n floats) at ids a[r]
    NK_OP_RMSNORM = 1,   // out[r, :n] = rmsnorm(a[r, :n]) * b, eps = f
    NK_OP_GEMM_F32 = 2,  // out[r, :n] = a[r, :k] times b (n, k) transposed [+ c[r, :n]]
    NK_OP_GEMM_Q8 = 3,   // the same with packed Q8_0 weights b
    NK_OP_ROPE = 4,      // out[r, h, :k] rotated in place for n heads; a = positions, b = cos, c = sin
    NK_OP_KV_STORE = 5,  // row r of a (n floats) -> row start + r of the cache buffer out, at out_offset
    NK_OP_ATTENTION = 6, // queries a (n heads of k) over cache b (keys) and c (values), kv_heads; scale = f
    NK_OP_SWIGLU = 7,    // out[r, :n] = silu(a[r, :n]) * a[r, n:2n], rows contiguous
    NK_OP_COUNT
} nk_op_kind;

enum { NK_ROWS_ALL = 0, NK_ROWS_LAST = 1, NK_ROWS_FRONT = 2 };

// One operation. Mirrored field by field by PLAN_FIELDS in native_kernels/plan.py.
typedef struct {
    int64_t kind, rows_kind;
    int64_t a, b, c, out;   // buffer indices, -1: absent; c is also the residual of a product
    int64_t n, k, kv_heads; // sizes, see the kinds above
    int64_t a_offset, a_stride, c_offset, c_stride, out_offset, out_stride;
    int64_t max_rows; // rows that fit the cache (KV_STORE, ATTENTION) or position tables (ROPE)
} nk_op;
_Static_assert(sizeof(nk_op) == 16 * 8, "nk_op is 16 int64 fields");

typedef struct {
    void *data;
    int64_t nbytes;
} nk_buffer;

// 0: fits. Otherwise the 1-based number of the first operation that would reach outside a buffer for a step of
// `max_rows` rows (of which `max_last` reach the head), or whose fields make no sense.
int64_t nk_plan_check(const nk_op *ops, int64_t n_ops, const nk_buffer *buffers, int64_t n_buffers, int64_t max_rows,
                      int64_t max_last);

// Runs the plan for `rows` new tokens that follow `start` cached ones. scalars: one float per operation (f above).
// Returns 0, or 1 if the calling thread's cancel flag was raised or it was marked for want of memory (alloc.h); the
// step's output is then undefined.
int nk_plan_run(const kernel_table *K, const nk_op *ops, const float *scalars, int64_t n_ops, const nk_buffer *buffers,
                int64_t rows, int64_t start, int64_t last);
