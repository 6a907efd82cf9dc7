// All kernels, compiled for generic (the flags stand in CMakeLists.txt). Knows nothing else.
#define ISA generic
#define ISA_NAME "generic"
#include "simd_generic.h"
#include "k_all.inc"
#include "isa_table.inc"
#include "k_baseline.inc" // portable yardsticks for the benchmark, once
