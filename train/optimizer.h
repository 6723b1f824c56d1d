/* optimizer.h: from gradients to new values.

   An optimizer is a const struct in its own file plus one line in optimizers.def. It sees one
   parameter at a time: value, gradient, its moments, and how many steps this parameter has had. A
   parameter whose grad is NULL was not reached in this step and is left alone completely: no decay,
   no momentum, no step counted (methods 0.2: what single-path training needs). Formulas and the
   place of eps are PyTorch's, so that published settings mean the same here. */
#ifndef LODE_TRAIN_OPTIMIZER_H
#define LODE_TRAIN_OPTIMIZER_H
#include "core/config.h"
#include "supernet/parameter.h"
#include "train/checkpoint.h"

#define LODE_MAX_MOMENTS 3

typedef struct lode_optimizer_options {
    const char *name;    /* "sgd", "adam", "adamw", "rmsprop" */
    double weight_decay; /* on weights; coupled (added to the gradient) unless `decoupled` */
    bool decoupled;      /* value *= 1 - lr * weight_decay instead; adamw: always */
    bool decay_all;      /* decay normalization parameters and biases too */
    double momentum;     /* sgd, rmsprop */
    bool nesterov;       /* sgd; nothing without momentum */
    double beta1, beta2; /* adam, adamw */
    double rho;          /* rmsprop: smoothing of the squared gradient */
    double eps;          /* adam, adamw, rmsprop; outside the square root, */
    bool eps_inside;     /* unless this is set: rmsprop as TensorFlow has it */
    double clip;         /* global gradient norm at most this; 0: no clipping */
} lode_optimizer_options;
/* "sgd", momentum 0.9, nesterov, no decay, betas 0.9 0.999, rho 0.99, eps 1e-8, no clipping. */
LODE_API lode_optimizer_options lode_optimizer_defaults(void);

/* One parameter's step, as a plug-in sees it. Tensors are dense, of one dtype and memory order. */
typedef struct lode_update {
    lode_tensor *value;
    const lode_tensor *grad;
    lode_tensor *moment[LODE_MAX_MOMENTS]; /* zero before the first step */
    int64_t count; /* steps of this parameter, this one included: 1, 2, ... */
    double lr;
    double decay;      /* weight decay of this parameter, 0 where it has none */
    double grad_scale; /* multiplies the gradient (clipping) */
} lode_update;

typedef struct lode_optimizer_plugin {
    const char *name;
    const char *about; /* one sentence with the paper */
    /* Which moments these options need; names[i] name them in checkpoints. */
    int (*moments)(const lode_optimizer_options *o, const char *names[LODE_MAX_MOMENTS]);
    lode_status (*step)(const lode_optimizer_options *o, const lode_update *u);
} lode_optimizer_plugin;

#define OPTIMIZER(name) extern const lode_optimizer_plugin lode_optimizer_##name;
#include "train/optimizers.def"
#undef OPTIMIZER
LODE_API const lode_optimizer_plugin *const *lode_optimizer_plugins(int *n);
/* LODE_ERR_NOT_FOUND names the nearest. */
LODE_API lode_status lode_optimizer_find(const char *name, const lode_optimizer_plugin **out);

typedef struct lode_optimizer lode_optimizer;
/* Borrows the parameters (those of kind RUNNING are passed over). LODE_ERR_CONFIG names the option
   that makes no sense. */
LODE_API lode_status lode_optimizer_create(const lode_optimizer_options *options,
                                           lode_parameter *const *parameter, int n,
                                           lode_optimizer **out);
LODE_API void lode_optimizer_destroy(lode_optimizer *o);
/* Clips, then updates every parameter that has a gradient. grad_norm (may be NULL): the global norm
   before clipping, only worked out when clipping or asked for. LODE_ERR_NUMERIC names the first
   parameter whose gradient is not finite, when the norm is worked out. */
LODE_API lode_status lode_optimizer_step(lode_optimizer *o, double lr, double *grad_norm);
LODE_API void lode_optimizer_clear_grads(lode_optimizer *o);
/* Values take a step of plain SGD with momentum, w - lr (momentum m + grad + decay w), that leaves
   no trace: it is not clipped, and moments and counts stay (the unrolled step of DARTS, Liu et al.
   2019). Parameters without a gradient stay. LODE_ERR_CONFIG unless the optimizer is sgd with
   coupled decay. */
LODE_API lode_status lode_optimizer_unroll(lode_optimizer *o, double lr);
/* Tensors of moments per parameter; bytes of all there are now. */
LODE_API int lode_optimizer_n_moments(const lode_optimizer *o);
LODE_API int64_t lode_optimizer_state_bytes(const lode_optimizer *o);
/* Moments as "<prefix>.<moment>/<parameter>", counts as one f64 tensor "<prefix>.count". */
LODE_API lode_status lode_optimizer_save(const lode_optimizer *o, lode_state *s,
                                         const char *prefix);
LODE_API lode_status lode_optimizer_load(lode_optimizer *o, lode_checkpoint *c, const char *prefix);

/* ---- exponential moving average of weights and running statistics ---- */
typedef struct lode_ema lode_ema;
/* average = d average + (1 - d) value, d = min(decay, (1 + t) / (10 + t)) at the t-th update: early
   averages forget their random start. Borrows the parameters. */
LODE_API lode_status lode_ema_create(double decay, lode_parameter *const *parameter, int n,
                                     lode_ema **out);
LODE_API void lode_ema_destroy(lode_ema *e);
LODE_API int64_t lode_ema_bytes(const lode_ema *e); /* of the averages */
LODE_API lode_status lode_ema_update(lode_ema *e);
/* Exchanges averages and values: once before evaluating, once after. */
LODE_API lode_status lode_ema_swap(lode_ema *e);
LODE_API lode_status lode_ema_save(const lode_ema *e, lode_state *s, const char *prefix);
LODE_API lode_status lode_ema_load(lode_ema *e, lode_checkpoint *c, const char *prefix);
#endif
