/* Activations and scale: one flat loop each way, see walk.h. */
#include "ops/native/native_internal.h"
#include "ops/native/walk.h"
#include "ops/ops.h"

static const lode_op *const activations[SIMD_N_ACTIVATIONS] = {
    [SIMD_RELU] = &lode_op_relu,
    [SIMD_RELU6] = &lode_op_relu6,
    [SIMD_LEAKY_RELU] = &lode_op_leaky_relu,
    [SIMD_HSIGMOID] = &lode_op_hsigmoid,
    [SIMD_HSWISH] = &lode_op_hswish,
    [SIMD_SIGMOID] = &lode_op_sigmoid,
    [SIMD_SWISH] = &lode_op_swish,
    [SIMD_TANH] = &lode_op_tanh,
    [SIMD_GELU] = &lode_op_gelu,
};

static int activation_index(const lode_op *op) {
    int i = 0;
    while (i < SIMD_N_ACTIVATIONS - 1 && activations[i] != op) i++;
    return i;
}

static float activation_parameter(const lode_op_call *c) {
    return c->params ? (float)((const lode_leaky_relu_params *)c->params)->slope : 0;
}

lode_status native_activation_forward(const lode_op_call *c) {
    const float p = activation_parameter(c);
    lode_walk w = lode_walk_to(c->y);
    lode_walk_from(&w, c->x[0]);
    lode_walk_run(&w, lode_simd_get()->pointwise[activation_index(c->op)], &p);
    return LODE_OK;
}

lode_status native_activation_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx) {
    if (dx[0] == NULL) return LODE_OK;
    const float p = activation_parameter(c);
    const int kernel = SIMD_RELU_BACKWARD + activation_index(c->op);
    lode_walk w = lode_walk_to(dx[0]);
    lode_walk_from(&w, c->op->keeps & LODE_KEEP_Y ? c->y : c->x[0]);
    lode_walk_from(&w, dy);
    lode_walk_run(&w, lode_simd_get()->pointwise[kernel], &p);
    return LODE_OK;
}

lode_status native_scale_forward(const lode_op_call *c) {
    const lode_scale_params *s = c->params;
    const float p[2] = {(float)s->factor, (float)s->shift};
    lode_walk w = lode_walk_to(c->y);
    lode_walk_from(&w, c->x[0]);
    lode_walk_run(&w, lode_simd_get()->pointwise[SIMD_SCALE], p);
    return LODE_OK;
}

lode_status native_scale_backward(const lode_op_call *c, const lode_tensor *dy,
                                  lode_tensor *const *dx) {
    if (dx[0] == NULL) return LODE_OK;
    const float p[2] = {(float)((const lode_scale_params *)c->params)->factor, 0};
    lode_walk w = lode_walk_to(dx[0]);
    lode_walk_from(&w, dy);
    lode_walk_run(&w, lode_simd_get()->pointwise[SIMD_SCALE], p);
    return LODE_OK;
}
