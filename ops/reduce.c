/* reduce.c   sum, mean, largest over some dims.

   Each element of y collects the elements of x that differ from it in the reduced dims only; sums
   are in double, in row-major order. The gradient goes back to all of them (sum), in equal shares
   (mean), or to the first of the largest (max), whose place is remembered in aux 0. Nothing else is
   kept. */
#include "ops/example_internal.h"
#include "ops/index_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

/* x's dims apart: `kept` has the dims that stay, `reduced` those that go, 1 for the others. */
typedef struct reduce_plan {
    lode_shape kept, reduced;
    int64_t n_kept, n_reduced;
} reduce_plan;

static bool reduce_dim(const lode_reduce_params *p, int d) {
    return p->dims == 0 || (p->dims >> d & 1u) != 0;
}

static reduce_plan reduce_plan_of(const lode_reduce_params *p, const lode_shape *x) {
    reduce_plan plan = {.kept = *x, .reduced = *x};
    for (int d = 0; d < x->n_dims; d++) (reduce_dim(p, d) ? &plan.kept : &plan.reduced)->dim[d] = 1;
    plan.n_kept = lode_shape_count(&plan.kept);
    plan.n_reduced = lode_shape_count(&plan.reduced);
    return plan;
}

/* Row-major position in x of the r-th element that element i of y collects. */
static int64_t reduce_source(const reduce_plan *plan, const lode_shape *x, int64_t i, int64_t r) {
    int64_t at[LODE_MAX_DIMS] = {0}, within[LODE_MAX_DIMS] = {0};
    lode_index_of(&plan->kept, i, at);
    lode_index_of(&plan->reduced, r, within);
    for (int d = 0; d < x->n_dims; d++) at[d] += within[d];
    return lode_index_flat(x, at);
}

static lode_status reduce_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_reduce_params *p = c->params;
    const lode_shape *x = &c->x[0]->shape;
    char text[128];
    if (p->dims >> x->n_dims != 0)
        return LODE_FAIL(LODE_ERR_SHAPE, "%s: dim mask 0x%x, but x is %s", c->op->name, p->dims,
                         lode_shape_print(x, text));
    if (lode_shape_count(x) == 0)
        return LODE_FAIL(LODE_ERR_SHAPE, "%s: x is %s, which has no elements", c->op->name,
                         lode_shape_print(x, text));
    for (int d = 0; d < x->n_dims; d++)
        if (!reduce_dim(p, d) || p->keep)
            out->shape.dim[out->shape.n_dims++] = reduce_dim(p, d) ? 1 : x->dim[d];
    out->dtype = c->x[0]->dtype;
    out->layout = out->shape.n_dims == 4 ? lode_layout_like(c->x[0]) : LODE_CONTIGUOUS;
    return LODE_OK;
}

static void reduce_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = (double)lode_tensor_count(c->x[0]);
}

/* ---- sum and mean ---- */
static lode_status reduce_add(const lode_op_call *c, bool mean) {
    const lode_shape *s = &c->x[0]->shape;
    const reduce_plan plan = reduce_plan_of(c->params, s);
    lode_ref ref = {0};
    const double *x = lode_ref_in(&ref, c->x[0]);
    double *y = lode_ref_out(&ref, c->y);
    for (int64_t i = 0; i < plan.n_kept && lode_ref_ok(&ref); i++) {
        for (int64_t r = 0; r < plan.n_reduced; r++) y[i] += x[reduce_source(&plan, s, i, r)];
        if (mean) y[i] /= (double)plan.n_reduced;
    }
    return lode_ref_end(&ref);
}

static lode_status reduce_spread(const lode_op_call *c, const lode_tensor *dy_, lode_tensor *dx_,
                                 bool mean) {
    if (dx_ == NULL) return LODE_OK;
    const lode_shape *s = &dx_->shape;
    const reduce_plan plan = reduce_plan_of(c->params, s);
    lode_ref ref = {0};
    const double *dy = lode_ref_in(&ref, dy_);
    double *dx = lode_ref_out(&ref, dx_);
    for (int64_t i = 0; i < plan.n_kept && lode_ref_ok(&ref); i++) {
        const double g = mean ? dy[i] / (double)plan.n_reduced : dy[i];
        for (int64_t r = 0; r < plan.n_reduced; r++) dx[reduce_source(&plan, s, i, r)] = g;
    }
    return lode_ref_end(&ref);
}

static lode_status reduce_sum_forward(const lode_op_call *c) { return reduce_add(c, false); }
static lode_status reduce_sum_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx) {
    return reduce_spread(c, dy, dx[0], false);
}
static lode_status reduce_mean_forward(const lode_op_call *c) { return reduce_add(c, true); }
static lode_status reduce_mean_backward(const lode_op_call *c, const lode_tensor *dy,
                                        lode_tensor *const *dx) {
    return reduce_spread(c, dy, dx[0], true);
}

/* ---- max; aux 0: where it stood, as row-major position in x, s64 of y's shape ---- */
static lode_status reduce_max_infer(const lode_op_call *c, lode_inferred *out) {
    LODE_TRY(reduce_infer(c, out));
    lode_infer_aux(out, LODE_S64, &out->shape);
    return LODE_OK;
}

static lode_status reduce_max_forward(const lode_op_call *c) {
    const lode_shape *s = &c->x[0]->shape;
    const reduce_plan plan = reduce_plan_of(c->params, s);
    lode_ref ref = {0};
    const double *x = lode_ref_in(&ref, c->x[0]);
    double *y = lode_ref_out(&ref, c->y), *place = lode_ref_out(&ref, c->aux[0]);
    for (int64_t i = 0; i < plan.n_kept && lode_ref_ok(&ref); i++) {
        int64_t best = reduce_source(&plan, s, i, 0);
        for (int64_t r = 1; r < plan.n_reduced; r++) {
            const int64_t at = reduce_source(&plan, s, i, r);
            if (x[at] > x[best] || (isnan(x[at]) && !isnan(x[best]))) best = at; /* NaN shows */
        }
        y[i] = x[best];
        if (place != NULL) place[i] = (double)best;
    }
    return lode_ref_end(&ref);
}

static lode_status reduce_max_backward(const lode_op_call *c, const lode_tensor *dy_,
                                       lode_tensor *const *dx_) {
    if (dx_[0] == NULL) return LODE_OK;
    lode_ref ref = {0};
    const double *dy = lode_ref_in(&ref, dy_), *place = lode_ref_in(&ref, c->aux[0]);
    double *dx = lode_ref_out(&ref, dx_[0]);
    const int64_t n = lode_tensor_count(dy_);
    for (int64_t i = 0; i < n && lode_ref_ok(&ref); i++) dx[(int64_t)place[i]] = dy[i];
    return lode_ref_end(&ref);
}

/* ---- examples and the three operators ---- */
static lode_status reduce_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape shape;
        lode_example_layout layout;
        lode_reduce_params p; /* dims, keep */
    } corner[] = {
        {{0, {0}}, LODE_EXAMPLE_DENSE, {0, 0}},
        {{1, {1}}, LODE_EXAMPLE_DENSE, {0, 1}},
        {{1, {40}}, LODE_EXAMPLE_STRIDED, {0, 0}},
        {{2, {3, 4}}, LODE_EXAMPLE_TRANSPOSED, {1, 0}},
        {{2, {3, 4}}, LODE_EXAMPLE_DENSE, {2, 1}},
        {{4, {2, 18, 3, 3}}, LODE_EXAMPLE_DENSE, {0xc, 1}}, /* over H and W */
        {{4, {2, 18, 3, 3}}, LODE_EXAMPLE_DENSE, {0xd, 0}}, /* per channel */
        {{4, {2, 3, 4, 5}}, LODE_EXAMPLE_CONTIGUOUS, {2, 1}},
        {{4, {2, 3, 2, 2}}, LODE_EXAMPLE_ROWS, {0, 1}},
        {{6, {1, 2, 1, 2, 3, 1}}, LODE_EXAMPLE_DENSE, {0x15, 0}},
    };
    lode_shape shape = lode_example_random_shape(rng, 1, LODE_MAX_DIMS);
    lode_example_layout layout = lode_example_random_layout(rng);
    lode_reduce_params p = {.dims = (uint32_t)lode_rng_below(rng, (int64_t)1 << shape.n_dims),
                            .keep = (int32_t)lode_rng_below(rng, 2)};
    if (k < (int)(sizeof corner / sizeof corner[0])) {
        shape = corner[k].shape;
        layout = corner[k].layout;
        p = corner[k].p;
    }
    lode_example_set_params(e, &p, sizeof p);
    return lode_example_laid(e, rng, &shape, layout);
}

static lode_status reduce_max_example(lode_op_example *e, lode_rng *rng, int k) {
    LODE_TRY(reduce_example(e, rng, k));
    lode_example_spread(e->x[0], rng);
    return LODE_OK;
}

static void reduce_print(const void *params, char out[96]) {
    const lode_reduce_params *p = params;
    snprintf(out, 96, "dims 0x%x%s", p->dims, p->keep ? " keep" : "");
}

const lode_op lode_op_reduce_sum = {
    .name = "reduce_sum",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_reduce_params),
    .infer = reduce_infer,
    .reference = {.forward = reduce_sum_forward, .backward = reduce_sum_backward},
    .count = reduce_count,
    .example = reduce_example,
    .print_params = reduce_print,
};

const lode_op lode_op_reduce_mean = {
    .name = "reduce_mean",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_reduce_params),
    .infer = reduce_infer,
    .reference = {.forward = reduce_mean_forward, .backward = reduce_mean_backward},
    .count = reduce_count,
    .example = reduce_example,
    .print_params = reduce_print,
};

const lode_op lode_op_reduce_max = {
    .name = "reduce_max",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_reduce_params),
    .infer = reduce_max_infer,
    .reference = {.forward = reduce_max_forward, .backward = reduce_max_backward},
    .count = reduce_count,
    .example = reduce_max_example,
    .print_params = reduce_print,
};

lode_var *lode_reduce_sum(lode_tape *t, lode_var *x, lode_reduce_params p) {
    return lode_apply(t, &lode_op_reduce_sum, &x, 1, &p);
}
lode_var *lode_reduce_mean(lode_tape *t, lode_var *x, lode_reduce_params p) {
    return lode_apply(t, &lode_op_reduce_mean, &x, 1, &p);
}
lode_var *lode_reduce_max(lode_tape *t, lode_var *x, lode_reduce_params p) {
    return lode_apply(t, &lode_op_reduce_max, &x, 1, &p);
}
