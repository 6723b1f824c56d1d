/* test_encode.c: features of architectures and of probabilities. labels: unit */
#include "hwcost/cost.h"
#include "hwcost/encode.h"
#include "hwcost/probabilities.h"

#include <math.h>

static const char *const spaces[] = {"nasbench-macro", "nasbench201", "darts", "fbnetv2-cifar",
                                     "single-path-cifar"};

static lode_space *open_space(const char *name) {
    lode_space *s = NULL;
    assert_ok(lode_space_load(&(lode_space_options){.name = name}, &s));
    return s;
}

static const lode_encoding_parts with_paths = {.options = true, .paths = true},
                                 with_all = {.options = true, .paths = true, .counts = true};

static void encoding_of_an_architecture_is_that_of_its_one_hot_probabilities(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        static probabilities p;
        lode_space *s = open_space(spaces[i]);
        lode_encoding *e = NULL;
        lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 2);
        assert_ok(lode_encoding_create(s, &with_all, &e));
        int n = lode_encoding_n(e);
        double *x = LODE_NEW_ARRAY(double, 2 * n);
        for (int draw = 0; draw < 20; draw++) {
            lode_arch a;
            assert_ok(lode_space_sample(s, &rng, &a));
            probabilities_one_hot(&a, &p);
            lode_encode_arch(e, &a, x);
            lode_encode_relaxed(e, (const double *const *)p.row, x + n);
            assert_memory_equal(x, x + n, (size_t)n * sizeof *x);
            for (int k = 0; k < lode_encoding_n_binary(e); k++) assert_true(x[k] == 0 || x[k] == 1);
        }
        lode_free(x);
        lode_encoding_destroy(e);
        lode_space_release(s);
    }
}

static void encoding_pulls_gradients_as_finite_differences_do(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        static probabilities p, g;
        lode_space *s = open_space(spaces[i]);
        lode_encoding *e = NULL;
        lode_rng rng = lode_rng_stream(2, LODE_RNG_TEST, 3);
        assert_ok(lode_encoding_create(s, &with_all, &e));
        int n = lode_encoding_n(e);
        double *x = LODE_NEW_ARRAY(double, 3 * n), *up = x + n, *dx = x + 2 * n;
        for (int k = 0; k < n; k++) dx[k] = lode_rng_normal(&rng);
        probabilities_random(s, &rng, &p);
        probabilities_random(s, &rng, &g);
        lode_encode_pull(e, (const double *const *)p.row, dx, g.row);
        for (int d = 0; d < lode_space_n_decisions(s); d++)
            for (int k = 0; k < lode_space_decision(s, d)->n_options; k++) {
                double h = 1e-5, kept = p.value[d][k], slope = 0;
                p.value[d][k] = kept + h;
                lode_encode_relaxed(e, (const double *const *)p.row, up);
                p.value[d][k] = kept - h;
                lode_encode_relaxed(e, (const double *const *)p.row, x);
                p.value[d][k] = kept;
                for (int f = 0; f < n; f++) slope += dx[f] * (up[f] - x[f]) / (2 * h);
                assert_near(slope, g.value[d][k], 1e-8);
            }
        lode_free(x);
        lode_encoding_destroy(e);
        lode_space_release(s);
    }
}

/* NAS-Bench-201: edges 0->1, 0->2, 1->2, 0->3, 1->3, 2->3; the features after the 30 options are
   "reached" of nodes 1, 2, 3 and "reaches the output" of states 0, 1, 2. */
static void cells_say_what_is_reached(void **state) {
    (void)state;
    static const struct {
        const char *code;
        double reach[6];
    } cases[] = {
        {"333333", {1, 1, 1, 1, 1, 1}}, {"000000", {0, 0, 0, 0, 0, 0}},
        {"300030", {1, 0, 1, 1, 1, 0}}, /* 0 -> 1 -> 3 */
        {"003003", {0, 0, 0, 0, 1, 1}}, /* 1 -> 2 -> 3, but nothing leads to 1 */
        {"130000", {1, 1, 0, 0, 0, 0}}, /* two dead ends */
    };
    lode_space *s = open_space("nasbench201");
    lode_encoding *e = NULL, *plain = NULL;
    double x[36];
    assert_ok(lode_encoding_create(s, &with_paths, &e));
    assert_ok(lode_encoding_create(s, &(lode_encoding_parts){.options = true}, &plain));
    assert_int_equal(lode_encoding_n(e), 36);
    assert_int_equal(lode_encoding_n(plain), 30);
    assert_true(lode_encoding_has_paths(e) && !lode_encoding_is_linear(e));
    assert_true(!lode_encoding_has_paths(plain) && lode_encoding_is_linear(plain));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lode_arch a;
        assert_ok(lode_arch_parse(s, cases[i].code, &a));
        lode_encode_arch(e, &a, x);
        assert_memory_equal(x + 30, cases[i].reach, sizeof cases[i].reach);
    }
    lode_encoding_destroy(e);
    lode_encoding_destroy(plain);
    lode_space_release(s);
}

/* Counts are logarithms of costs; given numbers come last, behind their place. */
static void counts_are_those_of_costs(void **state) {
    (void)state;
    lode_space *s = open_space("nasbench201");
    lode_supernet *net = NULL;
    lode_encoding *e = NULL;
    lode_arch a;
    double x[8] = {[7] = 42}, v = 0;
    static const char *const cost[] = {"macs", "params", "activation_bytes"};
    assert_ok(lode_encoding_create(s, &(lode_encoding_parts){.counts = true, .given = 1}, &e));
    assert_int_equal(lode_encoding_n(e), 8);
    assert_int_equal(lode_encoding_n_binary(e), 0);
    assert_int_equal(lode_encoding_n_given(e), 1);
    assert_false(lode_encoding_is_linear(e));
    assert_ok(lode_arch_parse(s, "333132", &a)); /* four of six edges are 3x3, one is 1x1 */
    assert_ok(lode_encode_arch(e, &a, x));
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 1, &net));
    for (int i = 0; i < 3; i++) {
        lode_cost *c = NULL;
        assert_ok(lode_cost_open(cost[i], net, 1, &c));
        assert_ok(lode_cost_hard(c, &a, &v));
        assert_near(x[i], log1p(v), 1e-12);
        lode_cost_close(c);
    }
    /* 15 cells; a stem and two residual blocks of two 3x3 and one 1x1 each */
    assert_near(expm1(x[3]), 15 * 4 + 1 + 2 * 2, 1e-6);
    assert_near(expm1(x[4]), 15 + 2, 1e-6);
    assert_true(x[5] == 0 && x[7] == 42);
    lode_encoding_destroy(e);
    lode_supernet_destroy(net);
    assert_fails(lode_encoding_create(s, &(lode_encoding_parts){.paths = false}, &e),
                 LODE_ERR_INVALID, "no features");
    lode_space_release(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding_of_an_architecture_is_that_of_its_one_hot_probabilities),
        cmocka_unit_test(encoding_pulls_gradients_as_finite_differences_do),
        cmocka_unit_test(cells_say_what_is_reached),
        cmocka_unit_test(counts_are_those_of_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
