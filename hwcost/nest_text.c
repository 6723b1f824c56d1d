/* nest_text.c: mappings from their directives. */
#include "hwcost/nest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char nest_letters[] = "NKCYXRS";

static bool nest_read_dim(const char *word, lode_nest_dim *out) {
    const char *at = word[0] && !word[1] ? strchr(nest_letters, word[0]) : NULL;
    if (at) *out = (lode_nest_dim)(at - nest_letters);
    return at != NULL;
}

static bool nest_read_size(const char *word, int64_t *out) {
    char *end = NULL;
    if (strcmp(word, "all") == 0) {
        *out = 0;
        return true;
    }
    *out = strtoll(word, &end, 10);
    return *end == '\0' && *out >= 1 && *out <= 1000000;
}

void lode_nest_init(lode_nest *m, const char *name) {
    memset(m, 0, sizeof *m);
    m->n_levels = 1;
    snprintf(m->name, sizeof m->name, "%s", name);
}

static lode_status nest_add_cluster(lode_nest *m, const char *directive, const char *word) {
    if (m->n_levels == LODE_NEST_MAX_LEVELS)
        return LODE_FAIL(LODE_ERR_CONFIG, "mapping %s: `%s` is one level too many, at most %d",
                         m->name, directive, (int)LODE_NEST_MAX_LEVELS);
    int64_t *units = &m->cluster[m->n_levels];
    if (!nest_read_dim(word, &m->cluster_dim[m->n_levels]) &&
        (!nest_read_size(word, units) || *units == 0))
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "mapping %s: `%s`: want a number of units or one of the letters %s",
                         m->name, directive, nest_letters);
    m->n_levels++;
    return LODE_OK;
}

static lode_status nest_add_loop(lode_nest *m, const char *directive, bool spatial, const char *dim,
                                 const char *size) {
    lode_nest_loop loop = {.level = m->n_levels - 1, .spatial = spatial};
    if (!nest_read_dim(dim, &loop.dim) || !nest_read_size(size, &loop.size))
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "mapping %s: `%s`: want a letter of %s and a number or `all` after %s",
                         m->name, directive, nest_letters, spatial ? "spatial" : "temporal");
    for (int i = 0; i < m->n_loops; i++) {
        const lode_nest_loop *before = &m->loop[i];
        if (before->level == loop.level && before->spatial && spatial)
            return LODE_FAIL(LODE_ERR_CONFIG,
                             "mapping %s: `%s` is the second `spatial` of its level; put `cluster "
                             "N` between them",
                             m->name, directive);
        if (before->dim != loop.dim) continue;
        if (before->level == loop.level)
            return LODE_FAIL(LODE_ERR_CONFIG, "mapping %s: `%s`: the level has cut %s before",
                             m->name, directive, dim);
        if (before->spatial)
            return LODE_FAIL(LODE_ERR_CONFIG,
                             "mapping %s: `%s`: %s is spatial at a level above and cannot be cut "
                             "again; cut it there",
                             m->name, directive, dim);
    }
    if (m->n_loops == LODE_NEST_MAX_LOOPS - 1) /* one is kept for N */
        return LODE_FAIL(LODE_ERR_CONFIG, "mapping %s: more than %d directives", m->name,
                         (int)LODE_NEST_MAX_LOOPS - 1);
    m->loop[m->n_loops++] = loop;
    return LODE_OK;
}

lode_status lode_nest_add(lode_nest *m, const char *directive) {
    char what[16] = "", first[16] = "", second[16] = "", more[2] = "";
    int n = sscanf(directive, "%15s %15s %15s %1s", what, first, second, more);
    if (n == 2 && strcmp(what, "cluster") == 0) return nest_add_cluster(m, directive, first);
    if (n == 3 && strcmp(what, "spatial") == 0)
        return nest_add_loop(m, directive, true, first, second);
    if (n == 3 && strcmp(what, "temporal") == 0)
        return nest_add_loop(m, directive, false, first, second);
    return LODE_FAIL(LODE_ERR_CONFIG,
                     "mapping %s: `%s`: want `temporal DIM SIZE`, `spatial DIM SIZE` or `cluster "
                     "UNITS`, e.g. spatial K 1",
                     m->name, directive);
}

lode_status lode_nest_check(const lode_nest *m, int64_t elements) {
    int64_t units = 1;
    for (int level = 0; level < m->n_levels; level++) {
        bool found = false;
        for (int i = 0; i < m->n_loops; i++)
            found |= m->loop[i].level == level && m->loop[i].spatial;
        if (!found)
            return LODE_FAIL(LODE_ERR_CONFIG,
                             "mapping %s: no `spatial` %s: its units would all do the same",
                             m->name, level ? "after one of its `cluster`" : "at the top");
    }
    for (int i = 1; i < m->n_levels; i++) units *= m->cluster[i] > 0 ? m->cluster[i] : 1;
    if (units <= elements) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG,
                     "mapping %s: its clusters take %lld elements, the device has %lld", m->name,
                     (long long)units, (long long)elements);
}
