/* cross_entropy (ops/losses.c has the formulas) for dense rows of f32. With labels the wanted
   distribution is never written: a row's loss is (1 - e)(s - x_label) + e (s - mean x), where s is
   the logarithm of its sum of exponentials, its gradient p with two constants taken off. Losses of
   rows are added in their order, in double: the same bits for any number of threads. */
#include "core/parallel.h"
#include "ops/native/native_internal.h"
#include "ops/native/pack.h"
#include "ops/native/simd.h"
#include "ops/ops.h"
#include "ops/softmax_internal.h"

#include <math.h>
#include <string.h>

enum { CE_GRAIN = 4096 /* elements of a piece */ };

typedef struct ce_job {
    const lode_simd *simd;
    int64_t rows, k;
    const void *labels; /* s32 or s64, by `wide`; NULL: targets */
    const float *targets, *x;
    bool wide;
    double smoothing, scale;
    double *loss; /* [rows] */
    float *p, *dx;
} ce_job;

static ce_job ce_job_of(const lode_op_call *c) {
    const lode_cross_entropy_params *params = c->params;
    const lode_shape *s = &c->aux[0]->shape;
    ce_job j = {
        .simd = lode_simd_get(), .k = s->dim[s->n_dims - 1], .smoothing = params->smoothing};
    j.rows = lode_shape_count(s) / j.k;
    j.p = c->aux[0]->data;
    j.wide = c->x[1]->dtype == LODE_S64;
    if (c->x[1]->dtype == LODE_F32)
        j.targets = c->x[1]->data;
    else
        j.labels = c->x[1]->data;
    return j;
}

static int64_t ce_label(const ce_job *j, int64_t row) {
    return j->wide ? ((const int64_t *)j->labels)[row] : ((const int32_t *)j->labels)[row];
}

static bool ce_ignores(const ce_job *j, int64_t row) {
    return j->labels != NULL && ce_label(j, row) < 0;
}

/* Rows that count; at least one, to divide by. */
static double ce_count(const ce_job *j) {
    int64_t n = 0;
    for (int64_t row = 0; row < j->rows; row++) n += !ce_ignores(j, row);
    return fmax(1, (double)n);
}

static int64_t ce_grain(const ce_job *j) { return 1 + CE_GRAIN / j->k; }

bool native_cross_entropy_supports(const lode_op_call *c) {
    const lode_dtype wanted = c->x[1]->dtype;
    return c->x[0]->dtype == LODE_F32 && c->x[0]->shape.n_dims <= 3 &&
           lode_is_packed(c->x[0], LODE_CONTIGUOUS) && lode_is_packed(c->x[1], LODE_CONTIGUOUS) &&
           (wanted == LODE_F32 || wanted == LODE_S32 || wanted == LODE_S64);
}

size_t native_cross_entropy_workspace(const lode_op_call *c, bool backward) {
    const lode_shape *s = &c->x[0]->shape;
    return backward ? 0 : (size_t)(lode_shape_count(s) / s->dim[s->n_dims - 1]) * sizeof(double);
}

/* ---- forward ---- */

static double ce_row_loss(const ce_job *j, int64_t row, double s) {
    const float *x = j->x + row * j->k, *t = j->targets + (j->targets ? row * j->k : 0);
    const double e = j->smoothing;
    double mean = 0, wanted = 0, loss;
    for (int64_t i = 0; e > 0 && i < j->k; i++) mean += (double)x[i] / (double)j->k;
    if (j->labels != NULL) {
        loss = s - (double)x[ce_label(j, row)];
    } else {
        loss = 0;
        for (int64_t i = 0; i < j->k; i++) {
            wanted += (double)t[i];
            loss -= (double)t[i] * (double)x[i];
        }
        loss += wanted * s;
    }
    return (1 - e) * loss + (e > 0 ? e * (s - mean) : 0);
}

static void ce_forward_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const ce_job *j = ctx;
    (void)piece;
    for (int64_t row = begin; row < end; row++) {
        double s = j->simd->softmax(j->k, j->x + row * j->k, j->p + row * j->k);
        j->loss[row] = ce_ignores(j, row) ? 0 : ce_row_loss(j, row, s);
    }
}

lode_status native_cross_entropy_forward(const lode_op_call *c) {
    ce_job j = ce_job_of(c);
    double sum = 0;
    j.x = c->x[0]->data;
    j.loss = c->workspace;
    for (int64_t row = 0; j.labels != NULL && row < j.rows; row++)
        if (ce_label(&j, row) >= j.k)
            return lode_cross_entropy_wrong_label((double)ce_label(&j, row), row, j.k);
    lode_parallel_for(j.rows, ce_grain(&j), ce_forward_piece, &j);
    for (int64_t row = 0; row < j.rows; row++) sum += j.loss[row];
    lode_put(c->y, 0, sum / ce_count(&j));
    return LODE_OK;
}

/* ---- backward ---- */

static void ce_backward_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const ce_job *j = ctx;
    const float each = (float)(j->scale * j->smoothing / (double)j->k);
    const float one = (float)(j->scale * (1 - j->smoothing));
    (void)piece;
    for (int64_t row = begin; row < end; row++) {
        const float *p = j->p + row * j->k, *t = j->targets + (j->targets ? row * j->k : 0);
        float *dx = j->dx + row * j->k;
        double wanted = 0;
        if (ce_ignores(j, row)) {
            memset(dx, 0, (size_t)j->k * sizeof *dx);
            continue;
        }
        for (int64_t i = 0; j->targets != NULL && i < j->k; i++) wanted += (double)t[i];
        const float scale = j->targets == NULL
                                ? (float)j->scale
                                : (float)(j->scale * ((1 - j->smoothing) * wanted + j->smoothing));
        if (j->targets == NULL) {
            for (int64_t i = 0; i < j->k; i++) dx[i] = scale * p[i] - each;
            dx[ce_label(j, row)] -= one;
        } else {
            for (int64_t i = 0; i < j->k; i++) dx[i] = scale * p[i] - one * t[i] - each;
        }
    }
}

lode_status native_cross_entropy_backward(const lode_op_call *c, const lode_tensor *dy,
                                          lode_tensor *const *dx) {
    if (dx[1] != NULL || dx[0] == NULL || !lode_is_packed(dx[0], LODE_CONTIGUOUS))
        return c->op->reference.backward(c, dy, dx);
    ce_job j = ce_job_of(c);
    j.dx = dx[0]->data;
    j.scale = lode_at(dy, 0) / ce_count(&j);
    lode_parallel_for(j.rows, ce_grain(&j), ce_backward_piece, &j);
    return LODE_OK;
}
