/* Backward of mbconv; native_mbconv.c tells the idea, and the names r, q, s. */
#include "core/parallel.h"
#include "ops/native/native_mbconv.h"
#include "ops/native/pack.h"

enum { MB_MIX_ROWS = 16 };

static lode_tensor *mb_norm_grad(const mb_job *j, int norm, int what) {
    return j->grad[MBCONV_NORM + norm * MBCONV_NORM_INPUTS + what];
}

/* ---- norm 3 ---- */

static void mb_norm3_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const mb_job *j = ctx;
    int64_t Q = j->d.OH * j->d.OW, O = j->d.O, at = begin * Q * O;
    j->simd->norm_grad_sums((end - begin) * Q, O, j->z3 + at, j->dy + at, j->mean3,
                            j->s1 + piece * O, j->s2 + piece * O);
}

/* dz3 = of_g dy + of_x (z3 - mean3) + rest */
static void mb_norm3(mb_job *j) {
    double n = (double)(j->d.N * j->d.OH * j->d.OW);
    int64_t O = j->d.O;
    for (int64_t i = 0; i < O; i++) j->mean3[i] = (float)mb_mean(j, 2, i);
    lode_parallel_for(j->d.N, j->images, mb_norm3_piece, j);
    for (int64_t i = 0; i < O; i++) {
        double r = 0, q = 0, rstd = mb_rstd(j, 2, i), scale = mb_scale(j, 2, i);
        for (int64_t p = 0; p < j->pieces; p++) {
            r += j->s1[p * O + i];
            q += j->s2[p * O + i];
        }
        mb_put(mb_norm_grad(j, 2, MBCONV_GAMMA), i, q * rstd);
        mb_put(mb_norm_grad(j, 2, MBCONV_BETA), i, r);
        j->of_g[i] = (float)scale;
        j->of_x[i] = (float)(-scale * rstd * rstd * q / n);
        j->rest[i] = (float)(-scale * r / n);
    }
}

/* ---- first sweep: projection ---- */

/* With `again` those of all images are kept. */
static float *mb_dz3(const mb_job *j, int64_t image) {
    return j->dz3 + (j->m.again ? image : lode_parallel_thread()) * j->dz3_floats;
}

static void mb_project_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const mb_job *j = ctx;
    int64_t Q = j->d.OH * j->d.OW, O = j->d.O;
    double *sum = j->s1 + piece * j->wide, *sum_z = j->s2 + piece * j->wide;
    float *dw = NULL;
    memset(sum, 0, (size_t)j->wide * sizeof *sum);
    memset(sum_z, 0, (size_t)j->wide * sizeof *sum_z);
    if (j->grad[MBCONV_PROJECT] != NULL) {
        dw = j->dw_project + piece * j->wide * O;
        memset(dw, 0, (size_t)(j->wide * O) * sizeof *dw);
    }
    for (int64_t n = begin; n < end; n++) {
        int64_t at = n * j->wide * Q;
        float *dz3 = mb_dz3(j, n);
        j->simd->norm_grad(Q, O, j->z3 + n * Q * O, j->dy + n * Q * O, j->mean3, j->of_g, j->of_x,
                           j->rest, dz3);
        float *g2 = j->g2 != NULL ? j->g2 + at : NULL;
        if (j->d.R > 0)
            j->simd->mb_project_gated(&j->m, &j->w, mb_gate(j, n), dz3, j->z2 + at, g2, dw,
                                      mb_gate_sums(j, n - begin), mb_scratch(j));
        else
            j->simd->mb_project_backward(&j->m, &j->w, dz3, j->z2 + at, g2, dw, sum, sum_z,
                                         mb_scratch(j));
    }
    mb_gates_backward(j, begin, end, sum, sum_z);
}

static void mb_norm2(mb_job *j) {
    double n = (double)(j->d.N * j->d.OH * j->d.OW);
    for (int64_t i = 0; i < j->wide; i++) {
        bool used = i < j->d.M;
        double r = 0, q = 0, rstd = used ? mb_rstd(j, 1, i) : 0;
        double scale = used ? mb_scale(j, 1, i) : 0, mean = used ? mb_mean(j, 1, i) : 0;
        for (int64_t p = 0; p < j->pieces; p++) {
            r += j->s1[p * j->wide + i];
            q += j->s2[p * j->wide + i];
        }
        double of_z = -scale * rstd * rstd * q / n;
        mb_writable(j->w.of_g)[i] = (float)scale;
        mb_writable(j->w.of_z)[i] = (float)of_z;
        mb_writable(j->w.rest)[i] = (float)(-scale * r / n - of_z * mean);
        if (!used) continue;
        mb_put(mb_norm_grad(j, 1, MBCONV_GAMMA), i, q * rstd);
        mb_put(mb_norm_grad(j, 1, MBCONV_BETA), i, r);
    }
}

/* ---- second sweep: depthwise convolution and expansion ---- */

static void mb_depthwise_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const mb_job *j = ctx;
    int64_t P = j->d.H * j->d.W, Q = j->d.OH * j->d.OW, C = j->d.C;
    double *sum = j->s1 + piece * j->wide;
    float *scratch = mb_scratch(j), *dw = NULL;
    float *xg = j->d.expands ? j->xg + piece * j->wide * C : NULL;
    memset(sum, 0, (size_t)j->wide * sizeof *sum);
    if (j->grad[MBCONV_DEPTHWISE] != NULL) {
        dw = j->dw_depthwise + piece * j->wide * j->taps;
        memset(dw, 0, (size_t)(j->wide * j->taps) * sizeof *dw);
    }
    if (xg != NULL) memset(xg, 0, (size_t)(j->wide * C) * sizeof *xg);
    j->simd->mb_begin(&j->m, scratch);
    for (int64_t n = begin; n < end; n++) {
        simd_mb_gate gate = {mb_gate(j, n), j->spread + n * j->wide};
        for (int64_t pair = 0; pair < j->m.pairs; pair++) {
            int64_t channel = 2 * pair * j->simd->lanes, at = (n * j->wide + channel) * Q;
            j->simd->mb_backward(&j->m, &j->w, j->d.R > 0 ? &gate : NULL, pair, j->x + n * P * C,
                                 j->z2 + at, j->g2 != NULL ? j->g2 + at : NULL, mb_dz3(j, n),
                                 dw != NULL ? dw + channel * j->taps : NULL,
                                 xg != NULL ? xg + channel * C : NULL, sum + channel,
                                 j->dx != NULL ? j->dx + n * P * C : NULL, pair > 0, scratch);
        }
    }
}

/* ---- weight gradients out of the pieces' partial sums ---- */

/* Sums of the pieces' partial [blocks][per][lanes] of block b. */
static const double *mb_sums(const mb_job *j, const float *partial, int64_t per, int64_t b) {
    int64_t lanes = j->simd->lanes;
    double *sum = mb_work(j);
    j->simd->mb_sum_pieces(j->pieces, j->wide * per, per * lanes, partial + b * per * lanes, sum);
    return sum;
}

static void mb_weights_piece(void *ctx, int64_t b, int64_t begin, int64_t end) {
    const mb_job *j = ctx;
    lode_tensor *depthwise = j->grad[MBCONV_DEPTHWISE], *project = j->grad[MBCONV_PROJECT];
    int64_t lanes = j->simd->lanes, first = b * lanes, n = j->d.M - first;
    int64_t M = j->d.M / j->d.groups, O = j->d.O / j->d.groups; /* of a group */
    (void)begin, (void)end;
    if (n > lanes) n = lanes;
    if (depthwise != NULL) {
        const double *sum = mb_sums(j, j->dw_depthwise, j->taps, b);
        float *to = (float *)depthwise->data + first * j->taps;
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < j->taps; k++) to[i * j->taps + k] = (float)sum[k * lanes + i];
    }
    if (project != NULL) {
        const double *sum = mb_sums(j, j->dw_project, j->d.O, b);
        for (int64_t i = 0; i < n; i++) {
            int64_t group = (first + i) / M, at = (first + i) % M;
            for (int64_t o = group * O; o < (group + 1) * O; o++)
                ((float *)project->data)[o * M + at] = (float)sum[o * lanes + i];
        }
    }
}

/* Norm 1's part of one block: its gradients, the expansion's, and what dx is short of. */
static void mb_norm1_block(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const mb_job *j = ctx;
    int64_t C = j->d.C, lanes = j->simd->lanes, first = begin * lanes;
    int64_t last = end * lanes < j->d.M ? end * lanes : j->d.M;
    double n = (double)(j->d.N * j->d.H * j->d.W), *t = mb_work(j), *xg = t + C;
    const float *weights = j->expand;
    float *cov_w = (float *)(xg + C * lanes); /* [lanes, C] */
    lode_tensor *dw = j->grad[MBCONV_EXPAND];
    (void)piece;
    if (dw != NULL)
        j->simd->gemm(last - first, C, C, weights + first * C, C, 1, j->packed_cov, C, cov_w, C,
                      false);
    j->simd->mb_sum_pieces(j->pieces, j->wide * C, C * lanes, j->xg + first * C, xg);
    for (int64_t i = first; i < last; i++) {
        const float *w = weights + i * C, *v = cov_w + (i - first) * C;
        double r = 0, q = 0, rstd = mb_rstd(j, 0, i), scale = mb_scale(j, 0, i);
        for (int64_t p = 0; p < j->pieces; p++) r += j->s1[p * j->wide + i];
        for (int64_t k = 0; k < C; k++) t[k] = xg[k * lanes + i - first] - r * j->mean_x[k];
        for (int64_t k = 0; k < C; k++) q += (double)w[k] * t[k];
        double spread = q * rstd * rstd;
        for (int64_t k = 0; k < C; k++) {
            t[k] = scale * (t[k] - (dw != NULL ? spread * (double)v[k] : 0));
            j->kappa_w[i * C + k] = (float)(-scale * spread / n * (double)w[k]);
        }
        int64_t to = mb_source(j, 0, i), I = C / j->d.groups;
        for (int64_t k = 0, at = to / (j->d.M / j->d.groups) * I; dw != NULL && k < I; k++)
            ((float *)dw->data)[to * I + k] = (float)t[at + k];
        mb_put(mb_norm_grad(j, 0, MBCONV_GAMMA), to, q * rstd);
        mb_put(mb_norm_grad(j, 0, MBCONV_BETA), to, r);
        j->r1[i] = scale * r / n;
    }
}

static void mb_pack_cov(mb_job *j) {
    int64_t C = j->d.C;
    for (int64_t i = 0; i < C * C; i++) j->cov32[i] = (float)j->cov[i];
    j->simd->gemm_pack(C, C, j->cov32, C, 1, j->packed_cov, 0, C);
}

static void mb_mix_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const mb_job *j = ctx;
    const float *w = j->expand;
    (void)piece;
    j->simd->gemm(end - begin, j->d.C, j->d.M, w + begin, 1, j->d.C, j->packed, j->d.M,
                  j->mix + begin * j->m.in_wide, j->m.in_wide, false);
}

static void mb_affine_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const mb_job *j = ctx;
    int64_t C = j->d.C, P = j->d.H * j->d.W, at = begin * P * C;
    (void)piece;
    j->simd->mb_affine((end - begin) * P, C, j->x + at, j->mix, j->offset,
                       j->add_dy ? j->dy + at : NULL, j->dx + at);
}

/* dx += x mix + offset: the part of dx that goes through the statistics of norm 1. */
static void mb_norm1_dx(mb_job *j) {
    int64_t C = j->d.C, M = j->d.M, wide = j->m.in_wide;
    const float *w = j->expand;
    memset(j->mix, 0, (size_t)(C * wide) * sizeof *j->mix);
    memset(j->offset, 0, (size_t)wide * sizeof *j->offset);
    j->simd->gemm_pack(M, C, j->kappa_w, C, 1, j->packed, 0, M);
    lode_parallel_for(C, MB_MIX_ROWS, mb_mix_piece, j);
    double *sum = j->work;
    for (int64_t k = 0; k < C; k++) sum[k] = 0;
    for (int64_t i = 0; i < M; i++)
        for (int64_t k = 0; k < C; k++) sum[k] -= j->r1[i] * (double)w[i * C + k];
    for (int64_t i = 0; i < C; i++)
        for (int64_t k = 0; k < C; k++) sum[k] -= j->mean_x[i] * (double)j->mix[i * wide + k];
    for (int64_t k = 0; k < C; k++) j->offset[k] = (float)sum[k];
    lode_parallel_for(j->d.N, j->images, mb_affine_piece, j);
}

static void mb_add_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const mb_job *j = ctx;
    int64_t image = j->d.C * j->d.H * j->d.W;
    (void)piece;
    for (int64_t i = begin * image; i < end * image; i++) j->dx[i] += j->dy[i];
}

/* ---- the whole ---- */

static void mb_take_backward(mb_job *j, workspace *ws) {
    const mbconv_dims *d = &j->d;
    size_t rows = (size_t)(d->N * d->OH * d->OW), wide = (size_t)j->wide, C = (size_t)d->C;
    size_t pieces = (size_t)j->pieces, panel = (size_t)j->simd->gemm_panel();
    mb_take(j, ws);
    mb_take_gates(j, ws, true);
    j->dz3_floats = (d->OH * d->OW * d->O + 15) / 16 * 16;
    if (!j->m.again) j->g2 = workspace_floats(ws, rows * wide);
    size_t images = j->m.again ? (size_t)d->N : (size_t)lode_get_threads();
    j->dz3 = workspace_floats(ws, images * (size_t)j->dz3_floats);
    j->dw_project = workspace_floats(ws, pieces * wide * (size_t)d->O);
    j->dw_depthwise = workspace_floats(ws, pieces * wide * (size_t)j->taps);
    if (!d->expands) return;
    j->xg = workspace_floats(ws, pieces * wide * C);
    j->cov32 = workspace_floats(ws, C * C);
    j->packed_cov = workspace_floats(ws, C * ((C + panel - 1) / panel * panel));
    j->kappa_w = workspace_floats(ws, wide * C);
    j->packed = workspace_floats(ws, (size_t)d->M * ((C + panel - 1) / panel * panel));
    j->mix = workspace_floats(ws, C * (size_t)j->m.in_wide);
    j->offset = workspace_floats(ws, (size_t)j->m.in_wide);
    j->r1 = workspace_take(ws, wide * sizeof(double));
}

size_t native_mbconv_workspace(const lode_op_call *c, bool backward) {
    if (!backward) return native_mbconv_forward_workspace(c);
    mb_job j = mb_job_of(c);
    workspace ws = {NULL, 0};
    mb_take_backward(&j, &ws);
    workspace_floats(&ws, lode_pack_count(c->x[MBCONV_X])); /* copies of x, dx, dy, if need be */
    workspace_floats(&ws, lode_pack_count(c->x[MBCONV_X]));
    workspace_floats(&ws, lode_pack_count(c->y));
    return ws.used;
}

static const float *mb_image(workspace *ws, const lode_tensor *t) {
    if (lode_is_packed(t, LODE_CHANNELS_LAST)) return t->data;
    float *copy = workspace_floats(ws, lode_pack_count(t));
    lode_pack(t, LODE_CHANNELS_LAST, copy);
    return copy;
}

lode_status native_mbconv_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx) {
    mb_job j = mb_job_of(c);
    workspace ws = {c->workspace, 0};
    lode_tensor *to = dx[MBCONV_X];
    for (int i = MBCONV_DEPTHWISE; i < c->n_x; i++)
        if (dx[i] != NULL && !lode_is_packed(dx[i], LODE_CONTIGUOUS))
            return c->op->reference.backward(c, dy, dx);
    mb_take_backward(&j, &ws);
    mb_bind(&j);
    j.grad = dx;
    j.x = mb_image(&ws, c->x[MBCONV_X]);
    j.dy = mb_image(&ws, dy);
    bool unpack = to != NULL && !lode_is_packed(to, LODE_CHANNELS_LAST);
    if (to != NULL) j.dx = unpack ? workspace_floats(&ws, lode_pack_count(to)) : to->data;
    j.add_dy = j.p->residual;
    mb_norm3(&j);
    mb_pack_project(&j);
    mb_pack_gates(&j, true);
    mb_pack_depthwise(&j);
    if (j.d.expands) mb_pack_expand(&j, 0, j.m.blocks);
    lode_parallel_for(j.d.N, j.images, mb_project_piece, &j);
    mb_norm2(&j);
    mb_gate_weights(&j);
    lode_parallel_for(j.d.N, j.images, mb_depthwise_piece, &j);
    lode_parallel_for(j.m.blocks, 1, mb_weights_piece, &j);
    if (j.d.expands) {
        mb_pack_cov(&j);
        lode_parallel_for(j.m.blocks, 1, mb_norm1_block, &j);
        if (j.dx != NULL) mb_norm1_dx(&j);
    } else if (j.dx != NULL && j.add_dy) {
        lode_parallel_for(j.d.N, j.images, mb_add_piece, &j);
    }
    for (int norm = 0; norm < 3; norm++) /* running statistics are given: 0 */
        for (int what = MBCONV_MEAN; what <= MBCONV_VAR; what++)
            if (mb_norm_grad(&j, norm, what) != NULL)
                LODE_TRY(lode_tensor_fill(mb_norm_grad(&j, norm, what), 0));
    if (unpack) lode_unpack(j.dx, LODE_CHANNELS_LAST, to);
    return LODE_OK;
}
