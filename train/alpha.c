/* alpha.c: see alpha_internal.h. */
#include "core/memory.h"
#include "train/alpha_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ALPHA_AFTER, ALPHA_ALTERNATE };

/* The i-th of a list whose last element stands for all that follow. */
static double alpha_nth(const lode_f64_list *list, int i, double none) {
    return list->n > 0 ? list->v[i < list->n ? i : list->n - 1] : none;
}

static lode_status alpha_read_costs(lode_alpha *a) {
    const lode_alpha_options *o = &a->options;
    if (a->n_costs > LODE_ALPHA_MAX_COSTS)
        return LODE_FAIL(LODE_ERR_CONFIG, "%d costs in the loss; at most %d", a->n_costs,
                         (int)LODE_ALPHA_MAX_COSTS);
    for (int i = 0; i < a->n_costs; i++) {
        lode_cost_loss_params *p = &a->loss[i];
        lode_cost_loss_kind kind = LODE_COST_LOSS_FBNET;
        if (!lode_cost_has_gradient(a->cost[i]))
            return LODE_FAIL(LODE_ERR_CONFIG,
                             "cost %s has no gradient: use it as a target, not in the loss",
                             lode_cost_name(a->cost[i]));
        if (o->loss.n > 0)
            LODE_TRY(lode_cost_loss_find(o->loss.v[i < o->loss.n ? i : o->loss.n - 1], &kind));
        p->kind = (int32_t)kind;
        p->a = alpha_nth(&o->a, i, 0.2);
        p->b = alpha_nth(&o->b, i, 0.6);
        p->target = alpha_nth(&o->target, i, 0);
        if (lode_cost_loss_check(p) != LODE_OK)
            return lode_error_context("cost %s", lode_cost_name(a->cost[i]));
    }
    return LODE_OK;
}

static lode_status alpha_make_logits(lode_alpha *a, lode_dtype dtype) {
    a->p = LODE_NEW_ARRAY(lode_parameter *, a->n);
    if (a->p == NULL) return LODE_ERR_NO_MEMORY;
    for (int d = 0; d < a->n; d++) {
        const lode_decision *decision = lode_space_decision(a->space, d);
        char *name = lode_format("arch/%s", decision->name);
        if (name == NULL) return LODE_ERR_NO_MEMORY;
        lode_status status = lode_parameter_create(name, LODE_PARAM_LOGITS, dtype,
                                                   &LODE_SHAPE1(decision->n_options), &a->p[d]);
        lode_free(name);
        LODE_TRY(status);
        LODE_TRY(lode_tensor_fill(a->p[d]->value, 0));
    }
    return LODE_OK;
}

lode_status lode_alpha_init(lode_alpha *a, const lode_alpha_options *options,
                            const lode_strategy_setup *setup) {
    memset(a, 0, sizeof *a);
    if (lode_supernet_is_fixed(setup->net, NULL))
        return LODE_FAIL(LODE_ERR_CONFIG, "the network has no decision left: use strategy fixed");
    a->options = *options;
    a->space = lode_supernet_space(setup->net);
    a->n = lode_space_n_decisions(a->space);
    a->cost = setup->cost;
    a->n_costs = setup->n_costs;
    if (options->warmup >= setup->n_epochs)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "arch.warmup is %lld epochs and the run has %lld: the architecture "
                         "parameters would never be trained",
                         (long long)options->warmup, (long long)setup->n_epochs);
    LODE_TRY(alpha_read_costs(a));
    return alpha_make_logits(a, lode_supernet_dtype(setup->net));
}

void lode_alpha_deinit(lode_alpha *a) {
    for (int d = 0; a->p != NULL && d < a->n; d++) lode_parameter_destroy(a->p[d]);
    lode_free(a->p);
    memset(a, 0, sizeof *a);
}

void lode_alpha_plan(const lode_alpha *a, int64_t epoch, lode_epoch_plan *out) {
    bool trains = epoch >= a->options.warmup;
    out->arch_after = trains && a->options.turns == ALPHA_AFTER;
    out->arch_every = trains && a->options.turns == ALPHA_ALTERNATE ? a->options.every : 0;
}

lode_var *lode_alpha_join_costs(const lode_alpha *a, lode_tape *t, lode_var *loss,
                                lode_var *const *weights) {
    for (int i = 0; i < a->n_costs; i++)
        loss = lode_cost_loss(t, loss, lode_cost_expected(t, a->cost[i], weights), &a->loss[i]);
    return loss;
}

void lode_alpha_probabilities(const lode_alpha *a, int decision, double *p) {
    const lode_tensor *alpha = a->p[decision]->value;
    int n = lode_space_decision(a->space, decision)->n_options;
    double max = -INFINITY, sum = 0;
    for (int k = 0; k < n; k++) max = fmax(max, lode_at(alpha, k));
    for (int k = 0; k < n; k++) sum += p[k] = exp(lode_at(alpha, k) - max);
    for (int k = 0; k < n; k++) p[k] /= sum;
}

lode_status lode_alpha_report(const lode_alpha *a, json_t *line) {
    if (a->n_costs == 0) return LODE_OK;
    double(*p)[LODE_MAX_OPTIONS] = lode_calloc((size_t)a->n, sizeof *p);
    const double **row = LODE_NEW_ARRAY(const double *, a->n);
    lode_status status = p != NULL && row != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int d = 0; status == LODE_OK && d < a->n; d++) {
        lode_alpha_probabilities(a, d, p[d]);
        row[d] = p[d];
    }
    for (int i = 0; status == LODE_OK && i < a->n_costs; i++) {
        double value = 0;
        char key[96];
        status = lode_cost_expected_value(a->cost[i], row, &value, NULL);
        snprintf(key, sizeof key, "expected_%s", lode_cost_name(a->cost[i]));
        json_object_set_new(line, key, lode_json_number(value));
    }
    lode_free(p);
    lode_free(row);
    return status;
}

void lode_alpha_optimizer(const lode_alpha *a, lode_optimizer_options *options, double *lr) {
    const lode_alpha_options *o = &a->options;
    *options = lode_optimizer_defaults();
    options->name = o->optimizer;
    options->weight_decay = o->weight_decay;
    options->beta1 = o->beta1;
    options->beta2 = o->beta2;
    *lr = o->lr;
}
