/* labels: unit, property. Strategies that run one path at a time: how fair draws cover the options,
   what binary gates draw, learn and leave alone. */
#include "train/strategy_binary_gates.h"
#include "train_fixture.h"

#include <math.h>

static const char uneven_space[] = "name: uneven\n"
                                   "input: {channels: 3, size: 8}\n"
                                   "classes: 4\n"
                                   "sets:\n"
                                   "  three:\n"
                                   "    k3: {op: mbconv, kernel: 3, expand: 1}\n"
                                   "    k5: {op: mbconv, kernel: 5, expand: 1}\n"
                                   "    skip: {op: skip}\n"
                                   "  two:\n"
                                   "    k3: {op: mbconv, kernel: 3, expand: 1}\n"
                                   "    skip: {op: skip}\n"
                                   "layers:\n"
                                   "  - {name: stem, op: conv, kernel: 3, channels: 4}\n"
                                   "  - {choice: three, channels: 4}\n"
                                   "  - {choice: two, channels: 4}\n"
                                   "  - {name: pool, op: global_pool}\n"
                                   "  - {name: classifier, op: linear}\n";

/* ---- fair ---- */

/* Three passes a step: three options meet exactly once each; two differ by one at most, ever. */
static void fair_steps_cover_every_option(void **state) {
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_strategy *s = NULL;
    const lode_strategy_plugin *plugin = NULL;
    void *options = NULL;
    int three[3] = {0}, two[2] = {0}, orders = 0, first = -1;
    (void)state;
    assert_ok(lode_space_parse(uneven_space, "uneven", NULL, &space));
    assert_ok(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    assert_ok(lode_strategy_find("fair", &plugin));
    assert_ok(lode_strategy_options_read(NULL, plugin, &options));
    lode_strategy_setup setup = {.net = net, .n_epochs = 1, .options = options};
    assert_ok(lode_strategy_create(plugin, &setup, &s));
    for (int64_t i = 0; i < 60; i++) {
        lode_step step = {.seed = 4, .step = i, .batch = 2};
        step.n_passes = lode_strategy_n_passes(s, &step);
        assert_int_equal(step.n_passes, 3);
        for (step.pass = 0; step.pass < 3; step.pass++) {
            lode_choice c[2];
            assert_ok(lode_strategy_choose(s, NULL, &step, c));
            assert_null(c[0].weights);
            for (int k = 0; k < 3; k++) three[k] += c[0].active == UINT64_C(1) << k;
            for (int k = 0; k < 2; k++) two[k] += c[1].active == UINT64_C(1) << k;
            assert_true(abs(two[0] - two[1]) <= 1);
            if (step.pass == 0 && (int)c[0].active != first) {
                first = (int)c[0].active;
                orders++;
            }
        }
        for (int k = 0; k < 3; k++) assert_int_equal(three[k], i + 1);
    }
    assert_int_equal(two[0], two[1]);
    assert_true(orders > 20); /* the orders are drawn anew */
    lode_strategy_destroy(s);
    lode_free(options);
    lode_supernet_destroy(net);
    lode_space_release(space);
}

/* One step of SGD equals the sum (or mean) of the gradients of its paths: with a third of the rate,
   summed gradients move the weights as averaged ones do. */
static void fair_gradients_are_summed(void **state) {
    static const char *const train[2] = {
        "{epochs: 1, strategy: fair, lr: 0.03, momentum: 0, weight_decay: 0}",
        "{epochs: 1, strategy: fair, lr: 0.09, momentum: 0, weight_decay: 0}"};
    static const char *const arch[2] = {"{gradient: sum}", "{gradient: mean}"};
    fixture f[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        lode_trainer *t = NULL;
        bool finished = false;
        fixture_open(&f[i], train[i], arch[i], NULL, NULL, 0);
        assert_ok(lode_trainer_create(&f[i].setup, &t));
        assert_ok(lode_trainer_run_steps(t, 1, &finished));
        lode_trainer_destroy(t);
    }
    for (int i = 0; i < lode_supernet_n_parameters(f[0].net); i++) {
        const lode_tensor *a = lode_supernet_parameter(f[0].net, i)->value;
        const lode_tensor *b = lode_supernet_parameter(f[1].net, i)->value;
        for (int64_t k = 0; k < lode_tensor_count(a); k++)
            assert_near(lode_at(a, k), lode_at(b, k), 1e-5);
    }
    for (int i = 0; i < 2; i++) fixture_close(&f[i]);
}

/* ---- binary gates ---- */

static void set_alpha(fixture *f, double a, double b, double c) {
    lode_tensor *alpha = lode_strategy_parameter(f->strategy, 0)->value;
    lode_put(alpha, 0, a), lode_put(alpha, 1, b), lode_put(alpha, 2, c);
}

static void gates_draw_from_the_probabilities(void **state) {
    enum { STEPS = 4000 };
    static const lode_turn turns[2] = {LODE_TURN_WEIGHTS, LODE_TURN_ARCH};
    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        double p[LODE_MAX_OPTIONS];
        int count[3] = {0};
        fixture f;
        lode_tape *t = NULL;
        fixture_open(&f, "{epochs: 4, strategy: binary_gates}", "{paths: all}", NULL, NULL, 0);
        set_alpha(&f, 0.3, 1, -0.5);
        lode_strategy_probabilities(f.strategy, 0, p);
        assert_ok(lode_tape_create(LODE_TRAIN, f.setup.runner, &t));
        for (int64_t i = 0; i < STEPS; i++) {
            lode_choice c[2];
            lode_step step = {.turn = turns[turn], .seed = 3, .step = i, .n_passes = 1};
            lode_tape_reset(t);
            assert_ok(lode_strategy_choose(f.strategy, t, &step, c));
            assert_true((c[0].weights == NULL) == (turn == 0));
            for (int k = 0; k < 3; k++)
                count[k] += turn == 0 ? c[0].active == UINT64_C(1) << k
                                      : lode_at(c[0].weights->value, k) == 1;
        }
        for (int k = 0; k < 3; k++)
            assert_near(count[k] / (double)STEPS, p[k], 4 * sqrt(p[k] * (1 - p[k]) / STEPS));
        lode_tape_destroy(t);
        fixture_close(&f);
    }
}

/* dL/dalpha_i = p_i (c_i - sum_j p_j c_j) for a loss sum_j c_j z_j; p over all options, or over the
   two that were drawn (methods 0.1, A5). */
static void gates_learn_by_the_formula(void **state) {
    static const char *const arch[2] = {"{paths: all}", "{paths: two}"};
    static const double c[3] = {1, -2, 4};
    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        fixture f;
        lode_tape *t = NULL;
        lode_tensor *slope = NULL;
        int pairs = 0;
        fixture_open(&f, "{epochs: 4, strategy: binary_gates}", arch[mode], NULL, NULL, 0);
        set_alpha(&f, 0.3, -0.2, 0.5);
        lode_parameter *alpha = lode_strategy_parameter(f.strategy, 0);
        assert_ok(lode_tape_create(LODE_TRAIN, f.setup.runner, &t));
        assert_ok(lode_tensor_zeros(NULL, LODE_F32, &LODE_SHAPE1(3), LODE_CONTIGUOUS, &slope));
        for (int k = 0; k < 3; k++) lode_put(slope, k, c[k]);
        for (int64_t i = 0; i < 20; i++) {
            lode_choice choice[2];
            lode_step step = {.turn = LODE_TURN_ARCH, .seed = 3, .step = i, .n_passes = 1};
            double q[3], sum = 0, mean = 0, ones = 0;
            lode_tape_reset(t);
            lode_parameter_clear_grad(alpha);
            assert_ok(lode_strategy_choose(f.strategy, t, &step, choice));
            lode_var *z = choice[0].weights;
            int runs = 0;
            for (int k = 0; k < 3; k++) {
                bool active = choice[0].active >> k & 1;
                runs += active;
                q[k] = active ? exp(lode_at(alpha->value, k)) : 0;
                sum += q[k];
                double w = lode_at(z->value, k);
                assert_true(w == 0 || (w == 1 && active));
                ones += w;
            }
            assert_int_equal(runs, mode == 0 ? 3 : 2);
            assert_true(ones == 1);
            pairs |= 1 << choice[0].active;
            lode_var *loss = lode_reduce_sum(t, lode_mul(t, z, lode_tape_constant(t, slope)),
                                             (lode_reduce_params){.dims = 1});
            assert_ok(lode_tape_status(t));
            assert_ok(lode_backward(t, loss, 1));
            for (int k = 0; k < 3; k++) mean += (q[k] /= sum) * c[k];
            for (int k = 0; k < 3; k++) {
                if (q[k] == 0)
                    assert_true(lode_at(alpha->grad, k) == 0);
                else
                    assert_near(lode_at(alpha->grad, k), q[k] * (c[k] - mean), 1e-5);
            }
        }
        assert_int_equal(pairs, mode == 0 ? 1 << 7 : 1 << 3 | 1 << 5 | 1 << 6);
        lode_tensor_release(slope);
        lode_tape_destroy(t);
        fixture_close(&f);
    }
}

/* Figures by hand: alpha (0.3, -0.2, 0.5, 0), options 0 and 2 move by -0.1 and +0.05. */
static void the_shift_keeps_the_other_probabilities(void **state) {
    double alpha[4] = {0.3, -0.2, 0.5, 0}, before[4], after[4], sum = 0;
    static const double want[4] = {0.25731, 0.16996, 0.36515, 0.20758};
    (void)state;
    for (int k = 0; k < 4; k++) sum += before[k] = exp(alpha[k]);
    for (int k = 0; k < 4; k++) before[k] /= sum;
    double shift = lode_binary_gates_shift(0.3, 0.5, 0.2, 0.55);
    alpha[0] = 0.2 - shift;
    alpha[2] = 0.55 - shift;
    sum = 0;
    for (int k = 0; k < 4; k++) sum += after[k] = exp(alpha[k]);
    for (int k = 0; k < 4; k++) assert_near(after[k] / sum, want[k], 5e-6);
    assert_near(after[1] / sum, before[1], 1e-15);
    assert_near(after[3] / sum, before[3], 1e-15);
    assert_near(lode_binary_gates_shift(800, -800, 801, -800), 1, 1e-12); /* no overflow */
}

/* In training too: after an architecture step at most two options of a decision have moved, and the
   third has the probability it had. */
static void two_paths_leave_the_rest_alone(void **state) {
    fixture f;
    lode_trainer *t = NULL;
    bool finished = false;
    int moved = 0;
    (void)state;
    fixture_open(&f, "{epochs: 6, strategy: binary_gates, lr: 0.02, eval_every: 0}",
                 "{warmup: 0, every: 1, lr: 0.2}", NULL, NULL, 0);
    assert_ok(lode_trainer_create(&f.setup, &t));
    for (int i = 0; i < 40 && !finished; i++) {
        double before[LODE_MAX_OPTIONS], after[LODE_MAX_OPTIONS];
        int same = 0; /* of the three options of the first decision */
        lode_strategy_probabilities(f.strategy, 0, before);
        assert_ok(lode_trainer_run_steps(t, 1, &finished));
        lode_strategy_probabilities(f.strategy, 0, after);
        for (int k = 0; k < 3; k++) same += fabs(after[k] - before[k]) < 1e-6;
        assert_true(same >= 1);
        moved += same < 3;
    }
    assert_true(moved > 10);
    lode_trainer_destroy(t);
    fixture_close(&f);
}

/* A step whose active option is skip: with zero: hold that decision gets no gradient and keeps its
   alphas, the price included; the others learn. */
static void held_decisions_stay(void **state) {
    static const char *const arch[2] = {"{paths: two, loss: additive, a: 1, zero: hold}",
                                        "{paths: all, loss: additive, a: 1, zero: hold}"};
    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        fixture f, g;
        lode_tape *t = NULL;
        lode_tensor *ce = NULL;
        lode_cost *cost = NULL;
        int held = 0, learned = 0;
        fixture_open(&g, "{epochs: 4}", "{}", NULL, NULL, 0);
        assert_ok(lode_cost_open("macs", g.net, 1, &cost));
        fixture_open(&f, "{epochs: 4, strategy: binary_gates}", arch[mode], NULL, &cost, 1);
        assert_true(lode_space_option_is_empty(f.space, 0, 2));
        assert_false(lode_space_option_is_empty(f.space, 0, 0));
        assert_ok(lode_tape_create(LODE_TRAIN, f.setup.runner, &t));
        assert_ok(lode_tensor_zeros(NULL, LODE_F32, &LODE_SCALAR, LODE_CONTIGUOUS, &ce));
        for (int64_t i = 0; i < 40; i++) {
            lode_choice c[2];
            lode_step step = {.turn = LODE_TURN_ARCH, .seed = 3, .step = i, .n_passes = 1};
            lode_parameter *alpha = lode_strategy_parameter(f.strategy, 0);
            lode_tape_reset(t);
            for (int d = 0; d < 2; d++)
                lode_parameter_clear_grad(lode_strategy_parameter(f.strategy, d));
            assert_ok(lode_strategy_choose(f.strategy, t, &step, c));
            lode_var *loss =
                lode_strategy_loss(f.strategy, t, &step, NULL, lode_tape_constant(t, ce));
            assert_ok(lode_tape_status(t));
            bool skips = lode_at(c[0].weights->value, 2) == 1;
            assert_ok(lode_backward(t, loss, 1));
            assert_true((alpha->grad == NULL) == skips);
            assert_non_null(lode_strategy_parameter(f.strategy, 1)->grad);
            double before = lode_at(alpha->value, 0);
            assert_ok(lode_strategy_after_step(f.strategy, &step, 0));
            assert_near(lode_at(alpha->value, 0), before, 1e-6);
            held += skips;
            learned += !skips;
        }
        assert_true(held > 4 && learned > 10);
        lode_tensor_release(ce);
        lode_tape_destroy(t);
        fixture_close(&f);
        lode_cost_close(cost);
        fixture_close(&g);
    }
}

/* Expected costs are weighted by q of the two drawn options: dE/dalpha_i = q_i (F_i - E). */
static void the_price_is_that_of_the_pair(void **state) {
    fixture f, g;
    lode_tape *t = NULL;
    lode_tensor *ce = NULL;
    lode_cost *cost = NULL;
    double price[3];
    (void)state;
    fixture_open(&g, "{epochs: 4}", "{}", NULL, NULL, 0);
    assert_ok(lode_cost_open("macs", g.net, 1, &cost));
    for (int k = 0; k < 3; k++) {
        lode_arch a = {2, {(uint8_t)k, 0}};
        assert_ok(lode_cost_hard(cost, &a, &price[k]));
    }
    fixture_open(&f, "{epochs: 4, strategy: binary_gates}", "{loss: additive, a: 0.001}", NULL,
                 &cost, 1);
    set_alpha(&f, 0.3, -0.2, 0.5);
    lode_parameter *alpha = lode_strategy_parameter(f.strategy, 0);
    assert_ok(lode_tape_create(LODE_TRAIN, f.setup.runner, &t));
    assert_ok(lode_tensor_zeros(NULL, LODE_F32, &LODE_SCALAR, LODE_CONTIGUOUS, &ce));
    for (int64_t i = 0; i < 10; i++) {
        lode_choice c[2];
        lode_step step = {.turn = LODE_TURN_ARCH, .seed = 3, .step = i, .n_passes = 1};
        double q[3], sum = 0, mean = 0;
        lode_tape_reset(t);
        lode_parameter_clear_grad(alpha);
        assert_ok(lode_strategy_choose(f.strategy, t, &step, c));
        lode_var *loss = lode_strategy_loss(f.strategy, t, &step, NULL, lode_tape_constant(t, ce));
        assert_ok(lode_backward(t, loss, 1));
        for (int k = 0; k < 3; k++)
            sum += q[k] = c[0].active >> k & 1 ? exp(lode_at(alpha->value, k)) : 0;
        for (int k = 0; k < 3; k++) mean += (q[k] /= sum) * price[k];
        for (int k = 0; k < 3; k++)
            assert_near(lode_at(alpha->grad, k), 0.001 * q[k] * (price[k] - mean), 1e-4);
    }
    lode_tensor_release(ce);
    lode_tape_destroy(t);
    fixture_close(&f);
    lode_cost_close(cost);
    fixture_close(&g);
}

/* The held-out split is judged by plain cross entropy, whatever the weights' loss is smoothed by.
 */
static void held_out_loss_is_plain(void **state) {
    uint64_t bits[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        fixture f;
        lode_trainer *t = NULL;
        bool finished = false;
        bits[i] = 0;
        fixture_open(&f,
                     i == 0 ? "{epochs: 1, strategy: binary_gates, lr: 0, weight_decay: 0}"
                            : "{epochs: 1, strategy: binary_gates, lr: 0, weight_decay: 0, "
                              "label_smoothing: 0.5}",
                     "{warmup: 0, every: 1, lr: 0.1}", NULL, NULL, 0);
        assert_ok(lode_trainer_create(&f.setup, &t));
        assert_ok(lode_trainer_run_steps(t, 6, &finished));
        for (int d = 0; d < 2; d++) {
            const lode_tensor *v = lode_strategy_parameter(f.strategy, d)->value;
            bits[i] = lode_hash_bytes(v->data, lode_tensor_bytes(v), bits[i]);
        }
        assert_true(lode_strategy_entropy(f.strategy) < 1);
        lode_trainer_destroy(t);
        fixture_close(&f);
    }
    assert_true(bits[0] == bits[1]);
}

static void a_heavy_price_closes_the_gates(void **state) {
    fixture f, g;
    lode_train_result r;
    lode_arch best, cheapest;
    double low, high;
    lode_cost *cost = NULL;
    (void)state;
    fixture_open(&g, "{epochs: 4}", "{}", NULL, NULL, 0);
    assert_ok(lode_cost_open("macs", g.net, 1, &cost));
    assert_ok(lode_cost_range(cost, &low, &high, &cheapest, NULL, NULL));
    (void)high;
    for (int mode = 0; mode < 2; mode++) {
        fixture_open(&f, "{epochs: 12, strategy: binary_gates, lr: 0.02, eval_every: 0}",
                     mode == 0 ? "{warmup: 1, every: 1, lr: 0.2, loss: additive, a: 1, paths: all}"
                               : "{warmup: 1, every: 1, lr: 0.2, loss: additive, a: 1, paths: two}",
                     NULL, &cost, 1);
        assert_ok(lode_train(&f.setup, &r));
        assert_ok(lode_strategy_best(f.strategy, &best));
        assert_true(lode_arch_equal(&best, &cheapest));
        fixture_close(&f);
    }
    lode_cost_close(cost);
    fixture_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fair_steps_cover_every_option),
        cmocka_unit_test(fair_gradients_are_summed),
        cmocka_unit_test(gates_draw_from_the_probabilities),
        cmocka_unit_test(gates_learn_by_the_formula),
        cmocka_unit_test(the_shift_keeps_the_other_probabilities),
        cmocka_unit_test(two_paths_leave_the_rest_alone),
        cmocka_unit_test(held_decisions_stay),
        cmocka_unit_test(the_price_is_that_of_the_pair),
        cmocka_unit_test(held_out_loss_is_plain),
        cmocka_unit_test(a_heavy_price_closes_the_gates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
