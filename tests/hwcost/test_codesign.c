/* test_codesign.c: decisions of the device (`hardware:` in a space): costs are those of the device
   built so, for every architecture and design; expectations, gradients, limits. labels: unit */
#include "core/platform.h"
#include "hwcost/hardware.h"
#include "hwcost/pricing.h"

#define LAYERS                                                                                     \
    "about: a test\ninput: {channels: 3, size: 16}\nclasses: 10\n"                                 \
    "sets: {s: {a: {op: mbconv, kernel: 3, expand: 3}, b: {op: mbconv, kernel: 5, expand: 6}, "    \
    "skip: {op: skip, at_shape_change: drop}}}\n"                                                  \
    "layers:\n  - {name: stem, op: conv, kernel: 3, channels: 24}\n"                               \
    "  - {choice: s, channels: 24}\n  - {choice: s, channels: 40, stride: 2}\n"                    \
    "  - {name: pool, op: global_pool}\n  - {name: classifier, op: linear}\n"
static const char plain[] = "name: plain\n" LAYERS;
static const char tiles[] =
    "name: tiles\n" LAYERS "hardware: {tile.m: [8, 16, 32], tile.n: [4, 8]}\n";
static const char arrays[] =
    "name: arrays\n" LAYERS "hardware: {dataflow: [row_stationary, weight_stationary, "
    "output_stationary], rows: [8, 16], columns: [8, 12]}\n";

static void open_text(const char *text, priced_space *f) {
    assert_ok(lode_space_parse(text, "test", NULL, &f->space));
    assert_ok(lode_supernet_create(f->space, NULL, LODE_F32, 1, &f->net));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &f->trace));
}

static void decisions_stand_behind_the_layers(void **state) {
    (void)state;
    priced_space f;
    lode_arch a, b;
    lode_rng rng = lode_rng_stream(2, LODE_RNG_TEST, 1);
    open_text(tiles, &f);
    assert_int_equal(lode_space_n_decisions(f.space), 4);
    const lode_decision *m = lode_space_decision(f.space, 2);
    assert_int_equal(m->kind, LODE_DECISION_HARDWARE);
    assert_string_equal(m->name, "hardware.tile.m");
    assert_string_equal(m->key, "tile.m");
    assert_string_equal(m->option[1], "m16");
    assert_string_equal(m->text[1], "16");
    assert_false(lode_space_has_sizes(f.space));
    assert_false(lode_space_option_is_empty(f.space, 2, 0));
    for (int i = 0; i < 20; i++) { /* drawn, written and read like any other */
        assert_ok(lode_space_sample(f.space, &rng, &a));
        char *text = lode_arch_text(f.space, &a);
        assert_ok(lode_arch_parse(f.space, text, &b));
        assert_true(lode_arch_equal(&a, &b));
        lode_free(text);
    }
    priced_close(&f);
}

/* The device file with its values replaced, as a file of its own, on the space without them. */
static double price_by_hand(const char *text, const lode_arch *arch, const char *quantity) {
    priced_space f;
    lode_cost *cost = NULL;
    double price = 0;
    lode_arch network = *arch;
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "d.yaml");
    char *spec = lode_format("%s=%s", quantity, path);
    network.n = 2;
    assert_ok(lode_file_write_atomic(path, text, strlen(text)));
    open_text(plain, &f);
    assert_ok(lode_cost_open(spec, f.net, 1, &cost));
    assert_ok(lode_cost_hard(cost, &network, &price));
    lode_cost_close(cost);
    priced_close(&f);
    test_remove_tree(dir);
    lode_free(spec);
    lode_free(path);
    lode_free(dir);
    return price;
}

static void tiles_cost_what_the_device_built_so_costs(void **state) {
    (void)state;
    static const int m[] = {8, 16, 32}, n[] = {4, 8};
    static const char *const quantities[] = {"latency_ms", "dsp"};
    priced_space f;
    open_text(tiles, &f);
    for (int q = 0; q < 2; q++) {
        lode_cost *cost = NULL;
        char *spec = lode_format("%s=zcu102", quantities[q]);
        double min = INFINITY, found_min = 0, max = 0, price = 0, fixed_price = 0;
        lode_arch best = {0};
        assert_ok(lode_cost_open(spec, f.net, 0, &cost));
        for (int code = 0; code < 36; code++) {
            lode_arch a = {.n = 4,
                           .option = {(uint8_t)(code % 3), (uint8_t)(code / 3 % 2),
                                      (uint8_t)(code / 6 % 3), (uint8_t)(code / 18 % 2)}};
            char *text = lode_format(
                "name: d\nkind: fpga\ndtype: f16\nclock_mhz: 200\ndsp: 2520\nbram18k: 1824\n"
                "input_words: 8\nweight_words: 8\noutput_words: 8\ntile: {m: %d, n: %d, r: [1, 2, "
                "4, 7, 8, 13, 14, 16, 26, 28], c: [1, 2, 4, 7, 8, 14, 16, 28]}\n",
                m[a.option[2]], n[a.option[3]]);
            assert_ok(lode_cost_hard(cost, &a, &price));
            assert_near(price, price_by_hand(text, &a, quantities[q]), 1e-12);
            if (q == 1) assert_true(price == m[a.option[2]] * n[a.option[3]]);
            if (price < min) best = a;
            min = fmin(min, price);
            lode_free(text);
        }
        assert_ok(lode_cost_range(cost, &found_min, &max, NULL, NULL, NULL));
        assert_near(found_min, min, 1e-12);
        assert_true(max > min);
        assert_true(lode_cost_has_gradient(cost));
        priced_hard(&f, cost, 6, true);
        priced_gradient(&f, cost);
        /* a fixed network carries its device */
        lode_supernet *net = NULL;
        lode_cost *of_fixed = NULL;
        assert_ok(lode_supernet_create(f.space, &best, LODE_F32, 1, &net));
        assert_ok(lode_cost_open(spec, net, 0, &of_fixed));
        assert_ok(lode_cost_hard(of_fixed, NULL, &fixed_price));
        assert_near(fixed_price, min, 1e-12);
        lode_cost_close(of_fixed);
        lode_supernet_destroy(net);
        lode_cost_close(cost);
        lode_free(spec);
    }
    priced_close(&f);
}

/* NASAIC's templates: dataflow, rows and columns; area is of the device alone. */
static void arrays_and_their_dataflow(void **state) {
    (void)state;
    static const char *const quantities[] = {"latency_ms", "energy_mj", "area_mm2"};
    priced_space f;
    open_text(arrays, &f);
    for (int q = 0; q < 3; q++) {
        lode_cost *cost = NULL;
        char *spec = lode_format("%s=nasaic-nvdla", quantities[q]);
        double small = 0, large = 0, other = 0;
        assert_ok(lode_cost_open(spec, f.net, 0, &cost));
        priced_hard(&f, cost, 6, true);
        priced_gradient(&f, cost);
        lode_arch a = {.n = 5, .option = {0, 1, 1, 0, 0}};
        assert_ok(lode_cost_hard(cost, &a, &small));
        a.option[3] = a.option[4] = 1;
        assert_ok(lode_cost_hard(cost, &a, &large));
        a.option[2] = 2;
        assert_ok(lode_cost_hard(cost, &a, &other));
        if (q == 0) assert_true(large < small && other != large);
        if (q == 2) assert_true(large > small && other == large);
        if (q == 2) { /* whatever the network */
            a.option[0] = 2;
            assert_ok(lode_cost_hard(cost, &a, &small));
            assert_true(small == large);
        }
        lode_cost_close(cost);
        lode_free(spec);
    }
    priced_close(&f);
}

static void refuse_space(const char *hardware, const char *words) {
    lode_space *s = NULL;
    char *text = lode_format("%s%s", plain, hardware);
    assert_fails(lode_space_parse(text, "test", NULL, &s), LODE_ERR_CONFIG, words);
    assert_null(s);
    lode_free(text);
}

static void refuse_cost(const char *hardware, const char *spec, const char *words) {
    priced_space f;
    lode_cost *cost = NULL;
    char *text = lode_format("%s%s", plain, hardware);
    open_text(text, &f);
    assert_fails(lode_cost_open(spec, f.net, 0, &cost), LODE_ERR_CONFIG, words);
    assert_null(cost);
    lode_free(text);
    priced_close(&f);
}

static void bad_decisions_say_what(void **state) {
    (void)state;
    refuse_space("hardware: [8]\n", "map of lists");
    refuse_space("hardware: {tile.m: 8}\n", "list of 1 to");
    refuse_space("hardware: {tile..m: [8]}\n", "key of a device file");
    refuse_space("hardware: {rows: [8, 8]}\n", "twice");
    refuse_space("hardware: {rows: [[8]]}\n", "number or a word");
    refuse_cost("hardware: {rows: [8]}\n", "latency_ms=zcu102", "decides `rows`");
    refuse_cost("hardware: {tile.r: [8]}\n", "latency_ms=zcu102", "one value");
    refuse_cost("hardware: {tile.m: [8, 512]}\n", "latency_ms=zcu102", "tile.m 512");
    refuse_cost("hardware: {clock_mhz: [a1]}\n", "latency_ms=zcu102", "clock_mhz");
    refuse_cost("hardware: {a: [1], b: [1], c: [1], d: [1], e: [1], f: [1], g: [1]}\n",
                "latency_ms=zcu102", "too much");
    /* costs of no device file do not mind */
    priced_space f;
    lode_cost *cost = NULL;
    open_text(tiles, &f);
    assert_ok(lode_cost_open("macs", f.net, 1, &cost));
    priced_hard(&f, cost, 3, true);
    priced_gradient(&f, cost);
    lode_cost_close(cost);
    priced_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decisions_stand_behind_the_layers),
        cmocka_unit_test(tiles_cost_what_the_device_built_so_costs),
        cmocka_unit_test(arrays_and_their_dataflow),
        cmocka_unit_test(bad_decisions_say_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
