/* trial.h: one architecture asked for by a searcher, and what came of it. */
#ifndef LODE_SEARCH_TRIAL_H
#define LODE_SEARCH_TRIAL_H
#include "supernet/arch.h"

#define LODE_MAX_OBJECTIVES 8

typedef enum lode_trial_state {
    LODE_TRIAL_ASKED,      /* not judged yet */
    LODE_TRIAL_DONE,       /* objectives are known */
    LODE_TRIAL_INFEASIBLE, /* breaks a hard limit; was not evaluated */
    LODE_TRIAL_FAILED      /* evaluation failed */
} lode_trial_state;
LODE_API const char *lode_trial_state_name(lode_trial_state s);

typedef struct lode_trial {
    int64_t id; /* in the study; 0 before it was journaled */
    lode_arch arch;
    lode_trial_state state;
    int n_objectives;
    double objective[LODE_MAX_OBJECTIVES]; /* minimized; [0] is the evaluator's: 1 - accuracy */
} lode_trial;
#endif
