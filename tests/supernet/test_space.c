/* test_space.c: shipped spaces, counts, sampling, overrides, and what a bad text is told. */
#include "core/platform.h"
#include "supernet/supernet.h"
#include "support/support.h"

#include <math.h>

static lode_space *load(const char *name) {
    lode_space *s;
    lode_space_options options = {.name = name};
    assert_ok(lode_space_load(&options, &s));
    return s;
}

/* ---- shipped spaces ---- */
static void test_names(void **state) {
    (void)state;
    char **names;
    int64_t n;
    const char *want[] = {"darts",         "fbnet",          "fbnet-cifar",
                          "fbnet-fashion", "nasbench-macro", "nasbench201"};
    assert_ok(lode_space_names(&names, &n));
    for (int i = 0; i < 6; i++) {
        bool found = false;
        for (int64_t k = 0; k < n; k++) found = found || strcmp(names[k], want[i]) == 0;
        assert_true(found);
    }
    for (int64_t k = 0; k < n; k++) { /* every shipped file is a space of its own name */
        assert_true(k == 0 || strcmp(names[k - 1], names[k]) < 0);
        lode_space *s = load(names[k]);
        assert_string_equal(lode_space_name(s), names[k]);
        assert_true(strlen(lode_space_about(s)) > 10);
        lode_space_release(s);
    }
    lode_names_free(names, n);
    lode_space_options typo = {.name = "fbnet-cifr"};
    lode_space *s;
    assert_fails(lode_space_load(&typo, &s), LODE_ERR_NOT_FOUND, "did you mean `fbnet-cifar`");
    assert_null(s);
}

static void test_counts(void **state) {
    (void)state;
    /* fbnet: six of the 22 layers change the shape and have no skip */
    struct {
        const char *name;
        int n_decisions;
        double log10_count;
    } want[] = {
        {"fbnet", 22, 16 * log10(9) + 6 * log10(8)},
        {"fbnet-cifar", 20, 17 * log10(9) + 3 * log10(8)},
        {"fbnet-fashion", 7, 5 * log10(6) + 2 * log10(5)},
        {"nasbench-macro", 8, log10(6561)},
        {"nasbench201", 6, log10(15625)},
        {"channel-mobilenet", 7, log10(16384)},
        {"channel-resnet", 7, log10(16384)},
        /* per cell: nodes with 2, 3, 4, 5 edges keep 2, each with one of 7 operations */
        {"darts", 28, 2 * log10(1 * 3 * 6 * 10 * pow(49, 4))},
    };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        lode_space *s = load(want[i].name);
        assert_int_equal(lode_space_n_decisions(s), want[i].n_decisions);
        assert_near(lode_space_log10_count(s), want[i].log10_count, 1e-12);
        lode_space_release(s);
    }
}

static void test_fbnet_table(void **state) {
    (void)state;
    lode_space *s = load("fbnet");
    const int64_t out[] = {16, 16,  24,  24,  24,  24,  32,  32,  32,  32,  64,   64,   64,
                           64, 112, 112, 112, 112, 184, 184, 184, 184, 352, 1504, 1504, 1000};
    const int64_t stride[] = {2, 1, 2, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1,
                              1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1};
    assert_int_equal(lode_space_n_layers(s), 26);
    for (int i = 0; i < 26; i++) {
        lode_layer_info l = lode_space_layer(s, i);
        assert_int_equal(l.out, out[i]);
        assert_int_equal(l.stride, stride[i]);
    }
    assert_string_equal(lode_space_decision(s, 0)->name, "layer1");
    assert_int_equal(lode_space_decision(s, 0)->n_options, 9);
    assert_int_equal(lode_space_decision(s, 1)->n_options, 8);
    assert_int_equal(lode_space_find_option(s, 1, "skip"), -1);
    assert_int_equal(lode_space_find_decision(s, "layer22"), 21);
    assert_int_equal(lode_space_find_decision(s, "layer23"), -1);
    assert_null(lode_space_decision(s, 22));
    lode_space_release(s);
}

/* ---- sampling ---- */
static void test_sample_uniform(void **state) {
    (void)state;
    lode_space *s = load("nasbench-macro");
    lode_rng rng = lode_rng_stream(3, LODE_RNG_TEST, 0);
    int count[8][3] = {{0}};
    enum { N = 6000 };
    for (int i = 0; i < N; i++) {
        lode_arch a;
        assert_ok(lode_space_sample(s, &rng, &a));
        assert_ok(lode_space_check(s, &a));
        for (int d = 0; d < 8; d++) count[d][a.option[d]]++;
    }
    double bound = 5 * sqrt(N * (1.0 / 3) * (2.0 / 3));
    for (int d = 0; d < 8; d++)
        for (int k = 0; k < 3; k++) assert_true(fabs(count[d][k] - N / 3.0) < bound);
    lode_space_release(s);
}

/* Each node of a DARTS cell keeps two edges; every pair of the last node's ten is equally likely.
 */
static void test_sample_keeps(void **state) {
    (void)state;
    lode_space *s = load("darts");
    lode_rng rng = lode_rng_stream(4, LODE_RNG_TEST, 0);
    int pairs[32] = {0};
    enum { N = 4000 };
    const int first[] = {0, 2, 5, 9, 14};
    for (int i = 0; i < N; i++) {
        lode_arch a;
        assert_ok(lode_space_sample(s, &rng, &a));
        assert_ok(lode_space_check(s, &a));
        int mask = 0;
        for (int cell = 0; cell < 2; cell++)
            for (int node = 0; node < 4; node++) {
                int kept = 0;
                for (int e = first[node]; e < first[node + 1]; e++) {
                    kept += a.option[14 * cell + e] != 0;
                    if (cell == 0 && node == 3 && a.option[e] != 0) mask |= 1 << (e - 9);
                }
                assert_int_equal(kept, 2);
            }
        pairs[mask]++;
    }
    int seen = 0;
    for (int m = 0; m < 32; m++) {
        if (pairs[m] == 0) continue;
        seen++;
        assert_true(fabs(pairs[m] - N / 10.0) < 5 * sqrt(N * 0.1 * 0.9));
    }
    assert_int_equal(seen, 10);
    lode_arch all = {.n = 28};
    memset(all.option, 1, 28);
    assert_fails(lode_space_check(s, &all), LODE_ERR_INVALID, "keeps 2");
    all.option[3] = 8;
    assert_fails(lode_space_check(s, &all), LODE_ERR_INVALID, "option 8 of decision `normal.3<-1`");
    all.n = 27;
    assert_fails(lode_space_check(s, &all), LODE_ERR_INVALID, "28 decisions");
    lode_space_release(s);
}

/* ---- options ---- */
static void test_options(void **state) {
    (void)state;
    lode_space *s;
    lode_space_options wide = {.name = "fbnet", .width = 0.5, .classes = 100, .size = 96};
    assert_ok(lode_space_load(&wide, &s));
    assert_int_equal(lode_space_layer(s, 0).out, 8);
    assert_int_equal(lode_space_layer(s, 2).out, 16);   /* 12 rounds up to 16 */
    assert_int_equal(lode_space_layer(s, 22).out, 176); /* 352 / 2 */
    assert_int_equal(lode_space_layer(s, 25).out, 100);
    lode_space_options r = lode_space_resolved(s);
    assert_int_equal(r.classes, 100);
    assert_int_equal(r.size, 96);
    assert_int_equal(r.channels, 3);
    lode_space_release(s);

    lode_space_options eval = {.name = "darts", .repeats = 6, .cell_channels = 36};
    assert_ok(lode_space_load(&eval, &s));
    assert_int_equal(lode_space_n_layers(s), 1 + 20 + 2);
    assert_int_equal(lode_space_layer(s, 0).out, 108);
    assert_int_equal(lode_space_layer(s, 7).out, 4 * 72); /* the first reduction */
    assert_int_equal(lode_space_n_decisions(s), 28);
    lode_space_release(s);

    lode_space_options odd = {.name = "fbnet", .cell_channels = 8};
    assert_fails(lode_space_load(&odd, &s), LODE_ERR_CONFIG, "no cells");
    lode_space_options none = {0};
    assert_fails(lode_space_load(&none, &s), LODE_ERR_INVALID, "space.name");
}

/* ---- bad texts ---- */
#define HEAD "name: t\ninput: {channels: 3, size: 8}\nclasses: 4\n"
#define SETS "sets:\n  s:\n    a: {op: conv}\n    n: {op: none}\n"
#define TAIL "  - {op: global_pool}\n  - {op: linear}\n"

static void test_errors(void **state) {
    (void)state;
    struct {
        const char *text, *words;
    } bad[] = {
        {"", "name"},
        {"[1, 2]", "a map of keys"},
        {"name: t\n", "input"},
        {HEAD "layers: 3\n", "list `layers`"},
        {HEAD "layers: []\n", "list `layers`"},
        {HEAD "layers:\n  - {op: conv, channels: 8, kernl: 3}\n" TAIL,
         "t.yaml:5: key `kernl`: unknown key; did you mean `kernel`"},
        {HEAD "layers:\n  - {op: convv, channels: 8}\n" TAIL, "did you mean `conv`"},
        {HEAD "layers:\n  - {op: conv, channels: 8, kernel: 4}\n" TAIL, "odd"},
        {HEAD "layers:\n  - {op: conv, channels: 8, kernel: x}\n" TAIL, "t.yaml:5"},
        {HEAD "layers:\n  - {op: conv, channels: 8, groups: 2}\n" TAIL, "must divide 3"},
        {HEAD "layers:\n  - {op: conv, channels: 8, act: rellu}\n" TAIL, "relu"},
        {HEAD "layers:\n  - {op: conv, channels: 8, stride: 0}\n" TAIL, "between 1 and 64"},
        {HEAD "layers:\n  - {channels: 8}\n" TAIL, "one of the keys `op`, `choice`, `cell`"},
        {HEAD "layers:\n  - {op: conv, channels: 8}\n", "8 outputs, and there are 4 classes"},
        {HEAD "layers:\n  - {op: skip, channels: 8}\n" TAIL, "skip cannot change the shape"},
        {HEAD "layers:\n  - {op: max_pool, channels: 8}\n" TAIL, "cannot change the channels"},
        {HEAD "layers:\n  - {op: max_pool, kernel: 2}\n" TAIL, "even kernel must equal the stride"},
        {HEAD "layers:\n  - {op: factorized_reduce, channels: 8}\n" TAIL, "has stride 2"},
        {HEAD "layers:\n  - {op: none}\n" TAIL, "not a layer"},
        {HEAD "layers:\n  - {name: a.b, op: conv}\n" TAIL, "`a.b` is no name"},
        {HEAD "layers:\n  - {name: a, op: conv}\n  - {name: a, op: conv}\n" TAIL,
         "two layers are called `a`"},
        {HEAD "layers:\n  - {choice: s, channels: 8}\n" TAIL, "no set `s`"},
        {HEAD SETS "layers:\n  - {choice: s, channels: 8}\n" TAIL, "which only cells can have"},
        {HEAD SETS "cells:\n  c: {nodes: 2}\nlayers:\n" TAIL, "key `set` is missing"},
        {HEAD SETS "cells:\n  c: {nodes: 2, set: s, keep: 2}\nlayers:\n" TAIL,
         "keep is 2, and node 1 has 1"},
        {HEAD SETS "cells:\n  c: {nodes: 2, set: s, edges: [\"1<-1\"]}\nlayers:\n" TAIL,
         "edges come from lower numbers"},
        {HEAD SETS "cells:\n  c: {nodes: 2, set: s, edges: [\"99999999999<-0\"]}\nlayers:\n" TAIL,
         "an edge is written"},
        {HEAD SETS "cells:\n  c: {nodes: 2, set: s, edges: [\"1-0\"]}\nlayers:\n" TAIL,
         "an edge is written"},
        {HEAD SETS "cells:\n  c: {nodes: 2, set: s, edges: [\"2<-0\", \"1<-0\"]}\nlayers:\n" TAIL,
         "comes late"},
        {HEAD SETS "cells:\n  c: {nodes: 2, set: s, edges: [\"1<-0\"]}\nlayers:\n" TAIL,
         "node 2 has 0 edges"},
        {HEAD SETS "cells:\n  c: {nodes: 2, set: s}\nlayers:\n  - {cell: c}\n" TAIL,
         "needs the key `channels`"},
        {HEAD SETS "cells:\n  c: {nodes: 2, set: s}\nlayers:\n  - {cell: c, channels: 8}\n" TAIL,
         "wants 8 channels and gets 3"},
        {HEAD SETS "cells:\n  c: {nodes: 2, set: s}\nlayers:\n  - {cell: d, channels: 8}\n" TAIL,
         "no cell `d`"},
        {HEAD SETS "cells:\n  c: {inputs: 2, set: s, preprocess: false}\nlayers:\n" TAIL,
         "needs `preprocess: true`"},
        {HEAD "code: cell\nlayers:\n" TAIL, "spaces of one cell"},
        {HEAD "code: roman\nlayers:\n" TAIL, "text|digits|cell"},
        {HEAD "bn: {affin: true}\nlayers:\n" TAIL, "did you mean `affine`"},
        {HEAD "sets: {s: {1a: {op: skip}}}\nlayers:\n" TAIL, "`1a` is no name"},
        {HEAD "sets: {s: {a: {op: none}, b: {op: none}}}\nlayers:\n" TAIL, "second `none`"},
        {HEAD "sets: {s: {a: {op: skip, at_shape_change: run}}}\nlayers:\n" TAIL,
         "keep, drop, or a block"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lode_space *s = NULL;
        lode_status status = lode_space_parse(bad[i].text, "t.yaml", NULL, &s);
        if (status != LODE_ERR_CONFIG || strstr(lode_last_error(), bad[i].words) == NULL)
            fail_msg("text %zu: %s, \"%s\" lacks \"%s\"", i, lode_status_name(status),
                     status != LODE_OK ? lode_last_error() : "", bad[i].words);
        assert_null(s);
    }
}

/* ---- memory ---- */
static void test_no_memory(void **state) {
    (void)state;
    lode_space *s = load("darts");
    char *text = lode_strdup(lode_space_text(s));
    lode_space_release(s);
    int64_t before = lode_memory_get_stats().n_blocks;
    for (int64_t n = 0;; n += 1 + n / 16) {
        test_fail_allocation(n);
        lode_status status = lode_space_parse(text, "darts", NULL, &s);
        test_fail_allocation(-1);
        if (status == LODE_OK) break;
        assert_int_equal(status, LODE_ERR_NO_MEMORY);
        assert_null(s);
        assert_int_equal(lode_memory_get_stats().n_blocks, before);
    }
    assert_ptr_equal(lode_space_retain(s), s);
    lode_space_release(s);
    lode_space_release(s);
    assert_int_equal(lode_memory_get_stats().n_blocks, before);
    lode_free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_fbnet_table),  cmocka_unit_test(test_sample_uniform),
        cmocka_unit_test(test_sample_keeps), cmocka_unit_test(test_options),
        cmocka_unit_test(test_errors),       cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("supernet/space", tests, NULL, NULL);
}
