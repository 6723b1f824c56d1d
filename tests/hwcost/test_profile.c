/* Measuring under load: numbers that are made up, and a clock from which somebody steals. */
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/profile_internal.h"
#include "support/support.h"

#include <math.h>

/* Networks of 10 to 40 ms whose passes take `whole` times their calls, `scatter` to either side. */
static profile_line line_of(double constant, double slope, double scatter, double stolen) {
    double sum[12], measured[12];
    profile_line line;
    for (int i = 0; i < 12; i++) {
        sum[i] = 10 + 2.5 * i;
        measured[i] = (constant + slope * sum[i]) * (1 + (i % 2 ? scatter : -scatter));
    }
    assert_ok(lode_profile_fit_line(sum, measured, 12, stolen, &line));
    return line;
}

static void a_fit_says_when_it_is_not_to_be_believed(void **state) {
    (void)state;
    profile_line l = line_of(0.2, 1.02, 0.005, 0);
    assert_near(l.slope, 1.02, 0.02);
    assert_true(l.mape < 1 && *l.doubt == '\0');
    assert_near(l.whole, 1.03, 0.02);
    /* What two busy loops beside it made of a table: network = -19.4 + 2.7 x sum. */
    l = line_of(-19.4, 2.705, 0.05, 0);
    assert_non_null(strstr(l.doubt, "nothing else runs"));
    assert_non_null(strstr(line_of(0, 2.46, 0, 0).doubt, "2.46 times the sum of their calls"));
    assert_non_null(strstr(line_of(0, 0.7, 0, 0).doubt, "0.70 times"));
    assert_non_null(strstr(line_of(-12, 1.6, 0, 0).doubt, "slope is 1.60"));
    assert_non_null(strstr(line_of(0, 1, 0.2, 0).doubt, "misses its own networks by"));
    assert_non_null(strstr(line_of(0, 1, 0, 0.6).doubt, "60 % of the time"));
    assert_true(*line_of(0, 1, 0, 0.3).doubt == '\0'); /* processor time makes up for that */
    /* Another device may run whole networks much faster than their calls one by one. */
    assert_true(*line_of(-1, 0.6, 0, -1).doubt == '\0');
    assert_non_null(strstr(line_of(0, 0.6, 0.2, -1).doubt, "misses its own networks"));
    l = line_of(90, -1, 0, 0);
    assert_true(l.slope == 1 && l.constant == 0);
    assert_non_null(strstr(l.doubt, "do not take longer"));
}

static void the_fast_state_is_the_machines_own(void **state) {
    (void)state;
    double before[200], after[200], own = 0;
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 3);
    /* 1 ms for a quarter of the time, 1.37 else, 3 % of scatter, every tenth pass with a change. */
    for (int i = 0; i < 200; i++) {
        const bool fast = i >= 100 && i < 150;
        before[i] = (fast ? 1 : 1.37) * (1 + 0.03 * (lode_rng_uniform(&rng) - 0.5));
        after[i] = (i % 10 ? before[i] : 1.37) * (1 + 0.03 * (lode_rng_uniform(&rng) - 0.5));
    }
    assert_ok(lode_profile_own_speed(before, after, 200, &own));
    assert_near(own, 1, 0.01);
    assert_true(lode_profile_at_speed(1.04, 0.96, own));
    assert_false(lode_profile_at_speed(1.37, 1, own) || lode_profile_at_speed(1, 1.37, own));
    /* A few passes that were faster than ever again are no state. */
    for (int i = 0; i < 200; i++) before[i] = after[i] = i < 4 ? 0.7 : 2;
    assert_ok(lode_profile_own_speed(before, after, 200, &own));
    assert_near(own, 2, 1e-12);
    /* Nothing lasted. */
    for (int i = 0; i < 3; i++) before[i] = 1 + i, after[i] = 2 + 2 * i;
    assert_ok(lode_profile_own_speed(before, after, 3, &own));
    assert_true(own >= 1.5 && own <= 4.5);
}

/* The wall's clock goes on while another program has the processor: `theft` seconds after every
   `slice` of our own. Both follow from how long a pass takes here, so that every pass is hit once
   or twice and a call seldom, on any machine. */
static double slice, theft;
static double stolen_wall(void) {
    const double own = lode_thread_clock();
    return own + theft * floor(own / slice);
}

static lode_table *table_by(const profile_clock *clock) {
    static const char *const name = "fbnet-fashion";
    const lode_profile_options o = {
        .batch = 8, .warmup = 1, .rounds = 20, .networks = 8, .seed = 1};
    lode_space_options so = {.name = name};
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_dispatch *dispatch = NULL;
    lode_table *table = NULL;
    lode_arch arch;
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 4);
    lode_summary pass;
    lode_set_threads(1);
    assert_ok(lode_space_load(&so, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    assert_ok(lode_dispatch_create(NULL, &dispatch));
    assert_ok(lode_space_sample(space, &rng, &arch));
    assert_ok(lode_profile_network(net, &arch, LODE_FORM_FOLDED, dispatch, 8, 2, 15, &pass));
    slice = 1e-3 * pass.median / 1.5;
    theft = 2 * slice;
    assert_ok(lode_profile_space_clocked(net, dispatch, &o, clock, NULL, &table));
    lode_dispatch_destroy(dispatch);
    lode_supernet_destroy(net);
    lode_space_release(space);
    return table;
}

static void stolen_time_is_told_and_taken_off(void **state) {
    (void)state;
    const profile_clock blind = {.wall = stolen_wall};
    const profile_clock sees = {.wall = stolen_wall, .own = lode_thread_clock};
    lode_table *without = table_by(&blind), *with = table_by(&sees);
    const lode_table_info a = lode_table_get_info(without), b = lode_table_get_info(with);
    print_message("blind: %.3f + %.2f x; by processor time: %.3f + %.2f x, %.0f %% stolen\n",
                  a.constant, a.slope, b.constant, b.slope, 100 * b.stolen);
    /* Whole passes are three times as long, calls for the most part as they were. */
    assert_true(*a.doubt != '\0');
    assert_true(a.stolen < 0);
    /* Two thirds of the wall's time are stolen, which is told. */
    assert_near(b.stolen, 2. / 3, 0.1);
    assert_non_null(strstr(b.doubt, "other programs had the processor"));
    lode_table_destroy(without);
    lode_table_destroy(with);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fit_says_when_it_is_not_to_be_believed),
        cmocka_unit_test(the_fast_state_is_the_machines_own),
        cmocka_unit_test(stolen_time_is_told_and_taken_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
