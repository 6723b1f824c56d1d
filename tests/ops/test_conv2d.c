/* test_conv2d.c: convolutions checked on paper, and what broken ones are told. */
#include "support/hand.h"

static const double counting[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const double ones[64] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

static void test_sum_of_a_window(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 1, 3, 3), counting);
    lode_var *w = hand_leaf(t, LODE_SHAPE4(1, 1, 3, 3), ones);
    lode_var *b = hand_leaf(t, LODE_SHAPE1(1), (double[]){100});
    lode_var *y = lode_conv2d(t, x, w, b, lode_conv2d_same(3, 1, 1, 1));
    hand_check(y->value, LODE_SHAPE4(1, 1, 3, 3), 112, 121, 116, 127, 145, 133, 124, 139, 128);
    hand_backward(t, y, ones);
    hand_check(x->grad, LODE_SHAPE4(1, 1, 3, 3), 4, 6, 4, 6, 9, 6, 4, 6, 4);
    hand_check(w->grad, LODE_SHAPE4(1, 1, 3, 3), 12, 21, 16, 27, 45, 33, 24, 39, 28);
    hand_check(b->grad, LODE_SHAPE1(1), 9);
    lode_tape_destroy(t);
}

/* Stride 2 looks at every second place; the kernel picks one neighbor each. */
static void test_stride_and_offset(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 1, 4, 4), counting);
    lode_var *w = hand_leaf(t, LODE_SHAPE4(2, 1, 2, 2), (double[]){1, 0, 0, 0, 0, 0, 0, 1});
    lode_var *y = lode_conv2d(t, x, w, NULL, (lode_conv2d_params){{2, 2}, {0, 0}, {1, 1}, 1, 0});
    hand_check(y->value, LODE_SHAPE4(1, 2, 2, 2), 1, 3, 9, 11, 6, 8, 14, 16);
    hand_backward(t, y, counting);
    hand_check(x->grad, LODE_SHAPE4(1, 1, 4, 4), 1, 0, 2, 0, 0, 5, 0, 6, 3, 0, 4, 0, 0, 7, 0, 8);
    lode_tape_destroy(t);
}

static void test_depthwise_keeps_channels_apart(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 2, 1, 3), counting);
    lode_var *w = hand_leaf(t, LODE_SHAPE4(2, 1, 1, 1), (double[]){10, 100});
    lode_var *y = lode_conv2d(t, x, w, NULL, lode_conv2d_same(1, 1, 1, 2));
    hand_check(y->value, LODE_SHAPE4(1, 2, 1, 3), 10, 20, 30, 400, 500, 600);
    hand_backward(t, y, ones);
    hand_check(w->grad, LODE_SHAPE4(2, 1, 1, 1), 6, 15);
    lode_tape_destroy(t);
}

/* Taps two apart: y[j] = x[j-2] + 10 x[j] + 100 x[j+2]. */
static void test_dilation(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 1, 1, 5), counting);
    lode_var *w = hand_leaf(t, LODE_SHAPE4(1, 1, 1, 3), (double[]){1, 10, 100});
    lode_var *y = lode_conv2d(t, x, w, NULL, (lode_conv2d_params){{1, 1}, {0, 2}, {1, 2}, 1, 0});
    hand_check(y->value, LODE_SHAPE4(1, 1, 1, 5), 310, 420, 531, 42, 53);
    lode_tape_destroy(t);
}

static void test_macs(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRACE);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 4, 2, 2), counting);
    lode_var *w = hand_leaf(t, LODE_SHAPE4(6, 2, 1, 1), counting);
    lode_var *b = hand_leaf(t, LODE_SHAPE1(6), counting);
    lode_conv2d(t, x, w, b, lode_conv2d_same(1, 1, 1, 2));
    lode_op_count n = lode_trace_get(t, 0)->count;
    assert_near(n.macs, 4 * 6 * 2, 0); /* pixels, outputs, inputs of a group: no bias */
    assert_near(n.flops, 2 * 48 + 24, 0);
    assert_near(n.bytes_read, 8 * (16 + 12 + 6), 0);
    assert_near(n.bytes_written, 8 * 24, 0);
    lode_tape_destroy(t);
}

static void test_messages(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_conv2d_params p = lode_conv2d_same(3, 1, 1, 1);
#define CONV(xs, ws, bs)                                                                           \
    lode_conv2d(t, hand_leaf(t, xs, ones), hand_leaf(t, ws, ones), hand_leaf(t, bs, ones), p)
    hand_fails(t, CONV(LODE_SHAPE4(1, 3, 4, 4), LODE_SHAPE4(4, 1, 3, 3), LODE_SHAPE1(4)),
               LODE_ERR_SHAPE, "x has 3 channels in 1 groups, but w wants 1 per group");
    hand_fails(t, CONV(LODE_SHAPE4(1, 1, 4, 4), LODE_SHAPE4(4, 1, 3, 3), LODE_SHAPE1(5)),
               LODE_ERR_SHAPE, "b is [5], but [4] is wanted");
    hand_fails(t, CONV(LODE_SHAPE3(1, 4, 4), LODE_SHAPE4(4, 1, 3, 3), LODE_SHAPE1(4)),
               LODE_ERR_SHAPE, "x [1, 4, 4] has 3 dims, but 4 are wanted");
    p.pad[0] = 0;
    hand_fails(t, CONV(LODE_SHAPE4(1, 1, 2, 8), LODE_SHAPE4(4, 1, 3, 3), LODE_SHAPE1(4)),
               LODE_ERR_SHAPE, "kernel of 3 with dilation 1 does not fit dim 2 of x, 2");
    p.groups = 2;
    hand_fails(t, CONV(LODE_SHAPE4(1, 2, 4, 4), LODE_SHAPE4(3, 1, 3, 3), LODE_SHAPE1(3)),
               LODE_ERR_SHAPE, "2 input and 3 output channels do not divide into 2 groups");
    p.stride[1] = 0;
    hand_fails(t, CONV(LODE_SHAPE4(1, 2, 4, 4), LODE_SHAPE4(2, 1, 3, 3), LODE_SHAPE1(2)),
               LODE_ERR_INVALID, "stride 0");
#undef CONV
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum_of_a_window),
        cmocka_unit_test(test_stride_and_offset),
        cmocka_unit_test(test_depthwise_keeps_channels_apart),
        cmocka_unit_test(test_dilation),
        cmocka_unit_test(test_macs),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
