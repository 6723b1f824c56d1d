/* published_table.h: tables of others, and counting our networks. */
#ifndef LODE_TEST_PUBLISHED_TABLE_H
#define LODE_TEST_PUBLISHED_TABLE_H
#include "core/platform.h"
#include "supernet/supernet.h"
#include "support/support.h"

/* ---- a table with a header line ---- */
typedef struct table {
    void *bytes;
    char **line; /* [n], cut at newlines; line[0] is the header */
    int n;
} table;

static inline void table_open(table *t, const char *path) {
    size_t size;
    assert_ok(lode_file_read(path, &t->bytes, &size));
    t->n = 0;
    t->line = calloc(40000, sizeof *t->line);
    assert_non_null(t->line);
    for (char *p = strtok(t->bytes, "\n"); p != NULL && t->n < 40000; p = strtok(NULL, "\n"))
        t->line[t->n++] = p;
}

static inline void table_close(table *t) {
    lode_free(t->bytes);
    free(t->line);
}

/* The field of a row under a column of the header. */
static inline const char *table_field(const table *t, int row, const char *column, char out[128]) {
    const char *h = t->line[0], *r = t->line[row];
    for (;;) {
        size_t n = strcspn(h, ","), m = strcspn(r, ",");
        if (strlen(column) == n && strncmp(h, column, n) == 0) {
            assert_true(m < 128);
            memcpy(out, r, m);
            out[m] = '\0';
            return out;
        }
        if (h[n] == '\0' || r[m] == '\0') fail_msg("no column %s", column);
        h += n + 1;
        r += m + 1;
    }
}

static inline double table_number(const table *t, int row, const char *column) {
    char field[128];
    return strtod(table_field(t, row, column, field), NULL);
}

/* ---- counting ---- */
typedef struct counted {
    lode_space *space;
    lode_supernet *net;
    lode_tape *trace;
} counted;

static inline void counted_open(counted *c, const char *name, int64_t classes, int64_t size) {
    lode_space_options options = {.name = name, .classes = classes, .size = size};
    assert_ok(lode_space_load(&options, &c->space));
    assert_ok(lode_supernet_create(c->space, NULL, LODE_F32, 1, &c->net));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &c->trace));
}

static inline void counted_close(counted *c) {
    lode_tape_destroy(c->trace);
    lode_supernet_destroy(c->net);
    lode_space_release(c->space);
}

static inline double counted_macs(counted *c, const lode_arch *a) {
    double macs = 0;
    assert_ok(lode_supernet_trace(c->net, a, 1, false, c->trace));
    for (int i = 0; i < lode_trace_n(c->trace); i++)
        macs += lode_trace_get(c->trace, i)->count.macs;
    return macs;
}

static inline double counted_params(counted *c, const lode_arch *a) {
    int64_t n;
    assert_ok(lode_supernet_count_parameters(c->net, a, &n));
    return (double)n;
}
#endif
