/* hypergradient.h: how the loss on held-out data changes with the architecture when the weights
   answer by one step (DARTS, Liu et al. 2019, equations 7 and 8).

   With w' = w - xi (...) one step of descent on L_train(w, alpha), and v = dL_val(w', alpha)/dw':

       dL_val(w'(alpha), alpha)/dalpha = dL_val(w', alpha)/dalpha
           - xi [dL_train(w + e v, alpha)/dalpha - dL_train(w - e v, alpha)/dalpha] / (2 e)

   e = 0.01 / |v|: the second derivative's product with v as a central difference. It knows no
   network: gradients come from a function, so that it can be tried where the answer is known. */
#ifndef LODE_TRAIN_HYPERGRADIENT_H
#define LODE_TRAIN_HYPERGRADIENT_H
#include "train/strategy.h"

/* Everything is borrowed. */
typedef struct lode_bilevel {
    void *self;
    lode_parameter *const *w; /* [n_w], none of kind RUNNING */
    int n_w;
    lode_parameter *const *alpha; /* [n_alpha] */
    int n_alpha;
    /* Clears the gradients of all, then fills those asked for at the values of now: of L_train
       (LODE_TURN_WEIGHTS) or L_val (LODE_TURN_ARCH). NULL stands for zero. */
    lode_status (*gradient)(void *self, lode_turn of_loss, lode_gradient_of of, double *value);
    /* w becomes w' with the help of its gradients. */
    lode_status (*unroll)(void *self, double xi);
} lode_bilevel;

typedef struct lode_hypergradient lode_hypergradient;
/* Holds two copies of w, made here so that steps ask for no memory. */
LODE_API lode_status lode_hypergradient_create(const lode_bilevel *problem,
                                               lode_hypergradient **out);
LODE_API void lode_hypergradient_destroy(lode_hypergradient *h);
/* Leaves the gradient in the grad of every alpha, and w as it was, bit for bit, also after a
   failure. value: L_val(w', alpha). xi 0: the first order, without any of the extra passes. */
LODE_API lode_status lode_hypergradient_run(lode_hypergradient *h, const lode_bilevel *problem,
                                            double xi, double *value);
#endif
