/* summary.c: the ranges of a space, exactly.

   MACs and parameters are sums over blocks, and every block that has any reads one decision. So a
   table of (decision, option) answers for all architectures: free decisions take their best option,
   a node that keeps k edges takes the k edges that change the sum most. One trace per option number
   fills the table. */
#include "supernet/supernet_internal.h"

#include <string.h>

typedef struct summary_table {
    double fixed;
    double of[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
} summary_table;

/* ---- filling ---- */
static const lode_block *summary_block(const lode_supernet *net, const char *label) {
    size_t n = strcspn(label, "/");
    for (int64_t i = 0; i < net->n_blocks; i++)
        if (strncmp(net->block[i].name, label, n) == 0 && net->block[i].name[n] == '\0')
            return &net->block[i];
    return NULL;
}

/* All decisions at option k, or at their last one. */
static lode_arch summary_arch(const lode_space *s, int k) {
    lode_arch a = {.n = (int)s->n_decisions};
    for (int d = 0; d < a.n; d++) {
        int n = s->decision[d].n_options;
        a.option[d] = (uint8_t)(k < n ? k : n - 1);
    }
    return a;
}

static lode_status summary_macs(lode_supernet *net, int k, lode_tape *trace, summary_table *t) {
    lode_arch a = summary_arch(net->space, k);
    LODE_TRY(lode_supernet_trace(net, &a, 1, false, trace));
    for (int i = 0; i < lode_trace_n(trace); i++) {
        const lode_trace_call *call = lode_trace_get(trace, i);
        const lode_block *b = summary_block(net, call->label);
        if (call->count.macs == 0) continue;
        if (b == NULL || b->n_reads > 1)
            return LODE_FAIL(LODE_ERR_INTERNAL, "summary: %s is priced and reads no one decision",
                             call->label);
        if (b->n_reads == 0) {
            if (k == 0) t->fixed += call->count.macs;
        } else if (k < net->space->decision[b->reads[0].decision].n_options) {
            t->of[b->reads[0].decision][k] += call->count.macs;
        }
    }
    return LODE_OK;
}

static void summary_params(const lode_supernet *net, summary_table *t) {
    for (int64_t i = 0; i < net->space->n_layers; i++) {
        const net_layer *nl = &net->layer[i];
        const space_layer *l = nl->l;
        int per_edge = l->kind == SPACE_CELL ? l->cell->set->n : nl->n_slots;
        int fixed = l->kind == SPACE_CHOICE ? 0 : l->kind == SPACE_CELL ? 2 : 1;
        for (int k = 0; k < nl->n_slots; k++) {
            double n = (double)net_slot_elements(net, &nl->slot[k]);
            int option = k - fixed;
            if (option < 0)
                t->fixed += n;
            else
                t->of[l->decision + option / per_edge][option % per_edge] += n;
        }
    }
}

/* ---- searching ---- */
/* Largest of sign * cost over a decision's options but `except`. */
static int summary_best(const summary_table *t, const lode_space *s, int d, int except, int sign) {
    int best = except == 0 ? 1 : 0;
    for (int k = best + 1; k < s->decision[d].n_options; k++)
        if (k != except && sign * t->of[d][k] > sign * t->of[d][best]) best = k;
    return best;
}

static void summary_group(const summary_table *t, const lode_space *s, const space_group *g,
                          int sign, lode_arch *a) {
    for (int d = g->first; d < g->first + g->n; d++) a->option[d] = (uint8_t)g->none;
    for (int kept = 0; kept < g->keep; kept++) {
        int best_d = -1, best_k = 0;
        double best = 0;
        for (int d = g->first; d < g->first + g->n; d++) {
            if (a->option[d] != g->none) continue;
            int k = summary_best(t, s, d, g->none, sign);
            double gain = sign * (t->of[d][k] - t->of[d][g->none]);
            if (best_d >= 0 && gain <= best) continue;
            best_d = d;
            best_k = k;
            best = gain;
        }
        a->option[best_d] = (uint8_t)best_k;
    }
}

/* The extreme value of the table, and where. sign 1: the largest, -1: the smallest. */
static double summary_extreme(const summary_table *t, const lode_space *s, int sign, lode_arch *a) {
    *a = (lode_arch){.n = (int)s->n_decisions};
    for (int d = 0; d < a->n; d++) a->option[d] = (uint8_t)summary_best(t, s, d, -1, sign);
    for (int64_t i = 0; i < s->n_groups; i++) summary_group(t, s, &s->group[i], sign, a);
    double sum = t->fixed;
    for (int d = 0; d < a->n; d++) sum += t->of[d][a->option[d]];
    return sum;
}

lode_status lode_space_summarize(lode_space *s, lode_space_summary *out) {
    lode_supernet *net = NULL;
    lode_tape *trace = NULL;
    lode_status status;
    lode_arch unused;
    int most = 1;
    *out = (lode_space_summary){.log10_count = lode_space_log10_count(s)};
    summary_table *macs = LODE_NEW(summary_table), *params = LODE_NEW(summary_table);
    if (macs == NULL || params == NULL) LODE_GOTO(LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_supernet_create(s, NULL, LODE_F32, 0, &net));
    LODE_GOTO(lode_tape_create(LODE_TRACE, NULL, &trace));
    for (int d = 0; d < s->n_decisions; d++)
        if (s->decision[d].n_options > most) most = s->decision[d].n_options;
    for (int k = 0; k < most; k++) LODE_GOTO(summary_macs(net, k, trace, macs));
    summary_params(net, params);
    out->min_macs = summary_extreme(macs, s, -1, &out->smallest);
    out->max_macs = summary_extreme(macs, s, 1, &out->largest);
    out->min_params = summary_extreme(params, s, -1, &unused);
    out->max_params = summary_extreme(params, s, 1, &unused);
done:
    lode_tape_destroy(trace);
    lode_supernet_destroy(net);
    lode_free(params);
    lode_free(macs);
    return status;
}

/* ---- layers ---- */
int lode_space_n_layers(const lode_space *s) { return (int)s->n_layers; }

lode_layer_info lode_space_layer(const lode_space *s, int i) {
    const space_layer *l = &s->layer[i];
    const char *what = l->kind == SPACE_FIXED    ? l->op.kind->name
                       : l->kind == SPACE_CHOICE ? "choice"
                                                 : l->cell->name;
    int n = l->kind == SPACE_FIXED ? 0 : l->kind == SPACE_CHOICE ? 1 : l->cell->n_edges;
    return (lode_layer_info){.name = l->name,
                             .what = what,
                             .in = l->site.in,
                             .out = l->out,
                             .stride = l->site.stride,
                             .first_decision = n > 0 ? l->decision : -1,
                             .n_decisions = n};
}
