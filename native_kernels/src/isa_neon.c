// All kernels, compiled for neon (the base instruction set of AArch64). Knows nothing else.
#define ISA neon
#define ISA_NAME "neon"
#include "simd_neon.h"
#include "k_all.inc"
#include "isa_table.inc"
