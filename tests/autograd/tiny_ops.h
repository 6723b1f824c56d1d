/* tiny_ops.h: operators just large enough to test a tape with. Header only: each test program has
   its own copy. */
#ifndef LODE_TESTS_TINY_OPS_H
#define LODE_TESTS_TINY_OPS_H
#include "autograd/tape.h"

#include <math.h>

#define TINY_UNUSED __attribute__((unused))

static lode_status tiny_same(const lode_op_call *c, lode_inferred *out) {
    for (int i = 1; i < c->n_x; i++)
        if (c->x[i] != NULL && !lode_shape_equal(&c->x[i]->shape, &c->x[0]->shape)) {
            char a[128], b[128];
            return LODE_FAIL(LODE_ERR_SHAPE, "%s: %s against %s", c->op->name,
                             lode_shape_print(&c->x[0]->shape, a),
                             lode_shape_print(&c->x[i]->shape, b));
        }
    out->shape = c->x[0]->shape;
    out->dtype = c->x[0]->dtype;
    return LODE_OK;
}
static lode_status tiny_scalar(const lode_op_call *c, lode_inferred *out) {
    out->shape = LODE_SCALAR;
    out->dtype = c->x[0]->dtype;
    return LODE_OK;
}
static void tiny_count(const lode_op_call *c, lode_op_count *out) {
    out->flops = (double)lode_tensor_count(c->y);
}

/* ---- mul: y = x0 x1 [x2], the last optional ---- */
static double tiny_factor(const lode_op_call *c, int but, int64_t i) {
    double p = 1;
    for (int k = 0; k < c->n_x; k++)
        if (k != but && c->x[k] != NULL) p *= lode_at(c->x[k], i);
    return p;
}
static lode_status tiny_mul_forward(const lode_op_call *c) {
    for (int64_t i = 0; i < lode_tensor_count(c->y); i++) lode_put(c->y, i, tiny_factor(c, -1, i));
    return LODE_OK;
}
static lode_status tiny_mul_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    for (int k = 0; k < c->n_x; k++)
        for (int64_t i = 0; dx[k] != NULL && i < lode_tensor_count(dy); i++)
            lode_put(dx[k], i, lode_at(dy, i) * tiny_factor(c, k, i));
    return LODE_OK;
}
TINY_UNUSED static const lode_op tiny_mul = {
    .name = "mul",
    .n_inputs = 3,
    .n_required = 2,
    .keeps = LODE_KEEP_ALL_X,
    .infer = tiny_same,
    .reference = {tiny_mul_forward, tiny_mul_backward},
    .count = tiny_count,
};

/* ---- add: y = sum of any number ---- */
static lode_status tiny_add_forward(const lode_op_call *c) {
    for (int64_t i = 0; i < lode_tensor_count(c->y); i++) {
        double s = 0;
        for (int k = 0; k < c->n_x; k++) s += lode_at(c->x[k], i);
        lode_put(c->y, i, s);
    }
    return LODE_OK;
}
static lode_status tiny_add_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    for (int k = 0; k < c->n_x; k++)
        if (dx[k] != NULL) LODE_TRY(lode_tensor_copy(dx[k], dy));
    return LODE_OK;
}
TINY_UNUSED static const lode_op tiny_add = {
    .name = "add",
    .n_inputs = -1,
    .infer = tiny_same,
    .reference = {tiny_add_forward, tiny_add_backward},
    .count = tiny_count,
};

/* ---- tanh: keeps only y ---- */
static lode_status tiny_tanh_forward(const lode_op_call *c) {
    for (int64_t i = 0; i < lode_tensor_count(c->y); i++)
        lode_put(c->y, i, tanh(lode_at(c->x[0], i)));
    return LODE_OK;
}
static lode_status tiny_tanh_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx) {
    for (int64_t i = 0; i < lode_tensor_count(dy); i++) {
        double y = lode_at(c->y, i);
        lode_put(dx[0], i, lode_at(dy, i) * (1 - y * y));
    }
    return LODE_OK;
}
TINY_UNUSED static const lode_op tiny_tanh = {
    .name = "tanh",
    .n_inputs = 1,
    .n_required = 1,
    .keeps = LODE_KEEP_Y,
    .infer = tiny_same,
    .reference = {tiny_tanh_forward, tiny_tanh_backward},
    .count = tiny_count,
};

/* ---- sum: to a scalar; keeps nothing ---- */
static lode_status tiny_sum_forward(const lode_op_call *c) {
    double s = 0;
    for (int64_t i = 0; i < lode_tensor_count(c->x[0]); i++) s += lode_at(c->x[0], i);
    lode_put(c->y, 0, s);
    return LODE_OK;
}
static lode_status tiny_sum_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    (void)c;
    return lode_tensor_fill(dx[0], lode_at(dy, 0));
}
TINY_UNUSED static const lode_op tiny_sum = {
    .name = "sum",
    .n_inputs = 1,
    .n_required = 1,
    .infer = tiny_scalar,
    .reference = {tiny_sum_forward, tiny_sum_backward},
    .count = tiny_count,
};

/* ---- half: elements [0, n/2) of a vector, as a view (a copy when `copy` is set) ---- */
typedef struct tiny_half_params {
    int32_t copy, reserved;
} tiny_half_params;
static lode_status tiny_half_infer(const lode_op_call *c, lode_inferred *out) {
    if (c->x[0]->shape.n_dims != 1)
        return LODE_FAIL(LODE_ERR_SHAPE, "half: wants a vector, got %d dims",
                         c->x[0]->shape.n_dims);
    out->shape = LODE_SHAPE1(c->x[0]->shape.dim[0] / 2);
    out->dtype = c->x[0]->dtype;
    return LODE_OK;
}
static lode_status tiny_half_view(const lode_op_call *c, lode_tensor **y) {
    const tiny_half_params *p = c->params;
    if (p->copy) return LODE_ERR_UNSUPPORTED;
    return lode_tensor_slice(c->x[0], 0, 0, c->x[0]->shape.dim[0] / 2, 1, y);
}
static lode_status tiny_half_forward(const lode_op_call *c) {
    for (int64_t i = 0; i < lode_tensor_count(c->y); i++) lode_put(c->y, i, lode_at(c->x[0], i));
    return LODE_OK;
}
static lode_status tiny_half_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx) {
    (void)c;
    LODE_TRY(lode_tensor_fill(dx[0], 0));
    for (int64_t i = 0; i < lode_tensor_count(dy); i++) lode_put(dx[0], i, lode_at(dy, i));
    return LODE_OK;
}
TINY_UNUSED static const lode_op tiny_half = {
    .name = "half",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(tiny_half_params),
    .infer = tiny_half_infer,
    .view = tiny_half_view,
    .reference = {tiny_half_forward, tiny_half_backward},
    .count = tiny_count,
};

/* ---- drop: y = x mask / (1 - p), the mask kept as aux; counts in x[1] when given how often it ran
   for the first time (as running statistics do) ---- */
typedef struct tiny_drop_params {
    lode_rng rng;
    double p;
} tiny_drop_params;
static lode_status tiny_drop_infer(const lode_op_call *c, lode_inferred *out) {
    out->shape = c->x[0]->shape;
    out->dtype = c->x[0]->dtype;
    out->n_aux = 1;
    out->aux[0].shape = out->shape;
    out->aux[0].dtype = LODE_U8;
    return LODE_OK;
}
static lode_status tiny_drop_forward(const lode_op_call *c) {
    const tiny_drop_params *p = c->params;
    for (int64_t i = 0; i < lode_tensor_count(c->y); i++) {
        bool keep = lode_rng_uniform_at(&p->rng, p->rng.position + (uint64_t)i) >= p->p;
        lode_put(c->aux[0], i, keep);
        lode_put(c->y, i, keep ? lode_at(c->x[0], i) / (1 - p->p) : 0);
    }
    if (c->x[1] != NULL && !c->repeated) lode_put(c->x[1], 0, lode_at(c->x[1], 0) + 1);
    return LODE_OK;
}
static lode_status tiny_drop_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx) {
    const tiny_drop_params *p = c->params;
    for (int64_t i = 0; i < lode_tensor_count(dy); i++)
        lode_put(dx[0], i, lode_at(dy, i) * lode_at(c->aux[0], i) / (1 - p->p));
    return LODE_OK;
}
TINY_UNUSED static const lode_op tiny_drop = {
    .name = "drop",
    .n_inputs = 2,
    .n_required = 1,
    .params_size = sizeof(tiny_drop_params),
    .stochastic = true,
    .infer = tiny_drop_infer,
    .reference = {tiny_drop_forward, tiny_drop_backward},
    .count = tiny_count,
};

/* ---- typed ---- */
TINY_UNUSED static lode_var *t_mul(lode_tape *t, lode_var *a, lode_var *b) {
    return lode_apply(t, &tiny_mul, (lode_var *[]){a, b}, 2, NULL);
}
TINY_UNUSED static lode_var *t_add(lode_tape *t, lode_var *a, lode_var *b) {
    return lode_apply(t, &tiny_add, (lode_var *[]){a, b}, 2, NULL);
}
TINY_UNUSED static lode_var *t_tanh(lode_tape *t, lode_var *x) {
    return lode_apply(t, &tiny_tanh, &x, 1, NULL);
}
TINY_UNUSED static lode_var *t_sum(lode_tape *t, lode_var *x) {
    return lode_apply(t, &tiny_sum, &x, 1, NULL);
}
TINY_UNUSED static lode_var *t_half(lode_tape *t, lode_var *x, bool copy) {
    return lode_apply(t, &tiny_half, &x, 1, &(tiny_half_params){.copy = copy});
}
TINY_UNUSED static lode_var *t_drop(lode_tape *t, lode_var *x, lode_var *runs, double p) {
    tiny_drop_params params = {lode_tape_next_rng(t, LODE_RNG_DROPOUT), p};
    return lode_apply(t, &tiny_drop, (lode_var *[]){x, runs}, 2, &params);
}
#endif
