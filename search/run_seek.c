/* run_seek.c: probabilities for one target, and draws from them within its limit.

   With search.seek_each the supernet's training is of the weights alone. Then, for each target, the
   strategy starts anew with equal probabilities and makes architecture steps only, on the weights
   as they are, steered to that target (arch.seek). So n targets cost one supernet and n short
   searches, and all final networks come from the same weights. */
#include "core/json.h"
#include "core/memory.h"
#include "core/platform.h"
#include "search/run_internal.h"

#include <stdio.h>

/* The supernet's options, for a training that makes architecture steps only. */
static lode_train_options seek_options(const run *r) {
    lode_train_options o = r->recipe->supernet;
    o.epochs = r->recipe->search.seek_epochs;
    o.warmup = 0; /* of a rate that nothing is trained with */
    o.ema = 0;    /* the weights are the average already */
    o.eval_every = 0;
    return o;
}

static lode_status seek_train(run *r, lode_strategy *strategy, const char *key) {
    lode_status status = LODE_OK;
    lode_train_result result;
    json_t *p = NULL;
    char phase[32];
    char *metrics = lode_format("%s/seek/%s.jsonl", r->directory, key);
    char *file = lode_format("%s/seek/%s.json", r->directory, key);
    char *checkpoint = run_path(r, "checkpoint"), *folder = run_path(r, "seek");
    snprintf(phase, sizeof phase, "seek_%s", key);
    LODE_GOTO(metrics && checkpoint && folder && file ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_make_directories(folder));
    LODE_GOTO(run_write_status(r, "running", phase));
    lode_train_options options = seek_options(r);
    const lode_train_setup setup = {.phase = phase,
                                    .net = r->net,
                                    .strategy = strategy,
                                    .data = r->data,
                                    .data_batch = r->recipe->data.batch,
                                    .workers = (int)r->recipe->data.workers,
                                    .runner = lode_dispatch_runner(r->dispatch),
                                    .options = &options,
                                    .seed = r->recipe->seed,
                                    .metrics_path = metrics,
                                    .checkpoint_directory = checkpoint,
                                    .resume = r->resume,
                                    .progress = r->progress};
    LODE_GOTO(lode_train(&setup, &result));
    p = lode_strategy_probabilities_json(strategy);
    LODE_GOTO(p ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_json_write(file, p));
done:
    json_decref(p);
    lode_free(metrics);
    lode_free(checkpoint);
    lode_free(folder);
    lode_free(file);
    return status;
}

lode_status run_seek(run *r, const run_target *target, const char *key, run_sought *out) {
    *out = (run_sought){.strategy = r->strategy};
    if (!r->recipe->search.seek_each || !target) return LODE_OK;
    lode_strategy_setup setup = {.net = r->net,
                                 .cost = r->in_loss,
                                 .n_costs = r->recipe->cost.in_loss.n,
                                 .n_epochs = r->recipe->search.seek_epochs,
                                 .options = r->recipe->strategy_options,
                                 .seek = out->limit,
                                 .n_seeks = run_limits(r, target, true, out->limit),
                                 .part = LODE_SEARCH_ARCH};
    if (!out->limit[0].cost) return LODE_ERR_CONFIG;
    LODE_TRY(run_find_in_loss(r));
    LODE_TRY(lode_strategy_create(r->recipe->strategy, &setup, &out->own));
    out->strategy = out->own;
    lode_status status = seek_train(r, out->own, key);
    if (status != LODE_OK) run_sought_deinit(out);
    return status;
}

void run_sought_deinit(run_sought *s) {
    lode_strategy_destroy(s->own);
    s->own = NULL;
    s->strategy = NULL;
}

/* ---- draws ---- */

void run_policy_init(run *r, run_policy *p, const lode_strategy *strategy,
                     const run_target *target) {
    *p = (run_policy){.strategy = strategy, .rule = (lode_discretize)r->recipe->search.discretize};
    double within = r->recipe->search.within;
    p->n_limits = run_limits(r, target, false, p->limit);
    if (target && within > 0) p->limit[0].least = (1 - within) * p->limit[0].most;
}

/* By the rule of search.discretize. A study replayed from its journal asks the same again from the
   beginning, so a count will do. */
lode_status run_policy_draw(void *policy, lode_rng *rng, lode_arch *out) {
    run_policy *p = policy;
    bool most_probable =
        p->rule == LODE_DISCRETIZE_ARGMAX || (p->rule == LODE_DISCRETIZE_BEST_OF && p->drawn == 0);
    p->drawn++;
    if (p->n_limits == 0 || p->rule == LODE_DISCRETIZE_TOP2)
        return lode_strategy_discretize(p->strategy, p->rule, rng, out);
    if (most_probable)
        return lode_strategy_best_under(p->strategy, p->limit, p->n_limits, out, NULL);
    return lode_strategy_sample_under(p->strategy, rng, p->limit, p->n_limits, out);
}
