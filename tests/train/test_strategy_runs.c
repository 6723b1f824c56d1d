/* labels: property. What holds for every strategy of the table, on a space of cells (superkernel:
   of superkernels): the same bits for one thread and two, and for a run that was stopped at every
   step and resumed. */
#include "core/parallel.h"
#include "train_fixture.h"

static const char cell_space[] = "name: cells\n"
                                 "input: {channels: 3, size: 8}\n"
                                 "classes: 4\n"
                                 "bn: {affine: false}\n"
                                 "sets:\n"
                                 "  ops:\n"
                                 "    none: {op: none}\n"
                                 "    skip: {op: skip, at_shape_change: {op: factorized_reduce}}\n"
                                 "    conv: {op: sep_conv, kernel: 3}\n"
                                 "    pool: {op: avg_pool, kernel: 3, bn: true}\n"
                                 "cells:\n"
                                 "  normal: {inputs: 2, nodes: 2, set: ops, output: concat}\n"
                                 "  reduce: {inputs: 2, nodes: 2, set: ops, output: concat}\n"
                                 "layers:\n"
                                 "  - {name: stem, op: conv, kernel: 3, channels: 8, act: none}\n"
                                 "  - {cell: normal, channels: 8, repeat: 2}\n"
                                 "  - {cell: reduce, channels: 8, stride: 2}\n"
                                 "  - {name: pool, op: global_pool}\n"
                                 "  - {name: classifier, op: linear}\n";

static const char super_space[] =
    "name: super\n"
    "input: {channels: 3, size: 8}\n"
    "classes: 4\n"
    "sets:\n"
    "  s:\n"
    "    mb: {op: mbconv, kernel: {choices: [3, 5]}, expand: {choices: [1, 2]}}\n"
    "    skip: {op: skip, at_shape_change: drop}\n"
    "layers:\n"
    "  - {name: stem, op: conv, kernel: 3, channels: 8}\n"
    "  - {choice: s, channels: 8, repeat: 2}\n"
    "  - {name: pool, op: global_pool}\n"
    "  - {name: classifier, op: linear}\n";

static const char runs_data[] = "eval_every: 0, lr: 0.05, clip: 5, checkpoint_steps: 1";

static void runs_open(fixture *f, const lode_strategy_plugin *plugin, const char *dir) {
    char *train = lode_format("{strategy: %s, epochs: 2, %s}", plugin->name, runs_data);
    bool partial = strcmp(plugin->name, "pc_darts") == 0; /* waits for 15 epochs otherwise */
    bool super = strcmp(plugin->name, "superkernel") == 0;
    assert_non_null(train);
    fixture_open_as(f, super ? super_space : cell_space,
                    &(lode_space_options){.partial = partial ? 2 : 1}, LODE_F32, train,
                    partial ? "{warmup: 1}" : "{}", NULL, &(lode_strategy_setup){0});
    f->setup.checkpoint_directory = dir;
    f->setup.resume = true;
    lode_free(train);
}

/* A hash of the whole training, interrupted after every so many steps (0: never). */
static uint64_t runs_hash(const lode_strategy_plugin *plugin, int threads, int64_t stop_every) {
    char *dir = stop_every > 0 ? test_temp_dir() : NULL;
    int was = lode_get_threads();
    uint64_t hash = 0;
    bool finished = false;
    lode_set_threads(threads);
    while (!finished) {
        fixture f;
        lode_trainer *t = NULL;
        runs_open(&f, plugin, dir);
        assert_ok(lode_trainer_create(&f.setup, &t));
        assert_ok(lode_trainer_run_steps(t, stop_every > 0 ? stop_every : INT64_MAX, &finished));
        for (int d = 0; d < lode_space_n_decisions(f.space); d++) {
            double p[LODE_MAX_OPTIONS] = {0};
            lode_strategy_probabilities(f.strategy, d, p);
            hash = lode_hash_bytes(p, 4 * sizeof *p, d == 0 ? fixture_hash(&f) : hash);
        }
        lode_trainer_destroy(t);
        fixture_close(&f);
    }
    lode_set_threads(was);
    if (dir != NULL) test_remove_tree(dir);
    lode_free(dir);
    return hash;
}

static void every_strategy_resumes_bit_for_bit(void **state) {
    int n = 0;
    (void)state;
    const lode_strategy_plugin *const *all = lode_strategy_plugins(&n);
    for (int i = 0; i < n; i++) {
        if (strcmp(all[i]->name, "fixed") == 0) continue; /* for networks without decisions */
        const uint64_t whole = runs_hash(all[i], 2, 0);
        if (runs_hash(all[i], 1, 0) != whole) fail_msg("%s: threads change bits", all[i]->name);
        if (runs_hash(all[i], 2, 1) != whole) fail_msg("%s: stops change bits", all[i]->name);
        if (runs_hash(all[i], 2, 5) != whole) fail_msg("%s: stops change bits", all[i]->name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_strategy_resumes_bit_for_bit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
