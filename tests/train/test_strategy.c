/* labels: unit, property. What each strategy trains, how noise and temperature behave, how costs
   pull, and what a strategy ends in. */
#include "train_fixture.h"

#include <math.h>

/* ---- the table ---- */
static void names_are_found(void **state) {
    const lode_strategy_plugin *plugin = NULL;
    int n = 0;
    (void)state;
    const lode_strategy_plugin *const *all = lode_strategy_plugins(&n);
    for (int i = 0; i < n; i++) {
        assert_ok(lode_strategy_find(all[i]->name, &plugin));
        assert_ptr_equal(plugin, all[i]);
        assert_true(strlen(plugin->about) > 10);
    }
    assert_fails(lode_strategy_find("gumble", &plugin), LODE_ERR_NOT_FOUND, "gumbel");
}

/* ---- single path ---- */
static void single_paths_are_uniform(void **state) {
    enum { STEPS = 3000 };
    int count[3] = {0}, together = 0;
    fixture f;
    (void)state;
    fixture_open(&f, "{epochs: 1, strategy: single_path}", "{}", NULL, NULL, 0);
    lode_tape *t = NULL;
    assert_ok(lode_tape_create(LODE_TRAIN, f.setup.runner, &t));
    for (int64_t i = 0; i < STEPS; i++) {
        lode_choice a[2], b[2];
        lode_step step = {.seed = 9, .step = i, .n_passes = 1, .batch = 8};
        assert_ok(lode_strategy_choose(f.strategy, t, &step, a));
        step.batch = 4, step.first_sample = 4; /* another rank */
        assert_ok(lode_strategy_choose(f.strategy, t, &step, b));
        assert_null(a[0].weights);
        assert_true(a[0].active == b[0].active && a[1].active == b[1].active);
        for (int k = 0; k < 3; k++) count[k] += a[0].active == UINT64_C(1) << k;
        together += a[0].active == 1 && a[1].active == 1;
    }
    for (int k = 0; k < 3; k++) /* 4 sigma */
        assert_near(count[k] / (double)STEPS, 1.0 / 3, 4 * sqrt(2.0 / 9 / STEPS));
    assert_near(together / (double)STEPS, 1.0 / 6, 4 * sqrt(5.0 / 36 / STEPS));
    assert_near(lode_strategy_entropy(f.strategy), 1, 1e-12);
    lode_tape_destroy(t);
    fixture_close(&f);
}

/* Bins of MACs are drawn equally often, however many architectures they hold, and none outside. */
static void single_paths_come_from_bins(void **state) {
    enum { STEPS = 2000 };
    int below = 0, seen = 0;
    fixture f;
    lode_cost *macs = NULL;
    double least, most, value;
    (void)state;
    fixture_open(&f, "{epochs: 1, strategy: single_path}", "{}", NULL, NULL, 0);
    assert_ok(lode_cost_open("macs", f.net, 1, &macs));
    assert_ok(lode_cost_range(macs, &least, &most, NULL, NULL, NULL));
    fixture_close(&f);
    const double half = (most - least) / 2;
    char *arch = lode_format("{macs: [%.17g, %.17g], bins: 2}", least, most);
    lode_cost_close(macs);
    fixture_open(&f, "{epochs: 1, strategy: single_path}", arch, NULL, NULL, 0);
    assert_ok(lode_cost_open("macs", f.net, 1, &macs));
    for (int64_t i = 0; i < STEPS; i++) {
        lode_choice c[2];
        lode_arch a = {.n = 2};
        const lode_step step = {.seed = 9, .step = i, .n_passes = 1, .batch = 8};
        assert_ok(lode_strategy_choose(f.strategy, NULL, &step, c));
        for (int d = 0; d < 2; d++)
            while (c[d].active >> a.option[d] != 1) a.option[d]++;
        seen |= 1 << (a.option[0] * 2 + a.option[1]);
        assert_ok(lode_cost_hard(macs, &a, &value));
        assert_true(value >= least && value < most); /* the dearest is left out */
        below += value < least + half;
    }
    assert_near(below / (double)STEPS, 0.5, 4 * sqrt(0.25 / STEPS));
    assert_true((seen & (seen - 1)) != 0);
    lode_cost_close(macs);
    lode_free(arch);
    fixture_close(&f);
}

static void a_range_without_paths_is_refused(void **state) {
    static const struct {
        const char *arch;
        lode_status status;
        const char *what;
    } wrong[] = {
        {"arch: {macs: [1, 2]}", LODE_ERR_INFEASIBLE, "1 to 2 MACs"},
        {"arch: {macs: [9, 2]}", LODE_ERR_CONFIG, "FROM < TO"},
        {"arch: {macs: [9]}", LODE_ERR_CONFIG, "two numbers"},
        {"arch: {bins: 3}", LODE_ERR_CONFIG, "arch.macs"},
    };
    const lode_strategy_plugin *plugin = NULL;
    fixture f;
    (void)state;
    fixture_open(&f, "{epochs: 1, strategy: single_path}", "{}", NULL, NULL, 0);
    assert_ok(lode_strategy_find("single_path", &plugin));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lode_strategy *s = NULL;
        lode_config *config = NULL;
        void *options = NULL;
        assert_ok(lode_config_parse(wrong[i].arch, "recipe", &config));
        assert_ok(lode_strategy_options_read(config, plugin, &options));
        const lode_strategy_setup setup = {.net = f.net, .n_epochs = 1, .options = options};
        assert_fails(lode_strategy_create(plugin, &setup, &s), wrong[i].status, wrong[i].what);
        lode_free(options);
        lode_config_destroy(config);
    }
    fixture_close(&f);
}

/* What is not on the path of a step keeps every bit. */
static void paths_not_taken_stay(void **state) {
    fixture f;
    lode_trainer *t = NULL;
    bool finished = false;
    (void)state;
    fixture_open(&f, "{epochs: 1, strategy: single_path, weight_decay: 0.1}", "{}", NULL, NULL, 0);
    int n = lode_supernet_n_parameters(f.net), changed = 0, same = 0;
    uint64_t *before = calloc((size_t)n, sizeof *before);
    assert_non_null(before);
    for (int i = 0; i < n; i++) {
        const lode_tensor *v = lode_supernet_parameter(f.net, i)->value;
        before[i] = lode_hash_bytes(v->data, lode_tensor_bytes(v), 0);
    }
    assert_ok(lode_trainer_create(&f.setup, &t));
    assert_ok(lode_trainer_run_steps(t, 1, &finished));
    lode_rng rng = lode_rng_stream(5, LODE_RNG_SAMPLE_ARCH, 0);
    lode_arch arch;
    assert_ok(lode_space_sample(f.space, &rng, &arch));
    for (int i = 0; i < n; i++) {
        const lode_parameter *p = lode_supernet_parameter(f.net, i);
        bool on_path = true;
        for (int d = 0; d < arch.n; d++) {
            const lode_decision *decision = lode_space_decision(f.space, d);
            for (int k = 0; k < decision->n_options; k++) {
                char prefix[64];
                snprintf(prefix, sizeof prefix, "%s.%s.", decision->name, decision->option[k]);
                if (k != arch.option[d] && strncmp(p->name, prefix, strlen(prefix)) == 0)
                    on_path = false;
            }
        }
        bool moved = lode_hash_bytes(p->value->data, lode_tensor_bytes(p->value), 0) != before[i];
        if (moved) assert_true(on_path);
        changed += moved;
        same += !on_path;
    }
    assert_true(changed > 4 && same > 4);
    free(before);
    lode_trainer_destroy(t);
    fixture_close(&f);
}

/* ---- gumbel: turns ---- */
static uint64_t hash_net(const fixture *f) {
    uint64_t h = 0;
    for (int i = 0; i < lode_supernet_n_parameters(f->net); i++) {
        const lode_tensor *v = lode_supernet_parameter(f->net, i)->value;
        h = lode_hash_bytes(v->data, lode_tensor_bytes(v), h);
    }
    return h;
}

static double logits_size(const fixture *f) {
    double sum = 0;
    for (int i = 0; i < lode_strategy_n_parameters(f->strategy); i++) {
        const lode_tensor *v = lode_strategy_parameter(f->strategy, i)->value;
        for (int64_t k = 0; k < lode_tensor_count(v); k++) sum += fabs(lode_at(v, k));
    }
    return sum;
}

static void each_turn_trains_its_half(void **state) {
    fixture f;
    lode_trainer *t = NULL;
    bool finished = false;
    (void)state;
    fixture_open(&f, "{epochs: 2}", "{warmup: 1}", NULL, NULL, 0);
    assert_ok(lode_trainer_create(&f.setup, &t));
    assert_int_equal(lode_trainer_total_steps(t), 2 * 6 + 4);
    uint64_t start = hash_net(&f);
    assert_ok(lode_trainer_run_steps(t, 12, &finished)); /* warm-up epoch, weights of the second */
    assert_true(logits_size(&f) == 0);
    uint64_t trained = hash_net(&f);
    assert_true(trained != start);
    assert_ok(lode_trainer_run_steps(t, 4, &finished));
    assert_true(finished);
    assert_true(hash_net(&f) == trained); /* running statistics included */
    assert_true(logits_size(&f) > 0);
    lode_trainer_destroy(t);
    fixture_close(&f);
}

static void alternating_turns_interleave(void **state) {
    fixture f;
    lode_trainer *t = NULL;
    bool finished = false;
    (void)state;
    fixture_open(&f, "{epochs: 1}", "{warmup: 0, turns: alternate, every: 2}", NULL, NULL, 0);
    assert_ok(lode_trainer_create(&f.setup, &t));
    assert_int_equal(lode_trainer_total_steps(t), 6 + 3);
    for (int i = 0; i < 9; i++) { /* w w a w w a w w a */
        uint64_t net = hash_net(&f);
        double logits = logits_size(&f);
        assert_ok(lode_trainer_run_steps(t, 1, &finished));
        assert_true((hash_net(&f) == net) == (i % 3 == 2));
        assert_true((logits_size(&f) == logits) == (i % 3 != 2));
    }
    assert_true(finished);
    lode_trainer_destroy(t);
    fixture_close(&f);
}

/* ---- gumbel: what runs ---- */
typedef struct chosen {
    lode_tape *t;
    lode_choice c[2];
} chosen;

static void choose(fixture *f, chosen *c, lode_turn turn, int64_t step, lode_tape_mode mode) {
    lode_step s = {.turn = turn, .seed = 3, .step = step, .n_epochs = 4, .n_passes = 1, .batch = 5};
    if (c->t == NULL) assert_ok(lode_tape_create(mode, f->setup.runner, &c->t));
    lode_tape_reset(c->t);
    assert_ok(lode_strategy_choose(f->strategy, c->t, &s, c->c));
}

static void samples_decide_what_runs(void **state) {
    static const struct {
        const char *arch;
        lode_turn turn;
        int runs,
            rows; /* options of layer1 that run (-1: any); rows of weights: 0 none, 1 [K], 5 */
    } cases[] = {
        {"{sample: soft}", LODE_TURN_WEIGHTS, 3, 1},
        {"{sample: soft, noise: sample}", LODE_TURN_ARCH, 3, 5},
        {"{sample: hard}", LODE_TURN_WEIGHTS, 1, 0},
        {"{sample: hard}", LODE_TURN_ARCH, 3, 1},
        {"{sample: hard, noise: sample}", LODE_TURN_ARCH, 3, 5},
        {"{sample: one_path}", LODE_TURN_WEIGHTS, 1, 0},
        {"{sample: one_path}", LODE_TURN_ARCH, 1, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        chosen c = {0};
        fixture_open(&f, "{epochs: 4}", cases[i].arch, NULL, NULL, 0);
        choose(&f, &c, cases[i].turn, 1, LODE_TRAIN);
        int runs = 0;
        for (int k = 0; k < 3; k++) runs += (c.c[0].active >> k & 1) != 0;
        assert_int_equal(runs, cases[i].runs);
        if (cases[i].rows == 0) {
            assert_null(c.c[0].weights);
        } else {
            const lode_tensor *w = c.c[0].weights->value;
            assert_int_equal(w->shape.n_dims, cases[i].rows == 1 ? 1 : 2);
            assert_int_equal(lode_tensor_count(w), 3 * cases[i].rows);
            for (int64_t r = 0; r < cases[i].rows; r++)
                assert_near(lode_at(w, 3 * r) + lode_at(w, 3 * r + 1) + lode_at(w, 3 * r + 2), 1,
                            1e-6);
        }
        lode_tape_destroy(c.t);
        fixture_close(&f);
    }
}

/* argmax(alpha + G) is an exact draw from softmax(alpha), at any temperature (methods 0.1). */
static void draws_follow_the_probabilities(void **state) {
    enum { STEPS = 4000 };
    double p[LODE_MAX_OPTIONS];
    int count[3] = {0};
    fixture f;
    chosen c = {0};
    (void)state;
    fixture_open(&f, "{epochs: 4}", "{sample: hard}", NULL, NULL, 0);
    lode_tensor *alpha = lode_strategy_parameter(f.strategy, 0)->value;
    lode_put(alpha, 0, 0.3), lode_put(alpha, 1, 1), lode_put(alpha, 2, -0.5);
    lode_strategy_probabilities(f.strategy, 0, p);
    for (int64_t i = 0; i < STEPS; i++) {
        choose(&f, &c, LODE_TURN_WEIGHTS, i, LODE_TRAIN);
        for (int k = 0; k < 3; k++) count[k] += c.c[0].active == UINT64_C(1) << k;
    }
    for (int k = 0; k < 3; k++)
        assert_near(count[k] / (double)STEPS, p[k], 4 * sqrt(p[k] * (1 - p[k]) / STEPS));
    lode_tape_destroy(c.t);
    fixture_close(&f);
}

/* ---- gumbel: costs ---- */
static lode_cost *open_macs(lode_supernet *net) {
    lode_cost *c = NULL;
    assert_ok(lode_cost_open("macs", net, 1, &c));
    return c;
}

/* dL/dalpha_i of the cost alone is a y_i (F_i - sum_k y_k F_k) / tau, with F from hard costs. */
static void the_cost_pulls_by_its_formula(void **state) {
    fixture f, g;
    double price[3], y[3] = {0.25, 0.5, 0.25}, mean = 0;
    (void)state;
    fixture_open(&g, "{epochs: 4}", "{}", NULL, NULL, 0); /* a net for the cost to be opened on */
    lode_cost *cost = open_macs(g.net);
    fixture_open(&f, "{epochs: 4}",
                 "{noise: none, tau: 2, temperature: constant, loss: additive, a: 0.001}", NULL,
                 &cost, 1);
    for (int k = 0; k < 3; k++) {
        lode_arch a = {2, {(uint8_t)k, 0}};
        assert_ok(lode_cost_hard(cost, &a, &price[k]));
        mean += y[k] * price[k];
    }
    lode_parameter *alpha = lode_strategy_parameter(f.strategy, 0);
    lode_put(alpha->value, 1, 2 * log(2)); /* softmax(alpha / 2) = y */
    lode_tensor *ce = NULL;
    lode_tape *t = NULL;
    lode_choice choice[2];
    lode_step step = {.turn = LODE_TURN_ARCH, .n_epochs = 4, .n_passes = 1, .batch = 2};
    assert_ok(lode_tape_create(LODE_TRAIN, f.setup.runner, &t));
    assert_ok(lode_tensor_zeros(NULL, LODE_F32, &LODE_SCALAR, LODE_CONTIGUOUS, &ce));
    assert_ok(lode_strategy_choose(f.strategy, t, &step, choice));
    lode_var *loss = lode_strategy_loss(f.strategy, t, &step, NULL, lode_tape_constant(t, ce));
    assert_ok(lode_tape_status(t));
    assert_ok(lode_backward(t, loss, 1));
    for (int k = 0; k < 3; k++)
        assert_near(lode_at(alpha->grad, k), 0.001 * y[k] * (price[k] - mean) / 2, 1e-4);
    step.turn = LODE_TURN_WEIGHTS; /* the weights see plain cross entropy */
    lode_tape_reset(t);
    lode_var *plain = lode_tape_constant(t, ce);
    assert_ptr_equal(lode_strategy_loss(f.strategy, t, &step, NULL, plain), plain);
    lode_tensor_release(ce);
    lode_tape_destroy(t);
    fixture_close(&f);
    lode_cost_close(cost);
    fixture_close(&g);
}

/* Two costs at once, each with its own form and factor: the second joins what the first has made.
 */
static void costs_join_one_after_another(void **state) {
    static const char arch[] = "{noise: none, tau: 1, temperature: constant, loss: [add_linear, "
                               "fbnet], a: [0.3, 0.2], b: [1, 0.6], target: [5e4]}";
    fixture f, g;
    lode_cost *cost[2] = {NULL, NULL};
    double mean[2] = {0, 0}, price[3][2];
    (void)state;
    fixture_open(&g, "{epochs: 4}", "{}", NULL, NULL, 0);
    assert_ok(lode_cost_open("macs", g.net, 1, &cost[0]));
    assert_ok(lode_cost_open("params", g.net, 1, &cost[1]));
    fixture_open(&f, "{epochs: 4}", arch, NULL, cost, 2);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 2; i++) {
            double half = 0; /* the other decision is a coin */
            price[k][i] = 0;
            for (int j = 0; j < 2; j++) {
                lode_arch a = {2, {(uint8_t)k, (uint8_t)j}};
                assert_ok(lode_cost_hard(cost[i], &a, &half));
                price[k][i] += half / 2;
            }
            mean[i] += price[k][i] / 3;
        }
    double inner = 2 + 0.3 * (mean[0] / 5e4 - 1), outer = 0.2 * pow(log(mean[1]), 0.6);
    lode_tensor *ce = NULL;
    lode_tape *t = NULL;
    lode_choice choice[2];
    lode_step step = {.turn = LODE_TURN_ARCH, .n_epochs = 4, .n_passes = 1, .batch = 2};
    assert_ok(lode_tape_create(LODE_TRAIN, f.setup.runner, &t));
    assert_ok(lode_tensor_zeros(NULL, LODE_F32, &LODE_SCALAR, LODE_CONTIGUOUS, &ce));
    lode_put(ce, 0, 2);
    assert_ok(lode_strategy_choose(f.strategy, t, &step, choice));
    lode_var *loss = lode_strategy_loss(f.strategy, t, &step, NULL, lode_tape_constant(t, ce));
    assert_ok(lode_tape_status(t));
    assert_near(lode_at(loss->value, 0), inner * outer, 1e-5);
    assert_ok(lode_backward(t, loss, 1));
    double on_params = inner * 0.2 * 0.6 * pow(log(mean[1]), -0.4) / mean[1];
    for (int k = 0; k < 3; k++)
        assert_near(
            lode_at(lode_strategy_parameter(f.strategy, 0)->grad, k),
            (outer * 0.3 / 5e4 * (price[k][0] - mean[0]) + on_params * (price[k][1] - mean[1])) / 3,
            1e-5);
    lode_tensor_release(ce);
    lode_tape_destroy(t);
    fixture_close(&f);
    for (int i = 0; i < 2; i++) lode_cost_close(cost[i]);
    fixture_close(&g);
}

/* A hundredth of a unit has no useful logarithm: said when the strategy is made, with the way out.
 */
static lode_status small_op_cost(void *self, const lode_trace_call *call, double *out) {
    (void)self, (void)call;
    *out = 1e-3;
    return LODE_OK;
}
static const char *small_unit(const void *self) { return (void)self, "s"; }

static void logarithms_below_one_are_refused_at_once(void **state) {
    static const lode_cost_model model = {
        .name = "small", .about = "seconds", .unit = small_unit, .op_cost = small_op_cost};
    fixture g;
    lode_cost *cost = NULL;
    lode_strategy *s = NULL;
    const lode_strategy_plugin *gumbel = NULL;
    (void)state;
    fixture_open(&g, "{epochs: 4}", "{}", NULL, NULL, 0);
    assert_ok(lode_strategy_find("gumbel", &gumbel));
    assert_ok(lode_cost_from_model(&model, NULL, g.net, 1, &cost));
    lode_strategy_setup setup = {.net = g.net, .n_epochs = 4, .cost = &cost, .n_costs = 1};
    assert_fails(lode_strategy_create(gumbel, &setup, &s), LODE_ERR_NUMERIC, "smaller unit");
    assert_non_null(strstr(lode_last_error(), "cost small (s)"));
    assert_null(s);
    lode_cost_close(cost);
    fixture_close(&g);
}

/* A heavy price on MACs ends in the cheapest architecture; metrics tell the expected cost. */
static void a_heavy_price_finds_the_cheapest(void **state) {
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "m.jsonl");
    fixture f, g;
    lode_train_result r;
    lode_arch best, cheapest;
    double low, high;
    (void)state;
    fixture_open(&g, "{epochs: 4}", "{}", NULL, NULL, 0);
    lode_cost *cost = open_macs(g.net);
    fixture_open(&f, "{epochs: 4, lr: 0.02, eval_every: 0}",
                 "{warmup: 1, lr: 0.3, noise: batch, loss: fbnet, a: 0.2, b: 0.6}", NULL, &cost, 1);
    f.setup.metrics_path = path;
    assert_ok(lode_train(&f.setup, &r));
    assert_ok(lode_strategy_best(f.strategy, &best));
    assert_ok(lode_cost_range(cost, &low, &high, &cheapest, NULL, NULL));
    (void)high;
    char *lines = fixture_metrics(path);
    assert_non_null(strstr(lines, "\"expected_macs\""));
    lode_free(lines);
    assert_true(lode_strategy_entropy(f.strategy) < 1);
    fixture_close(&f);
    fixture_open(&f, "{epochs: 4, lr: 0.02}", "{warmup: 1, lr: 0.3, loss: additive, a: 1}", NULL,
                 &cost, 1);
    assert_ok(lode_train(&f.setup, &r));
    assert_ok(lode_strategy_best(f.strategy, &best));
    assert_true(lode_arch_equal(&best, &cheapest));
    fixture_close(&f);
    lode_cost_close(cost);
    fixture_close(&g);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
}

/* ---- what it ends in ---- */
static void ends_in_architectures(void **state) {
    enum { DRAWS = 4000 };
    fixture f;
    lode_arch best, drawn;
    int count = 0;
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, 0);
    (void)state;
    fixture_open(&f, "{epochs: 4}", "{}", NULL, NULL, 0);
    assert_near(lode_strategy_entropy(f.strategy), 1, 1e-12);
    lode_put(lode_strategy_parameter(f.strategy, 0)->value, 2, log(2)); /* 1/4 1/4 1/2 */
    assert_ok(lode_strategy_best(f.strategy, &best));
    assert_int_equal(best.option[0], 2);
    assert_int_equal(best.option[1], 0); /* first of equals */
    for (int i = 0; i < DRAWS; i++) {
        assert_ok(lode_strategy_sample(f.strategy, &rng, &drawn));
        count += drawn.option[0] == 2;
    }
    assert_near(count / (double)DRAWS, 0.5, 4 * 0.5 / sqrt(DRAWS));
    assert_near(lode_strategy_entropy(f.strategy), (1.5 * log(2) / log(3) + 1) / 2, 1e-6);
    json_t *j = lode_strategy_probabilities_json(f.strategy);
    assert_near(json_number_value(json_object_get(json_object_get(j, "layer1"), "skip")), 0.5,
                1e-6);
    json_decref(j);
    fixture_close(&f);
}

/* ---- refusals ---- */
static void bad_setups_are_refused(void **state) {
    fixture f;
    lode_strategy *s = NULL;
    const lode_strategy_plugin *fixed = NULL, *gumbel = NULL;
    (void)state;
    assert_ok(lode_strategy_find("fixed", &fixed));
    assert_ok(lode_strategy_find("gumbel", &gumbel));
    fixture_open(&f, "{epochs: 4}", "{}", NULL, NULL, 0);
    lode_strategy_setup setup = {.net = f.net, .n_epochs = 1};
    assert_fails(lode_strategy_create(fixed, &setup, &s), LODE_ERR_CONFIG, "which architecture");
    assert_fails(lode_strategy_create(gumbel, &setup, &s), LODE_ERR_CONFIG, "arch.warmup");
    lode_arch arch = {2, {1, 1}};
    setup.arch = &arch;
    assert_ok(lode_strategy_create(fixed, &setup, &s));
    assert_near(lode_strategy_entropy(s), 0, 0);
    lode_strategy_destroy(s);
    fixture_close(&f);
    fixture_open(&f, "{epochs: 4}", "{}", "k3,k3", NULL, 0);
    setup = (lode_strategy_setup){.net = f.net, .n_epochs = 4};
    assert_fails(lode_strategy_create(gumbel, &setup, &s), LODE_ERR_CONFIG, "strategy fixed");
    assert_null(s);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(single_paths_are_uniform),
        cmocka_unit_test(single_paths_come_from_bins),
        cmocka_unit_test(a_range_without_paths_is_refused),
        cmocka_unit_test(paths_not_taken_stay),
        cmocka_unit_test(each_turn_trains_its_half),
        cmocka_unit_test(alternating_turns_interleave),
        cmocka_unit_test(samples_decide_what_runs),
        cmocka_unit_test(draws_follow_the_probabilities),
        cmocka_unit_test(the_cost_pulls_by_its_formula),
        cmocka_unit_test(costs_join_one_after_another),
        cmocka_unit_test(logarithms_below_one_are_refused_at_once),
        cmocka_unit_test(a_heavy_price_finds_the_cheapest),
        cmocka_unit_test(ends_in_architectures),
        cmocka_unit_test(bad_setups_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
