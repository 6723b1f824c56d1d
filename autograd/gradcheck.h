/* gradcheck.h: backward against central finite differences, in f64. */
#ifndef LODE_AUTOGRAD_GRADCHECK_H
#define LODE_AUTOGRAD_GRADCHECK_H
#include "autograd/tape.h"

typedef struct lode_gradcheck_options {
    double step;      /* h of (f(x+h) - f(x-h)) / 2h; 0: 1e-5 */
    double tolerance; /* |a - n| <= tolerance * max(1, |a|, |n|); 0: 1e-6 */
    int n_elements;   /* single elements checked per input, drawn at random; 0: 8 */
    uint64_t seed;
} lode_gradcheck_options;

/* Checks d(sum(r * f(x)))/dx for a fixed random r: along one random direction over all inputs, and
   at single elements. x: f64 tensors, changed and restored. LODE_ERR_NUMERIC names input, element
   and both values. f gets vars in the order of x; differentiable[i] false: held constant. */
typedef lode_var *(*lode_gradcheck_fn)(lode_tape *t, void *ctx, lode_var *const *x, int n_x);
LODE_API lode_status lode_gradcheck(const lode_runner *runner, lode_gradcheck_fn f, void *ctx,
                                    lode_tensor *const *x, const bool *differentiable, int n_x,
                                    const lode_gradcheck_options *options);
/* The same for one operator call. */
LODE_API lode_status lode_gradcheck_op(const lode_runner *runner, const lode_op *op,
                                       lode_op_example *example,
                                       const lode_gradcheck_options *options);
#endif
