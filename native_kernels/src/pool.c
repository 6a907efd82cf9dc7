// The thread pool of pool.h: one job at a time, chunks from a shared counter, workers that spin for about 50 us after a
// job and then sleep until a bell rings (threads.h). Knows nothing about kernels.
//
// How a job runs. `state` packs {generation, open bit, number of workers inside}. The caller fills in the job, then
// publishes a new generation with the open bit set. A worker enters by a compare-and-swap that succeeds only while the
// bit is set, and counts itself in; so a worker that wakes up late finds the job closed and nobody waits for it. The
// caller works too, closes the job when no chunk is left, and waits only for those that are inside.
#include "pool.h"
#include "alloc.h"
#include "threads.h"
#include <stdatomic.h>
#include <stddef.h>

enum { MAX_THREADS = 256, SPIN_NANOSECONDS = 50000 };
#define OPEN_BIT ((uint64_t)1 << 31)
#define INSIDE(s) ((s) & 0xffff)
#define GENERATION(s) ((s) >> 32)

static struct {
    _Alignas(64) _Atomic uint64_t state;
    _Alignas(64) _Atomic int64_t next; // first index that no thread has taken yet
    _Alignas(64) int64_t n, grain;     // the job; written only while nobody is inside and the job is closed
    nk_task fn;
    void *arg;
    const volatile int *cancel;
    int threads;
    _Atomic int stopped;           // chunks were not run: the cancel flag, or memory was short
    _Atomic int failed;            // a thread was marked (alloc.h)
    _Alignas(64) _Atomic int held; // 1 while a caller owns the pool
    _Atomic int wanted;            // nk_set_threads, 0: not asked yet
    int started;                   // workers that exist; guarded by `held`
    nk_bell work;                  // rung for every job
    _Alignas(64) nk_bell done;     // rung by the last worker that leaves a job, if the caller has given up spinning
    _Atomic int caller_sleeps;
} pool = {.work = NK_BELL_INIT, .done = NK_BELL_INIT};

static _Thread_local const volatile int *cancel_flag;

void nk_set_cancel(const volatile int *flag) { cancel_flag = flag; }
// The flag is a plain int to its owner, who may set it from any thread: read atomically.
int nk_cancelled(void) { return cancel_flag != NULL && __atomic_load_n(cancel_flag, __ATOMIC_RELAXED) != 0; }

// A spin that gives up: returns 0 when about 50 us have passed since the first call with *since == 0.
static inline int keep_spinning(int *count, int64_t *since) {
    nk_relax();
    if (++*count & 31) return 1;
    int64_t t = nk_now_ns();
    if (*since == 0) *since = t;
    return t - *since < SPIN_NANOSECONDS;
}

static void run_chunks(int thread) {
    const int64_t n = pool.n, grain = pool.grain;
    for (;;) {
        if (atomic_load_explicit(&pool.next, memory_order_relaxed) >= n) return;
        if (nk_cancelled() || atomic_load_explicit(&pool.failed, memory_order_relaxed)) {
            atomic_store(&pool.stopped, 1);
            return;
        }
        int64_t begin = atomic_fetch_add_explicit(&pool.next, grain, memory_order_relaxed);
        if (begin >= n) return;
        pool.fn(pool.arg, begin, n - begin < grain ? n : begin + grain, thread);
        if (nk_failed()) {
            atomic_store(&pool.failed, 1);
            atomic_store(&pool.stopped, 1);
            return;
        }
    }
}

static void *worker(void *index) {
    const int thread = (int)(intptr_t)index; // 1 ..
    uint64_t seen = 0;
    for (;;) {
        uint64_t s = atomic_load(&pool.state);
        int count = 0;
        int64_t since = 0;
        while (GENERATION(s) == seen && keep_spinning(&count, &since)) s = atomic_load(&pool.state);
        while (GENERATION(s) == seen) {
            const uint32_t rings = nk_bell_rings(&pool.work);
            if (GENERATION(s = atomic_load(&pool.state)) == seen) nk_bell_wait(&pool.work, rings);
        }
        int entered = 0;
        while (!entered && (s & OPEN_BIT)) entered = atomic_compare_exchange_weak(&pool.state, &s, s + 1);
        seen = GENERATION(s);
        if (!entered) continue;
        if (thread < pool.threads) {
            cancel_flag = pool.cancel;
            run_chunks(thread);
            cancel_flag = NULL;
            nk_take_failure(); // pool.failed tells the caller
        }
        s = atomic_fetch_sub(&pool.state, 1) - 1;
        if (INSIDE(s) == 0 && atomic_load(&pool.caller_sleeps)) nk_bell_ring(&pool.done);
    }
    return NULL;
}

// A forked child has this process's memory but none of its workers: it starts with an empty pool.
static void after_fork_in_child(void) {
    nk_bell_reset(&pool.work);
    nk_bell_reset(&pool.done);
    pool.started = 0;
    atomic_store(&pool.state, 0);
    atomic_store(&pool.caller_sleeps, 0);
    atomic_store(&pool.held, 0);
}

static void start_workers(int threads) { // the caller holds the pool
    static int fork_handler;
    if (pool.started >= threads - 1) return;
    if (!fork_handler) nk_after_fork_in_child(after_fork_in_child);
    fork_handler = 1;
    while (pool.started < threads - 1) {
        if (!nk_thread_start(worker, (void *)(intptr_t)(pool.started + 1))) break; // fewer is fine
        pool.started++;
    }
}

static int run_serially(int64_t n, int64_t grain, nk_task fn, void *arg) {
    for (int64_t begin = 0; begin < n; begin += grain) {
        if (nk_cancelled()) return 1;
        fn(arg, begin, n - begin < grain ? n : begin + grain, 0);
        if (nk_failed()) return 1;
        if (n - begin <= grain) break; // begin + grain may overflow
    }
    return 0;
}

int nk_parallel_for(int64_t n, int64_t grain, nk_task fn, void *arg) {
    if (n <= 0) return 0;
    if (grain < 1) grain = 1;
    int threads = nk_get_threads(), expected = 0;
    // `next` may run past n by one grain per thread
    if (threads == 1 || n <= grain || n > INT64_MAX - (threads + 1) * (grain < n ? grain : n) ||
        !atomic_compare_exchange_strong(&pool.held, &expected, 1))
        return run_serially(n, grain, fn, arg);

    start_workers(threads);
    pool.n = n, pool.grain = grain, pool.fn = fn, pool.arg = arg, pool.cancel = cancel_flag, pool.threads = threads;
    atomic_store(&pool.stopped, 0);
    atomic_store(&pool.failed, 0);
    atomic_store(&pool.next, 0);
    uint64_t generation = GENERATION(atomic_load(&pool.state)) + 1;
    atomic_store(&pool.state, generation << 32 | OPEN_BIT);
    nk_bell_ring(&pool.work);
    run_chunks(0);

    uint64_t s = atomic_fetch_and(&pool.state, ~OPEN_BIT) & ~OPEN_BIT;
    int count = 0;
    int64_t since = 0;
    while (INSIDE(s) && keep_spinning(&count, &since)) s = atomic_load(&pool.state);
    if (INSIDE(s)) {
        atomic_store(&pool.caller_sleeps, 1);
        for (;;) {
            const uint32_t rings = nk_bell_rings(&pool.done);
            if (!INSIDE(atomic_load(&pool.state))) break;
            nk_bell_wait(&pool.done, rings);
        }
        atomic_store(&pool.caller_sleeps, 0);
    }
    const int stopped = atomic_load(&pool.stopped);
    if (atomic_load(&pool.failed)) nk_mark_failed();
    atomic_store(&pool.held, 0);
    return stopped;
}

int nk_get_threads(void) {
    int n = atomic_load_explicit(&pool.wanted, memory_order_relaxed);
    if (n == 0) {
        n = nk_cpus();
        n = n > MAX_THREADS ? MAX_THREADS : n;
        int unset = 0;
        if (!atomic_compare_exchange_strong(&pool.wanted, &unset, n)) n = unset; // asked for meanwhile
    }
    return n;
}

void nk_set_threads(int n) { atomic_store(&pool.wanted, n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n); }
