/* import_internal.h: the source as a table of texts, and the contract of an importer. */
#ifndef LODE_HWCOST_IMPORT_INTERNAL_H
#define LODE_HWCOST_IMPORT_INTERNAL_H
#include "hwcost/import.h"

/* Rows that `where` lets through; cells point into `text`. */
typedef struct import_source {
    const char *path;
    char *text;
    int n_columns;
    char **column; /* [n_columns] */
    int64_t n_rows, cell_capacity, line_capacity;
    char **cell; /* [n_rows][n_columns] */
    int *line;   /* [n_rows] in the file */
} import_source;

typedef struct lode_importer {
    const char *name, *about;
    lode_foreign_keys keys;
    const char *space; /* choices: whose, when nothing else is said */
    lode_status (*read)(const import_source *s, const lode_import_options *o, lode_foreign *t);
} lode_importer;

/* Column by name, -1. */
int import_find(const import_source *s, const char *column);
const char *import_cell(const import_source *s, int64_t row, int column);
lode_status import_f64(const import_source *s, int64_t row, int column, double *out);
lode_status import_int(const import_source *s, int64_t row, int column, int64_t *out);
/* Begins a story about a row: LODE_ERR_DATA. */
lode_status import_fail(const import_source *s, int64_t row, const char *fmt, ...)
    LODE_PRINTF(3, 4);
/* The column of the values: o->column, or `usual`; its unit, when its name ends in one, must be
   o->unit. */
lode_status import_value_column(const import_source *s, const lode_import_options *o,
                                const char *usual, int *out);
lode_status import_check_unit(const import_source *s, const lode_import_options *o,
                              const char *column);
#endif
