/* published.c: see published.h. */
#include "tools/published.h"

#include "core/memory.h"
#include "core/number.h"
#include "core/platform.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PUBLISHED_MAX_CELL = 512 };

/* Copies cell `column` of a line; false when the line has fewer, or the cell is too long. */
static bool published_cell(const char *line, int column, char out[PUBLISHED_MAX_CELL]) {
    for (; column > 0; column--) {
        line = strchr(line, ',');
        if (line == NULL) return false;
        line++;
    }
    size_t n = strcspn(line, ",\r");
    if (n >= PUBLISHED_MAX_CELL) return false;
    memcpy(out, line, n);
    out[n] = '\0';
    return true;
}

/* The column called `want`, or else the first of `names` (NULL-terminated). */
static lode_status published_column(const char *path, const char *header, const char *want,
                                    const char *const *names, const char *option, int *out) {
    char cell[PUBLISHED_MAX_CELL];
    const char *one[] = {want, NULL};
    if (want != NULL) names = one;
    for (; *names != NULL; names++)
        for (*out = 0; published_cell(header, *out, cell); ++*out)
            if (strcmp(cell, *names) == 0) return LODE_OK;
    return LODE_FAIL(LODE_ERR_DATA, "%s: no column %s in \"%.200s\"; name it with %s", path,
                     want != NULL ? want : "that is known", header, option);
}

static lode_status published_row_read(const char *path, int64_t number, const char *line,
                                      const lode_space *space, const int column[2], published *p) {
    char arch[PUBLISHED_MAX_CELL], accuracy[PUBLISHED_MAX_CELL];
    published_row *row = &p->row[p->n];
    if (!published_cell(line, column[0], arch) || !published_cell(line, column[1], accuracy))
        return LODE_FAIL(LODE_ERR_DATA, "%s:%lld: too few columns, or a cell too long", path,
                         (long long)number);
    if (accuracy[0] == '\0') return LODE_OK;
    if (lode_arch_parse(space, arch, &row->arch) != LODE_OK)
        return LODE_FAIL(LODE_ERR_DATA, "%s:%lld: %s", path, (long long)number, lode_last_error());
    if (!lode_f64_parse(accuracy, &row->accuracy) || !isfinite(row->accuracy))
        return LODE_FAIL(LODE_ERR_DATA, "%s:%lld: \"%s\" is no accuracy", path, (long long)number,
                         accuracy);
    row->hash = lode_arch_hash(space, &row->arch);
    p->n++;
    return LODE_OK;
}

static lode_status published_parse(const char *path, char *text, const lode_space *space,
                                   const char *arch_column, const char *accuracy_column,
                                   published *p) {
    static const char *const archs[] = {"arch", "ops", "architecture", NULL};
    static const char *const accuracies[] = {"mean_acc", "c10_test", "accuracy", "test_acc", NULL};
    int column[2];
    int64_t lines = 0, number = 1;
    for (const char *c = text; *c != '\0'; c++) lines += *c == '\n';
    p->row = LODE_NEW_ARRAY(published_row, lines + 1);
    if (p->row == NULL) return LODE_ERR_NO_MEMORY;
    char *next = text, *line = text;
    for (; line != NULL && *line != '\0'; line = next, number++) {
        next = strchr(line, '\n');
        if (next != NULL) *next++ = '\0';
        line[strcspn(line, "\r")] = '\0';
        if (number > 1) {
            if (*line != '\0') LODE_TRY(published_row_read(path, number, line, space, column, p));
            continue;
        }
        LODE_TRY(published_column(path, line, arch_column, archs, "--arch-column", &column[0]));
        LODE_TRY(published_column(path, line, accuracy_column, accuracies, "--accuracy-column",
                                  &column[1]));
        char name[PUBLISHED_MAX_CELL];
        published_cell(line, column[1], name);
        snprintf(p->column, sizeof p->column, "%.63s", name);
    }
    return p->n > 0 ? LODE_OK : LODE_FAIL(LODE_ERR_DATA, "%s: no architectures", path);
}

lode_status published_read(const char *path, const lode_space *space, const char *arch_column,
                           const char *accuracy_column, published *out) {
    char *text = NULL;
    size_t n = 0;
    *out = (published){0};
    LODE_TRY(lode_file_read(path, (void **)&text, &n)); /* ends in a zero */
    lode_status status = published_parse(path, text, space, arch_column, accuracy_column, out);
    lode_free(text);
    if (status != LODE_OK) published_deinit(out);
    return status;
}

void published_deinit(published *p) {
    lode_free(p->row);
    *p = (published){0};
}

const published_row *published_find(const published *p, const lode_space *space,
                                    const lode_arch *arch) {
    uint64_t hash = lode_arch_hash(space, arch);
    const published_row *same = NULL;
    for (int64_t i = 0; i < p->n; i++) {
        if (p->row[i].hash != hash) continue;
        if (lode_arch_equal(&p->row[i].arch, arch)) return &p->row[i];
        if (same == NULL) same = &p->row[i];
    }
    return same;
}

static int published_compare(const void *a, const void *b) {
    uint64_t x = (*(const published_row *const *)a)->hash;
    uint64_t y = (*(const published_row *const *)b)->hash;
    return x < y ? -1 : x > y;
}

void published_rank(const published *p, double accuracy, int64_t *better, int64_t *different,
                    double *best) {
    const published_row **sorted = LODE_NEW_ARRAY(const published_row *, p->n);
    *better = *different = 0;
    *best = -INFINITY;
    if (sorted == NULL) return;
    for (int64_t i = 0; i < p->n; i++) sorted[i] = &p->row[i];
    qsort(sorted, (size_t)p->n, sizeof *sorted, published_compare);
    for (int64_t i = 0; i < p->n; i++) {
        *best = fmax(*best, sorted[i]->accuracy);
        if (i > 0 && sorted[i]->hash == sorted[i - 1]->hash) continue;
        ++*different;
        *better += sorted[i]->accuracy > accuracy;
    }
    lode_free(sorted);
}
