/* run_internal.h: what the files of a run share. */
#ifndef LODE_SEARCH_RUN_INTERNAL_H
#define LODE_SEARCH_RUN_INTERNAL_H
#include "search/run.h"
#include "search/study.h"

#define RUN_MAX_COSTS   16
#define RUN_MAX_TARGETS 32
#define RUN_MAX_LIMITS  4 /* search.limits; a search has its target on top */

enum { RUN_LATENCY, RUN_MACS, RUN_PARAMS }; /* places of costs that every run has */

typedef struct run_target {
    lode_target target;
    char text[96];
    char name[32]; /* "target1" */
} run_target;

typedef struct run {
    const lode_recipe *recipe;
    const char *directory;
    const lode_progress *progress;
    bool resume;
    lode_data *data;
    lode_space *space;
    lode_space *whole_space; /* with space.partial: the same with all channels, else NULL */
    lode_supernet *whole;    /* what costs are measured on: the net, or one of whole_space */
    lode_supernet *net; /* the supernet; its weights are trained when recipe->strategy is set */
    lode_dispatch *dispatch;
    lode_cost *cost[RUN_MAX_COSTS]; /* latency_ms, macs, params, then cost.models */
    int n_costs;
    lode_cost *in_loss[RUN_MAX_COSTS]; /* those of them the strategy's loss sees */
    lode_strategy *strategy;           /* NULL: none */
    lode_early_stop stop;              /* of the supernet's training */
    double mixture; /* test accuracy of the supernet mixed by its probabilities; < 0: unknown */
    lode_study *study;
    run_target target[RUN_MAX_TARGETS];
    int n_targets;
    run_target limit[RUN_MAX_LIMITS]; /* of every search */
    int n_limits;
    const lode_strategy *found_by; /* whose probabilities the finalists come from; NULL: strategy */
    lode_limit seek[RUN_MAX_LIMITS + 1]; /* what the supernet's own training steers to */
} run;

/* directory/relative, fresh memory. */
char *run_path(const run *r, const char *relative);
lode_status run_write_status(const run *r, const char *status, const char *phase);

/* run_phases.c */
lode_status run_check_memory(run *r); /* of the supernet's training */
/* All costs but one that this machine is still to be measured for. */
lode_status run_open_known_costs(run *r);
lode_status run_open_costs(run *r);                       /* the rest; measures */
lode_cost *run_find_cost(const run *r, const char *name); /* NULL: an error says which there are */
/* Targets and limits that no architecture meets, as far as their costs are known:
   LODE_ERR_INFEASIBLE. */
lode_status run_check_targets(run *r);
/* "latency_ms<=5"; "latency_ms<=0.6*baseline": a share of the first baseline's cost. The name is
   left to the caller. */
lode_status run_resolve_target(run *r, const char *text, run_target *out);
lode_status run_resolve_targets(run *r);
/* What holds in the search for a target (may be NULL): it, and the limits of all searches.
   Returns how many. steered: those alone that have a gradient, for probabilities; the target is
   always among them. */
int run_limits(const run *r, const run_target *target, bool steered,
               lode_limit out[RUN_MAX_LIMITS + 1]);
lode_status run_train_supernet(run *r);
/* The costs of cost.in_loss. */
lode_status run_find_in_loss(run *r);
/* One search, journaled under `origin`: its best, best[search.keep], *n of them. target may be
   NULL; strategy: who knows probabilities, may be NULL. */
lode_status run_find(run *r, const run_target *target, const lode_strategy *strategy,
                     const char *origin, lode_trial *best, int *n);
lode_status run_search_target(run *r, const run_target *target);

/* run_seek.c: with search.seek_each a search of the probabilities for this target alone, on the
   weights that r->net has; else r->strategy. `key` names its files: letters, digits and '_'. */
typedef struct run_sought {
    const lode_strategy *strategy; /* NULL: none */
    lode_strategy *own;
    lode_limit limit[RUN_MAX_LIMITS + 1]; /* the own strategy's */
} run_sought;
lode_status run_seek(run *r, const run_target *target, const char *key, run_sought *out);
void run_sought_deinit(run_sought *s);
/* Proposals of the searcher `policy`: within a target's limit; best_of begins with the most
   probable one. */
typedef struct run_policy {
    const lode_strategy *strategy;
    lode_discretize rule;
    lode_limit limit[RUN_MAX_LIMITS + 1];
    int n_limits;
    int64_t drawn;
} run_policy;
void run_policy_init(run *r, run_policy *p, const lode_strategy *strategy,
                     const run_target *target);
lode_status run_policy_draw(void *policy, lode_rng *rng, lode_arch *out);

/* Where the table of latency_ms is: cost.table, else the one measured into the run; fresh memory.
 */
char *run_table_path(const run *r);

/* run_evaluate.c: who judges, as search.evaluator says; networks that differ in the device alone
   are judged once. The evaluation owns what the evaluator needs. */
typedef struct run_evaluation {
    run *r;
    lode_loader *calibrate, *valid;
    lode_trial *known; /* [n_known] one per network judged so far, hardware options 0 */
    int64_t n_known, capacity;
} run_evaluation;
lode_status run_evaluation_open(run_evaluation *e, run *r, lode_evaluator *out);
void run_evaluation_close(run_evaluation *e);

/* run_device.c: of all devices the space can decide, the one that leaves a network most room. */
typedef struct run_device {
    const run *r;
    lode_limit limit[RUN_MAX_LIMITS + 1]; /* all with a limit above 0 */
    int n_limits;
} run_device;
bool run_has_device(const run *r);
lode_status run_fit_device(void *device, lode_arch *arch);

/* run_mixture.c: judges the mixture once, into mixture.json; nothing without probabilities. */
lode_status run_judge_mixture(run *r);

/* run_finalist.c: extract, train, test; writes subnets/<name>/. Does nothing when result.json is
 * there. */
lode_status run_finalist(run *r, const char *name, const char *role, const char *target,
                         const lode_arch *arch);
/* run_measure.c: times all networks under subnets/ in turn and completes their result.json. Does
 * nothing when all are complete. */
lode_status run_measure(run *r);
#endif
