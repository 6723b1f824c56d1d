/* test_supernet.c: what a forward pass promises: paths and mixtures, blocks and their reads, modes
   of batch normalisation, memory. */
#include "supernet/tiny.h"
#include "tensor/device.h"

#include <math.h>

static const char *const texts[] = {TINY_CHAIN, TINY_CELLS};

/* ---- mixtures ---- */
/* Weights [K] with a one at `option`. */
static lode_var *one_hot(lode_tape *t, int n, int option) {
    lode_tensor *w;
    lode_shape shape = LODE_SHAPE1(n);
    assert_ok(lode_tensor_zeros(lode_cpu_device(), LODE_F32, &shape, LODE_CONTIGUOUS, &w));
    lode_put(w, option, 1);
    lode_var *v = lode_tape_constant(t, w);
    lode_tensor_release(w);
    return v;
}

/* All candidates run, one counts: the same logits as that path alone. */
static void test_one_hot(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        lode_space *s = tiny_space(texts[i]);
        lode_supernet *net;
        lode_tape *t;
        assert_ok(lode_supernet_create(s, NULL, LODE_F32, 1, &net));
        assert_ok(lode_tape_create(LODE_EVAL, NULL, &t));
        tiny_disturb(net);
        lode_tensor *x = tiny_input(s, LODE_F32, 2, 0);
        lode_rng rng = lode_rng_stream(2, LODE_RNG_TEST, 0);
        for (int k = 0; k < 5; k++) {
            lode_arch a;
            lode_choice choice[LODE_MAX_DECISIONS] = {{0}};
            lode_forward_options options = {.bn = LODE_BN_RUNNING};
            assert_ok(lode_space_sample(s, &rng, &a));
            lode_tape_reset(t);
            for (int d = 0; d < a.n; d++) {
                int n = lode_space_decision(s, d)->n_options;
                choice[d].active = ((uint64_t)1 << n) - 1;
                choice[d].weights = one_hot(t, n, a.option[d]);
            }
            lode_var *y = lode_supernet_forward(t, net, lode_tape_constant(t, x), choice, &options);
            assert_ok(lode_tape_status(t));
            lode_tensor *want = tiny_logits(NULL, net, &a, x, LODE_BN_RUNNING);
            for (int64_t e = 0; e < lode_tensor_count(want); e++)
                assert_near(lode_at(y->value, e), lode_at(want, e), 1e-6);
            lode_tensor_release(want);
        }
        lode_tensor_release(x);
        lode_tape_destroy(t);
        lode_supernet_destroy(net);
        lode_space_release(s);
    }
}

static void test_bad_calls(void **state) {
    (void)state;
    lode_space *s = tiny_space(TINY_CHAIN);
    lode_supernet *net, *f16;
    lode_tape *t;
    lode_choice choice[3] = {{.active = 1}, {.active = 1}, {.active = 1}};
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 1, &net));
    assert_fails(lode_supernet_create(s, NULL, LODE_BF16, 1, &f16), LODE_ERR_DTYPE, "bf16");
    assert_ok(lode_tape_create(LODE_EVAL, NULL, &t));
    lode_tensor *x = tiny_input(s, LODE_F32, 2, 0), *y = tiny_input(s, LODE_F64, 2, 0);
    struct {
        uint64_t active;
        const char *words;
    } bad[] = {{0, "`layer2`: no option is active"},
               {16, "one that it does not have"},
               {3, "several options without weights"}};
    for (int i = 0; i < 3; i++) {
        lode_tape_reset(t);
        choice[1].active = bad[i].active;
        assert_null(lode_supernet_forward(t, net, lode_tape_constant(t, x), choice, NULL));
        assert_fails(lode_tape_status(t), LODE_ERR_INVALID, bad[i].words);
    }
    lode_tape_reset(t);
    assert_null(lode_supernet_forward(t, net, lode_tape_constant(t, x), NULL, NULL));
    assert_fails(lode_tape_status(t), LODE_ERR_INVALID, "no choices given");
    lode_tape_reset(t);
    assert_null(lode_supernet_forward(t, net, lode_tape_constant(t, y), choice, NULL));
    assert_fails(lode_tape_status(t), LODE_ERR_DTYPE, "input is f64, the network f32");
    lode_tape_reset(t);
    lode_tensor *narrow;
    assert_ok(lode_tensor_slice(x, 1, 0, 1, 1, &narrow));
    assert_null(lode_supernet_forward(t, net, lode_tape_constant(t, narrow), choice, NULL));
    assert_fails(lode_tape_status(t), LODE_ERR_SHAPE, "space.channels");
    lode_tensor_release(narrow);
    lode_arch a = {.n = 3, .option = {0, 1, 9}};
    assert_fails(lode_supernet_trace(net, &a, 1, false, t), LODE_ERR_INVALID, "LODE_TRACE");
    lode_tensor_release(x);
    lode_tensor_release(y);
    lode_tape_destroy(t);
    lode_supernet_destroy(net);
    lode_space_release(s);
}

/* ---- blocks ---- */
/* The block a call belongs to, and a hash of all its calls in a trace. */
static int block_of(const lode_supernet *net, const char *label) {
    size_t n = strcspn(label, "/");
    for (int i = 0; i < lode_supernet_n_blocks(net); i++) {
        const char *name = lode_supernet_block(net, i)->name;
        if (strlen(name) == n && strncmp(name, label, n) == 0) return i;
    }
    fail_msg("call `%s` belongs to no block", label);
    return -1;
}

static void hash_blocks(const lode_supernet *net, const lode_tape *trace, uint64_t *hash) {
    memset(hash, 0, (size_t)lode_supernet_n_blocks(net) * sizeof *hash);
    for (int i = 0; i < lode_trace_n(trace); i++) {
        const lode_trace_call *c = lode_trace_get(trace, i);
        uint64_t h = lode_call_hash(&c->call);
        int b = block_of(net, c->label);
        hash[b] = lode_hash_bytes(&h, sizeof h, hash[b]);
    }
}

static bool same_classes(const lode_block *b, const lode_arch *x, const lode_arch *y) {
    for (int i = 0; i < b->n_reads; i++) {
        const lode_block_read *r = &b->reads[i];
        if (r->class_of[x->option[r->decision]] != r->class_of[y->option[r->decision]])
            return false;
    }
    return true;
}

/* Architectures that a block's reads cannot tell apart give it the same calls. */
static void test_reads(void **state) {
    (void)state;
    const char *shipped[] = {"nasbench201", "darts", "fbnet-cifar"};
    const char *small[] = {TINY_CHAIN,   TINY_CELLS, TINY_WIDTHS,
                           TINY_KERNELS, TINY_SIDES, TINY_HIDDEN};
    for (int i = 0; i < 9; i++) {
        lode_space *s;
        lode_supernet *net;
        lode_tape *trace;
        lode_space_options options = {.name = i < 6 ? NULL : shipped[i - 6]};
        if (i < 6)
            s = tiny_space(small[i]);
        else
            assert_ok(lode_space_load(&options, &s));
        assert_ok(lode_supernet_create(s, NULL, LODE_F32, 1, &net));
        assert_ok(lode_tape_create(LODE_TRACE, NULL, &trace));
        int n = lode_supernet_n_blocks(net);
        enum { ARCHS = 25 };
        lode_arch a[ARCHS];
        uint64_t *hash = calloc((size_t)(ARCHS * n), sizeof *hash);
        assert_non_null(hash);
        lode_rng rng = lode_rng_stream(3, LODE_RNG_TEST, 0);
        int equal = 0, different = 0;
        for (int k = 0; k < ARCHS; k++) {
            assert_ok(lode_space_sample(s, &rng, &a[k]));
            /* Unconstrained combinations can be traced too. */
            for (int d = 0; d < a[k].n && k > ARCHS / 2; d++)
                a[k].option[d] =
                    (uint8_t)lode_rng_below(&rng, lode_space_decision(s, d)->n_options);
            assert_ok(lode_supernet_trace(net, &a[k], 2, k % 2 == 1, trace));
            assert_ok(lode_supernet_trace(net, &a[k], 2, false, trace));
            hash_blocks(net, trace, hash + k * n);
        }
        for (int b = 0; b < n; b++) {
            const lode_block *block = lode_supernet_block(net, b);
            for (int x = 0; x < ARCHS; x++)
                for (int y = 0; y < x; y++) {
                    bool same = hash[x * n + b] == hash[y * n + b];
                    if (same_classes(block, &a[x], &a[y])) {
                        equal++;
                        if (!same) fail_msg("block %s reads more than it says", block->name);
                    } else {
                        different += !same;
                    }
                }
        }
        assert_true(equal > 0 && different > 0);
        free(hash);
        lode_tape_destroy(trace);
        lode_supernet_destroy(net);
        lode_space_release(s);
    }
}

/* Strided 1x1 and 1x1: at a shape change `skip` is a convolution, a class of its own. */
static void test_classes(void **state) {
    (void)state;
    lode_space *s = tiny_space(
        "name: t\ninput: {channels: 4, size: 4}\nclasses: 4\n"
        "sets: {s: {a: {op: conv}, b: {op: skip, at_shape_change: {op: conv}}, c: {op: conv, "
        "kernel: 3}}}\n"
        "layers: [{choice: s, channels: 4}, {choice: s, channels: 4, stride: 2}, {op: "
        "global_pool}, {op: linear}]\n");
    lode_supernet *net, *fixed;
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 1, &net));
    const lode_block *one = lode_supernet_block(net, 0), *two = lode_supernet_block(net, 1);
    assert_int_equal(one->reads[0].n_classes, 2); /* a and c are one block, skip another */
    assert_int_equal(one->reads[0].class_of[2], 0);
    assert_int_equal(two->reads[0].n_classes, 1); /* and here all are */
    assert_int_equal(lode_supernet_block(net, 2)->n_reads, 0);
    assert_null(lode_supernet_block(net, 4));
    lode_arch a = {.n = 2, .option = {1, 2}};
    assert_ok(lode_supernet_create(s, &a, LODE_F32, 1, &fixed));
    assert_int_equal(lode_supernet_n_blocks(fixed), 4);
    for (int i = 0; i < 4; i++) assert_int_equal(lode_supernet_block(fixed, i)->n_reads, 0);
    lode_supernet_destroy(fixed);
    lode_supernet_destroy(net);
    lode_space_release(s);
}

/* `none` costs nothing: no zeros are computed, no sums with them; a node that nothing reaches is
   one zero tensor. */
static void test_none(void **state) {
    (void)state;
    struct {
        const char *code;
        int zeros, adds, convs; /* in the 15 cells */
    } want[] = {
        {"000100", 30, 0, 0},   /* a skip to the output; nodes 1 and 2 are zero */
        {"111111", 0, 45, 0},   /* 0 + 1 + 2 additions a cell */
        {"300033", 15, 15, 45}, /* node 2 is zero, and a convolution reads it */
        {"000000", 45, 0, 0},
    };
    lode_space *s;
    lode_supernet *net;
    lode_tape *t;
    lode_space_options options = {.name = "nasbench201"};
    assert_ok(lode_space_load(&options, &s));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &t));
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        lode_arch a;
        int zeros = 0, adds = 0, convs = 0;
        assert_ok(lode_arch_parse(s, want[i].code, &a));
        assert_ok(lode_supernet_create(s, &a, LODE_F32, 1, &net));
        assert_ok(lode_supernet_trace(net, NULL, 1, false, t));
        for (int k = 0; k < lode_trace_n(t); k++) {
            const lode_trace_call *c = lode_trace_get(t, k);
            zeros += c->call.op == &lode_op_zero;
            if (strncmp(c->label, "cell", 4) != 0) continue;
            adds += c->call.op == &lode_op_add;
            convs += c->call.op == &lode_op_conv2d;
        }
        assert_int_equal(zeros, want[i].zeros);
        assert_int_equal(adds, want[i].adds);
        assert_int_equal(convs, want[i].convs);
        lode_supernet_destroy(net);
    }
    lode_tape_destroy(t);
    lode_space_release(s);
}

/* ---- batch normalisation ---- */
static lode_tensor *copy_of(lode_supernet *net, const char *name) {
    lode_tensor *t;
    lode_parameter *p = lode_supernet_find(net, name);
    assert_non_null(p);
    assert_ok(lode_tensor_clone(p->value, &t));
    return t;
}

static void run_train(lode_supernet *net, lode_tensor *x, lode_bn_mode bn) {
    lode_tape *t;
    lode_choice choice[3] = {{.active = 1}, {.active = 1}, {.active = 8}};
    lode_forward_options options = {.bn = bn};
    assert_ok(lode_tape_create(LODE_TRAIN, NULL, &t));
    lode_supernet_forward(t, net, lode_tape_constant(t, x), choice, &options);
    assert_ok(lode_tape_status(t));
    lode_tape_destroy(t);
}

static void test_bn_modes(void **state) {
    (void)state;
    lode_space *s = tiny_space(TINY_CHAIN);
    lode_supernet *net;
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 1, &net));
    lode_tensor *x = tiny_input(s, LODE_F32, 4, 0);
    const char *reached = "layer1.a.project.bn.mean", *other = "layer1.b.project.bn.mean";
    lode_tensor *before = copy_of(net, reached), *before_other = copy_of(net, other);
    run_train(net, x, LODE_BN_BATCH);
    assert_true(lode_tensor_equal_bits(before, lode_supernet_find(net, reached)->value));
    run_train(net, x, LODE_BN_RUNNING);
    assert_true(lode_tensor_equal_bits(before, lode_supernet_find(net, reached)->value));
    run_train(net, x, LODE_BN_TRAIN);
    assert_false(lode_tensor_equal_bits(before, lode_supernet_find(net, reached)->value));
    assert_true(lode_tensor_equal_bits(before_other, lode_supernet_find(net, other)->value));
    lode_tensor_release(before);
    lode_tensor_release(before_other);
    lode_tensor_release(x);
    lode_supernet_destroy(net);
    lode_space_release(s);
}

/* ---- memory ---- */
/* An EVAL pass holds a few activations at a time, however deep the network is. */
static int64_t eval_peak(int64_t repeat) {
    char *text = lode_format("name: t\ninput: {channels: 8, size: 32}\nclasses: 4\n"
                             "sets: {s: {a: {op: mbconv}, b: {op: skip}}}\n"
                             "layers: [{choice: s, repeat: %lld}, {op: global_pool}, {op: "
                             "linear}]\n",
                             (long long)repeat);
    lode_space *s = tiny_space(text);
    lode_supernet *net;
    lode_arch a = {.n = (int)repeat};
    assert_ok(lode_supernet_create(s, &a, LODE_F32, 1, &net));
    lode_tensor *x = tiny_input(s, LODE_F32, 1, 0);
    lode_device *cpu = lode_cpu_device();
    lode_device_reset_peak(cpu);
    int64_t before = lode_device_get_stats(cpu).bytes_in_use;
    lode_tensor_release(tiny_logits(NULL, net, NULL, x, LODE_BN_RUNNING));
    int64_t peak = lode_device_get_stats(cpu).peak_bytes - before;
    lode_tensor_release(x);
    lode_supernet_destroy(net);
    lode_space_release(s);
    lode_free(text);
    return peak;
}

static void test_eval_forgets(void **state) {
    (void)state;
    int64_t peak = eval_peak(2);
    assert_true(peak > 0);
    assert_int_equal(eval_peak(9), peak);
}

static void test_no_memory(void **state) {
    (void)state;
    lode_space *s = tiny_space(TINY_CELLS);
    lode_device_empty_cache(lode_cpu_device());
    int64_t before = lode_memory_get_stats().n_blocks;
    lode_supernet *net;
    int failures = 0;
    for (int64_t n = 0;; n += 1 + n / 12) {
        test_fail_allocation(n);
        lode_status status = lode_supernet_create(s, NULL, LODE_F32, 1, &net);
        test_fail_allocation(-1);
        if (status == LODE_OK) break;
        failures++;
        assert_int_equal(status, LODE_ERR_NO_MEMORY);
        assert_null(net);
        lode_device_empty_cache(lode_cpu_device());
        assert_int_equal(lode_memory_get_stats().n_blocks, before);
    }
    assert_true(failures > 20);
    lode_supernet_destroy(net);
    lode_space_release(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_hot),      cmocka_unit_test(test_bad_calls),
        cmocka_unit_test(test_reads),        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_none),         cmocka_unit_test(test_bn_modes),
        cmocka_unit_test(test_eval_forgets), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("supernet/supernet", tests, NULL, NULL);
}
