/* prefix_mask.c   m[c] = sum of g[i] over the widths that reach channel c: c < width[i]. Per sample
   with g [N,K]: m [N,C].

   The mixture of channel counts of FBNetV2 (Wan et al. 2020): a layer runs once at its largest
   width, and multiplying by m is as good as padding each width's output with zeros and mixing
   those, when the widths share their weights.

       dg[i] = sum over c < width[i] of dm[c]

   Times one more product that is <dy, b(x)> over the first width[i] channels. A width of 0 reaches
   no channel: its option takes no part. */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <stdio.h>

static lode_status prefix_mask_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_prefix_mask_params *p = c->params;
    const lode_shape *g = &c->x[0]->shape;
    char text[128];
    LODE_TRY(lode_check_float(c, 0, "g"));
    if (p->n < 1 || p->n > LODE_MAX_WIDTHS || p->channels < 1)
        return LODE_FAIL(LODE_ERR_INVALID,
                         "prefix_mask: %d widths of %d channels; 1 to %d widths are possible", p->n,
                         p->channels, LODE_MAX_WIDTHS);
    for (int i = 0; i < p->n; i++)
        if (p->width[i] < 0 || p->width[i] > p->channels)
            return LODE_FAIL(LODE_ERR_INVALID, "prefix_mask: width %d of %d channels", p->width[i],
                             p->channels);
    if ((g->n_dims != 1 && g->n_dims != 2) || g->dim[g->n_dims - 1] != p->n)
        return LODE_FAIL(LODE_ERR_SHAPE,
                         "prefix_mask: g is %s, but for %d widths [K] or [N,K] is wanted",
                         lode_shape_print(g, text), p->n);
    lode_shape m = *g;
    m.dim[m.n_dims - 1] = p->channels;
    lode_infer_y(out, c->x[0]->dtype, &m);
    return LODE_OK;
}

static lode_status prefix_mask_forward(const lode_op_call *c) {
    const lode_prefix_mask_params *p = c->params;
    const int64_t rows = lode_tensor_count(c->x[0]) / p->n;
    lode_ref r = {0};
    const double *g = lode_ref_in(&r, c->x[0]);
    double *m = lode_ref_out(&r, c->y);
    for (int64_t row = 0; row < rows && lode_ref_ok(&r); row++)
        for (int i = 0; i < p->n; i++)
            for (int64_t k = 0; k < p->width[i]; k++) m[row * p->channels + k] += g[row * p->n + i];
    return lode_ref_end(&r);
}

static lode_status prefix_mask_backward(const lode_op_call *c, const lode_tensor *dy,
                                        lode_tensor *const *dx) {
    const lode_prefix_mask_params *p = c->params;
    const int64_t rows = lode_tensor_count(c->x[0]) / p->n;
    lode_ref r = {0};
    const double *dm = lode_ref_in(&r, dy);
    double *dg = lode_ref_out(&r, dx[0]);
    for (int64_t row = 0; row < rows && dg != NULL && lode_ref_ok(&r); row++)
        for (int i = 0; i < p->n; i++)
            for (int64_t k = 0; k < p->width[i]; k++)
                dg[row * p->n + i] += dm[row * p->channels + k];
    return lode_ref_end(&r);
}

static lode_status prefix_mask_example(lode_op_example *e, lode_rng *rng, int k) {
    static const lode_prefix_mask_params corner[] = {
        {{1}, 1, 1}, {{2, 4}, 2, 4}, {{3, 3, 0}, 3, 5}, {{16, 24, 32}, 3, 32}};
    lode_prefix_mask_params p = {.n = (int32_t)lode_example_between(rng, 1, LODE_MAX_WIDTHS),
                                 .channels = (int32_t)lode_example_between(rng, 1, 40)};
    for (int i = 0; i < p.n; i++) p.width[i] = (int32_t)lode_example_between(rng, 0, p.channels);
    if (k < (int)(sizeof corner / sizeof *corner)) p = corner[k];
    lode_shape one = LODE_SHAPE1(p.n), per_sample = LODE_SHAPE2(3, p.n);
    lode_example_set_params(e, &p, sizeof p);
    return lode_example_laid(e, rng, k % 2 ? &per_sample : &one, lode_example_random_layout(rng));
}

static void prefix_mask_print(const void *params, char out[96]) {
    const lode_prefix_mask_params *p = params;
    int n = snprintf(out, 96, "c%d of", p->channels);
    for (int i = 0; i < p->n && n < 84; i++)
        n += snprintf(out + n, (size_t)(96 - n), " %d", p->width[i]);
}

const lode_op lode_op_prefix_mask = {
    .name = "prefix_mask",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_prefix_mask_params),
    .infer = prefix_mask_infer,
    .reference = {.forward = prefix_mask_forward, .backward = prefix_mask_backward},
    .count = lode_count_pointwise,
    .example = prefix_mask_example,
    .print_params = prefix_mask_print,
};

lode_var *lode_prefix_mask(lode_tape *t, lode_var *g, const int64_t *width, int n,
                           int64_t channels) {
    lode_prefix_mask_params p = {.n = n, .channels = (int32_t)channels};
    if (n < 1 || n > LODE_MAX_WIDTHS || channels > INT32_MAX)
        return lode_tape_fail(t, LODE_FAIL(LODE_ERR_INVALID,
                                           "prefix_mask: 1 to %d widths are possible, not %d",
                                           LODE_MAX_WIDTHS, n));
    for (int i = 0; i < n; i++) p.width[i] = (int32_t)width[i];
    return lode_apply(t, &lode_op_prefix_mask, &g, 1, &p);
}
