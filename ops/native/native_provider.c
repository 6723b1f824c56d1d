/* The native provider: kernels of our own for what no library does well. */
#include "ops/native/conv_shape.h"
#include "ops/native/native_internal.h"
#include "ops/native/simd.h"
#include "ops/native/walk.h"
#include "ops/ops.h"

#include <stdio.h>

/* Which functions serve an operator: native_FAMILY_forward and so on. */
#define KERNEL(OP, SUPPORTS, FAMILY, WORKSPACE)                                                    \
    {                                                                                              \
        &lode_op_##OP, SUPPORTS, native_##FAMILY##_forward, native_##FAMILY##_backward, WORKSPACE, \
            NULL, NULL, false                                                                      \
    }

/* clang-format off */
static const lode_kernel native_kernels[] = {
    KERNEL(conv2d,          native_depthwise_pays,           depthwise,       native_depthwise_workspace),
    {&lode_op_conv_act, native_conv_act_supports, native_conv_act_forward, NULL,
     native_conv_act_workspace, native_conv_act_prepare, native_conv_act_release, false},
    KERNEL(batch_norm,      native_batch_norm_supports,      batch_norm,      native_batch_norm_workspace),
    KERNEL(layer_norm,      call_is_f32,                     layer_norm,      native_layer_norm_workspace),
    KERNEL(lstm_gates,      call_is_f32,                     lstm_gates,      native_recurrent_workspace),
    KERNEL(gru_gates,       call_is_f32,                     gru_gates,       native_recurrent_workspace),
    KERNEL(mbconv,          native_mbconv_supports,          mbconv,          native_mbconv_workspace),
    KERNEL(max_pool,        native_pool_supports,            max_pool,        native_pool_workspace),
    KERNEL(avg_pool,        native_pool_supports,            avg_pool,        native_pool_workspace),
    KERNEL(global_avg_pool, lode_native_f32,                 global_avg_pool, native_global_avg_pool_workspace),
    KERNEL(relu,            lode_native_f32,                 activation,      NULL),
    KERNEL(relu6,           lode_native_f32,                 activation,      NULL),
    KERNEL(leaky_relu,      lode_native_f32,                 activation,      NULL),
    KERNEL(hsigmoid,        lode_native_f32,                 activation,      NULL),
    KERNEL(hswish,          lode_native_f32,                 activation,      NULL),
    KERNEL(sigmoid,         lode_native_f32,                 activation,      NULL),
    KERNEL(swish,           lode_native_f32,                 activation,      NULL),
    KERNEL(tanh,            lode_native_f32,                 activation,      NULL),
    KERNEL(gelu,            lode_native_f32,                 activation,      NULL),
    KERNEL(scale,           lode_native_f32,                 scale,           NULL),
    KERNEL(add,             lode_native_f32,                 elementwise,     native_elementwise_workspace),
    KERNEL(sub,             lode_native_f32,                 elementwise,     native_elementwise_workspace),
    KERNEL(mul,             lode_native_f32,                 elementwise,     native_elementwise_workspace),
    KERNEL(div,             lode_native_f32,                 elementwise,     native_elementwise_workspace),
    KERNEL(scale_rows,      lode_native_f32,                 scale_rows,      native_scale_rows_workspace),
    KERNEL(reduce_sum,      native_reduce_supports,          reduce,          native_reduce_workspace),
    KERNEL(reduce_mean,     native_reduce_supports,          reduce,          native_reduce_workspace),
    KERNEL(global_avg_pool, native_reduce_supports,          reduce,          native_reduce_workspace),
    KERNEL(cross_entropy,   native_cross_entropy_supports,   cross_entropy,   native_cross_entropy_workspace),
    KERNEL(weighted_sum,    native_mixture_supports,         mixture,         native_mixture_workspace),
    KERNEL(dropout,         lode_native_f32,                 dropout,         native_dropout_workspace),
    KERNEL(concat,          lode_native_f32,                 concat,          NULL),
    KERNEL(pad,             lode_native_f32,                 pad,             NULL),
    KERNEL(grid_subsample,  native_grid_supports,            grid_subsample,  NULL),
    KERNEL(grid_scatter,    native_grid_supports,            grid_scatter,    NULL),
    KERNEL(identity,        lode_native_f32,                 identity,        NULL),
    KERNEL(slice,           lode_native_f32,                 slice,           NULL),
    KERNEL(transpose,       lode_native_f32,                 transpose,       NULL),
    KERNEL(reshape,         lode_native_f32,                 reshape,         NULL),
    KERNEL(channel_shuffle, native_channel_shuffle_supports, channel_shuffle, NULL),
};
/* clang-format on */

static void native_describe(char out[128]) {
    snprintf(out, 128, "own kernels, %s", lode_simd_get()->name);
}

/* A mixture of inverted residuals (native_mbconv_again.c). */
static bool native_makes_again(const lode_op_call *c, const lode_op_call *maker) {
    return c->op == &lode_op_weighted_sum && maker->op == &lode_op_mbconv &&
           native_mbconv_makes_again(maker);
}

const lode_provider lode_provider_native = {
    .name = "native",
    .kernels = native_kernels,
    .n_kernels = sizeof native_kernels / sizeof *native_kernels,
    .makes_again = native_makes_again,
    .same_bits_any_threads = true,
    .describe = native_describe,
};
