// Stress of the thread pool, built and run by test_pool.py: every index exactly once, nesting, concurrent callers,
// cancel, fork, change of the number of threads. Prints "ok" or the first failure. Knows pool.h and scratch.h alone.
// With the argument "no-fork" nothing is forked: emulators of a foreign CPU cannot start threads in a forked child.
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
    unsigned char *p = nk_scratch(NK_SCRATCH_OTHER, 1000), *q;
    CHECK(p != NULL && (uintptr_t)p % 64 == 0);
    memset(p, 1, 1000);
    CHECK(nk_scratch(NK_SCRATCH_OTHER, 10) == p);
    CHECK((q = nk_scratch(NK_SCRATCH_OTHER, 100000)) != NULL);
    memset(q, 2, 100000);
    return NULL;
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
