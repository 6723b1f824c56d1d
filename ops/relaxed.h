/* relaxed.h: hard choices made smooth, composed of operators.

   A decision over K options has logits alpha [K]. A mixture needs weights z over the options:

       lode_gumbel_softmax   y = softmax((alpha + G) / tau), G Gumbel(0,1) noise: a draw that has a
                             gradient; argmax y is an exact draw from softmax(alpha)
       ... with hard         z = onehot(argmax y) forward, the gradient of y backward

   With c_k = <dL/do, o_k> the gradient that arrives at weight k, both give
   dL/dalpha_k = y_k (c_k - sum_j y_j c_j) / tau: its rows sum to 0, and adding a constant to alpha
   changes nothing. Jang et al. 2017, Maddison et al. 2017. */
#ifndef LODE_OPS_RELAXED_H
#define LODE_OPS_RELAXED_H
#include "autograd/tape.h"

/* logits [K]. n_samples 0: one noise per batch, weights [K]. N > 0: noise of its own for each
   sample, weights [N, K]. tau > 0; small ones blow the gradient up as 1/tau: keep it >= 0.1.
   hard: exactly one-hot weights, so that only the chosen option gets a gradient. */
LODE_API lode_var *lode_gumbel_softmax(lode_tape *t, lode_var *logits, double tau, lode_rng stream,
                                       int64_t n_samples, bool hard);

/* Forward `hard` to the bit, backward as if it were `soft`; shapes equal. No gradient to `hard`. */
LODE_API lode_var *lode_straight_through(lode_tape *t, lode_var *hard, lode_var *soft);

/* 1 where x >= 0, else 0, to the bit; backward as the sigmoid: sigma(x) (1 - sigma(x)). The
   indicator of a superkernel (Single-Path NAS, Stamoulis et al. 2019). */
LODE_API lode_var *lode_indicator(lode_tape *t, lode_var *x);
#endif
