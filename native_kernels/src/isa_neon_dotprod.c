// All kernels, compiled for neon_dotprod (the flags stand in CMakeLists.txt). Knows nothing else.
#define ISA neon_dotprod
#define ISA_NAME "neon_dotprod"
#include "simd_neon.h"
#include "k_all.inc"
#include "isa_table.inc"
