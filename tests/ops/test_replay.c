/* labels: unit, property
   A replay has the bits of an EVAL tape, run after run, with other inputs and other numbers of
   threads; values alive at the same time have places of their own; views and auxiliary outputs are
   seen; changed weights that no kernel prepared show; and what cannot be replayed is said. */
#include "core/parallel.h"
#include "ops/ops.h"
#include "ops/replay.h"
#include "support/support.h"

enum { N = 2, C = 6, SIDE = 9, WEIGHTS = 6 };

typedef struct small_net {
    lode_tensor *w[WEIGHTS];
} small_net;

static lode_tensor *drawn(lode_shape s, lode_layout layout, uint64_t stream) {
    lode_tensor *t = NULL;
    lode_rng r = lode_rng_stream(17, LODE_RNG_TEST, stream);
    assert_ok(lode_tensor_create(NULL, LODE_F32, &s, layout, &t));
    assert_ok(lode_tensor_fill_normal(t, &r, 0, 0.5));
    return t;
}

static small_net net_make(void) {
    return (small_net){{drawn(LODE_SHAPE4(C, C, 3, 3), LODE_CONTIGUOUS, 1),
                        drawn(LODE_SHAPE1(C), LODE_CONTIGUOUS, 2),
                        drawn(LODE_SHAPE4(C, 1, 3, 3), LODE_CONTIGUOUS, 3),
                        drawn(LODE_SHAPE2(5, 3 * C), LODE_CONTIGUOUS, 4),
                        drawn(LODE_SHAPE1(5), LODE_CONTIGUOUS, 5),
                        drawn(LODE_SHAPE1(C), LODE_CONTIGUOUS, 6)}};
}

static void net_free(small_net *n) {
    for (int i = 0; i < WEIGHTS; i++) lode_tensor_release(n->w[i]);
}

/* Branches that live long, a pool with an index, a slice, a reshape, a product. */
static lode_var *net_forward(const small_net *n, lode_tape *t, lode_var *x) {
    lode_conv_act_params same = {lode_conv2d_same(3, 1, 1, 1), LODE_ACT_RELU, 0};
    lode_var *w[WEIGHTS], *half[2], *wide[3];
    for (int i = 0; i < WEIGHTS; i++) w[i] = lode_tape_constant(t, n->w[i]);
    lode_var *a = lode_conv_act(t, x, w[0], w[1], x, same);
    lode_var *b = lode_conv2d(t, a, w[2], w[5], lode_conv2d_same(3, 1, 1, C));
    lode_var *c = lode_max_pool(t, lode_add(t, b, a), lode_pool_square(3, 2, 1));
    lode_var *d = lode_avg_pool(t, a, lode_pool_square(3, 2, 1));
    half[0] = lode_slice(t, c, 1, 0, C / 2, 1);
    half[1] = lode_relu(t, lode_slice(t, d, 1, C / 2, C, 1));
    wide[0] = lode_concat(t, half, 2, 1);
    wide[1] = lode_mul(t, c, d);
    wide[2] = lode_sub(t, c, d);
    lode_var *e = lode_global_avg_pool(t, lode_concat(t, wide, 3, 1));
    return lode_linear(t, lode_reshape(t, e, &LODE_SHAPE2(N, 3 * C)), w[3], w[4]);
}

static lode_tensor *image(uint64_t stream) {
    return drawn(LODE_SHAPE4(N, C, SIDE, SIDE), LODE_CHANNELS_LAST, 100 + stream);
}

static lode_tensor *on_tape(const small_net *n, lode_dispatch *d, lode_tensor *x) {
    lode_tape *t;
    assert_ok(lode_tape_create(LODE_EVAL, lode_dispatch_runner(d), &t));
    lode_tensor *y = lode_take_value(net_forward(n, t, lode_tape_constant(t, x)));
    assert_ok(lode_tape_status(t));
    lode_tape_destroy(t);
    return y;
}

typedef struct traced {
    lode_tape *tape;
    lode_var *x, *y;
} traced;

static traced trace_of(const small_net *n) {
    traced t;
    lode_tensor *shape;
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &t.tape));
    assert_ok(lode_tensor_shapeless_storage(LODE_F32, &LODE_SHAPE4(N, C, SIDE, SIDE),
                                            LODE_CHANNELS_LAST, &shape));
    t.x = lode_tape_constant(t.tape, shape);
    lode_tensor_release(shape);
    t.y = net_forward(n, t.tape, t.x);
    assert_ok(lode_tape_status(t.tape));
    return t;
}

static void count_call(void *self, int lane, int i, const lode_op_call *c) {
    int *n = self;
    assert_true(lane == 0 && i >= 0 && c->y != NULL && c->provider != NULL);
    ++*n;
}

static void check_providers(const char *providers) {
    small_net n = net_make();
    lode_dispatch *d;
    lode_dispatch_options o = {.providers = providers};
    lode_replay *r;
    int threads = lode_get_threads(), calls = 0, views = 0;
    traced t = trace_of(&n);
    assert_ok(lode_dispatch_create(&o, &d));
    assert_ok(lode_replay_create(t.tape, t.x, t.y, d, &r));
    for (int i = 0; i < lode_trace_n(t.tape); i++) views += lode_trace_get(t.tape, i)->is_view;
    assert_true(views > 0);
    for (int k = 0; k < 6; k++) {
        const lode_replay_watch watch = {&calls, count_call};
        lode_tensor *x = image((uint64_t)k), *y = NULL;
        lode_set_threads(k % 3 == 2 ? 1 : 2);
        lode_tensor *want = on_tape(&n, d, x);
        assert_ok(lode_replay_run(r, x, k == 0 ? &watch : NULL, &y));
        if (!lode_tensor_equal_bits(want, y)) fail_msg("%s: run %d has other bits", providers, k);
        lode_tensor_release(want);
        lode_tensor_release(x);
    }
    assert_int_equal(calls, lode_trace_n(t.tape) - views);
    lode_set_threads(threads);
    lode_replay_destroy(r);
    lode_dispatch_destroy(d);
    lode_tape_destroy(t.tape);
    net_free(&n);
}

static void test_bits_of_the_tape(void **state) {
    (void)state;
    check_providers("native,portable");
    check_providers("reference");
}

/* Memory is shared by values that are not alive together, and never by others (see the bits). */
static void test_places_are_shared(void **state) {
    (void)state;
    small_net n = net_make();
    lode_dispatch *d;
    lode_replay *r;
    traced t = trace_of(&n);
    size_t all = 0;
    assert_ok(lode_dispatch_create(NULL, &d));
    assert_ok(lode_replay_create(t.tape, t.x, t.y, d, &r));
    for (int i = 0; i < lode_trace_n(t.tape); i++)
        if (!lode_trace_get(t.tape, i)->is_view)
            all += lode_tensor_bytes(lode_trace_get(t.tape, i)->call.y);
    assert_true(lode_replay_bytes(r) < all);
    assert_true(lode_replay_bytes(r) >= 3 * lode_tensor_bytes(lode_trace_get(t.tape, 0)->call.y));
    lode_replay_destroy(r);
    lode_dispatch_destroy(d);
    lode_tape_destroy(t.tape);
    net_free(&n);
}

static void test_what_cannot_be_replayed(void **state) {
    (void)state;
    small_net n = net_make();
    lode_dispatch *d;
    lode_replay *r = NULL;
    traced t = trace_of(&n);
    lode_tape *eval;
    lode_tensor *y, *wrong = drawn(LODE_SHAPE4(N, C, SIDE, SIDE + 1), LODE_CHANNELS_LAST, 1);
    lode_tensor *other = drawn(LODE_SHAPE4(N, C, SIDE, SIDE), LODE_CONTIGUOUS, 1);
    assert_ok(lode_dispatch_create(NULL, &d));
    assert_ok(lode_tape_create(LODE_EVAL, NULL, &eval));
    assert_fails(lode_replay_create(eval, t.x, t.y, d, &r), LODE_ERR_INVALID, "LODE_TRACE");
    /* Its own input is not the one without contents. */
    assert_fails(lode_replay_create(t.tape, t.y, t.y, d, &r), LODE_ERR_INVALID, "no contents");
    assert_null(r);
    assert_ok(lode_replay_create(t.tape, t.x, t.y, d, &r));
    assert_fails(lode_replay_run(r, wrong, NULL, &y), LODE_ERR_SHAPE, "[2, 6, 9, 10]");
    assert_fails(lode_replay_run(r, other, NULL, &y), LODE_ERR_SHAPE, "otherwise in memory");
    lode_replay_destroy(r);
    lode_tensor_release(wrong);
    lode_tensor_release(other);
    lode_tape_destroy(eval);
    lode_tape_destroy(t.tape);
    lode_dispatch_destroy(d);
    net_free(&n);
}

/* Every allocation of making a replay may fail: a status, no leak. */
static void test_no_memory(void **state) {
    (void)state;
    small_net n = net_make();
    lode_dispatch *d;
    lode_replay *r = NULL;
    traced t = trace_of(&n);
    lode_status status = LODE_ERR_NO_MEMORY;
    assert_ok(lode_dispatch_create(NULL, &d));
    for (int64_t k = 0; status != LODE_OK; k++) {
        assert_true(k < 2000);
        test_fail_allocation(k);
        status = lode_replay_create(t.tape, t.x, t.y, d, &r);
        test_fail_allocation(-1);
        assert_true(status == LODE_OK || status == LODE_ERR_NO_MEMORY);
        assert_true((status == LODE_OK) == (r != NULL));
    }
    lode_replay_destroy(r);
    lode_dispatch_destroy(d);
    lode_tape_destroy(t.tape);
    net_free(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_of_the_tape),
        cmocka_unit_test(test_places_are_shared),
        cmocka_unit_test(test_what_cannot_be_replayed),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
