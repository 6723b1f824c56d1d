/* The portable provider: convolutions and products on our own kernels, after the libraries in
   preference. It runs where oneDNN was not built in, and where results must be the same bits at any
   number of threads, which oneDNN does not promise. */
#include "ops/native/gemm.h"
#include "ops/native/native_internal.h"
#include "ops/native/portable_internal.h"
#include "ops/native/simd.h"
#include "ops/ops.h"

#include <stdio.h>

static lode_status portable_linear_forward(const lode_op_call *c) {
    return lode_linear_forward(&lode_native_gemm, c);
}
static lode_status portable_linear_backward(const lode_op_call *c, const lode_tensor *dy,
                                            lode_tensor *const *dx) {
    return lode_linear_backward(&lode_native_gemm, c, dy, dx);
}
static size_t portable_linear_workspace(const lode_op_call *c, bool backward) {
    return lode_linear_workspace(&lode_native_gemm, c, backward);
}
static lode_status portable_matmul_forward(const lode_op_call *c) {
    return lode_matmul_forward(&lode_native_gemm, c);
}
static lode_status portable_matmul_backward(const lode_op_call *c, const lode_tensor *dy,
                                            lode_tensor *const *dx) {
    return lode_matmul_backward(&lode_native_gemm, c, dy, dx);
}
static size_t portable_matmul_workspace(const lode_op_call *c, bool backward) {
    return lode_matmul_workspace(&lode_native_gemm, c, backward);
}

static const lode_kernel portable_kernels[] = {
    {&lode_op_batch_matmul, lode_matmul_fits, portable_matmul_forward, portable_matmul_backward,
     portable_matmul_workspace, NULL, NULL, false},
    {&lode_op_conv2d, portable_conv2d_supports, portable_conv2d_forward, portable_conv2d_backward,
     portable_conv2d_workspace, NULL, NULL, false},
    {&lode_op_conv_act, native_conv_act_supports, native_conv_act_forward, NULL,
     native_conv_act_workspace, native_conv_act_prepare, native_conv_act_release, false},
    {&lode_op_linear, lode_linear_fits, portable_linear_forward, portable_linear_backward,
     portable_linear_workspace, NULL, NULL, false},
    {&lode_op_matmul, lode_matmul_fits, portable_matmul_forward, portable_matmul_backward,
     portable_matmul_workspace, NULL, NULL, false},
};

static void portable_describe(char out[128]) {
    snprintf(out, 128, "own convolutions and products, %s", lode_simd_get()->name);
}

const lode_provider lode_provider_portable = {
    .name = "portable",
    .kernels = portable_kernels,
    .n_kernels = sizeof portable_kernels / sizeof *portable_kernels,
    .same_bits_any_threads = true,
    .describe = portable_describe,
};
