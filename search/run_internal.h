/* run_internal.h: what the files of a run share. */
#ifndef LODE_SEARCH_RUN_INTERNAL_H
#define LODE_SEARCH_RUN_INTERNAL_H
#include "search/run.h"
#include "search/study.h"

#define RUN_MAX_COSTS   16
#define RUN_MAX_TARGETS 32

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
    lode_supernet *net; /* the supernet; its weights are trained when recipe->strategy is set */
    lode_dispatch *dispatch;
    lode_cost *cost[RUN_MAX_COSTS]; /* [0] latency_ms, [1] macs, [2] params, cost.models */
    int n_costs;
    lode_cost *in_loss[RUN_MAX_COSTS]; /* those of them the strategy's loss sees */
    lode_strategy *strategy;           /* NULL: none */
    lode_study *study;
    run_target target[RUN_MAX_TARGETS];
    int n_targets;
} run;

/* directory/relative, fresh memory. */
char *run_path(const run *r, const char *relative);
lode_status run_write_status(const run *r, const char *status, const char *phase);

/* run_phases.c */
lode_status run_open_costs(run *r);
lode_status run_resolve_targets(run *r);
lode_status run_train_supernet(run *r);
lode_status run_search_target(run *r, const run_target *target);

/* Where the table of latency_ms is: cost.table, else the one measured into the run; fresh memory.
 */
char *run_table_path(const run *r);

/* run_finalist.c: extract, train, test; writes subnets/<name>/. Does nothing when result.json is
 * there. */
lode_status run_finalist(run *r, const char *name, const char *role, const char *target,
                         const lode_arch *arch);
/* run_measure.c: times all networks under subnets/ in turn and completes their result.json. Does
 * nothing when all are complete. */
lode_status run_measure(run *r);
#endif
