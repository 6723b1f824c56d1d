/* frozen.c: see frozen.h. A frozen network is a folded trace and its replay.

   A batch is cut into slices of whole images, each of which goes through the whole network: no
   operator of inference looks at two images. What one layer writes the next then reads from cache,
   and threads that have slices of their own need not wait for each other between layers. */
#include "core/memory.h"
#include "supernet/frozen_internal.h"

enum {
    FROZEN_SLICE_BYTES = 1 << 20, /* of what one call reads and writes */
    FROZEN_SLICES = 16            /* at least so many of a larger batch: for the threads */
};

struct lode_frozen {
    lode_supernet *own; /* where the architecture has parts of the supernet's weights; else NULL */
    lode_tape *whole, *slice; /* traces: of the batch, for prices; of what is replayed */
    lode_replay *replay;
    int64_t batch, images; /* of a slice */
    lode_tensor *x;        /* [batch,C,H,W] dense, for inputs that lie otherwise; NULL so far */
    lode_tensor *logits;   /* [batch,classes]; NULL when the batch is not cut */
};

const char *lode_form_name(lode_form form) { return form == LODE_FORM_FOLDED ? "folded" : "plain"; }

/* ---- traces ---- */

static lode_status frozen_trace(lode_supernet *net, const lode_arch *arch, int64_t batch,
                                lode_form form, bool contents, lode_tape *to, lode_var **x,
                                lode_var **y) {
    lode_tape *plain = NULL;
    lode_status status = lode_tape_create(LODE_TRACE, NULL, &plain);
    if (status == LODE_OK) status = lode_supernet_trace(net, arch, batch, false, plain);
    if (status == LODE_OK) status = fold_trace(plain, form, contents, to, x, y);
    lode_tape_destroy(plain);
    return status;
}

lode_status lode_supernet_trace_folded(lode_supernet *net, const lode_arch *arch, int64_t batch,
                                       lode_tape *trace) {
    lode_var *x, *y;
    return frozen_trace(net, arch, batch, LODE_FORM_FOLDED, false, trace, &x, &y);
}

lode_status lode_supernet_trace_deployed(lode_supernet *net, const lode_arch *arch, int64_t batch,
                                         lode_tape *trace, lode_var **x, lode_var **y) {
    return frozen_trace(net, arch, batch, LODE_FORM_FOLDED, true, trace, x, y);
}

/* The most that one call reads and writes of what depends on the image, per image. */
static size_t frozen_image_bytes(const lode_tape *trace, int64_t batch) {
    size_t most = 1;
    for (int i = 0; i < lode_trace_n(trace); i++) {
        const lode_op_call *c = &lode_trace_get(trace, i)->call;
        size_t bytes = lode_tensor_bytes(c->y) + lode_tensor_bytes(c->x[0]);
        if (bytes / (size_t)batch > most) most = bytes / (size_t)batch;
    }
    return most;
}

/* The largest divisor of the batch whose images fit. Not a matter of threads, so that these do not
   show in the bits. */
static int64_t frozen_slice(const lode_tape *trace, int64_t batch) {
    int64_t fit = FROZEN_SLICE_BYTES / (int64_t)frozen_image_bytes(trace, batch), images = batch;
    if (fit > batch / FROZEN_SLICES) fit = batch / FROZEN_SLICES;
    while (images > 1 && (images > fit || batch % images != 0)) images--;
    return images;
}

lode_status lode_frozen_plan_bytes(const lode_tape *whole, size_t *bytes, size_t *live) {
    lode_arena arena;
    *bytes = *live = 0;
    if (lode_trace_n(whole) == 0) return LODE_OK;
    const lode_tensor *x = lode_trace_get(whole, 0)->call.x[0];
    const int64_t batch = x->shape.dim[0], images = frozen_slice(whole, batch);
    LODE_TRY(lode_replay_plan(whole, batch / images, &arena));
    size_t around = lode_tensor_bytes(x);
    if (images != batch)
        around += lode_tensor_bytes(lode_trace_get(whole, lode_trace_n(whole) - 1)->call.y);
    *bytes = around + (size_t)arena.bytes;
    *live = around + (size_t)arena.live;
    return LODE_OK;
}

/* ---- life ---- */

static lode_status frozen_build(lode_frozen *f, lode_supernet *net, const lode_arch *arch,
                                lode_form form, lode_dispatch *d) {
    lode_var *x, *y;
    if (arch != NULL && lode_space_has_sizes(lode_supernet_space(net))) {
        LODE_TRY(lode_supernet_extract(net, arch, &f->own));
        net = f->own;
        arch = NULL;
    }
    LODE_TRY(lode_tape_create(LODE_TRACE, NULL, &f->whole));
    LODE_TRY(lode_tape_create(LODE_TRACE, NULL, &f->slice));
    LODE_TRY(frozen_trace(net, arch, f->batch, form, false, f->whole, &x, &y));
    f->images = frozen_slice(f->whole, f->batch);
    if (f->images != f->batch)
        LODE_TRY(lode_tensor_create(NULL, y->value->dtype, &y->value->shape, LODE_CONTIGUOUS,
                                    &f->logits));
    LODE_TRY(frozen_trace(net, arch, f->images, form, true, f->slice, &x, &y));
    return lode_replay_create(f->slice, x, y, d, &f->replay);
}

lode_status lode_frozen_create(lode_supernet *net, const lode_arch *arch, int64_t batch,
                               lode_form form, lode_dispatch *d, lode_frozen **out) {
    *out = NULL;
    if (batch < 1)
        return LODE_FAIL(LODE_ERR_INVALID, "frozen network: batch %lld; at least 1 is needed",
                         (long long)batch);
    lode_frozen *f = LODE_NEW(lode_frozen);
    if (f == NULL) return LODE_ERR_NO_MEMORY;
    f->batch = batch;
    lode_status status = frozen_build(f, net, arch, form, d);
    if (status == LODE_OK)
        *out = f;
    else
        lode_frozen_destroy(f);
    return status;
}

void lode_frozen_destroy(lode_frozen *f) {
    if (f == NULL) return;
    lode_replay_destroy(f->replay);
    lode_tape_destroy(f->slice);
    lode_tape_destroy(f->whole);
    lode_tensor_release(f->x);
    lode_tensor_release(f->logits);
    lode_supernet_destroy(f->own);
    lode_free(f);
}

const lode_tape *lode_frozen_trace(const lode_frozen *f) { return f->whole; }
int64_t lode_frozen_slices(const lode_frozen *f) { return f->batch / f->images; }
int lode_frozen_lanes(const lode_frozen *f) {
    return lode_replay_lanes(f->replay, lode_frozen_slices(f));
}
size_t lode_frozen_bytes(const lode_frozen *f) { return lode_replay_bytes(f->replay); }

/* ---- running ---- */

/* x itself, or a copy of it that lies as the trace's input does. */
static lode_status frozen_dense(lode_frozen *f, lode_tensor *x, lode_tensor **dense) {
    const lode_tensor *traced = lode_trace_get(f->whole, 0)->call.x[0];
    *dense = x;
    if (lode_tensor_same_layout(x, traced) && x->dtype == traced->dtype) return LODE_OK;
    char got[128], want[128];
    if (!lode_shape_equal(&x->shape, &traced->shape))
        return LODE_FAIL(LODE_ERR_SHAPE, "frozen network: input %s, made for %s",
                         lode_shape_print(&x->shape, got), lode_shape_print(&traced->shape, want));
    if (f->x == NULL)
        LODE_TRY(
            lode_tensor_create(NULL, traced->dtype, &traced->shape, LODE_CHANNELS_LAST, &f->x));
    *dense = f->x;
    return lode_tensor_copy(f->x, x);
}

lode_status lode_frozen_run(lode_frozen *f, lode_tensor *x, const lode_replay_watch *watch,
                            lode_tensor **logits) {
    lode_tensor *dense;
    *logits = NULL;
    LODE_TRY(frozen_dense(f, x, &dense));
    if (f->images == f->batch) return lode_replay_run(f->replay, dense, watch, logits);
    LODE_TRY(lode_replay_run_slices(f->replay, dense, lode_frozen_slices(f), watch, f->logits));
    *logits = f->logits;
    return LODE_OK;
}
