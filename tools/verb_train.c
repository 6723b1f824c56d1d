/* verb_train.c: `lode train`: a supernet, or one fixed network from scratch or from inherited
 * weights. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "search/recipe.h"
#include "tools/cli.h"
#include "train/evaluate.h"

#include <stdio.h>
#include <string.h>

static const cli_option train_options[] = {
    {"recipe", 'c', "FILE", "the recipe: data, space, train (fixed networks), supernet (needed)"},
    {"set", 0, "KEY=VALUE", "change one option of the recipe (may be repeated)"},
    {"arch", 'a', "ARCH", "train this architecture from scratch, by section train"},
    {"model", 'm', "SUBNET", "train this saved network on, by section train"},
    {"output", 'o', "DIR", "where checkpoints, metrics and the network go (needed)"},
    {"resume", 0, NULL, "go on from the newest checkpoint"},
};

typedef struct training {
    lode_recipe *recipe;
    lode_data *data;
    lode_space *space;
    lode_supernet *net;
    lode_dispatch *dispatch;
    bool fixed;
} training;

static lode_status training_open(cli *c, training *t) {
    const char *recipe = NULL, *arch_text = cli_get(c, "arch", NULL), *const * sets;
    const char *model = cli_get(c, "model", NULL);
    lode_arch arch;
    int channels = 0, height = 0, width = 0;
    lode_dispatch_options dispatch = {0};
    if (arch_text && model) return cli_usage_error(c, "give --arch or --model, not both");
    LODE_TRY(cli_need(c, "recipe", &recipe));
    int n_sets = cli_get_all(c, "set", &sets);
    LODE_TRY(lode_recipe_load(recipe, sets, n_sets, &t->recipe));
    lode_recipe *r = t->recipe;
    r->seed = cli_flag(c, "seed") ? cli_seed(c, r->seed) : r->seed;
    lode_set_threads(cli_flag(c, "threads") ? cli_threads(c) : r->threads);
    LODE_TRY(lode_data_open(&r->data, r->seed, &t->data));
    lode_data_input(t->data, &channels, &height, &width);
    dispatch.providers = r->providers;
    LODE_TRY(lode_dispatch_create(&dispatch, &t->dispatch));
    t->fixed = arch_text || model;
    if (model) return lode_subnet_load(model, &t->net);
    lode_space_options o = r->space;
    if (o.classes == 0) o.classes = lode_data_n_classes(t->data);
    if (o.channels == 0) o.channels = channels;
    if (o.size == 0) o.size = height;
    LODE_TRY(lode_space_load(&o, &t->space));
    if (arch_text) LODE_TRY(lode_arch_parse(t->space, arch_text, &arch));
    return lode_supernet_create(t->space, arch_text ? &arch : NULL, LODE_F32, r->seed, &t->net);
}

static lode_status training_fit(cli *c, training *t, const char *output,
                                lode_train_result *result) {
    lode_status status = LODE_OK;
    const lode_recipe *r = t->recipe;
    lode_strategy *strategy = NULL;
    char *metrics = lode_path_join(output, "metrics.jsonl");
    char *checkpoint = lode_path_join(output, "checkpoint");
    LODE_GOTO(metrics && checkpoint ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (!t->fixed) { /* costs enter the loss in `lode search`, which has a table */
        lode_strategy_setup s = {
            .net = t->net, .n_epochs = r->supernet.epochs, .options = r->strategy_options};
        if (!r->strategy)
            LODE_GOTO(cli_usage_error(c, "the recipe trains no supernet (search.supernet: false); "
                                         "give --arch or --model"));
        LODE_GOTO(lode_strategy_create(r->strategy, &s, &strategy));
    }
    lode_train_setup setup = {.phase = t->fixed ? "train" : "supernet",
                              .net = t->net,
                              .strategy = strategy,
                              .data = t->data,
                              .data_batch = r->data.batch,
                              .workers = (int)r->data.workers,
                              .runner = lode_dispatch_runner(t->dispatch),
                              .options = t->fixed ? &r->train : &r->supernet,
                              .seed = r->seed,
                              .metrics_path = metrics,
                              .checkpoint_directory = checkpoint,
                              .resume = cli_flag(c, "resume"),
                              .progress = cli_progress(c)};
    LODE_GOTO(lode_train(&setup, result));
done:
    lode_strategy_destroy(strategy);
    lode_free(metrics);
    lode_free(checkpoint);
    return status;
}

static lode_status training_test(cli *c, training *t, lode_evaluation *out) {
    lode_loader *loader = NULL;
    LODE_TRY(lode_data_loader(t->data, "test", LODE_DATA_EVAL, t->recipe->data.batch,
                              (int)t->recipe->data.workers, &loader));
    lode_evaluate_setup setup = {.net = t->net,
                                 .loader = loader,
                                 .runner = lode_dispatch_runner(t->dispatch),
                                 .bn = LODE_BN_RUNNING,
                                 .progress = cli_progress(c)};
    lode_status status = lode_evaluate(&setup, out);
    lode_loader_destroy(loader);
    return status;
}

static lode_status training_finish(cli *c, training *t, const char *output,
                                   const lode_train_result *result) {
    lode_evaluation test = {0};
    if (t->fixed) {
        LODE_TRY(lode_subnet_save(t->net, output));
        LODE_TRY(training_test(c, t, &test));
        cli_print(c, "test accuracy %.2f %% (loss %.4f, %lld images)\n", 100 * test.accuracy,
                  test.loss, (long long)test.n);
    } else {
        char *weights = lode_path_join(output, "supernet.safetensors");
        lode_status status = weights ? lode_supernet_save(t->net, weights) : LODE_ERR_NO_MEMORY;
        lode_free(weights);
        LODE_TRY(status);
    }
    cli_print(c, "%s: %lld epochs, %lld steps, training loss %.4f, %.0f images/s, %.0f s\n", output,
              (long long)result->epochs, (long long)result->steps, result->loss,
              result->images_per_s, result->seconds);
    cli_result(c, json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:{s:I, s:I, s:I, s:I, s:I}}",
                            "output", output, "epochs", (json_int_t)result->epochs, "steps",
                            (json_int_t)result->steps, "loss", result->loss, "test_accuracy",
                            test.accuracy, "images_per_s", result->images_per_s, "seconds",
                            result->seconds, "memory", "planned", (json_int_t)result->plan.total,
                            "measured", (json_int_t)result->peak_bytes, "planned_held",
                            (json_int_t)result->plan.held, "held", (json_int_t)result->peak_held,
                            "peak_rss", (json_int_t)lode_peak_rss_bytes()));
    return LODE_OK;
}

/* Files a run directory has from the start, so that `lode extract -r` understands it. */
static lode_status training_write_recipe(const training *t, const char *output) {
    lode_status status = LODE_OK;
    char *path = lode_path_join(output, "recipe.yaml"), *text = lode_recipe_text(t->recipe);
    LODE_GOTO(path && text ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_make_directories(output));
    LODE_GOTO(lode_file_write_atomic(path, text, strlen(text)));
done:
    lode_free(path);
    lode_free(text);
    return status;
}

static lode_status train_run(cli *c) {
    training t = {0};
    lode_train_result result = {0};
    const char *output = NULL;
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "output", &output));
    LODE_GOTO(training_open(c, &t));
    LODE_GOTO(training_write_recipe(&t, output));
    LODE_GOTO(training_fit(c, &t, output, &result));
    LODE_GOTO(training_finish(c, &t, output, &result));
done:
    lode_supernet_destroy(t.net);
    lode_space_release(t.space);
    lode_dispatch_destroy(t.dispatch);
    lode_data_close(t.data);
    lode_recipe_destroy(t.recipe);
    return status;
}

const cli_verb cli_verb_train = {
    .name = "train",
    .about = "trains a supernet, or one fixed network from scratch or from inherited weights",
    .options = train_options,
    .n_options = (int)(sizeof train_options / sizeof *train_options),
    .tables = lode_recipe_tables,
    .run = train_run,
};
