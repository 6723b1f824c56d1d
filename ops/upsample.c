/* upsample.c   bilinear_upsample: [N,C,H,W] -> [N,C,height,width], any size, also smaller.

   Output row i reads the input at row position

       (i + 1/2) H/height - 1/2, not below 0     half-pixel centers
       i (H - 1)/(height - 1)                    align_corners

   as (1-a) x[lo] + a x[hi], and columns likewise. The two directions are separable, so the taps of
   all rows and all columns are worked out once per call. */
#include "ops/example_internal.h"
#include "ops/op_util.h"

#include <math.h>
#include <stdio.h>

/* 3 doubles per output position: lo, hi, weight of hi. */
static const double *upsample_taps(lode_ref *r, int64_t n_in, int64_t n_out, bool align_corners) {
    double *tap = lode_ref_scratch(r, 3 * n_out);
    for (int64_t i = 0; tap != NULL && i < n_out; i++) {
        double at;
        if (align_corners)
            at = n_out > 1 ? (double)(i * (n_in - 1)) / (double)(n_out - 1) : 0;
        else
            at = fmax(0, ((double)i + 0.5) * (double)n_in / (double)n_out - 0.5);
        double lo = fmin(floor(at), (double)(n_in - 1));
        tap[3 * i] = lo;
        tap[3 * i + 1] = fmin(lo + 1, (double)(n_in - 1));
        tap[3 * i + 2] = at - lo;
    }
    return tap;
}

typedef struct upsample_dims {
    int64_t NC, H, W, Ho, Wo;
    const double *row, *column; /* taps */
} upsample_dims;

static upsample_dims upsample_dims_of(lode_ref *r, const lode_upsample_params *p,
                                      const lode_shape *x) {
    upsample_dims d = {
        x->dim[0] * x->dim[1], x->dim[2], x->dim[3], p->height, p->width, NULL, NULL};
    d.row = upsample_taps(r, d.H, d.Ho, p->align_corners);
    d.column = upsample_taps(r, d.W, d.Wo, p->align_corners);
    return d;
}

/* Where the four corners of output (i,j) are in the plane, and their weights. */
static void upsample_corners(const upsample_dims *d, int64_t i, int64_t j, int64_t at[4],
                             double weight[4]) {
    const double *r = d->row + 3 * i, *c = d->column + 3 * j;
    for (int k = 0; k < 4; k++) {
        at[k] = (int64_t)r[k >> 1] * d->W + (int64_t)c[k & 1];
        weight[k] = (k >> 1 ? r[2] : 1 - r[2]) * (k & 1 ? c[2] : 1 - c[2]);
    }
}

static lode_status bilinear_upsample_forward(const lode_op_call *c) {
    lode_ref r = {0};
    upsample_dims d = upsample_dims_of(&r, c->params, &c->x[0]->shape);
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y), weight[4];
    int64_t at[4];
    for (int64_t i = 0; lode_ref_ok(&r) && i < d.Ho; i++)
        for (int64_t j = 0; j < d.Wo; j++) {
            upsample_corners(&d, i, j, at, weight);
            for (int64_t nc = 0; nc < d.NC; nc++)
                for (int k = 0; k < 4; k++)
                    y[(nc * d.Ho + i) * d.Wo + j] += weight[k] * x[nc * d.H * d.W + at[k]];
        }
    return lode_ref_end(&r);
}

static lode_status bilinear_upsample_backward(const lode_op_call *c, const lode_tensor *dy,
                                              lode_tensor *const *dx) {
    if (dx[0] == NULL) return LODE_OK;
    lode_ref r = {0};
    upsample_dims d = upsample_dims_of(&r, c->params, &dx[0]->shape);
    const double *g = lode_ref_in(&r, dy);
    double *gx = lode_ref_out(&r, dx[0]), weight[4];
    int64_t at[4];
    for (int64_t i = 0; lode_ref_ok(&r) && i < d.Ho; i++)
        for (int64_t j = 0; j < d.Wo; j++) {
            upsample_corners(&d, i, j, at, weight);
            for (int64_t nc = 0; nc < d.NC; nc++)
                for (int k = 0; k < 4; k++)
                    gx[nc * d.H * d.W + at[k]] += weight[k] * g[(nc * d.Ho + i) * d.Wo + j];
        }
    return lode_ref_end(&r);
}

static lode_status bilinear_upsample_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_upsample_params *p = c->params;
    LODE_TRY(lode_check_float(c, 0, "x"));
    LODE_TRY(lode_check_dims(c, 0, "x", 4));
    const int64_t *x = c->x[0]->shape.dim;
    if (p->height < 1 || p->width < 1 || x[2] < 1 || x[3] < 1)
        return LODE_FAIL(LODE_ERR_SHAPE,
                         "bilinear_upsample: from %lld x %lld to %d x %d: no side may be empty",
                         (long long)x[2], (long long)x[3], p->height, p->width);
    lode_infer_y(out, c->x[0]->dtype, &LODE_SHAPE4(x[0], x[1], p->height, p->width));
    return LODE_OK;
}

static void bilinear_upsample_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = 8.0 * (double)lode_tensor_count(c->y); /* four weighted corners */
}

static void bilinear_upsample_print(const void *params, char out[96]) {
    const lode_upsample_params *p = params;
    snprintf(out, 96, "%dx%d%s", p->height, p->width, p->align_corners ? " corners" : "");
}

static lode_status bilinear_upsample_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape x;
        lode_upsample_params p;
    } corner[] = {
        {{4, {2, 3, 3, 4}}, {6, 8, 0, 0}},  {{4, {1, 17, 3, 4}}, {6, 8, 1, 0}},
        {{4, {2, 1, 1, 1}}, {3, 2, 0, 0}},  {{4, {1, 2, 5, 7}}, {3, 4, 0, 0}},
        {{4, {1, 2, 5, 7}}, {1, 1, 1, 0}},  {{4, {2, 2, 4, 3}}, {4, 3, 0, 0}},
        {{4, {1, 3, 2, 5}}, {7, 11, 1, 0}},
    };
    lode_shape x = LODE_SHAPE4(lode_example_between(rng, 1, 2), lode_example_between(rng, 1, 20),
                               lode_example_between(rng, 1, 6), lode_example_between(rng, 1, 6));
    lode_upsample_params p = {(int32_t)lode_example_between(rng, 1, 9),
                              (int32_t)lode_example_between(rng, 1, 9),
                              (int32_t)lode_rng_below(rng, 2), 0};
    if (k < (int)(sizeof corner / sizeof *corner)) {
        x = corner[k].x;
        p = corner[k].p;
    }
    LODE_TRY(lode_example_any_layout(e, rng, x, k));
    lode_example_set_params(e, &p, sizeof p);
    return LODE_OK;
}

const lode_op lode_op_bilinear_upsample = {
    .name = "bilinear_upsample",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_upsample_params),
    .infer = bilinear_upsample_infer,
    .reference = {.forward = bilinear_upsample_forward, .backward = bilinear_upsample_backward},
    .count = bilinear_upsample_count,
    .example = bilinear_upsample_example,
    .print_params = bilinear_upsample_print,
};

lode_var *lode_bilinear_upsample(lode_tape *t, lode_var *x, lode_upsample_params p) {
    return lode_apply(t, &lode_op_bilinear_upsample, &x, 1, &p);
}
