/* remat.c: what a pass keeps for backward, and what it computes a second time instead.

   With `remat: layer` a block that stands alone is one region of the tape: its input and its output
   stay, everything in between is computed again in backward. A mixture is a sum of regions, one per
   candidate, so that the candidates come back one after another and the activations of one of them
   live at a time. What such a region is a function of, apart from its inputs, is a net_region; it
   lies in the tape's own memory because backward comes late. */
#include "supernet/supernet_internal.h"

typedef struct net_region {
    lode_supernet *net;
    lode_forward_options options;
    net_sizes sizes; /* their weights are inputs too */
    net_mixed mixed;
    lode_choice choice; /* of a mixture; its weights are an input */
    int option;
    /* or a block */
    int slot;
    const space_op *op;
    lode_site site;
} net_region;

/* Calibration pools in forward, and building makes parameters: neither may run twice. */
static bool net_computes_again(const lode_pass *p) {
    return p->options.remat == LODE_REMAT_LAYER && !p->building &&
           p->options.bn != LODE_BN_CALIBRATE;
}

static net_region *net_region_make(lode_pass *p, net_region r) {
    net_region *kept = lode_tape_allocate(p->tape, sizeof *kept);
    if (kept == NULL) return NULL;
    *kept = r;
    kept->net = p->net;
    kept->options = p->options;
    kept->sizes = p->sizes;
    kept->mixed.name = p->net->layer[r.mixed.layer].l->name; /* the caller's may not last */
    return kept;
}

static lode_pass net_region_pass(const net_region *r, lode_tape *t) {
    return (lode_pass){.net = r->net, .tape = t, .options = r->options, .sizes = r->sizes};
}

/* x [n_x], with room for the sizes' weights, which are put behind. */
static int net_region_inputs(const lode_pass *p, lode_var **x, int n_x) {
    return n_x + net_size_inputs(&p->sizes, x + n_x);
}

/* ---- blocks and single options ---- */
static lode_var *net_block_body(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    const net_region *r = ctx;
    lode_pass p = net_region_pass(r, t);
    (void)n_x;
    return net_run(&p, r->mixed.layer, r->slot, r->op, &r->site,
                   (const char *const[2]){r->mixed.name, NULL}, x[0]);
}

lode_var *net_block(lode_pass *p, int layer, int slot, const space_op *op, const lode_site *site,
                    const char *const names[2], lode_var *x) {
    if (!net_computes_again(p) || x == NULL) return net_run(p, layer, slot, op, site, names, x);
    net_region *r = net_region_make(
        p, (net_region){.mixed.layer = layer, .slot = slot, .op = op, .site = *site});
    lode_var *in[1 + LODE_MAX_READS] = {x};
    const int n = net_region_inputs(p, in, 1);
    return r != NULL ? lode_recompute(p->tape, net_block_body, r, in, n) : NULL;
}

static lode_var *net_option_body(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    const net_region *r = ctx;
    lode_pass p = net_region_pass(r, t);
    (void)n_x;
    return net_run_option(&p, &r->mixed, r->option, x[0]);
}

lode_var *net_option(lode_pass *p, const net_mixed *m, int option, lode_var *x) {
    if (!net_computes_again(p) || x == NULL) return net_run_option(p, m, option, x);
    net_region *r = net_region_make(p, (net_region){.mixed = *m, .option = option});
    lode_var *in[1 + LODE_MAX_READS] = {x};
    const int n = net_region_inputs(p, in, 1);
    return r != NULL ? lode_recompute(p->tape, net_option_body, r, in, n) : NULL;
}

/* ---- mixtures: x is [input, weights, weights of sizes] ---- */
static lode_var *net_mixture_branch(lode_tape *t, void *ctx, int k, lode_var *const *x, int n_x) {
    const net_region *r = ctx;
    lode_pass p = net_region_pass(r, t);
    (void)n_x;
    if (!(r->choice.active >> k & 1)) return r->choice.ones ? net_ones(&p, &r->mixed, x[0]) : NULL;
    if (net_option_is_nothing(&p, &r->mixed, k)) return NULL;
    return net_run_option(&p, &r->mixed, k, x[0]);
}

static lode_var *net_mixture_join(lode_tape *t, void *ctx, lode_var *const *o, lode_var *const *x,
                                  int n_x) {
    const net_region *r = ctx;
    (void)n_x;
    return lode_weighted_sum(t, o, r->net->space->decision[r->mixed.decision].n_options, x[1]);
}

lode_var *net_weighted(lode_pass *p, const net_mixed *m, const lode_choice *choice, lode_var *x) {
    const lode_branches b = {p->net->space->decision[m->decision].n_options, net_mixture_branch,
                             net_mixture_join};
    lode_var *in[2 + LODE_MAX_READS] = {x, choice->weights}, *o[LODE_MAX_OPTIONS];
    net_region r = {
        .net = p->net, .options = p->options, .sizes = p->sizes, .mixed = *m, .choice = *choice};
    if (x == NULL || choice->weights == NULL) return NULL;
    const int n = net_region_inputs(p, in, 2);
    if (net_computes_again(p)) {
        net_region *kept = net_region_make(p, r);
        return kept != NULL ? lode_recompute_sum(p->tape, &b, kept, in, n) : NULL;
    }
    lode_var *ones = NULL; /* the same for all options */
    for (int k = 0; k < b.n; k++) {
        const bool active = choice->active >> k & 1;
        o[k] = !active && ones != NULL ? ones : b.branch(p->tape, &r, k, in, n);
        if (!active) ones = o[k];
        if (lode_tape_status(p->tape) != LODE_OK) return NULL;
    }
    return b.join(p->tape, &r, o, in, n);
}
