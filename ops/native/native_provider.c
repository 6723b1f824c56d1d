/* The native provider: kernels of our own for what no library does well. */
#include "ops/native/native_internal.h"
#include "ops/native/simd.h"
#include "ops/native/walk.h"
#include "ops/ops.h"

#include <stdio.h>

static const lode_kernel native_kernels[] = {
    {&lode_op_conv2d, native_depthwise_supports, native_depthwise_forward,
     native_depthwise_backward, native_depthwise_workspace},
    {&lode_op_relu, lode_native_f32, native_activation_forward, native_activation_backward, NULL},
    {&lode_op_relu6, lode_native_f32, native_activation_forward, native_activation_backward, NULL},
    {&lode_op_leaky_relu, lode_native_f32, native_activation_forward, native_activation_backward,
     NULL},
    {&lode_op_hsigmoid, lode_native_f32, native_activation_forward, native_activation_backward,
     NULL},
    {&lode_op_hswish, lode_native_f32, native_activation_forward, native_activation_backward, NULL},
    {&lode_op_sigmoid, lode_native_f32, native_activation_forward, native_activation_backward,
     NULL},
    {&lode_op_swish, lode_native_f32, native_activation_forward, native_activation_backward, NULL},
    {&lode_op_tanh, lode_native_f32, native_activation_forward, native_activation_backward, NULL},
    {&lode_op_gelu, lode_native_f32, native_activation_forward, native_activation_backward, NULL},
    {&lode_op_scale, lode_native_f32, native_scale_forward, native_scale_backward, NULL},
    {&lode_op_add, lode_native_f32, native_elementwise_forward, native_elementwise_backward,
     native_elementwise_workspace},
    {&lode_op_sub, lode_native_f32, native_elementwise_forward, native_elementwise_backward,
     native_elementwise_workspace},
    {&lode_op_mul, lode_native_f32, native_elementwise_forward, native_elementwise_backward,
     native_elementwise_workspace},
    {&lode_op_div, lode_native_f32, native_elementwise_forward, native_elementwise_backward,
     native_elementwise_workspace},
    {&lode_op_scale_rows, lode_native_f32, native_scale_rows_forward, native_scale_rows_backward,
     native_scale_rows_workspace},
    {&lode_op_reduce_sum, native_reduce_supports, native_reduce_forward, native_reduce_backward,
     native_reduce_workspace},
    {&lode_op_reduce_mean, native_reduce_supports, native_reduce_forward, native_reduce_backward,
     native_reduce_workspace},
    {&lode_op_concat, lode_native_f32, native_concat_forward, native_concat_backward, NULL},
    {&lode_op_pad, lode_native_f32, native_pad_forward, native_pad_backward, NULL},
    {&lode_op_identity, lode_native_f32, native_identity_forward, native_identity_backward, NULL},
    {&lode_op_slice, lode_native_f32, native_slice_forward, native_slice_backward, NULL},
    {&lode_op_transpose, lode_native_f32, native_transpose_forward, native_transpose_backward,
     NULL},
    {&lode_op_reshape, lode_native_f32, native_reshape_forward, native_reshape_backward, NULL},
    {&lode_op_channel_shuffle, native_channel_shuffle_supports, native_channel_shuffle_forward,
     native_channel_shuffle_backward, NULL},
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
