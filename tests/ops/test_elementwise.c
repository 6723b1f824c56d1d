/* test_elementwise.c: broadcasting and its gradients on paper; scale, scale_rows, zero. */
#include "support/hand.h"

static void test_add_column_and_row(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *a = hand_leaf(t, LODE_SHAPE2(2, 1), (double[]){10, 20});
    lode_var *b = hand_leaf(t, LODE_SHAPE1(3), (double[]){1, 2, 3});
    lode_var *y = lode_add(t, a, b);
    hand_check(y->value, LODE_SHAPE2(2, 3), 11, 12, 13, 21, 22, 23);
    hand_backward(t, y, (double[]){1, 2, 3, 4, 5, 6});
    hand_check(a->grad, LODE_SHAPE2(2, 1), 6, 15);
    hand_check(b->grad, LODE_SHAPE1(3), 5, 7, 9);
    lode_tape_destroy(t);
}

static void test_sub_scalar(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *a = hand_leaf(t, LODE_SCALAR, (double[]){1});
    lode_var *b = hand_leaf(t, LODE_SHAPE2(1, 2), (double[]){3, 5});
    lode_var *y = lode_sub(t, a, b);
    hand_check(y->value, LODE_SHAPE2(1, 2), -2, -4);
    hand_backward(t, y, (double[]){2, 7});
    hand_check(a->grad, LODE_SCALAR, 9);
    hand_check(b->grad, LODE_SHAPE2(1, 2), -2, -7);
    lode_tape_destroy(t);
}

/* The squeeze-excite gate: one factor per sample and channel. */
static void test_mul_gate(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 2, 1, 3), (double[]){1, 2, 3, 4, 5, 6});
    lode_var *gate = hand_leaf(t, LODE_SHAPE4(1, 2, 1, 1), (double[]){0.5, 2});
    lode_var *y = lode_mul(t, x, gate);
    assert_true(lode_tensor_is_channels_last(y->value));
    hand_check(y->value, LODE_SHAPE4(1, 2, 1, 3), 0.5, 1, 1.5, 8, 10, 12);
    hand_backward(t, y, (double[]){1, 1, 1, 1, 0, -1});
    hand_check(x->grad, LODE_SHAPE4(1, 2, 1, 3), 0.5, 0.5, 0.5, 2, 0, -2);
    hand_check(gate->grad, LODE_SHAPE4(1, 2, 1, 1), 6, -2);
    lode_tape_destroy(t);
}

static void test_mul_of_one_var_by_itself(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(2), (double[]){3, -4});
    lode_var *y = lode_mul(t, x, x);
    hand_check(y->value, LODE_SHAPE1(2), 9, 16);
    hand_backward(t, y, (double[]){1, 10});
    hand_check(x->grad, LODE_SHAPE1(2), 6, -80);
    lode_tape_destroy(t);
}

static void test_div(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *a = hand_leaf(t, LODE_SHAPE2(2, 2), (double[]){1, 2, 3, 4});
    lode_var *b = hand_leaf(t, LODE_SHAPE2(1, 2), (double[]){2, -4});
    lode_var *y = lode_div(t, a, b);
    hand_check(y->value, LODE_SHAPE2(2, 2), 0.5, -0.5, 1.5, -1);
    hand_backward(t, y, (double[]){1, 1, 1, 1});
    hand_check(a->grad, LODE_SHAPE2(2, 2), 0.5, -0.25, 0.5, -0.25);
    hand_check(b->grad, LODE_SHAPE2(1, 2), -1, -6.0 / 16);
    lode_tape_destroy(t);
}

/* Only the operand that wants a gradient gets one. */
static void test_constant_operand(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(2), (double[]){1, 2});
    lode_tensor *two = hand_tensor(LODE_F64, LODE_CONTIGUOUS, LODE_SCALAR, (double[]){2});
    lode_var *c = lode_tape_constant(t, two);
    lode_var *y = lode_mul(t, c, x);
    hand_backward(t, y, (double[]){1, 1});
    hand_check(x->grad, LODE_SHAPE1(2), 2, 2);
    assert_null(c->grad);
    lode_tensor_release(two);
    lode_tape_destroy(t);
}

static void test_result_of_plain_weights_is_plain(void **state) {
    (void)state;
    const lode_shape shape = LODE_SHAPE4(2, 3, 2, 2);
    const double v[24] = {1};
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_tensor *w = hand_tensor(LODE_F64, LODE_CONTIGUOUS, shape, v);
    lode_var *x = lode_tape_constant(t, w);
    lode_var *each = hand_leaf(t, LODE_SHAPE4(2, 1, 1, 1), (double[]){2, 3});
    assert_true(lode_tensor_is_contiguous(lode_mul(t, each, x)->value));
    assert_true(lode_tensor_is_channels_last(lode_mul(t, each, hand_leaf(t, shape, v))->value));
    lode_tensor_release(w);
    lode_tape_destroy(t);
}

static void test_scale(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(2), (double[]){1, -2});
    lode_var *y = lode_scale(t, x, -3, 0.5);
    hand_check(y->value, LODE_SHAPE1(2), -2.5, 6.5);
    hand_backward(t, y, (double[]){1, 2});
    hand_check(x->grad, LODE_SHAPE1(2), -3, -6);
    lode_tape_destroy(t);
}

static void test_scale_rows(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(2, 3), (double[]){1, 2, 3, 4, 5, 6});
    lode_var *s = hand_leaf(t, LODE_SHAPE1(2), (double[]){10, -1});
    lode_var *y = lode_scale_rows(t, x, s);
    hand_check(y->value, LODE_SHAPE2(2, 3), 10, 20, 30, -4, -5, -6);
    hand_backward(t, y, (double[]){1, 0, 2, 3, 1, 0});
    hand_check(x->grad, LODE_SHAPE2(2, 3), 10, 0, 20, -3, -1, 0);
    hand_check(s->grad, LODE_SHAPE1(2), 7, 17);
    lode_tape_destroy(t);
}

/* 5x4 at stride 2 gives 3x2, as a convolution with "same" padding would. */
static void test_zero(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    double v[40];
    for (int i = 0; i < 40; i++) v[i] = i;
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 2, 5, 4), v);
    lode_var *y = lode_zero(t, x, (lode_zero_params){.stride = 2, .channels = 1});
    hand_check(y->value, LODE_SHAPE4(1, 1, 3, 2), 0, 0, 0, 0, 0, 0);
    lode_var *loss = lode_add(t, lode_reduce_sum(t, y, (lode_reduce_params){0}),
                              lode_reduce_sum(t, x, (lode_reduce_params){0}));
    assert_ok(lode_backward(t, loss, 1));
    for (int i = 0; i < 40; i++) assert_true(lode_at(x->grad, i) == 1);
    lode_tape_destroy(t);
}

static void test_refuses(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    const double v[12] = {0};
    lode_var *y = lode_add(t, hand_leaf(t, LODE_SHAPE2(2, 3), v), hand_leaf(t, LODE_SHAPE1(2), v));
    hand_fails(t, y, LODE_ERR_SHAPE, "add");
    lode_tensor *f32 = hand_tensor(LODE_F32, LODE_CONTIGUOUS, LODE_SHAPE1(2), v);
    y = lode_mul(t, hand_leaf(t, LODE_SHAPE1(2), v), lode_tape_constant(t, f32));
    hand_fails(t, y, LODE_ERR_DTYPE, "mul: the operands are f64 and f32");
    lode_tensor_release(f32);
    y = lode_scale_rows(t, hand_leaf(t, LODE_SHAPE2(2, 3), v), hand_leaf(t, LODE_SHAPE1(3), v));
    hand_fails(t, y, LODE_ERR_SHAPE, "x is [2, 3], s is [3]");
    y = lode_zero(t, hand_leaf(t, LODE_SHAPE2(2, 3), v), (lode_zero_params){.stride = 2});
    hand_fails(t, y, LODE_ERR_SHAPE, "stride 2");
    y = lode_zero(t, hand_leaf(t, LODE_SHAPE2(2, 3), v), (lode_zero_params){.stride = 0});
    hand_fails(t, y, LODE_ERR_INVALID, "stride 0");
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_column_and_row),
        cmocka_unit_test(test_sub_scalar),
        cmocka_unit_test(test_mul_gate),
        cmocka_unit_test(test_mul_of_one_var_by_itself),
        cmocka_unit_test(test_div),
        cmocka_unit_test(test_constant_operand),
        cmocka_unit_test(test_result_of_plain_weights_is_plain),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_scale_rows),
        cmocka_unit_test(test_zero),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
