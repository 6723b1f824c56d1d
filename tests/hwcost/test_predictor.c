/* test_predictor.c: which rows are learned from, what is read and asked of them, and wrong
   requests. labels: unit */
#include "core/platform.h"
#include "hwcost/cost.h"
#include "hwcost/made.h"

#include <math.h>

static void splits_keep_networks_together_and_grow(void **state) {
    (void)state;
    made m = {0};
    made_open("nasbench201", 600, 0, &m); /* many isomorphic cells */
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_part *first = LODE_NEW_ARRAY(lode_predictor_part, 600);
    split.train = 100;
    assert_ok(lode_predictor_split_rows(&m.rows, &split, first));
    split.train = 300;
    assert_ok(lode_predictor_split_rows(&m.rows, &split, m.part));
    int64_t n[4] = {0};
    for (int i = 0; i < 600; i++) {
        n[m.part[i]]++;
        assert_true((first[i] == LODE_PART_TEST) == (m.part[i] == LODE_PART_TEST));
        if (first[i] == LODE_PART_TRAIN || first[i] == LODE_PART_VALID)
            assert_true(m.part[i] == LODE_PART_TRAIN || m.part[i] == LODE_PART_VALID);
        for (int j = 0; j < i; j++)
            if (lode_arch_hash(m.rows.space, &m.arch[i]) ==
                lode_arch_hash(m.rows.space, &m.arch[j]))
                assert_int_equal(m.part[i], m.part[j]);
    }
    assert_true(n[LODE_PART_TEST] >= 120 && n[LODE_PART_TEST] < 140);
    assert_true(n[LODE_PART_TRAIN] + n[LODE_PART_VALID] >= 300);
    assert_true(n[LODE_PART_VALID] >= 45 && n[LODE_PART_VALID] < 70);
    split.seed = 2; /* another seed holds out others */
    assert_ok(lode_predictor_split_rows(&m.rows, &split, first));
    int different = 0;
    for (int i = 0; i < 600; i++) different += first[i] != m.part[i];
    assert_true(different > 100);
    split.train = 599;
    assert_fails(lode_predictor_split_rows(&m.rows, &split, first), LODE_ERR_DATA, "599 rows");
    lode_free(first);
    made_close(&m);
}

/* Values are 3 y_4 + 5 (y_4 - y_3): a line in the curve, whatever the architecture. */
static void given_numbers_are_read_and_needed(void **state) {
    (void)state;
    made m = {0};
    lode_predictor *p = NULL, *q = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = made_options();
    lode_predictor_info info = made_about;
    lode_rng rng = lode_rng_stream(12, LODE_RNG_TEST, 1);
    double given[4 * 120], a[2], b[2];
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "p");
    made_open("nasbench-macro", 120, 0, &m);
    for (int i = 0; i < 120; i++) {
        for (int k = 0; k < 4; k++) given[4 * i + k] = k + lode_rng_uniform(&rng);
        m.value[i] = 3 * given[4 * i + 3] + 5 * (given[4 * i + 3] - given[4 * i + 2]);
    }
    m.rows.n_given = 4;
    m.rows.given = given;
    snprintf(info.given, sizeof info.given, "y1,y2,y3,y4");
    o.encoding = LODE_READS_NONE;
    o.differences = true;
    assert_ok(lode_predictor_split_rows(&m.rows, &split, m.part));
    assert_fails(lode_predictor_fit("lstm", &m.rows, m.part, &o, &info, NULL, &p),
                 LODE_ERR_UNSUPPORTED, "fit.encoding");
    assert_ok(lode_predictor_fit("linear", &m.rows, m.part, &o, &info, NULL, &p));
    assert_int_equal(lode_predictor_n_given(p), 4);
    assert_int_equal(lode_encoding_n(lode_predictor_encoding(p)), 4 + 3 + 2);
    assert_true(lode_predictor_get_info(p).held_out.rmse < 1e-5);
    assert_fails(lode_predictor_predict(p, m.arch, 2, a), LODE_ERR_UNSUPPORTED, "y1,y2,y3,y4");
    assert_false(lode_predictor_is_exact(p));
    assert_ok(lode_predictor_predict_given(p, m.arch, given, 2, a));
    assert_near(a[1], m.value[1], 1e-4);
    assert_ok(lode_predictor_write(p, path));
    assert_ok(lode_predictor_read(path, &q));
    assert_ok(lode_predictor_predict_given(q, m.arch, given, 2, b));
    assert_memory_equal(a, b, sizeof a);
    lode_supernet *net = NULL;
    lode_cost *cost = NULL;
    char *spec = lode_format("latency_ms=%s", path);
    assert_ok(lode_supernet_create(m.rows.space, NULL, LODE_F32, 1, &net));
    assert_fails(lode_cost_open(spec, net, 0, &cost), LODE_ERR_UNSUPPORTED, "is no cost");
    lode_supernet_destroy(net);
    lode_predictor_destroy(p);
    lode_predictor_destroy(q);
    test_remove_tree(dir);
    lode_free(spec);
    lode_free(path);
    lode_free(dir);
    made_close(&m);
}

/* Ranks are met through any rising function: of a sum that is bent, prices are found in order. */
static void ranks_do_not_mind_a_rising_function(void **state) {
    (void)state;
    made m = {0};
    lode_predictor *p[2] = {NULL}, *q = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = made_options();
    double value[400], a[2][400], b[5];
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "p");
    made_open("nasbench-macro", 400, 0, &m);
    o.target = LODE_TARGET_RANK;
    assert_ok(lode_predictor_split_rows(&m.rows, &split, m.part));
    for (int bent = 0; bent < 2; bent++) {
        for (int i = 0; i < 400; i++) value[i] = bent ? exp(m.value[i]) : m.value[i];
        m.rows.value = value;
        assert_ok(lode_predictor_fit("kernel", &m.rows, m.part, &o, &made_about, NULL, &p[bent]));
        assert_ok(lode_predictor_predict(p[bent], m.arch, 400, a[bent]));
        lode_predictor_info info = lode_predictor_get_info(p[bent]);
        assert_true(info.held_out.tau_b > 0.8);
        assert_false(lode_predictor_is_exact(p[bent]));
        /* predictions are within what was seen, but for the little that keeps the order */
        for (int i = 0; i < 400; i++)
            assert_true(a[bent][i] > info.smallest - 0.05 * (info.largest - info.smallest) &&
                        a[bent][i] < info.largest + 0.05 * (info.largest - info.smallest));
    }
    assert_true(lode_predictor_get_info(p[0]).held_out.tau_b ==
                lode_predictor_get_info(p[1]).held_out.tau_b);
    assert_ok(lode_predictor_write(p[1], path));
    assert_ok(lode_predictor_read(path, &q));
    assert_ok(lode_predictor_predict(q, m.arch, 5, b));
    assert_memory_equal(a[1], b, sizeof b);
    for (int bent = 0; bent < 2; bent++) lode_predictor_destroy(p[bent]);
    lode_predictor_destroy(q);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
    made_close(&m);
}

static bool never(void *self) {
    (void)self;
    return true;
}

static void wrong_requests_are_refused(void **state) {
    (void)state;
    made m = {0};
    lode_predictor *p = NULL;
    lode_predictor_split split = lode_predictor_split_defaults();
    lode_predictor_options o = made_options();
    const lode_progress stop = {.should_stop = never};
    made_open("nasbench-macro", 60, 0, &m);
    assert_ok(lode_predictor_split_rows(&m.rows, &split, m.part));
    assert_fails(lode_predictor_fit("lineer", &m.rows, m.part, &o, &made_about, NULL, &p),
                 LODE_ERR_CONFIG, "nearest is linear");
    assert_null(p);
    assert_fails(lode_predictor_fit("mlp", &m.rows, m.part, &o, &made_about, &stop, &p),
                 LODE_ERR_STOPPED, "stopped in epoch 1");
    for (int i = 0; i < 60; i++) m.part[i] = LODE_PART_TEST;
    assert_fails(lode_predictor_fit("linear", &m.rows, m.part, &o, &made_about, NULL, &p),
                 LODE_ERR_DATA, "at least 2");
    split.test = 1;
    assert_fails(lode_predictor_split_rows(&m.rows, &split, m.part), LODE_ERR_CONFIG, "[0, 1)");
    assert_fails(lode_predictor_check_kind("gcn", m.rows.space, &o), LODE_ERR_UNSUPPORTED,
                 "no edge of a cell");
    p = made_fit(&m, "linear", 0);
    double v;
    lode_arch wrong = {.n = 3}, high = {.n = 8, .option = {7}};
    assert_fails(lode_predictor_predict(p, &wrong, 1, &v), LODE_ERR_INVALID, "3 decisions");
    assert_fails(lode_predictor_predict(p, &high, 1, &v), LODE_ERR_INVALID, "option 7");
    lode_space *other = NULL;
    assert_ok(lode_space_load(&(lode_space_options){.name = "nasbench201"}, &other));
    assert_fails(lode_predictor_check_space(p, other), LODE_ERR_CONFIG, "nasbench201 has 6");
    lode_space_release(other);
    lode_predictor_destroy(p);
    made_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_keep_networks_together_and_grow),
        cmocka_unit_test(given_numbers_are_read_and_needed),
        cmocka_unit_test(ranks_do_not_mind_a_rising_function),
        cmocka_unit_test(wrong_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
