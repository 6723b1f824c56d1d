/* mbconv.c   The inverted residual of MobileNetV2 (Sandler et al. 2018) in training, as one call.

       z1 = 1x1(x)               a1 = shuffle(act(norm1(z1)))   all left out without an expansion
       z2 = depthwise(a1)        a2 = act(norm2(z2))
       z3 = 1x1(a2)              y  = norm3(z3) (+ x)

   The norms use the batch's statistics. This file is the definition: the reference computes the
   chain and walks it back, with all tensors spelled out, and reads nothing that forward kept. What
   one call is good for is in native/native_mbconv.c: there most of these tensors never exist. */
#include "ops/mbconv.h"

#include "ops/example_internal.h"
#include "ops/op_util.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- activations ---- */

static double mbconv_sigmoid(double u) { return 1 / (1 + exp(-u)); }

static double mbconv_act(lode_act act, double u) {
    switch (act) {
    case LODE_ACT_NONE:
        break;
    case LODE_ACT_RELU:
        return u < 0 ? 0 : u;
    case LODE_ACT_RELU6:
        return u < 0 ? 0 : u > 6 ? 6 : u;
    case LODE_ACT_HSWISH:
        return u * fmin(fmax(u + 3, 0), 6) / 6;
    case LODE_ACT_SWISH:
        return u * mbconv_sigmoid(u);
    }
    return u;
}

static double mbconv_slope(lode_act act, double u) {
    double s = act == LODE_ACT_SWISH ? mbconv_sigmoid(u) : 0;
    switch (act) {
    case LODE_ACT_NONE:
        break;
    case LODE_ACT_RELU:
        return u > 0;
    case LODE_ACT_RELU6:
        return u > 0 && u < 6;
    case LODE_ACT_HSWISH:
        return u <= -3 ? 0 : u >= 3 ? 1 : (2 * u + 3) / 6;
    case LODE_ACT_SWISH:
        return s * (1 + u * (1 - s));
    }
    return 1;
}

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
            a[i * n->P + j] = mbconv_act(n->act, mbconv_normal(n, i % n->C, z[i * n->P + j]));
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
                g[at] *= mbconv_slope(n->act, mbconv_normal(n, c, z[at]));
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
    mbconv_point project = {d.N, d.M, d.O, Q, d.groups};
    mbconv_product(project, m->a2, m->w[2], m->z[2], NULL, NULL, NULL);
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

static lode_status mbconv_forward(const lode_op_call *c) {
    const lode_mbconv_params *p = c->params;
    mbconv_run m = {0};
    lode_ref r = {0};
    mbconv_prepare(&m, c, &r);
    double *y = lode_ref_out(&r, c->y), *z2 = lode_ref_out(&r, c->aux[MBCONV_Z2]);
    double *z3 = lode_ref_out(&r, c->aux[MBCONV_Z3]),
           *stats = lode_ref_out(&r, c->aux[MBCONV_STATS]);
    double *moments = lode_ref_out(&r, c->aux[MBCONV_MOMENTS]), *run[3][2] = {{NULL}};
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
    for (int i = 0; i < 3; i++) {
        size_t n = (size_t)m.norm[i].C;
        memcpy(stats + mbconv_stats_at(&m.d, i), m.norm[i].mean, 2 * n * sizeof *stats);
        mbconv_update(p, &m.norm[i], run[i][0], run[i][1]);
    }
    return lode_ref_end(&r);
}

static lode_status mbconv_backward(const lode_op_call *c, const lode_tensor *dy,
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
    dz[3] = out[MBCONV_X] != NULL ? out[MBCONV_X] : lode_ref_scratch(&r, d.N * d.C * P);
    if (!lode_ref_ok(&r)) return lode_ref_end(&r);
    mbconv_chain(&m, p->eps);
    memcpy(dz[2], g, (size_t)(d.N * d.O * Q) * sizeof *g);
    for (int64_t i = 0; p->residual && i < d.N * d.C * P; i++) dz[3][i] = g[i];
    double **dn = out + MBCONV_NORM; /* gamma and beta of norm i at 4i, 4i + 1 */
    mbconv_norm_act_backward(&m.norm[2], m.z[2], dz[2], dn[8], dn[9]);
    mbconv_point project = {d.N, d.M, d.O, Q, d.groups}, expand = {d.N, d.C, d.M, P, d.groups};
    mbconv_product(project, m.a2, m.w[2], NULL, dz[2], dz[1], dw[2]);
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
    lode_dtype wide = c->x[0]->dtype == LODE_F64 ? LODE_F64 : LODE_F32;
    int64_t padded = (d.M + MBCONV_LANES - 1) / MBCONV_LANES * MBCONV_LANES;
    lode_shape y = LODE_SHAPE4(d.N, d.O, d.OH, d.OW), z2 = LODE_SHAPE4(d.N, padded, d.OH, d.OW);
    lode_shape stats = LODE_SHAPE1(4 * d.M + 2 * d.O), moments = LODE_SHAPE2(d.C + 1, d.C);
    lode_infer_y(out, c->x[0]->dtype, &y);
    lode_infer_aux(out, wide, &z2);
    lode_infer_aux(out, wide, &y);
    lode_infer_aux(out, LODE_F64, &stats);
    if (d.expands) lode_infer_aux(out, LODE_F64, &moments);
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
    out->flops = 2 * out->macs + 6 * values;
}

static void mbconv_print(const void *params, char out[96]) {
    static const char *const act[] = {"none", "relu", "relu6", "hswish", "swish"};
    const lode_mbconv_params *p = params;
    bool known = p->act >= 0 && p->act <= LODE_ACT_SWISH;
    int n = snprintf(out, 96, "s%d %s%s", p->stride, known ? act[p->act] : "?",
                     p->residual ? " residual" : "");
    if (p->groups > 1) snprintf(out + n, 96 - (size_t)n, " g%d", p->groups);
}

/* ---- examples ---- */

typedef struct mbconv_corner {
    int64_t N, C, H, W, M, O, K;
    int stride, act, expands, affine, running, residual, groups;
} mbconv_corner;

/* How near the arguments of the activations come to a kink. */
static lode_status mbconv_distance(const lode_op_example *e, double *out) {
    static const double kink[LODE_ACT_SWISH + 1][2] = {
        [LODE_ACT_RELU6] = {0, 6}, [LODE_ACT_HSWISH] = {-3, 3}};
    const lode_mbconv_params *p = (const void *)e->params.bytes;
    lode_tensor *x[MBCONV_N_INPUTS];
    memcpy(x, e->x, sizeof x);
    lode_op_call c = {.op = &lode_op_mbconv, .params = p, .n_x = e->n_x, .x = x};
    mbconv_run m = {0};
    lode_ref r = {0};
    mbconv_prepare(&m, &c, &r);
    *out = INFINITY;
    bool smooth = p->act == LODE_ACT_NONE || p->act == LODE_ACT_SWISH;
    if (lode_ref_ok(&r) && !smooth) mbconv_chain(&m, p->eps);
    for (int i = m.d.expands ? 0 : 1; lode_ref_ok(&r) && !smooth && i < 2; i++) {
        const mbconv_norm *n = &m.norm[i];
        for (int64_t k = 0; k < n->N * n->C * n->P; k++) {
            double u = mbconv_normal(n, k / n->P % n->C, m.z[i][k]);
            *out = fmin(*out, fmin(fabs(u - kink[p->act][0]), fabs(u - kink[p->act][1])));
        }
    }
    return lode_ref_end(&r);
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

static mbconv_corner mbconv_any(lode_rng *rng) {
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
    return s;
}

static lode_status mbconv_example(lode_op_example *e, lode_rng *rng, int k) {
    static const mbconv_corner corner[] = {
        {2, 3, 5, 4, 6, 3, 3, 1, LODE_ACT_RELU6, 1, 1, 1, 1, 0},
        {2, 4, 5, 5, 4, 2, 5, 2, LODE_ACT_RELU, 0, 1, 1, 0, 0},
        {3, 2, 4, 3, 17, 2, 3, 1, LODE_ACT_HSWISH, 1, 1, 0, 1, 0},
        {2, 3, 7, 7, 5, 4, 7, 2, LODE_ACT_SWISH, 1, 0, 1, 0, 0},
        {2, 5, 3, 3, 5, 5, 1, 1, LODE_ACT_NONE, 0, 0, 0, 1, 0},
        {2, 2, 6, 9, 4, 33, 9, 3, LODE_ACT_RELU6, 1, 1, 1, 0, 0},
        {4, 18, 2, 2, 3, 18, 3, 1, LODE_ACT_RELU, 1, 1, 0, 1, 0},
        {3, 1, 8, 2, 1, 1, 5, 2, LODE_ACT_SWISH, 0, 1, 1, 0, 0},
        {2, 6, 4, 5, 12, 6, 3, 1, LODE_ACT_RELU, 1, 1, 1, 1, 3},
        {3, 4, 5, 4, 4, 8, 3, 2, LODE_ACT_SWISH, 0, 1, 0, 0, 2}};
    const int n_corner = (int)(sizeof corner / sizeof *corner);
    mbconv_corner s = k < n_corner ? corner[k] : mbconv_any(rng);
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
    double distance = 0;
    for (int tries = 0; tries < 100; tries++) { /* until no difference crosses a kink */
        LODE_TRY(mbconv_distance(e, &distance));
        if (distance > 5e-4) break;
        lode_example_fill(e->x[MBCONV_X], rng, -2, 2);
    }
    return LODE_OK;
}

/* x, weights, gammas and betas. */
#define MBCONV_AFFINE(norm)                                                                        \
    (LODE_KEEP_X(0) | LODE_KEEP_X(1)) << (MBCONV_NORM + norm * MBCONV_NORM_INPUTS)
#define MBCONV_KEEPS                                                                               \
    ((LODE_KEEP_X(MBCONV_NORM) - 1) | MBCONV_AFFINE(0) | MBCONV_AFFINE(1) | MBCONV_AFFINE(2))

const lode_op lode_op_mbconv = {
    .name = "mbconv",
    .n_inputs = MBCONV_N_INPUTS,
    .n_required = MBCONV_EXPAND,
    .params_size = sizeof(lode_mbconv_params),
    .keeps = MBCONV_KEEPS,
    .infer = mbconv_infer,
    .reference = {.forward = mbconv_forward, .backward = mbconv_backward},
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
    return lode_apply(t, &lode_op_mbconv, x, MBCONV_N_INPUTS, &p);
}
