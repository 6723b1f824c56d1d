/* labels: unit, property. The loop learns, stops, resumes bit by bit, logs, and explains failure.
 */
#include "core/parallel.h"
#include "pieces.h"

#include <math.h>

/* ---- learning ---- */
static void a_fixed_network_learns(void **state) {
    fixture f;
    lode_train_result r;
    (void)state;
    fixture_open(&f, "{epochs: 20, lr: 0.1, label_smoothing: 0.05}", "{}", "k3,k3", NULL, 0);
    assert_ok(lode_train(&f.setup, &r));
    assert_int_equal(r.epochs, 20);
    assert_int_equal(r.steps, 20 * 6); /* 96 - 16 - 32 = 48 images, 6 batches */
    assert_true(r.accuracy > 0.7);
    assert_int_equal(r.eval.n, 16);
    assert_true(r.eval.accuracy > 0.5);
    assert_true(r.images_per_s > 0);
    for (int i = 0; i < lode_supernet_n_parameters(f.net); i++) {
        assert_false(lode_supernet_parameter(f.net, i)->frozen);
        assert_null(lode_supernet_parameter(f.net, i)->grad);
    }
    fixture_close(&f);
}

/* What benches read: which turn it was, where its time went, what ran. */
static void the_last_step_is_on_record(void **state) {
    fixture f;
    lode_trainer *t;
    bool finished;
    int seen[2] = {0, 0};
    (void)state;
    fixture_open(&f, "{epochs: 2}", "{sample: one_path, turns: alternate, warmup: 0}", NULL, NULL,
                 0);
    assert_ok(lode_trainer_create(&f.setup, &t));
    for (int i = 0; i < 4; i++) {
        double begin = lode_clock();
        assert_ok(lode_trainer_run_steps(t, 1, &finished));
        double total = lode_clock() - begin;
        lode_step_record r = lode_trainer_last_step(t);
        seen[r.turn]++;
        assert_true(r.wait > 0 && r.forward > 0 && r.backward > 0 && r.optimizer > 0);
        assert_true(r.wait + r.forward + r.backward + r.optimizer <= total);
        for (int d = 0; d < lode_space_n_decisions(f.space); d++) {
            assert_true(r.active[d] != 0 && (r.active[d] & (r.active[d] - 1)) == 0);
            assert_true(r.active[d] >> lode_space_decision(f.space, d)->n_options == 0);
        }
    }
    assert_int_equal(seen[LODE_TURN_WEIGHTS], 2);
    assert_int_equal(seen[LODE_TURN_ARCH], 2);
    lode_trainer_destroy(t);
    fixture_close(&f);
}

/* ---- resuming ---- */
/* A run stopped at every k-th move equals the one that never stopped, in weights and in metrics. */
static void stopped_equals_never_stopped(void **state) {
    static const struct {
        const char *train, *arch, *fixed;
    } runs[] = {
        {"{epochs: 3, optimizer: sgd, nesterov: true, drop_path: 0.3, ema: 0.9, warmup: 0.5, clip: "
         "1,"
         " log_every: 4, eval_every: 2}",
         "{}", "k3,k5"},
        {"{epochs: 3, optimizer: adamw, lr: 0.01, strategy: single_path, clip: 5}", "{}", NULL},
        {"{epochs: 3, lr: 0.05}", "{warmup: 1, noise: sample, sample: soft}", NULL},
        {"{epochs: 2, optimizer: rmsprop, lr: 0.001, remat: layer}",
         "{warmup: 0, noise: batch, sample: hard, turns: alternate, every: 2}", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char *want = NULL, *seen = NULL;
        uint64_t hash =
            run_in_pieces(runs[i].train, runs[i].arch, runs[i].fixed, NULL, 0, 1, &want);
        for (int64_t every = i == 2 ? 1 : 4; every <= 7; every += 3) {
            assert_true(hash == run_in_pieces(runs[i].train, runs[i].arch, runs[i].fixed, NULL,
                                              every, 2 - (int)(every % 2), &seen));
            assert_string_equal(want, seen);
            lode_free(seen);
        }
        lode_free(want);
    }
}

static void a_finished_run_is_not_run_again(void **state) {
    char *dir = test_temp_dir();
    fixture f;
    lode_train_result a, b;
    (void)state;
    fixture_open(&f, "{epochs: 2, ema: 0.9}", "{}", "k3,k5", NULL, 0);
    f.setup.checkpoint_directory = dir;
    f.setup.resume = true;
    assert_ok(lode_train(&f.setup, &a));
    uint64_t hash = fixture_hash(&f);
    fixture_close(&f);
    fixture_open(&f, "{epochs: 2, ema: 0.9}", "{}", "k3,k5", NULL, 0);
    f.setup.checkpoint_directory = dir;
    f.setup.resume = true;
    assert_ok(lode_train(&f.setup, &b));
    assert_true(hash == fixture_hash(&f));
    assert_near(a.loss, b.loss, 0);
    assert_near(a.eval.accuracy, b.eval.accuracy, 0);
    fixture_close(&f);
    test_remove_tree(dir);
    lode_free(dir);
}

/* Resuming under other options, another seed or another strategy would be another run. */
static void changed_options_are_refused(void **state) {
    char *dir = test_temp_dir();
    fixture f;
    lode_trainer *t = NULL;
    bool finished = false;
    (void)state;
    fixture_open(&f, "{epochs: 2, lr: 0.05}", "{}", NULL, NULL, 0);
    f.setup.checkpoint_directory = dir;
    assert_ok(lode_trainer_create(&f.setup, &t));
    assert_ok(lode_trainer_run_steps(t, 3, &finished));
    assert_false(finished);
    assert_int_equal(lode_trainer_n_steps(t), 3);
    assert_int_equal(lode_trainer_total_steps(t), 2 * 6 + 4); /* arch: 32 images, second epoch */
    assert_ok(lode_trainer_save(t));
    lode_trainer_destroy(t);
    f.setup.resume = true;
    f.options.lr = 0.06;
    assert_fails(lode_trainer_create(&f.setup, &t), LODE_ERR_CONFIG, "supernet.lr");
    f.options.lr = 0.05;
    f.setup.seed = 6;
    assert_fails(lode_trainer_create(&f.setup, &t), LODE_ERR_CONFIG, "seed");
    f.setup.seed = 5;
    f.options.checkpoint_seconds = 1;
    assert_ok(lode_trainer_create(&f.setup, &t));
    assert_int_equal(lode_trainer_n_steps(t), 3);
    lode_trainer_destroy(t);
    fixture_close(&f);
    fixture_open(&f, "{epochs: 2, lr: 0.05}", "{tau: 4}", NULL, NULL, 0);
    f.setup.checkpoint_directory = dir;
    f.setup.resume = true;
    assert_fails(lode_trainer_create(&f.setup, &t), LODE_ERR_CONFIG, "arch.tau");
    fixture_close(&f);
    test_remove_tree(dir);
    lode_free(dir);
}

/* ---- the rest of the contract ---- */
static void the_same_seed_at_any_width(void **state) {
    uint64_t hash[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        fixture f;
        lode_train_result r;
        lode_set_threads(1 + i);
        fixture_open(&f, "{epochs: 2}", "{}", "k3,k3", NULL, 0);
        f.setup.workers = i;
        assert_ok(lode_train(&f.setup, &r));
        hash[i] = fixture_hash(&f);
        fixture_close(&f);
    }
    lode_set_threads(0);
    assert_true(hash[0] == hash[1]);
}

static void a_loss_of_nan_is_explained(void **state) {
    fixture f;
    lode_train_result r;
    (void)state;
    fixture_open(&f, "{epochs: 2}", "{}", "k3,k3", NULL, 0);
    lode_parameter *w = lode_supernet_parameter(f.net, 0);
    lode_put(w->value, 3, NAN);
    assert_fails(lode_train(&f.setup, &r), LODE_ERR_NUMERIC, "step 0");
    assert_non_null(strstr(lode_last_error(), "stem"));
    assert_non_null(strstr(lode_last_error(), "lower lr"));
    fixture_close(&f);
}

static void metrics_are_lines_of_json(void **state) {
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "m.jsonl");
    static const char *const turns[] = {"memory", "weights", "eval", "weights", "arch", "eval"};
    fixture f;
    lode_train_result r;
    (void)state;
    fixture_open(&f, "{epochs: 2, lr: 0.05, lr_final: 0.01}", "{warmup: 1, tau: 3, tau_end: 1}",
                 NULL, NULL, 0);
    f.setup.metrics_path = path;
    assert_ok(lode_train(&f.setup, &r));
    char *bytes = NULL, *line;
    size_t n = 0;
    int i = 0;
    assert_ok(lode_file_read(path, (void **)&bytes, &n));
    for (line = strtok(bytes, "\n"); line != NULL; line = strtok(NULL, "\n"), i++) {
        json_t *j = NULL;
        assert_true(i < 6);
        assert_ok(lode_json_parse(line, "line", &j));
        assert_string_equal(json_string_value(json_object_get(j, "phase")), "supernet");
        assert_string_equal(json_string_value(json_object_get(j, "turn")), turns[i]);
        assert_int_equal(json_integer_value(json_object_get(j, "epoch")), i < 3 ? 0 : 1);
        assert_true(json_number_value(json_object_get(j, i > 0 ? "loss" : "total")) > 0);
        if (i == 3) {
            assert_near(json_number_value(json_object_get(j, "tau")), 1, 1e-12);
            assert_near(json_number_value(json_object_get(j, "entropy")), 1, 1e-12);
        }
        if (i == 4) assert_true(json_number_value(json_object_get(j, "entropy")) < 1);
        assert_non_null(json_object_get(j, "time"));
        json_decref(j);
    }
    assert_int_equal(i, 6);
    lode_free(bytes);
    fixture_close(&f);
    test_remove_tree(dir);
    lode_free(path);
    lode_free(dir);
}

static void impossible_options_are_refused(void **state) {
    static const struct {
        const char *train, *words;
    } bad[] = {
        {"{epochs: 2, warmup: 2}", "warm-up"},
        {"{epochs: 2, optimizer: sdg}", "sgd"},
        {"{epochs: 2, batch: 4, eval_split: train, schedule: step, lr_every: 0}", "lr_every"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fixture f;
        lode_train_result r;
        fixture_open(&f, bad[i].train, "{}", "k3,k3", NULL, 0);
        lode_status status = lode_train(&f.setup, &r);
        assert_true(status == LODE_ERR_CONFIG || status == LODE_ERR_NOT_FOUND);
        assert_non_null(strstr(lode_last_error(), bad[i].words));
        fixture_close(&f);
    }
}

/* The n-th allocation fails through creating and two steps: a status, no crash, nothing leaks. */
static void no_memory_is_a_status(void **state) {
    bool done = false;
    fixture f;
    (void)state;
    fixture_open(&f, "{epochs: 1, ema: 0.9, clip: 1}", "{}", "skip,k5", NULL, 0);
    for (int64_t n = 0; !done; n += 1 + n / 8) {
        lode_trainer *t = NULL;
        bool finished = false;
        test_fail_allocation(n);
        lode_status status = lode_trainer_create(&f.setup, &t);
        if (status == LODE_OK) status = lode_trainer_run_steps(t, 2, &finished);
        test_fail_allocation(-1);
        lode_trainer_destroy(t);
        done = status == LODE_OK;
        if (!done) assert_int_equal(status, LODE_ERR_NO_MEMORY);
    }
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fixed_network_learns),
        cmocka_unit_test(the_last_step_is_on_record),
        cmocka_unit_test(stopped_equals_never_stopped),
        cmocka_unit_test(a_finished_run_is_not_run_again),
        cmocka_unit_test(changed_options_are_refused),
        cmocka_unit_test(the_same_seed_at_any_width),
        cmocka_unit_test(a_loss_of_nan_is_explained),
        cmocka_unit_test(metrics_are_lines_of_json),
        cmocka_unit_test(impossible_options_are_refused),
        cmocka_unit_test(no_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
