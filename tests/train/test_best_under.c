/* labels: unit, property. The most probable architecture within limits, against all of them counted
   through; where costs are no sums; when there is none. */
#include "support/support.h"
#include "train/strategy.h"

#include <math.h>

typedef struct place {
    lode_space *space;
    lode_supernet *net;
    lode_strategy *s;
    lode_cost *cost[2]; /* macs, params */
} place;

static void place_open(place *w, const char *space) {
    const lode_strategy_plugin *gumbel = NULL;
    lode_space_options options = {.name = space};
    memset(w, 0, sizeof *w);
    assert_ok(lode_space_load(&options, &w->space));
    assert_ok(lode_supernet_create(w->space, NULL, LODE_F32, 1, &w->net));
    assert_ok(lode_strategy_find("gumbel", &gumbel));
    const lode_strategy_setup setup = {.net = w->net, .n_epochs = 2};
    assert_ok(lode_strategy_create(gumbel, &setup, &w->s));
    assert_ok(lode_cost_open("macs", w->net, 1, &w->cost[0]));
    assert_ok(lode_cost_open("params", w->net, 1, &w->cost[1]));
}

static void place_close(place *w) {
    for (int i = 0; i < 2; i++) lode_cost_close(w->cost[i]);
    lode_strategy_destroy(w->s);
    lode_supernet_destroy(w->net);
    lode_space_release(w->space);
}

/* Logits of any size, so that some decisions are nearly certain. */
static void draw_logits(place *w, lode_rng *rng) {
    for (int d = 0; d < lode_space_n_decisions(w->space); d++) {
        lode_tensor *alpha = lode_strategy_parameter(w->s, d)->value;
        for (int64_t k = 0; k < lode_tensor_count(alpha); k++)
            lode_put(alpha, k, 2 * lode_rng_normal(rng));
    }
}

static double log_p_of(const place *w, const lode_arch *a) {
    double sum = 0, p[LODE_MAX_OPTIONS];
    for (int d = 0; d < a->n; d++) {
        lode_strategy_probabilities(w->s, d, p);
        sum += log(p[a->option[d]]);
    }
    return sum;
}

static bool within(const lode_arch *a, const lode_limit *limit, int n, bool least_too) {
    for (int i = 0; i < n; i++) {
        double c = 0;
        assert_ok(lode_cost_hard(limit[i].cost, a, &c));
        if (c > limit[i].most || (least_too && c < limit[i].least)) return false;
    }
    return true;
}

/* All of them, as an odometer; -inf when none is within. */
static double counted_through(const place *w, const lode_limit *limit, int n, bool least_too) {
    double log_p[LODE_MAX_DECISIONS][LODE_MAX_OPTIONS], best = -INFINITY;
    lode_arch a = {.n = lode_space_n_decisions(w->space)};
    for (int d = 0; d < a.n; d++) {
        lode_strategy_probabilities(w->s, d, log_p[d]);
        for (int k = 0; k < lode_space_decision(w->space, d)->n_options; k++)
            log_p[d][k] = log(log_p[d][k]);
    }
    for (int d = 0; d < a.n;) {
        double v = 0;
        for (int i = 0; i < a.n; i++) v += log_p[i][a.option[i]];
        if (v > best && within(&a, limit, n, least_too)) best = v;
        for (d = 0; d < a.n; d++) {
            if (++a.option[d] < lode_space_decision(w->space, d)->n_options) break;
            a.option[d] = 0;
        }
    }
    return best;
}

/* One limit, a band, two limits at once: never better by hand. */
static void equals_counting_through(void **state) {
    place w;
    double low[2], high[2];
    int banded = 0;
    (void)state;
    place_open(&w, "nasbench-macro");
    lode_rng rng = lode_rng_stream(2, LODE_RNG_TEST, 0);
    for (int i = 0; i < 2; i++)
        assert_ok(lode_cost_range(w.cost[i], &low[i], &high[i], NULL, NULL, NULL));
    for (int round = 0; round < 24; round++) {
        lode_limit limit[2];
        lode_arch a;
        bool exact = false;
        int n = round % 3 == 2 ? 2 : 1;
        draw_logits(&w, &rng);
        for (int i = 0; i < 2; i++) {
            double most = low[i] + lode_rng_uniform(&rng) * (high[i] - low[i]);
            limit[i] = (lode_limit){w.cost[i], most, round % 3 == 1 ? 0.97 * most : 0};
        }
        assert_ok(lode_strategy_best_under(w.s, limit, n, &a, &exact));
        assert_true(exact);
        double want = counted_through(&w, limit, n, true);
        bool band = want > -INFINITY;
        if (!band) want = counted_through(&w, limit, n, false);
        assert_true(within(&a, limit, n, band));
        assert_near(log_p_of(&w, &a), want, 1e-9);
        banded += round % 3 == 1 && band;
    }
    assert_true(banded > 4);
    place_close(&w);
}

/* A limit that one architecture just keeps lets it through, to the last bit. */
static void the_limit_itself_is_within(void **state) {
    place w;
    lode_arch best, a;
    (void)state;
    place_open(&w, "fbnet-fashion");
    lode_rng rng = lode_rng_stream(3, LODE_RNG_TEST, 0);
    for (int i = 0; i < 20; i++) {
        double most = 0;
        draw_logits(&w, &rng);
        assert_ok(lode_strategy_best(w.s, &best));
        assert_ok(lode_cost_hard(w.cost[0], &best, &most));
        assert_ok(lode_strategy_best_under(w.s, &(lode_limit){w.cost[0], most, most}, 1, &a, NULL));
        assert_true(lode_arch_equal(&a, &best));
        assert_ok(
            lode_strategy_best_under(w.s, &(lode_limit){w.cost[0], most - 1, 0}, 1, &a, NULL));
        assert_true(within(&a, &(lode_limit){w.cost[0], most - 1, 0}, 1, false));
    }
    assert_ok(lode_strategy_best_under(w.s, NULL, 0, &a, NULL)); /* no limit: the best */
    assert_true(lode_arch_equal(&a, &best));
    place_close(&w);
}

/* Nine candidates in twenty layers: solved, not sampled. */
static void large_spaces_are_exact(void **state) {
    place w;
    double low, high;
    (void)state;
    place_open(&w, "fbnet-cifar");
    lode_rng rng = lode_rng_stream(4, LODE_RNG_TEST, 0);
    assert_ok(lode_cost_range(w.cost[0], &low, &high, NULL, NULL, NULL));
    for (int i = 0; i < 12; i++) {
        lode_arch a;
        bool exact = false;
        double cost = 0, most = low + (i + 1) / 13.0 * (high - low);
        draw_logits(&w, &rng);
        if (i % 3 == 2) /* nothing learned yet: everything is as likely */
            for (int d = 0; d < lode_space_n_decisions(w.space); d++)
                assert_ok(lode_tensor_fill(lode_strategy_parameter(w.s, d)->value, 0));
        const lode_limit limit = {w.cost[0], most, 0.95 * most};
        assert_ok(lode_strategy_best_under(w.s, &limit, 1, &a, &exact));
        assert_ok(lode_cost_hard(w.cost[0], &a, &cost));
        assert_true(exact && cost <= most && cost >= 0.95 * most);
    }
    place_close(&w);
}

/* Draws keep the limits, and without any are draws from the probabilities. */
static void draws_keep_the_limits(void **state) {
    enum { DRAWS = 2000 };
    place w;
    double low, high, p[LODE_MAX_OPTIONS];
    int count[LODE_MAX_OPTIONS] = {0}, distinct = 0;
    lode_arch a, last = {0};
    (void)state;
    place_open(&w, "fbnet-fashion");
    lode_rng rng = lode_rng_stream(7, LODE_RNG_TEST, 0);
    assert_ok(lode_cost_range(w.cost[0], &low, &high, NULL, NULL, NULL));
    draw_logits(&w, &rng);
    const lode_limit limit = {w.cost[0], (low + high) / 2, 0.9 * (low + high) / 2};
    for (int i = 0; i < 100; i++) {
        assert_ok(lode_strategy_sample_under(w.s, &rng, &limit, 1, &a));
        assert_true(within(&a, &limit, 1, true));
        distinct += !lode_arch_equal(&a, &last);
        last = a;
    }
    assert_true(distinct > 20);
    lode_strategy_probabilities(w.s, 0, p);
    for (int i = 0; i < DRAWS; i++) {
        assert_ok(lode_strategy_sample_under(w.s, &rng, NULL, 0, &a));
        count[a.option[0]]++;
    }
    for (int k = 0; k < lode_space_decision(w.space, 0)->n_options; k++)
        assert_near(count[k] / (double)DRAWS, p[k], 4 * sqrt(p[k] * (1 - p[k]) / DRAWS) + 1e-9);
    place_close(&w);
}

/* ---- costs that are no sums ---- */

/* The largest output of any call: what a device with little memory looks at. */
static lode_status widest_trace_cost(void *self, const lode_tape *trace, double *out) {
    (void)self;
    *out = 0;
    for (int i = 0; i < lode_trace_n(trace); i++)
        *out = fmax(*out, (double)lode_tensor_count(lode_trace_get(trace, i)->call.y));
    return LODE_OK;
}
static const char *widest_unit(const void *self) { return (void)self, "values"; }
static const lode_cost_model widest = {.name = "widest",
                                       .about = "largest value of a network",
                                       .unit = widest_unit,
                                       .trace_cost = widest_trace_cost};

static void other_costs_are_searched(void **state) {
    place w;
    lode_cost *cost = NULL;
    double low, high;
    (void)state;
    place_open(&w, "fbnet-fashion");
    lode_rng rng = lode_rng_stream(5, LODE_RNG_TEST, 0);
    assert_ok(lode_cost_from_model(&widest, NULL, w.net, 1, &cost));
    assert_ok(lode_cost_range(cost, &low, &high, NULL, NULL, NULL));
    assert_true(low < high);
    for (int i = 0; i < 4; i++) {
        lode_arch a;
        bool exact = true;
        double macs = 0;
        draw_logits(&w, &rng);
        assert_ok(lode_strategy_best(w.s, &a));
        assert_ok(lode_cost_hard(w.cost[0], &a, &macs));
        const lode_limit limit[2] = {{cost, (low + high) / 2, 0}, {w.cost[0], 0.9 * macs, 0}};
        assert_ok(lode_strategy_best_under(w.s, limit, 1 + i % 2, &a, &exact));
        assert_false(exact);
        assert_true(within(&a, limit, 1 + i % 2, false));
        assert_ok(lode_strategy_sample_under(w.s, &rng, limit, 1 + i % 2, &a));
        assert_true(within(&a, limit, 1 + i % 2, false));
    }
    lode_cost_close(cost);
    place_close(&w);
}

/* Decisions tied together: two edges kept at every node of a DARTS cell. */
static void constraints_are_kept(void **state) {
    place w;
    lode_arch a;
    double low, high;
    (void)state;
    place_open(&w, "darts");
    lode_rng rng = lode_rng_stream(6, LODE_RNG_TEST, 0);
    assert_ok(lode_cost_range(w.cost[0], &low, &high, NULL, NULL, NULL));
    draw_logits(&w, &rng);
    const lode_limit limit = {w.cost[0], low + 0.3 * (high - low), 0};
    assert_ok(lode_strategy_best_under(w.s, &limit, 1, &a, NULL));
    assert_ok(lode_space_check(w.space, &a));
    assert_true(within(&a, &limit, 1, false));
    place_close(&w);
}

static void the_impossible_is_told(void **state) {
    place w;
    lode_arch a;
    double low, high;
    char want[64];
    (void)state;
    place_open(&w, "fbnet-fashion");
    assert_ok(lode_cost_range(w.cost[0], &low, &high, NULL, NULL, NULL));
    const lode_limit limit[2] = {{w.cost[0], low - 1, 0}, {w.cost[1], 1, 0}};
    snprintf(want, sizeof want, "%.6g", low);
    assert_fails(lode_strategy_best_under(w.s, limit, 1, &a, NULL), LODE_ERR_INFEASIBLE, want);
    assert_fails(lode_strategy_best_under(w.s, limit, 2, &a, NULL), LODE_ERR_INFEASIBLE,
                 "all 2 limits");
    place_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_counting_through),  cmocka_unit_test(the_limit_itself_is_within),
        cmocka_unit_test(draws_keep_the_limits),    cmocka_unit_test(large_spaces_are_exact),
        cmocka_unit_test(other_costs_are_searched), cmocka_unit_test(constraints_are_kept),
        cmocka_unit_test(the_impossible_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
