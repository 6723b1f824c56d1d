/* measured.h: a CSV of architectures with measured numbers, for fitting predictors. */
#ifndef LODE_TOOLS_MEASURED_H
#define LODE_TOOLS_MEASURED_H
#include "hwcost/predictor.h"

/* How to read it; NULL: the default. */
typedef struct measured_source {
    const char *path;
    const char *column;      /* of the numbers; this or `columns` is needed */
    const char *columns;     /* several: names with commas between, each may have one * ("*_ms") */
    const char *without;     /* of those not these; NULL: none */
    const char *arch_column; /* default: the first there is of arch, ops, architecture */
    const char *join;        /* another CSV that has the architectures */
    const char *key;         /* column by which rows of both belong together, default index */
    const char *features;    /* more columns with numbers, "a,b" */
} measured_source;

enum { MEASURED_MAX_COLUMNS = 256 };

typedef struct measured {
    int64_t n;
    int64_t left_out; /* rows with an empty cell */
    lode_arch *arch;  /* [n] in the file's order */
    int n_columns;
    char (*column)[64]; /* [n_columns] their names, in the file's order */
    double *value;      /* [n, n_columns] */
    int n_given;        /* columns of `features` */
    double *given;      /* [n, n_given] */
} measured;

/* LODE_ERR_DATA names file, line and what is wrong; a row whose number is empty is left out. */
lode_status measured_read(const measured_source *source, const lode_space *space, measured *out);
void measured_deinit(measured *m);
#endif
