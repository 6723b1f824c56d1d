/* space_sample.c: how many architectures there are, drawing one, and telling good from bad.

   Decisions outside of groups are free. In a group (the edges into one node of a cell) exactly
   `keep` options are not `none`: C(n, keep) choices of edges times the options of each. */
#include "supernet/space_internal.h"

#include <math.h>

/* The group a decision belongs to, or NULL. */
static const space_group *space_group_of(const lode_space *s, int decision) {
    for (int64_t i = 0; i < s->n_groups; i++) {
        const space_group *g = &s->group[i];
        if (decision >= g->first && decision < g->first + g->n) return g;
    }
    return NULL;
}

double lode_space_log10_count(const lode_space *s) {
    double sum = 0;
    for (int i = 0; i < s->n_decisions; i++)
        if (space_group_of(s, i) == NULL) sum += log10(s->decision[i].n_options);
    for (int64_t i = 0; i < s->n_groups; i++) {
        const space_group *g = &s->group[i];
        for (int k = 0; k < g->keep; k++) sum += log10((double)(g->n - k) / (k + 1));
        sum += g->keep * log10(s->decision[g->first].n_options - 1);
    }
    return sum;
}

/* Uniform over the group: a random subset, then a random option other than none for each. */
static void space_sample_group(const lode_space *s, const space_group *g, lode_rng *rng,
                               lode_arch *out) {
    int64_t order[SPACE_MAX_IN_EDGES];
    lode_rng_permutation(rng, order, g->n);
    for (int i = 0; i < g->n; i++) {
        int d = g->first + (int)order[i];
        if (i >= g->keep) {
            out->option[d] = (uint8_t)g->none;
            continue;
        }
        int64_t k = lode_rng_below(rng, s->decision[d].n_options - 1);
        out->option[d] = (uint8_t)(k < g->none ? k : k + 1);
    }
}

lode_status lode_space_sample(const lode_space *s, lode_rng *rng, lode_arch *out) {
    *out = (lode_arch){.n = (int)s->n_decisions};
    for (int i = 0; i < out->n; i++)
        if (space_group_of(s, i) == NULL)
            out->option[i] = (uint8_t)lode_rng_below(rng, s->decision[i].n_options);
    for (int64_t i = 0; i < s->n_groups; i++) space_sample_group(s, &s->group[i], rng, out);
    return LODE_OK;
}

lode_status space_check_range(const lode_space *s, const lode_arch *a) {
    if (a->n != s->n_decisions)
        return LODE_FAIL(LODE_ERR_INVALID, "arch: %d options for the %d decisions of space `%s`",
                         a->n, (int)s->n_decisions, s->name);
    for (int i = 0; i < a->n; i++)
        if (a->option[i] >= s->decision[i].n_options)
            return LODE_FAIL(LODE_ERR_INVALID, "arch: option %d of decision `%s`, which has %d",
                             a->option[i], s->decision[i].name, s->decision[i].n_options);
    return LODE_OK;
}

lode_status lode_space_check(const lode_space *s, const lode_arch *a) {
    LODE_TRY(space_check_range(s, a));
    for (int64_t i = 0; i < s->n_groups; i++) {
        const space_group *g = &s->group[i];
        int kept = 0;
        for (int d = g->first; d < g->first + g->n; d++) kept += a->option[d] != g->none;
        if (kept != g->keep)
            return LODE_FAIL(LODE_ERR_INVALID,
                             "arch: %d edges kept among `%s` to `%s`; space `%s` keeps %d", kept,
                             s->decision[g->first].name, s->decision[g->first + g->n - 1].name,
                             s->name, g->keep);
    }
    return LODE_OK;
}
