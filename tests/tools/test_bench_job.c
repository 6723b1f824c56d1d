/* What the bench verbs open, and the meter between tape and kernels. labels: unit */
#include "core/platform.h"
#include "support/support.h"
#include "tools/bench.h"

#include <string.h>

static const char tiny_space[] = "name: tiny\n"
                                 "input: {channels: 3, size: 8}\n"
                                 "classes: 4\n"
                                 "sets:\n"
                                 "  s:\n"
                                 "    k3: {op: conv, kernel: 3}\n"
                                 "    k5: {op: conv, kernel: 5}\n"
                                 "layers:\n"
                                 "  - {name: stem, op: conv, kernel: 3, channels: 8}\n"
                                 "  - {choice: s, channels: 8, repeat: 2}\n"
                                 "  - {name: pool, op: global_pool}\n"
                                 "  - {name: classifier, op: linear}\n";

static char *directory, *space_file;

static int write_space(void **state) {
    (void)state;
    directory = test_temp_dir();
    space_file = lode_path_join(directory, "tiny.yaml");
    return lode_file_write_atomic(space_file, tiny_space, strlen(tiny_space)) == LODE_OK ? 0 : -1;
}

static int remove_space(void **state) {
    (void)state;
    test_remove_tree(directory);
    lode_free(directory);
    lode_free(space_file);
    return 0;
}

static lode_step_record step(bench_job *j) {
    bool finished = false;
    if (j->meter) bench_meter_reset(j->meter);
    assert_ok(lode_trainer_run_steps(j->trainer, 1, &finished));
    assert_false(finished);
    if (j->meter) bench_meter_finish(j->meter);
    return lode_trainer_last_step(j->trainer);
}

static void a_fixed_network_is_metered(void **state) {
    (void)state;
    bench_job j;
    bench_request r = {
        .space = space_file, .arch = "k3,k5", .batch = 4, .metered = true, .seed = 1};
    double macs = 0;
    int64_t params = 0;
    assert_ok(bench_job_open(&r, &j));
    assert_true(j.fixed);
    assert_string_equal(j.strategy_name, "fixed");
    assert_ok(bench_job_size(&j, &macs, &params));
    assert_near(macs, 64 * 8 * (3 * 9 + 8 * 9 + 8 * 25) + 8 * 4, 0);
    assert_int_equal(params, 8 * (3 * 9 + 8 * 9 + 8 * 25) + 3 * 16 + 8 * 4 + 4);
    assert_null(bench_job_last_arch(&j));
    for (int i = 0; i < 3; i++) {
        step(&j);
        const bench_meter *m = j.meter;
        assert_near(m->macs, 4 * macs, 0);
        assert_near(m->recomputed_macs, 0, 0);
        assert_true(m->calls[BENCH_FORWARD] > 0 && m->calls[BENCH_BACKWARD] > 0);
        assert_true(m->kept > 0 && m->kept <= m->peak[BENCH_FORWARD]);
        assert_true(m->peak[BENCH_BACKWARD] > 0 && m->peak[BENCH_OTHER] > 0);
    }
    bench_job_close(&j);
}

static void rematerialisation_shows(void **state) {
    (void)state;
    static const char *const set[] = {"train.remat=layer"};
    bench_job j;
    bench_request r = {.space = space_file,
                       .arch = "k3,k5",
                       .batch = 4,
                       .metered = true,
                       .set = set,
                       .n_set = 1,
                       .seed = 1};
    assert_ok(bench_job_open(&r, &j));
    step(&j);
    assert_true(j.meter->recomputed_macs > 0);
    assert_true(j.meter->recomputed_macs <= j.meter->macs);
    bench_job_close(&j);
}

/* Turns alternate, and the options that ran are on record. */
static void a_supernet_takes_turns(void **state) {
    (void)state;
    static const char *const set[] = {"arch.sample=one_path"};
    bench_job j;
    bench_request r = {.space = space_file, .batch = 4, .set = set, .n_set = 1, .seed = 1};
    lode_arch arch;
    int turns[2] = {0, 0};
    assert_ok(bench_job_open(&r, &j));
    assert_false(j.fixed);
    assert_string_equal(j.strategy_name, "gumbel");
    for (int i = 0; i < 6; i++) {
        turns[step(&j).turn]++;
        char *text = bench_job_last_arch(&j);
        assert_non_null(text);
        assert_ok(lode_arch_parse(j.space, text, &arch));
        lode_free(text);
    }
    assert_int_equal(turns[0], 3);
    assert_int_equal(turns[1], 3);
    bench_job_close(&j);
    r.n_set = 0; /* a soft mixture runs all of them */
    assert_ok(bench_job_open(&r, &j));
    step(&j);
    assert_null(bench_job_last_arch(&j));
    bench_job_close(&j);
}

static void bad_requests_say_what(void **state) {
    (void)state;
    static const char *const set[] = {"train.lrr=1"};
    bench_job j;
    bench_request r = {.space = space_file, .arch = "k3,k9", .batch = 4, .seed = 1};
    assert_fails(bench_job_open(&r, &j), LODE_ERR_INVALID, "k9");
    r.arch = "k3,k3";
    r.set = set;
    r.n_set = 1;
    assert_fails(bench_job_open(&r, &j), LODE_ERR_CONFIG, "lr");
    r.n_set = 0;
    r.arch = NULL;
    r.strategy = "fixed";
    assert_fails(bench_job_open(&r, &j), LODE_ERR_CONFIG, "architecture");
    r.strategy = "singel_path";
    assert_fails(bench_job_open(&r, &j), LODE_ERR_NOT_FOUND, "single_path");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fixed_network_is_metered),
        cmocka_unit_test(rematerialisation_shows),
        cmocka_unit_test(a_supernet_takes_turns),
        cmocka_unit_test(bad_requests_say_what),
    };
    return cmocka_run_group_tests(tests, write_space, remove_space);
}
