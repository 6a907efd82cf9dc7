// The primitives of threads.h for Linux, Windows and other POSIX systems.
#define _GNU_SOURCE
#include "threads.h"
#include <stddef.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
// after windows.h
#include <process.h>
#include <stdlib.h>

void nk_bell_wait(nk_bell *b, uint32_t rings) {
    atomic_fetch_add(&b->waiting, 1);
    while (atomic_load(&b->rings) == rings) WaitOnAddress(&b->rings, &rings, sizeof rings, INFINITE);
    atomic_fetch_sub(&b->waiting, 1);
}
void nk_bell_ring(nk_bell *b) {
    atomic_fetch_add(&b->rings, 1);
    if (atomic_load(&b->waiting)) WakeByAddressAll(&b->rings);
}

typedef struct {
    void *(*run)(void *);
    void *arg;
} start;
static unsigned __stdcall begin(void *p) {
    const start s = *(start *)p;
    free(p);
    s.run(s.arg);
    return 0;
}
int nk_thread_start(void *(*run)(void *), void *arg) {
    start *s = malloc(sizeof *s);
    if (s == NULL) return 0;
    *s = (start){run, arg};
    const uintptr_t thread = _beginthreadex(NULL, 0, begin, s, 0, NULL);
    if (thread == 0) {
        free(s);
        return 0;
    }
    CloseHandle((HANDLE)thread);
    return 1;
}

static void (*_Atomic end_fn)(void *);
static void CALLBACK ending(void *arg) {
    if (arg != NULL) atomic_load (&end_fn)(arg);
}
void nk_at_thread_end(void (*fn)(void *), void *arg) {
    static _Atomic DWORD index = FLS_OUT_OF_INDEXES;
    atomic_store(&end_fn, fn); // the same one for every thread
    if (atomic_load(&index) == FLS_OUT_OF_INDEXES) {
        DWORD mine = FlsAlloc(ending), none = FLS_OUT_OF_INDEXES;
        if (!atomic_compare_exchange_strong(&index, &none, mine) && mine != FLS_OUT_OF_INDEXES) FlsFree(mine);
    }
    if (atomic_load(&index) != FLS_OUT_OF_INDEXES) FlsSetValue(atomic_load(&index), arg);
}
void nk_after_fork_in_child(void (*fn)(void)) { (void)fn; }

int nk_cpus(void) {
    DWORD_PTR process, machine;
    int n = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &process, &machine))
        for (; process; process &= process - 1) n++;
    return n < 1 ? 1 : n;
}
int64_t nk_now_ns(void) {
    LARGE_INTEGER now, frequency;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&frequency);
    const int64_t seconds = now.QuadPart / frequency.QuadPart, rest = now.QuadPart % frequency.QuadPart;
    return seconds * 1000000000 + rest * 1000000000 / frequency.QuadPart;
}

#else // POSIX
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#ifdef NK_CONDVAR
void nk_bell_wait(nk_bell *b, uint32_t rings) {
    pthread_mutex_lock(&b->lock);
    atomic_fetch_add(&b->waiting, 1);
    while (atomic_load(&b->rings) == rings) pthread_cond_wait(&b->rung, &b->lock);
    atomic_fetch_sub(&b->waiting, 1);
    pthread_mutex_unlock(&b->lock);
}
void nk_bell_ring(nk_bell *b) {
    atomic_fetch_add(&b->rings, 1);
    if (!atomic_load(&b->waiting)) return;
    pthread_mutex_lock(&b->lock); // a waiter holds it from its look at `rings` until it sleeps
    pthread_cond_broadcast(&b->rung);
    pthread_mutex_unlock(&b->lock);
}
#else
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
void nk_bell_wait(nk_bell *b, uint32_t rings) {
    atomic_fetch_add(&b->waiting, 1);
    while (atomic_load(&b->rings) == rings) // the kernel looks again before it lets the thread sleep
        syscall(SYS_futex, &b->rings, FUTEX_WAIT_PRIVATE, rings, NULL, NULL, 0);
    atomic_fetch_sub(&b->waiting, 1);
}
void nk_bell_ring(nk_bell *b) {
    atomic_fetch_add(&b->rings, 1);
    if (atomic_load(&b->waiting)) syscall(SYS_futex, &b->rings, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
#endif

int nk_thread_start(void *(*run)(void *), void *arg) {
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, before; // signals are the business of the threads that were there before
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    const int started = pthread_create(&thread, &attr, run, arg) == 0;
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static pthread_key_t end_key;
static pthread_once_t end_once = PTHREAD_ONCE_INIT;
static int end_key_made;
static void (*_Atomic end_fn)(void *);
static void make_end_key(void) { end_key_made = pthread_key_create(&end_key, atomic_load(&end_fn)) == 0; }
void nk_at_thread_end(void (*fn)(void *), void *arg) {
    atomic_store(&end_fn, fn); // the same one for every thread
    pthread_once(&end_once, make_end_key);
    if (end_key_made) pthread_setspecific(end_key, arg);
}
void nk_after_fork_in_child(void (*fn)(void)) { pthread_atfork(NULL, NULL, fn); }

int nk_cpus(void) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (int)n;
}
int64_t nk_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
#endif

void nk_bell_reset(nk_bell *b) {
    static const nk_bell fresh = NK_BELL_INIT;
    *b = fresh;
}
