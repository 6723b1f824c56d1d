/* published.h: a table of published accuracies: a CSV with a header, one architecture a row. */
#ifndef LODE_TOOLS_PUBLISHED_H
#define LODE_TOOLS_PUBLISHED_H
#include "supernet/space.h"

typedef struct published_row {
    lode_arch arch;
    uint64_t hash; /* of its canonical form */
    double accuracy;
} published_row;

typedef struct published {
    int64_t n;
    published_row *row; /* [n] in the file's order */
    char column[64];    /* the accuracies' */
} published;

/* Columns by name; NULL: the first there is of arch, ops, architecture, and of mean_acc, c10_test,
   accuracy, test_acc. Commas separate, nothing is quoted. LODE_ERR_DATA names file, line and what
   is wrong; an empty cell of accuracy leaves the row out. */
lode_status published_read(const char *path, const lode_space *space, const char *arch_column,
                           const char *accuracy_column, published *out);
void published_deinit(published *p);
/* The row of an architecture, or of the same network under another name; NULL: not in the table. */
const published_row *published_find(const published *p, const lode_space *space,
                                    const lode_arch *arch);
/* Different networks of the table, and how many of them are strictly better than `accuracy`. */
void published_rank(const published *p, double accuracy, int64_t *better, int64_t *different,
                    double *best);
#endif
