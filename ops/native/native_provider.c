/* The native provider: kernels of our own for what no library does well. */
#include "ops/native/native_internal.h"
#include "ops/native/simd.h"
#include "ops/ops.h"

#include <stdio.h>

static const lode_kernel native_kernels[] = {
    {&lode_op_conv2d, native_depthwise_supports, native_depthwise_forward,
     native_depthwise_backward, native_depthwise_workspace},
};

static void native_describe(char out[128]) {
    snprintf(out, 128, "own kernels, %s", lode_simd_get()->name);
}

const lode_provider lode_provider_native = {
    .name = "native",
    .kernels = native_kernels,
    .n_kernels = sizeof native_kernels / sizeof *native_kernels,
    .same_bits_any_threads = true,
    .describe = native_describe,
};
