/* concat.c   joins tensors along one dim: y = [x0, x1, ...]; dx_k is the k-th part of dy.

   Keeps nothing. The parts may have any strides: a channel slice of a channels-last image costs no
   copy on its way in. */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <stdio.h>
#include <string.h>

static lode_status concat_infer(const lode_op_call *c, lode_inferred *out) {
    const int dim = ((const lode_concat_params *)c->params)->dim;
    const lode_shape *first = &c->x[0]->shape;
    if (dim < 0 || dim >= first->n_dims)
        return LODE_FAIL(LODE_ERR_SHAPE, "concat: dim %d, but the inputs have %d dims", dim,
                         first->n_dims);
    out->shape = *first;
    for (int k = 1; k < c->n_x; k++) {
        const lode_tensor *x = c->x[k];
        char a[128], b[128];
        if (x->dtype != c->x[0]->dtype)
            return LODE_FAIL(LODE_ERR_DTYPE, "concat: input 0 is %s, input %d is %s",
                             lode_dtype_name(c->x[0]->dtype), k, lode_dtype_name(x->dtype));
        lode_shape other = x->shape;
        if (other.n_dims == first->n_dims) other.dim[dim] = first->dim[dim];
        if (!lode_shape_equal(&other, first))
            return LODE_FAIL(
                LODE_ERR_SHAPE,
                "concat: input 0 is %s, input %d is %s; they may differ in dim %d only",
                lode_shape_print(first, a), k, lode_shape_print(&x->shape, b), dim);
        out->shape.dim[dim] += x->shape.dim[dim];
    }
    out->dtype = c->x[0]->dtype;
    out->layout = lode_layout_like(c->x[0]);
    return lode_shape_check(&out->shape);
}

/* Around dim d the whole is [outer, width, inner], a part [outer, own width, inner]: in row-major
   order a part is `outer` runs of own width * inner elements. */
static int64_t concat_inner(const lode_shape *s, int dim) {
    int64_t n = 1;
    for (int d = dim + 1; d < s->n_dims; d++) n *= s->dim[d];
    return n;
}

static lode_status concat_forward(const lode_op_call *c) {
    const int dim = ((const lode_concat_params *)c->params)->dim;
    const int64_t inner = concat_inner(&c->y->shape, dim);
    const int64_t row = c->y->shape.dim[dim] * inner;
    lode_ref r = {0};
    double *y = lode_ref_out(&r, c->y);
    for (int k = 0; k < c->n_x; k++) {
        const double *x = lode_ref_in(&r, c->x[k]);
        const int64_t run = c->x[k]->shape.dim[dim] * inner,
                      outer = lode_tensor_count(c->x[k]) / run;
        if (!lode_ref_ok(&r)) break;
        for (int64_t o = 0; o < outer; o++)
            memcpy(y + o * row, x + o * run, (size_t)run * sizeof *y);
        y += run;
    }
    return lode_ref_end(&r);
}

static lode_status concat_backward(const lode_op_call *c, const lode_tensor *dy_,
                                   lode_tensor *const *dx_) {
    const int dim = ((const lode_concat_params *)c->params)->dim;
    const int64_t inner = concat_inner(&dy_->shape, dim), row = dy_->shape.dim[dim] * inner;
    lode_ref r = {0};
    const double *dy = lode_ref_in(&r, dy_);
    for (int k = 0; k < c->n_x; k++) {
        double *dx = lode_ref_out(&r, dx_[k]);
        const int64_t run = c->x[k]->shape.dim[dim] * inner, outer = lode_tensor_count(dy_) / row;
        if (!lode_ref_ok(&r)) break;
        for (int64_t o = 0; o < outer && dx != NULL; o++)
            memcpy(dx + o * run, dy + o * row, (size_t)run * sizeof *dx);
        dy += run;
    }
    return lode_ref_end(&r);
}

static lode_status concat_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape shape;
        int32_t dim;
        int n, width[4]; /* of each part, along dim */
    } corner[] = {
        {{1, {1}}, 0, 1, {1}},
        {{1, {1}}, 0, 3, {2, 1, 4}},
        {{2, {3, 1}}, 1, 2, {2, 5}},
        {{4, {2, 1, 3, 3}}, 1, 2, {16, 16}},
        {{4, {2, 1, 3, 2}}, 1, 4, {3, 16, 1, 20}},
        {{4, {1, 3, 2, 5}}, 0, 2, {2, 1}},
        {{4, {2, 3, 1, 2}}, 2, 2, {1, 3}},
        {{6, {1, 2, 1, 2, 1, 2}}, 4, 2, {1, 2}},
    };
    lode_shape shape = lode_example_random_shape(rng, 1, 5);
    lode_concat_params p = {.dim = (int32_t)lode_rng_below(rng, shape.n_dims)};
    int n = 1 + (int)lode_rng_below(rng, 4);
    const bool fixed = k < (int)(sizeof corner / sizeof corner[0]);
    if (fixed) {
        shape = corner[k].shape;
        p.dim = corner[k].dim;
        n = corner[k].n;
    }
    lode_example_set_params(e, &p, sizeof p);
    for (int i = 0; i < n; i++) {
        shape.dim[p.dim] = fixed ? corner[k].width[i] : 1 + lode_rng_below(rng, 9);
        const lode_example_layout layout =
            k < 4 ? LODE_EXAMPLE_DENSE : (lode_example_layout)((k + i) % LODE_EXAMPLE_N_LAYOUTS);
        LODE_TRY(lode_example_laid(e, rng, &shape, layout));
    }
    return LODE_OK;
}

static void concat_print(const void *params, char out[96]) {
    snprintf(out, 96, "dim %d", ((const lode_concat_params *)params)->dim);
}

const lode_op lode_op_concat = {
    .name = "concat",
    .n_inputs = -1,
    .params_size = sizeof(lode_concat_params),
    .infer = concat_infer,
    .reference = {.forward = concat_forward, .backward = concat_backward},
    .count = lode_count_copy,
    .example = concat_example,
    .print_params = concat_print,
};

lode_var *lode_concat(lode_tape *t, lode_var *const *x, int n, int dim) {
    const lode_concat_params p = {.dim = dim};
    return lode_apply(t, &lode_op_concat, x, n, &p);
}
