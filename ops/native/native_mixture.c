/* weighted_sum, the mixture of a searchable layer, in one sweep each way.

   The tensors are S slices (1, or one per sample) of M floats, cut into fixed pieces. Forward reads
   every option once and writes y once. Backward reads dy once from memory: while a piece of it is
   in cache, every option's gradient is written and its <dy, o_k> summed in double, one partial per
   piece, added in order. An option that was not kept because its maker can make it again
   (c->made_by) is made a piece at a time, in a buffer. All tensors have to be dense in the same
   order; else the reference runs.
 */
#include "core/parallel.h"
#include "ops/native/conv_shape.h"
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
    /* of options made again */
    const lode_op_call *maker[LODE_MAX_INPUTS]; /* NULL: o is there */
    float *prepared[LODE_MAX_INPUTS];
    float *buffer; /* [threads, buffer_floats] */
    size_t buffer_floats;
} mixture_job;

static mixture_job mixture_job_of(const lode_op_call *c) {
    const uint64_t present = ((const lode_weighted_sum_params *)c->params)->present;
    mixture_job j = {.c = c, .w = c->x[0], .S = 1};
    for (int k = 0; k < LODE_MAX_INPUTS && j.n < c->n_x - 1; k++)
        if (present >> k & 1u) j.k[j.n++] = k;
    if (j.w->shape.n_dims == 2) j.S = j.w->shape.dim[0];
    j.M = lode_tensor_count(c->x[1]) / j.S;
    j.pieces = lode_parallel_pieces(j.M, MIXTURE_PIECE);
    for (int i = 0; i < j.n; i++) {
        j.o[i] = c->x[1 + i]->data;
        j.maker[i] = c->made_by != NULL ? c->made_by[1 + i] : NULL;
    }
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

/* M elements of option k, from `at` on. */
static const float *mixture_option(const mixture_job *j, int k, int64_t at, int64_t n) {
    if (j->maker[k] == NULL) return j->o[k] + at;
    float *buffer = j->buffer + (size_t)lode_parallel_thread() * j->buffer_floats;
    return native_mbconv_again(j->maker[k], j->prepared[k], at, n, buffer);
}

static void mixture_backward_task(void *ctx, int64_t task, int64_t begin, int64_t end) {
    const mixture_job *j = ctx;
    (void)task;
    for (int64_t i = begin; i < end; i++) {
        const int64_t s = i / j->pieces, first = i % j->pieces * MIXTURE_PIECE;
        const int64_t at = s * j->M + first, left = j->M - first;
        const int64_t n = left < MIXTURE_PIECE ? left : MIXTURE_PIECE;
        const float *weights = j->w->data;
        for (int k = 0; k < j->n; k++) {
            const double dot =
                lode_simd_get()->mix_backward(n, weights[mixture_weight(j->w, s, j->k[k])],
                                              j->partial ? mixture_option(j, k, at, n) : NULL,
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

/* Partial sums, and what making options again takes. */
static void mixture_take(mixture_job *j, workspace *ws) {
    j->partial = workspace_take(ws, (size_t)(j->S * j->pieces * j->n) * sizeof(double));
    for (int k = 0; k < j->n; k++) {
        if (j->maker[k] == NULL) continue;
        j->prepared[k] = workspace_floats(ws, (size_t)native_mbconv_again_prepared(j->maker[k]));
        size_t floats = (size_t)native_mbconv_again_buffer(j->maker[k], MIXTURE_PIECE);
        if (floats > j->buffer_floats) j->buffer_floats = (floats + 15) / 16 * 16;
    }
    if (j->buffer_floats > 0)
        j->buffer = workspace_floats(ws, (size_t)lode_get_threads() * j->buffer_floats);
}

/* The reference, which wants all options at once: they are made again whole. */
static lode_status mixture_backward_plain(const lode_op_call *c, const mixture_job *j,
                                          const lode_tensor *dy, lode_tensor *const *dx) {
    lode_op_call whole = *c;
    lode_tensor *x[LODE_MAX_INPUTS], *made[LODE_MAX_INPUTS] = {NULL};
    float *buffer = NULL;
    lode_status status = LODE_OK;
    memcpy(x, c->x, (size_t)c->n_x * sizeof *x);
    whole.x = x;
    whole.made_by = NULL;
    for (int k = 0; k < j->n; k++) {
        const lode_op_call *maker = j->maker[k];
        int64_t n = lode_tensor_count(c->x[1 + k]);
        if (maker == NULL) continue;
        int64_t floats = native_mbconv_again_prepared(maker);
        LODE_GOTO(lode_tensor_like_on(dy->device, c->x[1 + k], &made[k]));
        lode_free(buffer);
        buffer = lode_alloc((size_t)(floats + native_mbconv_again_buffer(maker, n)), sizeof(float));
        if (buffer == NULL) LODE_GOTO(LODE_ERR_NO_MEMORY);
        native_mbconv_again_prepare(maker, buffer);
        memcpy(made[k]->data, native_mbconv_again(maker, buffer, 0, n, buffer + floats),
               (size_t)n * sizeof(float));
        x[1 + k] = made[k];
    }
    status = c->op->reference.backward(&whole, dy, dx);
done:
    lode_free(buffer);
    for (int k = 0; k < j->n; k++) lode_tensor_release(made[k]);
    return status;
}

lode_status native_mixture_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx) {
    mixture_job j = mixture_job_of(c);
    workspace ws = {c->workspace, 0};
    bool alike = mixture_lies_as(dy, c->y);
    for (int i = 1; i < c->n_x; i++) alike = alike && (!dx[i] || mixture_lies_as(dx[i], c->y));
    if (!alike) return mixture_backward_plain(c, &j, dy, dx);
    for (int i = 0; i < j.n; i++) j.dx[i] = dx[1 + i] ? dx[1 + i]->data : NULL;
    j.dy = dy->data;
    if (dx[0] != NULL) mixture_take(&j, &ws);
    for (int k = 0; dx[0] != NULL && k < j.n; k++)
        if (j.maker[k] != NULL) native_mbconv_again_prepare(j.maker[k], j.prepared[k]);
    mixture_run(&j, mixture_backward_task);
    return dx[0] != NULL ? mixture_finish(&j, dx[0]) : LODE_OK;
}

size_t native_mixture_workspace(const lode_op_call *c, bool backward) {
    if (!backward) return 0;
    mixture_job j = mixture_job_of(c);
    workspace ws = {NULL, 0};
    mixture_take(&j, &ws);
    return ws.used;
}
