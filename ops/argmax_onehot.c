/* argmax_onehot.c   1 at the largest of the last dim (the first of equals), 0 elsewhere.

   The hard choice of a relaxed decision. It has no gradient: for a straight-through one see
   ops/relaxed.h. */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

static lode_status argmax_onehot_infer(const lode_op_call *c, lode_inferred *out) {
    if (c->x[0]->shape.n_dims < 1)
        return LODE_FAIL(LODE_ERR_SHAPE, "argmax_onehot: x is a scalar; wanted [..., K]");
    return lode_infer_same_shape(c, out);
}

static lode_status argmax_onehot_forward(const lode_op_call *c) {
    const lode_shape *s = &c->x[0]->shape;
    const int64_t k = s->dim[s->n_dims - 1], rows = lode_shape_count(s) / k;
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    for (int64_t row = 0; row < rows && lode_ref_ok(&r); row++) {
        int64_t best = row * k;
        for (int64_t i = best + 1; i < (row + 1) * k; i++)
            if (x[i] > x[best]) best = i;
        y[best] = 1;
    }
    return lode_ref_end(&r);
}

static lode_status argmax_onehot_example(lode_op_example *e, lode_rng *rng, int k) {
    const lode_shape one = LODE_SHAPE1(1), equals = LODE_SHAPE2(2, 5);
    lode_shape shape = lode_example_random_shape(rng, 1, 5);
    LODE_TRY(lode_example_laid(e, rng,
                               k == 0   ? &one
                               : k == 1 ? &equals
                                        : &shape,
                               k < 2 ? LODE_EXAMPLE_DENSE : lode_example_random_layout(rng)));
    e->differentiable[0] = false;
    if (k == 1) return lode_tensor_fill(e->x[0], 3);
    lode_example_spread(e->x[0], rng);
    return LODE_OK;
}

const lode_op lode_op_argmax_onehot = {
    .name = "argmax_onehot",
    .n_inputs = 1,
    .n_required = 1,
    .not_differentiable = true,
    .infer = argmax_onehot_infer,
    .reference = {.forward = argmax_onehot_forward},
    .count = lode_count_pointwise,
    .example = argmax_onehot_example,
};

lode_var *lode_argmax_onehot(lode_tape *t, lode_var *x) {
    return lode_apply(t, &lode_op_argmax_onehot, &x, 1, NULL);
}
