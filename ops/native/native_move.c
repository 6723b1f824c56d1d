/* Operators that move elements and compute nothing: concat, channel_shuffle, pad, copying reshapes,
   and the backward of views. Each is a few walks (walk.h) with strides of its own. */
#include "core/parallel.h"
#include "ops/native/native_internal.h"
#include "ops/native/pack.h"
#include "ops/native/simd.h"
#include "ops/native/walk.h"
#include "ops/ops.h"

#include <string.h>

enum { SHUFFLE_FLOATS = 1 << 13 }; /* of a piece */

static void move(const lode_tensor *from, lode_tensor *to) {
    lode_walk w = lode_walk_to(to);
    lode_walk_from(&w, from);
    lode_walk_run(&w, NULL, NULL);
}

/* A look at a part of t (not a tensor to be kept): `n` elements of one dim from `begin`. */
static lode_tensor part_of(const lode_tensor *t, int dim, int64_t begin, int64_t n, int64_t step) {
    lode_tensor part = *t;
    part.data = (float *)t->data + begin * t->stride[dim];
    part.shape.dim[dim] = n;
    part.stride[dim] *= step;
    return part;
}

/* ---- concat ---- */

lode_status native_concat_forward(const lode_op_call *c) {
    const int dim = ((const lode_concat_params *)c->params)->dim;
    int64_t begin = 0;
    for (int k = 0; k < c->n_x; k++) {
        const int64_t n = c->x[k]->shape.dim[dim];
        lode_tensor part = part_of(c->y, dim, begin, n, 1);
        move(c->x[k], &part);
        begin += n;
    }
    return LODE_OK;
}

lode_status native_concat_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx) {
    const int dim = ((const lode_concat_params *)c->params)->dim;
    int64_t begin = 0;
    for (int k = 0; k < c->n_x; k++) {
        const int64_t n = c->x[k]->shape.dim[dim];
        const lode_tensor part = part_of(dy, dim, begin, n, 1);
        if (dx[k] != NULL) move(&part, dx[k]);
        begin += n;
    }
    return LODE_OK;
}

/* ---- channel_shuffle: [N, g, C/g, ...] with the two middle dims exchanged ---- */

/* Dim 1 of t as two dims of `a` x (C/a) elements. Needs room for a dim. */
static lode_tensor split_channels(const lode_tensor *t, int64_t a) {
    lode_tensor s = *t;
    s.shape.n_dims++;
    for (int d = t->shape.n_dims; d > 2; d--) {
        s.shape.dim[d] = t->shape.dim[d - 1];
        s.stride[d] = t->stride[d - 1];
    }
    s.shape.dim[1] = a;
    s.shape.dim[2] = t->shape.dim[1] / a;
    s.stride[1] = t->stride[1] * s.shape.dim[2];
    s.stride[2] = t->stride[1];
    return s;
}

typedef struct shuffle_job {
    int64_t c, groups;
    const float *x;
    float *y;
} shuffle_job;

static void shuffle_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const shuffle_job *j = ctx;
    (void)piece;
    lode_simd_get()->shuffle(end - begin, j->c, j->groups, j->x + begin * j->c,
                             j->y + begin * j->c);
}

/* to = shuffle(from): channel i C/g + j goes to j g + i. */
static void shuffle(const lode_tensor *from, lode_tensor *to, int64_t groups) {
    const int64_t c = to->shape.dim[1], n = lode_tensor_count(to);
    if (to->shape.n_dims == 4 && n > 0 && lode_is_packed(from, LODE_CHANNELS_LAST) &&
        lode_is_packed(to, LODE_CHANNELS_LAST)) {
        shuffle_job j = {c, groups, from->data, to->data};
        lode_parallel_for(n / c, 1 + SHUFFLE_FLOATS / c, shuffle_piece, &j);
        return;
    }
    const lode_tensor in = split_channels(from, groups);
    lode_tensor out = split_channels(to, to->shape.dim[1] / groups);
    const int64_t dim = out.shape.dim[1], stride = out.stride[1];
    out.shape.dim[1] = out.shape.dim[2];
    out.stride[1] = out.stride[2];
    out.shape.dim[2] = dim;
    out.stride[2] = stride;
    move(&in, &out);
}

bool native_channel_shuffle_supports(const lode_op_call *c) {
    return lode_native_f32(c) && c->x[0]->shape.n_dims < LODE_MAX_DIMS;
}

lode_status native_channel_shuffle_forward(const lode_op_call *c) {
    shuffle(c->x[0], c->y, ((const lode_channel_shuffle_params *)c->params)->groups);
    return LODE_OK;
}

/* Shuffling by C/g undoes shuffling by g. */
lode_status native_channel_shuffle_backward(const lode_op_call *c, const lode_tensor *dy,
                                            lode_tensor *const *dx) {
    const int64_t groups = ((const lode_channel_shuffle_params *)c->params)->groups;
    if (dx[0] != NULL) shuffle(dy, dx[0], dy->shape.dim[1] / groups);
    return LODE_OK;
}

/* ---- pad ---- */

/* The part of x that y shows and its place in y: the same number of elements of each. */
static bool pad_common(const lode_pad_params *p, const lode_tensor *x, const lode_tensor *y,
                       lode_tensor *in_x, lode_tensor *in_y) {
    *in_x = *x;
    *in_y = *y;
    for (int d = 0; d < x->shape.n_dims; d++) {
        const int64_t before = p->before[d], begin = before < 0 ? -before : 0;
        int64_t end = y->shape.dim[d] - before;
        if (end > x->shape.dim[d]) end = x->shape.dim[d];
        if (end <= begin) return false;
        *in_x = part_of(in_x, d, begin, end - begin, 1);
        *in_y = part_of(in_y, d, begin + before, end - begin, 1);
    }
    return true;
}

lode_status native_pad_forward(const lode_op_call *c) {
    const lode_pad_params *p = c->params;
    lode_tensor in_x, in_y;
    LODE_TRY(lode_tensor_fill(c->y, p->value));
    if (pad_common(p, c->x[0], c->y, &in_x, &in_y)) move(&in_x, &in_y);
    return LODE_OK;
}

lode_status native_pad_backward(const lode_op_call *c, const lode_tensor *dy,
                                lode_tensor *const *dx) {
    lode_tensor in_x, in_y;
    if (dx[0] == NULL) return LODE_OK;
    LODE_TRY(lode_tensor_fill(dx[0], 0));
    if (pad_common(c->params, dx[0], dy, &in_x, &in_y)) move(&in_y, &in_x);
    return LODE_OK;
}

/* ---- views; their forward runs only where the tape does not take a view ---- */

lode_status native_identity_forward(const lode_op_call *c) {
    move(c->x[0], c->y);
    return LODE_OK;
}

lode_status native_identity_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    (void)c;
    if (dx[0] != NULL) move(dy, dx[0]);
    return LODE_OK;
}

static lode_tensor slice_part(const lode_slice_params *p, const lode_tensor *x) {
    return part_of(x, p->dim, p->begin, (p->end - p->begin - 1) / p->step + 1, p->step);
}

lode_status native_slice_forward(const lode_op_call *c) {
    const lode_tensor part = slice_part(c->params, c->x[0]);
    move(&part, c->y);
    return LODE_OK;
}

lode_status native_slice_backward(const lode_op_call *c, const lode_tensor *dy,
                                  lode_tensor *const *dx) {
    if (dx[0] == NULL) return LODE_OK;
    LODE_TRY(lode_tensor_fill(dx[0], 0));
    lode_tensor part = slice_part(c->params, dx[0]);
    move(dy, &part);
    return LODE_OK;
}

static lode_tensor transposed(const lode_transpose_params *p, const lode_tensor *x) {
    lode_tensor t = *x;
    for (int d = 0; d < x->shape.n_dims; d++) {
        t.shape.dim[d] = x->shape.dim[p->perm[d]];
        t.stride[d] = x->stride[p->perm[d]];
    }
    return t;
}

lode_status native_transpose_forward(const lode_op_call *c) {
    const lode_tensor t = transposed(c->params, c->x[0]);
    move(&t, c->y);
    return LODE_OK;
}

lode_status native_transpose_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx) {
    if (dx[0] == NULL) return LODE_OK;
    lode_tensor t = transposed(c->params, dx[0]);
    move(dy, &t);
    return LODE_OK;
}

/* When one side stands in row-major order, it can be looked at with the dims of the other. */
static bool reshape_move(const lode_tensor *from, lode_tensor *to) {
    if (lode_tensor_is_contiguous(to)) {
        lode_tensor as_from = *to;
        as_from.shape = from->shape;
        lode_strides_contiguous(&from->shape, as_from.stride);
        move(from, &as_from);
    } else if (lode_tensor_is_contiguous(from)) {
        lode_tensor as_to = *from;
        as_to.shape = to->shape;
        lode_strides_contiguous(&to->shape, as_to.stride);
        move(&as_to, to);
    } else {
        return false;
    }
    return true;
}

lode_status native_reshape_forward(const lode_op_call *c) {
    return reshape_move(c->x[0], c->y) ? LODE_OK : c->op->reference.forward(c);
}

lode_status native_reshape_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx) {
    if (dx[0] == NULL || reshape_move(dy, dx[0])) return LODE_OK;
    return c->op->reference.backward(c, dy, dx);
}
