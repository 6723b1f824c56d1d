/* test_systolic.c: weight-stationary systolic arrays against NASCaps's published numbers and
   numbers on paper. (Gradients and sums on all shipped spaces: test_hardware.c.) labels: unit */
#include "core/memory.h"
#include "hwcost/hardware.h"
#include "hwcost/pricing.h"
#include "hwcost/systolic.h"

#include <math.h>

/* methods D4: 9x9, 1 to 256 channels, 20x20 outputs on 16 x 16: 20 992 weights, 82 loads. */
static void cycles_of_a_layer(void **state) {
    (void)state;
    const lode_systolic_array a = {16, 16, 1, 1};
    const lode_systolic_layer l = {1, 256, 81, 400, 1, 1};
    assert_near(lode_systolic_weights(&l), 20992, 0);
    assert_near(lode_systolic_cycles(&a, &l), 16 * 82 + 400, 0);
    assert_near(lode_systolic_cycles(&a, &l) * 3e-3, 5.136, 1e-12); /* us at 3 ns */
    assert_near(lode_systolic_accumulators(&a, &l), 16 * (82 - 16 + 1), 0);
}

/* The authors' own tests of convolutions and class layers (hwacc/tests/test_layers.py). */
static void cycles_the_authors_expect(void **state) {
    (void)state;
    static const struct {
        lode_systolic_array a;
        lode_systolic_layer l;
        double cycles;
    } known[] = {
        {{16, 16, 1, 2}, {1, 256, 81, 400, 1, 1}, 1794},
        {{16, 16, 16, 2}, {1, 256, 81, 400, 1, 1}, 672},
        {{1, 1, 6, 2}, {3, 256, 81, 400, 1, 3}, 63664},
        {{1, 2, 6, 2}, {4, 256, 625, 400, 4, 1}, 433238},
        {{4, 5, 5, 2}, {5, 256, 625, 625, 3, 2}, 249455},
        {{7, 1, 8, 2}, {1, 256, 625, 400, 1, 5}, 114872},
        {{16, 16, 1, 2}, {256, 32, 81, 36, 1, 8}, 361745},
        {{16, 16, 1, 2}, {32, 10, 36, 0, 8, 16}, 98006},
        {{16, 16, 16, 2}, {32, 10, 36, 0, 8, 16}, 6138},
        {{4, 5, 5, 2}, {5, 256, 625, 0, 3, 2}, 240081},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_near(lode_systolic_cycles(&known[i].a, &known[i].l), known[i].cycles, 0);
}

/* Networks of theirs whose energy, latency and memory they publish (chroms/README.md), as layers:
   convolutions, then the class layer and five sums of its routing, which have weights of their own.
   With the shipped file's power two of them give it, the third is a check. */
static void networks_the_authors_publish(void **state) {
    (void)state;
    static const struct {
        lode_systolic_layer layer[4];
        int n;
        double sum_weights, sum_rows; /* of a routing step */
        double mj, ms, kib;
    } net[] = {
        {{{1, 256, 81, 784, 1, 1}, {256, 32, 81, 196, 1, 8}, {32, 10, 81, 0, 8, 16}},
         3,
         32 * 81 * 10,
         8,
         88.80,
         1.82,
         8572.56}, /* CapsNet */
        {{{3, 32, 81, 4096, 1, 1},
          {32, 8, 81, 1024, 1, 1},
          {8, 32, 25, 256, 1, 11},
          {32, 10, 256, 0, 11, 16}},
         4,
         32 * 256 * 10,
         11,
         1.40,
         2.97,
         14577.9}, /* C10-9c9 */
        {{{1, 8, 81, 3136, 1, 1},
          {8, 32, 25, 784, 1, 1},
          {32, 8, 9, 196, 1, 4},
          {8, 10, 196, 0, 4, 16}},
         4,
         8 * 196 * 10,
         4,
         0.08,
         0.30,
         1073.14}, /* MNIST-618 */
    };
    const lode_systolic_array a = {16, 16, 1, 1};
    for (int i = 0; i < 3; i++) {
        double cycles = 0, weights = 0, pj = 0;
        for (int k = 0; k < net[i].n; k++) {
            const lode_systolic_layer *l = &net[i].layer[k];
            double c = lode_systolic_cycles(&a, l);
            cycles += c;
            weights += lode_systolic_weights(l);
            pj += 3 * c * (256 * 0.473 + lode_systolic_accumulators(&a, l) * 0.23);
        }
        double c = 16 * ceil(net[i].sum_weights / 16 / net[i].sum_rows) + 1;
        cycles += 5 * c;
        weights += 5 * net[i].sum_weights;
        pj += 5 * 3 * c * (256 * 0.473 + 16 * 0.23);
        assert_true(fabs(cycles * 3e-6 - net[i].ms) < 0.006);
        assert_true(fabs(weights / 1024 - net[i].kib) < 1);
        assert_true(fabs(pj * 1e-9 - net[i].mj) < fmax(0.005, 0.005 * net[i].mj));
    }
}

#define DEVICE                                                                                     \
    "name: x\nkind: systolic\ndtype: int8\nrows: 16\ncolumns: 16\nperiod_ns: 2\n"                  \
    "power: {element_mw: 0.5, accumulator_mw: 0.25}\n"                                             \
    "area: {element_um2: 900, accumulator_um2: 100, fixed_mm2: 1}\n"
#define NET(layer)                                                                                 \
    "name: n\ninput: {channels: 32, size: 8}\nclasses: 10\nlayers:\n" layer                        \
    "  - {op: global_pool}\n  - {op: linear}\n"

static double price_on(const char *net_text, const char *quantity, int64_t batch) {
    double value = 0;
    assert_ok(priced_fixed(net_text, DEVICE, quantity, batch, &value));
    return value;
}

/* Pooling passes 2048 values by 16 columns. The classifier: 330 weights in 2 loads, one vector. */
static void a_network_on_an_array(void **state) {
    (void)state;
    static const char conv[] = NET("  - {op: conv, kernel: 3, channels: 32}\n");
    double pool = 2048 / 16.0, linear = 16 * 2 + 1;
    assert_near(price_on(NET(""), "latency_ms", 1), (pool + linear) * 2e-6, 1e-12);
    assert_near(price_on(NET(""), "latency_ms", 3), (3 * pool + linear + 2) * 2e-6, 1e-12);
    double pj = 2 * pool * 16 * 0.25 + 2 * linear * (256 * 0.5 + 16 * 0.25);
    assert_near(price_on(NET(""), "energy_mj", 1), pj * 1e-9, 1e-12);
    assert_near(price_on(NET(""), "memory_bytes", 1), 330, 0);
    /* 9248 weights, 320 sums: 37 loads, 64 pixels of 32 channels, 16 (320 - 15) accumulators */
    double c = 16 * 37 + 64 * 32;
    assert_near(price_on(conv, "latency_ms", 1), (pool + linear + c) * 2e-6, 1e-12);
    pj += 2 * c * (256 * 0.5 + 16 * 305 * 0.25);
    assert_near(price_on(conv, "energy_mj", 1), pj * 1e-9, 1e-12);
    assert_near(price_on(conv, "memory_bytes", 1), 330 + 9248, 0);
    assert_near(price_on(conv, "area_mm2", 1), 1 + 256 * 1e-3, 1e-12);
    /* Each channel of a depthwise layer is a layer: 10 weights in one load, 64 pixels. */
    double deep =
        price_on(NET("  - {op: conv, kernel: 3, channels: 32, groups: 32}\n"), "latency_ms", 1);
    assert_near(deep, (pool + linear + 32 * (16 + 64)) * 2e-6, 1e-12);
    /* Groups of four are eight layers of 148 weights: 148 / 16 / 16 in one load. */
    double grouped =
        price_on(NET("  - {op: conv, kernel: 3, channels: 32, groups: 8}\n"), "latency_ms", 1);
    assert_near(grouped, (pool + linear + 8 * (16 + 64 * 4)) * 2e-6, 1e-12);
}

/* More elements are never slower but for filling more rows; columns always help. */
static void more_columns_are_never_slower(void **state) {
    (void)state;
    const lode_systolic_layer l = {32, 100, 9, 400, 1, 1};
    double before = INFINITY;
    for (double n = 1; n <= 4096; n *= 2) {
        double c = lode_systolic_cycles(&(lode_systolic_array){16, n, 1, 1}, &l);
        assert_true(c <= before && c >= 400 * 32);
        before = c;
        double wide = lode_systolic_cycles(&(lode_systolic_array){16, 16, n, 1}, &l);
        assert_true(wide <= lode_systolic_cycles(&(lode_systolic_array){16, 16, 1, 1}, &l));
    }
    assert_near(before, 16 + 400 * 32, 0); /* one load */
    /* One element loads every weight by itself. */
    assert_near(lode_systolic_cycles(&(lode_systolic_array){1, 1, 1, 1}, &l),
                lode_systolic_weights(&l) + 400 * 32, 0);
}

static void bad_files_say_what(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"name: x\nkind: systolic\n", "`rows` is missing"},
        {"name: x\nkind: systolic\nrows: 1\ncolumns: 1\n", "`period_ns` is missing"},
        {DEVICE "width: 0\n", "width"},
        {DEVICE "clock_mhz: 3\n", "key `clock_mhz`"},
        {"name: x\nkind: systolic\nrows: 1\ncolumns: 1\nperiod_ns: 1\npower: {element_mw: 1}\n",
         "`accumulator_mw` is missing"},
        {"name: x\nkind: systolic\nrows: 1\ncolumns: 1\nperiod_ns: 1\npower: 3\n", "wants a map"},
    };
    static const char plain[] = "name: x\nkind: systolic\nrows: 1\ncolumns: 1\nperiod_ns: 1\n";
    lode_hardware *h = NULL;
    double v = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(lode_hardware_parse(bad[i].text, "x.yaml", NULL, &h), LODE_ERR_CONFIG,
                     bad[i].words);
    assert_fails(priced_fixed(NET(""), plain, "energy_mj", 1, &v), LODE_ERR_CONFIG,
                 "gives no power");
    assert_fails(priced_fixed(NET(""), plain, "area_mm2", 1, &v), LODE_ERR_CONFIG, "gives no area");
    assert_ok(priced_fixed(NET(""), plain, "latency_ms", 1, &v));
}

static void a_space_decides_the_array(void **state) {
    (void)state;
    static const char text[] =
        "name: net\ninput: {channels: 3, size: 16}\nclasses: 10\n"
        "sets: {s: {a: {op: mbconv, kernel: 3, expand: 3}, b: {op: mbconv, kernel: 5, expand: "
        "6}}}\n"
        "layers:\n  - {name: stem, op: conv, kernel: 3, channels: 16}\n"
        "  - {choice: s, channels: 24, stride: 2}\n  - {name: pool, op: global_pool}\n"
        "  - {name: classifier, op: linear}\n"
        "hardware: {rows: [8, 16], columns: [16, 32], power.element_mw: [0.4, 0.5]}\n";
    static const char *const quantities[] = {"latency_ms", "energy_mj", "area_mm2", "memory_bytes"};
    priced_space f;
    assert_ok(lode_space_parse(text, "test", NULL, &f.space));
    assert_ok(lode_supernet_create(f.space, NULL, LODE_F32, 1, &f.net));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &f.trace));
    for (int q = 0; q < 4; q++) {
        lode_cost *cost = NULL;
        double narrow = 0, wide = 0;
        char *spec = lode_format("%s=nascaps", quantities[q]);
        assert_ok(lode_cost_open(spec, f.net, 0, &cost));
        priced_hard(&f, cost, 6, true);
        priced_gradient(&f, cost);
        assert_ok(lode_cost_hard(cost, &(lode_arch){.n = 4, .option = {0, 1, 0, 1}}, &narrow));
        assert_ok(lode_cost_hard(cost, &(lode_arch){.n = 4, .option = {0, 1, 1, 1}}, &wide));
        if (q == 0) assert_true(wide < narrow);
        if (q == 2) assert_true(wide > narrow);
        if (q == 3) assert_true(wide == narrow);
        lode_cost_close(cost);
        lode_free(spec);
    }
    priced_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cycles_of_a_layer),
        cmocka_unit_test(cycles_the_authors_expect),
        cmocka_unit_test(networks_the_authors_publish),
        cmocka_unit_test(a_network_on_an_array),
        cmocka_unit_test(more_columns_are_never_slower),
        cmocka_unit_test(bad_files_say_what),
        cmocka_unit_test(a_space_decides_the_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
