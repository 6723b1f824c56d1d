/* labels: unit, property
   Sizes that are decisions: a mixture with one-hot weights is the path, a path is the network that
   is extracted, counts and prices are those of that network. */
#include "hwcost/cost.h"
#include "supernet/frozen.h"
#include "supernet/tiny.h"

#include <math.h>

static const char *const texts[] = {TINY_WIDTHS, TINY_SIDES, TINY_HIDDEN, TINY_KERNELS};
enum { TEXTS = 4 };

/* ---- mixtures ---- */
typedef struct run {
    lode_space *space;
    lode_supernet *net;
    lode_tensor *x;
    lode_tape *tape;
} run;

static void run_open(run *r, const char *text, lode_dtype dtype) {
    r->space = tiny_space(text);
    assert_ok(lode_supernet_create(r->space, NULL, dtype, 3, &r->net));
    tiny_disturb(r->net);
    r->x = tiny_input(r->space, dtype, 4, 1);
    assert_ok(lode_tape_create(LODE_TRAIN, NULL, &r->tape));
}

static void run_close(run *r) {
    lode_tape_destroy(r->tape);
    lode_tensor_release(r->x);
    lode_supernet_destroy(r->net);
    lode_space_release(r->space);
}

/* Weights of every decision, one-hot at `a` or uniform (a NULL); n_samples 0: one for the batch. */
static void run_weigh(run *r, const lode_arch *a, int64_t n_samples, lode_choice *choice) {
    for (int d = 0; d < lode_space_n_decisions(r->space); d++) {
        const int64_t k = lode_space_decision(r->space, d)->n_options;
        const lode_shape shape = n_samples > 0 ? LODE_SHAPE2(n_samples, k) : LODE_SHAPE1(k);
        lode_tensor *w;
        assert_ok(lode_tensor_zeros(NULL, r->x->dtype, &shape, LODE_CONTIGUOUS, &w));
        for (int64_t i = 0; i < lode_tensor_count(w); i++)
            lode_put(w, i, a == NULL ? 1.0 / (double)k : i % k == a->option[d]);
        choice[d] = (lode_choice){.active = (UINT64_C(1) << k) - 1,
                                  .weights = lode_tape_constant(r->tape, w)};
        lode_tensor_release(w);
    }
}

/* Logits on the TRAIN tape; release. */
static lode_tensor *run_forward(run *r, const lode_choice *choice, lode_forward_options options) {
    lode_var *y =
        lode_supernet_forward(r->tape, r->net, lode_tape_constant(r->tape, r->x), choice, &options);
    assert_ok(lode_tape_status(r->tape));
    return lode_tensor_retain(y->value);
}

static double difference(const lode_tensor *a, const lode_tensor *b) {
    double most = 0;
    for (int64_t i = 0; i < lode_tensor_count(a); i++)
        most = fmax(most, fabs(lode_at(a, i) - lode_at(b, i)));
    return most;
}

/* Weights that are one-hot, for the batch or for each sample, everything active: the path itself.
   The batch's statistics see the same numbers where channels are masked and where they are absent.
 */
static void one_hot_is_the_path(void **state) {
    (void)state;
    for (int i = 0; i < 2 * TEXTS - 1; i++) { /* kernels are not mixed per sample */
        run r;
        lode_rng rng = lode_rng_stream(2, LODE_RNG_TEST, 0);
        run_open(&r, texts[i / 2], LODE_F64);
        for (int k = 0; k < 12; k++) {
            lode_arch a;
            lode_choice hard[LODE_MAX_DECISIONS], soft[LODE_MAX_DECISIONS];
            lode_forward_options options = {.bn = LODE_BN_BATCH};
            if (k % 3 == 1) options.fuse = LODE_FUSE_NEVER;
            if (k % 3 == 2) options.remat = LODE_REMAT_LAYER;
            lode_tape_reset(r.tape);
            assert_ok(lode_space_sample(r.space, &rng, &a));
            lode_choice_from_arch(&a, hard);
            run_weigh(&r, &a, i % 2 == 1 ? 4 : 0, soft);
            lode_tensor *path = run_forward(&r, hard, options);
            lode_tensor *mixed = run_forward(&r, soft, options);
            assert_true(difference(path, mixed) < 1e-12);
            lode_tensor_release(path);
            lode_tensor_release(mixed);
        }
        run_close(&r);
    }
}

/* The same for a true mixture: fused or not, per batch or the same weights per sample. */
static void mixtures_agree(void **state) {
    (void)state;
    for (int i = 0; i < TEXTS; i++) {
        run r;
        lode_choice choice[LODE_MAX_DECISIONS];
        run_open(&r, texts[i], LODE_F64);
        run_weigh(&r, NULL, 0, choice);
        lode_tensor *fused = run_forward(&r, choice, (lode_forward_options){.bn = LODE_BN_BATCH});
        lode_tensor *parts = run_forward(
            &r, choice, (lode_forward_options){.bn = LODE_BN_BATCH, .fuse = LODE_FUSE_NEVER});
        assert_true(difference(fused, parts) < 1e-12);
        run_weigh(&r, NULL, 4, choice);
        if (i < TEXTS - 1) {
            lode_tensor *each =
                run_forward(&r, choice, (lode_forward_options){.bn = LODE_BN_BATCH});
            assert_true(difference(fused, each) < 1e-12);
            lode_tensor_release(each);
        } else {
            assert_null(lode_supernet_forward(r.tape, r.net, lode_tape_constant(r.tape, r.x),
                                              choice, NULL));
            assert_fails(lode_tape_status(r.tape), LODE_ERR_UNSUPPORTED, "arch.noise: batch");
        }
        lode_tensor_release(fused);
        lode_tensor_release(parts);
        run_close(&r);
    }
}

/* ---- networks ---- */
/* Statistics that were calibrated within the supernet are those of the extracted network. */
static void calibrate(lode_supernet *net, const lode_arch *a, lode_tensor *x) {
    assert_ok(lode_supernet_calibrate_begin(net));
    lode_tensor_release(tiny_logits(NULL, net, a, x, LODE_BN_CALIBRATE));
    assert_ok(lode_supernet_calibrate_end(net));
}

static void calibrated_like_the_extracted(void **state) {
    (void)state;
    for (int i = 0; i < TEXTS; i++) {
        run r;
        lode_rng rng = lode_rng_stream(4, LODE_RNG_TEST, 0);
        run_open(&r, texts[i], LODE_F32);
        for (int k = 0; k < 8; k++) {
            lode_arch a;
            lode_supernet *sub;
            assert_ok(lode_space_sample(r.space, &rng, &a));
            assert_ok(lode_supernet_extract(r.net, &a, &sub));
            calibrate(r.net, &a, r.x);
            calibrate(sub, NULL, r.x);
            lode_tensor *want = tiny_logits(NULL, r.net, &a, r.x, LODE_BN_RUNNING);
            lode_tensor *got = tiny_logits(NULL, sub, NULL, r.x, LODE_BN_RUNNING);
            assert_true(lode_tensor_equal_bits(want, got));
            lode_tensor_release(want);
            lode_tensor_release(got);
            lode_supernet_destroy(sub);
        }
        run_close(&r);
    }
}

/* A path can be frozen although its weights are parts of others. */
static void frozen_like_the_path(void **state) {
    (void)state;
    lode_dispatch *d;
    assert_ok(lode_dispatch_create(NULL, &d));
    for (int i = 0; i < 2 * TEXTS; i++) {
        run r;
        lode_arch a;
        lode_frozen *frozen;
        lode_tensor *got;
        lode_rng rng = lode_rng_stream(6, LODE_RNG_TEST, (uint64_t)i);
        run_open(&r, texts[i / 2], LODE_F32);
        assert_ok(lode_space_sample(r.space, &rng, &a));
        assert_ok(lode_frozen_create(r.net, &a, 4, LODE_FORM_FOLDED, d, &frozen));
        assert_ok(lode_frozen_run(frozen, r.x, NULL, &got));
        lode_tensor *want = tiny_logits(lode_dispatch_runner(d), r.net, &a, r.x, LODE_BN_RUNNING);
        assert_true(difference(want, got) < 1e-4);
        lode_tensor_release(want);
        lode_frozen_destroy(frozen);
        run_close(&r);
    }
    lode_dispatch_destroy(d);
}

/* What an architecture costs within the supernet is what its own network costs. */
static void prices_of_the_extracted(void **state) {
    static const char *const models[] = {"macs", "params", "activation_bytes"};
    (void)state;
    for (int i = 0; i < 3 * TEXTS; i++) {
        run r;
        lode_cost *cost, *own;
        lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, 0);
        run_open(&r, texts[i / 3], LODE_F32);
        assert_ok(lode_cost_open(models[i % 3], r.net, 1, &cost));
        for (int k = 0; k < 20; k++) {
            lode_arch a;
            lode_supernet *sub;
            double hard, alone;
            int64_t elements;
            assert_ok(lode_space_sample(r.space, &rng, &a));
            assert_ok(lode_supernet_create(r.space, &a, LODE_F32, 1, &sub));
            assert_ok(lode_cost_open(models[i % 3], sub, 1, &own));
            assert_ok(lode_cost_hard(cost, &a, &hard));
            assert_ok(lode_cost_hard(own, NULL, &alone));
            assert_true(hard == alone && hard > 0);
            assert_ok(lode_supernet_count_parameters(sub, NULL, &elements));
            assert_true(i % 3 != 1 || alone == (double)elements);
            lode_cost_close(own);
            lode_supernet_destroy(sub);
        }
        lode_cost_close(cost);
        run_close(&r);
    }
}

/* Methods D8: E[C_in] = 12, E[C_out] = 7, a 3x3 kernel, 100 pixels: 75,600; and the width of A4,
   2 or 4 weighted 0.25 and 0.75: 3.5 channels. */
static void expected_products(void **state) {
    (void)state;
    lode_space *s = tiny_space("name: t\ninput: {channels: 1, size: 10}\nclasses: 2\nlayers:\n"
                               "  - {op: conv, kernel: 1, channels: {choices: [8, 16]}}\n"
                               "  - {op: conv, kernel: 3, channels: {choices: [6, 8]}}\n"
                               "  - {op: conv, kernel: 1, channels: {choices: [2, 4]}}\n"
                               "  - {op: conv, kernel: 1, channels: 1}\n"
                               "  - {op: global_pool}\n  - {op: linear}\n");
    lode_supernet *net;
    lode_cost *cost;
    double value, in[2] = {0.5, 0.5}, out[2] = {0.5, 0.5}, last[2] = {0.25, 0.75};
    const double *const p[3] = {in, out, last};
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 1, &net));
    assert_ok(lode_cost_open("macs", net, 1, &cost));
    assert_ok(lode_cost_expected_value(cost, p, &value, NULL));
    assert_near(value, 1200 + 75600 + 100 * 7 * 3.5 + 100 * 3.5 + 2, 1e-12);
    lode_cost_close(cost);
    lode_supernet_destroy(net);
    lode_space_release(s);
}

/* ---- spaces ---- */
/* Sizes of options that are not chosen make no other network. */
static void counts(void **state) {
    (void)state;
    lode_space *s = tiny_space(TINY_KERNELS);
    lode_arch a, b;
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 0);
    assert_int_equal(lode_space_n_decisions(s), 1 + 4 * 4 + 2);
    /* layers of 6 + 2 blocks, where the shape stays 6 + 2 + 1; 2 widths; 3 kernels, 2 expansions */
    assert_near(lode_space_log10_count(s), log10(8.0 * 9 * 8 * 9 * 2 * 3 * 2), 1e-12);
    for (int i = 0; i < 50; i++) {
        assert_ok(lode_space_sample(s, &rng, &a));
        b = lode_arch_canonical(s, &a);
        assert_true(lode_arch_equal(&a, &b));
    }
    const int skip = lode_space_find_decision(s, "layer2");
    const int kernel = lode_space_find_decision(s, "layer2.mb.kernel");
    assert_true(skip >= 0 && kernel >= 0);
    assert_string_equal(lode_space_decision(s, kernel)->option[1], "k5");
    a.option[skip] = (uint8_t)lode_space_find_option(s, skip, "skip");
    b = a;
    a.option[kernel] = 0;
    b.option[kernel] = 1;
    assert_true(lode_arch_hash(s, &a) == lode_arch_hash(s, &b));
    lode_space_release(s);
    lode_space_options shipped = {.name = "fbnetv2-cifar"};
    assert_ok(lode_space_load(&shipped, &s));
    assert_near(lode_space_log10_count(s), log10(pow(6, 8) * 25 * 3 * 5 * 5 * 3 * 3), 1e-12);
    lode_space_release(s);
    /* Five blocks in 11 layers, and the four that are no skip in 3 (the paper: 5 per layer). */
    shipped.name = "single-path-cifar";
    assert_ok(lode_space_load(&shipped, &s));
    assert_near(lode_space_log10_count(s), 11 * log10(5) + 3 * log10(4), 1e-12);
    lode_space_release(s);
    lode_space_options wide = {.width = 2}; /* multiplied widths stay apart, or are refused */
    assert_fails(lode_space_parse(TINY_WIDTHS, "t", &wide, &s), LODE_ERR_CONFIG,
                 "makes two choices the same, 8 channels");
    const char *hidden = "name: t\ninput: {channels: 8, size: 4}\nclasses: 3\nlayers:\n"
                         "  - {name: a, op: mbconv, hidden: {choices: [8, %d]}}\n"
                         "  - {op: global_pool}\n  - {op: linear}\n";
    char *text = lode_format(hidden, 24);
    assert_ok(lode_space_parse(text, "t", &wide, &s));
    assert_string_equal(lode_space_decision(s, 0)->name, "a.hidden");
    assert_string_equal(lode_space_decision(s, 0)->option[1], "h48");
    lode_space_release(s);
    lode_free(text);
    text = lode_format(hidden, 9);
    wide.width = 0.5;
    assert_fails(lode_space_parse(text, "t", &wide, &s), LODE_ERR_CONFIG,
                 "makes two choices the same, 8 channels");
    lode_free(text);
}

/* space.size is the largest side; a network at a lower one is that much cheaper. */
static void sides(void **state) {
    (void)state;
    lode_space *s;
    lode_space_options options = {.size = 16};
    lode_space_summary m;
    assert_ok(lode_space_parse(TINY_SIDES, "t", &options, &s));
    const lode_decision *side = lode_space_decision(s, 0);
    assert_string_equal(side->name, "resolution");
    assert_int_equal(lode_space_resolved(s).size, 16);
    assert_true(side->value[0] == 8 && side->value[1] == 12 && side->value[2] == 16);
    assert_ok(lode_space_summarize(s, &m));
    assert_int_equal(m.smallest.option[0], 0);
    assert_int_equal(m.largest.option[0], 2);
    lode_space_release(s);
    options.size = 2;
    assert_fails(lode_space_parse(TINY_SIDES, "t", &options, &s), LODE_ERR_CONFIG,
                 "leaves no room for 3 choices");
    assert_fails(lode_space_parse("name: t\ninput: {size: {choices: [4, 8]}}\nclasses: 3\nlayers: "
                                  "[{name: resolution, op: conv}]\n",
                                  "t", NULL, &s),
                 LODE_ERR_CONFIG, "the name of the input's block");
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *layers, *words;
    } bad[] = {
        {"[{op: conv, channels: {choices: []}}]", "choices: [SMALL"},
        {"[{op: conv, channels: {choices: [4, 2]}}]", "2 comes late"},
        {"[{op: conv, channels: {choices: [2.5]}}]", "whole number from 1"},
        {"[{op: conv, channels: {choices: [x]}}]", "whole number from 1"},
        {"[{op: conv, channels: {choices: [2], of: 3}}, {op: global_pool}, {op: linear}]", "`of`"},
        {"[{op: conv, kernel: {choices: [3, 5]}}]", "should be one value"},
        {"[{op: mbconv, kernel: {choices: [3, 4]}}]", "kernel is 4"},
        {"[{op: mbconv, expand: {choices: [1, 99]}}]", "from 0.125 to 64"},
        {"[{op: mbconv, expand: {choices: [1, 2], decision: e}}, {op: global_pool}, {op: linear}]",
         "`decision`"},
        {"[{op: conv, channels: {choices: [2, 4], decision: a}}, "
         "{op: conv, channels: {choices: [2, 6], decision: a}}]",
         "`a` is there already"},
        {"[{op: conv, channels: {choices: [2, 4]}}, {op: sep_conv, channels: 4}]",
         "sep_conv cannot stand where a number of channels is a decision"},
        {"[{op: conv, channels: {choices: [2, 4]}}, {op: conv, groups: 2, channels: 4}]",
         "groups is 2"},
        {"[{op: conv, channels: {choices: [2, 4]}}, {op: max_pool, bn: true}]", "bn is set"},
        {"[{op: conv, channels: {choices: [2, 4]}}, {op: skip, channels: 4}]",
         "skip cannot change the shape"},
        {"[{op: conv, channels: {choices: [2, 4], decision: layer1}}, {choice: s}]",
         "a decision `layer1` already"},
        {"[{op: global_pool}, {op: linear, channels: {choices: [2, 3]}}]",
         "outputs of a linear layer"},
        {"[{op: mbconv, hidden: {choices: [0, 8]}}]", "whole number from 1"},
        {"[{op: basic, kernel: {choices: [1, 3]}}]", "should be one value"},
        {"[{op: basic, kernel: 2}]", "kernel is 2"},
        {"[{op: mbconv, kernel: {choices: [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]}, expand: "
         "{choices: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]}, channels: {choices: [1, 2, 3, 4, 5, "
         "6, 7, 8, 9, 10, 11, 12]}}, {op: mbconv, kernel: {choices: [1, 3, 5, 7, 9, 11, 13, 15, "
         "17, 19, 21, 23]}, expand: {choices: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]}, channels: "
         "{choices: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]}}]",
         "different blocks"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lode_space *s;
        char *text =
            lode_format("name: t\ninput: {channels: 4, size: 8}\nclasses: 3\nsets: {s: {a: {op: "
                        "mbconv}}}\nlayers: %s\n",
                        bad[i].layers);
        assert_non_null(text);
        assert_fails(lode_space_parse(text, "t", NULL, &s), LODE_ERR_CONFIG, bad[i].words);
        lode_free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_hot_is_the_path),
        cmocka_unit_test(mixtures_agree),
        cmocka_unit_test(calibrated_like_the_extracted),
        cmocka_unit_test(frozen_like_the_path),
        cmocka_unit_test(prices_of_the_extracted),
        cmocka_unit_test(expected_products),
        cmocka_unit_test(counts),
        cmocka_unit_test(sides),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("supernet/sizes", tests, NULL, NULL);
}
