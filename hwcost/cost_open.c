/* cost_open.c: which cost model "NAME" or "NAME=FILE" means: a built-in one, a device file, a
   fitted predictor, a table of others, or a measured table. */
#include "hwcost/cost_internal.h"
#include "hwcost/foreign.h"
#include "hwcost/hardware.h"
#include "hwcost/predictor.h"
#include "hwcost/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COST_MODEL(name) extern const lode_cost_model lode_cost_model_##name;
#include "hwcost/cost_models.def"
#undef COST_MODEL

static const lode_cost_model *const cost_models[] = {
#define COST_MODEL(name) &lode_cost_model_##name,
#include "hwcost/cost_models.def"
#undef COST_MODEL
};
#define COST_N_MODELS ((int)(sizeof cost_models / sizeof *cost_models))

int lode_n_cost_models(void) { return COST_N_MODELS; }

const lode_cost_model *lode_cost_model_at(int i) {
    return i >= 0 && i < COST_N_MODELS ? cost_models[i] : NULL;
}

const lode_cost_model *lode_cost_model_find(const char *name) {
    for (int i = 0; i < COST_N_MODELS; i++)
        if (strcmp(cost_models[i]->name, name) == 0) return cost_models[i];
    return NULL;
}

/* ---- files ---- */

static lode_status cost_check_table(const char *spec, const char *name, const char *argument,
                                    const lode_table_info *info, int64_t batch) {
    if (strcmp(name, "table") != 0 && strcmp(name, info->quantity) != 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "cost \"%s\": the table in %s holds %s, not %s", spec,
                         argument, info->quantity, name);
    if (batch != 0 && batch != info->batch)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "cost \"%s\": the table was measured at batch %lld, wanted %lld; measure "
                         "again with `lode cost build --batch %lld`",
                         spec, (long long)info->batch, (long long)batch, (long long)batch);
    return LODE_OK;
}

/* A measured table, "FILE" or "FILE:interpolate": its name is the quantity, its batch is the one it
   was measured at. */
static lode_status cost_open_table(const char *spec, const char *name, const char *argument,
                                   lode_supernet *net, int64_t batch, lode_cost **out) {
    static const char suffix[] = ":interpolate";
    const lode_cost_model *model = &lode_cost_model_table;
    size_t length = argument ? strlen(argument) : 0, end = sizeof suffix - 1;
    bool between = length > end && strcmp(argument + length - end, suffix) == 0;
    char *path = argument ? lode_strndup(argument, between ? length - end : length) : NULL;
    void *self = NULL;
    if (argument && !path) return LODE_ERR_NO_MEMORY;
    lode_status status = model->open(path, &self);
    lode_free(path);
    LODE_TRY(status);
    lode_table_info info = lode_table_get_info(self);
    if (between) status = lode_table_set_interpolate(self);
    if (status == LODE_OK) status = cost_check_table(spec, name, argument, &info, batch);
    if (status != LODE_OK) {
        model->close(self);
        return status;
    }
    return cost_create(model, self, true, info.quantity, net, info.batch, out);
}

/* A predictor: its name is the quantity. */
static lode_status cost_open_predictor(const char *spec, const char *name, const char *argument,
                                       lode_supernet *net, int64_t batch, lode_cost **out) {
    const lode_cost_model *model = &lode_cost_model_predictor;
    void *self = NULL;
    LODE_TRY(model->open(argument, &self));
    lode_predictor_info info = lode_predictor_get_info(self);
    if (strcmp(name, "predictor") != 0 && strcmp(name, info.quantity) != 0) {
        lode_status status = LODE_FAIL(
            LODE_ERR_CONFIG,
            "cost \"%s\": the predictor in %s is of %s, not %s (`lode cost fit --name %s` "
            "makes one of that name)",
            spec, argument, info.quantity, name, name);
        model->close(self);
        return status;
    }
    return cost_create(model, self, true, info.quantity, net, batch, out);
}

/* A table of others (`lode cost import`). */
static lode_status cost_open_foreign(const char *spec, const char *name, const char *argument,
                                     lode_supernet *net, int64_t batch, lode_cost **out) {
    lode_foreign *t = NULL;
    LODE_TRY(lode_foreign_read(argument, &t));
    const lode_foreign_info *info = lode_foreign_get_info(t);
    lode_status status = LODE_OK;
    if (strcmp(name, info->quantity) != 0)
        status = LODE_FAIL(LODE_ERR_CONFIG, "cost \"%s\": the table in %s holds %s, not %s", spec,
                           argument, info->quantity, name);
    else if (batch != 0 && batch != info->batch)
        status = LODE_FAIL(LODE_ERR_CONFIG, "cost \"%s\": the table is of batch %lld, wanted %lld",
                           spec, (long long)info->batch, (long long)batch);
    if (status != LODE_OK) {
        lode_foreign_destroy(t);
        return status;
    }
    return cost_create(lode_foreign_model(t), t, true, name, net, info->batch, out);
}

/* A device file: the cost owns it, the model is one of its quantities. */
static lode_status cost_open_hardware(const char *spec, const char *name, const char *argument,
                                      lode_supernet *net, int64_t batch, lode_cost **out) {
    cost_hardware h;
    lode_status status = cost_hardware_open(argument, net, &h);
    const lode_cost_model *model =
        status == LODE_OK ? lode_hardware_find_quantity(h.variant[0], name) : NULL;
    if (status == LODE_OK && !model) {
        cost_hardware_close(&h);
        status = LODE_ERR_CONFIG;
    }
    if (status == LODE_OK) status = cost_create_on(model, &h, name, net, batch, out);
    return status == LODE_OK ? LODE_OK : lode_error_context("cost \"%s\"", spec);
}

lode_status lode_cost_open(const char *spec, lode_supernet *net, int64_t batch, lode_cost **out) {
    *out = NULL;
    char name[64];
    const char *equals = strchr(spec, '=');
    size_t n = equals ? (size_t)(equals - spec) : strlen(spec);
    if (n == 0 || n >= sizeof name)
        return LODE_FAIL(LODE_ERR_CONFIG, "cost \"%s\": want NAME or NAME=FILE", spec);
    memcpy(name, spec, n);
    name[n] = '\0';
    const char *argument = equals ? equals + 1 : NULL;
    /* NAME=FILE is a device, a predictor or a measured table unless a model of that name takes
       files itself. */
    const lode_cost_model *model = lode_cost_model_find(name);
    if (model && !model->open && argument) model = NULL; /* counted without, a file's with one */
    if (!model && argument && lode_hardware_is_file(argument))
        return cost_open_hardware(spec, name, argument, net, batch, out);
    if ((!model && argument && lode_predictor_is_file(argument)) ||
        model == &lode_cost_model_predictor)
        return cost_open_predictor(spec, name, argument, net, batch, out);
    if (!model && argument && lode_foreign_is_file(argument))
        return cost_open_foreign(spec, name, argument, net, batch, out);
    if ((!model && argument) || model == &lode_cost_model_table)
        return cost_open_table(spec, name, argument, net, batch, out);
    if (!model) {
        const char *names[COST_N_MODELS];
        for (int i = 0; i < COST_N_MODELS; i++) names[i] = cost_models[i]->name;
        const char *near = lode_nearest_word(name, names, COST_N_MODELS);
        return LODE_FAIL(
            LODE_ERR_CONFIG,
            "cost \"%s\": no such model%s%s; a measured table is NAME=FILE, e.g. "
            "latency_ms=table.json (made by `lode cost build`), a fitted predictor too "
            "(`lode cost fit`), a device NAME=DEVICE, e.g. latency_ms=raspberry-pi-4 "
            "(`lode cost devices` lists them)",
            spec, near ? "; nearest is " : "", near ? near : "");
    }
    void *self = NULL;
    if (model->open) LODE_TRY(model->open(argument, &self));
    return cost_create(model, self, true, name, net, batch, out);
}

const lode_table *lode_cost_table(const lode_cost *c) {
    return c->model == &lode_cost_model_table ? c->self : NULL;
}
int64_t lode_cost_n_interpolated(const lode_cost *c) {
    return c->model == &lode_cost_model_table ? lode_table_n_interpolated(c->self) : 0;
}

/* ---- limits ---- */

lode_status lode_target_parse(const char *text, lode_target *out) {
    const char *sign = strstr(text, "<=");
    size_t n = sign ? (size_t)(sign - text) : 0;
    while (n > 0 && text[n - 1] == ' ') n--;
    char *end = NULL;
    double limit = sign ? strtod(sign + 2, &end) : 0;
    while (end && *end == ' ') end++;
    if (n == 0 || n >= sizeof out->name || !end || end == sign + 2 || *end != '\0' ||
        !isfinite(limit))
        return LODE_FAIL(LODE_ERR_CONFIG, "target \"%s\": want NAME<=NUMBER, e.g. latency_ms<=5",
                         text);
    memcpy(out->name, text, n);
    out->name[n] = '\0';
    out->limit = limit;
    return LODE_OK;
}
