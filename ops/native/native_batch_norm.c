/* batch_norm on dense NHWC (or [N,C]): rows of C values, every row alike.

   Forward with batch statistics reads x twice from memory: pieces of some 64 KiB give their mean
   and sum of squared deviations (the second reading is from cache), which are merged in order of
   the pieces (Chan et al. 1979) without E[x^2] - E[x]^2; then one sweep normalizes. Backward is two
   sweeps, sums first. Memory bandwidth is the limit in all of them. Pieces do not depend on the
   number of threads, so neither do results. */
#include "core/parallel.h"
#include "ops/native/conv_shape.h"
#include "ops/native/native_internal.h"
#include "ops/native/pack.h"
#include "ops/native/simd.h"
#include "ops/ops.h"

#include <math.h>

enum {
    BN_PIECE_FLOATS = 1 << 14, /* 64 KiB of x, which the second reading finds in cache */
    BN_X = 0,
    BN_GAMMA,
    BN_BETA,
    BN_MEAN,
    BN_VAR
};

typedef struct bn_job {
    const lode_simd *simd;
    int64_t rows, c, grain, pieces;
    const float *x, *g;
    float *out;
    float *mean;            /* [pieces, C] of the pieces in forward, then [C] */
    float *k1, *k2, *k3;    /* [C] coefficients of the last sweep */
    float *beta;            /* [C], with an activation */
    simd_norm_act act;      /* none: the kernels without */
    double *s1, *s2, *work; /* [pieces, C] */
} bn_job;

static lode_layout bn_layout(const lode_tensor *t) {
    return t->shape.n_dims == 4 ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS;
}

bool native_batch_norm_supports(const lode_op_call *c) {
    const lode_tensor *x = c->x[BN_X];
    return call_is_f32(c) && (x->shape.n_dims == 4 || x->shape.n_dims == 2);
}

static bn_job bn_job_of(const lode_op_call *c) {
    const lode_shape *x = &c->x[BN_X]->shape;
    bn_job j = {.simd = lode_simd_get(), .c = x->dim[1], .rows = lode_shape_count(x) / x->dim[1]};
    j.grain = BN_PIECE_FLOATS / j.c > 64 ? BN_PIECE_FLOATS / j.c : 64;
    if (j.grain > j.rows) j.grain = j.rows;
    j.pieces = lode_parallel_pieces(j.rows, j.grain);
    return j;
}

static void bn_take(bn_job *j, workspace *ws) {
    size_t n = (size_t)(j->pieces * j->c), c = (size_t)j->c;
    j->s1 = workspace_take(ws, n * sizeof(double));
    j->s2 = workspace_take(ws, n * sizeof(double));
    j->work = workspace_take(ws, n * sizeof(double));
    j->mean = workspace_floats(ws, n);
    j->k1 = workspace_floats(ws, c);
    j->k2 = workspace_floats(ws, c);
    j->k3 = workspace_floats(ws, c);
    j->beta = workspace_floats(ws, c);
}

size_t native_batch_norm_workspace(const lode_op_call *c, bool backward) {
    bn_job j = bn_job_of(c);
    workspace ws = {NULL, 0};
    size_t count = lode_pack_count(c->x[BN_X]);
    bn_take(&j, &ws);
    if (!lode_is_packed(c->x[BN_X], bn_layout(c->x[BN_X]))) {
        workspace_floats(&ws, count);
        workspace_floats(&ws, count); /* dx lies as x does */
    }
    if (backward)
        workspace_floats(&ws, count);
    else if (c->y && !lode_is_packed(c->y, bn_layout(c->y)))
        workspace_floats(&ws, count);
    return ws.used;
}

static const float *bn_in(workspace *ws, const lode_tensor *t) {
    if (lode_is_packed(t, bn_layout(t))) return t->data;
    float *copy = workspace_floats(ws, lode_pack_count(t));
    lode_pack(t, bn_layout(t), copy);
    return copy;
}

/* The i-th of a per-channel input, or `otherwise` when it is absent. */
static double bn_at(const lode_op_call *c, int input, int64_t i, double otherwise) {
    const lode_tensor *t = input < c->n_x ? c->x[input] : NULL;
    return t ? (double)((const float *)t->data)[i * t->stride[0]] : otherwise;
}
static void bn_put(lode_tensor *t, int64_t i, double v) {
    if (t) ((float *)t->data)[i * t->stride[0]] = (float)v;
}

/* ---- forward ---- */

static void bn_stats_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const bn_job *j = ctx;
    int64_t at = piece * j->c;
    j->simd->norm_stats(end - begin, j->c, j->x + begin * j->c, j->mean + at, j->s1 + at,
                        j->s2 + at, j->work + at);
}

static void bn_apply_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const bn_job *j = ctx;
    (void)piece;
    if (j->act.act != LODE_ACT_NONE)
        j->simd->norm_act_apply(end - begin, j->c, j->x + begin * j->c, &j->act,
                                j->out + begin * j->c);
    else
        j->simd->norm_apply(end - begin, j->c, j->x + begin * j->c, j->k3, j->k1, j->k2,
                            j->out + begin * j->c);
}

/* Mean and variance of the batch into s1, s2 [C]. */
static void bn_merge(bn_job *j) {
    double n = (double)j->rows;
    double *mean = j->work; /* the pieces' work is done */
    for (int64_t i = 0; i < j->c; i++) mean[i] = 0;
    for (int64_t p = 0; p < j->pieces; p++)
        for (int64_t i = 0; i < j->c; i++) mean[i] += j->s1[p * j->c + i];
    for (int64_t i = 0; i < j->c; i++) mean[i] /= n;
    for (int64_t p = 0; p < j->pieces; p++) {
        int64_t left = j->rows - p * j->grain, rows = left < j->grain ? left : j->grain;
        for (int64_t i = 0; i < j->c; i++) {
            double off = j->s1[p * j->c + i] / (double)rows - mean[i];
            double m2 = j->s2[p * j->c + i] + (double)rows * off * off;
            j->s2[i] = p == 0 ? m2 : j->s2[i] + m2;
        }
    }
    for (int64_t i = 0; i < j->c; i++) {
        j->s1[i] = mean[i];
        j->s2[i] = j->s2[i] > 0 ? j->s2[i] / n : 0;
    }
}

static void bn_update_running(const lode_op_call *c, const bn_job *j) {
    const lode_batch_norm_params *p = c->params;
    double n = (double)j->rows, m = p->momentum;
    if (!p->update_running || c->repeated || c->n_x <= BN_VAR) return;
    for (int64_t i = 0; i < j->c; i++) {
        bn_put(c->x[BN_MEAN], i, (1 - m) * bn_at(c, BN_MEAN, i, 0) + m * j->s1[i]);
        if (n > 1) /* one value says nothing about a spread */
            bn_put(c->x[BN_VAR], i, (1 - m) * bn_at(c, BN_VAR, i, 0) + m * j->s2[i] * n / (n - 1));
    }
}

lode_status native_batch_norm_forward(const lode_op_call *c) {
    const lode_batch_norm_params *p = c->params;
    bn_job j = bn_job_of(c);
    workspace ws = {c->workspace, 0};
    bn_take(&j, &ws);
    j.x = bn_in(&ws, c->x[BN_X]);
    bool unpack = !lode_is_packed(c->y, bn_layout(c->y));
    j.out = unpack ? workspace_floats(&ws, lode_pack_count(c->y)) : c->y->data;
    if (p->use_batch) {
        lode_parallel_for(j.rows, j.grain, bn_stats_piece, &j);
        bn_merge(&j);
        bn_update_running(c, &j);
    }
    for (int64_t i = 0; i < j.c; i++) {
        double mean = p->use_batch ? j.s1[i] : bn_at(c, BN_MEAN, i, 0);
        double var = p->use_batch ? j.s2[i] : bn_at(c, BN_VAR, i, 1);
        double rstd = 1 / sqrt(var + p->eps);
        bn_put(c->aux[0], i, mean);
        bn_put(c->aux[1], i, rstd);
        j.k1[i] = (float)(rstd * bn_at(c, BN_GAMMA, i, 1));
        j.k2[i] = (float)bn_at(c, BN_BETA, i, 0);
        j.k3[i] = (float)mean;
    }
    j.act = (simd_norm_act){p->act, j.k3, j.k1, j.k2};
    lode_parallel_for(j.rows, j.grain, bn_apply_piece, &j);
    if (unpack) lode_unpack(j.out, bn_layout(c->y), c->y);
    return LODE_OK;
}

/* ---- backward ---- */

static void bn_sums_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const bn_job *j = ctx;
    int64_t at = piece * j->c;
    if (j->act.act != LODE_ACT_NONE)
        j->simd->norm_act_grad_sums(end - begin, j->c, j->x + begin * j->c, j->g + begin * j->c,
                                    &j->act, j->s1 + at, j->s2 + at);
    else
        j->simd->norm_grad_sums(end - begin, j->c, j->x + begin * j->c, j->g + begin * j->c,
                                j->mean, j->s1 + at, j->s2 + at);
}

static void bn_grad_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const bn_job *j = ctx;
    (void)piece;
    if (j->act.act != LODE_ACT_NONE)
        j->simd->norm_act_grad(end - begin, j->c, j->x + begin * j->c, j->g + begin * j->c, &j->act,
                               j->k2, j->k3, j->out + begin * j->c);
    else
        j->simd->norm_grad(end - begin, j->c, j->x + begin * j->c, j->g + begin * j->c, j->mean,
                           j->k1, j->k2, j->k3, j->out + begin * j->c);
}

/* Sums of the pieces into s1, s2 [C]; s2 with xhat for x - mean. */
static void bn_add_sums(bn_job *j, const lode_tensor *rstd) {
    const float *r = rstd->data;
    for (int64_t p = 1; p < j->pieces; p++)
        for (int64_t i = 0; i < j->c; i++) {
            j->s1[i] += j->s1[p * j->c + i];
            j->s2[i] += j->s2[p * j->c + i];
        }
    for (int64_t i = 0; i < j->c; i++) j->s2[i] *= (double)r[i];
}

lode_status native_batch_norm_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx) {
    const lode_batch_norm_params *p = c->params;
    bn_job j = bn_job_of(c);
    workspace ws = {c->workspace, 0};
    lode_layout layout = bn_layout(c->x[BN_X]);
    bn_take(&j, &ws);
    bool unpack = dx[BN_X] && !lode_is_packed(dx[BN_X], layout);
    if (dx[BN_X]) j.out = dx[BN_X]->data;
    if (unpack) j.out = workspace_floats(&ws, lode_pack_count(dx[BN_X]));
    size_t copies = (size_t)!lode_is_packed(c->x[BN_X], layout) + !lode_is_packed(dy, layout);
    if (ws.used + copies * lode_pack_count(dy) * sizeof(float) > c->workspace_bytes)
        return c->op->reference.backward(c, dy, dx);
    j.x = bn_in(&ws, c->x[BN_X]);
    j.g = bn_in(&ws, dy);
    memcpy(j.mean, c->aux[0]->data, (size_t)j.c * sizeof *j.mean);
    const float *rstd = c->aux[1]->data;
    for (int64_t i = 0; i < j.c; i++) {
        j.k1[i] = (float)((double)rstd[i] * bn_at(c, BN_GAMMA, i, 1));
        j.beta[i] = (float)bn_at(c, BN_BETA, i, 0);
    }
    j.act = (simd_norm_act){p->act, j.mean, j.k1, j.beta};
    lode_parallel_for(j.rows, j.grain, bn_sums_piece, &j);
    bn_add_sums(&j, c->aux[1]);
    for (int64_t i = 0; i < j.c; i++) {
        double r = (double)rstd[i], scale = r * bn_at(c, BN_GAMMA, i, 1), n = (double)j.rows;
        for (int k = BN_GAMMA; k < c->n_x; k++) /* running statistics are given: 0 */
            bn_put(dx[k], i, k == BN_GAMMA ? j.s2[i] : k == BN_BETA ? j.s1[i] : 0);
        j.k2[i] = p->use_batch ? (float)(-scale * r * j.s2[i] / n) : 0;
        j.k3[i] = p->use_batch ? (float)(-scale * j.s1[i] / n) : 0;
    }
    if (!dx[BN_X]) return LODE_OK;
    lode_parallel_for(j.rows, j.grain, bn_grad_piece, &j);
    if (unpack) lode_unpack(j.out, layout, dx[BN_X]);
    return LODE_OK;
}
