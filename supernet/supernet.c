/* supernet.c: a network's life, its parameters, and its trace.

   Building is a forward pass over shapes (a TRACE tape) in which blocks make the parameters they
   ask for; see block.h. A fixed network is built by the same pass over one architecture. */
#include "supernet/supernet_internal.h"

#include <string.h>

/* ---- life ---- */
static lode_status supernet_prepare(lode_supernet *net) {
    const lode_space *s = net->space;
    net->layer = LODE_NEW_ARRAY(net_layer, s->n_layers);
    if (net->layer == NULL) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < s->n_layers; i++) {
        net_layer *nl = &net->layer[i];
        const space_layer *l = nl->l = &s->layer[i];
        nl->n_slots = l->kind == SPACE_FIXED    ? 1
                      : l->kind == SPACE_CHOICE ? l->n_options
                                                : 2 + l->cell->n_edges * l->cell->set->n;
        nl->slot = LODE_NEW_ARRAY(net_slot, nl->n_slots);
        if (nl->slot == NULL) return LODE_ERR_NO_MEMORY;
    }
    return net_list_blocks(net);
}

/* An input of the space's size, without storage. */
static lode_status supernet_input(const lode_supernet *net, lode_tape *t, int64_t batch,
                                  lode_var **out) {
    const lode_space_options *r = &net->space->resolved;
    lode_shape shape = LODE_SHAPE4(batch, r->channels, r->size, r->size);
    lode_tensor *x;
    LODE_TRY(lode_tensor_shapeless_storage(net->dtype, &shape, LODE_CHANNELS_LAST, &x));
    *out = lode_tape_constant(t, x);
    lode_tensor_release(x);
    return lode_tape_status(t);
}

static lode_status supernet_build(lode_supernet *net) {
    lode_tape *t;
    lode_var *x;
    LODE_TRY(lode_tape_create(LODE_TRACE, NULL, &t));
    lode_pass p = {.net = net, .tape = t, .building = true, .options.bn = LODE_BN_RUNNING};
    lode_status status = supernet_input(net, t, 1, &x);
    if (status == LODE_OK) {
        net_forward(&p, x, NULL);
        status = lode_tape_status(t);
    }
    lode_tape_destroy(t);
    return status != LODE_OK ? lode_error_context("space %s", net->space->name) : LODE_OK;
}

lode_status lode_supernet_create(lode_space *space, const lode_arch *fixed, lode_dtype dtype,
                                 uint64_t seed, lode_supernet **out) {
    *out = NULL;
    if (dtype != LODE_F32 && dtype != LODE_F64)
        return LODE_FAIL(LODE_ERR_DTYPE, "supernet: dtype %s; f32 or f64 is needed",
                         lode_dtype_name(dtype));
    if (fixed != NULL) LODE_TRY(lode_space_check(space, fixed));
    lode_supernet *net = LODE_NEW(lode_supernet);
    if (net == NULL) return LODE_ERR_NO_MEMORY;
    net->space = lode_space_retain(space);
    net->dtype = dtype;
    net->seed = seed;
    net->fixed = fixed != NULL || space->n_decisions == 0;
    net->partial = net->fixed || space->resolved.partial == 0 ? 1 : space->resolved.partial;
    if (fixed != NULL) net->arch = *fixed;
    lode_status status = supernet_prepare(net);
    if (status == LODE_OK) status = supernet_build(net);
    if (status == LODE_OK)
        *out = net;
    else
        lode_supernet_destroy(net);
    return status;
}

static void supernet_destroy_layer(net_layer *nl) { lode_free(nl->slot); }

static void supernet_clear_pools(lode_supernet *net) {
    for (int64_t i = 0; net->pool != NULL && i < net->n_parameters; i++)
        net_pool_destroy(net->pool[i]);
    lode_free(net->pool);
    net->pool = NULL;
}

void lode_supernet_destroy(lode_supernet *net) {
    if (net == NULL) return;
    supernet_clear_pools(net);
    for (int64_t i = 0; i < net->n_parameters; i++) lode_parameter_destroy(net->parameter[i]);
    lode_free(net->parameter);
    for (int64_t i = 0; net->layer != NULL && i < net->space->n_layers; i++)
        supernet_destroy_layer(&net->layer[i]);
    lode_free(net->layer);
    for (int64_t i = 0; i < net->n_blocks; i++) {
        char *name;
        memcpy(&name, &net->block[i].name, sizeof name); /* ours, const for readers only */
        lode_free(name);
    }
    lode_free(net->block);
    lode_space_release(net->space);
    lode_free(net);
}

lode_space *lode_supernet_space(const lode_supernet *net) { return net->space; }
uint64_t lode_supernet_seed(const lode_supernet *net) { return net->seed; }
lode_dtype lode_supernet_dtype(const lode_supernet *net) { return net->dtype; }

bool lode_supernet_is_fixed(const lode_supernet *net, lode_arch *arch) {
    if (net->fixed && arch != NULL) *arch = net->arch;
    return net->fixed;
}

/* ---- parameters ---- */
int lode_supernet_n_parameters(const lode_supernet *net) { return (int)net->n_parameters; }

lode_parameter *lode_supernet_parameter(const lode_supernet *net, int i) {
    return i >= 0 && i < net->n_parameters ? net->parameter[i] : NULL;
}

lode_parameter *lode_supernet_find(const lode_supernet *net, const char *name) {
    for (int64_t i = 0; i < net->n_parameters; i++)
        if (strcmp(net->parameter[i]->name, name) == 0) return net->parameter[i];
    return NULL;
}

void lode_supernet_clear_grads(lode_supernet *net) {
    for (int64_t i = 0; i < net->n_parameters; i++) lode_parameter_clear_grad(net->parameter[i]);
}

int64_t net_slot_elements(const lode_supernet *net, const net_slot *slot) {
    int64_t n = 0;
    for (int i = slot->first; i < slot->first + slot->n; i++)
        if (net->parameter[i]->kind != LODE_PARAM_RUNNING)
            n += lode_tensor_count(net->parameter[i]->value);
    return n;
}

/* Where sizes are decisions a slot holds more than an architecture has: one pass over shapes adds
   up what blocks ask for. */
static lode_status supernet_count_asked(const lode_supernet *net, const lode_arch *arch,
                                        int64_t *out) {
    lode_choice choice[LODE_MAX_DECISIONS];
    lode_tape *t;
    lode_var *x;
    lode_pass p = {.options.bn = LODE_BN_TRAIN, .elements = out};
    memcpy(&p.net, &net, sizeof p.net); /* a trace changes nothing of it */
    LODE_TRY(lode_tape_create(LODE_TRACE, NULL, &t));
    p.tape = t;
    lode_choice_from_arch(arch, choice);
    lode_status status = supernet_input(net, t, 1, &x);
    if (status == LODE_OK) {
        net_forward(&p, x, choice);
        status = lode_tape_status(t);
    }
    lode_tape_destroy(t);
    return status;
}

lode_status lode_supernet_count_parameters(const lode_supernet *net, const lode_arch *arch,
                                           int64_t *out) {
    *out = 0;
    if (net->fixed) arch = &net->arch;
    LODE_TRY(space_check_range(net->space, arch));
    if (lode_space_has_sizes(net->space)) return supernet_count_asked(net, arch, out);
    for (int64_t i = 0; i < net->space->n_layers; i++) {
        const net_layer *nl = &net->layer[i];
        const space_layer *l = nl->l;
        int first = l->kind == SPACE_CELL ? 2 : 0,
            width = l->kind == SPACE_CELL ? l->cell->set->n : 0;
        for (int k = 0; k < first; k++) *out += net_slot_elements(net, &nl->slot[k]);
        for (int e = 0; l->kind == SPACE_CELL && e < l->cell->n_edges; e++)
            *out += net_slot_elements(net,
                                      &nl->slot[first + e * width + arch->option[l->decision + e]]);
        if (l->kind == SPACE_FIXED) *out += net_slot_elements(net, &nl->slot[0]);
        if (l->kind == SPACE_CHOICE)
            *out += net_slot_elements(net, &nl->slot[arch->option[l->decision]]);
    }
    return LODE_OK;
}

/* ---- trace ---- */
lode_status lode_supernet_trace(lode_supernet *net, const lode_arch *arch, int64_t batch,
                                bool train, lode_tape *trace) {
    lode_choice choice[LODE_MAX_DECISIONS];
    lode_forward_options options = {.bn = train ? LODE_BN_TRAIN : LODE_BN_RUNNING};
    lode_var *x;
    lode_tape_reset(trace);
    if (lode_tape_get_mode(trace) != LODE_TRACE)
        return LODE_FAIL(LODE_ERR_INVALID, "supernet: a trace needs a tape in mode LODE_TRACE");
    if (net->fixed) arch = &net->arch;
    LODE_TRY(space_check_range(net->space, arch));
    lode_choice_from_arch(arch, choice);
    LODE_TRY(supernet_input(net, trace, batch, &x));
    lode_supernet_forward(trace, net, x, choice, &options);
    return lode_tape_status(trace);
}

/* ---- extraction ---- */
static lode_status supernet_copy_part(lode_tensor *to, lode_tensor *from) {
    lode_tensor *part;
    if (!net_is_part(&from->shape, &to->shape))
        return LODE_FAIL(LODE_ERR_INTERNAL, "supernet: a parameter is larger than the supernet's");
    LODE_TRY(net_part_of(from, &to->shape, &part));
    lode_status status = lode_tensor_copy(to, part);
    lode_tensor_release(part);
    return status;
}

lode_status lode_supernet_extract(lode_supernet *net, const lode_arch *arch, lode_supernet **out) {
    *out = NULL;
    lode_supernet *sub = NULL;
    lode_status status;
    if (net->fixed) {
        if (arch != NULL && !lode_arch_equal(arch, &net->arch))
            return LODE_FAIL(LODE_ERR_INVALID,
                             "supernet: this network is fixed to another architecture");
        arch = &net->arch;
    }
    LODE_TRY(lode_supernet_create(net->space, arch, net->dtype, net->seed, &sub));
    if (net->partial > 1)
        LODE_GOTO(LODE_FAIL(LODE_ERR_CONFIG,
                            "supernet: with space.partial %lld the options have 1/%lld of the "
                            "channels, and a network cannot inherit their weights: train it from "
                            "scratch (search.retrain scratch)",
                            (long long)net->partial, (long long)net->partial));
    /* Both were built in the same order, so one walk finds everything. */
    int64_t from = 0;
    for (int64_t i = 0; i < sub->n_parameters; i++) {
        lode_parameter *p = sub->parameter[i];
        while (from < net->n_parameters && strcmp(net->parameter[from]->name, p->name) != 0) from++;
        if (from == net->n_parameters)
            LODE_GOTO(LODE_FAIL(LODE_ERR_INTERNAL, "supernet: no parameter %s", p->name));
        LODE_GOTO(supernet_copy_part(p->value, net->parameter[from]->value));
    }
    *out = sub;
    return LODE_OK;
done:
    lode_supernet_destroy(sub);
    return status;
}

/* ---- calibration of batch normalisation ---- */
lode_status lode_supernet_calibrate_begin(lode_supernet *net) {
    supernet_clear_pools(net);
    net->pool = LODE_NEW_ARRAY(net_pool *, net->n_parameters);
    return net->pool != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
}

lode_status lode_supernet_calibrate_end(lode_supernet *net) {
    if (net->pool == NULL)
        return LODE_FAIL(LODE_ERR_INVALID, "supernet: calibrate_end without calibrate_begin");
    for (int64_t i = 0; i < net->n_parameters; i++) {
        const net_pool *pool = net->pool[i];
        if (pool == NULL || pool->n == 0) continue;
        lode_tensor *mean = net->parameter[i]->value, *var = net->parameter[i + 1]->value;
        for (int64_t c = 0; c < lode_tensor_count(pool->batch_mean); c++) {
            lode_put(mean, c, pool->mean[c]);
            lode_put(var, c, pool->m2[c] / pool->n);
        }
    }
    supernet_clear_pools(net);
    return LODE_OK;
}
