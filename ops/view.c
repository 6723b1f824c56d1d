/* view.c   identity, slice, reshape, transpose: another look at the same elements.

   Where strides allow, y is a view of x and nothing is computed or copied; `forward` is for the
   rest (reshaping a tensor whose rows are not adjacent) and for the oracle. Backward writes dx
   whole: an element no view shows has gradient 0. Nothing is kept. */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <stdio.h>
#include <string.h>

/* ---- identity ---- */
static lode_status identity_infer(const lode_op_call *c, lode_inferred *out) {
    lode_infer_y(out, c->x[0]->dtype, &c->x[0]->shape);
    out->layout = lode_layout_like(c->x[0]);
    return LODE_OK;
}

static lode_status identity_view(const lode_op_call *c, lode_tensor **y) {
    return lode_tensor_view(c->x[0], &c->x[0]->shape, c->x[0]->stride, 0, y);
}

static lode_status identity_forward(const lode_op_call *c) {
    return lode_tensor_copy(c->y, c->x[0]);
}

static lode_status identity_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    (void)c;
    return dx[0] ? lode_tensor_copy(dx[0], dy) : LODE_OK;
}

const lode_op lode_op_identity = {
    .name = "identity",
    .n_inputs = 1,
    .n_required = 1,
    .infer = identity_infer,
    .view = identity_view,
    .reference = {.forward = identity_forward, .backward = identity_backward},
    .count = lode_count_copy,
    .example = lode_example_any_shape,
};

lode_var *lode_identity(lode_tape *t, lode_var *x) {
    return lode_apply(t, &lode_op_identity, &x, 1, NULL);
}

/* ---- slice: elements begin, begin + step, ... < end of one dim ---- */
static lode_status slice_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_slice_params *p = c->params;
    const lode_shape *x = &c->x[0]->shape;
    char text[128];
    if (p->dim < 0 || p->dim >= x->n_dims)
        return LODE_FAIL(LODE_ERR_SHAPE, "slice: dim %d, but x is %s", p->dim,
                         lode_shape_print(x, text));
    if (p->begin < 0 || p->begin >= p->end || p->end > x->dim[p->dim] || p->step < 1)
        return LODE_FAIL(LODE_ERR_SHAPE,
                         "slice: [%lld, %lld) step %lld of dim %d of x %s; wanted 0 <= begin < end "
                         "<= %lld and step >= 1",
                         (long long)p->begin, (long long)p->end, (long long)p->step, p->dim,
                         lode_shape_print(x, text), (long long)x->dim[p->dim]);
    out->shape = *x;
    out->shape.dim[p->dim] = (p->end - p->begin - 1) / p->step + 1;
    out->dtype = c->x[0]->dtype;
    out->layout = lode_layout_like(c->x[0]);
    return LODE_OK;
}

static lode_status slice_view(const lode_op_call *c, lode_tensor **y) {
    const lode_slice_params *p = c->params;
    return lode_tensor_slice(c->x[0], p->dim, p->begin, p->end, p->step, y);
}

/* Row-major position in x of element i of the slice: around the dim, x is [outer, width, inner]. */
static int64_t slice_source(const lode_slice_params *p, const lode_shape *x, int64_t n_y,
                            int64_t i) {
    const int64_t width = x->dim[p->dim], own = (p->end - p->begin - 1) / p->step + 1;
    int64_t outer = 1;
    for (int d = 0; d < p->dim; d++) outer *= x->dim[d];
    const int64_t inner = n_y / (outer * own);
    const int64_t o = i / (own * inner), k = i / inner % own;
    return (o * width + p->begin + k * p->step) * inner + i % inner;
}

static lode_status slice_forward(const lode_op_call *c) {
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    const int64_t n = lode_tensor_count(c->y);
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++)
        y[i] = x[slice_source(c->params, &c->x[0]->shape, n, i)];
    return lode_ref_end(&r);
}

static lode_status slice_backward(const lode_op_call *c, const lode_tensor *dy_,
                                  lode_tensor *const *dx_) {
    if (dx_[0] == NULL) return LODE_OK;
    lode_ref r = {0};
    const double *dy = lode_ref_in(&r, dy_);
    double *dx = lode_ref_out(&r, dx_[0]); /* zeros: what the slice does not show */
    const int64_t n = lode_tensor_count(dy_);
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++)
        dx[slice_source(c->params, &dx_[0]->shape, n, i)] = dy[i];
    return lode_ref_end(&r);
}

static lode_status slice_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape shape;
        lode_example_layout layout;
        lode_slice_params p; /* begin, end, step, dim */
    } corner[] = {
        {{1, {1}}, LODE_EXAMPLE_DENSE, {0, 1, 1, 0, 0}},
        {{1, {9}}, LODE_EXAMPLE_STRIDED, {2, 9, 3, 0, 0}},
        {{2, {4, 5}}, LODE_EXAMPLE_TRANSPOSED, {0, 4, 1, 0, 0}},
        {{4, {2, 32, 3, 3}}, LODE_EXAMPLE_DENSE, {0, 16, 1, 1, 0}},
        {{4, {2, 9, 4, 3}}, LODE_EXAMPLE_DENSE, {3, 8, 2, 1, 0}},
        {{4, {3, 5, 5, 4}}, LODE_EXAMPLE_DENSE, {1, 5, 2, 2, 0}},
        {{4, {3, 2, 2, 4}}, LODE_EXAMPLE_CONTIGUOUS, {2, 3, 1, 0, 0}},
        {{3, {2, 3, 7}}, LODE_EXAMPLE_ROWS, {6, 7, 100, 2, 0}},
    };
    if (k < (int)(sizeof corner / sizeof corner[0])) {
        lode_example_set_params(e, &corner[k].p, sizeof corner[k].p);
        return lode_example_laid(e, rng, &corner[k].shape, corner[k].layout);
    }
    const lode_shape shape = lode_example_random_shape(rng, 1, LODE_MAX_DIMS);
    lode_slice_params p = {.dim = (int32_t)lode_rng_below(rng, shape.n_dims)};
    p.begin = lode_rng_below(rng, shape.dim[p.dim]);
    p.end = p.begin + 1 + lode_rng_below(rng, shape.dim[p.dim] - p.begin);
    p.step = 1 + lode_rng_below(rng, 3);
    lode_example_set_params(e, &p, sizeof p);
    return lode_example_laid(e, rng, &shape, lode_example_random_layout(rng));
}

static void slice_print(const void *params, char out[96]) {
    const lode_slice_params *p = params;
    snprintf(out, 96, "dim %d %lld:%lld:%lld", p->dim, (long long)p->begin, (long long)p->end,
             (long long)p->step);
}

const lode_op lode_op_slice = {
    .name = "slice",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_slice_params),
    .infer = slice_infer,
    .view = slice_view,
    .reference = {.forward = slice_forward, .backward = slice_backward},
    .count = lode_count_copy,
    .example = slice_example,
    .print_params = slice_print,
};

lode_var *lode_slice(lode_tape *t, lode_var *x, int dim, int64_t begin, int64_t end, int64_t step) {
    const lode_slice_params p = {.begin = begin, .end = end, .step = step, .dim = dim};
    return lode_apply(t, &lode_op_slice, &x, 1, &p);
}

lode_status lode_split(lode_tape *t, lode_var *x, int dim, int n, lode_var **out) {
    for (int k = 0; k < n; k++) out[k] = NULL;
    if (x == NULL) return lode_tape_status(t);
    const lode_shape *s = &x->value->shape;
    char text[128];
    if (dim < 0 || dim >= s->n_dims || n < 1 || s->dim[dim] % n != 0) {
        lode_tape_fail(t, LODE_FAIL(LODE_ERR_SHAPE, "split: %d equal parts along dim %d of x %s", n,
                                    dim, lode_shape_print(s, text)));
        return lode_tape_status(t);
    }
    const int64_t width = s->dim[dim] / n;
    for (int k = 0; k < n; k++) out[k] = lode_slice(t, x, dim, k * width, (k + 1) * width, 1);
    return lode_tape_status(t);
}

/* ---- reshape: the same elements in row-major order under other dims ---- */
/* The wanted shape, with -1 worked out. */
static lode_status reshape_resolve(const lode_op_call *c, lode_shape *out) {
    const lode_reshape_params *p = c->params;
    const lode_tensor *x = c->x[0];
    const int64_t n = lode_tensor_count(x);
    int unknown = -1;
    int64_t known = 1;
    char from[128], to[128];
    if (p->n_dims < 0 || p->n_dims > LODE_MAX_DIMS)
        return LODE_FAIL(LODE_ERR_SHAPE, "reshape: %d dims; the most is %d", p->n_dims,
                         LODE_MAX_DIMS);
    out->n_dims = p->n_dims;
    memcpy(out->dim, p->dim, sizeof out->dim);
    lode_shape_print(&x->shape, from);
    lode_shape_print(out, to);
    for (int d = 0; d < p->n_dims; d++) {
        if (p->dim[d] == -1 && unknown < 0)
            unknown = d;
        else if (p->dim[d] < 1 || p->dim[d] > n / known)
            return LODE_FAIL(LODE_ERR_SHAPE, "reshape: x is %s, %lld elements; wanted %s", from,
                             (long long)n, to);
        else
            known *= p->dim[d];
    }
    if (unknown >= 0) out->dim[unknown] = n / known;
    if (lode_shape_count(out) != n)
        return LODE_FAIL(LODE_ERR_SHAPE, "reshape: x is %s, %lld elements; wanted %s", from,
                         (long long)n, to);
    return LODE_OK;
}

static lode_status reshape_infer(const lode_op_call *c, lode_inferred *out) {
    LODE_TRY(reshape_resolve(c, &out->shape));
    const lode_shape shape = out->shape;
    lode_infer_y(out, c->x[0]->dtype, &shape);
    return LODE_OK;
}

static lode_status reshape_view(const lode_op_call *c, lode_tensor **y) {
    lode_shape shape;
    LODE_TRY(reshape_resolve(c, &shape));
    return lode_tensor_reshape(c->x[0], &shape, y);
}

/* The same elements in the same row-major order, whatever the strides. */
static lode_status reshape_copy(const lode_tensor *from, lode_tensor *to) {
    lode_ref r = {0};
    const double *v = lode_ref_in(&r, from);
    double *w = lode_ref_out(&r, to);
    if (lode_ref_ok(&r)) memcpy(w, v, (size_t)lode_tensor_count(from) * sizeof *w);
    return lode_ref_end(&r);
}

static lode_status reshape_forward(const lode_op_call *c) { return reshape_copy(c->x[0], c->y); }

static lode_status reshape_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx) {
    (void)c;
    return dx[0] ? reshape_copy(dy, dx[0]) : LODE_OK;
}

static lode_status reshape_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape shape;
        lode_example_layout layout;
        lode_reshape_params p;
    } corner[] = {
        {{0, {0}}, LODE_EXAMPLE_DENSE, {{1, 1}, 2, 0}},
        {{2, {1, 1}}, LODE_EXAMPLE_DENSE, {{0}, 0, 0}},
        {{2, {3, 4}}, LODE_EXAMPLE_DENSE, {{-1}, 1, 0}},
        {{1, {24}}, LODE_EXAMPLE_STRIDED, {{2, -1, 2, 3}, 4, 0}},
        {{4, {2, 20, 1, 1}}, LODE_EXAMPLE_DENSE, {{2, 20}, 2, 0}}, /* a view */
        {{4, {2, 3, 4, 5}}, LODE_EXAMPLE_DENSE, {{2, -1}, 2, 0}},  /* a copy */
        {{4, {2, 3, 4, 5}}, LODE_EXAMPLE_CONTIGUOUS, {{2, 3, 20}, 3, 0}},
        {{4, {2, 6, 2, 3}}, LODE_EXAMPLE_DENSE, {{2, 2, 3, 2, 3}, 5, 0}}, /* splits channels */
        {{3, {4, 3, 2}}, LODE_EXAMPLE_TRANSPOSED, {{4, 6}, 2, 0}},
        {{4, {4, 2, 3, 2}}, LODE_EXAMPLE_ROWS, {{2, 2, 1, 2, 3, 2}, 6, 0}},
    };
    if (k < (int)(sizeof corner / sizeof corner[0])) {
        lode_example_set_params(e, &corner[k].p, sizeof corner[k].p);
        return lode_example_laid(e, rng, &corner[k].shape, corner[k].layout);
    }
    /* Two neighbouring dims become one, or all become one. */
    const lode_shape shape = lode_example_random_shape(rng, 2, LODE_MAX_DIMS);
    const int joined = (int)lode_rng_below(rng, shape.n_dims);
    lode_reshape_params p = {{-1}, 1, 0};
    if (joined > 0) {
        p.n_dims = shape.n_dims - 1;
        for (int d = 0, to = 0; d < shape.n_dims; d++)
            if (d == joined)
                p.dim[to - 1] *= shape.dim[d];
            else
                p.dim[to++] = shape.dim[d];
    }
    lode_example_set_params(e, &p, sizeof p);
    return lode_example_laid(e, rng, &shape, lode_example_random_layout(rng));
}

static void reshape_print(const void *params, char out[96]) {
    const lode_reshape_params *p = params;
    lode_shape shape = {.n_dims = p->n_dims};
    char text[128];
    memcpy(shape.dim, p->dim, sizeof shape.dim);
    snprintf(out, 96, "to %.90s", lode_shape_print(&shape, text));
}

const lode_op lode_op_reshape = {
    .name = "reshape",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_reshape_params),
    .infer = reshape_infer,
    .view = reshape_view,
    .reference = {.forward = reshape_forward, .backward = reshape_backward},
    .count = lode_count_copy,
    .example = reshape_example,
    .print_params = reshape_print,
};

lode_var *lode_reshape(lode_tape *t, lode_var *x, const lode_shape *shape) {
    lode_reshape_params p = {.n_dims = shape->n_dims};
    for (int d = 0; d < shape->n_dims && d < LODE_MAX_DIMS; d++) p.dim[d] = shape->dim[d];
    return lode_apply(t, &lode_op_reshape, &x, 1, &p);
}
