/* verb_bench.c: `lode bench ops | step`: speed on this machine. */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/profile.h"
#include "tools/cli.h"
#include "tools/workspace.h"
#include "train/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- step ---- */

static const cli_option step_options[] = {
    {"space", 's', "SPACE", "space to train (default: nasbench-macro and fbnet-cifar)"},
    WORKSPACE_OPTION_SET,
    {"strategy", 0, "NAME", "single_path, gumbel (default: single_path and gumbel)"},
    {"batch", 0, "N", "images per step (default 64)"},
    {"steps", 0, "N", "timed steps (default 10)"},
    {"providers", 0, "LIST", "kernel providers allowed (native,onednn,reference)"},
};

typedef struct step_result {
    double ms, min_ms, spread, images_per_s;
    int64_t peak_bytes;
} step_result;

static lode_status step_open_data(const lode_space *space, int64_t batch, int64_t steps,
                                  lode_config **config, lode_data_options *options,
                                  lode_data **out) {
    lode_space_options o = lode_space_resolved(space);
    char *text = lode_format("data: {name: synthetic, size: %lld, channels: %lld, classes: %lld, "
                             "limit: %lld, arch_split: 0.3, valid: 0, batch: %lld}",
                             (long long)o.size, (long long)o.channels, (long long)o.classes,
                             (long long)(2 * batch * (steps + 8)), (long long)batch);
    if (!text) return LODE_ERR_NO_MEMORY;
    lode_status status = lode_config_parse(text, "bench", config);
    lode_free(text);
    LODE_TRY(status);
    LODE_TRY(lode_data_options_read(*config, options));
    return lode_data_open(options, 1, out);
}

/* Times single steps of a real trainer after three untimed ones. */
static lode_status step_time(lode_supernet *net, const char *strategy, lode_data *data,
                             int64_t batch, int64_t steps, lode_dispatch *dispatch,
                             step_result *out) {
    lode_trainer *trainer = NULL;
    lode_train_options options;
    lode_summary summary;
    bool finished = false;
    lode_status status = LODE_OK;
    double *ms = LODE_NEW_ARRAY(double, steps);
    LODE_GOTO(ms ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_options_default(&lode_supernet_train_option_table, &options));
    options.epochs = 1000;
    options.batch = batch;
    options.strategy = strategy;
    options.eval_split = "";
    lode_train_setup setup = {.phase = "bench",
                              .net = net,
                              .data = data,
                              .data_batch = batch,
                              .workers = 1,
                              .runner = lode_dispatch_runner(dispatch),
                              .options = &options,
                              .seed = 1};
    lode_device_reset_peak(lode_cpu_device());
    LODE_GOTO(lode_trainer_create(&setup, &trainer));
    LODE_GOTO(lode_trainer_run_steps(trainer, 3, &finished));
    for (int64_t i = 0; i < steps; i++) {
        double start = lode_clock();
        LODE_GOTO(lode_trainer_run_steps(trainer, 1, &finished));
        ms[i] = 1e3 * (lode_clock() - start);
    }
    LODE_GOTO(lode_summarize(ms, steps, &summary));
    out->ms = summary.median;
    out->min_ms = summary.min;
    out->spread = summary.spread;
    out->images_per_s = 1e3 * (double)batch / summary.median;
    out->peak_bytes = lode_device_get_stats(lode_cpu_device()).peak_bytes;
done:
    lode_trainer_destroy(trainer);
    lode_free(ms);
    return status;
}

static lode_status step_one(cli *c, const char *name, const char *strategy, int64_t batch,
                            int64_t steps, json_t *list) {
    lode_space *space = NULL;
    lode_supernet *net = NULL;
    lode_dispatch *dispatch = NULL;
    lode_config *config = NULL;
    lode_data_options data_options = {.name = NULL};
    lode_data *data = NULL;
    step_result r;
    lode_space_options options = {.name = name};
    lode_dispatch_options dispatch_options = {.providers = cli_get(c, "providers", NULL)};
    lode_status status = LODE_OK;
    LODE_GOTO(lode_space_load(&options, &space));
    LODE_GOTO(lode_supernet_create(space, NULL, LODE_F32, 1, &net));
    LODE_GOTO(lode_dispatch_create(&dispatch_options, &dispatch));
    LODE_GOTO(step_open_data(space, batch, steps, &config, &data_options, &data));
    LODE_GOTO(step_time(net, strategy, data, batch, steps, dispatch, &r));
    cli_print(c, "%-16s %-12s %5lld %9.1f ms %9.1f ms %7.1f %% %9.0f %9.1f MiB\n", name, strategy,
              (long long)batch, r.ms, r.min_ms, 100 * r.spread, r.images_per_s,
              (double)r.peak_bytes / (1 << 20));
    json_array_append_new(list,
                          json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:I}", "space", name,
                                    "strategy", strategy, "batch", (json_int_t)batch, "median_ms",
                                    r.ms, "min_ms", r.min_ms, "spread", r.spread, "images_per_s",
                                    r.images_per_s, "peak_bytes", (json_int_t)r.peak_bytes));
done:
    lode_data_close(data);
    lode_data_options_deinit(&data_options);
    lode_config_destroy(config);
    lode_dispatch_destroy(dispatch);
    lode_supernet_destroy(net);
    lode_space_release(space);
    return status;
}

static lode_status step_run(cli *c) {
    static const char *const spaces[] = {"nasbench-macro", "fbnet-cifar"};
    static const char *const strategies[] = {"single_path", "gumbel"};
    const char *space = cli_get(c, "space", NULL), *strategy = cli_get(c, "strategy", NULL);
    int64_t batch = 64, steps = 10;
    LODE_TRY(cli_get_int(c, "batch", 64, 1, 4096, &batch));
    LODE_TRY(cli_get_int(c, "steps", 10, 3, 100000, &steps));
    json_t *list = json_array();
    cli_result(c, list); /* the frame owns it, whatever happens below */
    cli_print(c, "%-16s %-12s %5s %12s %12s %9s %9s %13s\n", "space", "strategy", "batch", "median",
              "minimum", "spread", "images/s", "peak memory");
    for (int s = 0; s < (space ? 1 : 2); s++)
        for (int k = 0; k < (strategy ? 1 : 2); k++)
            LODE_TRY(step_one(c, space ? space : spaces[s], strategy ? strategy : strategies[k],
                              batch, steps, list));
    cli_print(c, "peak RSS of the process: %.1f MiB\n", (double)lode_peak_rss_bytes() / (1 << 20));
    return LODE_OK;
}

const cli_verb cli_verb_bench_step = {
    .name = "bench step",
    .about = "time and peak memory of training steps of supernets",
    .options = step_options,
    .n_options = (int)(sizeof step_options / sizeof *step_options),
    .run = step_run,
};

/* ---- ops ---- */

static const cli_option ops_options[] = {
    WORKSPACE_OPTION_SPACE,
    WORKSPACE_OPTION_SET,
    {"batch", 0, "N", "images per forward pass (default 64)"},
    {"rounds", 0, "N", "timed passes (default 10)"},
    {"providers", 0, "LIST", "kernel providers allowed (native,onednn,reference)"},
};

typedef struct ops_row {
    const lode_table_entry *entry;
} ops_row;

static int ops_compare(const void *a, const void *b) {
    double x = ((const ops_row *)a)->entry->median, y = ((const ops_row *)b)->entry->median;
    return (x < y) - (x > y);
}

static lode_status ops_run(cli *c) {
    workspace w;
    lode_profile_options o;
    lode_table *table = NULL;
    ops_row *row = NULL;
    lode_status status = LODE_OK;
    LODE_TRY(lode_options_default(&lode_profile_option_table, &o));
    o.networks = 0;
    o.seed = 1;
    LODE_TRY(cli_get_int(c, "batch", 64, 1, 4096, &o.batch));
    LODE_TRY(cli_get_int(c, "rounds", 10, 3, 100000, &o.rounds));
    LODE_TRY(workspace_open(c, true, &w));
    json_t *list = json_array();
    LODE_GOTO(lode_profile_space(w.net, w.dispatch, &o, cli_progress(c), &table));
    int64_t n = lode_table_n(table);
    row = LODE_NEW_ARRAY(ops_row, n + 1);
    LODE_GOTO(row ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < n; i++) row[i].entry = lode_table_at(table, i);
    qsort(row, (size_t)n, sizeof *row, ops_compare);
    cli_print(c, "%10s %10s %8s  %-10s call\n", "median ms", "min ms", "spread", "provider");
    for (int64_t i = 0; i < n; i++) {
        const lode_table_entry *e = row[i].entry;
        cli_print(c, "%10.4f %10.4f %6.1f %%  %-10s %s\n", e->median, e->min, 100 * e->spread,
                  e->provider, e->call);
        json_array_append_new(list, json_pack("{s:s, s:s, s:f, s:f, s:f}", "call", e->call,
                                              "provider", e->provider, "median_ms", e->median,
                                              "min_ms", e->min, "spread", e->spread));
    }
done:
    lode_free(row);
    lode_table_destroy(table);
    workspace_close(&w);
    cli_result(c, list);
    return status;
}

const cli_verb cli_verb_bench_ops = {
    .name = "bench ops",
    .about = "time of every distinct operator call of a space, slowest first",
    .options = ops_options,
    .n_options = (int)(sizeof ops_options / sizeof *ops_options),
    .run = ops_run,
};
