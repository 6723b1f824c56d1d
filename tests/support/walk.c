#include "support/walk.h"

#include <math.h>

static lode_rng walk_rng(const lode_op *op, int k) {
    return lode_rng_stream(20, LODE_RNG_TEST, lode_hash_text(op->name) + (uint64_t)k);
}

/* Points c at e's inputs and infers. The struct must not move afterwards. */
static lode_status walk_bind(walk_call *w, const lode_op *op) {
    memset(&w->c, 0, sizeof w->c);
    memset(&w->in, 0, sizeof w->in);
    w->c.op = op;
    w->c.params = op->params_size > 0 ? w->e.params.bytes : NULL;
    w->c.x = w->e.x;
    w->c.n_x = op->n_inputs >= 0 ? op->n_inputs : w->e.n_x;
    w->c.train = true;
    return op->infer(&w->c, &w->in);
}

bool walk_make(walk_call *w, const lode_op *op, lode_dtype dtype, int k) {
    lode_rng rng = walk_rng(op, k);
    memset(w, 0, sizeof *w);
    w->e.dtype = dtype;
    snprintf(w->name, sizeof w->name, "%s example %d", op->name, k);
    lode_status status = op->example(&w->e, &rng, k);
    if (status == LODE_ERR_NOT_FOUND && k > 0) return false;
    if (status == LODE_OK) status = walk_bind(w, op);
    if (status != LODE_OK) fail_msg("%s: %s", w->name, lode_last_error());
    return true;
}

static lode_tensor *walk_blank(lode_dtype dtype, const lode_shape *shape, lode_layout layout) {
    lode_tensor *t = NULL;
    assert_ok(lode_tensor_create(NULL, dtype, shape, layout, &t));
    assert_ok(lode_tensor_fill(t, lode_dtype_epsilon(dtype) > 0 ? (double)NAN : -1));
    return t;
}

/* Dense, row-major, or every second element of a longer last dim, in turn. */
static lode_tensor *walk_dy(const lode_inferred *in, lode_rng *rng, int k) {
    lode_tensor *whole = NULL, *dy = NULL;
    lode_shape s = in->shape;
    int last = s.n_dims - 1;
    if (k % 3 == 2 && last >= 0) s.dim[last] *= 2;
    assert_ok(
        lode_tensor_create(NULL, in->dtype, &s, k % 3 == 0 ? in->layout : LODE_CONTIGUOUS, &whole));
    assert_ok(lode_tensor_fill_uniform(whole, rng, -1, 1));
    if (k % 3 != 2 || last < 0) return whole;
    assert_ok(lode_tensor_slice(whole, last, 0, s.dim[last], 2, &dy));
    lode_tensor_release(whole);
    return dy;
}

void walk_outputs(walk_call *w, int k) {
    lode_rng rng = walk_rng(w->c.op, -1 - k);
    w->c.y = walk_blank(w->in.dtype, &w->in.shape, w->in.layout);
    for (int i = 0; i < w->in.n_aux; i++)
        w->c.aux[i] = walk_blank(w->in.aux[i].dtype, &w->in.aux[i].shape, w->in.aux[i].layout);
    w->dy = walk_dy(&w->in, &rng, k);
    for (int i = 0; i < w->e.n_x; i++) {
        const lode_tensor *x = w->e.x[i];
        if (x == NULL || !w->e.differentiable[i]) continue;
        w->dx[i] =
            walk_blank(x->dtype, &x->shape,
                       x->shape.n_dims == 4 && lode_tensor_is_channels_last(x) ? LODE_CHANNELS_LAST
                                                                               : LODE_CONTIGUOUS);
    }
}

void walk_free(walk_call *w) {
    for (int i = 0; i < LODE_EXAMPLE_MAX_INPUTS; i++) {
        lode_tensor_release(w->e.x[i]);
        lode_tensor_release(w->dx[i]);
    }
    for (int i = 0; i < LODE_MAX_AUX; i++) lode_tensor_release(w->c.aux[i]);
    lode_tensor_release(w->c.y);
    lode_tensor_release(w->dy);
    memset(w, 0, sizeof *w);
}

void walk_forward(walk_call *w, const lode_runner *runner) {
    lode_status status = runner->forward(runner->self, &w->c);
    if (status != LODE_OK) fail_msg("%s: forward: %s", w->name, lode_last_error());
}

void walk_backward(walk_call *w, const lode_runner *runner) {
    lode_status status = runner->backward(runner->self, &w->c, w->dy, w->dx);
    if (status != LODE_OK) fail_msg("%s: backward: %s", w->name, lode_last_error());
}

/* ---- larger batches ---- */

/* Rows of x repeated; values come from x unless it has no storage to copy. */
static lode_tensor *walk_longer(lode_tensor *x, int factor) {
    lode_tensor *t = NULL;
    lode_shape s = x->shape;
    s.dim[0] *= factor;
    int64_t n = lode_tensor_count(x);
    assert_ok(lode_tensor_create(NULL, x->dtype, &s,
                                 s.n_dims == 4 ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS, &t));
    for (int64_t i = 0; i < n * factor; i++) lode_put(t, i, lode_at(x, i % n));
    return t;
}

static lode_status walk_try_grow(walk_call *out, const walk_call *w, unsigned batch, int factor) {
    memset(out, 0, sizeof *out);
    out->e = w->e;
    memcpy(out->name, w->name, sizeof out->name);
    for (int i = 0; i < w->e.n_x; i++)
        out->e.x[i] =
            batch >> i & 1 ? walk_longer(w->e.x[i], factor) : lode_tensor_retain(w->e.x[i]);
    return walk_bind(out, w->c.op);
}

void walk_grow(walk_call *out, const walk_call *w, unsigned batch, int factor) {
    if (walk_try_grow(out, w, batch, factor) != LODE_OK)
        fail_msg("%s: a batch %d times as large: %s", w->name, factor, lode_last_error());
}

static bool walk_scales(const walk_call *w, unsigned batch, int factor) {
    walk_call more;
    lode_status status = walk_try_grow(&more, w, batch, factor);
    int64_t n = lode_shape_count(&w->in.shape), many = lode_shape_count(&more.in.shape);
    bool scalar = w->in.shape.n_dims == 0 && more.in.shape.n_dims == 0;
    walk_free(&more);
    return status == LODE_OK && (many == factor * n || scalar);
}

unsigned walk_batch(const walk_call *w) {
    unsigned possible = 0;
    for (int i = 0; i < w->e.n_x; i++)
        if (w->e.x[i] != NULL && w->e.x[i]->shape.n_dims > 0) possible |= 1u << i;
    for (unsigned batch = 1; batch <= possible; batch++)
        if ((batch & ~possible) == 0 && walk_scales(w, batch, 2) && walk_scales(w, batch, 3))
            return batch;
    return 0;
}

/* ---- comparing ---- */

double walk_distance(const lode_tensor *a, const lode_tensor *b) {
    double worst = 0;
    assert_true(lode_shape_equal(&a->shape, &b->shape));
    for (int64_t i = 0; i < lode_tensor_count(a); i++) {
        double d = fabs(lode_at(a, i) - lode_at(b, i));
        worst = isnan(d) ? (double)INFINITY : fmax(worst, d);
    }
    return worst;
}

double walk_largest(const lode_tensor *a) {
    double largest = 0;
    for (int64_t i = 0; i < lode_tensor_count(a); i++) largest = fmax(largest, fabs(lode_at(a, i)));
    return largest;
}
