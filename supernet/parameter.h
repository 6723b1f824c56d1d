/* parameter.h: a named tensor of a network with its gradient. Running statistics are parameters
   too, of a kind that no optimizer touches. */
#ifndef LODE_SUPERNET_PARAMETER_H
#define LODE_SUPERNET_PARAMETER_H
#include "autograd/tape.h"

typedef enum lode_parameter_kind {
    LODE_PARAM_WEIGHT,
    LODE_PARAM_BIAS,
    LODE_PARAM_NORM,   /* gamma and beta of normalisation */
    LODE_PARAM_LOGITS, /* architecture parameters */
    LODE_PARAM_RUNNING /* running mean and variance: state, not trained */
} lode_parameter_kind;

typedef struct lode_parameter {
    char *name; /* "layer3.k5_e6.expand.weight" */
    lode_tensor *value;
    lode_tensor *grad; /* NULL = absent: not reached in this step, the optimizer leaves it alone */
    lode_parameter_kind kind;
    bool frozen; /* a constant of every tape for now: turns that train something else */
} lode_parameter;

LODE_API lode_status lode_parameter_create(const char *name, lode_parameter_kind kind,
                                           lode_dtype dtype, const lode_shape *shape,
                                           lode_parameter **out);
LODE_API void lode_parameter_destroy(lode_parameter *p);
LODE_API void lode_parameter_clear_grad(lode_parameter *p);
/* A leaf of the tape whose gradient goes to p->grad (RUNNING or frozen: a constant). */
LODE_API lode_var *lode_parameter_var(lode_tape *t, lode_parameter *p);
#endif
