/* profile_networks.c: times of whole networks that are to be compared, and of their calls beside
   those of a table. */
#include "core/memory.h"
#include "hwcost/profile_internal.h"

lode_status profile_open_benches(const lode_profile_networks *s, profile_bench **out) {
    profile_bench *bench = LODE_NEW_ARRAY(profile_bench, s->n);
    lode_status status = bench ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; status == LODE_OK && i < s->n; i++)
        status = profile_bench_init(s->arch ? s->net[0] : s->net[i], s->arch ? &s->arch[i] : NULL,
                                    s->form, s->dispatch, s->batch, &bench[i]);
    *out = bench;
    return status;
}

/* All the calls' time now / their time in the table: a call that takes much of the networks' time
   has much to say, and one of a microsecond hardly anything. */
static lode_status profile_drift_of(const profile_timer *timer, const lode_table *table,
                                    double *drift) {
    double now = 0, then = 0;
    for (int64_t i = 0; i < timer->n; i++) {
        const profile_sample *s = &timer->sample[i];
        const lode_table_entry *e = lode_table_find(table, s->text);
        lode_summary of;
        LODE_TRY(lode_summarize(s->ms, s->n, &of));
        if (e == NULL) continue;
        now += (double)s->n * of.median;
        then += (double)s->n * e->median;
    }
    if (then > 0) *drift = now / then;
    return LODE_OK;
}

/* So many networks show how long the calls take now; the time is better spent on wholes. */
enum { PROFILE_BY_CALLS = 24 };

/* Networks as wholes and, with a table, some once more call by call, all in the same rounds. */
static lode_status profile_visit_networks(const lode_profile_networks *s, profile_bench *bench,
                                          double *ms, int64_t *n_ms, profile_timer *timer) {
    const int64_t by_calls = s->table == NULL          ? 0
                             : s->n < PROFILE_BY_CALLS ? s->n
                                                       : PROFILE_BY_CALLS;
    const int64_t n = s->n + by_calls;
    profile_visit *v = LODE_NEW_ARRAY(profile_visit, n);
    json_t *about = profile_about("networks", s->net[0], s->batch, n, 2);
    const profile_clock clock = lode_profile_clock_here();
    double stolen;
    const profile_schedule schedule = {.warmup = s->warmup,
                                       .rounds = s->rounds,
                                       .seed = 2,
                                       .clock = &clock,
                                       .progress = s->progress,
                                       .journal = s->journal,
                                       .about = about};
    lode_status status = v && about ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; status == LODE_OK && i < n; i++) {
        const bool timed = i >= s->n;
        v[i] = (profile_visit){&bench[i % s->n], timed, timed ? NULL : ms + i * s->rounds,
                               timed ? NULL : &n_ms[i]};
    }
    if (status == LODE_OK) status = profile_visit_all(v, n, &schedule, timer, &stolen);
    json_decref(about);
    lode_free(v);
    return status;
}

lode_status lode_profile_run_networks(const lode_profile_networks *s, lode_summary *out,
                                      double *drift) {
    profile_bench *bench = NULL;
    profile_timer timer = {.record = false};
    lode_status status = LODE_OK;
    int64_t *n_ms = LODE_NEW_ARRAY(int64_t, s->n);
    double *ms = LODE_NEW_ARRAY(double, s->n * s->rounds);
    if (drift) *drift = -1;
    LODE_GOTO(ms && n_ms ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(profile_open_benches(s, &bench));
    LODE_GOTO(profile_visit_networks(s, bench, ms, n_ms, s->table ? &timer : NULL));
    for (int64_t i = 0; i < s->n; i++)
        LODE_GOTO(lode_summarize(ms + i * s->rounds, n_ms[i], &out[i]));
    if (s->table && drift) LODE_GOTO(profile_drift_of(&timer, s->table, drift));
done:
    profile_timer_deinit(&timer);
    profile_benches_destroy(bench, s->n);
    lode_free(ms);
    lode_free(n_ms);
    return status;
}

lode_status lode_profile_network(lode_supernet *net, const lode_arch *arch, lode_form form,
                                 lode_dispatch *dispatch, int64_t batch, int64_t warmup,
                                 int64_t rounds, lode_summary *out) {
    lode_supernet *const one[1] = {net};
    const lode_profile_networks s = {.net = one,
                                     .arch = arch,
                                     .n = 1,
                                     .form = form,
                                     .dispatch = dispatch,
                                     .batch = batch,
                                     .warmup = warmup,
                                     .rounds = rounds};
    return lode_profile_run_networks(&s, out, NULL);
}
