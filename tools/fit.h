/* fit.h: what `lode cost fit` and its learning curve share. */
#ifndef LODE_TOOLS_FIT_H
#define LODE_TOOLS_FIT_H
#include "hwcost/predictor.h"
#include "hwcost/transfer.h"
#include "tools/cli.h"
#include "tools/measured.h"

enum { FIT_MAX_MODELS = 16 };

typedef struct fit {
    cli *c;
    lode_space *space;
    measured table;
    lode_predictor_rows rows; /* of the table */
    lode_predictor_options options;
    lode_predictor_split split;
    lode_predictor_info info;          /* quantity, unit, device, table, column, seed */
    const char *model[FIT_MAX_MODELS]; /* to fit, in this order */
    int n_models;
    const char *output; /* may be NULL */
} fit;

/* One fit of one model with `split`. part: [rows.n] room. */
lode_status fit_one(fit *f, const char *model, const lode_predictor_split *split,
                    lode_predictor_part *part, lode_predictor **out, double *seconds);

/* fit_curve.c: --curve: all models at each number of rows, with several draws of them, as FILE.csv
   and FILE.svg when there is an output. */
lode_status fit_curve(fit *f, const int64_t *size, int n_sizes, int n_draws, json_t *result);
/* fit_beside.c: --beside: other costs, judged on the same rows; adds `beside` to the result. */
lode_status fit_beside(fit *f, const lode_predictor_part *part, json_t *result);
/* fit_devices.c: --columns: one model of all columns. */
lode_status fit_devices(fit *f, lode_predictor_part *part, json_t *result);

/* verb_cost_fit.c: --seed, --held-out, --train, --draw; quantity, unit and so on of a column. */
lode_status fit_read_split(fit *f, double held_out);
void fit_describe(fit *f, const char *table, const char *column);
/* options,number,part, then a column of predictions per name. */
lode_status fit_write_rows(const fit *f, const char *path, const lode_predictor_part *part,
                           const char *const *name, double *const *predicted, int n);
#endif
