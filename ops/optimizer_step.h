/* optimizer_step.h: the arithmetic of optimizers, one fused sweep per tensor, as PyTorch 2 defines
   it.

   w, grad and state have one shape and dtype. f32 tensors with equal dense memory run on vector
   kernels over threads (results do not depend on their number); everything else, f64 above all, in
   double, element by element. State starts as zeros. g = grad_scale grad (grad_scale 0 stands for
   1; it carries gradient clipping), then weight decay: coupled g += weight_decay w, or decoupled
   w *= 1 - lr weight_decay, before anything else. */
#ifndef LODE_OPS_OPTIMIZER_STEP_H
#define LODE_OPS_OPTIMIZER_STEP_H
#include "tensor/tensor.h"

/* Sutskever et al. 2013 as PyTorch has it: m = momentum m + (1 - dampening) g (first: m = g),
   w -= lr (nesterov ? g + momentum m : m). momentum 0: w -= lr g and `m` may be NULL. */
typedef struct lode_sgd_params {
    double lr, momentum, dampening, weight_decay, grad_scale;
    bool nesterov, decoupled, first; /* first: step number 1; matters with dampening only */
} lode_sgd_params;
LODE_API lode_status lode_sgd_step(lode_tensor *w, const lode_tensor *grad, lode_tensor *m,
                                   const lode_sgd_params *p);

/* Kingma & Ba 2015; decoupled: AdamW, Loshchilov & Hutter 2019. step counts from 1.
   m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
   w -= lr / (1-b1^t) m / (sqrt(v) / sqrt(1-b2^t) + eps). */
typedef struct lode_adam_params {
    double lr, beta1, beta2, eps, weight_decay, grad_scale;
    int64_t step;
    bool decoupled;
} lode_adam_params;
LODE_API lode_status lode_adam_step(lode_tensor *w, const lode_tensor *grad, lode_tensor *m,
                                    lode_tensor *v, const lode_adam_params *p);

/* Tieleman & Hinton 2012: v = alpha v + (1-alpha) g^2; d = g / (sqrt(v) + eps), or
   g / sqrt(v + eps) when eps_inside (TensorFlow, the MobileNet recipes). With `mean` (not NULL)
   centered: mean = alpha mean + (1-alpha) g, v - mean^2 under the root. momentum > 0: buffer =
   momentum buffer + d, w -= lr buffer; otherwise w -= lr d and `buffer` may be NULL. */
typedef struct lode_rmsprop_params {
    double lr, alpha, eps, momentum, weight_decay, grad_scale;
    bool decoupled, eps_inside;
} lode_rmsprop_params;
LODE_API lode_status lode_rmsprop_step(lode_tensor *w, const lode_tensor *grad, lode_tensor *v,
                                       lode_tensor *mean, lode_tensor *buffer,
                                       const lode_rmsprop_params *p);

/* ema = decay ema + (1 - decay) w. */
LODE_API lode_status lode_ema_step(lode_tensor *ema, const lode_tensor *w, double decay);

/* Sum of squares in double, the same bits at any thread count; NaN and infinity pass through. */
LODE_API double lode_sum_squares(const lode_tensor *t);
#endif
