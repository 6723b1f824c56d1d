/* weighted_sum, the mixture of a searchable layer, in one sweep each way.

   The tensors are S slices (1, or one per sample) of M floats, cut into fixed pieces. Forward reads
   every option once and writes y once. Backward reads dy once from memory: while a piece of it is
   in cache, every option's gradient is written and its <dy, o_k> summed in double, one partial per
   piece, added in order. All tensors have to be dense in the same order; else the reference runs.
 */
#include "core/parallel.h"
#include "ops/native/native_internal.h"
#include "ops/native/walk.h"
#include "ops/ops.h"

#include <string.h>

enum { MIXTURE_PIECE = 1 << 12, MIXTURE_GRAIN = 1 << 14 }; /* floats of a piece; of a task */

typedef struct mixture_job {
    const lode_op_call *c;
    const lode_tensor *w;
    int n, k[LODE_MAX_INPUTS]; /* options present, and which they are */
    int64_t S, M, pieces;      /* pieces of a slice */
    const float *o[LODE_MAX_INPUTS];
    float *dx[LODE_MAX_INPUTS];
    const float *dy;
    float *y;
    double *partial; /* [S, pieces, n]; NULL when nobody wants dw */
} mixture_job;

static mixture_job mixture_job_of(const lode_op_call *c) {
    const uint64_t present = ((const lode_weighted_sum_params *)c->params)->present;
    mixture_job j = {.c = c, .w = c->x[0], .S = 1};
    for (int k = 0; k < LODE_MAX_INPUTS && j.n < c->n_x - 1; k++)
        if (present >> k & 1u) j.k[j.n++] = k;
    if (j.w->shape.n_dims == 2) j.S = j.w->shape.dim[0];
    j.M = lode_tensor_count(c->x[1]) / j.S;
    j.pieces = lode_parallel_pieces(j.M, MIXTURE_PIECE);
    for (int i = 0; i < j.n; i++) j.o[i] = c->x[1 + i]->data;
    return j;
}

/* Offset of w[s,k], w [K] or [N,K] of any strides. */
static int64_t mixture_weight(const lode_tensor *w, int64_t s, int k) {
    const int last = w->shape.n_dims - 1;
    return (last > 0 ? s * w->stride[0] : 0) + k * w->stride[last];
}

/* Same shape, dense in the same order as `like`. */
static bool mixture_lies_as(const lode_tensor *t, const lode_tensor *like) {
    for (int d = 0; d < t->shape.n_dims; d++)
        if (t->shape.dim[d] != 1 && t->stride[d] != like->stride[d]) return false;
    return true;
}

bool native_mixture_supports(const lode_op_call *c) {
    if (!lode_native_f32(c) || !lode_tensor_is_dense(c->y) || lode_tensor_count(c->y) == 0)
        return false;
    for (int i = 1; i < c->n_x; i++)
        if (!mixture_lies_as(c->x[i], c->y)) return false;
    return c->y->shape.n_dims < 2 || c->x[0]->shape.n_dims < 2 || c->y->shape.dim[0] == 1 ||
           c->y->stride[0] == lode_tensor_count(c->y) / c->y->shape.dim[0]; /* slices apart */
}

static void mixture_forward_task(void *ctx, int64_t task, int64_t begin, int64_t end) {
    const mixture_job *j = ctx;
    (void)task;
    for (int64_t i = begin; i < end; i++) {
        const int64_t s = i / j->pieces, first = i % j->pieces * MIXTURE_PIECE;
        const int64_t at = s * j->M + first, left = j->M - first;
        const float *o[LODE_MAX_INPUTS], *weights = j->w->data;
        float w[LODE_MAX_INPUTS];
        for (int k = 0; k < j->n; k++) {
            o[k] = j->o[k] + at;
            w[k] = weights[mixture_weight(j->w, s, j->k[k])];
        }
        lode_simd_get()->mix(left < MIXTURE_PIECE ? left : MIXTURE_PIECE, j->n, o, w, j->y + at);
    }
}

static void mixture_run(mixture_job *j, lode_parallel_body task) {
    const int64_t work = j->M < MIXTURE_PIECE ? j->M : MIXTURE_PIECE;
    lode_parallel_for(j->S * j->pieces, (MIXTURE_GRAIN + work - 1) / work, task, j);
}

lode_status native_mixture_forward(const lode_op_call *c) {
    mixture_job j = mixture_job_of(c);
    j.y = c->y->data;
    mixture_run(&j, mixture_forward_task);
    return LODE_OK;
}

static void mixture_backward_task(void *ctx, int64_t task, int64_t begin, int64_t end) {
    const mixture_job *j = ctx;
    (void)task;
    for (int64_t i = begin; i < end; i++) {
        const int64_t s = i / j->pieces, first = i % j->pieces * MIXTURE_PIECE;
        const int64_t at = s * j->M + first, left = j->M - first;
        const float *weights = j->w->data;
        for (int k = 0; k < j->n; k++) {
            const double dot = lode_simd_get()->mix_backward(
                left < MIXTURE_PIECE ? left : MIXTURE_PIECE,
                weights[mixture_weight(j->w, s, j->k[k])], j->partial ? j->o[k] + at : NULL,
                j->dy + at, j->dx[k] ? j->dx[k] + at : NULL);
            if (j->partial != NULL) j->partial[i * j->n + k] = dot;
        }
    }
}

/* Weights of absent options get 0. */
static lode_status mixture_finish(const mixture_job *j, lode_tensor *dw) {
    LODE_TRY(lode_tensor_fill(dw, 0));
    for (int64_t s = 0; s < j->S; s++)
        for (int k = 0; k < j->n; k++) {
            double sum = 0;
            for (int64_t p = s * j->pieces; p < (s + 1) * j->pieces; p++)
                sum += j->partial[p * j->n + k];
            ((float *)dw->data)[mixture_weight(dw, s, j->k[k])] = (float)sum;
        }
    return LODE_OK;
}

lode_status native_mixture_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx) {
    mixture_job j = mixture_job_of(c);
    bool alike = mixture_lies_as(dy, c->y);
    for (int i = 1; i < c->n_x; i++) alike = alike && (!dx[i] || mixture_lies_as(dx[i], c->y));
    if (!alike) return c->op->reference.backward(c, dy, dx);
    for (int i = 0; i < j.n; i++) j.dx[i] = dx[1 + i] ? dx[1 + i]->data : NULL;
    j.dy = dy->data;
    if (dx[0] != NULL) j.partial = c->workspace;
    mixture_run(&j, mixture_backward_task);
    return dx[0] != NULL ? mixture_finish(&j, dx[0]) : LODE_OK;
}

size_t native_mixture_workspace(const lode_op_call *c, bool backward) {
    if (!backward) return 0;
    const mixture_job j = mixture_job_of(c);
    return (size_t)(j.S * j.pieces * j.n) * sizeof(double);
}
