/* strategy.h: what a training step trains.

   A strategy decides, for each step, what happens at every decision of the supernet (lode_choice),
   adds what it wants to the loss, and may own architecture parameters that the trainer optimizes in
   turns of their own. It ends in probabilities over options, from which architectures are taken. A
   strategy is a const struct in strategy_<name>.c plus one line in strategies.def; the recipe is
   docs/add-a-search-strategy.md.

   The trainer's part of a step, for pass = 0 .. n_passes - 1:
       choose -> forward -> cross entropy -> loss -> backward (gradients of the passes add up)
   then the optimizer's step, then after_step. In a turn of the weights the strategy's parameters
   are frozen, in a turn of the architecture the network's are (lode_parameter.frozen), so each turn
   pays for its own gradients only. Three things may be otherwise: both are trained in one step
   (lode_epoch_plan.joint); the strategy works out the gradient of its parameters itself, with
   forward and backward passes it borrows from the trainer (arch_gradient); the strategy updates its
   parameters itself (update). */
#ifndef LODE_TRAIN_STRATEGY_H
#define LODE_TRAIN_STRATEGY_H
#include "core/config.h"
#include "hwcost/cost.h"
#include "supernet/supernet.h"
#include "train/checkpoint.h"
#include "train/optimizer.h"
#include "train/watch.h"

typedef enum lode_turn { LODE_TURN_WEIGHTS, LODE_TURN_ARCH } lode_turn;
LODE_API const char *lode_turn_name(lode_turn turn); /* "weights", "arch" */
/* The values of an option table as {name: text}, for manifests; json_decref. */
LODE_API json_t *lode_options_json(const lode_option_table *table, const void *options);

struct lode_comm;
typedef struct lode_step {
    lode_turn turn;
    uint64_t seed;
    int64_t step; /* counts the steps of both turns from 0: the index of random streams */
    int64_t epoch, n_epochs;
    int64_t turn_step, n_turn_steps; /* steps of this turn before this one, and in the whole run */
    int pass, n_passes;
    int64_t batch;        /* samples in this batch, of this rank */
    int64_t first_sample; /* of this rank within the batch of all ranks */
    /* [batch], for `loss`; NULL when a step is gone through without values, to plan its memory */
    const lode_tensor *labels;
    const struct lode_comm *comm; /* of a step with labels: to sum over ranks; NULL: one process */
} lode_step;

/* How an epoch is divided. */
typedef struct lode_epoch_plan {
    bool arch_after;    /* after the weights' epoch, one epoch of architecture steps */
    bool arch_only;     /* no weight steps: the network stays as it is */
    int64_t arch_every; /* an architecture step after every so many weight steps; 0: none */
    bool arch_first;    /* with arch_every: before these weight steps, not after them */
    bool joint;         /* the weights' steps train the strategy's parameters too */
    bool arch_weights;  /* architecture steps take gradients of the weights: more memory */
    double temperature; /* for the log; 0: none */
} lode_epoch_plan;

/* A hard limit of a cost, in its unit. */
typedef struct lode_limit {
    lode_cost *cost;
    double most;
    double least; /* 0: none */
} lode_limit;

/* What a training is for: strategies without parameters of their own train weights always. */
typedef enum lode_search_part {
    LODE_SEARCH_BOTH,    /* weights and architecture parameters, in turns */
    LODE_SEARCH_WEIGHTS, /* weights, with the architecture parameters as they begin */
    LODE_SEARCH_ARCH     /* architecture parameters, on the weights as they are */
} lode_search_part;
/* Whose gradients a pass works out. */
typedef enum lode_gradient_of {
    LODE_GRADIENT_OF_WEIGHTS = 1,
    LODE_GRADIENT_OF_ARCH = 2,
    LODE_GRADIENT_OF_BOTH = 3
} lode_gradient_of;

/* What a trainer lends: to arch_gradient within a step, and to measures between steps
   (lode_trainer_tools). */
typedef struct lode_step_tools {
    void *self;
    lode_optimizer *weights; /* of the network: lode_optimizer_unroll */
    double lr;               /* of the next step of the weights */
    /* Forward and backward at the values of now, through all passes of a step: the loss of turn
       `on` on the batch that its next step trains with ("train" or "arch"). Gradients of the
       network and of the strategy are cleared first; those asked for are left in the parameters,
       summed over ranks. Norms use the batch's statistics, and running statistics stay. Called
       again it sees the same batch and the same draws. loss (may be NULL): this rank's.
       LODE_ERR_CONFIG: on LODE_TURN_ARCH, and the strategy plans no such turns. */
    lode_status (*gradient)(void *self, lode_turn on, lode_gradient_of of, double *loss);
} lode_step_tools;

/* What a strategy is made from. Everything is borrowed and must outlive it. */
typedef struct lode_strategy_setup {
    lode_supernet *net;
    lode_cost *const *cost; /* [n_costs], those that enter the loss; may be NULL */
    int n_costs;
    int64_t n_epochs;
    const void *options;    /* [plugin->options_size]; NULL: the defaults */
    const lode_arch *arch;  /* for `fixed` on a supernet; else NULL */
    const lode_limit *seek; /* [n_seeks], steered to where the strategy's options say so */
    int n_seeks;
    lode_search_part part;
} lode_strategy_setup;

typedef struct lode_strategy_plugin {
    const char *name;
    const char *about;                /* one sentence with the paper */
    const lode_option_table *options; /* section "arch" of a recipe; NULL: none */
    size_t options_size;
    lode_status (*create)(const lode_strategy_setup *setup, void **self);
    void (*destroy)(void *self); /* NULL is fine */

    /* Any of the following may be NULL: then the default in brackets holds. */
    void (*plan)(void *self, int64_t epoch, lode_epoch_plan *out); /* [no architecture turns] */
    int (*n_passes)(void *self, const lode_step *step);            /* [1] */
    /* Fills choice[n_decisions] with vars of `t`. [not for supernets: needed there] */
    lode_status (*choose)(void *self, lode_tape *t, const lode_step *step, lode_choice *choice);
    /* The pass' loss from logits, labels and cross entropy. [cross entropy / n_passes] */
    lode_var *(*loss)(void *self, lode_tape *t, const lode_step *step, lode_var *logits,
                      lode_var *cross_entropy);
    /* `loss`: of the last pass. After the optimizer. [nothing] */
    lode_status (*after_step)(void *self, const lode_step *step, double loss);

    /* The gradient of an architecture step, left in the strategy's parameters; `loss`: for the log.
       The network's values must be what they were, its gradients may be anything. [the passes
       above, on the batch of split "arch"] */
    lode_status (*arch_gradient)(void *self, const lode_step *step, const lode_step_tools *tools,
                                 double *loss);
    /* Moves the strategy's parameters by their gradients. [the optimizer's step] */
    lode_status (*update)(void *self, const lode_step *step);

    /* Architecture parameters (borrowed), and how they are optimized; lr stays constant. [none] */
    int (*n_parameters)(const void *self);
    lode_parameter *(*parameter)(const void *self, int i);
    void (*optimizer)(const void *self, lode_optimizer_options *options, double *lr);

    /* What the trainer watches and stops on (watch.h); LODE_WATCH_ROWS are its rows. [nothing] */
    const lode_watch_options *(*watch)(const void *self);

    /* p[n_options]: probability of every option now. [uniform, or one-hot for a fixed network] */
    void (*probabilities)(const void *self, int decision, double *p);
    /* Weight of a cell's edge among those into its node, for derivations that compare edges. [1] */
    double (*edge_share)(const void *self, int decision);
    /* Fills choice[n_decisions] with the mixture that the parameters stand for: no noise, all
       options, weights that are functions of the parameters on `t`. [the probabilities as
       constants] */
    lode_status (*mixture)(void *self, lode_tape *t, lode_choice *choice);
    /* Members for metrics.jsonl; `step` is the last one of the turn it is about. [nothing] */
    lode_status (*report)(void *self, const lode_step *step, json_t *line);
    /* State beside the parameters. [none] */
    lode_status (*save)(const void *self, lode_state *s);
    lode_status (*load)(void *self, lode_checkpoint *c);
} lode_strategy_plugin;

#define STRATEGY(name) extern const lode_strategy_plugin lode_strategy_##name;
#include "train/strategies.def"
#undef STRATEGY
LODE_API const lode_strategy_plugin *const *lode_strategy_plugins(int *n);
/* LODE_ERR_NOT_FOUND names the nearest. */
LODE_API lode_status lode_strategy_find(const char *name, const lode_strategy_plugin **out);
/* The chosen strategy's options from section "arch": fresh memory (lode_free), NULL when it has
   none. Strings and lists belong to the config. config NULL: the defaults. */
LODE_API lode_status lode_strategy_options_read(lode_config *config,
                                                const lode_strategy_plugin *plugin, void **out);

/* plugin: built in, or the caller's own. The setup is copied. */
LODE_API lode_status lode_strategy_create(const lode_strategy_plugin *plugin,
                                          const lode_strategy_setup *setup, lode_strategy **out);
LODE_API void lode_strategy_destroy(lode_strategy *s);
LODE_API const lode_strategy_plugin *lode_strategy_get_plugin(const lode_strategy *s);
LODE_API void *lode_strategy_self(const lode_strategy *s);
LODE_API lode_supernet *lode_strategy_net(const lode_strategy *s);

/* The plug-in's answers, with the defaults filled in. */
LODE_API lode_epoch_plan lode_strategy_plan(lode_strategy *s, int64_t epoch);
LODE_API int lode_strategy_n_passes(lode_strategy *s, const lode_step *step);
LODE_API lode_status lode_strategy_choose(lode_strategy *s, lode_tape *t, const lode_step *step,
                                          lode_choice *choice);
LODE_API lode_var *lode_strategy_loss(lode_strategy *s, lode_tape *t, const lode_step *step,
                                      lode_var *logits, lode_var *cross_entropy);
LODE_API lode_status lode_strategy_after_step(lode_strategy *s, const lode_step *step, double loss);
LODE_API int lode_strategy_n_parameters(const lode_strategy *s);
LODE_API lode_parameter *lode_strategy_parameter(const lode_strategy *s, int i);
LODE_API lode_status lode_strategy_report(lode_strategy *s, const lode_step *step, json_t *line);
/* What the strategy was made with, as {option: value as text}; json_decref. */
LODE_API json_t *lode_strategy_options_json(const lode_strategy *s);

/* ---- what a strategy ends in ---- */
LODE_API void lode_strategy_probabilities(const lode_strategy *s, int decision,
                                          double p[LODE_MAX_OPTIONS]);
LODE_API double lode_strategy_edge_share(const lode_strategy *s, int decision);
/* Each decision drawn from its probabilities, where edges are kept under the condition that the
   space allows the result: exactly the distribution that drawing again until it is valid has.
   LODE_ERR_INFEASIBLE: a space with other constraints allows none of 10000 draws. */
LODE_API lode_status lode_strategy_sample(const lode_strategy *s, lode_rng *rng, lode_arch *out);
/* The valid architecture of the largest probability: the most probable option of each decision
   (first of equals), and among the edges into a node those that gain most by being kept. */
LODE_API lode_status lode_strategy_best(const lode_strategy *s, lode_arch *out);
/* The most probable architecture whose hard costs lie in all limits: least <= cost <= most. Where
   all costs are sums over decisions (lode_cost_separate) by branch and bound, a multiple-choice
   knapsack over ln p, and *exact (may be NULL) tells that nothing better exists; else, or when the
   space's constraints make that endless, by repair and local search from many starts. `least` gives
   way when nothing lies between the two. LODE_ERR_INFEASIBLE: nothing was found below `most`.
   (HardCoRe-NAS, Nayman et al. 2021, solves the same for expected costs.) */
LODE_API lode_status lode_strategy_best_under(const lode_strategy *s, const lode_limit *limit,
                                              int n, lode_arch *out, bool *exact);
/* DARTS' derivation (Liu et al. 2019): where edges are kept, an edge counts as its most probable
   option other than `none` does (times edge_share: PC-DARTS), the best edges into a node stay, each
   with that option; elsewhere the most probable option. `none` takes part in the softmax and not in
   the choice. LODE_ERR_CONFIG when the space keeps no edges. */
LODE_API lode_status lode_strategy_top_edges(const lode_strategy *s, lode_arch *out);
/* ln of the product of the options' probabilities, each taken as at least 1e-30. */
LODE_API double lode_strategy_log_probability(const lode_strategy *s, const lode_arch *arch);
/* How an architecture is read off the probabilities; names in the order of the enum. */
typedef enum lode_discretize {
    LODE_DISCRETIZE_BEST_OF, /* a sample, of which several are judged */
    LODE_DISCRETIZE_ARGMAX,
    LODE_DISCRETIZE_SAMPLE,
    LODE_DISCRETIZE_TOP2
} lode_discretize;
#define LODE_DISCRETIZE_WORDS "best_of|argmax|sample|top2"
LODE_API const char *lode_discretize_name(lode_discretize rule);
/* One architecture by a rule; best_of and sample draw from `rng`, the others leave it alone. */
LODE_API lode_status lode_strategy_discretize(const lode_strategy *s, lode_discretize rule,
                                              lode_rng *rng, lode_arch *out);
/* The supernet with its final probabilities as weights, for a forward on `t`. LODE_ERR_CONFIG: the
   strategy has no probabilities. */
LODE_API lode_status lode_strategy_mixture(lode_strategy *s, lode_tape *t, lode_choice *choice);
/* A draw within the limits: Gumbel noise on ln p, then as best_under (Papandreou & Yuille 2011,
   perturb and MAP): without limits exactly a draw from the probabilities. `rng` moves on. */
LODE_API lode_status lode_strategy_sample_under(const lode_strategy *s, lode_rng *rng,
                                                const lode_limit *limit, int n, lode_arch *out);
/* Mean over decisions of -sum p ln p / ln K: 1 undecided, 0 decided. */
LODE_API double lode_strategy_entropy(const lode_strategy *s);
/* {decision: {option: p}}; json_decref. */
LODE_API json_t *lode_strategy_probabilities_json(const lode_strategy *s);
LODE_API lode_status lode_strategy_save(const lode_strategy *s, lode_state *state);
LODE_API lode_status lode_strategy_load(lode_strategy *s, lode_checkpoint *c);
#endif
