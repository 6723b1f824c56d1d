/* xnas_mixture.h: what experts predict together, with their rewards as the gradient. */
#ifndef LODE_TRAIN_XNAS_MIXTURE_H
#define LODE_TRAIN_XNAS_MIXTURE_H
#include "autograd/tape.h"

typedef struct lode_xnas_mixture_params {
    int64_t samples; /* 0: one row of weights, [K]; else [samples, K] */
    double scale;    /* of what arrives, before it is bounded */
    double bound;    /* 0: none */
    double share;    /* of what is bounded, before it is summed */
} lode_xnas_mixture_params;
/* log_v [K], -inf: dropped. Returns p = softmax(log_v), [K] or [N,K]. Backward: for c = dL/dp,
   d log_v[k] = share sum_n clip(scale c[n,k], -bound, bound): the negative reward of expert k, and
   not the derivative of the softmax. */
lode_var *lode_xnas_mixture(lode_tape *t, lode_var *log_v, const lode_xnas_mixture_params *p);
#endif
