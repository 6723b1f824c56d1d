/* norm.c   batch_norm (Ioffe & Szegedy 2015) and layer_norm (Ba et al. 2016).

       xhat = (x - mean) / sqrt(var + eps)        y = gamma xhat + beta

   Both take mean and var over a set of values: batch_norm over all values of a channel, layer_norm
   over the last dim. With r = 1/sqrt(var + eps), n values in the set, and g = gamma dy,

       dx     = r (g - sum(g)/n - xhat sum(g xhat)/n)      statistics of the batch
       dx     = r g                                        running statistics: constants
       dgamma = sum(dy xhat)      dbeta = sum(dy)

   batch_norm may apply an activation to its y: then dy is times its slope first.

   aux: mean and r, which is all that backward needs beside x and gamma. The variance is the mean of
   squared deviations from the mean (two passes), never E[x^2] - E[x]^2, which cancels. */
#include "ops/example_internal.h"
#include "ops/op_util.h"

#include <math.h>
#include <stdio.h>

enum { NORM_X, NORM_GAMMA, NORM_BETA, NORM_MEAN, NORM_VAR };

static const lode_tensor *norm_input(const lode_op_call *c, int i) {
    return i < c->n_x ? c->x[i] : NULL;
}

/* Statistics keep a float's precision even when x is bf16. */
static lode_dtype norm_aux_dtype(lode_dtype x) { return x == LODE_F64 ? LODE_F64 : LODE_F32; }

/* Values of one set are at v[i*outer + j], i < n_outer, j < n_inner. */
typedef struct norm_set {
    int64_t n_outer, outer, n_inner;
} norm_set;

static double norm_mean(const norm_set *s, const double *v) {
    double sum = 0;
    for (int64_t i = 0; i < s->n_outer; i++)
        for (int64_t j = 0; j < s->n_inner; j++) sum += v[i * s->outer + j];
    return sum / (double)(s->n_outer * s->n_inner);
}

static double norm_variance(const norm_set *s, const double *v, double mean) {
    double sum = 0;
    for (int64_t i = 0; i < s->n_outer; i++)
        for (int64_t j = 0; j < s->n_inner; j++) {
            double off = v[i * s->outer + j] - mean;
            sum += off * off;
        }
    return sum / (double)(s->n_outer * s->n_inner);
}

/* ---- batch_norm: x [N,C,H,W] or [N,C]; P pixels ---- */

typedef struct batch_norm_dims {
    int64_t N, C, P;
    norm_set set;
} batch_norm_dims;

static batch_norm_dims batch_norm_dims_of(const lode_op_call *c) {
    const lode_shape *x = &c->x[0]->shape;
    batch_norm_dims d = {.N = x->dim[0], .C = x->dim[1], .P = 1};
    if (x->n_dims == 4) d.P = x->dim[2] * x->dim[3];
    d.set = (norm_set){d.N, d.C * d.P, d.P};
    return d;
}

static double batch_norm_blend(double running, double seen, double momentum) {
    return (1 - momentum) * running + momentum * seen;
}

static lode_status batch_norm_forward(const lode_op_call *c) {
    const lode_batch_norm_params *p = c->params;
    batch_norm_dims d = batch_norm_dims_of(c);
    bool update = p->use_batch && p->update_running && !c->repeated && d.N * d.P > 0;
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[NORM_X]);
    const double *gamma = lode_ref_in(&r, norm_input(c, NORM_GAMMA));
    const double *beta = lode_ref_in(&r, norm_input(c, NORM_BETA));
    double *y = lode_ref_out(&r, c->y);
    double *mean_aux = lode_ref_out(&r, c->aux[0]), *rstd_aux = lode_ref_out(&r, c->aux[1]);
    bool running = c->n_x > NORM_VAR;
    double *mean_run = NULL, *var_run = NULL;
    if (running && (update || !p->use_batch)) {
        mean_run = lode_ref_inout(&r, c->x[NORM_MEAN]);
        var_run = lode_ref_inout(&r, c->x[NORM_VAR]);
    }
    for (int64_t ch = 0; lode_ref_ok(&r) && ch < d.C; ch++) {
        const double *xc = x + ch * d.P;
        double mean = p->use_batch ? norm_mean(&d.set, xc) : mean_run[ch];
        double var = p->use_batch ? norm_variance(&d.set, xc, mean) : var_run[ch];
        double rstd = 1 / sqrt(var + p->eps), n = (double)(d.N * d.P);
        double a = rstd * (gamma != NULL ? gamma[ch] : 1), b = beta != NULL ? beta[ch] : 0;
        for (int64_t i = 0; i < d.N; i++)
            for (int64_t j = 0; j < d.P; j++) {
                int64_t at = (i * d.C + ch) * d.P + j;
                y[at] = lode_act_value((lode_act)p->act, a * (x[at] - mean) + b);
            }
        if (mean_aux != NULL) mean_aux[ch] = mean;
        if (rstd_aux != NULL) rstd_aux[ch] = rstd;
        if (update && mean_run != NULL)
            mean_run[ch] = batch_norm_blend(mean_run[ch], mean, p->momentum);
        /* One value says nothing about a spread: its unbiased variance would be 0/0. */
        if (update && var_run != NULL && n > 1)
            var_run[ch] = batch_norm_blend(var_run[ch], var * n / (n - 1), p->momentum);
    }
    return lode_ref_end(&r);
}

static lode_status batch_norm_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx) {
    const lode_batch_norm_params *p = c->params;
    batch_norm_dims d = batch_norm_dims_of(c);
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[NORM_X]), *g = lode_ref_in(&r, dy);
    const double *gamma = lode_ref_in(&r, norm_input(c, NORM_GAMMA));
    const double *beta = p->act ? lode_ref_in(&r, norm_input(c, NORM_BETA)) : NULL;
    const double *mean = lode_ref_in(&r, c->aux[0]), *rstd = lode_ref_in(&r, c->aux[1]);
    double *gu = lode_ref_scratch(&r, d.N * d.C * d.P); /* behind the activation */
    double *gx = lode_ref_out(&r, dx[0]), *out[5] = {NULL};
    for (int i = 1; i < c->n_x; i++) out[i] = lode_ref_out(&r, dx[i]); /* running ones stay 0 */
    double n = (double)(d.N * d.P);
    for (int64_t ch = 0; lode_ref_ok(&r) && ch < d.C; ch++) {
        double sum = 0, sum_xhat = 0, scale = rstd[ch] * (gamma != NULL ? gamma[ch] : 1);
        for (int64_t i = 0; i < d.N; i++)
            for (int64_t j = 0; j < d.P; j++) {
                int64_t at = (i * d.C + ch) * d.P + j;
                double u = scale * (x[at] - mean[ch]) + (beta != NULL ? beta[ch] : 0);
                gu[at] = g[at] * lode_act_slope((lode_act)p->act, u);
                sum += gu[at];
                sum_xhat += gu[at] * (x[at] - mean[ch]) * rstd[ch];
            }
        if (out[NORM_GAMMA] != NULL) out[NORM_GAMMA][ch] = sum_xhat;
        if (out[NORM_BETA] != NULL) out[NORM_BETA][ch] = sum;
        if (!p->use_batch) sum = sum_xhat = 0;
        for (int64_t i = 0; gx != NULL && i < d.N; i++)
            for (int64_t j = 0; j < d.P; j++) {
                int64_t at = (i * d.C + ch) * d.P + j;
                double xhat = (x[at] - mean[ch]) * rstd[ch];
                gx[at] = scale * (gu[at] - (sum + xhat * sum_xhat) / n);
            }
    }
    return lode_ref_end(&r);
}

static lode_status batch_norm_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_batch_norm_params *p = c->params;
    static const char *const input[] = {"x", "gamma", "beta", "mean_run", "var_run"};
    const lode_shape *x = &c->x[0]->shape;
    char text[128];
    if (x->n_dims != 4 && x->n_dims != 2)
        return LODE_FAIL(LODE_ERR_SHAPE, "batch_norm: x is %s, but [N,C,H,W] or [N,C] is wanted",
                         lode_shape_print(x, text));
    lode_shape per_channel = LODE_SHAPE1(x->dim[1]);
    LODE_TRY(lode_check_float(c, 0, "x"));
    for (int i = 1; i < 5; i++) {
        const lode_tensor *t = norm_input(c, i);
        /* Statistics may be kept in f32 while x is bf16. */
        if (t != NULL && t->dtype != norm_aux_dtype(c->x[0]->dtype))
            LODE_TRY(lode_check_float(c, i, input[i]));
        LODE_TRY(lode_check_shape(c, i, input[i], &per_channel));
    }
    if (!p->use_batch && (norm_input(c, NORM_MEAN) == NULL || norm_input(c, NORM_VAR) == NULL))
        return LODE_FAIL(LODE_ERR_INVALID, "batch_norm: without batch statistics (use_batch = 0) "
                                           "mean_run and var_run must be given");
    if (!(p->eps >= 0) || !(p->momentum >= 0 && p->momentum <= 1))
        return LODE_FAIL(LODE_ERR_INVALID,
                         "batch_norm: eps %g must not be negative and momentum %g must be in 0..1",
                         p->eps, p->momentum);
    if (p->act < LODE_ACT_NONE || p->act > LODE_ACT_SWISH)
        return LODE_FAIL(LODE_ERR_INVALID, "batch_norm: act %d is no lode_act", p->act);
    lode_infer_y(out, c->x[0]->dtype, x);
    lode_infer_aux(out, norm_aux_dtype(c->x[0]->dtype), &per_channel);
    lode_infer_aux(out, norm_aux_dtype(c->x[0]->dtype), &per_channel);
    return LODE_OK;
}

/* A multiply and an add per value; the statistics cost an add, then subtract, square, add. */
static void batch_norm_count(const lode_op_call *c, lode_op_count *out) {
    const lode_batch_norm_params *p = c->params;
    lode_count_copy(c, out);
    out->flops =
        ((p->use_batch ? 6.0 : 2.0) + (p->act ? 1.0 : 0.0)) * (double)lode_tensor_count(c->y);
}

/* The small ones are left out: they change no cost. */
static void batch_norm_print(const void *params, char out[96]) {
    const lode_batch_norm_params *p = params;
    static const char *const act[] = {"", " relu", " relu6", " hswish", " swish"};
    bool known = p->act >= 0 && p->act <= LODE_ACT_SWISH;
    snprintf(out, 96, "%s%s", p->use_batch ? "batch" : "running", known ? act[p->act] : " ?");
}

/* How near the arguments of the activation come to a kink. */
static lode_status batch_norm_distance(const lode_op_example *e, double *out) {
    lode_tensor *x[5];
    for (int i = 0; i < 5; i++) x[i] = e->x[i];
    lode_op_call c = {.op = &lode_op_batch_norm, .params = e->params.bytes, .n_x = 5, .x = x};
    const lode_batch_norm_params *p = c.params;
    batch_norm_dims d = batch_norm_dims_of(&c);
    lode_ref r = {0};
    const double *v[5];
    for (int i = 0; i < 5; i++) v[i] = lode_ref_in(&r, x[i]);
    *out = INFINITY;
    for (int64_t k = 0; lode_ref_ok(&r) && k < d.N * d.C * d.P; k++) {
        int64_t ch = k / d.P % d.C;
        const double *xc = v[NORM_X] + ch * d.P;
        double mean = p->use_batch ? norm_mean(&d.set, xc) : v[NORM_MEAN][ch];
        double var = p->use_batch ? norm_variance(&d.set, xc, mean) : v[NORM_VAR][ch];
        double u = (v[NORM_X][k] - mean) / sqrt(var + p->eps);
        if (v[NORM_GAMMA] != NULL) u *= v[NORM_GAMMA][ch];
        if (v[NORM_BETA] != NULL) u += v[NORM_BETA][ch];
        *out = fmin(*out, lode_act_kink_distance((lode_act)p->act, u));
    }
    return lode_ref_end(&r);
}

static lode_status batch_norm_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape x;
        int affine, running;
        lode_batch_norm_params p;
    } corner[] = {{{4, {3, 4, 3, 2}}, 1, 1, {1e-5, 0.1, 1, 1, 0, 0}},
                  {{4, {2, 3, 2, 2}}, 1, 1, {1e-3, 0.1, 0, 0, 0, 0}},
                  {{4, {2, 5, 3, 3}}, 0, 0, {1e-5, 0.1, 1, 0, 0, 0}},
                  {{2, {6, 5}}, 1, 1, {1e-5, 0.01, 1, 1, 0, 0}},
                  {{2, {3, 4}}, 0, 1, {1e-5, 0.1, 0, 0, 0, 0}},
                  {{4, {1, 17, 4, 4}}, 1, 0, {1e-5, 0.1, 1, 0, 0, 0}},
                  {{4, {2, 33, 1, 3}}, 0, 1, {1e-5, 0.1, 1, 1, 0, 0}}};
    const int n_corner = (int)(sizeof corner / sizeof *corner);
    bool image = lode_rng_below(rng, 4) != 0;
    lode_shape x = {image ? 4 : 2,
                    {lode_example_between(rng, 3, 6), lode_example_between(rng, 1, 40),
                     lode_example_between(rng, 1, 6), lode_example_between(rng, 1, 6)}};
    lode_batch_norm_params p = {1e-5, 0.1, (int32_t)lode_rng_below(rng, 2), 1, 0, 0};
    bool affine = lode_rng_below(rng, 3) != 0, running = !p.use_batch || lode_rng_below(rng, 2);
    if (k < n_corner) {
        x = corner[k].x;
        p = corner[k].p;
        affine = corner[k].affine;
        running = corner[k].running;
    }
    lode_shape per_channel = LODE_SHAPE1(x.dim[1]);
    LODE_TRY(lode_example_any_layout(e, rng, x, k));
    for (int i = NORM_GAMMA; i <= NORM_BETA; i++) {
        if (affine)
            LODE_TRY(lode_example_uniform(e, rng, per_channel, -1.5, 1.5));
        else
            LODE_TRY(lode_example_absent(e));
    }
    for (int i = NORM_MEAN; i <= NORM_VAR; i++) {
        if (running)
            LODE_TRY(lode_example_uniform(e, rng, per_channel, i == NORM_VAR ? 0.5 : -1, 2));
        else
            LODE_TRY(lode_example_absent(e));
        lode_example_constant(e);
    }
    if (k % 2 == 0) p.act = k / 2 % (LODE_ACT_SWISH + 1);
    lode_example_set_params(e, &p, sizeof p);
    for (int tries = 0; tries < 100; tries++) { /* until no difference crosses a kink */
        double distance = 0;
        LODE_TRY(batch_norm_distance(e, &distance));
        if (distance > 5e-4) break;
        lode_example_fill(e->x[NORM_X], rng, -2, 2);
    }
    return LODE_OK;
}

const lode_op lode_op_batch_norm = {
    .name = "batch_norm",
    .n_inputs = 5,
    .n_required = 1,
    .params_size = sizeof(lode_batch_norm_params),
    .keeps = LODE_KEEP_X(NORM_X) | LODE_KEEP_X(NORM_GAMMA) | LODE_KEEP_X(NORM_BETA),
    .infer = batch_norm_infer,
    .reference = {.forward = batch_norm_forward, .backward = batch_norm_backward},
    .count = batch_norm_count,
    .example = batch_norm_example,
    .print_params = batch_norm_print,
};

lode_var *lode_batch_norm(lode_tape *t, lode_var *x, lode_var *gamma, lode_var *beta,
                          lode_var *mean_run, lode_var *var_run, lode_batch_norm_params p) {
    return lode_apply(t, &lode_op_batch_norm, (lode_var *[]){x, gamma, beta, mean_run, var_run}, 5,
                      &p);
}

/* ---- layer_norm: x [..., D] as R rows of D ---- */

static lode_status layer_norm_forward(const lode_op_call *c) {
    const lode_layer_norm_params *p = c->params;
    const lode_shape *s = &c->x[0]->shape;
    int64_t D = s->dim[s->n_dims - 1], R = D > 0 ? lode_shape_count(s) / D : 0;
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[NORM_X]);
    const double *gamma = lode_ref_in(&r, norm_input(c, NORM_GAMMA));
    const double *beta = lode_ref_in(&r, norm_input(c, NORM_BETA));
    double *y = lode_ref_out(&r, c->y);
    double *mean_aux = lode_ref_out(&r, c->aux[0]), *rstd_aux = lode_ref_out(&r, c->aux[1]);
    for (int64_t i = 0; lode_ref_ok(&r) && i < R; i++) {
        norm_set row = {1, 0, D};
        double mean = norm_mean(&row, x + i * D), var = norm_variance(&row, x + i * D, mean);
        double rstd = 1 / sqrt(var + p->eps);
        for (int64_t j = 0; j < D; j++) {
            double xhat = (x[i * D + j] - mean) * rstd;
            y[i * D + j] = xhat * (gamma != NULL ? gamma[j] : 1) + (beta != NULL ? beta[j] : 0);
        }
        if (mean_aux != NULL) mean_aux[i] = mean;
        if (rstd_aux != NULL) rstd_aux[i] = rstd;
    }
    return lode_ref_end(&r);
}

static lode_status layer_norm_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx) {
    const lode_shape *s = &c->x[0]->shape;
    int64_t D = s->dim[s->n_dims - 1], R = D > 0 ? lode_shape_count(s) / D : 0;
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[NORM_X]), *g = lode_ref_in(&r, dy);
    const double *gamma = lode_ref_in(&r, norm_input(c, NORM_GAMMA));
    const double *mean = lode_ref_in(&r, c->aux[0]), *rstd = lode_ref_in(&r, c->aux[1]);
    double *gx = lode_ref_out(&r, dx[0]);
    double *ggamma = c->n_x > 1 ? lode_ref_out(&r, dx[1]) : NULL;
    double *gbeta = c->n_x > 2 ? lode_ref_out(&r, dx[2]) : NULL;
    for (int64_t i = 0; lode_ref_ok(&r) && i < R; i++) {
        double sum = 0, sum_xhat = 0;
        for (int64_t j = 0; j < D; j++) {
            double xhat = (x[i * D + j] - mean[i]) * rstd[i], d = g[i * D + j];
            if (ggamma != NULL) ggamma[j] += d * xhat;
            if (gbeta != NULL) gbeta[j] += d;
            if (gamma != NULL) d *= gamma[j];
            sum += d;
            sum_xhat += d * xhat;
        }
        for (int64_t j = 0; gx != NULL && j < D; j++) {
            double xhat = (x[i * D + j] - mean[i]) * rstd[i];
            double d = g[i * D + j] * (gamma != NULL ? gamma[j] : 1);
            gx[i * D + j] = rstd[i] * (d - (sum + xhat * sum_xhat) / (double)D);
        }
    }
    return lode_ref_end(&r);
}

static lode_status layer_norm_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_shape *x = &c->x[0]->shape;
    if (x->n_dims < 1)
        return LODE_FAIL(LODE_ERR_SHAPE, "layer_norm: x is a scalar, at least one dim is wanted");
    lode_shape rows = *x, per_column = LODE_SHAPE1(x->dim[x->n_dims - 1]);
    rows.n_dims--;
    rows = LODE_SHAPE1(lode_shape_count(&rows));
    for (int i = 0; i < 3; i++)
        LODE_TRY(lode_check_float(c, i, (const char *[]){"x", "gamma", "beta"}[i]));
    LODE_TRY(lode_check_shape(c, NORM_GAMMA, "gamma", &per_column));
    LODE_TRY(lode_check_shape(c, NORM_BETA, "beta", &per_column));
    lode_infer_y(out, c->x[0]->dtype, x);
    lode_infer_aux(out, norm_aux_dtype(c->x[0]->dtype), &rows);
    lode_infer_aux(out, norm_aux_dtype(c->x[0]->dtype), &rows);
    return LODE_OK;
}

static void layer_norm_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = 8.0 * (double)lode_tensor_count(c->y); /* statistics 4, xhat 2, affine 2 */
}

static lode_status layer_norm_example(lode_op_example *e, lode_rng *rng, int k) {
    static const lode_shape corner[] = {
        {2, {3, 5}}, {1, {4}}, {3, {2, 3, 7}}, {2, {1, 33}}, {4, {2, 2, 3, 6}}};
    const int n_corner = (int)(sizeof corner / sizeof *corner);
    lode_shape x = LODE_SHAPE2(lode_example_between(rng, 1, 6), lode_example_between(rng, 3, 40));
    if (k < n_corner) x = corner[k];
    lode_shape per_column = LODE_SHAPE1(x.dim[x.n_dims - 1]);
    lode_layer_norm_params p = {1e-5};
    LODE_TRY(lode_example_any_layout(e, rng, x, k));
    for (int i = 1; i < 3; i++) { /* every third: gamma alone; every fourth: none */
        if (k % 4 != 1 && (i == 1 || k % 3 != 2))
            LODE_TRY(lode_example_uniform(e, rng, per_column, -1.5, 1.5));
        else
            LODE_TRY(lode_example_absent(e));
    }
    lode_example_set_params(e, &p, sizeof p);
    return LODE_OK;
}

const lode_op lode_op_layer_norm = {
    .name = "layer_norm",
    .n_inputs = 3,
    .n_required = 1,
    .params_size = sizeof(lode_layer_norm_params),
    .keeps = LODE_KEEP_X(NORM_X) | LODE_KEEP_X(NORM_GAMMA),
    .infer = layer_norm_infer,
    .reference = {.forward = layer_norm_forward, .backward = layer_norm_backward},
    .count = layer_norm_count,
    .example = layer_norm_example,
};

lode_var *lode_layer_norm(lode_tape *t, lode_var *x, lode_var *gamma, lode_var *beta, double eps) {
    return lode_apply(t, &lode_op_layer_norm, (lode_var *[]){x, gamma, beta}, 3,
                      &(lode_layer_norm_params){eps});
}
