/* The strategy of docs/add-a-search-strategy.md, as the page shows it. labels: unit, property */
#include "add-a-search-strategy/train/strategy_fair.c"
#include "train/train_fixture.h"

/* The tiny space of train_fixture.h under the page's strategy. */
static void open_fair(fixture *f, int64_t rounds) {
    const fair_options options = {rounds};
    fixture_open(f, "{epochs: 1, strategy: single_path}", "{}", NULL, NULL, 0);
    const lode_strategy_setup setup = {.net = f->net, .n_epochs = 1, .options = &options};
    lode_strategy_destroy(f->strategy);
    f->strategy = NULL;
    assert_ok(lode_strategy_create(&lode_strategy_fair, &setup, &f->strategy));
    f->setup.strategy = f->strategy;
}

static void trains_every_option_equally(void **state) {
    enum { STEPS = 200 };
    (void)state;
    for (int64_t rounds = 1; rounds <= 2; rounds++) {
        int first[LODE_MAX_OPTIONS] = {0};
        fixture f;
        lode_tape *t = NULL;
        open_fair(&f, rounds);
        assert_ok(lode_tape_create(LODE_TRAIN, f.setup.runner, &t));
        const int n[2] = {lode_space_decision(f.space, 0)->n_options,
                          lode_space_decision(f.space, 1)->n_options};
        assert_true(n[0] == 3 && n[1] == 2);
        for (int64_t i = 0; i < STEPS; i++) {
            int count[2][LODE_MAX_OPTIONS] = {{0}};
            lode_step step = {.seed = 3, .step = i, .batch = 8};
            step.n_passes = lode_strategy_n_passes(f.strategy, &step);
            assert_int_equal(step.n_passes, 3 * rounds);
            for (step.pass = 0; step.pass < step.n_passes; step.pass++) {
                lode_choice a[2], b[2];
                lode_step other = step; /* another rank */
                other.first_sample = 8;
                assert_ok(lode_strategy_choose(f.strategy, t, &step, a));
                assert_ok(lode_strategy_choose(f.strategy, t, &other, b));
                for (int d = 0; d < 2; d++) {
                    assert_true(a[d].active == b[d].active && a[d].weights == NULL);
                    for (int k = 0; k < n[d]; k++) count[d][k] += a[d].active == UINT64_C(1) << k;
                }
                for (int k = 0; step.pass == 0 && k < 3; k++)
                    first[k] += a[0].active == UINT64_C(1) << k;
            }
            for (int k = 0; k < 3; k++) assert_int_equal(count[0][k], rounds);
            assert_int_equal(count[1][0] + count[1][1], 3 * rounds);
            assert_true(abs(count[1][0] - count[1][1]) <= 1);
        }
        for (int k = 0; k < 3; k++) /* orders differ from step to step; 5 sigma */
            assert_in_range(first[k], STEPS / 3 - 34, STEPS / 3 + 34);
        lode_tape_destroy(t);
        fixture_close(&f);
    }
}

/* One step moves the convolutions of all options. */
static void one_step_moves_everything(void **state) {
    fixture f;
    lode_trainer *t = NULL;
    bool finished = false;
    (void)state;
    open_fair(&f, 1);
    int n = lode_supernet_n_parameters(f.net);
    uint64_t *before = calloc((size_t)n, sizeof *before);
    assert_non_null(before);
    for (int i = 0; i < n; i++) {
        const lode_tensor *v = lode_supernet_parameter(f.net, i)->value;
        before[i] = lode_hash_bytes(v->data, lode_tensor_bytes(v), 0);
    }
    assert_ok(lode_trainer_create(&f.setup, &t));
    assert_ok(lode_trainer_run_steps(t, 1, &finished));
    for (int i = 0; i < n; i++) {
        const lode_parameter *p = lode_supernet_parameter(f.net, i);
        if (p->kind == LODE_PARAM_WEIGHT &&
            lode_hash_bytes(p->value->data, lode_tensor_bytes(p->value), 0) == before[i])
            fail_msg("%s did not move", p->name);
    }
    free(before);
    lode_trainer_destroy(t);
    fixture_close(&f);
}

static void ends_undecided_and_refuses_fixed(void **state) {
    fixture f;
    lode_strategy *s = NULL;
    (void)state;
    open_fair(&f, 1);
    assert_near(lode_strategy_entropy(f.strategy), 1, 1e-12);
    fixture_close(&f);
    fixture_open(&f, "{epochs: 1}", "{}", "k3,k5", NULL, 0);
    const lode_strategy_setup setup = {.net = f.net, .n_epochs = 1};
    assert_fails(lode_strategy_create(&lode_strategy_fair, &setup, &s), LODE_ERR_CONFIG, "fixed");
    assert_null(s);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trains_every_option_equally),
        cmocka_unit_test(one_step_moves_everything),
        cmocka_unit_test(ends_undecided_and_refuses_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
