// Stress of the thread pool, built and run by test_pool.py: every index exactly once, nesting, concurrent callers,
// cancel, fork, change of the number of threads, memory that is short on any thread. Prints "ok" or the first failure.
// Knows pool.h, scratch.h and alloc.h alone.
// With the argument "no-fork" nothing is forked: emulators of a foreign CPU cannot start threads in a forked child.
#include "alloc.h"
#include "pool.h"
#include "scratch.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(c)                                                                                                       \
    do {                                                                                                               \
        if (!(c)) {                                                                                                    \
            printf("failed: %s (line %d)\n", #c, __LINE__);                                                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { N = 1000 };
typedef struct {
    int hits[N]; // plain: the pool itself must order the writes before the caller's reads
    int64_t largest;
    _Atomic int running[256];
} counts;

static void count(void *arg, int64_t begin, int64_t end, int thread) {
    counts *c = arg;
    CHECK(thread >= 0 && thread < 256);
    CHECK(atomic_fetch_add(&c->running[thread], 1) == 0); // the number of a thread is unique among running chunks
    for (int64_t i = begin; i < end; i++) c->hits[i]++;
    atomic_fetch_sub(&c->running[thread], 1);
}

static void loop(int64_t n, int64_t grain) {
    static _Thread_local counts c;
    memset(&c, 0, sizeof c);
    CHECK(nk_parallel_for(n, grain, count, &c) == 0);
    for (int64_t i = 0; i < N; i++) CHECK(c.hits[i] == (i < n));
}

static void outer(void *arg, int64_t begin, int64_t end, int thread) {
    for (int64_t i = begin; i < end; i++) loop(50, 3);
    atomic_fetch_add((_Atomic int *)arg, (int)(end - begin));
}

static void *caller(void *arg) {
    for (int i = 0; i < 500; i++) loop(1 + i % N, 1 + i % 7);
    unsigned char *p = nk_scratch(NK_SCRATCH_PARTIAL, 1000, 1), *q;
    CHECK(p != NULL && (uintptr_t)p % 64 == 0);
    memset(p, 1, 1000);
    CHECK(nk_scratch(NK_SCRATCH_PARTIAL, 10, 1) == p);
    CHECK((q = nk_scratch(NK_SCRATCH_PARTIAL, 25000, 4)) != NULL);
    memset(q, 2, 100000);
    return NULL;
}

// Every third chunk cannot get memory; which thread runs it is chance, the caller learns of it all the same.
static void without_memory(void *arg, int64_t begin, int64_t end, int thread) {
    if (begin % 3 == 0) CHECK(nk_scratch(NK_SCRATCH_GEMM_A, INT64_MAX, 2) == NULL && nk_failed());
    usleep(50);
}

static void nested_without_memory(void *arg, int64_t begin, int64_t end, int thread) {
    CHECK(nk_parallel_for(10, 1, without_memory, NULL) == 1 && nk_failed());
}

static void shortage(void) {
    CHECK(!nk_failed());
    for (int i = 0; i < 20; i++) {
        nk_set_threads(1 + i % 4);
        CHECK(nk_parallel_for(30, 1, i & 1 ? without_memory : nested_without_memory, NULL) == 1);
        CHECK(nk_take_failure() && !nk_failed());
        loop(N, 3); // and the next job runs whole
        CHECK(!nk_failed());
    }
    // the n-th allocation fails, once
    for (int n = 1; n <= 3; n++) {
        void *blocks[4];
        nk_fail_allocation(n);
        for (int i = 0; i < 4; i++)
            CHECK((blocks[i] = nk_alloc(NK_MEMORY_PLAN, 10, 8)) == NULL ? i + 1 == n : i + 1 != n);
        CHECK(nk_memory_counts(NK_MEMORY_PLAN).live == 240 && nk_memory_counts(NK_MEMORY_PLAN).failures == n);
        for (int i = 0; i < 4; i++) nk_free(blocks[i]);
        CHECK(nk_take_failure());
    }
    CHECK(nk_alloc(NK_MEMORY_PLAN, -1, 8) == NULL && nk_alloc(NK_MEMORY_PLAN, INT64_MAX / 4, 8) == NULL);
    CHECK(nk_take_failure());
    const nk_memory_count plan = nk_memory_counts(NK_MEMORY_PLAN);
    CHECK(plan.live == 0 && plan.peak == 240 && plan.allocations == 9 && plan.failures == 5);
}

static volatile int cancel;
static _Atomic int done;
static void cancelled_half_way(void *arg, int64_t begin, int64_t end, int thread) {
    if (atomic_fetch_add(&done, 1) == 10) __atomic_store_n(&cancel, 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&cancel, __ATOMIC_RELAXED)) CHECK(nk_cancelled()); // on every thread that works for this loop
}

int main(int argc, char **argv) {
    CHECK(nk_get_threads() >= 1);
    for (int threads = 1; threads <= 9; threads += 2) {
        nk_set_threads(threads);
        CHECK(nk_get_threads() == threads);
        for (int i = 0; i < 300; i++) loop(1 + i * 3 % N, 1 + i % 11);
        usleep(1000); // let the workers fall asleep
        loop(N, 1);
    }
    CHECK(nk_parallel_for(0, 1, count, NULL) == 0);
    loop(N, INT64_MAX);
    loop(N, 0);

    nk_set_threads(4);
    _Atomic int total = 0;
    CHECK(nk_parallel_for(40, 1, outer, &total) == 0 && total == 40);

    pthread_t t[4];
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&t[i], NULL, caller, NULL) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_join(t[i], NULL) == 0);

    shortage();
    // the threads that have ended gave their buffers back; the main thread's and the workers' are left
    const int64_t live = nk_memory_counts(NK_MEMORY_PARTIAL).live;
    CHECK(pthread_create(&t[0], NULL, caller, NULL) == 0 && pthread_join(t[0], NULL) == 0);
    CHECK(nk_memory_counts(NK_MEMORY_PARTIAL).live == live && nk_memory_counts(NK_MEMORY_PARTIAL).peak > live);

    nk_set_cancel(&cancel);
    for (int threads = 1; threads <= 4; threads += 3) {
        nk_set_threads(threads);
        cancel = 0, done = 0;
        CHECK(nk_parallel_for(1000, 1, cancelled_half_way, NULL) == 1);
        CHECK(done >= 11 && done < 1000);
        CHECK(nk_parallel_for(10, 1, cancelled_half_way, NULL) == 1); // already cancelled: nothing runs
        CHECK(nk_cancelled());
    }
    nk_set_cancel(NULL);
    CHECK(!nk_cancelled());
    loop(N, 5);

    nk_set_threads(4);
    if (argc < 2 || strcmp(argv[1], "no-fork") != 0) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            loop(N, 7);
            _exit(0);
        }
        int status = 1;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    loop(N, 7);
    puts("ok");
    return 0;
}
