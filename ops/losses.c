/* losses.c   cross_entropy, kl_div, mse: means over the batch, a scalar each.

   cross_entropy: R rows of K classes, q the wanted distribution, p = softmax(x):

       loss = (1/R') sum_r -sum_k q_rk ln p_rk       dx_rk = dy (p_rk sum_j q_rj - q_rk) / R'

   q = (1-e) onehot(label) + e/K (label smoothing, Szegedy et al. 2016) or (1-e) target + e/K; R'
   counts the rows whose label is not negative. All rows ignored: loss and gradient are 0.

   kl_div (Hinton et al. 2015): P, Q = softmax of teacher / T and student / T,

       loss = T^2 (1/R) sum_r sum_k P_rk (ln P_rk - ln Q_rk)    dstudent_rk = dy T (Q_rk - P_rk) / R

   where T^2 keeps the gradient's size when T changes. */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/softmax_internal.h"

#include <math.h>
#include <stdio.h>

static int64_t loss_classes(const lode_tensor *x) { return x->shape.dim[x->shape.n_dims - 1]; }

static int64_t loss_rows(const lode_tensor *x) {
    lode_shape rows = x->shape;
    rows.n_dims--;
    return lode_shape_count(&rows);
}

static lode_status loss_check_classes(const lode_op_call *c) {
    if (c->x[0]->shape.n_dims >= 1 && loss_classes(c->x[0]) >= 1) return LODE_OK;
    return LODE_FAIL(LODE_ERR_SHAPE, "%s: the first input must have a last dim of classes",
                     c->op->name);
}

/* ---- cross entropy ---- */

/* Either one label per row, or K target values per row. */
typedef struct cross_entropy_dims {
    int64_t R, K;
    const double *labels, *targets;
    double smoothing;
} cross_entropy_dims;

static cross_entropy_dims cross_entropy_dims_of(lode_ref *r, const lode_op_call *c) {
    const lode_cross_entropy_params *p = c->params;
    cross_entropy_dims d = {.smoothing = p->smoothing};
    d.K = loss_classes(c->aux[0]);
    d.R = loss_rows(c->aux[0]);
    const double *wanted = lode_ref_in(r, c->x[1]);
    if (lode_dtype_is_float(c->x[1]->dtype))
        d.targets = wanted;
    else
        d.labels = wanted;
    return d;
}

static double cross_entropy_wanted(const cross_entropy_dims *d, int64_t row, int64_t k) {
    double q = d->labels != NULL ? d->labels[row] == (double)k : d->targets[row * d->K + k];
    return (1 - d->smoothing) * q + d->smoothing / (double)d->K;
}

static bool cross_entropy_ignores(const cross_entropy_dims *d, int64_t row) {
    return d->labels != NULL && d->labels[row] < 0;
}

static double cross_entropy_n(const cross_entropy_dims *d) {
    double n = 0;
    for (int64_t row = 0; row < d->R; row++) n += !cross_entropy_ignores(d, row);
    return n;
}

lode_status lode_cross_entropy_wrong_label(double label, int64_t row, int64_t K) {
    return LODE_FAIL(LODE_ERR_DATA,
                     "cross_entropy: label %.0f in row %lld, but there are %lld classes", label,
                     (long long)row, (long long)K);
}

static lode_status cross_entropy_check_labels(const cross_entropy_dims *d) {
    for (int64_t row = 0; d->labels != NULL && row < d->R; row++)
        if (d->labels[row] >= (double)d->K)
            return lode_cross_entropy_wrong_label(d->labels[row], row, d->K);
    return LODE_OK;
}

static lode_status cross_entropy_forward(const lode_op_call *c) {
    lode_ref r = {0};
    cross_entropy_dims d = cross_entropy_dims_of(&r, c);
    const double *x = lode_ref_in(&r, c->x[0]);
    double *p = lode_ref_out(&r, c->aux[0]), *y = lode_ref_out(&r, c->y);
    if (lode_ref_ok(&r)) lode_ref_fail(&r, cross_entropy_check_labels(&d));
    for (int64_t row = 0; lode_ref_ok(&r) && row < d.R; row++) {
        const double *xr = x + row * d.K;
        double s = lode_softmax_row(xr, d.K, 1, p + row * d.K);
        if (cross_entropy_ignores(&d, row)) continue;
        for (int64_t k = 0; k < d.K; k++) y[0] += cross_entropy_wanted(&d, row, k) * (s - xr[k]);
    }
    if (lode_ref_ok(&r)) y[0] /= fmax(1, cross_entropy_n(&d));
    return lode_ref_end(&r);
}

static lode_status cross_entropy_backward(const lode_op_call *c, const lode_tensor *dy,
                                          lode_tensor *const *dx) {
    lode_ref r = {0};
    cross_entropy_dims d = cross_entropy_dims_of(&r, c);
    const double *p = lode_ref_in(&r, c->aux[0]), *g = lode_ref_in(&r, dy);
    double *gx = lode_ref_out(&r, dx[0]);
    lode_ref_out(&r, dx[1]); /* targets are given: 0 */
    if (!lode_ref_ok(&r) || gx == NULL) return lode_ref_end(&r);
    double scale = g[0] / fmax(1, cross_entropy_n(&d));
    for (int64_t row = 0; row < d.R; row++) {
        if (cross_entropy_ignores(&d, row)) continue;
        double sum = 0;
        for (int64_t k = 0; k < d.K; k++) sum += cross_entropy_wanted(&d, row, k);
        for (int64_t k = 0; k < d.K; k++)
            gx[row * d.K + k] = scale * (p[row * d.K + k] * sum - cross_entropy_wanted(&d, row, k));
    }
    return lode_ref_end(&r);
}

static lode_status cross_entropy_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_cross_entropy_params *p = c->params;
    LODE_TRY(lode_check_float(c, 0, "x"));
    LODE_TRY(loss_check_classes(c));
    lode_shape labels = c->x[0]->shape;
    if (lode_dtype_is_float(c->x[1]->dtype)) {
        LODE_TRY(lode_check_float(c, 1, "targets"));
        LODE_TRY(lode_check_shape(c, 1, "targets", &labels));
    } else {
        labels.n_dims--;
        LODE_TRY(lode_check_index(c, 1, "labels"));
        LODE_TRY(lode_check_shape(c, 1, "labels", &labels));
    }
    if (!(p->smoothing >= 0 && p->smoothing <= 1))
        return LODE_FAIL(LODE_ERR_INVALID, "cross_entropy: smoothing %g must be in 0..1",
                         p->smoothing);
    lode_infer_y(out, c->x[0]->dtype, &LODE_SCALAR);
    lode_infer_aux(out, c->x[0]->dtype, &c->x[0]->shape);
    return LODE_OK;
}

static void loss_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = 7.0 * (double)lode_tensor_count(c->x[0]); /* softmax 5, times q, sum */
}

static void cross_entropy_print(const void *params, char out[96]) {
    const lode_cross_entropy_params *p = params;
    if (p->smoothing > 0) snprintf(out, 96, "smooth");
}

/* K values that sum to one, per row. */
static lode_status cross_entropy_example_targets(lode_op_example *e, lode_rng *rng, lode_shape x) {
    LODE_TRY(lode_example_uniform(e, rng, x, 0.1, 1));
    lode_example_constant(e);
    lode_tensor *t = e->x[e->n_x - 1];
    int64_t K = loss_classes(t), n = lode_tensor_count(t);
    for (int64_t i = 0; i < n; i += K) {
        double sum = 0;
        for (int64_t k = i; k < i + K; k++) sum += lode_at(t, k);
        for (int64_t k = i; k < i + K; k++) lode_put(t, k, lode_at(t, k) / sum);
    }
    return LODE_OK;
}

static lode_status cross_entropy_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape x;
        int soft;
        double smoothing;
    } corner[] = {
        {{2, {4, 10}}, 0, 0}, {{2, {4, 10}}, 0, 0.1}, {{2, {3, 5}}, 1, 0},    {{2, {3, 5}}, 1, 0.2},
        {{2, {1, 2}}, 0, 0},  {{2, {5, 1}}, 0, 0.1},  {{3, {2, 3, 7}}, 0, 0},
    };
    lode_shape x = LODE_SHAPE2(lode_example_between(rng, 1, 9), lode_example_between(rng, 1, 40));
    lode_cross_entropy_params p = {lode_rng_below(rng, 2) == 0 ? 0 : 0.1};
    bool soft = lode_rng_below(rng, 3) == 0;
    if (k < (int)(sizeof corner / sizeof *corner)) {
        x = corner[k].x;
        p.smoothing = corner[k].smoothing;
        soft = corner[k].soft;
    }
    LODE_TRY(lode_example_any_layout(e, rng, x, k));
    lode_example_fill(e->x[0], rng, -3, 3);
    lode_example_set_params(e, &p, sizeof p);
    if (soft) return cross_entropy_example_targets(e, rng, x);
    lode_shape rows = x;
    rows.n_dims--;
    LODE_TRY(
        lode_example_index(e, rng, k % 2 == 0 ? LODE_S32 : LODE_S64, rows, 0, x.dim[x.n_dims - 1]));
    if (k % 3 == 1) lode_put(e->x[1], 0, -1); /* a row to ignore */
    return LODE_OK;
}

const lode_op lode_op_cross_entropy = {
    .name = "cross_entropy",
    .n_inputs = 2,
    .n_required = 2,
    .params_size = sizeof(lode_cross_entropy_params),
    .keeps = LODE_KEEP_X(1),
    .infer = cross_entropy_infer,
    .reference = {.forward = cross_entropy_forward, .backward = cross_entropy_backward},
    .count = loss_count,
    .example = cross_entropy_example,
    .print_params = cross_entropy_print,
};

lode_var *lode_cross_entropy(lode_tape *t, lode_var *x, lode_var *labels, double smoothing) {
    return lode_apply(t, &lode_op_cross_entropy, (lode_var *[]){x, labels}, 2,
                      &(lode_cross_entropy_params){smoothing});
}

/* ---- distillation: x[0] student, x[1] teacher ---- */

static lode_status kl_div_forward(const lode_op_call *c) {
    const lode_kl_div_params *p = c->params;
    lode_ref r = {0};
    double T = p->temperature;
    int64_t K = loss_classes(c->x[0]), R = loss_rows(c->x[0]);
    const double *student = lode_ref_in(&r, c->x[0]), *teacher = lode_ref_in(&r, c->x[1]);
    double *y = lode_ref_out(&r, c->y), *P = lode_ref_scratch(&r, K), *Q = lode_ref_scratch(&r, K);
    for (int64_t row = 0; lode_ref_ok(&r) && row < R; row++) {
        const double *s = student + row * K, *t = teacher + row * K;
        double ls = lode_softmax_row(s, K, T, Q), lt = lode_softmax_row(t, K, T, P);
        for (int64_t k = 0; k < K; k++) /* P = 0 where its logarithm is out of reach: 0 ln 0 = 0 */
            if (P[k] > 0) y[0] += P[k] * ((t[k] / T - lt) - (s[k] / T - ls));
    }
    if (lode_ref_ok(&r)) y[0] *= T * T / fmax(1, (double)R);
    return lode_ref_end(&r);
}

static lode_status kl_div_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx) {
    const lode_kl_div_params *p = c->params;
    lode_ref r = {0};
    int64_t K = loss_classes(c->x[0]), R = loss_rows(c->x[0]);
    const double *student = lode_ref_in(&r, c->x[0]), *teacher = lode_ref_in(&r, c->x[1]);
    const double *g = lode_ref_in(&r, dy);
    double *gx = lode_ref_out(&r, dx[0]), *P = lode_ref_scratch(&r, K);
    double *Q = lode_ref_scratch(&r, K);
    lode_ref_out(&r, dx[1]); /* no gradient to the teacher: 0 */
    for (int64_t row = 0; lode_ref_ok(&r) && gx != NULL && row < R; row++) {
        lode_softmax_row(student + row * K, K, p->temperature, Q);
        lode_softmax_row(teacher + row * K, K, p->temperature, P);
        for (int64_t k = 0; k < K; k++)
            gx[row * K + k] = g[0] * p->temperature * (Q[k] - P[k]) / (double)R;
    }
    return lode_ref_end(&r);
}

static lode_status kl_div_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_kl_div_params *p = c->params;
    LODE_TRY(lode_check_float(c, 0, "student"));
    LODE_TRY(lode_check_float(c, 1, "teacher"));
    LODE_TRY(loss_check_classes(c));
    LODE_TRY(lode_check_shape(c, 1, "teacher", &c->x[0]->shape));
    if (!(p->temperature > 0))
        return LODE_FAIL(LODE_ERR_INVALID, "kl_div: temperature %g must be positive",
                         p->temperature);
    lode_infer_y(out, c->x[0]->dtype, &LODE_SCALAR);
    return LODE_OK;
}

static void kl_div_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = 16.0 * (double)lode_tensor_count(c->x[0]); /* two softmaxes with T: 12; 4 more */
}

static lode_status loss_example_pair(lode_op_example *e, lode_rng *rng, int k) {
    static const lode_shape corner[] = {{2, {3, 5}}, {2, {1, 2}}, {1, {6}}, {3, {2, 2, 17}}};
    lode_shape x = LODE_SHAPE2(lode_example_between(rng, 1, 9), lode_example_between(rng, 1, 40));
    if (k < (int)(sizeof corner / sizeof *corner)) x = corner[k];
    LODE_TRY(lode_example_any_layout(e, rng, x, k));
    return lode_example_any_layout(e, rng, x, k + 2);
}

static lode_status kl_div_example(lode_op_example *e, lode_rng *rng, int k) {
    lode_kl_div_params p = {k % 2 == 0 ? 1 : 3.5};
    lode_example_set_params(e, &p, sizeof p);
    LODE_TRY(loss_example_pair(e, rng, k));
    lode_example_constant(e);
    return LODE_OK;
}

const lode_op lode_op_kl_div = {
    .name = "kl_div",
    .n_inputs = 2,
    .n_required = 2,
    .params_size = sizeof(lode_kl_div_params),
    .keeps = LODE_KEEP_X(0) | LODE_KEEP_X(1),
    .infer = kl_div_infer,
    .reference = {.forward = kl_div_forward, .backward = kl_div_backward},
    .count = kl_div_count,
    .example = kl_div_example,
};

lode_var *lode_kl_div(lode_tape *t, lode_var *student, lode_var *teacher, double temperature) {
    return lode_apply(t, &lode_op_kl_div, (lode_var *[]){student, teacher}, 2,
                      &(lode_kl_div_params){temperature});
}

/* ---- mean squared error: mean (x - target)^2 over all elements ---- */

static lode_status mse_forward(const lode_op_call *c) {
    lode_ref r = {0};
    int64_t n = lode_tensor_count(c->x[0]);
    const double *a = lode_ref_in(&r, c->x[0]), *b = lode_ref_in(&r, c->x[1]);
    double *y = lode_ref_out(&r, c->y);
    for (int64_t i = 0; lode_ref_ok(&r) && i < n; i++)
        y[0] += (a[i] - b[i]) * (a[i] - b[i]) / (double)n;
    return lode_ref_end(&r);
}

static lode_status mse_backward(const lode_op_call *c, const lode_tensor *dy,
                                lode_tensor *const *dx) {
    lode_ref r = {0};
    int64_t n = lode_tensor_count(c->x[0]);
    const double *a = lode_ref_in(&r, c->x[0]), *b = lode_ref_in(&r, c->x[1]);
    const double *g = lode_ref_in(&r, dy);
    double *ga = lode_ref_out(&r, dx[0]), *gb = lode_ref_out(&r, dx[1]);
    for (int64_t i = 0; lode_ref_ok(&r) && i < n; i++) {
        double d = g[0] * 2 * (a[i] - b[i]) / (double)n;
        if (ga != NULL) ga[i] = d;
        if (gb != NULL) gb[i] = -d;
    }
    return lode_ref_end(&r);
}

static lode_status mse_infer(const lode_op_call *c, lode_inferred *out) {
    LODE_TRY(lode_check_float(c, 0, "x"));
    LODE_TRY(lode_check_float(c, 1, "target"));
    LODE_TRY(lode_check_shape(c, 1, "target", &c->x[0]->shape));
    lode_infer_y(out, c->x[0]->dtype, &LODE_SCALAR);
    return LODE_OK;
}

static void mse_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = 3.0 * (double)lode_tensor_count(c->x[0]);
}

const lode_op lode_op_mse = {
    .name = "mse",
    .n_inputs = 2,
    .n_required = 2,
    .keeps = LODE_KEEP_X(0) | LODE_KEEP_X(1),
    .infer = mse_infer,
    .reference = {.forward = mse_forward, .backward = mse_backward},
    .count = mse_count,
    .example = loss_example_pair,
};

lode_var *lode_mse(lode_tape *t, lode_var *x, lode_var *target) {
    return lode_apply(t, &lode_op_mse, (lode_var *[]){x, target}, 2, NULL);
}
