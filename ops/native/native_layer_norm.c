/* layer_norm on dense rows (ops/norm.c has the formulas). Gradients of gamma and beta are sums over
   rows: fixed pieces, partials in double, added in order. */
#include "core/parallel.h"
#include "ops/native/conv_shape.h"
#include "ops/native/native_internal.h"
#include "ops/native/pack.h"
#include "ops/native/simd.h"
#include "ops/ops.h"

#include <string.h>

enum { LN_X, LN_GAMMA, LN_BETA, LN_PIECE_FLOATS = 1 << 13 };

typedef struct ln_job {
    const lode_simd *simd;
    int64_t rows, d, grain, pieces;
    double eps;
    const float *x, *g, *gamma, *beta;
    float *out, *mean, *rstd;
    double *dgamma, *dbeta; /* [pieces, D] or NULL */
} ln_job;

static ln_job ln_job_of(const lode_op_call *c) {
    const lode_shape *s = &c->x[LN_X]->shape;
    ln_job j = {.simd = lode_simd_get(), .d = s->dim[s->n_dims - 1]};
    j.eps = ((const lode_layer_norm_params *)c->params)->eps;
    j.rows = lode_shape_count(s) / j.d;
    j.grain = 1 + LN_PIECE_FLOATS / j.d;
    j.pieces = lode_parallel_pieces(j.rows, j.grain);
    return j;
}

/* gamma or beta, dense; `otherwise` where it is absent. */
static const float *ln_affine(const lode_op_call *c, int input, float otherwise, workspace *ws) {
    const lode_tensor *t = input < c->n_x ? c->x[input] : NULL;
    int64_t d = c->x[LN_X]->shape.dim[c->x[LN_X]->shape.n_dims - 1];
    float *v = workspace_floats(ws, (size_t)d);
    if (!ws->base) return NULL;
    for (int64_t i = 0; i < d; i++)
        v[i] = t ? ((const float *)t->data)[i * t->stride[0]] : otherwise;
    return v;
}

/* x, and y or dy with dx: as many copies as none of them being dense would need. */
size_t native_layer_norm_workspace(const lode_op_call *c, bool backward) {
    ln_job j = ln_job_of(c);
    workspace ws = {NULL, 0};
    ln_affine(c, LN_GAMMA, 1, &ws);
    ln_affine(c, LN_BETA, 0, &ws);
    size_t n = (size_t)(j.rows * j.d);
    if (!backward) {
        workspace_floats(&ws, (size_t)j.rows);
        workspace_floats(&ws, (size_t)j.rows);
    } else {
        workspace_take(&ws, 2 * (size_t)(j.pieces * j.d) * sizeof(double));
        workspace_floats(&ws, n);
    }
    workspace_floats(&ws, n);
    workspace_floats(&ws, n);
    return ws.used;
}

static void ln_forward_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const ln_job *j = ctx;
    (void)piece;
    j->simd->row_norm(end - begin, j->d, j->x + begin * j->d, j->gamma, j->beta, j->eps,
                      j->out + begin * j->d, j->mean + begin, j->rstd + begin);
}

lode_status native_layer_norm_forward(const lode_op_call *c) {
    ln_job j = ln_job_of(c);
    workspace ws = {c->workspace, 0};
    size_t n = (size_t)(j.rows * j.d);
    j.gamma = ln_affine(c, LN_GAMMA, 1, &ws);
    j.beta = ln_affine(c, LN_BETA, 0, &ws);
    j.mean = workspace_floats(&ws, (size_t)j.rows);
    j.rstd = workspace_floats(&ws, (size_t)j.rows);
    if (c->aux[0]) j.mean = c->aux[0]->data;
    if (c->aux[1]) j.rstd = c->aux[1]->data;
    j.x = lode_packed(c->x[LN_X], LODE_CONTIGUOUS, workspace_floats(&ws, n));
    bool unpack = !lode_is_packed(c->y, LODE_CONTIGUOUS);
    j.out = unpack ? workspace_floats(&ws, n) : c->y->data;
    lode_parallel_for(j.rows, j.grain, ln_forward_piece, &j);
    if (unpack) lode_unpack(j.out, LODE_CONTIGUOUS, c->y);
    return LODE_OK;
}

static void ln_backward_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const ln_job *j = ctx;
    int64_t at = begin * j->d;
    j->simd->row_norm_grad(end - begin, j->d, j->x + at, j->g + at, j->gamma, j->mean + begin,
                           j->rstd + begin, j->out ? j->out + at : NULL,
                           j->dgamma ? j->dgamma + piece * j->d : NULL,
                           j->dbeta ? j->dbeta + piece * j->d : NULL);
}

static void ln_add_pieces(const ln_job *j, const double *parts, lode_tensor *out) {
    for (int64_t i = 0; parts && i < j->d; i++) {
        double sum = 0;
        for (int64_t p = 0; p < j->pieces; p++) sum += parts[p * j->d + i];
        ((float *)out->data)[i * out->stride[0]] = (float)sum;
    }
}

lode_status native_layer_norm_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx) {
    ln_job j = ln_job_of(c);
    workspace ws = {c->workspace, 0};
    size_t n = (size_t)(j.rows * j.d), sums = (size_t)(j.pieces * j.d);
    lode_tensor *dgamma = c->n_x > LN_GAMMA ? dx[LN_GAMMA] : NULL;
    lode_tensor *dbeta = c->n_x > LN_BETA ? dx[LN_BETA] : NULL;
    j.gamma = ln_affine(c, LN_GAMMA, 1, &ws);
    workspace_floats(&ws, (size_t)j.d); /* beta plays no part */
    double *parts = workspace_take(&ws, 2 * sums * sizeof(double));
    memset(parts, 0, 2 * sums * sizeof(double));
    if (dgamma) j.dgamma = parts;
    if (dbeta) j.dbeta = parts + sums;
    j.mean = c->aux[0]->data;
    j.rstd = c->aux[1]->data;
    j.x = lode_packed(c->x[LN_X], LODE_CONTIGUOUS, workspace_floats(&ws, n));
    j.g = lode_packed(dy, LODE_CONTIGUOUS, workspace_floats(&ws, n));
    bool unpack = dx[LN_X] && !lode_is_packed(dx[LN_X], LODE_CONTIGUOUS);
    if (dx[LN_X]) j.out = unpack ? workspace_floats(&ws, n) : dx[LN_X]->data;
    lode_parallel_for(j.rows, j.grain, ln_backward_piece, &j);
    ln_add_pieces(&j, j.dgamma, dgamma);
    ln_add_pieces(&j, j.dbeta, dbeta);
    if (unpack) lode_unpack(j.out, LODE_CONTIGUOUS, dx[LN_X]);
    return LODE_OK;
}
