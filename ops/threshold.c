/* threshold.c   step: y = 1 where x >= 0, else 0.   l2_norm: y = sqrt(sum of x^2), a scalar.

   The two parts of a superkernel's indicator 1(|w| - t) (Single-Path NAS, Stamoulis et al. 2019).
   The step has no gradient; lode_indicator (relaxed.h) gives it the sigmoid's. The norm's is
   x / |x|, and 0 where all of x is 0. */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <math.h>

/* ---- step ---- */
static lode_status step_forward(const lode_op_call *c) {
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    for (int64_t i = 0; lode_ref_ok(&r) && i < lode_tensor_count(c->y); i++) y[i] = x[i] >= 0;
    return lode_ref_end(&r);
}

static lode_status step_example(lode_op_example *e, lode_rng *rng, int k) {
    LODE_TRY(lode_example_any_shape(e, rng, k));
    lode_example_constant(e);
    return LODE_OK;
}

const lode_op lode_op_step = {
    .name = "step",
    .n_inputs = 1,
    .n_required = 1,
    .not_differentiable = true,
    .infer = lode_infer_same_shape,
    .reference = {.forward = step_forward},
    .count = lode_count_pointwise,
    .example = step_example,
};

lode_var *lode_step_at_zero(lode_tape *t, lode_var *x) {
    return lode_apply(t, &lode_op_step, &x, 1, NULL);
}

/* ---- l2_norm ---- */
static lode_status l2_norm_infer(const lode_op_call *c, lode_inferred *out) {
    LODE_TRY(lode_check_float(c, 0, "x"));
    lode_infer_y(out, c->x[0]->dtype, &LODE_SCALAR);
    return LODE_OK;
}

static double l2_norm_of(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

static lode_status l2_norm_forward(const lode_op_call *c) {
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    if (lode_ref_ok(&r)) y[0] = l2_norm_of(x, lode_tensor_count(c->x[0]));
    return lode_ref_end(&r);
}

static lode_status l2_norm_backward(const lode_op_call *c, const lode_tensor *dy_,
                                    lode_tensor *const *dx_) {
    const int64_t n = lode_tensor_count(c->x[0]);
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[0]), *dy = lode_ref_in(&r, dy_);
    double *dx = lode_ref_out(&r, dx_[0]);
    const double norm = lode_ref_ok(&r) ? l2_norm_of(x, n) : 0;
    for (int64_t i = 0; dx != NULL && norm > 0 && i < n; i++) dx[i] = dy[0] * x[i] / norm;
    return lode_ref_end(&r);
}

static void l2_norm_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = 2.0 * (double)lode_tensor_count(c->x[0]);
}

const lode_op lode_op_l2_norm = {
    .name = "l2_norm",
    .n_inputs = 1,
    .n_required = 1,
    .keeps = LODE_KEEP_X(0),
    .infer = l2_norm_infer,
    .reference = {.forward = l2_norm_forward, .backward = l2_norm_backward},
    .count = l2_norm_count,
    .example = lode_example_any_shape,
};

lode_var *lode_l2_norm(lode_tape *t, lode_var *x) {
    return lode_apply(t, &lode_op_l2_norm, &x, 1, NULL);
}
