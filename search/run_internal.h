/* run_internal.h: what the files of a run share. */
#ifndef LODE_SEARCH_RUN_INTERNAL_H
#define LODE_SEARCH_RUN_INTERNAL_H
#include "search/run.h"
#include "search/study.h"

#define RUN_MAX_COSTS   16
#define RUN_MAX_TARGETS 32

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
} run;

/* directory/relative, fresh memory. */
char *run_path(const run *r, const char *relative);
lode_status run_write_status(const run *r, const char *status, const char *phase);

/* run_phases.c */
lode_status run_check_memory(run *r); /* of the supernet's training */
lode_status run_open_costs(run *r);
/* "latency_ms<=5"; "latency_ms<=0.6*baseline": a share of the first baseline's cost. The name is
   left to the caller. */
lode_status run_resolve_target(run *r, const char *text, run_target *out);
lode_status run_resolve_targets(run *r);
lode_status run_train_supernet(run *r);
/* One search, journaled under `origin`: its best, best[search.keep], *n of them. target may be
 * NULL. */
lode_status run_find(run *r, const run_target *target, const char *origin, lode_trial *best,
                     int *n);
lode_status run_search_target(run *r, const run_target *target);

/* Where the table of latency_ms is: cost.table, else the one measured into the run; fresh memory.
 */
char *run_table_path(const run *r);

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
