/* strategy_superkernel.c: one kernel holds all candidates, and thresholds decide how much of it is
   used (Single-Path NAS, Stamoulis et al. 2019).

   A layer is one mbconv whose depthwise weight w is the largest of all. With 1(.) a step that has
   the sigmoid's gradient, w_3 the middle 3x3 and w_5 the ring around it, and halves of the
   channels,

       w_k = w_3 + 1(|w_5| - t_5) w_5
       w_e = 1(|first| - t_0) (first + 1(|second| - t_1) second)        first, second: of w_k

   and an outer indicator of 0 is a skip, where the layer can be one. More kernels and expansions
   are longer chains of the same kind. Chains give weights over the options of ordinary decisions:
   with d_i the indicators, option i has d_1 .. d_i (1 - d_(i+1)). So the network runs its usual
   mixture, and the expected cost under the same weights is the paper's R = d_0 (R_50 + d_1 (R_100 -
   R_50)) (r + (1 - r) d_5), with the true price of each combination in place of the ratio r.

   Weights and thresholds are trained together, on one split, and minimize
   CE + lambda ln(R); lambda grows from 0, and indicators are dropped out early on. The weights of
   one-hot indicators are one-hot: what runs in the end is one ordinary architecture.

   Deviation from the authors' code: there the masked kernel is normalized, so that channels that
   are switched off still add a constant after the norm. Here channels are masked behind norm and
   activation, and a switched off half is the absent half. */
#include "core/memory.h"
#include "train/loss.h"
#include "train/strategy.h"
#include "train/superkernel_internal.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { SUPERKERNEL_MAX_COSTS = 8 };

typedef struct superkernel_options {
    const char *optimizer;
    double lr, momentum, start, lambda, ramp, dropout, dropout_epochs;
} superkernel_options;

#define ROW(name, type, field, def, min, max, words, help)                                         \
    { name, type, offsetof(superkernel_options, field), def, min, max, words, help }
/* clang-format off */
static const lode_option superkernel_rows[] = {
    ROW("optimizer", LODE_OPT_STRING, optimizer, "sgd", 0, 0, NULL, "optimizer of the thresholds"),
    ROW("lr", LODE_OPT_F64, lr, "0.1", 0, 100, NULL, "its learning rate, constant"),
    ROW("momentum", LODE_OPT_F64, momentum, "0.9", 0, 0.999999, NULL, "its momentum, where it has one"),
    ROW("start", LODE_OPT_F64, start, "0", -1e6, 1e6, NULL, "thresholds at first; a norm below is switched off"),
    ROW("lambda", LODE_OPT_F64, lambda, "0.1", 0, 1e6, NULL, "factor of ln(cost) in the loss"),
    ROW("ramp", LODE_OPT_F64, ramp, "1", 0, 1e6, "epochs", "lambda grows from 0 through these"),
    ROW("dropout", LODE_OPT_F64, dropout, "0.2", 0, 0.9, NULL, "probability that an indicator is dropped at first"),
    ROW("dropout_epochs", LODE_OPT_F64, dropout_epochs, "1", 0, 1e6, "epochs", "it falls to 0 through these"),
};
/* clang-format on */
static const lode_option_table superkernel_table = {
    "arch", superkernel_rows, sizeof superkernel_rows / sizeof *superkernel_rows};

typedef struct superkernel_strategy {
    superkernel_options options;
    lode_supernet *net;
    superkernel_chains chains;
    int n; /* decisions */
    lode_cost *const *cost;
    int n_costs;
    superkernel_block *block; /* [n_blocks] */
    int n_blocks;
    lode_parameter **trained; /* [n_trained] thresholds */
    int n_trained;
} superkernel_strategy;

static void superkernel_destroy(void *self) {
    superkernel_strategy *s = self;
    if (s == NULL) return;
    for (int d = 0; s->chains.threshold != NULL && d < s->n; d++)
        lode_parameter_destroy(s->chains.threshold[d]);
    lode_free(s->chains.threshold);
    lode_free(s->trained);
    lode_free(s->block);
    lode_free(s->chains.weights);
    lode_free(s);
}

/* ---- what the space is made of ---- */
/* The block's entry, made when its first size is met. */
static lode_status superkernel_block_of(superkernel_strategy *s, const lode_decision *size,
                                        superkernel_block **out) {
    char *name = lode_format("%s.depthwise.weight", size->block);
    if (name == NULL) return LODE_ERR_NO_MEMORY;
    lode_parameter *w = lode_supernet_find(s->net, name);
    lode_free(name);
    if (w == NULL)
        return LODE_FAIL(LODE_ERR_CONFIG, "%s has no depthwise convolution to threshold",
                         size->block);
    for (int i = 0; i < s->n_blocks; i++)
        if (s->block[i].depthwise == w) {
            *out = &s->block[i];
            return LODE_OK;
        }
    *out = &s->block[s->n_blocks++];
    **out = (superkernel_block){.depthwise = w,
                                .kernel = -1,
                                .expand = -1,
                                .choice = size->parent,
                                .own = size->parent_option,
                                .rows = w->value->shape.dim[0],
                                .side = w->value->shape.dim[2]};
    return LODE_OK;
}

static lode_status superkernel_read_size(superkernel_strategy *s, int d) {
    const lode_decision *size = lode_space_decision(s->chains.space, d);
    superkernel_block *b = NULL;
    if (size->kind != LODE_DECISION_KERNEL && size->kind != LODE_DECISION_EXPAND)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "decision `%s` is about channels or resolution; thresholds decide "
                         "kernels, expansions and skips",
                         size->name);
    LODE_TRY(superkernel_block_of(s, size, &b));
    *(size->kind == LODE_DECISION_KERNEL ? &b->kernel : &b->expand) = d;
    for (int k = 0; size->kind == LODE_DECISION_EXPAND && k < size->n_options; k++) {
        const double whole = size->value[k] * (double)b->rows / size->value[size->n_options - 1];
        if (whole != floor(whole) || size->value[k] != floor(size->value[k]))
            return LODE_FAIL(LODE_ERR_CONFIG, "decision `%s`: expansion %g is no whole number",
                             size->name, size->value[k]);
    }
    return LODE_OK;
}

/* A choice of a block must be between one with sizes and at most a skip. */
static lode_status superkernel_check_choice(const superkernel_strategy *s, int d) {
    const lode_decision *choice = lode_space_decision(s->chains.space, d);
    for (int i = 0; i < s->n_blocks; i++) {
        const superkernel_block *b = &s->block[i];
        if (b->choice != d) continue;
        if (choice->n_options == 1 ||
            (choice->n_options == 2 && lode_space_option_is_empty(s->chains.space, d, 1 - b->own)))
            return LODE_OK;
    }
    return LODE_FAIL(LODE_ERR_CONFIG,
                     "decision `%s`: its options should be one mbconv with choices of kernel or "
                     "expand, and at most a skip",
                     choice->name);
}

static lode_status superkernel_read_space(superkernel_strategy *s) {
    for (int d = 0; d < s->n; d++)
        if (lode_space_decision(s->chains.space, d)->kind != LODE_DECISION_BLOCK &&
            lode_space_decision(s->chains.space, d)->kind != LODE_DECISION_HARDWARE)
            LODE_TRY(superkernel_read_size(s, d));
    for (int d = 0; d < s->n; d++)
        if (lode_space_decision(s->chains.space, d)->kind == LODE_DECISION_BLOCK)
            LODE_TRY(superkernel_check_choice(s, d));
    return LODE_OK;
}

static lode_status superkernel_make_thresholds(superkernel_strategy *s) {
    for (int d = 0; d < s->n; d++) {
        const lode_decision *decision = lode_space_decision(s->chains.space, d);
        if (decision->n_options < 2) continue;
        const lode_shape shape = LODE_SHAPE1(decision->n_options - 1);
        char *name = lode_format("arch/%s", decision->name);
        if (name == NULL) return LODE_ERR_NO_MEMORY;
        lode_status status = lode_parameter_create(
            name, LODE_PARAM_LOGITS, lode_supernet_dtype(s->net), &shape, &s->chains.threshold[d]);
        lode_free(name);
        LODE_TRY(status);
        LODE_TRY(lode_tensor_fill(s->chains.threshold[d]->value, s->options.start));
        s->trained[s->n_trained++] = s->chains.threshold[d];
    }
    return LODE_OK;
}

static lode_status superkernel_check(const superkernel_strategy *s,
                                     const lode_strategy_setup *setup) {
    if (lode_supernet_is_fixed(setup->net, NULL))
        return LODE_FAIL(LODE_ERR_CONFIG, "the network has no decision left: use strategy fixed");
    if (setup->part == LODE_SEARCH_ARCH)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "thresholds are trained with the weights, not on weights as they are");
    if (setup->n_costs > SUPERKERNEL_MAX_COSTS)
        return LODE_FAIL(LODE_ERR_CONFIG, "%d costs in the loss; at most %d", setup->n_costs,
                         (int)SUPERKERNEL_MAX_COSTS);
    for (int i = 0; i < s->n_costs; i++)
        if (!lode_cost_has_gradient(s->cost[i]))
            return LODE_FAIL(LODE_ERR_CONFIG,
                             "cost %s has no gradient: use it as a target, not in the loss",
                             lode_cost_name(s->cost[i]));
    return LODE_OK;
}

static lode_status superkernel_create(const lode_strategy_setup *setup, void **out) {
    lode_status status = LODE_OK;
    *out = NULL;
    superkernel_strategy *s = LODE_NEW(superkernel_strategy);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    s->options = *(const superkernel_options *)setup->options;
    s->net = setup->net;
    s->chains.space = lode_supernet_space(setup->net);
    s->chains.dtype = lode_supernet_dtype(setup->net);
    s->cost = setup->cost;
    s->n_costs = setup->n_costs;
    LODE_GOTO(superkernel_check(s, setup));
    s->n = lode_space_n_decisions(s->chains.space);
    s->chains.threshold = LODE_NEW_ARRAY(lode_parameter *, s->n);
    s->trained = LODE_NEW_ARRAY(lode_parameter *, s->n);
    s->block = LODE_NEW_ARRAY(superkernel_block, s->n);
    s->chains.weights = LODE_NEW_ARRAY(lode_var *, s->n);
    if (s->chains.threshold == NULL || s->trained == NULL || s->block == NULL ||
        s->chains.weights == NULL)
        LODE_GOTO(LODE_ERR_NO_MEMORY);
    LODE_GOTO(superkernel_read_space(s));
    LODE_GOTO(superkernel_make_thresholds(s));
    *out = s;
    return LODE_OK;
done:
    superkernel_destroy(s);
    return status;
}

static void superkernel_plan(void *self, int64_t epoch, lode_epoch_plan *out) {
    (void)self;
    (void)epoch;
    out->joint = true;
}

/* How far through its first `epochs` the training is: 0 to 1. */
static double superkernel_through(const lode_step *step, double epochs) {
    const double done = (double)step->turn_step * (double)step->n_epochs /
                        (double)(step->n_turn_steps > 0 ? step->n_turn_steps : 1);
    return epochs > 0 ? fmin(1, done / epochs) : 1;
}

static lode_status superkernel_choose(void *self, lode_tape *t, const lode_step *step,
                                      lode_choice *choice) {
    superkernel_strategy *s = self;
    s->chains.dropout =
        s->options.dropout * (1 - superkernel_through(step, s->options.dropout_epochs));
    for (int i = 0; i < s->n_blocks; i++) superkernel_weigh(&s->chains, t, &s->block[i]);
    LODE_TRY(lode_tape_status(t));
    for (int d = 0; d < s->n; d++)
        choice[d] = (lode_choice){
            .active = (UINT64_C(1) << lode_space_decision(s->chains.space, d)->n_options) - 1,
            .weights = s->chains.weights[d]};
    return LODE_OK;
}

static lode_var *superkernel_loss(void *self, lode_tape *t, const lode_step *step, lode_var *logits,
                                  lode_var *cross_entropy) {
    superkernel_strategy *s = self;
    lode_var *loss = cross_entropy;
    const lode_cost_loss_params p = {.a = s->options.lambda *
                                          superkernel_through(step, s->options.ramp),
                                     .kind = LODE_COST_LOSS_ADD_LOG};
    (void)logits;
    for (int i = 0; i < s->n_costs; i++)
        loss = lode_cost_loss(t, loss, lode_cost_expected(t, s->cost[i], s->chains.weights), &p);
    return loss;
}

/* ---- what it ends in ---- */
static void superkernel_probabilities(const void *self, int decision, double *p) {
    const superkernel_strategy *s = self;
    int chosen = 0;
    for (int i = 0; i < s->n_blocks; i++) {
        const superkernel_block *b = &s->block[i];
        if (b->kernel != decision && b->expand != decision && b->choice != decision) continue;
        int kernel, expand, choice;
        superkernel_settle(&s->chains, b, &kernel, &expand, &choice);
        chosen = b->kernel == decision ? kernel : b->expand == decision ? expand : choice;
    }
    for (int k = 0; k < lode_space_decision(s->chains.space, decision)->n_options; k++)
        p[k] = k == chosen;
}

/* The costs of what the thresholds make of the space, and lambda. */
static lode_status superkernel_report(void *self, const lode_step *step, json_t *line) {
    const superkernel_strategy *s = self;
    lode_arch arch = {.n = s->n};
    for (int d = 0; d < s->n; d++) {
        double p[LODE_MAX_OPTIONS];
        superkernel_probabilities(s, d, p);
        while (p[arch.option[d]] < 1) arch.option[d]++;
    }
    json_object_set_new(
        line, "lambda",
        lode_json_number(s->options.lambda * superkernel_through(step, s->options.ramp)));
    for (int i = 0; i < s->n_costs; i++) {
        double value;
        char key[96];
        LODE_TRY(lode_cost_hard(s->cost[i], &arch, &value));
        snprintf(key, sizeof key, "expected_%s", lode_cost_name(s->cost[i]));
        json_object_set_new(line, key, lode_json_number(value));
    }
    return LODE_OK;
}

/* ---- thresholds ---- */
static int superkernel_n_parameters(const void *self) {
    return ((const superkernel_strategy *)self)->n_trained;
}
static lode_parameter *superkernel_parameter(const void *self, int i) {
    return ((const superkernel_strategy *)self)->trained[i];
}
static void superkernel_optimizer(const void *self, lode_optimizer_options *options, double *lr) {
    const superkernel_options *o = &((const superkernel_strategy *)self)->options;
    *options = lode_optimizer_defaults();
    options->name = o->optimizer;
    options->momentum = o->momentum;
    *lr = o->lr;
}

const lode_strategy_plugin lode_strategy_superkernel = {
    .name = "superkernel",
    .about = "Thresholds on parts of one kernel choose kernel, expansion and skips, trained with "
             "the weights (Stamoulis et al. 2019, Single-Path NAS).",
    .options = &superkernel_table,
    .options_size = sizeof(superkernel_options),
    .create = superkernel_create,
    .destroy = superkernel_destroy,
    .plan = superkernel_plan,
    .choose = superkernel_choose,
    .loss = superkernel_loss,
    .n_parameters = superkernel_n_parameters,
    .parameter = superkernel_parameter,
    .optimizer = superkernel_optimizer,
    .probabilities = superkernel_probabilities,
    .report = superkernel_report,
};
