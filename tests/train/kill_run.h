/* kill_run.h: a training run that is killed with SIGKILL again and again.

   The test program is its own victim: called with the argument `victim` it trains in the directory
   it is given, resuming from what is there. The killing is left to the command `timeout`, which
   every Debian has, so that this stays plain C. */
#ifndef LODE_TESTS_KILL_RUN_H
#define LODE_TESTS_KILL_RUN_H
#include "train_fixture.h"

static const char kill_train[] =
    "{epochs: 40, lr: 0.05, ema: 0.9, drop_path: 0.2, checkpoint_steps: 1, log_every: 3}";
static const char kill_arch[] = "{warmup: 1, noise: sample}";

static inline int kill_victim(const char *dir) {
    fixture f;
    lode_train_result r;
    char *metrics = lode_path_join(dir, "metrics.jsonl");
    fixture_open(&f, kill_train, kill_arch, NULL, NULL, 0);
    f.setup.metrics_path = metrics;
    f.setup.checkpoint_directory = dir;
    f.setup.resume = true;
    lode_status status = lode_train(&f.setup, &r);
    if (status != LODE_OK) fprintf(stderr, "victim: %s\n", lode_last_error());
    fixture_close(&f);
    lode_free(metrics);
    return status == LODE_OK ? 0 : 1;
}

/* Runs the victim for at most `seconds` (0: as long as it takes). True when it came to its end. */
static inline bool kill_run(const char *program, const char *dir, double seconds) {
    char *command =
        seconds > 0 ? lode_format("timeout -s KILL %.4f '%s' victim '%s'", seconds, program, dir)
                    : lode_format("'%s' victim '%s'", program, dir);
    assert_non_null(command);
    int rc = system(command);
    lode_free(command);
    return rc == 0;
}

/* The bytes of the last checkpoint's tensors, as their CRC. */
static inline uint32_t kill_checkpoint_crc(const char *dir) {
    char **names = NULL;
    int64_t n = 0;
    uint32_t crc = 0;
    assert_ok(lode_list_directory(dir, &names, &n));
    for (int64_t i = 0; i < n; i++) { /* sorted: the last one stays */
        if (strstr(names[i], ".safetensors") == NULL || strstr(names[i], ".tmp") != NULL) continue;
        char *path = lode_path_join(dir, names[i]);
        lode_mapping map;
        assert_ok(lode_map_file(path, &map));
        crc = lode_crc32(0, map.bytes, map.n);
        lode_unmap_file(&map);
        lode_free(path);
    }
    lode_names_free(names, n);
    return crc;
}

/* Kills at `kills` random moments, and compares with a run that was left alone. */
static inline void kill_and_compare(const char *program, int kills) {
    char *alone = test_temp_dir(), *killed = test_temp_dir();
    char *a = lode_path_join(alone, "metrics.jsonl"), *b = lode_path_join(killed, "metrics.jsonl");
    double begin = lode_clock();
    assert_true(kill_run(program, alone, 0));
    double seconds = lode_clock() - begin;
    lode_rng rng = lode_rng_stream((uint64_t)kills, LODE_RNG_TEST, 0);
    int died = 0;
    /* Together the pieces are about as long as a run; the first ends within its first eighth, so
       that one kill at least meets a run in progress even when the machine is suddenly eight times
       as fast. */
    for (int i = 0; i < kills; i++) {
        double most = i == 0 ? seconds / 8 : 2 * seconds / (kills + 1);
        died += !kill_run(program, killed, most * lode_rng_uniform(&rng));
    }
    print_message("killed %d times of %d, a whole run takes %.2f s\n", died, kills, seconds);
    assert_true(kill_run(program, killed, 0));
    assert_true(kill_checkpoint_crc(alone) == kill_checkpoint_crc(killed));
    char *want = fixture_metrics(a), *seen = fixture_metrics(b);
    assert_string_equal(want, seen);
    assert_true(died > 0);
    lode_free(want);
    lode_free(seen);
    lode_free(a);
    lode_free(b);
    test_remove_tree(alone);
    test_remove_tree(killed);
    lode_free(alone);
    lode_free(killed);
}

#define KILL_MAIN(kills)                                                                           \
    static const char *kill_program;                                                               \
    static void killed_equals_never_killed(void **state) {                                         \
        (void)state;                                                                               \
        kill_and_compare(kill_program, kills);                                                     \
    }                                                                                              \
    int main(int argc, char **argv) {                                                              \
        if (argc == 3 && strcmp(argv[1], "victim") == 0) return kill_victim(argv[2]);              \
        kill_program = argv[0];                                                                    \
        const struct CMUnitTest tests[] = {cmocka_unit_test(killed_equals_never_killed)};          \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    }
#endif
