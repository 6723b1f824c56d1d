/* cost.h: what a network costs on a device: as a hard number for an architecture, and as an
   expectation over decision probabilities with its gradient. One object answers both.

   A cost model (cost_models.def) prices one traced call (op_cost), or, when it is no sum, a whole
   trace (trace_cost; such a model has no expectation), or an architecture as such (arch_cost; with
   an expectation of its own, or none). Prices of calls are gathered per block and
   kept as terms: a table over the classes of the decisions the block reads. Then hard(arch)   = c0
   + sum_terms T[class of arch] expected(w)  = c0 + sum_terms sum_classes prod_reads P(class)
   T[classes],   P(class) = sum of w over options which is multilinear in w and equals `hard` at
   one-hot w. (methods D1, D8) */
#ifndef LODE_HWCOST_COST_H
#define LODE_HWCOST_COST_H
#include "supernet/frozen.h"

typedef struct lode_cost lode_cost;

/* One block of a traced network: the calls in its scope, in order, views left out. */
typedef struct lode_cost_block {
    const char *name;
    const lode_tape *trace;
    const int *call; /* [n_calls] numbers for lode_trace_get */
    int n_calls;     /* 0: the block does nothing (skip) */
} lode_cost_block;

/* What a cost is a sum of: exactly one of op_cost, block_cost, choice_cost; or trace_cost. */
typedef struct lode_cost_model {
    const char *name; /* "macs", "params", "table", ... */
    const char *about;
    /* `argument` is what follows '=' in --cost NAME=ARGUMENT (a file), may be NULL. */
    lode_status (*open)(const char *argument, void **self);
    void (*close)(void *self);
    const char *(*unit)(const void *self); /* "ms", "count", "bytes" */
    lode_status (*op_cost)(void *self, const lode_trace_call *call, double *out);
    /* Prices whole blocks: tables of others have no finer entries. */
    lode_status (*block_cost)(void *self, const lode_cost_block *block, double *out);
    /* Prices an option of a decision, wherever it stands; looks at no trace. */
    lode_status (*choice_cost)(void *self, const lode_space *space, int decision, int option,
                               double *out);
    /* Of a cost that is no sum. */
    lode_status (*trace_cost)(void *self, const lode_tape *trace, double *out);
    /* Of a cost that knows decisions and no operators, such as a fitted predictor; exclusive with
       both. `bind` (may be NULL) is asked once whether it is for this space. `relaxed_cost` (may be
       NULL) is what lode_cost_expected_value answers: p[d][k], gradient likewise or NULL; at
       one-hot p it must be arch_cost. It need not be an expectation; the model's header says what
       it is. `no_gradient`: why relaxed_cost would refuse, NULL when it does not. `separate` (may
       be NULL): as lode_cost_separate. */
    lode_status (*bind)(void *self, const lode_space *space);
    lode_status (*arch_cost)(void *self, const lode_arch *arch, double *out);
    lode_status (*relaxed_cost)(void *self, const double *const *p, double *out,
                                double *const *gradient);
    const char *(*no_gradient)(const void *self);
    bool (*separate)(const void *self, double *base, double (*price)[LODE_MAX_OPTIONS]);
    double (*constant)(const void *self); /* c0, may be NULL */
    bool training;                        /* prices a training step's trace rather than inference */
    /* Which trace of inference it prices (supernet/frozen.h); NULL: the plain one. */
    lode_form (*form)(const void *self);
} lode_cost_model;

/* The built-in models (cost_models.def). */
LODE_API int lode_n_cost_models(void);
LODE_API const lode_cost_model *lode_cost_model_at(int i);
LODE_API const lode_cost_model *lode_cost_model_find(const char *name);

/* spec: "macs", "latency_ms=table.json" ("NAME=FILE": a table whose quantity is NAME),
   "latency_ms=raspberry-pi-4" ("NAME=DEVICE": a device file, hwcost/hardware.h),
   "latency_ms=fitted.predictor" (a learned predictor's file of quantity NAME, hwcost/predictor.h).
   Traces the net's space at `batch`; batch 0: the one the table was measured at, else 1. A
   predictor knows no batch: it prices what its rows were measured at. */
LODE_API lode_status lode_cost_open(const char *spec, lode_supernet *net, int64_t batch,
                                    lode_cost **out);
/* The same for a model of the caller's own (docs/add-a-cost-model.md). `self` stays the caller's.
 */
LODE_API lode_status lode_cost_from_model(const lode_cost_model *model, void *self,
                                          lode_supernet *net, int64_t batch, lode_cost **out);
LODE_API void lode_cost_close(lode_cost *c);
LODE_API const char *lode_cost_name(const lode_cost *c); /* "macs", "latency_ms" */
LODE_API const char *lode_cost_unit(const lode_cost *c);
LODE_API bool lode_cost_has_gradient(const lode_cost *c);
/* The measured table it prices by (hwcost/table.h), borrowed; NULL: it prices by something else. */
LODE_API const struct lode_table *lode_cost_table(const lode_cost *c);
/* Of a measured table opened with ":interpolate" after its file: distinct calls of the space that
   are priced between measured ones (hwcost/interpolate.h). */
LODE_API int64_t lode_cost_n_interpolated(const lode_cost *c);
LODE_API int64_t lode_cost_batch(const lode_cost *c);
LODE_API lode_form lode_cost_form(const lode_cost *c); /* of the networks it prices */
/* Why it has none, in a few words; NULL when it has one. */
LODE_API const char *lode_cost_no_gradient(const lode_cost *c);

LODE_API lode_status lode_cost_hard(lode_cost *c, const lode_arch *arch, double *out);
/* Sum of op_cost or block_cost over a whole trace (lode_cost_trace's), plus c0: the slow way `hard`
   is tested against. LODE_ERR_UNSUPPORTED where options or architectures are priced. */
LODE_API lode_status lode_cost_trace(lode_cost *c, const lode_arch *arch, lode_tape *trace);
LODE_API lode_status lode_cost_of_trace(lode_cost *c, const lode_tape *trace, double *out);
/* weights[d]: [K_d] or [N,K_d] vars on one tape (per-sample weights: the mean over samples). Scalar
 * var. */
LODE_API lode_var *lode_cost_expected(lode_tape *t, lode_cost *c, lode_var *const *weights);
/* The same on plain numbers: p[d][k]; gradient (may be NULL) likewise. */
LODE_API lode_status lode_cost_expected_value(lode_cost *c, const double *const *p, double *value,
                                              double *const *gradient);
/* Smallest and largest hard cost in the space (exact when decisions are independent, else by
 *search: exact tells), with the architectures that have them (may be NULL). */
LODE_API lode_status lode_cost_range(lode_cost *c, double *min, double *max, lode_arch *min_arch,
                                     lode_arch *max_arch, bool *exact);

/* Is a hard cost the sum of one price per decision? Then hard(arch) = *base + the prices of its
   options, up to rounding: price[n_decisions][options]. False when some part of the network reads
   two decisions, or the cost is no sum over operators and does not say it separates. */
LODE_API bool lode_cost_separate(const lode_cost *c, double *base,
                                 double (*price)[LODE_MAX_OPTIONS]);

/* "latency_ms<=5": a hard limit. */
typedef struct lode_target {
    char name[64];
    double limit;
} lode_target;
LODE_API lode_status lode_target_parse(const char *text, lode_target *out);
#endif
