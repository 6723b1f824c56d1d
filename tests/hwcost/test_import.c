/* test_import.c: tables of others: what they say of networks is what their authors published; bad
   files and missing entries are told. labels: unit */
#include "core/platform.h"
#include "hwcost/import.h"
#include "hwcost/pricing.h"
#include "hwcost/statistics.h"
#include "hwcost/work.h"

/* ---- small tables made here ---- */

static char *write_file(const char *dir, const char *name, const char *text) {
    char *path = lode_path_join(dir, name);
    assert_ok(lode_file_write_atomic(path, text, strlen(text)));
    return path;
}

static lode_status import_text(const char *name, const char *text, lode_import_options o,
                               lode_foreign **out) {
    char *dir = test_temp_dir(), *path = write_file(dir, name, text);
    lode_status status = lode_import(path, &o, out);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
    return status;
}

#define KEY(e) "expanded_conv-input:8x8x16-output:4x4x24-expand:" e "-kernel:5-stride:2-idskip:0"
#define OFA    "-se:1-hs:1"

static void keys_become_blocks(void **state) {
    (void)state;
    lode_foreign *t = NULL;
    double v = 0;
    lode_import_options o = {.format = "proxylessnas", .unit = "ms"};
    assert_ok(import_text("p.yaml",
                          KEY("3") ": {mean: 1.5, count: 7}\n"
                                   "Conv-input:16x16x3-output:8x8x16: {mean: 0.25}\n"
                                   "Logits-input:4x4x24-output:10: {mean: 0.5}\n",
                          o, &t));
    assert_int_equal(lode_foreign_n(t), 4);
    assert_true(lode_foreign_find(t, "mbconv 8x8x16 4x4x24 mid48 k5 s2 r0 se0 hs0", &v));
    assert_near(v, 1.5, 0);
    assert_true(lode_foreign_find(t, "conv 16x16x3 8x8x16 k3 s2", &v));
    assert_near(v, 0.25, 0);
    assert_true(lode_foreign_find(t, "linear 24 10", &v));
    assert_near(v, 0.5, 0);
    assert_true(lode_foreign_find(t, "pool 4x4x24", &v));
    assert_near(v, 0, 0);
    assert_string_equal(lode_foreign_get_info(t)->quantity, "latency_ms");
    lode_foreign_destroy(t);
    o.format = "ofa"; /* expand is hidden channels there */
    o.unit = "us";
    assert_ok(import_text("p.csv", "key,mean\n" KEY("64") OFA ",7\n", o, &t));
    assert_true(lode_foreign_find(t, "mbconv 8x8x16 4x4x24 mid64 k5 s2 r0 se1 hs1", &v));
    assert_near(v, 7, 0);
    assert_string_equal(lode_foreign_get_info(t)->quantity, "latency_us");
    lode_foreign_destroy(t);
}

static void bad_sources_say_what(void **state) {
    (void)state;
    static const struct {
        const char *format, *unit, *text;
        lode_status code;
        const char *words;
    } bad[] = {
        {"ofa", NULL, "key,mean\n", LODE_ERR_CONFIG, "unit must be given"},
        {"oaf", "ms", "key,mean\n", LODE_ERR_CONFIG, "nearest is ofa"},
        {"ofa", "ms", "key,mean\n", LODE_ERR_DATA, "a header and rows"},
        {"ofa", "ms", "key,mean\na,1,2\n", LODE_ERR_DATA, "t.csv:2: 3 cells"},
        {"ofa", "ms", "key,mean\na-input:1,1\n", LODE_ERR_DATA, "TYPE-input"},
        {"ofa", "ms", "key,mean\n" KEY("x") ",1\n", LODE_ERR_DATA, "-expand:E"},
        {"ofa", "ms", "key,mean\n" KEY("64") ",fast\n", LODE_ERR_DATA, "want a number"},
        {"ofa", "us", "key,mean_ms\n" KEY("64") ",1\n", LODE_ERR_CONFIG,
         "is in ms, --unit says us"},
        {"ofa", "ms", "key,mean\n" KEY("64") ",1\n" KEY("64") ",2\n", LODE_ERR_DATA, "--where"},
        {"ofa", "ms", "key,value\n" KEY("64") ",1\n", LODE_ERR_CONFIG, "--column NAME"},
        {"fbnet", "ms", "layer,k3_e1_us\n0,1\n", LODE_ERR_CONFIG, "--unit says ms"},
        {"fbnet", "ms", "layer,k3_x1\n0,1\n", LODE_ERR_DATA, "k3_x1 is no candidate"},
        {"fbnet", "ms", "layer,k3_e1\n0.5,1\n", LODE_ERR_DATA, "whole number"},
        {"hwnasbench", "ms", "a,b\n0,1\n", LODE_ERR_DATA, "op_name"},
        {"hwnasbench", "ms", "op_name,layer,x_ms\nk3_e1,0,1\n", LODE_ERR_CONFIG, "--column"},
        {"haq", "cycles", "layer,w_bits\n0,1\n", LODE_ERR_DATA, "a_bits"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lode_foreign *t = NULL;
        lode_import_options o = {.format = bad[i].format, .unit = bad[i].unit};
        assert_fails(import_text("t.csv", bad[i].text, o, &t), bad[i].code, bad[i].words);
        assert_null(t);
    }
    lode_foreign *t = NULL;
    const char *where[] = {"size=3"};
    lode_import_options o = {.format = "ofa", .unit = "ms", .where = where, .n_where = 1};
    assert_fails(import_text("t.csv", "key,mean\nx,1\n", o, &t), LODE_ERR_CONFIG, "no column size");
    where[0] = "mean=3";
    assert_fails(import_text("t.csv", "key,mean\nx,1\n", o, &t), LODE_ERR_CONFIG, "no row");
}

#define TINY                                                                                       \
    "name: tiny\ninput: {channels: 3, size: 16}\nclasses: 10\nsets:\n  mb:\n"                      \
    "    a: {op: mbconv, kernel: 5, expand: 3}\n    b: {op: mbconv, kernel: 3, expand: 3}\n"       \
    "layers:\n  - {name: stem, op: conv, channels: 16, stride: 2}\n"                               \
    "  - {name: x, choice: mb, channels: 24, stride: 2}\n"                                         \
    "  - {op: global_pool}\n  - {op: linear}\n"

/* Files go round; a missing entry is an error with its key; a space must be the table's. */
static void files_and_missing_entries(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "t.json");
    char *spec = lode_format("latency_ms=%s", path);
    lode_foreign *t = NULL, *back = NULL;
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_cost *cost = NULL;
    lode_import_options o = {.format = "proxylessnas", .unit = "ms", .device = "a phone"};
    double v = 0;
    assert_ok(lode_space_parse(TINY, "tiny", NULL, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    assert_ok(import_text("p.csv",
                          "key,mean\n" KEY("3") ",1.5\nConv-input:16x16x3-output:8x8x16,0.25\n"
                                                "Logits-input:4x4x24-output:10,0.5\n",
                          o, &t));
    assert_ok(lode_foreign_write(t, path));
    assert_ok(lode_foreign_read(path, &back));
    assert_int_equal(lode_foreign_n(back), lode_foreign_n(t));
    for (int64_t i = 0; i < lode_foreign_n(t); i++) {
        assert_string_equal(lode_foreign_key_at(t, i), lode_foreign_key_at(back, i));
        assert_true(lode_foreign_value_at(t, i) == lode_foreign_value_at(back, i));
    }
    assert_string_equal(lode_foreign_get_info(back)->device, "a phone");
    assert_string_equal(lode_foreign_get_info(back)->format, "proxylessnas");
    assert_fails(lode_cost_open(spec, net, 1, &cost), LODE_ERR_NOT_FOUND,
                 "mbconv 8x8x16 4x4x24 mid48 k3 s2 r0 se0 hs0");
    assert_ok(
        lode_foreign_add(back, "mbconv 8x8x16 4x4x24 mid48 k3 s2 r0 se0", 1)); /* no hs: any */
    assert_ok(lode_foreign_write(back, path));
    assert_ok(lode_cost_open(spec, net, 1, &cost));
    assert_ok(lode_cost_hard(cost, &(lode_arch){.n = 1, .option = {0}}, &v));
    assert_near(v, 2.25, 1e-12);
    assert_ok(lode_cost_hard(cost, &(lode_arch){.n = 1, .option = {1}}, &v));
    assert_near(v, 1.75, 1e-12);
    lode_cost_close(cost);
    assert_fails(lode_cost_open(spec, net, 4, &cost), LODE_ERR_CONFIG, "batch 1");
    /* Options: of that space alone, and all of them. */
    lode_foreign_destroy(t);
    o = (lode_import_options){.format = "fbnet", .unit = "ms", .space = "other"};
    assert_ok(import_text("f.csv", "layer,k3_e1_ms,skip_ms\n0,2,\n1,3,0.5\n", o, &t));
    assert_int_equal(lode_foreign_n(t), 3);
    assert_ok(lode_foreign_write(t, path));
    assert_fails(lode_cost_open(spec, net, 1, &cost), LODE_ERR_CONFIG, "of space other");
    lode_foreign_destroy(t);
    lode_foreign_destroy(back);
    lode_supernet_destroy(net);
    lode_space_release(space);
    test_remove_tree(dir);
    lode_free(spec);
    lode_free(path);
    lode_free(dir);
}

/* A table of options prices a fixed network as the space's architecture. */
static void fixed_networks(void **state) {
    (void)state;
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_cost *cost = NULL;
    lode_foreign *t = NULL;
    lode_foreign_info info = {
        .quantity = "energy_mj", .unit = "mJ", .keys = LODE_FOREIGN_CHOICES, .batch = 1};
    double v = 0;
    lode_arch arch = {.n = 1, .option = {1}};
    info.constant = 0.5;
    assert_ok(lode_foreign_create(&info, &t));
    assert_ok(lode_foreign_add(t, "x1:a", 1));
    assert_ok(lode_foreign_add(t, "x1:b", 2));
    assert_ok(lode_foreign_add(t, "x:a", 1));
    assert_ok(lode_foreign_add(t, "x:b", 2));
    assert_ok(lode_space_parse(TINY, "tiny", NULL, &space));
    for (int fixed = 0; fixed < 2; fixed++) {
        assert_ok(lode_supernet_create(space, fixed ? &arch : NULL, LODE_F32, 1, &net));
        assert_ok(lode_cost_from_model(lode_foreign_model(t), t, net, 1, &cost));
        assert_ok(lode_cost_hard(cost, &arch, &v));
        assert_near(v, 2.5, 1e-12);
        lode_cost_close(cost);
        lode_supernet_destroy(net);
    }
    lode_foreign_destroy(t);
    lode_space_release(space);
}

/* ---- what was published ---- */

typedef struct csv {
    char *text, **line;
    int n;
} csv;

/* Lines of a shared file, false when it is not here. */
static bool open_csv(const char *relative, csv *c) {
    char *path = test_shared(relative);
    void *bytes = NULL;
    size_t n = 0;
    memset(c, 0, sizeof *c);
    if (!path) return false;
    assert_ok(lode_file_read(path, &bytes, &n));
    lode_free(path);
    c->text = bytes;
    c->line = LODE_NEW_ARRAY(char *, n + 1);
    for (char *at = c->text; at && *at;) {
        char *end = strchr(at, '\n');
        if (end) *end++ = '\0';
        c->line[c->n++] = at;
        at = end;
    }
    return true;
}

static void close_csv(csv *c) {
    lode_free(c->line);
    lode_free(c->text);
}

/* The i-th cell of a line, as text that ends at the comma. */
static void cell(const char *line, int i, char out[128]) {
    for (; i > 0; i--) line = strchr(line, ',') + 1;
    snprintf(out, 128, "%.*s", (int)strcspn(line, ",\r"), line);
}

static double number(const char *line, int i) {
    char text[128];
    cell(line, i, text);
    return strtod(text, NULL);
}

static lode_foreign *import_shared(const char *relative, lode_import_options o) {
    lode_foreign *t = NULL;
    char *path = test_shared(relative);
    assert_non_null(path);
    assert_ok(lode_import(path, &o, &t));
    lode_free(path);
    return t;
}

/* space_only: the caller makes the network, of one architecture, which is much faster. */
static void open_sized(const char *name, int64_t size, int64_t classes, priced_space *f,
                       bool space_only) {
    lode_space_options options = {.name = name, .size = size, .classes = classes};
    assert_ok(lode_space_load(&options, &f->space));
    if (!space_only) assert_ok(lode_supernet_create(f->space, NULL, LODE_F32, 1, &f->net));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &f->trace));
}

/* The architecture of one of Once-for-all's released networks in our space: after the first block,
   up to four blocks a stage, a stage beginning where channels or map change. */
static void ofa_arch(const csv *blocks, const char *net, const priced_space *f, lode_arch *arch) {
    lode_text text = {0};
    int left = 0;
    for (int i = 1; i < blocks->n; i++) {
        char name[128];
        cell(blocks->line[i], 0, name);
        if (strcmp(name, net) != 0 || number(blocks->line[i], 1) == 0) continue;
        bool first = number(blocks->line[i], 10) == 0; /* no residual: a stage begins */
        for (; first && left > 0; left--) lode_text_add(&text, ",skip");
        if (first) left = 4;
        lode_text_add(&text, "%sk%d_e%d", text.s ? "," : "", (int)number(blocks->line[i], 7),
                      (int)number(blocks->line[i], 9));
        left--;
    }
    for (; left > 0; left--) lode_text_add(&text, ",skip");
    char *s = lode_text_take(&text);
    assert_ok(lode_arch_parse(f->space, s, arch));
    lode_free(s);
}

/* All of Once-for-all's Note10 networks that their table covers, at their own sizes; the one called
   30 ms is 29.965. */
static void once_for_all(void **state) {
    (void)state;
    csv nets, blocks;
    int n = 0;
    if (!open_csv("tables/ofa_lut/specialized_nets.csv", &nets)) skip();
    assert_true(open_csv("tables/ofa_lut/specialized_blocks.csv", &blocks));
    for (int i = 1; i < nets.n; i++) {
        char name[128], lut[128], where_text[32];
        const char *where[] = {where_text};
        priced_space f;
        lode_arch arch;
        lode_cost *cost = NULL;
        double v = 0;
        cell(nets.line[i], 0, name);
        cell(nets.line[i], 12, lut);
        if (lut[0] == '\0') continue;
        int size = (int)number(nets.line[i], 7);
        snprintf(where_text, sizeof where_text, "resolution=%d", size);
        lode_foreign *t = import_shared(
            "tables/ofa_lut/note10_lookup_table.csv",
            (lode_import_options){.format = "ofa", .unit = "ms", .where = where, .n_where = 1});
        open_sized("ofa-mobilenetv3", size, 1000, &f, n > 0);
        ofa_arch(&blocks, name, &f, &arch);
        if (n > 0) assert_ok(lode_supernet_create(f.space, &arch, LODE_F32, 1, &f.net));
        assert_ok(lode_cost_from_model(lode_foreign_model(t), t, f.net, 1, &cost));
        assert_ok(lode_cost_hard(cost, &arch, &v));
        print_message("%-45s %.6f ms\n", name, v);
        assert_near(v, strtod(lut, NULL), 1e-9);
        if (strstr(name, "lat-30ms")) assert_near(v, 29.965, 1e-4);
        if (strncmp(name, "flops-", 6) ==
            0) { /* published in millions, squeeze-and-excite included */
            lode_cost *macs = NULL;
            assert_ok(lode_cost_open("macs", f.net, 1, &macs));
            assert_ok(lode_cost_hard(macs, &arch, &v));
            print_message("%-45s %.1f M MACs\n", name, v / 1e6);
            assert_near(v / 1e6, number(nets.line[i], 3), 0.005);
            lode_cost_close(macs);
        }
        if (n++ == 0) {
            priced_hard(&f, cost, 3, true);
            priced_gradient(&f, cost);
        }
        lode_cost_close(cost);
        lode_foreign_destroy(t);
        priced_close(&f);
    }
    assert_true(n > 0);
    close_csv(&nets);
    close_csv(&blocks);
}

/* NSGANetV2's table has the same space on an i7-8700K: every architecture has a price. */
static void once_for_all_columns(void **state) {
    (void)state;
    csv probe;
    priced_space f;
    lode_cost *cost = NULL;
    if (!open_csv("tables/ofa_lut/i7_8700k_mbv3.csv", &probe)) skip();
    close_csv(&probe);
    lode_foreign *t = import_shared("tables/ofa_lut/i7_8700k_mbv3.csv",
                                    (lode_import_options){.format = "ofa", .unit = "ms"});
    open_sized("ofa-mobilenetv3", 224, 1000, &f, false);
    assert_ok(lode_cost_from_model(lode_foreign_model(t), t, f.net, 1, &cost));
    priced_hard(&f, cost, 5, true);
    lode_cost_close(cost);
    lode_foreign_destroy(t);
    priced_close(&f);
}

/* The device file pixel-1 was fitted to the blocks; of whole networks its price is near the
 * table's. */
static void agrees_with_pixel_1(priced_space *f, lode_cost *table) {
    enum { N = 50 };
    double p[N], m[N];
    lode_cost *device = NULL;
    lode_agreement a;
    lode_rng rng = lode_rng_stream(9, LODE_RNG_TEST, 3);
    assert_ok(lode_cost_open("latency_ms=pixel-1", f->net, 1, &device));
    for (int i = 0; i < N; i++) {
        lode_arch arch;
        assert_ok(lode_space_sample(f->space, &rng, &arch));
        assert_ok(lode_cost_hard(device, &arch, &p[i]));
        assert_ok(lode_cost_hard(table, &arch, &m[i]));
    }
    assert_ok(lode_agree(p, m, N, &a));
    print_message("pixel-1 against its table: MAPE %.1f %%, bias %+.1f %%, tau %.3f\n", a.mape,
                  a.bias, a.tau_b);
    assert_true(a.mape < 12 && a.tau_b > 0.7);
    lode_cost_close(device);
}

/* ProxylessNAS: a network costs the sum of its rows. */
static void proxylessnas(void **state) {
    (void)state;
    static const char *const files[] = {"tables/proxylessnas_lut/pixel1_mobile_trim.csv",
                                        "tables/proxylessnas_lut/pixel1_pixel_trim_2.csv"};
    for (int k = 0; k < 2; k++) {
        csv rows;
        priced_space f;
        lode_cost *cost = NULL;
        double want = 0, v = 0;
        if (!open_csv(files[k], &rows)) skip();
        lode_foreign *t =
            import_shared(files[k], (lode_import_options){.format = "proxylessnas", .unit = "ms"});
        assert_int_equal(lode_foreign_n(t), rows.n - 1 + 1); /* every row, and the pooling */
        open_sized("proxylessnas", 224, 1000, &f, false);
        assert_ok(lode_cost_from_model(lode_foreign_model(t), t, f.net, 1, &cost));
        /* k5_e6 everywhere: of 5 stages the first block and three more, of the last one; kernel 3
           and expansion 1 in the block before; and the rows that are no blocks. */
        for (int i = 1; i < rows.n; i++) {
            const char *line = rows.line[i];
            bool block = strncmp(line, "expanded_conv", 13) == 0;
            bool chosen = strstr(line, "-expand:6-kernel:5-") != NULL;
            bool before = strstr(line, "-expand:1-kernel:3-") != NULL;
            int times = !block || before ? 1 : !chosen ? 0 : strstr(line, "idskip:1") ? 3 : 1;
            want += times * number(line, 13);
        }
        lode_arch arch = {.n = lode_space_n_decisions(f.space)};
        for (int d = 0; d < arch.n; d++)
            arch.option[d] = (uint8_t)lode_space_find_option(f.space, d, "k5_e6");
        assert_ok(lode_cost_hard(cost, &arch, &v));
        assert_near(v, want, 1e-9);
        priced_hard(&f, cost, 3, true);
        priced_gradient(&f, cost);
        if (k == 0) agrees_with_pixel_1(&f, cost);
        lode_cost_close(cost);
        lode_foreign_destroy(t);
        priced_close(&f);
        close_csv(&rows);
    }
}

/* HW-NAS-Bench's FBNet on CIFAR-100: the published samples and 1000 of the shared rows to 1e-6. */
static void hw_nas_bench_fbnet(void **state) {
    (void)state;
    static const struct {
        const char *column;
        int row, sample;
    } device[] = {
        {"pixel3_ms", 2, 5}, {"raspi4_ms", 3, 4}, {"eyeriss_ms", 4, 6}, {"fpga_ms", 5, 8}};
    csv rows, samples;
    priced_space f;
    if (!open_csv("tables/hwnasbench/fbnet_cifar100_5000.csv", &rows)) skip();
    assert_true(open_csv("tables/hwnasbench/fbnet_published_samples.csv", &samples));
    priced_open("hwnasbench-fbnet", &f);
    for (int k = 0; k < 4; k++) {
        lode_cost *cost = NULL;
        int n = 0;
        lode_foreign *t = import_shared("tables/hwnasbench/fbnet_cifar100_lut.csv",
                                        (lode_import_options){.format = "hwnasbench",
                                                              .unit = "ms",
                                                              .column = device[k].column,
                                                              .space = "hwnasbench-fbnet"});
        assert_ok(lode_cost_from_model(lode_foreign_model(t), t, f.net, 1, &cost));
        for (int i = 1; i < 1001 + samples.n - 1; i++) {
            bool sample = i > 1000;
            const char *line = sample ? samples.line[i - 1000] : rows.line[i];
            char code[128], set[128];
            lode_arch arch;
            double v = 0;
            cell(line, sample ? 0 : 1, code);
            cell(line, 1, set);
            if (sample && strcmp(set, "cifar100") != 0) continue;
            assert_ok(lode_arch_parse(f.space, code, &arch));
            assert_ok(lode_cost_hard(cost, &arch, &v));
            assert_near(v, number(line, sample ? device[k].sample : device[k].row), 1e-6);
            n++;
        }
        assert_int_equal(n, 1003);
        priced_hard(&f, cost, 3, false);
        priced_gradient(&f, cost);
        lode_cost_close(cost);
        lode_foreign_destroy(t);
    }
    priced_close(&f);
    close_csv(&rows);
    close_csv(&samples);
}

/* HW-NAS-Bench's additive costs of NAS-Bench-201 on CIFAR-10 against its samples. */
static void hw_nas_bench_cells(void **state) {
    (void)state;
    static const struct {
        const char *device, *metric, *unit;
        int column;
    } one[] = {{"eyeriss", "latency_ms", "ms", 8},
               {"eyeriss", "energy_mJ", "mJ", 9},
               {"fpga", "latency_ms", "ms", 11},
               {"fpga", "energy_mJ", "mJ", 12}};
    csv samples;
    priced_space f;
    if (!open_csv("tables/hwnasbench/nb201_published_samples.csv", &samples)) skip();
    priced_open("nasbench201", &f);
    for (int k = 0; k < 4; k++) {
        char where_device[64], where_metric[64];
        const char *where[] = {where_device, where_metric, "dataset=cifar10"};
        lode_cost *cost = NULL;
        int n = 0;
        snprintf(where_device, sizeof where_device, "device=%s", one[k].device);
        snprintf(where_metric, sizeof where_metric, "metric=%s", one[k].metric);
        lode_foreign *t = import_shared("tables/hwnasbench/nb201_linear_cost.csv",
                                        (lode_import_options){.format = "hwnasbench",
                                                              .unit = one[k].unit,
                                                              .space = "nasbench201",
                                                              .where = where,
                                                              .n_where = 3});
        assert_ok(lode_cost_from_model(lode_foreign_model(t), t, f.net, 1, &cost));
        for (int i = 1; i < samples.n; i++) {
            char set[128], code[128];
            lode_arch arch;
            double v = 0;
            cell(samples.line[i], 1, code);
            cell(samples.line[i], 2, set);
            if (strcmp(set, "cifar10") != 0) continue;
            assert_ok(lode_arch_parse(f.space, code, &arch));
            assert_ok(lode_cost_hard(cost, &arch, &v));
            assert_near(v, number(samples.line[i], one[k].column), 1e-6);
            n++;
        }
        assert_int_equal(n, 3);
        priced_gradient(&f, cost);
        lode_cost_close(cost);
        lode_foreign_destroy(t);
    }
    priced_close(&f);
    close_csv(&samples);
}

/* The reimplementations' tables, each in its own unit and shape of file. */
static void fbnet(void **state) {
    (void)state;
    static const struct {
        const char *file, *unit;
        int entries;
        const char *key;
        double value;
    } one[] = {
        {"tables/fbnet_lut/cpu_mxnet_108_junrq.csv", "ms", 198, "layer1:k3_e1_g2", 42.1254198551},
        {"tables/fbnet_lut/cpu_pytorch_224_araslanova.csv", "us", 198, "layer2:k3_e1_g2",
         4480.775836855173},
        {"tables/fbnet_lut/raspi4_tf2_cifar32_jh88.csv", "us", 0, "layer1:k5_e1",
         11484.711359980793},
        {"tables/fbnet_lut/gpu_1080ti_mxnet_108_junrq.csv", "ms", 0, "layer1:k5_e6",
         0.609734582901},
    };
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        char *path = test_shared(one[i].file);
        lode_foreign *t = NULL;
        double v = 0;
        if (!path) skip();
        lode_import_options o = {.format = "fbnet", .unit = one[i].unit};
        assert_ok(lode_import(path, &o, &t));
        if (one[i].entries > 0) assert_int_equal(lode_foreign_n(t), one[i].entries);
        assert_true(lode_foreign_find(t, one[i].key, &v));
        assert_near(v, one[i].value, 1e-12);
        lode_foreign_destroy(t);
        o.unit = strcmp(one[i].unit, "ms") == 0 ? "us" : "ms";
        assert_fails(lode_import(path, &o, &t), LODE_ERR_CONFIG, "--unit says");
        lode_free(path);
    }
}

/* HAQ: at one bit a depthwise layer does 144 multiply-accumulates per unit of cost, whatever its
   stride; and our MobileNetV2 has the layers of the table, with their multiply-accumulates. */
static void haq(void **state) {
    (void)state;
    csv layers;
    priced_space f;
    int layer = 0, depthwise = 0;
    if (!open_csv("tables/haq_lut/mobilenetv2_layers.csv", &layers)) skip();
    lode_foreign *t = import_shared("tables/haq_lut/qmobilenetv2_imagenet100_batch16_cost.csv",
                                    (lode_import_options){.format = "haq", .unit = "cycles"});
    assert_string_equal(lode_foreign_get_info(t)->quantity, "latency_cycles");
    assert_int_equal(lode_foreign_n(t), 53 * 8 * 8);
    open_sized("mobilenetv2", 224, 100, &f, false);
    assert_ok(lode_supernet_trace_folded(f.net, &(lode_arch){.n = 0}, 1, f.trace));
    for (int i = 0; i < lode_trace_n(f.trace); i++) {
        lode_work w;
        lode_work_of(lode_trace_get(f.trace, i), &w);
        if (!(w.macs > 0)) continue;
        const char *line = layers.line[1 + layer];
        assert_near(w.macs, number(line, 9), 0);
        if (w.what == LODE_WORK_DEPTHWISE) {
            char key[32];
            double cost = 0;
            snprintf(key, sizeof key, "layer%d:w1_a1", layer);
            assert_true(lode_foreign_find(t, key, &cost));
            assert_near(16 * w.macs / cost, 144, 1e-12);
            depthwise++;
        }
        layer++;
    }
    assert_int_equal(layer, 53);
    assert_int_equal(depthwise, 17);
    lode_foreign_destroy(t);
    priced_close(&f);
    close_csv(&layers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_become_blocks),
        cmocka_unit_test(bad_sources_say_what),
        cmocka_unit_test(files_and_missing_entries),
        cmocka_unit_test(fixed_networks),
        cmocka_unit_test(once_for_all),
        cmocka_unit_test(once_for_all_columns),
        cmocka_unit_test(proxylessnas),
        cmocka_unit_test(hw_nas_bench_fbnet),
        cmocka_unit_test(hw_nas_bench_cells),
        cmocka_unit_test(fbnet),
        cmocka_unit_test(haq),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
