/* hessian.h: the ends of the spectrum of a Hessian that is known only through gradients.

   A Hessian-vector product is H v ~ (g(x + eps v) - g(x - eps v)) / (2 eps), and Lanczos' method
   builds from such products a small tridiagonal matrix whose extreme eigenvalues approach those of
   H. One step costs two gradients. */
#ifndef LODE_TRAIN_HESSIAN_H
#define LODE_TRAIN_HESSIAN_H
#include "core/rng.h"
#include "core/status.h"

enum { LODE_HESSIAN_MAX_STEPS = 64 };

typedef struct lode_hessian_setup {
    int64_t n; /* variables */
    void *self;
    /* gradient[n] at x[n] + shift * v[n]; must be the same function at every call. */
    lode_status (*gradient)(void *self, const double *v, double shift, double *gradient);
    double eps;    /* of the difference, for v of length 1 */
    int max_steps; /* 1 .. LODE_HESSIAN_MAX_STEPS; with n or more the spectrum is exact */
    lode_rng rng;  /* of the first vector */
} lode_hessian_setup;

typedef struct lode_hessian_ends {
    double largest, smallest; /* eigenvalues, signed */
    double error;             /* some eigenvalue lies within this of `largest` */
    int steps;
} lode_hessian_ends;
LODE_API lode_status lode_hessian_find_ends(const lode_hessian_setup *setup,
                                            lode_hessian_ends *out);
#endif
