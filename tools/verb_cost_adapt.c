/* verb_cost_adapt.c: `lode cost adapt`: a predictor of a new device from few measurements. */
#include "core/json.h"
#include "core/memory.h"
#include "core/number.h"
#include "core/platform.h"
#include "tools/fit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const cli_option adapt_options[] = {
    {"from", 0, "FILE", "a model of several devices, made by `lode cost fit --columns` (needed)"},
    {"table", 't', "FILE", "CSV of architectures measured on the new device"},
    {"column", 0, "NAME", "column of the numbers"},
    {"output", 'o', "FILE", "where the predictor goes"},
    {"known", 0, "NAME", "no new device: the predictor of this one of the model's columns"},
    {"suggest", 0, "N", "no table yet: prints N architectures that are worth measuring"},
    {"train", 0, "N", "networks to adapt to, a row each (default: all rows that are not held out)"},
    {"draw", 0, "N", "another choice of these samples (default 0)"},
    {"held-out", 0, "SHARE", "share of the rows that errors are reported on (default 0)"},
    {"name", 0, "NAME", "the cost's name (default: the column's)"},
    {"unit", 0, "UNIT", "its unit (default: what follows the last _ of the name)"},
    {"device", 0, "TEXT", "what it was measured on; kept in the file"},
    {"arch-column", 0, "NAME", "column of architectures (default: arch, ops or architecture)"},
    {"join", 0, "FILE", "another CSV that has the architectures"},
    {"key", 0, "NAME", "column by which rows of both belong together (default index)"},
    {"rows", 0, "FILE", "write a CSV of all rows: options, number, part, prediction"},
};

/* ---- what to measure ---- */

enum { ADAPT_POOL = 2000 };

static lode_status adapt_suggest(fit *f, const lode_transfer *t, int64_t want, json_t *result) {
    const lode_space *space = lode_transfer_space(t);
    lode_rng rng = lode_rng_stream(f->split.seed, LODE_RNG_SAMPLE_ARCH, 0);
    lode_arch *pool = LODE_NEW_ARRAY(lode_arch, ADAPT_POOL);
    int64_t *chosen = LODE_NEW_ARRAY(int64_t, want);
    json_t *list = json_array();
    lode_status status = LODE_OK;
    json_object_set_new(result, "suggested", list);
    LODE_GOTO(pool && chosen ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int i = 0; i < ADAPT_POOL; i++) LODE_GOTO(lode_space_sample(space, &rng, &pool[i]));
    LODE_GOTO(lode_transfer_suggest(t, pool, ADAPT_POOL, want, chosen));
    cli_print(f->c, "arch\n");
    for (int64_t i = 0; i < want; i++) {
        char *text = lode_arch_code(space, &pool[chosen[i]]);
        LODE_GOTO(text ? LODE_OK : LODE_ERR_NO_MEMORY);
        for (char *comma = text; (comma = strchr(comma, ',')) != NULL;) *comma = ' '; /* one cell */
        cli_print(f->c, "%s\n", text);
        json_array_append_new(list, json_string(text));
        lode_free(text);
    }
done:
    lode_free(pool);
    lode_free(chosen);
    return status;
}

/* ---- adapting ---- */

static void adapt_print(const fit *f, const lode_transfer *t, const lode_predictor_info *i,
                        const lode_transfer_report *r, json_t *result) {
    const lode_agreement *a = &i->held_out;
    json_t *share = json_object();
    cli_print(f->c, "%lld samples of %s, %s%s%s, on a model of %d devices (%s)\n",
              (long long)i->train, i->table, i->column, *i->device ? " on " : "", i->device,
              r->n_devices, i->kind);
    cli_print(f->c, "each sample predicted from the others: RMSE %.6g %s\n", r->left_out, i->unit);
    if (i->test > 0)
        cli_print(f->c,
                  "%lld rows held out: RMSE %.6g %s, MAPE %.2f %%, Pearson %.4f, tau_b %.4f\n",
                  (long long)i->test, a->rmse, i->unit, a->mape, a->pearson, a->tau_b);
    bool said[MEASURED_MAX_COLUMNS] = {false};
    cli_print(f->c, "most like");
    for (int n = 0; n < 3 && n < r->n_devices; n++) {
        int best = -1;
        for (int k = 0; k < r->n_devices; k++)
            if (!said[k] && (best < 0 || r->share[k] > r->share[best])) best = k;
        said[best] = true;
        cli_print(f->c, "%s %s (%.2f)", n ? "," : "", lode_transfer_device_at(t, best)->name,
                  r->share[best]);
    }
    cli_print(f->c, "\n");
    for (int k = 0; k < r->n_devices; k++)
        json_object_set_new(share, lode_transfer_device_at(t, k)->name,
                            lode_json_number(r->share[k]));
    json_object_set_new(result, "samples", json_integer((json_int_t)i->train));
    json_object_set_new(result, "test", json_integer((json_int_t)i->test));
    json_object_set_new(result, "left_out_rmse", lode_json_number(r->left_out));
    json_object_set_new(result, "noise", lode_json_number(r->noise));
    json_object_set_new(result, "own", lode_json_number(r->own));
    json_object_set_new(result, "share", share);
    if (i->test == 0) return;
    json_object_set_new(result, "rmse", lode_json_number(a->rmse));
    json_object_set_new(result, "mape", lode_json_number(a->mape));
    json_object_set_new(result, "pearson", lode_json_number(a->pearson));
    json_object_set_new(result, "tau_b", lode_json_number(a->tau_b));
}

static lode_status adapt_write_rows(const fit *f, lode_predictor *p,
                                    const lode_predictor_part *part) {
    const char *path = cli_get(f->c, "rows", NULL), *const name = "adapted";
    if (!path) return LODE_OK;
    double *predicted = LODE_NEW_ARRAY(double, f->rows.n);
    lode_status status = predicted ? LODE_OK : LODE_ERR_NO_MEMORY;
    if (status == LODE_OK) status = lode_predictor_predict(p, f->rows.arch, f->rows.n, predicted);
    if (status == LODE_OK) status = fit_write_rows(f, path, part, &name, &predicted, 1);
    lode_free(predicted);
    return status;
}

static lode_status adapt_save(const fit *f, const lode_predictor *p, json_t *result) {
    if (!f->output) return LODE_OK;
    LODE_TRY(lode_predictor_write(p, f->output));
    cli_print(f->c, "%s: use it as --cost %s=%s\n", f->output, f->info.quantity, f->output);
    json_object_set_new(result, "file", json_string(f->output));
    return LODE_OK;
}

static lode_status adapt_known(fit *f, const lode_transfer *t, const char *name, json_t *result) {
    const lode_transfer_info info = lode_transfer_get_info(t);
    const char *names[MEASURED_MAX_COLUMNS];
    lode_predictor *p = NULL;
    int at = -1;
    for (int i = 0; i < info.n_devices; i++) {
        names[i] = lode_transfer_device_at(t, i)->name;
        if (strcmp(names[i], name) == 0) at = i;
    }
    const char *near = lode_nearest_word(name, names, info.n_devices);
    if (at < 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "--known %s: the model has no such column%s%s", name,
                         near ? "; nearest is " : "", near ? near : "");
    if (!f->output) return cli_usage_error(f->c, "--known wants -o FILE");
    fit_describe(f, info.table, name);
    LODE_TRY(lode_transfer_known(t, at, &f->info, &p));
    lode_status status = adapt_save(f, p, result);
    lode_predictor_destroy(p);
    return status;
}

static lode_status adapt_new(fit *f, const lode_transfer *t, json_t *result) {
    measured_source source = {.arch_column = cli_get(f->c, "arch-column", NULL),
                              .join = cli_get(f->c, "join", NULL),
                              .key = cli_get(f->c, "key", NULL)};
    lode_predictor *p = NULL;
    lode_transfer_report report;
    LODE_TRY(cli_need(f->c, "table", &source.path));
    LODE_TRY(cli_need(f->c, "column", &source.column));
    LODE_TRY(measured_read(&source, f->space, &f->table));
    f->rows = (lode_predictor_rows){
        .space = f->space, .n = f->table.n, .arch = f->table.arch, .value = f->table.value};
    f->split.valid = 0;
    f->split.distinct = f->split.train > 0; /* N networks, not N names of a few */
    fit_describe(f, source.path, source.column);
    lode_predictor_part *part = LODE_NEW_ARRAY(lode_predictor_part, f->rows.n);
    if (!part) return LODE_ERR_NO_MEMORY;
    lode_status status = lode_predictor_split_rows(&f->rows, &f->split, part);
    if (status == LODE_OK) status = lode_transfer_adapt(t, &f->rows, part, &f->info, &report, &p);
    if (status == LODE_OK) {
        const lode_predictor_info info = lode_predictor_get_info(p);
        adapt_print(f, t, &info, &report, result);
        status = adapt_write_rows(f, p, part);
    }
    if (status == LODE_OK) status = adapt_save(f, p, result);
    lode_predictor_destroy(p);
    lode_free(part);
    return status;
}

static lode_status adapt_run(cli *c) {
    fit f = {.c = c, .output = cli_get(c, "output", NULL)};
    const char *from = NULL, *known = cli_get(c, "known", NULL);
    int64_t suggest = 0;
    lode_transfer *t = NULL;
    json_t *result = json_object();
    lode_status status = LODE_OK;
    cli_result(c, result);
    LODE_GOTO(cli_need(c, "from", &from));
    LODE_GOTO(cli_get_int(c, "suggest", 0, 1, ADAPT_POOL, &suggest));
    LODE_GOTO(fit_read_split(&f, 0));
    LODE_GOTO(lode_transfer_read(from, &t));
    f.space = lode_space_retain(lode_transfer_space(t));
    snprintf(f.info.adapted_from, sizeof f.info.adapted_from, "%s", from);
    LODE_GOTO(suggest ? adapt_suggest(&f, t, suggest, result)
              : known ? adapt_known(&f, t, known, result)
                      : adapt_new(&f, t, result));
done:
    measured_deinit(&f.table);
    lode_space_release(f.space);
    lode_transfer_destroy(t);
    return status;
}

const cli_verb cli_verb_cost_adapt = {
    .name = "cost adapt",
    .about = "a predictor of a new device from 10 to 50 measured architectures",
    .details =
        "Takes a model of several devices (lode cost fit --columns) and measurements of a few "
        "architectures on another device, and makes an ordinary predictor of it: a mixture of the "
        "known devices, and as much of its own as the samples support. Prints the error of each "
        "sample predicted from the others, and with --held-out that of rows it did not see. With "
        "--suggest it names the architectures to measure: those that tell devices apart best.",
    .options = adapt_options,
    .n_options = (int)(sizeof adapt_options / sizeof *adapt_options),
    .run = adapt_run,
};
