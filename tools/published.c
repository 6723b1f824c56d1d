/* published.c: see published.h. */
#include "tools/published.h"

#include "core/memory.h"
#include "core/number.h"
#include "tools/csv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static lode_status published_row_read(const csv *c, int64_t number, const lode_space *space,
                                      const int column[2], published *p) {
    char arch[CSV_MAX_CELL], accuracy[CSV_MAX_CELL];
    published_row *row = &p->row[p->n];
    LODE_TRY(csv_cell(c, number, column[0], arch));
    LODE_TRY(csv_cell(c, number, column[1], accuracy));
    if (accuracy[0] == '\0') return LODE_OK;
    if (lode_arch_parse(space, arch, &row->arch) != LODE_OK)
        return LODE_FAIL(LODE_ERR_DATA, "%s:%lld: %s", c->path, (long long)c->number[number],
                         lode_last_error());
    if (!lode_f64_parse(accuracy, &row->accuracy) || !isfinite(row->accuracy))
        return LODE_FAIL(LODE_ERR_DATA, "%s:%lld: \"%s\" is no accuracy", c->path,
                         (long long)c->number[number], accuracy);
    row->hash = lode_arch_hash(space, &row->arch);
    p->n++;
    return LODE_OK;
}

static lode_status published_parse(const csv *c, const lode_space *space, const char *arch_column,
                                   const char *accuracy_column, published *p) {
    static const char *const archs[] = {"arch", "ops", "architecture", NULL};
    static const char *const accuracies[] = {"mean_acc", "c10_test", "accuracy", "test_acc", NULL};
    int column[2];
    char name[CSV_MAX_CELL];
    LODE_TRY(csv_column(c, arch_column, archs, "--arch-column", &column[0]));
    LODE_TRY(csv_column(c, accuracy_column, accuracies, "--accuracy-column", &column[1]));
    LODE_TRY(csv_cell(c, 0, column[1], name));
    snprintf(p->column, sizeof p->column, "%.63s", name);
    p->row = LODE_NEW_ARRAY(published_row, c->n);
    if (p->row == NULL) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 1; i <= c->n; i++) LODE_TRY(published_row_read(c, i, space, column, p));
    return p->n > 0 ? LODE_OK : LODE_FAIL(LODE_ERR_DATA, "%s: no architectures", c->path);
}

lode_status published_read(const char *path, const lode_space *space, const char *arch_column,
                           const char *accuracy_column, published *out) {
    csv c;
    *out = (published){0};
    LODE_TRY(csv_read(path, &c));
    lode_status status = published_parse(&c, space, arch_column, accuracy_column, out);
    csv_deinit(&c);
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
