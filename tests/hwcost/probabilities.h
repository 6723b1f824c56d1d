/* probabilities.h: of the options of a space's decisions, as costs and encodings take them. */
#ifndef LODE_TESTS_HWCOST_PROBABILITIES_H
#define LODE_TESTS_HWCOST_PROBABILITIES_H
#include "supernet/space.h"
#include "support/support.h"

/* [decision][option] as rows of pointers. */
typedef struct probabilities {
    double value[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
    double *row[LODE_MAX_DECISIONS];
} probabilities;

static inline void probabilities_one_hot(const lode_arch *a, probabilities *p) {
    memset(p->value, 0, sizeof p->value);
    for (int d = 0; d < a->n; d++) {
        p->row[d] = p->value[d];
        p->value[d][a->option[d]] = 1;
    }
}

static inline void probabilities_random(const lode_space *s, lode_rng *rng, probabilities *p) {
    for (int d = 0; d < lode_space_n_decisions(s); d++) {
        double sum = 0;
        int n = lode_space_decision(s, d)->n_options;
        p->row[d] = p->value[d];
        for (int k = 0; k < n; k++) sum += p->value[d][k] = lode_rng_uniform(rng);
        for (int k = 0; k < n; k++) p->value[d][k] /= sum;
    }
}
#endif
