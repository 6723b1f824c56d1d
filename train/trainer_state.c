/* trainer_state.c: the trainer on disk.

   What a checkpoint holds: the network ("net/..."), its average ("ema/..."), both optimizers'
   moments and counts ("sgd...", "arch_opt..."), the strategy ("arch/..." and its own), and the
   position as one row of numbers. Random numbers, data order and rates follow from the position.
   The manifest adds the length of metrics.jsonl at this moment and the options, so that a run
   cannot be resumed under other ones by mistake. */
#include "core/memory.h"
#include "core/platform.h"
#include "train/trainer_internal.h"

#include <stdio.h>
#include <string.h>

static lode_status state_collect(const lode_trainer *t, lode_state *s) {
    double numbers[TRAINER_NUMBERS];
    memcpy(numbers, &t->at, sizeof numbers);
    LODE_TRY(lode_state_add_numbers(s, "trainer", numbers, TRAINER_NUMBERS));
    for (int i = 0; i < lode_supernet_n_parameters(t->setup.net); i++) {
        const lode_parameter *p = lode_supernet_parameter(t->setup.net, i);
        LODE_TRY(lode_state_add(s, p->value, "net/%s", p->name));
    }
    LODE_TRY(lode_optimizer_save(t->weights, s, "weights_opt"));
    if (t->arch != NULL) LODE_TRY(lode_optimizer_save(t->arch, s, "arch_opt"));
    if (t->ema != NULL) LODE_TRY(lode_ema_save(t->ema, s, "ema"));
    LODE_TRY(trainer_watch_save(t, s));
    return lode_strategy_save(t->strategy, s);
}

static json_t *state_extra(const lode_trainer *t) {
    int64_t bytes = t->setup.metrics_path != NULL ? lode_file_size(t->setup.metrics_path) : 0;
    json_t *extra = json_object();
    json_object_set_new(extra, "metrics_bytes", json_integer(bytes > 0 ? bytes : 0));
    json_object_set_new(extra, "ranks", json_integer(t->comm->size));
    json_object_set_new(extra, "strategy",
                        json_string(lode_strategy_get_plugin(t->strategy)->name));
    json_object_set_new(extra, "options", lode_options_json(&lode_train_option_table, &t->options));
    json_object_set_new(extra, "strategy_options", lode_strategy_options_json(t->strategy));
    return extra;
}

lode_status trainer_save(lode_trainer *t, bool finished) {
    if (t->setup.checkpoint_directory == NULL) return LODE_OK;
    lode_status status = LODE_OK;
    if (t->comm->rank == 0) {
        lode_state state = {0};
        lode_checkpoint_info info = {.seed = t->setup.seed,
                                     .epoch = (int64_t)t->at.epoch,
                                     .step = (int64_t)t->at.step,
                                     .finished = finished};
        snprintf(info.phase, sizeof info.phase, "%s", t->setup.phase);
        json_t *extra = state_extra(t);
        status = state_collect(t, &state);
        if (status == LODE_OK)
            status = lode_checkpoint_save(t->setup.checkpoint_directory, &info, &state, extra);
        json_decref(extra);
        lode_state_deinit(&state);
    }
    t->last_save = lode_clock();
    if (t->comm->size > 1 && status == LODE_OK) status = t->comm->barrier(t->comm->self);
    return status;
}

/* ---- back ---- */

/* Same options, but for those that do not change what is computed. */
static lode_status state_compare(const json_t *then, const json_t *now, const char *section) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)now, key, value) {
        const char *a = json_string_value(json_object_get(then, key));
        const char *b = json_string_value(value);
        if (strncmp(key, "checkpoint_", 11) == 0 || a == NULL || strcmp(a, b) == 0) continue;
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "%s.%s was `%s` when the checkpoint was written and is `%s` now: resume "
                         "with the same options, or start in another directory",
                         section, key, a, b);
    }
    return LODE_OK;
}

static lode_status state_check_same(const lode_trainer *t, const lode_checkpoint *c) {
    const lode_checkpoint_info *info = lode_checkpoint_get_info(c);
    const json_t *then = lode_checkpoint_extra(c);
    if (info->seed != t->setup.seed)
        return LODE_FAIL(LODE_ERR_CONFIG, "the checkpoint's seed is %llu and this run's %llu",
                         (unsigned long long)info->seed, (unsigned long long)t->setup.seed);
    json_t *now = state_extra(t);
    const char *a = json_string_value(json_object_get(then, "strategy"));
    const char *b = json_string_value(json_object_get(now, "strategy"));
    lode_status status = LODE_OK;
    if (a == NULL || b == NULL || strcmp(a, b) != 0)
        status = LODE_FAIL(LODE_ERR_CONFIG, "the checkpoint's strategy is %s and this run's %s",
                           a != NULL ? a : "unknown", b != NULL ? b : "unknown");
    if (status == LODE_OK)
        status = state_compare(json_object_get(then, "options"), json_object_get(now, "options"),
                               t->setup.phase);
    if (status == LODE_OK)
        status = state_compare(json_object_get(then, "strategy_options"),
                               json_object_get(now, "strategy_options"), "arch");
    json_decref(now);
    return status;
}

/* What was logged after the checkpoint will be logged again. */
static lode_status state_cut_metrics(const lode_trainer *t, const lode_checkpoint *c) {
    int64_t want = 0;
    void *bytes = NULL;
    size_t n = 0;
    if (t->setup.metrics_path == NULL || t->comm->rank != 0) return LODE_OK;
    LODE_TRY(lode_json_get_int(lode_checkpoint_extra(c), "metrics_bytes", "checkpoint", &want));
    int64_t have = lode_file_size(t->setup.metrics_path);
    if (have == want || (have < 0 && want == 0)) return LODE_OK;
    if (have < want) {
        lode_log(LODE_LOG_WARN, "%s has %lld bytes, the checkpoint saw %lld: lines are missing",
                 t->setup.metrics_path, (long long)have, (long long)want);
        return LODE_OK;
    }
    LODE_TRY(lode_file_read(t->setup.metrics_path, &bytes, &n));
    lode_status status = lode_file_write_atomic(t->setup.metrics_path, bytes, (size_t)want);
    lode_free(bytes);
    return status;
}

static lode_status state_restore(lode_trainer *t, lode_checkpoint *c) {
    double numbers[TRAINER_NUMBERS];
    for (int i = 0; i < lode_supernet_n_parameters(t->setup.net); i++) {
        const lode_parameter *p = lode_supernet_parameter(t->setup.net, i);
        char *name = lode_format("net/%s", p->name);
        if (name == NULL) return LODE_ERR_NO_MEMORY;
        lode_status status = lode_checkpoint_load(c, name, p->value);
        lode_free(name);
        LODE_TRY(status);
    }
    LODE_TRY(lode_optimizer_load(t->weights, c, "weights_opt"));
    if (t->arch != NULL) LODE_TRY(lode_optimizer_load(t->arch, c, "arch_opt"));
    if (t->ema != NULL) LODE_TRY(lode_ema_load(t->ema, c, "ema"));
    LODE_TRY(trainer_watch_load(t, c));
    LODE_TRY(lode_strategy_load(t->strategy, c));
    LODE_TRY(lode_checkpoint_load_numbers(c, "trainer", numbers, TRAINER_NUMBERS));
    memcpy(&t->at, numbers, sizeof numbers);
    t->finished = lode_checkpoint_get_info(c)->finished;
    return LODE_OK;
}

lode_status trainer_resume(lode_trainer *t) {
    const char *directory = t->setup.checkpoint_directory;
    lode_checkpoint *c = NULL;
    if (directory == NULL) return LODE_OK;
    if (!t->setup.resume) {
        if (t->comm->rank == 0) LODE_TRY(lode_checkpoint_remove(directory, t->setup.phase));
        return trainer_save(t, false);
    }
    lode_status status = lode_checkpoint_open(directory, t->setup.phase, &c);
    if (status == LODE_ERR_NOT_FOUND) return trainer_save(t, false);
    LODE_TRY(status);
    LODE_GOTO(state_check_same(t, c));
    LODE_GOTO(state_restore(t, c));
    LODE_GOTO(state_cut_metrics(t, c));
    lode_log(LODE_LOG_INFO, "%s: resumed at epoch %lld, step %lld", t->setup.phase,
             (long long)t->at.epoch, (long long)t->at.step);
done:
    lode_checkpoint_close(c);
    if (status != LODE_OK) lode_error_context("resuming from %s", directory);
    return status;
}
