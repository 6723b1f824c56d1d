/* labels: unit, property. From probabilities to architectures: against enumeration, under kept
   edges and without. */
#include "train_fixture.h"

#include <math.h>

#define SPACE_CELLS                                                                                \
    "name: cells\ninput: {channels: 3, size: 8}\nclasses: 4\n"                                     \
    "sets:\n  s:\n"                                                                                \
    "    a: {op: sep_conv}\n"                                                                      \
    "    none: {op: none}\n"                                                                       \
    "    skip: {op: skip, at_shape_change: {op: factorized_reduce}}\n"                             \
    "  t: {x: {op: conv, kernel: 1}, skip: {op: skip}, y: {op: conv}}\n"                           \
    "cells:\n"                                                                                     \
    "  normal: {inputs: 2, nodes: 2, set: s, output: concat, keep: 2}\n"                           \
    "  reduce: {inputs: 2, nodes: 2, set: s, output: concat, keep: 1}\n"                           \
    "layers:\n"                                                                                    \
    "  - {name: stem, op: conv, channels: 4}\n"                                                    \
    "  - {cell: normal, channels: 2}\n"                                                            \
    "  - {cell: reduce, channels: 4, stride: 2}\n"                                                 \
    "  - {choice: t, channels: 8}\n"                                                               \
    "  - {name: pool, op: global_pool}\n"                                                          \
    "  - {name: classifier, op: linear}\n"

typedef struct cells {
    lode_space *space;
    lode_supernet *net;
    lode_strategy *strategy;
} cells;

static void cells_open(cells *c, const char *text, uint64_t seed, double size) {
    const lode_strategy_plugin *gumbel = NULL;
    lode_rng rng = lode_rng_stream(seed, LODE_RNG_TEST, 0);
    assert_ok(lode_space_parse(text, "cells", NULL, &c->space));
    assert_ok(lode_supernet_create(c->space, NULL, LODE_F64, 1, &c->net));
    assert_ok(lode_strategy_find("gumbel", &gumbel));
    lode_strategy_setup setup = {.net = c->net, .n_epochs = 4};
    assert_ok(lode_strategy_create(gumbel, &setup, &c->strategy));
    for (int i = 0; i < lode_strategy_n_parameters(c->strategy); i++)
        assert_ok(
            lode_tensor_fill_normal(lode_strategy_parameter(c->strategy, i)->value, &rng, 0, size));
}

static void cells_close(cells *c) {
    lode_strategy_destroy(c->strategy);
    lode_supernet_destroy(c->net);
    lode_space_release(c->space);
}

/* The next architecture in counting order; false after the last. */
static bool next_arch(const lode_space *s, lode_arch *a) {
    for (int d = 0; d < a->n; d++) {
        if (++a->option[d] < lode_space_decision(s, d)->n_options) return true;
        a->option[d] = 0;
    }
    return false;
}

static void the_space_says_what_options_are(void **state) {
    cells c;
    bool reduces = true;
    (void)state;
    cells_open(&c, SPACE_CELLS, 1, 1);
    assert_int_equal(lode_space_n_cells(c.space), 2);
    assert_int_equal(lode_space_n_keeps(c.space), 4);
    lode_space_keep k = lode_space_keep_at(c.space, 3); /* three edges into the last node */
    assert_int_equal(k.first, 7);
    assert_int_equal(k.n, 3);
    assert_int_equal(k.keep, 1);
    assert_int_equal(k.none, 1);
    assert_int_equal(lode_space_cell_of(c.space, 4, &reduces), 0);
    assert_false(reduces);
    assert_int_equal(lode_space_cell_of(c.space, 5, &reduces), 1);
    assert_true(reduces);
    assert_int_equal(lode_space_cell_of(c.space, 10, &reduces), -1);
    for (int d = 0; d < 10; d++) {
        assert_int_equal(lode_space_option_kind(c.space, d, 0), LODE_OPTION_BLOCK);
        assert_int_equal(lode_space_option_kind(c.space, d, 1), LODE_OPTION_NONE);
        assert_int_equal(lode_space_option_kind(c.space, d, 2), LODE_OPTION_SKIP);
    }
    cells_close(&c);
}

/* Nothing valid is more probable than argmax, for many probabilities. */
static void argmax_is_the_most_probable(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        cells c;
        lode_arch found;
        cells_open(&c, SPACE_CELLS, seed, 2);
        assert_ok(lode_strategy_discretize(c.strategy, LODE_DISCRETIZE_ARGMAX, NULL, &found));
        assert_ok(lode_space_check(c.space, &found));
        double best = -INFINITY, have = lode_strategy_log_probability(c.strategy, &found);
        lode_arch a = {.n = found.n};
        do {
            if (lode_space_check(c.space, &a) != LODE_OK) continue;
            best = fmax(best, lode_strategy_log_probability(c.strategy, &a));
        } while (next_arch(c.space, &a));
        assert_near(have, best, 1e-12);
        cells_close(&c);
    }
}

static void set_probabilities(cells *c, int decision, double a, double none, double skip) {
    lode_tensor *v = lode_strategy_parameter(c->strategy, decision)->value;
    lode_put(v, 0, log(a)), lode_put(v, 1, log(none)), lode_put(v, 2, log(skip));
}

/* By hand: the two rules differ where an edge is weak and still likelier than its `none`. */
static void top2_is_the_derivation_of_darts(void **state) {
    cells c;
    lode_arch top, likely;
    (void)state;
    cells_open(&c, SPACE_CELLS, 1, 0);
    set_probabilities(&c, 2, 0.50, 0.45, 0.05); /* the edges into node 3 of the normal cell */
    set_probabilities(&c, 3, 0.35, 0.30, 0.35);
    set_probabilities(&c, 4, 0.40, 0.10, 0.50);
    assert_ok(lode_strategy_discretize(c.strategy, LODE_DISCRETIZE_TOP2, NULL, &top));
    assert_int_equal(top.option[2], 0); /* weights .50, .35, .50: first and last stay */
    assert_int_equal(top.option[3], 1);
    assert_int_equal(top.option[4], 2);
    assert_ok(lode_strategy_best(c.strategy, &likely));
    assert_int_equal(likely.option[2], 1); /* ratios 1.11, 1.17, 5 */
    assert_int_equal(likely.option[3], 0);
    assert_int_equal(likely.option[4], 2);
    assert_ok(lode_space_check(c.space, &top));
    cells_close(&c);
    cells_open(&c, fixture_space, 1, 1);
    assert_fails(lode_strategy_discretize(c.strategy, LODE_DISCRETIZE_TOP2, NULL, &top),
                 LODE_ERR_CONFIG, "argmax");
    cells_close(&c);
}

/* Frequencies of the options of one node's edges against p conditioned on two edges kept. */
static void samples_are_conditioned_on_validity(void **state) {
    enum { DRAWS = 20000, CELLS = 27 };
    cells c;
    double p[3][LODE_MAX_OPTIONS], want[CELLS], sum = 0;
    int count[CELLS] = {0};
    lode_rng rng = lode_rng_stream(2, LODE_RNG_TEST, 1);
    (void)state;
    cells_open(&c, SPACE_CELLS, 3, 1.5);
    for (int e = 0; e < 3; e++) lode_strategy_probabilities(c.strategy, 2 + e, p[e]);
    for (int i = 0; i < CELLS; i++) {
        int k[3] = {i % 3, i / 3 % 3, i / 9};
        bool valid = (k[0] != 1) + (k[1] != 1) + (k[2] != 1) == 2;
        sum += want[i] = valid ? p[0][k[0]] * p[1][k[1]] * p[2][k[2]] : 0;
    }
    for (int i = 0; i < DRAWS; i++) {
        lode_arch a;
        assert_ok(lode_strategy_discretize(c.strategy, LODE_DISCRETIZE_SAMPLE, &rng, &a));
        count[a.option[2] + 3 * a.option[3] + 9 * a.option[4]]++;
    }
    for (int i = 0; i < CELLS; i++) {
        double q = want[i] / sum;
        assert_near(count[i] / (double)DRAWS, q, 4.5 * sqrt(q * (1 - q) / DRAWS));
    }
    cells_close(&c);
}

/* All edges undecided, or `none` certain everywhere: still valid, and soon. */
static void every_draw_is_valid_in_the_space_of_darts(void **state) {
    lode_space_options o = {.name = "darts", .size = 8, .cell_channels = 4};
    const lode_strategy_plugin *gumbel = NULL;
    cells c;
    lode_rng rng = lode_rng_stream(2, LODE_RNG_TEST, 2);
    (void)state;
    assert_ok(lode_space_load(&o, &c.space));
    assert_ok(lode_supernet_create(c.space, NULL, LODE_F32, 1, &c.net));
    assert_ok(lode_strategy_find("gumbel", &gumbel));
    lode_strategy_setup setup = {.net = c.net, .n_epochs = 4};
    assert_ok(lode_strategy_create(gumbel, &setup, &c.strategy));
    for (int certain = 0; certain < 2; certain++) {
        lode_arch a;
        for (int d = 0; certain && d < lode_strategy_n_parameters(c.strategy); d++)
            lode_put(lode_strategy_parameter(c.strategy, d)->value, 0, 1e4); /* none */
        for (int i = 0; i < 200; i++) assert_ok(lode_strategy_sample(c.strategy, &rng, &a));
        assert_ok(lode_strategy_best(c.strategy, &a));
        assert_ok(lode_strategy_top_edges(c.strategy, &a));
    }
    cells_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_space_says_what_options_are),
        cmocka_unit_test(argmax_is_the_most_probable),
        cmocka_unit_test(top2_is_the_derivation_of_darts),
        cmocka_unit_test(samples_are_conditioned_on_validity),
        cmocka_unit_test(every_draw_is_valid_in_the_space_of_darts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
