/* mbconv.c   The inverted residual of MobileNetV2 (Sandler et al. 2018), with the
   squeeze-and-excite of MobileNetV3 (Howard et al. 2019) if its weights are given, in training, as
   one call: 1x1, depthwise, gates, 1x1, a norm after each convolution, an activation after the
   first two.

   mbconv_reference.c is the definition. What one call is good for is in native/native_mbconv.c:
   there most of its tensors never exist. Here: shapes, counts and examples. */
#include "ops/mbconv.h"

#include "ops/example_internal.h"
#include "ops/op_util.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- shapes and counts ---- */

static lode_status mbconv_check_params(const lode_op_call *c, const mbconv_dims *d) {
    const lode_mbconv_params *p = c->params;
    if (p->stride < 1)
        return LODE_FAIL(LODE_ERR_INVALID, "mbconv: stride %d must be positive", p->stride);
    if (p->act < LODE_ACT_NONE || p->act > LODE_ACT_SWISH)
        return LODE_FAIL(LODE_ERR_INVALID, "mbconv: act %d is no lode_act", p->act);
    if (!(p->eps >= 0) || !(p->momentum >= 0 && p->momentum <= 1))
        return LODE_FAIL(LODE_ERR_INVALID,
                         "mbconv: eps %g must not be negative and momentum %g must be in 0..1",
                         p->eps, p->momentum);
    if (p->groups < 0 || d->C % d->groups != 0 || d->M % d->groups != 0 || d->O % d->groups != 0)
        return LODE_FAIL(LODE_ERR_SHAPE,
                         "mbconv: groups %d must divide %lld, %lld and %lld channels", p->groups,
                         (long long)d->C, (long long)d->M, (long long)d->O);
    if (p->residual && (p->stride != 1 || d->C != d->O))
        return LODE_FAIL(LODE_ERR_SHAPE,
                         "mbconv: x of %lld channels cannot be added to y of %lld with stride %d",
                         (long long)d->C, (long long)d->O, p->stride);
    return LODE_OK;
}

static lode_status mbconv_check_norms(const lode_op_call *c, const mbconv_dims *d) {
    static const char *const name[] = {"gamma", "beta", "mean_run", "var_run"};
    char text[32];
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < MBCONV_NORM_INPUTS; k++) {
            int at = MBCONV_NORM + i * MBCONV_NORM_INPUTS + k;
            const lode_tensor *t = c->x[at];
            lode_shape want = LODE_SHAPE1(i < 2 ? d->M : d->O);
            snprintf(text, sizeof text, "%s of norm %d", name[k], i + 1);
            if (t == NULL) continue;
            if (i == 0 && !d->expands)
                return LODE_FAIL(LODE_ERR_INVALID, "mbconv: %s is given, but no expansion", text);
            bool wider = c->x[0]->dtype == LODE_BF16 && t->dtype == LODE_F32;
            if (!wider) LODE_TRY(lode_check_float(c, at, text));
            LODE_TRY(lode_check_shape(c, at, text, &want));
        }
    return LODE_OK;
}

/* All of squeeze-and-excite's weights, or none; biases as you like. */
static lode_status mbconv_check_gates(const lode_op_call *c, const mbconv_dims *d) {
    static const char *const name[MBCONV_N_SE] = {"reduce", "reduce_bias", "widen", "widen_bias"};
    const lode_shape want[MBCONV_N_SE] = {LODE_SHAPE4(d->R, d->M, 1, 1), LODE_SHAPE1(d->R),
                                          LODE_SHAPE4(d->M, d->R, 1, 1), LODE_SHAPE1(d->M)};
    bool gated = c->x[MBCONV_SE + MBCONV_REDUCE] != NULL;
    if (gated && d->R < 1)
        return LODE_FAIL(LODE_ERR_SHAPE, "mbconv: reduce must have a channel at least");
    for (int i = 0; i < MBCONV_N_SE; i++) {
        int at = MBCONV_SE + i;
        if (c->x[at] == NULL && !(gated && i == MBCONV_WIDEN)) continue;
        if (c->x[at] == NULL || !gated)
            return LODE_FAIL(LODE_ERR_INVALID,
                             "mbconv: reduce and widen are both needed for squeeze-and-excite");
        LODE_TRY(lode_check_float(c, at, name[i]));
        LODE_TRY(lode_check_shape(c, at, name[i], &want[i]));
    }
    return LODE_OK;
}

static lode_status mbconv_infer(const lode_op_call *c, lode_inferred *out) {
    const struct {
        int i;
        const char *name;
    } image[] = {{MBCONV_X, "x"},
                 {MBCONV_DEPTHWISE, "depthwise"},
                 {MBCONV_PROJECT, "project"},
                 {MBCONV_EXPAND, "expand"}};
    for (int i = 0; i < 4; i++) {
        LODE_TRY(lode_check_float(c, image[i].i, image[i].name));
        LODE_TRY(lode_check_dims(c, image[i].i, image[i].name, 4));
    }
    mbconv_dims d = mbconv_dims_of(c);
    lode_shape depthwise = LODE_SHAPE4(d.M, 1, d.K, d.K), expand = {0}, project = {0};
    LODE_TRY(mbconv_check_params(c, &d));
    project = LODE_SHAPE4(d.O, d.M / d.groups, 1, 1);
    expand = LODE_SHAPE4(d.M, d.C / d.groups, 1, 1);
    if (d.K % 2 == 0)
        return LODE_FAIL(LODE_ERR_SHAPE, "mbconv: kernel %lld must be odd", (long long)d.K);
    LODE_TRY(lode_check_shape(c, MBCONV_DEPTHWISE, "depthwise", &depthwise));
    LODE_TRY(lode_check_shape(c, MBCONV_PROJECT, "project", &project));
    LODE_TRY(lode_check_shape(c, MBCONV_EXPAND, "expand", &expand));
    if (!d.expands && d.M != d.C)
        return LODE_FAIL(LODE_ERR_SHAPE,
                         "mbconv: without an expansion x must have %lld channels, it has %lld",
                         (long long)d.M, (long long)d.C);
    LODE_TRY(mbconv_check_norms(c, &d));
    LODE_TRY(mbconv_check_gates(c, &d));
    lode_dtype wide = c->x[0]->dtype == LODE_F64 ? LODE_F64 : LODE_F32;
    int64_t padded = mbconv_padded(&d);
    lode_shape y = LODE_SHAPE4(d.N, d.O, d.OH, d.OW), z2 = LODE_SHAPE4(d.N, padded, d.OH, d.OW);
    lode_shape stats = LODE_SHAPE1(4 * d.M + 2 * d.O), moments = LODE_SHAPE2(d.C + 1, d.C);
    lode_infer_y(out, c->x[0]->dtype, &y);
    lode_infer_aux(out, wide, &z2);
    lode_infer_aux(out, wide, &y);
    lode_infer_aux(out, LODE_F64, &stats);
    if (d.expands) lode_infer_aux(out, LODE_F64, &moments);
    lode_shape gates = LODE_SHAPE2(d.N, mbconv_gate_row_of(&d).size);
    if (d.R > 0) lode_infer_aux(out, wide, &gates);
    return LODE_OK;
}

/* As the parts count, but memory is touched by the whole: inputs once, output once. */
static void mbconv_count(const lode_op_call *c, lode_op_count *out) {
    mbconv_dims d = mbconv_dims_of(c);
    double in = (double)(d.N * d.H * d.W), at = (double)(d.N * d.OH * d.OW), M = (double)d.M;
    double values = 2 * at * M + at * (double)d.O; /* normalised; activations come on top */
    lode_count_copy(c, out);
    out->macs = at * M * (double)(d.K * d.K + d.O / d.groups);
    if (d.expands) {
        out->macs += in * M * (double)(d.C / d.groups);
        values += 2 * in * M;
    }
    if (d.R > 0) { /* two small products for each image, a mean and a product for each value */
        out->macs += 2 * (double)d.N * M * (double)d.R;
        values += at * M / 3;
    }
    out->flops = 2 * out->macs + 6 * values;
}

static void mbconv_print(const void *params, char out[96]) {
    const lode_mbconv_params *p = params;
    int n = snprintf(out, 96, "s%d %s%s", p->stride, lode_act_name(p->act),
                     p->residual ? " residual" : "");
    if (p->groups > 1) snprintf(out + n, 96 - (size_t)n, " g%d", p->groups);
}

/* ---- examples ---- */

typedef struct mbconv_corner {
    int64_t N, C, H, W, M, O, K;
    int stride, act, expands, affine, running, residual, groups, R;
} mbconv_corner;

/* How near the arguments of the activations come to a kink. */
static lode_status mbconv_distance(const lode_op_example *e, double *out) {
    lode_tensor *x[MBCONV_N_INPUTS];
    memcpy(x, e->x, sizeof x);
    lode_op_call c = {.op = &lode_op_mbconv, .params = e->params.bytes, .n_x = e->n_x, .x = x};
    return mbconv_kink_distance(&c, out);
}

static lode_status mbconv_example_norm(lode_op_example *e, lode_rng *rng, const mbconv_corner *s,
                                       int64_t channels, bool present) {
    lode_shape shape = LODE_SHAPE1(channels);
    for (int k = 0; k < MBCONV_NORM_INPUTS; k++) {
        bool statistics = k >= MBCONV_MEAN;
        if (!present || !(statistics ? s->running : s->affine)) {
            LODE_TRY(lode_example_absent(e));
            continue;
        }
        LODE_TRY(lode_example_uniform(e, rng, shape, k == MBCONV_BETA ? -0.5 : 0.5, 1.5));
        if (statistics) lode_example_constant(e);
    }
    return LODE_OK;
}

/* Biases only when the norms have theirs. */
static lode_status mbconv_example_gates(lode_op_example *e, lode_rng *rng, const mbconv_corner *s) {
    const lode_shape w[MBCONV_N_SE] = {LODE_SHAPE4(s->R, s->M, 1, 1), LODE_SHAPE1(s->R),
                                       LODE_SHAPE4(s->M, s->R, 1, 1), LODE_SHAPE1(s->M)};
    for (int i = 0; i < MBCONV_N_SE; i++) {
        bool bias = w[i].n_dims == 1;
        if (s->R == 0 || (bias && !s->affine))
            LODE_TRY(lode_example_absent(e));
        else if (bias)
            LODE_TRY(lode_example_uniform(e, rng, w[i], -0.5, 1.5));
        else
            LODE_TRY(lode_example_weight(e, rng, w[i], 1 / sqrt((double)w[i].dim[1])));
    }
    return LODE_OK;
}

static mbconv_corner mbconv_any(lode_rng *rng, int k) {
    mbconv_corner s = {.N = lode_example_between(rng, 2, 3), .C = lode_example_between(rng, 1, 9)};
    s.H = lode_example_between(rng, 3, 7);
    s.W = lode_example_between(rng, 3, 7);
    s.expands = lode_rng_below(rng, 3) != 0;
    s.M = s.expands ? lode_example_between(rng, 1, 20) : s.C;
    s.O = lode_rng_below(rng, 2) ? s.C : lode_example_between(rng, 1, 18);
    s.K = 1 + 2 * lode_example_between(rng, 0, 3);
    s.stride = (int)lode_example_between(rng, 1, 2);
    s.act = (int)lode_example_between(rng, LODE_ACT_NONE, LODE_ACT_SWISH);
    s.affine = lode_rng_below(rng, 3) != 0;
    s.running = (int)lode_rng_below(rng, 2);
    s.residual = s.stride == 1 && s.C == s.O && lode_rng_below(rng, 2);
    s.groups = s.C % 2 == 0 && s.M % 2 == 0 && s.O % 2 == 0 ? 2 : 1;
    s.R = k % 3 == 0 ? (int)lode_example_between(rng, 1, 9) : 0;
    return s;
}

static lode_status mbconv_example(lode_op_example *e, lode_rng *rng, int k) {
    static const mbconv_corner corner[] = {
        {2, 3, 5, 4, 6, 3, 3, 1, LODE_ACT_RELU6, 1, 1, 1, 1, 0, 0},
        {2, 4, 5, 5, 4, 2, 5, 2, LODE_ACT_RELU, 0, 1, 1, 0, 0, 0},
        {3, 2, 4, 3, 17, 2, 3, 1, LODE_ACT_HSWISH, 1, 1, 0, 1, 0, 0},
        {2, 3, 7, 7, 5, 4, 7, 2, LODE_ACT_SWISH, 1, 0, 1, 0, 0, 0},
        {2, 5, 3, 3, 5, 5, 1, 1, LODE_ACT_NONE, 0, 0, 0, 1, 0, 0},
        {2, 2, 6, 9, 4, 33, 9, 3, LODE_ACT_RELU6, 1, 1, 1, 0, 0, 0},
        {4, 18, 2, 2, 3, 18, 3, 1, LODE_ACT_RELU, 1, 1, 0, 1, 0, 0},
        {3, 1, 8, 2, 1, 1, 5, 2, LODE_ACT_SWISH, 0, 1, 1, 0, 0, 0},
        {2, 6, 4, 5, 12, 6, 3, 1, LODE_ACT_RELU, 1, 1, 1, 1, 3, 0},
        {3, 4, 5, 4, 4, 8, 3, 2, LODE_ACT_SWISH, 0, 1, 0, 0, 2, 0},
        {2, 4, 5, 6, 9, 4, 3, 1, LODE_ACT_RELU6, 1, 1, 1, 1, 0, 3},
        {2, 3, 6, 5, 18, 5, 5, 2, LODE_ACT_SWISH, 1, 1, 0, 0, 0, 8},
        {3, 6, 4, 4, 6, 6, 3, 1, LODE_ACT_HSWISH, 0, 1, 1, 1, 2, 2}};
    const int n_corner = (int)(sizeof corner / sizeof *corner);
    mbconv_corner s = k < n_corner ? corner[k] : mbconv_any(rng, k);
    lode_mbconv_params p = {1e-3, 0.1, s.stride, s.act, s.residual, s.running, s.groups, 0};
    const int64_t G = s.groups > 0 ? s.groups : 1;
    lode_example_set_params(e, &p, sizeof p);
    LODE_TRY(lode_example_any_layout(e, rng, LODE_SHAPE4(s.N, s.C, s.H, s.W), k));
    LODE_TRY(lode_example_weight(e, rng, LODE_SHAPE4(s.M, 1, s.K, s.K), 1 / (double)s.K));
    LODE_TRY(lode_example_weight(e, rng, LODE_SHAPE4(s.O, s.M / G, 1, 1), 1 / sqrt((double)s.M)));
    if (s.expands)
        LODE_TRY(
            lode_example_weight(e, rng, LODE_SHAPE4(s.M, s.C / G, 1, 1), 1 / sqrt((double)s.C)));
    else
        LODE_TRY(lode_example_absent(e));
    for (int i = 0; i < 3; i++)
        LODE_TRY(mbconv_example_norm(e, rng, &s, i < 2 ? s.M : s.O, i > 0 || s.expands));
    LODE_TRY(mbconv_example_gates(e, rng, &s));
    double distance = 0;
    for (int tries = 0; tries < 100; tries++) { /* until no difference crosses a kink */
        LODE_TRY(mbconv_distance(e, &distance));
        if (distance > 5e-4) break;
        lode_example_fill(e->x[MBCONV_X], rng, -2, 2);
    }
    return LODE_OK;
}

/* The candidates of a mixture read one x, and all norms behind an expansion its moments. */
static bool mbconv_has_moments(const lode_op_call *earlier) {
    return earlier->x[MBCONV_EXPAND] != NULL && earlier->aux[MBCONV_MOMENTS] != NULL &&
           earlier->aux[MBCONV_MOMENTS]->data != NULL;
}

/* x, weights, gammas and betas. */
#define MBCONV_AFFINE(norm)                                                                        \
    (LODE_KEEP_X(0) | LODE_KEEP_X(1)) << (MBCONV_NORM + norm * MBCONV_NORM_INPUTS)
#define MBCONV_GATES (LODE_KEEP_X(MBCONV_N_INPUTS) - LODE_KEEP_X(MBCONV_SE))
#define MBCONV_KEEPS                                                                               \
    ((LODE_KEEP_X(MBCONV_NORM) - 1) | MBCONV_AFFINE(0) | MBCONV_AFFINE(1) | MBCONV_AFFINE(2) |     \
     MBCONV_GATES)

const lode_op lode_op_mbconv = {
    .name = "mbconv",
    .n_inputs = MBCONV_N_INPUTS,
    .n_required = MBCONV_EXPAND,
    .params_size = sizeof(lode_mbconv_params),
    .keeps = MBCONV_KEEPS,
    .is_twin = mbconv_has_moments,
    .infer = mbconv_infer,
    .reference = {.forward = mbconv_reference_forward, .backward = mbconv_reference_backward},
    .count = mbconv_count,
    .example = mbconv_example,
    .print_params = mbconv_print,
};

lode_var *lode_mbconv(lode_tape *t, const lode_mbconv_inputs *in, lode_mbconv_params p) {
    lode_var *x[MBCONV_N_INPUTS] = {in->x, in->depthwise, in->project, in->expand};
    for (int i = 0; i < 3; i++) {
        const lode_mbconv_norm *n = &in->norm[i];
        lode_var *of[MBCONV_NORM_INPUTS] = {n->gamma, n->beta, n->mean_run, n->var_run};
        memcpy(x + MBCONV_NORM + i * MBCONV_NORM_INPUTS, of, sizeof of);
    }
    lode_var *gates[MBCONV_N_SE] = {in->reduce, in->reduce_bias, in->widen, in->widen_bias};
    memcpy(x + MBCONV_SE, gates, sizeof gates);
    return lode_apply(t, &lode_op_mbconv, x, MBCONV_N_INPUTS, &p);
}
