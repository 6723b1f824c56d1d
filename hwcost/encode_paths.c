/* encode_paths.c: what of a cell matters: states that its inputs reach, states that reach its
   output.

   With live(e) = 1 - p_e(none), state s is reached from the inputs with probability
       r(s) = 1 - prod over edges e: u -> s of (1 - r(u) live(e)),      r(input) = 1,
   and reaches the output with q(s), the same from the other end. For one-hot p all factors are 0 or
   1 and the formulas are reachability itself. Features: r of the nodes, q of what is no output. */
#include "core/memory.h"
#include "hwcost/encode_internal.h"

#include <string.h>

static bool encode_is_output(const encode_cell *c, int state) {
    return state >= c->n_inputs && (c->concat || state == c->n_states - 1);
}

lode_status encode_cell_init(const lode_space *space, int cell, encode_cell *out) {
    int from, to;
    bool reduces;
    *out = (encode_cell){.first = -1, .concat = lode_space_cell_concats(space, cell)};
    out->n_states = lode_space_cell_states(space, cell, &out->n_inputs);
    if (out->n_states > ENCODE_MAX_STATES)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "encoding: a cell of space %s has %d states, at most %d are supported",
                         lode_space_name(space), out->n_states, ENCODE_MAX_STATES);
    for (int d = 0; d < lode_space_n_decisions(space); d++) {
        if (lode_space_cell_of(space, d, &reduces) != cell) continue;
        if (!lode_space_edge_of(space, d, &from, &to)) continue;
        if (out->first < 0) out->first = d;
        int e = out->n_edges++;
        out->from[e] = from;
        out->to[e] = to;
        out->none[e] = -1;
        for (int k = 0; k < lode_space_decision(space, d)->n_options; k++)
            if (lode_space_option_kind(space, d, k) == LODE_OPTION_NONE) out->none[e] = k;
    }
    for (int s = 0; s < out->n_states; s++)
        out->n_features += (s >= out->n_inputs) + !encode_is_output(out, s);
    return LODE_OK;
}

bool encode_cell_can_be_cut(const encode_cell *c) {
    for (int e = 0; e < c->n_edges; e++)
        if (c->none[e] >= 0) return true;
    return false;
}

static double encode_live(const encode_cell *c, const double *const *p, int e) {
    return c->none[e] < 0 ? 1 : 1 - p[c->first + e][c->none[e]];
}

/* Product of 1 - reach live over the edges that end (or begin) at a state, but for `left_out`: the
   slope of the state's reach in that edge's reach live. */
static double encode_product(const encode_cell *c, const double *const *p, const double *reach,
                             int state, bool forward, int left_out) {
    double product = 1;
    for (int e = 0; e < c->n_edges; e++) {
        if ((forward ? c->to[e] : c->from[e]) != state || e == left_out) continue;
        product *= 1 - reach[forward ? c->from[e] : c->to[e]] * encode_live(c, p, e);
    }
    return product;
}

/* r or q of all states. */
static void encode_reach(const encode_cell *c, const double *const *p, bool forward,
                         double *reach) {
    for (int i = 0; i < c->n_states; i++) {
        int s = forward ? i : c->n_states - 1 - i;
        bool source = forward ? s < c->n_inputs : encode_is_output(c, s);
        reach[s] = source ? 1 : 1 - encode_product(c, p, reach, s, forward, -1);
    }
}

void encode_cell_fill(const encode_cell *c, const double *const *p, double *x) {
    double reach[ENCODE_MAX_STATES];
    encode_reach(c, p, true, reach);
    for (int s = c->n_inputs; s < c->n_states; s++) *x++ = reach[s];
    encode_reach(c, p, false, reach);
    for (int s = 0; s < c->n_states; s++)
        if (!encode_is_output(c, s)) *x++ = reach[s];
}

/* From gradients of all states' reach to those of dp, against the order of encode_reach. */
static void encode_reach_pull(const encode_cell *c, const double *const *p, bool forward,
                              const double *reach, double *g, double *const *dp) {
    for (int i = c->n_states - 1; i >= 0; i--) {
        int s = forward ? i : c->n_states - 1 - i;
        if (forward ? s < c->n_inputs : encode_is_output(c, s)) continue;
        for (int e = 0; e < c->n_edges; e++) {
            if ((forward ? c->to[e] : c->from[e]) != s) continue;
            int before = forward ? c->from[e] : c->to[e];
            double slope = g[s] * encode_product(c, p, reach, s, forward, e);
            g[before] += slope * encode_live(c, p, e);
            if (c->none[e] >= 0) dp[c->first + e][c->none[e]] -= slope * reach[before];
        }
    }
}

void encode_cell_pull(const encode_cell *c, const double *const *p, const double *dx,
                      double *const *dp) {
    double reach[ENCODE_MAX_STATES], g[ENCODE_MAX_STATES] = {0};
    for (int s = c->n_inputs; s < c->n_states; s++) g[s] = *dx++;
    encode_reach(c, p, true, reach);
    encode_reach_pull(c, p, true, reach, g, dp);
    for (int s = 0; s < c->n_states; s++) g[s] = encode_is_output(c, s) ? 0 : *dx++;
    encode_reach(c, p, false, reach);
    encode_reach_pull(c, p, false, reach, g, dp);
}
