/* bench.h: what the bench verbs share: a network with its data and trainer, opened from the
   command's options, and a meter that stands between the tape and the kernels. */
#ifndef LODE_TOOLS_BENCH_H
#define LODE_TOOLS_BENCH_H
#include "hwcost/statistics.h"
#include "ops/dispatch.h"
#include "search/recipe.h"
#include "tools/cli.h"

/* ---- the meter: a runner around the real one ---- */

/* A step as the kernels see it. Calls that recompute a region belong to backward. */
typedef enum bench_phase { BENCH_FORWARD, BENCH_BACKWARD, BENCH_OTHER, BENCH_N_PHASES } bench_phase;

typedef struct bench_meter {
    lode_runner runner; /* what the trainer is given */
    const lode_runner *inner;
    bench_phase phase; /* of the last call; BENCH_OTHER before the first */
    int64_t calls[BENCH_N_PHASES];
    double macs;                  /* of forward calls, recomputed ones apart */
    double recomputed_macs;       /* of forward calls within backward */
    int64_t peak[BENCH_N_PHASES]; /* most tensor bytes in use while the phase lasted */
    int64_t kept;                 /* bytes in use when backward began */
} bench_meter;
void bench_meter_init(bench_meter *m, const lode_runner *inner);
/* Between two steps: closes the phase that lasts and forgets what was counted. */
void bench_meter_reset(bench_meter *m);
/* Closes the phase that lasts; afterwards the numbers above are complete. */
void bench_meter_finish(bench_meter *m);

/* ---- one network in training ---- */

/* What to open. Strings are borrowed until bench_job_close. */
typedef struct bench_request {
    const char *space;      /* name or file */
    const char *arch;       /* NULL: the supernet */
    const char *strategy;   /* NULL: fixed for fixed networks, gumbel for supernets */
    const char *data;       /* NULL: made-up images, stored; else NAME or NAME:PATH */
    const char *providers;  /* NULL: all */
    const char *const *set; /* [n_set] --set of the user, after our own */
    int n_set;
    int64_t batch; /* 0: what the recipe says */
    bool metered;
    uint64_t seed;
} bench_request;

typedef struct bench_job {
    lode_recipe *recipe;
    lode_space *space;
    lode_supernet *net;
    lode_arch arch;
    bool fixed;
    lode_data *data;
    lode_dispatch *dispatch;
    bench_meter *meter; /* NULL: not metered */
    lode_strategy *strategy;
    const char *strategy_name;
    lode_trainer *trainer;
    int64_t batch;
} bench_job;

/* The options that fill a request, for the verbs' tables. */
#define BENCH_OPTION_SPACE                                                                         \
    { "space", 's', "SPACE", "name of a shipped space, or a YAML file (may be repeated)" }
#define BENCH_OPTION_ARCH                                                                          \
    { "arch", 'a', "ARCH", "the fixed network of this architecture instead of the supernet" }
#define BENCH_OPTION_STRATEGY                                                                      \
    { "strategy", 0, "NAME", "what a step trains: fixed, single_path, gumbel ..." }
#define BENCH_OPTION_DATA                                                                          \
    {                                                                                              \
        "data", 'd', "NAME[:PATH]",                                                                \
            "a real dataset, with --set data.augment...; default: made-up images"                  \
    }
#define BENCH_OPTION_SET                                                                           \
    { "set", 0, "KEY=VALUE", "change one option of a recipe (may be repeated)" }
#define BENCH_OPTION_PROVIDERS                                                                     \
    { "providers", 0, "LIST", "kernel providers allowed (native,onednn,portable,reference)" }

/* From the command's options; space, arch and strategy stay as the caller set them. */
lode_status bench_request_read(cli *c, bench_request *r);
/* Trains with the recipe's options; alternate turns of weights and architecture where the strategy
   has both. Nothing is written to disk. */
lode_status bench_job_open(const bench_request *r, bench_job *out);
void bench_job_close(bench_job *j);
/* MACs of one image and trainable parameters: of the architecture, or the supernet's whole. */
lode_status bench_job_size(const bench_job *j, double *macs, int64_t *params);
/* The architecture that the last step ran, as text (lode_free); NULL where more than one option
   ran at a decision, or nothing is left to decide. */
char *bench_job_last_arch(const bench_job *j);

/* Median of v[n] without a status: 0 for none. */
double bench_median(const double *v, int64_t n);
/* {"median", "min", "spread"} of milliseconds; json_decref. */
json_t *bench_summary_json(const double *ms, int64_t n);
#endif
