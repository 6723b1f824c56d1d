/* loss.h: how a cost enters the loss of architecture parameters (methods D8).

   L is the task's loss, C the expected cost in its unit, T the target, ln the natural logarithm:
       additive     L + a C                     gradient on C: a
       add_linear   L + a (C / T - 1)           a / T                         (ProxylessNAS)
       add_log      L + a ln C                  a / C                  (Single-Path NAS; C > 0)
       hinge        L + a max(0, C / T - 1)     a / T where C > T
       fbnet        L a (ln C)^b                L a b (ln C)^(b-1) / C   (Wu et al. 2019, eq. 2)
       fbnet_log    L a b ln C                  L a b / C      (the other reading: ln(C^b); see A3)
       mul_log      L a (ln C / ln T)^b         L a b (ln C / ln T)^(b-1) / (C ln T)  (ProxylessNAS)
       power        L a (C / T)^b               L a b (C / T)^(b-1) / T (MnasNet's reward as a loss)
   The logarithmic forms need C > 1 (and T > 1) in the unit of the cost model; otherwise the tape
   fails with LODE_ERR_NUMERIC and the unit in question. Each form is one operator with a closed
   gradient to both L and C. */
#ifndef LODE_TRAIN_LOSS_H
#define LODE_TRAIN_LOSS_H
#include "autograd/tape.h"

typedef enum lode_cost_loss_kind {
    LODE_COST_LOSS_ADDITIVE,
    LODE_COST_LOSS_ADD_LINEAR,
    LODE_COST_LOSS_HINGE,
    LODE_COST_LOSS_FBNET,
    LODE_COST_LOSS_FBNET_LOG,
    LODE_COST_LOSS_MUL_LOG,
    LODE_COST_LOSS_POWER,
    LODE_COST_LOSS_ADD_LOG,
    LODE_N_COST_LOSSES
} lode_cost_loss_kind;

typedef struct lode_cost_loss_params {
    double a, b, target;
    int32_t kind, reserved;
} lode_cost_loss_params;

LODE_API extern const lode_op lode_op_cost_loss;
LODE_API const char *lode_cost_loss_name(lode_cost_loss_kind kind);
LODE_API lode_status lode_cost_loss_find(const char *name, lode_cost_loss_kind *out);
/* LODE_ERR_CONFIG when a target is needed and absent, or a parameter is out of range. */
LODE_API lode_status lode_cost_loss_check(const lode_cost_loss_params *p);
/* LODE_ERR_NUMERIC when the form has no value at this cost: a logarithm needs one above 1, a power
   one above 0. */
LODE_API lode_status lode_cost_loss_check_cost(const lode_cost_loss_params *p, double cost);
/* loss and cost: one element each, of one dtype. Scalar var. */
LODE_API lode_var *lode_cost_loss(lode_tape *t, lode_var *loss, lode_var *cost,
                                  const lode_cost_loss_params *p);
#endif
