/* verb_extract.c: `lode extract`: carves a subnet out of the supernet of a run, and proves it. */
#include "core/memory.h"
#include "core/platform.h"
#include "search/run.h"
#include "tools/cli.h"
#include "tools/trained_run.h"
#include "train/evaluate.h"

#include <stdio.h>
#include <string.h>

static const cli_option extract_options[] = {
    {"run", 'r', "DIR", "run directory with a trained supernet (needed)"},
    {"arch", 'a', "ARCH", "architecture: text, code, or @file.json"},
    {"target", 0, "EXPR", "instead: search the supernet under a limit, latency_ms<=5"},
    {"output", 'o', "DIR", "where the subnet goes (needed)"},
};

typedef struct extract {
    trained_run run;
    lode_supernet *subnet;
    lode_arch arch;
    bool equal; /* logits of both are the same bits */
    double before, after;
} extract;

/* Logits of the supernet's path and of the subnet on one batch of test images, bit by bit. */
static lode_status extract_compare(extract *x) {
    lode_loader *loader = NULL;
    lode_tape *tape = NULL;
    lode_tensor *a = NULL, *b = NULL;
    lode_batch batch;
    lode_choice choice[LODE_MAX_DECISIONS];
    lode_forward_options options = {.bn = LODE_BN_RUNNING};
    lode_status status = LODE_OK;
    LODE_GOTO(lode_data_loader(x->run.data, "test", LODE_DATA_EVAL, 64, 0, &loader));
    LODE_GOTO(lode_loader_next(loader, &batch));
    LODE_GOTO(lode_tape_create(LODE_EVAL, lode_dispatch_runner(x->run.dispatch), &tape));
    lode_choice_from_arch(&x->arch, choice);
    lode_var *input = lode_tape_constant(tape, batch.x);
    lode_var *path = lode_supernet_forward(tape, x->run.net, input, choice, &options);
    LODE_GOTO(lode_tape_status(tape));
    a = lode_take_value(path);
    lode_var *sub = lode_supernet_forward(tape, x->subnet, input, NULL, &options);
    LODE_GOTO(lode_tape_status(tape));
    b = lode_take_value(sub);
    x->equal = lode_tensor_equal_bits(a, b);
    if (!x->equal)
        status = LODE_FAIL(LODE_ERR_INTERNAL, "the extracted network's logits differ from those of "
                                              "the supernet on the same path");
done:
    lode_tensor_release(a);
    lode_tensor_release(b);
    lode_tape_destroy(tape);
    lode_loader_destroy(loader);
    return status;
}

static lode_status extract_judge(cli *c, extract *x) {
    lode_loader *train = NULL, *test = NULL;
    lode_evaluation e;
    lode_status status = LODE_OK;
    int64_t batch = x->run.recipe->data.batch;
    int workers = (int)x->run.recipe->data.workers;
    LODE_GOTO(lode_data_loader(x->run.data, "test", LODE_DATA_EVAL, batch, workers, &test));
    LODE_GOTO(lode_data_loader(x->run.data, "train", LODE_DATA_TRAIN, batch, workers, &train));
    lode_evaluate_setup setup = {.net = x->subnet,
                                 .loader = test,
                                 .runner = lode_dispatch_runner(x->run.dispatch),
                                 .bn = LODE_BN_RUNNING,
                                 .progress = cli_progress(c)};
    LODE_GOTO(lode_evaluate(&setup, &e));
    x->before = e.accuracy;
    setup.loader = train;
    LODE_GOTO(lode_recalibrate(&setup, x->run.recipe->search.recalibrate));
    setup.loader = test;
    LODE_GOTO(lode_evaluate(&setup, &e));
    x->after = e.accuracy;
done:
    lode_loader_destroy(train);
    lode_loader_destroy(test);
    return status;
}

static void extract_close(extract *x) {
    lode_supernet_destroy(x->subnet);
    trained_run_close(&x->run);
}

static lode_status extract_run(cli *c) {
    extract x = {0};
    const char *run = NULL, *output = NULL;
    const char *text = cli_get(c, "arch", NULL), *target = cli_get(c, "target", NULL);
    char *arch = NULL;
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "run", &run));
    LODE_TRY(cli_need(c, "output", &output));
    if (!text == !target) return cli_usage_error(c, "give either --arch or --target");
    LODE_GOTO(trained_run_open(run, &x.run));
    lode_run_setup setup = {
        .recipe = x.run.recipe, .directory = run, .resume = true, .progress = cli_progress(c)};
    LODE_GOTO(text ? lode_arch_parse(x.run.space, text, &x.arch)
                   : lode_search_run_target(&setup, target, &x.arch));
    LODE_GOTO(lode_supernet_extract(x.run.net, &x.arch, &x.subnet));
    LODE_GOTO(extract_compare(&x));
    LODE_GOTO(extract_judge(c, &x));
    LODE_GOTO(lode_make_directories(output));
    LODE_GOTO(lode_subnet_save(x.subnet, output));
    arch = lode_arch_text(x.run.space, &x.arch);
    LODE_GOTO(arch ? LODE_OK : LODE_ERR_NO_MEMORY);
    cli_print(c, "%s\nlogits equal those of the supernet on this path, bit for bit\n", arch);
    cli_print(c,
              "test accuracy %.2f %% before batch-norm recalibration, %.2f %% after (%lld "
              "images)\nwritten to %s\n",
              100 * x.before, 100 * x.after, (long long)x.run.recipe->search.recalibrate, output);
    cli_result(c,
               json_pack("{s:s, s:b, s:f, s:f, s:s}", "arch", arch, "logits_equal", x.equal,
                         "accuracy_before", x.before, "accuracy_after", x.after, "output", output));
done:
    lode_free(arch);
    extract_close(&x);
    return status;
}

const cli_verb cli_verb_extract = {
    .name = "extract",
    .about = "carves a subnet out of a trained supernet, proves it, recalibrates batch norm",
    .options = extract_options,
    .n_options = (int)(sizeof extract_options / sizeof *extract_options),
    .run = extract_run,
};
