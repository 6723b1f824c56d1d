/* test_chance.c: dropout, drop-path, Gumbel noise, one-hot argmax. */
#include "support/hand.h"

#include <math.h>

static lode_var *ones(lode_tape *t, lode_shape shape) {
    lode_tensor *x = NULL;
    assert_ok(lode_tensor_create(NULL, LODE_F64, &shape, LODE_CONTIGUOUS, &x));
    assert_ok(lode_tensor_fill(x, 1));
    lode_var *leaf = lode_tape_leaf(t, x, NULL);
    lode_tensor_release(x);
    return leaf;
}

/* Kept elements are divided by 1-p, backward uses the same mask, about p of all are dropped. */
static void test_dropout_mask(void **state) {
    (void)state;
    enum { N = 10000 };
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = ones(t, LODE_SHAPE2(N / 10, 10));
    lode_var *y = lode_dropout(t, x, 0.2);
    int dropped = 0;
    double mask[N];
    for (int i = 0; i < N; i++) {
        mask[i] = lode_at(y->value, i);
        assert_true(mask[i] == 0 || mask[i] == 1 / (1 - 0.2));
        dropped += mask[i] == 0;
    }
    assert_true(abs(dropped - N / 5) < 4 * 40); /* 4 standard deviations of 40 */
    assert_ok(lode_backward(t, lode_reduce_sum(t, y, (lode_reduce_params){0}), 3));
    for (int i = 0; i < N; i++) assert_true(lode_at(x->grad, i) == 3 * mask[i]);
    lode_tape_destroy(t);
}

/* The mask is a function of (seed, step, call, position): not of memory order. */
static void test_dropout_is_a_function(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    const lode_shape shape = LODE_SHAPE4(2, 3, 4, 5);
    const double v[120] = {0};
    lode_tensor *plain = hand_tensor(LODE_F64, LODE_CONTIGUOUS, shape, v);
    lode_tensor *last = hand_tensor(LODE_F64, LODE_CHANNELS_LAST, shape, v);
    assert_ok(lode_tensor_fill(plain, 1));
    assert_ok(lode_tensor_fill(last, 1));
    lode_tape_set_step(t, 5, 8);
    lode_var *a = lode_dropout(t, lode_tape_constant(t, plain), 0.5);
    lode_var *second = lode_dropout(t, lode_tape_constant(t, plain), 0.5);
    lode_tensor *kept = lode_take_value(a), *other = lode_take_value(second);
    lode_tape_reset(t);
    lode_tape_set_step(t, 5, 8);
    lode_var *b = lode_dropout(t, lode_tape_constant(t, last), 0.5);
    int differ = 0, differ_second = 0;
    for (int i = 0; i < 120; i++) {
        differ += lode_at(kept, i) != lode_at(b->value, i);
        differ_second += lode_at(kept, i) != lode_at(other, i);
    }
    assert_int_equal(differ, 0);
    assert_true(differ_second > 30); /* the second call of a step has its own mask */
    lode_tape_reset(t);
    lode_tape_set_step(t, 5, 9);
    lode_var *c = lode_dropout(t, lode_tape_constant(t, last), 0.5);
    for (int i = 0; i < 120; i++) differ += lode_at(kept, i) != lode_at(c->value, i);
    assert_true(differ > 30);
    lode_tensor_release(kept);
    lode_tensor_release(other);
    lode_tensor_release(plain);
    lode_tensor_release(last);
    lode_tape_destroy(t);
}

static void test_drop_path_drops_whole_samples(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *y = lode_drop_path(t, ones(t, LODE_SHAPE3(400, 2, 3)), 0.25);
    int dropped = 0;
    for (int n = 0; n < 400; n++) {
        for (int i = 1; i < 6; i++)
            assert_true(lode_at(y->value, n * 6 + i) == lode_at(y->value, n * 6));
        dropped += lode_at(y->value, n * 6) == 0;
    }
    assert_true(abs(dropped - 100) < 4 * 9);
    lode_tape_destroy(t);
}

static void test_dropout_only_in_training(void **state) {
    (void)state;
    lode_tape *eval = hand_tape(LODE_EVAL), *train = hand_tape(LODE_TRAIN);
    lode_var *x = ones(eval, LODE_SHAPE1(9)), *z = ones(train, LODE_SHAPE1(9));
    hand_check(lode_dropout(eval, x, 0.9)->value, LODE_SHAPE1(9), 1, 1, 1, 1, 1, 1, 1, 1, 1);
    hand_check(lode_drop_path(eval, x, 0.9)->value, LODE_SHAPE1(9), 1, 1, 1, 1, 1, 1, 1, 1, 1);
    hand_check(lode_dropout(train, z, 0)->value, LODE_SHAPE1(9), 1, 1, 1, 1, 1, 1, 1, 1, 1);
    hand_check(lode_dropout(train, z, 1)->value, LODE_SHAPE1(9), 0, 0, 0, 0, 0, 0, 0, 0, 0);
    lode_var *y = lode_dropout(train, z, 1.5);
    hand_fails(train, y, LODE_ERR_INVALID, "p is 1.5");
    lode_tape_destroy(eval);
    lode_tape_destroy(train);
}

/* Mean 0.57722 (Euler), variance pi^2/6; the definition at one position. */
static void test_gumbel_noise(void **state) {
    (void)state;
    enum { N = 50000 };
    lode_tape *t = hand_tape(LODE_EVAL);
    const lode_rng stream = lode_rng_stream(3, LODE_RNG_GUMBEL, 4);
    lode_var *g = lode_gumbel_noise(t, ones(t, LODE_SHAPE1(1)), &LODE_SHAPE2(N, 2), stream);
    double sum = 0, squares = 0;
    for (int i = 0; i < 2 * N; i++) {
        const double v = lode_at(g->value, i);
        assert_true(isfinite(v));
        sum += v;
        squares += v * v;
    }
    const double mean = sum / (2 * N), variance = squares / (2 * N) - mean * mean;
    assert_true(fabs(mean - 0.5772157) < 4 * 1.2825 / sqrt(2 * N));
    assert_true(fabs(variance - 1.6449341) < 0.04);
    const double u = lode_rng_uniform_at(&stream, stream.position + 7);
    assert_near(lode_at(g->value, 7), -log(-log(u)), 1e-12);
    assert_false(g->requires_grad);
    lode_tape_destroy(t);
}

/* argmax(alpha + G) is an exact draw from softmax(alpha). */
static void test_gumbel_argmax_frequencies(void **state) {
    (void)state;
    enum { N = 100000, K = 4 };
    const double alpha[K] = {0.5, -1, 1.5, 0};
    double p[K], total = 0;
    int64_t count[K] = {0};
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(K), alpha);
    lode_var *g = lode_gumbel_noise(t, x, &LODE_SHAPE2(N, K), lode_rng_stream(1, LODE_RNG_TEST, 2));
    lode_var *z = lode_argmax_onehot(t, lode_add(t, x, g));
    for (int k = 0; k < K; k++) total += p[k] = exp(alpha[k]);
    for (int64_t i = 0; i < (int64_t)N * K; i++) count[i % K] += lode_at(z->value, i) == 1;
    for (int k = 0; k < K; k++) {
        p[k] /= total;
        assert_true(fabs((double)count[k] / N - p[k]) < 4 * sqrt(p[k] * (1 - p[k]) / N));
    }
    assert_int_equal(count[0] + count[1] + count[2] + count[3], N);
    lode_tape_destroy(t);
}

static void test_argmax_onehot(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(2, 3), (double[]){-1, 5, 5, -3, -4, -5});
    lode_var *y = lode_argmax_onehot(t, x);
    hand_check(y->value, LODE_SHAPE2(2, 3), 0, 1, 0, 1, 0, 0);
    assert_false(y->requires_grad);
    y = lode_argmax_onehot(t, hand_leaf(t, LODE_SCALAR, (double[]){1}));
    hand_fails(t, y, LODE_ERR_SHAPE, "scalar");
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dropout_mask),
        cmocka_unit_test(test_dropout_is_a_function),
        cmocka_unit_test(test_drop_path_drops_whole_samples),
        cmocka_unit_test(test_dropout_only_in_training),
        cmocka_unit_test(test_gumbel_noise),
        cmocka_unit_test(test_gumbel_argmax_frequencies),
        cmocka_unit_test(test_argmax_onehot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
