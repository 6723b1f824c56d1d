/* transfer.h: a cost learned on many devices, adapted to another from few measurements.

   Devices that were measured on the same architectures are fitted together: one model with an
   output per device, each standardized on the rows it learned from. A new device is measured on ten
   to fifty architectures. What it costs is taken to be a mixture of the known devices,

       z(x) = b + sum_s a_s f_s(x) + r . x,     a_s ~ N(0, t/S),  r ~ N(0, t c/v),  noise N(0, t e)

   with f_s the known devices' answers, x the encoding and v its variance, so that the first term
   has the covariance that the known devices show, and the second can say what none of them does. c
   and e are those of the greatest marginal likelihood (times a broad prior), t and b follow. So a
   device is described by its own few measurements, as in HELP (Lee et al. 2021), and there is
   nothing to train: a, b, r are a regression in closed form. Because f is linear in its last layer,
   the result is an ordinary predictor of the same kind (predictor.h): it has a file, a hard cost
   and a gradient like any other. docs/results/transfer.md compares it with other ways. */
#ifndef LODE_HWCOST_TRANSFER_H
#define LODE_HWCOST_TRANSFER_H
#include "hwcost/predictor.h"

typedef struct lode_transfer lode_transfer;

typedef struct lode_transfer_device {
    char name[64];            /* the column of the table */
    double mean, scale;       /* of the rows learned from, in the unit */
    double smallest, largest; /* likewise */
    lode_agreement held_out;  /* on the test rows; zeros when there are none */
} lode_transfer_device;

typedef struct lode_transfer_info {
    char kind[24]; /* of predictor: "mlp" */
    char unit[16];
    char table[256];
    char created[32];
    uint64_t seed;
    int64_t train, valid, test, epochs; /* as in lode_predictor_info */
    int n_devices;
} lode_transfer_info;

typedef struct lode_transfer_rows {
    lode_space *space;
    int64_t n;
    const lode_arch *arch;   /* [n] */
    int n_devices;           /* 2 or more, at most 256 */
    const char *const *name; /* [n_devices] */
    const double *value;     /* [n, n_devices] finite */
} lode_transfer_rows;

/* Fits one model of all devices. Of `info` unit, table and seed are taken. LODE_ERR_UNSUPPORTED:
   the kind learns one number only. Else as lode_predictor_fit. */
LODE_API lode_status lode_transfer_fit(const char *kind, const lode_transfer_rows *rows,
                                       const lode_predictor_part *part,
                                       const lode_predictor_options *options,
                                       const lode_transfer_info *info,
                                       const lode_progress *progress, lode_transfer **out);
LODE_API void lode_transfer_destroy(lode_transfer *t);
LODE_API lode_transfer_info lode_transfer_get_info(const lode_transfer *t);
LODE_API const lode_transfer_device *lode_transfer_device_at(const lode_transfer *t, int i);
LODE_API lode_space *lode_transfer_space(const lode_transfer *t); /* borrowed */

/* A file like a predictor's (lode_predictor_write), with all devices. */
LODE_API lode_status lode_transfer_write(const lode_transfer *t, const char *path);
LODE_API lode_status lode_transfer_read(const char *path, lode_transfer **out);
LODE_API bool lode_transfer_is_file(const char *path);

/* What adapting found. */
typedef struct lode_transfer_report {
    double noise;    /* e */
    double own;      /* c: how much the device may differ from all known ones */
    double left_out; /* root mean square error in the unit of each sample predicted from the others,
                        exact; c and e are not chosen again */
    int n_devices;
    double share[256]; /* a of each known device */
} lode_transfer_report;

/* A predictor of a new device from the rows whose part is TRAIN or VALID (3 at least), judged on
   those of TEST. Of `info` quantity, unit, device, table, column, adapted_from, seed are taken.
   LODE_ERR_CONFIG: another space. LODE_ERR_DATA: too few rows, or all cost the same. */
LODE_API lode_status lode_transfer_adapt(const lode_transfer *t, const lode_predictor_rows *rows,
                                         const lode_predictor_part *part,
                                         const lode_predictor_info *info,
                                         lode_transfer_report *report, lode_predictor **out);
/* A predictor of a known device. */
LODE_API lode_status lode_transfer_known(const lode_transfer *t, int device,
                                         const lode_predictor_info *info, lode_predictor **out);
/* Which architectures of arch[n] to measure on a new device: the first is the one of which the
   known devices leave most open, each further one the one of which it and those before it leave
   most open (greedily, the most informative set under the model above). chosen [want], want <= n.
 */
LODE_API lode_status lode_transfer_suggest(const lode_transfer *t, const lode_arch *arch, int64_t n,
                                           int64_t want, int64_t *chosen);
#endif
