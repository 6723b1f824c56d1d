/* run.h: the main job: everything a recipe says, from data to extracted, trained and measured
   networks, in one directory, resumable at any moment.

   Phases: (1) the cost table is read or measured; (2) the supernet is trained by its strategy; (3)
   for each target, proposals are admitted, evaluated and journaled in study.db, the best become
   finalists; (4) each finalist and baseline is extracted, trained and tested; (5) all of them are
   measured in turn. A phase whose result is on disk is not done again. */
#ifndef LODE_SEARCH_RUN_H
#define LODE_SEARCH_RUN_H
#include "search/recipe.h"

typedef struct lode_run_setup {
    const lode_recipe *recipe;
    const char *directory;
    bool resume; /* go on with what the directory holds; otherwise it must be new or empty of a run
                  */
    const lode_progress *progress;
} lode_run_setup;

/* One final network, as its result.json says. */
typedef struct lode_run_network {
    char name[64];
    char role[16];                  /* "baseline", "found", "uniform" */
    char *arch;                     /* text */
    double accuracy;                /* test */
    double accuracy_supernet;       /* inherited weights after BN recalibration; < 0: no supernet */
    double accuracy_unrecalibrated; /* the same before it; < 0: no supernet */
    double accuracy_mixture;        /* the supernet mixed by its probabilities; < 0: not known */
    bool trained;                   /* accuracy is that of a training after extraction */
    double latency_predicted, latency_measured; /* ms; < 0: unknown */
    bool elsewhere; /* predicted is of another device than measured, which is always this machine */
    char *device;   /* what it decides of the device, "tile.m 16, tile.n 8"; "" nothing */
    char *costs;    /* all but latency, MACs, parameters: "128 DSP dsp, ..."; "" none */
    double macs, params;
    char target[96]; /* the limit it was found for, "" otherwise */
    bool on_front;   /* no other network is both more accurate and faster (measured; elsewhere:
                        predicted) */
} lode_run_network;

typedef struct lode_run_result {
    int n;
    lode_run_network *network; /* baselines first */
    double seconds;            /* of this call */
    double drift; /* this machine's time when the networks were measured / when the table was; < 0:
                     unknown */
} lode_run_result;
LODE_API void lode_run_result_deinit(lode_run_result *r);

/* LODE_ERR_INFEASIBLE: a target lies below what the space can reach (the message says what it can).
   LODE_ERR_STOPPED: stopped on request; resume goes on. */
LODE_API lode_status lode_search_run(const lode_run_setup *setup, lode_run_result *result);
/* Another search in a run whose supernet is trained, by its recipe's searcher and judge: the best
   architecture under `target`. Its trials join the study, so that asking again answers at once. */
LODE_API lode_status lode_search_run_target(const lode_run_setup *setup, const char *target,
                                            lode_arch *out);
/* The results of a finished or unfinished run directory. */
LODE_API lode_status lode_run_read_results(const char *directory, lode_run_result *result);
#endif
