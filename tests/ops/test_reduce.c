/* test_reduce.c: sums, means and maxima on paper. */
#include "support/hand.h"

#include <math.h>

static const double six[6] = {1, 2, 3, 4, 5, 6};

static void test_sum_of_all(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(2, 3), six);
    lode_var *y = lode_reduce_sum(t, x, (lode_reduce_params){0});
    hand_check(y->value, LODE_SCALAR, 21);
    assert_ok(lode_backward(t, y, 2));
    hand_check(x->grad, LODE_SHAPE2(2, 3), 2, 2, 2, 2, 2, 2);
    lode_tape_destroy(t);
}

static void test_sum_of_columns(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(2, 3), six);
    lode_var *y = lode_reduce_sum(t, x, (lode_reduce_params){.dims = 1});
    hand_check(y->value, LODE_SHAPE1(3), 5, 7, 9);
    hand_backward(t, y, (double[]){1, 2, 3});
    hand_check(x->grad, LODE_SHAPE2(2, 3), 1, 2, 3, 1, 2, 3);
    lode_tape_destroy(t);
}

static void test_mean_keeps_dims(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 2, 1, 3), six);
    lode_var *y = lode_reduce_mean(t, x, (lode_reduce_params){.dims = 4 | 8, .keep = 1});
    hand_check(y->value, LODE_SHAPE4(1, 2, 1, 1), 2, 5);
    hand_backward(t, y, (double[]){3, 6});
    hand_check(x->grad, LODE_SHAPE4(1, 2, 1, 3), 1, 1, 1, 2, 2, 2);
    lode_tape_destroy(t);
}

static void test_max_first_of_equals(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(2, 3), (double[]){-1, 7, 7, -5, -6, -7});
    lode_var *y = lode_reduce_max(t, x, (lode_reduce_params){.dims = 2, .keep = 1});
    hand_check(y->value, LODE_SHAPE2(2, 1), 7, -5);
    hand_backward(t, y, (double[]){1, 2});
    hand_check(x->grad, LODE_SHAPE2(2, 3), 0, 1, 0, 2, 0, 0);
    lode_tape_destroy(t);
}

/* A NaN must not be hidden by a comparison that is always false. */
static void test_max_shows_nan(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(3), (double[]){1, NAN, 9});
    assert_true(isnan(lode_at(lode_reduce_max(t, x, (lode_reduce_params){0})->value, 0)));
    lode_tape_destroy(t);
}

/* A sum in f32 is accumulated in double: 2^24 + 1 + 1 loses nothing. */
static void test_sum_accumulates_in_double(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_tensor *x =
        hand_tensor(LODE_F32, LODE_CONTIGUOUS, LODE_SHAPE1(3), (double[]){16777216, 1, 1});
    lode_var *y = lode_reduce_sum(t, lode_tape_constant(t, x), (lode_reduce_params){0});
    assert_true(lode_at(y->value, 0) == 16777218);
    lode_tensor_release(x);
    lode_tape_destroy(t);
}

static void test_refuses(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(2, 3), six);
    lode_var *y = lode_reduce_sum(t, x, (lode_reduce_params){.dims = 4});
    hand_fails(t, y, LODE_ERR_SHAPE, "reduce_sum: dim mask 0x4, but x is [2, 3]");
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum_of_all),      cmocka_unit_test(test_sum_of_columns),
        cmocka_unit_test(test_mean_keeps_dims), cmocka_unit_test(test_max_first_of_equals),
        cmocka_unit_test(test_max_shows_nan),   cmocka_unit_test(test_sum_accumulates_in_double),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
