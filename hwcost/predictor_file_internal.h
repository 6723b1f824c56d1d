/* predictor_file_internal.h: a predictor from within: predictor.c, predictor_file.c. */
#ifndef LODE_HWCOST_PREDICTOR_FILE_INTERNAL_H
#define LODE_HWCOST_PREDICTOR_FILE_INTERNAL_H
#include "hwcost/predictor_internal.h"

struct lode_predictor {
    const lode_predictor_plugin *plugin;
    void *self;
    lode_encoding *encoding;
    lode_predictor_options options;
    lode_predictor_info info;
    double mean, scale; /* of the targets: value = mean + scale y */
    double *x;          /* [2, features] one row and its gradient */
};

/* LODE_ERR_CONFIG names the nearest kind, LODE_ERR_UNSUPPORTED says what this build lacks. */
lode_status predictor_find(const char *kind, const lode_predictor_plugin **out);
/* Without `self`. */
lode_status predictor_create(const lode_predictor_plugin *plugin, lode_space *space,
                             const lode_predictor_options *options, lode_predictor **out);
#endif
