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

/* What the runner holds from the training before is not counted a second time. */
static void the_plan_of_a_second_training_agrees(void **state) {
    (void)state;
    for (int i = 0; i < N_TRAININGS; i++) {
        fixture f;
        lode_train_result r;
        fixture_open(&f, trainings[i].train, trainings[i].arch, trainings[i].fixed, NULL, 0);
        for (int k = 0; k < 2; k++) {
            assert_ok(lode_train(&f.setup, &r));
            assert_within(r.peak_bytes, r.plan.total, 0.05, trainings[i].train);
        }
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

/* fixed: a network drawn from the space. */
static void job_open(job *j, const char *space, int64_t batch, int64_t n_batches, const char *train,
                     const char *arch, bool fixed) {
    lode_rng rng = lode_rng_stream(5, LODE_RNG_SAMPLE_ARCH, 0);
    lode_arch network;
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
    assert_ok(lode_space_sample(j->space, &rng, &network));
    assert_ok(lode_supernet_create(j->space, fixed ? &network : NULL, LODE_F32, 5, &j->net));
    assert_ok(lode_dispatch_create(NULL, &j->dispatch));
    const char *strategy = j->options.strategy != NULL ? j->options.strategy : "gumbel";
    assert_ok(lode_strategy_find(fixed ? "fixed" : strategy, &j->plugin));
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

typedef struct shipped {
    const char *space, *train, *arch;
    int64_t batch, n_batches;
    enum { SUPERNET, FIXED, UNFUSED } how; /* UNFUSED: a fixed network, engine.fuse: false */
} shipped;

#define ONE_PATH     "{warmup: 0, sample: one_path}"
#define BENCH_SPACES LODE_TEST_DIR "/../bench/spaces/"

/* Plan, reserve, two steps that may still ask for something, and the rest that may not. */
static void check_shipped(const shipped *s) {
    job j;
    lode_trainer *t;
    lode_memory_plan plan;
    lode_train_result r = {0};
    char what[160];
    bool finished = false;
    snprintf(what, sizeof what, "%s %s %s", s->space, s->train, s->how == SUPERNET ? "" : "fixed");
    job_open(&j, s->space, s->batch, s->n_batches, s->train, s->arch, s->how != SUPERNET);
    j.options.unfused = s->how == UNFUSED;
    lode_device_empty_cache(lode_cpu_device());
    assert_ok(lode_trainer_create(&j.setup, &t));
    assert_ok(lode_trainer_plan(t, &plan));
    assert_ok(lode_trainer_reserve(t, &plan));
    lode_device_reset_peak(lode_cpu_device());
    assert_ok(lode_trainer_run_steps(t, 2, &finished));
    int64_t asked = lode_device_get_stats(lode_cpu_device()).n_system_allocations;
    assert_ok(lode_trainer_run(t, &r));
    lode_device_stats seen = lode_device_get_stats(lode_cpu_device());
    lode_trainer_destroy(t);
    job_close(&j);
    assert_within(seen.peak_bytes, plan.total, 0.02, what);
    if (seen.n_system_allocations != asked)
        fail_msg("%s: asked for %lld segments after two steps", what,
                 (long long)(seen.n_system_allocations - asked));
    /* Segments are of 4 MiB at least. */
    assert_true((double)seen.peak_touched <= 1.1 * (double)plan.held + (1 << 20));
    assert_true((double)seen.peak_touched <= 1.15 * (double)seen.peak_bytes + (1 << 20));
    assert_true((double)seen.peak_reserved <= 1.15 * (double)seen.peak_bytes + (12 << 20));
}

static void shipped_spaces(void **state) {
    static const shipped all[] = {
        {"fbnet-cifar", "{epochs: 2}", "{warmup: 0}", 2, 2, SUPERNET},
        {"fbnet-cifar", "{epochs: 2, remat: layer}", "{warmup: 0}", 2, 2, SUPERNET},
        {"fbnet-cifar", "{epochs: 2, strategy: single_path}", "{}", 2, 4, SUPERNET},
        {"fbnet-cifar", "{epochs: 2, strategy: fair}", "{}", 2, 2, SUPERNET},
        {"fbnet-cifar", "{epochs: 2, strategy: binary_gates}", "{}", 2, 3, SUPERNET},
        {"fbnet-cifar", "{epochs: 2}", "{}", 4, 3, FIXED},
        {"fbnet-cifar", "{epochs: 2}", "{}", 4, 3, UNFUSED},
        {"fbnet-fashion", "{epochs: 2}", "{warmup: 0}", 4, 3, SUPERNET},
        {"fbnet-fashion", "{epochs: 2, remat: layer, optimizer: adam}", "{}", 4, 3, FIXED},
        {"nasbench-macro", "{epochs: 2, strategy: single_path}", "{}", 2, 4, SUPERNET},
        {"nasbench-macro", "{epochs: 2, strategy: single_path, remat: layer}", "{}", 2, 4,
         SUPERNET},
        {"nasbench-macro", "{epochs: 2}", "{}", 4, 3, FIXED},
        {"nasbench201", "{epochs: 2}", ONE_PATH, 4, 4, SUPERNET},
        {"nasbench201", "{epochs: 2, remat: layer}", ONE_PATH, 2, 4, SUPERNET},
        {"nasbench201", "{epochs: 2, strategy: single_path, remat: layer}", "{}", 2, 5, SUPERNET},
        {"nasbench201", "{epochs: 2}", "{}", 4, 3, FIXED},
        {"nasbench201", "{epochs: 2, remat: layer}", "{}", 4, 3, FIXED},
        {BENCH_SPACES "resnet20-cifar.yaml", "{epochs: 2}", "{}", 8, 3, FIXED},
        {BENCH_SPACES "mbconv-32.yaml", "{epochs: 2}", "{warmup: 0}", 2, 3, SUPERNET},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) check_shipped(&all[i]);
}

/* ---- buffers are reused ---- */
/* After the first steps nothing is asked of the system, whatever paths are drawn, and what is held
   stays near the most that is in use. */
static void later_steps_ask_the_system_for_nothing(void **state) {
    (void)state;
    for (int i = 0; i < N_TRAININGS; i++) {
        fixture f;
        lode_trainer *t;
        lode_memory_plan plan;
        bool finished = false;
        fixture_open(&f, trainings[i].train, trainings[i].arch, trainings[i].fixed, NULL, 0);
        f.options.epochs = 30;
        assert_ok(lode_trainer_create(&f.setup, &t));
        lode_device_empty_cache(lode_cpu_device());
        assert_ok(lode_trainer_plan(t, &plan));
        assert_ok(lode_trainer_reserve(t, &plan));
        assert_ok(lode_trainer_run_steps(t, 2, &finished));
        int64_t asked = lode_device_get_stats(lode_cpu_device()).n_system_allocations;
        assert_ok(lode_trainer_run_steps(t, 50, &finished));
        lode_device_stats s = lode_device_get_stats(lode_cpu_device());
        assert_int_equal(s.n_system_allocations, asked);
        assert_true((double)s.bytes_touched <= 1.15 * (double)s.peak_bytes + (1 << 20));
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
    job_open(&j, "fbnet-cifar", 64, 2, "{epochs: 1, strategy: gumbel}", "{warmup: 0}", false);
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
        cmocka_unit_test(the_plan_of_a_second_training_agrees),
        cmocka_unit_test(a_plan_leaves_no_trace),
        cmocka_unit_test(shipped_spaces),
        cmocka_unit_test(later_steps_ask_the_system_for_nothing),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(bytes_are_written_for_people),
    };
    return cmocka_run_group_tests_name("train/memory_plan", tests, NULL, NULL);
}
