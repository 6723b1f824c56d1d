/* test_accelerators.c: ASICs and FPGAs against numbers worked out on paper. (Gradients and sums on
   all shipped spaces: test_hardware.c.) labels: unit */
#include "hwcost/asic.h"
#include "hwcost/fpga.h"
#include "hwcost/hardware.h"
#include "hwcost/pricing.h"

/* methods D4: a=2, b=3, c=2, d=4 with energies 200, 6, 2, 1: 508 and 732. */
static void energy_of_a_value(void **state) {
    (void)state;
    const double e[4] = {200, 6, 2, 1};
    assert_near(lode_asic_fetch(e, 2, 3, 2, 4), 508, 0);
    assert_near(lode_asic_sum(e, 2, 3, 2, 4), 732, 0);
    assert_near(lode_asic_sum(e, 1, 1, 1, 1), 200, 0); /* written once, nothing added up */
}

/* methods D3: 115 444 cycles, of which 112 896 at least for the arithmetic. */
static void cycles_of_a_layer(void **state) {
    (void)state;
    lode_fpga_layer l = {.m = 64, .n = 32, .r = 28, .c = 28, .kernel = 3, .stride = 1};
    lode_fpga_tile t = {16, 8, 14, 14};
    lode_fpga_ports b = {4, 4, 4};
    assert_near(lode_fpga_cycles(&l, &t, &b), 115444, 0);
    /* 33 input channels waste most of a tile: ceil, not a quotient. */
    l.n = 33;
    assert_near(lode_fpga_cycles(&l, &t, &b), 4 * 4 * 5 * 1764 + 784 + 1764, 0);
    /* Narrow ports: weights 16 8 9 / 0.5 = 2304 is the longest. */
    l.n = 32;
    b.weight = 0.5;
    assert_near(lode_fpga_cycles(&l, &t, &b), 16 * 4 * 2304 + 784 + 2304, 0);
    /* 2 8 ceil(256 16 / 18432) + 2 16 ceil(196 16 / 18432) + 2 16 8 ceil(9 16 / 18432) */
    assert_near(lode_fpga_bram18k(&l, &t, 16), 16 + 32 + 256, 0);
}

static double price_on(const char *net_text, const char *device, const char *quantity) {
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_hardware *h = NULL;
    lode_cost *cost = NULL;
    double value = 0;
    assert_ok(lode_space_parse(net_text, "net", NULL, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    assert_ok(lode_hardware_parse(device, "device", NULL, &h));
    assert_ok(
        lode_cost_from_model(lode_hardware_find_quantity(h, quantity), h->self, net, 1, &cost));
    assert_ok(lode_cost_hard(cost, &(lode_arch){.n = 0}, &value));
    lode_cost_close(cost);
    lode_hardware_close(h);
    lode_supernet_destroy(net);
    lode_space_release(space);
    return value;
}

#define FPGA                                                                                       \
    "name: x\nkind: fpga\ndtype: f16\nclock_mhz: 100\ntile: {m: 16, n: 8, r: [7, 14], c: 14}\n"
#define NET(layer)                                                                                 \
    "name: n\ninput: {channels: 32, size: 28}\nclasses: 10\nlayers:\n" layer                       \
    "  - {op: global_pool}\n  - {op: linear}\n"

static void a_network_on_an_fpga(void **state) {
    (void)state;
    /* The layer above: with 7 rows 114 170 cycles, with 14 rows 115 444. Pooling streams 64 784
       words in and 64 out. The classifier is a map of one pixel, of which a tile computes 7 x 14:
       its inputs take longest, 8 98 / 4. */
    double conv = 114170, pool = (64 * 784 + 64) / 4.0, in = 8 * 98 / 4.0;
    double linear = 8 * in + 16 * 98 / 4.0 + in;
    double ms = price_on(NET("  - {op: conv, kernel: 3, channels: 64}\n"), FPGA, "latency_ms");
    assert_near(ms, (conv + pool + linear) / 100e3, 1e-9);
    assert_near(price_on(NET(""), FPGA, "dsp"), 128, 0);
    /* Depthwise: one input channel a tile, as slow per tile as with all eight. */
    lode_fpga_layer l = {32, 1, 28, 28, 3, 1};
    double deep = INFINITY;
    for (int r = 7; r <= 14; r += 7)
        deep = fmin(deep, lode_fpga_cycles(&l, &(lode_fpga_tile){16, 1, r, 14},
                                           &(lode_fpga_ports){4, 4, 4}));
    double with =
        price_on(NET("  - {op: conv, kernel: 3, channels: 32, groups: 32}\n"), FPGA, "latency_ms");
    double without = price_on(NET(""), FPGA, "latency_ms");
    assert_near(with - without, deep / 100e3, 1e-9);
}

#define ASIC(flow)                                                                                 \
    "name: x\nkind: asic\ndtype: f16\ndataflow: " flow "\nrows: 8\ncolumns: 8\nclock_mhz: 100\n"   \
    "buffer_kib: 1024\ndram_gbps: 1000\nenergy: {mac_pj: 2}\n"                                     \
    "area: {fixed_mm2: 1, element_mm2: 0.5, buffer_mm2_per_kib: 0.01, wire_mm2_per_gbps: 0.002}\n"

/* A 1x1 convolution, 32 to 64 channels on 28x28: 1 605 632 multiply-accumulates. */
static void a_layer_on_an_asic(void **state) {
    (void)state;
    static const char conv[] = NET("  - {op: conv, kernel: 1, channels: 64}\n");
    double macs = 32 * 64 * 784.0, x = 32 * 784.0, y = 64 * 784.0, w = 2048;
    double pool = (y + 64) * 206; /* buffer and DRAM once each, no arithmetic... */
    double fc_macs = 640;
    const double e[4] = {200, 6, 2, 1};
    /* Output stationary: sums stay (d = 32); an input goes to 8 columns, a weight to 8 rows. */
    double os = macs + x * lode_asic_fetch(e, 1, 8, 8, 1) + w * lode_asic_fetch(e, 1, 98, 8, 1) +
                y * lode_asic_sum(e, 1, 1, 1, 32);
    /* Its biases, and the classifier: 64 inputs to 10, weights used once. */
    double fc = fc_macs + 64 * lode_asic_fetch(e, 1, 10.0 / 8, 8, 1) +
                640 * lode_asic_fetch(e, 1, 1, 1, 1) + 10 * lode_asic_sum(e, 1, 1, 1, 64);
    double got = price_on(conv, ASIC("output_stationary"), "energy_mj") * 1e9 / 2;
    double rest = got - os - fc - (64 + 10) * 206.0;
    assert_true(rest >= pool && rest <= pool + 2 * y); /* ... or one addition per pixel */
    /* Weight stationary: weights stay (d = 784), 32 sums of 8 rows. */
    double ws = macs + x * lode_asic_fetch(e, 1, 8, 8, 1) + w * lode_asic_fetch(e, 1, 1, 1, 784) +
                y * lode_asic_sum(e, 1, 4, 8, 1);
    double fc_ws = fc_macs + 64 * lode_asic_fetch(e, 1, 10.0 / 8, 8, 1) +
                   640 * lode_asic_fetch(e, 1, 1, 1, 1) + 10 * lode_asic_sum(e, 1, 8, 8, 1);
    double got_ws = price_on(conv, ASIC("weight_stationary"), "energy_mj") * 1e9 / 2;
    assert_near(got_ws - got, ws - os + fc_ws - fc, 1e-9);
    /* All 64 elements work on the convolution, on the classifier 8 of them (one row of outputs). */
    double ms = price_on(conv, ASIC("output_stationary"), "latency_ms");
    double memory = price_on(NET(""), ASIC("output_stationary"), "latency_ms");
    assert_true(ms >= macs / 64 / 100e3 && ms <= macs / 64 / 100e3 + memory + 1e-3);
    assert_near(price_on(conv, ASIC("row_stationary"), "area_mm2"), 1 + 32 + 10.24 + 2, 1e-12);
}

/* What the dataflows are known for: depthwise layers starve wide arrays; a small buffer costs DRAM.
 */
static void dataflows_behave(void **state) {
    (void)state;
    static const char dense[] = NET("  - {op: conv, kernel: 3, channels: 32}\n");
    static const char deep[] = NET("  - {op: conv, kernel: 3, channels: 32, groups: 32}\n");
    static const char *const flows[] = {ASIC("row_stationary"), ASIC("weight_stationary"),
                                        ASIC("output_stationary")};
    double none = price_on(NET(""), flows[0], "latency_ms");
    for (int i = 0; i < 3; i++) {
        double a = price_on(dense, flows[i], "latency_ms") - none;
        double b = price_on(deep, flows[i], "latency_ms") - none;
        assert_true(b < a &&
                    price_on(deep, flows[i], "energy_mj") < price_on(dense, flows[i], "energy_mj"));
    }
    /* Per multiply-accumulate (32 times fewer) depthwise is slower on a weight-stationary array. */
    double a = price_on(dense, flows[1], "latency_ms") - none;
    double b = price_on(deep, flows[1], "latency_ms") - none;
    assert_true(32 * b > 1.5 * a);
    char *small = lode_format("%s", flows[0]), *at = strstr(small, "1024");
    memcpy(at, "   4", 4);
    assert_true(price_on(dense, small, "energy_mj") >
                1.05 * price_on(dense, flows[0], "energy_mj"));
    lode_free(small);
}

static void bad_files_say_what(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"name: x\nkind: asic\n", "`rows` is missing"},
        {"name: x\nkind: asic\ndataflow: systolic\n", "output_stationary"},
        {"name: x\nkind: asic\nrows: 1\ncolumns: 1\nclock_mhz: 1\nbuffer_kib: 1\ndram_gbps: 1\n",
         "`energy` wants a map"},
        {"name: x\nkind: fpga\n", "`tile` wants a map"},
        {"name: x\nkind: fpga\ntile: {m: 1, n: 1, r: 1}\n", "`c` is missing"},
        {"name: x\nkind: fpga\ntile: {m: [1, 2], n: 1, r: 1, c: 1}\n", "one number each"},
        {"name: x\nkind: fpga\ntile: {m: 1, n: 1, r: 0, c: 1}\n", "whole numbers from 1"},
        {"name: x\nkind: fpga\ndsp: 10\ndtype: f32\ntile: {m: 2, n: 2, r: 1, c: 1}\n",
         "20 DSP are needed"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lode_hardware *h = NULL;
        assert_fails(lode_hardware_parse(bad[i].text, "x.yaml", NULL, &h), LODE_ERR_CONFIG,
                     bad[i].words);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(energy_of_a_value),    cmocka_unit_test(cycles_of_a_layer),
        cmocka_unit_test(a_network_on_an_fpga), cmocka_unit_test(a_layer_on_an_asic),
        cmocka_unit_test(dataflows_behave),     cmocka_unit_test(bad_files_say_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
