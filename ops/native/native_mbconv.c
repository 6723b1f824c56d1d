/* mbconv: an inverted residual in training, with few passes over expanded tensors.

   Run as eight operators, such a block writes and reads its expanded tensors (six times as wide as
   x, more than a cache holds) some thirty times a step, for the sake of a few operations per value.
   What makes norms and activations passes of their own is that the batch's statistics are needed
   before the first value can be normalized. Here:

   - Norm 1 needs no pass. z1 = W x is linear, so its mean and variance follow from the means and
     covariances of the channels of x:  W mean(x)  and  w^T Cov(x) w.  They are summed in double
     over the narrow x, and W is scaled such that the product gives normalized values.
   - So z1 is never written. The forward sweep computes rows of act(norm1(z1)) in L1 when the
     depthwise convolution needs them, 16 channels at a time, and again in backward; the product is
     cheaper than writing and reading its result. The sweep leaves z2 and its statistics.
   - The projection normalizes z2 while loading. Kept are z2, z3 and statistics.
   - Backward, first sweep: gradient through norm 3 (narrow), the projection's two gradients, the
     gradient g2 behind norm 2 and its two sums. Second sweep: gradient through norm 2 and both of
     the depthwise convolution (simd/simd_mbconv_backward.c), gradient g1 behind norm 1, x^T g1 and
     W^T g1.
   - Norm 1's own part is linear in z1 again, hence in x: with scale s, r = sum(g1) and
     q = sum(g1 (z1 - mean)) = w . (x^T g1 - r mean(x)),  n values, v = q / (n (var + eps)):
         dw = s (x^T g1 - r mean(x) - v n Cov(x) w)
         dx = W^T s g1 - sum over channels of s (r / n + v w . (x - mean(x))) w
     the sum being one small matrix times x.

   So two expanded tensors are written: z2, read three times, and g2, read once.

   Squeeze-and-excite (native_mbconv_gate.c) needs means of a2 before the projection, so z2 of a few
   images is read twice, the second time from cache; backward has as many sweeps as without.

   Grouped 1x1 convolutions run as dense ones with zeros, and the shuffle between them is another
   order of the first one's channels; groups are few and such blocks narrow.

   A piece of work is a few whole images; what pieces sum is added in their order, and they do not
   depend on the number of threads. */
#include "ops/native/native_mbconv.h"

#include "core/parallel.h"
#include "ops/native/pack.h"

#include <math.h>

enum {
    MB_PIECES = 16,             /* at most */
    MB_PIECES_LEAST = 4,        /* if there are so many images */
    MB_PARTIAL_BYTES = 8 << 20, /* what pieces may take for their partial sums */
    MB_STREAM_BYTES = 1 << 20,  /* larger tensors are not in cache when they are read again */
    MB_AGAIN = 32,              /* channels of y up to which g2 is cheaper to compute twice */
    MB_MOMENT_BYTES = 4 << 20,
    MB_MOMENT_ROWS = 16 /* see mb_moments in simd.h */
};

bool native_mbconv_supports(const lode_op_call *c) {
    if (!call_is_f32(c) || lode_shape_count(&c->x[MBCONV_X]->shape) == 0) return false;
    mbconv_dims d = mbconv_dims_of(c);
    static const int weight[] = {MBCONV_DEPTHWISE, MBCONV_PROJECT, MBCONV_EXPAND,
                                 MBCONV_SE + MBCONV_REDUCE, MBCONV_SE + MBCONV_WIDEN};
    for (size_t i = 0; i < sizeof weight / sizeof *weight; i++)
        if (c->x[weight[i]] != NULL && !lode_is_packed(c->x[weight[i]], LODE_CONTIGUOUS))
            return false;
    return d.K <= SIMD_DW_MAX_KERNEL && d.stride <= SIMD_DW_MAX_STRIDE;
}

/* ---- the job ---- */

static int64_t mb_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t mb_clamp(int64_t v, int64_t low, int64_t high) {
    return v < low ? low : v > high ? high : v;
}

mb_job mb_job_of(const lode_op_call *c) {
    mb_job j = {.c = c, .p = c->params, .simd = lode_simd_get(), .d = mbconv_dims_of(c)};
    const mbconv_dims *d = &j.d;
    j.m = (simd_mb){.in = d->C, .out = d->O, .act = j.p->act, .expands = d->expands};
    j.m.dw = (simd_dw){
        .c = d->M, .h = d->H, .w = d->W, .oh = d->OH, .ow = d->OW, .kh = d->K, .kw = d->K};
    for (int i = 0; i < 2; i++) {
        j.m.dw.stride[i] = d->stride;
        j.m.dw.pad[i] = d->pad;
        j.m.dw.dilation[i] = 1;
    }
    int64_t expanded = d->N * d->M * d->OH * d->OW * (int64_t)sizeof(float);
    bool clamp = j.p->act <= LODE_ACT_RELU6;
    j.m.streams = expanded > MB_STREAM_BYTES;
    j.m.again = clamp && d->O <= MB_AGAIN;
    j.simd->mb_plan(&j.m);
    j.taps = d->K * d->K;
    j.wide = j.m.blocks * j.simd->lanes;
    j.row = mbconv_gate_row_of(d);
    int64_t partial = j.wide * (j.taps + d->O + d->C) * (int64_t)sizeof(float);
    int64_t pieces = mb_clamp(MB_PARTIAL_BYTES / partial, MB_PIECES_LEAST, MB_PIECES);
    j.images = mb_ceil(d->N, pieces);
    j.pieces = mb_ceil(d->N, j.images);
    int64_t moments = MB_MOMENT_BYTES / (d->C * d->C * (int64_t)sizeof(double));
    j.moment_images = mb_ceil(d->N, mb_clamp(moments, MB_PIECES_LEAST, MB_PIECES));
    j.moment_pieces = mb_ceil(d->N, j.moment_images);
    j.scratch_floats = ((size_t)j.m.scratch_floats + 15) / 16 * 16;
    j.work_doubles = (size_t)(MB_MOMENT_ROWS * (d->C + MB_MOMENT_ROWS) + 9 * d->C + d->O + 16);
    int64_t most = (d->C > d->O ? d->C : d->O) > j.taps ? (d->C > d->O ? d->C : d->O) : j.taps;
    j.work_doubles += (size_t)(most * j.simd->lanes);
    return j;
}

static float *mb_floats(workspace *ws, int64_t n) { return workspace_floats(ws, (size_t)n); }

void mb_take(mb_job *j, workspace *ws) {
    const mbconv_dims *d = &j->d;
    int64_t lanes = j->simd->lanes, most = j->wide > d->O ? j->wide : d->O;
    size_t threads = (size_t)lode_get_threads();
    if (d->expands) {
        j->w.expand = mb_floats(ws, j->wide * d->C);
        j->w.shift1 = mb_floats(ws, j->wide);
        j->w.expand_t = mb_floats(ws, j->wide * j->m.in_wide);
    }
    j->w.depthwise = mb_floats(ws, j->wide * j->taps);
    j->w.scale2 = mb_floats(ws, j->wide);
    j->w.shift2 = mb_floats(ws, j->wide);
    j->w.mean2 = mb_floats(ws, j->wide);
    j->w.project = mb_floats(ws, j->wide * j->m.out_wide);
    j->w.project_t = mb_floats(ws, j->wide * d->O);
    j->w.of_g = mb_floats(ws, j->wide);
    j->w.of_z = mb_floats(ws, j->wide);
    j->w.rest = mb_floats(ws, j->wide);
    if (d->groups > 1) {
        j->dense_expand = mb_floats(ws, d->M * d->C);
        j->dense_project = mb_floats(ws, d->O * d->M);
    }
    j->mean3 = mb_floats(ws, j->pieces * d->O);
    j->of_g = mb_floats(ws, d->O);
    j->of_x = mb_floats(ws, d->O);
    j->rest = mb_floats(ws, d->O);
    j->s1 = workspace_take(ws, (size_t)((j->pieces + 1) * most) * sizeof(double));
    j->s2 = workspace_take(ws, (size_t)((j->pieces + 1) * most) * sizeof(double));
    j->work = workspace_take(ws, threads * j->work_doubles * sizeof(double));
    j->scratch = workspace_floats(ws, threads * j->scratch_floats);
    (void)lanes;
}

/* Groups are zeros elsewhere, and their shuffle an order of the expansion's rows. */
static void mb_densify(mb_job *j) {
    const mbconv_dims *d = &j->d;
    int64_t I = d->C / d->groups, M = d->M / d->groups, O = d->O / d->groups;
    if (d->expands) {
        memset(j->dense_expand, 0, (size_t)(d->M * d->C) * sizeof(float));
        for (int64_t i = 0; i < d->M; i++) {
            int64_t from = mbconv_expanded(d, i);
            memcpy(j->dense_expand + i * d->C + from / M * I, j->expand + from * I,
                   (size_t)I * sizeof(float));
        }
        j->expand = j->dense_expand;
    }
    memset(j->dense_project, 0, (size_t)(d->O * d->M) * sizeof(float));
    for (int64_t o = 0; o < d->O; o++)
        memcpy(j->dense_project + o * d->M + o / O * M, j->project + o * M,
               (size_t)M * sizeof(float));
    j->project = j->dense_project;
}

int64_t mb_source(const mb_job *j, int norm, int64_t i) {
    return norm == 0 && j->d.groups > 1 ? mbconv_expanded(&j->d, i) : i;
}

void mb_bind(mb_job *j) {
    j->z2 = j->c->aux[MBCONV_Z2]->data;
    j->z3 = j->c->aux[MBCONV_Z3]->data;
    j->stats = j->c->aux[MBCONV_STATS]->data;
    j->project = j->c->x[MBCONV_PROJECT]->data;
    if (j->d.expands) j->expand = j->c->x[MBCONV_EXPAND]->data;
    if (j->d.groups > 1) mb_densify(j);
    if (j->d.R > 0) j->gates = mbconv_gates(j->c, &j->d)->data;
    if (!j->d.expands) return;
    j->mean_x = j->c->aux[MBCONV_MOMENTS]->data;
    j->cov = j->mean_x + j->d.C;
}

float *mb_scratch(const mb_job *j) {
    return j->scratch + (size_t)lode_parallel_thread() * j->scratch_floats;
}
double *mb_work(const mb_job *j) {
    return j->work + (size_t)lode_parallel_thread() * j->work_doubles;
}
int64_t mb_first(const mb_job *j, int64_t piece) { return piece * j->images; }
int64_t mb_last(const mb_job *j, int64_t piece) {
    return mb_clamp((piece + 1) * j->images, 0, j->d.N);
}

double mb_channel(const mb_job *j, int norm, int what, int64_t i, double otherwise) {
    const lode_tensor *t = mbconv_norm_input(j->c, norm, what);
    return t ? (double)((const float *)t->data)[mb_source(j, norm, i) * t->stride[0]] : otherwise;
}
double mb_mean(const mb_job *j, int norm, int64_t i) {
    return j->stats[mbconv_stats_at(&j->d, norm) + i];
}
double mb_rstd(const mb_job *j, int norm, int64_t i) {
    return j->stats[mbconv_stats_at(&j->d, norm) + (norm < 2 ? j->d.M : j->d.O) + i];
}
double mb_scale(const mb_job *j, int norm, int64_t i) {
    return mb_rstd(j, norm, i) * mb_channel(j, norm, MBCONV_GAMMA, i, 1);
}

/* ---- packing ---- */

void mb_pack_expand(mb_job *j, int64_t begin, int64_t end) {
    const mbconv_dims *d = &j->d;
    const float *w = j->expand;
    int64_t lanes = j->simd->lanes;
    for (int64_t i = begin * lanes; i < end * lanes; i++) {
        bool used = i < d->M;
        double scale = used ? mb_scale(j, 0, i) : 0;
        double shift = used ? mb_channel(j, 0, MBCONV_BETA, i, 0) - scale * mb_mean(j, 0, i) : 0;
        float *block = mb_writable(j->w.expand) + i / lanes * lanes * d->C + i % lanes;
        float *row = mb_writable(j->w.expand_t) + i * j->m.in_wide;
        mb_writable(j->w.shift1)[i] = (float)shift;
        for (int64_t k = 0; k < d->C; k++)
            row[k] = block[k * lanes] = used ? (float)(scale * (double)w[i * d->C + k]) : 0;
        for (int64_t k = d->C; k < j->m.in_wide; k++) row[k] = 0;
    }
}

void mb_pack_project(mb_job *j) {
    const mbconv_dims *d = &j->d;
    const float *w = j->project;
    int64_t lanes = j->simd->lanes;
    for (int64_t i = 0; i < j->wide; i++) {
        bool used = i < d->M;
        double scale = used ? mb_scale(j, 1, i) : 0, mean = used ? mb_mean(j, 1, i) : 0;
        double shift = used ? mb_channel(j, 1, MBCONV_BETA, i, 0) - scale * mean : 0;
        float *block = mb_writable(j->w.project_t) + i / lanes * lanes * d->O + i % lanes;
        float *row = mb_writable(j->w.project) + i * j->m.out_wide;
        mb_writable(j->w.scale2)[i] = (float)scale;
        mb_writable(j->w.shift2)[i] = (float)shift;
        mb_writable(j->w.mean2)[i] = (float)mean;
        for (int64_t o = 0; o < d->O; o++) row[o] = block[o * lanes] = used ? w[o * d->M + i] : 0;
        for (int64_t o = d->O; o < j->m.out_wide; o++) row[o] = 0;
    }
}

void mb_pack_depthwise(mb_job *j) {
    for (int64_t b = 0; b < j->m.blocks; b++)
        j->simd->dw_pack(&j->m.dw, b, j->c->x[MBCONV_DEPTHWISE]->data, mb_writable(j->w.depthwise));
}

/* ---- forward ---- */

/* Mean and biased variance of channel i of a norm: for backward, and into the running ones. */
static void mb_know(mb_job *j, int norm, int64_t i, double n, double mean, double var) {
    const lode_op_call *c = j->c;
    int64_t channels = norm < 2 ? j->d.M : j->d.O;
    double *stats = j->stats + mbconv_stats_at(&j->d, norm), m = j->p->momentum;
    if (!(var > 0)) var = var == var ? 0 : var;
    stats[i] = mean;
    stats[channels + i] = 1 / sqrt(var + j->p->eps);
    if (!j->p->update_running || c->repeated) return;
    const lode_tensor *run_mean = mbconv_norm_input(c, norm, MBCONV_MEAN);
    const lode_tensor *run_var = mbconv_norm_input(c, norm, MBCONV_VAR);
    if (run_mean != NULL) {
        float *r = (float *)run_mean->data + mb_source(j, norm, i) * run_mean->stride[0];
        *r = (float)((1 - m) * (double)*r + m * mean);
    }
    if (run_var != NULL && n > 1) { /* one value says nothing about a spread */
        float *r = (float *)run_var->data + mb_source(j, norm, i) * run_var->stride[0];
        *r = (float)((1 - m) * (double)*r + m * var * n / (n - 1));
    }
}

static void mb_moment_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const mb_job *j = ctx;
    int64_t C = j->d.C, P = j->d.H * j->d.W;
    double *sum = j->s1 + piece * (C + 1) * C;
    memset(sum, 0, (size_t)((C + 1) * C) * sizeof *sum);
    j->simd->mb_moments((end - begin) * P, C, j->x + begin * P * C, sum, sum + C, mb_work(j));
}

/* Means and covariances of the channels of x: a twin's, where there is one. */
static void mb_moments(mb_job *j, double *partial) {
    int64_t C = j->d.C, all = (C + 1) * C;
    double n = (double)(j->d.N * j->d.H * j->d.W), *m = j->mean_x;
    const lode_op_call *twin = j->c->twin;
    mb_job with = *j;
    if (twin != NULL && twin->provider == j->c->provider) {
        memcpy(m, twin->aux[MBCONV_MOMENTS]->data, (size_t)all * sizeof *m);
        return;
    }
    with.s1 = partial;
    lode_parallel_for(j->d.N, j->moment_images, mb_moment_piece, &with);
    for (int64_t i = 0; i < all; i++) m[i] = partial[i];
    for (int64_t p = 1; p < j->moment_pieces; p++)
        for (int64_t i = 0; i < all; i++) m[i] += partial[p * all + i];
    for (int64_t i = 0; i < C; i++) m[i] /= n;
    for (int64_t i = 0; i < C; i++)
        for (int64_t k = i; k < C; k++)
            j->cov[k * C + i] = j->cov[i * C + k] = j->cov[i * C + k] / n - m[i] * m[k];
}

/* Norm 1 of blocks begin .. end, from the moments of x. */
static void mb_norm1_blocks(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    mb_job *j = ctx;
    int64_t C = j->d.C, lanes = j->simd->lanes;
    double *var = mb_work(j);
    (void)piece;
    int64_t first = begin * lanes, last = mb_clamp(end * lanes, 0, j->d.M);
    const float *w = j->expand;
    j->simd->mb_quadratic(last - first, C, j->cov, w + first * C, var);
    for (int64_t i = first; i < last; i++) {
        double mean = 0;
        for (int64_t k = 0; k < C; k++) mean += (double)w[i * C + k] * j->mean_x[k];
        mb_know(j, 0, i, (double)(j->d.N * j->d.H * j->d.W), mean, var[i - first]);
    }
    mb_pack_expand(j, begin, end);
}

static void mb_depthwise_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const mb_job *j = ctx;
    int64_t P = j->d.H * j->d.W, Q = j->d.OH * j->d.OW, lanes = j->simd->lanes;
    double *sum = j->s1 + piece * j->wide, *m2 = j->s2 + piece * j->wide;
    float *scratch = mb_scratch(j);
    memset(sum, 0, (size_t)j->wide * sizeof *sum);
    memset(m2, 0, (size_t)j->wide * sizeof *m2);
    j->simd->mb_begin(&j->m, scratch);
    for (int64_t n = begin; n < end; n++)
        for (int64_t pair = 0; pair < j->m.pairs; pair++) {
            int64_t at = 2 * pair * lanes;
            j->simd->mb_forward(&j->m, &j->w, pair, j->x + n * P * j->d.C,
                                j->z2 + (n * j->wide + at) * Q, (double)((n - begin) * Q), sum + at,
                                m2 + at, scratch);
        }
}

static void mb_project_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const mb_job *j = ctx;
    int64_t Q = j->d.OH * j->d.OW, O = j->d.O;
    double *sum = j->s1 + piece * O, *m2 = j->s2 + piece * O;
    mb_make_gates(j, begin, end);
    for (int64_t n = begin; n < end; n++)
        j->simd->mb_project(&j->m, &j->w, j->z2 + n * j->wide * Q, mb_gate(j, n), j->z3 + n * O * Q,
                            mb_scratch(j));
    j->simd->norm_stats((end - begin) * Q, O, j->z3 + begin * O * Q, j->mean3 + piece * O, sum, m2,
                        mb_work(j));
}

static void mb_finish_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const mb_job *j = ctx;
    int64_t Q = j->d.OH * j->d.OW, O = j->d.O, at = begin * O * Q;
    (void)piece;
    j->simd->mb_finish((end - begin) * Q, O, j->z3 + at, j->mean3, j->of_g, j->rest,
                       j->p->residual ? j->x + at : NULL, j->y + at);
}

/* Sums and squared deviations of the pieces, `stride` apart, to mean and variance. */
static void mb_merge(mb_job *j, int norm, int64_t channels, int64_t stride) {
    double values = (double)(j->d.OH * j->d.OW), n = values * (double)j->d.N;
    for (int64_t i = 0; i < channels; i++) {
        double sum = 0, m2 = 0;
        for (int64_t p = 0; p < j->pieces; p++) sum += j->s1[p * stride + i];
        for (int64_t p = 0; p < j->pieces; p++) {
            double count = values * (double)(mb_last(j, p) - mb_first(j, p));
            double off = j->s1[p * stride + i] / count - sum / n;
            m2 += j->s2[p * stride + i] + count * off * off;
        }
        mb_know(j, norm, i, n, sum / n, m2 / n);
    }
}

/* Dense memory of an image in channels-last order. */
static void mb_reserve_image(workspace *ws, const lode_tensor *t) {
    if (!lode_is_packed(t, LODE_CHANNELS_LAST)) workspace_floats(ws, lode_pack_count(t));
}

static double *mb_take_moments(const mb_job *j, workspace *ws) {
    int64_t C = j->d.C;
    return workspace_take(ws, (size_t)(j->moment_pieces * (C + 1) * C) * sizeof(double));
}

size_t native_mbconv_forward_workspace(const lode_op_call *c) {
    mb_job j = mb_job_of(c);
    workspace ws = {NULL, 0};
    mb_take(&j, &ws);
    mb_take_gates(&j, &ws, false);
    mb_reserve_image(&ws, c->x[MBCONV_X]);
    mb_reserve_image(&ws, c->y);
    if (j.d.expands) mb_take_moments(&j, &ws);
    return ws.used;
}

lode_status native_mbconv_forward(const lode_op_call *c) {
    mb_job j = mb_job_of(c);
    workspace ws = {c->workspace, 0};
    bool unpack = !lode_is_packed(c->y, LODE_CHANNELS_LAST);
    mb_take(&j, &ws);
    mb_take_gates(&j, &ws, false);
    mb_bind(&j);
    j.x = c->x[MBCONV_X]->data;
    if (!lode_is_packed(c->x[MBCONV_X], LODE_CHANNELS_LAST)) {
        float *x = workspace_floats(&ws, lode_pack_count(c->x[MBCONV_X]));
        lode_pack(c->x[MBCONV_X], LODE_CHANNELS_LAST, x);
        j.x = x;
    }
    j.y = unpack ? workspace_floats(&ws, lode_pack_count(c->y)) : c->y->data;
    if (j.d.expands) {
        mb_moments(&j, mb_take_moments(&j, &ws));
        lode_parallel_for(j.m.blocks, 1, mb_norm1_blocks, &j);
    } else {
        for (int64_t i = 0; i < 2 * j.d.M; i++) j.stats[i] = 0; /* there is no norm 1 */
    }
    mb_pack_depthwise(&j);
    lode_parallel_for(j.d.N, j.images, mb_depthwise_piece, &j);
    mb_merge(&j, 1, j.d.M, j.wide);
    mb_pack_project(&j);
    mb_pack_gates(&j, false);
    lode_parallel_for(j.d.N, j.images, mb_project_piece, &j);
    mb_merge(&j, 2, j.d.O, j.d.O);
    for (int64_t i = 0; i < j.d.O; i++) {
        j.mean3[i] = (float)mb_mean(&j, 2, i);
        j.of_g[i] = (float)mb_scale(&j, 2, i);
        j.rest[i] = (float)mb_channel(&j, 2, MBCONV_BETA, i, 0);
    }
    lode_parallel_for(j.d.N, j.images, mb_finish_piece, &j);
    if (unpack) lode_unpack(j.y, LODE_CHANNELS_LAST, c->y);
    return LODE_OK;
}
