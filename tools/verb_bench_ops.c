/* verb_bench_ops.c: `lode bench ops`. */
#include "core/memory.h"
#include "hwcost/profile.h"
#include "tools/cli.h"
#include "tools/workspace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_option ops_options[] = {
    WORKSPACE_OPTION_SPACE,
    WORKSPACE_OPTION_SET,
    {"batch", 0, "N", "images per forward pass (default 64)"},
    {"rounds", 0, "N", "timed passes (default 10)"},
    {"providers", 0, "LIST", "kernel providers allowed (native,onednn,reference)"},
};

typedef struct ops_row {
    const lode_table_entry *entry;
} ops_row;

static int ops_compare(const void *a, const void *b) {
    double x = ((const ops_row *)a)->entry->median, y = ((const ops_row *)b)->entry->median;
    return (x < y) - (x > y);
}

static lode_status ops_run(cli *c) {
    workspace w;
    lode_profile_options o;
    lode_table *table = NULL;
    ops_row *row = NULL;
    lode_status status = LODE_OK;
    LODE_TRY(lode_options_default(&lode_profile_option_table, &o));
    o.networks = 0;
    o.seed = 1;
    LODE_TRY(cli_get_int(c, "batch", 64, 1, 4096, &o.batch));
    LODE_TRY(cli_get_int(c, "rounds", 10, 3, 100000, &o.rounds));
    LODE_TRY(workspace_open(c, true, &w));
    json_t *list = json_array();
    LODE_GOTO(lode_profile_space(w.net, w.dispatch, &o, cli_progress(c), &table));
    int64_t n = lode_table_n(table);
    row = LODE_NEW_ARRAY(ops_row, n + 1);
    LODE_GOTO(row ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < n; i++) row[i].entry = lode_table_at(table, i);
    qsort(row, (size_t)n, sizeof *row, ops_compare);
    cli_print(c, "%10s %10s %8s  %-10s call\n", "median ms", "min ms", "spread", "provider");
    for (int64_t i = 0; i < n; i++) {
        const lode_table_entry *e = row[i].entry;
        cli_print(c, "%10.4f %10.4f %6.1f %%  %-10s %s\n", e->median, e->min, 100 * e->spread,
                  e->provider, e->call);
        json_array_append_new(list, json_pack("{s:s, s:s, s:f, s:f, s:f}", "call", e->call,
                                              "provider", e->provider, "median_ms", e->median,
                                              "min_ms", e->min, "spread", e->spread));
    }
done:
    lode_free(row);
    lode_table_destroy(table);
    workspace_close(&w);
    cli_result(c, list);
    return status;
}

const cli_verb cli_verb_bench_ops = {
    .name = "bench ops",
    .about = "time of every distinct operator call of a space, slowest first",
    .options = ops_options,
    .n_options = (int)(sizeof ops_options / sizeof *ops_options),
    .run = ops_run,
};
