/* mixture.c   weighted_sum: y = sum_k w[k] o_k, or per sample y[n] = sum_k w[n,k] o_k[n].

   The mixture of a searchable layer (DARTS, Liu et al. 2019; per sample: FBNet with noise drawn for
   each image, Wu et al. 2019). Options that do not run in a step (a hard gate closed them) are
   absent: `present` has a bit for each k, and the inputs are w and then the o_k that are there. An
   absent one is zero, so its weight gets no gradient.

       do_k = w[k] dy        dw[k] = <dy, o_k>        per sample: the same within each n */
#include "ops/example_internal.h"
#include "ops/op_util.h"

#include <stdio.h>

/* S slices of M elements each get one weight: 1 slice, or one per sample. */
typedef struct mixture_dims {
    int64_t S, M;
    int K;
    uint64_t present;
} mixture_dims;

static mixture_dims mixture_dims_of(const lode_op_call *c) {
    const lode_weighted_sum_params *p = c->params;
    mixture_dims d = {.S = 1, .K = p->k, .present = p->present};
    int64_t n = lode_tensor_count(c->x[1]);
    if (c->x[0]->shape.n_dims == 2) d.S = c->x[0]->shape.dim[0];
    d.M = d.S > 0 ? n / d.S : 0;
    return d;
}

/* The next k after `k` whose o_k is there; start with -1. */
static int mixture_next(const mixture_dims *d, int k) {
    do k++;
    while (k < d->K && !(d->present >> k & 1));
    return k;
}

static lode_status weighted_sum_forward(const lode_op_call *c) {
    lode_ref r = {0};
    mixture_dims d = mixture_dims_of(c);
    const double *w = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    for (int i = 1, k = mixture_next(&d, -1); i < c->n_x; i++, k = mixture_next(&d, k)) {
        lode_ref one = {0}; /* options come and go one by one: K of them need not fit at once */
        const double *o = lode_ref_in(&one, c->x[i]);
        for (int64_t s = 0; lode_ref_ok(&r) && lode_ref_ok(&one) && s < d.S; s++)
            for (int64_t m = s * d.M; m < (s + 1) * d.M; m++) y[m] += w[s * d.K + k] * o[m];
        lode_ref_fail(&r, lode_ref_end(&one));
    }
    return lode_ref_end(&r);
}

static lode_status weighted_sum_backward(const lode_op_call *c, const lode_tensor *dy,
                                         lode_tensor *const *dx) {
    lode_ref r = {0};
    mixture_dims d = mixture_dims_of(c);
    const double *w = lode_ref_in(&r, c->x[0]), *g = lode_ref_in(&r, dy);
    double *gw = lode_ref_out(&r, dx[0]);
    for (int i = 1, k = mixture_next(&d, -1); i < c->n_x; i++, k = mixture_next(&d, k)) {
        lode_ref one = {0};
        const double *o = gw != NULL ? lode_ref_in(&one, c->x[i]) : NULL;
        double *go = lode_ref_out(&one, dx[i]);
        for (int64_t s = 0; lode_ref_ok(&r) && lode_ref_ok(&one) && s < d.S; s++)
            for (int64_t m = s * d.M; m < (s + 1) * d.M; m++) {
                if (gw != NULL) gw[s * d.K + k] += g[m] * o[m];
                if (go != NULL) go[m] = w[s * d.K + k] * g[m];
            }
        lode_ref_fail(&r, lode_ref_end(&one));
    }
    return lode_ref_end(&r);
}

static int mixture_n_present(uint64_t present) {
    int n = 0;
    for (; present != 0; present &= present - 1) n++;
    return n;
}

static lode_status weighted_sum_check_params(const lode_op_call *c) {
    const lode_weighted_sum_params *p = c->params;
    if (p->k < 1 || p->k >= LODE_MAX_INPUTS || p->present >> p->k != 0)
        return LODE_FAIL(LODE_ERR_INVALID, "weighted_sum: 1 to %d options are possible, not %d",
                         LODE_MAX_INPUTS - 1, p->k);
    if (c->n_x < 2)
        return LODE_FAIL(LODE_ERR_INVALID, "weighted_sum: all %d options are absent", p->k);
    if (mixture_n_present(p->present) != c->n_x - 1)
        return LODE_FAIL(LODE_ERR_INVALID, "weighted_sum: %d options are marked present, %d given",
                         mixture_n_present(p->present), c->n_x - 1);
    return LODE_OK;
}

static lode_status weighted_sum_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_weighted_sum_params *p = c->params;
    LODE_TRY(lode_check_float(c, 0, "w"));
    LODE_TRY(weighted_sum_check_params(c));
    const lode_shape *w = &c->x[0]->shape, *o = &c->x[1]->shape;
    for (int i = 1; i < c->n_x; i++) {
        char what[24];
        snprintf(what, sizeof what, "option %d", i);
        LODE_TRY(lode_check_float(c, i, what));
        LODE_TRY(lode_check_shape(c, i, what, o));
    }
    bool per_sample = w->n_dims == 2 && o->n_dims >= 1 && w->dim[0] == o->dim[0];
    if (!(w->n_dims == 1 || per_sample) || w->dim[w->n_dims - 1] != p->k) {
        char sw[128], so[128];
        return LODE_FAIL(LODE_ERR_SHAPE,
                         "weighted_sum: w is %s, but for %d options of %s [K] or [N,K] is wanted",
                         lode_shape_print(w, sw), p->k, lode_shape_print(o, so));
    }
    lode_infer_y(out, c->x[1]->dtype, o);
    return LODE_OK;
}

static void weighted_sum_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = 2.0 * (double)lode_tensor_count(c->y) * (c->n_x - 1);
}

/* How many of how many: which ones changes no cost. */
static void weighted_sum_print(const void *params, char out[96]) {
    const lode_weighted_sum_params *p = params;
    snprintf(out, 96, "%dof%d", mixture_n_present(p->present), p->k);
}

static lode_status weighted_sum_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape o;
        int K, present, per_sample;
    } corner[] = {
        {{4, {2, 3, 4, 4}}, 3, 7, 0},  {{4, {2, 5, 3, 3}}, 4, 11, 0}, {{4, {3, 2, 3, 3}}, 3, 7, 1},
        {{4, {2, 17, 3, 2}}, 5, 9, 1}, {{2, {3, 5}}, 2, 3, 0},        {{1, {7}}, 1, 1, 0},
        {{2, {1, 9}}, 2, 2, 1},
    };
    lode_shape o = {(int)lode_example_between(rng, 1, 4),
                    {lode_example_between(rng, 1, 3), lode_example_between(rng, 1, 20),
                     lode_example_between(rng, 1, 5), lode_example_between(rng, 1, 5)}};
    lode_weighted_sum_params p = {.k = (int32_t)lode_example_between(rng, 1, 7)};
    bool per_sample = lode_rng_below(rng, 2) == 0;
    p.present = (uint64_t)lode_example_between(rng, 1, (1 << p.k) - 1);
    if (k < (int)(sizeof corner / sizeof *corner)) {
        o = corner[k].o;
        p.k = corner[k].K;
        p.present = (uint64_t)corner[k].present;
        per_sample = corner[k].per_sample;
    }
    lode_shape w = per_sample ? LODE_SHAPE2(o.dim[0], p.k) : LODE_SHAPE1(p.k);
    LODE_TRY(lode_example_uniform(e, rng, w, -1, 1));
    for (int i = 0; i < mixture_n_present(p.present); i++)
        LODE_TRY(lode_example_any_layout(e, rng, o, k));
    lode_example_set_params(e, &p, sizeof p);
    return LODE_OK;
}

const lode_op lode_op_weighted_sum = {
    .name = "weighted_sum",
    .n_inputs = -1,
    .params_size = sizeof(lode_weighted_sum_params),
    .keeps = LODE_KEEP_ALL_X,
    .infer = weighted_sum_infer,
    .reference = {.forward = weighted_sum_forward, .backward = weighted_sum_backward},
    .count = weighted_sum_count,
    .example = weighted_sum_example,
    .print_params = weighted_sum_print,
};

lode_var *lode_weighted_sum(lode_tape *t, lode_var *const *o, int k, lode_var *w) {
    lode_var *x[LODE_MAX_INPUTS] = {w};
    lode_weighted_sum_params p = {.k = k};
    int n = 1;
    if (k < 1 || k >= LODE_MAX_INPUTS)
        return lode_tape_fail(t, LODE_FAIL(LODE_ERR_INVALID,
                                           "weighted_sum: 1 to %d options are possible, not %d",
                                           LODE_MAX_INPUTS - 1, k));
    for (int i = 0; i < k; i++)
        if (o[i] != NULL) {
            x[n++] = o[i];
            p.present |= (uint64_t)1 << i;
        }
    return lode_apply(t, &lode_op_weighted_sum, x, n, &p);
}
