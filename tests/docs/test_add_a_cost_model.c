/* The cost model of docs/add-a-cost-model.md, as the page shows it. labels: unit */
#include "add-a-cost-model/roofline/use.c"
#include "ops/ops.h"
#include "support/support.h"

typedef struct fixture {
    lode_space *space;
    lode_supernet *net;
    lode_tape *trace;
} fixture;

static void open_space(fixture *f) {
    lode_space_options options = {.name = "fbnet-fashion"};
    assert_ok(lode_space_load(&options, &f->space));
    assert_ok(lode_supernet_create(f->space, NULL, LODE_F32, 1, &f->net));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &f->trace));
}

static void close_space(fixture *f) {
    lode_tape_destroy(f->trace);
    lode_supernet_destroy(f->net);
    lode_space_release(f->space);
}

/* Price of one call whose work was counted by hand. */
static double price(double flops, double bytes, bool is_view) {
    roofline device = {.flops_per_us = 100, .bytes_per_us = 10, .overhead_us = 2};
    lode_trace_call call = {
        .is_view = is_view,
        .count = {.flops = flops, .bytes_read = bytes / 4, .bytes_written = 3 * bytes / 4}};
    double out = -1;
    assert_ok(roofline_op_cost(&device, &call, &out));
    return out;
}

static void prices_one_call(void **state) {
    (void)state;
    assert_near(price(5000, 100, false), 2 + 50, 1e-12); /* bound by arithmetic */
    assert_near(price(500, 400, false), 2 + 40, 1e-12);  /* bound by memory */
    assert_near(price(500, 400, true), 0, 0);            /* a view costs nothing */
}

static void hard_equals_trace_and_one_hot(void **state) {
    (void)state;
    fixture f;
    roofline device = {.flops_per_us = 50e3, .bytes_per_us = 10e3, .overhead_us = 2};
    lode_cost *cost = NULL;
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 11);
    open_space(&f);
    assert_ok(lode_cost_from_model(&roofline_model, &device, f.net, 2, &cost));
    assert_string_equal(lode_cost_name(cost), "roofline_us");
    assert_string_equal(lode_cost_unit(cost), "us");
    assert_true(lode_cost_has_gradient(cost));
    for (int i = 0; i < 10; i++) {
        static double p[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
        const double *row[LODE_MAX_DECISIONS];
        lode_arch arch;
        double hard = 0, of_trace = 0, expected = 0;
        assert_ok(lode_space_sample(f.space, &rng, &arch));
        assert_ok(lode_cost_hard(cost, &arch, &hard));
        assert_ok(lode_supernet_trace(f.net, &arch, 2, false, f.trace));
        assert_ok(lode_cost_of_trace(cost, f.trace, &of_trace));
        memset(p, 0, sizeof p);
        for (int d = 0; d < arch.n; d++) {
            p[d][arch.option[d]] = 1;
            row[d] = p[d];
        }
        assert_ok(lode_cost_expected_value(cost, row, &expected, NULL));
        assert_true(hard > 2 * 22); /* what 22 layers cost at least, however small */
        assert_near(hard, of_trace, 1e-12);
        assert_near(hard, expected, 1e-12);
    }
    lode_cost_close(cost);
    close_space(&f);
}

static void spans_the_space(void **state) {
    (void)state;
    fixture f;
    double span[2] = {0, 0}, mean = 0;
    open_space(&f);
    assert_ok(roofline_span(f.net, span, &mean));
    assert_true(0 < span[0] && span[0] < mean && mean < span[1]);
    close_space(&f);
}

static void tells_what_is_wrong(void **state) {
    (void)state;
    fixture f;
    roofline device = {.flops_per_us = 50e3};
    lode_cost *cost = NULL;
    open_space(&f);
    assert_fails(lode_cost_from_model(&roofline_model, &device, f.net, 1, &cost), LODE_ERR_INVALID,
                 "0 bytes/us");
    assert_null(cost);
    close_space(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prices_one_call),
        cmocka_unit_test(hard_equals_trace_and_one_hot),
        cmocka_unit_test(spans_the_space),
        cmocka_unit_test(tells_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
