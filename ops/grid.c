/* grid.c   grid_subsample: y = the pixels of x on a regular grid of h x w, y[i,j] = x[r(i), r(j)],
   r(i) = floor(i H / h).   grid_scatter: the other way, x's pixels at these places of a larger map,
   zeros in between.

   How FBNetV2 (Wan et al. 2020) lets a layer try a lower resolution: the operator runs on a
   subsample, and its result goes back to where its pixels came from, so that maps of different
   resolutions add up pixel by pixel. Each is the other's gradient, and scatter after subsample
   keeps what a subsample of the same size would take. x [N,C,H,W]. */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <stdio.h>

/* Copies between a large and a small map in row-major order, [NC, sides]. */
static void grid_copy(const lode_shape *large, const lode_shape *small, double *to,
                      const double *from, bool gather) {
    const int64_t H = large->dim[2], W = large->dim[3], h = small->dim[2], w = small->dim[3];
    for (int64_t nc = 0; nc < large->dim[0] * large->dim[1]; nc++)
        for (int64_t i = 0; i < h; i++)
            for (int64_t j = 0; j < w; j++) {
                const int64_t l = (nc * H + i * H / h) * W + j * W / w;
                const int64_t s = (nc * h + i) * w + j;
                to[gather ? s : l] = from[gather ? l : s];
            }
}

static lode_status grid_run(lode_tensor *to_, const lode_tensor *from_, bool gather) {
    lode_ref r = {0};
    const double *from = lode_ref_in(&r, from_);
    double *to = lode_ref_out(&r, to_);
    if (lode_ref_ok(&r) && to != NULL)
        grid_copy(gather ? &from_->shape : &to_->shape, gather ? &to_->shape : &from_->shape, to,
                  from, gather);
    return lode_ref_end(&r);
}

static lode_status grid_infer(const lode_op_call *c, lode_inferred *out, bool gather) {
    const lode_grid_params *p = c->params;
    LODE_TRY(lode_check_float(c, 0, "x"));
    LODE_TRY(lode_check_dims(c, 0, "x", 4));
    const int64_t *x = c->x[0]->shape.dim;
    const bool fits =
        gather ? p->height <= x[2] && p->width <= x[3] : p->height >= x[2] && p->width >= x[3];
    if (p->height < 1 || p->width < 1 || !fits)
        return LODE_FAIL(LODE_ERR_SHAPE, "%s: from %lld x %lld to %d x %d", c->op->name,
                         (long long)x[2], (long long)x[3], p->height, p->width);
    lode_infer_y(out, c->x[0]->dtype, &LODE_SHAPE4(x[0], x[1], p->height, p->width));
    return LODE_OK;
}

static lode_status grid_example(lode_op_example *e, lode_rng *rng, int k, bool gather) {
    static const struct {
        int large[2], small[2];
    } corner[] = {{{1, 1}, {1, 1}}, {{4, 4}, {2, 2}}, {{8, 8}, {6, 6}}, {{5, 7}, {3, 7}}};
    int64_t L[2], S[2];
    for (int d = 0; d < 2; d++) {
        L[d] = lode_example_between(rng, 1, 9);
        S[d] = lode_example_between(rng, 1, L[d]);
        if (k < (int)(sizeof corner / sizeof *corner)) {
            L[d] = corner[k].large[d];
            S[d] = corner[k].small[d];
        }
    }
    const int64_t *x = gather ? L : S, *y = gather ? S : L;
    const lode_shape shape =
        LODE_SHAPE4(lode_example_between(rng, 1, 3), lode_example_between(rng, 1, 20), x[0], x[1]);
    const lode_grid_params p = {(int32_t)y[0], (int32_t)y[1]};
    lode_example_set_params(e, &p, sizeof p);
    return lode_example_any_layout(e, rng, shape, k);
}

static void grid_print(const void *params, char out[96]) {
    const lode_grid_params *p = params;
    snprintf(out, 96, "%dx%d", p->height, p->width);
}

/* ---- subsample ---- */
static lode_status grid_subsample_infer(const lode_op_call *c, lode_inferred *out) {
    return grid_infer(c, out, true);
}
static lode_status grid_subsample_forward(const lode_op_call *c) {
    return grid_run(c->y, c->x[0], true);
}
static lode_status grid_subsample_backward(const lode_op_call *c, const lode_tensor *dy,
                                           lode_tensor *const *dx) {
    (void)c;
    return dx[0] != NULL ? grid_run(dx[0], dy, false) : LODE_OK;
}
static lode_status grid_subsample_example(lode_op_example *e, lode_rng *rng, int k) {
    return grid_example(e, rng, k, true);
}

const lode_op lode_op_grid_subsample = {
    .name = "grid_subsample",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_grid_params),
    .infer = grid_subsample_infer,
    .reference = {.forward = grid_subsample_forward, .backward = grid_subsample_backward},
    .count = lode_count_copy,
    .example = grid_subsample_example,
    .print_params = grid_print,
};

lode_var *lode_grid_subsample(lode_tape *t, lode_var *x, int64_t height, int64_t width) {
    const lode_grid_params p = {(int32_t)height, (int32_t)width};
    return lode_apply(t, &lode_op_grid_subsample, &x, 1, &p);
}

/* ---- scatter ---- */
static lode_status grid_scatter_infer(const lode_op_call *c, lode_inferred *out) {
    return grid_infer(c, out, false);
}
static lode_status grid_scatter_forward(const lode_op_call *c) {
    return grid_run(c->y, c->x[0], false);
}
static lode_status grid_scatter_backward(const lode_op_call *c, const lode_tensor *dy,
                                         lode_tensor *const *dx) {
    (void)c;
    return dx[0] != NULL ? grid_run(dx[0], dy, true) : LODE_OK;
}
static lode_status grid_scatter_example(lode_op_example *e, lode_rng *rng, int k) {
    return grid_example(e, rng, k, false);
}

const lode_op lode_op_grid_scatter = {
    .name = "grid_scatter",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_grid_params),
    .infer = grid_scatter_infer,
    .reference = {.forward = grid_scatter_forward, .backward = grid_scatter_backward},
    .count = lode_count_copy,
    .example = grid_scatter_example,
    .print_params = grid_print,
};

lode_var *lode_grid_scatter(lode_tape *t, lode_var *x, int64_t height, int64_t width) {
    const lode_grid_params p = {(int32_t)height, (int32_t)width};
    return lode_apply(t, &lode_op_grid_scatter, &x, 1, &p);
}
