// Chooses the kernel table for this CPU once, and can say why. Knows the tables' names, not what is in them.
// The build flags of each table: CMakeLists.txt. The check below must ask for everything those flags allow.
#include "bench.h"
#include "kernels.h"
#include "pool.h"
#include "threads.h"
#include <stdio.h>
#include <string.h>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#if defined(__x86_64__) || defined(_M_X64)
#include "cpu_x86.h"
static int has_avx2(void) { return nk_cpu_has(CPU_AVX2 | CPU_FMA | CPU_F16C); }
static int has_avx512(void) {
    return has_avx2() && nk_cpu_has(CPU_AVX512F | CPU_AVX512BW | CPU_AVX512VL | CPU_AVX512DQ);
}
static int has_avx512_vnni(void) { return has_avx512() && nk_cpu_has(CPU_AVX512VNNI | CPU_AVX512BF16); }
#elif defined(__aarch64__)
static int has_dotprod(void) {
#if defined(__linux__)
    enum { ASIMDDP = 1 << 20 }; // HWCAP_ASIMDDP, in the kernel's headers since 4.15
    return (getauxval(AT_HWCAP) & ASIMDDP) != 0;
#elif defined(__APPLE__)
    return 1; // every Apple silicon has it
#else
    return 0;
#endif
}
#endif
static int always(void) { return 1; }

static const struct {
    const kernel_table *table;
    int (*runs_here)(void);
    const char *needs;
    double (*fma_peak)(int64_t rounds, int what);
    uint64_t (*read_streams)(const uint8_t *p, int64_t bytes);
} tables[] = {
// best first
#if defined(__x86_64__) || defined(_M_X64)
    {&kernels_avx512_vnni, has_avx512_vnni, "AVX-512 F/BW/VL/DQ, VNNI and BF16", fma_peak_avx512_vnni,
     read_streams_avx512_vnni},
    {&kernels_avx512, has_avx512, "AVX-512 F/BW/VL/DQ", fma_peak_avx512, read_streams_avx512},
    {&kernels_avx2, has_avx2, "AVX2, FMA and F16C", fma_peak_avx2, read_streams_avx2},
#elif defined(__aarch64__)
    {&kernels_neon_dotprod, has_dotprod, "NEON and its dot products", fma_peak_neon_dotprod, read_streams_neon_dotprod},
    {&kernels_neon, always, "NEON, as every 64-bit ARM", fma_peak_neon, read_streams_neon},
#endif
    {&kernels_generic, always, "nothing beyond the base instruction set", fma_peak_generic, read_streams_generic},
};
enum { TABLES = sizeof tables / sizeof tables[0] };

const kernel_table *kernels_select(const char *force, char *why, size_t why_size) {
    char names[128] = "";
    int best = 0;
    while (!tables[best].runs_here()) best++;
    if (force == NULL || force[0] == '\0') {
        snprintf(why, why_size, "the CPU has %s", tables[best].needs);
        return tables[best].table;
    }
    for (int i = 0; i < TABLES; i++) {
        if (strcmp(force, tables[i].table->name) == 0) {
            if (tables[i].runs_here()) {
                snprintf(why, why_size, "forced to %s (the best for this CPU is %s)", force, tables[best].table->name);
                return tables[i].table;
            }
            snprintf(why, why_size,
                     "instruction set %s needs %s, which this CPU (or operating system) does not offer; "
                     "the best here is %s",
                     force, tables[i].needs, tables[best].table->name);
            return NULL;
        }
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", tables[i].table->name);
    }
    snprintf(why, why_size, "unknown instruction set \"%.40s\"; this build knows %s", force, names);
    return NULL;
}

// ---- yardsticks --------------------------------------------------------------------------------------------------
typedef struct {
    double (*fma_peak)(int64_t rounds, int what);
    uint64_t (*read_streams)(const uint8_t *p, int64_t bytes);
    int64_t rounds;
    int what;
    const uint8_t *p;
} peak_job;
enum { PIECES = 16, READ_PIECE = 1 << 20 }; // PIECES per thread: evens out a thread that starts late

static void peak_task(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        ((peak_job *)arg)->fma_peak(((peak_job *)arg)->rounds, ((peak_job *)arg)->what);
}

static void read_task(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const peak_job *j = arg;
    volatile uint64_t sink = 0;
    for (int64_t i = begin; i < end; i++) sink = sink + j->read_streams(j->p + i * READ_PIECE, READ_PIECE);
}

static int table_named(const char *isa) { // -1: unknown, or not for this CPU
    for (int i = 0; i < TABLES; i++)
        if (strcmp(isa, tables[i].table->name) == 0 && tables[i].runs_here()) return i;
    return -1;
}

double bench_fma_peak(const char *isa, int64_t rounds, int what) {
    const int i = table_named(isa);
    if (i < 0) return 0;
    peak_job job = {tables[i].fma_peak, NULL, rounds, what, NULL};
    double operations = tables[i].fma_peak(1, what) * (double)rounds * PIECES * nk_get_threads();
    const int64_t begin = nk_now_ns();
    nk_parallel_for((int64_t)PIECES * nk_get_threads(), 1, peak_task, &job);
    return operations / (double)(nk_now_ns() - begin);
}

double bench_read(const char *isa, const uint8_t *p, int64_t bytes) {
    const int i = table_named(isa);
    if (i < 0 || bytes < READ_PIECE) return 0;
    peak_job job = {NULL, tables[i].read_streams, 0, 0, p};
    const int64_t begin = nk_now_ns(), pieces = bytes / READ_PIECE;
    nk_parallel_for(pieces, 1, read_task, &job);
    return (double)(pieces * READ_PIECE) / (double)(nk_now_ns() - begin);
}
