// Float weights -> blocks of a storage type in GGUF order: for writing files, and for weights that are quantised at
// load. Slow and careful beside the kernels: compiled once, so that every machine writes the same bytes.
#pragma once
#include <stdint.h>

// type: number as in ggml. src: N rows of K floats; dst: N rows of blocks. K is a multiple of the block (the caller
// checks). Returns 0; 1 if a value is not finite (dst is then undefined); -1 if the type cannot be written.
int nk_quantize(int type, const float *src, uint8_t *dst, int64_t N, int64_t K);
