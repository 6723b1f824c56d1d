/* cost.c: gathers the prices of a space's blocks into terms, and answers hard costs from them.

   A term needs one price per combination of the classes its block reads. Tracing a whole network is
   cheap, and one trace prices every block at once, so we fill architectures greedily: each trace
   carries as many still unknown (block, combination) pairs as do not contradict each other. A chain
   of 22 layers with 9 options takes 9 traces, not 198. */
#include "hwcost/cost_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- terms ---- */

void cost_combo_classes(const cost_term *term, int combo, int *classes) {
    for (int r = term->n_reads - 1; r >= 0; r--) {
        classes[r] = combo % term->reads[r].n_classes;
        combo /= term->reads[r].n_classes;
    }
}

static int cost_combo_of(const cost_term *term, const lode_arch *arch) {
    int combo = 0;
    for (int r = 0; r < term->n_reads; r++) {
        const lode_block_read *read = &term->reads[r];
        combo = combo * read->n_classes + read->class_of[arch->option[read->decision]];
    }
    return combo;
}

/* First option of a decision that lies in `class`. */
static int cost_option_in_class(const lode_block_read *read, int n_options, int class_wanted) {
    for (int k = 0; k < n_options; k++)
        if (read->class_of[k] == class_wanted) return k;
    return 0;
}

/* Sets the decisions of (term, combo) in a half-assigned architecture (-1: free); false when they
 * clash. */
static bool cost_assign(const lode_cost *c, const cost_term *term, int combo, int *assigned) {
    int classes[COST_MAX_READS];
    cost_combo_classes(term, combo, classes);
    for (int r = 0; r < term->n_reads; r++) {
        const lode_block_read *read = &term->reads[r];
        int have = assigned[read->decision];
        if (have >= 0 && read->class_of[have] != classes[r]) return false;
    }
    for (int r = 0; r < term->n_reads; r++) {
        const lode_block_read *read = &term->reads[r];
        if (assigned[read->decision] < 0)
            assigned[read->decision] =
                cost_option_in_class(read, c->n_options[read->decision], classes[r]);
    }
    return true;
}

static uint64_t cost_label_block(const char *label) {
    size_t n = strcspn(label, "/");
    return lode_hash_bytes(label, n, 0);
}

static int cost_find_term(const lode_cost *c, uint64_t label) {
    for (int i = 0; i < c->n_terms; i++)
        if (c->term[i].label == label) return i;
    return -1;
}

lode_status lode_cost_trace(lode_cost *c, const lode_arch *arch, lode_tape *trace) {
    c->variant = cost_hardware_of(&c->hardware, arch);
    if (lode_cost_form(c) == LODE_FORM_FOLDED)
        return lode_supernet_trace_folded(c->net, arch, c->batch, trace);
    return lode_supernet_trace(c->net, arch, c->batch, c->model->training, trace);
}

/* Of the device as the architecture traced last has it. */
static void *cost_self(const lode_cost *c) {
    return c->hardware.n > 0 ? c->hardware.variant[c->variant]->self : c->self;
}

/* Does the call lie in the block whose name has this hash? */
static bool cost_is_in(const lode_trace_call *call, uint64_t label) {
    return cost_label_block(call->label) == label;
}

/* Price of one block of the trace: the sum of its calls, or what the model says of them together.
 */
static lode_status cost_price_block(lode_cost *c, const char *name, const lode_tape *trace,
                                    const int *call, int n, double *out) {
    *out = 0;
    if (c->model->block_cost)
        return c->model->block_cost(
            cost_self(c),
            &(lode_cost_block){.name = name, .trace = trace, .call = call, .n_calls = n}, out);
    for (int i = 0; i < n; i++) {
        double price = 0;
        LODE_TRY(c->model->op_cost(cost_self(c), lode_trace_get(trace, call[i]), &price));
        *out += price;
    }
    return LODE_OK;
}

static lode_status cost_check_trace(const lode_cost *c, const lode_tape *trace) {
    for (int i = 0; i < lode_trace_n(trace); i++) {
        const lode_trace_call *call = lode_trace_get(trace, i);
        if (cost_find_term(c, cost_label_block(call->label)) < 0)
            return LODE_FAIL(LODE_ERR_INTERNAL, "cost: call %s of \"%s\" lies in no block",
                             call->call.op->name, call->label);
    }
    return LODE_OK;
}

/* Prices of all blocks of a trace, [n_terms]; with `arch` only of combinations without one. */
static lode_status cost_price_trace(lode_cost *c, const lode_tape *trace, const lode_arch *arch,
                                    double *price) {
    int n_calls = lode_trace_n(trace);
    int *call = LODE_NEW_ARRAY(int, n_calls + 1);
    if (!call) return LODE_ERR_NO_MEMORY;
    lode_status status = cost_check_trace(c, trace);
    for (int i = 0; status == LODE_OK && i < c->n_terms; i++) {
        int n = 0;
        price[i] = 0;
        if (arch && c->term[i].known[cost_combo_of(&c->term[i], arch)]) continue;
        if (i == lode_supernet_n_blocks(c->net)) { /* what the device costs by itself */
            price[i] = c->model->constant(cost_self(c));
            continue;
        }
        for (int k = 0; k < n_calls; k++) {
            const lode_trace_call *one = lode_trace_get(trace, k);
            bool skip = one->is_view && c->model->block_cost;
            if (!skip && cost_is_in(one, c->term[i].label)) call[n++] = k;
        }
        status =
            cost_price_block(c, lode_supernet_block(c->net, i)->name, trace, call, n, &price[i]);
    }
    lode_free(call);
    return status;
}

/* Traces one architecture and stores the price of every block whose combination was still unknown.
 */
static lode_status cost_price_arch(lode_cost *c, const lode_arch *arch) {
    LODE_TRY(lode_cost_trace(c, arch, c->trace));
    double *price = LODE_NEW_ARRAY(double, c->n_terms + 1);
    if (!price) return LODE_ERR_NO_MEMORY;
    lode_status status = cost_price_trace(c, c->trace, arch, price);
    if (status != LODE_OK && c->hardware.n_reads > 0)
        status = cost_hardware_context(&c->hardware, lode_supernet_space(c->net), c->variant);
    for (int i = 0; status == LODE_OK && i < c->n_terms; i++) {
        cost_term *term = &c->term[i];
        int combo = cost_combo_of(term, arch);
        if (term->known[combo]) continue;
        term->price[combo] = price[i];
        term->known[combo] = true;
    }
    lode_free(price);
    return status;
}

/* An architecture that shows as many combinations without a price as agree; false: all have one. */
static bool cost_next_arch(const lode_cost *c, lode_arch *arch) {
    int assigned[LODE_MAX_DECISIONS];
    for (int d = 0; d < LODE_MAX_DECISIONS; d++) assigned[d] = -1;
    bool any = false;
    for (int i = 0; i < c->n_terms; i++)
        for (int combo = 0; combo < c->term[i].n_combos; combo++)
            if (!c->term[i].known[combo] && cost_assign(c, &c->term[i], combo, assigned)) {
                any = true;
                break;
            }
    *arch = (lode_arch){.n = c->n_decisions};
    for (int d = 0; d < c->n_decisions; d++)
        arch->option[d] = (uint8_t)(assigned[d] < 0 ? 0 : assigned[d]);
    return any;
}

static lode_status cost_price_all(lode_cost *c) {
    lode_arch arch;
    while (cost_next_arch(c, &arch)) LODE_TRY(cost_price_arch(c, &arch));
    return LODE_OK;
}

/* Everything depends on a device that is decided: every term reads those decisions too. */
static lode_status cost_read_hardware(const lode_cost *c, cost_term *term) {
    enum { MOST = 1 << 16 };
    int64_t n = 1;
    for (int i = 0; i < c->hardware.n_reads; i++) {
        lode_block_read *read = &term->reads[term->n_reads++];
        *read = (lode_block_read){.decision = c->hardware.decision[i],
                                  .n_classes = c->hardware.n_options[i]};
        for (int k = 0; k < read->n_classes; k++) read->class_of[k] = (uint8_t)k;
    }
    for (int r = 0; r < term->n_reads; r++) n *= term->reads[r].n_classes;
    if (n > MOST)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "cost %s: a block and the device can be %lld different ones together, and "
                         "each is priced; at most %d are possible, so decide less of the device",
                         c->name, (long long)n, (int)MOST);
    term->n_combos = (int)n;
    return LODE_OK;
}

static lode_status cost_list_terms(lode_cost *c) {
    int n_blocks = lode_supernet_n_blocks(c->net);
    bool decided = c->hardware.n_reads > 0 && c->model->constant;
    c->n_terms = n_blocks + decided;
    c->term = LODE_NEW_ARRAY(cost_term, c->n_terms + 1);
    if (!c->term) return LODE_ERR_NO_MEMORY;
    for (int i = 0; i < c->n_terms; i++) {
        const lode_block *block = i < n_blocks ? lode_supernet_block(c->net, i) : NULL;
        cost_term *term = &c->term[i];
        if (block) {
            term->label = lode_hash_bytes(block->name, strlen(block->name), 0);
            term->n_reads = block->n_reads;
            for (int r = 0; r < block->n_reads; r++) term->reads[r] = block->reads[r];
        }
        LODE_TRY(cost_read_hardware(c, term));
        term->price = LODE_NEW_ARRAY(double, term->n_combos);
        term->known = LODE_NEW_ARRAY(bool, term->n_combos);
        if (!term->price || !term->known) return LODE_ERR_NO_MEMORY;
    }
    return LODE_OK;
}

/* One term per decision, priced by its options; of a fixed network the constant. */
static lode_status cost_price_choices(lode_cost *c) {
    const lode_space *space = lode_supernet_space(c->net);
    lode_arch fixed;
    if (c->n_decisions == 0 && lode_supernet_is_fixed(c->net, &fixed)) {
        for (int d = 0; d < fixed.n; d++) {
            double price = 0;
            LODE_TRY(c->model->choice_cost(c->self, space, d, fixed.option[d], &price));
            c->constant += price;
        }
        return LODE_OK;
    }
    c->term = LODE_NEW_ARRAY(cost_term, c->n_decisions + 1);
    if (!c->term) return LODE_ERR_NO_MEMORY;
    c->n_terms = c->n_decisions;
    for (int d = 0; d < c->n_decisions; d++) {
        cost_term *term = &c->term[d];
        term->n_reads = 1;
        term->reads[0] = (lode_block_read){.decision = d, .n_classes = c->n_options[d]};
        term->n_combos = c->n_options[d];
        term->price = LODE_NEW_ARRAY(double, term->n_combos);
        term->known = LODE_NEW_ARRAY(bool, term->n_combos);
        if (!term->price || !term->known) return LODE_ERR_NO_MEMORY;
        for (int k = 0; k < term->n_combos; k++) {
            term->reads[0].class_of[k] = (uint8_t)k;
            LODE_TRY(c->model->choice_cost(c->self, space, d, k, &term->price[k]));
            term->known[k] = true;
        }
    }
    return LODE_OK;
}

/* ---- life ---- */

static void cost_list_decisions(lode_cost *c) {
    bool fixed = lode_supernet_is_fixed(c->net, NULL);
    const lode_space *space = lode_supernet_space(c->net);
    c->n_decisions = fixed ? 0 : lode_space_n_decisions(space);
    for (int d = 0; d < c->n_decisions; d++)
        c->n_options[d] = lode_space_decision(space, d)->n_options;
}

/* Everything but who owns what. */
static lode_status cost_start(lode_cost *c, const lode_cost_model *model, void *self,
                              const char *name, lode_supernet *net, int64_t batch,
                              lode_cost **out) {
    lode_status status = LODE_OK;
    c->model = model;
    c->self = self;
    c->net = net;
    c->batch = batch > 0 ? batch : 1;
    c->constant = model->constant && c->hardware.n_reads == 0 ? model->constant(self) : 0;
    snprintf(c->name, sizeof c->name, "%s", name);
    cost_list_decisions(c);
    if (model->bind) LODE_GOTO(model->bind(self, lode_supernet_space(net)));
    LODE_GOTO(lode_tape_create(LODE_TRACE, NULL, &c->trace));
    if (model->choice_cost) LODE_GOTO(cost_price_choices(c));
    if (model->op_cost || model->block_cost) LODE_GOTO(cost_list_terms(c));
    if (model->op_cost || model->block_cost) LODE_GOTO(cost_price_all(c));
    *out = c;
    c = NULL;
done:
    if (c) lode_cost_close(c);
    return status;
}

lode_status cost_create(const lode_cost_model *model, void *self, bool owns_self, const char *name,
                        lode_supernet *net, int64_t batch, lode_cost **out) {
    lode_cost *c = LODE_NEW(lode_cost);
    *out = NULL;
    if (!c) {
        if (owns_self && model->close) model->close(self);
        return LODE_ERR_NO_MEMORY;
    }
    c->owns_self = owns_self;
    return cost_start(c, model, self, name, net, batch, out);
}

lode_status cost_create_on(const lode_cost_model *model, cost_hardware *h, const char *name,
                           lode_supernet *net, int64_t batch, lode_cost **out) {
    lode_cost *c = LODE_NEW(lode_cost);
    *out = NULL;
    if (!c) {
        cost_hardware_close(h);
        return LODE_ERR_NO_MEMORY;
    }
    c->hardware = *h;
    *h = (cost_hardware){0};
    return cost_start(c, model, c->hardware.variant[0]->self, name, net, batch, out);
}

lode_status lode_cost_from_model(const lode_cost_model *model, void *self, lode_supernet *net,
                                 int64_t batch, lode_cost **out) {
    return cost_create(model, self, false, model->name, net, batch, out);
}

void lode_cost_close(lode_cost *c) {
    if (!c) return;
    for (int i = 0; c->term && i < c->n_terms; i++) {
        lode_free(c->term[i].price);
        lode_free(c->term[i].known);
    }
    lode_free(c->term);
    lode_tape_destroy(c->trace);
    if (c->owns_self && c->model->close) c->model->close(c->self);
    cost_hardware_close(&c->hardware);
    lode_free(c);
}

const char *lode_cost_name(const lode_cost *c) { return c->name; }
const char *lode_cost_unit(const lode_cost *c) { return c->model->unit(c->self); }
/* Sums over calls, blocks or decisions, whose expectation is that of their terms. */
bool cost_is_sum(const lode_cost *c) {
    return c->model->op_cost || c->model->block_cost || c->model->choice_cost;
}
const char *lode_cost_no_gradient(const lode_cost *c) {
    if (c->model->no_gradient) return c->model->no_gradient(c->self);
    if (cost_is_sum(c) || c->model->relaxed_cost) return NULL;
    return "it is no sum over operators";
}
bool lode_cost_has_gradient(const lode_cost *c) { return lode_cost_no_gradient(c) == NULL; }
int64_t lode_cost_batch(const lode_cost *c) { return c->batch; }
lode_form lode_cost_form(const lode_cost *c) {
    return c->model->form ? c->model->form(c->self) : LODE_FORM_PLAIN;
}

/* ---- covering a space ---- */

static void cost_mark_known(lode_cost *c, const lode_arch *arch) {
    for (int i = 0; i < c->n_terms; i++) c->term[i].known[cost_combo_of(&c->term[i], arch)] = true;
}

lode_status cost_cover(lode_supernet *net, lode_arch **out, int64_t *n_out) {
    lode_status status = LODE_OK;
    lode_arch arch, *list = NULL;
    int64_t n = 0, capacity = 0;
    lode_cost *c = LODE_NEW(lode_cost);
    *out = NULL;
    *n_out = 0;
    if (!c) return LODE_ERR_NO_MEMORY;
    c->net = net;
    cost_list_decisions(c);
    LODE_GOTO(cost_list_terms(c));
    while (cost_next_arch(c, &arch)) {
        LODE_GOTO(lode_grow((void **)&list, &capacity, n + 1, sizeof *list));
        list[n++] = arch;
        cost_mark_known(c, &arch);
    }
    *out = list;
    *n_out = n;
    list = NULL;
done:
    lode_free(list);
    lode_cost_close(c);
    return status;
}

/* ---- answers ---- */

lode_status lode_cost_of_trace(lode_cost *c, const lode_tape *trace, double *out) {
    *out = 0;
    if (c->model->trace_cost) return c->model->trace_cost(cost_self(c), trace, out);
    if (c->model->arch_cost)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED, "cost %s prices architectures, not traces", c->name);
    if (c->model->choice_cost)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED, "cost %s prices options, not the calls of a trace",
                         c->name);
    double *price = LODE_NEW_ARRAY(double, c->n_terms + 1);
    if (!price) return LODE_ERR_NO_MEMORY;
    lode_status status = cost_price_trace(c, trace, NULL, price);
    *out = c->constant;
    for (int i = 0; status == LODE_OK && i < c->n_terms; i++) *out += price[i];
    lode_free(price);
    return status;
}

lode_status lode_cost_hard(lode_cost *c, const lode_arch *arch, double *out) {
    *out = 0;
    if (c->n_decisions > 0 && (!arch || arch->n != c->n_decisions))
        return LODE_FAIL(LODE_ERR_INVALID, "cost: architecture has %d decisions, the space %d",
                         arch ? arch->n : 0, c->n_decisions);
    for (int d = 0; d < c->n_decisions; d++)
        if (arch->option[d] >= c->n_options[d])
            return LODE_FAIL(LODE_ERR_INVALID, "cost: decision %d has %d options, wanted option %d",
                             d, c->n_options[d], arch->option[d]);
    if (c->model->arch_cost) {
        lode_arch fixed;
        if (c->n_decisions > 0) return c->model->arch_cost(c->self, arch, out);
        lode_supernet_is_fixed(c->net, &fixed);
        return c->model->arch_cost(c->self, &fixed, out);
    }
    if (c->model->trace_cost) {
        LODE_TRY(lode_cost_trace(c, arch, c->trace));
        return lode_cost_of_trace(c, c->trace, out);
    }
    double sum = c->constant;
    for (int i = 0; i < c->n_terms; i++)
        sum += c->term[i].price[c->n_decisions ? cost_combo_of(&c->term[i], arch) : 0];
    *out = sum;
    return LODE_OK;
}
