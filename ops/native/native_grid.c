/* Pixels between a large map and a regular grid in it (ops/grid.c): each is a run of channels,
   which lie together in both. Where they do not, the reference runs. */
#include "core/parallel.h"
#include "ops/native/native_internal.h"
#include "ops/native/walk.h"
#include "ops/ops.h"

#include <string.h>

enum { GRID_GRAIN = 1 << 14 }; /* floats of a task */

typedef struct grid_job {
    const lode_tensor *large, *small;
    bool gather; /* large to small */
} grid_job;

static bool grid_channels_lie(const lode_tensor *t) {
    return t->stride[1] == 1 || t->shape.dim[1] == 1;
}

bool native_grid_supports(const lode_op_call *c) {
    return lode_native_f32(c) && grid_channels_lie(c->x[0]) && grid_channels_lie(c->y);
}

/* One row of the small map at a time. */
static void grid_task(void *ctx, int64_t task, int64_t begin, int64_t end) {
    const grid_job *j = ctx;
    const lode_tensor *L = j->large, *S = j->small;
    const int64_t C = S->shape.dim[1], h = S->shape.dim[2], w = S->shape.dim[3];
    (void)task;
    for (int64_t row = begin; row < end; row++) {
        const int64_t n = row / h, i = row % h;
        float *s = (float *)S->data + n * S->stride[0] + i * S->stride[2];
        float *l = (float *)L->data + n * L->stride[0] + i * L->shape.dim[2] / h * L->stride[2];
        for (int64_t k = 0; k < w; k++) {
            float *at_s = s + k * S->stride[3], *at_l = l + k * L->shape.dim[3] / w * L->stride[3];
            memcpy(j->gather ? at_s : at_l, j->gather ? at_l : at_s, (size_t)C * sizeof *at_s);
        }
    }
}

static lode_status grid_move(const lode_tensor *from, lode_tensor *to, bool gather) {
    grid_job j = {gather ? from : to, gather ? to : from, gather};
    const lode_shape *s = &j.small->shape;
    const int64_t row = s->dim[1] * s->dim[3];
    if (!gather) LODE_TRY(lode_tensor_fill(to, 0));
    lode_parallel_for(s->dim[0] * s->dim[2], (GRID_GRAIN + row - 1) / row, grid_task, &j);
    return LODE_OK;
}

lode_status native_grid_subsample_forward(const lode_op_call *c) {
    return grid_move(c->x[0], c->y, true);
}

lode_status native_grid_subsample_backward(const lode_op_call *c, const lode_tensor *dy,
                                           lode_tensor *const *dx) {
    if (dx[0] == NULL) return LODE_OK;
    if (!grid_channels_lie(dy) || !grid_channels_lie(dx[0]))
        return c->op->reference.backward(c, dy, dx);
    return grid_move(dy, dx[0], false);
}

lode_status native_grid_scatter_forward(const lode_op_call *c) {
    return grid_move(c->x[0], c->y, false);
}

lode_status native_grid_scatter_backward(const lode_op_call *c, const lode_tensor *dy,
                                         lode_tensor *const *dx) {
    if (dx[0] == NULL) return LODE_OK;
    if (!grid_channels_lie(dy) || !grid_channels_lie(dx[0]))
        return c->op->reference.backward(c, dy, dx);
    return grid_move(dy, dx[0], true);
}
