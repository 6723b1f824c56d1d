/* profile_run.c: one forward pass under a clock. A timed call lasts from the end of the previous
   one of the same pass to its own end, so that the entries of a network add up to its whole time.
   Where a batch goes through the network in slices, a call's time is the sum over them; where these
   run side by side, that sum over the number of lanes.

   Another program that takes the processor for a few milliseconds hits a pass of 16 ms every time
   and a call of 0.1 ms hardly ever: sums of calls and whole networks would no longer belong
   together. One thread therefore looks at the processor time it had as well. Where it lacks more
   than a hundredth of the wall's, it is what counts. Reading it costs a call into the system (1 us
   here, the wall's 0.05), which is why calls are timed by it only then.

   Before each timed pass the same network runs once untimed. Networks are visited in turn and have
   weights of their own, so without it a pass would find in cache what the others left there: how
   long it took would depend on how many there are. A deployed network runs again and again. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/profile_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double run_interrupted = 0.01;

/* ---- clocks ---- */

profile_clock lode_profile_clock_here(void) {
    profile_clock c = {.wall = lode_clock};
    if (lode_get_threads() > 1) return c;
    c.own = lode_thread_clock;
    c.own_cost_s = 1;
    for (int i = 0; i < 50; i++) {
        const double a = c.own(), b = c.own();
        c.own_cost_s = fmin(c.own_cost_s, b - a);
    }
    return c;
}

/* ---- times of calls ---- */

static profile_sample *profile_find(profile_timer *t, const char *text) {
    uint64_t hash = lode_hash_text(text);
    for (int64_t i = 0; i < t->n; i++)
        if (t->sample[i].hash == hash) return &t->sample[i];
    void *items = t->sample;
    if (lode_grow(&items, &t->capacity, t->n + 1, sizeof *t->sample) != LODE_OK) return NULL;
    t->sample = items;
    profile_sample *s = &t->sample[t->n];
    memset(s, 0, sizeof *s);
    s->hash = hash;
    s->text = lode_strdup(text);
    if (!s->text) return NULL;
    t->n++;
    return s;
}

lode_status profile_timer_add(profile_timer *t, const char *call, const char *provider, double ms) {
    profile_sample *s = profile_find(t, call);
    if (!s) return LODE_ERR_NO_MEMORY;
    snprintf(s->provider, sizeof s->provider, "%s", provider);
    LODE_TRY(lode_grow((void **)&s->ms, &s->capacity, s->n + 1, sizeof *s->ms));
    LODE_TRY(lode_grow((void **)&s->pass, &s->pass_capacity, s->n + 1, sizeof *s->pass));
    s->pass[s->n] = t->pass;
    s->ms[s->n++] = ms;
    return LODE_OK;
}

static lode_status profile_add(profile_timer *t, const lode_op_call *c,
                               const lode_provider *provider, double ms) {
    char *text = lode_call_text(c);
    lode_status status = text ? profile_timer_add(t, text, provider->name, ms) : LODE_ERR_NO_MEMORY;
    lode_free(text);
    return status;
}

static void profile_after(void *self, int lane, int i, const lode_op_call *c) {
    profile_timer *t = self;
    double now = t->now();
    t->ms[lane * t->calls + i] += 1e3 * fmax(0, now - t->last[lane] - t->now_cost_s);
    t->provider[lane * t->calls + i] = c->provider;
    t->last[lane] = now;
}

static lode_status profile_begin(profile_timer *t, int lanes, int calls) {
    int64_t n = (int64_t)lanes * calls;
    LODE_TRY(lode_grow((void **)&t->last, &t->last_capacity, lanes, sizeof *t->last));
    LODE_TRY(lode_grow((void **)&t->ms, &t->ms_capacity, n, sizeof *t->ms));
    LODE_TRY(lode_grow((void **)&t->provider, &t->provider_capacity, n, sizeof *t->provider));
    t->lanes = lanes;
    t->calls = calls;
    memset(t->ms, 0, (size_t)n * sizeof *t->ms);
    memset(t->provider, 0, (size_t)n * sizeof *t->provider);
    return LODE_OK;
}

static void profile_start(profile_timer *t, double now) {
    for (int lane = 0; lane < t->lanes; lane++) t->last[lane] = now;
}

/* Lanes run side by side: what a call adds to the whole is its time in all of them over their
   number. */
static lode_status profile_end(profile_timer *t, const lode_tape *trace) {
    for (int i = 0; t->record && i < t->calls; i++) {
        const lode_provider *provider = NULL;
        double ms = 0;
        for (int lane = 0; lane < t->lanes; lane++) {
            const int64_t at = (int64_t)lane * t->calls + i;
            ms += t->ms[at] / t->lanes;
            if (t->provider[at] != NULL) provider = t->provider[at];
        }
        if (provider) LODE_TRY(profile_add(t, &lode_trace_get(trace, i)->call, provider, ms));
    }
    return LODE_OK;
}

void profile_timer_deinit(profile_timer *t) {
    for (int64_t i = 0; i < t->n; i++) {
        lode_free(t->sample[i].text);
        lode_free(t->sample[i].ms);
        lode_free(t->sample[i].pass);
    }
    lode_free(t->sample);
    lode_free(t->last);
    lode_free(t->ms);
    lode_free(t->provider);
}

/* ---- running networks ---- */

lode_status profile_bench_init(lode_supernet *net, const lode_arch *arch, lode_form form,
                               lode_dispatch *dispatch, int64_t batch, profile_bench *b) {
    memset(b, 0, sizeof *b);
    lode_space_options o = lode_space_resolved(lode_supernet_space(net));
    lode_shape shape = LODE_SHAPE4(batch, o.channels, o.size, o.size);
    lode_rng rng = lode_rng_stream(1, LODE_RNG_MEASURE, 1);
    LODE_TRY(lode_tensor_create(NULL, LODE_F32, &shape, LODE_CHANNELS_LAST, &b->x));
    LODE_TRY(lode_tensor_fill_normal(b->x, &rng, 0, 1));
    return lode_frozen_create(net, arch, batch, form, dispatch, &b->frozen);
}

void profile_bench_deinit(profile_bench *b) {
    lode_frozen_destroy(b->frozen);
    lode_tensor_release(b->x);
}

lode_status profile_benches_create(lode_supernet *net, const lode_arch *arch, int64_t n,
                                   lode_form form, lode_dispatch *dispatch, int64_t batch,
                                   profile_bench **out) {
    profile_bench *b = LODE_NEW_ARRAY(profile_bench, n);
    lode_status status = b ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; status == LODE_OK && i < n; i++)
        status = profile_bench_init(net, arch ? &arch[i] : NULL, form, dispatch, batch, &b[i]);
    *out = b;
    return status;
}

void profile_benches_destroy(profile_bench *b, int64_t n) {
    for (int64_t i = 0; b && i < n; i++) profile_bench_deinit(&b[i]);
    lode_free(b);
}

/* One pass by both clocks; calls by timer->now. */
static lode_status profile_pass_run(profile_bench *b, const profile_clock *clock,
                                    profile_timer *timer, profile_pass *out) {
    const lode_replay_watch watch = {timer, profile_after};
    lode_tensor *y = NULL;
    if (timer)
        LODE_TRY(profile_begin(timer, lode_frozen_lanes(b->frozen),
                               lode_trace_n(lode_frozen_trace(b->frozen))));
    const double own = clock->own ? clock->own() : 0, start = clock->wall();
    if (timer) profile_start(timer, timer->now());
    LODE_TRY(lode_frozen_run(b->frozen, b->x, timer ? &watch : NULL, &y));
    b->checksum += lode_at(y, 0);
    out->ms = out->wall_ms = 1e3 * (clock->wall() - start);
    out->stolen_ms = 0;
    if (clock->own == NULL) return LODE_OK;
    const double own_ms = 1e3 * (clock->own() - own - clock->own_cost_s);
    if (out->wall_ms - own_ms <= run_interrupted * out->wall_ms) return LODE_OK;
    out->ms = own_ms;
    out->stolen_ms = out->wall_ms - own_ms;
    return LODE_OK;
}

lode_status profile_run(profile_bench *b, const profile_clock *clock, profile_timer *timer,
                        profile_pass *out) {
    lode_tensor *y = NULL;
    LODE_TRY(lode_frozen_run(b->frozen, b->x, NULL, &y));
    if (timer) timer->now = clock->wall;
    if (timer) timer->now_cost_s = 0;
    LODE_TRY(profile_pass_run(b, clock, timer, out));
    if (timer && out->stolen_ms > 0) {
        profile_pass again;
        timer->now = clock->own;
        timer->now_cost_s = clock->own_cost_s;
        LODE_TRY(profile_pass_run(b, clock, timer, &again));
    }
    return timer ? profile_end(timer, lode_frozen_trace(b->frozen)) : LODE_OK;
}
