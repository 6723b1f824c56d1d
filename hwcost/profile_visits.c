/* profile_visits.c: see profile_internal.h.

   The reference runs before the first pass of a round and after every few; what it took before
   and after is kept with each pass, so that in the end it can be said which passes were at the
   machine's own speed (profile_speed.c). That can change with every round: the first may all have
   been slow. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/visits_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    VISITS_MIN_ROUNDS = 10, /* before small intervals end it */
    VISITS_FEW = 5          /* passes at the machine's own speed: a median needs as many */
};

static void visits_deinit(visits *w) {
    lode_free(w->order);
    lode_free(w->total);
    lode_free(w->before);
    lode_free(w->after);
    lode_free(w->some);
    lode_free(w->counted);
}

static lode_status visits_init(visits *w) {
    const int64_t all = w->n * w->capacity + 1;
    w->order = LODE_NEW_ARRAY(int64_t, w->n + 1);
    w->counted = LODE_NEW_ARRAY(int64_t, w->n + 1);
    w->some = LODE_NEW_ARRAY(double, w->capacity + 1);
    w->total = LODE_NEW_ARRAY(double, all);
    w->before = LODE_NEW_ARRAY(double, all);
    w->after = LODE_NEW_ARRAY(double, all);
    return w->order && w->counted && w->some && w->total && w->before && w->after
               ? LODE_OK
               : LODE_ERR_NO_MEMORY;
}

/* ---- rounds ---- */

static lode_status visits_pass(visits *w, profile_bench *bench, profile_timer *timer, double *ms) {
    profile_pass pass;
    LODE_TRY(profile_run(bench, w->s->clock, timer, &pass));
    w->stolen_ms += pass.stolen_ms;
    w->wall_ms += pass.wall_ms;
    *ms = pass.ms;
    return LODE_OK;
}

/* Looks at the reference: after so many passes that a change of speed is hardly missed and three
   quarters of the time are theirs. */
static lode_status visits_look(visits *w, double *out) {
    double ms[3];
    lode_summary of;
    *out = 1;
    if (w->n == 1) return LODE_OK; /* nothing to compare with */
    if (w->group == 0) {           /* the first */
        LODE_TRY(visits_pass(w, w->v[0].bench, NULL, &ms[0]));
        w->group = ms[0] > 4 ? 3 : 8;
        w->looks = ms[0] > 4 ? 1 : 3;
    }
    for (int64_t i = 0; i < w->looks; i++) LODE_TRY(visits_pass(w, w->v[0].bench, NULL, &ms[i]));
    LODE_TRY(lode_summarize(ms, w->looks, &of));
    *out = of.median;
    return LODE_OK;
}

static lode_status visits_round(visits *w, int64_t number, bool keep) {
    lode_rng rng = lode_rng_stream(w->s->seed, LODE_RNG_MEASURE, 1000 + (uint64_t)number);
    const int64_t at = w->rounds * w->n;
    double before = 0, after = 0, ms = 0;
    lode_rng_permutation(&rng, w->order, w->n);
    if (w->timer) w->timer->record = keep;
    if (keep) LODE_TRY(visits_look(w, &before));
    const int64_t group = w->group > 0 ? w->group : w->n;
    for (int64_t first = 0; first < w->n; first += group) {
        const int64_t end = first + group < w->n ? first + group : w->n;
        for (int64_t k = first; k < end; k++) {
            const int64_t i = w->order[k];
            if (lode_progress_should_stop(w->s->progress))
                return LODE_FAIL(LODE_ERR_STOPPED, "measuring stopped on request%s",
                                 w->s->journal ? "; the same command goes on" : "");
            if (w->timer) w->timer->pass = at + i;
            LODE_TRY(visits_pass(w, w->v[i].bench, w->v[i].timed ? w->timer : NULL, &ms));
            if (keep) w->total[at + i] = ms;
        }
        if (!keep) continue;
        LODE_TRY(visits_look(w, &after));
        for (int64_t k = first; k < end; k++) {
            w->before[at + w->order[k]] = before;
            w->after[at + w->order[k]] = after;
        }
        before = after;
    }
    if (!keep) return LODE_OK;
    w->rounds++;
    return visits_write(w);
}

/* ---- what counts ---- */

static bool visits_at_speed(const visits *w, int64_t pass) {
    return lode_profile_at_speed(w->before[pass], w->after[pass], w->own);
}

/* A visit that was hardly ever met at that speed keeps all its passes. */
static bool visits_keeps_all(const visits *w, int64_t i) {
    return w->counted[i] < VISITS_FEW && w->counted[i] < w->rounds;
}

/* 0: the pass does not count; else what its times are to be multiplied by. */
static double visits_factor(const visits *w, int64_t pass) {
    if (!visits_keeps_all(w, pass % w->n)) return visits_at_speed(w, pass) ? 1 : 0;
    /* No state of a machine is more than twice as slow: then the reference was interrupted. */
    return fmax(0.5, 2 * w->own / (w->before[pass] + w->after[pass]));
}

/* Times of visit i that count, to out. */
static int64_t visits_times(const visits *w, int64_t i, double *out) {
    int64_t n = 0;
    for (int64_t r = 0; r < w->rounds; r++) {
        const double factor = visits_factor(w, r * w->n + i);
        if (factor > 0) out[n++] = factor * w->total[r * w->n + i];
    }
    return n;
}

/* own and counted of all rounds so far; *least: of counted. */
static lode_status visits_count(visits *w, int64_t *least) {
    *least = w->rounds;
    LODE_TRY(lode_profile_own_speed(w->before, w->after, w->rounds * w->n, &w->own));
    for (int64_t i = 0; i < w->n; i++) {
        w->counted[i] = 0;
        for (int64_t r = 0; r < w->rounds; r++) w->counted[i] += visits_at_speed(w, r * w->n + i);
        if (w->counted[i] < *least) *least = w->counted[i];
    }
    return LODE_OK;
}

/* Is every visit's median known well enough? */
static lode_status visits_precise(const visits *w, int64_t least, bool *out) {
    *out = false;
    if (w->s->precision <= 0 || least < VISITS_MIN_ROUNDS) return LODE_OK;
    for (int64_t i = 0; i < w->n; i++) {
        lode_summary of;
        LODE_TRY(lode_summarize(w->some, visits_times(w, i, w->some), &of));
        if (100 * of.interval > w->s->precision) return LODE_OK;
    }
    *out = true;
    return LODE_OK;
}

static lode_status visits_measure(visits *w) {
    const double start = lode_clock();
    int64_t least = 0;
    bool enough = false;
    for (int64_t r = 0; r < w->s->warmup; r++) LODE_TRY(visits_round(w, r, false));
    if (w->rounds > 0) LODE_TRY(visits_count(w, &least));
    while (!enough && least < w->s->rounds && w->rounds < w->capacity) {
        char text[96] = "";
        LODE_TRY(visits_round(w, w->s->warmup + w->rounds, true));
        LODE_TRY(visits_count(w, &least));
        LODE_TRY(visits_precise(w, least, &enough));
        if (w->timer) snprintf(text, sizeof text, "%lld calls, ", (long long)w->timer->n);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%lld rounds off by a drift",
                 (long long)(w->rounds - least));
        lode_progress_update(w->s->progress, "measure", least, w->s->rounds, text);
        if (w->s->budget_s > 0 && w->rounds >= 3 && lode_clock() - start > w->s->budget_s) break;
    }
    return LODE_OK;
}

static void visits_tell(const visits *w) {
    const int64_t all = w->rounds * w->n;
    int64_t at_speed = 0, kept = 0;
    double most = w->own;
    for (int64_t k = 0; k < all; k++) {
        at_speed += visits_at_speed(w, k);
        most = fmax(most, 0.5 * (w->before[k] + w->after[k]));
    }
    for (int64_t i = 0; i < w->n; i++) kept += visits_keeps_all(w, i);
    if (10 * at_speed < 9 * all)
        lode_log(LODE_LOG_WARN,
                 "the machine's speed drifted: the reference network took %.4g ms at best and up "
                 "to %.2f times that; %lld of %lld passes were at the machine's own speed, the "
                 "others are left out",
                 w->own, most / w->own, (long long)at_speed, (long long)all);
    if (kept > 0)
        lode_log(LODE_LOG_WARN,
                 "%lld of %lld networks were hardly ever met at that speed and keep all passes, "
                 "times what the reference says: measure longer, or when the machine is quiet",
                 (long long)kept, (long long)w->n);
    if (w->stolen_ms > 0.02 * w->wall_ms)
        lode_log(LODE_LOG_WARN,
                 "other programs had the processor for %.0f %% of the time; the passes they "
                 "interrupted are timed by the processor time they used themselves",
                 100 * w->stolen_ms / w->wall_ms);
}

/* Times to the visits; passes that do not count are removed from the timer. */
static void visits_hand_over(const visits *w) {
    for (int64_t i = 0; i < w->n; i++) {
        if (w->v[i].ms == NULL) continue;
        int64_t n = visits_times(w, i, w->some);
        if (n > w->s->rounds) n = w->s->rounds;
        memcpy(w->v[i].ms, w->some, (size_t)n * sizeof *w->some);
        *w->v[i].n = n;
    }
    for (int64_t i = 0; w->timer && i < w->timer->n; i++) {
        profile_sample *p = &w->timer->sample[i];
        int64_t n = 0;
        for (int64_t k = 0; k < p->n; k++) {
            const double factor = visits_factor(w, p->pass[k]);
            if (factor > 0) p->ms[n++] = factor * p->ms[k];
        }
        p->n = n;
    }
}

lode_status profile_visit_all(const profile_visit *v, int64_t n, const profile_schedule *s,
                              profile_timer *timer, double *stolen) {
    visits w = {.v = v, .n = n, .s = s, .timer = timer, .capacity = 2 * s->rounds};
    lode_status status = LODE_OK;
    int64_t least;
    LODE_GOTO(visits_init(&w));
    LODE_GOTO(visits_resume(&w));
    LODE_GOTO(visits_measure(&w));
    LODE_GOTO(visits_count(&w, &least));
    visits_tell(&w);
    visits_hand_over(&w);
    *stolen = w.wall_ms > 0 ? w.stolen_ms / w.wall_ms : 0;
done:
    visits_deinit(&w);
    return status;
}

json_t *profile_about(const char *what, const lode_supernet *net, int64_t batch, int64_t n,
                      uint64_t seed) {
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:I, s:I, s:i}", "format", "lode-measuring",
                     "what", what, "space", lode_space_name(lode_supernet_space(net)), "cpu",
                     lode_cpu_get().name, "batch", (json_int_t)batch, "threads", lode_get_threads(),
                     "visits", (json_int_t)n, "seed", (json_int_t)seed, "reference", 1);
}
