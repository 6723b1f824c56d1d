/* best_under_internal.h: the most probable architecture within limits: what the exact and the local
   way share. */
#ifndef LODE_TRAIN_BEST_UNDER_INTERNAL_H
#define LODE_TRAIN_BEST_UNDER_INTERNAL_H
#include "train/strategy.h"

enum { UNDER_MAX_LIMITS = 8 };

typedef struct under_problem {
    lode_space *space;
    int n; /* decisions */
    int n_options[LODE_MAX_DECISIONS];
    double log_p[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
    lode_limit limit[UNDER_MAX_LIMITS];
    int n_limits;
    bool drawn; /* ln p is noisy: one good answer will do */
    uint64_t seed;
} under_problem;

typedef struct under_answer {
    bool found, exact;
    double log_p;
    lode_arch arch;
} under_answer;

double under_log_p(const under_problem *p, const lode_arch *arch);
/* 0: within all limits; else the sum of relative excesses and shortfalls. */
lode_status under_violation(const under_problem *p, const lode_arch *arch, double *out);
/* best_under_local.c: improves the answer, or finds a first one. */
lode_status under_search(const under_problem *p, under_answer *best);
#endif
