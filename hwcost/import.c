/* import.c: the source, what all importers share, and the choice among them. */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/import_internal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORTER(name) extern const lode_importer lode_importer_##name;
#include "hwcost/importers.def"
#undef IMPORTER

static const lode_importer *const importers[] = {
#define IMPORTER(name) &lode_importer_##name,
#include "hwcost/importers.def"
#undef IMPORTER
};
#define IMPORT_N ((int)(sizeof importers / sizeof *importers))

int lode_n_importers(void) { return IMPORT_N; }
const char *lode_importer_name(int i) { return importers[i]->name; }
const char *lode_importer_about(int i) { return importers[i]->about; }

/* ---- cells ---- */

lode_status import_fail(const import_source *s, int64_t row, const char *fmt, ...) {
    char story[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(story, sizeof story, fmt, args);
    va_end(args);
    return LODE_FAIL(LODE_ERR_DATA, "%s:%d: %s", s->path, s->line[row], story);
}

int import_find(const import_source *s, const char *column) {
    for (int i = 0; i < s->n_columns; i++)
        if (strcmp(s->column[i], column) == 0) return i;
    return -1;
}

const char *import_cell(const import_source *s, int64_t row, int column) {
    return s->cell[row * s->n_columns + column];
}

lode_status import_f64(const import_source *s, int64_t row, int column, double *out) {
    const char *text = import_cell(s, row, column);
    char *end = NULL;
    *out = strtod(text, &end);
    if (end != text && *end == '\0' && isfinite(*out)) return LODE_OK;
    return import_fail(s, row, "column %s is \"%s\", want a number", s->column[column], text);
}

lode_status import_int(const import_source *s, int64_t row, int column, int64_t *out) {
    double v = 0;
    *out = 0;
    LODE_TRY(import_f64(s, row, column, &v));
    if (v != floor(v) || fabs(v) > 1e15)
        return import_fail(s, row, "column %s is %g, want a whole number", s->column[column], v);
    *out = (int64_t)v;
    return LODE_OK;
}

/* ---- CSV: commas, no quotes, as all these tables are ---- */

/* Splits a line at commas, in place; returns how many there were, at most `max` stored. */
static int import_split(char *line, char **cell, int max) {
    int n = 0;
    for (char *at = line; at; n++) {
        char *comma = strchr(at, ',');
        if (n < max) cell[n] = at;
        if (comma) *comma++ = '\0';
        at = comma;
    }
    return n;
}

static lode_status import_header(import_source *s, char *line) {
    int n = 1;
    for (const char *c = line; *c; c++) n += *c == ',';
    s->column = LODE_NEW_ARRAY(char *, n);
    if (!s->column) return LODE_ERR_NO_MEMORY;
    s->n_columns = import_split(line, s->column, n);
    return LODE_OK;
}

static lode_status import_add_row(import_source *s, char *line, int number) {
    LODE_TRY(lode_grow((void **)&s->cell, &s->cell_capacity, (s->n_rows + 1) * s->n_columns,
                       sizeof *s->cell));
    LODE_TRY(lode_grow((void **)&s->line, &s->line_capacity, s->n_rows + 1, sizeof *s->line));
    int n = import_split(line, &s->cell[s->n_rows * s->n_columns], s->n_columns);
    if (n != s->n_columns)
        return LODE_FAIL(LODE_ERR_DATA, "%s:%d: %d cells, the header has %d", s->path, number, n,
                         s->n_columns);
    s->line[s->n_rows++] = number;
    return LODE_OK;
}

static lode_status import_read_csv(import_source *s) {
    int number = 0;
    for (char *at = s->text; at && *at;) {
        char *end = strchr(at, '\n');
        if (end) *end = '\0';
        size_t n = strlen(at);
        if (n > 0 && at[n - 1] == '\r') at[n - 1] = '\0';
        number++;
        if (!s->column)
            LODE_TRY(import_header(s, at));
        else if (*at)
            LODE_TRY(import_add_row(s, at, number));
        at = end ? end + 1 : NULL;
    }
    if (!s->column || s->n_rows == 0)
        return LODE_FAIL(LODE_ERR_DATA, "%s: want a header and rows", s->path);
    return LODE_OK;
}

/* ---- YAML: KEY: {mean: .., count: ..} as columns key and mean ---- */

static lode_status import_read_yaml(import_source *s) {
    static char key[] = "key", mean[] = "mean";
    lode_yaml *root = NULL;
    lode_text text = {0};
    lode_status status = LODE_OK;
    LODE_TRY(lode_yaml_parse(s->text, s->path, &root));
    lode_text_add(&text, "%s,%s\n", key, mean);
    for (int i = 0; i < root->n; i++) {
        lode_yaml *item = root->item[i];
        lode_yaml *value = item->kind == LODE_YAML_MAP ? lode_yaml_get(item, "mean") : NULL;
        if (!item->key || !value || value->kind != LODE_YAML_SCALAR) {
            status = lode_yaml_fail(item, "want a map with `mean`");
            goto done;
        }
        lode_text_add(&text, "%s,%s\n", item->key, value->scalar);
    }
    LODE_GOTO(lode_text_status(&text));
    lode_free(s->text);
    s->text = lode_text_take(&text);
    LODE_GOTO(import_read_csv(s));
done:
    lode_text_deinit(&text);
    lode_yaml_destroy(root);
    return status;
}

static void import_deinit(import_source *s) {
    lode_free(s->text);
    lode_free(s->column);
    lode_free(s->cell);
    lode_free(s->line);
}

static lode_status import_open(const char *path, import_source *s) {
    void *bytes = NULL;
    size_t n = 0, length = strlen(path);
    memset(s, 0, sizeof *s);
    s->path = path;
    LODE_TRY(lode_file_read(path, &bytes, &n));
    s->text = bytes;
    bool yaml = length > 5 && strcmp(path + length - 5, ".yaml") == 0;
    lode_status status = yaml ? import_read_yaml(s) : import_read_csv(s);
    if (status != LODE_OK) import_deinit(s);
    return status;
}

/* ---- rows that are wanted ---- */

static lode_status import_filter(import_source *s, const char *where) {
    const char *equals = strchr(where, '=');
    char name[64];
    if (!equals || equals == where || (size_t)(equals - where) >= sizeof name)
        return LODE_FAIL(LODE_ERR_CONFIG, "where \"%s\": want COLUMN=VALUE", where);
    snprintf(name, sizeof name, "%.*s", (int)(equals - where), where);
    int column = import_find(s, name);
    if (column < 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "where \"%s\": %s has no column %s", where, s->path,
                         name);
    int64_t n = 0;
    for (int64_t r = 0; r < s->n_rows; r++) {
        if (strcmp(import_cell(s, r, column), equals + 1) != 0) continue;
        memmove(&s->cell[n * s->n_columns], &s->cell[r * s->n_columns],
                (size_t)s->n_columns * sizeof *s->cell);
        s->line[n++] = s->line[r];
    }
    s->n_rows = n;
    return n > 0 ? LODE_OK
                 : LODE_FAIL(LODE_ERR_CONFIG, "where \"%s\": no row of %s is like that", where,
                             s->path);
}

/* ---- units ---- */

static bool import_same_word(const char *a, const char *b) {
    for (; *a && *b; a++, b++)
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
    return *a == *b;
}

lode_status import_check_unit(const import_source *s, const lode_import_options *o,
                              const char *column) {
    static const char *const units[] = {"ns", "us", "ms", "s", "uj", "mj", "j"};
    const char *end = strrchr(column, '_');
    for (size_t i = 0; end && i < sizeof units / sizeof *units; i++)
        if (import_same_word(end + 1, units[i]) && !import_same_word(end + 1, o->unit))
            return LODE_FAIL(LODE_ERR_CONFIG, "%s: column %s is in %s, --unit says %s", s->path,
                             column, end + 1, o->unit);
    return LODE_OK;
}

lode_status import_value_column(const import_source *s, const lode_import_options *o,
                                const char *usual, int *out) {
    const char *name = o->column ? o->column : usual;
    *out = name ? import_find(s, name) : -1;
    if (*out >= 0) return import_check_unit(s, o, name);
    lode_text list = {0};
    for (int i = 0; i < s->n_columns; i++)
        lode_text_add(&list, "%s%s", i > 0 ? ", " : "", s->column[i]);
    lode_status status =
        LODE_FAIL(LODE_ERR_CONFIG, "%s: which column holds the values? --column NAME; there are %s",
                  s->path, list.s ? list.s : "none");
    lode_text_deinit(&list);
    return status;
}

/* "latency_ms"; mJ and uJ are energies. */
static void import_quantity(const lode_import_options *o, char *out, size_t n) {
    bool energy = import_same_word(o->unit, "mj") || import_same_word(o->unit, "uj");
    if (o->quantity)
        snprintf(out, n, "%s", o->quantity);
    else
        snprintf(out, n, "%s_%s", energy ? "energy" : "latency", o->unit);
    for (char *c = out; *c; c++) *c = (char)tolower((unsigned char)*c);
}

/* ---- the whole ---- */

static const lode_importer *import_choose(const char *format) {
    const char *names[IMPORT_N];
    for (int i = 0; i < IMPORT_N; i++) {
        names[i] = importers[i]->name;
        if (strcmp(names[i], format) == 0) return importers[i];
    }
    const char *near = lode_nearest_word(format, names, IMPORT_N);
    (void)LODE_FAIL(LODE_ERR_CONFIG,
                    "no table format is called `%s`%s%s; there are fbnet, haq, hwnasbench, ofa, "
                    "proxylessnas",
                    format, near ? "; nearest is " : "", near ? near : "");
    return NULL;
}

static void import_describe(const lode_import_options *o, char *out, size_t n) {
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < o->n_where && at < n; i++)
        at += (size_t)snprintf(out + at, n - at, "%s%s", i > 0 ? " " : "", o->where[i]);
    if (o->column && at < n)
        (void)snprintf(out + at, n - at, "%scolumn %s", at > 0 ? " " : "", o->column);
}

lode_status lode_import(const char *path, const lode_import_options *o, lode_foreign **out) {
    import_source s;
    lode_foreign *t = NULL;
    lode_status status = LODE_OK;
    *out = NULL;
    if (!o->unit || o->unit[0] == '\0')
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "a table's unit must be given (--unit ms): its source does not say it");
    const lode_importer *importer = import_choose(o->format ? o->format : "");
    if (!importer) return LODE_ERR_CONFIG;
    LODE_TRY(import_open(path, &s));
    lode_foreign_info info = {.keys = importer->keys, .batch = 1};
    snprintf(info.unit, sizeof info.unit, "%s", o->unit);
    import_quantity(o, info.quantity, sizeof info.quantity);
    if (importer->keys == LODE_FOREIGN_CHOICES)
        snprintf(info.space, sizeof info.space, "%s", o->space ? o->space : importer->space);
    snprintf(info.device, sizeof info.device, "%s", o->device ? o->device : "unknown");
    snprintf(info.format, sizeof info.format, "%s", importer->name);
    snprintf(info.source, sizeof info.source, "%s", path);
    import_describe(o, info.where, sizeof info.where);
    lode_timestamp(info.created);
    for (int i = 0; i < o->n_where; i++) LODE_GOTO(import_filter(&s, o->where[i]));
    LODE_GOTO(lode_foreign_create(&info, &t));
    LODE_GOTO(importer->read(&s, o, t));
    *out = t;
    t = NULL;
done:
    lode_foreign_destroy(t);
    import_deinit(&s);
    return status;
}
