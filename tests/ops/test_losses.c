/* test_losses.c: softmax, log_softmax, cross_entropy, kl_div, mse, embedding. */
#include "support/hand.h"

#include <math.h>

/* exp(x) = 1, 3 and 1, 1, up to a shift that must not matter. */
static lode_var *logits(lode_tape *t, double shift) {
    return hand_leaf(t, LODE_SHAPE2(2, 2), (double[]){shift, log(3) + shift, shift, shift});
}

static lode_var *labels_of(lode_tape *t, lode_dtype dtype, int64_t n, const double *v) {
    lode_tensor *x = hand_tensor(dtype, LODE_CONTIGUOUS, LODE_SHAPE1(n), v);
    lode_var *var = lode_tape_constant(t, x);
    lode_tensor_release(x);
    return var;
}

static void test_softmax(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) { /* huge logits neither overflow nor vanish */
        lode_tape *t = hand_tape(LODE_TRAIN);
        lode_var *x = hand_leaf(t, LODE_SHAPE1(2), (double[]){(i - 1) * 1000, (i - 1) * 1000});
        lode_var *y = lode_softmax(t, x);
        hand_check(y->value, LODE_SHAPE1(2), 0.5, 0.5);
        hand_backward(t, y, (double[]){1, 0});
        hand_check(x->grad, LODE_SHAPE1(2), 0.25, -0.25);
        lode_tape_destroy(t);
    }
}

static void test_log_softmax(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = logits(t, 0);
    lode_var *y = lode_log_softmax(t, x);
    hand_check(y->value, LODE_SHAPE2(2, 2), log(0.25), log(0.75), log(0.5), log(0.5));
    hand_backward(t, y, (double[]){1, 0, 0, 1});
    hand_check(x->grad, LODE_SHAPE2(2, 2), 0.75, -0.75, -0.5, 0.5);
    lode_tape_destroy(t);
}

static void test_cross_entropy(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = logits(t, 0);
    lode_var *loss = lode_cross_entropy(t, x, labels_of(t, LODE_S32, 2, (double[]){0, 1}), 0);
    hand_check(loss->value, LODE_SCALAR, (log(4) + log(2)) / 2);
    hand_backward(t, loss, (double[]){2});
    hand_check(x->grad, LODE_SHAPE2(2, 2), -0.75, 0.75, 0.5, -0.5);
    lode_tape_destroy(t);
}

/* Smoothing by 1/2 over two classes: q = 3/4, 1/4. */
static void test_label_smoothing(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = logits(t, 5);
    lode_var *loss = lode_cross_entropy(t, x, labels_of(t, LODE_S64, 2, (double[]){1, 0}), 0.5);
    hand_check(loss->value, LODE_SCALAR, (-0.75 * log(0.75) - 0.25 * log(0.25) + log(2)) / 2);
    hand_backward(t, loss, (double[]){1});
    hand_check(x->grad, LODE_SHAPE2(2, 2), 0, 0, -0.125, 0.125);
    lode_tape_destroy(t);
}

static void test_negative_labels_are_ignored(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = logits(t, 0);
    lode_var *loss = lode_cross_entropy(t, x, labels_of(t, LODE_S64, 2, (double[]){-1, 0}), 0);
    hand_check(loss->value, LODE_SCALAR, log(2));
    hand_backward(t, loss, (double[]){1});
    hand_check(x->grad, LODE_SHAPE2(2, 2), 0, 0, -0.5, 0.5);
    lode_tape_reset(t);
    x = logits(t, 0);
    loss = lode_cross_entropy(t, x, labels_of(t, LODE_S64, 2, (double[]){-1, -7}), 0);
    hand_check(loss->value, LODE_SCALAR, 0);
    hand_backward(t, loss, (double[]){1});
    hand_check(x->grad, LODE_SHAPE2(2, 2), 0, 0, 0, 0);
    lode_tape_destroy(t);
}

/* Targets need not sum to one: dx = p sum(q) - q. */
static void test_soft_targets(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(1, 2), (double[]){0, log(3)});
    lode_tensor *target =
        hand_tensor(LODE_F64, LODE_CONTIGUOUS, LODE_SHAPE2(1, 2), (double[]){1, 2});
    lode_var *loss = lode_cross_entropy(t, x, lode_tape_constant(t, target), 0);
    hand_check(loss->value, LODE_SCALAR, -log(0.25) - 2 * log(0.75));
    hand_backward(t, loss, (double[]){1});
    hand_check(x->grad, LODE_SHAPE2(1, 2), 0.75 - 1, 2.25 - 2);
    lode_tensor_release(target);
    lode_tape_destroy(t);
}

static void test_kl_div(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *student = hand_leaf(t, LODE_SHAPE2(1, 2), (double[]){0, 0});
    lode_var *teacher = hand_leaf(t, LODE_SHAPE2(1, 2), (double[]){0, 2 * log(3)});
    lode_var *loss = lode_kl_div(t, student, teacher, 2); /* P = 1/4, 3/4; Q = 1/2, 1/2 */
    hand_check(loss->value, LODE_SCALAR, 4 * (0.25 * log(0.5) + 0.75 * log(1.5)));
    hand_backward(t, loss, (double[]){1});
    hand_check(student->grad, LODE_SHAPE2(1, 2), 0.5, -0.5);
    hand_check(teacher->grad, LODE_SHAPE2(1, 2), 0, 0);
    lode_tape_destroy(t);
}

static void test_kl_div_of_equals_is_zero(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(1, 3), (double[]){1, -2, -1e5}); /* exp underflows */
    hand_check(lode_kl_div(t, x, x, 1)->value, LODE_SCALAR, 0);
    lode_tape_destroy(t);
}

static void test_mse(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(2), (double[]){1, 5});
    lode_var *target = hand_leaf(t, LODE_SHAPE1(2), (double[]){3, 4});
    lode_var *loss = lode_mse(t, x, target);
    hand_check(loss->value, LODE_SCALAR, 2.5);
    hand_backward(t, loss, (double[]){1});
    hand_check(x->grad, LODE_SHAPE1(2), -2, 1);
    hand_check(target->grad, LODE_SHAPE1(2), 2, -1);
    lode_tape_destroy(t);
}

/* Rows asked for twice get both gradients; others none. */
static void test_embedding(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *table = hand_leaf(t, LODE_SHAPE2(3, 2), (double[]){1, 2, 3, 4, 5, 6});
    lode_var *y = lode_embedding(t, table, labels_of(t, LODE_S32, 3, (double[]){2, 0, 2}));
    hand_check(y->value, LODE_SHAPE2(3, 2), 5, 6, 1, 2, 5, 6);
    hand_backward(t, y, (double[]){1, 2, 3, 4, 10, 20});
    hand_check(table->grad, LODE_SHAPE2(3, 2), 3, 4, 0, 0, 11, 22);
    lode_tape_destroy(t);
}

static void test_messages(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    hand_fails(t,
               lode_cross_entropy(t, logits(t, 0), labels_of(t, LODE_S32, 2, (double[]){0, 2}), 0),
               LODE_ERR_DATA, "label 2 in row 1, but there are 2 classes");
    hand_fails(
        t, lode_cross_entropy(t, logits(t, 0), labels_of(t, LODE_S32, 3, (double[]){0, 0, 0}), 0),
        LODE_ERR_SHAPE, "labels is [3], but [2] is wanted");
    hand_fails(t, lode_cross_entropy(t, logits(t, 0), logits(t, 0), 2), LODE_ERR_INVALID,
               "smoothing 2 must be in 0..1");
    hand_fails(t, lode_kl_div(t, logits(t, 0), logits(t, 0), 0), LODE_ERR_INVALID,
               "temperature 0 must be positive");
    hand_fails(t, lode_embedding(t, logits(t, 0), labels_of(t, LODE_S32, 1, (double[]){2})),
               LODE_ERR_DATA, "index 2 at position 0, but the table has 2 rows");
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_log_softmax),
        cmocka_unit_test(test_cross_entropy),
        cmocka_unit_test(test_label_smoothing),
        cmocka_unit_test(test_negative_labels_are_ignored),
        cmocka_unit_test(test_soft_targets),
        cmocka_unit_test(test_kl_div),
        cmocka_unit_test(test_kl_div_of_equals_is_zero),
        cmocka_unit_test(test_mse),
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
