/* simd_internal.h: the functions of one instruction set's copy, by their plain names. */
#ifndef LODE_OPS_NATIVE_SIMD_INTERNAL_H
#define LODE_OPS_NATIVE_SIMD_INTERNAL_H
#include "ops/native/simd.h"

#define simd_run_sgd         LODE_ISA_NAME(simd_run_sgd)
#define simd_run_adam        LODE_ISA_NAME(simd_run_adam)
#define simd_run_rmsprop     LODE_ISA_NAME(simd_run_rmsprop)
#define simd_run_ema         LODE_ISA_NAME(simd_run_ema)
#define simd_run_sum_squares LODE_ISA_NAME(simd_run_sum_squares)

/* simd_optimizer.c */
void simd_run_sgd(int64_t n, float *w, const float *g, float *m, const simd_sgd *p);
void simd_run_adam(int64_t n, float *w, const float *g, float *m, float *v, const simd_adam *p);
void simd_run_rmsprop(int64_t n, float *w, const float *g, float *v, float *mean, float *buffer,
                      const simd_rmsprop *p);
void simd_run_ema(int64_t n, float *ema, const float *w, float keep);
double simd_run_sum_squares(int64_t n, const float *x);
#endif
