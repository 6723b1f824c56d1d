/* profile_visits.c: see profile_internal.h. */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/profile_internal.h"

#include <stdio.h>

static lode_status visits_round(const profile_visit *v, int64_t n, const int64_t *order, int64_t r,
                                profile_timer *timer, const lode_progress *progress) {
    for (int64_t i = 0; i < n; i++) {
        const profile_visit *at = &v[order[i]];
        double ms = 0;
        if (lode_progress_should_stop(progress))
            return LODE_FAIL(LODE_ERR_STOPPED, "measuring stopped on request");
        LODE_TRY(profile_run(at->bench, at->timed ? timer : NULL, &ms));
        if (r >= 0 && at->ms != NULL) at->ms[r] = ms;
    }
    return LODE_OK;
}

lode_status profile_visit_all(const profile_visit *v, int64_t n, const profile_schedule *s,
                              profile_timer *timer, int64_t *done) {
    lode_status status = LODE_OK;
    double start = lode_clock();
    int64_t *order = lode_alloc((size_t)n, sizeof *order), r = -s->warmup;
    LODE_GOTO(order ? LODE_OK : LODE_ERR_NO_MEMORY);
    while (r < s->rounds) {
        char text[64] = "";
        lode_rng rng = lode_rng_stream(s->seed, LODE_RNG_MEASURE, 1000 + (uint64_t)(r + s->warmup));
        lode_rng_permutation(&rng, order, n);
        if (timer) timer->record = r >= 0;
        LODE_GOTO(visits_round(v, n, order, r, timer, s->progress));
        if (timer) snprintf(text, sizeof text, "%lld calls", (long long)timer->n);
        r++;
        lode_progress_update(s->progress, "measure", r + s->warmup, s->rounds + s->warmup, text);
        if (s->budget_s > 0 && r >= 3 && lode_clock() - start > s->budget_s) break;
    }
    if (done) *done = r;
done:
    lode_free(order);
    return status;
}
