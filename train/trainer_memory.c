/* trainer_memory.c: tells what a training will hold, and refuses one that would not fit. */
#include "core/memory.h"
#include "core/platform.h"
#include "train/trainer_internal.h"

#include <stdio.h>
#include <string.h>

const char *lode_bytes_text(int64_t bytes, char out[24]) {
    double mib = (double)bytes / (1 << 20);
    if (mib >= 1000)
        snprintf(out, 24, "%.2f GiB", mib / 1024);
    else
        snprintf(out, 24, "%.*f MiB", mib >= 100 ? 0 : mib >= 10 ? 1 : 2, mib);
    return out;
}

/* ---- what there is room for ---- */
/* Bytes the process may still take, what the cache holds unused included; -1 when nobody says. */
static int64_t memory_room(const lode_trainer *t) {
    lode_device_stats s = lode_device_get_stats(lode_cpu_device());
    int64_t cached = s.bytes_touched - s.bytes_in_use, available = lode_available_memory_bytes();
    int64_t limit = t->options.memory_limit, rss = lode_rss_bytes(), room = -1;
    if (available > 0) room = available + cached;
    if (limit > 0) {
        int64_t left = limit - (rss > 0 ? rss : s.bytes_touched) + cached;
        if (left < 0) left = 0;
        if (room < 0 || left < room) room = left;
    }
    return room;
}

/* Section of the recipe that the options stand in. */
static const char *memory_section(const lode_trainer *t) {
    return strcmp(t->setup.phase, "supernet") == 0 ? "supernet" : "train";
}

/* ---- what helps ---- */
typedef struct memory_advice {
    lode_trainer *t;
    int64_t room;
    lode_text text;
} memory_advice;

static lode_status memory_try(memory_advice *a, const trainer_variant *v, const char *what,
                              bool only_if_it_fits, bool *fits) {
    lode_memory_plan plan;
    char bytes[24];
    LODE_TRY(trainer_plan_variant(a->t, v, &plan));
    *fits = plan.to_come <= a->room;
    if (only_if_it_fits && !*fits) return LODE_OK;
    lode_text_add(&a->text, "%s%s (%s%s)", a->text.length > 0 ? ", " : "", what,
                  lode_bytes_text(plan.held, bytes), *fits ? "" : ", still too much");
    return LODE_OK;
}

static lode_status memory_try_remat(memory_advice *a) {
    trainer_variant v = {a->t->strategy, LODE_REMAT_LAYER, a->t->batch};
    char what[64];
    bool fits = false;
    if (a->t->options.remat == LODE_REMAT_LAYER) return LODE_OK;
    snprintf(what, sizeof what, "%s.remat: layer", memory_section(a->t));
    return memory_try(a, &v, what, false, &fits);
}

/* The largest half, quarter, ... that fits; the smallest when none does. */
static lode_status memory_try_batch(memory_advice *a) {
    trainer_variant v = {a->t->strategy, a->t->options.remat, a->t->batch / 2};
    char what[64];
    bool fits = false;
    for (; v.batch >= 1 && !fits; v.batch /= 2) {
        snprintf(what, sizeof what, "a batch of %lld", (long long)(v.batch * a->t->comm->size));
        LODE_TRY(memory_try(a, &v, what, v.batch > 1, &fits));
    }
    return LODE_OK;
}

static lode_status memory_try_strategy(memory_advice *a) {
    const lode_strategy_setup setup = {.net = a->t->setup.net, .n_epochs = a->t->options.epochs};
    const lode_strategy_plugin *now = lode_strategy_get_plugin(a->t->strategy);
    lode_strategy *s = NULL;
    bool fits = false;
    if (now == &lode_strategy_single_path || lode_supernet_is_fixed(setup.net, NULL))
        return LODE_OK;
    LODE_TRY(lode_strategy_create(&lode_strategy_single_path, &setup, &s));
    trainer_variant v = {s, a->t->options.remat, a->t->batch};
    char what[64];
    snprintf(what, sizeof what, "%s.strategy: single_path", memory_section(a->t));
    lode_status status = memory_try(a, &v, what, false, &fits);
    lode_strategy_destroy(s);
    return status;
}

static lode_status memory_refuse(lode_trainer *t, const lode_memory_plan *plan, int64_t room) {
    char need[24], more[24], have[24], most[24];
    memory_advice a = {.t = t, .room = room};
    lode_status status = LODE_OK;
    LODE_GOTO(memory_try_remat(&a));
    LODE_GOTO(memory_try_batch(&a));
    LODE_GOTO(memory_try_strategy(&a));
    LODE_GOTO(lode_text_status(&a.text));
    if (t->options.memory_limit > 0)
        snprintf(most, sizeof most, "%s", lode_bytes_text(t->options.memory_limit, have));
    status = LODE_FAIL(
        LODE_ERR_INFEASIBLE,
        "%s: its tensors would take %s, %s more than now, and there is room for %s%s%s%s. What "
        "helps, with what it would take: %s",
        t->setup.phase, lode_bytes_text(plan->held, need), lode_bytes_text(plan->to_come, more),
        lode_bytes_text(room, have), t->options.memory_limit > 0 ? " (engine.memory_limit " : "",
        t->options.memory_limit > 0 ? most : "", t->options.memory_limit > 0 ? ")" : "",
        a.text.length > 0 ? a.text.s : "more memory");
done:
    lode_text_deinit(&a.text);
    return status;
}

lode_status lode_trainer_check_memory(lode_trainer *t, const lode_memory_plan *plan) {
    int64_t room = memory_room(t);
    return room < 0 || plan->to_come <= room ? LODE_OK : memory_refuse(t, plan, room);
}

lode_status lode_trainer_reserve(lode_trainer *t, const lode_memory_plan *plan) {
    (void)t;
    return lode_device_reserve(lode_cpu_device(), plan->to_come + plan->to_come / 32);
}

/* ---- telling ---- */
void trainer_tell_plan(const lode_trainer *t, const lode_memory_plan *plan) {
    char text[9][24];
    int64_t room = memory_room(t);
    const struct {
        const char *name;
        int64_t bytes;
    } part[] = {{"weights", plan->weights},
                {"optimizer", plan->optimizer},
                {"batches", plan->batches},
                {"gradients", plan->gradients},
                {"activations", plan->activations},
                {"workspace", plan->workspace},
                {"other", plan->other}};
    lode_text line = {0};
    for (int i = 0; i < 7; i++)
        if (part[i].bytes > 0)
            lode_text_add(&line, "%s%s %s", line.length > 0 ? " + " : "", part[i].name,
                          lode_bytes_text(part[i].bytes, text[0]));
    if (lode_text_status(&line) == LODE_OK)
        lode_log(LODE_LOG_INFO, "%s: memory plan %s = %s; %s held, room for %s more",
                 t->setup.phase, lode_bytes_text(plan->total, text[1]), line.s,
                 lode_bytes_text(plan->held, text[2]),
                 room < 0 ? "?" : lode_bytes_text(room, text[3]));
    lode_text_deinit(&line);
}

void trainer_tell_peak(const lode_trainer *t, const lode_train_result *r) {
    char planned[24], measured[24], held[24], rss[24];
    lode_log(LODE_LOG_INFO,
             "%s: memory measured %s (planned %s), %s held, peak RSS of the process %s",
             t->setup.phase, lode_bytes_text(r->peak_bytes, measured),
             lode_bytes_text(r->plan.total, planned), lode_bytes_text(r->peak_held, held),
             lode_bytes_text(lode_peak_rss_bytes(), rss));
}
