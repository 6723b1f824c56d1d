/* run_phases.c: costs, targets, supernet training and the search for each target. */
#include "core/json.h"
#include "core/memory.h"
#include "core/platform.h"
#include "search/run_internal.h"
#include "train/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- costs ---- */

static lode_status run_measure_table(run *r, const char *path) {
    lode_table *table = NULL;
    lode_status status = LODE_OK;
    lode_profile_options o = r->recipe->build;
    char *journal = lode_format("%s.partial", path);
    LODE_GOTO(journal ? LODE_OK : LODE_ERR_NO_MEMORY);
    o.journal = journal;
    LODE_GOTO(lode_profile_space(r->whole, r->dispatch, &o, r->progress, &table));
    LODE_GOTO(lode_table_write(table, path));
    LODE_GOTO(lode_file_remove(journal));
done:
    lode_free(journal);
    lode_table_destroy(table);
    return status;
}

char *run_table_path(const run *r) {
    const char *given = r->recipe->cost.table;
    return given ? lode_strdup(given) : run_path(r, "latency_ms.json");
}

static lode_status run_open_cost(run *r, const char *spec, int64_t batch) {
    if (r->n_costs == RUN_MAX_COSTS)
        return LODE_FAIL(LODE_ERR_CONFIG, "cost.models: at most %d costs in all", RUN_MAX_COSTS);
    LODE_TRY(lode_cost_open(spec, r->whole, batch, &r->cost[r->n_costs]));
    const char *name = lode_cost_name(r->cost[r->n_costs++]);
    for (int i = 0; i < r->n_costs - 1; i++)
        if (strcmp(r->cost[i] ? lode_cost_name(r->cost[i]) : "latency_ms", name) == 0)
            return LODE_FAIL(LODE_ERR_CONFIG, "cost.models: there are two costs \"%s\"", name);
    return LODE_OK;
}

static lode_status run_open_latency(run *r, const char *path) {
    char *spec = lode_format("latency_ms=%s", path);
    lode_status status =
        spec ? lode_cost_open(spec, r->whole, 0, &r->cost[RUN_LATENCY]) : LODE_ERR_NO_MEMORY;
    lode_free(spec);
    return status;
}

lode_status run_open_known_costs(run *r) {
    lode_status status = LODE_OK;
    const lode_string_list *models = &r->recipe->cost.models;
    char *path = run_table_path(r);
    LODE_GOTO(path ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (r->recipe->cost.table || lode_file_exists(path)) LODE_GOTO(run_open_latency(r, path));
    r->n_costs = RUN_LATENCY + 1; /* the place is kept */
    LODE_GOTO(run_open_cost(r, "macs", 1));
    LODE_GOTO(run_open_cost(r, "params", 1));
    for (int i = 0; i < models->n; i++) {
        status = run_open_cost(r, models->v[i], 0);
        if (status != LODE_OK) {
            status = lode_error_context("cost.models: \"%s\"", models->v[i]);
            goto done;
        }
    }
done:
    lode_free(path);
    return status;
}

lode_status run_open_costs(run *r) {
    lode_status status = LODE_OK;
    if (r->cost[RUN_LATENCY]) return LODE_OK;
    char *path = run_table_path(r);
    LODE_GOTO(path ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(run_write_status(r, "running", "measure"));
    LODE_GOTO(run_measure_table(r, path));
    LODE_GOTO(run_open_latency(r, path));
done:
    lode_free(path);
    return status;
}

lode_cost *run_find_cost(const run *r, const char *name) {
    lode_text known = {0};
    for (int i = 0; i < r->n_costs; i++) {
        if (!r->cost[i]) continue; /* not measured yet */
        if (strcmp(lode_cost_name(r->cost[i]), name) == 0) {
            lode_text_deinit(&known);
            return r->cost[i];
        }
        lode_text_add(&known, "%s%s", known.length > 0 ? ", " : "", lode_cost_name(r->cost[i]));
    }
    LODE_FAIL(LODE_ERR_CONFIG, "no cost \"%s\" here; there are %s (cost.models adds more)", name,
              known.s ? known.s : "none");
    lode_text_deinit(&known);
    return NULL;
}

/* ---- targets ---- */

lode_status run_resolve_target(run *r, const char *text, run_target *out) {
    char plain[96];
    const char *star = strstr(text, "*baseline");
    size_t n = star ? (size_t)(star - text) : strlen(text);
    if (n >= sizeof plain || (star && star[9] != '\0'))
        return LODE_FAIL(LODE_ERR_CONFIG, "search.targets: \"%s\": want NAME<=NUMBER[*baseline]",
                         text);
    memcpy(plain, text, n);
    plain[n] = '\0';
    LODE_TRY(lode_target_parse(plain, &out->target));
    lode_cost *cost = run_find_cost(r, out->target.name);
    if (!cost) return lode_error_context("search.targets: \"%s\"", text);
    if (star) {
        lode_arch arch;
        double base = 0;
        const lode_string_list *b = &r->recipe->search.baselines;
        const char *equals = b->n ? strchr(b->v[0], '=') : NULL;
        if (!equals)
            return LODE_FAIL(LODE_ERR_CONFIG,
                             "search.targets: \"%s\" needs search.baselines: [name=architecture]",
                             text);
        LODE_TRY(lode_arch_parse(r->space, equals + 1, &arch));
        LODE_TRY(lode_cost_hard(cost, &arch, &base));
        out->target.limit *= base;
    }
    double min = 0, max = 0;
    bool exact = false;
    LODE_TRY(lode_cost_range(cost, &min, &max, NULL, NULL, &exact));
    if (out->target.limit < min)
        return LODE_FAIL(LODE_ERR_INFEASIBLE,
                         "target \"%s\" (%.4g): the smallest %s in space %s is %s%.4g; relax the "
                         "target or widen the space",
                         text, out->target.limit, out->target.name, lode_space_name(r->space),
                         exact ? "" : "about ", min);
    snprintf(out->text, sizeof out->text, "%s<=%.5g", out->target.name, out->target.limit);
    return LODE_OK;
}

static lode_status run_check_list(run *r, const lode_string_list *t) {
    for (int i = 0; i < t->n; i++) {
        run_target resolved;
        bool measured = strncmp(t->v[i], "latency_ms", strlen("latency_ms")) == 0;
        if (measured && !r->cost[RUN_LATENCY]) continue;
        LODE_TRY(run_resolve_target(r, t->v[i], &resolved));
    }
    return LODE_OK;
}

/* Hours before the search would find out. */
lode_status run_check_targets(run *r) {
    LODE_TRY(run_check_list(r, &r->recipe->search.targets));
    lode_status status = run_check_list(r, &r->recipe->search.limits);
    return status == LODE_OK ? status : lode_error_context("search.limits");
}

static lode_status run_resolve_limits(run *r) {
    const lode_string_list *l = &r->recipe->search.limits;
    if (l->n > RUN_MAX_LIMITS)
        return LODE_FAIL(LODE_ERR_CONFIG, "search.limits: %d limits, at most %d", l->n,
                         RUN_MAX_LIMITS);
    for (r->n_limits = 0; r->n_limits < l->n; r->n_limits++) {
        lode_status status = run_resolve_target(r, l->v[r->n_limits], &r->limit[r->n_limits]);
        if (status != LODE_OK) return lode_error_context("search.limits");
    }
    return LODE_OK;
}

int run_limits(const run *r, const run_target *target, bool steered,
               lode_limit out[RUN_MAX_LIMITS + 1]) {
    int n = 0;
    if (target)
        out[n++] = (lode_limit){run_find_cost(r, target->target.name), target->target.limit, 0};
    for (int i = 0; i < r->n_limits; i++) {
        lode_cost *cost = run_find_cost(r, r->limit[i].target.name);
        if (steered && !lode_cost_has_gradient(cost)) continue;
        out[n++] = (lode_limit){cost, r->limit[i].target.limit, 0};
    }
    return n;
}

lode_status run_resolve_targets(run *r) {
    const lode_string_list *t = &r->recipe->search.targets;
    LODE_TRY(run_resolve_limits(r));
    if (t->n > RUN_MAX_TARGETS)
        return LODE_FAIL(LODE_ERR_CONFIG, "search.targets: %d targets, at most %d", t->n,
                         RUN_MAX_TARGETS);
    for (int i = 0; i < t->n; i++) {
        LODE_TRY(run_resolve_target(r, t->v[i], &r->target[i]));
        snprintf(r->target[i].name, sizeof r->target[i].name, "target%d", i + 1);
        r->n_targets++;
    }
    return LODE_OK;
}

/* ---- supernet ---- */

/* Measuring takes minutes; a supernet that has no room should not wait for it to be refused. The
   costs that are not there yet take no memory worth the name. */
static lode_status run_check_part(run *r, lode_search_part part) {
    const lode_recipe *recipe = r->recipe;
    lode_strategy *strategy = NULL;
    const lode_strategy_setup s = {.net = r->net,
                                   .n_epochs = recipe->supernet.epochs,
                                   .options = recipe->strategy_options,
                                   .part = part};
    LODE_TRY(lode_strategy_create(recipe->strategy, &s, &strategy));
    const lode_train_setup setup = {.phase = "supernet",
                                    .net = r->net,
                                    .strategy = strategy,
                                    .data = r->data,
                                    .data_batch = recipe->data.batch,
                                    .runner = lode_dispatch_runner(r->dispatch),
                                    .options = &recipe->supernet,
                                    .seed = recipe->seed};
    lode_status status = lode_train_fits(&setup);
    lode_strategy_destroy(strategy);
    return status;
}

lode_status run_check_memory(run *r) {
    if (!r->recipe->strategy) return LODE_OK;
    if (!r->recipe->search.seek_each) return run_check_part(r, LODE_SEARCH_BOTH);
    LODE_TRY(run_check_part(r, LODE_SEARCH_WEIGHTS));
    return run_check_part(r, LODE_SEARCH_ARCH);
}

lode_status run_find_in_loss(run *r) {
    const lode_string_list *names = &r->recipe->cost.in_loss;
    if (names->n > RUN_MAX_COSTS)
        return LODE_FAIL(LODE_ERR_CONFIG, "cost.in_loss: at most %d costs", RUN_MAX_COSTS);
    for (int i = 0; i < names->n; i++) {
        r->in_loss[i] = run_find_cost(r, names->v[i]);
        if (!r->in_loss[i]) return lode_error_context("cost.in_loss");
    }
    return LODE_OK;
}

static lode_status run_make_strategy(run *r) {
    const lode_recipe *recipe = r->recipe;
    LODE_TRY(run_find_in_loss(r));
    lode_strategy_setup setup = {.net = r->net,
                                 .cost = r->in_loss,
                                 .n_costs = recipe->cost.in_loss.n,
                                 .n_epochs = recipe->supernet.epochs,
                                 .options = recipe->strategy_options};
    if (recipe->search.seek_each)
        setup.part = LODE_SEARCH_WEIGHTS;
    else if (lode_recipe_seeks(recipe)) { /* the recipe has one target then */
        setup.n_seeks = run_limits(r, &r->target[0], true, r->seek);
        setup.seek = r->seek;
    }
    return lode_strategy_create(recipe->strategy, &setup, &r->strategy);
}

lode_status run_train_supernet(run *r) {
    if (!r->recipe->strategy) return LODE_OK;
    lode_status status = LODE_OK;
    lode_train_result result;
    json_t *p = NULL;
    char *metrics = run_path(r, "metrics.jsonl"), *checkpoint = run_path(r, "checkpoint");
    char *probabilities = run_path(r, "probabilities.json"), *weights = NULL;
    LODE_GOTO(metrics && checkpoint && probabilities ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(run_write_status(r, "running", "supernet"));
    LODE_GOTO(run_make_strategy(r));
    lode_train_setup setup = {.phase = "supernet",
                              .net = r->net,
                              .strategy = r->strategy,
                              .data = r->data,
                              .data_batch = r->recipe->data.batch,
                              .workers = (int)r->recipe->data.workers,
                              .runner = lode_dispatch_runner(r->dispatch),
                              .options = &r->recipe->supernet,
                              .seed = r->recipe->seed,
                              .metrics_path = metrics,
                              .checkpoint_directory = checkpoint,
                              .resume = r->resume,
                              .progress = r->progress};
    LODE_GOTO(lode_train(&setup, &result));
    r->stop = result.stop;
    weights = run_path(r, "supernet.safetensors");
    LODE_GOTO(weights ? lode_supernet_save(r->net, weights) : LODE_ERR_NO_MEMORY);
    p = lode_strategy_probabilities_json(r->strategy);
    LODE_GOTO(p ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_json_write(probabilities, p));
done:
    json_decref(p);
    lode_free(metrics);
    lode_free(checkpoint);
    lode_free(probabilities);
    lode_free(weights);
    return status;
}

/* ---- search for one target ---- */

typedef struct run_repair_state {
    run *r;
    const lode_strategy *strategy; /* NULL: all options are as good */
    lode_limit limit[RUN_MAX_LIMITS + 1];
    int n_limits;
} run_repair_state;

/* The rule's architecture breaks a limit: the most probable one that does not. */
static lode_status run_repair_derived(void *self, lode_arch *arch) {
    const run_repair_state *s = self;
    return lode_strategy_best_under(s->strategy, s->limit, s->n_limits, arch, NULL);
}

/* By how much an architecture is above its limits, in shares of them; *worst: the limit it is
   farthest above. */
static lode_status run_excess(const run_repair_state *s, const lode_arch *arch, double *excess,
                              int *worst) {
    double most = 0;
    *excess = 0;
    *worst = 0;
    for (int i = 0; i < s->n_limits; i++) {
        double value = 0, limit = s->limit[i].most;
        LODE_TRY(lode_cost_hard(s->limit[i].cost, arch, &value));
        if (value <= limit) continue;
        double over = (value - limit) / fmax(fabs(limit), 1e-300);
        if (over > most) *worst = i;
        most = fmax(most, over);
        *excess += over;
    }
    return LODE_OK;
}

/* Makes an architecture meet its limits: again and again the single change that saves most excess
   per loss of log-probability, until the limits hold. */
static lode_status run_repair(void *self, lode_arch *arch) {
    run_repair_state *s = self;
    double excess = 0;
    int worst = 0;
    LODE_TRY(run_excess(s, arch, &excess, &worst));
    while (excess > 0) {
        lode_arch best = *arch;
        double best_score = 0, best_excess = excess;
        for (int d = 0; d < arch->n; d++) {
            double p[LODE_MAX_OPTIONS];
            int n_options = lode_space_decision(s->r->space, d)->n_options;
            for (int k = 0; k < n_options; k++) p[k] = 1;
            if (s->strategy) lode_strategy_probabilities(s->strategy, d, p);
            for (int k = 0; k < n_options; k++) {
                double trial_excess = 0;
                int unused = 0;
                lode_arch trial = *arch;
                trial.option[d] = (uint8_t)k;
                if (k == arch->option[d] || lode_space_check(s->r->space, &trial) != LODE_OK)
                    continue;
                LODE_TRY(run_excess(s, &trial, &trial_excess, &unused));
                double loss = log(p[arch->option[d]] + 1e-12) - log(p[k] + 1e-12);
                double score = (excess - trial_excess) / (fmax(loss, 0) + 0.1);
                if (trial_excess < excess && score > best_score) {
                    best_score = score;
                    best_excess = trial_excess;
                    best = trial;
                }
            }
        }
        if (best_score <= 0)
            return LODE_FAIL(
                LODE_ERR_INFEASIBLE, "no single change brings %s, of %d limits, nearer to %.4g",
                lode_cost_name(s->limit[worst].cost), s->n_limits, s->limit[worst].most);
        *arch = best;
        excess = best_excess;
    }
    lode_error_clear();
    return LODE_OK;
}

lode_status run_find(run *r, const run_target *target, const lode_strategy *strategy,
                     const char *origin, lode_trial *best, int *n) {
    lode_status status = LODE_OK;
    const lode_recipe *recipe = r->recipe;
    run_evaluation evaluation = {0};
    run_device device = {.r = r};
    lode_target limit[RUN_MAX_LIMITS + 1];
    lode_evaluator evaluator;
    run_repair_state repair = {.r = r, .strategy = strategy};
    run_policy policy;
    void *searcher = NULL;
    lode_searcher_setup searcher_setup = {.space = r->space,
                                          .options = recipe->searcher_options,
                                          .policy = strategy ? run_policy_draw : NULL,
                                          .policy_self = &policy};
    run_policy_init(r, &policy, strategy, target);
    LODE_GOTO(run_write_status(r, "running", "search"));
    LODE_GOTO(run_evaluation_open(&evaluation, r, &evaluator));
    LODE_GOTO(recipe->searcher->create(&searcher_setup, &searcher));
    lode_study_job job = {.origin = origin,
                          .searcher = recipe->searcher,
                          .searcher_self = searcher,
                          .evaluator = &evaluator,
                          .cost = r->cost,
                          .n_costs = r->n_costs,
                          .trials = recipe->search.trials,
                          .batch = 8,
                          .progress = r->progress};
    bool derived = recipe->search.discretize != LODE_DISCRETIZE_BEST_OF;
    if (derived) {
        job.batch = 1;
        job.trials = recipe->search.keep;
    }
    repair.n_limits = run_limits(r, target, false, repair.limit);
    if (target) limit[job.n_limits++] = target->target;
    for (int i = 0; i < r->n_limits; i++) limit[job.n_limits++] = r->limit[i].target;
    if (job.n_limits > 0) {
        job.limit = limit;
        device.n_limits = run_limits(r, target, false, device.limit);
        bool free = strcmp(recipe->searcher->name, "policy") != 0 && run_has_device(r);
        for (int i = 0; i < device.n_limits; i++) free = free && device.limit[i].most > 0;
        if (free) job.settle = run_fit_device; /* a policy knows probabilities of devices */
        job.settle_self = &device;
        job.repair = derived ? run_repair_derived : run_repair;
        job.repair_self = &repair;
    }
    LODE_GOTO(lode_study_run(r->study, &job));
    LODE_GOTO(lode_study_best(r->study, job.origin, (int)recipe->search.keep, best, n));
done:
    if (searcher && recipe->searcher->destroy) recipe->searcher->destroy(searcher);
    run_evaluation_close(&evaluation);
    return status;
}

lode_status run_search_target(run *r, const run_target *target) {
    lode_status status = LODE_OK;
    const lode_recipe *recipe = r->recipe;
    int n = 0;
    run_sought sought = {0};
    lode_trial *best = LODE_NEW_ARRAY(lode_trial, recipe->search.keep);
    LODE_GOTO(best ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(run_seek(r, target, target ? target->name : "all", &sought));
    r->found_by = sought.strategy;
    LODE_GOTO(run_find(r, target, sought.strategy, target ? target->name : "all", best, &n));
    for (int i = 0; i < n; i++) {
        char name[64];
        const char *role = recipe->strategy ? "found" : recipe->searcher->name;
        if (target && recipe->search.keep == 1)
            snprintf(name, sizeof name, "%s", target->name);
        else
            snprintf(name, sizeof name, "%s-%d", target ? target->name : recipe->searcher->name,
                     i + 1);
        LODE_GOTO(run_finalist(r, name, role, target ? target->text : "", &best[i].arch));
    }
done:
    r->found_by = NULL;
    run_sought_deinit(&sought);
    lode_free(best);
    return status;
}
