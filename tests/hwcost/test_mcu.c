/* test_mcu.c: memory, flash and latency of microcontrollers: numbers of methods D6, networks of
   MLPerf Tiny and of MCUNet's zoo. labels: unit */
#include "core/platform.h"
#include "hwcost/hardware.h"
#include "hwcost/pricing.h"

static lode_supernet *parse_net(const char *text, const lode_space_options *options) {
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    assert_ok(lode_space_parse(text, "test", options, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    lode_space_release(space);
    return net;
}

static double price(lode_supernet *net, const char *spec, const lode_arch *arch) {
    lode_cost *cost = NULL;
    double value = 0;
    assert_ok(lode_cost_open(spec, net, 1, &cost));
    assert_ok(lode_cost_hard(cost, arch, &value));
    lode_cost_close(cost);
    return value;
}

/* The cost of a net under a device given as text. */
static double price_on(lode_supernet *net, const char *keys, const char *quantity) {
    lode_hardware *h = NULL;
    lode_cost *cost = NULL;
    double value = 0;
    char *text = lode_format("name: x\nkind: mcu\ndtype: int8\nclock_mhz: 100\n"
                             "cycles_per_mac: {conv: 1, pointwise: 2, depthwise: 3, linear: 4}\n%s",
                             keys);
    assert_ok(lode_hardware_parse(text, "x", NULL, &h));
    assert_ok(
        lode_cost_from_model(lode_hardware_find_quantity(h, quantity), h->self, net, 1, &cost));
    assert_ok(lode_cost_hard(cost, &(lode_arch){.n = 0}, &value));
    lode_cost_close(cost);
    lode_hardware_close(h);
    lode_free(text);
    return value;
}

#define ONE_MBCONV                                                                                 \
    "name: one\ninput: {channels: 24, size: 56}\nclasses: 10\nlayers:\n"                           \
    "  - {op: mbconv, expand: 6, channels: 24, act: relu6}\n"                                      \
    "  - {op: global_pool}\n  - {op: linear}\n"

/* methods D6: plain 978 432 B at the depthwise step, 529 984 B in place. With the sum as a step of
   its own the projection needs input, hidden and result at once: 602 112 B. */
static void mbconv_on_paper(void **state) {
    (void)state;
    lode_supernet *net = parse_net(ONE_MBCONV, NULL);
    assert_near(price_on(net, "in_place_depthwise: false\n", "peak_memory_bytes"), 978432, 0);
    assert_near(price_on(net, "fused_add: true\n", "peak_memory_bytes"), 529984, 0);
    assert_near(price_on(net, "", "peak_memory_bytes"), 602112, 0);
    assert_near(price_on(net, "", "peak_live_bytes"), 602112, 0);
    assert_near(price_on(net, "runtime_kib: 2\n", "peak_memory_bytes"), 602112 + 2048, 0);
    /* Weights, and 8 bytes a channel; 144 (24 + 9 + 24) and 240. */
    assert_near(price_on(net, "code_kib: 1\n", "flash_bytes"),
                1024 + 144 * 57 + 240 + 8 * (144 + 144 + 24 + 10), 0);
    double px = 56 * 56, macs = 2 * px * 24 * 144 * 2 + 3 * px * 144 * 9 + 4 * 240;
    assert_near(price_on(net, "cycles_per_call: 50\ncycles_per_network: 7\n", "latency_ms"),
                (macs + px * 24 /* sum */ + px * 24 /* pooling */ + 5 * 50 + 7) / 100e3, 1e-12);
    lode_supernet_destroy(net);
}

/* A buffer of 2 columns of int16, k k C_in: at the convolution, where it adds to input and output.
 */
static void im2col(void **state) {
    (void)state;
    lode_supernet *net = parse_net("name: c\ninput: {channels: 8, size: 10}\nclasses: 2\nlayers:\n"
                                   "  - {op: conv, kernel: 5, channels: 16}\n"
                                   "  - {op: global_pool}\n  - {op: linear}\n",
                                   NULL);
    assert_near(price_on(net, "", "peak_memory_bytes"), 2400, 0);
    assert_near(price_on(net, "im2col_columns: 2\n", "peak_memory_bytes"), 2400 + 4 * 25 * 8, 0);
    lode_supernet_destroy(net);
}

/* Orders matter in cells: the best one is never worse than the given one, and better for some. */
static void reordering_cells(void **state) {
    (void)state;
    priced_space f;
    lode_hardware *h[2];
    lode_cost *cost[2];
    int better = 0;
    priced_open("nasbench201", &f);
    for (int k = 0; k < 2; k++) {
        char *text =
            lode_format("name: x\nkind: mcu\ndtype: int8\nclock_mhz: 1\nreorder: %s\n"
                        "cycles_per_mac: {conv: 1, pointwise: 1, depthwise: 1, linear: 1}\n",
                        k ? "true" : "false");
        assert_ok(lode_hardware_parse(text, "x", NULL, &h[k]));
        assert_ok(lode_cost_from_model(lode_hardware_find_quantity(h[k], "peak_memory_bytes"),
                                       h[k]->self, f.net, 1, &cost[k]));
        assert_false(lode_cost_has_gradient(cost[k]));
        lode_free(text);
    }
    lode_rng rng = lode_rng_stream(3, LODE_RNG_TEST, 2);
    for (int i = 0; i < 40; i++) {
        lode_arch arch;
        double given = 0, best = 0;
        assert_ok(lode_space_sample(f.space, &rng, &arch));
        assert_ok(lode_cost_hard(cost[0], &arch, &given));
        assert_ok(lode_cost_hard(cost[1], &arch, &best));
        assert_true(best <= given && best >= 2 * 32 * 32 * 16);
        better += best < given;
    }
    print_message("reordering helps %d of 40 cells\n", better);
    assert_true(better > 0);
    for (int k = 0; k < 2; k++) {
        lode_cost_close(cost[k]);
        lode_hardware_close(h[k]);
    }
    priced_close(&f);
}

/* MLPerf Tiny's person detection, MobileNetV1 0.25 at 96x96: the cycles per MAC come from it and
   the other benchmarks together, so its own time must come out again. */
static void mlperf_tiny(void **state) {
    (void)state;
    static const int channels[] = {16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256};
    static const int stride[] = {1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1};
    lode_text text = {0};
    lode_text_add(&text, "name: vww\ninput: {channels: 3, size: 96}\nclasses: 2\nlayers:\n"
                         "  - {op: conv, kernel: 3, channels: 8, stride: 2}\n");
    for (int i = 0, in = 8; i < 13; in = channels[i++])
        lode_text_add(&text,
                      "  - {op: conv, kernel: 3, channels: %d, groups: %d, stride: %d}\n"
                      "  - {op: conv, kernel: 1, channels: %d}\n",
                      in, in, stride[i], channels[i]);
    lode_text_add(&text, "  - {op: global_pool}\n  - {op: linear}\n");
    char *yaml = lode_text_take(&text);
    lode_supernet *net = parse_net(yaml, NULL);
    lode_arch none = {.n = 0};
    assert_near(price(net, "macs", &none), 7489664, 0); /* 7 489 152 and the classifier's 512 */
    assert_near(price(net, "latency_ms=nucleo-l4r5zi", &none) * 4.446 / 1e3, 1, 0.05);
    assert_near(price(net, "latency_ms=nucleo-h7a3zi", &none) * 19.838 / 1e3, 1, 0.05);
    lode_free(yaml);
    lode_supernet_destroy(net);
}

/* MCUNet's zoo: MobileNetV2 0.35 at 144x144 has 23.5 M MACs, 0.75 M parameters, 308 kB of SRAM and
   862 kB of flash under TinyEngine. Ours is the peak of live tensors; theirs has buffers of kernels
   and the runtime besides, and so has the flash code. */
static void mcunet_zoo(void **state) {
    (void)state;
    char *path = test_shared("tables/mcunet_zoo/mcunet_zoo.csv");
    if (!path) skip();
    void *bytes = NULL;
    size_t n = 0;
    double mmacs = 0, params = 0, sram = 0, flash = 0;
    int size = 0;
    assert_ok(lode_file_read(path, &bytes, &n));
    const char *row = strstr(bytes, "imagenet,mbv2-w0.35,");
    assert_non_null(row);
    assert_int_equal(sscanf(row, "imagenet,mbv2-w0.35,%lf,%lf,%lf,%lf,%d", &mmacs, &params, &sram,
                            &flash, &size),
                     5);
    lode_space_options options = {.name = "mobilenetv2", .width = 0.35, .size = size};
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_arch none = {.n = 0};
    assert_ok(lode_space_load(&options, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    double ours = price(net, "peak_memory_bytes=stm32f746-disco", &none);
    double our_flash = price(net, "flash_bytes=stm32f746-disco", &none);
    print_message(
        "mbv2-w0.35: %.1f M MACs (%.1f), %.3f M params (%.2f), %.0f kB (%.0f), flash %.0f kB "
        "(%.0f)\n",
        price(net, "macs", &none) / 1e6, mmacs, price(net, "params", &none) / 1e6, params,
        ours / 1e3, sram, our_flash / 1e3, flash);
    assert_near(price(net, "macs", &none) / 1e6, mmacs, 0.005);
    assert_near(price(net, "params", &none) / 1e6, params, 0.01);
    assert_true(ours <= 1024 * sram && ours >= 0.9e3 * sram);
    assert_true(our_flash <= 1024 * flash && our_flash >= 0.85e3 * flash);
    lode_supernet_destroy(net);
    lode_space_release(space);
    lode_free(bytes);
    lode_free(path);
}

static void bad_files_say_what(void **state) {
    (void)state;
    lode_hardware *h = NULL;
    assert_fails(lode_hardware_parse("name: x\nkind: mcu\n", "x", NULL, &h), LODE_ERR_CONFIG,
                 "`clock_mhz` is missing");
    assert_fails(lode_hardware_parse("name: x\nkind: mcu\nclock_mhz: 1\n", "x", NULL, &h),
                 LODE_ERR_CONFIG, "cycles_per_mac");
    assert_fails(lode_hardware_parse("name: x\nkind: mcu\nclock_mhz: 1\n"
                                     "cycles_per_mac: {conv: 1, linear: 1}\n",
                                     "x", NULL, &h),
                 LODE_ERR_CONFIG, "`pointwise` is missing");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mbconv_on_paper),  cmocka_unit_test(im2col),
        cmocka_unit_test(reordering_cells), cmocka_unit_test(mlperf_tiny),
        cmocka_unit_test(mcunet_zoo),       cmocka_unit_test(bad_files_say_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
