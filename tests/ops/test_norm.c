/* test_norm.c: batch_norm, its running statistics, and layer_norm. */
#include "support/hand.h"

#include <math.h>

static const double none[8] = {0};

typedef struct norm {
    lode_tape *t;
    lode_var *x, *gamma, *beta, *mean, *var;
} norm;

/* Channels (1, 3) and (0, 10): means 2 and 5, variances 1 and 25. eps = 0 keeps numbers round. */
static norm norm_make(lode_tape_mode mode) {
    norm n = {.t = hand_tape(mode)};
    n.x = hand_leaf(n.t, LODE_SHAPE2(2, 2), (double[]){1, 0, 3, 10});
    n.gamma = hand_leaf(n.t, LODE_SHAPE1(2), (double[]){2, 10});
    n.beta = hand_leaf(n.t, LODE_SHAPE1(2), (double[]){0, 1});
    n.mean = hand_leaf(n.t, LODE_SHAPE1(2), (double[]){100, 200});
    n.var = hand_leaf(n.t, LODE_SHAPE1(2), (double[]){4, 16});
    return n;
}

static lode_var *norm_run(const norm *n, int use_batch, int update) {
    lode_batch_norm_params p = {0, 0.25, use_batch, update, 0, 0};
    return lode_batch_norm(n->t, n->x, n->gamma, n->beta, n->mean, n->var, p);
}

static void test_batch_statistics(void **state) {
    (void)state;
    norm n = norm_make(LODE_TRAIN);
    lode_var *y = norm_run(&n, 1, 1);
    hand_check(y->value, LODE_SHAPE2(2, 2), -2, -9, 2, 11);
    /* (1-m) r + m v with the unbiased variances 2 and 50 */
    hand_check(n.mean->value, LODE_SHAPE1(2), 75.5, 151.25);
    hand_check(n.var->value, LODE_SHAPE1(2), 3.5, 24.5);
    hand_backward(n.t, y, (double[]){1, 0, 0, 1});
    /* Two values are -1 and 1 whatever they were: no gradient reaches x. */
    hand_check(n.x->grad, LODE_SHAPE2(2, 2), 0, 0, 0, 0);
    hand_check(n.gamma->grad, LODE_SHAPE1(2), -1, 1);
    hand_check(n.beta->grad, LODE_SHAPE1(2), 1, 1);
    lode_tape_destroy(n.t);
}

static void test_running_statistics(void **state) {
    (void)state;
    norm n = norm_make(LODE_TRAIN);
    lode_var *y = norm_run(&n, 0, 1);
    hand_check(y->value, LODE_SHAPE2(2, 2), -99, -499, -97, -474);
    hand_check(n.mean->value, LODE_SHAPE1(2), 100, 200);
    hand_check(n.var->value, LODE_SHAPE1(2), 4, 16);
    hand_backward(n.t, y, (double[]){1, 2, 3, 4});
    hand_check(n.x->grad, LODE_SHAPE2(2, 2), 1, 5, 3, 10);
    lode_tape_destroy(n.t);
}

static void test_update_can_be_left_out(void **state) {
    (void)state;
    norm n = norm_make(LODE_EVAL);
    hand_check(norm_run(&n, 1, 0)->value, LODE_SHAPE2(2, 2), -2, -9, 2, 11);
    hand_check(n.mean->value, LODE_SHAPE1(2), 100, 200);
    /* ... and recalibration updates on an EVAL tape. */
    norm_run(&n, 1, 1);
    hand_check(n.mean->value, LODE_SHAPE1(2), 75.5, 151.25);
    lode_tape_destroy(n.t);
}

static void test_a_repeated_call_updates_nothing(void **state) {
    (void)state;
    norm n = norm_make(LODE_TRAIN);
    lode_batch_norm_params p = {0, 0.25, 1, 1, 0, 0};
    lode_tensor *x[5] = {n.x->value, n.gamma->value, n.beta->value, n.mean->value, n.var->value};
    lode_tensor *y = NULL, *aux[2] = {NULL};
    assert_ok(lode_tensor_like(n.x->value, &y));
    for (int i = 0; i < 2; i++) assert_ok(lode_tensor_like(n.mean->value, &aux[i]));
    lode_op_call c = {.op = &lode_op_batch_norm,
                      .params = &p,
                      .n_x = 5,
                      .x = x,
                      .y = y,
                      .aux = {aux[0], aux[1]},
                      .train = true,
                      .repeated = true};
    assert_ok(c.op->reference.forward(&c));
    hand_check(y, LODE_SHAPE2(2, 2), -2, -9, 2, 11);
    hand_check(n.mean->value, LODE_SHAPE1(2), 100, 200);
    hand_check(aux[0], LODE_SHAPE1(2), 2, 5);
    hand_check(aux[1], LODE_SHAPE1(2), 1, 0.2);
    lode_tensor_release(y);
    for (int i = 0; i < 2; i++) lode_tensor_release(aux[i]);
    lode_tape_destroy(n.t);
}

/* One value has no spread: beta comes out, the running variance stays. */
static void test_one_value_per_channel(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(1, 2), (double[]){5, 6});
    lode_var *mean = hand_leaf(t, LODE_SHAPE1(2), none);
    lode_var *var = hand_leaf(t, LODE_SHAPE1(2), (double[]){1, 1});
    lode_var *y = lode_batch_norm(t, x, NULL, NULL, mean, var,
                                  (lode_batch_norm_params){1e-5, 0.5, 1, 1, 0, 0});
    hand_check(y->value, LODE_SHAPE2(1, 2), 0, 0);
    hand_check(mean->value, LODE_SHAPE1(2), 2.5, 3);
    hand_check(var->value, LODE_SHAPE1(2), 1, 1);
    lode_tape_destroy(t);
}

/* A large mean must not eat the variance: E[x^2] - E[x]^2 would give 0 here in f32. */
static void test_large_mean(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_tensor *x =
        hand_tensor(LODE_F32, LODE_CONTIGUOUS, LODE_SHAPE2(2, 1), (double[]){1000000, 1000001});
    lode_var *v = lode_tape_constant(t, x);
    lode_var *y =
        lode_batch_norm(t, v, NULL, NULL, NULL, NULL, (lode_batch_norm_params){0, 0, 1, 0, 0, 0});
    hand_check(y->value, LODE_SHAPE2(2, 1), -1, 1);
    lode_tensor_release(x);
    lode_tape_destroy(t);
}

static void test_layer_norm(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(2, 2), (double[]){1, 3, 0, 10});
    lode_var *gamma = hand_leaf(t, LODE_SHAPE1(2), (double[]){2, 3});
    lode_var *beta = hand_leaf(t, LODE_SHAPE1(2), (double[]){0, 1});
    lode_var *y = lode_layer_norm(t, x, gamma, beta, 0);
    hand_check(y->value, LODE_SHAPE2(2, 2), -2, 4, -2, 4);
    hand_backward(t, y, (double[]){1, 2, 3, 4});
    hand_check(x->grad, LODE_SHAPE2(2, 2), 0, 0, 0, 0);
    hand_check(gamma->grad, LODE_SHAPE1(2), -4, 6);
    hand_check(beta->grad, LODE_SHAPE1(2), 4, 6);
    lode_tape_destroy(t);
}

static void test_messages(void **state) {
    (void)state;
    norm n = norm_make(LODE_TRAIN);
    lode_batch_norm_params p = {1e-5, 0.1, 0, 0, 0, 0};
    hand_fails(n.t, lode_batch_norm(n.t, n.x, n.gamma, n.beta, NULL, NULL, p), LODE_ERR_INVALID,
               "mean_run and var_run must be given");
    lode_tape_destroy(n.t);
    n = norm_make(LODE_TRAIN);
    n.gamma = hand_leaf(n.t, LODE_SHAPE1(3), none);
    hand_fails(n.t, norm_run(&n, 1, 1), LODE_ERR_SHAPE, "gamma is [3], but [2] is wanted");
    lode_tape_destroy(n.t);
    n = norm_make(LODE_TRAIN);
    n.x = hand_leaf(n.t, LODE_SHAPE3(2, 2, 1), none);
    hand_fails(n.t, norm_run(&n, 1, 1), LODE_ERR_SHAPE, "[N,C,H,W] or [N,C] is wanted");
    lode_tape_destroy(n.t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_statistics),
        cmocka_unit_test(test_running_statistics),
        cmocka_unit_test(test_update_can_be_left_out),
        cmocka_unit_test(test_a_repeated_call_updates_nothing),
        cmocka_unit_test(test_one_value_per_channel),
        cmocka_unit_test(test_large_mean),
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
