/* predictor_internal.h: the contract of a kind of predictor, and the network that several share.

   A kind sees standardized numbers only: targets, and features that are not 0 or 1 by themselves,
   have mean 0 and variance 1 over the rows to learn from. */
#ifndef LODE_HWCOST_PREDICTOR_INTERNAL_H
#define LODE_HWCOST_PREDICTOR_INTERNAL_H
#include "autograd/tape.h"
#include "hwcost/predictor.h"
#include "supernet/parameter.h"
#include "tensor/tensor_io.h"

/* n rows: x [n, features] row by row, y [n], or [n, outputs] where a job has several. */
typedef struct predictor_samples {
    int64_t n;
    const double *x, *y;
} predictor_samples;

typedef struct predictor_job {
    const lode_encoding *encoding;
    predictor_samples train, valid; /* valid follows train in memory; may have no rows */
    const lode_predictor_options *options;
    int outputs; /* numbers that are learned of a row: 1, or devices (transfer.h) */
    uint64_t seed;
    const lode_progress *progress;
    int64_t epochs;       /* out: the best epoch */
    double reconstructed; /* out: as lode_predictor_info has it */
} predictor_job;

enum { PREDICTOR_MAX_TENSORS = 48, PREDICTOR_MAX_OUTPUTS = 256 };

struct lode_predictor_plugin {
    const char *name;
    const char *about;       /* one sentence with the paper */
    const char *missing;     /* this build lacks what it needs: why, and what to do; else NULL */
    const char *no_gradient; /* why there is none; NULL: predict fills dx */
    bool linear;             /* in the features */
    bool plain;              /* wants the encoding without paths */
    bool needs_options;      /* cannot do without the encoding of options */
    lode_status (*check)(const lode_space *space); /* not for this one: why; NULL: for all */
    lode_status (*fit)(predictor_job *job, void **self);
    /* Of a file's tensors; options have hidden and layers as they were fitted. */
    lode_status (*load)(const lode_encoding *encoding, const lode_predictor_options *options,
                        lode_tensor_file *file, void **self);
    /* What `load` needs; names and tensors stay the predictor's. */
    int64_t (*tensors)(const void *self, lode_named_tensor items[PREDICTOR_MAX_TENSORS]);
    void (*destroy)(void *self);
    /* y [n, outputs] of x [n, features]; dx [n, features] is dy/dx, NULL: not wanted. With several
       outputs dx is NULL. */
    lode_status (*predict)(void *self, const double *x, int64_t n, double *y, double *dx);
    /* For kinds that learn several numbers at once; both NULL: one number only. */
    int (*outputs)(const void *self);
    /* A fresh one with one output, y'(x) = b + sum a[i] y_i(x) + sum r[k] x[k], over outputs and
       features. It keeps `encoding`, which has the same features. */
    lode_status (*combine)(const void *self, const lode_encoding *encoding, const double *a,
                           const double *r, double b, void **out);
};

/* ---- cholesky.c ---- */
/* a [n,n], lower half, becomes its Cholesky factor. False: a is not positive. */
bool predictor_factor(double *a, int n);
/* b becomes the solution of a b' = b, a factored. */
void predictor_substitute(const double *a, double *b, int n);
/* out [n]: the diagonal of the inverse, a factored; room [n, n]. */
void predictor_inverse_diagonal(const double *a, double *room, double *out, int n);

/* ---- ridge.c ---- */
/* min over w, b of sum (x w + b - y)^2 / n + lambda |w|^2, in closed form; w [features], b =
   w[features]. Lambda is that of a fixed list that fits `valid` best; with it, fitted to both, or
   to `train` alone. For each output by itself: w [outputs, features + 1]. */
lode_status predictor_ridge_best(const predictor_job *job, bool both, double *w);
/* x w + b */
double predictor_ridge_at(const double *w, const double *x, int n_features);

/* ---- predictor_net.c: networks on a tape ----

   y = ridge(x) + f(x), f a network, or f(x) alone. It is trained in f32 by the dispatch, with
   kernels that give the same bits at any number of threads, and answers in f64 by the reference, so
   that an answer does not depend on the machine and its gradient can be checked by finite
   differences. */
typedef struct predictor_net predictor_net;
typedef struct predictor_net_kind {
    /* Adds parameters in a fixed order (predictor_net_add). The last two are those of the linear
       layer that makes the output: [net->outputs, in] and [net->outputs]. LODE_ERR_UNSUPPORTED: no
       network of this kind for such a space. */
    lode_status (*build)(predictor_net *net);
    /* f of x [n, features]: [n, outputs]. w[i]: the i-th parameter of `build` on this tape. */
    lode_var *(*forward)(const predictor_net *net, lode_tape *t, lode_var *const *w, lode_var *x);
    /* An auto-encoder of the same network: logits of every decision's options, [n decisions, k],
       and the options themselves. NULL: none. It is trained before `forward` on architectures
       without targets, and beside it (fit.pretrain, fit.unlabeled, fit.reconstruct). */
    lode_var *(*decode)(const predictor_net *net, lode_tape *t, lode_var *const *w, lode_var *x,
                        lode_var **options);
    double lr, decay; /* times the options fit.lr and fit.decay; 0: 1 */
    bool alone;       /* fit.ridge: auto also tries it without the regression */
} predictor_net_kind;

struct predictor_net {
    const predictor_net_kind *kind;
    const lode_encoding *encoding;
    lode_predictor_options options;
    uint64_t seed;
    int outputs, n;
    lode_parameter *param[PREDICTOR_MAX_TENSORS]; /* f32; 0 and 1: of the ridge regression */
    bool saved[PREDICTOR_MAX_TENSORS];            /* false: `build` makes it again */
    lode_tensor *wide[PREDICTOR_MAX_TENSORS];     /* the same in f64 */
    lode_tape *tape;                              /* for answers */
};
enum { PREDICTOR_NET_FIRST = 2 }; /* where the parameters of `build` begin */
/* A trained parameter, normal with deviation `std` (0: zeros). */
lode_status predictor_net_add(predictor_net *net, const char *name, const lode_shape *shape,
                              double std);
/* Layer i of y = x w^T + b: "NAMEi.weight" [out, in] and "NAMEi.bias" [out]. */
lode_status predictor_net_add_linear(predictor_net *net, const char *name, int i, int64_t in,
                                     int64_t out, double std);
/* A constant: zeros that the caller fills (*out, borrowed). It is not saved. */
lode_status predictor_net_add_constant(predictor_net *net, const char *name,
                                       const lode_shape *shape, lode_tensor **out);
lode_status predictor_net_fit(const predictor_net_kind *kind, predictor_job *job, void **self);
lode_status predictor_net_load(const predictor_net_kind *kind, const lode_encoding *encoding,
                               const lode_predictor_options *options, lode_tensor_file *file,
                               void **self);
int64_t predictor_net_tensors(const void *self, lode_named_tensor items[PREDICTOR_MAX_TENSORS]);
void predictor_net_destroy(void *self);
lode_status predictor_net_predict(void *self, const double *x, int64_t n, double *y, double *dx);
int predictor_net_outputs(const void *self);
lode_status predictor_net_combine(const void *self, const lode_encoding *encoding, const double *a,
                                  const double *r, double b, void **out);

/* ---- predictor_gcn.c, for networks that begin like it ---- */
lode_status predictor_gcn_check(const lode_space *space);
/* Constants and layers. */
lode_status predictor_gcn_add(predictor_net *net);
/* Tensors of these; the width of what comes out. */
int predictor_gcn_n_tensors(const predictor_net *net);
int64_t predictor_gcn_width(const predictor_net *net);
/* [n, width]: the mean over the nodes of the last layer. */
lode_var *predictor_gcn_embed(const predictor_net *net, lode_tape *t, lode_var *const *w,
                              lode_var *x);

/* ---- predictor_train.c ---- */
/* Trains net->param; *best_epoch counts from 1. */
lode_status predictor_net_train(predictor_net *net, predictor_job *job);
/* y [n, outputs] of x [n, features] on a tape of either dtype; w: all parameters on it. */
lode_var *predictor_net_output(const predictor_net *net, lode_tape *t, lode_var *const *w,
                               lode_var *x);
#endif
