/* csv.h: a table as text: a header, then one line a row; commas separate, nothing is quoted. */
#ifndef LODE_TOOLS_CSV_H
#define LODE_TOOLS_CSV_H
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { CSV_MAX_CELL = 512 };

typedef struct csv {
    const char *path; /* borrowed, for messages */
    char *text;
    int64_t n;       /* rows, the header not counted; empty lines are none */
    char **line;     /* [n + 1] the header, then the rows */
    int64_t *number; /* [n + 1] line number in the file, from 1 */
} csv;

lode_status csv_read(const char *path, csv *out);
void csv_deinit(csv *c);
/* Row 0 is the header. LODE_ERR_DATA: fewer cells, or one too long. */
lode_status csv_cell(const csv *c, int64_t row, int column, char out[CSV_MAX_CELL]);
/* The column called `want`, or else (NULL) the first of `names` (NULL-terminated) that is there;
   `option` is how to name it. */
lode_status csv_column(const csv *c, const char *want, const char *const *names, const char *option,
                       int *out);
#endif
