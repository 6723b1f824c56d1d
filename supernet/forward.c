/* forward.c: one pass over the chain of layers.

   The same functions build a network (over shapes, every candidate, making parameters) and run it.
   Values are forgotten as early as possible: scopes do it inside of blocks, and between blocks the
   chain lets go of an output when the next two layers have it behind them. */
#include "supernet/supernet_internal.h"

/* ---- one block ---- */
static lode_var *net_check_output(lode_pass *p, const space_op *op, const lode_site *site,
                                  lode_var *y) {
    const lode_shape *s = &y->value->shape;
    if (s->n_dims >= 2 && s->dim[1] == site->out) return y;
    return lode_tape_fail(
        p->tape, LODE_FAIL(LODE_ERR_SHAPE, "%s: block %s gave %lld channels, not %lld",
                           lode_tape_label(p->tape), op->kind->name,
                           (long long)(s->n_dims >= 2 ? s->dim[1] : 0), (long long)site->out));
}

static lode_var *net_build(lode_pass *p, net_slot *slot, const space_op *op, const lode_site *site,
                           const char *const names[2], lode_var *x) {
    char *path =
        names[1] != NULL ? lode_format("%s.%s", names[0], names[1]) : lode_strdup(names[0]);
    if (path == NULL) return lode_tape_fail(p->tape, LODE_ERR_NO_MEMORY);
    p->path = path;
    slot->first = p->cursor = (int)p->net->n_parameters;
    lode_var *y = op->kind->forward(p, op->params, site, x);
    slot->n = p->cursor - slot->first;
    slot->present = true;
    p->path = NULL;
    lode_free(path);
    return y != NULL ? net_check_output(p, op, site, y) : NULL;
}

lode_var *net_run(lode_pass *p, int layer, int slot, const space_op *op, const lode_site *site,
                  const char *const names[2], lode_var *x) {
    net_slot *s = &p->net->layer[layer].slot[slot];
    if (x == NULL) return NULL;
    p->l = p->net->layer[layer].l;
    p->op = op;
    const lode_site real = net_real_site(p, site);
    if (p->building) return net_build(p, s, op, &real, names, x);
    p->cursor = s->first;
    lode_var *y = op->kind->forward(p, op->params, &real, x);
    if (y != NULL && (!s->present || p->cursor != s->first + s->n))
        return lode_tape_fail(p->tape, LODE_FAIL(LODE_ERR_INTERNAL,
                                                 "%s: block %s used %d of its %d parameters",
                                                 lode_tape_label(p->tape), op->kind->name,
                                                 p->cursor - s->first, s->n));
    return y;
}

/* ---- one decision ---- */
static const space_op *net_option_op(const lode_pass *p, const space_layer *l, int edge, int option,
                                     lode_site *site) {
    if (edge < 0) {
        *site = l->site;
        return &l->option[option];
    }
    *site = space_edge_site(l, &l->cell->edge[edge]);
    site->in /= p->net->partial;
    site->out /= p->net->partial;
    return space_edge_op(l, &l->cell->edge[edge], option);
}

bool net_option_is_nothing(const lode_pass *p, const net_mixed *m, int option) {
    lode_site site;
    return net_option_op(p, p->net->layer[m->layer].l, m->edge, option, &site)->kind->nothing;
}

lode_var *net_run_option(lode_pass *p, const net_mixed *m, int option, lode_var *x) {
    const space_layer *l = p->net->layer[m->layer].l;
    lode_site site;
    const space_op *op = net_option_op(p, l, m->edge, option, &site);
    const char *const names[2] = {m->name, op->name};
    lode_scope scope = lode_tape_enter(p->tape, op->name);
    lode_var *y = net_run(p, m->layer, m->first_slot + option, op, &site, names, x);
    /* Paths through a cell are dropped as a whole, identity ones never (methods A1). */
    if (m->edge >= 0 && !op->kind->identity) y = lode_pass_drop_path(p, y);
    return lode_tape_leave(p->tape, scope, y);
}

/* Every candidate, for its parameters; all must agree on the shape. */
static lode_var *net_build_options(lode_pass *p, const net_mixed *m, lode_var *x, bool *dead) {
    const lode_supernet *net = p->net;
    const lode_decision *d = &net->space->decision[m->decision];
    lode_var *first = NULL;
    for (int k = 0; k < d->n_options; k++) {
        if (net->fixed && net->arch.option[m->decision] != k) continue;
        if (net_option_is_nothing(p, m, k)) continue;
        lode_var *y = net_run_option(p, m, k, x);
        if (y == NULL) return NULL;
        if (first == NULL) first = y;
        char a[128], b[128];
        if (!lode_shape_equal(&first->value->shape, &y->value->shape))
            return lode_tape_fail(
                p->tape, LODE_FAIL(LODE_ERR_SHAPE, "%s: option `%s` gives %s, and others %s",
                                   m->name, d->option[k], lode_shape_print(&y->value->shape, a),
                                   lode_shape_print(&first->value->shape, b)));
    }
    *dead = first == NULL;
    return first;
}

static lode_var *net_bad_choice(lode_pass *p, const net_mixed *m, const char *what) {
    return lode_tape_fail(p->tape, LODE_FAIL(LODE_ERR_INVALID, "supernet: decision `%s`: %s",
                                             p->net->space->decision[m->decision].name, what));
}

lode_var *net_mixture(lode_pass *p, const net_mixed *m, const lode_choice *choice, lode_var *x,
                      bool *dead) {
    const lode_supernet *net = p->net;
    int n = net->space->decision[m->decision].n_options;
    *dead = false;
    if (p->building) return net_build_options(p, m, x, dead);
    lode_choice c = {0};
    if (net->fixed)
        c.active = (uint64_t)1 << net->arch.option[m->decision];
    else
        c = choice[m->decision];
    if (c.active == 0 || c.active >> n != 0)
        return net_bad_choice(p, m, "no option is active, or one that it does not have");
    if (c.weights == NULL) {
        int k = 0;
        while (!(c.active >> k & 1)) k++;
        if (c.active >> k != 1) return net_bad_choice(p, m, "several options without weights");
        *dead = net_option_is_nothing(p, m, k);
        return *dead ? NULL : net_option(p, m, k, x);
    }
    *dead = !c.ones;
    for (int k = 0; k < n; k++)
        if (c.active >> k & 1 && !net_option_is_nothing(p, m, k)) *dead = false;
    return *dead ? NULL : net_weighted(p, m, &c, x);
}

lode_var *net_ones(lode_pass *p, const net_mixed *m, const lode_var *x) {
    lode_site site;
    lode_tensor *ones;
    p->l = p->net->layer[m->layer].l;
    p->op = net_option_op(p, p->l, m->edge, 0, &site);
    site = net_real_site(p, &site);
    lode_shape shape = x->value->shape;
    shape.dim[1] = site.out;
    for (int i = 2; i < shape.n_dims; i++)
        shape.dim[i] = (shape.dim[i] + site.stride - 1) / site.stride;
    lode_status status =
        lode_tensor_zeros(x->value->device, p->net->dtype, &shape, LODE_CHANNELS_LAST, &ones);
    if (status != LODE_OK) return lode_tape_fail(p->tape, status);
    status = lode_tensor_fill(ones, 1);
    lode_var *v =
        status == LODE_OK ? lode_tape_constant(p->tape, ones) : lode_tape_fail(p->tape, status);
    lode_tensor_release(ones);
    return v;
}

/* ---- the chain ---- */
static lode_var *net_layer_forward(lode_pass *p, int i, lode_var *before, lode_var *x,
                                   const lode_choice *choice) {
    const space_layer *l = p->net->layer[i].l;
    const lode_status status = net_read_sizes(p, l, choice);
    if (status != LODE_OK) return lode_tape_fail(p->tape, status);
    if (l->kind == SPACE_CELL) return net_cell(p, i, before, x, choice);
    lode_scope scope = lode_tape_enter(p->tape, l->name);
    lode_var *y;
    if (l->kind == SPACE_FIXED) {
        y = net_block(p, i, 0, &l->op, &l->site, (const char *const[2]){l->name, NULL}, x);
    } else {
        bool dead;
        net_mixed m = {.layer = i, .edge = -1, .name = l->name, .decision = l->decision};
        y = net_mixture(p, &m, choice, x, &dead);
    }
    return lode_tape_leave(p->tape, scope, y);
}

/* A layer of the chain, for net_mix_resolutions. */
typedef struct net_step {
    int layer;
    const lode_choice *choice;
} net_step;

static lode_var *net_step_forward(lode_pass *p, void *ctx, lode_var *x) {
    const net_step *step = ctx;
    return net_layer_forward(p, step->layer, x, x, step->choice);
}

lode_var *net_forward(lode_pass *p, lode_var *x, const lode_choice *choice) {
    const lode_space *s = p->net->space;
    net_resolution r;
    x = net_enter_resolution(p, choice, x, &r);
    lode_var *input = x, *before = x;
    for (int i = 0; i < s->n_layers && x != NULL; i++) {
        net_step step = {i, choice};
        lode_var *y = net_mixes_resolutions(&r)
                          ? net_mix_resolutions(p, &r, s->layer[i].name, x, net_step_forward, &step)
                          : net_layer_forward(p, i, before, x, choice);
        lode_var *next = s->layer[i].kind == SPACE_CELL ? x : y;
        if (before != input && before != next && before != y && before != x) lode_forget(before);
        if (x != input && x != next && x != y) lode_forget(x);
        before = next;
        x = y;
    }
    if (x != NULL && x->value->shape.n_dims != 2)
        return lode_tape_fail(p->tape, LODE_FAIL(LODE_ERR_CONFIG,
                                                 "space `%s`: the last layer must "
                                                 "be `op: linear`",
                                                 s->name));
    return x;
}

static lode_status net_check_input(const lode_supernet *net, const lode_var *x) {
    const lode_shape *s = &x->value->shape;
    char shape[128];
    if (s->n_dims != 4 || s->dim[1] != net->space->resolved.channels)
        return LODE_FAIL(
            LODE_ERR_SHAPE, "supernet: input %s; space `%s` takes [N, %lld, H, W] (space.channels)",
            lode_shape_print(s, shape), net->space->name, (long long)net->space->resolved.channels);
    if (x->value->dtype != net->dtype)
        return LODE_FAIL(LODE_ERR_DTYPE, "supernet: input is %s, the network %s",
                         lode_dtype_name(x->value->dtype), lode_dtype_name(net->dtype));
    return LODE_OK;
}

lode_var *lode_supernet_forward(lode_tape *t, lode_supernet *net, lode_var *x,
                                const lode_choice *choice, const lode_forward_options *options) {
    if (x == NULL || lode_tape_status(t) != LODE_OK) return NULL;
    lode_status status = net_check_input(net, x);
    if (status == LODE_OK && choice == NULL && !net->fixed && net->space->n_decisions > 0)
        status = LODE_FAIL(LODE_ERR_INVALID, "supernet: no choices given, and decisions are left");
    if (status != LODE_OK) return lode_tape_fail(t, status);
    lode_pass p = {.net = net, .tape = t};
    if (options != NULL)
        p.options = *options;
    else
        p.options.bn = lode_tape_get_mode(t) == LODE_TRAIN ? LODE_BN_TRAIN : LODE_BN_RUNNING;
    return net_forward(&p, x, choice);
}

void lode_choice_from_arch(const lode_arch *a, lode_choice *out) {
    for (int i = 0; i < a->n; i++) out[i] = (lode_choice){.active = (uint64_t)1 << a->option[i]};
}
