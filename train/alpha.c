/* alpha.c: see alpha_internal.h. */
#include "core/memory.h"
#include "ops/ops.h"
#include "ops/relaxed.h"
#include "train/alpha_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ALPHA_AFTER, ALPHA_ALTERNATE, ALPHA_BEFORE };
enum { ALPHA_SEEK_NONE, ALPHA_SEEK_LIMIT, ALPHA_SEEK_EQUAL };

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

static lode_status alpha_make_logits(lode_alpha *a, lode_dtype dtype, uint64_t seed) {
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
        lode_rng rng = lode_rng_stream(seed, LODE_RNG_INIT, lode_hash_text(a->p[d]->name));
        LODE_TRY(lode_tensor_fill_normal(a->p[d]->value, &rng, 0, a->options.init));
    }
    return LODE_OK;
}

/* What the costs are at first decides whether a logarithm of them can be meant. */
static lode_status alpha_check_first_costs(const lode_alpha *a) {
    for (int i = 0; i < a->n_costs; i++) {
        double value = 0;
        LODE_TRY(lode_alpha_expected(a, a->cost[i], &value));
        if (lode_cost_loss_check_cost(&a->loss[i], value) != LODE_OK)
            return lode_error_context("cost %s (%s)", lode_cost_name(a->cost[i]),
                                      lode_cost_unit(a->cost[i]));
    }
    return LODE_OK;
}

static lode_status alpha_read_limits(lode_alpha *a, const lode_strategy_setup *setup) {
    if (a->options.seek == ALPHA_SEEK_NONE) return LODE_OK;
    if (setup->n_seeks > LODE_ALPHA_MAX_COSTS)
        return LODE_FAIL(LODE_ERR_CONFIG, "%d limits to seek; at most %d", setup->n_seeks,
                         (int)LODE_ALPHA_MAX_COSTS);
    a->seek = setup->seek;
    a->n_seeks = setup->n_seeks;
    for (int i = 0; i < a->n_seeks; i++)
        if (!(a->seek[i].most > 0) || isinf(a->seek[i].most))
            return LODE_FAIL(LODE_ERR_CONFIG, "seeking %s<=%g: the limit must be above 0",
                             lode_cost_name(a->seek[i].cost), a->seek[i].most);
    return LODE_OK;
}

lode_status lode_alpha_init_drawn(lode_alpha *a, const lode_alpha_options *options,
                                  const lode_strategy_setup *setup) {
    memset(a, 0, sizeof *a);
    if (lode_supernet_is_fixed(setup->net, NULL))
        return LODE_FAIL(LODE_ERR_CONFIG, "the network has no decision left: use strategy fixed");
    a->options = *options;
    a->space = lode_supernet_space(setup->net);
    a->n = lode_space_n_decisions(a->space);
    a->cost = setup->cost;
    a->n_costs = setup->n_costs;
    a->part = setup->part;
    if (a->part == LODE_SEARCH_BOTH && options->warmup >= setup->n_epochs)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "arch.warmup is %lld epochs and the run has %lld: the architecture "
                         "parameters would never be trained",
                         (long long)options->warmup, (long long)setup->n_epochs);
    LODE_TRY(alpha_read_limits(a, setup));
    return alpha_make_logits(a, lode_supernet_dtype(setup->net), lode_supernet_seed(setup->net));
}

lode_status lode_alpha_init(lode_alpha *a, const lode_alpha_options *options,
                            const lode_strategy_setup *setup) {
    LODE_TRY(lode_alpha_init_drawn(a, options, setup));
    for (int i = 0; i < a->n_seeks; i++)
        if (!lode_cost_has_gradient(a->seek[i].cost))
            return LODE_FAIL(LODE_ERR_CONFIG,
                             "cost %s has no gradient, so its target cannot be sought by this "
                             "strategy: use strategy reinforce, or arch.seek none",
                             lode_cost_name(a->seek[i].cost));
    LODE_TRY(alpha_read_costs(a));
    return alpha_check_first_costs(a);
}

void lode_alpha_deinit(lode_alpha *a) {
    for (int d = 0; a->p != NULL && d < a->n; d++) lode_parameter_destroy(a->p[d]);
    lode_free(a->p);
    memset(a, 0, sizeof *a);
}

void lode_alpha_plan(const lode_alpha *a, int64_t epoch, lode_epoch_plan *out) {
    bool trains = a->part != LODE_SEARCH_WEIGHTS && epoch >= a->options.warmup;
    out->arch_only = a->part == LODE_SEARCH_ARCH;
    out->arch_after = out->arch_only || (trains && a->options.turns == ALPHA_AFTER);
    out->arch_every = !out->arch_after && trains ? a->options.every : 0;
    out->arch_first = a->options.turns == ALPHA_BEFORE;
}

/* ---- seeking ---- */
static double alpha_excess(const lode_alpha *a, int i, double cost) {
    return cost / a->seek[i].most - 1;
}

double lode_alpha_pull(const lode_alpha *a, int i, double cost) {
    double g = alpha_excess(a, i, cost);
    if (a->options.seek == ALPHA_SEEK_LIMIT) g = fmax(0, g);
    return a->multiplier[i] + a->options.seek_damping * g;
}

void lode_alpha_learn(lode_alpha *a, const double *cost) {
    for (int i = 0; i < a->n_seeks; i++) {
        double m = a->multiplier[i] + a->options.seek_rate * alpha_excess(a, i, cost[i]);
        a->multiplier[i] = a->options.seek == ALPHA_SEEK_LIMIT ? fmax(0, m) : m;
    }
}

lode_status lode_alpha_after_step(lode_alpha *a, const lode_step *step) {
    double cost[LODE_ALPHA_MAX_COSTS];
    if (step->turn != LODE_TURN_ARCH || a->n_seeks == 0) return LODE_OK;
    for (int i = 0; i < a->n_seeks; i++)
        LODE_TRY(lode_alpha_expected(a, a->seek[i].cost, &cost[i]));
    lode_alpha_learn(a, cost);
    return LODE_OK;
}

/* pull (C / T - 1) */
static lode_var *alpha_join_limit(const lode_alpha *a, lode_tape *t, int i, lode_var *loss,
                                  lode_var *const *weights) {
    double now = 0;
    const lode_limit *limit = &a->seek[i];
    lode_status status = lode_alpha_expected(a, limit->cost, &now);
    if (status != LODE_OK) return lode_tape_fail(t, status);
    double pull = lode_alpha_pull(a, i, now);
    lode_var *cost = lode_cost_expected(t, limit->cost, weights);
    return lode_add(t, loss, lode_scale(t, cost, pull / limit->most, -pull));
}

lode_var *lode_alpha_join_costs(const lode_alpha *a, lode_tape *t, lode_var *loss,
                                lode_var *const *weights) {
    for (int i = 0; i < a->n_costs; i++)
        loss = lode_cost_loss(t, loss, lode_cost_expected(t, a->cost[i], weights), &a->loss[i]);
    for (int i = 0; i < a->n_seeks; i++) loss = alpha_join_limit(a, t, i, loss, weights);
    return loss;
}

lode_status lode_alpha_save(const lode_alpha *a, lode_state *s) {
    if (a->n_seeks == 0) return LODE_OK;
    return lode_state_add_numbers(s, "arch_multipliers", a->multiplier, a->n_seeks);
}

lode_status lode_alpha_load(lode_alpha *a, lode_checkpoint *c) {
    /* A supernet that `lode train` made has sought nothing. */
    if (a->n_seeks == 0 || !lode_checkpoint_has(c, "arch_multipliers")) return LODE_OK;
    return lode_checkpoint_load_numbers(c, "arch_multipliers", a->multiplier, a->n_seeks);
}

/* ---- what is known ---- */
lode_status lode_alpha_mixture(const lode_alpha *a, lode_tape *t, lode_choice *choice) {
    for (int d = 0; d < a->n; d++) {
        int n = lode_space_decision(a->space, d)->n_options;
        choice[d] = (lode_choice){.active = (UINT64_C(1) << n) - 1,
                                  .weights = lode_softmax(t, lode_parameter_var(t, a->p[d]))};
    }
    return lode_tape_status(t);
}

lode_var *lode_alpha_gumbel(const lode_alpha *a, lode_tape *t, const lode_step *step, int d,
                            double tau, bool per_sample, bool hard) {
    lode_rng rng = lode_rng_stream(step->seed, LODE_RNG_GUMBEL, (uint64_t)step->step);
    rng.position = (uint64_t)step->pass << 52 | (uint64_t)d << 40;
    if (per_sample)
        rng.position +=
            (uint64_t)(step->first_sample * lode_space_decision(a->space, d)->n_options);
    lode_var *alpha = lode_parameter_var(t, a->p[d]);
    return lode_gumbel_softmax(t, alpha, tau, rng, per_sample ? step->batch : 0, hard);
}

void lode_alpha_probabilities(const lode_alpha *a, int decision, double *p) {
    const lode_tensor *alpha = a->p[decision]->value;
    int n = lode_space_decision(a->space, decision)->n_options;
    double max = -INFINITY, sum = 0;
    for (int k = 0; k < n; k++) max = fmax(max, lode_at(alpha, k));
    for (int k = 0; k < n; k++) sum += p[k] = exp(lode_at(alpha, k) - max);
    for (int k = 0; k < n; k++) p[k] /= sum;
}

lode_status lode_alpha_expected(const lode_alpha *a, lode_cost *cost, double *out) {
    double(*p)[LODE_MAX_OPTIONS] = lode_calloc((size_t)a->n, sizeof *p);
    const double **row = LODE_NEW_ARRAY(const double *, a->n);
    lode_status status = p != NULL && row != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int d = 0; status == LODE_OK && d < a->n; d++) {
        lode_alpha_probabilities(a, d, p[d]);
        row[d] = p[d];
    }
    if (status == LODE_OK) status = lode_cost_expected_value(cost, row, out, NULL);
    lode_free(p);
    lode_free(row);
    return status;
}

static lode_status alpha_report_expected(const lode_alpha *a, lode_cost *cost, json_t *line) {
    double value = 0;
    char key[96];
    snprintf(key, sizeof key, "expected_%s", lode_cost_name(cost));
    if (!lode_cost_has_gradient(cost) || json_object_get(line, key) != NULL) return LODE_OK;
    LODE_TRY(lode_alpha_expected(a, cost, &value));
    json_object_set_new(line, key, lode_json_number(value));
    return LODE_OK;
}

lode_status lode_alpha_report(const lode_alpha *a, json_t *line) {
    for (int i = 0; i < a->n_costs; i++) LODE_TRY(alpha_report_expected(a, a->cost[i], line));
    for (int i = 0; i < a->n_seeks; i++) {
        char key[96];
        LODE_TRY(alpha_report_expected(a, a->seek[i].cost, line));
        snprintf(key, sizeof key, "multiplier_%s", lode_cost_name(a->seek[i].cost));
        json_object_set_new(line, key, lode_json_number(a->multiplier[i]));
    }
    return LODE_OK;
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
