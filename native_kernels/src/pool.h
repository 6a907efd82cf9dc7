// Thread pool: data-parallel loops with bounded spin and cooperative cancel. Knows nothing about kernels.
#pragma once
#include <stdint.h>

// Body of a parallel loop: works on [begin, end); `thread` is 0 .. nk_get_threads()-1 and unique among the running
// chunks.
typedef void (*nk_task)(void *arg, int64_t begin, int64_t end, int thread);

// Runs fn over [0, n) in chunks of `grain` taken from a shared counter. Returns 0, or 1 if some chunks never ran: the
// cancel flag was seen, or a thread found no memory (alloc.h; the caller is then marked, whichever thread it was).
// Nested calls, and calls while another thread holds the pool, run serially in the caller.
int nk_parallel_for(int64_t n, int64_t grain, nk_task fn, void *arg);

int nk_get_threads(void);
void nk_set_threads(int n); // 1 .. 256; workers are started on first use

// Flag polled between chunks by loops that this thread starts; NULL: never cancelled. The caller owns the memory.
void nk_set_cancel(const volatile int *flag);
int nk_cancelled(void);
