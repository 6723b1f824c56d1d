/* conv2d.c   y[n,o,i,j] = b[o] + sum_{c,u,v} x[n, g I + c, i s + u d - p, j s + v d - p] w[o,c,u,v]

   N batch, C and O input and output channels in G groups of I = C/G and O/G, H x W the image,
   kh x kw the kernel, s stride, p padding (zeros), d dilation; g is o's group. Depthwise is
   G == C == O. Gradients, with dy running over all outputs:

       dx[n, gI+c, i s + u d - p, ...] += w[o,c,u,v] dy[n,o,i,j]
       dw[o,c,u,v]                     += x[n, gI+c, i s + u d - p, ...] dy[n,o,i,j]
       db[o]                           += dy[n,o,i,j]

   All three walk the same pairs (input row, output row) for each weight, so that the innermost
   loop runs along a row without a test for the border: conv2d_span says which columns j meet the
   image. Each thread owns whole outputs (a plane of y, an image of dx, the weights of one o), hence
   the same bits at any number of threads. */
#include "core/parallel.h"
#include "ops/example_internal.h"
#include "ops/op_util.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct conv2d_dims {
    lode_conv2d_params p;
    int64_t N, C, H, W, O, I, kh, kw, Ho, Wo;
    const double *x, *w, *b, *dy; /* [N,C,H,W] [O,I,kh,kw] [O] [N,O,Ho,Wo] */
    double *y, *dx, *dw, *db;
} conv2d_dims;

static conv2d_dims conv2d_dims_of(const lode_op_call *c) {
    const int64_t *x = c->x[0]->shape.dim, *w = c->x[1]->shape.dim, *y = c->y->shape.dim;
    return (conv2d_dims){.p = *(const lode_conv2d_params *)c->params,
                         .N = x[0],
                         .C = x[1],
                         .H = x[2],
                         .W = x[3],
                         .O = w[0],
                         .I = w[1],
                         .kh = w[2],
                         .kw = w[3],
                         .Ho = y[2],
                         .Wo = y[3]};
}

/* Outputs begin..end-1 of n_out whose input j*stride + offset lies in 0..n_in-1. */
static void conv2d_span(int64_t n_in, int64_t n_out, int64_t stride, int64_t offset, int64_t *begin,
                        int64_t *end) {
    *begin = offset < 0 ? (-offset + stride - 1) / stride : 0;
    *end = n_in - offset > 0 ? (n_in - offset - 1) / stride + 1 : 0;
    if (*end > n_out) *end = n_out;
}

/* One pair of rows that meet through the weight w[o,c,u,v]: out[j], j = begin..end-1, goes with
   in[j * stride + offset]. */
typedef struct conv2d_pair {
    int64_t in, out, weight; /* start of the rows in x and y; the weight's place in w */
    int64_t begin, end, stride, offset;
} conv2d_pair;

typedef void (*conv2d_visit)(const conv2d_dims *d, const conv2d_pair *pair);

static void conv2d_walk(const conv2d_dims *d, int64_t n, int64_t o, conv2d_visit visit) {
    int64_t group = o / (d->O / d->p.groups);
    for (int64_t c = 0; c < d->I; c++)
        for (int64_t u = 0; u < d->kh; u++)
            for (int64_t v = 0; v < d->kw; v++) {
                conv2d_pair pair = {.weight = ((o * d->I + c) * d->kh + u) * d->kw + v,
                                    .stride = d->p.stride[1],
                                    .offset = v * d->p.dilation[1] - d->p.pad[1]};
                int64_t first, last, row = u * d->p.dilation[0] - d->p.pad[0];
                conv2d_span(d->H, d->Ho, d->p.stride[0], row, &first, &last);
                conv2d_span(d->W, d->Wo, pair.stride, pair.offset, &pair.begin, &pair.end);
                for (int64_t i = first; i < last; i++) {
                    int64_t h = i * d->p.stride[0] + row;
                    pair.in = ((n * d->C + group * d->I + c) * d->H + h) * d->W;
                    pair.out = ((n * d->O + o) * d->Ho + i) * d->Wo;
                    visit(d, &pair);
                }
            }
}

/* ---- forward ---- */

static void conv2d_visit_forward(const conv2d_dims *d, const conv2d_pair *r) {
    const double *x = d->x + r->in, w = d->w[r->weight];
    double *y = d->y + r->out;
    for (int64_t j = r->begin; j < r->end; j++) y[j] += w * x[j * r->stride + r->offset];
}

static void conv2d_forward_plane(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const conv2d_dims *d = ctx;
    (void)piece;
    for (int64_t no = begin; no < end; no++) {
        double *y = d->y + no * d->Ho * d->Wo, b = d->b != NULL ? d->b[no % d->O] : 0;
        for (int64_t i = 0; i < d->Ho * d->Wo; i++) y[i] = b;
        conv2d_walk(d, no / d->O, no % d->O, conv2d_visit_forward);
    }
}

static lode_status conv2d_forward(const lode_op_call *c) {
    lode_ref r = {0};
    conv2d_dims d = conv2d_dims_of(c);
    d.x = lode_ref_in(&r, c->x[0]);
    d.w = lode_ref_in(&r, c->x[1]);
    d.b = lode_ref_in(&r, c->n_x > 2 ? c->x[2] : NULL);
    d.y = lode_ref_out(&r, c->y);
    if (lode_ref_ok(&r)) lode_parallel_for(d.N * d.O, 1, conv2d_forward_plane, &d);
    return lode_ref_end(&r);
}

/* ---- backward ---- */

static void conv2d_visit_dx(const conv2d_dims *d, const conv2d_pair *r) {
    const double *dy = d->dy + r->out, w = d->w[r->weight];
    double *dx = d->dx + r->in;
    for (int64_t j = r->begin; j < r->end; j++) dx[j * r->stride + r->offset] += w * dy[j];
}

static void conv2d_dx_image(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const conv2d_dims *d = ctx;
    (void)piece;
    for (int64_t n = begin; n < end; n++)
        for (int64_t o = 0; o < d->O; o++) conv2d_walk(d, n, o, conv2d_visit_dx);
}

static void conv2d_visit_dw(const conv2d_dims *d, const conv2d_pair *r) {
    const double *dy = d->dy + r->out, *x = d->x + r->in;
    double sum = 0;
    for (int64_t j = r->begin; j < r->end; j++) sum += dy[j] * x[j * r->stride + r->offset];
    d->dw[r->weight] += sum;
}

static void conv2d_dw_channel(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const conv2d_dims *d = ctx;
    (void)piece;
    for (int64_t o = begin; o < end; o++)
        for (int64_t n = 0; n < d->N; n++) conv2d_walk(d, n, o, conv2d_visit_dw);
}

static void conv2d_bias(const conv2d_dims *d) {
    for (int64_t n = 0; n < d->N; n++)
        for (int64_t o = 0; o < d->O; o++) {
            const double *dy = d->dy + (n * d->O + o) * d->Ho * d->Wo;
            for (int64_t i = 0; i < d->Ho * d->Wo; i++) d->db[o] += dy[i];
        }
}

static lode_status conv2d_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx) {
    lode_ref r = {0};
    conv2d_dims d = conv2d_dims_of(c);
    d.dy = lode_ref_in(&r, dy);
    if (dx[0] != NULL) d.w = lode_ref_in(&r, c->x[1]);
    if (dx[1] != NULL) d.x = lode_ref_in(&r, c->x[0]);
    d.dx = lode_ref_out(&r, dx[0]);
    d.dw = lode_ref_out(&r, dx[1]);
    d.db = lode_ref_out(&r, c->n_x > 2 ? dx[2] : NULL);
    if (lode_ref_ok(&r)) {
        if (d.dx != NULL) lode_parallel_for(d.N, 1, conv2d_dx_image, &d);
        if (d.dw != NULL) lode_parallel_for(d.O, 1, conv2d_dw_channel, &d);
        if (d.db != NULL) conv2d_bias(&d);
    }
    return lode_ref_end(&r);
}

/* ---- shapes and counts ---- */

static lode_status conv2d_check_params(const lode_conv2d_params *p) {
    for (int i = 0; i < 2; i++)
        if (p->stride[i] < 1 || p->dilation[i] < 1 || p->pad[i] < 0)
            return LODE_FAIL(LODE_ERR_INVALID,
                             "conv2d: stride %d and dilation %d must be at least 1, pad %d at "
                             "least 0",
                             p->stride[i], p->dilation[i], p->pad[i]);
    if (p->groups < 1)
        return LODE_FAIL(LODE_ERR_INVALID, "conv2d: %d groups, at least 1 is wanted", p->groups);
    return LODE_OK;
}

static lode_status conv2d_check_channels(const lode_op_call *c) {
    const int64_t *x = c->x[0]->shape.dim, *w = c->x[1]->shape.dim;
    int groups = ((const lode_conv2d_params *)c->params)->groups;
    if (x[1] % groups != 0 || w[0] % groups != 0)
        return LODE_FAIL(LODE_ERR_SHAPE,
                         "conv2d: %lld input and %lld output channels do not divide into %d groups",
                         (long long)x[1], (long long)w[0], groups);
    if (w[1] != x[1] / groups)
        return LODE_FAIL(LODE_ERR_SHAPE,
                         "conv2d: x has %lld channels in %d groups, but w wants %lld per group",
                         (long long)x[1], groups, (long long)w[1]);
    return lode_check_shape(c, 2, "b", &LODE_SHAPE1(w[0]));
}

static lode_status conv2d_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_conv2d_params *p = c->params;
    static const char *const input[] = {"x", "w", "b"};
    for (int i = 0; i < 3; i++) LODE_TRY(lode_check_float(c, i, input[i]));
    LODE_TRY(lode_check_dims(c, 0, "x", 4));
    LODE_TRY(lode_check_dims(c, 1, "w", 4));
    LODE_TRY(conv2d_check_params(p));
    LODE_TRY(conv2d_check_channels(c));
    const int64_t *x = c->x[0]->shape.dim, *w = c->x[1]->shape.dim;
    int64_t side[2];
    for (int i = 0; i < 2; i++) {
        int64_t reach = (w[2 + i] - 1) * p->dilation[i] + 1, padded = x[2 + i] + 2 * p->pad[i];
        if (w[2 + i] < 1 || padded < reach)
            return LODE_FAIL(LODE_ERR_SHAPE,
                             "conv2d: kernel of %lld with dilation %d does not fit dim %d of x, "
                             "%lld with padding %d",
                             (long long)w[2 + i], p->dilation[i], 2 + i, (long long)x[2 + i],
                             p->pad[i]);
        side[i] = (padded - reach) / p->stride[i] + 1;
    }
    lode_infer_y(out, c->x[0]->dtype, &LODE_SHAPE4(x[0], w[0], side[0], side[1]));
    return LODE_OK;
}

static void conv2d_count(const lode_op_call *c, lode_op_count *out) {
    const int64_t *w = c->x[1]->shape.dim;
    double n_out = (double)lode_tensor_count(c->y);
    lode_count_copy(c, out);
    out->macs = n_out * (double)(w[1] * w[2] * w[3]);
    out->flops = 2 * out->macs + (c->n_x > 2 && c->x[2] != NULL ? n_out : 0);
}

static void conv2d_print_pair(char out[24], char letter, const int32_t v[2]) {
    if (v[0] == v[1])
        snprintf(out, 24, "%c%d", letter, v[0]);
    else
        snprintf(out, 24, "%c%dx%d", letter, v[0], v[1]);
}

static void conv2d_print(const void *params, char out[96]) {
    const lode_conv2d_params *p = params;
    char s[24], pad[24], d[24];
    conv2d_print_pair(s, 's', p->stride);
    conv2d_print_pair(pad, 'p', p->pad);
    conv2d_print_pair(d, 'd', p->dilation);
    snprintf(out, 96, "%s %s %s g%d", s, pad, d, p->groups);
}

/* ---- examples ---- */

typedef struct conv2d_case {
    int N, C, H, W, O, kh, kw, bias;
    lode_conv2d_params p;
} conv2d_case;

static const conv2d_case conv2d_corner[] = {
    {2, 3, 5, 5, 4, 3, 3, 1, {{1, 1}, {1, 1}, {1, 1}, 1, 0}},
    {2, 3, 7, 6, 4, 3, 3, 0, {{2, 2}, {1, 1}, {1, 1}, 1, 0}}, /* stride 2, odd and even sides */
    {1, 16, 4, 4, 24, 1, 1, 0, {{1, 1}, {0, 0}, {1, 1}, 1, 0}},
    {2, 5, 5, 3, 7, 1, 1, 1, {{2, 2}, {0, 0}, {1, 1}, 1, 0}},
    {2, 6, 6, 6, 6, 3, 3, 0, {{1, 1}, {1, 1}, {1, 1}, 6, 0}}, /* depthwise */
    {2, 16, 7, 7, 16, 5, 5, 1, {{2, 2}, {2, 2}, {1, 1}, 16, 0}},
    {1, 17, 8, 5, 17, 7, 7, 0, {{1, 1}, {3, 3}, {1, 1}, 17, 0}},
    {1, 4, 6, 7, 8, 3, 3, 0, {{1, 1}, {1, 1}, {1, 1}, 4, 0}}, /* depthwise, two outputs each */
    {2, 8, 5, 5, 12, 3, 3, 1, {{1, 1}, {1, 1}, {1, 1}, 2, 0}},
    {2, 12, 4, 4, 8, 1, 1, 0, {{1, 1}, {0, 0}, {1, 1}, 4, 0}},
    {1, 3, 9, 9, 2, 3, 3, 1, {{1, 1}, {2, 2}, {2, 2}, 1, 0}}, /* dilation */
    {1, 4, 9, 8, 4, 3, 3, 0, {{2, 2}, {2, 2}, {2, 2}, 4, 0}},
    {1, 2, 5, 8, 3, 3, 5, 0, {{2, 1}, {0, 2}, {1, 1}, 1, 0}}, /* nothing square */
    {2, 3, 3, 3, 5, 3, 3, 1, {{1, 1}, {0, 0}, {1, 1}, 1, 0}}, /* one output pixel */
    {1, 1, 1, 1, 1, 1, 1, 1, {{1, 1}, {0, 0}, {1, 1}, 1, 0}},
    {1, 2, 2, 2, 2, 5, 5, 0, {{1, 1}, {4, 4}, {1, 1}, 1, 0}}, /* more padding than image */
};

static conv2d_case conv2d_random(lode_rng *rng) {
    static const int kernel[] = {1, 1, 3, 3, 5, 7};
    bool depthwise = lode_rng_below(rng, 3) == 0, wide = lode_rng_below(rng, 4) == 0;
    int k = kernel[lode_rng_below(rng, 6)], groups = depthwise ? 0 : 1 << lode_rng_below(rng, 2);
    conv2d_case r = {.N = (int)lode_example_between(rng, 1, 3),
                     .C = (int)lode_example_between(rng, 1, wide ? 24 : 5),
                     .O = (int)lode_example_between(rng, 1, wide ? 24 : 5),
                     .H = (int)lode_example_between(rng, 1, 10),
                     .W = (int)lode_example_between(rng, 1, 10),
                     .kh = k,
                     .kw = k,
                     .bias = (int)lode_rng_below(rng, 2)};
    if (depthwise)
        groups = r.O = r.C;
    else
        r.C *= groups, r.O *= groups;
    r.p = lode_conv2d_same(k, (int)lode_example_between(rng, 1, 2),
                           (int)lode_example_between(rng, 1, 2), groups);
    return r;
}

static lode_status conv2d_example(lode_op_example *e, lode_rng *rng, int k) {
    const int n_corner = (int)(sizeof conv2d_corner / sizeof *conv2d_corner);
    conv2d_case r = k < n_corner ? conv2d_corner[k] : conv2d_random(rng);
    int64_t I = r.C / r.p.groups;
    double std = 1 / sqrt((double)(I * r.kh * r.kw));
    LODE_TRY(lode_example_any_layout(e, rng, LODE_SHAPE4(r.N, r.C, r.H, r.W), k));
    LODE_TRY(lode_example_weight(e, rng, LODE_SHAPE4(r.O, I, r.kh, r.kw), std));
    if (r.bias)
        LODE_TRY(lode_example_weight(e, rng, LODE_SHAPE1(r.O), 1));
    else
        LODE_TRY(lode_example_absent(e));
    lode_example_set_params(e, &r.p, sizeof r.p);
    return LODE_OK;
}

const lode_op lode_op_conv2d = {
    .name = "conv2d",
    .n_inputs = 3,
    .n_required = 2,
    .params_size = sizeof(lode_conv2d_params),
    .keeps = LODE_KEEP_X(0) | LODE_KEEP_X(1),
    .infer = conv2d_infer,
    .reference = {.forward = conv2d_forward, .backward = conv2d_backward},
    .count = conv2d_count,
    .example = conv2d_example,
    .print_params = conv2d_print,
};

lode_conv2d_params lode_conv2d_same(int kernel, int stride, int dilation, int groups) {
    int32_t pad = dilation * (kernel - 1) / 2;
    return (lode_conv2d_params){.stride = {stride, stride},
                                .pad = {pad, pad},
                                .dilation = {dilation, dilation},
                                .groups = groups};
}

lode_var *lode_conv2d(lode_tape *t, lode_var *x, lode_var *w, lode_var *b, lode_conv2d_params p) {
    return lode_apply(t, &lode_op_conv2d, (lode_var *[]){x, w, b}, 3, &p);
}
