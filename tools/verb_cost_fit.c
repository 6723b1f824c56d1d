/* verb_cost_fit.c: `lode cost fit`: a predictor from measured architectures. */
#include "core/json.h"
#include "core/memory.h"
#include "core/number.h"
#include "core/platform.h"
#include "tools/fit.h"

#include <stdio.h>
#include <string.h>

static const cli_option fit_options[] = {
    {"space", 's', "SPACE", "name of a shipped space, or a YAML file (needed)"},
    {"table", 't', "FILE", "CSV of architectures with a measured number each (needed)"},
    {"column", 0, "NAME", "column of the numbers (this or --columns is needed)"},
    {"columns", 0, "LIST",
     "several devices, a column each: one model of all, for `lode cost adapt`; *_ms means all that "
     "end so"},
    {"without", 0, "LIST", "--columns: all of them but these"},
    {"model", 0, "KIND",
     "gbdt, gcn, kernel, linear, lstm, mlp, semigcn (may be repeated; default: all that fit the "
     "space)"},
    {"output", 'o', "FILE",
     "where the predictor goes; then one --model (--curve: FILE.csv, FILE.svg)"},
    {"curve", 0, "LIST", "learning curve: errors after 50,100,300,1000 rows, all models"},
    {"draws", 0, "N", "--curve: draws of the rows to learn from that are averaged (default 3)"},
    {"draw", 0, "N", "another choice of the rows to learn from (default 0)"},
    {"train", 0, "N", "rows to learn from, those for validation included (default: all others)"},
    {"held-out", 0, "SHARE", "share of the rows that errors are reported on (default 0.2)"},
    {"features", 0, "NAMES",
     "more columns that are read beside the architecture, such as accuracies after few epochs"},
    {"validation", 0, "SHARE", "share of the rows to learn from that is for validation (0.15)"},
    {"name", 0, "NAME", "the cost's name (default: the column's)"},
    {"unit", 0, "UNIT", "its unit (default: what follows the last _ of the name)"},
    {"device", 0, "TEXT", "what it was measured on; kept in the file"},
    {"arch-column", 0, "NAME", "column of architectures (default: arch, ops or architecture)"},
    {"join", 0, "FILE", "another CSV that has the architectures"},
    {"key", 0, "NAME", "column by which rows of both belong together (default index)"},
    {"beside", 0, "COST",
     "another cost (macs, latency_ms=DEVICE, latency_ms=TABLE) judged on the same held-out rows, "
     "as "
     "it is and through a line (may be repeated)"},
    {"batch", 0, "N", "--beside: images per forward pass (default: the table's, else 1)"},
    {"rows", 0, "FILE", "write a CSV of all rows: options, number, part, predictions"},
    {"set", 0, "KEY=VALUE", "change one option of section fit or space (may be repeated)"},
};

/* ---- what was asked for ---- */

static lode_status fit_read_config(fit *f, const char *space) {
    lode_space_options options;
    lode_config *config = NULL;
    lode_status status = LODE_OK;
    const char *const *sets;
    int n = cli_get_all(f->c, "set", &sets);
    LODE_TRY(lode_config_load(NULL, &config));
    for (int i = 0; i < n; i++) LODE_GOTO(lode_config_set(config, sets[i]));
    LODE_GOTO(lode_config_read(config, &lode_space_option_table, &options));
    LODE_GOTO(lode_config_read(config, &lode_predictor_option_table, &f->options));
    LODE_GOTO(lode_config_finish(config));
    options.name = space;
    LODE_GOTO(lode_space_load(&options, &f->space));
done:
    lode_config_destroy(config);
    return status;
}

static lode_status fit_read_models(fit *f) {
    const char *const *models;
    int n = cli_get_all(f->c, "model", &models);
    if (n == 0 && cli_get(f->c, "columns", NULL)) return LODE_OK; /* fit_devices.c knows */
    if (n > FIT_MAX_MODELS) return cli_usage_error(f->c, "--model: at most %d", FIT_MAX_MODELS);
    for (int i = 0; i < n; i++) f->model[f->n_models++] = models[i];
    for (int i = 0; n == 0 && i < lode_n_predictors(); i++) {
        const char *kind = lode_predictor_kind_at(i);
        if (lode_predictor_check_kind(kind, f->space, &f->options) == LODE_OK)
            f->model[f->n_models++] = kind;
        else
            lode_log(LODE_LOG_INFO, "left out: %s", lode_last_error());
    }
    lode_error_clear();
    return LODE_OK;
}

lode_status fit_read_split(fit *f, double held_out) {
    const char *share = cli_get(f->c, "held-out", NULL);
    int64_t draw = 0;
    LODE_TRY(cli_get_int(f->c, "draw", 0, 0, 1000000, &draw));
    f->split = lode_predictor_split_defaults();
    f->split.test = held_out;
    f->split.draw = (uint64_t)draw;
    f->split.seed = cli_seed(f->c, 1);
    if (share && !lode_f64_parse(share, &f->split.test))
        return cli_usage_error(f->c, "--held-out %s: want a number such as 0.2", share);
    share = cli_get(f->c, "validation", NULL);
    if (share && !lode_f64_parse(share, &f->split.valid))
        return cli_usage_error(f->c, "--validation %s: want a number such as 0.15", share);
    return cli_get_int(f->c, "train", 0, 2, 1000000000, &f->split.train);
}

/* The last part of a path. */
static const char *fit_file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void fit_describe(fit *f, const char *table, const char *column) {
    lode_predictor_info *i = &f->info;
    const char *name = cli_get(f->c, "name", column), *end = strrchr(name, '_');
    const char *unit = cli_get(f->c, "unit", end ? end + 1 : "");
    i->seed = f->split.seed;
    snprintf(i->quantity, sizeof i->quantity, "%s", name);
    snprintf(i->unit, sizeof i->unit, "%s", unit);
    snprintf(i->device, sizeof i->device, "%s", cli_get(f->c, "device", ""));
    snprintf(i->table, sizeof i->table, "%s", fit_file_name(table));
    snprintf(i->column, sizeof i->column, "%s", column);
    snprintf(i->given, sizeof i->given, "%s", cli_get(f->c, "features", ""));
}

static lode_status fit_open(fit *f) {
    const char *space = NULL;
    measured_source source = {.arch_column = cli_get(f->c, "arch-column", NULL),
                              .join = cli_get(f->c, "join", NULL),
                              .key = cli_get(f->c, "key", NULL),
                              .features = cli_get(f->c, "features", NULL)};
    LODE_TRY(cli_need(f->c, "space", &space));
    LODE_TRY(cli_need(f->c, "table", &source.path));
    source.columns = cli_get(f->c, "columns", NULL);
    source.without = cli_get(f->c, "without", NULL);
    if (!source.columns) LODE_TRY(cli_need(f->c, "column", &source.column));
    f->output = cli_get(f->c, "output", NULL);
    LODE_TRY(fit_read_split(f, 0.2));
    LODE_TRY(fit_read_config(f, space));
    LODE_TRY(fit_read_models(f));
    if (source.columns && (f->n_models > 1 || cli_get(f->c, "curve", NULL) ||
                           cli_get(f->c, "rows", NULL) || cli_get(f->c, "column", NULL)))
        return cli_usage_error(f->c,
                               "--columns wants one --model, and no --column, --curve, --rows");
    if (source.without && !source.columns)
        return cli_usage_error(f->c, "--without: only with --columns");
    if (f->output && f->n_models != 1 && !source.columns && !cli_get(f->c, "curve", NULL))
        return cli_usage_error(f->c, "-o FILE wants one --model");
    LODE_TRY(measured_read(&source, f->space, &f->table));
    fit_describe(f, source.path, f->table.column[0]);
    f->rows = (lode_predictor_rows){.space = f->space,
                                    .n = f->table.n,
                                    .arch = f->table.arch,
                                    .value = f->table.value,
                                    .n_given = f->table.n_given,
                                    .given = f->table.given};
    return LODE_OK;
}

/* ---- fitting ---- */

lode_status fit_one(fit *f, const char *model, const lode_predictor_split *split,
                    lode_predictor_part *part, lode_predictor **out, double *seconds) {
    double begun = lode_clock();
    LODE_TRY(lode_predictor_split_rows(&f->rows, split, part));
    LODE_TRY(
        lode_predictor_fit(model, &f->rows, part, &f->options, &f->info, cli_progress(f->c), out));
    *seconds = lode_clock() - begun;
    return LODE_OK;
}

static void fit_print_rows(const fit *f, const lode_predictor_info *i) {
    cli_print(f->c,
              "%lld rows of %s, %s%s%s: %lld to learn from and %lld for validation, %lld held "
              "out (seed %llu)\n",
              (long long)f->rows.n, i->table, i->column, *i->device ? " on " : "", i->device,
              (long long)i->train, (long long)i->valid, (long long)i->test,
              (unsigned long long)i->seed);
    if (f->table.left_out > 0)
        cli_print(f->c, "%lld rows without a number are left out\n", (long long)f->table.left_out);
    cli_print(f->c, "%-8s %12s %8s %8s %8s %7s %8s\n", "model", *i->unit ? i->unit : "RMSE",
              "MAPE %", "Pearson", "tau_b", "epochs", "seconds");
}

static void fit_print(const fit *f, const lode_predictor_info *i, double seconds, json_t *list) {
    const lode_agreement *a = &i->held_out;
    cli_print(f->c, "%-8s %12.6g %8.2f %8.4f %8.4f %7lld %8.2f\n", i->kind, a->rmse, a->mape,
              a->pearson, a->tau_b, (long long)i->epochs, seconds);
    json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:f}", "model", i->kind, "train",
                          (json_int_t)i->train, "valid", (json_int_t)i->valid, "test",
                          (json_int_t)i->test, "epochs", (json_int_t)i->epochs, "seconds", seconds);
    json_object_set_new(j, "rmse", lode_json_number(a->rmse));
    json_object_set_new(j, "mape", lode_json_number(a->mape));
    json_object_set_new(j, "bias", lode_json_number(a->bias));
    json_object_set_new(j, "pearson", lode_json_number(a->pearson));
    json_object_set_new(j, "tau_b", lode_json_number(a->tau_b));
    if (i->reconstructed > 0)
        json_object_set_new(j, "reconstructed", lode_json_number(i->reconstructed));
    json_array_append_new(list, j);
}

lode_status fit_write_rows(const fit *f, const char *path, const lode_predictor_part *part,
                           const char *const *name, double *const *predicted, int n) {
    static const char *const names[] = {"unused", "train", "valid", "test"};
    lode_text t = {0};
    char number[32];
    lode_text_add(&t, "options,%s,part", f->info.column);
    for (int m = 0; m < n; m++) lode_text_add(&t, ",%s", name[m]);
    for (int64_t i = 0; i < f->rows.n; i++) {
        const lode_arch *a = &f->rows.arch[i];
        lode_text_add(&t, "\n");
        for (int d = 0; d < a->n; d++) lode_text_add(&t, d ? " %d" : "%d", a->option[d]);
        lode_text_add(&t, ",%s,%s", lode_f64_format(f->rows.value[i], number), names[part[i]]);
        for (int m = 0; m < n; m++)
            lode_text_add(&t, ",%s", lode_f64_format(predicted[m][i], number));
    }
    lode_text_add(&t, "\n");
    lode_status status = lode_text_status(&t);
    if (status == LODE_OK) status = lode_file_write_atomic(path, t.s, t.length);
    lode_text_deinit(&t);
    return status;
}

static lode_status fit_all(fit *f, lode_predictor_part *part, double **predicted, json_t *list) {
    const char *rows = cli_get(f->c, "rows", NULL);
    for (int m = 0; m < f->n_models; m++) {
        lode_predictor *p = NULL;
        double seconds = 0;
        LODE_TRY(fit_one(f, f->model[m], &f->split, part, &p, &seconds));
        const lode_predictor_info info = lode_predictor_get_info(p);
        if (m == 0) fit_print_rows(f, &info);
        fit_print(f, &info, seconds, list);
        lode_status status = f->output ? lode_predictor_write(p, f->output) : LODE_OK;
        if (rows && status == LODE_OK) {
            predicted[m] = LODE_NEW_ARRAY(double, f->rows.n);
            status = predicted[m] ? lode_predictor_predict_given(p, f->rows.arch, f->rows.given,
                                                                 f->rows.n, predicted[m])
                                  : LODE_ERR_NO_MEMORY;
        }
        if (f->output && status == LODE_OK && info.given[0])
            cli_print(f->c, "%s: it reads %s beside the architecture, so it is no cost\n",
                      f->output, info.given);
        else if (f->output && status == LODE_OK) {
            const char *none = lode_predictor_no_gradient(p);
            cli_print(f->c, "%s: use it as --cost %s=%s; at probabilities: %s\n", f->output,
                      info.quantity, f->output,
                      none                         ? none
                      : lode_predictor_is_exact(p) ? "the exact expectation, with its gradient"
                                                   : "the model at the mixture, with its gradient");
        }
        lode_predictor_destroy(p);
        LODE_TRY(status);
    }
    return rows ? fit_write_rows(f, rows, part, f->model, predicted, f->n_models) : LODE_OK;
}

static lode_status fit_run(cli *c) {
    fit f = {.c = c};
    double *predicted[FIT_MAX_MODELS] = {NULL};
    int64_t size[CLI_MAX_LIST], draws = 3;
    int n_sizes = 0;
    lode_predictor_part *part = NULL;
    json_t *result = json_object(), *list = json_array();
    lode_status status = LODE_OK;
    cli_result(c, result); /* the frame owns it, whatever happens below */
    json_object_set_new(result, "models", list);
    LODE_GOTO(fit_open(&f));
    part = LODE_NEW_ARRAY(lode_predictor_part, f.rows.n);
    LODE_GOTO(part ? LODE_OK : LODE_ERR_NO_MEMORY);
    json_object_set_new(result, "quantity", json_string(f.info.quantity));
    json_object_set_new(result, "unit", json_string(f.info.unit));
    json_object_set_new(result, "rows", json_integer((json_int_t)f.rows.n));
    if (cli_get(c, "columns", NULL)) {
        LODE_GOTO(fit_devices(&f, part, result));
    } else if (cli_get(c, "curve", NULL)) {
        LODE_GOTO(cli_get_list(c, "curve", "", 4, 1000000000, size, &n_sizes));
        LODE_GOTO(cli_get_int(c, "draws", 3, 1, 1000, &draws));
        LODE_GOTO(fit_curve(&f, size, n_sizes, (int)draws, result));
    } else {
        LODE_GOTO(fit_all(&f, part, predicted, list));
        LODE_GOTO(fit_beside(&f, part, result));
    }
    if (f.output) json_object_set_new(result, "file", json_string(f.output));
done:
    for (int m = 0; m < FIT_MAX_MODELS; m++) lode_free(predicted[m]);
    lode_free(part);
    measured_deinit(&f.table);
    lode_space_release(f.space);
    return status;
}

static const lode_option_table *const *fit_tables(void) {
    static const lode_option_table *const tables[] = {&lode_predictor_option_table, NULL};
    return tables;
}

const cli_verb cli_verb_cost_fit = {
    .name = "cost fit",
    .about = "fits a predictor to measured architectures",
    .details =
        "Reads architectures and a number each from a CSV, holds some out, fits a model to others "
        "and prints how well it predicts the ones held out: root mean square error, mean absolute "
        "percentage error, Pearson's correlation, Kendall's tau_b. What is held out depends on the "
        "seed alone, so that models and numbers of rows can be compared. The file written with -o "
        "is a cost model: --cost NAME=FILE. With --curve all models are fitted to several numbers "
        "of rows, and -o writes a table and a picture instead. With --columns one model learns all "
        "columns, a device each; `lode cost adapt` makes a cost of a new device of it.",
    .options = fit_options,
    .n_options = (int)(sizeof fit_options / sizeof *fit_options),
    .tables = fit_tables,
    .run = fit_run,
};
