// The thread pool of pool.h: one job at a time, chunks from a shared counter, workers that spin for about 50 us after a
// job and then sleep on a condition variable. Knows nothing about kernels.
//
// How a job runs. `state` packs {generation, open bit, number of workers inside}. The caller fills in the job, then
// publishes a new generation with the open bit set. A worker enters by a compare-and-swap that succeeds only while the
// bit is set, and counts itself in; so a worker that wakes up late finds the job closed and nobody waits for it. The
// caller works too, closes the job when no chunk is left, and waits only for those that are inside.
#define _GNU_SOURCE
#include "pool.h"
#include "scratch.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>
#include <stdlib.h>
#include <unistd.h>

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
    _Atomic int stopped;           // a chunk was not run because of the cancel flag
    _Alignas(64) _Atomic int held; // 1 while a caller owns the pool
    _Atomic int wanted;            // nk_set_threads, 0: not asked yet
    int started;                   // workers that exist; guarded by `held`
    _Atomic int sleepers, caller_sleeps;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

static _Thread_local const volatile int *cancel_flag;

void nk_set_cancel(const volatile int *flag) { cancel_flag = flag; }
// The flag is a plain int to its owner, who may set it from any thread: read atomically.
int nk_cancelled(void) { return cancel_flag != NULL && __atomic_load_n(cancel_flag, __ATOMIC_RELAXED) != 0; }

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// A spin that gives up: returns 0 when about 50 us have passed since the first call with *since == 0.
static inline int keep_spinning(int *count, int64_t *since) {
    relax();
    if (++*count & 31) return 1;
    int64_t t = now_ns();
    if (*since == 0) *since = t;
    return t - *since < SPIN_NANOSECONDS;
}

static void run_chunks(int thread) {
    const int64_t n = pool.n, grain = pool.grain;
    for (;;) {
        if (atomic_load_explicit(&pool.next, memory_order_relaxed) >= n) return;
        if (nk_cancelled()) {
            atomic_store(&pool.stopped, 1);
            return;
        }
        int64_t begin = atomic_fetch_add_explicit(&pool.next, grain, memory_order_relaxed);
        if (begin >= n) return;
        pool.fn(pool.arg, begin, n - begin < grain ? n : begin + grain, thread);
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
        if (GENERATION(s) == seen) {
            pthread_mutex_lock(&pool.lock);
            atomic_fetch_add(&pool.sleepers, 1);
            while (GENERATION(s = atomic_load(&pool.state)) == seen) pthread_cond_wait(&pool.work, &pool.lock);
            atomic_fetch_sub(&pool.sleepers, 1);
            pthread_mutex_unlock(&pool.lock);
        }
        int entered = 0;
        while (!entered && (s & OPEN_BIT)) entered = atomic_compare_exchange_weak(&pool.state, &s, s + 1);
        seen = GENERATION(s);
        if (!entered) continue;
        if (thread < pool.threads) {
            cancel_flag = pool.cancel;
            run_chunks(thread);
            cancel_flag = NULL;
        }
        s = atomic_fetch_sub(&pool.state, 1) - 1;
        if (INSIDE(s) == 0 && atomic_load(&pool.caller_sleeps)) {
            pthread_mutex_lock(&pool.lock);
            pthread_cond_signal(&pool.done);
            pthread_mutex_unlock(&pool.lock);
        }
    }
    return NULL;
}

// A forked child has this process's memory but none of its workers: it starts with an empty pool.
static void after_fork_in_child(void) {
    static const pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    pool.lock = lock;
    pool.work = pool.done = cond;
    pool.started = 0;
    atomic_store(&pool.state, 0);
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.caller_sleeps, 0);
    atomic_store(&pool.held, 0);
}

static void start_workers(int threads) { // the caller holds the pool
    static int fork_handler;
    if (pool.started >= threads - 1) return;
    if (!fork_handler) fork_handler = pthread_atfork(NULL, NULL, after_fork_in_child) == 0;
    sigset_t all, before; // signals are the business of the threads that were there before
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    while (pool.started < threads - 1) {
        pthread_t t;
        if (pthread_create(&t, &attr, worker, (void *)(intptr_t)(pool.started + 1)) != 0) break; // fewer is fine
        pool.started++;
    }
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int run_serially(int64_t n, int64_t grain, nk_task fn, void *arg) {
    for (int64_t begin = 0; begin < n; begin += grain) {
        if (nk_cancelled()) return 1;
        fn(arg, begin, n - begin < grain ? n : begin + grain, 0);
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
    atomic_store(&pool.next, 0);
    uint64_t generation = GENERATION(atomic_load(&pool.state)) + 1;
    atomic_store(&pool.state, generation << 32 | OPEN_BIT);
    if (atomic_load(&pool.sleepers)) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.work);
        pthread_mutex_unlock(&pool.lock);
    }
    run_chunks(0);

    uint64_t s = atomic_fetch_and(&pool.state, ~OPEN_BIT) & ~OPEN_BIT;
    int count = 0;
    int64_t since = 0;
    while (INSIDE(s) && keep_spinning(&count, &since)) s = atomic_load(&pool.state);
    if (INSIDE(s)) {
        pthread_mutex_lock(&pool.lock);
        atomic_store(&pool.caller_sleeps, 1);
        while (INSIDE(atomic_load(&pool.state))) pthread_cond_wait(&pool.done, &pool.lock);
        atomic_store(&pool.caller_sleeps, 0);
        pthread_mutex_unlock(&pool.lock);
    }
    int stopped = atomic_load(&pool.stopped);
    atomic_store(&pool.held, 0);
    return stopped;
}

static int available_cpus(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (int)n;
}

int nk_get_threads(void) {
    int n = atomic_load_explicit(&pool.wanted, memory_order_relaxed);
    if (n == 0) {
        n = available_cpus();
        n = n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
        int unset = 0;
        if (!atomic_compare_exchange_strong(&pool.wanted, &unset, n)) n = unset; // asked for meanwhile
    }
    return n;
}

void nk_set_threads(int n) { atomic_store(&pool.wanted, n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n); }

// ---- scratch.h -----------------------------------------------------------------------------------------------------
enum { SCRATCH_ALIGN = 64, SCRATCH_KEEP = 64 << 20 };
typedef struct {
    void *memory[NK_SCRATCH_SLOTS];
    size_t size[NK_SCRATCH_SLOTS];
} scratch_set;
static _Thread_local scratch_set scratch;
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static int scratch_key_made;

static void scratch_free(void *set) {
    for (int i = 0; i < NK_SCRATCH_SLOTS; i++) {
        free(((scratch_set *)set)->memory[i]);
        ((scratch_set *)set)->memory[i] = NULL;
        ((scratch_set *)set)->size[i] = 0;
    }
}
static void scratch_make_key(void) { scratch_key_made = pthread_key_create(&scratch_key, scratch_free) == 0; }

void *nk_scratch(int slot, size_t bytes) {
    if (scratch.memory[slot] != NULL && scratch.size[slot] >= bytes &&
        (scratch.size[slot] <= SCRATCH_KEEP || bytes > SCRATCH_KEEP))
        return scratch.memory[slot];
    if (bytes > SIZE_MAX - 4096) return NULL;
    pthread_once(&scratch_once, scratch_make_key);
    if (scratch_key_made) pthread_setspecific(scratch_key, &scratch); // so that the thread's end frees it
    free(scratch.memory[slot]);
    scratch.size[slot] = 0;
    bytes = (bytes + 4095) / 4096 * 4096;
    scratch.memory[slot] = aligned_alloc(SCRATCH_ALIGN, bytes);
    if (scratch.memory[slot] != NULL) scratch.size[slot] = bytes;
    return scratch.memory[slot];
}
