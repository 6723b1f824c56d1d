/* test_relaxed.c: Gumbel-softmax against its closed form, on fixed noise.

   With c_k the gradient at weight k: dL/dalpha_k = y_k (c_k - sum_j y_j c_j) / tau. */
#include "ops/relaxed.h"
#include "support/hand.h"

#include <math.h>

enum { K = 4, N = 5 };

static lode_rng noise_stream(void) { return lode_rng_stream(11, LODE_RNG_GUMBEL, 3); }

/* The noise lode_gumbel_softmax will add, n values. */
static void noise(double *g, int n) {
    const lode_rng s = noise_stream();
    for (int i = 0; i < n; i++)
        g[i] = -log(-log(lode_rng_uniform_at(&s, s.position + (uint64_t)i)));
}

static void closed_softmax(const double *alpha, const double *g, int k, double tau, double *y) {
    double sum = 0;
    for (int i = 0; i < k; i++) sum += y[i] = exp((alpha[i] + g[i]) / tau);
    for (int i = 0; i < k; i++) y[i] /= sum;
}

static void closed_gradient(const double *y, const double *c, int k, double tau, double *d) {
    double mean = 0;
    for (int i = 0; i < k; i++) mean += y[i] * c[i];
    for (int i = 0; i < k; i++) d[i] += y[i] * (c[i] - mean) / tau;
}

/* Noise (1, 0, 0) on equal logits at tau 1: y = (e, 1, 1) / (e + 2). */
static void test_three_options_on_paper(void **state) {
    (void)state;
    double g[3], alpha[3];
    noise(g, 3);
    for (int i = 0; i < 3; i++) alpha[i] = (i == 0) - g[i];
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(3), alpha);
    lode_var *y = lode_gumbel_softmax(t, x, 1, noise_stream(), 0, false);
    const double e = exp(1);
    hand_check(y->value, LODE_SHAPE1(3), e / (e + 2), 1 / (e + 2), 1 / (e + 2));
    assert_near(lode_at(y->value, 0), 0.5761, 1e-4);
    hand_backward(t, y, (double[]){2, 0, 0});
    const double want[3] = {0.4884, -0.2442, -0.2442};
    for (int i = 0; i < 3; i++) assert_true(fabs(lode_at(x->grad, i) - want[i]) < 5e-5);
    lode_tape_destroy(t);
}

/* Per batch and per sample, soft and hard: the closed form; each row's gradient sums to 0. */
static void check_closed_form(int64_t n_samples, bool hard, double tau) {
    const double alpha[K] = {0.3, -1.2, 0.9, 0.1};
    const int rows = n_samples > 0 ? (int)n_samples : 1;
    double g[N * K], c[N * K], y[N * K], d[K] = {0}, sum = 0;
    lode_rng draw = lode_rng_stream(2, LODE_RNG_TEST, 0);
    noise(g, rows * K);
    for (int i = 0; i < rows * K; i++) c[i] = lode_rng_normal(&draw);
    for (int r = 0; r < rows; r++) {
        closed_softmax(alpha, g + r * K, K, tau, y + r * K);
        closed_gradient(y + r * K, c + r * K, K, tau, d);
    }
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(K), alpha);
    lode_var *z = lode_gumbel_softmax(t, x, tau, noise_stream(), n_samples, hard);
    assert_non_null(z);
    assert_int_equal(z->value->shape.n_dims, n_samples > 0 ? 2 : 1);
    for (int i = 0; i < rows * K; i++) {
        int best = 1;
        for (int k = 0; k < K; k++) best &= y[i] >= y[i / K * K + k];
        if (hard)
            assert_true(lode_at(z->value, i) == best); /* 0 or 1 to the bit */
        else
            assert_near(lode_at(z->value, i), y[i], 1e-12);
    }
    hand_backward(t, z, c);
    for (int k = 0; k < K; k++) {
        assert_near(lode_at(x->grad, k), d[k], 1e-11);
        sum += lode_at(x->grad, k);
    }
    assert_true(fabs(sum) < 1e-11);
    lode_tape_destroy(t);
}

static void test_closed_form(void **state) {
    (void)state;
    const double tau[] = {0.1, 1, 5};
    for (int i = 0; i < 3; i++) {
        check_closed_form(0, false, tau[i]);
        check_closed_form(0, true, tau[i]);
        check_closed_form(N, false, tau[i]);
        check_closed_form(N, true, tau[i]);
    }
}

/* sum c y as a function of alpha, with the noise held fixed. */
static double objective(const double *alpha, const double *c, double tau) {
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_var *y =
        lode_gumbel_softmax(t, hand_leaf(t, LODE_SHAPE1(K), alpha), tau, noise_stream(), N, false);
    double sum = 0;
    for (int i = 0; i < N * K; i++) sum += c[i] * lode_at(y->value, i);
    lode_tape_destroy(t);
    return sum;
}

static void test_finite_differences(void **state) {
    (void)state;
    double alpha[K] = {0.3, -1.2, 0.9, 0.1}, c[N * K];
    lode_rng draw = lode_rng_stream(4, LODE_RNG_TEST, 0);
    for (int i = 0; i < N * K; i++) c[i] = lode_rng_normal(&draw);
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(K), alpha);
    hand_backward(t, lode_gumbel_softmax(t, x, 0.7, noise_stream(), N, false), c);
    for (int k = 0; k < K; k++) {
        const double h = 1e-5, at = alpha[k];
        alpha[k] = at + h;
        const double up = objective(alpha, c, 0.7);
        alpha[k] = at - h;
        const double down = objective(alpha, c, 0.7);
        alpha[k] = at;
        assert_near(lode_at(x->grad, k), (up - down) / (2 * h), 1e-7);
    }
    lode_tape_destroy(t);
}

/* Cold: one-hot. Hot: uniform. */
static void test_temperature_limits(void **state) {
    (void)state;
    const double alpha[K] = {0.3, -1.2, 0.9, 0.1};
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(K), alpha);
    lode_var *cold = lode_gumbel_softmax(t, x, 1e-4, noise_stream(), N, false);
    lode_var *hot = lode_gumbel_softmax(t, x, 1e6, noise_stream(), N, false);
    lode_var *hard = lode_gumbel_softmax(t, x, 1, noise_stream(), N, true);
    for (int i = 0; i < N * K; i++) {
        assert_true(fabs(lode_at(cold->value, i) - lode_at(hard->value, i)) < 1e-9);
        assert_true(fabs(lode_at(hot->value, i) - 1.0 / K) < 1e-5);
    }
    lode_tape_destroy(t);
}

/* alpha, alpha + 7 and log softmax(alpha) are the same decision. */
static void test_shift_changes_nothing(void **state) {
    (void)state;
    const double alpha[K] = {0.3, -1.2, 0.9, 0.1}, c[K] = {1, -2, 0.5, 3};
    double y[3][K], d[3][K];
    lode_tape *t = hand_tape(LODE_TRAIN);
    for (int form = 0; form < 3; form++) {
        lode_var *x = hand_leaf(t, LODE_SHAPE1(K), alpha), *logits = x;
        if (form == 1) logits = lode_scale(t, x, 1, 7);
        if (form == 2) logits = lode_log_softmax(t, x);
        lode_var *z = lode_gumbel_softmax(t, logits, 0.5, noise_stream(), 0, false);
        for (int k = 0; k < K; k++) y[form][k] = lode_at(z->value, k);
        hand_backward(t, z, c);
        for (int k = 0; k < K; k++) d[form][k] = lode_at(x->grad, k);
        lode_tape_reset(t);
    }
    for (int form = 1; form < 3; form++)
        for (int k = 0; k < K; k++) {
            assert_near(y[form][k], y[0][k], 1e-12);
            assert_near(d[form][k], d[0][k], 1e-12);
        }
    lode_tape_destroy(t);
}

/* With hard weights the options not chosen get a gradient of exactly 0. */
static void test_only_the_chosen_learns(void **state) {
    (void)state;
    const double alpha[2] = {0.1, 0.2}, o[2][3] = {{1, 2, 3}, {4, 5, 6}};
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(2), alpha), *option[2], *term[2];
    lode_var *z = lode_gumbel_softmax(t, x, 0.3, noise_stream(), 0, true);
    const int chosen = lode_at(z->value, 1) == 1;
    for (int k = 0; k < 2; k++) {
        option[k] = hand_leaf(t, LODE_SHAPE1(3), o[k]);
        term[k] = lode_mul(t, lode_slice(t, z, 0, k, k + 1, 1), option[k]);
    }
    lode_var *mixture = lode_add(t, term[0], term[1]);
    for (int i = 0; i < 3; i++) assert_true(lode_at(mixture->value, i) == o[chosen][i]);
    hand_backward(t, mixture, (double[]){1, -1, 2});
    hand_check(option[chosen]->grad, LODE_SHAPE1(3), 1, -1, 2);
    for (int i = 0; i < 3; i++) assert_true(lode_at(option[1 - chosen]->grad, i) == 0);
    assert_true(lode_at(x->grad, 0) != 0);
    lode_tape_destroy(t);
}

static void test_straight_through(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *soft = hand_leaf(t, LODE_SHAPE1(2), (double[]){0.1, 0.7});
    lode_var *hard = hand_leaf(t, LODE_SHAPE1(2), (double[]){0, 1});
    lode_var *z = lode_straight_through(t, hard, soft);
    assert_true(lode_at(z->value, 0) == 0 && lode_at(z->value, 1) == 1);
    hand_backward(t, z, (double[]){5, -3});
    hand_check(soft->grad, LODE_SHAPE1(2), 5, -3);
    assert_null(hard->grad);
    lode_tape_destroy(t);
}

static void test_refuses(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    const double v[4] = {0};
    lode_var *y =
        lode_gumbel_softmax(t, hand_leaf(t, LODE_SHAPE2(2, 2), v), 1, noise_stream(), 0, 0);
    hand_fails(t, y, LODE_ERR_SHAPE, "logits are [2, 2]; wanted [K]");
    y = lode_gumbel_softmax(t, hand_leaf(t, LODE_SHAPE1(4), v), 0, noise_stream(), 0, false);
    hand_fails(t, y, LODE_ERR_INVALID, "temperature 0");
    y = lode_gumbel_softmax(t, hand_leaf(t, LODE_SHAPE1(4), v), 1, noise_stream(), -1, false);
    hand_fails(t, y, LODE_ERR_INVALID, "-1 samples");
    lode_tape_destroy(t);
}

/* Hard forward, the sigmoid's slope backward; the norm it stands on. */
static void test_indicator(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(4), (double[]){-1, 0, 2, 1e3});
    lode_var *y = lode_indicator(t, x);
    hand_check(y->value, LODE_SHAPE1(4), 0, 1, 1, 1);
    hand_backward(t, y, (double[]){1, 4, 1, 1});
    hand_check(x->grad, LODE_SHAPE1(4), 0.19661193324148185, 1, 0.1049935854035065, 0);
    lode_var *w = hand_leaf(t, LODE_SHAPE2(1, 2), (double[]){3, -4});
    lode_var *n = lode_l2_norm(t, w);
    hand_check(n->value, LODE_SCALAR, 5);
    hand_backward(t, n, (double[]){10});
    hand_check(w->grad, LODE_SHAPE2(1, 2), 6, -8);
    w = hand_leaf(t, LODE_SHAPE1(2), (double[]){0, 0});
    hand_backward(t, lode_l2_norm(t, w), (double[]){1});
    hand_check(w->grad, LODE_SHAPE1(2), 0, 0);
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_options_on_paper),
        cmocka_unit_test(test_closed_form),
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_temperature_limits),
        cmocka_unit_test(test_shift_changes_nothing),
        cmocka_unit_test(test_only_the_chosen_learns),
        cmocka_unit_test(test_straight_through),
        cmocka_unit_test(test_indicator),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
