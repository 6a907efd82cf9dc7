// The work buffers of scratch.h: one set per thread, made at its first request.
#include "scratch.h"
#include "alloc.h"
#include "threads.h"

enum { PAGE = 4096, KEEP = 64 << 20 };
typedef struct {
    void *memory[NK_SCRATCH_SLOTS];
    int64_t bytes[NK_SCRATCH_SLOTS];
} scratch_set;

static const nk_memory_kind kinds[NK_SCRATCH_SLOTS] = {
    NK_MEMORY_GEMM, NK_MEMORY_GEMM, NK_MEMORY_Q8, NK_MEMORY_Q8, NK_MEMORY_Q8, NK_MEMORY_ATTENTION, NK_MEMORY_PARTIAL};
static _Thread_local scratch_set *mine;

static void end_of_thread(void *set) {
    for (int slot = 0; slot < NK_SCRATCH_SLOTS; slot++) nk_free(((scratch_set *)set)->memory[slot]);
    nk_free(set);
}

void *nk_scratch(int slot, int64_t count, size_t size) {
    if (mine == NULL) {
        mine = nk_alloc(NK_MEMORY_PARTIAL, 1, sizeof *mine);
        if (mine == NULL) return NULL;
        *mine = (scratch_set){{0}, {0}};
        nk_at_thread_end(end_of_thread, mine);
    }
    const int fits = count >= 0 && (uint64_t)count <= (uint64_t)(INT64_MAX - PAGE) / size;
    const int64_t bytes = fits ? (count * (int64_t)size + PAGE - 1) / PAGE * PAGE : -1; // -1: nk_alloc refuses it
    if (fits && mine->memory[slot] != NULL && mine->bytes[slot] >= bytes && (mine->bytes[slot] <= KEEP || bytes > KEEP))
        return mine->memory[slot];
    nk_free(mine->memory[slot]);
    mine->bytes[slot] = 0;
    mine->memory[slot] = nk_alloc(kinds[slot], bytes, 1);
    if (mine->memory[slot] != NULL) mine->bytes[slot] = bytes;
    return mine->memory[slot];
}
