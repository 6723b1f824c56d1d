/* best_under_local.c: the most probable architecture within limits where no bound is at hand: costs
   whose parts read two decisions, costs that are no sums, spaces that tie decisions together.

   From every start (the most probable architecture, the cheapest of each cost, draws) single
   changes that lower the violation most per loss of ln p lead below the limits; then single
   changes, and pairs where none helps, raise ln p while the limits hold. */
#include "core/memory.h"
#include "train/best_under_internal.h"

#include <math.h>

enum { UNDER_DRAWS = 16 };

static bool local_valid(const under_problem *p, const lode_arch *arch) {
    if (lode_space_check(p->space, arch) == LODE_OK) return true;
    lode_error_clear();
    return false;
}

/* *feasible tells whether it came below the limits. */
static lode_status local_repair(const under_problem *p, lode_arch *arch, bool *feasible) {
    double violation = 0;
    LODE_TRY(under_violation(p, arch, &violation));
    while (violation > 0) {
        lode_arch best = *arch;
        double best_score = 0, best_violation = violation;
        for (int d = 0; d < p->n; d++)
            for (int k = 0; k < p->n_options[d]; k++) {
                lode_arch trial = *arch;
                double v = 0;
                trial.option[d] = (uint8_t)k;
                if (k == arch->option[d] || !local_valid(p, &trial)) continue;
                LODE_TRY(under_violation(p, &trial, &v));
                double loss = fmax(0, p->log_p[d][arch->option[d]] - p->log_p[d][k]);
                double score = (violation - v) / (loss + 0.1);
                if (v >= violation || score <= best_score) continue;
                best_score = score;
                best_violation = v;
                best = trial;
            }
        if (best_score <= 0) break;
        *arch = best;
        violation = best_violation;
    }
    *feasible = !(violation > 0) && local_valid(p, arch);
    return LODE_OK;
}

/* Takes `trial` when it is better and within the limits. */
static lode_status local_try(const under_problem *p, lode_arch *arch, const lode_arch *trial,
                             double *log_p, bool *better) {
    double violation = 0, v = under_log_p(p, trial);
    if (v <= *log_p + 1e-12 || !local_valid(p, trial)) return LODE_OK;
    LODE_TRY(under_violation(p, trial, &violation));
    if (violation > 0) return LODE_OK;
    *arch = *trial;
    *log_p = v;
    *better = true;
    return LODE_OK;
}

static lode_status local_singles(const under_problem *p, lode_arch *arch, double *log_p,
                                 bool *better) {
    for (int d = 0; d < p->n; d++)
        for (int k = 0; k < p->n_options[d]; k++) {
            lode_arch trial = *arch;
            trial.option[d] = (uint8_t)k;
            LODE_TRY(local_try(p, arch, &trial, log_p, better));
        }
    return LODE_OK;
}

static lode_status local_pairs(const under_problem *p, lode_arch *arch, double *log_p,
                               bool *better) {
    for (int d = 0; d < p->n; d++)
        for (int e = d + 1; e < p->n; e++)
            for (int k = 0; k < p->n_options[d]; k++)
                for (int j = 0; j < p->n_options[e]; j++) {
                    lode_arch trial = *arch;
                    trial.option[d] = (uint8_t)k;
                    trial.option[e] = (uint8_t)j;
                    LODE_TRY(local_try(p, arch, &trial, log_p, better));
                }
    return LODE_OK;
}

static lode_status local_climb(const under_problem *p, lode_arch *arch, double *log_p) {
    for (bool better = true; better;) {
        better = false;
        LODE_TRY(local_singles(p, arch, log_p, &better));
        if (!better) LODE_TRY(local_pairs(p, arch, log_p, &better));
    }
    return LODE_OK;
}

static lode_status local_start(const under_problem *p, const lode_arch *start, under_answer *best) {
    lode_arch arch = *start;
    bool feasible = false;
    LODE_TRY(local_repair(p, &arch, &feasible));
    if (!feasible) return LODE_OK;
    double log_p = under_log_p(p, &arch);
    LODE_TRY(local_climb(p, &arch, &log_p));
    if (best->found && log_p <= best->log_p) return LODE_OK;
    *best = (under_answer){true, false, log_p, arch};
    return LODE_OK;
}

static lode_arch local_most_probable(const under_problem *p) {
    lode_arch arch = {.n = p->n};
    for (int d = 0; d < p->n; d++)
        for (int k = 1; k < p->n_options[d]; k++)
            if (p->log_p[d][k] > p->log_p[d][arch.option[d]]) arch.option[d] = (uint8_t)k;
    return arch;
}

lode_status under_search(const under_problem *p, under_answer *best) {
    lode_rng rng = lode_rng_stream(p->seed, LODE_RNG_SAMPLE_ARCH, UINT64_MAX - 1);
    lode_arch arch = local_most_probable(p);
    if (best->found) LODE_TRY(local_climb(p, &best->arch, &best->log_p));
    LODE_TRY(local_start(p, &arch, best));
    if (p->drawn && best->found) return LODE_OK;
    for (int i = 0; i < p->n_limits; i++) {
        double min = 0, max = 0;
        LODE_TRY(lode_cost_range(p->limit[i].cost, &min, &max, &arch, NULL, NULL));
        LODE_TRY(local_start(p, &arch, best));
    }
    for (int i = 0; i < UNDER_DRAWS; i++) {
        LODE_TRY(lode_space_sample(p->space, &rng, &arch));
        LODE_TRY(local_start(p, &arch, best));
    }
    return LODE_OK;
}
