/* test_matmul.c: linear, matmul, batch_matmul. */
#include "support/hand.h"

static void test_linear(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(2, 3), (double[]){1, 2, 3, 4, 5, 6});
    lode_var *w = hand_leaf(t, LODE_SHAPE2(2, 3), (double[]){1, 0, -1, 2, 1, 0});
    lode_var *b = hand_leaf(t, LODE_SHAPE1(2), (double[]){10, 20});
    lode_var *y = lode_linear(t, x, w, b);
    hand_check(y->value, LODE_SHAPE2(2, 2), 8, 24, 8, 33);
    hand_backward(t, y, (double[]){1, 10, 100, 1000});
    hand_check(x->grad, LODE_SHAPE2(2, 3), 21, 10, -1, 2100, 1000, -100);
    hand_check(w->grad, LODE_SHAPE2(2, 3), 401, 502, 603, 4010, 5020, 6030);
    hand_check(b->grad, LODE_SHAPE1(2), 101, 1010);
    lode_tape_destroy(t);
}

static void test_linear_on_a_vector(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(2), (double[]){3, 4});
    lode_var *w = hand_leaf(t, LODE_SHAPE2(1, 2), (double[]){1, 10});
    hand_check(lode_linear(t, x, w, NULL)->value, LODE_SHAPE1(1), 43);
    lode_tape_destroy(t);
}

static void test_matmul_transposes(void **state) {
    (void)state;
    const double a[6] = {1, 2, 3, 4, 5, 6}, at[6] = {1, 4, 2, 5, 3, 6};
    const double b[6] = {1, 0, 0, 1, 2, 2}, bt[6] = {1, 0, 2, 0, 1, 2};
    for (int i = 0; i < 4; i++) {
        lode_tape *t = hand_tape(LODE_TRAIN);
        lode_matmul_params p = {i & 1, i >> 1};
        lode_var *x =
            i & 1 ? hand_leaf(t, LODE_SHAPE2(3, 2), at) : hand_leaf(t, LODE_SHAPE2(2, 3), a);
        lode_var *z =
            i & 2 ? hand_leaf(t, LODE_SHAPE2(2, 3), bt) : hand_leaf(t, LODE_SHAPE2(3, 2), b);
        lode_var *y = lode_matmul(t, x, z, p);
        hand_check(y->value, LODE_SHAPE2(2, 2), 7, 8, 16, 17);
        hand_backward(t, y, (double[]){1, 2, 3, 4});
        /* dA = dY B^T, dB = A^T dY, stored as A and B are */
        if (i & 1)
            hand_check(x->grad, LODE_SHAPE2(3, 2), 1, 3, 2, 4, 6, 14);
        else
            hand_check(x->grad, LODE_SHAPE2(2, 3), 1, 2, 6, 3, 4, 14);
        if (i & 2)
            hand_check(z->grad, LODE_SHAPE2(2, 3), 13, 17, 21, 18, 24, 30);
        else
            hand_check(z->grad, LODE_SHAPE2(3, 2), 13, 18, 17, 24, 21, 30);
        lode_tape_destroy(t);
    }
}

/* A shared operand collects the gradients of all products. */
static void test_batch_of_one_is_shared(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *a = hand_leaf(t, LODE_SHAPE3(2, 1, 2), (double[]){1, 2, 3, 4});
    lode_var *b = hand_leaf(t, LODE_SHAPE3(1, 2, 1), (double[]){10, 1});
    lode_var *y = lode_batch_matmul(t, a, b, (lode_matmul_params){0, 0});
    hand_check(y->value, LODE_SHAPE3(2, 1, 1), 12, 34);
    hand_backward(t, y, (double[]){1, 100});
    hand_check(a->grad, LODE_SHAPE3(2, 1, 2), 10, 1, 1000, 100);
    hand_check(b->grad, LODE_SHAPE3(1, 2, 1), 301, 402);
    lode_tape_destroy(t);
}

static void test_messages(void **state) {
    (void)state;
    const double v[12] = {0};
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_matmul_params p = {0, 1};
    hand_fails(t,
               lode_linear(t, hand_leaf(t, LODE_SHAPE2(2, 3), v),
                           hand_leaf(t, LODE_SHAPE2(2, 4), v), NULL),
               LODE_ERR_SHAPE, "the last dim of x [2, 3] must be w's second, but w is [2, 4]");
    hand_fails(
        t,
        lode_matmul(t, hand_leaf(t, LODE_SHAPE2(2, 3), v), hand_leaf(t, LODE_SHAPE2(3, 2), v), p),
        LODE_ERR_SHAPE, "inner dims differ: a [2, 3], b [3, 2] transposed");
    p.transpose_b = 0;
    hand_fails(t,
               lode_batch_matmul(t, hand_leaf(t, LODE_SHAPE3(2, 1, 1), v),
                                 hand_leaf(t, LODE_SHAPE3(3, 1, 1), v), p),
               LODE_ERR_SHAPE, "batches differ and none is 1");
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_linear_on_a_vector),
        cmocka_unit_test(test_matmul_transposes),
        cmocka_unit_test(test_batch_of_one_is_shared),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
