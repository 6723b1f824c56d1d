/* test_published_rows.c: MACs and parameters of published tables, row by row, where our spaces can
   express the networks (samples by tracing: test_published.c). Needs $LODE_SHARED. labels: slow

   Not here: tables that have measurements only (HW-NAS-Bench, LatBench, HELP, HW-NAS-Bench-360,
   NATS-Bench-MCU); nine of the ten MCUNets, whose layers are published on the authors' server
   alone; the Ultra96's blocks, whose "workload" is the profiler's own, 1 to 3 % above the
   multiply-accumulates; recurrent cells (NAS-Bench-NLP), for which there is no space. */
#include "hwcost/cost.h"
#include "supernet/published_table.h"

#include <math.h>

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

/* Both spaces of Channel-Bench-Macro, 16384 widths each. Digits 1 to 4 are our options 0 to 3; c5,
   a width, comes before c4, which is hidden in its layer. */
static void channel_bench(void **state) {
    (void)state;
    static const char *const of[][2] = {
        {"channel-mobilenet", "tables/channel_bench_macro/channel_mobilenet_cifar10.csv"},
        {"channel-resnet", "tables/channel_bench_macro/channel_resnet_cifar10.csv"}};
    static const int place[7] = {0, 1, 2, 4, 3, 5, 6};
    for (int k = 0; k < 2; k++) {
        table t;
        priced p;
        if (!open_shared(&t, of[k][1])) skip();
        assert_int_equal(t.n, 16385);
        priced_named_open(&p, of[k][0], 0, 0);
        for (int row = 1; row < t.n; row++) {
            char code[128];
            lode_arch a = {.n = 7};
            table_field(&t, row, "widths", code);
            for (int i = 0; i < 7; i++) a.option[place[i]] = (uint8_t)(code[i] - '1');
            check_row(&p, &a, code, table_number(&t, row, "macs"), table_number(&t, row, "params"));
        }
        priced_shut(&p);
        table_close(&t);
    }
}

/* ---- NATS-Bench's size space, added up from blocks ---- */

typedef struct price {
    double macs, params;
} price;

/* One block, "op: conv, kernel: 3", from `in` to `out` channels on a map of `side`: a network of it
   and a classifier, less the classifier. */
static price price_block(const char *block, int in, int out, int side) {
    char *text = lode_format("name: t\ninput: {channels: %d, size: %d}\nclasses: 1\nlayers: [{%s, "
                             "channels: %d}, {op: global_pool}, {op: linear}]\n",
                             in, side, block, out);
    lode_space *space = NULL;
    priced p;
    price of = {0, 0};
    const lode_arch none = {.n = 0};
    assert_ok(lode_space_parse(text, "t", NULL, &space));
    priced_space_open(&p, space);
    assert_ok(lode_cost_hard(p.macs, &none, &of.macs));
    assert_ok(lode_cost_hard(p.params, &none, &of.params));
    of.macs -= out;
    of.params -= out + 1;
    priced_shut(&p);
    lode_free(text);
    return of;
}

static void price_add(price *sum, double times, price of) {
    sum->macs += times * of.macs;
    sum->params += times * of.params;
}

/* The cell 333133: three edges leave its input, of which the last is a skip, and a 1x1 where the
   channels change; three 3x3 join what follows. */
static price nats_cell(int in, int out, int side) {
    const char *three = "op: conv, order: act_conv_bn", *one = "op: conv, kernel: 1";
    price sum = {0, 0};
    price_add(&sum, 2, price_block(three, in, out, side));
    price_add(&sum, 3, price_block(three, out, out, side));
    if (in != out) price_add(&sum, 1, price_block(one, in, out, side));
    return sum;
}

/* All 32768 = 8^5. Cells of ours have one number of channels, so networks are added up from our
   blocks, of every pair of channels at every side. The table's MACs have the classifier's biases.
 */
static void nats_size(void **state) {
    (void)state;
    static price stem[8], first[8], last[8], cell[2][8][8], reduce[2][8][8];
    table t;
    if (!open_shared(&t, "tables/nats_size/nats_sss_cifar10.csv")) skip();
    assert_int_equal(t.n, 32769);
    for (int i = 0; i < 8; i++) {
        const int in = 8 * (i + 1);
        stem[i] = price_block("op: conv, act: none", 3, in, 32);
        first[i] = nats_cell(in, in, 32);
        last[i] = price_block("op: bn_act", in, in, 8);
        price_add(&last[i], 1, (price){10 * in, 10 * in + 10});
        for (int j = 0; j < 8; j++)
            for (int k = 0; k < 2; k++) {
                const int out = 8 * (j + 1), side = 32 >> k;
                reduce[k][i][j] = price_block("op: residual, stride: 2", in, out, side);
                cell[k][i][j] = nats_cell(in, out, side / 2);
            }
    }
    for (int row = 1; row < t.n; row++) {
        char code[128], *at = code;
        int c[5];
        price sum = {0, 0};
        table_field(&t, row, "channels", code);
        for (int i = 0; i < 5; i++, at += *at == '-') c[i] = (int)strtol(at, &at, 10) / 8 - 1;
        price_add(&sum, 1, stem[c[0]]);
        price_add(&sum, 1, first[c[0]]);
        for (int k = 0; k < 2; k++) {
            price_add(&sum, 1, reduce[k][c[2 * k]][c[2 * k + 1]]);
            price_add(&sum, 1, cell[k][c[2 * k + 1]][c[2 * k + 2]]);
        }
        price_add(&sum, 1, last[c[4]]);
        if (sum.macs != table_number(&t, row, "macs") - 10 ||
            sum.params != table_number(&t, row, "params"))
            fail_msg("%s: %.0f MACs and %.0f parameters, published %s", code, sum.macs, sum.params,
                     t.line[row]);
    }
    table_close(&t);
}

/* ---- counted by thop ----

   Two tables count with thop (pytorch-OpCounter), whose "MACs" are, beside those of convolutions
   and linear layers, 4 for each element that a norm gives, 1 for each that an average pool gives,
   and for a mean over a map its elements and one more. */
static double thop_of(const lode_trace_call *call) {
    const lode_op *op = call->call.op;
    const double out = (double)lode_tensor_count(call->call.y);
    if (op == &lode_op_batch_norm) return 4 * out;
    if (op == &lode_op_avg_pool) return out;
    if (op == &lode_op_global_avg_pool) return (double)lode_tensor_count(call->call.x[0]) + out;
    return call->count.macs;
}

static const char *thop_unit(const void *self) { return (void)self, "operations"; }
static lode_status thop_price(void *self, const lode_trace_call *call, double *out) {
    (void)self;
    *out = thop_of(call);
    return LODE_OK;
}
static const lode_cost_model thop_model = {
    .name = "thop", .unit = thop_unit, .op_cost = thop_price};

/* "e", "k", "l", "se" digits of seven stages as our options. */
static char *accel_text(const char *e, const char *k, const char *l, const char *se) {
    static const int most[7] = {3, 3, 3, 3, 3, 4, 3};
    lode_text out = {0};
    for (int i = 0; i < 7; i++)
        for (int j = 0; j < most[i]; j++) {
            lode_text_add(&out, "%s", out.length > 0 ? "," : "");
            if (j >= l[i] - '0')
                lode_text_add(&out, "skip");
            else
                lode_text_add(&out, "k%c_e%c%s", k[i], e[i], se[i] == '1' ? "_se" : "");
        }
    return lode_text_take(&out);
}

/* Accel-NASBench: 4110 networks, their operations to the last one printed. */
static void accel_nasbench(void **state) {
    (void)state;
    table t;
    priced p;
    lode_cost *thop;
    if (!open_shared(&t, "tables/accel_nasbench/anb_5k.csv")) skip();
    assert_int_equal(t.n, 4111);
    priced_named_open(&p, LODE_TEST_DIR "/../bench/spaces/accel-nasbench.yaml", 0, 0);
    assert_ok(lode_cost_from_model(&thop_model, NULL, p.net, 1, &thop));
    for (int row = 1; row < t.n; row++) {
        char e[128], k[128], l[128], se[128];
        lode_arch a;
        double operations = 0, params = 0;
        char *code = accel_text(table_field(&t, row, "e", e), table_field(&t, row, "k", k),
                                table_field(&t, row, "l", l), table_field(&t, row, "se", se));
        assert_ok(lode_arch_parse(p.space, code, &a));
        assert_ok(lode_cost_hard(thop, &a, &operations));
        assert_ok(lode_cost_hard(p.params, &a, &params));
        const double want = table_number(&t, row, "mmacs") * 1e6,
                     n = table_number(&t, row, "params_M") * 1e6;
        if (fabs(operations - want) > 0.5 || fabs(params - n) > 0.5)
            fail_msg("%s: %.0f operations and %.0f parameters, published %.0f and %.0f", code,
                     operations, params, want, n);
        lode_free(code);
    }
    lode_cost_close(thop);
    priced_shut(&p);
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

/* DARTS cells as evaluated on CIFAR-10 (20 cells of 36 channels, no auxiliary head). Operations and
   parameters are equal to the last one. */
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
        double operations = 0;
        counted c = {.space = space};
        lode_arch a = {.n = 28};
        if (!darts_cell(table_field(&t, row, "normal", normal), cell) ||
            !darts_cell(table_field(&t, row, "reduce", reduce), cell + 14))
            continue;
        for (int i = 0; i < 28; i++) a.option[i] = (uint8_t)cell[i];
        assert_ok(lode_supernet_create(space, &a, LODE_F32, 1, &c.net));
        assert_ok(lode_tape_create(LODE_TRACE, NULL, &c.trace));
        double params = counted_params(&c, NULL), macs = counted_macs(&c, NULL);
        for (int i = 0; i < lode_trace_n(c.trace); i++)
            operations += thop_of(lode_trace_get(c.trace, i));
        const double want_params = table_number(&t, row, "params_M") * 1e6,
                     want = table_number(&t, row, "mflops") * 1e6;
        if (n == 0)
            print_message("%s %s: %.0f multiply-accumulates, %.0f operations, published %.0f\n",
                          normal, reduce, macs, operations, want);
        if (fabs(operations - want) > 0.5 || fabs(params - want_params) > 0.5)
            fail_msg("%s %s: %.0f operations and %.0f parameters, published %.0f and %.0f", normal,
                     reduce, operations, params, want, want_params);
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
        cmocka_unit_test(once_for_all),   cmocka_unit_test(channel_bench),
        cmocka_unit_test(nats_size),      cmocka_unit_test(mcunet_zoo),
        cmocka_unit_test(accel_nasbench), cmocka_unit_test(darts_545),
    };
    return cmocka_run_group_tests_name("supernet/published_rows", tests, NULL, NULL);
}
