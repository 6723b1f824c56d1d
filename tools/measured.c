/* measured.c: see measured.h. */
#include "tools/measured.h"

#include "core/memory.h"
#include "core/number.h"
#include "tools/csv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const measured_archs[] = {"arch", "ops", "architecture", NULL};

void measured_deinit(measured *m) {
    lode_free(m->arch);
    lode_free(m->value);
    lode_free(m->column);
    lode_free(m->given);
    *m = (measured){0};
}

/* ---- architectures that stand in another file ---- */

typedef struct measured_key {
    char key[64], *arch;
} measured_key;

typedef struct measured_join {
    csv table;
    measured_key *row; /* [n] sorted by key */
    int64_t n;
    int key; /* column of the first file */
} measured_join;

static void measured_join_deinit(measured_join *j) {
    for (int64_t i = 0; i < j->n; i++) lode_free(j->row[i].arch);
    lode_free(j->row);
    csv_deinit(&j->table);
}

static int measured_compare(const void *a, const void *b) {
    return strcmp(((const measured_key *)a)->key, ((const measured_key *)b)->key);
}

static lode_status measured_take_key(const csv *c, int64_t row, int column, char out[64]) {
    char cell[CSV_MAX_CELL];
    LODE_TRY(csv_cell(c, row, column, cell));
    if (strlen(cell) >= 64)
        return LODE_FAIL(LODE_ERR_DATA, "%s:%lld: key \"%.80s\" is too long", c->path,
                         (long long)c->number[row], cell);
    memcpy(out, cell, strlen(cell) + 1);
    return LODE_OK;
}

static lode_status measured_join_init(const measured_source *source, const csv *first,
                                      measured_join *j) {
    const char *name = source->key ? source->key : "index";
    char cell[CSV_MAX_CELL];
    int key, arch;
    LODE_TRY(csv_column(first, name, NULL, "--key", &j->key));
    LODE_TRY(csv_read(source->join, &j->table));
    LODE_TRY(csv_column(&j->table, name, NULL, "--key", &key));
    LODE_TRY(csv_column(&j->table, source->arch_column, measured_archs, "--arch-column", &arch));
    j->row = LODE_NEW_ARRAY(measured_key, j->table.n);
    if (!j->row) return LODE_ERR_NO_MEMORY;
    for (; j->n < j->table.n; j->n++) {
        LODE_TRY(measured_take_key(&j->table, j->n + 1, key, j->row[j->n].key));
        LODE_TRY(csv_cell(&j->table, j->n + 1, arch, cell));
        j->row[j->n].arch = lode_strdup(cell);
        if (!j->row[j->n].arch) return LODE_ERR_NO_MEMORY;
    }
    qsort(j->row, (size_t)j->n, sizeof *j->row, measured_compare);
    return LODE_OK;
}

static lode_status measured_find(const measured_join *j, const csv *first, int64_t row,
                                 char out[CSV_MAX_CELL]) {
    measured_key want = {.arch = NULL};
    LODE_TRY(measured_take_key(first, row, j->key, want.key));
    const measured_key *found =
        bsearch(&want, j->row, (size_t)j->n, sizeof *j->row, measured_compare);
    if (!found)
        return LODE_FAIL(LODE_ERR_DATA, "%s:%lld: key %s is not in %s", first->path,
                         (long long)first->number[row], want.key, j->table.path);
    memcpy(out, found->arch, strlen(found->arch) + 1);
    return LODE_OK;
}

/* ---- columns ---- */

/* Is it `word` [n], in which one * stands for anything? */
static bool measured_matches(const char *name, const char *word, size_t n) {
    const char *star = memchr(word, '*', n);
    size_t length = strlen(name);
    if (!star) return length == n && memcmp(name, word, n) == 0;
    size_t before = (size_t)(star - word), after = n - before - 1;
    return length >= before + after && memcmp(name, word, before) == 0 &&
           memcmp(name + length - after, star + 1, after) == 0;
}

/* Marks in used[], a flag per word of `list`, those that the name is one of; any? */
static bool measured_listed(const char *name, const char *list, bool *used) {
    bool found = false;
    for (int i = 0; list && *list; i++) {
        size_t n = strcspn(list, ",");
        if (measured_matches(name, list, n)) found = used[i] = true;
        list += n + (list[n] == ',');
    }
    return found;
}

/* LODE_ERR_DATA: a word of `list` is no column. */
static lode_status measured_all_used(const csv *c, const char *list, const bool *used,
                                     const char *option) {
    for (int i = 0; list && *list; i++) {
        size_t n = strcspn(list, ",");
        if (!used[i])
            return LODE_FAIL(LODE_ERR_DATA, "%s: no column %.*s in \"%.400s\"; name it with %s",
                             c->path, (int)n, list, c->line[0], option);
        list += n + (list[n] == ',');
    }
    return LODE_OK;
}

/* at[]: where the columns of `out` are. */
static lode_status measured_choose(const measured_source *source, const csv *c, int *at,
                                   measured *out) {
    bool used[MEASURED_MAX_COLUMNS] = {false}, left[MEASURED_MAX_COLUMNS] = {false};
    const char *list = source->columns ? source->columns : source->column;
    char cell[CSV_MAX_CELL];
    int words = 2; /* of the longer list, and one more */
    for (const char *l = list; *l; l++) words += *l == ',';
    for (const char *l = source->without ? source->without : ""; *l; l++) words += *l == ',';
    if (words > MEASURED_MAX_COLUMNS)
        return LODE_FAIL(LODE_ERR_DATA, "%s: more than %d columns are listed", c->path,
                         MEASURED_MAX_COLUMNS);
    out->column = lode_calloc(MEASURED_MAX_COLUMNS, sizeof *out->column);
    if (!out->column) return LODE_ERR_NO_MEMORY;
    for (int i = 0; csv_cell(c, 0, i, cell) == LODE_OK; i++) {
        if (!measured_listed(cell, list, used)) continue;
        if (measured_listed(cell, source->without, left)) continue;
        if (out->n_columns == MEASURED_MAX_COLUMNS || strlen(cell) >= sizeof *out->column)
            return LODE_FAIL(LODE_ERR_DATA,
                             "%s: column %.80s: more than %d columns, or its name "
                             "too long",
                             c->path, cell, MEASURED_MAX_COLUMNS);
        memcpy(out->column[out->n_columns], cell, strlen(cell) + 1);
        at[out->n_columns++] = i;
    }
    lode_error_clear();
    LODE_TRY(measured_all_used(c, list, used, source->columns ? "--columns" : "--column"));
    LODE_TRY(measured_all_used(c, source->without, left, "--without"));
    return out->n_columns > 0 ? LODE_OK
                              : LODE_FAIL(LODE_ERR_DATA, "%s: no column is left", c->path);
}

/* ---- rows ---- */

/* Columns of a list "a,b". */
typedef struct measured_features {
    int n, column[LODE_PREDICTOR_MAX_GIVEN];
} measured_features;

static lode_status measured_find_features(const csv *c, const char *list, measured_features *out) {
    char name[CSV_MAX_CELL];
    for (const char *at = list; at && *at; at += *at == ',') {
        size_t n = strcspn(at, ",");
        if (out->n == LODE_PREDICTOR_MAX_GIVEN || n >= sizeof name)
            return LODE_FAIL(LODE_ERR_CONFIG, "--features: at most %d columns",
                             LODE_PREDICTOR_MAX_GIVEN);
        memcpy(name, at, n);
        name[n] = '\0';
        LODE_TRY(csv_column(c, name, NULL, "--features", &out->column[out->n++]));
        at += n;
    }
    return LODE_OK;
}

static lode_status measured_number(const csv *c, int64_t row, const char *text, double *out) {
    if (lode_f64_parse(text, out) && isfinite(*out)) return LODE_OK;
    return LODE_FAIL(LODE_ERR_DATA, "%s:%lld: \"%.80s\" is no number", c->path,
                     (long long)c->number[row], text);
}

/* The features of row out->n; *empty: one has no number. */
static lode_status measured_take_features(const csv *c, int64_t row, const measured_features *f,
                                          measured *out, bool *empty) {
    char cell[CSV_MAX_CELL];
    *empty = false;
    for (int i = 0; i < f->n; i++) {
        LODE_TRY(csv_cell(c, row, f->column[i], cell));
        *empty = *empty || *cell == '\0';
        if (!*empty) LODE_TRY(measured_number(c, row, cell, &out->given[out->n * f->n + i]));
    }
    return LODE_OK;
}

static lode_status measured_row(const csv *c, int64_t row, const char *arch, const int *at,
                                const measured_features *f, const lode_space *space,
                                measured *out) {
    char number[CSV_MAX_CELL];
    double *value = out->value + out->n * out->n_columns;
    bool empty;
    LODE_TRY(measured_take_features(c, row, f, out, &empty));
    for (int i = 0; i < out->n_columns && !empty; i++) {
        LODE_TRY(csv_cell(c, row, at[i], number));
        empty = *number == '\0';
        if (!empty) LODE_TRY(measured_number(c, row, number, &value[i]));
    }
    if (empty) {
        out->left_out++;
        return LODE_OK;
    }
    if (lode_arch_parse(space, arch, &out->arch[out->n]) != LODE_OK)
        return lode_error_context("%s:%lld", c->path, (long long)c->number[row]);
    out->n++;
    return LODE_OK;
}

static lode_status measured_rows(const measured_source *source, const csv *c,
                                 const measured_join *j, const lode_space *space, measured *out) {
    char arch[CSV_MAX_CELL];
    int at[MEASURED_MAX_COLUMNS], codes = 0;
    measured_features f = {0};
    LODE_TRY(measured_find_features(c, source->features, &f));
    LODE_TRY(measured_choose(source, c, at, out));
    if (!source->join)
        LODE_TRY(csv_column(c, source->arch_column, measured_archs,
                            "--arch-column, or with --join the file that has them", &codes));
    out->arch = LODE_NEW_ARRAY(lode_arch, c->n);
    out->value = LODE_NEW_ARRAY(double, c->n * out->n_columns);
    out->given = LODE_NEW_ARRAY(double, c->n *f.n + 1);
    out->n_given = f.n;
    if (!out->arch || !out->value || !out->given) return LODE_ERR_NO_MEMORY;
    for (int64_t row = 1; row <= c->n; row++) {
        LODE_TRY(source->join ? measured_find(j, c, row, arch) : csv_cell(c, row, codes, arch));
        LODE_TRY(measured_row(c, row, arch, at, &f, space, out));
    }
    return out->n > 0 ? LODE_OK
                      : LODE_FAIL(LODE_ERR_DATA, "%s: no row has a number in column %s", c->path,
                                  out->column[0]);
}

lode_status measured_read(const measured_source *source, const lode_space *space, measured *out) {
    csv c = {0};
    measured_join j = {0};
    lode_status status = LODE_OK;
    *out = (measured){0};
    LODE_GOTO(csv_read(source->path, &c));
    if (source->join) LODE_GOTO(measured_join_init(source, &c, &j));
    LODE_GOTO(measured_rows(source, &c, &j, space, out));
done:
    measured_join_deinit(&j);
    csv_deinit(&c);
    if (status != LODE_OK) measured_deinit(out);
    return status;
}
