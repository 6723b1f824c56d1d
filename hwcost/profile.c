/* profile.c: measures the calls of a space and fits the whole-network correction: see profile.h. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/profile_internal.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const lode_option profile_rows[] = {
    {"batch", LODE_OPT_INT, offsetof(lode_profile_options, batch), "1", 1, 4096, "images",
     "images per forward pass"},
    {"warmup", LODE_OPT_INT, offsetof(lode_profile_options, warmup), "3", 0, 10000, NULL,
     "untimed passes of each architecture before the first timed one"},
    {"rounds", LODE_OPT_INT, offsetof(lode_profile_options, rounds), "40", 3, 100000, NULL,
     "timed passes of each architecture"},
    {"networks", LODE_OPT_INT, offsetof(lode_profile_options, networks), "16", 0, 10000, NULL,
     "random networks that fit the constant and slope of the whole; 0 skips the fit"},
    {"budget_s", LODE_OPT_F64, offsetof(lode_profile_options, budget_s), "0", 0, 1e9, "s",
     "stop measuring after this time with what there is; 0 means no limit"},
    {"precision", LODE_OPT_F64, offsetof(lode_profile_options, precision), "1", 0, 100, "%",
     "stop after ten rounds when the medians of all networks are known within this; 0: never"},
};
const lode_option_table lode_profile_option_table = {
    "cost.build", profile_rows, (int)(sizeof profile_rows / sizeof *profile_rows)};

static lode_status profile_fill_table(const profile_timer *timer, lode_table *table) {
    for (int64_t i = 0; i < timer->n; i++) {
        const profile_sample *s = &timer->sample[i];
        lode_summary summary;
        LODE_TRY(lode_summarize(s->ms, s->n, &summary));
        lode_table_entry entry = {.call = s->text,
                                  .median = summary.median,
                                  .min = summary.min,
                                  .spread = summary.spread,
                                  .samples = s->n};
        snprintf(entry.provider, sizeof entry.provider, "%s", s->provider);
        LODE_TRY(lode_table_add(table, &entry));
    }
    return LODE_OK;
}

/* What is measured: architectures that cover the space, call by call, and random networks as
   wholes. */
typedef struct profile_plan {
    lode_arch *arch; /* [n_cover + n_networks], NULL: a fixed network */
    int64_t n_cover, n_networks;
    profile_bench *bench; /* one each */
    double *ms;           /* [n_networks, rounds] */
    int64_t *n_ms;        /* [n_networks] of them */
    double stolen;        /* share of the time */
} profile_plan;

static void profile_plan_deinit(profile_plan *p) {
    profile_benches_destroy(p->bench, p->n_cover + p->n_networks);
    lode_free(p->arch);
    lode_free(p->ms);
    lode_free(p->n_ms);
}

static lode_status profile_plan_networks(profile_plan *p, lode_space *space,
                                         const lode_profile_options *o) {
    lode_rng rng = lode_rng_stream(o->seed, LODE_RNG_MEASURE, 3);
    int64_t capacity = p->n_cover;
    LODE_TRY(lode_grow((void **)&p->arch, &capacity, p->n_cover + o->networks, sizeof *p->arch));
    for (; p->n_networks < o->networks; p->n_networks++)
        LODE_TRY(lode_space_sample(space, &rng, &p->arch[p->n_cover + p->n_networks]));
    return LODE_OK;
}

static lode_status profile_plan_measure(profile_plan *p, const lode_supernet *net,
                                        const lode_profile_options *o, const profile_clock *clock,
                                        const lode_progress *progress, profile_timer *timer) {
    const int64_t n = p->n_cover + p->n_networks;
    json_t *about = profile_about("table", net, o->batch, n, o->seed);
    const profile_schedule schedule = {.warmup = o->warmup,
                                       .rounds = o->rounds,
                                       .budget_s = o->budget_s,
                                       .precision = o->precision,
                                       .seed = o->seed,
                                       .clock = clock,
                                       .progress = progress,
                                       .journal = o->journal,
                                       .about = about};
    profile_visit *v = LODE_NEW_ARRAY(profile_visit, n);
    lode_status status = LODE_OK;
    p->ms = LODE_NEW_ARRAY(double, p->n_networks * o->rounds + 1);
    p->n_ms = LODE_NEW_ARRAY(int64_t, p->n_networks + 1);
    LODE_GOTO(v && p->ms && p->n_ms && about ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = i - p->n_cover; /* of a network */
        v[i] = (profile_visit){&p->bench[i], k < 0, k < 0 ? NULL : p->ms + k * o->rounds,
                               k < 0 ? NULL : &p->n_ms[k]};
    }
    LODE_GOTO(profile_visit_all(v, n, &schedule, timer, &p->stolen));
done:
    json_decref(about);
    lode_free(v);
    return status;
}

static lode_status profile_fit_plan(lode_supernet *net, const lode_profile_options *o,
                                    const profile_plan *plan, lode_table *table) {
    const int64_t n = plan->n_networks;
    lode_status status = LODE_OK;
    double *m = LODE_NEW_ARRAY(double, n);
    LODE_GOTO(m ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < n; i++) {
        lode_summary measured;
        LODE_GOTO(lode_summarize(plan->ms + i * o->rounds, plan->n_ms[i], &measured));
        m[i] = measured.median;
    }
    LODE_GOTO(profile_fit(net, o->batch, plan->arch + plan->n_cover, n, m, plan->stolen, table));
done:
    lode_free(m);
    return status;
}

lode_status lode_profile_space_clocked(lode_supernet *net, lode_dispatch *dispatch,
                                       const lode_profile_options *options,
                                       const profile_clock *clock, const lode_progress *progress,
                                       lode_table **out) {
    *out = NULL;
    lode_status status = LODE_OK;
    lode_table *table = NULL;
    lode_cpu cpu = lode_cpu_get();
    lode_space *space = lode_supernet_space(net);
    bool fixed = lode_supernet_is_fixed(net, NULL);
    profile_timer timer = {.record = false};
    profile_plan plan = {.n_cover = 1};
    lode_table_info info = {.quantity = "latency_ms",
                            .unit = "ms",
                            .form = LODE_FORM_FOLDED,
                            .batch = options->batch,
                            .threads = lode_get_threads(),
                            .mhz = cpu.mhz,
                            .warmup = options->warmup,
                            .rounds = options->rounds,
                            .slope = 1,
                            .fit_mape = -1,
                            .stolen = -1};
    snprintf(info.space, sizeof info.space, "%s", lode_space_name(space));
    snprintf(info.device, sizeof info.device, "%s", cpu.name);
    lode_timestamp(info.created);
    LODE_GOTO(lode_table_create(&info, &table));
    LODE_GOTO(profile_cover_space(net, info.form, options->batch, options->seed, &plan.arch,
                                  &plan.n_cover));
    if (!fixed) LODE_GOTO(profile_plan_networks(&plan, space, options));
    LODE_GOTO(profile_benches_create(net, plan.arch, plan.n_cover + plan.n_networks, info.form,
                                     dispatch, options->batch, &plan.bench));
    LODE_GOTO(profile_plan_measure(&plan, net, options, clock, progress, &timer));
    LODE_GOTO(profile_fill_table(&timer, table));
    lode_table_set_stolen(table, clock->own ? plan.stolen : -1);
    if (plan.n_networks > 0) LODE_GOTO(profile_fit_plan(net, options, &plan, table));
    *out = table;
    table = NULL;
done:
    lode_table_destroy(table);
    profile_plan_deinit(&plan);
    profile_timer_deinit(&timer);
    return status;
}

lode_status lode_profile_space(lode_supernet *net, lode_dispatch *dispatch,
                               const lode_profile_options *options, const lode_progress *progress,
                               lode_table **out) {
    const profile_clock clock = lode_profile_clock_here();
    return lode_profile_space_clocked(net, dispatch, options, &clock, progress, out);
}
