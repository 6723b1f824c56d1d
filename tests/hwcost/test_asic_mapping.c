/* test_asic_mapping.c: accelerators by a mapping: device files, networks on them, a space that
   decides the mapping (methods D4). What a mapping does by itself: test_nest.c; gradients
   and sums on all shipped spaces: test_hardware.c. labels: unit */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/hardware.h"
#include "hwcost/pricing.h"

#include <math.h>
#include <stdio.h>

/* ---- device files ---- */

#define CHIP                                                                                       \
    "name: x\nkind: asic_mapping\ndtype: int8\nelements: 64\nclock_mhz: 100\ndram_gbps: 1000\n"    \
    "noc: {words_per_cycle: 1000000, hops: 1, cycles_per_hop: 0}\nenergy: {mac_pj: 2}\n"           \
    "mappings: {ks: [spatial K 1, temporal C 8, temporal Y 1, temporal X 1, cluster 8, spatial C " \
    "1], "                                                                                         \
    "cs: [spatial C 1, temporal Y 1, temporal X 1]}\n"
#define KS CHIP "mapping: ks\n"
#define NET(layer)                                                                                 \
    "name: n\ninput: {channels: 32, size: 8}\nclasses: 10\nlayers:\n" layer                        \
    "  - {op: global_pool}\n  - {op: linear}\n"

static double price_on(const char *net_text, const char *device, const char *quantity) {
    double value = 0;
    assert_ok(priced_fixed(net_text, device, quantity, 1, &value));
    return value;
}

/* 1x1, 32 to 32 channels on 8x8 with 8 x 8 elements. The network costs nothing; pooling and
   classifier as without the layer. */
static void a_network_on_a_mapping(void **state) {
    (void)state;
    static const char conv[] = NET("  - {op: conv, kernel: 1, channels: 32}\n");
    double ms = price_on(conv, KS, "latency_ms") - price_on(NET(""), KS, "latency_ms");
    /* C is not cut in time: in 4 turns of 8 channels; 4 x 4 x 64 steps of one MAC. Biases stream.
     */
    double cycles = 4 * 4 * 64 + 32 / 64.0;
    assert_near(ms, cycles / 100e3, 1e-9);
    /* Weights once, inputs for each turn of K, sums for each turn of C but the first. */
    double macs = 32 * 32 * 64, weights = 32 * 32, in = 4 * 4 * 8 * 64, sums = 3 * 4 * 8 * 64;
    double outs = 4 * 4 * 8 * 64, fills = weights + 8 * in;
    double l1 = 4 * macs + fills + sums + outs + 2 * 32, l2 = weights + in + sums + outs + 32;
    double mj = price_on(conv, KS, "energy_mj") - price_on(NET(""), KS, "energy_mj");
    assert_near(mj * 1e9 / 2, macs + 1.68 * l1 + 18.61 * l2, 1e-6);
    /* DRAM, if it counts: everything once while the second level holds all, else as often as sent.
     */
    double once = 32 * 64 + weights + 32 * 64 + 32, all = in + weights + sums + outs + 32;
    char *dram = lode_format("%s", KS "l2_kib: 64\n"), *at = strstr(dram, "mac_pj: 2}");
    char *small = lode_format(
        "%s", KS "l2_kib: 0.1875\n"); /* 192 bytes: two steps of 80 words, and no room */
    char *with = lode_format("%.*smac_pj: 2, dram: 200}%s", (int)(at - dram), dram, at + 10);
    double more = price_on(conv, with, "energy_mj") - price_on(NET(""), with, "energy_mj") - mj;
    assert_near(more * 1e9 / 2, 200 * once, 1e-6);
    at = strstr(small, "mac_pj: 2}");
    char *with_small =
        lode_format("%.*smac_pj: 2, dram: 200}%s", (int)(at - small), small, at + 10);
    more =
        price_on(conv, with_small, "energy_mj") - price_on(NET(""), with_small, "energy_mj") - mj;
    assert_near(more * 1e9 / 2, 200 * all, 1e-6);
    lode_free(with_small);
    lode_free(with);
    lode_free(small);
    lode_free(dram);
}

/* Depthwise layers have one output channel for an input channel: K is 1, C is cut. */
static void depthwise_has_a_mapping_of_its_own(void **state) {
    (void)state;
    static const char deep[] = NET("  - {op: conv, kernel: 3, channels: 32, groups: 32}\n");
    double none = price_on(NET(""), KS, "latency_ms");
    double ks = price_on(deep, KS, "latency_ms") - none;
    double cs = price_on(deep, CHIP "mapping: ks\ndepthwise_mapping: cs\n", "latency_ms") - none;
    /* 8 of 64 elements, 4 turns of C, 64 pixels of 9; or 32 of 64 in one turn. */
    assert_near(ks, (4 * 64 * 9 + 0.5) / 100e3, 1e-9);
    assert_near(cs, (64 * 9 + 0.5) / 100e3, 1e-9);
    /* Groups of four: one dense layer after another, 4 channels of C on 8 units, 4 of K on 8. */
    double g =
        price_on(NET("  - {op: conv, kernel: 3, channels: 32, groups: 8}\n"), KS, "latency_ms");
    assert_near(g - none, (8 * 64 * 9 + 0.5) / 100e3, 1e-9);
}

/* Padding is not sent: a 3x3 layer reads each pixel of a map once per turn, no more. */
static void padding_is_not_sent(void **state) {
    (void)state;
    static const char conv[] = NET("  - {op: conv, kernel: 3, channels: 8}\n");
    static const char device[] = KS "l2_kib: 64\n";
    char *at = strstr(device, "mac_pj: 2}");
    char *free_macs =
        lode_format("%.*smac_pj: 1, l1: 0, l2: 1}%s", (int)(at - device), device, at + 10);
    double mj = price_on(conv, free_macs, "energy_mj") - price_on(NET(""), free_macs, "energy_mj");
    /* 8 channels go to pooling rather than 32. The classifier: weights, and inputs, which stay in
       the second turn of K where C is one turn. */
    double pool = (8 * 64 + 8) - (32 * 64 + 32), linear = (80 - 320) + (8 - 64);
    double linear_macs = 80 - 320;
    double rows = 8 * 3; /* each row of outputs sends three of inputs, without padding 8 / 10 */
    double in = 4 * 8 * rows * 10 * 0.64, w = 9 * 32 * 8, sums = 3 * 8 * 64, outs = 4 * 8 * 64;
    double macs = 9 * 32 * 8 * 64;
    double want = macs + in + w + sums + outs + 8 + pool + linear + linear_macs;
    assert_near(mj * 1e9, want, 1e-6);
    lode_free(free_macs);
}

static void memories_are_checked(void **state) {
    (void)state;
    static const char conv[] = NET("  - {op: conv, kernel: 3, channels: 32}\n");
    double v = 0;
    /* An element: 9 weights, 9 inputs, 1 sum. The array: 8 of K and C, 9 inputs of 8 channels. */
    assert_near(price_on(conv, KS, "l1_bytes"), 2 * 19, 0);
    assert_near(price_on(conv, KS, "l2_bytes"), 2 * (8 * 8 * 9 + 8 * 9 + 8), 0);
    assert_ok(priced_fixed(conv, KS "l1_bytes: 38\nl2_kib: 1.28125\n", "latency_ms", 1, &v));
    assert_fails(priced_fixed(conv, KS "l1_bytes: 37\n", "latency_ms", 1, &v), LODE_ERR_CONFIG,
                 "take 38 bytes of an element's first-level memory, the device has 37");
    assert_fails(priced_fixed(conv, KS "l2_kib: 1.28\n", "energy_mj", 1, &v), LODE_ERR_CONFIG,
                 "l2_kib");
    assert_near(price_on(conv, KS "l1_bytes: 37\n", "l1_bytes"), 38, 0); /* says what it takes */
    /* 64 (283 + 0.104 64) + 0.104 2048 + 101.7938 (14.662 64 + 28.895) 1e6 + 395.473 (...) um2 */
    double um2 = 64 * (283 + 0.104 * 64) + 0.104 * 2048 + 101.7938 * (14.662 * 64 + 28.895) * 1e6 +
                 395.473 * (1.2886 * 4096 + 5.5814 * 64 - 23.711);
    assert_near(price_on(conv, KS "l1_bytes: 64\nl2_kib: 2\narea: {fixed_mm2: 1}\n", "area_mm2"),
                1 + 1e-6 * um2, 1e-6);
    assert_fails(priced_fixed(conv, KS, "area_mm2", 1, &v), LODE_ERR_CONFIG, "gives no area");
}

/* More of anything is never slower, and DRAM bounds from below. */
static void more_is_never_slower(void **state) {
    (void)state;
    static const char conv[] = NET("  - {op: conv, kernel: 3, channels: 32}\n");
    static const char *const key[] = {"dram_gbps: 1000", "words_per_cycle: 1000000",
                                      "clock_mhz: 100"};
    for (int k = 0; k < 3; k++) {
        double before = INFINITY, first = 0;
        for (double v = 0.25; v <= 64; v *= 2) {
            const char *device = KS, *at = strstr(device, key[k]);
            char *text = lode_format("%.*s%.*s: %g%s", (int)(at - device), device,
                                     (int)strcspn(key[k], ":"), key[k], v, at + strlen(key[k]));
            double ms = price_on(conv, text, "latency_ms");
            assert_true(ms <= before * (1 + 1e-12));
            if (v == 0.25) first = ms;
            before = ms;
            lode_free(text);
        }
        if (k > 0) assert_true(before < 0.5 * first);
    }
}

static void bad_files_say_what(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"name: x\nkind: asic_mapping\n", "`elements` is missing"},
        {"name: x\nkind: asic_mapping\nelements: 4\n", "`clock_mhz` is missing"},
        {"name: x\nkind: asic_mapping\nelements: 4\nclock_mhz: 1\ndram_gbps: 1\n",
         "`noc` wants a map"},
        {"name: x\nkind: asic_mapping\nelements: 4\nclock_mhz: 1\ndram_gbps: 1\nnoc: {hops: 1}\n",
         "`words_per_cycle` is missing"},
        {CHIP, "`mapping` is missing"},
        {CHIP "mapping: kss\n", "nearest is ks"},
        {KS "depthwise_mapping: all\n", "not one of `mappings`"},
        {KS "l1_kib: 3\n", "key `l1_kib`"},
        {KS "area: {}\n", "needs `l1_bytes` and `l2_kib`"},
    };
    static const char head[] =
        "name: x\nkind: asic_mapping\nelements: 4\nclock_mhz: 1\ndram_gbps: 1\n"
        "noc: {words_per_cycle: 1}\nenergy: {mac_pj: 1}\nmapping: m\n";
    static const struct {
        const char *text, *words;
    } lists[] = {
        {"", "`mappings` wants a map"},
        {"mappings: [m]\n", "`mappings` wants a map"},
        {"mappings: {m: spatial K 1}\n", "list of directives"},
        {"mappings: {m: []}\n", "list of directives"},
        {"mappings: {m: [[spatial K 1]]}\n", "want words"},
        {"mappings: {m: [spatial Q 1]}\n", "a letter of"},
        {"mappings: {m: [spatial K 1, cluster 8, spatial C 1]}\n", "the device has 4"},
    };
    lode_hardware *h = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(lode_hardware_parse(bad[i].text, "x.yaml", NULL, &h), LODE_ERR_CONFIG,
                     bad[i].words);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char *text = lode_format("%s%s", head, lists[i].text);
        assert_fails(lode_hardware_parse(text, "x.yaml", NULL, &h), LODE_ERR_CONFIG,
                     lists[i].words);
        assert_non_null(strstr(lode_last_error(), "x.yaml"));
        lode_free(text);
    }
}

/* A space decides the mapping, the elements and the network of the shipped file. */
static void a_space_decides_the_mapping(void **state) {
    (void)state;
    static const char text[] =
        "name: net\ninput: {channels: 3, size: 16}\nclasses: 10\n"
        "sets: {s: {a: {op: mbconv, kernel: 3, expand: 3}, b: {op: mbconv, kernel: 5, expand: "
        "6}}}\n"
        "layers:\n  - {name: stem, op: conv, kernel: 3, channels: 16}\n"
        "  - {choice: s, channels: 24, stride: 2}\n  - {name: pool, op: global_pool}\n"
        "  - {name: classifier, op: linear}\n"
        "hardware: {mapping: [nvdla, shidiannao, row_stationary], elements: [128, 256], "
        "noc.words_per_cycle: [16, 64]}\n";
    static const char *const quantities[] = {"latency_ms", "energy_mj", "area_mm2"};
    priced_space f;
    double ms[2][3][2][2];
    assert_ok(lode_space_parse(text, "test", NULL, &f.space));
    assert_ok(lode_supernet_create(f.space, NULL, LODE_F32, 1, &f.net));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &f.trace));
    for (int q = 0; q < 3; q++) {
        lode_cost *cost = NULL;
        char *spec = lode_format("%s=maestro-256", quantities[q]);
        assert_ok(lode_cost_open(spec, f.net, 0, &cost));
        priced_hard(&f, cost, 6, true);
        priced_gradient(&f, cost);
        for (int code = 0; q == 0 && code < 24; code++) {
            int a = code / 12, m = code / 4 % 3, e = code / 2 % 2, b = code % 2;
            lode_arch arch = {.n = 4, .option = {(uint8_t)a, (uint8_t)m, (uint8_t)e, (uint8_t)b}};
            assert_ok(lode_cost_hard(cost, &arch, &ms[a][m][e][b]));
        }
        lode_cost_close(cost);
        lode_free(spec);
    }
    for (int m = 0; m < 3; m++) {
        assert_true(ms[0][m][1][1] < ms[1][m][1][1]); /* the smaller network is faster */
        assert_true(ms[0][m][1][1] <= ms[0][m][1][0]);
        assert_true(m == 0 || ms[0][m][1][1] != ms[0][0][1][1]);
    }
    priced_close(&f);
}
int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_on_a_mapping),
        cmocka_unit_test(depthwise_has_a_mapping_of_its_own),
        cmocka_unit_test(padding_is_not_sent),
        cmocka_unit_test(memories_are_checked),
        cmocka_unit_test(more_is_never_slower),
        cmocka_unit_test(bad_files_say_what),
        cmocka_unit_test(a_space_decides_the_mapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
