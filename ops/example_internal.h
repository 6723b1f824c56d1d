/* example_internal.h: example inputs that lie in memory in other ways than dense.

   An example adds its inputs one by one; each lies in one of the ways below, so that kernels meet
   every kind of stride. Values are uniform in (-2, 2) and at least 0.05 away from 0,
   where many operators have a kink. */
#ifndef LODE_OPS_EXAMPLE_INTERNAL_H
#define LODE_OPS_EXAMPLE_INTERNAL_H
#include "ops/op_util.h"

typedef enum lode_example_layout {
    LODE_EXAMPLE_DENSE,      /* channels-last for 4 dims, else contiguous */
    LODE_EXAMPLE_CONTIGUOUS, /* row-major whatever the dims */
    LODE_EXAMPLE_TRANSPOSED, /* dense, but the first dim is the fastest */
    LODE_EXAMPLE_STRIDED,    /* a slice of a larger tensor: gaps between rows and elements */
    LODE_EXAMPLE_ROWS, /* dim 1 (or the last) cut from a wider dense tensor: gaps between rows */
    LODE_EXAMPLE_N_LAYOUTS
} lode_example_layout;

/* Appends an input of e->dtype, differentiable. */
lode_status lode_example_laid(lode_op_example *e, lode_rng *rng, const lode_shape *shape,
                              lode_example_layout layout);
/* The one input of an operator that takes any shape: corner shapes and layouts first, then random.
 */
lode_status lode_example_any_shape(lode_op_example *e, lode_rng *rng, int k);

/* Uniform in (lo, hi). */
void lode_example_fill(lode_tensor *x, lode_rng *rng, double lo, double hi);
/* Moves values nearer than 0.05 to `kink` away from it. */
void lode_example_avoid(lode_tensor *x, double kink);
/* All values different, 1/4 apart, in random order: for the largest of something. */
void lode_example_spread(lode_tensor *x, lode_rng *rng);

/* min_dims..max_dims dims; now and then larger than one SIMD register or one grain. */
lode_shape lode_example_random_shape(lode_rng *rng, int min_dims, int max_dims);
lode_example_layout lode_example_random_layout(lode_rng *rng);
#endif
