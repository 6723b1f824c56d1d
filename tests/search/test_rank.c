/* labels: unit, property. Agreement of orders: by hand, and the interval by its coverage. */
#include "core/rng.h"
#include "search/rank.h"
#include "support/support.h"

#include <math.h>

static void orders_are_compared_by_hand(void **state) {
    /* 10 pairs: (1,2) tied in a, (4,5) tied in b; 7 agree, 1 does not */
    const double a[] = {1, 2, 2, 4, 5}, b[] = {10, 20, 15, 40, 40};
    const double c[] = {1, 2, 3, 4, 5}, d[] = {3, 1, 2, 5, 4};
    double rho;
    (void)state;
    assert_near(lode_kendall_tau_b(a, b, 5), 8 / 9.0, 1e-15);
    assert_near(lode_kendall_tau_b(c, d, 5), 4 / 10.0, 1e-15);
    assert_ok(lode_spearman(c, d, 5, &rho));
    assert_near(rho, 1 - 6.0 * (4 + 1 + 1 + 1 + 1) / (5 * 24), 1e-15);
    assert_ok(lode_spearman(a, b, 5, &rho)); /* ranks 1 2.5 2.5 4 5 and 1 3 2 4.5 4.5 */
    assert_near(rho, 9 / 9.5, 1e-15);
    const double flat[] = {1, 1, 1, 1, 1};
    assert_near(lode_kendall_tau_b(flat, b, 5), 0, 0);
    assert_ok(lode_spearman(flat, b, 5, &rho));
    assert_near(rho, 0, 0);
}

static void regret_is_what_the_top_misses(void **state) {
    double score[12], truth[12];
    lode_rank r;
    (void)state;
    for (int i = 0; i < 12; i++) score[i] = 12 - i, truth[i] = i; /* the worst first */
    assert_ok(lode_rank_compare(score, truth, 12, 1, &r));
    assert_near(r.tau_b, -1, 0);
    assert_near(r.regret[0], 11, 0);
    assert_near(r.regret[1], 11 - 4, 0);
    assert_near(r.regret[2], 11 - 9, 0);
    for (int i = 0; i < 12; i++) score[i] = 1; /* ties are cut by index */
    assert_ok(lode_rank_compare(score, truth, 12, 1, &r));
    assert_near(r.regret[1], 7, 0);
    assert_near(r.tau_b, 0, 0);
    score[3] = NAN;
    assert_fails(lode_rank_compare(score, truth, 12, 1, &r), LODE_ERR_NUMERIC, "value 3");
    assert_fails(lode_rank_compare(truth, truth, 1, 1, &r), LODE_ERR_INVALID, "at least 2");
}

/* Of two normal variables with correlation rho, tau is 2/pi asin(rho); the interval holds it. */
static void the_interval_holds_the_truth(void **state) {
    enum { ROUNDS = 60, ITEMS = 60 };
    const double rho = 0.6, tau = 2 / acos(-1.0) * asin(rho);
    int held = 0;
    double width = 0;
    (void)state;
    for (int r = 0; r < ROUNDS; r++) {
        double x[ITEMS], y[ITEMS];
        lode_rng rng = lode_rng_stream(3, LODE_RNG_TEST, (uint64_t)r);
        lode_rank out, again;
        for (int i = 0; i < ITEMS; i++) {
            x[i] = lode_rng_normal(&rng);
            y[i] = rho * x[i] + sqrt(1 - rho * rho) * lode_rng_normal(&rng);
        }
        assert_ok(lode_rank_compare(x, y, ITEMS, 9, &out));
        assert_ok(lode_rank_compare(x, y, ITEMS, 9, &again));
        assert_true(out.tau_low == again.tau_low && out.tau_high == again.tau_high);
        assert_true(out.tau_low <= out.tau_b && out.tau_b <= out.tau_high);
        held += out.tau_low <= tau && tau <= out.tau_high;
        width += (out.tau_high - out.tau_low) / ROUNDS;
    }
    print_message("held %d of %d, width %.3f\n", held, ROUNDS, width);
    assert_true(held >= 51); /* 57 expected; 51 is below 1e-3 */
    assert_true(width > 0.15 && width < 0.4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_are_compared_by_hand),
        cmocka_unit_test(regret_is_what_the_top_misses),
        cmocka_unit_test(the_interval_holds_the_truth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
