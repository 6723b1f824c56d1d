/* bench_meter.c: see bench.h. Phases are told apart by the calls alone: a fresh forward call
   belongs to forward, a backward call and a repeated forward to backward. The device keeps the
   peak; it is read and begun anew where a phase ends. What follows backward (the optimizer) makes
   no calls: its peak is taken when the step is closed. */
#include "tools/bench.h"

#include <string.h>

static void meter_close_phase(bench_meter *m) {
    int64_t peak = lode_device_get_stats(lode_cpu_device()).peak_bytes;
    if (peak > m->peak[m->phase]) m->peak[m->phase] = peak;
    lode_device_reset_peak(lode_cpu_device());
}

static void meter_enter(bench_meter *m, bench_phase phase) {
    if (m->phase == phase) return;
    meter_close_phase(m);
    m->phase = phase;
    if (phase == BENCH_BACKWARD) m->kept = lode_device_get_stats(lode_cpu_device()).bytes_in_use;
}

static lode_status meter_forward(void *self, lode_op_call *c) {
    bench_meter *m = self;
    lode_op_count count = {0};
    bench_phase phase = c->repeated ? BENCH_BACKWARD : BENCH_FORWARD;
    meter_enter(m, phase);
    m->calls[phase]++;
    if (c->op->count) c->op->count(c, &count);
    if (c->repeated)
        m->recomputed_macs += count.macs;
    else
        m->macs += count.macs;
    return m->inner->forward(m->inner->self, c);
}

static lode_status meter_backward(void *self, lode_op_call *c, const lode_tensor *dy,
                                  lode_tensor *const *dx) {
    bench_meter *m = self;
    meter_enter(m, BENCH_BACKWARD);
    m->calls[BENCH_BACKWARD]++;
    return m->inner->backward(m->inner->self, c, dy, dx);
}

static bool meter_makes_again(void *self, const lode_op_call *c, const lode_op_call *maker) {
    bench_meter *m = self;
    return m->inner->makes_again != NULL && m->inner->makes_again(m->inner->self, c, maker);
}

static size_t meter_holds(void *self) {
    const bench_meter *m = self;
    return m->inner->holds != NULL ? m->inner->holds(m->inner->self) : 0;
}

void bench_meter_init(bench_meter *m, const lode_runner *inner) {
    memset(m, 0, sizeof *m);
    m->inner = inner;
    m->runner = (lode_runner){m, meter_forward, meter_backward, meter_makes_again, meter_holds};
    m->phase = BENCH_OTHER;
}

void bench_meter_finish(bench_meter *m) {
    meter_close_phase(m);
    m->phase = BENCH_OTHER;
}

void bench_meter_reset(bench_meter *m) {
    const lode_runner *inner = m->inner;
    bench_meter_init(m, inner);
    lode_device_reset_peak(lode_cpu_device());
}
