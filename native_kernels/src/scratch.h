// Work buffers of a thread: kept between calls, grown when needed, freed when the thread ends. Knows no kernels.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
    NK_SCRATCH_GEMM_A,
    NK_SCRATCH_GEMM_B,
    NK_SCRATCH_Q8,    // quantised activations
    NK_SCRATCH_AUX,   // what their sums give for one product
    NK_SCRATCH_PANEL, // expanded weights
    NK_SCRATCH_ATTENTION,
    NK_SCRATCH_PARTIAL,
    NK_SCRATCH_SLOTS
};

// At least count * size bytes of this thread's buffer `slot`, 64-byte aligned, contents undefined. NULL if memory is
// short: the thread is then marked (alloc.h), and the caller returns at once. A second call for the same slot may move
// or overwrite it. Buffers above 64 MiB are not kept for smaller requests.
void *nk_scratch(int slot, int64_t count, size_t size);
