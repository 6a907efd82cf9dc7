// The accounted allocator of alloc.h, on malloc. In front of every block stands a header with what nk_free must know.
#include "alloc.h"
#include <stdatomic.h>
#include <stdlib.h>

enum { ALIGN = 64 };
typedef struct {
    void *block; // what malloc returned
    int64_t bytes;
    nk_memory_kind kind;
} header;
_Static_assert(sizeof(header) <= ALIGN, "the header fits into the alignment in front of the block");

static struct {
    _Atomic int64_t live, peak, allocations, failures;
} counts[NK_MEMORY_KINDS + 1]; // the last one: all together
static _Atomic int64_t fail_in;
static _Thread_local int failed;

int nk_failed(void) { return failed; }
void nk_mark_failed(void) { failed = 1; }
int nk_take_failure(void) {
    const int was = failed;
    failed = 0;
    return was;
}
void nk_fail_allocation(int64_t n) { atomic_store(&fail_in, n); }

// The countdown of nk_fail_allocation: whether this is the allocation that fails.
static int fails_now(void) {
    int64_t n = atomic_load(&fail_in);
    while (n > 0)
        if (atomic_compare_exchange_weak(&fail_in, &n, n - 1)) return n == 1;
    return 0;
}

static void count_live(int kind, int64_t bytes) {
    const int64_t live = atomic_fetch_add(&counts[kind].live, bytes) + bytes;
    int64_t peak = atomic_load(&counts[kind].peak);
    while (live > peak && !atomic_compare_exchange_weak(&counts[kind].peak, &peak, live)) {
    }
}

void *nk_alloc(nk_memory_kind kind, int64_t count, size_t size) {
    const size_t limit = INT64_MAX < SIZE_MAX ? (size_t)INT64_MAX : SIZE_MAX;
    char *block = NULL;
    const int fits = count >= 0 && (size == 0 || (uint64_t)count <= (limit - 2 * ALIGN) / size);
    if (fits && !fails_now()) block = malloc((size_t)count * size + 2 * ALIGN);
    if (block == NULL) {
        atomic_fetch_add(&counts[kind].failures, 1);
        atomic_fetch_add(&counts[NK_MEMORY_KINDS].failures, 1);
        failed = 1;
        return NULL;
    }
    char *p = (char *)(((uintptr_t)block + 2 * ALIGN - 1) & ~(uintptr_t)(ALIGN - 1));
    const header h = {block, count * (int64_t)size, kind};
    *(header *)(p - ALIGN) = h;
    atomic_fetch_add(&counts[kind].allocations, 1);
    atomic_fetch_add(&counts[NK_MEMORY_KINDS].allocations, 1);
    count_live(kind, h.bytes);
    count_live(NK_MEMORY_KINDS, h.bytes);
    return p;
}

void nk_free(void *p) {
    if (p == NULL) return;
    const header h = *(header *)((char *)p - ALIGN);
    count_live(h.kind, -h.bytes);
    count_live(NK_MEMORY_KINDS, -h.bytes);
    free(h.block);
}

nk_memory_count nk_memory_counts(nk_memory_kind kind) {
    return (nk_memory_count){atomic_load(&counts[kind].live), atomic_load(&counts[kind].peak),
                             atomic_load(&counts[kind].allocations), atomic_load(&counts[kind].failures)};
}

const char *nk_memory_name(nk_memory_kind kind) {
    static const char *names[] = {"gemm", "q8_0", "attention", "partial_sums", "plan", "all"};
    return names[kind];
}
