/* labels: unit, property. XNAS: rounds counted on paper, rewards of a network in f64, experts that
   are dropped and never come back. */
#include "train/strategy_xnas.h"
#include "train_fixture.h"

#include <math.h>

/* N = 2, bound 1, eta 0.1, T = 10, rewards (1, -1): ln(v1 / v2) = 0.2 t, and the weak one is
   dropped when that is above 0.2 (10 - t): not at t = 5, where both are equal, but at t = 6. */
static void the_weak_expert_falls_at_six(void **state) {
    static const double reward[2] = {1, -1};
    double log_v[2] = {0, 0};
    (void)state;
    for (int t = 1; t <= 10; t++) {
        lode_xnas_round(log_v, reward, 2, 0.1, 1, 10 - t);
        assert_true(log_v[0] == 0);
        if (t < 6)
            assert_near(log_v[1], -0.2 * t, 1e-12);
        else
            assert_true(log_v[1] == -INFINITY);
    }
}

/* After the last round only leaders are left; nobody who could still lead was dropped before. */
static void only_leaders_survive(void **state) {
    enum { N = 5, T = 400 };
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        double log_v[N] = {0}, sum[N] = {0}, best = -INFINITY;
        double eta = lode_xnas_eta(N, T, 1);
        lode_rng rng = lode_rng_stream(seed, LODE_RNG_TEST, 0);
        for (int t = 1; t <= T; t++) {
            double reward[N];
            for (int k = 0; k < N; k++)
                sum[k] += reward[k] =
                    fmin(1, 0.1 * k * (double)(seed % 3) + 2 * lode_rng_uniform(&rng) - 1);
            lode_xnas_round(log_v, reward, N, eta, 1, T - t);
        }
        for (int k = 0; k < N; k++) best = fmax(best, sum[k]);
        for (int k = 0; k < N; k++) assert_true((log_v[k] == 0) == (best - sum[k] < 1e-6));
    }
}

/* Figures of 25,000 images, 50 epochs, 8 options; 6 normal cells and 2 that reduce. */
static void the_rate_is_the_one_of_least_regret(void **state) {
    (void)state;
    assert_near(lode_xnas_eta(8, 25000.0 * 50 * 6, 1), 7.45e-4, 1e-6);
    assert_near(lode_xnas_eta(8, 25000.0 * 50 * 2, 1), 1.29e-3, 1e-6);
    assert_near(lode_xnas_eta(2, 100, 4), sqrt(2 * log(2) / 100) / 4, 1e-12);
}

/* ---- a network ---- */
static double alpha_at(const fixture *f, int d, int k) {
    return lode_at(lode_strategy_parameter(f->strategy, d)->value, k);
}

/* The reward of an expert is minus the derivative of the loss by its weight, for each image by
   itself: with a huge bound their sum is that of the batch; a bound cuts single images. */
static void rewards_are_derivatives_by_weights(void **state) {
    static const char *const arch[3] = {"{rounds: step, bound: 1000}",
                                        "{rounds: sample, bound: 1000}",
                                        "{rounds: sample, bound: 0.01}"};
    double grad[3][5], sum = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        fixture f;
        lode_trainer *t = NULL;
        fixture_open_on(&f, fixture_space, LODE_F64, "{epochs: 1, strategy: xnas}", arch[i], NULL,
                        &(lode_strategy_setup){0});
        assert_ok(lode_trainer_create(&f.setup, &t));
        const lode_step_tools tools = lode_trainer_tools(t);
        assert_ok(tools.gradient(t, LODE_TURN_ARCH, LODE_GRADIENT_OF_ARCH, NULL));
        for (int k = 0; k < 5; k++)
            grad[i][k] = lode_at(lode_strategy_parameter(f.strategy, k / 3)->grad, k % 3);
        lode_trainer_destroy(t);
        fixture_close(&f);
    }
    for (int k = 0; k < 5; k++) {
        assert_near(grad[1][k], 8 * grad[0][k], 1e-12); /* 8 images */
        assert_true(fabs(grad[2][k]) <= 8 * 0.01 + 1e-15);
        sum += fabs(grad[0][k]);
    }
    assert_true(sum > 1e-3);
}

/* Who is dropped runs no more, in either turn, and stays away; at the end one option is left. */
static void dropped_experts_stay_away(void **state) {
    fixture f;
    lode_trainer *t = NULL;
    bool finished = false;
    uint64_t gone[2] = {0};
    (void)state;
    fixture_open(&f, "{epochs: 6, strategy: xnas, lr: 0.05, eval_every: 0}", "{}", NULL, NULL, 0);
    assert_ok(lode_trainer_create(&f.setup, &t));
    while (!finished) {
        assert_ok(lode_trainer_run_steps(t, 1, &finished));
        const lode_step_record r = lode_trainer_last_step(t);
        for (int d = 0; d < 2; d++) {
            assert_true((r.active[d] & gone[d]) == 0);
            double p[LODE_MAX_OPTIONS], sum = 0;
            lode_strategy_probabilities(f.strategy, d, p);
            for (int k = 0; k < 3 - d; k++) {
                bool out = alpha_at(&f, d, k) == -INFINITY;
                assert_true(out || !(gone[d] >> k & 1));
                assert_true(!out || p[k] == 0);
                if (out) gone[d] |= UINT64_C(1) << k;
                sum += p[k];
            }
            assert_near(sum, 1, 1e-12);
        }
    }
    for (int d = 0; d < 2; d++) { /* all rounds are over: the leader alone, on real rewards */
        int left = 0;
        for (int k = 0; k < 3 - d; k++) left += alpha_at(&f, d, k) > -INFINITY;
        assert_int_equal(left, 1);
    }
    assert_near(lode_strategy_entropy(f.strategy), 0, 1e-12);
    lode_trainer_destroy(t);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_weak_expert_falls_at_six),
        cmocka_unit_test(only_leaders_survive),
        cmocka_unit_test(the_rate_is_the_one_of_least_regret),
        cmocka_unit_test(rewards_are_derivatives_by_weights),
        cmocka_unit_test(dropped_experts_stay_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
