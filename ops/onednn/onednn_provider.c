/* The oneDNN provider: what it runs. Everything our own kernels do better stands before it in
   backends.def and never gets here. */
#include "ops/onednn/onednn_internal.h"
#include "ops/ops.h"

#include <stdio.h>

static const lode_kernel onednn_kernels[] = {
    {&lode_op_batch_matmul, onednn_matmul_supports, onednn_matmul_forward, onednn_matmul_backward,
     onednn_matmul_workspace, NULL, NULL, false},
    {&lode_op_conv2d, onednn_conv2d_supports, onednn_conv2d_forward, onednn_conv2d_backward,
     onednn_conv2d_workspace, NULL, NULL, true},
    {&lode_op_linear, onednn_linear_supports, onednn_linear_forward, onednn_linear_backward,
     onednn_linear_workspace, NULL, NULL, false},
    {&lode_op_matmul, onednn_matmul_supports, onednn_matmul_forward, onednn_matmul_backward,
     onednn_matmul_workspace, NULL, NULL, false},
};

static void onednn_describe(char out[128]) {
    const dnnl_version_t *v = dnnl_version();
    snprintf(out, 128, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
}

/* oneDNN splits sums by thread; our kernels hand it pieces for one thread each. */
const lode_provider lode_provider_onednn = {
    .name = "onednn",
    .kernels = onednn_kernels,
    .n_kernels = sizeof onednn_kernels / sizeof *onednn_kernels,
    .same_bits_any_threads = true,
    .describe = onednn_describe,
};
