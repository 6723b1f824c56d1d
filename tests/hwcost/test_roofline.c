/* test_roofline.c: the roofline against numbers worked out on paper, and calibration against times
   that a known roofline made. labels: unit */
#include "hwcost/calibrate.h"
#include "hwcost/pricing.h"
#include "ops/ops.h"

static lode_roofline *read_roofline(const char *text, lode_hardware **h) {
    assert_ok(lode_hardware_parse(text, "test.yaml", NULL, h));
    return (*h)->self;
}

/* Traces one conv2d [1,in,size,size] with a kernel k and no bias. */
static lode_work conv_work(int64_t in, int64_t out, int64_t size, int k, int groups) {
    lode_tape *t = NULL;
    lode_tensor *x = NULL, *w = NULL;
    lode_work work;
    lode_shape xs = LODE_SHAPE4(1, in, size, size), ws = LODE_SHAPE4(out, in / groups, k, k);
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &t));
    assert_ok(lode_tensor_create(NULL, LODE_F32, &xs, LODE_CONTIGUOUS, &x));
    assert_ok(lode_tensor_create(NULL, LODE_F32, &ws, LODE_CONTIGUOUS, &w));
    lode_conv2d(t, lode_tape_constant(t, x), lode_tape_constant(t, w), NULL,
                lode_conv2d_same(k, 1, 1, groups));
    assert_ok(lode_tape_status(t));
    assert_int_equal(lode_trace_n(t), 1);
    lode_work_of(lode_trace_get(t, 0), &work);
    lode_tensor_release(x);
    lode_tensor_release(w);
    lode_tape_destroy(t);
    return work;
}

#define FLAT                                                                                       \
    "name: x\nkind: roofline\npeak_gflops: {f32: 100, int8: 400}\n"                                \
    "memory: [{level: DRAM, gbps: 10, pj_per_byte: 5}]\n"                                          \
    "energy: {mac_pj: 2, static_w: 0.5}\n"

/* methods D2: 2.312 ms, bound by arithmetic, and 0.1608 ms, bound by memory. */
static void numbers_on_paper(void **state) {
    (void)state;
    lode_hardware *h = NULL;
    lode_roofline *r = read_roofline(FLAT, &h);
    lode_work dense = conv_work(64, 64, 56, 3, 1), deep = conv_work(64, 64, 56, 3, 64);
    double bytes[LODE_ROOFLINE_LEVELS];
    assert_int_equal(dense.what, LODE_WORK_CONV);
    assert_int_equal(deep.what, LODE_WORK_DEPTHWISE);
    lode_roofline_bytes(r, &dense, bytes);
    assert_near(bytes[0], 1753088, 0);
    assert_near(dense.flops / bytes[0], 131.9, 1e-3);
    assert_near(lode_roofline_us(r, &dense), 115605504 * 2 / 100e3, 1e-12);
    lode_roofline_bytes(r, &deep, bytes);
    assert_near(deep.flops / bytes[0], 2.247, 1e-3);
    assert_near(lode_roofline_us(r, &deep), 160.8, 1e-3);
    /* 2 pJ a MAC, 5 a byte, 0.5 W for 2312 us. */
    assert_near(lode_roofline_pj(r, &dense), 2 * 115605504.0 + 5 * 1753088.0 + 0.5e6 * 2312.11008,
                1e-9);
    lode_hardware_close(h);
    assert_ok(lode_hardware_parse(FLAT, "test.yaml", "int8", &h));
    lode_roofline_bytes(h->self, &dense, bytes);
    assert_near(bytes[0], 1753088 / 4, 0);
    assert_near(lode_roofline_us(h->self, &dense), 2312.11008 / 4, 1e-12);
    lode_hardware_close(h);
}

#define LEVELS                                                                                     \
    "name: x\nkind: roofline\npeak_gflops: {f32: 1.0e9}\nvector: 16\n"                             \
    "efficiency: {conv: 0.5}\noverlap: {depthwise: 0.25}\noverhead_us: {linear: 3, other: 2}\n"    \
    "memory: [{level: L1, kib: 32, gbps: 100}, {level: L2, kib: 1024, gbps: 50}, "                 \
    "{level: DRAM, gbps: 10}]\n"

static void levels_lanes_and_overheads(void **state) {
    (void)state;
    lode_hardware *h = NULL;
    lode_roofline *r = read_roofline(LEVELS, &h);
    double bytes[LODE_ROOFLINE_LEVELS];
    lode_work fits = {.what = LODE_WORK_LINEAR, .input = 1024, .weights = 4096, .output = 1024};
    lode_roofline_bytes(r, &fits, bytes); /* 24 KiB: stay in L1 */
    assert_near(bytes[0], 24576, 0);
    assert_near(bytes[1] + bytes[2], 0, 0);
    assert_near(lode_roofline_us(r, &fits), 0.24576 + 3, 1e-12);
    /* 64 KiB of input, 40 KiB of weights against halves of 16 KiB: the input is read 3 times while
       parts of the weights stay, or the weights 4 times: 3 I + W = 232, 4 W + I = 224 KiB. */
    lode_work blocked = {
        .what = LODE_WORK_POINTWISE, .input = 16384, .weights = 10240, .output = 256};
    lode_roofline_bytes(r, &blocked, bytes);
    assert_near(bytes[1], (224 + 1) * 1024, 0);
    assert_near(bytes[2], 0, 0);
    blocked.what = LODE_WORK_DEPTHWISE; /* a stream */
    lode_roofline_bytes(r, &blocked, bytes);
    assert_near(bytes[1], (64 + 40 + 1) * 1024, 0);
    /* 24 channels fill 24 of 32 lanes. */
    lode_work lanes = {.what = LODE_WORK_CONV, .output = 1, .flops = 1e12, .out_c = 24};
    assert_near(lode_roofline_us(r, &lanes), 1e12 / (1e12 * 0.5 * 0.75), 1e-12);
    /* 0.3 us of arithmetic, 0.24 us of memory, of which a quarter hides. */
    lode_work both = {
        .what = LODE_WORK_DEPTHWISE, .input = 3000, .output = 3000, .out_c = 16, .flops = 300e9};
    assert_near(lode_roofline_us(r, &both), 0.3 + 0.75 * 0.24 + 0, 1e-12);
    lode_work view = {.what = LODE_WORK_OTHER};
    assert_near(lode_roofline_us(r, &view), 0, 0);
    lode_hardware_close(h);
}

/* A file written from a roofline reads back as the same. */
static void text_round_trip(void **state) {
    (void)state;
    lode_hardware *a = NULL, *b = NULL;
    lode_work w = conv_work(48, 24, 30, 5, 1);
    lode_roofline *r = read_roofline(LEVELS, &a);
    char *body = lode_roofline_text(r), *text = lode_format("name: y\n%s", body);
    assert_ok(lode_hardware_parse(text, "y", NULL, &b));
    assert_near(lode_roofline_us(r, &w), lode_roofline_us(b->self, &w), 1e-12);
    char *again = lode_roofline_text(b->self);
    assert_string_equal(body, again);
    lode_free(body);
    lode_free(text);
    lode_free(again);
    lode_hardware_close(a);
    lode_hardware_close(b);
}

/* Times that a roofline made are explained by the fitted one: nearly exactly, and as well when each
   is off by up to 5 %. */
static void calibration_finds_the_roofline(void **state) {
    (void)state;
    enum { N = 200 };
    static lode_work work[N];
    static double us[N];
    lode_hardware *h = NULL;
    const lode_roofline *truth =
        read_roofline("name: x\nkind: roofline\npeak_gflops: {f32: 80}\n"
                      "efficiency: {conv: 1, pointwise: 0.8, depthwise: 0.2, linear: 0.5}\n"
                      "overlap: {conv: 0.9, pointwise: 0.6, depthwise: 0.1}\n"
                      "overhead_us: {conv: 3, pointwise: 2, depthwise: 4, linear: 1, other: 2}\n"
                      "memory: [{level: L1, kib: 64, gbps: 60}, {level: L2, kib: 1024, gbps: 30}, "
                      "{level: DRAM, gbps: 8}]\n",
                      &h);
    for (int noisy = 0; noisy < 2; noisy++) {
        lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, 1);
        lode_roofline fitted = *truth; /* what is not fitted: dtype, levels' names and sizes */
        double mape = 0, worst = 0;
        for (int i = 0; i < N; i++) {
            int64_t c = 8 << (i % 5), size = 7 << (i / 5 % 5);
            int kind = i / 25 % 4, k = kind == 1 ? 1 : 3 + 2 * (i / 100);
            work[i] = conv_work(c, kind == 2 ? c : 2 * c, size, k, kind == 2 ? (int)c : 1);
            if (kind == 3) {
                work[i].what = LODE_WORK_OTHER;
                work[i].weights = 0;
                work[i].flops = work[i].input;
            }
            us[i] = lode_roofline_us(truth, &work[i]);
            if (noisy) us[i] *= 1 + 0.1 * (lode_rng_uniform(&rng) - 0.5);
        }
        fitted.peak_gflops = 1;
        for (int k = 0; k < LODE_N_WORK_CLASSES; k++)
            fitted.efficiency[k] = fitted.overhead_us[k] = 0.5;
        for (int l = 0; l < 3; l++) fitted.level[l].gbps = 1;
        assert_ok(lode_calibrate_fit(work, us, N, &fitted, &mape));
        for (int i = 0; i < N; i++) {
            double off = lode_roofline_us(&fitted, &work[i]) / lode_roofline_us(truth, &work[i]);
            worst = fmax(worst, fabs(off - 1));
        }
        print_message("calibration: mean error %.2f %%, worst against the truth %.1f %%\n", mape,
                      100 * worst);
        assert_true(mape < (noisy ? 4.0 : 1.0));
        assert_true(worst < (noisy ? 0.25 : 0.1));
    }
    double mape = 0;
    lode_roofline r = *truth;
    us[3] = 0;
    assert_fails(lode_calibrate_fit(work, us, N, &r, &mape), LODE_ERR_INVALID, "call 3");
    lode_hardware_close(h);
}

/* Measuring: a small space, few rounds; what comes out prices its networks. */
static void calibrating_here_gives_a_device(void **state) {
    (void)state;
    priced_space f;
    lode_dispatch_options d = {.providers = NULL};
    lode_dispatch *dispatch = NULL;
    lode_profile_options o = {.journal = NULL};
    lode_calibration k;
    lode_hardware *h = NULL;
    lode_cost *cost = NULL;
    priced_open("fbnet-fashion", &f);
    assert_ok(lode_dispatch_create(&d, &dispatch));
    assert_ok(lode_options_default(&lode_profile_option_table, &o));
    o.rounds = 3;
    assert_ok(lode_calibrate(f.net, dispatch, &o, NULL, &k));
    assert_true(k.n_calls > 30 && k.roofline.peak_gflops > 0);
    char *body = lode_roofline_text(&k.roofline), *text = lode_format("name: here\n%s", body);
    assert_ok(lode_hardware_parse(text, "here", NULL, &h));
    assert_ok(lode_cost_from_model(lode_hardware_find_quantity(h, "latency_ms"), h->self, f.net, 1,
                                   &cost));
    priced_hard(&f, cost, 3, true);
    lode_cost_close(cost);
    lode_hardware_close(h);
    lode_free(body);
    lode_free(text);
    lode_dispatch_destroy(dispatch);
    priced_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_on_paper),
        cmocka_unit_test(levels_lanes_and_overheads),
        cmocka_unit_test(text_round_trip),
        cmocka_unit_test(calibration_finds_the_roofline),
        cmocka_unit_test(calibrating_here_gives_a_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
