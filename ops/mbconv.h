/* mbconv.h: the operator mbconv as its kernels see it: numbers of its inputs, shapes, and what its
   auxiliary outputs are. Users of the operator include ops/ops.h. */
#ifndef LODE_OPS_MBCONV_H
#define LODE_OPS_MBCONV_H
#include "autograd/op.h"
#include "ops/ops.h"

enum {
    MBCONV_X,
    MBCONV_DEPTHWISE,
    MBCONV_PROJECT,
    MBCONV_EXPAND,
    MBCONV_NORM, /* gamma, beta, mean_run, var_run of the first norm; then the second, the third */
    MBCONV_GAMMA = 0,
    MBCONV_BETA,
    MBCONV_MEAN,
    MBCONV_VAR,
    MBCONV_NORM_INPUTS,
    MBCONV_SE = MBCONV_NORM + 3 * MBCONV_NORM_INPUTS, /* squeeze-and-excite: */
    MBCONV_REDUCE = 0,
    MBCONV_REDUCE_BIAS,
    MBCONV_WIDEN,
    MBCONV_WIDEN_BIAS,
    MBCONV_N_SE,
    MBCONV_N_INPUTS = MBCONV_SE + MBCONV_N_SE
};

/* What backward finds in aux. The provider that ran forward reads it, so the order of the floats in
   z2 is that provider's own. MOMENTS: row 0 the channels' means of x, then their covariances. */
enum {
    MBCONV_Z2,      /* depthwise output, [N, M rounded up to MBCONV_LANES, OH, OW] */
    MBCONV_Z3,      /* projection's output, [N,O,OH,OW] */
    MBCONV_STATS,   /* f64: mean, 1/sqrt(var+eps) [M] each of norm 1, of norm 2, [O] of norm 3 */
    MBCONV_MOMENTS, /* f64 [C+1,C]; with an expansion only */
    /* after them, with squeeze-and-excite: [N, mbconv_gate_row_of().size], see mbconv_gates */
    MBCONV_LANES = 16
};

typedef struct mbconv_dims {
    int64_t N, C, H, W; /* x */
    int64_t M;          /* channels between the 1x1 convolutions */
    int64_t O, OH, OW;  /* y */
    int64_t K, stride, pad, groups;
    int64_t R; /* channels between the squeeze-and-excite products, 0 without */
    bool expands;
} mbconv_dims;

static inline mbconv_dims mbconv_dims_of(const lode_op_call *c) {
    const lode_mbconv_params *p = c->params;
    const int64_t *x = c->x[MBCONV_X]->shape.dim, *w = c->x[MBCONV_DEPTHWISE]->shape.dim;
    mbconv_dims d = {.N = x[0], .C = x[1], .H = x[2], .W = x[3], .M = w[0], .K = w[2]};
    d.O = c->x[MBCONV_PROJECT]->shape.dim[0];
    d.stride = p->stride;
    d.pad = (d.K - 1) / 2;
    d.OH = d.stride > 0 ? (d.H - 1) / d.stride + 1 : 0;
    d.OW = d.stride > 0 ? (d.W - 1) / d.stride + 1 : 0;
    d.groups = p->groups > 0 ? p->groups : 1;
    d.expands = c->x[MBCONV_EXPAND] != NULL;
    const lode_tensor *reduce = c->x[MBCONV_SE + MBCONV_REDUCE];
    d.R = reduce != NULL ? reduce->shape.dim[0] : 0;
    return d;
}

/* Which channel of the expansion the depthwise convolution finds at i: channels are shuffled. */
static inline int64_t mbconv_expanded(const mbconv_dims *d, int64_t i) {
    return i % d->groups * (d->M / d->groups) + i / d->groups;
}

static inline lode_tensor *mbconv_norm_input(const lode_op_call *c, int norm, int what) {
    return c->x[MBCONV_NORM + norm * MBCONV_NORM_INPUTS + what];
}

static inline int64_t mbconv_padded(const mbconv_dims *d) {
    return (d->M + MBCONV_LANES - 1) / MBCONV_LANES * MBCONV_LANES;
}

/* What backward finds of an image's gates, and where in its row: means of a2, the gates (both
   padded as z2 is), the reduced channels after relu. */
typedef struct mbconv_gate_row {
    int64_t pooled, gate, reduced, size;
} mbconv_gate_row;
static inline mbconv_gate_row mbconv_gate_row_of(const mbconv_dims *d) {
    int64_t padded = mbconv_padded(d);
    return (mbconv_gate_row){0, padded, 2 * padded, 2 * padded + d->R};
}
static inline lode_tensor *mbconv_gates(const lode_op_call *c, const mbconv_dims *d) {
    return d->R > 0 ? c->aux[d->expands ? MBCONV_MOMENTS + 1 : MBCONV_MOMENTS] : NULL;
}

/* In aux STATS: where the mean of a norm (0, 1, 2) stands; 1/sqrt(var+eps) follows it. */
static inline int64_t mbconv_stats_at(const mbconv_dims *d, int norm) { return norm * 2 * d->M; }

/* mbconv_reference.c */
lode_status mbconv_reference_forward(const lode_op_call *c);
lode_status mbconv_reference_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx);
/* How near any argument of an activation comes to a place where its slope jumps. */
lode_status mbconv_kink_distance(const lode_op_call *c, double *out);
#endif
