/* test_memory_plan.c: the plan of a training against what it then holds. */
#include "train/train_fixture.h"

/* ---- the tiny space, every manner of training ---- */
static const struct {
    const char *train, *arch, *fixed;
} trainings[] = {
    {"{epochs: 2}", "{warmup: 0}", NULL},
    {"{epochs: 2, remat: layer}", "{warmup: 0}", NULL},
    {"{epochs: 2, optimizer: adamw}", "{warmup: 1, noise: sample}", NULL},
    {"{epochs: 3}", "{warmup: 0, sample: hard, turns: alternate}", NULL},
    {"{epochs: 3, ema: 0.9, remat: layer}", "{warmup: 0, sample: one_path}", NULL},
    {"{epochs: 4, strategy: single_path}", "{}", NULL},
    {"{epochs: 4, strategy: single_path, remat: layer}", "{}", NULL},
    {"{epochs: 2, ema: 0.9, drop_path: 0.5}", "{}", "k3,k5"},
    {"{epochs: 2, optimizer: adam, remat: layer}", "{}", "k5,k3"},
    {"{epochs: 1, batch: 4, eval_batch: 48}", "{}", "k3,k3"},
};
enum { N_TRAININGS = sizeof trainings / sizeof *trainings };

static void assert_within(int64_t seen, int64_t planned, double share, const char *what) {
    double off = (double)seen / (double)planned - 1;
    if (!(off <= share && off >= -share))
        fail_msg("%s: %lld bytes planned, %lld seen (%+.1f %%)", what, (long long)planned,
                 (long long)seen, 100 * off);
}

static void the_plan_is_what_is_measured(void **state) {
    (void)state;
    for (int i = 0; i < N_TRAININGS; i++) {
        fixture f;
        lode_train_result r;
        fixture_open(&f, trainings[i].train, trainings[i].arch, trainings[i].fixed, NULL, 0);
        assert_ok(lode_train(&f.setup, &r));
        assert_true(r.plan.total > 0 && r.plan.activations > 0 && r.plan.weights > 0);
        int64_t sum = r.plan.weights + r.plan.optimizer + r.plan.batches + r.plan.other +
                      r.plan.gradients + r.plan.activations + r.plan.workspace;
        assert_int_equal(sum, r.plan.total);
        assert_true(r.plan.held >= r.plan.total && r.plan.to_come <= r.plan.held);
        assert_within(r.peak_bytes, r.plan.total, 0.05, trainings[i].train);
        fixture_close(&f);
    }
}

/* A plan in between changes no bit of the training, computes nothing and leaves nothing behind. */
static void a_plan_leaves_no_trace(void **state) {
    (void)state;
    for (int i = 0; i < N_TRAININGS; i++) {
        uint64_t hash[2];
        for (int with = 0; with < 2; with++) {
            fixture f;
            lode_trainer *t;
            lode_memory_plan plan, again;
            bool finished = false;
            fixture_open(&f, trainings[i].train, trainings[i].arch, trainings[i].fixed, NULL, 0);
            assert_ok(lode_trainer_create(&f.setup, &t));
            assert_ok(lode_trainer_run_steps(t, 3, &finished));
            int64_t n_calls = lode_dispatch_get_stats(f.dispatch).n_backward;
            int64_t in_use = lode_device_get_stats(lode_cpu_device()).bytes_in_use;
            if (with) {
                assert_ok(lode_trainer_plan(t, &plan));
                assert_ok(lode_trainer_plan(t, &again));
                assert_memory_equal(&plan, &again, sizeof plan);
            }
            assert_int_equal(lode_dispatch_get_stats(f.dispatch).n_backward, n_calls);
            assert_int_equal(lode_device_get_stats(lode_cpu_device()).bytes_in_use, in_use);
            assert_ok(lode_trainer_run_steps(t, 4, &finished));
            hash[with] = fixture_hash(&f);
            lode_trainer_destroy(t);
            fixture_close(&f);
        }
        assert_true(hash[0] == hash[1]);
    }
}

/* ---- shipped spaces ---- */
typedef struct job {
    lode_config *config;
    lode_data_options data_options;
    lode_data *data;
    lode_space *space;
    lode_supernet *net;
    lode_dispatch *dispatch;
    lode_train_options options;
    const lode_strategy_plugin *plugin;
    void *strategy_options;
    lode_strategy *strategy;
    lode_train_setup setup;
} job;

static void job_open(job *j, const char *space, int64_t batch, int64_t n_batches, const char *train,
                     const char *arch) {
    memset(j, 0, sizeof *j);
    lode_space_options o = {.name = space};
    assert_ok(lode_space_load(&o, &j->space));
    o = lode_space_resolved(j->space);
    char *text = lode_format("data: {name: synthetic, size: %lld, channels: %lld, classes: %lld, "
                             "valid: 0, arch_split: %lld, batch: %lld, workers: 0,\n"
                             "  synthetic: {train: %lld, test: 1}}\ntrain: %s\narch: %s\n",
                             (long long)o.size, (long long)o.channels, (long long)o.classes,
                             (long long)batch, (long long)batch,
                             (long long)(batch * (n_batches + 1)), train, arch);
    assert_non_null(text);
    assert_ok(lode_config_parse(text, "test", &j->config));
    lode_free(text);
    assert_ok(lode_data_options_read(j->config, &j->data_options));
    assert_ok(lode_data_open(&j->data_options, 5, &j->data));
    assert_ok(lode_config_read(j->config, &lode_train_option_table, &j->options));
    assert_ok(lode_supernet_create(j->space, NULL, LODE_F32, 5, &j->net));
    assert_ok(lode_dispatch_create(NULL, &j->dispatch));
    assert_ok(lode_strategy_find(j->options.strategy, &j->plugin));
    assert_ok(lode_strategy_options_read(j->config, j->plugin, &j->strategy_options));
    const lode_strategy_setup s = {
        .net = j->net, .n_epochs = j->options.epochs, .options = j->strategy_options};
    assert_ok(lode_strategy_create(j->plugin, &s, &j->strategy));
    j->setup = (lode_train_setup){.phase = "train",
                                  .net = j->net,
                                  .strategy = j->strategy,
                                  .data = j->data,
                                  .data_batch = batch,
                                  .runner = lode_dispatch_runner(j->dispatch),
                                  .options = &j->options,
                                  .seed = 5};
}

static void job_close(job *j) {
    lode_strategy_destroy(j->strategy);
    lode_free(j->strategy_options);
    lode_supernet_destroy(j->net);
    lode_space_release(j->space);
    lode_data_close(j->data);
    lode_data_options_deinit(&j->data_options);
    lode_dispatch_destroy(j->dispatch);
    lode_config_destroy(j->config);
}

static void shipped_spaces(void **state) {
    static const struct {
        const char *space, *train, *arch;
        int64_t batch, n_batches;
    } jobs[] = {
        {"fbnet-cifar", "{epochs: 1, strategy: gumbel}", "{warmup: 0}", 2, 2},
        {"fbnet-cifar", "{epochs: 1, strategy: gumbel, remat: layer}", "{warmup: 0}", 2, 2},
        {"nasbench-macro", "{epochs: 1, strategy: single_path}", "{}", 4, 8},
        {"nasbench-macro", "{epochs: 1, strategy: single_path, remat: layer}", "{}", 4, 8},
        {"nasbench201", "{epochs: 1, strategy: gumbel}", "{warmup: 0, sample: one_path}", 2, 5},
        {"nasbench201", "{epochs: 1, strategy: single_path, remat: layer}", "{}", 2, 5},
    };
    (void)state;
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        job j;
        lode_train_result r;
        char what[64];
        snprintf(what, sizeof what, "%s %s", jobs[i].space, jobs[i].train);
        job_open(&j, jobs[i].space, jobs[i].batch, jobs[i].n_batches, jobs[i].train, jobs[i].arch);
        lode_device_empty_cache(lode_cpu_device());
        assert_ok(lode_train(&j.setup, &r));
        assert_within(r.peak_bytes, r.plan.total, 0.1, what);
        assert_within(r.peak_reserved, r.plan.held, 0.25, what);
        job_close(&j);
    }
}

/* ---- buffers are reused ---- */
/* A step that does what another did asks the system for nothing; where paths are drawn, new sizes
   come less and less often, and what is held stays within the bound of the cache. */
static void later_steps_ask_the_system_for_nothing(void **state) {
    (void)state;
    for (int i = 0; i < N_TRAININGS; i++) {
        fixture f;
        lode_trainer *t;
        bool finished = false, draws = trainings[i].fixed == NULL && i >= 3;
        int64_t asked[2] = {0, 0}; /* in steps 19 to 33, and 34 to 48 */
        fixture_open(&f, trainings[i].train, trainings[i].arch, trainings[i].fixed, NULL, 0);
        f.options.epochs = 30;
        f.options.eval_every = 0;
        assert_ok(lode_trainer_create(&f.setup, &t));
        lode_device_empty_cache(lode_cpu_device());
        assert_ok(lode_trainer_run_steps(t, 3, &finished));
        for (int part = 0; part < 2; part++) {
            /* The first turns of the architecture come after an epoch of six or more. */
            if (part == 0) assert_ok(lode_trainer_run_steps(t, 15, &finished));
            int64_t before = lode_device_get_stats(lode_cpu_device()).n_system_allocations;
            assert_ok(lode_trainer_run_steps(t, 15, &finished));
            asked[part] = lode_device_get_stats(lode_cpu_device()).n_system_allocations - before;
        }
        if (!draws) assert_int_equal(asked[0] + asked[1], 0);
        assert_in_range(asked[1], 0, 8);
        lode_device_stats s = lode_device_get_stats(lode_cpu_device());
        assert_true(s.bytes_reserved <= 2 * s.peak_bytes + (64 << 20));
        lode_trainer_destroy(t);
        fixture_close(&f);
    }
}

/* ---- what does not fit ---- */
static void what_does_not_fit_is_refused(void **state) {
    job j;
    lode_trainer *t;
    lode_memory_plan plan;
    bool finished = true;
    (void)state;
    job_open(&j, "fbnet-cifar", 64, 2, "{epochs: 1, strategy: gumbel}", "{warmup: 0}");
    lode_device_empty_cache(lode_cpu_device());
    j.options.unfused = true;
    j.options.memory_limit = lode_rss_bytes() + (INT64_C(1) << 30);
    assert_ok(lode_trainer_create(&j.setup, &t));
    assert_ok(lode_trainer_plan(t, &plan));
    assert_true(plan.to_come > INT64_C(4) << 30); /* several times what a limit of 1 GiB leaves */
    assert_fails(lode_trainer_check_memory(t, &plan), LODE_ERR_INFEASIBLE, "engine.memory_limit");
    const char *story = lode_last_error();
    assert_non_null(strstr(story, "train.remat: layer ("));
    assert_non_null(strstr(story, "a batch of 8 ("));
    assert_non_null(strstr(story, "strategy: single_path ("));
    assert_null(strstr(story, "a batch of 32"));
    assert_null(strstr(story, "still too much"));
    assert_ok(lode_trainer_run_steps(t, 0, &finished)); /* nothing was changed by asking */
    lode_trainer_destroy(t);

    lode_train_result r;
    assert_fails(lode_train_fits(&j.setup), LODE_ERR_INFEASIBLE, "What helps");
    assert_fails(lode_train(&j.setup, &r), LODE_ERR_INFEASIBLE, "What helps");
    assert_int_equal(r.steps, 0);
    j.options.remat = LODE_REMAT_LAYER;
    assert_ok(lode_trainer_create(&j.setup, &t));
    assert_ok(lode_trainer_plan(t, &plan));
    assert_ok(lode_trainer_check_memory(t, &plan));
    lode_trainer_destroy(t);
    assert_ok(lode_train_fits(&j.setup));
    job_close(&j);
}

static void bytes_are_written_for_people(void **state) {
    char text[24];
    (void)state;
    assert_string_equal(lode_bytes_text(1 << 19, text), "0.50 MiB");
    assert_string_equal(lode_bytes_text(12 << 20, text), "12.0 MiB");
    assert_string_equal(lode_bytes_text(345 << 20, text), "345 MiB");
    assert_string_equal(lode_bytes_text(INT64_C(5) << 30, text), "5.00 GiB");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_is_what_is_measured),
        cmocka_unit_test(a_plan_leaves_no_trace),
        cmocka_unit_test(shipped_spaces),
        cmocka_unit_test(later_steps_ask_the_system_for_nothing),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(bytes_are_written_for_people),
    };
    return cmocka_run_group_tests_name("train/memory_plan", tests, NULL, NULL);
}
