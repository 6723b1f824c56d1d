/* alpha_internal.h: architecture parameters, the part that strategies share: logits for every
   decision, their optimizer, the turns in which they are trained, and the costs in their loss.

   A decision with K options has logits alpha [K], all 0 at first; its probabilities are
   softmax(alpha). The turn of the architecture minimizes cross entropy joined with the expected
   costs (loss.h) on the split "arch". A strategy embeds lode_alpha and its options, and puts
   LODE_ALPHA_ROWS into its option table. */
#ifndef LODE_TRAIN_ALPHA_INTERNAL_H
#define LODE_TRAIN_ALPHA_INTERNAL_H
#include "train/loss.h"
#include "train/strategy.h"

#include <stddef.h>

enum { LODE_ALPHA_MAX_COSTS = 8 };

typedef struct lode_alpha_options {
    const char *optimizer;
    double lr, weight_decay, beta1, beta2;
    int turns; /* after | alternate */
    int64_t every, warmup;
    lode_string_list loss;
    lode_f64_list a, b, target;
} lode_alpha_options;

/* Rows of the options at member `m` of `type`; the defaults that differ between methods are given.
 */
/* clang-format off */
#define LODE_ALPHA_ROW(type, m, name, kind, field, def, min, max, words, help)                     \
    { name, kind, offsetof(type, m) + offsetof(lode_alpha_options, field), def, min, max, words, help }
#define LODE_ALPHA_ROWS(type, m, lr_, decay_, beta1_, turns_, every_)                              \
    LODE_ALPHA_ROW(type, m, "optimizer", LODE_OPT_STRING, optimizer, "adam", 0, 0, NULL, "optimizer of the architecture parameters"), \
    LODE_ALPHA_ROW(type, m, "lr", LODE_OPT_F64, lr, lr_, 0, 100, NULL, "its learning rate, constant"), \
    LODE_ALPHA_ROW(type, m, "weight_decay", LODE_OPT_F64, weight_decay, decay_, 0, 1, NULL, "its weight decay"), \
    LODE_ALPHA_ROW(type, m, "beta1", LODE_OPT_F64, beta1, beta1_, 0, 0.999999, NULL, "adam: decay of the first moment"), \
    LODE_ALPHA_ROW(type, m, "beta2", LODE_OPT_F64, beta2, "0.999", 0, 0.999999, NULL, "adam: decay of the second moment"), \
    LODE_ALPHA_ROW(type, m, "turns", LODE_OPT_ENUM, turns, turns_, 0, 0, "after|alternate", "architecture steps after each epoch of the weights, or in between"), \
    LODE_ALPHA_ROW(type, m, "every", LODE_OPT_INT, every, every_, 1, 1000000, "steps", "turns alternate: weight steps per architecture step"), \
    LODE_ALPHA_ROW(type, m, "warmup", LODE_OPT_INT, warmup, "1", 0, 1000000, "epochs", "epochs with frozen architecture parameters"), \
    LODE_ALPHA_ROW(type, m, "loss", LODE_OPT_STRING_LIST, loss, NULL, 0, 0, NULL, "form per cost: additive, add_linear, hinge, fbnet, fbnet_log, mul_log; default fbnet"), \
    LODE_ALPHA_ROW(type, m, "a", LODE_OPT_F64_LIST, a, NULL, 0, 0, NULL, "factor of each cost in the loss; default 0.2"), \
    LODE_ALPHA_ROW(type, m, "b", LODE_OPT_F64_LIST, b, NULL, 0, 0, NULL, "exponent of each cost in the loss; default 0.6"), \
    LODE_ALPHA_ROW(type, m, "target", LODE_OPT_F64_LIST, target, NULL, 0, 0, "unit of the cost", "target of each cost in the loss, for add_linear, hinge, mul_log")
/* clang-format on */

typedef struct lode_alpha {
    lode_alpha_options options;
    lode_space *space;
    int n;              /* decisions */
    lode_parameter **p; /* [n] logits */
    lode_cost *const *cost;
    int n_costs;
    lode_cost_loss_params loss[LODE_ALPHA_MAX_COSTS];
} lode_alpha;

/* LODE_ERR_CONFIG: a fixed network, a warm-up as long as the run, a cost without gradient. After a
   failure too, lode_alpha_deinit ends it. */
lode_status lode_alpha_init(lode_alpha *a, const lode_alpha_options *options,
                            const lode_strategy_setup *setup);
void lode_alpha_deinit(lode_alpha *a);

/* When the turns come; no temperature. */
void lode_alpha_plan(const lode_alpha *a, int64_t epoch, lode_epoch_plan *out);
/* loss joined with the costs expected under weights[n]: each [K] or [N,K]. */
lode_var *lode_alpha_join_costs(const lode_alpha *a, lode_tape *t, lode_var *loss,
                                lode_var *const *weights);
/* softmax(alpha) of a decision. */
void lode_alpha_probabilities(const lode_alpha *a, int decision, double *p);
/* Members expected_<cost>: the costs expected under the probabilities. */
lode_status lode_alpha_report(const lode_alpha *a, json_t *line);
void lode_alpha_optimizer(const lode_alpha *a, lode_optimizer_options *options, double *lr);
#endif
