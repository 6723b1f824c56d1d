/* op_util.c: what operator files share: inference, counts, examples.

   Reference kernels' operands are in ref.c. Everything here looks at shapes only, except the
   examples, which make small tensors whose values keep away from kinks: a finite difference across
   the corner of a ReLU proves nothing. */
#include "ops/op_util.h"

#include "ops/example_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- infer ---- */

static lode_layout default_layout(const lode_shape *s) {
    return s->n_dims == 4 ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS;
}

lode_layout lode_layout_like(const lode_tensor *x) {
    const bool plain = lode_tensor_is_contiguous(x) && !lode_tensor_is_channels_last(x);
    return plain ? LODE_CONTIGUOUS : default_layout(&x->shape);
}

void lode_infer_y(lode_inferred *out, lode_dtype dtype, const lode_shape *shape) {
    out->dtype = dtype;
    out->shape = *shape;
    out->layout = default_layout(shape);
}

void lode_infer_aux(lode_inferred *out, lode_dtype dtype, const lode_shape *shape) {
    assert(out->n_aux < LODE_MAX_AUX);
    out->aux[out->n_aux].dtype = dtype;
    out->aux[out->n_aux].shape = *shape;
    out->aux[out->n_aux].layout = default_layout(shape);
    out->n_aux++;
}

lode_status lode_infer_same_shape(const lode_op_call *c, lode_inferred *out) {
    LODE_TRY(lode_check_float(c, 0, "x"));
    lode_infer_y(out, c->x[0]->dtype, &c->x[0]->shape);
    out->layout = lode_layout_like(c->x[0]);
    return LODE_OK;
}

lode_status lode_check_float(const lode_op_call *c, int i, const char *what) {
    const lode_tensor *t = i < c->n_x ? c->x[i] : NULL;
    if (t == NULL) return LODE_OK;
    if (!lode_dtype_is_float(t->dtype))
        return LODE_FAIL(LODE_ERR_DTYPE, "%s: %s is %s, but a float type is wanted", c->op->name,
                         what, lode_dtype_name(t->dtype));
    if (t->dtype != c->x[0]->dtype)
        return LODE_FAIL(LODE_ERR_DTYPE, "%s: %s is %s, but the first input is %s", c->op->name,
                         what, lode_dtype_name(t->dtype), lode_dtype_name(c->x[0]->dtype));
    return LODE_OK;
}

lode_status lode_check_index(const lode_op_call *c, int i, const char *what) {
    const lode_tensor *t = i < c->n_x ? c->x[i] : NULL;
    if (t == NULL || t->dtype == LODE_S32 || t->dtype == LODE_S64) return LODE_OK;
    return LODE_FAIL(LODE_ERR_DTYPE, "%s: %s is %s, but s32 or s64 is wanted", c->op->name, what,
                     lode_dtype_name(t->dtype));
}

lode_status lode_check_dims(const lode_op_call *c, int i, const char *what, int n_dims) {
    const lode_tensor *t = i < c->n_x ? c->x[i] : NULL;
    char text[128];
    if (t == NULL || t->shape.n_dims == n_dims) return LODE_OK;
    return LODE_FAIL(LODE_ERR_SHAPE, "%s: %s %s has %d dims, but %d are wanted", c->op->name, what,
                     lode_shape_print(&t->shape, text), t->shape.n_dims, n_dims);
}

lode_status lode_check_shape(const lode_op_call *c, int i, const char *what,
                             const lode_shape *want) {
    const lode_tensor *t = i < c->n_x ? c->x[i] : NULL;
    char seen[128], wanted[128];
    if (t == NULL || lode_shape_equal(&t->shape, want)) return LODE_OK;
    return LODE_FAIL(LODE_ERR_SHAPE, "%s: %s is %s, but %s is wanted", c->op->name, what,
                     lode_shape_print(&t->shape, seen), lode_shape_print(want, wanted));
}

/* ---- count ---- */

void lode_count_copy(const lode_op_call *c, lode_op_count *out) {
    memset(out, 0, sizeof *out);
    for (int i = 0; i < c->n_x; i++)
        if (c->x[i] != NULL) out->bytes_read += (double)lode_tensor_bytes(c->x[i]);
    out->bytes_written = (double)lode_tensor_bytes(c->y);
}

void lode_count_pointwise(const lode_op_call *c, lode_op_count *out) {
    lode_count_copy(c, out);
    out->flops = (double)lode_tensor_count(c->y);
}

/* ---- example ---- */

lode_status lode_example_add(lode_op_example *e, lode_tensor *t, bool differentiable) {
    if (e->n_x == LODE_EXAMPLE_MAX_INPUTS) {
        lode_tensor_release(t);
        return LODE_FAIL(LODE_ERR_INTERNAL, "an example has at most %d inputs",
                         LODE_EXAMPLE_MAX_INPUTS);
    }
    e->x[e->n_x] = t;
    e->differentiable[e->n_x++] = differentiable;
    return LODE_OK;
}

lode_status lode_example_absent(lode_op_example *e) { return lode_example_add(e, NULL, false); }

void lode_example_constant(lode_op_example *e) { e->differentiable[e->n_x - 1] = false; }

static lode_status example_make(lode_op_example *e, lode_dtype dtype, const lode_shape *shape,
                                lode_layout layout, lode_tensor **out) {
    LODE_TRY(lode_tensor_create(NULL, dtype, shape, layout, out));
    return lode_example_add(e, *out, lode_dtype_is_float(dtype));
}

lode_status lode_example_weight(lode_op_example *e, lode_rng *rng, lode_shape shape, double std) {
    lode_tensor *t;
    LODE_TRY(example_make(e, e->dtype, &shape, LODE_CONTIGUOUS, &t));
    return lode_tensor_fill_normal(t, rng, 0, std);
}

lode_status lode_example_uniform(lode_op_example *e, lode_rng *rng, lode_shape shape, double lo,
                                 double hi) {
    lode_tensor *t;
    LODE_TRY(example_make(e, e->dtype, &shape, default_layout(&shape), &t));
    return lode_tensor_fill_uniform(t, rng, lo, hi);
}

static bool near_any(double v, const double *kinks, int n_kinks) {
    for (int i = 0; i < n_kinks; i++)
        if (fabs(v - kinks[i]) < 0.02) return true;
    return false;
}

lode_status lode_example_away(lode_op_example *e, lode_rng *rng, lode_shape shape, double lo,
                              double hi, const double *kinks, int n_kinks) {
    lode_tensor *t;
    LODE_TRY(example_make(e, e->dtype, &shape, default_layout(&shape), &t));
    for (int64_t i = 0; i < lode_tensor_count(t); i++) {
        double v;
        do v = lo + (hi - lo) * lode_rng_uniform(rng);
        while (near_any(v, kinks, n_kinks));
        lode_put(t, i, v);
    }
    return LODE_OK;
}

lode_status lode_example_index(lode_op_example *e, lode_rng *rng, lode_dtype dtype,
                               lode_shape shape, int64_t lo, int64_t hi) {
    lode_tensor *t;
    LODE_TRY(example_make(e, dtype, &shape, LODE_CONTIGUOUS, &t));
    for (int64_t i = 0; i < lode_tensor_count(t); i++)
        lode_put(t, i, (double)(lo + lode_rng_below(rng, hi - lo)));
    return LODE_OK;
}

int64_t lode_example_between(lode_rng *rng, int64_t lo, int64_t hi) {
    return lo + lode_rng_below(rng, hi - lo + 1);
}

void lode_example_set_params(lode_op_example *e, const void *params, size_t bytes) {
    assert(bytes <= sizeof e->params.bytes);
    memcpy(e->params.bytes, params, bytes);
}

lode_status lode_example_pointwise(lode_op_example *e, lode_rng *rng, int k, double lo, double hi,
                                   const double *kinks, int n_kinks) {
    const lode_shape corner[] = {LODE_SHAPE1(1),          LODE_SHAPE1(17),
                                 LODE_SHAPE2(3, 5),       LODE_SHAPE4(2, 3, 5, 7),
                                 LODE_SHAPE4(1, 1, 3, 1), LODE_SHAPE3(2, 1, 4)};
    const int n_corner = (int)(sizeof corner / sizeof *corner);
    lode_shape s;
    if (k < n_corner) {
        s = corner[k];
    } else {
        s.n_dims = (int)lode_example_between(rng, 1, 4);
        for (int i = 0; i < LODE_MAX_DIMS; i++) s.dim[i] = lode_example_between(rng, 1, 9);
    }
    return lode_example_away(e, rng, s, lo, hi, kinks, n_kinks);
}

lode_status lode_example_any_layout(lode_op_example *e, lode_rng *rng, lode_shape shape, int k) {
    lode_example_layout layout = k % 4 == 3 ? lode_example_random_layout(rng) : LODE_EXAMPLE_DENSE;
    return lode_example_laid(e, rng, &shape, layout);
}
