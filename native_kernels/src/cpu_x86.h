// What an x86-64 CPU and its operating system offer, by CPUID and XGETBV (Intel SDM volume 2A, CPUID). Knows no
// kernels. The compilers' __builtin_cpu_supports would need a runtime library that Clang does not link on Windows.
#pragma once
#include <cpuid.h>
#include <stdint.h>

enum {
    CPU_FMA = 1 << 0,
    CPU_F16C = 1 << 1,
    CPU_AVX2 = 1 << 2,
    CPU_AVX512F = 1 << 3,
    CPU_AVX512DQ = 1 << 4,
    CPU_AVX512BW = 1 << 5,
    CPU_AVX512VL = 1 << 6,
    CPU_AVX512VNNI = 1 << 7,
    CPU_AVX512BF16 = 1 << 8,
};

#ifndef NK_CPU_FEATURES // a test may say what the CPU has
#define NK_CPU_FEATURES nk_cpu_features()
static int nk_cpu_features(void) {
    unsigned a, b, c, d, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    if (!(c >> 27 & 1)) return 0; // OSXSAVE: whether XGETBV may be asked
    if (c >> 12 & 1) features |= CPU_FMA;
    if (c >> 29 & 1) features |= CPU_F16C;
    uint32_t saved, high; // the registers that the operating system saves: bits 1, 2 xmm and ymm; 5, 6, 7 zmm and masks
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if ((saved & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    const unsigned subleaves = a;
    if (b >> 5 & 1) features |= CPU_AVX2;
    if ((saved & 0xe6) != 0xe6) return (int)features;
    if (b >> 16 & 1) features |= CPU_AVX512F;
    if (b >> 17 & 1) features |= CPU_AVX512DQ;
    if (b >> 30 & 1) features |= CPU_AVX512BW;
    if (b >> 31 & 1) features |= CPU_AVX512VL;
    if (c >> 11 & 1) features |= CPU_AVX512VNNI;
    if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1)) features |= CPU_AVX512BF16;
    return (int)features;
}
#endif

static int nk_cpu_has(int features) { return (NK_CPU_FEATURES & features) == features; }
