/* profile_visits.c: see profile_internal.h.

   A round pays every visit once, so its times belong to one speed of the machine. The speed of a
   round is the median, over the visits, of time in this round / median over all rounds. A round
   whose speed is off by more than a tenth was measured during a drift: it is told, another is
   measured instead, and it is left out in the end. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/journal.h"
#include "hwcost/profile_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { VISITS_MIN_ROUNDS = 10 }; /* before small intervals end it */
static const double visits_drift = 0.10;

typedef struct visits {
    const profile_visit *v;
    int64_t n;
    const profile_schedule *s;
    profile_timer *timer; /* NULL: no visit is timed call by call */
    int64_t *order;       /* [n] */
    double *total;        /* [n, capacity] */
    double *speed;        /* [capacity] of each round */
    int64_t rounds, capacity;
} visits;

static double *visits_total(const visits *w, int64_t i) { return w->total + i * w->capacity; }

/* ---- the journal ---- */

/* {"total": [per visit], "calls": [{"call": ..., "provider": ..., "ms": [...]}]} of the last round.
 */
static lode_status visits_write(const visits *w, const int64_t *before) {
    if (w->s->journal == NULL) return LODE_OK;
    json_t *total = json_array(), *calls = json_array();
    for (int64_t i = 0; i < w->n; i++)
        json_array_append_new(total, json_real(visits_total(w, i)[w->rounds - 1]));
    for (int64_t i = 0; w->timer && i < w->timer->n; i++) {
        const profile_sample *p = &w->timer->sample[i];
        json_t *ms = json_array();
        for (int64_t k = before ? before[i] : 0; k < p->n; k++)
            json_array_append_new(ms, json_real(p->ms[k]));
        json_array_append_new(calls, json_pack("{s:s, s:s, s:o}", "call", p->text, "provider",
                                               p->provider, "ms", ms));
    }
    return lode_journal_add(w->s->journal, json_pack("{s:o, s:o}", "total", total, "calls", calls));
}

static lode_status visits_read_round(visits *w, const json_t *line) {
    const json_t *total = json_object_get(line, "total"), *calls = json_object_get(line, "calls");
    if ((int64_t)json_array_size(total) != w->n || !json_is_array(calls) ||
        w->rounds >= w->capacity)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: a line of it is no round of this measurement; remove "
                         "the file to begin anew",
                         w->s->journal);
    for (int64_t i = 0; i < w->n; i++)
        visits_total(w, i)[w->rounds] = json_number_value(json_array_get(total, (size_t)i));
    for (size_t i = 0; w->timer && i < json_array_size(calls); i++) {
        const json_t *c = json_array_get(calls, i), *ms = json_object_get(c, "ms");
        const char *text = NULL, *provider = NULL;
        LODE_TRY(lode_json_get_string(c, "call", w->s->journal, &text));
        LODE_TRY(lode_json_get_string(c, "provider", w->s->journal, &provider));
        w->timer->round = w->rounds;
        for (size_t k = 0; k < json_array_size(ms); k++)
            LODE_TRY(profile_timer_add(w->timer, text, provider,
                                       json_number_value(json_array_get(ms, k))));
    }
    w->rounds++;
    return LODE_OK;
}

static lode_status visits_resume(visits *w) {
    json_t *lines = NULL;
    if (w->s->journal == NULL) return LODE_OK;
    LODE_TRY(lode_journal_open(w->s->journal, w->s->about, &lines));
    lode_status status = LODE_OK;
    for (size_t i = 0; status == LODE_OK && i < json_array_size(lines); i++)
        status = visits_read_round(w, json_array_get(lines, i));
    if (status == LODE_OK && w->rounds > 0)
        lode_log(LODE_LOG_INFO, "%s: going on after %lld rounds", w->s->journal,
                 (long long)w->rounds);
    json_decref(lines);
    return status;
}

/* ---- rounds ---- */

static lode_status visits_round(visits *w, int64_t number, bool keep) {
    lode_rng rng = lode_rng_stream(w->s->seed, LODE_RNG_MEASURE, 1000 + (uint64_t)number);
    int64_t *before = NULL;
    lode_status status = LODE_OK;
    lode_rng_permutation(&rng, w->order, w->n);
    if (w->timer) {
        w->timer->record = keep;
        w->timer->round = w->rounds;
    }
    for (int64_t i = 0; i < w->n; i++) {
        const profile_visit *at = &w->v[w->order[i]];
        double ms = 0;
        if (lode_progress_should_stop(w->s->progress))
            return LODE_FAIL(LODE_ERR_STOPPED, "measuring stopped on request%s",
                             w->s->journal ? "; the same command goes on" : "");
        LODE_TRY(profile_run(at->bench, at->timed ? w->timer : NULL, &ms));
        if (keep) visits_total(w, w->order[i])[w->rounds] = ms;
    }
    if (!keep) return LODE_OK;
    w->rounds++;
    if (w->s->journal == NULL) return LODE_OK;
    /* What of each call's samples is of this round: those at the end with its number. */
    before = LODE_NEW_ARRAY(int64_t, (w->timer ? w->timer->n : 0) + 1);
    if (before == NULL) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; w->timer && i < w->timer->n; i++) {
        const profile_sample *p = &w->timer->sample[i];
        before[i] = p->n;
        while (before[i] > 0 && p->round[before[i] - 1] == w->rounds - 1) before[i]--;
    }
    status = visits_write(w, before);
    lode_free(before);
    return status;
}

/* speed[r] of all rounds so far; *settled: how many are within the drift. */
static lode_status visits_speeds(visits *w, int64_t *settled) {
    lode_status status = LODE_OK;
    lode_summary of;
    double *median = LODE_NEW_ARRAY(double, w->n), *ratio = LODE_NEW_ARRAY(double, w->n);
    LODE_GOTO(median && ratio ? LODE_OK : LODE_ERR_NO_MEMORY);
    *settled = 0;
    for (int64_t i = 0; i < w->n; i++) {
        LODE_GOTO(lode_summarize(visits_total(w, i), w->rounds, &of));
        median[i] = of.median;
    }
    for (int64_t r = 0; r < w->rounds; r++) {
        for (int64_t i = 0; i < w->n; i++) ratio[i] = visits_total(w, i)[r] / median[i];
        LODE_GOTO(lode_summarize(ratio, w->n, &of));
        w->speed[r] = of.median;
        *settled += fabs(of.median - 1) <= visits_drift;
    }
done:
    lode_free(median);
    lode_free(ratio);
    return status;
}

/* Is every visit's median known well enough? */
static lode_status visits_precise(const visits *w, bool *out) {
    *out = false;
    if (w->s->precision <= 0 || w->rounds < VISITS_MIN_ROUNDS) return LODE_OK;
    for (int64_t i = 0; i < w->n; i++) {
        lode_summary of;
        LODE_TRY(lode_summarize(visits_total(w, i), w->rounds, &of));
        if (100 * of.interval > w->s->precision) return LODE_OK;
    }
    *out = true;
    return LODE_OK;
}

static lode_status visits_measure(visits *w) {
    const double start = lode_clock();
    int64_t settled = 0;
    bool enough = false;
    for (int64_t r = 0; r < w->s->warmup; r++) LODE_TRY(visits_round(w, r, false));
    if (w->rounds > 0) LODE_TRY(visits_speeds(w, &settled));
    while (!enough && settled < w->s->rounds && w->rounds < w->capacity) {
        char text[96] = "";
        LODE_TRY(visits_round(w, w->s->warmup + w->rounds, true));
        LODE_TRY(visits_speeds(w, &settled));
        LODE_TRY(visits_precise(w, &enough));
        if (w->timer) snprintf(text, sizeof text, "%lld calls, ", (long long)w->timer->n);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%lld rounds off by a drift",
                 (long long)(w->rounds - settled));
        lode_progress_update(w->s->progress, "measure", settled, w->s->rounds, text);
        if (w->s->budget_s > 0 && w->rounds >= 3 && lode_clock() - start > w->s->budget_s) break;
    }
    return LODE_OK;
}

/* ---- what counts ---- */

/* Rounds that count: those at the usual speed, unless these are few. */
static bool visits_counts(const visits *w, int64_t settled, int64_t r) {
    return 2 * settled < w->rounds || settled < 3 || fabs(w->speed[r] - 1) <= visits_drift;
}

static void visits_tell(const visits *w, int64_t settled) {
    double least = w->speed[0], most = w->speed[0];
    for (int64_t r = 1; r < w->rounds; r++) {
        least = fmin(least, w->speed[r]);
        most = fmax(most, w->speed[r]);
    }
    if (settled == w->rounds) return;
    lode_log(
        LODE_LOG_WARN,
        "the machine's speed drifted: rounds took %.2f to %.2f of the usual time; of %lld, %lld "
        "were off by more than 10 %% and %s",
        least, most, (long long)w->rounds, (long long)(w->rounds - settled),
        visits_counts(w, settled, 0) && 2 * settled < w->rounds
            ? "all count, because it never settled: measure again when the machine is quiet"
            : "are left out");
}

/* Times to the visits, rounds that do not count removed, and such samples from the timer. */
static void visits_hand_over(const visits *w, int64_t settled, int64_t *done) {
    int64_t kept = 0;
    for (int64_t r = 0; r < w->rounds && kept < w->s->rounds; r++) {
        if (!visits_counts(w, settled, r)) continue;
        for (int64_t i = 0; i < w->n; i++)
            if (w->v[i].ms) w->v[i].ms[kept] = visits_total(w, i)[r];
        kept++;
    }
    for (int64_t i = 0; w->timer && i < w->timer->n; i++) {
        profile_sample *p = &w->timer->sample[i];
        int64_t n = 0;
        for (int64_t k = 0; k < p->n; k++)
            if (visits_counts(w, settled, p->round[k])) p->ms[n++] = p->ms[k];
        p->n = n;
    }
    if (done) *done = kept;
}

lode_status profile_visit_all(const profile_visit *v, int64_t n, const profile_schedule *s,
                              profile_timer *timer, int64_t *done) {
    visits w = {.v = v, .n = n, .s = s, .timer = timer, .capacity = 2 * s->rounds};
    lode_status status = LODE_OK;
    int64_t settled = 0;
    w.order = LODE_NEW_ARRAY(int64_t, n + 1);
    w.total = LODE_NEW_ARRAY(double, n *w.capacity + 1);
    w.speed = LODE_NEW_ARRAY(double, w.capacity + 1);
    LODE_GOTO(w.order && w.total && w.speed ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(visits_resume(&w));
    LODE_GOTO(visits_measure(&w));
    LODE_GOTO(visits_speeds(&w, &settled));
    visits_tell(&w, settled);
    visits_hand_over(&w, settled, done);
done:
    lode_free(w.order);
    lode_free(w.total);
    lode_free(w.speed);
    return status;
}

json_t *profile_about(const char *what, const lode_supernet *net, int64_t batch, int64_t n,
                      uint64_t seed) {
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:I, s:I}", "format", "lode-measuring", "what",
                     what, "space", lode_space_name(lode_supernet_space(net)), "cpu",
                     lode_cpu_get().name, "batch", (json_int_t)batch, "threads", lode_get_threads(),
                     "visits", (json_int_t)n, "seed", (json_int_t)seed);
}
