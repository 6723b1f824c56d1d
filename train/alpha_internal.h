/* alpha_internal.h: architecture parameters, the part that strategies share: logits for every
   decision, their optimizer, the turns in which they are trained, and the costs in their loss.

   A decision with K options has logits alpha [K], all 0 at first or drawn (LODE_ALPHA_INIT_ROW);
   its probabilities are softmax(alpha). The turn of the architecture minimizes cross entropy joined
   with the expected costs (loss.h) on the split "arch". A strategy embeds lode_alpha and its
   options, and puts LODE_ALPHA_ROWS into its option table. Its after_step, save, load and report
   call lode_alpha's.

   Seeking (arch.seek). Each limit C <= T of the setup gets a multiplier m that is learned beside
   the logits (methods D8, augmented Lagrangian). With g = E[C] / T - 1, E over softmax(alpha),

       limit   the turn's loss gains (m + d max(0, g)) (C / T - 1);   then m <- max(0, m + r g)
       equal   the turn's loss gains (m + d g) (C / T - 1);           then m <- m + r g

   C is expected under the weights that mix the outputs; r is seek_rate, d seek_damping, which
   answers at once to a violation and so damps the swing that r alone would bring. With `limit` a
   network below the limit is left in peace; `equal` also spends what the limit allows. */
#ifndef LODE_TRAIN_ALPHA_INTERNAL_H
#define LODE_TRAIN_ALPHA_INTERNAL_H
#include "train/loss.h"
#include "train/strategy.h"

#include <stddef.h>

enum { LODE_ALPHA_MAX_COSTS = 8 };

typedef struct lode_alpha_options {
    const char *optimizer;
    double lr, weight_decay, beta1, beta2;
    double init; /* deviation of the first logits */
    int turns;   /* after | alternate | before */
    int64_t every, warmup;
    int seek; /* none | limit | equal */
    double seek_rate, seek_damping;
    lode_string_list loss;
    lode_f64_list a, b, target;
    lode_watch_options watch;
} lode_alpha_options;

/* Rows of the options at member `m` of `type`; the defaults that differ between methods are given.
 */
/* clang-format off */
#define LODE_ALPHA_ROW(type, m, name, kind, field, def, min, max, words, help)                     \
    { name, kind, offsetof(type, m) + offsetof(lode_alpha_options, field), def, min, max, words, help }
/* All of them, or in parts: the optimizer; the turns; seeking; the form of the costs in the loss. */
#define LODE_ALPHA_ROWS(type, m, lr_, decay_, beta1_, turns_, every_)                              \
    LODE_ALPHA_TURN_ROWS(type, m, lr_, decay_, beta1_, turns_, every_, "1"),                       \
    LODE_ALPHA_SEEK_ROWS(type, m), LODE_ALPHA_LOSS_ROWS(type, m)
#define LODE_ALPHA_TURN_ROWS(type, m, lr_, decay_, beta1_, turns_, every_, warmup_)                \
    LODE_ALPHA_OPTIMIZER_ROWS(type, m, lr_, decay_, beta1_),                                       \
    LODE_ALPHA_TIME_ROWS(type, m, turns_, every_), LODE_ALPHA_WARMUP_ROW(type, m, warmup_),        \
    LODE_WATCH_ROWS(type, m.watch)
#define LODE_ALPHA_OPTIMIZER_ROWS(type, m, lr_, decay_, beta1_)                                    \
    LODE_ALPHA_ROW(type, m, "optimizer", LODE_OPT_STRING, optimizer, "adam", 0, 0, NULL, "optimizer of the architecture parameters"), \
    LODE_ALPHA_ROW(type, m, "lr", LODE_OPT_F64, lr, lr_, 0, 100, NULL, "its learning rate, constant"), \
    LODE_ALPHA_ROW(type, m, "weight_decay", LODE_OPT_F64, weight_decay, decay_, 0, 1, NULL, "its weight decay"), \
    LODE_ALPHA_ROW(type, m, "beta1", LODE_OPT_F64, beta1, beta1_, 0, 0.999999, NULL, "adam: decay of the first moment"), \
    LODE_ALPHA_ROW(type, m, "beta2", LODE_OPT_F64, beta2, "0.999", 0, 0.999999, NULL, "adam: decay of the second moment")
#define LODE_ALPHA_TIME_ROWS(type, m, turns_, every_)                                              \
    LODE_ALPHA_ROW(type, m, "turns", LODE_OPT_ENUM, turns, turns_, 0, 0, "after|alternate|before", "architecture steps after each epoch of the weights, in between, or in between and before the weights'"), \
    LODE_ALPHA_ROW(type, m, "every", LODE_OPT_INT, every, every_, 1, 1000000, "steps", "turns alternate, before: weight steps per architecture step")
#define LODE_ALPHA_WARMUP_ROW(type, m, warmup_)                                                    \
    LODE_ALPHA_ROW(type, m, "warmup", LODE_OPT_INT, warmup, warmup_, 0, 1000000, "epochs", "epochs with frozen architecture parameters")
#define LODE_ALPHA_SEEK_ROWS(type, m)                                                              \
    LODE_ALPHA_ROW(type, m, "seek", LODE_OPT_ENUM, seek, "none", 0, 0, "none|limit|equal", "steer the probabilities to search.targets by a learned multiplier: at most the limit, or just to it"), \
    LODE_ALPHA_ROW(type, m, "seek_rate", LODE_OPT_F64, seek_rate, "0.02", 0, 1e6, NULL, "seek: step of the multiplier per relative excess of the expected cost"), \
    LODE_ALPHA_ROW(type, m, "seek_damping", LODE_OPT_F64, seek_damping, "1", 0, 1e6, NULL, "seek: part of the pull that follows the excess at once")
#define LODE_ALPHA_LOSS_ROWS(type, m)                                                              \
    LODE_ALPHA_ROW(type, m, "loss", LODE_OPT_STRING_LIST, loss, NULL, 0, 0, NULL, "form per cost: additive, add_linear, hinge, fbnet, fbnet_log, mul_log, power, add_log (train/loss.h has the formulas); default fbnet"), \
    LODE_ALPHA_ROW(type, m, "a", LODE_OPT_F64_LIST, a, NULL, 0, 0, NULL, "factor of each cost in the loss; default 0.2"), \
    LODE_ALPHA_ROW(type, m, "b", LODE_OPT_F64_LIST, b, NULL, 0, 0, NULL, "exponent of each cost in the loss; default 0.6"), \
    LODE_ALPHA_ROW(type, m, "target", LODE_OPT_F64_LIST, target, NULL, 0, 0, "unit of the cost", "target of each cost in the loss, for add_linear, hinge, mul_log, power")
#define LODE_ALPHA_INIT_ROW(type, m, def)                                                          \
    LODE_ALPHA_ROW(type, m, "init", LODE_OPT_F64, init, def, 0, 100, NULL, "deviation of the normal numbers that the architecture parameters begin with")
/* clang-format on */

typedef struct lode_alpha {
    lode_alpha_options options;
    lode_space *space;
    int n;              /* decisions */
    lode_parameter **p; /* [n] logits */
    lode_cost *const *cost;
    int n_costs;
    lode_cost_loss_params loss[LODE_ALPHA_MAX_COSTS];
    lode_search_part part;
    const lode_limit *seek; /* [n_seeks], of the setup; none with seek: none */
    int n_seeks;
    double multiplier[LODE_ALPHA_MAX_COSTS]; /* [n_seeks] */
} lode_alpha;

/* LODE_ERR_CONFIG: a fixed network, a warm-up as long as the run, a cost without gradient or
   one whose logarithm would be taken below 1. After a failure too, lode_alpha_deinit ends it. */
lode_status lode_alpha_init(lode_alpha *a, const lode_alpha_options *options,
                            const lode_strategy_setup *setup);
/* The same for who asks costs of drawn networks only: any cost will do, and the rows of
   LODE_ALPHA_LOSS_ROWS are not read. */
lode_status lode_alpha_init_drawn(lode_alpha *a, const lode_alpha_options *options,
                                  const lode_strategy_setup *setup);
void lode_alpha_deinit(lode_alpha *a);

/* When the turns come; no temperature. */
void lode_alpha_plan(const lode_alpha *a, int64_t epoch, lode_epoch_plan *out);
/* loss joined with the costs expected under weights[n], each [K] or [N,K], and with the pull of
   the multipliers. */
lode_var *lode_alpha_join_costs(const lode_alpha *a, lode_tape *t, lode_var *loss,
                                lode_var *const *weights);
/* All options of every decision, weighted by softmax(alpha). */
lode_status lode_alpha_mixture(const lode_alpha *a, lode_tape *t, lode_choice *choice);
/* Gumbel-softmax weights of a decision (ops/relaxed.h): [K], or [N,K] with noise per sample. The
   noise is a function of seed, step, pass, decision and sample: ranks agree, recomputing repeats
   it. */
lode_var *lode_alpha_gumbel(const lode_alpha *a, lode_tape *t, const lode_step *step, int decision,
                            double tau, bool per_sample, bool hard);
/* softmax(alpha) of a decision. */
void lode_alpha_probabilities(const lode_alpha *a, int decision, double *p);
/* A cost expected under the probabilities. */
lode_status lode_alpha_expected(const lode_alpha *a, lode_cost *cost, double *out);
/* Members expected_<cost>, under the probabilities, of costs that have an expectation, and
   multiplier_<cost>. */
lode_status lode_alpha_report(const lode_alpha *a, json_t *line);
/* After a step, of either turn: multipliers learn. */
lode_status lode_alpha_after_step(lode_alpha *a, const lode_step *step);
/* The same from costs [n_seeks] that the caller knows. */
void lode_alpha_learn(lode_alpha *a, const double *cost);
/* What a relative excess of the i-th limit costs while the cost stands at `cost`. */
double lode_alpha_pull(const lode_alpha *a, int i, double cost);
lode_status lode_alpha_save(const lode_alpha *a, lode_state *s);
lode_status lode_alpha_load(lode_alpha *a, lode_checkpoint *c);
void lode_alpha_optimizer(const lode_alpha *a, lode_optimizer_options *options, double *lr);

/* Members of a plug-in whose struct begins with a lode_alpha. */
int lode_alpha_own_n_parameters(const void *self);
lode_parameter *lode_alpha_own_parameter(const void *self, int i);
void lode_alpha_own_optimizer(const void *self, lode_optimizer_options *options, double *lr);
void lode_alpha_own_probabilities(const void *self, int decision, double *p);
lode_status lode_alpha_own_report(void *self, const lode_step *step, json_t *line);
lode_status lode_alpha_own_after_step(void *self, const lode_step *step, double loss);
lode_status lode_alpha_own_save(const void *self, lode_state *s);
lode_status lode_alpha_own_load(void *self, lode_checkpoint *c);
lode_status lode_alpha_own_mixture(void *self, lode_tape *t, lode_choice *choice);
const lode_watch_options *lode_alpha_own_watch(const void *self);
#endif
