/* max_pool, avg_pool and global_avg_pool on dense NHWC.

   A window is a list of pixels; the inner loops run over channels, and over all windows of a row
   that no border cuts, which are the same list moved on. Forward cuts by rows of the output. An
   average's backward gathers: a pixel's gradient is a sum over the windows that see it, cut by rows
   of dx. A maximum's scatters, so a whole image is one piece of work and nobody else writes to it.
   Same bits at any number of threads. */
#include "core/parallel.h"
#include "ops/native/conv_shape.h"
#include "ops/native/fold.h"
#include "ops/native/native_internal.h"
#include "ops/native/pack.h"
#include "ops/native/walk.h"

enum { POOL_WINDOW = 64 }; /* pixels of a window, at most */

typedef struct pool_job {
    const lode_simd *simd;
    lode_pool_params p;
    int64_t n, c, h, w, oh, ow;
    float *x, *y; /* or dx, dy */
    int32_t *at;  /* [N,OH,OW,C] */
} pool_job;

static pool_job pool_job_of(const lode_op_call *c) {
    const int64_t *x = c->x[0]->shape.dim, *y = c->y->shape.dim;
    pool_job j = {.simd = lode_simd_get(), .p = *(const lode_pool_params *)c->params};
    j.n = x[0];
    j.c = x[1];
    j.h = x[2];
    j.w = x[3];
    j.oh = y[2];
    j.ow = y[3];
    return j;
}

bool native_pool_supports(const lode_op_call *c) {
    const lode_pool_params *p = c->params;
    return call_is_f32(c) && (int64_t)p->kernel[0] * p->kernel[1] <= POOL_WINDOW;
}

/* Copies of what does not lie NHWC: x or dx, y or dy, and the index. */
size_t native_pool_workspace(const lode_op_call *c, bool backward) {
    workspace ws = {NULL, 0};
    if (!lode_is_packed(c->x[0], LODE_CHANNELS_LAST))
        workspace_floats(&ws, lode_pack_count(c->x[0]));
    workspace_floats(&ws, lode_pack_count(c->y));
    if (!backward) workspace_take(&ws, lode_pack_count(c->y) * sizeof(int32_t));
    return ws.used;
}

/* ---- windows ---- */

typedef struct pool_window {
    int n;
    int64_t pixel[POOL_WINDOW]; /* h*W + w */
    float scale[POOL_WINDOW];   /* of an average: one over its divisor */
} pool_window;

/* First and one past the last place of a window along one side, and its length with padding. */
typedef struct pool_span {
    int64_t first, last, padded;
} pool_span;

static pool_span pool_clip(const pool_job *j, int side, int64_t out) {
    const lode_pool_params *p = &j->p;
    int64_t size = side == 0 ? j->h : j->w, first = out * p->stride[side] - p->pad[side];
    int64_t last = first + p->kernel[side];
    if (last > size + p->pad[side]) last = size + p->pad[side];
    return (pool_span){first < 0 ? 0 : first, last > size ? size : last, last - first};
}

static float pool_scale(const pool_job *j, pool_span row, pool_span column) {
    int64_t inside = (row.last - row.first) * (column.last - column.first);
    return 1.0f / (float)(j->p.count_include_pad ? row.padded * column.padded : inside);
}

static void pool_window_at(const pool_job *j, int64_t i, int64_t q, pool_window *w) {
    pool_span row = pool_clip(j, 0, i), column = pool_clip(j, 1, q);
    w->n = 0;
    for (int64_t u = row.first; u < row.last; u++)
        for (int64_t v = column.first; v < column.last; v++) w->pixel[w->n++] = u * j->w + v;
    float scale = pool_scale(j, row, column);
    for (int t = 0; t < w->n; t++) w->scale[t] = scale;
}

/* How many windows from q on are the same list, moved: those that no border cuts. */
static int64_t pool_run(const pool_job *j, int64_t q) {
    const lode_pool_params *p = &j->p;
    int64_t first = q * p->stride[1] - p->pad[1];
    if (first < 0 || first + p->kernel[1] > j->w) return 1;
    int64_t more = (j->w - p->kernel[1] - first) / p->stride[1];
    return 1 + (more < j->ow - 1 - q ? more : j->ow - 1 - q);
}

/* ---- forward: rows begin..end of all images' outputs ---- */

static void pool_forward_rows(const pool_job *j, int64_t begin, int64_t end, bool max) {
    const float *in[POOL_WINDOW];
    int32_t index[POOL_WINDOW];
    pool_window w;
    for (int64_t r = begin; r < end; r++) {
        const float *image = j->x + r / j->oh * j->h * j->w * j->c;
        for (int64_t q = 0, run; q < j->ow; q += run) {
            int64_t out = (r * j->ow + q) * j->c, step = j->p.stride[1];
            run = pool_run(j, q);
            pool_window_at(j, r % j->oh, q, &w);
            for (int t = 0; t < w.n; t++) {
                in[t] = image + w.pixel[t] * j->c;
                index[t] = (int32_t)w.pixel[t];
            }
            if (max)
                j->simd->pool_max(j->c, w.n, in, index, run, step, j->y + out, j->at + out);
            else
                j->simd->pool_sum(j->c, w.n, in, w.scale, run, step, j->y + out);
        }
    }
}

static void pool_max_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    (void)piece;
    pool_forward_rows(ctx, begin, end, true);
}
static void pool_avg_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    (void)piece;
    pool_forward_rows(ctx, begin, end, false);
}

static float *pool_in(workspace *ws, const lode_tensor *t) {
    if (lode_is_packed(t, LODE_CHANNELS_LAST)) return t->data;
    float *copy = workspace_floats(ws, lode_pack_count(t));
    lode_pack(t, LODE_CHANNELS_LAST, copy);
    return copy;
}

static lode_status pool_forward(const lode_op_call *c, bool max) {
    pool_job j = pool_job_of(c);
    workspace ws = {c->workspace, 0};
    lode_tensor *at = max ? c->aux[0] : NULL;
    if (at && !lode_is_packed(at, LODE_CHANNELS_LAST)) return c->op->reference.forward(c);
    j.x = pool_in(&ws, c->x[0]);
    bool unpack = !lode_is_packed(c->y, LODE_CHANNELS_LAST);
    j.y = unpack ? workspace_floats(&ws, lode_pack_count(c->y)) : c->y->data;
    j.at = at ? at->data : workspace_take(&ws, lode_pack_count(c->y) * sizeof(int32_t));
    lode_parallel_for(j.n * j.oh, 4, max ? pool_max_piece : pool_avg_piece, &j);
    if (unpack) lode_unpack(j.y, LODE_CHANNELS_LAST, c->y);
    return LODE_OK;
}

lode_status native_max_pool_forward(const lode_op_call *c) { return pool_forward(c, true); }
lode_status native_avg_pool_forward(const lode_op_call *c) { return pool_forward(c, false); }

/* ---- backward: images begin..end ---- */

static void pool_max_grad_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const pool_job *j = ctx;
    int64_t image = j->h * j->w * j->c;
    (void)piece;
    for (int64_t n = begin; n < end; n++) {
        float *dx = j->x + n * image;
        memset(dx, 0, (size_t)image * sizeof *dx);
        for (int64_t o = n * j->oh * j->ow; o < (n + 1) * j->oh * j->ow; o++)
            for (int64_t i = 0; i < j->c; i++)
                dx[(int64_t)j->at[o * j->c + i] * j->c + i] += j->y[o * j->c + i];
    }
}

/* First and one past the last output that sees place `at` of a side. */
static pool_span pool_seen(const pool_job *j, int side, int64_t at) {
    const lode_pool_params *p = &j->p;
    int64_t outs = side == 0 ? j->oh : j->ow, end = at + p->pad[side];
    int64_t first = end < p->kernel[side] ? 0 : (end - p->kernel[side]) / p->stride[side] + 1;
    int64_t last = end / p->stride[side] + 1;
    return (pool_span){first, last < outs ? last : outs, 0};
}

/* The outputs that see pixel (h, v), as pixels of dy. */
static void pool_seen_at(const pool_job *j, int64_t h, int64_t v, pool_window *w) {
    pool_span rows = pool_seen(j, 0, h), columns = pool_seen(j, 1, v);
    w->n = 0;
    for (int64_t i = rows.first; i < rows.last; i++)
        for (int64_t q = columns.first; q < columns.last; q++) {
            w->scale[w->n] = pool_scale(j, pool_clip(j, 0, i), pool_clip(j, 1, q));
            w->pixel[w->n++] = i * j->ow + q;
        }
}

/* How many pixels from column v on are seen by the same list, moved: with stride 1, where no border
   cuts one of the windows. */
static int64_t pool_seen_run(const pool_job *j, int64_t v) {
    int64_t k = j->p.kernel[1], last = j->w - k, outs = j->ow - 1 - j->p.pad[1];
    if (outs < last) last = outs;
    return j->p.stride[1] == 1 && v >= k - 1 && v <= last ? last - v + 1 : 1;
}

static void pool_avg_grad_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const pool_job *j = ctx;
    const float *in[POOL_WINDOW];
    pool_window w;
    (void)piece;
    for (int64_t r = begin; r < end; r++) {
        const float *dy = j->y + r / j->h * j->oh * j->ow * j->c;
        for (int64_t v = 0, run; v < j->w; v += run) {
            run = pool_seen_run(j, v);
            pool_seen_at(j, r % j->h, v, &w);
            for (int t = 0; t < w.n; t++) in[t] = dy + w.pixel[t] * j->c;
            j->simd->pool_sum(j->c, w.n, in, w.scale, run, 1, j->x + (r * j->w + v) * j->c);
        }
    }
}

static lode_status pool_backward(const lode_op_call *c, const lode_tensor *dy, lode_tensor *dx,
                                 bool max) {
    pool_job j = {.simd = lode_simd_get(), .p = *(const lode_pool_params *)c->params};
    workspace ws = {c->workspace, 0}, need = ws;
    const lode_tensor *at = max ? c->aux[0] : NULL;
    bool unpack = !lode_is_packed(dx, LODE_CHANNELS_LAST);
    if (unpack) workspace_floats(&need, lode_pack_count(dx));
    if (!lode_is_packed(dy, LODE_CHANNELS_LAST)) workspace_floats(&need, lode_pack_count(dy));
    if (need.used > c->workspace_bytes || (at && !lode_is_packed(at, LODE_CHANNELS_LAST)))
        return c->op->reference.backward(c, dy, (lode_tensor *[]){dx});
    j.n = dx->shape.dim[0]; /* neither x nor y is kept */
    j.c = dx->shape.dim[1];
    j.h = dx->shape.dim[2];
    j.w = dx->shape.dim[3];
    j.oh = dy->shape.dim[2];
    j.ow = dy->shape.dim[3];
    j.x = unpack ? workspace_floats(&ws, lode_pack_count(dx)) : dx->data;
    j.y = pool_in(&ws, dy);
    if (at) j.at = at->data;
    if (max)
        lode_parallel_for(j.n, 1, pool_max_grad_piece, &j);
    else
        lode_parallel_for(j.n * j.h, 4, pool_avg_grad_piece, &j);
    if (unpack) lode_unpack(j.x, LODE_CHANNELS_LAST, dx);
    return LODE_OK;
}

lode_status native_max_pool_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    return dx[0] ? pool_backward(c, dy, dx[0], true) : LODE_OK;
}
lode_status native_avg_pool_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    return dx[0] ? pool_backward(c, dy, dx[0], false) : LODE_OK;
}

/* ---- global average ---- */

enum { POOL_PIXELS = 1u << 2 | 1u << 3 }; /* dims that are summed */

size_t native_global_avg_pool_workspace(const lode_op_call *c, bool backward) {
    lode_fold plan;
    if (backward || !lode_fold_plan(c->x[0], POOL_PIXELS, c->y, false, &plan)) return 0;
    return lode_fold_scratch(&plan);
}

lode_status native_global_avg_pool_forward(const lode_op_call *c) {
    lode_fold plan;
    const lode_tensor *x = c->x[0];
    if (!lode_fold_plan(x, POOL_PIXELS, c->y, false, &plan)) return c->op->reference.forward(c);
    lode_fold_run(&plan, x->data, NULL, 1.0 / (double)(x->shape.dim[2] * x->shape.dim[3]),
                  c->y->data, c->workspace);
    return LODE_OK;
}

lode_status native_global_avg_pool_backward(const lode_op_call *c, const lode_tensor *dy,
                                            lode_tensor *const *dx) {
    (void)c;
    if (!dx[0]) return LODE_OK;
    const float p[2] = {1.0f / (float)(dx[0]->shape.dim[2] * dx[0]->shape.dim[3]), 0};
    lode_walk w = lode_walk_to(dx[0]);
    lode_walk_from(&w, dy);
    lode_walk_run(&w, lode_simd_get()->pointwise[SIMD_SCALE], p);
    return LODE_OK;
}
