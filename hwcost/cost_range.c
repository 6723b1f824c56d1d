/* cost_range.c: the smallest and the largest cost of a space. */
#include "hwcost/cost_internal.h"

/* Improves `arch` one decision at a time until nothing helps; sign -1 looks for the largest cost.
 */
static lode_status cost_descend(lode_cost *c, double sign, lode_arch *arch, double *best) {
    LODE_TRY(lode_cost_hard(c, arch, best));
    for (bool better = true; better;) {
        better = false;
        for (int d = 0; d < c->n_decisions; d++) {
            int kept = arch->option[d];
            for (int k = 0; k < c->n_options[d]; k++) {
                double value = 0;
                lode_arch trial = *arch;
                trial.option[d] = (uint8_t)k;
                if (lode_space_check(lode_supernet_space(c->net), &trial) != LODE_OK) continue;
                LODE_TRY(lode_cost_hard(c, &trial, &value));
                if (sign * value < sign * *best) {
                    *best = value;
                    kept = k;
                    better = true;
                }
            }
            arch->option[d] = (uint8_t)kept;
        }
    }
    lode_error_clear();
    return LODE_OK;
}

static lode_status cost_extreme(lode_cost *c, double sign, int n_starts, lode_arch *arch_out,
                                double *out) {
    bool have = false;
    for (int s = 0; s < n_starts; s++) {
        lode_arch arch = {.n = c->n_decisions};
        double value = 0;
        lode_rng rng = lode_rng_stream(1, LODE_RNG_SEARCH, (uint64_t)s);
        if (c->n_decisions > 0)
            LODE_TRY(lode_space_sample(lode_supernet_space(c->net), &rng, &arch));
        LODE_TRY(cost_descend(c, sign, &arch, &value));
        if (!have || sign * value < sign * *out) {
            have = true;
            *out = value;
            if (arch_out) *arch_out = arch;
        }
    }
    return LODE_OK;
}

lode_status lode_cost_range(lode_cost *c, double *min, double *max, lode_arch *min_arch,
                            lode_arch *max_arch, bool *exact) {
    /* Where decisions are independent one descent is exact. */
    double base, price[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
    bool separable = lode_cost_separate(c, &base, price);
    int n_starts = separable || c->n_decisions == 0 ? 1 : 16;
    LODE_TRY(cost_extreme(c, 1, n_starts, min_arch, min));
    LODE_TRY(cost_extreme(c, -1, n_starts, max_arch, max));
    if (exact) *exact = separable;
    return LODE_OK;
}
