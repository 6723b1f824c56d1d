/* The table of one instruction set. */
#include "ops/native/simd/simd_internal.h"

#define SIMD_TEXT(x)  #x
#define SIMD_TEXT2(x) SIMD_TEXT(x)

extern const lode_simd LODE_ISA_NAME(lode_simd);
const lode_simd LODE_ISA_NAME(lode_simd) = {
    .name = SIMD_TEXT2(LODE_ISA),
    .lanes = LODE_V,
    .fma_peak = simd_run_fma_peak,
    .triad = simd_run_triad,
    .sgd = simd_run_sgd,
    .adam = simd_run_adam,
    .rmsprop = simd_run_rmsprop,
    .ema = simd_run_ema,
    .sum_squares = simd_run_sum_squares,
    .dw_pack = simd_run_dw_pack,
    .dw_plan = simd_run_dw_plan,
    .dw_begin = simd_run_dw_begin,
    .dw_forward = simd_run_dw_forward,
    .dw_backward_data = simd_run_dw_backward_data,
    .dw_backward_weights = simd_run_dw_backward_weights,
    .gemm_panel = simd_run_gemm_panel,
    .gemm_pack = simd_run_gemm_pack,
    .gemm = simd_run_gemm,
    .pool_max = simd_run_pool_max,
    .pool_sum = simd_run_pool_sum,
    .pool_spread = simd_run_pool_spread,
    .norm_stats = simd_run_norm_stats,
    .norm_grad_sums = simd_run_norm_grad_sums,
    .norm_apply = simd_run_norm_apply,
    .norm_grad = simd_run_norm_grad,
    .mb_plan = simd_run_mb_plan,
    .mb_begin = simd_run_mb_begin,
    .mb_moments = simd_run_mb_moments,
    .mb_quadratic = simd_run_mb_quadratic,
    .mb_forward = simd_run_mb_forward,
    .mb_project = simd_run_mb_project,
    .mb_project_backward = simd_run_mb_project_backward,
    .mb_backward = simd_run_mb_backward,
    .mb_sum_pieces = simd_run_mb_sum_pieces,
    .mb_affine = simd_run_mb_affine,
    .mb_finish = simd_run_mb_finish,
    .pointwise = simd_run_pointwise,
    .fold_rows = simd_run_fold_rows,
    .mix = simd_run_mix,
    .mix_backward = simd_run_mix_backward,
};
