/* example.c: see example_internal.h. */
#include "ops/example_internal.h"

#include <math.h>

static lode_status example_transposed(lode_dtype dtype, const lode_shape *shape,
                                      lode_tensor **out) {
    lode_tensor *whole = NULL;
    lode_shape reversed = *shape;
    int perm[LODE_MAX_DIMS] = {0};
    for (int d = 0; d < shape->n_dims; d++) {
        perm[d] = shape->n_dims - 1 - d;
        reversed.dim[d] = shape->dim[perm[d]];
    }
    LODE_TRY(lode_tensor_create(NULL, dtype, &reversed, LODE_CONTIGUOUS, &whole));
    const lode_status status = lode_tensor_transpose(whole, perm, out);
    lode_tensor_release(whole);
    return status;
}

/* Elements begin, begin + step, ... of dim `d` of a tensor that is wider there. */
static lode_status example_cut(lode_dtype dtype, const lode_shape *shape, int d, int64_t step,
                               lode_tensor **out) {
    lode_tensor *whole = NULL;
    lode_shape wider = *shape;
    wider.dim[d] = shape->dim[d] * step + 3;
    const lode_layout layout = shape->n_dims == 4 ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS;
    LODE_TRY(lode_tensor_create(NULL, dtype, &wider, layout, &whole));
    lode_status status = lode_tensor_fill(whole, 1e6); /* whoever reads a gap will be seen */
    if (status == LODE_OK)
        status = lode_tensor_slice(whole, d, 1, 1 + shape->dim[d] * step, step, out);
    lode_tensor_release(whole);
    return status;
}

static lode_status example_tensor(lode_dtype dtype, const lode_shape *shape,
                                  lode_example_layout layout, lode_tensor **out) {
    const int last = shape->n_dims - 1;
    if (layout == LODE_EXAMPLE_TRANSPOSED) return example_transposed(dtype, shape, out);
    if (layout == LODE_EXAMPLE_STRIDED && last >= 0) return example_cut(dtype, shape, last, 2, out);
    if (layout == LODE_EXAMPLE_ROWS && last >= 0)
        return example_cut(dtype, shape, shape->n_dims == 4 ? 1 : last, 1, out);
    const bool image = shape->n_dims == 4 && layout != LODE_EXAMPLE_CONTIGUOUS;
    return lode_tensor_create(NULL, dtype, shape, image ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS,
                              out);
}

lode_status lode_example_laid(lode_op_example *e, lode_rng *rng, const lode_shape *shape,
                              lode_example_layout layout) {
    lode_tensor *x = NULL;
    LODE_TRY(example_tensor(e->dtype, shape, layout, &x));
    lode_example_fill(x, rng, -2, 2);
    lode_example_avoid(x, 0);
    return lode_example_add(e, x, true);
}

void lode_example_fill(lode_tensor *x, lode_rng *rng, double lo, double hi) {
    const int64_t n = lode_tensor_count(x);
    for (int64_t i = 0; i < n; i++) lode_put(x, i, lo + (hi - lo) * lode_rng_uniform(rng));
}

void lode_example_avoid(lode_tensor *x, double kink) {
    const int64_t n = lode_tensor_count(x);
    for (int64_t i = 0; i < n; i++) {
        const double off = lode_at(x, i) - kink;
        if (fabs(off) < 0.05) lode_put(x, i, kink + (off < 0 ? off - 0.05 : off + 0.05));
    }
}

void lode_example_spread(lode_tensor *x, lode_rng *rng) {
    const int64_t n = lode_tensor_count(x);
    for (int64_t i = 0; i < n; i++) lode_put(x, i, 0.25 * (double)(i - n / 2));
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = lode_rng_below(rng, i + 1);
        const double v = lode_at(x, i);
        lode_put(x, i, lode_at(x, j));
        lode_put(x, j, v);
    }
}

lode_shape lode_example_random_shape(lode_rng *rng, int min_dims, int max_dims) {
    lode_shape s = {.n_dims = min_dims + (int)lode_rng_below(rng, max_dims - min_dims + 1)};
    for (int d = 0; d < s.n_dims; d++) s.dim[d] = 1 + lode_rng_below(rng, 6);
    /* Now and then a long dim, so that vector loops have a body and a tail. */
    if (s.n_dims > 0 && lode_rng_below(rng, 3) == 0)
        s.dim[s.n_dims == 4 ? 1 : s.n_dims - 1] += lode_rng_below(rng, 60);
    return s;
}

lode_example_layout lode_example_random_layout(lode_rng *rng) {
    return (lode_example_layout)lode_rng_below(rng, LODE_EXAMPLE_N_LAYOUTS);
}

lode_status lode_example_any_shape(lode_op_example *e, lode_rng *rng, int k) {
    static const struct {
        lode_shape shape;
        lode_example_layout layout;
    } corner[] = {
        {{0, {0}}, LODE_EXAMPLE_DENSE},
        {{1, {1}}, LODE_EXAMPLE_DENSE},
        {{1, {37}}, LODE_EXAMPLE_STRIDED},
        {{2, {2, 3}}, LODE_EXAMPLE_TRANSPOSED},
        {{3, {2, 3, 4}}, LODE_EXAMPLE_DENSE},
        {{4, {2, 16, 3, 3}}, LODE_EXAMPLE_DENSE},
        {{4, {1, 1, 1, 1}}, LODE_EXAMPLE_DENSE},
        {{4, {2, 3, 4, 5}}, LODE_EXAMPLE_CONTIGUOUS},
        {{4, {2, 5, 3, 4}}, LODE_EXAMPLE_STRIDED},
        {{4, {2, 20, 3, 2}}, LODE_EXAMPLE_ROWS},
        {{4, {3, 2, 2, 5}}, LODE_EXAMPLE_TRANSPOSED},
        {{6, {2, 1, 2, 2, 1, 3}}, LODE_EXAMPLE_DENSE},
    };
    if (k < (int)(sizeof corner / sizeof corner[0]))
        return lode_example_laid(e, rng, &corner[k].shape, corner[k].layout);
    const lode_shape shape = lode_example_random_shape(rng, 0, LODE_MAX_DIMS);
    return lode_example_laid(e, rng, &shape, lode_example_random_layout(rng));
}
