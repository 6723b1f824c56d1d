/* walk.c: see walk.h. */
#include "ops/native/walk.h"

#include "core/parallel.h"

#include <string.h>

enum { WALK_BLOCK = 512, WALK_PIECE = 1 << 14 }; /* floats gathered at once; floats of a piece */

lode_walk lode_walk_to(lode_tensor *out) {
    lode_walk w = {.n_dims = out->shape.n_dims, .out = out->data};
    for (int d = 0; d < w.n_dims; d++) {
        w.dim[d] = out->shape.dim[d];
        w.out_stride[d] = out->stride[d];
    }
    return w;
}

void lode_walk_from(lode_walk *w, const lode_tensor *in) {
    const int k = w->n_in++, missing = w->n_dims - in->shape.n_dims;
    w->in[k] = in->data;
    for (int d = 0; d < w->n_dims; d++) {
        const bool repeated = d < missing || in->shape.dim[d - missing] == 1;
        w->in_stride[k][d] = repeated ? 0 : in->stride[d - missing];
    }
}

/* ---- the plan: few dims, the last two of which make the blocks ---- */

static void walk_move_dim(lode_walk *to, int t, const lode_walk *from, int f) {
    to->dim[t] = from->dim[f];
    to->out_stride[t] = from->out_stride[f];
    for (int k = 0; k < from->n_in; k++) to->in_stride[k][t] = from->in_stride[k][f];
}

/* Dims of more than one element, the output's largest stride first. */
static void walk_order(lode_walk *w) {
    lode_walk sorted = *w;
    sorted.n_dims = 0;
    for (int d = 0; d < w->n_dims; d++) {
        if (w->dim[d] == 1) continue;
        int t = sorted.n_dims++;
        for (; t > 0 && sorted.out_stride[t - 1] < w->out_stride[d]; t--)
            walk_move_dim(&sorted, t, &sorted, t - 1);
        walk_move_dim(&sorted, t, w, d);
    }
    *w = sorted;
}

/* Dim `inner` follows `outer` without a gap in every operand. */
static bool walk_adjacent(const lode_walk *w, int outer, int inner) {
    if (w->out_stride[outer] != w->out_stride[inner] * w->dim[inner]) return false;
    for (int k = 0; k < w->n_in; k++)
        if (w->in_stride[k][outer] != w->in_stride[k][inner] * w->dim[inner]) return false;
    return true;
}

static void walk_merge(lode_walk *w) {
    int n = 0;
    for (int d = 0; d < w->n_dims; d++) {
        if (n > 0 && walk_adjacent(w, n - 1, d)) {
            const int64_t outer = w->dim[n - 1];
            walk_move_dim(w, n - 1, w, d);
            w->dim[n - 1] *= outer;
        } else {
            walk_move_dim(w, n++, w, d);
        }
    }
    w->n_dims = n;
}

/* As lode_walk_run needs it: at least two dims, the first ones of size 1 if need be. */
static lode_walk walk_plan(const lode_walk *given) {
    lode_walk w = *given, plan = *given;
    walk_order(&w);
    walk_merge(&w);
    plan.n_dims = w.n_dims < 2 ? 2 : w.n_dims;
    const int front = plan.n_dims - w.n_dims;
    for (int d = 0; d < front; d++) {
        plan.dim[d] = plan.out_stride[d] = 1;
        for (int k = 0; k < plan.n_in; k++) plan.in_stride[k][d] = 1;
    }
    for (int d = 0; d < w.n_dims; d++) walk_move_dim(&plan, front + d, &w, d);
    return plan;
}

/* ---- the run ---- */

typedef struct walk_job {
    lode_walk w;
    simd_kernel kernel;
    const float *params;
    int64_t columns, rows; /* the last two dims */
    int64_t bands, band;   /* rows are cut into bands of `band` rows */
} walk_job;

/* Rows x columns of one operand. */
typedef struct walk_patch {
    int64_t rows, columns, row_stride, stride;
} walk_patch;

static bool walk_is_flat(const walk_patch *p) {
    return p->stride == 1 && (p->rows == 1 || p->row_stride == p->columns);
}

/* Either loop may be the short one (a shuffle deals out two channels at a time). */
static void walk_gather(const walk_patch *p, const float *from, float *to) {
    if (p->stride == 1 && p->columns >= 8) {
        for (int64_t r = 0; r < p->rows; r++)
            memcpy(to + r * p->columns, from + r * p->row_stride, (size_t)p->columns * sizeof *to);
    } else if (p->columns < p->rows) {
        for (int64_t i = 0; i < p->columns; i++)
            for (int64_t r = 0; r < p->rows; r++)
                to[r * p->columns + i] = from[r * p->row_stride + i * p->stride];
    } else {
        for (int64_t r = 0; r < p->rows; r++)
            for (int64_t i = 0; i < p->columns; i++)
                to[r * p->columns + i] = from[r * p->row_stride + i * p->stride];
    }
}

static void walk_scatter(const walk_patch *p, const float *from, float *to) {
    if (p->stride == 1 && p->columns >= 8) {
        for (int64_t r = 0; r < p->rows; r++)
            memcpy(to + r * p->row_stride, from + r * p->columns, (size_t)p->columns * sizeof *to);
    } else if (p->columns < p->rows) {
        for (int64_t i = 0; i < p->columns; i++)
            for (int64_t r = 0; r < p->rows; r++)
                to[r * p->row_stride + i * p->stride] = from[r * p->columns + i];
    } else {
        for (int64_t r = 0; r < p->rows; r++)
            for (int64_t i = 0; i < p->columns; i++)
                to[r * p->row_stride + i * p->stride] = from[r * p->columns + i];
    }
}

/* One block: rows x columns is at most WALK_BLOCK unless every operand is flat. */
static void walk_block(const walk_job *j, const int64_t *at, float *out, int64_t rows,
                       int64_t columns) {
    const lode_walk *w = &j->w;
    const int last = w->n_dims - 1;
    float gathered[LODE_WALK_MAX_IN][WALK_BLOCK], result[WALK_BLOCK];
    const float *in[LODE_WALK_MAX_IN] = {NULL};
    const walk_patch to = {rows, columns, w->out_stride[last - 1], w->out_stride[last]};
    const bool out_is_flat = walk_is_flat(&to);
    for (int k = 0; k < w->n_in; k++) {
        const walk_patch from = {rows, columns, w->in_stride[k][last - 1], w->in_stride[k][last]};
        float *buffer = j->kernel == NULL && out_is_flat ? out : gathered[k];
        in[k] = w->in[k] + at[k];
        if (walk_is_flat(&from)) continue;
        walk_gather(&from, in[k], buffer);
        in[k] = buffer;
    }
    if (j->kernel != NULL) j->kernel(rows * columns, in, out_is_flat ? out : result, j->params);
    if (!out_is_flat)
        walk_scatter(&to, j->kernel != NULL ? result : in[0], out);
    else if (j->kernel == NULL && in[0] != out)
        memcpy(out, in[0], (size_t)(rows * columns) * sizeof *out);
}

/* True when a row of any length can be used where it stands. */
static bool walk_rows_are_flat(const lode_walk *w) {
    const int last = w->n_dims - 1;
    for (int k = 0; k < w->n_in; k++)
        if (w->in_stride[k][last] != 1) return false;
    return w->out_stride[last] == 1;
}

/* The band's rows, from the place the outer dims say. */
static void walk_band(const walk_job *j, int64_t outer, int64_t band) {
    const lode_walk *w = &j->w;
    const int last = w->n_dims - 1;
    const int64_t row = band * j->band;
    const int64_t rows = j->rows - row < j->band ? j->rows - row : j->band;
    const int64_t step = walk_rows_are_flat(w) && rows == 1 ? j->columns : WALK_BLOCK / rows;
    int64_t at[LODE_WALK_MAX_IN] = {0};
    float *out = w->out + row * w->out_stride[last - 1];
    for (int k = 0; k < w->n_in; k++) at[k] = row * w->in_stride[k][last - 1];
    for (int d = last - 2; d >= 0; d--) {
        const int64_t i = outer % w->dim[d];
        outer /= w->dim[d];
        out += i * w->out_stride[d];
        for (int k = 0; k < w->n_in; k++) at[k] += i * w->in_stride[k][d];
    }
    for (int64_t c = 0; c < j->columns; c += step) {
        walk_block(j, at, out, rows, j->columns - c < step ? j->columns - c : step);
        out += step * w->out_stride[last];
        for (int k = 0; k < w->n_in; k++) at[k] += step * w->in_stride[k][last];
    }
}

static void walk_bands(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const walk_job *j = ctx;
    (void)piece;
    for (int64_t i = begin; i < end; i++) walk_band(j, i / j->bands, i % j->bands);
}

/* Everything is one flat run: the pieces are the blocks. */
static void walk_flat_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const walk_job *j = ctx;
    const float *in[LODE_WALK_MAX_IN] = {NULL};
    (void)piece;
    for (int k = 0; k < j->w.n_in; k++) in[k] = j->w.in[k] + begin;
    if (j->kernel != NULL)
        j->kernel(end - begin, in, j->w.out + begin, j->params);
    else
        memcpy(j->w.out + begin, in[0], (size_t)(end - begin) * sizeof(float));
}

void lode_walk_run(const lode_walk *walk, simd_kernel kernel, const float *params) {
    walk_job j = {.w = walk_plan(walk), .kernel = kernel, .params = params};
    const int last = j.w.n_dims - 1;
    int64_t outer = 1;
    for (int d = 0; d < walk->n_dims; d++)
        if (walk->dim[d] == 0) return;
    for (int d = 0; d < last - 1; d++) outer *= j.w.dim[d];
    j.rows = j.w.dim[last - 1];
    j.columns = j.w.dim[last];
    if (outer == 1 && j.rows == 1 && walk_rows_are_flat(&j.w)) {
        lode_parallel_for(j.columns, WALK_PIECE, walk_flat_piece, &j);
        return;
    }
    j.band = j.columns < WALK_BLOCK ? WALK_BLOCK / j.columns : 1;
    j.bands = (j.rows + j.band - 1) / j.band;
    const int64_t work = j.band * j.columns;
    lode_parallel_for(outer * j.bands, work < WALK_PIECE ? WALK_PIECE / work : 1, walk_bands, &j);
}

bool lode_native_f32(const lode_op_call *c) {
    for (int i = -1; i < c->n_x; i++) {
        const lode_tensor *t = i < 0 ? c->y : c->x[i];
        if (t == NULL) continue;
        if (t->dtype != LODE_F32) return false;
        if (t->device != NULL && !lode_device_get_ops(t->device)->is_host) return false;
    }
    return true;
}
