// All kernels, compiled for avx512_vnni (the flags stand in CMakeLists.txt). Knows nothing else.
#define ISA avx512_vnni
#define ISA_NAME "avx512_vnni"
#include "simd_avx512.h"
#include "k_all.inc"
#include "isa_table.inc"
