/* labels: unit, property. Seeking: the pull in the gradient, the multiplier's rule, the limit met
   in training by every strategy with architecture parameters, and a run in pieces. */
#include "pieces.h"

#include <math.h>

/* A cost of the fixture's space and how far it goes. */
typedef struct price {
    fixture g; /* the net it was opened on */
    lode_cost *cost;
    double low, high;
} price;

static void price_open(price *p, const char *name) {
    memset(p, 0, sizeof *p);
    fixture_open(&p->g, "{epochs: 4}", "{}", NULL, NULL, 0);
    assert_ok(lode_cost_open(name, p->g.net, 1, &p->cost));
    assert_ok(lode_cost_range(p->cost, &p->low, &p->high, NULL, NULL, NULL));
}
static void price_close(price *p) {
    lode_cost_close(p->cost);
    fixture_close(&p->g);
}

static double number_in(fixture *f, const char *key) {
    json_t *line = json_object();
    lode_step step = {.turn = LODE_TURN_ARCH, .n_epochs = 4};
    assert_ok(lode_strategy_report(f->strategy, &step, line));
    assert_non_null(json_object_get(line, key));
    double v = json_number_value(json_object_get(line, key));
    json_decref(line);
    return v;
}

/* With g = E/T - 1 the loss is (m + d g) (C/T - 1): its gradient on alpha_k is
   (m + d g) y_k (F_k - E) / T at temperature 1; then m grows by r g. */
static void pull_and_multiplier_follow_their_rule(void **state) {
    static const char *const arch[2] = {
        "{noise: none, tau: 1, temperature: constant, seek: limit, seek_rate: 0.5, seek_damping: "
        "2}",
        "{noise: none, tau: 1, temperature: constant, seek: equal, seek_rate: 0.5, seek_damping: "
        "2}"};
    price macs;
    (void)state;
    price_open(&macs, "macs");
    for (int mode = 0; mode < 4; mode++) { /* limit and equal, above and below the expected cost */
        fixture f;
        lode_tape *t = NULL;
        lode_tensor *ce = NULL;
        double F[3], E = 0, m = 0, T = mode < 2 ? 0.8 * macs.low + 0.2 * macs.high : macs.high;
        bool equal = mode % 2 == 1;
        const lode_limit limit = {macs.cost, T, 0};
        const lode_strategy_setup want = {.seek = &limit, .n_seeks = 1};
        fixture_open_for(&f, "{epochs: 4}", arch[equal], NULL, &want);
        for (int k = 0; k < 3; k++) {
            F[k] = 0;
            for (int j = 0; j < 2; j++) {
                double c = 0;
                lode_arch a = {2, {(uint8_t)k, (uint8_t)j}};
                assert_ok(lode_cost_hard(macs.cost, &a, &c));
                F[k] += c / 2;
            }
            E += F[k] / 3;
        }
        double g = E / T - 1, seen = equal ? g : fmax(0, g);
        assert_true((g > 0) == (mode < 2));
        assert_ok(lode_tape_create(LODE_TRAIN, f.setup.runner, &t));
        assert_ok(lode_tensor_zeros(NULL, LODE_F32, &LODE_SCALAR, LODE_CONTIGUOUS, &ce));
        lode_parameter *alpha = lode_strategy_parameter(f.strategy, 0);
        for (int i = 0; i < 3; i++) {
            lode_choice choice[2];
            lode_step step = {.turn = LODE_TURN_ARCH, .n_epochs = 4, .n_passes = 1, .step = i};
            lode_tape_reset(t);
            lode_parameter_clear_grad(alpha);
            assert_ok(lode_strategy_choose(f.strategy, t, &step, choice));
            lode_var *loss =
                lode_strategy_loss(f.strategy, t, &step, NULL, lode_tape_constant(t, ce));
            assert_ok(lode_tape_status(t));
            double pull = m + 2 * seen;
            assert_near(lode_at(loss->value, 0), pull * g, 1e-5);
            assert_ok(lode_backward(t, loss, 1));
            for (int k = 0; k < 3; k++)
                assert_near(lode_at(alpha->grad, k), pull * (F[k] - E) / 3 / T, 1e-6);
            assert_ok(lode_strategy_after_step(f.strategy, &step, 0));
            m = equal ? m + 0.5 * g : fmax(0, m + 0.5 * g);
            assert_near(number_in(&f, "multiplier_macs"), m, 1e-9);
            step.turn = LODE_TURN_WEIGHTS; /* not learned from */
            assert_ok(lode_strategy_after_step(f.strategy, &step, 0));
            assert_near(number_in(&f, "multiplier_macs"), m, 1e-9);
        }
        lode_tensor_release(ce);
        lode_tape_destroy(t);
        fixture_close(&f);
    }
    price_close(&macs);
}

/* Trains to the end and returns E[cost] / T. The best architecture within the limit is checked. */
static double trained(const char *strategy, const char *arch, const price *p, double share) {
    fixture f;
    lode_train_result r;
    lode_arch best;
    char train[128];
    double hard = 0, T = p->low + share * (p->high - p->low);
    const lode_limit limit = {p->cost, T, 0};
    const lode_strategy_setup want = {.seek = &limit, .n_seeks = 1};
    snprintf(train, sizeof train, "{epochs: 18, strategy: %s, lr: 0.02, eval_every: 0}", strategy);
    fixture_open_for(&f, train, arch, NULL, &want);
    assert_ok(lode_train(&f.setup, &r));
    assert_ok(lode_strategy_best_under(f.strategy, &limit, 1, &best, NULL));
    assert_ok(lode_cost_hard(p->cost, &best, &hard));
    assert_true(hard <= T);
    double expected = number_in(&f, "expected_macs");
    fixture_close(&f);
    return expected / T;
}

static void limits_are_met_by_every_strategy(void **state) {
    static const struct {
        const char *strategy, *arch;
        double share, low, high; /* of the range of costs; E[cost] / T must come between */
    } runs[] = {
        {"gumbel", "{warmup: 1, lr: 0.1, seek: equal, tau_end: 0.5, turns: alternate}", 0.5, 0.93,
         1.07},
        {"gumbel", /* DARTS' softmax */
         "{warmup: 1, lr: 0.1, seek: equal, noise: none, tau: 1, tau_end: 1, turns: alternate}",
         0.25, 0.93, 1.07},
        {"binary_gates", "{warmup: 1, every: 1, lr: 0.1, seek: equal, paths: all}", 0.75, 0.93,
         1.07},
        /* pairs and draws say only roughly what a mixture says at once */
        {"binary_gates", "{warmup: 1, every: 1, lr: 0.1, seek: equal}", 0.25, 0.8, 1.15},
        {"binary_gates", "{warmup: 1, every: 1, lr: 0.1, seek: limit}", 0.25, 0, 1.15},
        {"reinforce", "{warmup: 1, every: 1, lr: 0.1, seek: equal, samples: 8, reward: accuracy}",
         0.5, 0.85, 1.15},
    };
    price macs;
    (void)state;
    price_open(&macs, "macs");
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        double at = trained(runs[i].strategy, runs[i].arch, &macs, runs[i].share);
        print_message("%s at %g of the range: E[cost] / T %.3f\n", runs[i].strategy, runs[i].share,
                      at);
        assert_true(at > runs[i].low && at < runs[i].high);
    }
    price_close(&macs);
}

/* ---- parts of a search ---- */

/* Weights alone leave the alphas, architecture alone leaves the network. */
static void parts_train_their_part(void **state) {
    static const struct {
        lode_search_part part;
        int64_t steps;
    } parts[] = {
        {LODE_SEARCH_BOTH, 3 * 6 + 2 * 4}, {LODE_SEARCH_WEIGHTS, 3 * 6}, {LODE_SEARCH_ARCH, 3 * 4}};
    (void)state;
    for (int i = 0; i < 3; i++) {
        fixture f;
        lode_train_result r;
        const lode_strategy_setup want = {.part = parts[i].part};
        fixture_open_for(&f, "{epochs: 3}", "{warmup: 1, lr: 0.1}", NULL, &want);
        double start = lode_strategy_entropy(f.strategy);
        uint64_t before = 0, after = 0;
        for (int j = 0; j < lode_supernet_n_parameters(f.net); j++) {
            const lode_tensor *v = lode_supernet_parameter(f.net, j)->value;
            before = lode_hash_bytes(v->data, lode_tensor_bytes(v), before);
        }
        assert_ok(lode_train(&f.setup, &r));
        for (int j = 0; j < lode_supernet_n_parameters(f.net); j++) {
            const lode_tensor *v = lode_supernet_parameter(f.net, j)->value;
            after = lode_hash_bytes(v->data, lode_tensor_bytes(v), after);
        }
        assert_int_equal(r.steps, parts[i].steps);
        assert_true((before == after) == (parts[i].part == LODE_SEARCH_ARCH));
        assert_true((lode_strategy_entropy(f.strategy) == start) ==
                    (parts[i].part == LODE_SEARCH_WEIGHTS));
        fixture_close(&f);
    }
}

/* ---- in pieces ---- */
static void a_run_in_pieces_is_a_run(void **state) {
    static const struct {
        const char *train, *arch;
        lode_search_part part;
    } runs[] = {
        {"{epochs: 3, log_every: 4}", "{warmup: 1, lr: 0.1, seek: equal}", LODE_SEARCH_BOTH},
        {"{epochs: 2, strategy: binary_gates}", "{warmup: 0, lr: 0.1, every: 2, seek: limit}",
         LODE_SEARCH_BOTH},
        {"{epochs: 3, strategy: reinforce}",
         "{warmup: 0, lr: 0.1, every: 2, samples: 3, reward: accuracy, seek: equal}",
         LODE_SEARCH_BOTH},
        {"{epochs: 3}", "{lr: 0.1, seek: equal}", LODE_SEARCH_ARCH},
    };
    price macs;
    (void)state;
    price_open(&macs, "macs");
    const lode_limit limit = {macs.cost, 0.7 * macs.low + 0.3 * macs.high, 0};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char *want = NULL, *seen = NULL;
        const lode_strategy_setup setup = {.seek = &limit, .n_seeks = 1, .part = runs[i].part};
        uint64_t hash = run_in_pieces(runs[i].train, runs[i].arch, NULL, &setup, 0, 1, &want);
        assert_non_null(strstr(want, "\"multiplier_macs\""));
        for (int64_t every = 2; every <= 5; every += 3) {
            assert_true(hash == run_in_pieces(runs[i].train, runs[i].arch, NULL, &setup, every,
                                              2 - (int)(every % 2), &seen));
            assert_string_equal(want, seen);
            lode_free(seen);
        }
        lode_free(want);
    }
    price_close(&macs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pull_and_multiplier_follow_their_rule),
        cmocka_unit_test(limits_are_met_by_every_strategy),
        cmocka_unit_test(parts_train_their_part),
        cmocka_unit_test(a_run_in_pieces_is_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
