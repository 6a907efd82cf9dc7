// THE contract between the kernels and everything above them: one table of function pointers per instruction set.
//
// Conventions
//   float32, row-major, last dimension contiguous. `ld*` / `*_stride` count floats between consecutive rows.
//   B batch, T query rows, S key rows, H heads, KH key/value heads (H % KH == 0), D head dimension, V vocabulary.
//   `out` never aliases an input unless the comment allows it. No function allocates memory that outlives the call
//   except per-thread scratch that it keeps; if there is none, it returns at once, its output is undefined and the
//   calling thread is marked (nk_take_failure of alloc.h). Every function parallelises itself through pool.h.
//   "accumulates" means +=.  Each function has a numpy twin of the same name in reference.py.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { NK_Q8_BLOCK = 32 }; // values per Q8_0 block: one f16 scale + 32 int8 = 34 bytes
// What activation() computes; the bindings know these numbers by name.
enum { NK_RELU, NK_TANH, NK_SIGMOID, NK_SILU, NK_GELU_TANH, NK_GELU_ERF, NK_RELU2, NK_QUICK_GELU, NK_ACTIVATIONS };
enum { NK_RMSNORM, NK_LAYERNORM };

// Serving: what serve_norm and serve_rope do. `*_row`: floats from one row to the next.
typedef struct {
    int kind;                // NK_RMSNORM | NK_LAYERNORM
    int64_t rows, groups, n; // each row holds `groups` vectors of n values, each normed alone by the same weight(n)
    const float *x, *weight, *bias, *residual; // bias(n) and residual may be NULL; out may be x or residual
    int64_t x_row, residual_row, out_row;
    float *out; // norm(x) [+ bias]; with a residual: residual + scale * that
    float eps, scale;
} nk_norm;
typedef struct {
    float *x; // heads of D values, rotated in place: the first `dim` of each
    int64_t x_row, rows, heads, D, dim;
    int interleaved;        // pairs are (0, 1), (2, 3), ...; otherwise (i, i + dim/2)
    const float *cos, *sin; // (entries, dim/2)
    const int32_t *index;   // (rows): the entry of each row
} nk_rope;

// How a cache stores a row of keys or values: float32, float16, or Q8_0 blocks (then D % 32 == 0). The numbers are
// those of ggml's types.
enum { NK_KV_F32 = 0, NK_KV_F16 = 1, NK_KV_Q8_0 = 8 };
enum { NK_KV_KEYS = 0, NK_KV_VALUES = 1 };

// Query rows [row, row + rows) stand at positions start, start + 1, ... of a sequence. keys and values: its cache of
// one layer, head-major (kv_heads, capacity, D) rows in the storage type.
typedef struct {
    int64_t row, rows, start, capacity;
    void *keys, *values;
} nk_sequence;

typedef struct {
    const float *q;                           // row r: heads x D floats at q + r * q_row
    float *out;                               // the same at o_row
    int64_t q_row, o_row, heads, kv_heads, D; // heads % kv_heads == 0
    int kv_type;
    float scale, softcap; // scores are q . k * scale, then softcap * tanh(score / softcap) unless softcap is 0
    int64_t window;       // a row sees keys less than `window` positions away, 0: all
    int causal;           // a row sees no later position; otherwise all start + rows of its sequence
} nk_cached_attention;

typedef struct {
    const char *name; // "generic" | "avx2" | "avx512" | "avx512_vnni" | "neon" | "neon_dotprod"

    // ---- matrix products -------------------------------------------------------------------------------------
    // C(M,N) = op(A) op(B) [+ C if accumulate] [+ bias(N)] [+ residual(M,N)].
    // trans_a: A is stored (K,M);  trans_b: B is stored (N,K).  residual may be C itself.
    void (*gemm_f32)(int trans_a, int trans_b, int64_t M, int64_t N, int64_t K, const float *A, int64_t lda,
                     const float *B, int64_t ldb, float *C, int64_t ldc, int accumulate, const float *bias,
                     const float *residual, int64_t ldr);
    // The same of bfloat16 operands with float32 sums. An operand is bfloat16 bits (uint16_t), or, where a_f32 / b_f32
    // is set, float32 that is rounded to nearest even on the way. Leading dimensions in elements.
    void (*gemm_bf16)(int trans_a, int trans_b, int64_t M, int64_t N, int64_t K, const void *A, int a_f32, int64_t lda,
                      const void *B, int b_f32, int64_t ldb, float *C, int64_t ldc, int accumulate, const float *bias,
                      const float *residual, int64_t ldr);
    // ---- stored weights of every type (quant_layout.h; `type` is ggml's number) ------------------------------------
    // Re-order N rows of K values into a buffer of the same size, and back; K is a multiple of the type's block.
    void (*quant_pack)(int type, const uint8_t *src, uint8_t *packed, int64_t N, int64_t K);
    void (*quant_unpack)(int type, const uint8_t *packed, uint8_t *dst, int64_t N, int64_t K);
    // Rows in the file's order -> dst(N,K), the bits of ggml's dequantisation.
    void (*dequantize)(int type, const uint8_t *src, float *dst, int64_t N, int64_t K);
    // Rows ids[0 .. n-1] of a packed matrix of N rows -> out(n,K): the token embedding of a table that is also the
    // head.
    void (*packed_rows)(int type, const uint8_t *packed, int64_t N, int64_t K, const int32_t *ids, int64_t n,
                        float *out);
    // C(M,N) = X(M,K) W^T [+ bias(N)] [+ residual(M,N)], W packed; residual may be C itself. Quantised types: X is
    // rounded to int8 with a float scale per row and 128 values (64 or 32 if K is no multiple); a row's result depends
    // on nothing but that row. F32: as gemm_f32; F16: the same of exact weights; BF16: X is rounded to bfloat16, as
    // gemm_bf16.
    void (*gemm_quant)(int type, int64_t M, int64_t N, int64_t K, const float *X, int64_t ldx, const uint8_t *packed,
                       float *C, int64_t ldc, const float *bias, const float *residual, int64_t ldr);
    // The same in two steps, for quantised types: X is rounded once into `rows` (quant_rows_bytes(M, K) bytes, 64-byte
    // aligned, only for the table that wrote it) and serves several products of any type.
    int64_t (*quant_rows_bytes)(int64_t M, int64_t K);
    void (*quantize_rows)(int64_t M, int64_t K, const float *X, int64_t ldx, uint8_t *rows);
    void (*gemm_quant_rows)(int type, int64_t M, int64_t N, int64_t K, const uint8_t *rows, const uint8_t *packed,
                            float *C, int64_t ldc, const float *bias, const float *residual, int64_t ldr);

    // ---- embedding -------------------------------------------------------------------------------------------
    void (*embedding)(float *out, const float *table, const int32_t *ids, int64_t n, int64_t D);
    void (*embedding_backward)(float *dtable, const float *dout, const int32_t *ids, int64_t n,
                               int64_t D); // accumulates

    // ---- RMSNorm (Zhang & Sennrich 2019): out = x * rstd * weight, rstd = 1/sqrt(mean(x^2) + eps) ---------------
    void (*rmsnorm)(float *out, float *rstd, const float *x, const float *weight, int64_t rows, int64_t D, float eps);
    // dx is written (not accumulated); dweight accumulates. rstd(rows) from the forward pass; it may be NULL in
    // rmsnorm.
    void (*rmsnorm_backward)(float *dx, float *dweight, const float *dout, const float *x, const float *weight,
                             const float *rstd, int64_t rows, int64_t D);

    // ---- LayerNorm (Ba et al. 2016): out = (x - mean) * rstd * weight + bias, rstd = 1/sqrt(variance + eps) --------
    // mean(rows) and rstd(rows) are kept for the backward pass. out may be x.
    void (*layernorm)(float *out, float *mean, float *rstd, const float *x, const float *weight, const float *bias,
                      int64_t rows, int64_t D, float eps);
    // dx is written (not accumulated) and may be dout; dweight and dbias accumulate.
    void (*layernorm_backward)(float *dx, float *dweight, float *dbias, const float *dout, const float *x,
                               const float *weight, const float *mean, const float *rstd, int64_t rows, int64_t D);

    // ---- rotary positions, half-split pairs (i, i + D/2) as in Hugging Face Llama; in place ----------------------
    // x: rows of H heads, row stride given; cos/sin (max_pos, D/2); inverse != 0 rotates back (the backward pass).
    void (*rope)(float *x, int64_t row_stride, const float *cos, const float *sin, const int32_t *positions,
                 int64_t rows, int64_t H, int64_t D, int inverse);

    // ---- attention, flash style: scores never stored; lse (B,H,T) = log sum exp, may be NULL ---------------------
    // q,out (B,T,H,D); k,v (B,S,KH,D) with row strides (floats between t and t+1) and batch strides.
    // causal: query t sees keys 0 .. t + (S - T).
    void (*attention)(float *out, float *lse, const float *q, const float *k, const float *v, int64_t B, int64_t T,
                      int64_t S, int64_t H, int64_t KH, int64_t D, int64_t q_row, int64_t q_batch, int64_t kv_row,
                      int64_t kv_batch, int64_t o_row, int64_t o_batch, float scale, int causal);
    // dq has q's strides, dk/dv have k's; all three are written, not accumulated. dout has out's strides.
    void (*attention_backward)(float *dq, float *dk, float *dv, const float *dout, const float *out, const float *lse,
                               const float *q, const float *k, const float *v, int64_t B, int64_t T, int64_t S,
                               int64_t H, int64_t KH, int64_t D, int64_t q_row, int64_t q_batch, int64_t kv_row,
                               int64_t kv_batch, int64_t o_row, int64_t o_batch, float scale, int causal);

    // ---- keys and values of sequences, and attention over them (serving) -----------------------------------------
    // Rows r of `rows` (kv_heads x D floats at rows + r * row_stride), r < s->rows, become the keys or values (`which`)
    // of positions s->start + r.
    void (*kv_store)(int kv_type, const float *rows, int64_t row_stride, int64_t kv_heads, int64_t D,
                     const nk_sequence *s, int which);
    // Stored keys at positions [begin, end) are turned by one angle for each pair, cos/sin (dim/2), as rope turns them:
    // the first `dim` columns, pairs (i, i + dim/2) or, interleaved, (2i, 2i + 1). Moves keys to other positions.
    void (*kv_rotate)(int kv_type, void *keys, int64_t kv_heads, int64_t capacity, int64_t D, int64_t begin,
                      int64_t end, const float *cos, const float *sin, int64_t dim, int interleaved);
    // The keys and values of the call's own rows must have been stored. A row's result does not depend on the other
    // sequences. Q and K and V of float32 caches are computed with as they are; stored halves and int8 become floats.
    void (*attention_cached)(const nk_cached_attention *a, const nk_sequence *sequences, int64_t n_sequences);

    // ---- SwiGLU (Shazeer 2020): gu rows hold [gate(F) | up(F)]; out = silu(gate) * up ---------------------------
    void (*swiglu)(float *out, const float *gu, int64_t rows, int64_t F);
    void (*swiglu_backward)(float *dgu, const float *dout, const float *gu, int64_t rows, int64_t F);

    // ---- activations, element by element; GELU (Hendrycks & Gimpel 2016) exact (erf) or by tanh -----------------
    void (*activation)(int kind, float *out, const float *x, int64_t n); // out may be x
    void (*activation_backward)(int kind, float *dx, const float *dout, const float *x,
                                int64_t n); // dx may be dout or x
    // GeGLU (Shazeer 2020): gu rows hold [gate(F) | up(F)]; out = gelu(gate) * up; kind is one of the two GELUs.
    void (*geglu)(int kind, float *out, const float *gu, int64_t rows, int64_t F);
    void (*geglu_backward)(int kind, float *dgu, const float *dout, const float *gu, int64_t rows,
                           int64_t F); // dgu may be gu

    // ---- serving: rows of wider buffers -----------------------------------------------------------------------------
    void (*serve_norm)(const nk_norm *);
    void (*serve_rope)(const nk_rope *);
    // out(rows, F) = activation(x) or, gated, activation(x) * up with up in the F columns behind x; out may be x.
    void (*serve_gate)(int kind, int gated, float *out, int64_t out_row, const float *x, int64_t x_row, int64_t rows,
                       int64_t F);
    // out(rows, n) = scale * a, then (cap > 0) cap * tanh(that / cap), then + c where c is not NULL; out may be a or c.
    void (*serve_add)(float *out, int64_t out_row, const float *a, int64_t a_row, const float *c, int64_t c_row,
                      int64_t rows, int64_t n, float scale, float cap);

    // ---- loss ------------------------------------------------------------------------------------------------
    // losses(rows) = -log softmax(logits)[target] (0 where target < 0). dlogits (may be logits itself, or NULL):
    // (softmax - onehot) * scale, zero rows where target < 0.
    void (*softmax_cross_entropy)(float *losses, float *dlogits, const float *logits, const int32_t *targets,
                                  int64_t rows, int64_t V, float scale);

    // ---- optimiser and vector helpers --------------------------------------------------------------------------
    // AdamW (Loshchilov & Hutter 2019): g is multiplied by grad_scale first (clipping folded in);
    // c1 = 1 - beta1^step, c2 = 1 - beta2^step; decoupled decay p -= lr * weight_decay * p.
    void (*adamw)(float *p, const float *g, float *m, float *v, int64_t n, float lr, float beta1, float beta2,
                  float eps, float weight_decay, float c1, float c2, float grad_scale);
    double (*sum_squares)(const float *x, int64_t n);                   // same result for any number of threads
    void (*add)(float *out, const float *a, const float *b, int64_t n); // out may be a or b
    void (*mul)(float *out, const float *a, const float *b, int64_t n); // out may be a or b
    void (*axpy)(float *y, const float *x, float alpha, int64_t n);     // y += alpha * x
    void (*bias_backward)(float *dbias, const float *dout, int64_t rows, int64_t N); // column sums, accumulates
} kernel_table;

extern const kernel_table kernels_generic;
#if defined(__x86_64__) || defined(_M_X64)
extern const kernel_table kernels_avx2, kernels_avx512, kernels_avx512_vnni;
#elif defined(__aarch64__)
extern const kernel_table kernels_neon, kernels_neon_dotprod;
#endif

// Best table for this CPU, or the one named by `force` (environment HEARTH_ISA). Returns NULL and writes a sentence to
// `why` if `force` is unknown or above what the CPU has; otherwise `why` explains the choice.
const kernel_table *kernels_select(const char *force, char *why, size_t why_size);
