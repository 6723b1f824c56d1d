/* trainer.c: walks from step to step.

   The walk is a state machine over the position: trainer_next looks at it and says what comes next
   (a step of the weights, a step of the architecture, the end of an epoch), trainer_make does it
   and moves the position. Between two such moves everything there is to know is in the position and
   in tensors, and a checkpoint may be written; that is the whole secret of resuming bit by bit. */
#include "core/memory.h"
#include "core/platform.h"
#include "train/trainer_internal.h"

#include <math.h>
#include <stdio.h>

/* ---- making ---- */
static lode_status trainer_open_loader(const lode_trainer *t, const char *split,
                                       lode_data_mode mode, int64_t batch, lode_loader **out) {
    int64_t n = lode_data_n_samples(t->setup.data, split) / t->comm->size;
    bool train = mode == LODE_DATA_TRAIN;
    const lode_loader_options options = {.batch = batch,
                                         .workers = t->setup.workers,
                                         .shuffle = train,
                                         .drop_last = train && n >= batch,
                                         .seed = t->setup.seed,
                                         .rank = train ? t->comm->rank : 0,
                                         .n_ranks = train ? t->comm->size : 1};
    return lode_data_loader_with(t->setup.data, split, mode, &options, out);
}

static bool trainer_has_arch_turns(lode_trainer *t) {
    for (int64_t e = 0; e < t->options.epochs; e++) {
        lode_epoch_plan plan = lode_strategy_plan(t->strategy, e);
        if (plan.arch_after || plan.arch_every > 0) return true;
    }
    return false;
}

static lode_status trainer_open_data(lode_trainer *t) {
    int64_t batch = t->options.batch > 0 ? t->options.batch : t->setup.data_batch;
    int64_t eval_batch = t->options.eval_batch > 0 ? t->options.eval_batch : batch;
    const char *eval = t->options.eval_split;
    if (batch < 1) return LODE_FAIL(LODE_ERR_CONFIG, "no batch size: set data.batch");
    if (batch % t->comm->size != 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "a batch of %lld cannot be shared by %d ranks",
                         (long long)batch, t->comm->size);
    t->batch = batch / t->comm->size;
    t->eval_batch = eval_batch;
    LODE_TRY(trainer_open_loader(t, "train", LODE_DATA_TRAIN, t->batch, &t->train));
    t->n_train = lode_loader_n_batches(t->train);
    if (trainer_has_arch_turns(t)) {
        LODE_TRY(trainer_open_loader(t, "arch", LODE_DATA_TRAIN, t->batch, &t->arch_loader));
        t->n_arch = lode_loader_n_batches(t->arch_loader);
    }
    if (eval != NULL && lode_data_n_samples(t->setup.data, eval) > 0)
        LODE_TRY(trainer_open_loader(t, eval, LODE_DATA_EVAL, eval_batch, &t->eval_loader));
    return LODE_OK;
}

/* Architecture steps that are due when `weights` steps of the epoch are done. */
static int64_t trainer_arch_due(const lode_trainer *t, const lode_epoch_plan *plan,
                                int64_t weights) {
    int64_t every = plan->arch_every;
    if (every <= 0) return 0;
    bool early = plan->arch_first && weights < t->n_train;
    return early ? weights / every + 1 : (weights + (plan->arch_first ? every - 1 : 0)) / every;
}

int64_t trainer_arch_steps(const lode_trainer *t, const lode_epoch_plan *plan) {
    return trainer_arch_due(t, plan, t->n_train) + (plan->arch_after ? t->n_arch : 0);
}

static lode_status trainer_make_schedule(lode_trainer *t) {
    const lode_train_options *o = &t->options;
    double n = (double)t->n_train;
    t->schedule = (lode_schedule){.kind = (lode_schedule_kind)o->schedule,
                                  .peak = o->lr,
                                  .final = o->lr_final,
                                  .total = o->epochs * t->n_train,
                                  .warmup = (int64_t)llround(o->warmup * n),
                                  .every = (int64_t)llround(o->lr_every * n),
                                  .gamma = o->lr_gamma};
    t->total_steps = t->schedule.total;
    for (int64_t e = 0; e < o->epochs; e++) {
        lode_epoch_plan plan = lode_strategy_plan(t->strategy, e);
        if (plan.arch_only) t->total_steps -= t->n_train;
        t->arch_steps += trainer_arch_steps(t, &plan);
    }
    t->total_steps += t->arch_steps;
    return lode_schedule_check(&t->schedule);
}

static lode_status trainer_make_strategy(lode_trainer *t) {
    t->strategy = t->setup.strategy;
    if (t->strategy != NULL) return LODE_OK;
    const lode_strategy_plugin *plugin = NULL;
    const char *name = t->options.strategy;
    if (name == NULL) name = lode_supernet_is_fixed(t->setup.net, NULL) ? "fixed" : "gumbel";
    LODE_TRY(lode_strategy_find(name, &plugin));
    const lode_strategy_setup setup = {.net = t->setup.net, .n_epochs = t->options.epochs};
    LODE_TRY(lode_strategy_create(plugin, &setup, &t->own_strategy));
    t->strategy = t->own_strategy;
    return LODE_OK;
}

static lode_status trainer_make_optimizers(lode_trainer *t) {
    lode_optimizer_options options = trainer_optimizer_options(&t->options);
    int n = lode_supernet_n_parameters(t->setup.net),
        n_arch = lode_strategy_n_parameters(t->strategy);
    lode_parameter **p = LODE_NEW_ARRAY(lode_parameter *, (n > n_arch ? n : n_arch) + 1);
    if (p == NULL) return LODE_ERR_NO_MEMORY;
    for (int i = 0; i < n; i++) p[i] = lode_supernet_parameter(t->setup.net, i);
    lode_status status = lode_optimizer_create(&options, p, n, &t->weights);
    if (status == LODE_OK && t->options.ema > 0)
        status = lode_ema_create(t->options.ema, p, n, &t->ema);
    if (status == LODE_OK && n_arch > 0) {
        options = lode_optimizer_defaults();
        t->arch_lr = 1e-3;
        const lode_strategy_plugin *plugin = lode_strategy_get_plugin(t->strategy);
        if (plugin->optimizer != NULL)
            plugin->optimizer(lode_strategy_self(t->strategy), &options, &t->arch_lr);
        for (int i = 0; i < n_arch; i++) p[i] = lode_strategy_parameter(t->strategy, i);
        status = lode_optimizer_create(&options, p, n_arch, &t->arch);
    }
    lode_free(p);
    return status;
}

static lode_status trainer_init(lode_trainer *t) {
    if (t->setup.comm != NULL) LODE_TRY(lode_comm_check(t->setup.comm));
    LODE_TRY(trainer_check_options(&t->options));
    t->dtype = lode_supernet_parameter(t->setup.net, 0)->value->dtype;
    LODE_TRY(trainer_make_strategy(t));
    LODE_TRY(trainer_open_data(t));
    LODE_TRY(trainer_make_schedule(t));
    LODE_TRY(trainer_make_optimizers(t));
    LODE_TRY(trainer_watch_create(t));
    LODE_TRY(lode_tape_create(LODE_TRAIN, t->setup.runner, &t->tape));
    t->started = t->last_save = t->line_started = lode_clock();
    return trainer_resume(t);
}

lode_status lode_trainer_create(const lode_train_setup *setup, lode_trainer **out) {
    *out = NULL;
    lode_trainer *t = LODE_NEW(lode_trainer);
    if (t == NULL) return LODE_ERR_NO_MEMORY;
    t->setup = *setup;
    t->options = *setup->options;
    t->comm = setup->comm != NULL ? setup->comm : lode_comm_single();
    t->trains = -1;
    t->held_at[0] = t->held_at[1] = -1;
    lode_status status = trainer_init(t);
    if (status == LODE_OK)
        *out = t;
    else
        lode_trainer_destroy(t);
    return status;
}

void lode_trainer_destroy(lode_trainer *t) {
    if (t == NULL) return;
    /* The network goes on living: nothing of it may stay frozen, nor keep a half-made gradient. */
    for (int i = 0; i < lode_supernet_n_parameters(t->setup.net); i++)
        lode_supernet_parameter(t->setup.net, i)->frozen = false;
    for (int i = 0; t->strategy != NULL && i < lode_strategy_n_parameters(t->strategy); i++)
        lode_strategy_parameter(t->strategy, i)->frozen = false;
    lode_supernet_clear_grads(t->setup.net);
    lode_tape_destroy(t->tape);
    lode_optimizer_destroy(t->weights);
    lode_optimizer_destroy(t->arch);
    lode_ema_destroy(t->ema);
    trainer_watch_destroy(t);
    lode_loader_destroy(t->train);
    lode_loader_destroy(t->arch_loader);
    lode_loader_destroy(t->eval_loader);
    lode_strategy_destroy(t->own_strategy);
    lode_free(t);
}

/* ---- evaluating ---- */

/* Whom to judge: the one architecture, the strategy's best, or, where all are equal, one drawn. */
lode_status trainer_eval_arch(lode_trainer *t, lode_arch *arch) {
    lode_rng rng = lode_rng_stream(t->setup.seed, LODE_RNG_SAMPLE_ARCH, UINT64_MAX);
    if (lode_strategy_get_plugin(t->strategy)->probabilities != NULL)
        return lode_strategy_best(t->strategy, arch);
    return lode_space_sample(lode_supernet_space(t->setup.net), &rng, arch);
}

/* Running statistics only mean something where one path is always trained. */
lode_bn_mode trainer_eval_bn(const lode_trainer *t) {
    bool settled =
        lode_supernet_is_fixed(t->setup.net, NULL) ||
        (lode_strategy_n_parameters(t->strategy) == 0 && !(lode_strategy_entropy(t->strategy) > 0));
    return settled ? LODE_BN_RUNNING : LODE_BN_BATCH;
}

static lode_status trainer_evaluate(lode_trainer *t) {
    lode_arch arch;
    lode_evaluation e;
    bool fixed = lode_supernet_is_fixed(t->setup.net, NULL);
    if (t->eval_loader == NULL) return LODE_OK;
    if (!fixed) LODE_TRY(trainer_eval_arch(t, &arch));
    const lode_evaluate_setup setup = {.net = t->setup.net,
                                       .arch = fixed ? NULL : &arch,
                                       .loader = t->eval_loader,
                                       .runner = t->setup.runner,
                                       .bn = trainer_eval_bn(t)};
    t->line_started = lode_clock();
    if (t->ema != NULL) LODE_TRY(lode_ema_swap(t->ema));
    lode_status status = lode_evaluate(&setup, &e);
    if (t->ema != NULL) LODE_TRY(lode_ema_swap(t->ema));
    LODE_TRY(status);
    t->at.eval_accuracy = e.accuracy;
    t->at.eval_loss = e.loss;
    t->at.eval_n = (double)e.n;
    return trainer_write_eval(t, &e, fixed ? NULL : &arch);
}

/* ---- walking ---- */
void trainer_advance(trainer_position *at, trainer_move move) {
    bool weights = move == MOVE_WEIGHTS, arch = move == MOVE_ARCH;
    at->weight_batch += weights;
    at->arch_batch += arch;
    at->arch_total += arch;
    at->step += weights || arch;
    if (move != MOVE_END_EPOCH) return;
    at->epoch += 1;
    at->weight_batch = at->arch_batch = 0;
}

static lode_status trainer_end_epoch(lode_trainer *t) {
    int64_t done = (int64_t)t->at.epoch + 1, every = t->options.eval_every;
    LODE_TRY(trainer_write_turn(t, LODE_TURN_ARCH));
    LODE_TRY(trainer_watch_epoch(t));
    if (t->at.stop_rule > 0 || done == t->options.epochs || (every > 0 && done % every == 0))
        LODE_TRY(trainer_evaluate(t));
    for (int turn = 0; turn < 2; turn++) {
        t->at.last[turn] = t->at.sums[turn];
        t->at.sums[turn] = (trainer_sums){0};
    }
    trainer_advance(&t->at, MOVE_END_EPOCH);
    return LODE_OK;
}

static lode_status trainer_weight_step(lode_trainer *t) {
    double begin = lode_clock(), images = t->line_images;
    LODE_TRY(trainer_step(t, LODE_TURN_WEIGHTS));
    t->run_seconds += lode_clock() - begin;
    t->run_images += t->line_images - images;
    trainer_advance(&t->at, MOVE_WEIGHTS);
    trainer_show_progress(t, LODE_TURN_WEIGHTS);
    int64_t done = (int64_t)t->at.weight_batch, every = t->options.log_every;
    if (done == t->n_train || (every > 0 && done % every == 0))
        return trainer_write_turn(t, LODE_TURN_WEIGHTS);
    return LODE_OK;
}

static lode_status trainer_arch_step(lode_trainer *t) {
    LODE_TRY(trainer_step(t, LODE_TURN_ARCH));
    trainer_advance(&t->at, MOVE_ARCH);
    trainer_show_progress(t, LODE_TURN_ARCH);
    return LODE_OK;
}

trainer_move trainer_next(const lode_trainer *t) {
    if (t->at.stop_rule > 0 || (int64_t)t->at.epoch == t->options.epochs) return MOVE_FINISH;
    lode_epoch_plan plan = lode_strategy_plan(t->strategy, (int64_t)t->at.epoch);
    int64_t weights = (int64_t)t->at.weight_batch, arch = (int64_t)t->at.arch_batch;
    if (arch < trainer_arch_due(t, &plan, weights)) return MOVE_ARCH;
    if (weights < t->n_train && !plan.arch_only) return MOVE_WEIGHTS;
    return arch < trainer_arch_steps(t, &plan) ? MOVE_ARCH : MOVE_END_EPOCH;
}

static lode_status trainer_finish(lode_trainer *t) {
    LODE_TRY(trainer_save(t, true));
    t->finished = true;
    return LODE_OK;
}

static lode_status trainer_make(lode_trainer *t, trainer_move move) {
    switch (move) {
    case MOVE_WEIGHTS:
        return trainer_weight_step(t);
    case MOVE_ARCH:
        return trainer_arch_step(t);
    case MOVE_END_EPOCH:
        return trainer_end_epoch(t);
    case MOVE_FINISH:
        break;
    }
    return trainer_finish(t);
}

static lode_status trainer_stop_if_asked(lode_trainer *t) {
    double asked = lode_progress_should_stop(t->setup.progress) ? 1 : 0;
    LODE_TRY(lode_comm_sum(t->comm, &asked, 1));
    if (!(asked > 0)) return LODE_OK;
    LODE_TRY(trainer_save(t, false));
    return LODE_FAIL(LODE_ERR_STOPPED, "%s stopped at epoch %lld of %lld, step %lld%s",
                     t->setup.phase, (long long)t->at.epoch, (long long)t->options.epochs,
                     (long long)t->at.step,
                     t->setup.checkpoint_directory != NULL ? "; resume goes on from here" : "");
}

static lode_status trainer_save_if_due(lode_trainer *t) {
    int64_t every = t->options.checkpoint_steps;
    double seconds = t->options.checkpoint_seconds;
    bool due = (every > 0 && (int64_t)t->at.step % every == 0) ||
               (seconds > 0 && t->comm->size == 1 && lode_clock() - t->last_save >= seconds);
    return due ? trainer_save(t, false) : LODE_OK;
}

lode_status lode_trainer_run_steps(lode_trainer *t, int64_t max_steps, bool *finished) {
    double until = t->at.step + (double)max_steps;
    while (!t->finished) {
        trainer_move move = trainer_next(t);
        bool is_step = move == MOVE_WEIGHTS || move == MOVE_ARCH;
        if (is_step && t->at.step >= until) break;
        LODE_TRY(trainer_stop_if_asked(t));
        LODE_TRY(trainer_make(t, move));
        if (is_step) LODE_TRY(trainer_save_if_due(t));
    }
    *finished = t->finished;
    return LODE_OK;
}

lode_status lode_trainer_run(lode_trainer *t, lode_train_result *result) {
    bool finished = false;
    *result = (lode_train_result){0};
    LODE_TRY(lode_trainer_run_steps(t, INT64_MAX, &finished));
    trainer_sums sums = t->at.last[LODE_TURN_WEIGHTS];
    LODE_TRY(lode_comm_sum(t->comm, (double *)&sums, 3));
    *result = (lode_train_result){
        .loss = sums.seen > 0 ? sums.loss / sums.seen : 0, /* there may be no weight step at all */
        .accuracy = sums.seen > 0 ? sums.correct / sums.seen : 0,
        .eval = {t->at.eval_accuracy, t->at.eval_loss, (int64_t)t->at.eval_n},
        .epochs = (int64_t)t->at.epoch,
        .steps = (int64_t)t->at.step,
        .seconds = lode_clock() - t->started,
        .stop = trainer_early_stop(t),
        .images_per_s = t->run_seconds > 0 ? t->run_images / t->run_seconds : 0};
    return LODE_OK;
}

lode_status lode_trainer_save(lode_trainer *t) { return trainer_save(t, t->finished); }
int64_t lode_trainer_n_steps(const lode_trainer *t) { return (int64_t)t->at.step; }
int64_t lode_trainer_total_steps(const lode_trainer *t) { return t->total_steps; }
lode_step_record lode_trainer_last_step(const lode_trainer *t) {
    lode_step_record r = t->last;
    r.active = t->active;
    return r;
}
lode_strategy *lode_trainer_strategy(lode_trainer *t) { return t->strategy; }

lode_status lode_trainer_use_average(lode_trainer *t) {
    return t->ema != NULL ? lode_ema_swap(t->ema) : LODE_OK;
}

static lode_status trainer_plan_first(lode_trainer *t, lode_memory_plan *plan) {
    LODE_TRY(lode_trainer_plan(t, plan));
    trainer_tell_plan(t, plan);
    LODE_TRY(lode_trainer_check_memory(t, plan));
    LODE_TRY(lode_trainer_reserve(t, plan));
    return trainer_write_plan(t, plan);
}

lode_status lode_train(const lode_train_setup *setup, lode_train_result *result) {
    lode_trainer *t = NULL;
    lode_memory_plan plan = {0};
    *result = (lode_train_result){0};
    LODE_TRY(lode_trainer_create(setup, &t));
    lode_status status = t->finished ? LODE_OK : trainer_plan_first(t, &plan);
    lode_device_reset_peak(lode_cpu_device());
    if (status == LODE_OK) status = lode_trainer_run(t, result);
    lode_device_stats s = lode_device_get_stats(lode_cpu_device());
    if (status == LODE_OK) {
        result->plan = plan;
        result->peak_bytes = s.peak_bytes;
        result->peak_held = s.peak_touched;
        if (plan.total > 0) trainer_tell_peak(t, result);
        status = lode_trainer_use_average(t);
    }
    lode_trainer_destroy(t);
    return status;
}

lode_status lode_train_fits(const lode_train_setup *setup) {
    lode_train_setup s = *setup;
    lode_trainer *t = NULL;
    lode_memory_plan plan;
    s.metrics_path = s.checkpoint_directory = NULL;
    s.resume = false;
    LODE_TRY(lode_trainer_create(&s, &t));
    lode_status status = lode_trainer_plan(t, &plan);
    if (status == LODE_OK) status = lode_trainer_check_memory(t, &plan);
    lode_trainer_destroy(t);
    return status;
}
