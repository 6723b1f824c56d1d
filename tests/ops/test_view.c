/* test_view.c: identity, slice, split, reshape, transpose, concat, pad, channel_shuffle. */
#include "support/hand.h"

static const double counting[24] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                    12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};

static bool same_storage(const lode_var *a, const lode_var *b) {
    return a->value->storage == b->value->storage;
}

static void test_slice_is_a_view(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(2, 5), counting);
    lode_var *y = lode_slice(t, x, 1, 1, 5, 2);
    assert_true(same_storage(x, y));
    hand_check(y->value, LODE_SHAPE2(2, 2), 1, 3, 6, 8);
    hand_backward(t, y, (double[]){1, 2, 3, 4});
    hand_check(x->grad, LODE_SHAPE2(2, 5), 0, 1, 0, 2, 0, 0, 3, 0, 4, 0);
    lode_tape_destroy(t);
}

/* Two slices that overlap: both gradients arrive. */
static void test_slices_overlap(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(4), counting);
    lode_var *y = lode_add(t, lode_slice(t, x, 0, 0, 3, 1), lode_slice(t, x, 0, 1, 4, 1));
    hand_check(y->value, LODE_SHAPE1(3), 1, 3, 5);
    hand_backward(t, y, (double[]){1, 10, 100});
    hand_check(x->grad, LODE_SHAPE1(4), 1, 11, 110, 100);
    lode_tape_destroy(t);
}

static void test_split_then_concat_is_identity(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 6, 2, 2), counting), *part[4];
    assert_ok(lode_split(t, x, 1, 3, part));
    hand_check(part[1]->value, LODE_SHAPE4(1, 2, 2, 2), 8, 9, 10, 11, 12, 13, 14, 15);
    lode_var *y = lode_concat(t, part, 3, 1);
    assert_true(lode_tensor_is_channels_last(y->value));
    hand_check_at(y->value, LODE_SHAPE4(1, 6, 2, 2), counting, "y", __FILE__, __LINE__);
    hand_backward(t, y, counting);
    hand_check_at(x->grad, LODE_SHAPE4(1, 6, 2, 2), counting, "dx", __FILE__, __LINE__);
    assert_fails(lode_split(t, x, 1, 4, part), LODE_ERR_SHAPE, "4 equal parts along dim 1");
    lode_tape_destroy(t);
}

static void test_concat_in_the_middle(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x[2] = {hand_leaf(t, LODE_SHAPE3(2, 1, 2), (double[]){1, 2, 3, 4}),
                      hand_leaf(t, LODE_SHAPE3(2, 2, 2), (double[]){5, 6, 7, 8, 9, 10, 11, 12})};
    lode_var *y = lode_concat(t, x, 2, 1);
    hand_check(y->value, LODE_SHAPE3(2, 3, 2), 1, 2, 5, 6, 7, 8, 3, 4, 9, 10, 11, 12);
    hand_backward(t, y, counting);
    hand_check(x[0]->grad, LODE_SHAPE3(2, 1, 2), 0, 1, 6, 7);
    hand_check(x[1]->grad, LODE_SHAPE3(2, 2, 2), 2, 3, 4, 5, 8, 9, 10, 11);
    lode_tape_destroy(t);
}

static void test_reshape(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(2, 6), counting);
    lode_var *y = lode_reshape(t, x, &LODE_SHAPE3(3, -1, 2));
    assert_true(same_storage(x, y));
    hand_check(y->value, LODE_SHAPE3(3, 2, 2), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
    hand_backward(t, y, counting);
    hand_check(x->grad, LODE_SHAPE2(2, 6), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
    lode_tape_destroy(t);
}

/* Flattening an image goes by logical order: free for 1x1 maps, else a copy. */
static void test_reshape_of_an_image(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *pooled = hand_leaf(t, LODE_SHAPE4(2, 3, 1, 1), counting);
    assert_true(same_storage(pooled, lode_reshape(t, pooled, &LODE_SHAPE2(2, 3))));
    lode_var *image = hand_leaf(t, LODE_SHAPE4(1, 2, 2, 2), counting);
    lode_var *flat = lode_reshape(t, image, &LODE_SHAPE2(1, -1));
    assert_false(same_storage(image, flat));
    hand_check(flat->value, LODE_SHAPE2(1, 8), 0, 1, 2, 3, 4, 5, 6, 7);
    hand_backward(t, flat, counting);
    hand_check(image->grad, LODE_SHAPE4(1, 2, 2, 2), 0, 1, 2, 3, 4, 5, 6, 7);
    lode_tape_destroy(t);
}

static void test_transpose(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE3(1, 2, 3), counting);
    lode_var *y = lode_transpose(t, x, (int[]){2, 0, 1});
    assert_true(same_storage(x, y));
    hand_check(y->value, LODE_SHAPE3(3, 1, 2), 0, 3, 1, 4, 2, 5);
    hand_backward(t, y, (double[]){1, 2, 3, 4, 5, 6});
    hand_check(x->grad, LODE_SHAPE3(1, 2, 3), 1, 3, 5, 2, 4, 6);
    lode_tape_destroy(t);
}

static void test_identity(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(2), (double[]){4, 5});
    lode_var *y = lode_identity(t, x);
    assert_true(same_storage(x, y));
    hand_backward(t, y, (double[]){7, 8});
    hand_check(x->grad, LODE_SHAPE1(2), 7, 8);
    lode_tape_destroy(t);
}

/* One row of ninth values above, the first column cut off, two columns appended. */
static void test_pad_and_crop(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(2, 2), (double[]){1, 2, 3, 4});
    const lode_pad_params p = {.before = {1, -1}, .after = {0, 2}, .value = 9};
    lode_var *y = lode_pad(t, x, &p);
    hand_check(y->value, LODE_SHAPE2(3, 3), 9, 9, 9, 2, 9, 9, 4, 9, 9);
    hand_backward(t, y, (double[]){1, 2, 3, 4, 5, 6, 7, 8, 9});
    hand_check(x->grad, LODE_SHAPE2(2, 2), 0, 4, 0, 7);
    lode_tape_destroy(t);
}

/* Groups [0 1 2] [3 4 5] are dealt out in turn. */
static void test_channel_shuffle(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(1, 6), counting);
    lode_var *y = lode_channel_shuffle(t, x, 2);
    hand_check(y->value, LODE_SHAPE2(1, 6), 0, 3, 1, 4, 2, 5);
    hand_backward(t, y, (double[]){1, 2, 3, 4, 5, 6});
    hand_check(x->grad, LODE_SHAPE2(1, 6), 1, 3, 5, 2, 4, 6);
    lode_tape_destroy(t);
}

/* Shuffling by g and then by C/g leads back. */
static void test_channel_shuffle_returns(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE4(1, 6, 2, 2), counting);
    lode_var *y = lode_channel_shuffle(t, lode_channel_shuffle(t, x, 3), 2);
    assert_true(lode_tensor_is_channels_last(y->value));
    hand_check_at(y->value, LODE_SHAPE4(1, 6, 2, 2), counting, "y", __FILE__, __LINE__);
    lode_tape_destroy(t);
}

/* Integers move too: labels are sliced and reshaped. */
static void test_integers_move(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_tensor *s64 = hand_tensor(LODE_S64, LODE_CONTIGUOUS, LODE_SHAPE2(2, 3), counting);
    lode_var *x = lode_tape_constant(t, s64), *both[2] = {x, x};
    hand_check(lode_slice(t, x, 1, 0, 1, 1)->value, LODE_SHAPE2(2, 1), 0, 3);
    hand_check(lode_concat(t, both, 2, 0)->value, LODE_SHAPE2(4, 3), 0, 1, 2, 3, 4, 5, 0, 1, 2, 3,
               4, 5);
    assert_int_equal(lode_reshape(t, x, &LODE_SHAPE1(-1))->value->dtype, LODE_S64);
    lode_tensor_release(s64);
    lode_tape_destroy(t);
}

static void test_refuses(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
#define X23 hand_leaf(t, LODE_SHAPE2(2, 3), counting)
    lode_var *y = lode_slice(t, X23, 2, 0, 1, 1);
    hand_fails(t, y, LODE_ERR_SHAPE, "slice: dim 2, but x is [2, 3]");
    y = lode_slice(t, X23, 1, 2, 2, 1);
    hand_fails(t, y, LODE_ERR_SHAPE, "[2, 2) step 1 of dim 1");
    y = lode_slice(t, X23, 1, 0, 4, 1);
    hand_fails(t, y, LODE_ERR_SHAPE, "<= 3");
    y = lode_reshape(t, X23, &LODE_SHAPE2(4, -1));
    hand_fails(t, y, LODE_ERR_SHAPE, "x is [2, 3], 6 elements; wanted [4, -1]");
    y = lode_reshape(t, X23, &LODE_SHAPE2(-1, -1));
    hand_fails(t, y, LODE_ERR_SHAPE, "wanted [-1, -1]");
    y = lode_reshape(t, X23, &LODE_SHAPE1(5));
    hand_fails(t, y, LODE_ERR_SHAPE, "wanted [5]");
    y = lode_transpose(t, X23, (int[]){1, 1});
    hand_fails(t, y, LODE_ERR_SHAPE, "perm[1] is 1");
    y = lode_concat(t, (lode_var *[]){X23, hand_leaf(t, LODE_SHAPE2(3, 3), counting)}, 2, 1);
    hand_fails(t, y, LODE_ERR_SHAPE, "input 1 is [3, 3]; they may differ in dim 1 only");
    y = lode_concat(t, (lode_var *[]){X23}, 1, 2);
    hand_fails(t, y, LODE_ERR_SHAPE, "concat: dim 2");
    y = lode_pad(t, X23, &(lode_pad_params){.before = {-1}, .after = {-1}});
    hand_fails(t, y, LODE_ERR_SHAPE, "leave nothing");
    y = lode_pad(t, X23, &(lode_pad_params){.before = {0, 0, 1}});
    hand_fails(t, y, LODE_ERR_SHAPE, "amounts for dim 2");
    y = lode_channel_shuffle(t, X23, 2);
    hand_fails(t, y, LODE_ERR_SHAPE, "2 groups do not divide 3 channels");
#undef X23
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice_is_a_view),
        cmocka_unit_test(test_slices_overlap),
        cmocka_unit_test(test_split_then_concat_is_identity),
        cmocka_unit_test(test_concat_in_the_middle),
        cmocka_unit_test(test_reshape),
        cmocka_unit_test(test_reshape_of_an_image),
        cmocka_unit_test(test_transpose),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_pad_and_crop),
        cmocka_unit_test(test_channel_shuffle),
        cmocka_unit_test(test_channel_shuffle_returns),
        cmocka_unit_test(test_integers_move),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
