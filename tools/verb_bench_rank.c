/* verb_bench_rank.c: `lode bench rank`: a supernet's order of architectures beside a published one.

   Architectures are drawn from the table, different networks only, and judged with inherited
   weights after batch norm was recalibrated for each, on the split valid. Every judged one is a
   line of the output file at once, so a stopped or killed run goes on where it was, and more
   samples may be asked for later: the draw is a fixed order, of which the first N are taken. */
#include "core/memory.h"
#include "core/number.h"
#include "core/platform.h"
#include "hwcost/cost.h"
#include "search/rank.h"
#include "search/run.h"
#include "tools/cli.h"
#include "tools/published.h"
#include "tools/trained_run.h"
#include "train/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_option rank_options[] = {
    {"run", 'r', "DIR", "run directory with a trained supernet"},
    {"table", 't', "FILE", "CSV of architectures and published accuracies (needed)"},
    {"samples", 'n', "N", "architectures of the table that are judged (default 100); 0: none"},
    {"space", 's', "SPACE", "instead of a run: look --arch up, without a supernet"},
    {"arch", 'a', "ARCH", "architecture whose published accuracy is printed (may be repeated)"},
    {"arch-column", 0, "NAME", "column of architectures (default: arch, ops or architecture)"},
    {"accuracy-column", 0, "NAME",
     "column of accuracies (default: mean_acc, c10_test, accuracy or test_acc)"},
    {"split", 0, "NAME", "split they are judged on, held out from training (default valid)"},
    {"batches", 0, "N", "batches of it per architecture (default 0: all)"},
    {"recalibrate", 0, "IMAGES", "training images for batch norm (default: the recipe's)"},
    {"output", 'o', "FILE", "CSV of judged architectures (default DIR/rank.csv)"},
};

enum { RANK_SCORES = 3 };
typedef struct rank_row {
    const published_row *published;
    double score[RANK_SCORES]; /* supernet's accuracy, MACs, params */
} rank_row;

typedef struct ranking {
    cli *c;
    const char *directory, *split, *output;
    trained_run run;
    published table;
    int64_t samples, batches, recalibrate;
    lode_cost *macs, *params;
    lode_loader *calibrate, *judge;
    rank_row *row; /* [samples] */
    int64_t n;
} ranking;

/* ---- the sample ---- */

/* Different networks of the table in a drawn order, the first `samples` of them. */
static lode_status rank_draw(ranking *x) {
    const published *t = &x->table;
    lode_rng rng = lode_rng_stream(cli_seed(x->c, 1), LODE_RNG_MEASURE, 7);
    int64_t *order = LODE_NEW_ARRAY(int64_t, t->n);
    if (order == NULL) return LODE_ERR_NO_MEMORY;
    lode_rng_permutation(&rng, order, t->n);
    for (int64_t i = 0; i < t->n && x->n < x->samples; i++) {
        const published_row *candidate = &t->row[order[i]];
        bool twice = false;
        for (int64_t j = 0; j < x->n; j++)
            twice = twice || x->row[j].published->hash == candidate->hash;
        if (!twice) x->row[x->n++].published = candidate;
    }
    lode_free(order);
    return LODE_OK;
}

/* ---- the file ---- */

/* What the numbers depend on, in the file's first line. */
static char *rank_settings(const ranking *x) {
    return lode_format("# space=%s split=%s batches=%lld recalibrate=%lld column=%s",
                       lode_space_name(x->run.space), x->split, (long long)x->batches,
                       (long long)x->recalibrate, x->table.column);
}

/* Takes the numbers of a line "code,published,supernet,macs,params" to the row it is about. */
static bool rank_take_line(ranking *x, char *line) {
    char *field[5] = {line};
    lode_arch arch;
    double value[4];
    for (int i = 1; i < 5; i++) {
        char *comma = strrchr(line, ',');
        if (comma == NULL) return false;
        *comma = '\0';
        field[5 - i] = comma + 1;
    }
    for (int i = 0; i < 4; i++)
        if (!lode_f64_parse(field[i + 1], &value[i])) return false;
    size_t length = strlen(line);
    if (length < 2 || line[0] != '"' || line[length - 1] != '"') return false;
    line[length - 1] = '\0';
    if (lode_arch_parse(x->run.space, line + 1, &arch) != LODE_OK) return false;
    for (int64_t i = 0; i < x->n; i++)
        if (lode_arch_equal(&x->row[i].published->arch, &arch))
            memcpy(x->row[i].score, value + 1, sizeof x->row[i].score);
    return true;
}

/* Reads what was judged before; a last line without its end was cut off by a kill, and goes. */
static lode_status rank_read(ranking *x, const char *settings) {
    char *text = NULL, *next = NULL;
    size_t n = 0;
    lode_status status = LODE_OK;
    LODE_TRY(lode_file_read(x->output, (void **)&text, &n));
    char *end = strrchr(text, '\n');
    size_t whole = end != NULL ? (size_t)(end - text) + 1 : 0;
    if (whole < n) LODE_GOTO(lode_file_write_atomic(x->output, text, whole));
    text[whole] = '\0';
    int64_t number = 1;
    for (char *line = text; *line != '\0'; line = next, number++) {
        next = strchr(line, '\n');
        *next++ = '\0';
        if (number == 1 && strcmp(line, settings) != 0)
            LODE_GOTO(LODE_FAIL(LODE_ERR_CONFIG,
                                "%s was made with other settings (\"%s\", now \"%s\"): choose "
                                "another file with -o, or delete it",
                                x->output, line, settings));
        if (number > 2 && !rank_take_line(x, line))
            LODE_GOTO(LODE_FAIL(LODE_ERR_DATA, "%s:%lld: not a line of a ranking", x->output,
                                (long long)number));
    }
    if (number < 3) LODE_GOTO(lode_file_remove(x->output)); /* killed before the first result */
done:
    lode_free(text);
    return status;
}

static lode_status rank_open_file(ranking *x) {
    lode_status status = LODE_OK;
    char *settings = rank_settings(x);
    LODE_GOTO(settings ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < x->n; i++) x->row[i].score[0] = -1;
    if (lode_file_exists(x->output)) LODE_GOTO(rank_read(x, settings));
    if (!lode_file_exists(x->output)) {
        LODE_GOTO(lode_file_append_line(x->output, settings));
        LODE_GOTO(lode_file_append_line(x->output, "arch,published,supernet,macs,params"));
    }
done:
    lode_free(settings);
    return status;
}

static lode_status rank_write_row(const ranking *x, const rank_row *r) {
    char number[4][32];
    char *code = lode_arch_code(x->run.space, &r->published->arch);
    lode_f64_format(r->published->accuracy, number[0]);
    for (int i = 0; i < RANK_SCORES; i++) lode_f64_format(r->score[i], number[i + 1]);
    char *line = code != NULL ? lode_format("\"%s\",%s,%s,%s,%s", code, number[0], number[1],
                                            number[2], number[3])
                              : NULL;
    lode_status status = line != NULL ? lode_file_append_line(x->output, line) : LODE_ERR_NO_MEMORY;
    lode_free(code);
    lode_free(line);
    return status;
}

/* ---- judging ---- */

static lode_status rank_judge(ranking *x, rank_row *r) {
    lode_evaluation e;
    lode_evaluate_setup setup = {.net = x->run.net,
                                 .arch = &r->published->arch,
                                 .loader = x->calibrate,
                                 .runner = lode_dispatch_runner(x->run.dispatch),
                                 .bn = LODE_BN_RUNNING};
    LODE_TRY(lode_recalibrate(&setup, x->recalibrate));
    setup.loader = x->judge;
    setup.max_batches = x->batches;
    LODE_TRY(lode_evaluate(&setup, &e));
    LODE_TRY(lode_cost_hard(x->macs, setup.arch, &r->score[1]));
    LODE_TRY(lode_cost_hard(x->params, setup.arch, &r->score[2]));
    r->score[0] = e.accuracy;
    return rank_write_row(x, r);
}

static lode_status rank_judge_all(ranking *x) {
    const lode_data_options *data = &x->run.recipe->data;
    int workers = (int)data->workers;
    const lode_progress *progress = cli_progress(x->c);
    if (lode_data_n_samples(x->run.data, x->split) == 0)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "the run holds out no images as split %s (data.%s): choose another with "
                         "--split",
                         x->split, x->split);
    LODE_TRY(lode_cost_open("macs", x->run.net, 1, &x->macs));
    LODE_TRY(lode_cost_open("params", x->run.net, 1, &x->params));
    LODE_TRY(lode_data_loader(x->run.data, "train", LODE_DATA_TRAIN, data->batch, workers,
                              &x->calibrate));
    LODE_TRY(
        lode_data_loader(x->run.data, x->split, LODE_DATA_EVAL, data->batch, workers, &x->judge));
    for (int64_t i = 0; i < x->n; i++) {
        if (lode_progress_should_stop(progress))
            return LODE_FAIL(LODE_ERR_STOPPED, "stopped; the same command goes on with %s",
                             x->output);
        if (x->row[i].score[0] < 0) LODE_TRY(rank_judge(x, &x->row[i]));
        lode_progress_update(progress, "rank", i + 1, x->n, "");
    }
    return LODE_OK;
}

/* ---- telling ---- */

static lode_status rank_tell_score(ranking *x, int score, const char *name, json_t *result) {
    lode_rank r;
    double *a = LODE_NEW_ARRAY(double, 2 * x->n), *b = a != NULL ? a + x->n : NULL;
    if (a == NULL) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < x->n; i++) {
        a[i] = x->row[i].score[score];
        b[i] = x->row[i].published->accuracy;
    }
    lode_status status = lode_rank_compare(a, b, x->n, cli_seed(x->c, 1), &r);
    lode_free(a);
    LODE_TRY(status);
    cli_print(x->c, "%-10s %7.3f  [%6.3f, %6.3f] %10.3f %10.3f %8.3f %8.3f\n", name, r.tau_b,
              r.tau_low, r.tau_high, r.spearman, r.regret[0], r.regret[1], r.regret[2]);
    json_object_set_new(result, name,
                        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "tau_b", r.tau_b,
                                  "tau_low", r.tau_low, "tau_high", r.tau_high, "spearman",
                                  r.spearman, "regret_1", r.regret[0], "regret_5", r.regret[1],
                                  "regret_10", r.regret[2]));
    return LODE_OK;
}

static lode_status rank_tell(ranking *x, json_t *result) {
    static const char *const names[RANK_SCORES] = {"supernet", "macs", "params"};
    cli_print(x->c, "%lld architectures of %s against %s; regret in its unit\n", (long long)x->n,
              lode_space_name(x->run.space), x->table.column);
    cli_print(x->c, "%-10s %7s  %16s %10s %10s %8s %8s\n", "order of", "tau_b", "95 % interval",
              "Spearman", "regret@1", "@5", "@10");
    for (int i = 0; i < RANK_SCORES; i++) LODE_TRY(rank_tell_score(x, i, names[i], result));
    json_object_set_new(result, "n", json_integer((json_int_t)x->n));
    json_object_set_new(result, "file", json_string(x->output));
    cli_print(x->c, "written to %s\n", x->output);
    return LODE_OK;
}

/* ---- looking up ---- */

static void rank_tell_published(ranking *x, const char *name, const lode_arch *arch, json_t *list) {
    int64_t better, different;
    double best;
    const published_row *row = published_find(&x->table, x->run.space, arch);
    char *code = lode_arch_code(x->run.space, arch);
    if (row == NULL) {
        cli_print(x->c, "%-14s not in the table: %s\n", name, code != NULL ? code : "");
        json_array_append_new(
            list, json_pack("{s:s, s:s?, s:n}", "name", name, "arch", code, "published"));
    } else {
        published_rank(&x->table, row->accuracy, &better, &different, &best);
        cli_print(x->c, "%-14s %s %.4f, place %lld of %lld (best %.4f)  %s\n", name,
                  x->table.column, row->accuracy, (long long)better + 1, (long long)different, best,
                  code != NULL ? code : "");
        json_array_append_new(list, json_pack("{s:s, s:s?, s:f, s:I, s:I, s:f}", "name", name,
                                              "arch", code, "published", row->accuracy, "place",
                                              (json_int_t)better + 1, "of", (json_int_t)different,
                                              "best", best));
    }
    lode_free(code);
}

/* Networks that the run's search has made, and those of --arch. */
static lode_status rank_look_up(ranking *x, json_t *result) {
    const char *const *text;
    lode_run_result networks = {0};
    lode_arch arch;
    lode_status status = LODE_OK;
    json_t *list = json_array();
    json_object_set_new(result, "networks", list);
    int n = cli_get_all(x->c, "arch", &text);
    for (int i = 0; i < n; i++) {
        LODE_TRY(lode_arch_parse(x->run.space, text[i], &arch));
        rank_tell_published(x, "--arch", &arch, list);
    }
    if (x->directory == NULL) return LODE_OK;
    LODE_TRY(lode_run_read_results(x->directory, &networks));
    for (int i = 0; i < networks.n; i++) {
        LODE_GOTO(lode_arch_parse(x->run.space, networks.network[i].arch, &arch));
        rank_tell_published(x, networks.network[i].name, &arch, list);
    }
done:
    lode_run_result_deinit(&networks);
    return status;
}

/* ---- the verb ---- */

static lode_status rank_open(ranking *x) {
    cli *c = x->c;
    const char *table = NULL, *space = cli_get(c, "space", NULL);
    LODE_TRY(cli_need(c, "table", &table));
    x->directory = cli_get(c, "run", NULL);
    if (!x->directory == !space) return cli_usage_error(c, "give either --run or --space");
    LODE_TRY(cli_get_int(c, "samples", space ? 0 : 100, 0, 1000000, &x->samples));
    LODE_TRY(cli_get_int(c, "batches", 0, 0, 1000000, &x->batches));
    if (space && x->samples > 0) return cli_usage_error(c, "--samples needs a supernet: --run");
    if (space) {
        const lode_space_options o = {.name = space};
        LODE_TRY(lode_space_load(&o, &x->run.space));
    } else
        LODE_TRY(trained_run_open(x->directory, &x->run));
    int64_t recalibrate = x->run.recipe ? x->run.recipe->search.recalibrate : 1;
    LODE_TRY(cli_get_int(c, "recalibrate", recalibrate, 1, 10000000, &x->recalibrate));
    x->split = cli_get(c, "split", "valid");
    LODE_TRY(published_read(table, x->run.space, cli_get(c, "arch-column", NULL),
                            cli_get(c, "accuracy-column", NULL), &x->table));
    x->row = LODE_NEW_ARRAY(rank_row, x->samples + 1);
    return x->row != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
}

static lode_status rank_run(cli *c) {
    ranking x = {.c = c};
    char *output = NULL;
    json_t *result = json_object();
    lode_status status = LODE_OK;
    cli_result(c, result); /* the frame owns it, whatever happens below */
    LODE_GOTO(rank_open(&x));
    output = cli_get(c, "output", NULL)
                 ? lode_strdup(cli_get(c, "output", NULL))
                 : lode_path_join(x.directory ? x.directory : ".", "rank.csv");
    LODE_GOTO(output ? LODE_OK : LODE_ERR_NO_MEMORY);
    x.output = output;
    if (x.samples > 0) {
        LODE_GOTO(rank_draw(&x));
        LODE_GOTO(rank_open_file(&x));
        LODE_GOTO(rank_judge_all(&x));
        LODE_GOTO(rank_tell(&x, result));
    }
    LODE_GOTO(rank_look_up(&x, result));
done:
    lode_cost_close(x.macs);
    lode_cost_close(x.params);
    lode_loader_destroy(x.calibrate);
    lode_loader_destroy(x.judge);
    published_deinit(&x.table);
    trained_run_close(&x.run);
    lode_free(x.row);
    lode_free(output);
    return status;
}

const cli_verb cli_verb_bench_rank = {
    .name = "bench rank",
    .about = "a supernet's order of architectures beside published accuracies",
    .details =
        "Draws architectures of a published table, judges them with the weights of a trained "
        "supernet after batch-norm recalibration on held-out images, and prints Kendall's tau_b "
        "with a bootstrap 95 % interval, Spearman's correlation and top-k regret, beside those of "
        "the orders by MACs and by parameters. Every judged architecture is a line of the output "
        "file at once; the same command goes on where it was stopped, or with more --samples. "
        "Then it prints the published accuracy and place of the networks that the run has found, "
        "and of --arch; with --space instead of --run only these.",
    .options = rank_options,
    .n_options = (int)(sizeof rank_options / sizeof *rank_options),
    .run = rank_run,
};
