/* labels: unit, property
   Networks as inference runs them: the folded network gives the logits of the plain one on all
   shipped spaces and on small ones with every kind of block, in f64 to rounding; the plain form is
   an EVAL tape bit for bit; slices and threads do not show; what is folded and what is not; and a
   table's terms add up to the price of the folded trace. */
#include "core/parallel.h"
#include "hwcost/cost.h"
#include "supernet/frozen.h"
#include "supernet/tiny.h"

#include <math.h>

static double largest(const lode_tensor *a) {
    double most = 0;
    for (int64_t i = 0; i < lode_tensor_count(a); i++) most = fmax(most, fabs(lode_at(a, i)));
    return most;
}

static double apart(const lode_tensor *a, const lode_tensor *b) {
    double most = 0;
    assert_true(lode_shape_equal(&a->shape, &b->shape));
    for (int64_t i = 0; i < lode_tensor_count(a); i++) {
        double off = fabs(lode_at(a, i) - lode_at(b, i));
        most = isfinite(off) ? fmax(most, off) : (double)INFINITY;
    }
    return most;
}

/* Logits of a frozen network; release them. */
static lode_tensor *frozen_logits(lode_supernet *net, const lode_arch *arch, lode_form form,
                                  lode_dispatch *d, lode_tensor *x) {
    lode_frozen *f;
    lode_tensor *y, *copy;
    assert_ok(lode_frozen_create(net, arch, x->shape.dim[0], form, d, &f));
    assert_ok(lode_frozen_run(f, x, NULL, &y));
    assert_ok(lode_frozen_run(f, x, NULL, &y)); /* nothing is left over from a run */
    assert_ok(lode_tensor_clone(y, &copy));
    lode_frozen_destroy(f);
    return copy;
}

static lode_dispatch *dispatch_of(const char *providers) {
    lode_dispatch *d;
    lode_dispatch_options o = {.providers = providers};
    assert_ok(lode_dispatch_create(&o, &d));
    return d;
}

/* `n` random architectures; batches above 1 may be cut into slices. */
static void check_space(lode_space *s, lode_dtype dtype, int n, int64_t batch, double tolerance) {
    lode_dispatch *d = dispatch_of(NULL);
    lode_supernet *net;
    lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, 1);
    lode_tensor *x = tiny_input(s, dtype, batch, 3);
    assert_ok(lode_supernet_create(s, NULL, dtype, 3, &net));
    tiny_disturb(net);
    for (int i = 0; i < n; i++) {
        lode_arch arch = {0};
        if (lode_space_n_decisions(s) > 0) assert_ok(lode_space_sample(s, &rng, &arch));
        const lode_forward_options o = {.bn = LODE_BN_RUNNING};
        lode_choice choice[LODE_MAX_DECISIONS];
        lode_tape *t;
        assert_ok(lode_tape_create(LODE_EVAL, lode_dispatch_runner(d), &t));
        lode_choice_from_arch(&arch, choice);
        lode_tensor *want =
            lode_take_value(lode_supernet_forward(t, net, lode_tape_constant(t, x), choice, &o));
        assert_ok(lode_tape_status(t));
        lode_tensor *plain = frozen_logits(net, &arch, LODE_FORM_PLAIN, d, x);
        lode_tensor *folded = frozen_logits(net, &arch, LODE_FORM_FOLDED, d, x);
        double off = apart(want, folded), size = fmax(1, largest(want));
        if (off > tolerance * size)
            fail_msg("%s: folded logits are off by %g of %g", lode_space_name(s), off, size);
        if (batch == 1 && !lode_tensor_equal_bits(want, plain))
            fail_msg("%s: the replay has other bits than the tape", lode_space_name(s));
        assert_true(apart(want, plain) <= tolerance * size);
        lode_tensor_release(want);
        lode_tensor_release(plain);
        lode_tensor_release(folded);
        lode_tape_destroy(t);
    }
    lode_supernet_destroy(net);
    lode_tensor_release(x);
    lode_dispatch_destroy(d);
}

static void test_small_spaces_in_f64(void **state) {
    (void)state;
    const char *const text[] = {TINY_CHAIN, TINY_CELLS, TINY_HIDDEN};
    for (int i = 0; i < 3; i++) {
        lode_space *s = tiny_space(text[i]);
        check_space(s, LODE_F64, 12, 1, 1e-12);
        check_space(s, LODE_F32, 12, 3, 1e-5);
        lode_space_release(s);
    }
}

static void test_shipped_spaces(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int n;
        int64_t batch;
    } spaces[] = {{"fbnet-fashion", 4, 4}, {"fbnet-cifar", 2, 3}, {"nasbench-macro", 2, 3},
                  {"nasbench201", 3, 2},   {"darts", 1, 1},       {"fbnet", 1, 1}};
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        lode_space_options o = {.name = spaces[i].name};
        lode_space *s;
        assert_ok(lode_space_load(&o, &s));
        check_space(s, LODE_F32, spaces[i].n, spaces[i].batch, 2e-4);
        lode_space_release(s);
    }
}

/* An image's logits are the same bits alone, in a batch, in a slice of one, and with any number of
   threads. */
static void test_slices_and_threads_do_not_show(void **state) {
    (void)state;
    enum { BATCH = 12 };
    lode_space_options o = {.name = "fbnet-cifar"};
    lode_space *s;
    lode_supernet *net;
    lode_frozen *f;
    lode_arch arch;
    lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, 2);
    lode_dispatch *d = dispatch_of("native,portable");
    int threads = lode_get_threads();
    assert_ok(lode_space_load(&o, &s));
    assert_ok(lode_space_sample(s, &rng, &arch));
    assert_ok(lode_supernet_create(s, &arch, LODE_F32, 3, &net));
    tiny_disturb(net);
    lode_tensor *x = tiny_input(s, LODE_F32, BATCH, 3);
    assert_ok(lode_frozen_create(net, NULL, BATCH, LODE_FORM_FOLDED, d, &f));
    assert_true(lode_frozen_slices(f) > 1 && BATCH % lode_frozen_slices(f) == 0);
    for (int n = 1; n <= 2; n++) {
        lode_set_threads(n);
        assert_int_equal(lode_frozen_lanes(f), n);
    }
    lode_set_threads(threads);
    lode_frozen_destroy(f);
    lode_tensor *all = frozen_logits(net, NULL, LODE_FORM_FOLDED, d, x);
    for (int n = 1; n <= 2; n++) {
        lode_set_threads(n);
        lode_tensor *again = frozen_logits(net, NULL, LODE_FORM_FOLDED, d, x);
        assert_true(lode_tensor_equal_bits(all, again));
        lode_tensor_release(again);
    }
    for (int64_t i = 0; i < BATCH; i++) {
        lode_tensor *one, *row;
        assert_ok(lode_tensor_slice(x, 0, i, i + 1, 1, &one));
        assert_ok(lode_tensor_slice(all, 0, i, i + 1, 1, &row));
        lode_tensor *alone = frozen_logits(net, NULL, LODE_FORM_FOLDED, d, one);
        assert_true(lode_tensor_equal_bits(row, alone));
        lode_tensor_release(one);
        lode_tensor_release(row);
        lode_tensor_release(alone);
    }
    lode_set_threads(threads);
    lode_tensor_release(all);
    lode_tensor_release(x);
    lode_dispatch_destroy(d);
    lode_supernet_destroy(net);
    lode_space_release(s);
}

/* ---- what is folded ---- */

static int count_calls(const lode_tape *t, const lode_op *op) {
    int n = 0;
    for (int i = 0; i < lode_trace_n(t); i++) n += lode_trace_get(t, i)->call.op == op;
    return n;
}

static double sum_macs(const lode_tape *t) {
    double sum = 0;
    for (int i = 0; i < lode_trace_n(t); i++) sum += lode_trace_get(t, i)->count.macs;
    return sum;
}

/* Every decision takes the first of the named options that it has. */
static void trace_both(const char *text, const char *const *names, lode_tape *plain,
                       lode_tape *folded) {
    lode_space *s = tiny_space(text);
    lode_supernet *net;
    lode_arch arch = {.n = lode_space_n_decisions(s)};
    for (int d = 0; d < arch.n; d++) {
        const lode_decision *decision = lode_space_decision(s, d);
        int k = -1;
        for (int i = 0; names[i] != NULL && k < 0; i++)
            for (int o = 0; o < decision->n_options; o++)
                if (strcmp(decision->option[o], names[i]) == 0) k = o;
        assert_true(k >= 0);
        arch.option[d] = (uint8_t)k;
    }
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 3, &net));
    assert_ok(lode_supernet_trace(net, &arch, 2, false, plain));
    assert_ok(lode_supernet_trace_folded(net, &arch, 2, folded));
    lode_supernet_destroy(net);
    lode_space_release(s);
}

static void test_what_is_folded(void **state) {
    (void)state;
    lode_tape *plain, *folded;
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &plain));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &folded));
    /* The stem, and three times expand, depthwise, project. */
    trace_both(TINY_CHAIN, (const char *const[]){"a", NULL}, plain, folded);
    assert_int_equal(count_calls(plain, &lode_op_conv2d), 10);
    assert_int_equal(count_calls(folded, &lode_op_conv_act), 10);
    assert_int_equal(count_calls(folded, &lode_op_conv2d), 0);
    assert_int_equal(count_calls(folded, &lode_op_batch_norm), 0);
    assert_int_equal(count_calls(folded, &lode_op_swish), 0);
    assert_int_equal(count_calls(plain, &lode_op_add), 2); /* in the first block and the last */
    assert_int_equal(count_calls(folded, &lode_op_add), 0);
    assert_true(sum_macs(plain) == sum_macs(folded));
    /* Squeeze-and-excite: the gate's two convolutions, one with its relu; hsigmoid stays. */
    trace_both(TINY_CHAIN, (const char *const[]){"c", NULL}, plain, folded);
    assert_int_equal(count_calls(folded, &lode_op_relu), 0);
    assert_int_equal(count_calls(folded, &lode_op_hsigmoid), 3);
    assert_int_equal(count_calls(folded, &lode_op_mul), 3);
    assert_true(sum_macs(plain) == sum_macs(folded));
    /* A basic block's sum goes into its second convolution; the activation behind the sum stays. */
    trace_both("name: t\ninput: {channels: 4, size: 6}\nclasses: 3\nlayers: [{op: basic}, {op: "
               "basic, stride: 2, channels: 6}, {op: global_pool}, {op: linear}]\n",
               (const char *const[]){NULL}, plain, folded);
    assert_int_equal(count_calls(plain, &lode_op_conv2d), 5);
    assert_int_equal(count_calls(plain, &lode_op_relu), 4);
    assert_int_equal(count_calls(folded, &lode_op_conv_act), 5);
    assert_int_equal(count_calls(folded, &lode_op_batch_norm), 0);
    assert_int_equal(count_calls(folded, &lode_op_add), 0);
    assert_int_equal(count_calls(folded, &lode_op_relu), 2);
    assert_true(sum_macs(plain) == sum_macs(folded));
    /* Norms after a pool or a concat, and the last bn_act, follow no convolution. Sums of a cell's
       node are blocks of their own: they stay, so that prices stay sums over blocks. */
    trace_both(TINY_CELLS, (const char *const[]){"sep", "conv", NULL}, plain, folded);
    assert_true(count_calls(folded, &lode_op_add) > 0);
    assert_int_equal(count_calls(folded, &lode_op_conv2d), 0);
    assert_true(count_calls(folded, &lode_op_batch_norm) > 0);
    assert_true(count_calls(folded, &lode_op_batch_norm) < count_calls(plain, &lode_op_batch_norm));
    assert_true(sum_macs(plain) == sum_macs(folded));
    for (int i = 0; i < lode_trace_n(folded); i++) {
        const lode_trace_call *c = lode_trace_get(folded, i);
        assert_non_null(c->label);
        assert_true(c->label[0] != '\0');
    }
    lode_tape_destroy(plain);
    lode_tape_destroy(folded);
}

/* ---- prices ---- */

/* Every folded call costs something of its own. */
static lode_status price_call(void *self, const lode_trace_call *call, double *out) {
    (void)self;
    *out = 1 + (double)(lode_call_hash(&call->call) % 1000) / 8;
    return LODE_OK;
}
static const char *price_unit(const void *self) { return (void)self, "x"; }
static lode_form price_form(const void *self) { return (void)self, LODE_FORM_FOLDED; }
static const lode_cost_model price_model = {
    .name = "price", .unit = price_unit, .op_cost = price_call, .form = price_form};

static void test_prices_of_blocks_add_up(void **state) {
    (void)state;
    const char *const text[] = {TINY_CHAIN, TINY_CELLS, TINY_HIDDEN};
    lode_tape *t;
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &t));
    for (int i = 0; i < 3; i++) {
        lode_space *s = tiny_space(text[i]);
        lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, 4);
        lode_supernet *net;
        lode_cost *cost;
        assert_ok(lode_supernet_create(s, NULL, LODE_F32, 3, &net));
        assert_ok(lode_cost_from_model(&price_model, NULL, net, 2, &cost));
        for (int k = 0; k < 30; k++) {
            lode_arch arch;
            double hard, of_trace;
            assert_ok(lode_space_sample(s, &rng, &arch));
            assert_ok(lode_cost_hard(cost, &arch, &hard));
            assert_ok(lode_cost_trace(cost, &arch, t));
            assert_true(count_calls(t, &lode_op_conv2d) == 0);
            assert_ok(lode_cost_of_trace(cost, t, &of_trace));
            assert_near(hard, of_trace, 1e-9);
        }
        lode_cost_close(cost);
        lode_supernet_destroy(net);
        lode_space_release(s);
    }
    lode_tape_destroy(t);
}

/* ---- errors ---- */

static void test_wrong_inputs(void **state) {
    (void)state;
    lode_space *s = tiny_space(TINY_CHAIN);
    lode_dispatch *d = dispatch_of(NULL);
    lode_supernet *net;
    lode_frozen *f;
    lode_arch arch;
    lode_tensor *y, *x = tiny_input(s, LODE_F32, 3, 1), *other;
    assert_ok(lode_arch_parse(s, "a,b,skip", &arch));
    assert_ok(lode_supernet_create(s, NULL, LODE_F32, 3, &net));
    assert_fails(lode_frozen_create(net, &arch, 0, LODE_FORM_FOLDED, d, &f), LODE_ERR_INVALID,
                 "batch 0");
    assert_ok(lode_frozen_create(net, &arch, 2, LODE_FORM_FOLDED, d, &f));
    assert_fails(lode_frozen_run(f, x, NULL, &y), LODE_ERR_SHAPE, "[3, 2, 7, 7]");
    /* Other strides and dtypes are converted. */
    lode_tensor *two, *plain = NULL;
    assert_ok(lode_tensor_slice(x, 0, 1, 3, 1, &two));
    lode_tensor *want = frozen_logits(net, &arch, LODE_FORM_FOLDED, d, two);
    assert_ok(lode_tensor_create(NULL, LODE_F64, &two->shape, LODE_CONTIGUOUS, &other));
    assert_ok(lode_tensor_copy(other, two));
    plain = frozen_logits(net, &arch, LODE_FORM_FOLDED, d, other);
    assert_true(lode_tensor_equal_bits(want, plain));
    lode_tensor_release(two);
    lode_tensor_release(other);
    lode_tensor_release(want);
    lode_tensor_release(plain);
    lode_frozen_destroy(f);
    lode_tensor_release(x);
    lode_supernet_destroy(net);
    lode_dispatch_destroy(d);
    lode_space_release(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_spaces_in_f64),
        cmocka_unit_test(test_shipped_spaces),
        cmocka_unit_test(test_slices_and_threads_do_not_show),
        cmocka_unit_test(test_what_is_folded),
        cmocka_unit_test(test_prices_of_blocks_add_up),
        cmocka_unit_test(test_wrong_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
