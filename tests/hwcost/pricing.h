/* pricing.h: what the tests of cost models share: a shipped space opened, and the three properties
   of every cost that is a sum (docs/add-a-cost-model.md). */
#ifndef LODE_TESTS_HWCOST_PRICING_H
#define LODE_TESTS_HWCOST_PRICING_H
#include "hwcost/cost.h"
#include "hwcost/hardware.h"
#include "hwcost/probabilities.h"
#include "support/support.h"

#include <math.h>

typedef struct priced_space {
    lode_space *space;
    lode_supernet *net;
    lode_tape *trace;
} priced_space;

static inline void priced_open(const char *name, priced_space *f) {
    lode_space_options options = {.name = name};
    assert_ok(lode_space_load(&options, &f->space));
    assert_ok(lode_supernet_create(f->space, NULL, LODE_F32, 1, &f->net));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &f->trace));
}

static inline void priced_close(priced_space *f) {
    lode_tape_destroy(f->trace);
    lode_supernet_destroy(f->net);
    lode_space_release(f->space);
}

/* A network without decisions (text of a space) by a device file (text); what parses must. */
static inline lode_status priced_fixed(const char *net_text, const char *device,
                                       const char *quantity, int64_t batch, double *value) {
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_hardware *h = NULL;
    lode_cost *cost = NULL;
    assert_ok(lode_space_parse(net_text, "net", NULL, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    assert_ok(lode_hardware_parse(device, "device", NULL, &h));
    const lode_cost_model *m = lode_hardware_find_quantity(h, quantity);
    assert_non_null(m);
    lode_status status = lode_cost_from_model(m, h->self, net, batch, &cost);
    if (status == LODE_OK) status = lode_cost_hard(cost, &(lode_arch){.n = 0}, value);
    lode_cost_close(cost);
    lode_hardware_close(h);
    lode_supernet_destroy(net);
    lode_space_release(space);
    return status;
}

/* Hard = one-hot expected, and = the price of the whole trace where `traces`. */
static inline void priced_hard(priced_space *f, lode_cost *cost, int n_archs, bool traces) {
    static probabilities p;
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 5);
    for (int i = 0; i < n_archs; i++) {
        lode_arch arch;
        double hard = 0, of_trace = 0, expected = 0;
        assert_ok(lode_space_sample(f->space, &rng, &arch));
        assert_ok(lode_cost_hard(cost, &arch, &hard));
        probabilities_one_hot(&arch, &p);
        assert_ok(lode_cost_expected_value(cost, (const double *const *)p.row, &expected, NULL));
        assert_true(hard > 0 && isfinite(hard));
        assert_near(hard / expected, 1, 1e-12);
        if (!traces) continue;
        assert_ok(lode_cost_trace(cost, &arch, f->trace));
        assert_ok(lode_cost_of_trace(cost, f->trace, &of_trace));
        assert_near(hard / of_trace, 1, 1e-12);
    }
}

/* Gradient of the expectation = finite differences, at random probabilities. */
static inline void priced_gradient(priced_space *f, lode_cost *cost) {
    static probabilities p, g;
    double value = 0;
    lode_rng rng = lode_rng_stream(3, LODE_RNG_TEST, 7);
    probabilities_random(f->space, &rng, &p);
    for (int d = 0; d < lode_space_n_decisions(f->space); d++) g.row[d] = g.value[d];
    assert_ok(lode_cost_expected_value(cost, (const double *const *)p.row, &value, g.row));
    assert_true(value > 0);
    for (int d = 0; d < lode_space_n_decisions(f->space); d++)
        for (int k = 0; k < lode_space_decision(f->space, d)->n_options; k++) {
            double up = 0, down = 0, h = 1e-4, kept = p.value[d][k];
            p.value[d][k] = kept + h;
            assert_ok(lode_cost_expected_value(cost, (const double *const *)p.row, &up, NULL));
            p.value[d][k] = kept - h;
            assert_ok(lode_cost_expected_value(cost, (const double *const *)p.row, &down, NULL));
            p.value[d][k] = kept;
            assert_near((up - down) / (2 * h) / value, g.value[d][k] / value, 1e-6);
        }
}
#endif
