/* summary.c: the ranges of a space, exactly.

   MACs and parameters are sums over blocks, and every block that has any reads one decision. So a
   table of (decision, option) answers for all architectures: free decisions take their best option,
   a node that keeps k edges takes the k edges that change the sum most. One trace per option number
   fills the table.

   Sizes are the exception: a block reads several of them. But MACs and parameters of a block grow
   with each of its sizes, so the least of all lies where all sizes are smallest, the most where all
   are largest, and with the sizes set so the rest is a sum over decisions again. */
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

static bool summary_is_size(const lode_space *s, int decision) {
    return s->decision[decision].kind != LODE_DECISION_BLOCK &&
           s->decision[decision].kind != LODE_DECISION_HARDWARE;
}

/* All decisions at option k, or at their last one; sizes at their smallest (sign -1) or largest. */
static lode_arch summary_arch(const lode_space *s, int k, int sign) {
    lode_arch a = {.n = (int)s->n_decisions};
    for (int d = 0; d < a.n; d++) {
        int n = s->decision[d].n_options;
        a.option[d] = (uint8_t)(k < n ? k : n - 1);
        if (summary_is_size(s, d)) a.option[d] = (uint8_t)(sign < 0 ? 0 : n - 1);
    }
    return a;
}

/* The one decision a block reads beside sizes: -1 none, -2 several. */
static int summary_read(const lode_space *s, const lode_block *b) {
    int found = -1;
    for (int r = 0; r < b->n_reads; r++)
        if (!summary_is_size(s, b->reads[r].decision))
            found = found == -1 ? b->reads[r].decision : -2;
    return found;
}

static lode_status summary_macs(lode_supernet *net, int k, int sign, lode_tape *trace,
                                summary_table *t) {
    lode_arch a = summary_arch(net->space, k, sign);
    LODE_TRY(lode_supernet_trace(net, &a, 1, false, trace));
    for (int i = 0; i < lode_trace_n(trace); i++) {
        const lode_trace_call *call = lode_trace_get(trace, i);
        const lode_block *b = summary_block(net, call->label);
        if (call->count.macs == 0) continue;
        const int d = b != NULL ? summary_read(net->space, b) : -2;
        if (d == -2)
            return LODE_FAIL(LODE_ERR_INTERNAL, "summary: %s is priced and reads no one decision",
                             call->label);
        if (d == -1) {
            if (k == 0) t->fixed += call->count.macs;
        } else if (k < net->space->decision[d].n_options) {
            t->of[d][k] += call->count.macs;
        }
    }
    return LODE_OK;
}

/* By differences from one architecture. */
static lode_status summary_sized_params(const lode_supernet *net, int sign, summary_table *t) {
    const lode_space *s = net->space;
    const lode_arch base = summary_arch(s, 0, sign);
    int64_t of_base, n;
    LODE_TRY(lode_supernet_count_parameters(net, &base, &of_base));
    t->fixed = (double)of_base;
    for (int d = 0; d < s->n_decisions; d++)
        for (int k = 1; k < s->decision[d].n_options && !summary_is_size(s, d); k++) {
            lode_arch a = base;
            a.option[d] = (uint8_t)k;
            LODE_TRY(lode_supernet_count_parameters(net, &a, &n));
            t->of[d][k] = (double)(n - of_base);
        }
    return LODE_OK;
}

static lode_status summary_params(const lode_supernet *net, int sign, summary_table *t) {
    if (lode_space_has_sizes(net->space)) return summary_sized_params(net, sign, t);
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
    return LODE_OK;
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
    *a = summary_arch(s, 0, sign);
    for (int d = 0; d < a->n; d++)
        if (!summary_is_size(s, d)) a->option[d] = (uint8_t)summary_best(t, s, d, -1, sign);
    for (int64_t i = 0; i < s->n_groups; i++) summary_group(t, s, &s->group[i], sign, a);
    double sum = t->fixed;
    for (int d = 0; d < a->n; d++) sum += t->of[d][a->option[d]];
    return sum;
}

/* One end of both ranges. */
static lode_status summary_end(lode_supernet *net, lode_tape *trace, int sign, double *macs,
                               double *params, lode_arch *where) {
    const lode_space *s = net->space;
    lode_arch unused;
    int most = 1;
    summary_table *t = LODE_NEW(summary_table);
    lode_status status = t != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int d = 0; d < s->n_decisions; d++)
        if (s->decision[d].n_options > most) most = s->decision[d].n_options;
    for (int k = 0; status == LODE_OK && k < most; k++)
        status = summary_macs(net, k, sign, trace, t);
    if (status == LODE_OK) {
        *macs = summary_extreme(t, s, sign, where);
        space_clear_unread(s, where);
        memset(t, 0, sizeof *t);
        status = summary_params(net, sign, t);
    }
    if (status == LODE_OK) *params = summary_extreme(t, s, sign, &unused);
    lode_free(t);
    return status;
}

lode_status lode_space_summarize(lode_space *s, lode_space_summary *out) {
    lode_supernet *net = NULL;
    lode_tape *trace = NULL;
    lode_status status;
    *out = (lode_space_summary){.log10_count = lode_space_log10_count(s)};
    LODE_GOTO(lode_supernet_create(s, NULL, LODE_F32, 0, &net));
    LODE_GOTO(lode_tape_create(LODE_TRACE, NULL, &trace));
    LODE_GOTO(summary_end(net, trace, -1, &out->min_macs, &out->min_params, &out->smallest));
    LODE_GOTO(summary_end(net, trace, 1, &out->max_macs, &out->max_params, &out->largest));
done:
    lode_tape_destroy(trace);
    lode_supernet_destroy(net);
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
