/* test_tape.c: what a tape holds, forgets, refuses. */
#include "support/support.h"
#include "tests/autograd/tiny_ops.h"

enum { N = 1024, VECTOR = N * (int)sizeof(float) };

static lode_tape *new_tape(lode_tape_mode mode) {
    lode_tape *t = NULL;
    assert_ok(lode_tape_create(mode, NULL, &t));
    return t;
}
static lode_tensor *vector(int64_t n, double v) {
    lode_tensor *t = NULL;
    assert_ok(lode_tensor_create(NULL, LODE_F32, &LODE_SHAPE1(n), LODE_CONTIGUOUS, &t));
    assert_ok(lode_tensor_fill(t, v));
    return t;
}
static int64_t in_use(void) { return lode_device_get_stats(lode_cpu_device()).bytes_in_use; }
static int64_t peak(void) { return lode_device_get_stats(lode_cpu_device()).peak_bytes; }

/* A block of five operators; only a and b are kept by the first mul, y by tanh. */
static lode_var *block(lode_tape *t, lode_var *x) {
    lode_var *a = t_tanh(t, x), *b = t_add(t, a, x), *c = t_add(t, b, b);
    return t_tanh(t, t_add(t, c, b));
}

static void test_modes(void **state) {
    (void)state;
    lode_tensor *w = vector(4, 2), *s32 = NULL;
    lode_shape four = LODE_SHAPE(4);
    assert_ok(lode_tensor_zeros(NULL, LODE_S32, &four, LODE_CONTIGUOUS, &s32));
    for (int m = 0; m < 3; m++) {
        lode_tape *t = new_tape((lode_tape_mode)m);
        assert_int_equal(lode_tape_get_mode(t), m);
        lode_var *a = lode_tape_leaf(t, w, NULL), *c = lode_tape_constant(t, w);
        assert_int_equal(a->requires_grad, m == LODE_TRAIN);
        assert_false(c->requires_grad || lode_tape_leaf(t, s32, NULL)->requires_grad);
        lode_var *y = t_mul(t, a, c), *z = t_mul(t, c, c), *d = lode_detach(t, y);
        assert_non_null(y);
        assert_int_equal(y->requires_grad, m == LODE_TRAIN);
        assert_false(z->requires_grad || d->requires_grad);
        if (m == LODE_TRACE) {
            assert_null(y->value->data);
            assert_null(a->value->data);
        } else {
            assert_true(lode_at(y->value, 3) == 4);
            assert_ptr_equal(d->value, y->value);
        }
        lode_tape_destroy(t);
    }
    lode_tape_destroy(NULL);
    lode_tensor_release(w);
    lode_tensor_release(s32);
}

/* ---- failure sticks ---- */
static void test_sticky(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_TRAIN);
    lode_tensor *a = vector(3, 1), *b = vector(4, 1);
    lode_var *va = lode_tape_leaf(t, a, NULL), *vb = lode_tape_leaf(t, b, NULL);
    lode_scope outer = lode_tape_enter(t, "stage2"), inner = lode_tape_enter(t, "k5_e6");
    assert_string_equal(lode_tape_label(t), "stage2/k5_e6");
    assert_null(t_tanh(t, t_add(t, va, vb)));
    assert_null(t_sum(t, va)); /* fine by itself, but the tape has failed */
    assert_null(lode_tape_leaf(t, a, NULL));
    assert_null(lode_tape_leave(t, inner, va));
    assert_string_equal(lode_tape_label(t), "stage2");
    assert_null(lode_tape_leave(t, outer, NULL));
    LODE_FAIL(LODE_ERR_IO, "something else went wrong meanwhile");
    assert_fails(lode_tape_status(t), LODE_ERR_SHAPE, "stage2/k5_e6: add: [3] against [4]");
    lode_tape_fail(t, LODE_FAIL(LODE_ERR_IO, "later"));
    assert_fails(lode_tape_status(t), LODE_ERR_SHAPE, "add");
    assert_fails(lode_backward(t, va, 1), LODE_ERR_SHAPE, "add");
    lode_tape_reset(t);
    assert_ok(lode_tape_status(t));
    assert_non_null(t_sum(t, lode_tape_leaf(t, a, NULL)));
    lode_tape_destroy(t);
    lode_tensor_release(a);
    lode_tensor_release(b);
    assert_fails(lode_tape_status(NULL), LODE_ERR_INVALID, "none");
    assert_null(lode_apply(NULL, &tiny_tanh, NULL, 0, NULL));
}

/* Runs `make` on a fresh tape and wants the failure. */
typedef lode_var *(*bad_call)(lode_tape *t, lode_var *x);
static lode_var *bad_null(lode_tape *t, lode_var *x) { return t_mul(t, x, NULL); }
static lode_var *bad_none(lode_tape *t, lode_var *x) {
    return lode_apply(t, &tiny_add, &x, 0, NULL);
}
static lode_var *bad_many(lode_tape *t, lode_var *x) {
    return lode_apply(t, &tiny_tanh, (lode_var *[]){x, x}, 2, NULL);
}
static lode_var *bad_params(lode_tape *t, lode_var *x) {
    return lode_apply(t, &tiny_half, &x, 1, NULL);
}
static lode_var *bad_tensor(lode_tape *t, lode_var *x) {
    return t_mul(t, x, lode_tape_constant(t, NULL));
}
static lode_var *bad_forgotten(lode_tape *t, lode_var *x) {
    lode_scope s = lode_tape_enter(t, "body");
    lode_var *a = t_tanh(t, x), *b = t_tanh(t, a);
    lode_tape_leave(t, s, b);
    return t_add(t, a, b);
}
static lode_var *bad_detach(lode_tape *t, lode_var *x) {
    lode_var *a = t_tanh(t, x);
    lode_forget(a);
    return lode_detach(t, a);
}
static lode_var *bad_reset(lode_tape *t, lode_var *x) {
    lode_tape_reset(t);
    return t_tanh(t, x);
}
static lode_var *bad_infinite(lode_tape *t, lode_var *x) {
    lode_tape_check_finite(t, true);
    lode_put(x->value, 1, INFINITY);
    lode_tape_enter(t, "head");
    return t_add(t, t_tanh(t, x), x);
}

static void test_refusals(void **state) {
    (void)state;
    const struct {
        bad_call call;
        lode_status status;
        const char *words;
    } all[] = {
        {bad_null, LODE_ERR_INVALID, "mul: input 1 is NULL"},
        {bad_none, LODE_ERR_INVALID, "add: got 0 inputs, wants 1"},
        {bad_many, LODE_ERR_INVALID, "tanh: got 2 inputs, wants 1 to 1"},
        {bad_params, LODE_ERR_INVALID, "half: needs parameters"},
        {bad_tensor, LODE_ERR_INVALID, "no tensor"},
        {bad_forgotten, LODE_ERR_INVALID, "add: the value of input 0 was forgotten"},
        {bad_detach, LODE_ERR_INVALID, "detach: the value was forgotten"},
        {bad_reset, LODE_ERR_INVALID, "tanh: input 0 belongs to another tape"},
        {bad_infinite, LODE_ERR_NUMERIC, "head: add: the output is not finite"},
    };
    for (int mode = LODE_TRAIN; mode <= LODE_EVAL; mode++)
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            lode_tape *t = new_tape((lode_tape_mode)mode);
            lode_tensor *a = vector(4, 1);
            assert_null(all[i].call(t, lode_tape_leaf(t, a, NULL)));
            assert_fails(lode_tape_status(t), all[i].status, all[i].words);
            lode_tape_destroy(t);
            lode_tensor_release(a);
        }
}

static void test_two_tapes(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_EVAL), *u = new_tape(LODE_EVAL);
    lode_tensor *a = vector(4, 1);
    assert_null(t_add(t, lode_tape_leaf(t, a, NULL), lode_tape_leaf(u, a, NULL)));
    assert_fails(lode_tape_status(t), LODE_ERR_INVALID, "input 1 belongs to another tape");
    assert_ok(lode_tape_status(u));
    lode_tape_destroy(t);
    lode_tape_destroy(u);
    lode_tensor_release(a);
}

/* ---- optional inputs and copied parameters ---- */
static lode_status count_infer(const lode_op_call *c, lode_inferred *out) {
    out->shape = LODE_SCALAR;
    out->dtype = LODE_F64;
    assert_int_equal(c->n_x, 3);
    return LODE_OK;
}
static lode_status count_forward(const lode_op_call *c) {
    int mask = 0;
    for (int i = 0; i < 3; i++) mask |= (c->x[i] != NULL) << i;
    lode_put(c->y, 0, mask);
    return LODE_OK;
}
static void test_optional(void **state) {
    (void)state;
    const lode_op op = {.name = "count",
                        .n_inputs = 3,
                        .n_required = 1,
                        .infer = count_infer,
                        .reference = {count_forward, NULL},
                        .not_differentiable = true};
    lode_tape *t = new_tape(LODE_TRAIN);
    lode_tensor *a = vector(4, 1);
    lode_var *x = lode_tape_leaf(t, a, NULL);
    assert_true(lode_at(lode_apply(t, &op, (lode_var *[]){x}, 1, NULL)->value, 0) == 1);
    assert_true(lode_at(lode_apply(t, &op, (lode_var *[]){x, NULL, x}, 3, NULL)->value, 0) == 5);
    lode_var *y = lode_apply(t, &op, (lode_var *[]){x, x}, 2, NULL);
    assert_true(lode_at(y->value, 0) == 3);
    assert_false(y->requires_grad); /* not differentiable */
    lode_tape_destroy(t);
    lode_tensor_release(a);
}

/* ---- lifetimes ---- */
static void test_eval_chain(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_EVAL);
    lode_tensor *a = vector(N, 0.1);
    int64_t before = in_use();
    lode_device_reset_peak(lode_cpu_device());
    lode_scope s = lode_tape_enter(t, "chain");
    lode_var *x = lode_tape_constant(t, a);
    for (int i = 0; i < 50; i++) {
        x = t_tanh(t, x);
        lode_tape_trim(t, &s, x);
        assert_int_equal(in_use() - before, VECTOR);
    }
    assert_int_equal(peak() - before, 2 * VECTOR);
    x = lode_tape_leave(t, s, x);
    assert_int_equal(in_use() - before, VECTOR);
    /* blocks in scopes of their own: their insides go at once, their results by trim */
    lode_device_reset_peak(lode_cpu_device());
    for (int i = 0; i < 50; i++) {
        lode_scope inner = lode_tape_enter(t, "block");
        x = lode_tape_leave(t, inner, block(t, x));
        lode_tape_trim(t, &s, x);
    }
    assert_int_equal(peak() - before, 6 * VECTOR);
    assert_int_equal(in_use() - before, VECTOR);
    lode_tape_reset(t);
    assert_int_equal(in_use(), before);
    lode_tape_destroy(t);
    lode_tensor_release(a);
}

/* What TRAIN keeps at the end of a block is what the operators keep and the result. */
static void test_train_keeps(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_TRAIN);
    lode_tensor *a = vector(N, 0.1), *da = NULL;
    int64_t before = in_use();
    lode_var *x = lode_tape_leaf(t, a, &da);
    lode_scope s = lode_tape_enter(t, "block");
    lode_var *y = block(t, x);
    assert_int_equal(in_use() - before, 5 * VECTOR);
    y = lode_tape_leave(t, s, y);
    assert_int_equal(in_use() - before, 2 * VECTOR); /* the two tanh outputs, one is the result */
    y = t_sum(t, y);
    lode_device_reset_peak(lode_cpu_device());
    assert_ok(lode_backward(t, y, 1));
    /* only the gradient and the loss are left; and the walk never had more than the result, tanh's
       y, and three gradients at once */
    assert_int_equal(in_use() - before, VECTOR + 64);
    assert_true(peak() - before <= 5 * VECTOR + 128);
    assert_non_null(y->value);
    lode_tape_destroy(t);
    assert_int_equal(in_use() - before, VECTOR);
    lode_tensor_release(da);
    lode_tensor_release(a);
}

static void test_take_forget(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_TRAIN);
    lode_tensor *a = vector(N, 0.5);
    int64_t before = in_use();
    lode_scope s = lode_tape_enter(t, NULL);
    lode_var *x = lode_tape_leaf(t, a, NULL), *y = t_tanh(t, x), *z = t_add(t, y, x);
    lode_tensor *kept = lode_take_value(z);
    assert_ptr_equal(kept, z->value);
    lode_forget(y);
    lode_forget(z); /* taken: stays */
    assert_null(y->value);
    assert_null(lode_take_value(y));
    lode_forget(NULL);
    lode_var *loss = lode_tape_leave(t, s, t_sum(t, z));
    assert_non_null(z->value);
    assert_ok(lode_backward(t, loss, 1));
    assert_ptr_equal(z->value, kept);
    assert_non_null(lode_detach(t, z)); /* spent, but detaching is the way on */
    lode_tape_reset(t);
    assert_int_equal(in_use() - before, VECTOR);
    assert_near(lode_at(kept, 7), tanh(0.5) + 0.5, 1e-6);
    lode_tensor_release(kept);
    assert_int_equal(in_use(), before);
    lode_tape_destroy(t);
    lode_tensor_release(a);
}

/* A view outlives its base's handle; the memory goes with the last of both. */
static void test_view_keeps(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_EVAL);
    lode_tensor *a = vector(N, 0.5);
    int64_t before = in_use();
    lode_scope s = lode_tape_enter(t, NULL);
    lode_var *y = t_half(t, t_tanh(t, lode_tape_constant(t, a)), false);
    y = lode_tape_leave(t, s, y);
    assert_int_equal(in_use() - before, VECTOR);
    assert_near(lode_at(y->value, N / 2 - 1), tanh(0.5), 1e-6);
    lode_forget(y);
    assert_int_equal(in_use(), before);
    y = t_half(t, lode_tape_constant(t, a), true); /* refuses the view: a copy */
    assert_int_equal(in_use() - before, VECTOR / 2);
    lode_tape_destroy(t);
    lode_tensor_release(a);
}

static void test_identity_block(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_EVAL);
    lode_tensor *a = vector(4, 1);
    lode_var *x = lode_tape_constant(t, a);
    lode_scope s = lode_tape_enter(t, "identity");
    assert_ptr_equal(lode_tape_leave(t, s, x), x);
    assert_non_null(x->value);
    s = lode_tape_enter(t, "");
    lode_tape_trim(t, &s, x);
    assert_non_null(x->value);
    assert_string_equal(lode_tape_label(t), "");
    lode_tape_destroy(t);
    lode_tensor_release(a);
}

/* Many vars: addresses stay while the tape grows; long labels too. */
static void test_growth(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_TRAIN);
    lode_tensor *a = vector(2, 0.001), *da = NULL;
    lode_var *x = lode_tape_leaf(t, a, &da), *y = x;
    for (int i = 0; i < 60; i++) lode_tape_enter(t, "a_rather_long_label_for_a_scope");
    for (int i = 0; i < 3000; i++) y = t_add(t, y, x);
    assert_int_equal(strlen(lode_tape_label(t)), 60 * 32 - 1);
    assert_ok(lode_backward(t, t_sum(t, y), 1));
    assert_true(lode_at(da, 1) == 3001);
    lode_tape_destroy(t);
    lode_tensor_release(a);
    lode_tensor_release(da);
}

/* ---- chance ---- */
static void test_rng(void **state) {
    (void)state;
    lode_tape *t = new_tape(LODE_TRAIN);
    lode_tape_set_step(t, 11, 22);
    assert_int_equal(lode_tape_seed(t), 11);
    assert_int_equal(lode_tape_step(t), 22);
    lode_rng a = lode_tape_next_rng(t, LODE_RNG_DROPOUT),
             b = lode_tape_next_rng(t, LODE_RNG_DROPOUT);
    lode_rng g = lode_tape_next_rng(t, LODE_RNG_GUMBEL);
    assert_true(a.seed == 11 && a.index == 22 && a.purpose == LODE_RNG_DROPOUT && a.position == 0);
    assert_true(b.position == (uint64_t)1 << 40 && g.position == 0);
    lode_tape_reset(t);
    assert_true(lode_tape_next_rng(t, LODE_RNG_DROPOUT).position == 0);
    lode_tape_set_step(t, 11, 23);
    a = lode_tape_next_rng(t, LODE_RNG_DROPOUT);
    assert_true(a.position == 0 && a.index == 23);
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),       cmocka_unit_test(test_sticky),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_two_tapes),
        cmocka_unit_test(test_optional),    cmocka_unit_test(test_eval_chain),
        cmocka_unit_test(test_train_keeps), cmocka_unit_test(test_take_forget),
        cmocka_unit_test(test_view_keeps),  cmocka_unit_test(test_identity_block),
        cmocka_unit_test(test_growth),      cmocka_unit_test(test_rng)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
