/* add, sub, mul, div, scale_rows.

   Forward and the gradients of operands of full shape are walks (walk.h); the gradients of repeated
   operands are folds (fold.h). A fold wants its operands dense in one order: when they are not, or
   the broadcast is of a rarer form, the reference takes that one gradient. */
#include "ops/native/fold.h"
#include "ops/native/native_internal.h"
#include "ops/native/walk.h"
#include "ops/ops.h"

/* ---- forward ---- */

static void run_binary(simd_pointwise which, const lode_tensor *a, const lode_tensor *b,
                       lode_tensor *y) {
    lode_walk w = lode_walk_to(y);
    lode_walk_from(&w, a);
    lode_walk_from(&w, b);
    lode_walk_run(&w, lode_simd_get()->pointwise[which], NULL);
}

static simd_pointwise elementwise_kernel(const lode_op *op) {
    return op == &lode_op_add   ? SIMD_ADD
           : op == &lode_op_sub ? SIMD_SUB
           : op == &lode_op_mul ? SIMD_MUL
                                : SIMD_DIV;
}

lode_status native_elementwise_forward(const lode_op_call *c) {
    run_binary(elementwise_kernel(c->op), c->x[0], c->x[1], c->y);
    return LODE_OK;
}

/* ---- gradients ---- */

/* The dims of y along which x is repeated, as a bit mask. */
static uint32_t repeated_dims(const lode_shape *y, const lode_shape *x) {
    uint32_t mask = 0;
    const int missing = y->n_dims - x->n_dims;
    for (int d = 0; d < y->n_dims; d++)
        if (y->dim[d] != 1 && (d < missing || x->dim[d - missing] == 1)) mask |= 1u << d;
    return mask;
}

/* a and b are dense in the same order. */
static bool lie_alike(const lode_tensor *a, const lode_tensor *b) {
    if (!lode_shape_equal(&a->shape, &b->shape)) return false;
    for (int d = 0; d < a->shape.n_dims; d++)
        if (a->shape.dim[d] != 1 && a->stride[d] != b->stride[d]) return false;
    return true;
}

/* dx[k] = sum over the repeats of sign * dy * factor (factor NULL: 1). False: not of that form. */
static bool repeated_gradient(const lode_op_call *c, const lode_tensor *dy,
                              const lode_tensor *factor, double sign, lode_tensor *dx) {
    lode_fold plan;
    if (factor != NULL && !lie_alike(factor, dy)) return false;
    if (!lode_fold_plan(dy, repeated_dims(&dy->shape, &dx->shape), dx, false, &plan)) return false;
    if (lode_fold_scratch(&plan) > c->workspace_bytes) return false;
    lode_fold_run(&plan, dy->data, factor ? factor->data : NULL, sign, dx->data, c->workspace);
    return true;
}

/* A gradient of full shape: the walk takes any strides. */
static void full_gradient(const lode_op_call *c, const lode_tensor *dy, int k, lode_tensor *dx) {
    static const float minus[2] = {-1, 0};
    lode_walk w = lode_walk_to(dx);
    lode_walk_from(&w, dy);
    if (c->op == &lode_op_mul)
        run_binary(SIMD_MUL, dy, c->x[1 - k], dx);
    else if (c->op == &lode_op_div)
        run_binary(SIMD_DIV, dy, c->x[1], dx);
    else if (c->op == &lode_op_sub && k == 1)
        lode_walk_run(&w, lode_simd_get()->pointwise[SIMD_SCALE], minus);
    else
        lode_walk_run(&w, NULL, NULL);
}

static bool native_gradient(const lode_op_call *c, const lode_tensor *dy, int k, lode_tensor *dx) {
    const bool div = c->op == &lode_op_div, mul = c->op == &lode_op_mul;
    const bool full = lode_shape_equal(&dx->shape, &dy->shape);
    if (div && (k == 1 || !full)) return false; /* rare: the reference will do */
    if (!full)
        return repeated_gradient(c, dy, mul ? c->x[1 - k] : NULL,
                                 c->op == &lode_op_sub && k == 1 ? -1 : 1, dx);
    full_gradient(c, dy, k, dx);
    return true;
}

lode_status native_elementwise_backward(const lode_op_call *c, const lode_tensor *dy,
                                        lode_tensor *const *dx) {
    for (int k = 0; k < 2; k++) {
        if (dx[k] == NULL || native_gradient(c, dy, k, dx[k])) continue;
        lode_tensor *const one[2] = {k == 0 ? dx[0] : NULL, k == 1 ? dx[1] : NULL};
        LODE_TRY(c->op->reference.backward(c, dy, one));
    }
    return LODE_OK;
}

size_t native_elementwise_workspace(const lode_op_call *c, bool backward) {
    size_t most = 0;
    for (int k = 0; k < 2 && backward; k++) {
        lode_fold plan;
        const uint32_t reduced = repeated_dims(&c->y->shape, &c->x[k]->shape);
        if (reduced == 0 || !lode_fold_plan(c->y, reduced, c->x[k], false, &plan)) continue;
        const size_t bytes = lode_fold_scratch(&plan);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* ---- scale_rows: s [N] is repeated over all of its sample ---- */

/* s as a tensor of x's dims, so that the walk broadcasts it. */
static lode_tensor rows_like(const lode_tensor *s, const lode_tensor *x) {
    lode_tensor t = *s;
    t.shape = x->shape;
    for (int d = 0; d < x->shape.n_dims; d++) {
        t.shape.dim[d] = d == 0 ? x->shape.dim[0] : 1;
        t.stride[d] = s->stride[0];
    }
    return t;
}

lode_status native_scale_rows_forward(const lode_op_call *c) {
    const lode_tensor s = rows_like(c->x[1], c->x[0]);
    run_binary(SIMD_MUL, c->x[0], &s, c->y);
    return LODE_OK;
}

lode_status native_scale_rows_backward(const lode_op_call *c, const lode_tensor *dy,
                                       lode_tensor *const *dx) {
    const lode_tensor s = rows_like(c->x[1], c->x[0]);
    if (dx[0] != NULL) run_binary(SIMD_MUL, dy, &s, dx[0]);
    if (dx[1] == NULL) return LODE_OK;
    lode_tensor ds = rows_like(dx[1], c->x[0]);
    if (repeated_gradient(c, dy, c->x[0], 1, &ds)) return LODE_OK;
    lode_tensor *const one[2] = {NULL, dx[1]};
    return c->op->reference.backward(c, dy, one);
}

size_t native_scale_rows_workspace(const lode_op_call *c, bool backward) {
    const lode_tensor ds = rows_like(c->x[1], c->x[0]);
    lode_fold plan;
    const uint32_t reduced = repeated_dims(&c->y->shape, &ds.shape);
    if (!backward || !lode_fold_plan(c->y, reduced, &ds, false, &plan)) return 0;
    return lode_fold_scratch(&plan);
}
