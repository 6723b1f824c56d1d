/* test_summary.c: ranges of spaces against published extremes and against sampling. */
#include "supernet/supernet.h"
#include "support/support.h"

static lode_space *load(const char *name) {
    lode_space *s;
    lode_space_options options = {.name = name};
    assert_ok(lode_space_load(&options, &s));
    return s;
}

/* NAS-Bench-201: 7.78305M to 220.11969M MACs with the classifier's bias counted as 10 more,
   73,306 to 1,531,546 parameters. NAS-Bench-Macro: the all-identity and all-MB6_K5 rows. */
static void test_published_ranges(void **state) {
    (void)state;
    lode_space_summary m;
    lode_space *s = load("nasbench201");
    assert_ok(lode_space_summarize(s, &m));
    assert_true(m.min_macs == 7783050 - 10 && m.max_macs == 220119690 - 10);
    assert_true(m.min_params == 73306 && m.max_params == 1531546);
    assert_near(m.log10_count, 6 * 0.69897000433601880, 1e-12);
    lode_space_release(s);
    s = load("nasbench-macro");
    assert_ok(lode_space_summarize(s, &m));
    assert_true(m.min_macs == 7713280 && m.min_params == 387882);
    char *code = lode_arch_code(s, &m.largest);
    assert_string_equal(code, "22222222");
    lode_free(code);
    lode_space_release(s);
}

/* No sampled architecture leaves the range; the extremes are valid and reach it. */
static void test_sampled_within(void **state) {
    (void)state;
    const char *names[] = {"fbnet-fashion", "darts", "fbnetv2-cifar", "single-path-cifar"};
    for (int i = 0; i < 4; i++) {
        lode_space *s = load(names[i]);
        lode_space_summary m;
        lode_supernet *net;
        lode_tape *trace;
        assert_ok(lode_space_summarize(s, &m));
        assert_ok(lode_space_check(s, &m.smallest));
        assert_ok(lode_space_check(s, &m.largest));
        assert_ok(lode_supernet_create(s, NULL, LODE_F32, 0, &net));
        assert_ok(lode_tape_create(LODE_TRACE, NULL, &trace));
        lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 0);
        for (int k = 0; k < 30; k++) {
            lode_arch a;
            int64_t params;
            double macs = 0;
            assert_ok(lode_space_sample(s, &rng, &a));
            if (k == 0) a = m.smallest;
            if (k == 1) a = m.largest;
            assert_ok(lode_supernet_trace(net, &a, 1, false, trace));
            assert_ok(lode_supernet_count_parameters(net, &a, &params));
            for (int c = 0; c < lode_trace_n(trace); c++)
                macs += lode_trace_get(trace, c)->count.macs;
            assert_true(macs >= m.min_macs && macs <= m.max_macs);
            assert_true(k != 0 || macs == m.min_macs);
            assert_true(k != 1 || macs == m.max_macs);
            assert_true((double)params >= m.min_params && (double)params <= m.max_params);
        }
        lode_tape_destroy(trace);
        lode_supernet_destroy(net);
        lode_space_release(s);
    }
}

static void test_layers(void **state) {
    (void)state;
    lode_space *s = load("darts");
    assert_int_equal(lode_space_n_layers(s), 11);
    lode_layer_info reduce = lode_space_layer(s, 3);
    assert_string_equal(reduce.name, "cell3");
    assert_string_equal(reduce.what, "reduce");
    assert_int_equal(reduce.out, 4 * 32);
    assert_int_equal(reduce.stride, 2);
    assert_int_equal(reduce.first_decision, 14);
    assert_int_equal(reduce.n_decisions, 14);
    lode_layer_info stem = lode_space_layer(s, 0);
    assert_string_equal(stem.what, "conv");
    assert_int_equal(stem.first_decision, -1);
    lode_space_release(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_ranges),
        cmocka_unit_test(test_sampled_within),
        cmocka_unit_test(test_layers),
    };
    return cmocka_run_group_tests_name("supernet/summary", tests, NULL, NULL);
}
