// What the thread pool asks of the operating system: threads, a bell to sleep on, the clock, the number of CPUs.
// Linux: futex. Windows: WaitOnAddress. Others, and with -DNK_CONDVAR: a POSIX condition variable. Knows no pool.
#pragma once
#include <stdatomic.h>
#include <stdint.h>
#if !defined(_WIN32) && !defined(__linux__) && !defined(NK_CONDVAR)
#define NK_CONDVAR
#endif
#ifdef NK_CONDVAR
#include <pthread.h>
#endif

// A bell. A sleeper reads `rings`, looks whether there is something to do, and if not waits for the bell to have been
// rung since then: a ring between the look and the wait is not lost.
typedef struct {
    _Atomic uint32_t rings, waiting;
#ifdef NK_CONDVAR
    pthread_mutex_t lock;
    pthread_cond_t rung;
#endif
} nk_bell;
#ifdef NK_CONDVAR
#define NK_BELL_INIT {0, 0, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}
#else
#define NK_BELL_INIT {0, 0}
#endif

static inline uint32_t nk_bell_rings(nk_bell *b) { return atomic_load(&b->rings); }
void nk_bell_wait(nk_bell *b, uint32_t rings); // returns when rings has changed
void nk_bell_ring(nk_bell *b);                 // wakes all
void nk_bell_reset(nk_bell *b);                // in a forked child: nobody waits

// Starts a thread that nobody joins and that takes no signals; 0 if the system refuses.
int nk_thread_start(void *(*run)(void *), void *arg);
// fn(arg) when the calling thread ends; the same fn in every thread.
void nk_at_thread_end(void (*fn)(void *), void *arg);
// fn in every forked child, before it runs on; nothing where there is no fork.
void nk_after_fork_in_child(void (*fn)(void));

int nk_cpus(void);       // that this process may use, at least 1
int64_t nk_now_ns(void); // monotonic

static inline void nk_relax(void) { // inside a spin
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
