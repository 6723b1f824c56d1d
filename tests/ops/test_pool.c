/* test_pool.c: max_pool, avg_pool, global_avg_pool, bilinear_upsample. */
#include "support/hand.h"

static const double counting[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const double ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

static void test_max(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 1, 4, 4), counting);
    lode_var *y = lode_max_pool(t, x, lode_pool_square(2, 2, 0));
    hand_check(y->value, LODE_SHAPE4(1, 1, 2, 2), 6, 8, 14, 16);
    hand_backward(t, y, (double[]){1, 2, 3, 4});
    hand_check(x->grad, LODE_SHAPE4(1, 1, 4, 4), 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4);
    lode_tape_destroy(t);
}

static void test_first_of_equals_gets_the_gradient(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 1, 2, 2), (double[]){1, 7, 7, 7});
    lode_var *y = lode_max_pool(t, x, lode_pool_square(2, 1, 0));
    hand_check(y->value, LODE_SHAPE4(1, 1, 1, 1), 7);
    hand_backward(t, y, ones);
    hand_check(x->grad, LODE_SHAPE4(1, 1, 2, 2), 0, 1, 0, 0);
    lode_tape_destroy(t);
}

/* Padding is not a value: the largest of negative numbers is negative. */
static void test_padding_never_wins(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 1, 1, 2), (double[]){-5, -3});
    lode_var *y = lode_max_pool(t, x, lode_pool_square(3, 1, 1));
    hand_check(y->value, LODE_SHAPE4(1, 1, 1, 2), -3, -3);
    lode_tape_destroy(t);
}

static void test_average_with_and_without_padding(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_pool_params p = lode_pool_square(3, 1, 1);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 1, 2, 2), (double[]){9, 18, 27, 36});
    lode_var *out = lode_avg_pool(t, x, p);
    hand_check(out->value, LODE_SHAPE4(1, 1, 2, 2), 22.5, 22.5, 22.5, 22.5);
    hand_backward(t, out, ones);
    hand_check(x->grad, LODE_SHAPE4(1, 1, 2, 2), 1, 1, 1, 1);
    lode_tape_reset(t);
    p.count_include_pad = 1;
    x = hand_leaf(t, LODE_SHAPE4(1, 1, 2, 2), (double[]){9, 18, 27, 36});
    hand_check(lode_avg_pool(t, x, p)->value, LODE_SHAPE4(1, 1, 2, 2), 10, 10, 10, 10);
    lode_tape_destroy(t);
}

/* 5 wide, windows of 2 by 2: two fit, ceil adds one that hangs over. A window that would begin
   behind the image is dropped. */
static void test_ceil_mode(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 1, 1, 5), counting);
    lode_pool_params p = {{1, 2}, {1, 2}, {0, 0}, 0, 0};
    hand_check(lode_avg_pool(t, x, p)->value, LODE_SHAPE4(1, 1, 1, 2), 1.5, 3.5);
    p.ceil_mode = 1;
    hand_check(lode_avg_pool(t, x, p)->value, LODE_SHAPE4(1, 1, 1, 3), 1.5, 3.5, 5);
    p = (lode_pool_params){{1, 1}, {1, 3}, {0, 0}, 0, 1};
    lode_var *four = hand_leaf(t, LODE_SHAPE4(1, 1, 1, 3), counting);
    hand_check(lode_avg_pool(t, four, p)->value, LODE_SHAPE4(1, 1, 1, 1), 1);
    lode_tape_destroy(t);
}

static void test_global_average(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 2, 2, 2), counting);
    lode_var *y = lode_global_avg_pool(t, x);
    hand_check(y->value, LODE_SHAPE4(1, 2, 1, 1), 2.5, 6.5);
    hand_backward(t, y, (double[]){4, 8});
    hand_check(x->grad, LODE_SHAPE4(1, 2, 2, 2), 1, 1, 1, 1, 2, 2, 2, 2);
    lode_tape_destroy(t);
}

/* Half-pixel centers: 2 to 4 reads at -1/4 (held at 0), 1/4, 3/4, 5/4 (held at 1). */
static void test_upsample_half_pixel(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 1, 1, 2), (double[]){0, 4});
    lode_var *y = lode_bilinear_upsample(t, x, (lode_upsample_params){1, 4, 0, 0});
    hand_check(y->value, LODE_SHAPE4(1, 1, 1, 4), 0, 1, 3, 4);
    hand_backward(t, y, ones);
    hand_check(x->grad, LODE_SHAPE4(1, 1, 1, 2), 2, 2);
    lode_tape_destroy(t);
}

static void test_upsample_corners(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 1, 2, 2), (double[]){0, 2, 4, 6});
    lode_var *y = lode_bilinear_upsample(t, x, (lode_upsample_params){3, 3, 1, 0});
    hand_check(y->value, LODE_SHAPE4(1, 1, 3, 3), 0, 1, 2, 2, 3, 4, 4, 5, 6);
    hand_backward(t, y, (double[]){0, 0, 0, 0, 4, 0, 0, 0, 8});
    hand_check(x->grad, LODE_SHAPE4(1, 1, 2, 2), 1, 1, 1, 9);
    lode_tape_destroy(t);
}

static void test_messages(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_shape s = LODE_SHAPE4(1, 1, 2, 2);
    hand_fails(t, lode_max_pool(t, hand_leaf(t, s, ones), lode_pool_square(3, 1, 2)),
               LODE_ERR_INVALID, "pad 2 must be between 0 and half the kernel, 1");
    hand_fails(t, lode_avg_pool(t, hand_leaf(t, s, ones), lode_pool_square(3, 1, 0)),
               LODE_ERR_SHAPE, "a window of 3 does not fit dim 2 of x, 2");
    hand_fails(t, lode_avg_pool(t, hand_leaf(t, s, ones), lode_pool_square(2, 0, 0)),
               LODE_ERR_INVALID, "stride 0 must be at least 1");
    hand_fails(t,
               lode_bilinear_upsample(t, hand_leaf(t, s, ones), (lode_upsample_params){0, 4, 0, 0}),
               LODE_ERR_SHAPE, "no side may be empty");
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max),
        cmocka_unit_test(test_first_of_equals_gets_the_gradient),
        cmocka_unit_test(test_padding_never_wins),
        cmocka_unit_test(test_average_with_and_without_padding),
        cmocka_unit_test(test_ceil_mode),
        cmocka_unit_test(test_global_average),
        cmocka_unit_test(test_upsample_half_pixel),
        cmocka_unit_test(test_upsample_corners),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
