/* softmax.c   softmax, log_softmax over the last dim; R rows of K.

       p_k = exp(x_k - s),  s = ln sum_j exp(x_j)       dx_k = p_k (dy_k - sum_j dy_j p_j)
       l_k = x_k - s                                    dx_k = dy_k - exp(l_k) sum_j dy_j

   Both keep y, from which the gradient follows. */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/softmax_internal.h"

#include <math.h>

double lode_softmax_log_sum_exp(const double *x, int64_t K) {
    double top = -INFINITY, sum = 0;
    for (int64_t k = 0; k < K; k++) top = fmax(top, x[k]);
    for (int64_t k = 0; k < K; k++) sum += exp(x[k] - top);
    return top + log(sum);
}

double lode_softmax_row(const double *x, int64_t K, double temperature, double *p) {
    for (int64_t k = 0; k < K; k++) p[k] = x[k] / temperature;
    double s = lode_softmax_log_sum_exp(p, K);
    for (int64_t k = 0; k < K; k++) p[k] = exp(p[k] - s);
    return s;
}

static int64_t softmax_classes(const lode_tensor *t) { return t->shape.dim[t->shape.n_dims - 1]; }

static lode_status softmax_forward(const lode_op_call *c) {
    lode_ref r = {0};
    int64_t K = softmax_classes(c->y), n = lode_tensor_count(c->y);
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    for (int64_t i = 0; lode_ref_ok(&r) && i < n; i += K) lode_softmax_row(x + i, K, 1, y + i);
    return lode_ref_end(&r);
}

static lode_status softmax_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx) {
    if (dx[0] == NULL) return LODE_OK;
    lode_ref r = {0};
    int64_t K = softmax_classes(dy), n = lode_tensor_count(dy);
    const double *p = lode_ref_in(&r, c->y), *g = lode_ref_in(&r, dy);
    double *gx = lode_ref_out(&r, dx[0]);
    for (int64_t i = 0; lode_ref_ok(&r) && i < n; i += K) {
        double sum = 0;
        for (int64_t k = i; k < i + K; k++) sum += g[k] * p[k];
        for (int64_t k = i; k < i + K; k++) gx[k] = p[k] * (g[k] - sum);
    }
    return lode_ref_end(&r);
}

static lode_status log_softmax_forward(const lode_op_call *c) {
    lode_ref r = {0};
    int64_t K = softmax_classes(c->y), n = lode_tensor_count(c->y);
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    for (int64_t i = 0; lode_ref_ok(&r) && i < n; i += K) {
        double s = lode_softmax_log_sum_exp(x + i, K);
        for (int64_t k = i; k < i + K; k++) y[k] = x[k] - s;
    }
    return lode_ref_end(&r);
}

static lode_status log_softmax_backward(const lode_op_call *c, const lode_tensor *dy,
                                        lode_tensor *const *dx) {
    if (dx[0] == NULL) return LODE_OK;
    lode_ref r = {0};
    int64_t K = softmax_classes(dy), n = lode_tensor_count(dy);
    const double *l = lode_ref_in(&r, c->y), *g = lode_ref_in(&r, dy);
    double *gx = lode_ref_out(&r, dx[0]);
    for (int64_t i = 0; lode_ref_ok(&r) && i < n; i += K) {
        double sum = 0;
        for (int64_t k = i; k < i + K; k++) sum += g[k];
        for (int64_t k = i; k < i + K; k++) gx[k] = g[k] - exp(l[k]) * sum;
    }
    return lode_ref_end(&r);
}

static lode_status softmax_infer(const lode_op_call *c, lode_inferred *out) {
    if (c->x[0]->shape.n_dims < 1 || softmax_classes(c->x[0]) < 1)
        return LODE_FAIL(LODE_ERR_SHAPE, "%s: x must have a last dim of at least one class",
                         c->op->name);
    return lode_infer_same_shape(c, out);
}

/* Largest, subtract, exp, add, divide (or subtract): 5 per element. */
static void softmax_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = 5.0 * (double)lode_tensor_count(c->y);
}

static lode_status softmax_example(lode_op_example *e, lode_rng *rng, int k) {
    static const lode_shape corner[] = {
        {1, {5}}, {2, {3, 10}}, {2, {4, 1}}, {3, {2, 3, 17}}, {4, {1, 2, 3, 4}}};
    lode_shape x = LODE_SHAPE2(lode_example_between(rng, 1, 8), lode_example_between(rng, 1, 40));
    if (k < (int)(sizeof corner / sizeof *corner)) x = corner[k];
    LODE_TRY(lode_example_any_layout(e, rng, x, k));
    lode_example_fill(e->x[0], rng, -4, 4);
    return LODE_OK;
}

const lode_op lode_op_softmax = {
    .name = "softmax",
    .n_inputs = 1,
    .n_required = 1,
    .keeps = LODE_KEEP_Y,
    .infer = softmax_infer,
    .reference = {.forward = softmax_forward, .backward = softmax_backward},
    .count = softmax_count,
    .example = softmax_example,
};

const lode_op lode_op_log_softmax = {
    .name = "log_softmax",
    .n_inputs = 1,
    .n_required = 1,
    .keeps = LODE_KEEP_Y,
    .infer = softmax_infer,
    .reference = {.forward = log_softmax_forward, .backward = log_softmax_backward},
    .count = softmax_count,
    .example = softmax_example,
};

lode_var *lode_softmax(lode_tape *t, lode_var *x) {
    return lode_apply(t, &lode_op_softmax, &x, 1, NULL);
}

lode_var *lode_log_softmax(lode_tape *t, lode_var *x) {
    return lode_apply(t, &lode_op_log_softmax, &x, 1, NULL);
}
