// The allocator of the kernels' own memory: aligned, overflow-checked, accounted by kind. A shortage is reported, never
// fatal: the allocation returns NULL and marks the thread, the loops of pool.h stop and hand the mark to the thread
// that called them, and the bindings turn it into an error of their language. Knows no kernels.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef enum {
    NK_MEMORY_GEMM,      // packed panels
    NK_MEMORY_Q8,        // quantised activations
    NK_MEMORY_ATTENTION, // tiles of queries, scores and gradients
    NK_MEMORY_PARTIAL,   // partial sums
    NK_MEMORY_PLAN,      // buffer tables of plans
    NK_MEMORY_KINDS
} nk_memory_kind;

typedef struct {
    int64_t live, peak;            // bytes asked for and not yet freed: now, and the most there have been
    int64_t allocations, failures; // since the process started
} nk_memory_count;

// count * size bytes, 64-byte aligned, contents undefined. NULL if count is negative, if the product overflows or if
// memory is short; the calling thread is then marked (nk_failed).
void *nk_alloc(nk_memory_kind kind, int64_t count, size_t size);
void nk_free(void *p); // NULL is allowed; any thread may free

// Counts of one kind, or of all together (NK_MEMORY_KINDS).
nk_memory_count nk_memory_counts(nk_memory_kind kind);
const char *nk_memory_name(nk_memory_kind kind);

// The mark of the calling thread: work that it began could not be finished for want of memory.
int nk_failed(void);
void nk_mark_failed(void);
int nk_take_failure(void); // whether it was marked; the mark is gone

// For tests: the n-th allocation from now on, on whatever thread, finds no memory. 0: none.
void nk_fail_allocation(int64_t n);
