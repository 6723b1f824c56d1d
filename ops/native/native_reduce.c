/* Reductions: a fold (fold.h) there, a broadcast walk (walk.h) back. */
#include "ops/native/fold.h"
#include "ops/native/native_internal.h"
#include "ops/native/walk.h"
#include "ops/ops.h"

/* A global average is the mean over H and W. */
static lode_reduce_params reduce_params_of(const lode_op_call *c) {
    const lode_reduce_params pixels = {.dims = 4 | 8, .keep = 1};
    return c->op == &lode_op_global_avg_pool ? pixels : *(const lode_reduce_params *)c->params;
}

static uint32_t reduce_mask(const lode_op_call *c) {
    const uint32_t dims = reduce_params_of(c).dims;
    return dims != 0 ? dims : (1u << c->x[0]->shape.n_dims) - 1;
}

static bool reduce_plan_of(const lode_op_call *c, lode_fold *plan) {
    const bool keep = reduce_params_of(c).keep != 0;
    return lode_fold_plan(c->x[0], reduce_mask(c), c->y, !keep, plan);
}

bool native_reduce_supports(const lode_op_call *c) {
    lode_fold plan;
    return lode_native_f32(c) && reduce_plan_of(c, &plan);
}

size_t native_reduce_workspace(const lode_op_call *c, bool backward) {
    lode_fold plan;
    return !backward && reduce_plan_of(c, &plan) ? lode_fold_scratch(&plan) : 0;
}

static double reduce_scale(const lode_op_call *c) {
    if (c->op == &lode_op_reduce_sum) return 1;
    double n = 1;
    for (int d = 0; d < c->x[0]->shape.n_dims; d++)
        if (reduce_mask(c) >> d & 1u) n *= (double)c->x[0]->shape.dim[d];
    return 1 / n;
}

lode_status native_reduce_forward(const lode_op_call *c) {
    lode_fold plan;
    if (!reduce_plan_of(c, &plan)) return c->op->reference.forward(c);
    lode_fold_run(&plan, c->x[0]->data, NULL, reduce_scale(c), c->y->data, c->workspace);
    return LODE_OK;
}

/* dy, its reduced dims put back as 1, is broadcast. */
lode_status native_reduce_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx) {
    if (dx[0] == NULL) return LODE_OK;
    const float p[2] = {(float)reduce_scale(c), 0};
    const bool keep = reduce_params_of(c).keep != 0;
    lode_tensor g = *dy;
    g.shape.n_dims = dx[0]->shape.n_dims;
    for (int d = 0, from = 0; d < g.shape.n_dims; d++) {
        const bool gone = reduce_mask(c) >> d & 1u;
        g.shape.dim[d] = gone ? 1 : dx[0]->shape.dim[d];
        g.stride[d] = gone ? 0 : dy->stride[from];
        from += !gone || keep;
    }
    lode_walk w = lode_walk_to(dx[0]);
    lode_walk_from(&w, &g);
    lode_walk_run(&w, lode_simd_get()->pointwise[SIMD_SCALE], p);
    return LODE_OK;
}
