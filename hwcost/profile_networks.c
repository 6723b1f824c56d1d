/* profile_networks.c: times of whole networks that are to be compared. All are visited in turn, in
   a new random order each round, so that a change of the machine's speed meets all alike. */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/profile_internal.h"

#include <stdlib.h>

/* Who is visited. */
typedef struct profile_tour {
    profile_bench *bench; /* [n] */
    int64_t n;
} profile_tour;

/* One visit to each in a random order; ms [n] (may be NULL). */
static lode_status profile_round(profile_tour *t, uint64_t round, int64_t *order,
                                 profile_timer *timer, const lode_progress *progress, double *ms) {
    lode_rng rng = lode_rng_stream(2, LODE_RNG_MEASURE, round);
    lode_rng_permutation(&rng, order, t->n);
    for (int64_t i = 0; i < t->n; i++) {
        int64_t k = order[i];
        double time = 0;
        if (lode_progress_should_stop(progress))
            return LODE_FAIL(LODE_ERR_STOPPED, "measuring stopped on request");
        LODE_TRY(profile_run(&t->bench[k], timer, &time));
        if (ms) ms[k] = time;
    }
    return LODE_OK;
}

static lode_status profile_rounds(profile_tour *t, int64_t warmup, int64_t rounds,
                                  const lode_progress *progress, lode_summary *out) {
    lode_status status = LODE_OK;
    int64_t n = t->n;
    double *ms = LODE_NEW_ARRAY(double, n *rounds), *one = LODE_NEW_ARRAY(double, rounds);
    int64_t *order = LODE_NEW_ARRAY(int64_t, n);
    LODE_GOTO(ms && one && order ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t r = -warmup; r < rounds; r++) {
        LODE_GOTO(profile_round(t, (uint64_t)(r + warmup), order, NULL, progress,
                                r < 0 ? NULL : ms + r * n));
        lode_progress_update(progress, "measure networks", r + warmup + 1, rounds + warmup, "");
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t r = 0; r < rounds; r++) one[r] = ms[r * n + i];
        LODE_GOTO(lode_summarize(one, rounds, &out[i]));
    }
done:
    lode_free(order);
    lode_free(one);
    lode_free(ms);
    return status;
}

lode_status lode_profile_networks(lode_supernet *net, const lode_arch *arch, int64_t n,
                                  lode_form form, lode_dispatch *dispatch, int64_t batch,
                                  int64_t warmup, int64_t rounds, const lode_progress *progress,
                                  lode_summary *out) {
    profile_tour tour = {.n = n};
    lode_status status = profile_benches_create(net, arch, n, form, dispatch, batch, &tour.bench);
    if (status == LODE_OK) status = profile_rounds(&tour, warmup, rounds, progress, out);
    profile_benches_destroy(tour.bench, n);
    return status;
}

lode_status lode_profile_network(lode_supernet *net, const lode_arch *arch, lode_form form,
                                 lode_dispatch *dispatch, int64_t batch, int64_t warmup,
                                 int64_t rounds, lode_summary *out) {
    return lode_profile_networks(net, arch, 1, form, dispatch, batch, warmup, rounds, NULL, out);
}

/* ---- networks of their own ---- */

static lode_status profile_open_benches(const lode_profile_subnets *s, profile_bench **out) {
    profile_bench *bench = LODE_NEW_ARRAY(profile_bench, s->n);
    lode_status status = bench ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; status == LODE_OK && i < s->n; i++)
        status =
            profile_bench_init(s->net[i], NULL, LODE_FORM_FOLDED, s->dispatch, s->batch, &bench[i]);
    *out = bench;
    return status;
}

static int profile_compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median over the calls of now / then. */
static lode_status profile_drift_of(const profile_timer *timer, const lode_table *table,
                                    double *drift) {
    lode_status status = LODE_OK;
    int64_t n = 0;
    double *ratio = LODE_NEW_ARRAY(double, timer->n + 1);
    LODE_GOTO(ratio ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < timer->n; i++) {
        const profile_sample *s = &timer->sample[i];
        const lode_table_entry *e = lode_table_find(table, s->text);
        lode_summary now;
        LODE_GOTO(lode_summarize(s->ms, s->n, &now));
        if (e && e->median > 0) ratio[n++] = now.median / e->median;
    }
    qsort(ratio, (size_t)n, sizeof *ratio, profile_compare_doubles);
    if (n > 0) *drift = n % 2 ? ratio[n / 2] : 0.5 * (ratio[n / 2 - 1] + ratio[n / 2]);
done:
    lode_free(ratio);
    return status;
}

static lode_status profile_drift(const lode_profile_subnets *s, profile_bench *bench,
                                 double *drift) {
    profile_timer timer = {.record = false};
    lode_status status = LODE_OK;
    int64_t *order = LODE_NEW_ARRAY(int64_t, s->n);
    profile_tour tour = {bench, s->n};
    LODE_GOTO(order ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t r = -s->warmup; r < s->rounds; r++) {
        timer.record = r >= 0;
        LODE_GOTO(
            profile_round(&tour, (uint64_t)(r + s->warmup), order, &timer, s->progress, NULL));
    }
    LODE_GOTO(profile_drift_of(&timer, s->table, drift));
done:
    profile_timer_deinit(&timer);
    lode_free(order);
    return status;
}

lode_status lode_profile_run_subnets(const lode_profile_subnets *s, lode_summary *out,
                                     double *drift) {
    profile_tour tour = {.n = s->n};
    lode_status status = LODE_OK;
    *drift = -1;
    LODE_GOTO(profile_open_benches(s, &tour.bench));
    LODE_GOTO(profile_rounds(&tour, s->warmup, s->rounds, s->progress, out));
    if (s->table) LODE_GOTO(profile_drift(s, tour.bench, drift));
done:
    profile_benches_destroy(tour.bench, s->n);
    return status;
}
