/* A dense copy walks the tensor in the order of the destination. Dims that follow each other in
   memory are merged first, so that the inner loop is a memcpy for slices and a strided gather for
   transposes; the rest is an odometer over at most six dims, cut into fixed pieces for threads. */
#include "ops/native/pack.h"

#include "core/parallel.h"

#include <string.h>

enum { PACK_PIECE = 1 << 14 }; /* elements a thread takes at a time */

typedef struct pack_walk {
    int n;                         /* merged dims, at least 1; the last one is the inner loop */
    int64_t dim[LODE_MAX_DIMS];    /* outermost first */
    int64_t stride[LODE_MAX_DIMS]; /* of the tensor, in elements */
    float *dense;
    float *strided;
    bool to_dense;
} pack_walk;

static const int pack_order_nhwc[4] = {0, 2, 3, 1};

static int pack_dim(const lode_tensor *t, lode_layout layout, int i) {
    return layout == LODE_CHANNELS_LAST && t->shape.n_dims == 4 ? pack_order_nhwc[i] : i;
}

bool lode_is_packed(const lode_tensor *t, lode_layout layout) {
    int64_t want = 1;
    for (int i = t->shape.n_dims - 1; i >= 0; i--) {
        int d = pack_dim(t, layout, i);
        if (t->shape.dim[d] != 1 && t->stride[d] != want) return false;
        want *= t->shape.dim[d];
    }
    return true;
}

size_t lode_pack_count(const lode_tensor *t) { return (size_t)lode_shape_count(&t->shape); }

static pack_walk pack_plan(const lode_tensor *t, lode_layout layout) {
    pack_walk w = {.n = 0};
    for (int i = 0; i < t->shape.n_dims; i++) {
        int d = pack_dim(t, layout, i);
        int64_t size = t->shape.dim[d], stride = t->stride[d];
        if (size == 1) continue;
        if (w.n > 0 && w.stride[w.n - 1] == stride * size) {
            w.dim[w.n - 1] *= size;
            w.stride[w.n - 1] = stride;
        } else {
            w.dim[w.n] = size;
            w.stride[w.n++] = stride;
        }
    }
    if (w.n == 0) {
        w.dim[0] = 1;
        w.stride[w.n++] = 1;
    }
    return w;
}

static void pack_line(const pack_walk *w, float *dense, float *strided, int64_t n) {
    int64_t s = w->stride[w->n - 1];
    if (w->to_dense) {
        if (s == 1)
            memcpy(dense, strided, (size_t)n * sizeof *dense);
        else
            for (int64_t i = 0; i < n; i++) dense[i] = strided[i * s];
    } else {
        if (s == 1)
            memcpy(strided, dense, (size_t)n * sizeof *dense);
        else
            for (int64_t i = 0; i < n; i++) strided[i * s] = dense[i];
    }
}

/* Lines begin..end, a line being one run of the innermost dim. */
static void pack_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const pack_walk *w = ctx;
    int64_t length = w->dim[w->n - 1];
    (void)piece;
    for (int64_t line = begin; line < end; line++) {
        int64_t rest = line, offset = 0;
        for (int d = w->n - 2; d >= 0; d--) {
            offset += rest % w->dim[d] * w->stride[d];
            rest /= w->dim[d];
        }
        pack_line(w, w->dense + line * length, w->strided + offset, length);
    }
}

static void pack_run(pack_walk *w) {
    int64_t lines = 1, length = w->dim[w->n - 1];
    for (int d = 0; d < w->n - 1; d++) lines *= w->dim[d];
    if (lines == 0 || length == 0) return;
    int64_t grain = length < PACK_PIECE ? PACK_PIECE / length : 1;
    lode_parallel_for(lines, grain, pack_piece, w);
}

void lode_pack(const lode_tensor *t, lode_layout layout, float *dst) {
    pack_walk w = pack_plan(t, layout);
    w.dense = dst;
    w.strided = t->data;
    w.to_dense = true;
    pack_run(&w);
}

void lode_unpack(const float *src, lode_layout layout, lode_tensor *t) {
    pack_walk w = pack_plan(t, layout);
    union {
        const float *in;
        float *out; /* only read: to_dense is false */
    } dense = {src};
    w.dense = dense.out;
    w.strided = t->data;
    w.to_dense = false;
    pack_run(&w);
}

const float *lode_packed(const lode_tensor *t, lode_layout layout, float *buffer) {
    if (lode_is_packed(t, layout)) return t->data;
    lode_pack(t, layout, buffer);
    return buffer;
}
