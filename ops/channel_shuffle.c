/* channel_shuffle.c   deals the channels of g groups out in turn: y[n, j g + i] = x[n, i C/g + j].

   After a grouped convolution each group knows only its own inputs; the shuffle lets the next
   grouped convolution see all of them. Zhang et al. 2018 (ShuffleNet). x [N, C, ...]. */
#include "ops/example_internal.h"
#include "ops/op_util.h"
#include "ops/ops.h"

#include <stdio.h>
#include <string.h>

static lode_status channel_shuffle_infer(const lode_op_call *c, lode_inferred *out) {
    const int groups = ((const lode_channel_shuffle_params *)c->params)->groups;
    const lode_shape *x = &c->x[0]->shape;
    char text[128];
    if (x->n_dims < 2)
        return LODE_FAIL(LODE_ERR_SHAPE, "channel_shuffle: x is %s; wanted [N, C, ...]",
                         lode_shape_print(x, text));
    if (groups < 1 || x->dim[1] % groups != 0)
        return LODE_FAIL(LODE_ERR_SHAPE, "channel_shuffle: %d groups do not divide %lld channels",
                         groups, (long long)x->dim[1]);
    lode_infer_y(out, c->x[0]->dtype, x);
    out->layout = lode_layout_like(c->x[0]);
    return LODE_OK;
}

/* In row-major order the tensor is [N, C, inner]; channel `from` of x is channel `to` of y. */
static int64_t channel_shuffle_to(int64_t from, int64_t channels, int64_t groups) {
    const int64_t width = channels / groups;
    return from % width * groups + from / width;
}

static lode_status channel_shuffle_forward(const lode_op_call *c) {
    const int groups = ((const lode_channel_shuffle_params *)c->params)->groups;
    const int64_t n = c->y->shape.dim[0], channels = c->y->shape.dim[1];
    const int64_t inner = lode_tensor_count(c->y) / (n * channels);
    lode_ref r = {0};
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    for (int64_t i = 0; i < n * channels && lode_ref_ok(&r); i++) {
        const int64_t to = i - i % channels + channel_shuffle_to(i % channels, channels, groups);
        memcpy(y + to * inner, x + i * inner, (size_t)inner * sizeof *y);
    }
    return lode_ref_end(&r);
}

static lode_status channel_shuffle_backward(const lode_op_call *c, const lode_tensor *dy_,
                                            lode_tensor *const *dx_) {
    if (dx_[0] == NULL) return LODE_OK;
    const int groups = ((const lode_channel_shuffle_params *)c->params)->groups;
    const int64_t n = dy_->shape.dim[0], channels = dy_->shape.dim[1];
    const int64_t inner = lode_tensor_count(dy_) / (n * channels);
    lode_ref r = {0};
    const double *dy = lode_ref_in(&r, dy_);
    double *dx = lode_ref_out(&r, dx_[0]);
    for (int64_t i = 0; i < n * channels && lode_ref_ok(&r); i++) {
        const int64_t to = i - i % channels + channel_shuffle_to(i % channels, channels, groups);
        memcpy(dx + i * inner, dy + to * inner, (size_t)inner * sizeof *dx);
    }
    return lode_ref_end(&r);
}

static lode_status channel_shuffle_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape shape;
        lode_example_layout layout;
        int32_t groups;
    } corner[] = {
        {{2, {1, 1}}, LODE_EXAMPLE_DENSE, 1},
        {{2, {3, 6}}, LODE_EXAMPLE_DENSE, 2},
        {{4, {2, 32, 3, 3}}, LODE_EXAMPLE_DENSE, 2},
        {{4, {2, 6, 2, 3}}, LODE_EXAMPLE_DENSE, 3},
        {{4, {1, 5, 2, 2}}, LODE_EXAMPLE_DENSE, 5},
        {{4, {2, 24, 2, 2}}, LODE_EXAMPLE_ROWS, 4},
        {{4, {2, 8, 3, 2}}, LODE_EXAMPLE_CONTIGUOUS, 4},
    };
    lode_shape shape = lode_example_random_shape(rng, 2, 5);
    lode_example_layout layout = lode_example_random_layout(rng);
    lode_channel_shuffle_params p = {.groups = 1 + (int32_t)lode_rng_below(rng, 4)};
    shape.dim[1] *= p.groups;
    if (k < (int)(sizeof corner / sizeof corner[0])) {
        shape = corner[k].shape;
        layout = corner[k].layout;
        p.groups = corner[k].groups;
    }
    lode_example_set_params(e, &p, sizeof p);
    return lode_example_laid(e, rng, &shape, layout);
}

static void channel_shuffle_print(const void *params, char out[96]) {
    snprintf(out, 96, "g%d", ((const lode_channel_shuffle_params *)params)->groups);
}

const lode_op lode_op_channel_shuffle = {
    .name = "channel_shuffle",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_channel_shuffle_params),
    .infer = channel_shuffle_infer,
    .reference = {.forward = channel_shuffle_forward, .backward = channel_shuffle_backward},
    .count = lode_count_copy,
    .example = channel_shuffle_example,
    .print_params = channel_shuffle_print,
};

lode_var *lode_channel_shuffle(lode_tape *t, lode_var *x, int groups) {
    const lode_channel_shuffle_params p = {.groups = groups};
    return lode_apply(t, &lode_op_channel_shuffle, &x, 1, &p);
}
