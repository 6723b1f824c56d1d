/* train_fixture.h: a recipe small enough to train in milliseconds: 8x8 synthetic images, a stem,
   two choices of three options, a classifier. Sections of the recipe text override what stands
   here. */
#ifndef LODE_TESTS_TRAIN_FIXTURE_H
#define LODE_TESTS_TRAIN_FIXTURE_H
#include "core/platform.h"
#include "ops/dispatch.h"
#include "support/support.h"
#include "train/trainer.h"

static const char fixture_space[] = "name: tiny\n"
                                    "input: {channels: 3, size: 8}\n"
                                    "classes: 4\n"
                                    "sets:\n"
                                    "  s:\n"
                                    "    k3: {op: mbconv, kernel: 3, expand: 2}\n"
                                    "    k5: {op: mbconv, kernel: 5, expand: 1}\n"
                                    "    skip: {op: skip, at_shape_change: drop}\n"
                                    "layers:\n"
                                    "  - {name: stem, op: conv, kernel: 3, channels: 8}\n"
                                    "  - {choice: s, channels: 8}\n"
                                    "  - {choice: s, channels: 16, stride: 2}\n"
                                    "  - {name: pool, op: global_pool}\n"
                                    "  - {name: classifier, op: linear}\n";

static const char fixture_data[] =
    "data: {name: synthetic, classes: 4, size: 8, channels: 3, valid: 16, arch_split: 32,\n"
    "  batch: 8, workers: 0, augment: {pad: 1, flip: true},\n"
    "  synthetic: {train: 96, test: 16, noise: 20}}\n";

/* Everything a trainer needs, opened from a recipe. */
typedef struct fixture {
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
} fixture;

/* space: its text. train: rows of section "train" as a YAML flow map, arch: of "arch"; fixed: text
   of an architecture, or NULL for the supernet. want: costs, limits and part of the strategy's
   setup. */
static inline void fixture_open_as(fixture *f, const char *space,
                                   const lode_space_options *space_options, lode_dtype dtype,
                                   const char *train, const char *arch, const char *fixed,
                                   const lode_strategy_setup *want) {
    memset(f, 0, sizeof *f);
    char *text = lode_format("%strain: %s\narch: %s\n", fixture_data, train, arch);
    assert_non_null(text);
    assert_ok(lode_config_parse(text, "test", &f->config));
    lode_free(text);
    assert_ok(lode_data_options_read(f->config, &f->data_options));
    assert_ok(lode_data_open(&f->data_options, 5, &f->data));
    assert_ok(lode_config_read(f->config, &lode_train_option_table, &f->options));
    assert_ok(lode_space_parse(space, "tiny", space_options, &f->space));
    lode_arch a;
    if (fixed != NULL) assert_ok(lode_arch_parse(f->space, fixed, &a));
    assert_ok(lode_supernet_create(f->space, fixed != NULL ? &a : NULL, dtype, 5, &f->net));
    assert_ok(lode_dispatch_create(&(lode_dispatch_options){.deterministic = true}, &f->dispatch));
    const char *name = f->options.strategy;
    assert_ok(lode_strategy_find(name != NULL    ? name
                                 : fixed != NULL ? "fixed"
                                                 : "gumbel",
                                 &f->plugin));
    assert_ok(lode_strategy_options_read(f->config, f->plugin, &f->strategy_options));
    if (f->plugin->options == NULL) lode_config_node(f->config, "arch");
    assert_ok(lode_config_finish(f->config));
    lode_strategy_setup s = *want;
    s.net = f->net;
    s.n_epochs = f->options.epochs;
    s.options = f->strategy_options;
    assert_ok(lode_strategy_create(f->plugin, &s, &f->strategy));
    f->setup = (lode_train_setup){.phase = fixed != NULL ? "train" : "supernet",
                                  .net = f->net,
                                  .strategy = f->strategy,
                                  .data = f->data,
                                  .data_batch = f->data_options.batch,
                                  .workers = (int)f->data_options.workers,
                                  .runner = lode_dispatch_runner(f->dispatch),
                                  .options = &f->options,
                                  .seed = 5};
}

static inline void fixture_open_on(fixture *f, const char *space, lode_dtype dtype,
                                   const char *train, const char *arch, const char *fixed,
                                   const lode_strategy_setup *want) {
    fixture_open_as(f, space, NULL, dtype, train, arch, fixed, want);
}

/* On the tiny space, in f32. */
static inline void fixture_open_for(fixture *f, const char *train, const char *arch,
                                    const char *fixed, const lode_strategy_setup *want) {
    fixture_open_on(f, fixture_space, LODE_F32, train, arch, fixed, want);
}

static inline void fixture_open(fixture *f, const char *train, const char *arch, const char *fixed,
                                lode_cost *const *cost, int n_costs) {
    const lode_strategy_setup want = {.cost = cost, .n_costs = n_costs};
    fixture_open_for(f, train, arch, fixed, &want);
}

static inline void fixture_close(fixture *f) {
    lode_strategy_destroy(f->strategy);
    lode_free(f->strategy_options);
    lode_supernet_destroy(f->net);
    lode_space_release(f->space);
    lode_data_close(f->data);
    lode_data_options_deinit(&f->data_options);
    lode_dispatch_destroy(f->dispatch);
    lode_config_destroy(f->config);
}

/* A hash of every bit of the network and the strategy's parameters. */
static inline uint64_t fixture_hash(const fixture *f) {
    uint64_t h = 0;
    for (int i = 0; i < lode_supernet_n_parameters(f->net); i++) {
        const lode_tensor *v = lode_supernet_parameter(f->net, i)->value;
        h = lode_hash_bytes(v->data, lode_tensor_bytes(v), h);
    }
    for (int i = 0; i < lode_strategy_n_parameters(f->strategy); i++) {
        const lode_tensor *v = lode_strategy_parameter(f->strategy, i)->value;
        h = lode_hash_bytes(v->data, lode_tensor_bytes(v), h);
    }
    return h;
}

/* metrics.jsonl with what depends on the clock cut from its lines; lode_free. */
static inline char *fixture_metrics(const char *path) {
    char *bytes = NULL, *out = NULL;
    size_t n = 0;
    assert_ok(lode_file_read(path, (void **)&bytes, &n));
    lode_text text = {0};
    for (char *line = strtok(bytes, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *clock = strstr(line, "\"images_per_s\"");
        assert_non_null(clock);
        *clock = '\0';
        lode_text_add(&text, "%s\n", line);
    }
    out = lode_text_take(&text);
    lode_free(bytes);
    return out;
}
#endif
