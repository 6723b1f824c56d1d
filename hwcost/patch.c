/* patch.c: receptive fields of patches, backwards through the calls of a stage (patch.h). */
#include "hwcost/patch.h"

#include "core/memory.h"
#include "ops/ops.h"

#include <string.h>

/* ---- which calls ---- */

typedef struct patch_window {
    int64_t kernel, stride, pad, dilation;
} patch_window;

/* Does the operator make element i of its result from element i of its inputs? */
static bool patch_is_pointwise(const lode_op *op) {
    static const lode_op *const list[] = {
        &lode_op_add,      &lode_op_sub,        &lode_op_mul,        &lode_op_div,
        &lode_op_relu,     &lode_op_relu6,      &lode_op_hswish,     &lode_op_swish,
        &lode_op_hsigmoid, &lode_op_sigmoid,    &lode_op_tanh,       &lode_op_gelu,
        &lode_op_scale,    &lode_op_concat,     &lode_op_leaky_relu, &lode_op_channel_shuffle,
        &lode_op_identity, &lode_op_batch_norm,
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (op == list[i]) return true;
    return false;
}

bool lode_patch_is_activation(const lode_op_call *c, int i) {
    if (!c->x[i]) return false;
    if (c->op == &lode_op_conv2d || c->op == &lode_op_conv_act) return i == 0 || i == 3;
    if (c->op == &lode_op_linear || c->op == &lode_op_batch_norm || c->op == &lode_op_layer_norm)
        return i == 0;
    return true;
}

static bool patch_is_conv(const lode_op *op) {
    return op == &lode_op_conv2d || op == &lode_op_conv_act;
}

/* What result row r reads of input i: rows r stride - pad + dilation t. */
static patch_window patch_window_of(const lode_op_call *c, int i, int axis) {
    const lode_conv2d_params *conv = c->params; /* conv_act's begin with them */
    const lode_pool_params *pool = c->params;
    if (patch_is_conv(c->op) && i == 0)
        return (patch_window){c->x[1]->shape.dim[2 + axis], conv->stride[axis], conv->pad[axis],
                              conv->dilation[axis]};
    if (c->op == &lode_op_max_pool || c->op == &lode_op_avg_pool)
        return (patch_window){pool->kernel[axis], pool->stride[axis], pool->pad[axis], 1};
    return (patch_window){1, 1, 0, 1};
}

static bool patch_same_map(const lode_tensor *a, const lode_tensor *b) {
    return a->shape.n_dims == 4 && b->shape.n_dims == 4 && a->shape.dim[2] == b->shape.dim[2] &&
           a->shape.dim[3] == b->shape.dim[3];
}

static bool patch_is_local(const lode_trace_call *t) {
    const lode_op_call *c = &t->call;
    if (c->y->shape.n_dims != 4) return false;
    if (patch_is_conv(c->op)) return true;
    if (c->op == &lode_op_max_pool || c->op == &lode_op_avg_pool) return true;
    if (!patch_is_pointwise(c->op)) return false;
    for (int i = 0; i < c->n_x; i++)
        if (lode_patch_is_activation(c, i) && !patch_same_map(c->x[i], c->y)) return false;
    return true;
}

bool lode_patch_can(const lode_tape *trace, int n) {
    if (n < 1 || n > lode_trace_n(trace)) return false;
    const int y = lode_trace_get(trace, n - 1)->y_id;
    for (int i = 0; i < n; i++)
        if (!patch_is_local(lode_trace_get(trace, i))) return false;
    for (int i = n; i < lode_trace_n(trace); i++) {
        const lode_trace_call *t = lode_trace_get(trace, i);
        for (int k = 0; k < t->call.n_x; k++) {
            const int x = t->x_id[k];
            if (!lode_patch_is_activation(&t->call, k) || x == y) continue;
            /* made within the stage, or the image itself */
            if (x == lode_trace_get(trace, 0)->x_id[0]) return false;
            for (int j = 0; j < n; j++)
                if (lode_trace_get(trace, j)->y_id == x) return false;
        }
    }
    return true;
}

/* ---- intervals ---- */

typedef struct patch_interval {
    int64_t low, high; /* high 0: nothing yet */
} patch_interval;

/* The first and the last row of the input that rows [of.low, of.high) of the result read. */
static patch_interval patch_needs(patch_interval of, patch_window w, int64_t rows) {
    patch_interval in = {rows, 0};
    for (int64_t t = 0; t < w.kernel; t++) {
        /* r stride + shift with r in [low, high), in [0, rows) */
        const int64_t shift = w.dilation * t - w.pad;
        int64_t first = of.low, last = of.high - 1;
        if (first * w.stride + shift < 0) first = (-shift + w.stride - 1) / w.stride;
        if (last * w.stride + shift >= rows)
            last = rows - 1 >= shift ? (rows - 1 - shift) / w.stride : -1;
        if (first > last) continue; /* this tap only sees padding */
        if (first * w.stride + shift < in.low) in.low = first * w.stride + shift;
        if (last * w.stride + shift + 1 > in.high) in.high = last * w.stride + shift + 1;
    }
    return in.high > 0 ? in : (patch_interval){0, 0};
}

static void patch_join(patch_interval a, int64_t *low, int64_t *high) {
    if (a.high == 0) return;
    if (*high == 0 || a.low < *low) *low = a.low;
    if (a.high > *high) *high = a.high;
}

static lode_status patch_check(const lode_tape *trace, int n, int grid) {
    if (!lode_patch_can(trace, n))
        return LODE_FAIL(LODE_ERR_INVALID,
                         "patches: the first %d calls cannot be computed patch by patch", n);
    const lode_shape *y = &lode_trace_get(trace, n - 1)->call.y->shape;
    if (grid < 1 || grid > y->dim[2] || grid > y->dim[3])
        return LODE_FAIL(LODE_ERR_INVALID, "patches: a map of %lldx%lld in %dx%d patches",
                         (long long)y->dim[2], (long long)y->dim[3], grid, grid);
    return LODE_OK;
}

lode_status lode_patch_intervals(const lode_tape *trace, int n, int grid, int axis, int64_t *low,
                                 int64_t *high) {
    LODE_TRY(patch_check(trace, n, grid));
    const size_t bytes = (size_t)lode_trace_n_values(trace) * (size_t)grid * sizeof *low;
    memset(low, 0, bytes);
    memset(high, 0, bytes);
    const lode_trace_call *end = lode_trace_get(trace, n - 1);
    const int64_t rows = end->call.y->shape.dim[2 + axis];
    for (int g = 0; g < grid; g++) {
        low[end->y_id * grid + g] = rows * g / grid;
        high[end->y_id * grid + g] = rows * (g + 1) / grid;
    }
    for (int i = n - 1; i >= 0; i--) {
        const lode_trace_call *t = lode_trace_get(trace, i);
        for (int k = 0; k < t->call.n_x; k++) {
            if (!lode_patch_is_activation(&t->call, k)) continue;
            const patch_window w = patch_window_of(&t->call, k, axis);
            for (int g = 0; g < grid; g++) {
                const patch_interval of = {low[t->y_id * grid + g], high[t->y_id * grid + g]};
                if (of.high == 0) continue; /* a result that nobody reads */
                patch_join(patch_needs(of, w, t->call.x[k]->shape.dim[2 + axis]),
                           &low[t->x_id[k] * grid + g], &high[t->x_id[k] * grid + g]);
            }
        }
    }
    return LODE_OK;
}

lode_status lode_patch_regions(const lode_tape *trace, int n, int grid, lode_patch_region *region) {
    const int64_t n_values = lode_trace_n_values(trace);
    LODE_TRY(patch_check(trace, n, grid));
    int64_t *low = LODE_NEW_ARRAY(int64_t, n_values * grid + 1);
    int64_t *high = LODE_NEW_ARRAY(int64_t, n_values * grid + 1);
    lode_status status = low && high ? LODE_OK : LODE_ERR_NO_MEMORY;
    if (status == LODE_OK) memset(region, 0, (size_t)n_values * sizeof *region);
    for (int axis = 0; status == LODE_OK && axis < 2; axis++) {
        status = lode_patch_intervals(trace, n, grid, axis, low, high);
        for (int64_t v = 0; status == LODE_OK && v < n_values; v++)
            for (int g = 0; g < grid; g++) {
                const int64_t rows = high[v * grid + g] - low[v * grid + g];
                region[v].sum[axis] += rows;
                if (rows > region[v].most[axis]) region[v].most[axis] = rows;
            }
    }
    lode_free(low);
    lode_free(high);
    return status;
}
