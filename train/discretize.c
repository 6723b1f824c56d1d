/* discretize.c: from probabilities to one architecture.

   Decisions are independent but for the spaces' one constraint: of the edges into a node exactly
   `keep` are not `none`. Both questions one can ask under it have exact answers of little work.

   The most probable valid architecture: an edge that is kept takes its best option other than
   `none`, one that is not kept takes `none`, so keeping edge e gains ln max_k p_ek - ln p_e,none,
   and the `keep` edges that gain most are kept.

   A draw conditioned on being valid: let F[e][m] be the probability that of the edges from e on m
   are not `none`, F[e][m] = q_e F[e+1][m-1] + (1-q_e) F[e+1][m]. Edge e is then kept with
   probability q_e F[e+1][m-1] / F[e][m], m being what is still to be kept. Drawing again until the
   result is valid would have the same distribution, and in DARTS' space hardly ever end. */
#include "train/strategy.h"

#include <math.h>
#include <string.h>

enum { DISCRETIZE_MAX_EDGES = 32 };
static const double discretize_least = 1e-30; /* a probability is taken as at least this */

/* The most probable option, `but` (-1: none) left out; first of equals. */
static int discretize_largest(const double *p, int n, int but) {
    int best = -1;
    for (int k = 0; k < n; k++)
        if (k != but && (best < 0 || p[k] > p[best])) best = k;
    return best;
}

static int discretize_options(const lode_strategy *s, int decision, double *p) {
    lode_strategy_probabilities(s, decision, p);
    return lode_space_decision(lode_supernet_space(lode_strategy_net(s)), decision)->n_options;
}

/* Keeps the `keep` edges of the largest score (first of equals), the others become `none`. */
static void discretize_keep_edges(const lode_space_keep *g, const double *score, const int *option,
                                  lode_arch *out) {
    bool kept[DISCRETIZE_MAX_EDGES] = {false};
    for (int k = 0; k < g->keep; k++) {
        int best = -1;
        for (int e = 0; e < g->n; e++)
            if (!kept[e] && (best < 0 || score[e] > score[best])) best = e;
        kept[best] = true;
    }
    for (int e = 0; e < g->n; e++)
        out->option[g->first + e] = (uint8_t)(kept[e] ? option[e] : g->none);
}

/* Every decision's largest, then the kept edges, by gain in probability or by DARTS' weight. */
static lode_status discretize_largest_kept(const lode_strategy *s, bool by_weight, lode_arch *out) {
    const lode_space *space = lode_supernet_space(lode_strategy_net(s));
    double p[LODE_MAX_OPTIONS], score[DISCRETIZE_MAX_EDGES];
    int option[DISCRETIZE_MAX_EDGES];
    *out = (lode_arch){.n = lode_space_n_decisions(space)};
    for (int d = 0; d < out->n; d++) {
        int n = discretize_options(s, d, p);
        out->option[d] = (uint8_t)discretize_largest(p, n, -1);
    }
    for (int i = 0; i < lode_space_n_keeps(space); i++) {
        const lode_space_keep g = lode_space_keep_at(space, i);
        for (int e = 0; e < g.n; e++) {
            int n = discretize_options(s, g.first + e, p);
            option[e] = discretize_largest(p, n, g.none);
            score[e] = p[option[e]] * (by_weight ? lode_strategy_edge_share(s, g.first + e) : 1);
            if (!by_weight)
                score[e] =
                    log(fmax(score[e], discretize_least)) - log(fmax(p[g.none], discretize_least));
        }
        discretize_keep_edges(&g, score, option, out);
    }
    return lode_space_check(space, out);
}

lode_status lode_strategy_best(const lode_strategy *s, lode_arch *out) {
    enum { TRIES = 1000 };
    if (discretize_largest_kept(s, false, out) == LODE_OK) return LODE_OK;
    lode_error_clear(); /* the space asks for more than kept edges: the best of many samples */
    lode_rng rng = lode_rng_stream(lode_supernet_seed(lode_strategy_net(s)), LODE_RNG_SAMPLE_ARCH,
                                   UINT64_MAX); /* no step has this number */
    double best = -INFINITY;
    for (int i = 0; i < TRIES; i++) {
        lode_arch a;
        LODE_TRY(lode_strategy_sample(s, &rng, &a));
        double log_p = lode_strategy_log_probability(s, &a);
        if (log_p <= best) continue;
        best = log_p;
        *out = a;
    }
    return LODE_OK;
}

lode_status lode_strategy_top_edges(const lode_strategy *s, lode_arch *out) {
    const lode_space *space = lode_supernet_space(lode_strategy_net(s));
    if (lode_space_n_keeps(space) == 0)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "top2 keeps the best edges into a node, and space %s keeps none (no cell "
                         "has `keep`): use argmax",
                         lode_space_name(space));
    return discretize_largest_kept(s, true, out);
}

/* ---- drawing ---- */

static void discretize_draw_group(const lode_strategy *s, const lode_space_keep *g, lode_rng *rng,
                                  lode_arch *out) {
    double p[LODE_MAX_OPTIONS], q[DISCRETIZE_MAX_EDGES];
    double f[DISCRETIZE_MAX_EDGES + 1][DISCRETIZE_MAX_EDGES + 1] = {{0}};
    for (int e = 0; e < g->n; e++) {
        discretize_options(s, g->first + e, p);
        q[e] = fmin(fmax(1 - p[g->none], discretize_least), 1 - 1e-15);
    }
    f[g->n][0] = 1;
    for (int e = g->n - 1; e >= 0; e--)
        for (int m = 0; m <= g->keep; m++)
            f[e][m] = (m > 0 ? q[e] * f[e + 1][m - 1] : 0) + (1 - q[e]) * f[e + 1][m];
    for (int e = 0, m = g->keep; e < g->n; e++) {
        int d = g->first + e, n = discretize_options(s, d, p);
        double keep = m > 0 ? q[e] * f[e + 1][m - 1] : 0;
        out->option[d] = (uint8_t)g->none;
        if (lode_rng_pick(rng, (double[2]){(1 - q[e]) * f[e + 1][m], keep}, 2) == 0) continue;
        for (int k = 0; k < n; k++) p[k] = k == g->none ? 0 : fmax(p[k], discretize_least);
        out->option[d] = (uint8_t)lode_rng_pick(rng, p, n);
        m--;
    }
}

static void discretize_draw(const lode_strategy *s, lode_rng *rng, lode_arch *out) {
    const lode_space *space = lode_supernet_space(lode_strategy_net(s));
    double p[LODE_MAX_OPTIONS];
    bool kept[LODE_MAX_DECISIONS] = {false};
    *out = (lode_arch){.n = lode_space_n_decisions(space)};
    for (int i = 0; i < lode_space_n_keeps(space); i++) {
        const lode_space_keep g = lode_space_keep_at(space, i);
        for (int e = 0; e < g.n; e++) kept[g.first + e] = true;
    }
    for (int d = 0; d < out->n; d++) {
        if (kept[d]) continue;
        int n = discretize_options(s, d, p);
        out->option[d] = (uint8_t)lode_rng_pick(rng, p, n);
    }
    for (int i = 0; i < lode_space_n_keeps(space); i++) {
        const lode_space_keep g = lode_space_keep_at(space, i);
        discretize_draw_group(s, &g, rng, out);
    }
}

lode_status lode_strategy_sample(const lode_strategy *s, lode_rng *rng, lode_arch *out) {
    enum { TRIES = 10000 };
    const lode_space *space = lode_supernet_space(lode_strategy_net(s));
    for (int i = 0; i < TRIES; i++) {
        discretize_draw(s, rng, out);
        if (lode_space_check(space, out) == LODE_OK) return LODE_OK;
    }
    return LODE_FAIL(LODE_ERR_INFEASIBLE,
                     "none of %d architectures drawn from the probabilities of strategy %s is "
                     "valid in space %s; the last one: %s",
                     (int)TRIES, lode_strategy_get_plugin(s)->name, lode_space_name(space),
                     lode_last_error());
}

/* ---- rules ---- */

double lode_strategy_log_probability(const lode_strategy *s, const lode_arch *arch) {
    double p[LODE_MAX_OPTIONS], sum = 0;
    for (int d = 0; d < arch->n; d++) {
        lode_strategy_probabilities(s, d, p);
        sum += log(fmax(p[arch->option[d]], discretize_least));
    }
    return sum;
}

const char *lode_discretize_name(lode_discretize rule) {
    static const char *const names[] = {"best_of", "argmax", "sample", "top2"};
    return names[rule];
}

lode_status lode_strategy_discretize(const lode_strategy *s, lode_discretize rule, lode_rng *rng,
                                     lode_arch *out) {
    switch (rule) {
    case LODE_DISCRETIZE_ARGMAX:
        return lode_strategy_best(s, out);
    case LODE_DISCRETIZE_TOP2:
        return lode_strategy_top_edges(s, out);
    case LODE_DISCRETIZE_BEST_OF:
    case LODE_DISCRETIZE_SAMPLE:
        break;
    }
    return lode_strategy_sample(s, rng, out);
}
