/* scale.c   y = factor x + shift; y[n,...] = s[n] x[n,...]; y = 0.

   The small linear operators of a mixture of candidates: scale by a constant, scale each sample by
   its own weight, and `zero`, the candidate that computes nothing ("none" in DARTS and
   NAS-Bench-201) but has the shape its neighbours have: H and W divided by the stride, rounded up.
 */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- scale ---- */
static lode_status scale_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_scale_params *p = c->params;
    if (!isfinite(p->factor) || !isfinite(p->shift))
        return LODE_FAIL(LODE_ERR_INVALID, "scale: factor %g and shift %g must be finite",
                         p->factor, p->shift);
    return lode_infer_same_shape(c, out);
}

static lode_status scale_forward(const lode_op_call *c) {
    const lode_scale_params *p = c->params;
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    const int64_t n = lode_tensor_count(c->y);
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++) y[i] = p->factor * x[i] + p->shift;
    return lode_ref_end(&r);
}

static lode_status scale_backward(const lode_op_call *c, const lode_tensor *dy_,
                                  lode_tensor *const *dx_) {
    const lode_scale_params *p = c->params;
    lode_ref r = {0};
    const double *dy = lode_ref_in(&r, dy_);
    double *dx = lode_ref_out(&r, dx_[0]);
    const int64_t n = dx ? lode_tensor_count(dy_) : 0;
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++) dx[i] = p->factor * dy[i];
    return lode_ref_end(&r);
}

static lode_status scale_example(lode_op_example *e, lode_rng *rng, int k) {
    static const lode_scale_params corner[] = {{1, 0}, {0, 2}, {-3, 0.5}, {0.25, -1}};
    lode_scale_params p = {lode_rng_normal(rng), lode_rng_normal(rng)};
    if (k < 4) p = corner[k];
    lode_example_set_params(e, &p, sizeof p);
    return lode_example_any_shape(e, rng, k);
}

static void scale_print(const void *params, char out[96]) {
    const lode_scale_params *p = params;
    snprintf(out, 96, "factor %g shift %g", p->factor, p->shift);
}

const lode_op lode_op_scale = {
    .name = "scale",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_scale_params),
    .infer = scale_infer,
    .reference = {.forward = scale_forward, .backward = scale_backward},
    .count = lode_count_pointwise,
    .example = scale_example,
    .print_params = scale_print,
};

lode_var *lode_scale(lode_tape *t, lode_var *x, double factor, double shift) {
    const lode_scale_params p = {.factor = factor, .shift = shift};
    return lode_apply(t, &lode_op_scale, &x, 1, &p);
}

/* ---- scale_rows ---- */
static lode_status scale_rows_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_tensor *x = c->x[0], *s = c->x[1];
    char a[128], b[128];
    if (x->shape.n_dims < 1 || s->shape.n_dims != 1 || s->shape.dim[0] != x->shape.dim[0])
        return LODE_FAIL(LODE_ERR_SHAPE, "scale_rows: x is %s, s is %s; wanted s [N], x [N, ...]",
                         lode_shape_print(&x->shape, a), lode_shape_print(&s->shape, b));
    LODE_TRY(lode_check_float(c, 1, "s"));
    return lode_infer_same_shape(c, out);
}

static lode_status scale_rows_forward(const lode_op_call *c) {
    const int64_t rows = c->y->shape.dim[0], width = lode_tensor_count(c->y) / rows;
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[0]), *s = lode_ref_in(&r, c->x[1]);
    double *y = lode_ref_out(&r, c->y);
    for (int64_t n = 0; n < rows && lode_ref_ok(&r); n++)
        for (int64_t i = n * width; i < (n + 1) * width; i++) y[i] = s[n] * x[i];
    return lode_ref_end(&r);
}

static lode_status scale_rows_backward(const lode_op_call *c, const lode_tensor *dy_,
                                       lode_tensor *const *dx_) {
    const int64_t rows = dy_->shape.dim[0], width = lode_tensor_count(dy_) / rows;
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[0]), *s = lode_ref_in(&r, c->x[1]);
    const double *dy = lode_ref_in(&r, dy_);
    double *dx = lode_ref_out(&r, dx_[0]), *ds = lode_ref_out(&r, dx_[1]);
    for (int64_t n = 0; n < rows && lode_ref_ok(&r); n++)
        for (int64_t i = n * width; i < (n + 1) * width; i++) {
            if (dx != NULL) dx[i] = s[n] * dy[i];
            if (ds != NULL) ds[n] += dy[i] * x[i];
        }
    return lode_ref_end(&r);
}

static lode_status scale_rows_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape shape;
        lode_example_layout layout;
    } corner[] = {
        {{1, {1}}, LODE_EXAMPLE_DENSE},
        {{1, {5}}, LODE_EXAMPLE_STRIDED},
        {{2, {3, 4}}, LODE_EXAMPLE_TRANSPOSED},
        {{4, {2, 3, 2, 2}}, LODE_EXAMPLE_DENSE},
        {{4, {2, 17, 3, 1}}, LODE_EXAMPLE_CONTIGUOUS},
        {{4, {3, 16, 5, 5}}, LODE_EXAMPLE_STRIDED},
    };
    lode_shape shape = lode_example_random_shape(rng, 1, 5);
    lode_example_layout layout = lode_example_random_layout(rng);
    if (k < (int)(sizeof corner / sizeof corner[0])) {
        shape = corner[k].shape;
        layout = corner[k].layout;
    }
    const lode_shape rows = LODE_SHAPE1(shape.dim[0]);
    LODE_TRY(lode_example_laid(e, rng, &shape, layout));
    return lode_example_laid(e, rng, &rows, k % 2 ? LODE_EXAMPLE_STRIDED : LODE_EXAMPLE_DENSE);
}

const lode_op lode_op_scale_rows = {
    .name = "scale_rows",
    .n_inputs = 2,
    .n_required = 2,
    .keeps = LODE_KEEP_X(0) | LODE_KEEP_X(1),
    .infer = scale_rows_infer,
    .reference = {.forward = scale_rows_forward, .backward = scale_rows_backward},
    .count = lode_count_pointwise,
    .example = scale_rows_example,
};

lode_var *lode_scale_rows(lode_tape *t, lode_var *x, lode_var *s) {
    return lode_apply(t, &lode_op_scale_rows, (lode_var *[]){x, s}, 2, NULL);
}

/* ---- zero ---- */
static lode_status zero_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_zero_params *p = c->params;
    const lode_shape *x = &c->x[0]->shape;
    char text[128];
    if (p->stride < 1 || p->channels < 0)
        return LODE_FAIL(LODE_ERR_INVALID, "zero: stride %d, channels %d; wanted >= 1 and >= 0",
                         p->stride, p->channels);
    if (p->stride > 1 && x->n_dims != 4)
        return LODE_FAIL(LODE_ERR_SHAPE, "zero: stride %d needs x [N, C, H, W], x is %s", p->stride,
                         lode_shape_print(x, text));
    if (p->channels > 0 && x->n_dims < 2)
        return LODE_FAIL(LODE_ERR_SHAPE, "zero: %d channels need x [N, C, ...], x is %s",
                         p->channels, lode_shape_print(x, text));
    lode_infer_y(out, c->x[0]->dtype, x);
    out->layout = lode_layout_like(c->x[0]);
    if (p->channels > 0) out->shape.dim[1] = p->channels;
    for (int d = 2; d < 4 && p->stride > 1; d++)
        out->shape.dim[d] = (x->dim[d] + p->stride - 1) / p->stride;
    return LODE_OK;
}

static lode_status zero_forward(const lode_op_call *c) { return lode_tensor_fill(c->y, 0); }

static lode_status zero_backward(const lode_op_call *c, const lode_tensor *dy,
                                 lode_tensor *const *dx) {
    (void)c, (void)dy;
    return dx[0] ? lode_tensor_fill(dx[0], 0) : LODE_OK;
}

/* Nothing is computed and nothing is read. */
static void zero_count(const lode_op_call *c, lode_op_count *out) {
    *out = (lode_op_count){0};
    out->bytes_written = (double)lode_tensor_bytes(c->y);
}

static lode_status zero_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape shape;
        lode_zero_params p;
    } corner[] = {
        {{0, {0}}, {1, 0}},          {{2, {3, 5}}, {1, 7}},       {{4, {2, 3, 4, 4}}, {1, 0}},
        {{4, {2, 3, 5, 7}}, {2, 0}}, {{4, {1, 2, 1, 1}}, {2, 6}}, {{4, {2, 4, 7, 4}}, {3, 1}},
    };
    lode_shape shape = LODE_SHAPE4(1 + lode_rng_below(rng, 3), 1 + lode_rng_below(rng, 20),
                                   1 + lode_rng_below(rng, 9), 1 + lode_rng_below(rng, 9));
    lode_zero_params p = {1 + (int32_t)lode_rng_below(rng, 3), (int32_t)lode_rng_below(rng, 9)};
    if (k < (int)(sizeof corner / sizeof corner[0])) {
        shape = corner[k].shape;
        p = corner[k].p;
    }
    lode_example_set_params(e, &p, sizeof p);
    return lode_example_laid(e, rng, &shape, LODE_EXAMPLE_DENSE);
}

static void zero_print(const void *params, char out[96]) {
    const lode_zero_params *p = params;
    if (p->channels > 0)
        snprintf(out, 96, "s%d c%d", p->stride, p->channels);
    else
        snprintf(out, 96, "s%d", p->stride);
}

const lode_op lode_op_zero = {
    .name = "zero",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_zero_params),
    .infer = zero_infer,
    .reference = {.forward = zero_forward, .backward = zero_backward},
    .count = zero_count,
    .example = zero_example,
    .print_params = zero_print,
};

lode_var *lode_zero(lode_tape *t, lode_var *x, lode_zero_params p) {
    return lode_apply(t, &lode_op_zero, &x, 1, &p);
}
