/* test_mixture.c: weighted sums of options, absent ones included. */
#include "support/hand.h"

static const double ones[128] = {1, 1, 1, 1, 1, 1};

static void test_one_weight_for_the_batch(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *o[2] = {hand_leaf(t, LODE_SHAPE2(2, 2), (double[]){1, 2, 3, 4}),
                      hand_leaf(t, LODE_SHAPE2(2, 2), (double[]){10, 20, 30, 40})};
    lode_var *w = hand_leaf(t, LODE_SHAPE1(2), (double[]){2, 0.5});
    lode_var *y = lode_weighted_sum(t, o, 2, w);
    hand_check(y->value, LODE_SHAPE2(2, 2), 7, 14, 21, 28);
    hand_backward(t, y, (double[]){1, 0, 0, 10});
    hand_check(o[0]->grad, LODE_SHAPE2(2, 2), 2, 0, 0, 20);
    hand_check(o[1]->grad, LODE_SHAPE2(2, 2), 0.5, 0, 0, 5);
    hand_check(w->grad, LODE_SHAPE1(2), 41, 410);
    lode_tape_destroy(t);
}

static void test_a_weight_for_each_sample(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *o[2] = {hand_leaf(t, LODE_SHAPE2(2, 2), (double[]){1, 2, 3, 4}),
                      hand_leaf(t, LODE_SHAPE2(2, 2), (double[]){10, 20, 30, 40})};
    lode_var *w = hand_leaf(t, LODE_SHAPE2(2, 2), (double[]){1, 0, 0, 1});
    lode_var *y = lode_weighted_sum(t, o, 2, w);
    hand_check(y->value, LODE_SHAPE2(2, 2), 1, 2, 30, 40);
    hand_backward(t, y, (double[]){1, 1, 2, 2});
    hand_check(o[0]->grad, LODE_SHAPE2(2, 2), 1, 1, 0, 0);
    hand_check(o[1]->grad, LODE_SHAPE2(2, 2), 0, 0, 2, 2);
    hand_check(w->grad, LODE_SHAPE2(2, 2), 3, 30, 14, 140);
    lode_tape_destroy(t);
}

static void test_absent_options_are_zero(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *o[3] = {NULL, hand_leaf(t, LODE_SHAPE1(2), (double[]){1, 2}), NULL};
    lode_var *w = hand_leaf(t, LODE_SHAPE1(3), (double[]){7, 3, 7});
    lode_var *y = lode_weighted_sum(t, o, 3, w);
    hand_check(y->value, LODE_SHAPE1(2), 3, 6);
    hand_backward(t, y, (double[]){10, 1});
    hand_check(w->grad, LODE_SHAPE1(3), 0, 12, 0);
    hand_check(o[1]->grad, LODE_SHAPE1(2), 30, 3);
    lode_tape_destroy(t);
}

static void test_as_many_as_possible(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *o[63];
    double weight[63];
    for (int k = 0; k < 63; k++) {
        o[k] = hand_leaf(t, LODE_SHAPE1(1), (double[]){k});
        weight[k] = 1;
    }
    lode_var *y = lode_weighted_sum(t, o, 63, hand_leaf(t, LODE_SHAPE1(63), weight));
    hand_check(y->value, LODE_SHAPE1(1), 62 * 63 / 2);
    hand_backward(t, y, ones);
    hand_check(o[62]->grad, LODE_SHAPE1(1), 1);
    hand_fails(t, lode_weighted_sum(t, o, 64, o[0]), LODE_ERR_INVALID,
               "1 to 63 options are possible, not 64");
    lode_tape_destroy(t);
}

/* Two widths, 2 and 4 channels, weighted 0.25 and 0.75 (FBNetV2): the first two channels are in
   both. With ones that come back each weight gets as many as it has channels. */
static void test_prefix_mask(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *g = hand_leaf(t, LODE_SHAPE1(2), (double[]){0.25, 0.75});
    lode_var *m = lode_prefix_mask(t, g, (int64_t[]){2, 4}, 2, 4);
    hand_check(m->value, LODE_SHAPE1(4), 1, 1, 0.75, 0.75);
    hand_backward(t, m, (double[]){1, 1, 1, 1});
    hand_check(g->grad, LODE_SHAPE1(2), 2, 4);
    g = hand_leaf(t, LODE_SHAPE2(2, 2), (double[]){0.25, 0.75, 1, 0});
    m = lode_prefix_mask(t, g, (int64_t[]){1, 3}, 2, 3);
    hand_check(m->value, LODE_SHAPE2(2, 3), 1, 0.75, 0.75, 1, 0, 0);
    hand_backward(t, m, (double[]){1, 2, 3, 4, 5, 6});
    hand_check(g->grad, LODE_SHAPE2(2, 2), 1, 6, 4, 15);
    hand_fails(t, lode_prefix_mask(t, g, (int64_t[]){1, 4}, 2, 3), LODE_ERR_INVALID,
               "width 4 of 3 channels");
    g = hand_leaf(t, LODE_SHAPE1(2), ones);
    hand_fails(t, lode_prefix_mask(t, g, (int64_t[]){1, 2, 3}, 3, 3), LODE_ERR_SHAPE,
               "g is [2], but for 3 widths [K] or [N,K] is wanted");
    g = hand_leaf(t, LODE_SHAPE1(2), ones);
    hand_fails(t, lode_prefix_mask(t, g, NULL, 25, 3), LODE_ERR_INVALID, "not 25");
    lode_tape_destroy(t);
}

static void test_messages(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *none[2] = {NULL, NULL};
    hand_fails(t, lode_weighted_sum(t, none, 2, hand_leaf(t, LODE_SHAPE1(2), ones)),
               LODE_ERR_INVALID, "all 2 options are absent");
    lode_var *unequal[2] = {hand_leaf(t, LODE_SHAPE1(2), ones), hand_leaf(t, LODE_SHAPE1(3), ones)};
    hand_fails(t, lode_weighted_sum(t, unequal, 2, hand_leaf(t, LODE_SHAPE1(2), ones)),
               LODE_ERR_SHAPE, "option 2 is [3], but [2] is wanted");
    lode_var *one = hand_leaf(t, LODE_SHAPE2(2, 3), ones);
    hand_fails(t, lode_weighted_sum(t, &one, 1, hand_leaf(t, LODE_SHAPE2(3, 1), ones)),
               LODE_ERR_SHAPE, "w is [3, 1], but for 1 options of [2, 3] [K] or [N,K] is wanted");
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_weight_for_the_batch),
        cmocka_unit_test(test_a_weight_for_each_sample),
        cmocka_unit_test(test_absent_options_are_zero),
        cmocka_unit_test(test_as_many_as_possible),
        cmocka_unit_test(test_prefix_mask),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
