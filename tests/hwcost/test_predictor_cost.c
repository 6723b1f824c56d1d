/* test_predictor_cost.c: predictors as costs: hard, expected, gradients. labels: unit */
#include "core/platform.h"
#include "hwcost/cost.h"
#include "hwcost/made.h"
#include "hwcost/probabilities.h"

#include <math.h>

typedef struct priced {
    made m;
    lode_supernet *net;
    lode_cost *cost;
    char *dir, *path, *spec;
} priced;

static void open_priced(const char *space, const char *kind, int encoding, priced *c) {
    made_open(space, 150, 1, &c->m);
    lode_predictor *p = made_fit_encoded(&c->m, kind, encoding);
    c->dir = test_temp_dir();
    c->path = lode_path_join(c->dir, "p");
    c->spec = lode_format("latency_ms=%s", c->path);
    assert_ok(lode_predictor_write(p, c->path));
    lode_predictor_destroy(p);
    assert_ok(lode_supernet_create(c->m.rows.space, NULL, LODE_F32, 1, &c->net));
    assert_ok(lode_cost_open(c->spec, c->net, 0, &c->cost));
    assert_string_equal(lode_cost_name(c->cost), "latency_ms");
    assert_string_equal(lode_cost_unit(c->cost), "ms");
}

static void close_priced(priced *c) {
    lode_cost_close(c->cost);
    lode_supernet_destroy(c->net);
    test_remove_tree(c->dir);
    lode_free(c->path);
    lode_free(c->spec);
    lode_free(c->dir);
    made_close(&c->m);
}

/* In f64: expected at one-hot is hard, and gradients are finite differences. */
static void check_gradient(const char *space, const char *kind, int encoding) {
    priced c = {0};
    static probabilities p, g;
    double value = 0, hard = 0;
    lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, 4);
    open_priced(space, kind, encoding, &c);
    const lode_space *s = c.m.rows.space;
    probabilities_random(s, &rng, &p);
    probabilities_random(s, &rng, &g);
    if (!lode_cost_has_gradient(c.cost)) {
        assert_fails(lode_cost_expected_value(c.cost, (const double *const *)p.row, &value, NULL),
                     LODE_ERR_UNSUPPORTED, lode_cost_no_gradient(c.cost));
        assert_ok(lode_cost_hard(c.cost, &c.m.arch[0], &hard));
        close_priced(&c);
        return;
    }
    assert_ok(lode_cost_expected_value(c.cost, (const double *const *)p.row, &value, g.row));
    for (int d = 0; d < lode_space_n_decisions(s); d++)
        for (int k = 0; k < lode_space_decision(s, d)->n_options; k++) {
            double up = 0, down = 0, h = 1e-5, kept = p.value[d][k];
            p.value[d][k] = kept + h;
            assert_ok(lode_cost_expected_value(c.cost, (const double *const *)p.row, &up, NULL));
            p.value[d][k] = kept - h;
            assert_ok(lode_cost_expected_value(c.cost, (const double *const *)p.row, &down, NULL));
            p.value[d][k] = kept;
            assert_near((up - down) / (2 * h), g.value[d][k], 1e-6);
        }
    for (int r = 0; r < 20; r++) {
        probabilities_one_hot(&c.m.arch[r], &p);
        assert_ok(lode_cost_hard(c.cost, &c.m.arch[r], &hard));
        assert_ok(lode_cost_expected_value(c.cost, (const double *const *)p.row, &value, NULL));
        assert_true(hard == value);
    }
    close_priced(&c);
}

static void expectation_meets_hard_costs_and_finite_differences(void **state) {
    (void)state;
    for (int i = 0; i < lode_n_predictors(); i++) {
        if (lode_predictor_missing_at(i)) continue;
        check_gradient("nasbench201", lode_predictor_kind_at(i), LODE_READS_OPTIONS);
        check_gradient("nasbench201", lode_predictor_kind_at(i), LODE_READS_BOTH);
    }
    check_gradient("nasbench-macro", "lstm", LODE_READS_OPTIONS); /* a chain, then elastic layers */
    check_gradient("single-path-cifar", "lstm", LODE_READS_OPTIONS);
    check_gradient("nasbench-macro", "linear", LODE_READS_COUNTS);
}

/* `linear`: the mean over architectures drawn from p, which for a sum is the sum of means. */
static void linear_expectation_is_exact(void **state) {
    (void)state;
    priced c = {0};
    static probabilities p;
    double expected = 0, sum = 0;
    lode_rng rng = lode_rng_stream(6, LODE_RNG_TEST, 5);
    open_priced("nasbench-macro", "linear", LODE_READS_OPTIONS, &c);
    probabilities_random(c.m.rows.space, &rng, &p);
    assert_ok(lode_cost_expected_value(c.cost, (const double *const *)p.row, &expected, NULL));
    for (int code = 0; code < 6561; code++) { /* every architecture with its probability */
        lode_arch a = {.n = 8};
        double chance = 1, hard = 0;
        for (int d = 0, rest = code; d < 8; d++, rest /= 3) {
            a.option[d] = (uint8_t)(rest % 3);
            chance *= p.value[d][rest % 3];
        }
        assert_ok(lode_cost_hard(c.cost, &a, &hard));
        sum += chance * hard;
    }
    assert_near(expected, sum, 1e-10);
    /* decisions are independent, so the range is exact, and prices per option are known */
    double min = 0, max = 0, base = 0;
    static double price[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS];
    bool exact = false;
    assert_ok(lode_cost_range(c.cost, &min, &max, NULL, NULL, &exact));
    assert_true(exact && min < max);
    assert_true(lode_cost_separate(c.cost, &base, price));
    for (int d = 0; d < 8; d++) base += fmin(price[d][0], fmin(price[d][1], price[d][2]));
    assert_near(base, min, 1e-9);
    close_priced(&c);
}

static void costs_say_what_does_not_fit(void **state) {
    (void)state;
    priced c = {0};
    lode_cost *cost = NULL;
    lode_supernet *net = NULL;
    double value = 0, fixed = 0;
    open_priced("nasbench-macro", "mlp", LODE_READS_OPTIONS, &c);
    char *wrong = lode_format("energy_mj=%s", c.path);
    assert_fails(lode_cost_open(wrong, c.net, 0, &cost), LODE_ERR_CONFIG, "is of latency_ms");
    assert_null(cost);
    lode_space *other = NULL;
    assert_ok(lode_space_load(&(lode_space_options){.name = "nasbench201"}, &other));
    assert_ok(lode_supernet_create(other, NULL, LODE_F32, 1, &net));
    assert_fails(lode_cost_open(c.spec, net, 0, &cost), LODE_ERR_CONFIG, "nasbench201 has 6");
    assert_null(cost);
    lode_supernet_destroy(net);
    lode_space_release(other);
    lode_tape *trace = NULL;
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &trace));
    assert_fails(lode_cost_of_trace(c.cost, trace, &value), LODE_ERR_UNSUPPORTED, "not traces");
    lode_tape_destroy(trace);
    /* a network without decisions costs what its architecture costs */
    assert_ok(lode_supernet_create(c.m.rows.space, &c.m.arch[3], LODE_F32, 1, &net));
    assert_ok(lode_cost_open(c.spec, net, 0, &cost));
    assert_ok(lode_cost_hard(cost, NULL, &fixed));
    assert_ok(lode_cost_hard(c.cost, &c.m.arch[3], &value));
    assert_true(fixed == value);
    lode_cost_close(cost);
    lode_supernet_destroy(net);
    lode_free(wrong);
    close_priced(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expectation_meets_hard_costs_and_finite_differences),
        cmocka_unit_test(linear_expectation_is_exact),
        cmocka_unit_test(costs_say_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
