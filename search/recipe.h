/* recipe.h: a recipe, read whole and checked before any work begins.

   Sections: top level (seed, threads, providers), data, space, supernet (how the supernet is
   trained), train (how final networks are trained), arch (the strategy's own options), cost,
   search, engine, output. Every key is described by the option table of the module that reads it;
   unknown keys are errors with line and nearest name. */
#ifndef LODE_SEARCH_RECIPE_H
#define LODE_SEARCH_RECIPE_H
#include "data/data.h"
#include "hwcost/profile.h"
#include "search/searcher.h"
#include "train/strategy.h"
#include "train/trainer.h"

typedef enum lode_retrain {
    LODE_RETRAIN_SCRATCH,
    LODE_RETRAIN_INHERIT,
    LODE_RETRAIN_NONE
} lode_retrain;

typedef struct lode_cost_options {
    const char *table;        /* file of a measured table; NULL: measured into the run directory */
    lode_string_list in_loss; /* costs the strategy's loss sees */
    lode_string_list models;  /* specs of lode_cost_open, beside latency_ms, macs and params */
} lode_cost_options;

typedef struct lode_engine_options {
    bool fuse;           /* training runs inverted residuals as one operator */
    double memory_limit; /* GiB the process may hold at most; 0: what the system has available */
} lode_engine_options;

typedef struct lode_search_options {
    bool supernet; /* train one first */
    const char *searcher;
    int discretize;             /* lode_discretize */
    int64_t trials;             /* architectures evaluated per target */
    const char *evaluator;      /* "supernet", "train", "none" */
    int64_t recalibrate;        /* images for BN recalibration */
    int64_t eval_batches;       /* of the valid split per evaluation; 0: all */
    double eval_epochs;         /* evaluator train: epochs of the short training */
    lode_string_list targets;   /* "latency_ms<=5", "latency_ms<=0.6*baseline" */
    lode_string_list limits;    /* the same, and all of them hold in every search */
    lode_string_list baselines; /* "name=architecture" */
    int64_t keep;               /* finalists per target */
    int retrain;                /* lode_retrain */
    int64_t measure_rounds;     /* timed passes of each final network */
    bool seek_each;             /* a search of probabilities of its own for every target */
    int64_t seek_epochs;        /* of it */
    double within;              /* policy: at most this share of a limit is left over; 0: any */
} lode_search_options;

typedef struct lode_recipe {
    lode_config *config;
    uint64_t seed;
    int threads;
    const char *providers; /* NULL: all */
    lode_data_options data;
    lode_space_options space;
    lode_train_options supernet, train;
    const lode_strategy_plugin *strategy; /* NULL: no supernet is trained */
    void *strategy_options;
    lode_cost_options cost;
    lode_profile_options build;
    lode_search_options search;
    lode_engine_options engine; /* supernet and train heed it */
    const lode_searcher *searcher;
    void *searcher_options;
    const char *output; /* directory, may be NULL */
} lode_recipe;

/* path NULL: defaults only. sets: --set assignments, applied in order. */
LODE_API lode_status lode_recipe_load(const char *path, const char *const *sets, int n_sets,
                                      lode_recipe **out);
LODE_API void lode_recipe_destroy(lode_recipe *r);
/* Do probabilities seek targets (arch.seek)? */
LODE_API bool lode_recipe_seeks(const lode_recipe *r);
/* LODE_ERR_CONFIG: arch.seek, search.seek_each and search.targets do not fit together. Asked by a
   search only: a training of weights reads none of them. */
LODE_API lode_status lode_recipe_check_seek(const lode_recipe *r);
/* The resolved recipe as YAML; lode_free. */
LODE_API char *lode_recipe_text(const lode_recipe *r);

/* Every option table a recipe may hold, for help and manual. NULL-terminated. */
LODE_API const lode_option_table *const *lode_recipe_tables(void);
/* Name of the strategy whose options a table is (one of many sections `arch`); else NULL. */
LODE_API const char *lode_recipe_table_strategy(const lode_option_table *table);
#endif
