// All kernels, compiled for avx512 (the flags stand in CMakeLists.txt). Knows nothing else.
#define ISA avx512
#define ISA_NAME "avx512"
#include "simd_avx512.h"
#include "k_all.inc"
#include "isa_table.inc"
