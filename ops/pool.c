/* pool.c   max_pool, avg_pool, global_avg_pool over windows of [N,C,H,W].

   Output side: floor((H + 2p - k)/s) + 1, or rounded up in ceil mode, where a last window that
   would begin in the padding behind the image is dropped. Padding is never larger than half the
   window, so every window meets the image: a maximum always exists, and an average that leaves the
   padding out never divides by zero.

   max_pool remembers where each maximum came from (aux: h*W + w in its plane; the first of equals),
   so backward needs neither x nor y. avg_pool with count_include_pad divides by the window's size
   up to the padded border, as the other frameworks do in ceil mode. */
#include "ops/example_internal.h"
#include "ops/op_util.h"

#include <stdio.h>

typedef struct pool_dims {
    lode_pool_params p;
    int64_t NC, H, W, Ho, Wo;
} pool_dims;

static pool_dims pool_dims_of(const lode_op_call *c) {
    const int64_t *x = c->x[0]->shape.dim, *y = c->y->shape.dim;
    return (pool_dims){*(const lode_pool_params *)c->params, x[0] * x[1], x[2], x[3], y[2], y[3]};
}

/* The window of one output pixel, clipped to the image; area is the divisor of an average. */
typedef struct pool_window {
    int64_t h0, h1, w0, w1, area;
} pool_window;

static int64_t pool_clip(int64_t n, int64_t out, int32_t kernel, int32_t stride, int32_t pad,
                         int64_t *begin, int64_t *end) {
    int64_t first = out * stride - pad, last = first + kernel;
    if (last > n + pad) last = n + pad;
    *begin = first < 0 ? 0 : first;
    *end = last > n ? n : last;
    return last - first;
}

static pool_window pool_window_of(const pool_dims *d, int64_t i, int64_t j) {
    const lode_pool_params *p = &d->p;
    pool_window w;
    int64_t rows = pool_clip(d->H, i, p->kernel[0], p->stride[0], p->pad[0], &w.h0, &w.h1);
    int64_t columns = pool_clip(d->W, j, p->kernel[1], p->stride[1], p->pad[1], &w.w0, &w.w1);
    w.area = p->count_include_pad ? rows * columns : (w.h1 - w.h0) * (w.w1 - w.w0);
    return w;
}

/* ---- max ---- */

static int64_t max_pool_argmax(const pool_window *w, const double *x, int64_t W) {
    int64_t best = w->h0 * W + w->w0;
    for (int64_t h = w->h0; h < w->h1; h++)
        for (int64_t v = w->w0; v < w->w1; v++)
            if (x[h * W + v] > x[best]) best = h * W + v;
    return best;
}

static lode_status max_pool_forward(const lode_op_call *c) {
    lode_ref r = {0};
    pool_dims d = pool_dims_of(c);
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y), *index = lode_ref_out(&r, c->aux[0]);
    for (int64_t nc = 0, o = 0; lode_ref_ok(&r) && nc < d.NC; nc++)
        for (int64_t i = 0; i < d.Ho; i++)
            for (int64_t j = 0; j < d.Wo; j++, o++) {
                pool_window w = pool_window_of(&d, i, j);
                int64_t best = max_pool_argmax(&w, x + nc * d.H * d.W, d.W);
                y[o] = x[nc * d.H * d.W + best];
                if (index != NULL) index[o] = (double)best;
            }
    return lode_ref_end(&r);
}

static lode_status max_pool_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    lode_ref r = {0};
    if (dx[0] == NULL) return LODE_OK;
    const int64_t *s = dx[0]->shape.dim;
    int64_t plane_in = s[2] * s[3], plane_out = dy->shape.dim[2] * dy->shape.dim[3];
    const double *g = lode_ref_in(&r, dy), *index = lode_ref_in(&r, c->aux[0]);
    double *gx = lode_ref_out(&r, dx[0]);
    for (int64_t nc = 0; lode_ref_ok(&r) && nc < s[0] * s[1]; nc++)
        for (int64_t o = nc * plane_out; o < (nc + 1) * plane_out; o++)
            gx[nc * plane_in + (int64_t)index[o]] += g[o];
    return lode_ref_end(&r);
}

/* ---- average ---- */

static double avg_pool_sum(const pool_window *w, const double *x, int64_t W) {
    double sum = 0;
    for (int64_t h = w->h0; h < w->h1; h++)
        for (int64_t v = w->w0; v < w->w1; v++) sum += x[h * W + v];
    return sum;
}

static void avg_pool_spread(const pool_window *w, double g, double *dx, int64_t W) {
    for (int64_t h = w->h0; h < w->h1; h++)
        for (int64_t v = w->w0; v < w->w1; v++) dx[h * W + v] += g;
}

static lode_status avg_pool_forward(const lode_op_call *c) {
    lode_ref r = {0};
    pool_dims d = pool_dims_of(c);
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    for (int64_t nc = 0, o = 0; lode_ref_ok(&r) && nc < d.NC; nc++)
        for (int64_t i = 0; i < d.Ho; i++)
            for (int64_t j = 0; j < d.Wo; j++, o++) {
                pool_window w = pool_window_of(&d, i, j);
                y[o] = avg_pool_sum(&w, x + nc * d.H * d.W, d.W) / (double)w.area;
            }
    return lode_ref_end(&r);
}

static lode_status avg_pool_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    lode_ref r = {0};
    if (dx[0] == NULL) return LODE_OK;
    const int64_t *s = dx[0]->shape.dim, *o_dim = dy->shape.dim;
    pool_dims d = {
        *(const lode_pool_params *)c->params, s[0] * s[1], s[2], s[3], o_dim[2], o_dim[3]};
    const double *g = lode_ref_in(&r, dy);
    double *gx = lode_ref_out(&r, dx[0]);
    for (int64_t nc = 0, o = 0; lode_ref_ok(&r) && nc < d.NC; nc++)
        for (int64_t i = 0; i < d.Ho; i++)
            for (int64_t j = 0; j < d.Wo; j++, o++) {
                pool_window w = pool_window_of(&d, i, j);
                avg_pool_spread(&w, g[o] / (double)w.area, gx + nc * d.H * d.W, d.W);
            }
    return lode_ref_end(&r);
}

/* ---- shapes and counts ---- */

static lode_status pool_check_params(const lode_op_call *c) {
    const lode_pool_params *p = c->params;
    for (int i = 0; i < 2; i++) {
        if (p->kernel[i] < 1 || p->stride[i] < 1)
            return LODE_FAIL(LODE_ERR_INVALID, "%s: kernel %d and stride %d must be at least 1",
                             c->op->name, p->kernel[i], p->stride[i]);
        if (p->pad[i] < 0 || 2 * p->pad[i] > p->kernel[i])
            return LODE_FAIL(LODE_ERR_INVALID,
                             "%s: pad %d must be between 0 and half the kernel, %d", c->op->name,
                             p->pad[i], p->kernel[i] / 2);
    }
    return LODE_OK;
}

static lode_status pool_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_pool_params *p = c->params;
    LODE_TRY(lode_check_float(c, 0, "x"));
    LODE_TRY(lode_check_dims(c, 0, "x", 4));
    LODE_TRY(pool_check_params(c));
    lode_shape y = c->x[0]->shape;
    for (int i = 0; i < 2; i++) {
        int64_t n = y.dim[2 + i], room = n + 2 * p->pad[i] - p->kernel[i], s = p->stride[i];
        if (room < 0)
            return LODE_FAIL(LODE_ERR_SHAPE,
                             "%s: a window of %d does not fit dim %d of x, %lld "
                             "with padding %d",
                             c->op->name, p->kernel[i], 2 + i, (long long)n, p->pad[i]);
        y.dim[2 + i] = (p->ceil_mode ? room + s - 1 : room) / s + 1;
        if (p->ceil_mode && (y.dim[2 + i] - 1) * s >= n + p->pad[i]) y.dim[2 + i]--;
    }
    lode_infer_y(out, c->x[0]->dtype, &y);
    return LODE_OK;
}

static lode_status max_pool_infer(const lode_op_call *c, lode_inferred *out) {
    LODE_TRY(pool_infer(c, out));
    if (c->x[0]->shape.dim[2] * c->x[0]->shape.dim[3] > INT32_MAX)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED, "max_pool: planes of more than 2^31 pixels");
    lode_infer_aux(out, LODE_S32, &out->shape);
    return LODE_OK;
}

static void pool_count(const lode_op_call *c, lode_op_count *out) {
    const lode_pool_params *p = c->params;
    lode_count_copy(c, out);
    out->flops = (double)lode_tensor_count(c->y) * p->kernel[0] * p->kernel[1];
}

static void pool_print(const void *params, char out[96]) {
    const lode_pool_params *p = params;
    snprintf(out, 96, "k%dx%d s%dx%d p%dx%d%s%s", p->kernel[0], p->kernel[1], p->stride[0],
             p->stride[1], p->pad[0], p->pad[1], p->count_include_pad ? " padded" : "",
             p->ceil_mode ? " ceil" : "");
}

/* ---- examples ---- */

static lode_status pool_example(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape x;
        lode_pool_params p;
    } corner[] = {
        {{4, {2, 3, 6, 6}}, {{2, 2}, {2, 2}, {0, 0}, 0, 0}},
        {{4, {2, 16, 5, 7}}, {{3, 3}, {1, 1}, {1, 1}, 0, 0}},
        {{4, {1, 5, 7, 6}}, {{3, 3}, {2, 2}, {1, 1}, 1, 0}},
        {{4, {2, 2, 6, 5}}, {{3, 3}, {2, 2}, {1, 1}, 0, 1}},
        {{4, {1, 17, 5, 6}}, {{2, 2}, {2, 2}, {1, 1}, 1, 1}},
        {{4, {1, 2, 5, 8}}, {{3, 2}, {2, 1}, {0, 1}, 0, 0}},
        {{4, {1, 1, 1, 1}}, {{1, 1}, {1, 1}, {0, 0}, 1, 0}},
        {{4, {2, 3, 4, 4}}, {{4, 4}, {4, 4}, {0, 0}, 0, 0}},
    };
    lode_shape x = LODE_SHAPE4(lode_example_between(rng, 1, 3), lode_example_between(rng, 1, 20),
                               lode_example_between(rng, 3, 9), lode_example_between(rng, 3, 9));
    int kernel = (int)lode_example_between(rng, 1, 3),
        stride = (int)lode_example_between(rng, 1, 3);
    lode_pool_params p = lode_pool_square(kernel, stride, (int)lode_rng_below(rng, kernel / 2 + 1));
    p.count_include_pad = (int32_t)lode_rng_below(rng, 2);
    p.ceil_mode = (int32_t)lode_rng_below(rng, 2);
    if (k < (int)(sizeof corner / sizeof *corner)) {
        x = corner[k].x;
        p = corner[k].p;
    }
    LODE_TRY(lode_example_any_layout(e, rng, x, k));
    lode_example_spread(e->x[0], rng); /* no two alike: the maximum must not jump */
    lode_example_set_params(e, &p, sizeof p);
    return LODE_OK;
}

const lode_op lode_op_max_pool = {
    .name = "max_pool",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_pool_params),
    .infer = max_pool_infer,
    .reference = {.forward = max_pool_forward, .backward = max_pool_backward},
    .count = pool_count,
    .example = pool_example,
    .print_params = pool_print,
};

const lode_op lode_op_avg_pool = {
    .name = "avg_pool",
    .n_inputs = 1,
    .n_required = 1,
    .params_size = sizeof(lode_pool_params),
    .infer = pool_infer,
    .reference = {.forward = avg_pool_forward, .backward = avg_pool_backward},
    .count = pool_count,
    .example = pool_example,
    .print_params = pool_print,
};

lode_pool_params lode_pool_square(int kernel, int stride, int pad) {
    return (lode_pool_params){{kernel, kernel}, {stride, stride}, {pad, pad}, 0, 0};
}

lode_var *lode_max_pool(lode_tape *t, lode_var *x, lode_pool_params p) {
    return lode_apply(t, &lode_op_max_pool, &x, 1, &p);
}

lode_var *lode_avg_pool(lode_tape *t, lode_var *x, lode_pool_params p) {
    return lode_apply(t, &lode_op_avg_pool, &x, 1, &p);
}

/* ---- global average: [N,C,H,W] -> [N,C,1,1] ---- */

static lode_status global_avg_pool_forward(const lode_op_call *c) {
    lode_ref r = {0};
    const int64_t *s = c->x[0]->shape.dim, plane = s[2] * s[3];
    const double *x = lode_ref_in(&r, c->x[0]);
    double *y = lode_ref_out(&r, c->y);
    for (int64_t nc = 0; lode_ref_ok(&r) && nc < s[0] * s[1]; nc++) {
        for (int64_t i = 0; i < plane; i++) y[nc] += x[nc * plane + i];
        y[nc] /= (double)plane;
    }
    return lode_ref_end(&r);
}

static lode_status global_avg_pool_backward(const lode_op_call *c, const lode_tensor *dy,
                                            lode_tensor *const *dx) {
    (void)c;
    if (dx[0] == NULL) return LODE_OK;
    lode_ref r = {0};
    const int64_t *s = dx[0]->shape.dim, plane = s[2] * s[3];
    const double *g = lode_ref_in(&r, dy);
    double *gx = lode_ref_out(&r, dx[0]);
    for (int64_t i = 0; lode_ref_ok(&r) && i < s[0] * s[1] * plane; i++)
        gx[i] = g[i / plane] / (double)plane;
    return lode_ref_end(&r);
}

static lode_status global_avg_pool_infer(const lode_op_call *c, lode_inferred *out) {
    LODE_TRY(lode_check_float(c, 0, "x"));
    LODE_TRY(lode_check_dims(c, 0, "x", 4));
    const int64_t *x = c->x[0]->shape.dim;
    if (x[2] < 1 || x[3] < 1)
        return LODE_FAIL(LODE_ERR_SHAPE, "global_avg_pool: x has no pixels: %lld x %lld",
                         (long long)x[2], (long long)x[3]);
    lode_infer_y(out, c->x[0]->dtype, &LODE_SHAPE4(x[0], x[1], 1, 1));
    return LODE_OK;
}

static void global_avg_pool_count(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = (double)lode_tensor_count(c->x[0]);
}

static lode_status global_avg_pool_example(lode_op_example *e, lode_rng *rng, int k) {
    static const lode_shape corner[] = {
        {4, {2, 3, 4, 4}}, {4, {1, 17, 5, 3}}, {4, {3, 2, 1, 1}}, {4, {2, 33, 7, 7}}};
    lode_shape x = LODE_SHAPE4(lode_example_between(rng, 1, 3), lode_example_between(rng, 1, 40),
                               lode_example_between(rng, 1, 8), lode_example_between(rng, 1, 8));
    if (k < (int)(sizeof corner / sizeof *corner)) x = corner[k];
    return lode_example_any_layout(e, rng, x, k);
}

const lode_op lode_op_global_avg_pool = {
    .name = "global_avg_pool",
    .n_inputs = 1,
    .n_required = 1,
    .infer = global_avg_pool_infer,
    .reference = {.forward = global_avg_pool_forward, .backward = global_avg_pool_backward},
    .count = global_avg_pool_count,
    .example = global_avg_pool_example,
};

lode_var *lode_global_avg_pool(lode_tape *t, lode_var *x) {
    return lode_apply(t, &lode_op_global_avg_pool, &x, 1, NULL);
}
