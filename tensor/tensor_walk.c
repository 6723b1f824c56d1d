/* tensor_walk.c: one loop over elements for everything elementwise.

   The dims are sorted by the first tensor's strides and merged wherever both tensors are packed, so
   two dense tensors of equal layout become a single run, and a broadcast or a transpose becomes as
   few nested loops as its memory allows. The elements, counted in that order, are cut into fixed
   pieces for the threads; every piece is handed over as runs along the innermost dim. */
#include "core/parallel.h"
#include "tensor/tensor_internal.h"

enum { WALK_GRAIN = 1 << 16 }; /* elements per piece: 256 KiB of f32, some 20 us */

typedef struct walk {
    tensor_span_fn fn;
    void *ctx;
    char *a;
    const char *b;
    int n_dims;
    int64_t dim[LODE_MAX_DIMS];                   /* outermost first */
    int64_t sa[LODE_MAX_DIMS], sb[LODE_MAX_DIMS]; /* bytes */
} walk;

/* Dims of more than one element, by falling stride of a (then of b). */
static void walk_sort(walk *w, const lode_tensor *a, const lode_tensor *b) {
    int64_t size_a = (int64_t)lode_dtype_size(a->dtype);
    int64_t size_b = b != NULL ? (int64_t)lode_dtype_size(b->dtype) : 0;
    for (int i = 0; i < a->shape.n_dims; i++) {
        if (a->shape.dim[i] == 1) continue;
        int64_t sa = a->stride[i] * size_a, sb = b != NULL ? b->stride[i] * size_b : 0;
        int at = w->n_dims++;
        for (; at > 0 && (w->sa[at - 1] < sa || (w->sa[at - 1] == sa && w->sb[at - 1] < sb));
             at--) {
            w->dim[at] = w->dim[at - 1];
            w->sa[at] = w->sa[at - 1];
            w->sb[at] = w->sb[at - 1];
        }
        w->dim[at] = a->shape.dim[i];
        w->sa[at] = sa;
        w->sb[at] = sb;
    }
}

static void walk_merge(walk *w) {
    int n = 0;
    for (int i = 1; i < w->n_dims; i++) {
        if (w->sa[n] == w->sa[i] * w->dim[i] && w->sb[n] == w->sb[i] * w->dim[i]) {
            w->dim[n] *= w->dim[i];
        } else {
            n++;
            w->dim[n] = w->dim[i];
        }
        w->sa[n] = w->sa[i];
        w->sb[n] = w->sb[i];
    }
    w->n_dims = w->n_dims > 0 ? n + 1 : 0;
}

static void walk_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const walk *w = ctx;
    (void)piece;
    int last = w->n_dims - 1;
    int64_t at[LODE_MAX_DIMS] = {0}, rest = begin;
    for (int i = last; i >= 0; i--) {
        at[i] = rest % w->dim[i];
        rest /= w->dim[i];
    }
    for (int64_t i = begin; i < end;) {
        int64_t a = 0, b = 0;
        for (int k = 0; k <= last; k++) {
            a += at[k] * w->sa[k];
            b += at[k] * w->sb[k];
        }
        int64_t run = w->dim[last] - at[last];
        if (run > end - i) run = end - i;
        w->fn(w->ctx, w->a + a, w->sa[last], w->b != NULL ? w->b + b : NULL, w->sb[last], run);
        i += run;
        at[last] += run;
        for (int k = last; k > 0 && at[k] == w->dim[k]; k--) {
            at[k] = 0;
            at[k - 1]++;
        }
    }
}

void tensor_walk(const lode_tensor *a, const lode_tensor *b, tensor_span_fn fn, void *ctx) {
    walk w = {.fn = fn, .ctx = ctx, .a = a->data, .b = b != NULL ? b->data : NULL};
    int64_t n = lode_tensor_count(a);
    if (n == 0) return;
    walk_sort(&w, a, b);
    walk_merge(&w);
    if (w.n_dims == 0) { /* one element */
        fn(ctx, w.a, 0, w.b, 0, 1);
        return;
    }
    lode_parallel_for(n, WALK_GRAIN, walk_piece, &w);
}
