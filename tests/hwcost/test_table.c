/* test_table.c: measured tables: file round trip, damaged files, missing entries, statistics,
   measuring. labels: unit */
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/profile.h"
#include "support/support.h"

#include <math.h>

static lode_table *make_table(void) {
    lode_table *t = NULL;
    lode_table_info info = {.quantity = "latency_ms",
                            .unit = "ms",
                            .space = "s",
                            .form = LODE_FORM_PLAIN,
                            .batch = 4,
                            .threads = 2,
                            .slope = 1,
                            .fit_mape = -1,
                            .reference = {"012", 0x8000000000000001u, 1.1390000000000002}};
    assert_ok(lode_table_create(&info, &t));
    for (int i = 9; i >= 0; i--) {
        char call[16];
        snprintf(call, sizeof call, "call %d", i);
        lode_table_entry e = {.call = call,
                              .provider = "native",
                              .median = i * 0.1,
                              .min = i * 0.05,
                              .spread = 0.1,
                              .samples = 7};
        assert_ok(lode_table_add(t, &e));
    }
    return t;
}

static void round_trip(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "t.json");
    lode_table *a = make_table(), *b = NULL;
    lode_table_set_fit(a, 0.25, 1.5, 3, 12);
    assert_ok(lode_table_write(a, path));
    assert_ok(lode_table_read(path, &b));
    assert_int_equal(lode_table_n(b), 10);
    assert_near(lode_table_get_info(b).constant, 0.25, 0);
    assert_near(lode_table_get_info(b).slope, 1.5, 0);
    assert_int_equal(lode_table_get_info(b).form, LODE_FORM_PLAIN);
    assert_int_equal(lode_table_get_info(b).networks, 12);
    const lode_table_reference reference = lode_table_get_info(b).reference;
    assert_string_equal(reference.network, "012");
    assert_true(reference.hash == 0x8000000000000001u && reference.value == 1.1390000000000002);
    for (int i = 0; i < 10; i++) {
        const lode_table_entry *x = lode_table_at(a, i), *y = lode_table_at(b, i);
        assert_string_equal(x->call, y->call);
        assert_true(x->median == y->median);
        assert_ptr_equal(lode_table_find(b, x->call), y);
    }
    assert_null(lode_table_find(b, "call 10"));
    lode_table_destroy(a);
    lode_table_destroy(b);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
}

static void damaged_files_say_what(void **state) {
    (void)state;
#define WHOLE(reference)                                                                           \
    "{\"format\": \"lode-cost-table\", \"version\": 2, \"quantity\": \"q\", \"unit\": \"u\", "     \
    "\"space\": \"s\", \"form\": \"folded\", \"device\": \"d\", \"created\": \"\", \"batch\": 1, " \
    "\"threads\": 1, \"mhz\": 0, \"warmup\": 1, \"rounds\": 1, \"networks\": 0, \"constant\": 0, " \
    "\"slope\": 1, \"fit_mape\": -1, \"reference\": " reference "}"
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"{", "t.json"},
        {"{\"format\": \"other\"}", "lode-cost-table"},
        {"{\"format\": \"lode-cost-table\", \"version\": 9}", "version 9"},
        {"{\"format\": \"lode-cost-table\", \"version\": 1}", "lode cost build"},
        {"{\"format\": \"lode-cost-table\", \"version\": 2}", "quantity"},
        {"{\"format\": \"lode-cost-table\", \"version\": 2, \"quantity\": \"q\", \"unit\": "
         "\"u\", \"space\": \"s\", \"form\": \"bent\"}",
         "folded|plain"},
        {WHOLE("{\"network\": \"01\", \"value\": 1.5}"), "hash"},
        {WHOLE("{\"network\": \"01\", \"value\": 1.5, \"hash\": \"12x\"}"), "hexadecimal"},
        {WHOLE("{\"network\": \"01\", \"value\": 0, \"hash\": \"12\"}"), "above 0"},
        {WHOLE("{\"network\": \"01\", \"value\": 1, \"hash\": \"12\"}"), "entries"},
    };
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "t.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lode_table *t = NULL;
        assert_ok(lode_file_write_atomic(path, cases[i].text, strlen(cases[i].text)));
        assert_fails(lode_table_read(path, &t), LODE_ERR_DATA, cases[i].words);
        assert_null(t);
    }
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
}

static void statistics_by_hand(void **state) {
    (void)state;
    /* 5 % spikes of x10: the mean is off by 45 %, the median is not. */
    double v[100];
    lode_summary s;
    for (int i = 0; i < 100; i++) v[i] = i % 20 == 0 ? 10 : 1;
    assert_ok(lode_summarize(v, 100, &s));
    assert_near(s.median, 1, 1e-12);
    assert_near(s.min, 1, 1e-12);
    const double p[] = {1, 2, 3, 4}, m[] = {1, 3, 2, 4}, tied[] = {1, 1, 2, 3};
    lode_agreement a;
    assert_ok(lode_agree(p, m, 4, &a));
    assert_near(a.tau_b, 4.0 / 6, 1e-12); /* 5 concordant, 1 discordant */
    assert_near(a.mape, 100 * (1.0 / 3 + 1.0 / 2) / 4, 1e-9);
    assert_near(a.bias, 100 * (-1.0 / 3 + 1.0 / 2) / 4, 1e-9);
    assert_ok(lode_agree(p, tied, 4, &a));
    assert_near(a.tau_b, 5 / sqrt(6.0 * 5.0), 1e-12);
    double c = 0, slope = 0;
    const double line[] = {2.5, 4.5, 6.5, 8.5};
    lode_fit_line(p, line, 4, &c, &slope);
    assert_near(c, 0.5, 1e-9);
    assert_near(slope, 2, 1e-9);
}

/* Ten values and one that is far out; the interval by hand. */
static void outliers_and_intervals(void **state) {
    (void)state;
    const double v[] = {1.0, 1.1, 1.2, 1.3, 1.4, 50, 1.5, 1.6, 1.7, 1.8, 1.9};
    double many[400];
    lode_summary s;
    assert_ok(lode_summarize(v, 11, &s));
    assert_int_equal(s.outliers, 1);
    assert_near(s.median, 1.45, 1e-12);
    assert_near(s.min, 1.0, 0);
    /* 0.98 sqrt(10) = 3.099 ranks to either side of rank 4.5, 0.1 apart. */
    assert_near(s.interval, 0.3099 / 1.45, 1e-4);
    assert_ok(lode_summarize(v, 5, &s));
    assert_true(isinf(s.interval) && s.outliers == 0);
    /* It covers the true median about 95 times in 100, and shrinks with the root of n. */
    int covered = 0;
    for (int k = 0; k < 400; k++) {
        lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, (uint64_t)k);
        double x[60];
        for (int i = 0; i < 60; i++) x[i] = exp(lode_rng_normal(&rng));
        assert_ok(lode_summarize(x, 60, &s));
        covered += fabs(s.median - 1) <= s.interval * s.median * 1.1;
        many[k] = x[0];
    }
    assert_true(covered > 360 && covered < 400);
    double wide = s.interval;
    assert_ok(lode_summarize(many, 400, &s));
    assert_true(s.interval < 0.7 * wide);
}

static void measured_space_prices_every_architecture(void **state) {
    (void)state;
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_dispatch *dispatch = NULL;
    lode_table *table = NULL;
    lode_cost *cost = NULL;
    lode_space_options so = {.name = "fbnet-fashion"};
    lode_profile_options o = {.batch = 1, .warmup = 1, .rounds = 3, .networks = 4, .seed = 1};
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 9);
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "t.json");
    char *spec = lode_format("latency_ms=%s", path);
    assert_ok(lode_space_load(&so, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    assert_ok(lode_dispatch_create(NULL, &dispatch));
    assert_ok(lode_profile_space(net, dispatch, &o, NULL, &table));
    assert_ok(lode_table_write(table, path));
    assert_ok(lode_cost_open(spec, net, 0, &cost));
    assert_string_equal(lode_cost_name(cost), "latency_ms");
    assert_string_equal(lode_cost_unit(cost), "ms");
    for (int i = 0; i < 50; i++) {
        lode_arch arch;
        double ms = 0;
        assert_ok(lode_space_sample(space, &rng, &arch));
        assert_ok(lode_cost_hard(cost, &arch, &ms));
        assert_true(isfinite(ms));
    }
    lode_cost_close(cost);
    cost = NULL;
    assert_fails(lode_cost_open(spec, net, 7, &cost), LODE_ERR_CONFIG, "--batch 7");
    assert_fails(lode_cost_open("energy_mj=missing.json", net, 0, &cost), LODE_ERR_IO, "missing");
    lode_supernet_destroy(net);
    lode_space_release(space);
    /* Another space's calls are not in this table. */
    so.name = "nasbench-macro";
    assert_ok(lode_space_load(&so, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    assert_fails(lode_cost_open(spec, net, 0, &cost), LODE_ERR_NOT_FOUND, "lode cost build");
    lode_table_destroy(table);
    lode_dispatch_destroy(dispatch);
    lode_supernet_destroy(net);
    lode_space_release(space);
    test_remove_tree(dir);
    lode_free(spec);
    lode_free(path);
    lode_free(dir);
}

/* The table with every price times `factor`. */
static lode_table *scaled_table(const lode_table *t, double factor) {
    lode_table *out = NULL;
    lode_table_info info = lode_table_get_info(t);
    assert_ok(lode_table_create(&info, &out));
    for (int64_t i = 0; i < lode_table_n(t); i++) {
        lode_table_entry e = *lode_table_at(t, i);
        e.median *= factor;
        assert_ok(lode_table_add(out, &e));
    }
    return out;
}

/* Networks of their own are told apart by their times; the drift follows the table. */
static void subnets_and_their_drift(void **state) {
    (void)state;
    lode_space *space = NULL;
    lode_supernet *net = NULL, *sub[2] = {NULL, NULL};
    lode_dispatch *dispatch = NULL;
    lode_table *table = NULL, *slow = NULL, *fast = NULL;
    lode_summary time[2];
    double drift = 0;
    static const char *const text[2] = {"k3_e1,k3_e1,k3_e1,k3_e1,k3_e1,k3_e1,k3_e1",
                                        "k3_e6,k3_e6,k3_e6,k3_e6,k3_e6,k3_e6,k3_e6"};
    lode_space_options so = {.name = "fbnet-fashion"};
    lode_profile_options o = {.batch = 8, .warmup = 1, .rounds = 3, .seed = 1};
    lode_set_threads(1); /* so that what other programs take is known */
    assert_ok(lode_space_load(&so, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    assert_ok(lode_dispatch_create(NULL, &dispatch));
    assert_ok(lode_profile_space(net, dispatch, &o, NULL, &table));
    slow = scaled_table(table, 1000);
    fast = scaled_table(table, 1e-3);
    for (int i = 0; i < 2; i++) {
        lode_arch arch;
        assert_ok(lode_arch_parse(space, text[i], &arch));
        assert_ok(lode_supernet_create(space, &arch, LODE_F32, 1, &sub[i]));
    }
    lode_profile_networks setup = {
        .net = sub, .n = 2, .dispatch = dispatch, .batch = 8, .warmup = 1, .rounds = 5};
    assert_ok(lode_profile_run_networks(&setup, time, &drift));
    assert_true(drift < 0);
    assert_true(time[0].min > 0 && time[0].min < time[1].min);
    setup.table = slow;
    assert_ok(lode_profile_run_networks(&setup, time, &drift));
    assert_true(drift > 0 && drift < 0.1);
    setup.table = fast;
    assert_ok(lode_profile_run_networks(&setup, time, &drift));
    assert_true(drift > 10);
    for (int i = 0; i < 2; i++) lode_supernet_destroy(sub[i]);
    lode_table_destroy(fast);
    lode_table_destroy(slow);
    lode_table_destroy(table);
    lode_dispatch_destroy(dispatch);
    lode_supernet_destroy(net);
    lode_space_release(space);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(damaged_files_say_what),
        cmocka_unit_test(statistics_by_hand),
        cmocka_unit_test(outliers_and_intervals),
        cmocka_unit_test(measured_space_prices_every_architecture),
        cmocka_unit_test(subnets_and_their_drift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
