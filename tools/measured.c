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

/* ---- rows ---- */

static lode_status measured_row(const csv *c, int64_t row, const char *arch, const char *number,
                                const lode_space *space, measured *out) {
    if (*number == '\0') {
        out->left_out++;
        return LODE_OK;
    }
    if (!lode_f64_parse(number, &out->value[out->n]) || !isfinite(out->value[out->n]))
        return LODE_FAIL(LODE_ERR_DATA, "%s:%lld: \"%.80s\" is no number", c->path,
                         (long long)c->number[row], number);
    if (lode_arch_parse(space, arch, &out->arch[out->n]) != LODE_OK)
        return lode_error_context("%s:%lld", c->path, (long long)c->number[row]);
    out->n++;
    return LODE_OK;
}

static lode_status measured_rows(const measured_source *source, const csv *c,
                                 const measured_join *j, const lode_space *space, measured *out) {
    char arch[CSV_MAX_CELL], number[CSV_MAX_CELL];
    int column, at = 0;
    LODE_TRY(csv_column(c, source->column, NULL, "--column", &column));
    if (!source->join)
        LODE_TRY(csv_column(c, source->arch_column, measured_archs,
                            "--arch-column, or with --join the file that has them", &at));
    out->arch = LODE_NEW_ARRAY(lode_arch, c->n);
    out->value = LODE_NEW_ARRAY(double, c->n);
    if (!out->arch || !out->value) return LODE_ERR_NO_MEMORY;
    for (int64_t row = 1; row <= c->n; row++) {
        LODE_TRY(csv_cell(c, row, column, number));
        LODE_TRY(source->join ? measured_find(j, c, row, arch) : csv_cell(c, row, at, arch));
        LODE_TRY(measured_row(c, row, arch, number, space, out));
    }
    return out->n > 0 ? LODE_OK
                      : LODE_FAIL(LODE_ERR_DATA, "%s: no row has a number in column %s", c->path,
                                  source->column);
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
