/* watch.c: see watch.h. */
#include "train/watch.h"

#include "train/strategy.h"

#include <math.h>

const char *lode_stop_rule_name(lode_stop_rule rule) {
    static const char *const names[] = {"none", "eigenvalue", "skips"};
    return names[rule];
}

/* ---- the eigenvalue's rule ---- */

/* Mean of the measurements around `center`, fewer at the beginning. */
static double watch_mean(const double *value, int64_t center, int64_t half) {
    double sum = 0;
    int64_t first = center > half ? center - half : 0;
    for (int64_t i = first; i <= center + half; i++) sum += value[i];
    return sum / (double)(center + half - first + 1);
}

int64_t lode_watch_eigenvalues(const lode_watch_options *o, const double *epoch,
                               const double *value, int64_t n, double *mean, double *ratio) {
    int64_t half = o->stop_window / 2, now = n - 1 - half, then = now - o->stop_lag;
    *ratio = NAN;
    if (mean != NULL) *mean = now >= 0 ? watch_mean(value, now, half) : NAN;
    if (then < 0) return -1;
    double new_mean = watch_mean(value, now, half), old_mean = watch_mean(value, then, half);
    if (!(new_mean > 0)) return -1;
    *ratio = old_mean / new_mean;
    if (!(old_mean > 0) || epoch[then] < (double)o->stop_start) return -1;
    return *ratio < o->stop_ratio ? then : -1;
}

/* ---- shares ---- */

static double watch_entropy(const double *p, int n) {
    double h = 0;
    for (int k = 0; k < n; k++)
        if (p[k] > 0) h -= p[k] * log(p[k]);
    return h / log(n);
}

lode_shares lode_strategy_shares(const lode_strategy *s) {
    const lode_space *space = lode_supernet_space(lode_strategy_net(s));
    int n_decisions = lode_space_n_decisions(space);
    lode_shares out = {.entropy_min = INFINITY};
    for (int d = 0; d < n_decisions; d++) {
        double p[LODE_MAX_OPTIONS];
        int n = lode_space_decision(space, d)->n_options, largest = 0;
        lode_strategy_probabilities(s, d, p);
        for (int k = 0; k < n; k++) {
            lode_option_kind kind = lode_space_option_kind(space, d, k);
            out.has_skip = out.has_skip || kind == LODE_OPTION_SKIP;
            out.has_none = out.has_none || kind == LODE_OPTION_NONE;
            if (kind == LODE_OPTION_SKIP) out.p_skip += p[k] / n_decisions;
            if (kind == LODE_OPTION_NONE) out.p_none += p[k] / n_decisions;
            if (p[k] > p[largest]) largest = k;
        }
        lode_option_kind kind = lode_space_option_kind(space, d, largest);
        out.skip += (kind == LODE_OPTION_SKIP) / (double)n_decisions;
        out.none += (kind == LODE_OPTION_NONE) / (double)n_decisions;
        if (n < 2) continue;
        double h = watch_entropy(p, n);
        out.entropy_min = fmin(out.entropy_min, h);
        out.entropy_max = fmax(out.entropy_max, h);
    }
    if (!isfinite(out.entropy_min)) out.entropy_min = 0;
    return out;
}

lode_status lode_strategy_normal_skips(const lode_strategy *s, int *out) {
    const lode_space *space = lode_supernet_space(lode_strategy_net(s));
    int skips[LODE_MAX_DECISIONS] = {0};
    bool normal = false;
    lode_arch arch;
    LODE_TRY(lode_space_n_keeps(space) > 0 ? lode_strategy_top_edges(s, &arch)
                                           : lode_strategy_best(s, &arch));
    *out = 0;
    for (int d = 0; d < arch.n; d++) {
        bool reduces;
        int cell = lode_space_cell_of(space, d, &reduces);
        if (cell < 0 || reduces) continue;
        normal = true;
        skips[cell] += lode_space_option_kind(space, d, arch.option[d]) == LODE_OPTION_SKIP;
        if (skips[cell] > *out) *out = skips[cell];
    }
    if (normal) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG,
                     "arch.stop_on: skips counts those of cells that do not halve the map, and "
                     "space %s has none",
                     lode_space_name(space));
}
