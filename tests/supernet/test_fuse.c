/* labels: unit, property
   Inverted residuals as one operator: a few training steps give the same weights and running
   statistics as their parts do, kept or computed again, with and without drop-path; and traces,
   costs and evaluation see the parts. */
#include "supernet/tiny.h"

#include <math.h>

/* Every activation, with and without an expansion, strides, residuals, and what is not fused. */
#define FUSED_CHAIN                                                                                \
    "name: fused-chain\ninput: {channels: 3, size: 9}\nclasses: 3\n"                               \
    "sets:\n  s:\n"                                                                                \
    "    a: {op: mbconv, kernel: 3, expand: 3, act: relu6}\n"                                      \
    "    b: {op: mbconv, kernel: 5, expand: 1, act: hswish}\n"                                     \
    "    c: {op: mbconv, kernel: 7, expand: 2, act: swish}\n"                                      \
    "    d: {op: mbconv, kernel: 3, expand: 1, expand_conv: always, act: relu}\n"                  \
    "    e: {op: mbconv, kernel: 3, expand: 2, act: none}\n"                                       \
    "    f: {op: mbconv, kernel: 3, expand: 2, groups: 2, act: relu}\n"                            \
    "    g: {op: mbconv, kernel: 3, expand: 1, groups: 2, act: relu6}\n"                           \
    "    h: {op: mbconv, kernel: 3, expand: 2, se: 0.5, act: relu}\n"                              \
    "    i: {op: mbconv, kernel: 5, expand: 3, se: 0.25, groups: 2, act: hswish}\n"                \
    "    j: {op: mbconv, kernel: 3, expand: 1, se: 1, act: swish}\n"                               \
    "    k: {op: sep_conv, kernel: 3}\n"                                                           \
    "    l: {op: residual}\n"                                                                      \
    "    m: {op: conv, kernel: 3, act: hswish}\n"                                                  \
    "    skip: {op: skip, at_shape_change: {op: conv, kernel: 1, act: none}}\n"                    \
    "layers:\n"                                                                                    \
    "  - {name: stem, op: conv, kernel: 3, channels: 4, act: relu}\n"                              \
    "  - {choice: s, channels: 4}\n"                                                               \
    "  - {choice: s, channels: 6, stride: 2, repeat: 2}\n"                                         \
    "  - {name: pool, op: global_pool}\n"                                                          \
    "  - {name: classifier, op: linear}\n"

enum { BATCH = 6, STEPS = 3, FUSES = 10 /* of the options a..j */ };

static lode_var *labels_of(lode_tape *t) {
    lode_tensor *labels;
    lode_shape shape = LODE_SHAPE1(BATCH);
    assert_ok(lode_tensor_zeros(NULL, LODE_S64, &shape, LODE_CONTIGUOUS, &labels));
    for (int i = 0; i < BATCH; i++) lode_put(labels, i, i % 3);
    lode_var *v = lode_tape_constant(t, labels);
    lode_tensor_release(labels);
    return v;
}

/* Plain gradient descent of the whole mixture. Returns the last loss. */
static double train(lode_supernet *net, const lode_runner *runner,
                    const lode_forward_options *options) {
    lode_space *s = lode_supernet_space(net);
    lode_tape *t;
    double loss = 0;
    assert_ok(lode_tape_create(LODE_TRAIN, runner, &t));
    for (int step = 0; step < STEPS; step++) {
        lode_choice choice[LODE_MAX_DECISIONS] = {{0}};
        lode_tensor *weights[LODE_MAX_DECISIONS];
        lode_tensor *x = tiny_input(s, lode_supernet_dtype(net), BATCH, (uint64_t)step);
        lode_tape_reset(t);
        lode_tape_set_step(t, 3, (uint64_t)step);
        for (int d = 0; d < lode_space_n_decisions(s); d++) {
            int n = lode_space_decision(s, d)->n_options;
            lode_shape shape = LODE_SHAPE1(n);
            assert_ok(lode_tensor_create(NULL, lode_supernet_dtype(net), &shape, LODE_CONTIGUOUS,
                                         &weights[d]));
            assert_ok(lode_tensor_fill(weights[d], 1.0 / n));
            choice[d] = (lode_choice){.active = (UINT64_C(1) << n) - 1,
                                      .weights = lode_tape_constant(t, weights[d])};
            lode_tensor_release(weights[d]);
        }
        lode_var *y = lode_supernet_forward(t, net, lode_tape_constant(t, x), choice, options);
        lode_var *l = lode_cross_entropy(t, y, labels_of(t), 0);
        assert_ok(lode_tape_status(t));
        loss = lode_at(l->value, 0);
        assert_ok(lode_backward(t, l, 1));
        for (int i = 0; i < lode_supernet_n_parameters(net); i++) {
            lode_parameter *p = lode_supernet_parameter(net, i);
            for (int64_t k = 0; p->grad != NULL && k < lode_tensor_count(p->value); k++)
                lode_put(p->value, k, lode_at(p->value, k) - 0.2 * lode_at(p->grad, k));
        }
        lode_supernet_clear_grads(net);
        lode_tensor_release(x);
    }
    lode_tape_destroy(t);
    return loss;
}

/* Counts the calls of mbconv that another runner runs. */
typedef struct counter {
    const lode_runner *inner;
    int n;
    lode_runner runner;
} counter;
static lode_status count_forward(void *self, lode_op_call *c) {
    counter *k = self;
    k->n += c->op == &lode_op_mbconv;
    return k->inner->forward(k->inner->self, c);
}
static lode_status count_backward(void *self, lode_op_call *c, const lode_tensor *dy,
                                  lode_tensor *const *dx) {
    counter *k = self;
    return k->inner->backward(k->inner->self, c, dy, dx);
}

/* Trains two copies, fused and not. How the copies differ at most. */
static double difference(lode_dtype dtype, const lode_runner *runner,
                         lode_forward_options options) {
    lode_space *s = tiny_space(FUSED_CHAIN);
    lode_supernet *net[2];
    double worst = 0, loss[2];
    for (int i = 0; i < 2; i++) {
        assert_ok(lode_supernet_create(s, NULL, dtype, 5, &net[i]));
        tiny_disturb(net[i]);
        options.fuse = i == 0 ? LODE_FUSE_TRAIN : LODE_FUSE_NEVER;
        counter k = {.inner = runner, .runner = {NULL, count_forward, count_backward}};
        k.runner.self = &k;
        loss[i] = train(net[i], &k.runner, &options);
        if (i == 0) assert_true(k.n >= STEPS * 3 * FUSES); /* more when computed again */
        if (i == 1) assert_int_equal(k.n, 0);
    }
    assert_true(isfinite(loss[0]));
    worst = fabs(loss[0] - loss[1]);
    for (int i = 0; i < lode_supernet_n_parameters(net[0]); i++) {
        const lode_tensor *a = lode_supernet_parameter(net[0], i)->value;
        const lode_tensor *b = lode_supernet_parameter(net[1], i)->value;
        for (int64_t k = 0; k < lode_tensor_count(a); k++) {
            double off = fabs(lode_at(a, k) - lode_at(b, k));
            worst = isfinite(off) ? fmax(worst, off) : (double)INFINITY;
        }
    }
    lode_supernet_destroy(net[0]);
    lode_supernet_destroy(net[1]);
    lode_space_release(s);
    return worst;
}

static void test_steps_agree_in_f64(void **state) {
    (void)state;
    const lode_forward_options options[] = {
        {.bn = LODE_BN_TRAIN},
        {.bn = LODE_BN_BATCH},
        {.bn = LODE_BN_TRAIN, .drop_path = 0.4},
        {.bn = LODE_BN_TRAIN, .drop_path = 0.4, .remat = LODE_REMAT_LAYER}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        double off = difference(LODE_F64, lode_reference_runner(), options[i]);
        if (off > 1e-9) fail_msg("options %d: fused and unfused are %g apart", (int)i, off);
    }
}

static void test_steps_agree_in_f32(void **state) {
    (void)state;
    lode_dispatch *d;
    assert_ok(lode_dispatch_create(NULL, &d));
    for (int remat = 0; remat < 2; remat++) {
        lode_forward_options options = {.bn = LODE_BN_TRAIN, .remat = (lode_remat)remat};
        double off = difference(LODE_F32, lode_dispatch_runner(d), options);
        if (off > 2e-4) fail_msg("remat %d: fused and unfused are %g apart", remat, off);
    }
    lode_dispatch_destroy(d);
}

/* Calls of mbconv in one forward of the first options, as many as could be fused. */
static int fused_calls(lode_tape_mode mode, lode_forward_options options) {
    lode_space *s = tiny_space(FUSED_CHAIN);
    lode_supernet *net;
    lode_tape *t;
    int n = 0, n_decisions = lode_space_n_decisions(s);
    lode_tensor *x = tiny_input(s, LODE_F32, BATCH, 0);
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 5, &net));
    assert_ok(lode_tape_create(mode, NULL, &t));
    for (int o = 0; o < FUSES; o++) {
        lode_choice choice[LODE_MAX_DECISIONS] = {{0}};
        for (int d = 0; d < n_decisions; d++) choice[d].active = UINT64_C(1) << o;
        lode_tape_reset(t);
        lode_supernet_forward(t, net, lode_tape_constant(t, x), choice, &options);
        assert_ok(lode_tape_status(t));
        for (int i = 0; i < lode_trace_n(t); i++)
            n += lode_trace_get(t, i)->call.op == &lode_op_mbconv;
    }
    lode_tape_destroy(t);
    lode_supernet_destroy(net);
    lode_tensor_release(x);
    lode_space_release(s);
    return n;
}

static void test_traces_have_the_parts_unless_asked(void **state) {
    (void)state;
    lode_forward_options options = {.bn = LODE_BN_TRAIN};
    assert_int_equal(fused_calls(LODE_TRACE, options), 0);
    options.fuse = LODE_FUSE_NEVER;
    assert_int_equal(fused_calls(LODE_TRACE, options), 0);
    options.fuse = LODE_FUSE_TRACE;
    assert_int_equal(fused_calls(LODE_TRACE, options), 3 * FUSES);
    options.bn = LODE_BN_RUNNING; /* statistics are given: nothing to gain */
    assert_int_equal(fused_calls(LODE_TRACE, options), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_agree_in_f64),
        cmocka_unit_test(test_steps_agree_in_f32),
        cmocka_unit_test(test_traces_have_the_parts_unless_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
