/* pad.c   y[i] = x[i - before] where that exists, else `value`, along every dim at once.

   A negative amount crops: before = -1 drops the first row. dx gathers dy where y shows x; cropped
   elements get 0. */
#include "ops/example_internal.h"
#include "ops/index_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <stdio.h>

static lode_status pad_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_pad_params *p = c->params;
    const lode_shape *x = &c->x[0]->shape;
    char text[128];
    lode_infer_y(out, c->x[0]->dtype, x);
    out->layout = lode_layout_like(c->x[0]);
    for (int d = 0; d < LODE_MAX_DIMS; d++) {
        const int64_t most = INT64_MAX / 4, a = p->before[d], b = p->after[d];
        if (d >= x->n_dims && (a != 0 || b != 0))
            return LODE_FAIL(LODE_ERR_SHAPE, "pad: amounts for dim %d, but x is %s", d,
                             lode_shape_print(x, text));
        if (d >= x->n_dims) continue;
        if (a < -most || a > most || b < -most || b > most || x->dim[d] + a + b < 1)
            return LODE_FAIL(LODE_ERR_SHAPE,
                             "pad: %lld before and %lld after dim %d of x %s "
                             "leave nothing of it",
                             (long long)a, (long long)b, d, lode_shape_print(x, text));
        out->shape.dim[d] = x->dim[d] + a + b;
    }
    return lode_shape_check(&out->shape);
}

/* Row-major position in y of element i of x; -1 when it was cropped. */
static int64_t pad_place(const lode_pad_params *p, const lode_shape *x, const lode_shape *y,
                         int64_t i) {
    int64_t at[LODE_MAX_DIMS] = {0};
    lode_index_of(x, i, at);
    for (int d = 0; d < x->n_dims; d++) {
        at[d] += p->before[d];
        if (at[d] < 0 || at[d] >= y->dim[d]) return -1;
    }
    return lode_index_flat(y, at);
}

static lode_status pad_forward(const lode_op_call *c) {
    const lode_pad_params *p = c->params;
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    const int64_t n_x = lode_tensor_count(c->x[0]), n_y = lode_tensor_count(c->y);
    for (int64_t i = 0; i < n_y && lode_ref_ok(&r); i++) y[i] = p->value;
    for (int64_t i = 0; i < n_x && lode_ref_ok(&r); i++) {
        const int64_t to = pad_place(p, &c->x[0]->shape, &c->y->shape, i);
        if (to >= 0) y[to] = x[i];
    }
    return lode_ref_end(&r);
}

static lode_status pad_backward(const lode_op_call *c, const lode_tensor *dy_,
                                lode_tensor *const *dx_) {
    if (dx_[0] == NULL) return LODE_OK;
    lode_ref r = {0};
    const double *dy = lode_ref_in(&r, dy_);
    double *dx = lode_ref_out(&r, dx_[0]);
    const int64_t n = lode_tensor_count(dx_[0]);
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++) {
        const int64_t from = pad_place(c->params, &dx_[0]->shape, &dy_->shape, i);
        dx[i] = from >= 0 ? dy[from] : 0;
    }
    return lode_ref_end(&r);
}

static lode_status pad_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape shape;
        lode_example_layout layout;
        lode_pad_params p; /* before, after, value */
    } corner[] = {
        {{0, {0}}, LODE_EXAMPLE_DENSE, {{0}, {0}, 0}},
        {{1, {3}}, LODE_EXAMPLE_STRIDED, {{2}, {0}, -1.5}},
        {{2, {3, 4}}, LODE_EXAMPLE_TRANSPOSED, {{0, 1}, {2, 3}, 0}},
        {{4, {2, 3, 4, 4}}, LODE_EXAMPLE_DENSE, {{0, 0, 1, 1}, {0, 0, 1, 1}, 0}},
        {{4, {2, 6, 3, 3}}, LODE_EXAMPLE_DENSE, {{0, 2, 0, 0}, {0, 9, 0, 0}, 7}}, /* channels */
        {{4, {2, 5, 5, 6}}, LODE_EXAMPLE_DENSE, {{0, 0, -1, -1}, {0, 0, 1, -2}, 0}},
        {{2, {5, 6}}, LODE_EXAMPLE_ROWS, {{-2, -1}, {-2, 3}, 1}},
        {{2, {2, 3}}, LODE_EXAMPLE_DENSE, {{-2, 0}, {3, 0}, 4}}, /* nothing of x is left */
    };
    if (k < (int)(sizeof corner / sizeof corner[0])) {
        lode_example_set_params(e, &corner[k].p, sizeof corner[k].p);
        return lode_example_laid(e, rng, &corner[k].shape, corner[k].layout);
    }
    const lode_shape shape = lode_example_random_shape(rng, 1, 5);
    lode_pad_params p = {.value = lode_rng_normal(rng)};
    for (int d = 0; d < shape.n_dims; d++) {
        p.before[d] = lode_rng_below(rng, 5) - 2;
        p.after[d] = lode_rng_below(rng, 5) - 2;
        if (shape.dim[d] + p.before[d] + p.after[d] < 1) p.after[d] = 1 - p.before[d];
    }
    lode_example_set_params(e, &p, sizeof p);
    return lode_example_laid(e, rng, &shape, lode_example_random_layout(rng));
}

/* "1:1 0:0" of the dims from the first to the last that change. */
static void pad_print(const void *params, char out[96]) {
    const lode_pad_params *p = params;
    int n = 0, last = LODE_MAX_DIMS - 1;
    while (last > 0 && p->before[last] == 0 && p->after[last] == 0) last--;
    for (int d = 0; d <= last && n < 80; d++)
        n += snprintf(out + n, (size_t)(96 - n), "%s%lld:%lld", d ? " " : "",
                      (long long)p->before[d], (long long)p->after[d]);
    if (p->value != 0 && n < 80) snprintf(out + n, (size_t)(96 - n), " value %g", p->value);
}

const lode_op lode_op_pad = {
    .name = "pad",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_pad_params),
    .infer = pad_infer,
    .reference = {.forward = pad_forward, .backward = pad_backward},
    .count = lode_count_copy,
    .example = pad_example,
    .print_params = pad_print,
};

lode_var *lode_pad(lode_tape *t, lode_var *x, const lode_pad_params *p) {
    return lode_apply(t, &lode_op_pad, &x, 1, p);
}
