/* labels: unit, property. REINFORCE: its mean gradient is the gradient of the expected reward, the
   rewards are those of the papers, any cost will do, and a run in pieces is a run. */
#include "pieces.h"
#include "train/evaluate.h"

#include <math.h>

enum { MOST = LODE_MAX_OPTIONS, PATHS = 6, ROWS = 20 };
static const int options[2] = {3, 2}; /* of the fixture's two decisions */

/* ---- a world in which each of the six networks has an accuracy we know ---- */

/* Right answers of 20. */
static const int right_of[PATHS] = {3, 9, 16, 5, 1, 12};

typedef struct world {
    fixture f;
    lode_tape *t;
    lode_tensor *labels, *logits, *ce;
    double p[2][MOST], exact[2][MOST]; /* gradient of -E[acc] */
} world;

static void world_open(world *w, const char *arch, const lode_strategy_setup *want) {
    const lode_strategy_setup none = {0};
    memset(w, 0, sizeof *w);
    fixture_open_for(&w->f, "{epochs: 4, strategy: reinforce}", arch, NULL, want ? want : &none);
    assert_ok(lode_tape_create(LODE_TRAIN, w->f.setup.runner, &w->t));
    assert_ok(lode_tensor_zeros(NULL, LODE_S32, &LODE_SHAPE1(ROWS), LODE_CONTIGUOUS, &w->labels));
    assert_ok(
        lode_tensor_zeros(NULL, LODE_F32, &LODE_SHAPE2(ROWS, 2), LODE_CONTIGUOUS, &w->logits));
    assert_ok(lode_tensor_zeros(NULL, LODE_F32, &LODE_SCALAR, LODE_CONTIGUOUS, &w->ce));
    lode_put(w->ce, 0, 0.5);
    static const double alpha[2][MOST] = {{0.3, -0.2, 0.5}, {0, 0.7}};
    for (int d = 0; d < 2; d++)
        for (int k = 0; k < options[d]; k++)
            lode_put(lode_strategy_parameter(w->f.strategy, d)->value, k, alpha[d][k]);
    for (int d = 0; d < 2; d++) lode_strategy_probabilities(w->f.strategy, d, w->p[d]);
    for (int a = 0; a < PATHS; a++) {
        int at[2] = {a / options[1], a % options[1]};
        double mass = w->p[0][at[0]] * w->p[1][at[1]] * right_of[a] / ROWS;
        for (int d = 0; d < 2; d++)
            for (int k = 0; k < options[d]; k++)
                w->exact[d][k] += mass * (w->p[d][k] - (k == at[d]));
    }
}

static void world_close(world *w) {
    lode_tensor_release(w->labels);
    lode_tensor_release(w->logits);
    lode_tensor_release(w->ce);
    lode_tape_destroy(w->t);
    fixture_close(&w->f);
}

/* The first `right` rows are answered right. */
static void answer(world *w, int right) {
    for (int i = 0; i < ROWS; i++) lode_put(w->logits, 2 * i + 1, i < right ? -1 : 1);
}

static int drawn(const lode_choice *c) {
    for (int k = 0; k < 3; k++)
        if (c->active == UINT64_C(1) << k) return k;
    fail_msg("no single option");
    return -1;
}

/* One architecture step as the trainer makes it, but for the network. right < 0: as drawn. */
static void world_step(world *w, int64_t number, int right, double g[2][MOST]) {
    lode_step step = {.turn = LODE_TURN_ARCH, .seed = 11, .step = number, .labels = w->labels};
    step.n_passes = lode_strategy_n_passes(w->f.strategy, &step);
    lode_var *loss = NULL;
    for (int d = 0; d < 2; d++)
        lode_parameter_clear_grad(lode_strategy_parameter(w->f.strategy, d));
    for (step.pass = 0; step.pass < step.n_passes; step.pass++) {
        lode_choice c[2];
        lode_tape_reset(w->t);
        assert_ok(lode_strategy_choose(w->f.strategy, w->t, &step, c));
        assert_null(c[0].weights);
        answer(w, right >= 0 ? right : right_of[drawn(&c[0]) * options[1] + drawn(&c[1])]);
        loss = lode_strategy_loss(w->f.strategy, w->t, &step, lode_tape_constant(w->t, w->logits),
                                  lode_tape_constant(w->t, w->ce));
        assert_ok(lode_tape_status(w->t));
        assert_near(lode_at(loss->value, 0), 0.5 / step.n_passes, 1e-6);
        assert_true(loss->requires_grad == (step.pass == step.n_passes - 1));
    }
    assert_ok(lode_backward(w->t, loss, 1));
    step.pass = step.n_passes - 1;
    assert_ok(lode_strategy_after_step(w->f.strategy, &step, 0));
    for (int d = 0; d < 2; d++) {
        const lode_tensor *grad = lode_strategy_parameter(w->f.strategy, d)->grad;
        assert_non_null(grad);
        double sum = 0;
        for (int k = 0; k < options[d]; k++) sum += g[d][k] = lode_at(grad, k);
        assert_near(sum, 0, 1e-6); /* rows sum to 0 */
    }
}

/* Means over many steps; returns the variance summed over all entries. `factor`: what the baseline
   makes of the exact gradient. */
static double mean_is_exact(const char *arch, double factor) {
    enum { STEPS = 6000 };
    world w;
    double sum[2][MOST] = {{0}}, square[2][MOST] = {{0}}, variance = 0;
    world_open(&w, arch, NULL);
    for (int64_t i = 0; i < STEPS; i++) {
        double g[2][MOST];
        world_step(&w, i, -1, g);
        for (int d = 0; d < 2; d++)
            for (int k = 0; k < options[d]; k++) {
                sum[d][k] += g[d][k];
                square[d][k] += g[d][k] * g[d][k];
            }
    }
    for (int d = 0; d < 2; d++)
        for (int k = 0; k < options[d]; k++) {
            double mean = sum[d][k] / STEPS, v = square[d][k] / STEPS - mean * mean;
            assert_near(mean, factor * w.exact[d][k], 4 * sqrt(v / STEPS) + 1e-6);
            variance += v;
        }
    world_close(&w);
    return variance;
}

static void the_mean_gradient_is_that_of_the_expected_reward(void **state) {
    (void)state;
    double plain = mean_is_exact("{samples: 4, reward: accuracy, baseline: 0}", 1);
    double after =
        mean_is_exact("{samples: 4, reward: accuracy, baseline: 0.1, baseline_first: false}", 1);
    double first = mean_is_exact("{samples: 4, reward: accuracy}", 1 - 0.99 / 4);
    assert_true(after < 0.8 * plain); /* a baseline quiets, and turns nothing */
    assert_true(first < 0.8 * plain);
}

/* With one network a step and nothing in the reward but the entropy, the gradient is exact. */
static void entropy_is_climbed(void **state) {
    world w;
    double g[2][MOST];
    (void)state;
    world_open(&w, "{samples: 1, reward: accuracy, baseline: 1, entropy: 0.5}", NULL);
    world_step(&w, 0, 0, g);
    for (int d = 0; d < 2; d++) {
        double h = 0;
        for (int k = 0; k < options[d]; k++) h -= w.p[d][k] * log(w.p[d][k]);
        for (int k = 0; k < options[d]; k++)
            assert_near(g[d][k], 0.5 * w.p[d][k] * (log(w.p[d][k]) + h), 1e-6);
    }
    world_close(&w);
}

/* ---- rewards ---- */

/* A cost that is no sum: every network costs the same. */
static lode_status flat_trace_cost(void *self, const lode_tape *trace, double *out) {
    (void)trace;
    *out = *(const double *)self;
    return LODE_OK;
}
static const char *flat_unit(const void *self) { return (void)self, "ms"; }
static const lode_cost_model flat_model = {
    .name = "flat", .about = "one number", .unit = flat_unit, .trace_cost = flat_trace_cost};

static double reward_of(const char *arch, double latency, int right) {
    world w, other;
    double g[2][MOST];
    lode_cost *cost = NULL;
    world_open(&other, "{reward: accuracy}", NULL); /* a net for the cost */
    assert_ok(lode_cost_from_model(&flat_model, &latency, other.f.net, 1, &cost));
    assert_false(lode_cost_has_gradient(cost));
    const lode_strategy_setup want = {.cost = &cost, .n_costs = 1};
    world_open(&w, arch, &want);
    world_step(&w, 0, right, g);
    json_t *line = json_object();
    lode_step step = {.turn = LODE_TURN_ARCH};
    assert_ok(lode_strategy_report(w.f.strategy, &step, line));
    double reward = json_number_value(json_object_get(line, "reward"));
    assert_near(json_number_value(json_object_get(line, "baseline")), reward,
                1e-12); /* the first */
    assert_null(json_object_get(line, "expected_flat"));
    json_decref(line);
    world_close(&w);
    lode_cost_close(cost);
    world_close(&other);
    return reward;
}

/* Accuracy 0.75 against 75 ms: figures of MnasNet's two rewards (methods C2), by hand for others.
 */
static void rewards_are_those_of_the_papers(void **state) {
    static const char soft[] = "{samples: 2, reward: product, strength: [0.07], target: [75]}";
    static const char hard[] = "{samples: 2, reward: penalty, strength: [1], target: [75]}";
    static const char sum[] = "{samples: 2, reward: additive, strength: [0.1], target: [80]}";
    static const char both[] = "{samples: 2, reward: absolute, strength: [0.1], target: [80]}";
    (void)state;
    assert_near(reward_of(soft, 84, 15), 0.744074, 1e-6);
    assert_near(reward_of(soft, 70, 15), 0.753631, 1e-6);
    assert_near(reward_of(hard, 84, 15), 0.669643, 1e-6);
    assert_near(reward_of(hard, 70, 15), 0.75, 1e-12);
    assert_near(reward_of("{target: [80]}", 40, 15), 0.75 * pow(2, 0.1), 1e-12); /* ProxylessNAS */
    assert_near(reward_of(sum, 60, 15), 0.775, 1e-12);
    assert_near(reward_of(sum, 100, 15), 0.725, 1e-12);
    assert_near(reward_of(both, 60, 15), 0.725, 1e-12);
    assert_near(reward_of(both, 100, 15), 0.725, 1e-12);
    assert_near(reward_of("{reward: accuracy}", 60, 15), 0.75, 1e-12);
    /* FNAS (methods D3), without its baseline 0.85: 0.9 - 0.85 + 0.8 = 0.85 */
    assert_near(reward_of("{samples: 2, reward: fnas, target: [10]}", 12, 18), -0.2, 1e-12);
    assert_near(reward_of("{samples: 2, reward: fnas, target: [10]}", 8, 18), 0.9 + 0.8, 1e-12);
    /* NASAIC (methods D4): 120 of a limit of 100, at worst 200 */
    static const char chip[] = "{samples: 2, reward: nasaic, strength: [10], target: [100], "
                               "bound: [200]}";
    assert_near(reward_of(chip, 120, 18), -1.1, 1e-12);
    assert_near(reward_of(chip, 90, 18), 0.9, 1e-12);
}

/* ---- in training ---- */

static void a_run_in_pieces_is_a_run(void **state) {
    static const char train[] = "{epochs: 3, strategy: reinforce, lr: 0.05, log_every: 4}";
    static const char arch[] =
        "{warmup: 1, every: 2, samples: 3, lr: 0.1, target: [4e4], entropy: 0.01}";
    fixture g;
    lode_cost *cost = NULL;
    char *want = NULL, *seen = NULL;
    (void)state;
    fixture_open(&g, "{epochs: 4}", "{}", NULL, NULL, 0);
    assert_ok(lode_cost_open("macs", g.net, 1, &cost));
    const lode_strategy_setup setup = {.cost = &cost, .n_costs = 1};
    uint64_t hash = run_in_pieces(train, arch, NULL, &setup, 0, 1, &want);
    assert_non_null(strstr(want, "\"reward\""));
    for (int64_t every = 1; every <= 7; every += 3) {
        assert_true(hash ==
                    run_in_pieces(train, arch, NULL, &setup, every, 2 - (int)(every % 2), &seen));
        assert_string_equal(want, seen);
        lode_free(seen);
    }
    lode_free(want);
    lode_cost_close(cost);
    fixture_close(&g);
}

/* Architecture steps leave every bit of the network alone, and move the probabilities. */
static void only_probabilities_learn_from_rewards(void **state) {
    fixture f;
    lode_trainer *t = NULL;
    bool finished = false;
    (void)state;
    fixture_open(&f, "{epochs: 1, strategy: reinforce}",
                 "{warmup: 0, every: 6, samples: 5, lr: 0.2, reward: accuracy}", NULL, NULL, 0);
    assert_ok(lode_trainer_create(&f.setup, &t));
    assert_ok(lode_trainer_run_steps(t, 6, &finished));
    assert_near(lode_strategy_entropy(f.strategy), 1, 1e-9);
    uint64_t net = 0;
    for (int after = 0; after < 2; after++) {
        uint64_t h = 0;
        for (int i = 0; i < lode_supernet_n_parameters(f.net); i++) {
            const lode_tensor *v = lode_supernet_parameter(f.net, i)->value;
            h = lode_hash_bytes(v->data, lode_tensor_bytes(v), h);
        }
        if (after) assert_true(h == net);
        net = h;
        if (!after) assert_ok(lode_trainer_run_steps(t, 1, &finished));
    }
    assert_true(lode_strategy_entropy(f.strategy) < 1 - 1e-6);
    lode_trainer_destroy(t);
    fixture_close(&f);
}

static void bad_setups_are_refused(void **state) {
    fixture f, g;
    lode_strategy *s = NULL;
    lode_cost *cost = NULL;
    (void)state;
    fixture_open(&g, "{epochs: 4}", "{}", NULL, NULL, 0);
    fixture_open(&f, "{epochs: 4, strategy: reinforce}", "{}", NULL, NULL, 0);
    assert_ok(lode_cost_open("macs", g.net, 1, &cost));
    lode_strategy_setup setup = {.net = f.net, .n_epochs = 4, .cost = &cost, .n_costs = 1};
    assert_fails(lode_strategy_create(f.plugin, &setup, &s), LODE_ERR_CONFIG, "arch.target");
    setup.n_epochs = 1;
    assert_fails(lode_strategy_create(f.plugin, &setup, &s), LODE_ERR_CONFIG, "arch.warmup");
    assert_null(s);
    lode_cost_close(cost);
    fixture_close(&f);
    fixture_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mean_gradient_is_that_of_the_expected_reward),
        cmocka_unit_test(entropy_is_climbed),
        cmocka_unit_test(rewards_are_those_of_the_papers),
        cmocka_unit_test(a_run_in_pieces_is_a_run),
        cmocka_unit_test(only_probabilities_learn_from_rewards),
        cmocka_unit_test(bad_setups_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
