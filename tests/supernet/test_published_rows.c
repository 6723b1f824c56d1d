/* test_published_rows.c: MACs and parameters of published tables, row by row, where our spaces can
   express the networks (samples by tracing: test_published.c). Needs $LODE_SHARED. labels: slow */
#include "hwcost/cost.h"
#include "supernet/published_table.h"

/* Prices every architecture of a space at once. */
typedef struct priced {
    lode_space *space;
    lode_supernet *net;
    lode_cost *macs, *params;
} priced;

static void priced_space_open(priced *p, lode_space *space) {
    p->space = space;
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &p->net));
    assert_ok(lode_cost_open("macs", p->net, 1, &p->macs));
    assert_ok(lode_cost_open("params", p->net, 1, &p->params));
}

static void priced_named_open(priced *p, const char *name, int64_t classes, int64_t size) {
    lode_space_options o = {.name = name, .classes = classes, .size = size};
    lode_space *space = NULL;
    assert_ok(lode_space_load(&o, &space));
    priced_space_open(p, space);
}

static void priced_shut(priced *p) {
    lode_cost_close(p->params);
    lode_cost_close(p->macs);
    lode_supernet_destroy(p->net);
    lode_space_release(p->space);
}

static void check_row(priced *p, const lode_arch *a, const char *name, double macs, double params) {
    double m = 0, n = 0;
    assert_ok(lode_cost_hard(p->macs, a, &m));
    assert_ok(lode_cost_hard(p->params, a, &n));
    if (m != macs || n != params)
        fail_msg("%s: %.0f MACs and %.0f parameters, published %.0f and %.0f", name, m, n, macs,
                 params);
}

static bool open_shared(table *t, const char *relative) {
    char *path = test_shared(relative);
    if (path == NULL) return false;
    table_open(t, path);
    lode_free(path);
    return true;
}

/* All 6561. */
static void nasbench_macro(void **state) {
    (void)state;
    table t;
    priced p;
    if (!open_shared(&t, "tables/nasbench_macro/nasbench_macro_cifar10.csv")) skip();
    assert_int_equal(t.n, 6562);
    priced_named_open(&p, "nasbench-macro", 0, 0);
    for (int row = 1; row < t.n; row++) {
        char code[128];
        lode_arch a;
        assert_ok(lode_arch_parse(p.space, table_field(&t, row, "arch", code), &a));
        check_row(&p, &a, code, table_number(&t, row, "macs"), table_number(&t, row, "params"));
    }
    priced_shut(&p);
    table_close(&t);
}

/* All 15625, three data sets. The table counts one more for each output: its bias. */
static void nasbench_201(void **state) {
    (void)state;
    static const struct {
        const char *macs, *params;
        int64_t classes, size;
    } set[] = {{"c10_macs", "c10_params", 10, 32},
               {"c100_macs", "c100_params", 100, 32},
               {"in16_macs", "in16_params", 120, 16}};
    table t;
    if (!open_shared(&t, "tables/nasbench201/nb201.csv")) skip();
    assert_int_equal(t.n, 15626);
    for (int k = 0; k < 3; k++) {
        priced p;
        priced_named_open(&p, "nasbench201", set[k].classes, set[k].size);
        for (int row = 1; row < t.n; row++) {
            char code[128];
            lode_arch a;
            assert_ok(lode_arch_parse(p.space, table_field(&t, row, "ops", code), &a));
            check_row(&p, &a, code, table_number(&t, row, set[k].macs) - (double)set[k].classes,
                      table_number(&t, row, set[k].params));
        }
        priced_shut(&p);
    }
    table_close(&t);
}

static char *replaced(char *text, const char *from, const char *to) {
    lode_text out = {0};
    char *at = text, *found;
    while ((found = strstr(at, from)) != NULL) {
        lode_text_add(&out, "%.*s%s", (int)(found - at), at, to);
        at = found + strlen(from);
    }
    lode_text_add(&out, "%s", at);
    lode_free(text);
    return lode_text_take(&out);
}

/* "ks,e" digits of 20 layers and "d" of 5 stages as our options; the first d of each are there. */
static char *ofa_text(const char *ks, const char *e, const char *d) {
    lode_text out = {0};
    for (int i = 0; i < 20; i++) {
        if (i % 4 >= d[i / 4] - '0')
            lode_text_add(&out, "%sskip", i ? "," : "");
        else
            lode_text_add(&out, "%sk%c_e%c", i ? "," : "", ks[i], e[i]);
    }
    return lode_text_take(&out);
}

/* Once-for-all's MobileNetV3 of width 1.0: 2373 evaluated sub-networks. */
static void once_for_all(void **state) {
    (void)state;
    static const char *const width[][2] = {
        {"channels: 24", "channels: 16"},    {"channels: 32", "channels: 24"},
        {"channels: 48", "channels: 40"},    {"channels: 96", "channels: 80"},
        {"channels: 136", "channels: 112"},  {"channels: 192", "channels: 160"},
        {"channels: 1152", "channels: 960"}, {"channels: 1536", "channels: 1280"}};
    lode_space_options o = {.name = "ofa-mobilenetv3"};
    lode_space *space = NULL;
    table t;
    priced p;
    if (!open_shared(&t, "tables/ofa_mbv3w10_evaluations/ofa_mbv3w10_imagenet.csv")) skip();
    assert_int_equal(t.n, 2374);
    assert_ok(lode_space_load(&o, &space));
    char *text = lode_strdup(lode_space_text(space));
    lode_space_release(space);
    for (size_t i = 0; i < sizeof width / sizeof *width; i++)
        text = replaced(text, width[i][0], width[i][1]);
    assert_ok(lode_space_parse(text, "ofa", NULL, &space));
    priced_space_open(&p, space);
    for (int row = 1; row < t.n; row++) {
        char ks[128], e[128], d[128];
        lode_arch a;
        char *code = ofa_text(table_field(&t, row, "ks", ks), table_field(&t, row, "e", e),
                              table_field(&t, row, "d", d));
        assert_ok(lode_arch_parse(p.space, code, &a));
        check_row(&p, &a, code, table_number(&t, row, "macs"), table_number(&t, row, "params"));
        lode_free(code);
    }
    priced_shut(&p);
    lode_free(text);
    table_close(&t);
}

/* The layers of the MCU model zoo that are ours: MobileNetV2 of width 0.35 at 144 pixels. */
static void mcunet_zoo(void **state) {
    (void)state;
    table t;
    int n = 0;
    if (!open_shared(&t, "tables/mcunet_zoo/mcunet_zoo.csv")) skip();
    for (int row = 1; row < t.n; row++) {
        char id[128];
        lode_space_options o = {.name = "mobilenetv2",
                                .size = (int64_t)table_number(&t, row, "resolution"),
                                .width = 0.35};
        lode_space *space = NULL;
        priced p;
        double macs = 0, params = 0;
        if (strcmp(table_field(&t, row, "net_id", id), "mbv2-w0.35") != 0) continue;
        assert_ok(lode_space_load(&o, &space));
        priced_space_open(&p, space);
        assert_ok(lode_cost_hard(p.macs, &(lode_arch){.n = 0}, &macs));
        assert_ok(lode_cost_hard(p.params, &(lode_arch){.n = 0}, &params));
        print_message("%s: %.2f M MACs, %.3f M parameters\n", id, macs / 1e6, params / 1e6);
        assert_near(macs / 1e6, table_number(&t, row, "mmacs"), 0.05 + 1e-9);
        assert_near(params / 1e6, table_number(&t, row, "params_M"), 0.005 + 1e-9);
        priced_shut(&p);
        n++;
    }
    assert_int_equal(n, 1);
    table_close(&t);
}

/* Eight pairs (operation, input) as 14 edges; false: two pairs of a node take the same input, or
   one does nothing, which our cells do not have. */
static bool darts_cell(const char *pairs, int option[14]) {
    memset(option, 0, 14 * sizeof *option);
    for (int i = 0; i < 8; i++) {
        int node = i / 2, from = pairs[2 * i + 1] - '0', op = pairs[2 * i] - '0';
        int edge = node * (node + 3) / 2 + from;
        if (op == 0 || from > node + 1 || option[edge] != 0) return false;
        option[edge] = op;
    }
    return true;
}

/* DARTS cells as evaluated on CIFAR-10 (20 cells of 36 channels). Parameters are equal; the
   published operations count something beside multiply-accumulates, a few percent more. */
static void darts_545(void **state) {
    (void)state;
    lode_space_options shipped = {.name = "darts"}, o = {.repeats = 6, .cell_channels = 36};
    lode_space *space = NULL;
    table t;
    int n = 0;
    if (!open_shared(&t, "tables/darts_bench_545/darts_bench_545.csv")) skip();
    assert_ok(lode_space_load(&shipped, &space));
    char *text = lode_strdup(lode_space_text(space));
    lode_space_release(space);
    text = replaced(replaced(text, "affine: false", "affine: true"), ", bn: true", "");
    assert_ok(lode_space_parse(text, "darts", &o, &space));
    for (int row = 1; row < t.n; row++) {
        char normal[128], reduce[128];
        int cell[28];
        counted c = {.space = space};
        lode_arch a = {.n = 28};
        if (!darts_cell(table_field(&t, row, "normal", normal), cell) ||
            !darts_cell(table_field(&t, row, "reduce", reduce), cell + 14))
            continue;
        for (int i = 0; i < 28; i++) a.option[i] = (uint8_t)cell[i];
        assert_ok(lode_supernet_create(space, &a, LODE_F32, 1, &c.net));
        assert_ok(lode_tape_create(LODE_TRACE, NULL, &c.trace));
        double params = counted_params(&c, NULL), macs = counted_macs(&c, NULL);
        double want_params = table_number(&t, row, "params_M"),
               want = table_number(&t, row, "mflops");
        if (n == 0)
            print_message("%s %s: %.6f M MACs, published %.6f; %.6f M parameters, published %.6f\n",
                          normal, reduce, macs / 1e6, want, params / 1e6, want_params);
        assert_near(params / 1e6, want_params, 1e-6);
        assert_true(macs / 1e6 < want && macs / 1e6 > 0.94 * want);
        lode_tape_destroy(c.trace);
        lode_supernet_destroy(c.net);
        n++;
    }
    print_message("%d of %d rows are cells of the DARTS space\n", n, t.n - 1);
    assert_true(n > 100);
    lode_space_release(space);
    lode_free(text);
    table_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nasbench_macro), cmocka_unit_test(nasbench_201),
        cmocka_unit_test(once_for_all),   cmocka_unit_test(mcunet_zoo),
        cmocka_unit_test(darts_545),
    };
    return cmocka_run_group_tests_name("supernet/published_rows", tests, NULL, NULL);
}
