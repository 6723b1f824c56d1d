/* evaluator.h: who judges architectures: a trained supernet, a short training, nobody. */
#ifndef LODE_SEARCH_EVALUATOR_H
#define LODE_SEARCH_EVALUATOR_H
#include "search/trial.h"

typedef struct lode_evaluator {
    const char *name;
    void *self;
    /* Fills objective[0] (1 - accuracy) and state of trial[0..n): DONE or FAILED. An error status
       ends the search; a failed trial does not. */
    lode_status (*evaluate)(void *self, int n, lode_trial *trial);
} lode_evaluator;
#endif
