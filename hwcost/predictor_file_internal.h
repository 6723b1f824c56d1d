/* predictor_file_internal.h: a predictor from within: predictor.c, predictor_file.c. */
#ifndef LODE_HWCOST_PREDICTOR_FILE_INTERNAL_H
#define LODE_HWCOST_PREDICTOR_FILE_INTERNAL_H
#include "core/json.h"
#include "hwcost/predictor_internal.h"
#include "hwcost/transfer.h"

struct lode_predictor {
    const lode_predictor_plugin *plugin;
    void *self;
    lode_encoding *encoding;
    lode_predictor_options options;
    lode_predictor_info info;
    double mean, scale; /* of the targets: value = mean + scale y */
    lode_tensor *knots; /* f64 [2, k] of targets by rank (predictor_target.c); NULL: mean, scale */
    double *x;          /* [2, features] one row and its gradient */
    int n_given;        /* of the rows */
    lode_tensor *norm;  /* f64 [2, features that are not binary] mean and 1/deviation; NULL: none */
};

/* transfer.h from within. */
struct lode_transfer {
    const lode_predictor_plugin *plugin;
    void *self;
    lode_encoding *encoding;
    lode_predictor_options options;
    lode_transfer_info info;
    lode_transfer_device device[PREDICTOR_MAX_OUTPUTS];
    double spread; /* mean squared distance of a row's features from their mean */
};

/* LODE_ERR_CONFIG names the nearest kind, LODE_ERR_UNSUPPORTED says what this build lacks. */
lode_status predictor_find(const char *kind, const lode_predictor_plugin **out);
/* Without `self`. */
lode_status predictor_create(const lode_predictor_plugin *plugin, lode_space *space,
                             const lode_predictor_options *options, int n_given,
                             lode_predictor **out);
/* Fills info.held_out from the rows whose part is TEST. */
lode_status predictor_judge(lode_predictor *p, const lode_predictor_rows *rows,
                            const lode_predictor_part *part);
/* LODE_ERR_CONFIG: `other` has other decisions than `fitted`, the space it was fitted to. */
lode_status predictor_check_same_space(const lode_space *fitted, const lode_space *other);
/* Encodes n architectures: x [n, features]. LODE_ERR_INVALID: one is none of the space. */
lode_status predictor_encode(const lode_encoding *e, const lode_arch *arch, int64_t n, double *x);

/* ---- predictor_file.c: what files of predictors and of transfers share ---- */
typedef struct predictor_file_format {
    const char *name;  /* in the metadata: "lode-predictor-2" */
    const char *what;  /* "predictor" */
    const char *maker; /* "lode cost fit" */
} predictor_file_format;
/* Metadata: the format's name, `info` as one line (taken; NULL: no memory), the space's text. */
lode_status predictor_file_write(const char *path, const predictor_file_format *format,
                                 json_t *info, const lode_space *space,
                                 const lode_named_tensor *items, int64_t n);
/* What a file that is read consists of. */
typedef struct predictor_file {
    lode_tensor_file *tensors;
    const json_t *info;
    const char *path;
} predictor_file;
/* Opens a file of this format, hands it to `read`, which makes *out, and closes it. Errors name the
   path. */
lode_status predictor_file_read(const char *path, const predictor_file_format *format,
                                lode_status (*read)(const predictor_file *f, void **out),
                                void **out);
/* Does the file begin like one of this format? */
bool predictor_file_is(const char *path, const predictor_file_format *format);
json_t *predictor_file_errors(const lode_agreement *a);
lode_agreement predictor_file_read_errors(const json_t *j);
json_t *predictor_file_space_options(const lode_space *space);
lode_status predictor_file_read_space(const predictor_file *f, lode_space **out);
/* A count from `min` to `max`. */
lode_status predictor_file_count(const json_t *j, const char *key, int64_t min, int64_t max,
                                 int64_t *out);
/* kind, seed, rows, epochs, and hidden, layers, paths of the options. */
lode_status predictor_file_read_options(const json_t *j, lode_predictor_options *o);

/* ---- predictor_features.c: rows as a kind sees them ---- */
/* Features made of so many given numbers. */
int predictor_n_given_features(const lode_predictor_options *options, int n_given);
/* Fills the last of x [features] from given [n_given]; not standardized. */
void predictor_features_given(const lode_predictor *p, const double *given, double *x);
/* Finds p->norm on n rows of these. */
lode_status predictor_features_fit(lode_predictor *p, const double *x, int64_t n);
void predictor_features_standardize(const lode_predictor *p, double *x);
/* From a gradient of standardized features to that of features. */
void predictor_features_pull(const lode_predictor *p, double *dx);

/* ---- predictor_target.c: targets as a kind sees them ---- */
/* Finds mean, scale, knots and range on v [n], which becomes what a kind sees. */
lode_status predictor_target_fit(lode_predictor *p, double *v, int64_t n);
double predictor_target_of(const lode_predictor *p, double v);
/* The value in the unit of the rows, and its slope in y. */
double predictor_target_back(const lode_predictor *p, double y, double *slope);
lode_status predictor_target_load(lode_predictor *p, lode_tensor_file *file);
#endif
