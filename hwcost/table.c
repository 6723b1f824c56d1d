/* table.c: the measured table as a file and as a cost model. Entries are kept sorted by call, so
   that look-ups are binary searches and files of one device can be compared line by line. */
#include "hwcost/table.h"

#include "core/json.h"
#include "core/log.h"
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/interpolate.h"
#include "hwcost/sorted_internal.h"
#include "ops/dispatch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_FORMAT  "lode-cost-table"
#define TABLE_VERSION 2

struct lode_table {
    lode_table_info info;
    char *path; /* where it was read, for messages; NULL when made here */
    lode_table_entry *entry;
    int64_t n, capacity;
    lode_table *between; /* calls priced between entries; NULL: a missing entry is an error */
};

lode_status lode_table_create(const lode_table_info *info, lode_table **out) {
    *out = LODE_NEW(lode_table);
    if (!*out) return LODE_ERR_NO_MEMORY;
    (*out)->info = *info;
    return LODE_OK;
}

void lode_table_destroy(lode_table *t) {
    if (!t) return;
    for (int64_t i = 0; i < t->n; i++) lode_free(t->entry[i].call);
    lode_table_destroy(t->between);
    lode_free(t->entry);
    lode_free(t->path);
    lode_free(t);
}

const lode_table_entry *lode_table_find(const lode_table *t, const char *call) {
    int64_t i = 0;
    return sorted_find(t->entry, t->n, sizeof *t->entry, call, &i) ? &t->entry[i] : NULL;
}

lode_status lode_table_add(lode_table *t, const lode_table_entry *entry) {
    int64_t at = 0;
    bool known = sorted_find(t->entry, t->n, sizeof *t->entry, entry->call, &at);
    char *call = known ? t->entry[at].call : lode_strdup(entry->call);
    lode_status status = call ? LODE_OK : LODE_ERR_NO_MEMORY;
    if (!known && status == LODE_OK)
        status = sorted_open((void **)&t->entry, &t->capacity, t->n, sizeof *t->entry, at);
    if (status != LODE_OK) {
        lode_free(call);
        return status;
    }
    t->entry[at] = *entry;
    t->entry[at].call = call;
    t->n += !known;
    return LODE_OK;
}

int64_t lode_table_n(const lode_table *t) { return t->n; }
const lode_table_entry *lode_table_at(const lode_table *t, int64_t i) { return &t->entry[i]; }
lode_table_info lode_table_get_info(const lode_table *t) { return t->info; }

void lode_table_set_fit(lode_table *t, double constant, double slope, double mape,
                        int64_t networks) {
    t->info.constant = constant;
    t->info.slope = slope;
    t->info.fit_mape = mape;
    t->info.networks = networks;
}

void lode_table_set_doubt(lode_table *t, const char *doubt) {
    snprintf(t->info.doubt, sizeof t->info.doubt, "%s", doubt);
}

void lode_table_set_stolen(lode_table *t, double stolen) { t->info.stolen = stolen; }

lode_status lode_table_set_interpolate(lode_table *t) {
    return t->between ? LODE_OK : lode_table_create(&t->info, &t->between);
}

int64_t lode_table_n_interpolated(const lode_table *t) { return t->between ? t->between->n : 0; }

/* ---- file ---- */

static lode_status table_read_form(const json_t *root, const char *path, lode_form *form) {
    const char *name = NULL;
    LODE_TRY(lode_json_get_string(root, "form", path, &name));
    for (*form = LODE_FORM_FOLDED; *form <= LODE_FORM_PLAIN; ++*form)
        if (strcmp(name, lode_form_name(*form)) == 0) return LODE_OK;
    return LODE_FAIL(LODE_ERR_DATA, "%s: form is \"%s\", want one of %s", path, name,
                     LODE_FORM_WORDS);
}

/* Absent in tables that were measured here, or before it was kept. */
static lode_status table_read_reference(const json_t *root, const char *path,
                                        lode_table_reference *out) {
    const json_t *o = json_object_get(root, "reference");
    const char *hash = NULL;
    char what[512], *end = NULL;
    if (!o) return LODE_OK;
    snprintf(what, sizeof what, "%s: reference", path);
    LODE_TRY(lode_json_copy_string(o, "network", what, out->network, sizeof out->network));
    LODE_TRY(lode_json_get_f64(o, "value", what, &out->value));
    LODE_TRY(lode_json_get_string(o, "hash", what, &hash));
    out->hash = strtoull(hash, &end, 16);
    if (*end != '\0' || end == hash)
        return LODE_FAIL(LODE_ERR_DATA, "%s: hash is \"%s\", want a number in hexadecimal", what,
                         hash);
    if (!(out->value > 0) || !isfinite(out->value))
        return LODE_FAIL(LODE_ERR_DATA, "%s: value is %g, want a number above 0", what, out->value);
    return LODE_OK;
}

static lode_status table_read_info(const json_t *root, const char *path, lode_table_info *info) {
    const char *format = NULL;
    int64_t version = 0, threads = 0;
    LODE_TRY(lode_json_get_string(root, "format", path, &format));
    if (strcmp(format, TABLE_FORMAT) != 0)
        return LODE_FAIL(LODE_ERR_DATA, "%s: format is \"%s\", want \"%s\"", path, format,
                         TABLE_FORMAT);
    LODE_TRY(lode_json_get_int(root, "version", path, &version));
    if (version == 1)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: version 1 holds calls of networks whose batch norms are not folded, "
                         "which is not how they are measured; measure again with `lode cost build`",
                         path);
    if (version != TABLE_VERSION)
        return LODE_FAIL(LODE_ERR_DATA, "%s: version %lld, this build reads version %d", path,
                         (long long)version, TABLE_VERSION);
    LODE_TRY(lode_json_copy_string(root, "quantity", path, info->quantity, sizeof info->quantity));
    LODE_TRY(lode_json_copy_string(root, "unit", path, info->unit, sizeof info->unit));
    LODE_TRY(lode_json_copy_string(root, "space", path, info->space, sizeof info->space));
    LODE_TRY(table_read_form(root, path, &info->form));
    LODE_TRY(lode_json_copy_string(root, "device", path, info->device, sizeof info->device));
    LODE_TRY(lode_json_copy_string(root, "created", path, info->created, sizeof info->created));
    LODE_TRY(lode_json_get_int(root, "batch", path, &info->batch));
    LODE_TRY(lode_json_get_int(root, "threads", path, &threads));
    info->threads = (int)threads;
    LODE_TRY(lode_json_get_f64(root, "mhz", path, &info->mhz));
    LODE_TRY(lode_json_get_int(root, "warmup", path, &info->warmup));
    LODE_TRY(lode_json_get_int(root, "rounds", path, &info->rounds));
    LODE_TRY(lode_json_get_int(root, "networks", path, &info->networks));
    LODE_TRY(lode_json_get_f64(root, "constant", path, &info->constant));
    LODE_TRY(lode_json_get_f64(root, "slope", path, &info->slope));
    if (json_object_get(root, "runner"))
        LODE_TRY(lode_json_copy_string(root, "runner", path, info->runner, sizeof info->runner));
    if (json_object_get(root, "doubt"))
        LODE_TRY(lode_json_copy_string(root, "doubt", path, info->doubt, sizeof info->doubt));
    info->stolen = -1;
    if (json_object_get(root, "stolen"))
        LODE_TRY(lode_json_get_f64(root, "stolen", path, &info->stolen));
    LODE_TRY(table_read_reference(root, path, &info->reference));
    return lode_json_get_f64(root, "fit_mape", path, &info->fit_mape);
}

static lode_status table_read_entries(lode_table *t, const json_t *root, const char *path) {
    const json_t *entries = json_object_get(root, "entries");
    if (!json_is_array(entries))
        return LODE_FAIL(LODE_ERR_DATA, "%s: \"entries\" is missing or no list", path);
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *o = json_array_get(entries, i);
        lode_table_entry e = {0};
        const char *call = NULL;
        char what[64];
        snprintf(what, sizeof what, "entry %zu", i);
        LODE_TRY(lode_json_get_string(o, "call", what, &call));
        LODE_TRY(lode_json_copy_string(o, "provider", what, e.provider, sizeof e.provider));
        LODE_TRY(lode_json_get_f64(o, "median", what, &e.median));
        LODE_TRY(lode_json_get_f64(o, "min", what, &e.min));
        LODE_TRY(lode_json_get_f64(o, "spread", what, &e.spread));
        LODE_TRY(lode_json_get_int(o, "samples", what, &e.samples));
        if (!(e.median >= 0) || !isfinite(e.median))
            return LODE_FAIL(LODE_ERR_DATA, "%s: entry %zu (%s): median %g, want a number >= 0",
                             path, i, call, e.median);
        e.call = lode_strdup(call);
        if (!e.call) return LODE_ERR_NO_MEMORY;
        lode_status status = lode_table_add(t, &e);
        lode_free(e.call);
        LODE_TRY(status);
    }
    return LODE_OK;
}

lode_status lode_table_read(const char *path, lode_table **out) {
    *out = NULL;
    lode_table *t = NULL;
    json_t *root = NULL;
    lode_table_info info = {.quantity = ""};
    lode_status status = LODE_OK;
    LODE_GOTO(lode_json_read(path, &root));
    LODE_GOTO(table_read_info(root, path, &info));
    LODE_GOTO(lode_table_create(&info, &t));
    t->path = lode_strdup(path);
    LODE_GOTO(t->path ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(table_read_entries(t, root, path));
    *out = t;
    t = NULL;
done:
    if (status != LODE_OK) status = lode_error_context("cost table");
    lode_table_destroy(t);
    json_decref(root);
    return status;
}

static json_t *table_entry_json(const lode_table_entry *e) {
    return json_pack("{s:s, s:s, s:f, s:f, s:f, s:I}", "call", e->call, "provider", e->provider,
                     "median", e->median, "min", e->min, "spread", e->spread, "samples",
                     (json_int_t)e->samples);
}

static json_t *table_reference_json(const lode_table_reference *r) {
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)r->hash);
    return json_pack("{s:s, s:s, s:f}", "network", r->network, "hash", hash, "value", r->value);
}

lode_status lode_table_write(const lode_table *t, const char *path) {
    const lode_table_info *i = &t->info;
    json_t *entries = json_array();
    for (int64_t k = 0; entries && k < t->n; k++)
        if (json_array_append_new(entries, table_entry_json(&t->entry[k])) != 0) {
            json_decref(entries);
            entries = NULL;
        }
    if (!entries) return LODE_FAIL(LODE_ERR_NO_MEMORY, "cost table: no memory to write %s", path);
    json_t *root = json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:I, s:s, s:i, s:f, s:s, s:I, s:I, s:I, s:f, s:f, s:f, "
        "s:o}",
        "format", TABLE_FORMAT, "version", TABLE_VERSION, "quantity", i->quantity, "unit", i->unit,
        "space", i->space, "form", lode_form_name(i->form), "batch", (json_int_t)i->batch, "device",
        i->device, "threads", i->threads, "mhz", i->mhz, "created", i->created, "warmup",
        (json_int_t)i->warmup, "rounds", (json_int_t)i->rounds, "networks", (json_int_t)i->networks,
        "constant", i->constant, "slope", i->slope, "fit_mape", i->fit_mape, "entries", entries);
    if (!root) return LODE_FAIL(LODE_ERR_NO_MEMORY, "cost table: no memory to write %s", path);
    if (*i->runner) json_object_set_new(root, "runner", json_string(i->runner));
    if (*i->doubt) json_object_set_new(root, "doubt", json_string(i->doubt));
    if (i->stolen >= 0) json_object_set_new(root, "stolen", json_real(i->stolen));
    if (*i->reference.network)
        json_object_set_new(root, "reference", table_reference_json(&i->reference));
    lode_status status = lode_json_write(path, root);
    json_decref(root);
    return status;
}

/* ---- cost model ---- */

static lode_status table_open(const char *argument, void **self) {
    lode_table *t = NULL;
    if (!argument)
        return LODE_FAIL(LODE_ERR_CONFIG, "cost table: want NAME=FILE, e.g. latency_ms=table.json");
    LODE_TRY(lode_table_read(argument, &t));
    if (*t->info.doubt)
        lode_log(LODE_LOG_WARN, "%s is not to be relied on: %s", argument, t->info.doubt);
    *self = t;
    return LODE_OK;
}

static void table_close(void *self) { lode_table_destroy(self); }
static const char *table_unit(const void *self) { return ((const lode_table *)self)->info.unit; }
static double table_constant(const void *self) { return ((const lode_table *)self)->info.constant; }

static lode_form table_form(const void *self) { return ((const lode_table *)self)->info.form; }

/* An entry made between measured ones, kept for the next time; NULL: there is no bracket. */
static lode_status table_between(lode_table *t, char *text, const lode_table_entry **out) {
    lode_table_entry e = {.call = text, .provider = "between"};
    *out = t->between ? lode_table_find(t->between, text) : NULL;
    if (*out || !t->between || !lode_table_interpolate(t, text, &e.median)) return LODE_OK;
    LODE_TRY(lode_table_add(t->between, &e));
    *out = lode_table_find(t->between, text);
    return LODE_OK;
}

static lode_status table_op_cost(void *self, const lode_trace_call *call, double *out) {
    lode_table *t = self;
    *out = 0;
    if (call->is_view) return LODE_OK; /* a view runs no kernel */
    char *text = lode_call_text(&call->call);
    if (!text) return LODE_ERR_NO_MEMORY;
    const lode_table_entry *e = lode_table_find(t, text);
    lode_status status = e ? LODE_OK : table_between(t, text, &e);
    if (e)
        *out = t->info.slope * e->median;
    else if (status == LODE_OK)
        status =
            LODE_FAIL(LODE_ERR_NOT_FOUND,
                      "cost table %s (space %s, batch %lld): no entry for \"%s\" in %s%s; measure "
                      "it with `lode cost build -s SPACE -o FILE --batch %lld`",
                      t->path ? t->path : "in memory", t->info.space, (long long)t->info.batch,
                      text, call->label, t->between ? ", and no two entries around it" : "",
                      (long long)t->info.batch);
    lode_free(text);
    return status;
}

const lode_cost_model lode_cost_model_table = {
    .name = "table",
    .about = "measured table: sum of its entries, corrected by constant and slope",
    .open = table_open,
    .close = table_close,
    .unit = table_unit,
    .op_cost = table_op_cost,
    .constant = table_constant,
    .form = table_form,
};
