/* transpose.c   y's dim d is x's dim perm[d]. Always a view: only strides move. */
#include "ops/example_internal.h"
#include "ops/index_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <stdio.h>

static lode_status transpose_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_transpose_params *p = c->params;
    const lode_shape *x = &c->x[0]->shape;
    unsigned seen = 0;
    char text[128];
    out->shape.n_dims = x->n_dims;
    for (int d = 0; d < x->n_dims; d++) {
        const int from = p->perm[d];
        if (from < 0 || from >= x->n_dims || (seen >> from & 1u))
            return LODE_FAIL(LODE_ERR_SHAPE,
                             "transpose: perm[%d] is %d; wanted each dim of x %s once", d, from,
                             lode_shape_print(x, text));
        seen |= 1u << from;
        out->shape.dim[d] = x->dim[from];
    }
    const lode_shape shape = out->shape;
    lode_infer_y(out, c->x[0]->dtype, &shape);
    return LODE_OK;
}

static lode_status transpose_view(const lode_op_call *c, lode_tensor **y) {
    const lode_transpose_params *p = c->params;
    int perm[LODE_MAX_DIMS] = {0};
    for (int d = 0; d < c->x[0]->shape.n_dims; d++) perm[d] = p->perm[d];
    return lode_tensor_transpose(c->x[0], perm, y);
}

/* Row-major position in x of element i of y; `x` is the shape of x. */
static int64_t transpose_source(const lode_transpose_params *p, const lode_shape *x,
                                const lode_shape *y, int64_t i) {
    int64_t own[LODE_MAX_DIMS] = {0}, at[LODE_MAX_DIMS] = {0};
    lode_index_of(y, i, own);
    for (int d = 0; d < y->n_dims; d++) at[p->perm[d]] = own[d];
    return lode_index_flat(x, at);
}

static lode_status transpose_forward(const lode_op_call *c) {
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    const int64_t n = lode_tensor_count(c->y);
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++)
        y[i] = x[transpose_source(c->params, &c->x[0]->shape, &c->y->shape, i)];
    return lode_ref_end(&r);
}

static lode_status transpose_backward(const lode_op_call *c, const lode_tensor *dy_,
                                      lode_tensor *const *dx_) {
    if (dx_[0] == NULL) return LODE_OK;
    lode_ref r = {0};
    const double *dy = lode_ref_in(&r, dy_);
    double *dx = lode_ref_out(&r, dx_[0]);
    const int64_t n = lode_tensor_count(dy_);
    for (int64_t i = 0; i < n && lode_ref_ok(&r); i++)
        dx[transpose_source(c->params, &dx_[0]->shape, &dy_->shape, i)] = dy[i];
    return lode_ref_end(&r);
}

static lode_status transpose_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape shape;
        lode_example_layout layout;
        lode_transpose_params p;
    } corner[] = {
        {{0, {0}}, LODE_EXAMPLE_DENSE, {{0}}},
        {{1, {5}}, LODE_EXAMPLE_STRIDED, {{0}}},
        {{2, {3, 4}}, LODE_EXAMPLE_DENSE, {{1, 0}}},
        {{2, {3, 4}}, LODE_EXAMPLE_TRANSPOSED, {{1, 0}}},
        {{4, {2, 3, 4, 5}}, LODE_EXAMPLE_DENSE, {{0, 2, 3, 1}}},
        {{4, {2, 3, 4, 5}}, LODE_EXAMPLE_CONTIGUOUS, {{0, 2, 1, 3}}},
        {{5, {2, 2, 1, 3, 2}}, LODE_EXAMPLE_DENSE, {{4, 0, 3, 1, 2}}},
    };
    if (k < (int)(sizeof corner / sizeof corner[0])) {
        lode_example_set_params(e, &corner[k].p, sizeof corner[k].p);
        return lode_example_laid(e, rng, &corner[k].shape, corner[k].layout);
    }
    const lode_shape shape = lode_example_random_shape(rng, 0, LODE_MAX_DIMS);
    int64_t perm[LODE_MAX_DIMS] = {0};
    lode_transpose_params p = {{0}};
    lode_rng_permutation(rng, perm, shape.n_dims);
    for (int d = 0; d < shape.n_dims; d++) p.perm[d] = (int32_t)perm[d];
    lode_example_set_params(e, &p, sizeof p);
    return lode_example_laid(e, rng, &shape, lode_example_random_layout(rng));
}

static void transpose_print(const void *params, char out[96]) {
    const lode_transpose_params *p = params;
    int n = 0, last = 0;
    for (int d = 0; d < LODE_MAX_DIMS; d++)
        if (p->perm[d] > last) last = p->perm[d]; /* the dims are 0..last */
    for (int d = 0; d <= last; d++)
        n += snprintf(out + n, (size_t)(96 - n), d ? ",%d" : "perm %d", p->perm[d]);
}

const lode_op lode_op_transpose = {
    .name = "transpose",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_transpose_params),
    .infer = transpose_infer,
    .view = transpose_view,
    .reference = {.forward = transpose_forward, .backward = transpose_backward},
    .count = lode_count_copy,
    .example = transpose_example,
    .print_params = transpose_print,
};

lode_var *lode_transpose(lode_tape *t, lode_var *x, const int *perm) {
    lode_transpose_params p = {{0}};
    if (x == NULL) return NULL;
    for (int d = 0; d < x->value->shape.n_dims; d++) p.perm[d] = perm[d];
    return lode_apply(t, &lode_op_transpose, &x, 1, &p);
}
