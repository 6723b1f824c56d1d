/* profile.c: measures the calls of a space and fits the whole-network correction: see profile.h. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/cost_internal.h"
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
};
const lode_option_table lode_profile_option_table = {
    "cost.build", profile_rows, (int)(sizeof profile_rows / sizeof *profile_rows)};

/* ---- covering a space ---- */

/* Nothing wherever there is such an option: a node that nothing reaches runs a call of its own.
   False when there is none. */
static bool profile_all_none(const lode_space *space, lode_arch *out) {
    bool any = false;
    *out = (lode_arch){.n = lode_space_n_decisions(space)};
    for (int d = 0; d < out->n; d++)
        for (int k = 0; k < lode_space_decision(space, d)->n_options; k++)
            if (lode_space_option_kind(space, d, k) == LODE_OPTION_NONE) {
                out->option[d] = (uint8_t)k;
                any = true;
            }
    return any;
}

/* As many architectures as the largest decision has options (times `squares`); in each group of
   n_options, every option of every decision occurs: architecture i takes option (i + shift_d) mod
   n_d. One more takes nothing everywhere. Constraints are not asked, as costs do not ask them. */
static lode_status profile_cover(const lode_space *space, uint64_t seed, int squares,
                                 lode_arch **out, int64_t *n_out) {
    int n_decisions = lode_space_n_decisions(space), widest = 1;
    for (int d = 0; d < n_decisions; d++) {
        int k = lode_space_decision(space, d)->n_options;
        if (k > widest) widest = k;
    }
    lode_arch *arch = LODE_NEW_ARRAY(lode_arch, widest * squares + 1);
    if (!arch) return LODE_ERR_NO_MEMORY;
    int64_t n = 0;
    for (int s = 0; s < squares; s++) {
        lode_rng rng = lode_rng_stream(seed, LODE_RNG_MEASURE, 100 + (uint64_t)s);
        int shift[LODE_MAX_DECISIONS];
        for (int d = 0; d < n_decisions; d++) shift[d] = (int)lode_rng_below(&rng, widest);
        for (int i = 0; i < widest; i++) {
            arch[n].n = n_decisions;
            for (int d = 0; d < n_decisions; d++)
                arch[n].option[d] =
                    (uint8_t)((i + shift[d]) % lode_space_decision(space, d)->n_options);
            n++;
        }
    }
    n += profile_all_none(space, &arch[n]);
    *out = arch;
    *n_out = n;
    return LODE_OK;
}

/* Hashes of calls that were met. */
typedef struct profile_met {
    uint64_t *hash;
    int64_t n, capacity;
} profile_met;

/* Traces an architecture; *news: it has calls that were not met before. */
static lode_status profile_meet(lode_supernet *net, const lode_arch *arch, lode_form form,
                                int64_t batch, lode_tape *trace, profile_met *met, bool *news) {
    LODE_TRY(form == LODE_FORM_FOLDED ? lode_supernet_trace_folded(net, arch, batch, trace)
                                      : lode_supernet_trace(net, arch, batch, false, trace));
    *news = false;
    for (int i = 0; i < lode_trace_n(trace); i++) {
        const uint64_t hash = lode_call_hash(&lode_trace_get(trace, i)->call);
        int64_t k = 0;
        while (k < met->n && met->hash[k] != hash) k++;
        if (k < met->n) continue;
        LODE_TRY(lode_grow((void **)&met->hash, &met->capacity, met->n + 1, sizeof *met->hash));
        met->hash[met->n++] = hash;
        *news = true;
    }
    return LODE_OK;
}

/* Where blocks read several decisions, some calls come with a combination of options only: adds
   architectures that have them to the n there are. */
static lode_status profile_cover_rest(lode_supernet *net, lode_form form, int64_t batch,
                                      lode_arch **arch, int64_t *n) {
    lode_status status = LODE_OK;
    lode_tape *trace = NULL;
    profile_met met = {0};
    lode_arch *more = NULL;
    int64_t n_more = 0, capacity = *n;
    bool news;
    LODE_GOTO(cost_cover(net, &more, &n_more));
    LODE_GOTO(lode_tape_create(LODE_TRACE, NULL, &trace));
    for (int64_t i = 0; i < *n; i++)
        LODE_GOTO(profile_meet(net, &(*arch)[i], form, batch, trace, &met, &news));
    for (int64_t i = 0; i < n_more; i++) {
        LODE_GOTO(profile_meet(net, &more[i], form, batch, trace, &met, &news));
        if (!news) continue;
        LODE_GOTO(lode_grow((void **)arch, &capacity, *n + 1, sizeof **arch));
        (*arch)[(*n)++] = more[i];
    }
done:
    lode_tape_destroy(trace);
    lode_free(met.hash);
    lode_free(more);
    return status;
}

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
    int64_t done;         /* rounds */
} profile_plan;

static void profile_plan_deinit(profile_plan *p) {
    profile_benches_destroy(p->bench, p->n_cover + p->n_networks);
    lode_free(p->arch);
    lode_free(p->ms);
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

static lode_status profile_plan_measure(profile_plan *p, const lode_profile_options *o,
                                        const lode_progress *progress, profile_timer *timer) {
    const int64_t n = p->n_cover + p->n_networks;
    const profile_schedule schedule = {o->warmup, o->rounds, o->budget_s, o->seed, progress};
    profile_visit *v = LODE_NEW_ARRAY(profile_visit, n);
    lode_status status = LODE_OK;
    p->ms = LODE_NEW_ARRAY(double, p->n_networks * o->rounds + 1);
    LODE_GOTO(v && p->ms ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < n; i++) {
        const bool timed = i < p->n_cover;
        v[i] = (profile_visit){&p->bench[i], timed,
                               timed ? NULL : p->ms + (i - p->n_cover) * o->rounds};
    }
    LODE_GOTO(profile_visit_all(v, n, &schedule, timer, &p->done));
done:
    lode_free(v);
    return status;
}

/* Constant and slope between sums of entries and whole networks. */
static lode_status profile_fit(lode_supernet *net, const lode_profile_options *o,
                               const profile_plan *plan, lode_table *table) {
    const int64_t n = plan->n_networks;
    lode_status status = LODE_OK;
    lode_cost *cost = NULL;
    double *p = LODE_NEW_ARRAY(double, 2 * n), *m = p ? p + n : NULL;
    LODE_GOTO(p ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_cost_from_model(lode_cost_model_find("table"), table, net, o->batch, &cost));
    for (int64_t i = 0; i < n; i++) {
        lode_summary measured;
        LODE_GOTO(lode_summarize(plan->ms + i * o->rounds, plan->done, &measured));
        LODE_GOTO(lode_cost_hard(cost, &plan->arch[plan->n_cover + i], &p[i]));
        m[i] = measured.median;
    }
    double constant = 0, slope = 1;
    lode_agreement fit;
    lode_fit_line(p, m, n, &constant, &slope);
    for (int64_t i = 0; i < n; i++) p[i] = constant + slope * p[i];
    LODE_GOTO(lode_agree(p, m, n, &fit));
    lode_table_set_fit(table, constant, slope, fit.mape, n);
done:
    lode_cost_close(cost);
    lode_free(p);
    return status;
}

lode_status lode_profile_space(lode_supernet *net, lode_dispatch *dispatch,
                               const lode_profile_options *options, const lode_progress *progress,
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
                            .fit_mape = -1};
    snprintf(info.space, sizeof info.space, "%s", lode_space_name(space));
    snprintf(info.device, sizeof info.device, "%s", cpu.name);
    lode_timestamp(info.created);
    LODE_GOTO(lode_table_create(&info, &table));
    if (!fixed) LODE_GOTO(profile_cover(space, options->seed, 2, &plan.arch, &plan.n_cover));
    if (!fixed && lode_space_has_sizes(space))
        LODE_GOTO(profile_cover_rest(net, info.form, options->batch, &plan.arch, &plan.n_cover));
    if (!fixed) LODE_GOTO(profile_plan_networks(&plan, space, options));
    LODE_GOTO(profile_benches_create(net, plan.arch, plan.n_cover + plan.n_networks, info.form,
                                     dispatch, options->batch, &plan.bench));
    LODE_GOTO(profile_plan_measure(&plan, options, progress, &timer));
    LODE_GOTO(profile_fill_table(&timer, table));
    if (plan.n_networks > 0) LODE_GOTO(profile_fit(net, options, &plan, table));
    *out = table;
    table = NULL;
done:
    lode_table_destroy(table);
    profile_plan_deinit(&plan);
    profile_timer_deinit(&timer);
    return status;
}
