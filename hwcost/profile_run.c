/* profile_run.c: one forward pass under a clock. The timing runner measures from the end of the
   previous call of the same forward to the end of this one, so that the entries of a network add up
   to its whole time. */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/profile_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- a runner that times each call ---- */

static profile_sample *profile_find(profile_timer *t, const lode_op_call *c) {
    uint64_t hash = lode_call_hash(c);
    for (int64_t i = 0; i < t->n; i++)
        if (t->sample[i].hash == hash) return &t->sample[i];
    void *items = t->sample;
    if (lode_grow(&items, &t->capacity, t->n + 1, sizeof *t->sample) != LODE_OK) return NULL;
    t->sample = items;
    profile_sample *s = &t->sample[t->n];
    memset(s, 0, sizeof *s);
    s->hash = hash;
    s->text = lode_call_text(c);
    if (!s->text) return NULL;
    snprintf(s->provider, sizeof s->provider, "%s", c->provider ? c->provider->name : "reference");
    t->n++;
    return s;
}

static lode_status profile_forward(void *self, lode_op_call *c) {
    profile_timer *t = self;
    LODE_TRY(t->inner->forward(t->inner->self, c));
    if (!t->record) return LODE_OK;
    double now = lode_clock(), ms = 1e3 * (now - t->last);
    profile_sample *s = profile_find(t, c);
    if (!s) return LODE_ERR_NO_MEMORY;
    void *items = s->ms;
    LODE_TRY(lode_grow(&items, &s->capacity, s->n + 1, sizeof *s->ms));
    s->ms = items;
    s->ms[s->n++] = ms;
    t->last = lode_clock(); /* our own bookkeeping is not the network's time */
    return LODE_OK;
}

static lode_status profile_backward(void *self, lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx) {
    profile_timer *t = self;
    return t->inner->backward(t->inner->self, c, dy, dx);
}

void profile_timer_deinit(profile_timer *t) {
    for (int64_t i = 0; i < t->n; i++) {
        lode_free(t->sample[i].text);
        lode_free(t->sample[i].ms);
    }
    lode_free(t->sample);
}

void profile_timer_init(profile_timer *t, const lode_runner *inner) {
    memset(t, 0, sizeof *t);
    t->inner = inner;
    t->runner = (lode_runner){t, profile_forward, profile_backward};
}

/* ---- running networks ---- */

lode_status profile_bench_init(lode_supernet *net, const lode_runner *runner, int64_t batch,
                               profile_bench *b) {
    memset(b, 0, sizeof *b);
    b->net = net;
    lode_space_options o = lode_space_resolved(lode_supernet_space(net));
    lode_shape shape = LODE_SHAPE4(batch, o.channels, o.size, o.size);
    lode_rng rng = lode_rng_stream(1, LODE_RNG_MEASURE, 1);
    LODE_TRY(lode_tensor_create(NULL, LODE_F32, &shape, LODE_CHANNELS_LAST, &b->x));
    LODE_TRY(lode_tensor_fill_normal(b->x, &rng, 0, 1));
    return lode_tape_create(LODE_EVAL, runner, &b->tape);
}

void profile_bench_deinit(profile_bench *b) {
    lode_tape_destroy(b->tape);
    lode_tensor_release(b->x);
}

lode_status profile_run(profile_bench *b, const lode_arch *arch, profile_timer *timer, double *ms) {
    lode_choice choice[LODE_MAX_DECISIONS];
    lode_forward_options options = {.bn = LODE_BN_RUNNING};
    if (arch) lode_choice_from_arch(arch, choice);
    lode_tape_reset(b->tape);
    double start = lode_clock();
    if (timer) timer->last = start;
    lode_var *x = lode_tape_constant(b->tape, b->x);
    lode_var *y = lode_supernet_forward(b->tape, b->net, x, arch ? choice : NULL, &options);
    if (!y) return lode_tape_status(b->tape);
    b->checksum += lode_at(y->value, 0);
    *ms = 1e3 * (lode_clock() - start);
    return LODE_OK;
}
