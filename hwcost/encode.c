/* encode.c: see encode.h. */
#include "hwcost/encode.h"

#include "core/memory.h"
#include "hwcost/encode_internal.h"

#include <string.h>

struct lode_encoding {
    lode_space *space;
    lode_encoding_parts parts;
    int n_decisions, n_features;
    int n_plain, n_binary; /* of options; with those of paths */
    bool flat;             /* every decision is always read */
    int at[LODE_MAX_DECISIONS], n_options[LODE_MAX_DECISIONS];
    int parent[LODE_MAX_DECISIONS], parent_option[LODE_MAX_DECISIONS]; /* -1: always read */
    int n_cells; /* those that can be cut; 0: no second part */
    encode_cell *cell;
    encode_counts *counts; /* NULL: none */
};

static void encode_list_decisions(lode_encoding *e) {
    e->n_decisions = lode_space_n_decisions(e->space);
    e->flat = true;
    for (int d = 0; d < e->n_decisions; d++) {
        const lode_decision *decision = lode_space_decision(e->space, d);
        e->at[d] = e->n_plain;
        e->n_options[d] = decision->n_options;
        e->parent[d] = decision->parent;
        e->parent_option[d] = decision->parent_option;
        if (e->parts.options) e->n_plain += decision->n_options;
        e->flat = e->flat && decision->parent < 0;
    }
}

static lode_status encode_list_cells(lode_encoding *e) {
    int n = lode_space_n_cells(e->space);
    e->cell = LODE_NEW_ARRAY(encode_cell, n + 1);
    if (!e->cell) return LODE_ERR_NO_MEMORY;
    for (int i = 0; i < n; i++) {
        encode_cell *c = &e->cell[e->n_cells];
        LODE_TRY(encode_cell_init(e->space, i, c));
        if (!encode_cell_can_be_cut(c)) continue;
        c->at = e->n_features;
        e->n_features += c->n_features;
        e->n_cells++;
    }
    return LODE_OK;
}

lode_status lode_encoding_create(lode_space *space, const lode_encoding_parts *parts,
                                 lode_encoding **out) {
    lode_status status = LODE_OK;
    *out = NULL;
    if (lode_space_n_decisions(space) == 0)
        return LODE_FAIL(LODE_ERR_INVALID, "space %s has no decisions, so nothing to encode",
                         lode_space_name(space));
    lode_encoding *e = LODE_NEW(lode_encoding);
    if (!e) return LODE_ERR_NO_MEMORY;
    e->space = lode_space_retain(space);
    e->parts = *parts;
    encode_list_decisions(e);
    e->n_features = e->n_plain;
    if (parts->paths) LODE_GOTO(encode_list_cells(e));
    e->n_binary = e->n_features;
    if (parts->counts) {
        LODE_GOTO(encode_counts_create(space, &e->counts));
        e->n_features += ENCODE_N_COUNTS;
    }
    e->n_features += parts->given;
    if (e->n_features == 0)
        LODE_GOTO(LODE_FAIL(LODE_ERR_INVALID,
                            "an encoding of neither options nor counts nor given numbers has no "
                            "features"));
    *out = e;
    e = NULL;
done:
    lode_encoding_destroy(e);
    return status;
}

void lode_encoding_destroy(lode_encoding *e) {
    if (!e) return;
    lode_space_release(e->space);
    encode_counts_destroy(e->counts);
    lode_free(e->cell);
    lode_free(e);
}

lode_space *lode_encoding_space(const lode_encoding *e) { return e->space; }
int lode_encoding_at(const lode_encoding *e, int decision) { return e->at[decision]; }
bool lode_encoding_has_paths(const lode_encoding *e) { return e->n_cells > 0; }
bool lode_encoding_is_linear(const lode_encoding *e) {
    return e->flat && e->n_features == e->n_plain;
}
int lode_encoding_n(const lode_encoding *e) { return e->n_features; }
int lode_encoding_n_binary(const lode_encoding *e) { return e->n_binary; }
int lode_encoding_n_options(const lode_encoding *e) { return e->n_plain; }
int lode_encoding_n_given(const lode_encoding *e) { return e->parts.given; }

lode_status lode_encode_arch(const lode_encoding *e, const lode_arch *arch, double *x) {
    double one_hot[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
    const double *p[LODE_MAX_DECISIONS];
    for (int d = 0; d < e->n_decisions; d++) {
        for (int k = 0; k < e->n_options[d]; k++) one_hot[d][k] = k == arch->option[d];
        p[d] = one_hot[d];
    }
    return lode_encode_relaxed(e, p, x);
}

/* Probability that a decision is read at all. */
static double encode_active(const lode_encoding *e, const double *const *p, int d) {
    double active = 1;
    for (; e->parent[d] >= 0; d = e->parent[d]) active *= p[e->parent[d]][e->parent_option[d]];
    return active;
}

lode_status lode_encode_relaxed(const lode_encoding *e, const double *const *p, double *x) {
    for (int d = 0; d < e->n_decisions && e->parts.options; d++) {
        double active = encode_active(e, p, d);
        for (int k = 0; k < e->n_options[d]; k++) x[e->at[d] + k] = active * p[d][k];
    }
    for (int i = 0; i < e->n_cells; i++) encode_cell_fill(&e->cell[i], p, x + e->cell[i].at);
    return e->counts ? encode_counts_fill(e->counts, p, x + e->n_binary) : LODE_OK;
}

/* x[d,k] = active(d) p[d][k] */
static void encode_pull_decision(const lode_encoding *e, const double *const *p, const double *dx,
                                 int d, double *const *dp) {
    double active = encode_active(e, p, d), g = 0; /* g: of active(d) */
    for (int k = 0; k < e->n_options[d]; k++) {
        dp[d][k] += active * dx[e->at[d] + k];
        g += p[d][k] * dx[e->at[d] + k];
    }
    for (int c = d; e->parent[c] >= 0; c = e->parent[c]) {
        int up = e->parent[c], option = e->parent_option[c];
        dp[up][option] += g * encode_active(e, p, up);
        g *= p[up][option];
    }
}

lode_status lode_encode_pull(const lode_encoding *e, const double *const *p, const double *dx,
                             double *const *dp) {
    for (int d = 0; d < e->n_decisions; d++)
        memset(dp[d], 0, (size_t)e->n_options[d] * sizeof(double));
    for (int d = 0; d < e->n_decisions && e->parts.options; d++)
        encode_pull_decision(e, p, dx, d, dp);
    for (int i = 0; i < e->n_cells; i++) encode_cell_pull(&e->cell[i], p, dx + e->cell[i].at, dp);
    return e->counts ? encode_counts_pull(e->counts, p, dx + e->n_binary, dp) : LODE_OK;
}
