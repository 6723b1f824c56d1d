/* space_sample.c: how many architectures there are, drawing one, and telling good from bad.

   Decisions outside of groups are free. In a group (the edges into one node of a cell) exactly
   `keep` options are not `none`: C(n, keep) choices of edges times the options of each. Sizes of an
   option count only where it is chosen: a layer of a skip and of a block with 2 kernels and 3
   expansions is 7 different layers. */
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

static bool space_layer_is_parent(const lode_space *s, int64_t i) {
    return s->layer[i].kind == SPACE_CHOICE && space_is_parent(s, s->layer[i].decision);
}

/* Different blocks that a layer with sizes of its options can be. */
static int64_t space_layer_combinations(const space_layer *l) {
    int64_t n = 0;
    for (int k = 0; k < l->n_options; k++) n += space_option_combinations(&l->option[k]);
    return n;
}

/* log10 of what the layer's options and their sizes add to the product of all decisions. */
static double space_unread_log10(const space_layer *l) {
    double all = log10(l->n_options);
    for (int k = 0; k < l->n_options; k++) all += log10(space_option_combinations(&l->option[k]));
    return all - log10((double)space_layer_combinations(l));
}

double lode_space_log10_count(const lode_space *s) {
    double sum = 0;
    for (int i = 0; i < s->n_decisions; i++)
        if (space_group_of(s, i) == NULL) sum += log10(s->decision[i].n_options);
    for (int64_t i = 0; i < s->n_layers; i++)
        if (space_layer_is_parent(s, i)) sum -= space_unread_log10(&s->layer[i]);
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

/* Uniform over the different blocks of one layer; sizes that are not read are 0. */
static void space_sample_layer(const space_layer *l, lode_rng *rng, lode_arch *out) {
    int64_t left = lode_rng_below(rng, space_layer_combinations(l));
    int k = 0;
    for (; left >= space_option_combinations(&l->option[k]); k++)
        left -= space_option_combinations(&l->option[k]);
    out->option[l->decision] = (uint8_t)k;
    for (int i = 0; i < LODE_N_SIZES; i++) {
        const space_size *size = &l->option[k].size[i];
        if (size->n == 0) continue;
        out->option[size->decision] = (uint8_t)(left % size->n);
        left /= size->n;
    }
}

lode_status lode_space_sample(const lode_space *s, lode_rng *rng, lode_arch *out) {
    *out = (lode_arch){.n = (int)s->n_decisions};
    for (int i = 0; i < out->n; i++)
        if (space_group_of(s, i) == NULL)
            out->option[i] = (uint8_t)lode_rng_below(rng, s->decision[i].n_options);
    for (int64_t i = 0; i < s->n_groups; i++) space_sample_group(s, &s->group[i], rng, out);
    for (int64_t i = 0; i < s->n_layers; i++)
        if (space_layer_is_parent(s, i)) space_sample_layer(&s->layer[i], rng, out);
    space_clear_unread(s, out);
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
