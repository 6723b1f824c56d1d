/* test_cost.c: one-hot expected = hard = price of the whole trace, on every shipped space;
   gradients; ranges. labels: unit */
#include "hwcost/cost.h"
#include "hwcost/pricing.h"

#include <math.h>

static const char *const spaces[] = {"fbnet-fashion", "fbnet-cifar",   "nasbench-macro",
                                     "nasbench201",   "fbnetv2-cifar", "single-path-cifar"};

static void hard_equals_trace_and_one_hot(void **state) {
    static const char *const models[] = {"macs", "params", "activation_bytes"};
    (void)state;
    for (size_t s = 0; s < sizeof spaces / sizeof *spaces; s++) {
        priced_space f;
        priced_open(spaces[s], &f);
        for (int m = 0; m < 3; m++) {
            lode_cost *cost = NULL;
            lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 5);
            assert_ok(lode_cost_open(models[m], f.net, 2, &cost));
            for (int i = 0; i < 20; i++) {
                static probabilities p;
                lode_arch arch;
                double hard = 0, of_trace = 0, expected = 0;
                assert_ok(lode_space_sample(f.space, &rng, &arch));
                assert_ok(lode_cost_hard(cost, &arch, &hard));
                assert_ok(lode_supernet_trace(f.net, &arch, 2, strcmp(models[m], "params") == 0,
                                              f.trace));
                assert_ok(lode_cost_of_trace(cost, f.trace, &of_trace));
                probabilities_one_hot(&arch, &p);
                assert_ok(
                    lode_cost_expected_value(cost, (const double *const *)p.row, &expected, NULL));
                assert_true(hard > 0);
                assert_near(hard, of_trace, 1e-12);
                assert_near(hard, expected, 1e-12);
            }
            lode_cost_close(cost);
        }
        priced_close(&f);
    }
}

/* The expectation is multilinear: mean of hard costs of architectures drawn from p goes to it. */
static void sampled_mean_goes_to_expectation(void **state) {
    (void)state;
    priced_space f;
    static probabilities p;
    lode_cost *cost = NULL;
    double expected = 0, sum = 0, squares = 0;
    lode_rng rng = lode_rng_stream(2, LODE_RNG_TEST, 6);
    enum { DRAWS = 20000 };
    priced_open("nasbench201", &f);
    assert_ok(lode_cost_open("macs", f.net, 1, &cost));
    probabilities_random(f.space, &rng, &p);
    assert_ok(lode_cost_expected_value(cost, (const double *const *)p.row, &expected, NULL));
    for (int i = 0; i < DRAWS; i++) {
        lode_arch arch = {.n = lode_space_n_decisions(f.space)};
        double hard = 0;
        for (int d = 0; d < arch.n; d++)
            arch.option[d] =
                (uint8_t)lode_rng_pick(&rng, p.row[d], lode_space_decision(f.space, d)->n_options);
        assert_ok(lode_cost_hard(cost, &arch, &hard));
        sum += hard;
        squares += hard * hard;
    }
    double mean = sum / DRAWS, sigma = sqrt((squares / DRAWS - mean * mean) / DRAWS);
    assert_true(fabs(mean - expected) < 5 * sigma);
    lode_cost_close(cost);
    priced_close(&f);
}

static void gradient_meets_finite_differences(void **state) {
    (void)state;
    for (size_t s = 0; s < sizeof spaces / sizeof *spaces; s++) {
        priced_space f;
        static probabilities p, g;
        lode_cost *cost = NULL;
        double value = 0;
        lode_rng rng = lode_rng_stream(3, LODE_RNG_TEST, 7);
        priced_open(spaces[s], &f);
        assert_ok(lode_cost_open("macs", f.net, 1, &cost));
        probabilities_random(f.space, &rng, &p);
        probabilities_random(f.space, &rng, &g);
        assert_ok(lode_cost_expected_value(cost, (const double *const *)p.row, &value, g.row));
        for (int d = 0; d < lode_space_n_decisions(f.space); d++)
            for (int k = 0; k < lode_space_decision(f.space, d)->n_options; k++) {
                double up = 0, down = 0, h = 1e-4, kept = p.value[d][k];
                p.value[d][k] = kept + h;
                assert_ok(lode_cost_expected_value(cost, (const double *const *)p.row, &up, NULL));
                p.value[d][k] = kept - h;
                assert_ok(
                    lode_cost_expected_value(cost, (const double *const *)p.row, &down, NULL));
                p.value[d][k] = kept;
                assert_near((up - down) / (2 * h) / value, g.value[d][k] / value, 1e-6);
            }
        lode_cost_close(cost);
        priced_close(&f);
    }
}

/* The operator on a tape gives the same value and gradient, per batch and per sample. */
static void tape_agrees_with_numbers(void **state) {
    (void)state;
    priced_space f;
    static probabilities p, g;
    lode_cost *cost = NULL;
    lode_tape *tape = NULL;
    lode_tensor *w[16], *grad[16] = {NULL};
    lode_var *var[16];
    double value = 0;
    lode_rng rng = lode_rng_stream(4, LODE_RNG_TEST, 8);
    priced_open("nasbench-macro", &f);
    int n = lode_space_n_decisions(f.space);
    assert_ok(lode_cost_open("macs", f.net, 1, &cost));
    probabilities_random(f.space, &rng, &p);
    probabilities_random(f.space, &rng, &g);
    assert_ok(lode_cost_expected_value(cost, (const double *const *)p.row, &value, g.row));
    for (int rows = 1; rows <= 3; rows += 2) { /* [K], then [3,K] with equal rows */
        assert_ok(lode_tape_create(LODE_TRAIN, NULL, &tape));
        for (int d = 0; d < n; d++) {
            int k = lode_space_decision(f.space, d)->n_options;
            lode_shape shape = rows == 1 ? LODE_SHAPE1(k) : LODE_SHAPE2(rows, k);
            assert_ok(lode_tensor_create(NULL, LODE_F64, &shape, LODE_CONTIGUOUS, &w[d]));
            for (int i = 0; i < rows * k; i++) lode_put(w[d], i, p.value[d][i % k]);
            var[d] = lode_tape_leaf(tape, w[d], &grad[d]);
        }
        lode_var *e = lode_cost_expected(tape, cost, var);
        assert_ok(lode_tape_status(tape));
        assert_near(lode_at(e->value, 0), value, 1e-12);
        assert_ok(lode_backward(tape, e, 1));
        for (int d = 0; d < n; d++) {
            int k = lode_space_decision(f.space, d)->n_options;
            for (int i = 0; i < rows * k; i++)
                assert_near(lode_at(grad[d], i), g.value[d][i % k] / rows, 1e-12);
            lode_tensor_release(w[d]);
            lode_tensor_release(grad[d]);
            grad[d] = NULL;
        }
        lode_tape_destroy(tape);
    }
    lode_cost_close(cost);
    priced_close(&f);
}

static void range_holds_every_architecture(void **state) {
    (void)state;
    priced_space f;
    lode_cost *cost = NULL;
    lode_arch low, high;
    double min = 0, max = 0, value = 0, seen_min = INFINITY, seen_max = 0;
    bool exact = false;
    priced_open("nasbench-macro", &f);
    assert_ok(lode_cost_open("macs", f.net, 1, &cost));
    assert_ok(lode_cost_range(cost, &min, &max, &low, &high, &exact));
    for (int code = 0; code < 6561; code++) {
        lode_arch arch = {.n = 8};
        for (int d = 0, rest = code; d < 8; d++, rest /= 3) arch.option[d] = (uint8_t)(rest % 3);
        assert_ok(lode_cost_hard(cost, &arch, &value));
        seen_min = fmin(seen_min, value);
        seen_max = fmax(seen_max, value);
    }
    assert_near(min, seen_min, 1e-12);
    assert_near(max, seen_max, 1e-12);
    assert_ok(lode_cost_hard(cost, &low, &value));
    assert_near(value, min, 1e-12);
    assert_ok(lode_cost_hard(cost, &high, &value));
    assert_near(value, max, 1e-12);
    lode_cost_close(cost);
    priced_close(&f);
}

static void bad_requests_are_refused(void **state) {
    (void)state;
    priced_space f;
    lode_cost *cost = NULL;
    lode_target target;
    lode_arch wrong = {.n = 3};
    double value = 0;
    priced_open("nasbench-macro", &f);
    assert_fails(lode_cost_open("mac", f.net, 1, &cost), LODE_ERR_CONFIG, "nearest is macs");
    assert_null(cost);
    assert_fails(lode_cost_open("latency_ms=/nowhere.json", f.net, 1, &cost), LODE_ERR_IO,
                 "/nowhere.json");
    assert_ok(lode_cost_open("macs", f.net, 1, &cost));
    assert_fails(lode_cost_hard(cost, &wrong, &value), LODE_ERR_INVALID, "3 decisions");
    lode_cost_close(cost);
    assert_ok(lode_target_parse("latency_ms <= 5.5", &target));
    assert_string_equal(target.name, "latency_ms");
    assert_near(target.limit, 5.5, 0);
    assert_fails(lode_target_parse("latency_ms<5", &target), LODE_ERR_CONFIG, "NAME<=NUMBER");
    assert_fails(lode_target_parse("<=5", &target), LODE_ERR_CONFIG, "NAME<=NUMBER");
    assert_fails(lode_target_parse("a<=x", &target), LODE_ERR_CONFIG, "NAME<=NUMBER");
    priced_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hard_equals_trace_and_one_hot),
        cmocka_unit_test(sampled_mean_goes_to_expectation),
        cmocka_unit_test(gradient_meets_finite_differences),
        cmocka_unit_test(tape_agrees_with_numbers),
        cmocka_unit_test(range_holds_every_architecture),
        cmocka_unit_test(bad_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
