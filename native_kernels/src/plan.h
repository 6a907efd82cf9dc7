// A plan: a network step as a flat list of operations over given buffers, run in one call. Knows no models.
//
// The rows of a step are new tokens of one or more sequences, one sequence behind the other (nk_plan_sequence); each
// sequence has its own cache. The last `last` rows of every sequence are its head rows: an operation marked
// NK_ROWS_HEAD works on them alone, on buffers whose first rows are the head rows of all sequences in order
// (NK_OP_GATHER makes them). Buffers are addressed by index. Activations are row-major float32 with the row stride
// given in the operation, so that a slice of a fused buffer (the queries inside query-key-value) is an offset and a
// stride. All offsets and strides count elements.
#pragma once
#include "kernels.h"
#include <stdint.h>

typedef enum {
    NK_OP_POSITIONS = 0, // int32 out[r] = position of row r in its sequence
    NK_OP_EMBED = 1,     // out[r, :n] = f * row a[r] of table b, which has k rows; a: int32
    NK_OP_ADD_TABLE = 2, // out[r, :n] += row a[r] of the float32 table b (k rows)
    NK_OP_NORM = 3,    // out[r, h, :n] = norm(a[r, h, :n]) * b [+ bias], `heads` vectors a row, eps f; kind in `mode`;
                       // with c: out = c + g * that
    NK_OP_PRODUCT = 4, // out[r, :n] = a[r, :k] times b (n, k) transposed [+ bias] [+ c[r, :n]]. mode 1: the rounded
                       // a is kept for the operations right behind that are mode 2 and have the same a
    NK_OP_ROPE = 5,    // the first k values of `heads` heads (head_dim wide) of out rotated in place by row a[r] of the
                       // tables b (cos) and c (sin), which have max_rows rows; mode: interleaved pairs
    NK_OP_KV_STORE = 6,  // kv_heads * head_dim values of each row of a -> its place in keys (mode 0) or values (mode 1)
    NK_OP_ATTENTION = 7, // queries a (heads of head_dim) over the cached rows of `layer`; scale f, soft cap g,
                         // `window`. On head rows it still reads and writes the rows of the whole step
    NK_OP_ACTIVATION = 8, // out[r, :n] = act(a[r, :n]) or, with k = 1, act(a[r, :n]) * a[r, n:2n]; act in `mode`
    NK_OP_ADD = 9,        // out[r, :n] = f * a[r, :n], capped by g > 0 as g * tanh(. / g) [+ c[r, :n]]
    NK_OP_GATHER = 10,    // out[i, :n] = a[row of the i-th head row, :n]
    NK_OP_EXPERTS = 11,   // mixture of experts: out[r, :n] = sum over the `chosen` experts e with the highest router
                          // scores c[r, :experts] of weight * down_e(act(gate_e(a[r])) * up_e(a[r])), act in `mode`.
    // b: for each expert gate over up (2 k, n), bias (2 k); b2: down (n, k), bias2 (n). The weight
    // is softmax(scores)[e], divided by the sum of the chosen ones if norm_chosen.
    // scratch: nk_experts_scratch floats
    NK_OP_SCALE = 12, // out[r, :n] = a[r, :n] * b[:n] [+ bias]
    NK_OP_COUNT
} nk_op_kind;

enum { NK_ROWS_ALL = 0, NK_ROWS_HEAD = 1 };

// One operation. Mirrored field by field by PLAN_FIELDS in native_kernels/plan.py.
typedef struct {
    int64_t kind, rows_kind, mode;
    int64_t a, b, c, out, bias;              // buffer indices, -1: absent
    int64_t type, packed;                    // how b is stored (ggml's number), and whether quant_pack re-ordered it
    int64_t n, k, heads, kv_heads, head_dim; // sizes, see the kinds above
    int64_t layer, window, max_rows;
    int64_t a_offset, a_stride, c_offset, c_stride, out_offset, out_stride;
    int64_t experts, chosen, norm_chosen, b2, type2, bias2, scratch; // NK_OP_EXPERTS
} nk_op;
enum { NK_OP_FIELDS = 31 };
_Static_assert(sizeof(nk_op) == NK_OP_FIELDS * 8, "nk_op is NK_OP_FIELDS int64 fields");

typedef struct {
    void *data;
    int64_t nbytes;
    int64_t row_bytes; // > 0: given anew to each run, with at least as many rows of this size as the run has head rows
    int64_t writable;
} nk_buffer;

// Caches that the plan works on: head-major keys (values) of every layer, (layers, kv_heads, capacity, head_dim).
typedef struct {
    int64_t layers, kv_heads, head_dim;
} nk_plan_cache;

// Rows of one sequence in a step: `rows` new ones at positions start .. start + rows - 1 of a cache for `capacity`
// positions, the last `last` of them head rows. keys and values hold nk_plan_cache_bytes each.
typedef struct {
    int64_t rows, start, last, capacity, kv_type;
    uint8_t *keys, *values;
} nk_plan_sequence;

typedef struct {
    const nk_op *ops;
    const float *scalars; // two per operation: f, g
    int64_t n_ops;
    nk_buffer *buffers;
    int64_t n_buffers;
    nk_plan_cache cache;
    int64_t max_rows, max_head, capacity; // rows and head rows of a step, positions of a sequence: at most
    nk_sequence *work;                    // room for max_rows entries
    uint8_t *shared;                      // room for rounded activations of NK_OP_PRODUCT, 64-byte aligned
    int64_t shared_bytes;
    int64_t *times; // NULL, or nanoseconds spent in each operation, added up over runs
} nk_plan;

enum { NK_PLAN_DONE = 0, NK_PLAN_STOPPED = 1, NK_PLAN_BAD_INDEX = 2 };

// Bytes of the keys (or of the values) of one sequence of `capacity` positions, all layers. 0: kv_type does not fit.
int64_t nk_plan_cache_bytes(const nk_plan_cache *cache, int64_t kv_type, int64_t capacity);

// Floats of work space that NK_OP_EXPERTS needs for `rows` rows.
int64_t nk_experts_scratch(const nk_op *op, int64_t rows);

// Bytes of `rows` rows of `columns` values stored as `type`; 0 if rows of that type cannot have so many.
int64_t nk_matrix_bytes(int64_t type, int64_t rows, int64_t columns);
// Bytes that `shared` needs for the plan's operations with the kernels of K.
int64_t nk_plan_shared_bytes(const kernel_table *K, const nk_plan *plan);

void nk_run_experts(const kernel_table *K, const nk_op *op, const nk_buffer *buffers, int64_t rows);

// 0: fits. Otherwise the 1-based number of the first operation that would reach outside a buffer for the largest step,
// or whose fields make no sense.
int64_t nk_plan_check(const nk_plan *plan);

// Runs the plan for new rows of several sequences. The caller has checked that every sequence has 1 <= rows,
// 0 <= last <= rows, 0 <= start, start + rows <= capacity <= plan->capacity, and that their sums are within max_rows
// and max_head. STOPPED: the calling thread's cancel flag was raised, or it was marked for want of memory (alloc.h);
// BAD_INDEX: an id or position lies outside its table. The step's output is then undefined.
int nk_plan_run(const kernel_table *K, const nk_plan *plan, const nk_plan_sequence *sequences, int64_t n_sequences);
