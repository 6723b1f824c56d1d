/* csv.c: see csv.h. */
#include "tools/csv.h"

#include "core/memory.h"
#include "core/platform.h"

#include <string.h>

void csv_deinit(csv *c) {
    lode_free(c->text);
    lode_free(c->line);
    lode_free(c->number);
    *c = (csv){0};
}

lode_status csv_read(const char *path, csv *out) {
    size_t n = 0;
    int64_t lines = 1, at = 0, number = 1;
    *out = (csv){.path = path};
    LODE_TRY(lode_file_read(path, (void **)&out->text, &n)); /* ends in a zero */
    for (const char *c = out->text; *c != '\0'; c++) lines += *c == '\n';
    out->line = LODE_NEW_ARRAY(char *, lines + 1);
    out->number = LODE_NEW_ARRAY(int64_t, lines + 1);
    if (out->line == NULL || out->number == NULL) {
        csv_deinit(out);
        return LODE_ERR_NO_MEMORY;
    }
    char *next = out->text;
    for (char *line = out->text; line != NULL && *line != '\0'; line = next, number++) {
        next = strchr(line, '\n');
        if (next != NULL) *next++ = '\0';
        line[strcspn(line, "\r")] = '\0';
        if (number > 1 && *line == '\0') continue;
        out->number[at] = number;
        out->line[at++] = line;
    }
    if (at < 2) {
        csv_deinit(out);
        return LODE_FAIL(LODE_ERR_DATA, "%s: want a header and rows", path);
    }
    out->n = at - 1;
    return LODE_OK;
}

/* Copies cell `column` of a line; false when the line has fewer, or the cell is too long. */
static bool csv_copy_cell(const char *line, int column, char out[CSV_MAX_CELL]) {
    for (; column > 0; column--) {
        line = strchr(line, ',');
        if (line == NULL) return false;
        line++;
    }
    size_t n = strcspn(line, ",");
    if (n >= CSV_MAX_CELL) return false;
    memcpy(out, line, n);
    out[n] = '\0';
    return true;
}

lode_status csv_cell(const csv *c, int64_t row, int column, char out[CSV_MAX_CELL]) {
    if (csv_copy_cell(c->line[row], column, out)) return LODE_OK;
    return LODE_FAIL(LODE_ERR_DATA, "%s:%lld: too few columns, or a cell too long", c->path,
                     (long long)c->number[row]);
}

lode_status csv_column(const csv *c, const char *want, const char *const *names, const char *option,
                       int *out) {
    char cell[CSV_MAX_CELL];
    const char *one[] = {want, NULL};
    if (want != NULL) names = one;
    for (; *names != NULL; names++)
        for (*out = 0; csv_copy_cell(c->line[0], *out, cell); ++*out)
            if (strcmp(cell, *names) == 0) return LODE_OK;
    return LODE_FAIL(LODE_ERR_DATA, "%s: no column %s in \"%.400s\"; name it with %s", c->path,
                     want != NULL ? want : "that is known", c->line[0], option);
}
