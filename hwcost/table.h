/* table.h: a measured table: one price per distinct operator call, with how it was measured.

   A text file (JSON) that stands for one device: format, quantity and unit, the space and batch,
   the form of the networks (folded: a convolution with its norm, activation and residual is one
   call; tables of version 1 have calls of networks that are not folded, and are refused), device
   (CPU name, threads, clock), protocol (warm-up, rounds), constant and slope of the whole-network
   correction t_network = constant + slope * sum of entries        (methods D1), the reference by
   which the device's speed is known again, and the entries, keyed by the call's text
   (lode_call_text), each with median, minimum, spread, number of samples and provider. A call
   without an entry is an error that names the call and the command to measure it. */
#ifndef LODE_HWCOST_TABLE_H
#define LODE_HWCOST_TABLE_H
#include "hwcost/cost.h"
#include "supernet/frozen.h"

typedef struct lode_table lode_table;

/* One network of the space and what it took when the table was measured: measured again, it tells
   how fast the device is now (remote.h). */
typedef struct lode_table_reference {
    char
        network[1024]; /* lode_arch_code, or "fixed" for a space without decisions; "": none kept */
    uint64_t hash;     /* of the texts of its calls, folded (lode_remote_hash) */
    double value;      /* at the speed that all of the table is of, in its unit */
} lode_table_reference;

typedef struct lode_table_info {
    char quantity[64]; /* "latency_ms" */
    char unit[16];     /* "ms" */
    char space[64];    /* the space whose calls were measured */
    lode_form form;    /* of the networks whose calls they are */
    int64_t batch;
    char device[128]; /* CPU name */
    int threads;
    double mhz; /* clock when measured, 0 unknown */
    char created[32];
    int64_t warmup, rounds, networks;
    double constant, slope; /* in the table's unit; slope 1 and constant 0 when not fitted */
    char runner[256];       /* the command it was measured through on another device; "" for here */
    double fit_mape; /* of the fit on the networks it was made from, percent; < 0: not fitted */
    double stolen;   /* share of the time of measuring that other programs had; < 0: unknown */
    char doubt[256]; /* why it is not to be relied on; "" when nothing speaks against it */
    lode_table_reference reference; /* kept by tables that were measured through a runner */
} lode_table_info;

typedef struct lode_table_entry {
    char *call; /* lode_call_text */
    char provider[16];
    double median, min; /* in the table's unit */
    double spread;      /* interquartile range / median */
    int64_t samples;
} lode_table_entry;

LODE_API lode_status lode_table_create(const lode_table_info *info, lode_table **out);
LODE_API void lode_table_destroy(lode_table *t);
/* Copies the entry; a call that is there already is replaced. */
LODE_API lode_status lode_table_add(lode_table *t, const lode_table_entry *entry);
LODE_API const lode_table_entry *lode_table_find(const lode_table *t, const char *call);
LODE_API int64_t lode_table_n(const lode_table *t);
LODE_API const lode_table_entry *lode_table_at(const lode_table *t, int64_t i);
LODE_API void lode_table_set_fit(lode_table *t, double constant, double slope, double mape,
                                 int64_t networks);
/* Opening a table with a doubt as a cost warns with these words. */
LODE_API void lode_table_set_doubt(lode_table *t, const char *doubt);
LODE_API void lode_table_set_stolen(lode_table *t, double stolen);
/* As a cost model: from now on a call without an entry is priced between measured ones where that
   can be (interpolate.h). */
LODE_API lode_status lode_table_set_interpolate(lode_table *t);
/* Distinct calls that were priced so. */
LODE_API int64_t lode_table_n_interpolated(const lode_table *t);
LODE_API lode_status lode_table_read(const char *path, lode_table **out);
LODE_API lode_status lode_table_write(const lode_table *t, const char *path);
/* `table` is the `self` of the cost model "table" as well. */
LODE_API lode_table_info lode_table_get_info(const lode_table *t);
#endif
