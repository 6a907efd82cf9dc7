// All kernels, compiled for avx2 (the flags stand in CMakeLists.txt). Knows nothing else.
#define ISA avx2
#define ISA_NAME "avx2"
#include "simd_avx2.h"
#include "k_all.inc"
#include "isa_table.inc"
