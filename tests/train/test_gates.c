/* labels: unit, property. Gradients of gates in f64 against their closed forms (methods 0.1, A2):
   mixtures, straight-through draws, and draws where only one option runs. */
#include "train_fixture.h"

#include <math.h>

static const struct {
    const char *strategy, *arch;
    double tau;    /* at step 0 */
    bool only_one; /* c of options that do not run counts as zero, or as the map's */
} gates[] = {
    {"darts", "{order: first}", 1, false},
    {"darts", "{order: second}", 1, false},
    {"gumbel", "{sample: soft, tau: 0.7}", 0.7, false},
    {"gumbel", "{sample: soft, noise: sample, tau: 0.7}", 0.7, false},
    {"gumbel", "{sample: hard, tau: 0.7}", 0.7, false},
    {"gumbel", "{sample: hard, noise: sample, tau: 0.7}", 0.7, false},
    {"gumbel", "{sample: one_path, tau: 0.7}", 0.7, true},
    {"gumbel", "{sample: one_path, noise: none, tau: 0.7}", 0.7, true},
    {"gumbel", "{sample: one_path, skipped: sum, tau: 0.7}", 0.7, true},
    {"snas", "{tau: 0.7}", 0.7, false},
    {"snas", "{tau: 0.7, noise: sample}", 0.7, false},
};
enum { GATES = sizeof gates / sizeof *gates, ROWS = 4 };

/* What a pass of an architecture step chooses at the first decision, and the gradient of
   sum_nk c[n][k] z[n][k] for its logits. */
typedef struct gate {
    int rows;
    uint64_t active, counted; /* options that run, and those that have a c */
    double z[ROWS][3], grad[3];
} gate;

static void gate_run(fixture *f, const double alpha[3], const double c[ROWS][3], int64_t number,
                     gate *out) {
    lode_parameter *p = lode_strategy_parameter(f->strategy, 0);
    lode_step step = {.turn = LODE_TURN_ARCH, .seed = 3, .step = number, .batch = ROWS};
    lode_choice choice[2];
    lode_tape *t = NULL;
    lode_tensor *slope = NULL;
    step.n_epochs = 4, step.n_passes = 1;
    for (int k = 0; k < 3; k++) lode_put(p->value, k, alpha[k]);
    lode_parameter_clear_grad(p);
    assert_ok(lode_tape_create(LODE_TRAIN, f->setup.runner, &t));
    assert_ok(lode_strategy_choose(f->strategy, t, &step, choice));
    lode_var *z = choice[0].weights;
    assert_non_null(z);
    out->active = choice[0].active;
    out->counted = choice[0].ones ? 7 : out->active;
    out->rows = z->value->shape.n_dims == 2 ? ROWS : 1;
    assert_ok(lode_tensor_zeros(NULL, LODE_F64, &z->value->shape, LODE_CONTIGUOUS, &slope));
    for (int i = 0; i < 3 * out->rows; i++) {
        out->z[i / 3][i % 3] = lode_at(z->value, i);
        if (out->counted >> i % 3 & 1) lode_put(slope, i, c[i / 3][i % 3]);
    }
    lode_var *loss = lode_mul(t, z, lode_tape_constant(t, slope));
    loss = lode_reduce_sum(t, loss, (lode_reduce_params){.dims = out->rows > 1 ? 3 : 1});
    assert_ok(lode_tape_status(t));
    assert_ok(lode_backward(t, loss, 1));
    for (int k = 0; k < 3; k++) out->grad[k] = lode_at(p->grad, k);
    lode_tensor_release(slope);
    lode_tape_destroy(t);
}

static void gate_open(fixture *f, const char *strategy, const char *arch) {
    char *train = lode_format("{epochs: 4, strategy: %s}", strategy);
    fixture_open_on(f, fixture_space, LODE_F64, train, arch, NULL, &(lode_strategy_setup){0});
    lode_free(train);
}

/* The same draws, as the soft mixture. */
static void gate_soft(const char *arch, const double alpha[3], int64_t number, gate *out) {
    static const double none[ROWS][3];
    fixture f;
    char *soft = lode_format("{tau: 0.7, noise: %s}", strstr(arch, "noise: sample") ? "sample"
                                                      : strstr(arch, "noise: none") ? "none"
                                                                                    : "batch");
    gate_open(&f, "gumbel", soft);
    gate_run(&f, alpha, none, number, out);
    fixture_close(&f);
    lode_free(soft);
}

static const double some_alpha[3] = {0.3, -0.2, 0.9};
static const double some_c[ROWS][3] = {{1, -2, 4}, {0.5, 3, -1}, {-1, -1, 2}, {2, 0, 0.25}};

/* dL/dalpha_k = sum_n y_nk (c_nk - sum_j y_nj c_nj) / tau; the rows sum to zero. */
static void gradients_are_the_closed_form(void **state) {
    (void)state;
    for (int i = 0; i < GATES; i++)
        for (int64_t number = 0; number < 5; number++) {
            fixture f;
            gate g, y;
            double want[3] = {0}, sum = 0;
            gate_open(&f, gates[i].strategy, gates[i].arch);
            gate_run(&f, some_alpha, some_c, number, &g);
            if (strcmp(gates[i].strategy, "gumbel") == 0)
                gate_soft(gates[i].arch, some_alpha, number, &y);
            else
                y = g;
            assert_int_equal(g.rows, y.rows);
            for (int r = 0; r < g.rows; r++) {
                double mean = 0, c[3], ones = 0;
                for (int k = 0; k < 3; k++) {
                    c[k] = g.counted >> k & 1 ? some_c[r][k] : 0;
                    mean += y.z[r][k] * c[k];
                    ones += g.z[r][k];
                }
                assert_near(ones, 1, 1e-14);
                for (int k = 0; k < 3; k++) want[k] += y.z[r][k] * (c[k] - mean) / gates[i].tau;
            }
            for (int k = 0; k < 3; k++) {
                assert_near(g.grad[k], want[k], 1e-13);
                sum += g.grad[k];
            }
            assert_near(sum, 0, 1e-13);
            assert_true(gates[i].only_one == ((g.active & (g.active - 1)) == 0));
            fixture_close(&f);
        }
}

/* alpha + 5, or log softmax(alpha), are the same gate. */
static void a_shift_changes_nothing(void **state) {
    double shifted[3];
    (void)state;
    for (int k = 0; k < 3; k++) shifted[k] = some_alpha[k] + 5;
    for (int i = 0; i < GATES; i++) {
        fixture f;
        gate a, b;
        gate_open(&f, gates[i].strategy, gates[i].arch);
        gate_run(&f, some_alpha, some_c, 1, &a);
        gate_run(&f, shifted, some_c, 1, &b);
        for (int k = 0; k < 3; k++) {
            assert_near(a.z[0][k], b.z[0][k], 1e-13);
            assert_near(a.grad[k], b.grad[k], 1e-13);
        }
        fixture_close(&f);
    }
}

/* tau to 0: one-hot; tau to infinity: uniform. */
static void temperature_has_its_limits(void **state) {
    static const char *const strategies[2] = {"gumbel", "snas"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        fixture f;
        gate g;
        gate_open(&f, strategies[i], "{tau: 1e6}");
        gate_run(&f, some_alpha, some_c, 1, &g);
        for (int k = 0; k < 3; k++) assert_near(g.z[0][k], 1.0 / 3, 1e-5);
        fixture_close(&f);
        gate_open(&f, strategies[i], "{tau: 1e-3, tau_end: 1e-3}");
        gate_run(&f, some_alpha, some_c, 1, &g);
        double most = fmax(g.z[0][0], fmax(g.z[0][1], g.z[0][2]));
        assert_near(most, 1, 1e-9);
        fixture_close(&f);
    }
}

/* Figures by hand: G = (1, 0, 0) on equal logits, tau 1, c = (2, 0, 0). Only option 0 runs. */
static void gdas_has_its_gradient(void **state) {
    static const double alpha[3] = {1, 0, 0}, c[ROWS][3] = {{2, 7, 7}};
    static const double want[3] = {0.4884, -0.2442, -0.2442};
    fixture f;
    gate g;
    (void)state;
    gate_open(&f, "gumbel", "{sample: one_path, noise: none, tau: 1}");
    gate_run(&f, alpha, c, 0, &g);
    assert_int_equal(g.active, 1);
    assert_true(g.z[0][0] == 1 && g.z[0][1] == 0 && g.z[0][2] == 0);
    for (int k = 0; k < 3; k++) assert_near(g.grad[k], want[k], 5e-5);
    fixture_close(&f);
}

/* The same draw, and what did not run counts as the sum over the map's gradient, here 7: c = (2, 7,
 * 7).
 */
static void gdas_code_counts_what_did_not_run(void **state) {
    static const double alpha[3] = {1, 0, 0}, c[ROWS][3] = {{2, 7, 7}};
    const double y = 1 / (2 + exp(1)), mean = exp(1) * y * 2 + 2 * y * 7;
    fixture f;
    gate g;
    (void)state;
    gate_open(&f, "gumbel", "{sample: one_path, skipped: sum, noise: none, tau: 1}");
    gate_run(&f, alpha, c, 0, &g);
    assert_int_equal(g.active, 1);
    assert_near(g.grad[0], exp(1) * y * (2 - mean), 1e-14);
    for (int k = 1; k < 3; k++) assert_near(g.grad[k], y * (7 - mean), 1e-14);
    fixture_close(&f);
}

/* It is refused where options are not left out. */
static void skipped_needs_one_path(void **state) {
    const lode_strategy_plugin *gumbel = NULL;
    lode_strategy *s = NULL;
    lode_config *config = NULL;
    void *options = NULL;
    fixture f;
    (void)state;
    gate_open(&f, "gumbel", "{}");
    assert_ok(lode_strategy_find("gumbel", &gumbel));
    assert_ok(lode_config_parse("arch: {sample: hard, skipped: sum}", "recipe", &config));
    assert_ok(lode_strategy_options_read(config, gumbel, &options));
    const lode_strategy_setup setup = {.net = f.net, .n_epochs = 4, .options = options};
    assert_fails(lode_strategy_create(gumbel, &setup, &s), LODE_ERR_CONFIG, "one_path");
    lode_free(options);
    lode_config_destroy(config);
    fixture_close(&f);
}

/* The noise of many steps is finite, and its ends are those of u = 2^-33 and 1 - 2^-33. */
static void draws_are_finite(void **state) {
    static const double none[ROWS][3];
    fixture f;
    (void)state;
    gate_open(&f, "gumbel", "{noise: sample, tau: 1e-3, tau_end: 1e-3}");
    for (int64_t i = 0; i < 300; i++) {
        gate g;
        gate_run(&f, some_alpha, none, i, &g);
        for (int k = 0; k < 3 * ROWS; k++) assert_true(isfinite(g.z[k / 3][k % 3]));
    }
    fixture_close(&f);
    assert_true(isfinite(-log(-log(0.5 * 0x1p-32))) && isfinite(-log(-log(1 - 0x1p-33))));
}

/* ---- one level ---- */

/* Every step moves weights and logits, from one batch, and none is the architecture's. */
static void snas_trains_both_at_once(void **state) {
    fixture f;
    lode_trainer *t = NULL;
    bool finished = false;
    (void)state;
    fixture_open(&f, "{epochs: 2, strategy: snas, lr: 0.05}", "{warmup: 1}", NULL, NULL, 0);
    assert_ok(lode_trainer_create(&f.setup, &t));
    assert_int_equal(lode_trainer_total_steps(t), 12);
    for (int i = 0; i < 12; i++) {
        double before = lode_at(lode_strategy_parameter(f.strategy, 0)->value, 0);
        uint64_t hash = fixture_hash(&f);
        assert_ok(lode_trainer_run_steps(t, 1, &finished));
        assert_int_equal(lode_trainer_last_step(t).turn, LODE_TURN_WEIGHTS);
        double after = lode_at(lode_strategy_parameter(f.strategy, 0)->value, 0);
        assert_true((after != before) == (i >= 6)); /* frozen in the first epoch */
        assert_true(fixture_hash(&f) != hash);
    }
    lode_trainer_destroy(t);
    fixture_close(&f);
}

/* The gradients of a joint step are those that each half has alone. */
static void a_joint_step_has_both_gradients(void **state) {
    fixture f;
    lode_trainer *t = NULL;
    double alone[3];
    (void)state;
    fixture_open_on(&f, fixture_space, LODE_F64, "{epochs: 2, strategy: snas}", "{}", NULL,
                    &(lode_strategy_setup){0});
    assert_ok(lode_trainer_create(&f.setup, &t));
    const lode_step_tools tools = lode_trainer_tools(t);
    const lode_parameter *alpha = lode_strategy_parameter(f.strategy, 0);
    const lode_parameter *stem = lode_supernet_parameter(f.net, 0);
    assert_ok(tools.gradient(t, LODE_TURN_WEIGHTS, LODE_GRADIENT_OF_ARCH, NULL));
    assert_null(stem->grad);
    for (int k = 0; k < 3; k++) alone[k] = lode_at(alpha->grad, k);
    assert_ok(tools.gradient(t, LODE_TURN_WEIGHTS, LODE_GRADIENT_OF_WEIGHTS, NULL));
    assert_null(alpha->grad);
    double w = lode_at(stem->grad, 0);
    assert_ok(tools.gradient(t, LODE_TURN_WEIGHTS, LODE_GRADIENT_OF_BOTH, NULL));
    for (int k = 0; k < 3; k++) assert_near(lode_at(alpha->grad, k), alone[k], 1e-13);
    assert_near(lode_at(stem->grad, 0), w, 1e-13);
    lode_trainer_destroy(t);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_the_closed_form),
        cmocka_unit_test(a_shift_changes_nothing),
        cmocka_unit_test(temperature_has_its_limits),
        cmocka_unit_test(gdas_has_its_gradient),
        cmocka_unit_test(gdas_code_counts_what_did_not_run),
        cmocka_unit_test(skipped_needs_one_path),
        cmocka_unit_test(draws_are_finite),
        cmocka_unit_test(snas_trains_both_at_once),
        cmocka_unit_test(a_joint_step_has_both_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
