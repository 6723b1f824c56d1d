/* test_published.c: MACs and parameters counted from our networks equal the published ones, and
   the canonical forms agree with the published tables. Needs $LODE_SHARED. */
#include "supernet/published_table.h"

/* ---- tests ---- */
static void test_macro_counts(void **state) {
    (void)state;
    char *path = test_shared("tables/nasbench_macro/nasbench_macro_cifar10.csv");
    if (path == NULL) skip();
    table t;
    counted c;
    table_open(&t, path);
    counted_open(&c, "nasbench-macro", 0, 0);
    assert_int_equal(t.n, 6562);
    for (int row = 1; row < t.n; row += 13) {
        char code[128], want[128];
        lode_arch a;
        assert_ok(lode_arch_parse(c.space, table_field(&t, row, "arch", code), &a));
        char *back = lode_arch_code(c.space, &a);
        assert_string_equal(back, code);
        lode_free(back);
        assert_true(counted_macs(&c, &a) == table_number(&t, row, "macs"));
        assert_true(counted_params(&c, &a) == table_number(&t, row, "params"));
        lode_arch canonical = lode_arch_canonical(c.space, &a);
        char *text = lode_arch_code(c.space, &canonical);
        assert_string_equal(text, table_field(&t, row, "canonical", want));
        lode_free(text);
    }
    counted_close(&c);
    table_close(&t);
    lode_free(path);
}

/* The table counts one more for each output of the classifier: its bias. */
static void check_nb201(const table *t, const char *macs, const char *params, int64_t classes,
                        int64_t size, int step) {
    counted c;
    counted_open(&c, "nasbench201", classes, size);
    for (int row = 1; row < t->n; row += step) {
        char code[128];
        lode_arch a;
        assert_ok(lode_arch_parse(c.space, table_field(t, row, "ops", code), &a));
        double want = table_number(t, row, macs) - (double)classes;
        if (counted_macs(&c, &a) != want)
            fail_msg("%s: %s %.0f, published %.0f", code, macs, counted_macs(&c, &a), want);
        assert_true(counted_params(&c, &a) == table_number(t, row, params));
    }
    counted_close(&c);
}

static void test_nb201_counts(void **state) {
    (void)state;
    char *path = test_shared("tables/nasbench201/nb201.csv");
    if (path == NULL) skip();
    table t;
    table_open(&t, path);
    assert_int_equal(t.n, 15626);
    check_nb201(&t, "c10_macs", "c10_params", 10, 32, 41);
    check_nb201(&t, "c100_macs", "c100_params", 100, 32, 397);
    check_nb201(&t, "in16_macs", "in16_params", 120, 16, 397);
    table_close(&t);
    lode_free(path);
}

/* Equal canonical form means equal price. 8050 is the number of graphs of operations, counted by
   trying all renumberings of each (the published 6466 ignores operations that read zeros). */
static void test_nb201_canonical(void **state) {
    (void)state;
    char *path = test_shared("tables/nasbench201/nb201.csv");
    if (path == NULL) skip();
    table t;
    lode_space *space;
    lode_space_options options = {.name = "nasbench201"};
    table_open(&t, path);
    assert_ok(lode_space_load(&options, &space));
    double *macs = calloc(15625, sizeof *macs), *params = calloc(15625, sizeof *params);
    assert_true(macs != NULL && params != NULL);
    int distinct = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int row = 1; row < t.n; row++) {
            char code[128];
            lode_arch a;
            int self = 0, number = 0;
            assert_ok(lode_arch_parse(space, table_field(&t, row, "ops", code), &a));
            lode_arch k = lode_arch_canonical(space, &a);
            for (int i = 0; i < 6; i++) {
                self = self * 5 + a.option[i];
                number = number * 5 + k.option[i];
            }
            if (pass == 0) {
                macs[self] = table_number(&t, row, "c10_macs");
                params[self] = table_number(&t, row, "c10_params");
                distinct += number == self;
                continue;
            }
            assert_true(number <= self);
            assert_true(macs[self] == macs[number] && params[self] == params[number]);
            lode_arch twice = lode_arch_canonical(space, &k);
            assert_true(lode_arch_equal(&twice, &k));
            assert_true(lode_arch_hash(space, &a) == lode_arch_hash(space, &k));
        }
    }
    assert_int_equal(distinct, 8050);
    free(macs);
    free(params);
    lode_space_release(space);
    table_close(&t);
    lode_free(path);
}

/* DARTS_V2 as published for evaluation (20 cells of 36 channels, affine batch normalisation, none
   after pools): 3.349342 M parameters. */
static void test_darts_v2(void **state) {
    (void)state;
    lode_space_options shipped = {.name = "darts"}, options = {.repeats = 6, .cell_channels = 36};
    lode_space *s;
    lode_supernet *net;
    lode_arch a;
    int64_t params;
    assert_ok(lode_space_load(&shipped, &s));
    char *text = lode_strdup(lode_space_text(s)), *p = strstr(text, "affine: false");
    lode_space_release(s);
    assert_non_null(p);
    memcpy(p, "affine: true ", 13);
    while ((p = strstr(text, ", bn: true")) != NULL) memcpy(p, "          ", 10);
    assert_ok(lode_space_parse(text, "darts", &options, &s));
    lode_free(text);
    const char *normal = "sep_conv_3x3,sep_conv_3x3,sep_conv_3x3,sep_conv_3x3,none,"
                         "skip_connect,sep_conv_3x3,none,none,"
                         "skip_connect,none,dil_conv_3x3,none,none";
    const char *reduce = "max_pool_3x3,max_pool_3x3,none,max_pool_3x3,skip_connect,"
                         "max_pool_3x3,none,skip_connect,none,"
                         "none,max_pool_3x3,skip_connect,none,none";
    char *code = lode_format("%s,%s", normal, reduce);
    assert_ok(lode_arch_parse(s, code, &a));
    lode_free(code);
    assert_ok(lode_supernet_create(s, &a, LODE_F32, 1, &net));
    assert_ok(lode_supernet_count_parameters(net, NULL, &params));
    assert_int_equal(params, 3349342);
    lode_supernet_destroy(net);
    lode_space_release(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_macro_counts),
        cmocka_unit_test(test_nb201_counts),
        cmocka_unit_test(test_nb201_canonical),
        cmocka_unit_test(test_darts_v2),
    };
    return cmocka_run_group_tests_name("supernet/published", tests, NULL, NULL);
}
