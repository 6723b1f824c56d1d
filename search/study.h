/* study.h: everything a search has tried, on disk before anyone learns from it.

   study.db is an SQLite database (WAL, one transaction per batch): a killed search loses at most
   what was not finished, and `sqlite3`, pandas or another process can read it meanwhile. study(key,
   value)                                    names, seed, version trial(id, turn, arch, hash, state,
   origin, accuracy, objectives, costs, created) An architecture known already (by the hash of its
   canonical form and the origin of its score) is answered from the journal; a resumed search
   therefore repeats no work and proposes the same as before. */
#ifndef LODE_SEARCH_STUDY_H
#define LODE_SEARCH_STUDY_H
#include "core/log.h"
#include "hwcost/cost.h"
#include "search/evaluator.h"
#include "search/searcher.h"

typedef struct lode_study lode_study;

/* Creates or opens. `space` is borrowed. LODE_ERR_CONFIG when the file belongs to another space or
 * seed. */
LODE_API lode_status lode_study_open(const char *path, lode_space *space, uint64_t seed,
                                     lode_study **out);
LODE_API void lode_study_close(lode_study *s);
LODE_API int64_t lode_study_n_trials(const lode_study *s);

/* How one search within a study runs. */
typedef struct lode_study_job {
    const char *origin; /* names this search in the journal: "limit1" */
    const lode_searcher *searcher;
    void *searcher_self;
    const lode_evaluator *evaluator;
    lode_cost *const *cost; /* recorded for every trial */
    int n_costs;
    const lode_target *limit; /* hard limits by cost name; trials above are INFEASIBLE */
    int n_limits;
    /* Called for every proposal before it is looked at: settles what the searcher need not; may be
       NULL. */
    lode_status (*settle)(void *self, lode_arch *arch);
    void *settle_self;
    /* Called for an infeasible proposal when none was feasible so far: changes it into a feasible
       one; may be NULL. LODE_ERR_INFEASIBLE: cannot. */
    lode_status (*repair)(void *self, lode_arch *arch);
    void *repair_self;
    int64_t trials;   /* distinct feasible architectures to evaluate */
    int64_t max_asks; /* proposals before giving up; 0: 200 * trials */
    int batch;        /* proposals per turn */
    const lode_progress *progress;
} lode_study_job;

/* The one loop: ask, admit, evaluate, journal, tell. Ends when enough were evaluated, when the
   searcher proposes nothing new, or on request (LODE_ERR_STOPPED). LODE_ERR_INFEASIBLE when no
   proposal was feasible. */
LODE_API lode_status lode_study_run(lode_study *s, const lode_study_job *job);

/* The best done trials of an origin (NULL: of all) by objective[0], ties by id: fills best[0..max),
 * *n of them. */
LODE_API lode_status lode_study_best(lode_study *s, const char *origin, int max, lode_trial *best,
                                     int *n);
/* Writes a trial that came about outside the loop (a baseline, a final network). costs [n_costs] by
 * `cost`. */
LODE_API lode_status lode_study_record(lode_study *s, const char *origin, lode_trial *trial,
                                       lode_cost *const *cost, int n_costs);
#endif
