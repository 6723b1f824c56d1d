/* profile_energy.c: energy here, by counters that move every millisecond and say nothing of a pass
   of one. So whatever is measured runs again and again for a while, three times; the median counts.
   What the processors use idle is part of it: a pass that takes longer costs more.

   Whole networks take turns. A call runs by itself, its data in cache and its weights prepared;
   what it uses more within a network is for constant and slope, which are fitted to networks. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/energy.h"
#include "hwcost/profile_internal.h"
#include "ops/replay.h"

#include <math.h>
#include <stdio.h>

enum { ENERGY_TURNS = 3 };
static const double ENERGY_NETWORK_S = 0.2, ENERGY_CALL_S = 0.07; /* a turn */
static const double ENERGY_PATIENCE_S = 2; /* for counters that have not moved by then */

/* Runs `passes` passes. */
typedef lode_status (*energy_pass)(void *self, int *passes);

/* Millijoules a pass. */
static lode_status energy_of(energy_pass run, void *self, double seconds, lode_energy *counters,
                             double *mj) {
    double before, after, taken;
    const double start = lode_clock();
    int64_t passes = 0;
    LODE_TRY(lode_energy_read(counters, &before));
    do {
        do {
            int n = 0;
            LODE_TRY(run(self, &n));
            passes += n;
            taken = lode_clock() - start;
        } while (taken < seconds);
        LODE_TRY(lode_energy_read(counters, &after));
    } while (!(after > before) && taken < ENERGY_PATIENCE_S);
    if (!(after > before))
        return LODE_FAIL(
            LODE_ERR_UNSUPPORTED,
            "energy: the counters did not move in %.1f s; they are not of this machine. "
            "Leave energy out, or measure it with --runner",
            taken);
    *mj = (after - before) / (double)passes;
    return LODE_OK;
}

static lode_status energy_stop(const lode_progress *progress, int64_t done, int64_t all) {
    return lode_progress_should_stop(progress)
               ? LODE_FAIL(LODE_ERR_STOPPED, "energy: stopped after %lld of %lld", (long long)done,
                           (long long)all)
               : LODE_OK;
}

/* ---- whole networks ---- */

static lode_status energy_network(void *self, int *passes) {
    const profile_clock clock = {.wall = lode_clock};
    profile_pass pass;
    *passes = 2; /* profile_run makes two */
    return profile_run(self, &clock, NULL, &pass);
}

static lode_status energy_all(profile_bench *bench, int64_t n, lode_energy *counters,
                              const lode_progress *progress, double *out) {
    lode_status status = LODE_OK;
    double *mj = LODE_NEW_ARRAY(double, n *ENERGY_TURNS + 1);
    if (mj == NULL) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < n * ENERGY_TURNS; i++) {
        LODE_GOTO(energy_stop(progress, i, n * ENERGY_TURNS));
        LODE_GOTO(energy_of(energy_network, &bench[i % n], ENERGY_NETWORK_S, counters,
                            &mj[i % n * ENERGY_TURNS + i / n]));
    }
    for (int64_t i = 0; i < n; i++) {
        lode_summary turns;
        LODE_GOTO(lode_summarize(mj + i * ENERGY_TURNS, ENERGY_TURNS, &turns));
        out[i] = turns.median;
    }
done:
    lode_free(mj);
    return status;
}

lode_status lode_profile_energy(const lode_profile_networks *s, double *out) {
    profile_bench *bench = NULL;
    lode_energy *counters = NULL;
    lode_status status = LODE_OK;
    LODE_GOTO(lode_energy_open(&counters));
    LODE_GOTO(profile_open_benches(s, &bench));
    LODE_GOTO(energy_all(bench, s->n, counters, s->progress, out));
done:
    lode_energy_close(counters);
    profile_benches_destroy(bench, s->n);
    return status;
}

/* ---- calls ---- */

typedef struct energy_call {
    lode_tape *trace;
    lode_replay *replay;
    lode_tensor *x;
} energy_call;

static void energy_call_deinit(energy_call *e) {
    lode_replay_destroy(e->replay);
    lode_tape_destroy(e->trace);
    lode_tensor_release(e->x);
}

/* As in the network: images are channels-last, vectors, which may be variances, positive. */
static lode_status energy_call_init(energy_call *e, const lode_op_call *call, lode_dispatch *d) {
    lode_rng rng = lode_rng_stream(1, LODE_RNG_MEASURE, 1);
    lode_var *x[LODE_MAX_INPUTS] = {NULL};
    LODE_TRY(lode_tape_create(LODE_TRACE, NULL, &e->trace));
    for (int k = 0; k < call->n_x; k++) {
        const lode_tensor *like = call->x[k];
        lode_tensor *t = NULL;
        if (like == NULL) continue;
        LODE_TRY(lode_tensor_like(like, &t));
        lode_status status = like->shape.n_dims == 1 ? lode_tensor_fill_uniform(t, &rng, 0.5, 1.5)
                                                     : lode_tensor_fill_normal(t, &rng, 0, 0.1);
        if (status == LODE_OK) x[k] = lode_tape_constant(e->trace, t);
        if (status == LODE_OK && e->x == NULL) e->x = lode_tensor_retain(t);
        lode_tensor_release(t);
        LODE_TRY(status);
    }
    lode_var *y = lode_apply(e->trace, call->op, x, call->n_x, call->params);
    LODE_TRY(lode_tape_status(e->trace));
    return lode_replay_create(e->trace, x[0], y, d, &e->replay);
}

static lode_status energy_call_run(void *self, int *passes) {
    energy_call *e = self;
    lode_tensor *y;
    *passes = 8;
    for (int i = 0; i < *passes; i++) LODE_TRY(lode_replay_run(e->replay, e->x, NULL, &y));
    return LODE_OK;
}

/* One entry. */
static lode_status energy_add_call(const lode_op_call *call, char *text, lode_dispatch *d,
                                   lode_energy *counters, lode_table *table) {
    energy_call e = {NULL};
    double mj[ENERGY_TURNS];
    lode_summary of;
    lode_table_entry entry = {.call = text, .samples = ENERGY_TURNS};
    lode_status status = LODE_OK;
    int warm;
    snprintf(entry.provider, sizeof entry.provider, "%s", lode_dispatch_choose(d, call)->name);
    LODE_GOTO(energy_call_init(&e, call, d));
    LODE_GOTO(energy_call_run(&e, &warm));
    for (int i = 0; i < ENERGY_TURNS; i++)
        LODE_GOTO(energy_of(energy_call_run, &e, ENERGY_CALL_S, counters, &mj[i]));
    LODE_GOTO(lode_summarize(mj, ENERGY_TURNS, &of));
    entry.median = of.median;
    entry.min = of.min;
    entry.spread = of.spread;
    LODE_GOTO(lode_table_add(table, &entry));
done:
    energy_call_deinit(&e);
    return status;
}

/* Every call of these architectures that the table lacks. */
static lode_status energy_calls(lode_supernet *net, lode_dispatch *d, int64_t batch,
                                const lode_arch *arch, int64_t n, lode_energy *counters,
                                const lode_progress *progress, lode_table *table) {
    lode_tape *trace = NULL;
    char *text = NULL;
    lode_status status = LODE_OK;
    LODE_GOTO(lode_tape_create(LODE_TRACE, NULL, &trace));
    for (int64_t a = 0; a < n; a++) {
        LODE_GOTO(lode_supernet_trace_folded(net, arch ? &arch[a] : NULL, batch, trace));
        LODE_GOTO(energy_stop(progress, a, n));
        lode_progress_update(progress, "energy", a, n, "architectures whose calls are measured");
        for (int i = 0; i < lode_trace_n(trace); i++) {
            const lode_trace_call *c = lode_trace_get(trace, i);
            if (c->is_view) continue;
            LODE_GOTO((text = lode_call_text(&c->call)) ? LODE_OK : LODE_ERR_NO_MEMORY);
            if (lode_table_find(table, text) == NULL)
                LODE_GOTO(energy_add_call(&c->call, text, d, counters, table));
            lode_free(text);
            text = NULL;
        }
    }
done:
    lode_free(text);
    lode_tape_destroy(trace);
    return status;
}

/* Whole networks, and the line from sums of calls to them. */
static lode_status energy_fit(lode_supernet *net, lode_dispatch *d, const lode_profile_options *o,
                              lode_energy *counters, const lode_progress *progress,
                              lode_table *table) {
    lode_space *space = lode_supernet_space(net);
    lode_rng rng = lode_rng_stream(o->seed, LODE_RNG_MEASURE, 3);
    profile_bench *bench = NULL;
    lode_status status = LODE_OK;
    lode_arch *arch = LODE_NEW_ARRAY(lode_arch, o->networks + 1);
    double *mj = LODE_NEW_ARRAY(double, o->networks + 1);
    LODE_GOTO(arch && mj ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < o->networks; i++) LODE_GOTO(lode_space_sample(space, &rng, &arch[i]));
    LODE_GOTO(
        profile_benches_create(net, arch, o->networks, LODE_FORM_FOLDED, d, o->batch, &bench));
    LODE_GOTO(energy_all(bench, o->networks, counters, progress, mj));
    LODE_GOTO(profile_fit(net, o->batch, arch, o->networks, mj, -1, table));
done:
    profile_benches_destroy(bench, o->networks);
    lode_free(arch);
    lode_free(mj);
    return status;
}

lode_status lode_profile_space_energy(lode_supernet *net, lode_dispatch *dispatch,
                                      const lode_profile_options *options,
                                      const lode_progress *progress, lode_table **out) {
    const lode_cpu cpu = lode_cpu_get();
    lode_status status = LODE_OK;
    lode_energy *counters = NULL;
    lode_table *table = NULL;
    lode_arch *arch = NULL;
    int64_t n = 1;
    lode_table_info info = {.quantity = "energy_mj",
                            .unit = "mJ",
                            .form = LODE_FORM_FOLDED,
                            .batch = options->batch,
                            .threads = lode_get_threads(),
                            .mhz = cpu.mhz,
                            .rounds = ENERGY_TURNS,
                            .slope = 1,
                            .fit_mape = -1,
                            .stolen = -1};
    *out = NULL;
    snprintf(info.space, sizeof info.space, "%s", lode_space_name(lode_supernet_space(net)));
    snprintf(info.device, sizeof info.device, "%s", cpu.name);
    lode_timestamp(info.created);
    LODE_GOTO(lode_energy_open(&counters));
    LODE_GOTO(lode_table_create(&info, &table));
    LODE_GOTO(profile_cover_space(net, info.form, options->batch, options->seed, &arch, &n));
    LODE_GOTO(energy_calls(net, dispatch, options->batch, arch, n, counters, progress, table));
    if (options->networks > 0 && !lode_supernet_is_fixed(net, NULL))
        LODE_GOTO(energy_fit(net, dispatch, options, counters, progress, table));
    *out = table;
    table = NULL;
done:
    lode_table_destroy(table);
    lode_energy_close(counters);
    lode_free(arch);
    return status;
}
