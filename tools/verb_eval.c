/* verb_eval.c: `lode eval`: accuracy and measured latency of a saved network. */
#include "hwcost/profile.h"
#include "tools/cli.h"
#include "tools/workspace.h"
#include "train/evaluate.h"

#include <stdio.h>

static const cli_option eval_options[] = {
    {"model", 'm', "SUBNET", "directory of a saved network (needed)"},
    {"data", 'd', "NAME[:PATH]", "dataset: idx, cifar, folder, synthetic (needed)"},
    WORKSPACE_OPTION_SET,
    {"split", 0, "NAME", "test (default), valid, train"},
    {"batch", 0, "N", "images per forward pass for latency (default 1)"},
    {"rounds", 0, "N", "timed passes (default 100)"},
    {"providers", 0, "LIST", "kernel providers allowed (native,onednn,portable,reference)"},
};

static lode_status eval_run(cli *c) {
    workspace w;
    lode_config *config = NULL;
    lode_data_options options = {.name = NULL};
    lode_data *data = NULL;
    lode_loader *loader = NULL;
    lode_evaluation e;
    lode_summary latency;
    int64_t batch = 1, rounds = 100;
    const char *model = NULL, *split = cli_get(c, "split", "test");
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "model", &model));
    LODE_TRY(cli_get_int(c, "batch", 1, 1, 4096, &batch));
    LODE_TRY(cli_get_int(c, "rounds", 100, 3, 1000000, &rounds));
    LODE_TRY(workspace_open(c, true, &w));
    LODE_GOTO(workspace_open_data(c, w.net, &config, &options, &data));
    LODE_GOTO(lode_data_loader(data, split, LODE_DATA_EVAL, options.batch, (int)options.workers,
                               &loader));
    lode_evaluate_setup setup = {.net = w.net,
                                 .loader = loader,
                                 .runner = lode_dispatch_runner(w.dispatch),
                                 .bn = LODE_BN_RUNNING,
                                 .progress = cli_progress(c)};
    LODE_GOTO(lode_evaluate(&setup, &e));
    LODE_GOTO(lode_profile_network(w.net, NULL, LODE_FORM_FOLDED, w.dispatch, batch, 10, rounds,
                                   &latency));
    cli_print(c, "accuracy %.2f %% (loss %.4f) on %lld images of %s\n", 100 * e.accuracy, e.loss,
              (long long)e.n, split);
    cli_print(c, "latency  %.4f ms at batch %lld (min %.4f, spread %.1f %%, %lld passes)\n",
              latency.median, (long long)batch, latency.min, 100 * latency.spread,
              (long long)rounds);
    cli_result(c, json_pack("{s:f, s:f, s:I, s:s, s:f, s:f, s:f, s:I}", "accuracy", e.accuracy,
                            "loss", e.loss, "n", (json_int_t)e.n, "split", split, "latency_ms",
                            latency.median, "latency_ms_min", latency.min, "spread", latency.spread,
                            "batch", (json_int_t)batch));
done:
    lode_loader_destroy(loader);
    lode_data_close(data);
    lode_data_options_deinit(&options);
    lode_config_destroy(config);
    workspace_close(&w);
    return status;
}

const cli_verb cli_verb_eval = {
    .name = "eval",
    .about = "accuracy and measured latency of a saved network",
    .options = eval_options,
    .n_options = (int)(sizeof eval_options / sizeof *eval_options),
    .run = eval_run,
};
