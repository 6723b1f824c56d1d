/* predictor.h: a cost (or an accuracy) learned from measured architectures.

   A predictor maps the encoding of an architecture (encode.h) to one number. It is fitted to rows
   of a table, some of which are held out to say how good it is, and is kept in one file with where
   it came from. Read again, it is a cost model (`--cost NAME=FILE`): the hard cost of an
   architecture, and, unless it is made of trees, a cost of probabilities with its gradient. The
   latter is the predictor at the relaxed encoding: for `linear` that is the expectation where the
   encoding is linear (lode_encoding_is_linear: no size depends on another decision); for networks
   it is what the network says to a mixture, which meets the hard cost at one-hot probabilities
   only. (methods D5, D8)

   A kind of predictor is a const struct in its own file plus a line in predictors.def. */
#ifndef LODE_HWCOST_PREDICTOR_H
#define LODE_HWCOST_PREDICTOR_H
#include "core/config.h"
#include "core/log.h"
#include "hwcost/encode.h"
#include "hwcost/statistics.h"

typedef struct lode_predictor lode_predictor;
typedef struct lode_predictor_plugin lode_predictor_plugin; /* predictor_internal.h */

#define PREDICTOR(name) LODE_API extern const lode_predictor_plugin lode_predictor_##name;
#include "hwcost/predictors.def"
#undef PREDICTOR
LODE_API int lode_n_predictors(void);
LODE_API const char *lode_predictor_kind_at(int i);  /* "linear", "mlp", ... */
LODE_API const char *lode_predictor_about_at(int i); /* one sentence */
/* NULL: this build can fit and use it; else why not, and what to do. */
LODE_API const char *lode_predictor_missing_at(int i);
/* How to fit; what a kind has no use for it leaves alone. Section `fit`. */
typedef struct lode_predictor_options {
    int64_t hidden, layers; /* networks: width and number of hidden layers */
    int64_t epochs;         /* networks: at most so many passes over the rows */
    int64_t patience;       /* stop after so many epochs, or trees, without a better validation */
    int64_t batch;          /* networks: rows a step */
    int64_t rounds, depth;  /* trees: at most so many, and their depth */
    double eta;             /* trees: share of a tree that is added */
    double lr, decay;       /* networks: AdamW's rate (cosine to 0) and weight decay */
    int ridge;              /* what ridge regression leaves over is learned: a lode_ridge */
    bool paths;             /* networks, trees: features of what of a cell is reached (encode.h) */
    int encoding;           /* a lode_predictor_reads */
    int target;             /* a lode_predictor_target */
    int64_t unlabeled;      /* semigcn: architectures for the auto-encoder */
    int64_t pretrain;       /* semigcn: epochs over them, before the rows */
    double reconstruct;     /* semigcn: weight of the auto-encoder's loss beside the error's */
    bool differences;       /* given columns are a learning curve: its differences too */
} lode_predictor_options;
typedef enum lode_predictor_reads { /* of encode.h's parts */
                                    LODE_READS_OPTIONS,
                                    LODE_READS_COUNTS,
                                    LODE_READS_BOTH,
                                    LODE_READS_NONE
} lode_predictor_reads;
typedef enum lode_ridge {
    LODE_RIDGE_AUTO, /* trees, and gcn and semigcn given 50 rows for validation: both ways, the
                        better stays; else true */
    LODE_RIDGE_TRUE,
    LODE_RIDGE_FALSE
} lode_ridge;
typedef enum lode_predictor_target { LODE_TARGET_VALUE, LODE_TARGET_RANK } lode_predictor_target;
LODE_API extern const lode_option_table lode_predictor_option_table;
/* LODE_ERR_UNSUPPORTED says why this kind is not for that space or these options, or not in this
   build; LODE_ERR_CONFIG: there is no such kind. */
LODE_API lode_status lode_predictor_check_kind(const char *kind, const lode_space *space,
                                               const lode_predictor_options *options);

/* ---- rows and their parts ---- */
enum { LODE_PREDICTOR_MAX_GIVEN = 64 };
typedef struct lode_predictor_rows {
    lode_space *space;
    int64_t n;
    const lode_arch *arch; /* [n] */
    const double *value;   /* [n] finite */
    int n_given;           /* numbers that come with each architecture and are read like features */
    const double *given;   /* [n, n_given] finite */
} lode_predictor_rows;

typedef enum lode_predictor_part {
    LODE_PART_UNUSED,
    LODE_PART_TRAIN, /* weights are fitted to these */
    LODE_PART_VALID, /* when to stop, how much to shrink */
    LODE_PART_TEST   /* held out: errors are reported on these, nothing else sees them */
} lode_predictor_part;

typedef struct lode_predictor_split {
    uint64_t seed;
    double test;   /* share of all rows that is held out */
    int64_t train; /* rows to learn from, those for validation included; 0: all others */
    double valid;  /* share of these that is for validation */
    uint64_t draw; /* another choice of the rows to learn from; the held-out ones stay */
    bool distinct; /* of the rows of one network only the first is learned from */
} lode_predictor_split;
/* "0.2 held out, the rest to learn from, 0.15 of it for validation" */
LODE_API lode_predictor_split lode_predictor_split_defaults(void);
/* Fills part[n] from the seed. Rows of one network under several names (lode_arch_hash) stay
   together, so that no held-out network was learned. What is learned from with fewer rows is part
   of what is learned from with more. LODE_ERR_DATA: too few rows. */
LODE_API lode_status lode_predictor_split_rows(const lode_predictor_rows *rows,
                                               const lode_predictor_split *split,
                                               lode_predictor_part *part);

/* ---- what a predictor is and where it came from ---- */
typedef struct lode_predictor_info {
    char kind[24];     /* "mlp" */
    char quantity[64]; /* the cost's name: "latency_ms" */
    char unit[16];     /* "ms" */
    char device[128];
    char table[256], column[64]; /* the file's name and the column it was fitted to */
    char given[256];             /* names of the columns it reads beside, "a,b"; mostly "" */
    char created[32];
    char adapted_from[256]; /* the file of several devices it was made from (transfer.h), or "" */
    uint64_t seed;
    int64_t train, valid, test; /* rows */
    int64_t epochs;             /* after which a network was best; trees; 0: linear */
    double reconstructed; /* semigcn: share of decisions its auto-encoder finds again; 0: none */
    double smallest, largest; /* value among the rows it learned from */
    lode_agreement held_out;  /* on the test rows, in the unit; zeros when there are none */
} lode_predictor_info;

/* Fits a `kind` to the rows whose part is TRAIN and VALID, and judges it on those of TEST. Of
   `info` quantity, unit, device, table, column and given are taken, the rest is filled in. Same
   seed, rows and options: same bits, at any number of threads. LODE_ERR_STOPPED: progress wanted
   it. */
LODE_API lode_status lode_predictor_fit(const char *kind, const lode_predictor_rows *rows,
                                        const lode_predictor_part *part,
                                        const lode_predictor_options *options,
                                        const lode_predictor_info *info,
                                        const lode_progress *progress, lode_predictor **out);
LODE_API void lode_predictor_destroy(lode_predictor *p);
LODE_API lode_predictor_info lode_predictor_get_info(const lode_predictor *p);
LODE_API const char *lode_predictor_unit(const lode_predictor *p);
LODE_API const lode_encoding *lode_predictor_encoding(const lode_predictor *p);

/* A safetensors file with all of it, the space's text too; written whole or not at all. Read again
   it answers with the same bits. LODE_ERR_DATA names file and what is wrong. */
LODE_API lode_status lode_predictor_write(const lode_predictor *p, const char *path);
LODE_API lode_status lode_predictor_read(const char *path, lode_predictor **out);
/* Does the file begin like one that lode_predictor_write makes? False also when it is not there. */
LODE_API bool lode_predictor_is_file(const char *path);
/* Are the decisions of `space` the ones it was fitted to? LODE_ERR_CONFIG names the first that
   differs. */
LODE_API lode_status lode_predictor_check_space(const lode_predictor *p, const lode_space *space);

/* ---- answers, in the unit of the rows ---- */
/* Numbers it wants beside an architecture. One with any answers lode_predictor_predict_given only,
   and is no cost: what it reads is measured. */
LODE_API int lode_predictor_n_given(const lode_predictor *p);
/* given [n, n_given] */
LODE_API lode_status lode_predictor_predict_given(lode_predictor *p, const lode_arch *arch,
                                                  const double *given, int64_t n, double *out);
LODE_API lode_status lode_predictor_predict(lode_predictor *p, const lode_arch *arch, int64_t n,
                                            double *out);
/* At probabilities p[d][k]; gradient [d][k] may be NULL. LODE_ERR_UNSUPPORTED for trees. */
LODE_API lode_status lode_predictor_relaxed(lode_predictor *p, const double *const *probability,
                                            double *value, double *const *gradient);
/* NULL: it has a gradient; else why not, in a few words. */
LODE_API const char *lode_predictor_no_gradient(const lode_predictor *p);
/* Of an exact one: value = *base + the prices of the options, price[decisions][options], up to
   rounding. False: it is not. */
LODE_API bool lode_predictor_prices(const lode_predictor *p, double *base,
                                    double (*price)[LODE_MAX_OPTIONS]);
/* Is its value at probabilities the expectation of its value at architectures? */
LODE_API bool lode_predictor_is_exact(const lode_predictor *p);
#endif
