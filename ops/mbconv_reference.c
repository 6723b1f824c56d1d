/* mbconv_reference.c   The inverted residual as its definition: the chain is computed and walked
   back in doubles, with all tensors spelled out, and reads nothing that forward kept.

       z1 = 1x1(x)               a1 = shuffle(act(norm1(z1)))   all left out without an expansion
       z2 = depthwise(a1)        a2 = act(norm2(z2))
       gate = hsigmoid(widen relu(reduce mean(a2)))  [N,M]      1 without squeeze-and-excite
       z3 = 1x1(gate a2)         y  = norm3(z3) (+ x)

   The norms use the batch's statistics. */
#include "ops/mbconv.h"
#include "ops/op_util.h"

#include <math.h>
#include <string.h>

/* ---- the parts, on plain arrays [N,C,P], P pixels ---- */

typedef struct mbconv_norm {
    int64_t N, C, P;
    double *mean, *rstd; /* [C] */
    const double *gamma, *beta;
    lode_act act;
} mbconv_norm;

static void mbconv_statistics(const mbconv_norm *n, const double *z, double eps) {
    double count = (double)(n->N * n->P);
    for (int64_t c = 0; c < n->C; c++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < n->N; i++)
            for (int64_t j = 0; j < n->P; j++) sum += z[(i * n->C + c) * n->P + j];
        for (int64_t i = 0; i < n->N; i++)
            for (int64_t j = 0; j < n->P; j++) {
                double off = z[(i * n->C + c) * n->P + j] - sum / count;
                squares += off * off;
            }
        n->mean[c] = sum / count;
        n->rstd[c] = 1 / sqrt(squares / count + eps);
    }
}

static double mbconv_normal(const mbconv_norm *n, int64_t c, double z) {
    double xhat = (z - n->mean[c]) * n->rstd[c];
    return xhat * (n->gamma ? n->gamma[c] : 1) + (n->beta ? n->beta[c] : 0);
}

static void mbconv_norm_act(const mbconv_norm *n, const double *z, double *a) {
    for (int64_t i = 0; i < n->N * n->C; i++)
        for (int64_t j = 0; j < n->P; j++)
            a[i * n->P + j] = lode_act_value(n->act, mbconv_normal(n, i % n->C, z[i * n->P + j]));
}

/* g: the gradient of a on entry, of z on return. */
static void mbconv_norm_act_backward(const mbconv_norm *n, const double *z, double *g,
                                     double *dgamma, double *dbeta) {
    double count = (double)(n->N * n->P);
    for (int64_t c = 0; c < n->C; c++) {
        double sum = 0, sum_xhat = 0, scale = n->rstd[c] * (n->gamma ? n->gamma[c] : 1);
        for (int64_t i = 0; i < n->N; i++)
            for (int64_t j = 0; j < n->P; j++) {
                int64_t at = (i * n->C + c) * n->P + j;
                g[at] *= lode_act_slope(n->act, mbconv_normal(n, c, z[at]));
                sum += g[at];
                sum_xhat += g[at] * (z[at] - n->mean[c]) * n->rstd[c];
            }
        if (dgamma != NULL) dgamma[c] = sum_xhat;
        if (dbeta != NULL) dbeta[c] = sum;
        for (int64_t i = 0; i < n->N; i++)
            for (int64_t j = 0; j < n->P; j++) {
                int64_t at = (i * n->C + c) * n->P + j;
                double xhat = (z[at] - n->mean[c]) * n->rstd[c];
                g[at] = scale * (g[at] - (sum + xhat * sum_xhat) / count);
            }
    }
}

/* x [N,C,P] to z [N,O,P] by w [O,C/G]: z[n,o,p] = sum_c w[o,c] x[n,c,p] within groups. */
typedef struct mbconv_point {
    int64_t N, C, O, P, G;
} mbconv_point;

/* Forward: adds to z. dz given: adds to dx and dw instead. */
static void mbconv_product(mbconv_point s, const double *x, const double *w, double *z,
                           const double *dz, double *dx, double *dw) {
    int64_t I = s.C / s.G;
    for (int64_t no = 0; no < s.N * s.O; no++)
        for (int64_t c = 0; c < I; c++)
            for (int64_t p = 0; p < s.P; p++) {
                int64_t o = no % s.O, in = no / s.O * s.C + o / (s.O / s.G) * I + c;
                int64_t to = no * s.P + p, from = in * s.P + p, at = o * I + c;
                if (dz == NULL) {
                    z[to] += w[at] * x[from];
                } else {
                    dx[from] += w[at] * dz[to];
                    dw[at] += x[from] * dz[to];
                }
            }
}

/* Images [N,M,P] to and from the order that the depthwise convolution sees. */
static void mbconv_shuffle(const mbconv_dims *d, const double *x, double *y, bool back) {
    size_t P = (size_t)(d->H * d->W);
    for (int64_t n = 0; n < d->N; n++)
        for (int64_t i = 0; i < d->M; i++) {
            size_t a = (size_t)(n * d->M + i) * P;
            size_t b = (size_t)(n * d->M + mbconv_expanded(d, i)) * P;
            memcpy(y + (back ? b : a), x + (back ? a : b), P * sizeof *y);
        }
}

/* One sweep over all taps of z2 = depthwise(a); forward: adds to z; else: adds to da and dw. */
static void mbconv_depthwise(const mbconv_dims *d, const double *a, const double *w, double *z,
                             const double *dz, double *da, double *dw) {
    for (int64_t nc = 0; nc < d->N * d->M; nc++)
        for (int64_t i = 0; i < d->OH; i++)
            for (int64_t j = 0; j < d->OW; j++)
                for (int64_t u = 0; u < d->K; u++)
                    for (int64_t v = 0; v < d->K; v++) {
                        int64_t h = i * d->stride - d->pad + u, x = j * d->stride - d->pad + v;
                        if (h < 0 || h >= d->H || x < 0 || x >= d->W) continue;
                        int64_t from = (nc * d->H + h) * d->W + x;
                        int64_t to = (nc * d->OH + i) * d->OW + j;
                        int64_t tap = (nc % d->M * d->K + u) * d->K + v;
                        if (z != NULL) {
                            z[to] += w[tap] * a[from];
                        } else {
                            da[from] += w[tap] * dz[to];
                            dw[tap] += a[from] * dz[to];
                        }
                    }
}

/* ---- the chain ---- */

typedef struct mbconv_run {
    mbconv_dims d;
    const double *x, *w[3]; /* w by norm: expand, depthwise, project */
    double *z[3], *a1, *a2; /* a1 is x without an expansion */
    double *shuffled;       /* [N,M,H,W] for what is not shuffled yet, or any more */
    mbconv_norm norm[3];
    /* squeeze-and-excite; u: arguments of relu and of hsigmoid; a3 is a2 without it */
    const double *se[MBCONV_N_SE];
    double *pooled, *reduce_u, *reduced, *gate_u, *gate, *a3;
} mbconv_run;

/* Means and covariances of the channels of x. */
static void mbconv_moments(const mbconv_dims *d, const double *x, double *m) {
    int64_t P = d->H * d->W;
    double count = (double)(d->N * P);
    for (int64_t c = 0; c < d->C; c++)
        for (int64_t i = 0; i < d->N * P; i++) m[c] += x[(i / P * d->C + c) * P + i % P] / count;
    for (int64_t c = 0; c < d->C; c++)
        for (int64_t e = 0; e < d->C; e++)
            for (int64_t i = 0; i < d->N * P; i++) {
                const double *at = x + i / P * d->C * P + i % P;
                m[(1 + c) * d->C + e] += (at[c * P] - m[c]) * (at[e * P] - m[e]) / count;
            }
}

static void mbconv_prepare(mbconv_run *m, const lode_op_call *c, lode_ref *r) {
    const lode_mbconv_params *p = c->params;
    mbconv_dims d = m->d = mbconv_dims_of(c);
    int64_t P = d.H * d.W, Q = d.OH * d.OW;
    m->x = lode_ref_in(r, c->x[MBCONV_X]);
    m->w[0] = lode_ref_in(r, c->x[MBCONV_EXPAND]);
    m->w[1] = lode_ref_in(r, c->x[MBCONV_DEPTHWISE]);
    m->w[2] = lode_ref_in(r, c->x[MBCONV_PROJECT]);
    for (int i = 0; i < 3; i++) {
        int64_t channels = i < 2 ? d.M : d.O, pixels = i == 0 ? P : Q;
        double *stats = lode_ref_scratch(r, 2 * channels);
        m->norm[i] = (mbconv_norm){d.N,
                                   channels,
                                   pixels,
                                   stats,
                                   stats + channels,
                                   NULL,
                                   NULL,
                                   i < 2 ? (lode_act)p->act : LODE_ACT_NONE};
        m->norm[i].gamma = lode_ref_in(r, mbconv_norm_input(c, i, MBCONV_GAMMA));
        m->norm[i].beta = lode_ref_in(r, mbconv_norm_input(c, i, MBCONV_BETA));
        m->z[i] = lode_ref_scratch(r, d.N * channels * pixels);
    }
    m->a1 = lode_ref_scratch(r, d.N * d.M * P);
    m->a2 = lode_ref_scratch(r, d.N * d.M * Q);
    m->shuffled = lode_ref_scratch(r, d.N * d.M * P);
    m->a3 = m->a2;
    if (d.R == 0) return;
    for (int i = 0; i < MBCONV_N_SE; i++) m->se[i] = lode_ref_in(r, c->x[MBCONV_SE + i]);
    m->pooled = lode_ref_scratch(r, d.N * d.M);
    m->reduce_u = lode_ref_scratch(r, d.N * d.R);
    m->reduced = lode_ref_scratch(r, d.N * d.R);
    m->gate_u = lode_ref_scratch(r, d.N * d.M);
    m->gate = lode_ref_scratch(r, d.N * d.M);
    m->a3 = lode_ref_scratch(r, d.N * d.M * Q);
}

/* a2 to a3: every channel of an image times its gate. */
static void mbconv_excite(mbconv_run *m) {
    mbconv_dims d = m->d;
    int64_t Q = d.OH * d.OW;
    mbconv_point reduce = {d.N, d.M, d.R, 1, 1}, widen = {d.N, d.R, d.M, 1, 1};
    for (int64_t i = 0; i < d.N * d.M * Q; i++) m->pooled[i / Q] += m->a2[i] / (double)Q;
    for (int64_t i = 0; i < d.N * d.R; i++)
        m->reduce_u[i] = m->se[MBCONV_REDUCE_BIAS] ? m->se[MBCONV_REDUCE_BIAS][i % d.R] : 0;
    mbconv_product(reduce, m->pooled, m->se[MBCONV_REDUCE], m->reduce_u, NULL, NULL, NULL);
    for (int64_t i = 0; i < d.N * d.R; i++) m->reduced[i] = fmax(m->reduce_u[i], 0);
    for (int64_t i = 0; i < d.N * d.M; i++)
        m->gate_u[i] = m->se[MBCONV_WIDEN_BIAS] ? m->se[MBCONV_WIDEN_BIAS][i % d.M] : 0;
    mbconv_product(widen, m->reduced, m->se[MBCONV_WIDEN], m->gate_u, NULL, NULL, NULL);
    for (int64_t i = 0; i < d.N * d.M; i++) m->gate[i] = fmin(fmax(m->gate_u[i] + 3, 0), 6) / 6;
    for (int64_t i = 0; i < d.N * d.M * Q; i++) m->a3[i] = m->gate[i / Q] * m->a2[i];
}

/* What the walk back through the gates needs: gradients of the arguments and of the means. */
typedef struct mbconv_gate_grads {
    double *gate_u, *reduce_u, *pooled, *dw[MBCONV_N_SE]; /* dw of a bias may be NULL */
} mbconv_gate_grads;

/* g: the gradient of a3 on entry, of a2 on return. */
static void mbconv_excite_backward(const mbconv_run *m, mbconv_gate_grads *s, double *g) {
    mbconv_dims d = m->d;
    int64_t Q = d.OH * d.OW;
    mbconv_point reduce = {d.N, d.M, d.R, 1, 1}, widen = {d.N, d.R, d.M, 1, 1};
    for (int64_t i = 0; i < d.N * d.M * Q; i++)
        if (fabs(m->gate_u[i / Q]) < 3) s->gate_u[i / Q] += g[i] * m->a2[i] / 6;
    mbconv_product(widen, m->reduced, m->se[MBCONV_WIDEN], NULL, s->gate_u, s->reduce_u,
                   s->dw[MBCONV_WIDEN]);
    for (int64_t i = 0; i < d.N * d.R; i++)
        if (!(m->reduce_u[i] > 0)) s->reduce_u[i] = 0;
    mbconv_product(reduce, m->pooled, m->se[MBCONV_REDUCE], NULL, s->reduce_u, s->pooled,
                   s->dw[MBCONV_REDUCE]);
    for (int64_t i = 0; s->dw[MBCONV_WIDEN_BIAS] && i < d.N * d.M; i++)
        s->dw[MBCONV_WIDEN_BIAS][i % d.M] += s->gate_u[i];
    for (int64_t i = 0; s->dw[MBCONV_REDUCE_BIAS] && i < d.N * d.R; i++)
        s->dw[MBCONV_REDUCE_BIAS][i % d.R] += s->reduce_u[i];
    for (int64_t i = 0; i < d.N * d.M * Q; i++)
        g[i] = g[i] * m->gate[i / Q] + s->pooled[i / Q] / (double)Q;
}

/* Everything but y. */
static void mbconv_chain(mbconv_run *m, double eps) {
    mbconv_dims d = m->d;
    int64_t P = d.H * d.W, Q = d.OH * d.OW;
    if (d.expands) {
        mbconv_point expand = {d.N, d.C, d.M, P, d.groups};
        mbconv_product(expand, m->x, m->w[0], m->z[0], NULL, NULL, NULL);
        mbconv_statistics(&m->norm[0], m->z[0], eps);
        mbconv_norm_act(&m->norm[0], m->z[0], m->shuffled);
        mbconv_shuffle(&d, m->shuffled, m->a1, false);
    } else {
        memcpy(m->a1, m->x, (size_t)(d.N * d.M * P) * sizeof *m->a1);
    }
    mbconv_depthwise(&d, m->a1, m->w[1], m->z[1], NULL, NULL, NULL);
    mbconv_statistics(&m->norm[1], m->z[1], eps);
    mbconv_norm_act(&m->norm[1], m->z[1], m->a2);
    if (d.R > 0) mbconv_excite(m);
    mbconv_point project = {d.N, d.M, d.O, Q, d.groups};
    mbconv_product(project, m->a3, m->w[2], m->z[2], NULL, NULL, NULL);
    mbconv_statistics(&m->norm[2], m->z[2], eps);
}

static void mbconv_update(const lode_mbconv_params *p, const mbconv_norm *n, double *mean,
                          double *var) {
    double m = p->momentum, count = (double)(n->N * n->P);
    for (int64_t c = 0; c < n->C; c++) {
        double seen = 1 / (n->rstd[c] * n->rstd[c]) - p->eps;
        if (mean != NULL) mean[c] = (1 - m) * mean[c] + m * n->mean[c];
        if (var != NULL && count > 1) /* one value says nothing about a spread */
            var[c] = (1 - m) * var[c] + m * seen * count / (count - 1);
    }
}

lode_status mbconv_reference_forward(const lode_op_call *c) {
    const lode_mbconv_params *p = c->params;
    mbconv_run m = {0};
    lode_ref r = {0};
    mbconv_prepare(&m, c, &r);
    double *y = lode_ref_out(&r, c->y), *z2 = lode_ref_out(&r, c->aux[MBCONV_Z2]);
    double *z3 = lode_ref_out(&r, c->aux[MBCONV_Z3]),
           *stats = lode_ref_out(&r, c->aux[MBCONV_STATS]);
    double *moments = m.d.expands ? lode_ref_out(&r, c->aux[MBCONV_MOMENTS]) : NULL;
    double *gates = lode_ref_out(&r, mbconv_gates(c, &m.d)), *run[3][2] = {{NULL}};
    for (int i = 0; i < 3 && p->update_running && !c->repeated; i++)
        for (int k = 0; k < 2; k++)
            run[i][k] = lode_ref_inout(&r, mbconv_norm_input(c, i, MBCONV_MEAN + k));
    if (!lode_ref_ok(&r)) return lode_ref_end(&r);
    mbconv_chain(&m, p->eps);
    mbconv_norm_act(&m.norm[2], m.z[2], y);
    int64_t Q = m.d.OH * m.d.OW, padded = c->aux[MBCONV_Z2]->shape.dim[1] * Q;
    for (int64_t i = 0; p->residual && i < m.d.N * m.d.O * Q; i++) y[i] += m.x[i];
    for (int64_t n = 0; n < m.d.N; n++)
        memcpy(z2 + n * padded, m.z[1] + n * m.d.M * Q, (size_t)(m.d.M * Q) * sizeof *z2);
    memcpy(z3, m.z[2], (size_t)(m.d.N * m.d.O * Q) * sizeof *z3);
    if (moments != NULL) mbconv_moments(&m.d, m.x, moments);
    mbconv_gate_row row = mbconv_gate_row_of(&m.d);
    for (int64_t n = 0; gates != NULL && n < m.d.N; n++, gates += row.size) {
        memcpy(gates + row.pooled, m.pooled + n * m.d.M, (size_t)m.d.M * sizeof *gates);
        memcpy(gates + row.gate, m.gate + n * m.d.M, (size_t)m.d.M * sizeof *gates);
        memcpy(gates + row.reduced, m.reduced + n * m.d.R, (size_t)m.d.R * sizeof *gates);
    }
    for (int i = 0; i < 3; i++) {
        size_t n = (size_t)m.norm[i].C;
        memcpy(stats + mbconv_stats_at(&m.d, i), m.norm[i].mean, 2 * n * sizeof *stats);
        mbconv_update(p, &m.norm[i], run[i][0], run[i][1]);
    }
    return lode_ref_end(&r);
}

lode_status mbconv_reference_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx) {
    const lode_mbconv_params *p = c->params;
    mbconv_run m = {0};
    lode_ref r = {0};
    double *out[MBCONV_N_INPUTS];
    mbconv_prepare(&m, c, &r);
    mbconv_dims d = m.d;
    int64_t P = d.H * d.W, Q = d.OH * d.OW;
    const double *g = lode_ref_in(&r, dy);
    for (int i = 0; i < c->n_x; i++) out[i] = lode_ref_out(&r, dx[i]);
    /* Products add to their gradients; nobody may want one of them. */
    double *dw[3], *dz[4]; /* dz: of z1, z2, z3, and of x */
    for (int i = 0; i < 3; i++) {
        static const int input[3] = {MBCONV_EXPAND, MBCONV_DEPTHWISE, MBCONV_PROJECT};
        int64_t n = c->x[input[i]] != NULL ? lode_tensor_count(c->x[input[i]]) : 0;
        dw[i] = out[input[i]] != NULL ? out[input[i]] : lode_ref_scratch(&r, n);
        dz[i] = lode_ref_scratch(&r, d.N * m.norm[i].C * m.norm[i].P);
    }
    mbconv_gate_grads gates = {lode_ref_scratch(&r, d.N * d.M),
                               lode_ref_scratch(&r, d.N * d.R),
                               lode_ref_scratch(&r, d.N * d.M),
                               {NULL}};
    for (int i = 0; d.R > 0 && i < MBCONV_N_SE; i++) {
        bool weight = i == MBCONV_REDUCE || i == MBCONV_WIDEN;
        gates.dw[i] = out[MBCONV_SE + i];
        if (weight && gates.dw[i] == NULL) gates.dw[i] = lode_ref_scratch(&r, d.M * d.R);
    }
    dz[3] = out[MBCONV_X] != NULL ? out[MBCONV_X] : lode_ref_scratch(&r, d.N * d.C * P);
    if (!lode_ref_ok(&r)) return lode_ref_end(&r);
    mbconv_chain(&m, p->eps);
    memcpy(dz[2], g, (size_t)(d.N * d.O * Q) * sizeof *g);
    for (int64_t i = 0; p->residual && i < d.N * d.C * P; i++) dz[3][i] = g[i];
    double **dn = out + MBCONV_NORM; /* gamma and beta of norm i at 4i, 4i + 1 */
    mbconv_norm_act_backward(&m.norm[2], m.z[2], dz[2], dn[8], dn[9]);
    mbconv_point project = {d.N, d.M, d.O, Q, d.groups}, expand = {d.N, d.C, d.M, P, d.groups};
    mbconv_product(project, m.a3, m.w[2], NULL, dz[2], dz[1], dw[2]);
    if (d.R > 0) mbconv_excite_backward(&m, &gates, dz[1]);
    mbconv_norm_act_backward(&m.norm[1], m.z[1], dz[1], dn[4], dn[5]);
    memset(m.shuffled, 0, (size_t)(d.N * d.M * P) * sizeof *m.shuffled);
    mbconv_depthwise(&d, m.a1, m.w[1], NULL, dz[1], d.expands ? m.shuffled : dz[3], dw[1]);
    if (d.expands) {
        mbconv_shuffle(&d, m.shuffled, dz[0], true);
        mbconv_norm_act_backward(&m.norm[0], m.z[0], dz[0], dn[0], dn[1]);
        mbconv_product(expand, m.x, m.w[0], NULL, dz[0], dz[3], dw[0]);
    }
    return lode_ref_end(&r);
}

/* ---- for tests ---- */

lode_status mbconv_kink_distance(const lode_op_call *c, double *out) {
    const lode_mbconv_params *p = c->params;
    mbconv_run m = {0};
    lode_ref r = {0};
    mbconv_prepare(&m, c, &r);
    *out = INFINITY;
    bool smooth = p->act == LODE_ACT_NONE || p->act == LODE_ACT_SWISH;
    if (lode_ref_ok(&r) && (!smooth || m.d.R > 0)) mbconv_chain(&m, p->eps);
    for (int i = m.d.expands ? 0 : 1; lode_ref_ok(&r) && !smooth && i < 2; i++) {
        const mbconv_norm *n = &m.norm[i];
        for (int64_t k = 0; k < n->N * n->C * n->P; k++) {
            double u = mbconv_normal(n, k / n->P % n->C, m.z[i][k]);
            *out = fmin(*out, lode_act_kink_distance((lode_act)p->act, u));
        }
    }
    for (int64_t k = 0; lode_ref_ok(&r) && k < m.d.N * m.d.R; k++)
        *out = fmin(*out, fabs(m.reduce_u[k]));
    for (int64_t k = 0; lode_ref_ok(&r) && m.d.R > 0 && k < m.d.N * m.d.M; k++)
        *out = fmin(*out, fabs(fabs(m.gate_u[k]) - 3));
    return lode_ref_end(&r);
}
