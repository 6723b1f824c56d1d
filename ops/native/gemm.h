/* gemm.h: products of f32 matrices on our own kernels, over threads: what linear, matmul and 1x1
   convolutions run on where there is no library. Same bits at any thread count. */
#ifndef LODE_OPS_NATIVE_GEMM_H
#define LODE_OPS_NATIVE_GEMM_H
#include "ops/native/matrix.h"

extern const lode_gemm lode_native_gemm;
#endif
