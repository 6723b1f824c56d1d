/* recipe.c: reads the sections of a recipe through the option tables of the rooms below. */
#include "search/recipe.h"

#include "core/memory.h"

#include <stddef.h>
#include <string.h>

typedef struct recipe_top {
    int64_t seed, threads;
    const char *providers, *name, *output;
} recipe_top;

static const lode_option top_rows[] = {
    {"name", LODE_OPT_STRING, offsetof(recipe_top, name), NULL, 0, 0, NULL,
     "what the recipe calls itself"},
    {"seed", LODE_OPT_INT, offsetof(recipe_top, seed), "1", 0, 9007199254740992.0, NULL,
     "the one seed of everything random"},
    {"threads", LODE_OPT_INT, offsetof(recipe_top, threads), "0", 0, 1024, NULL,
     "threads; 0 means one per core"},
    {"providers", LODE_OPT_STRING, offsetof(recipe_top, providers), NULL, 0, 0, NULL,
     "kernel providers allowed, by preference (native,onednn,portable,reference); default: all"},
};
static const lode_option_table top_table = {"", top_rows, 4};

static const lode_option output_rows[] = {
    {"directory", LODE_OPT_STRING, offsetof(recipe_top, output), NULL, 0, 0, NULL,
     "run directory (-o overrides)"},
};
static const lode_option_table output_table = {"output", output_rows, 1};

static const lode_option cost_rows[] = {
    {"table", LODE_OPT_STRING, offsetof(lode_cost_options, table), NULL, 0, 0, NULL,
     "what prices latency_ms: file of a measured table (lode cost build), a device (lode cost "
     "devices), a published table; without it this machine is measured first"},
    {"in_loss", LODE_OPT_STRING_LIST, offsetof(lode_cost_options, in_loss), "[latency_ms]", 0, 0,
     NULL, "costs whose expectation enters the architecture loss"},
    {"models", LODE_OPT_STRING_LIST, offsetof(lode_cost_options, models), "[]", 0, 0, NULL,
     "further costs for in_loss and search.targets beside latency_ms, macs and params: NAME, or "
     "NAME=FILE of a table, a device or a predictor (peak_memory_bytes=stm32f746-disco)"},
};
static const lode_option_table cost_table = {"cost", cost_rows,
                                             (int)(sizeof cost_rows / sizeof *cost_rows)};

static const lode_option engine_rows[] = {
    {"fuse", LODE_OPT_BOOL, offsetof(lode_engine_options, fuse), "true", 0, 0, NULL,
     "train inverted residuals as one operator each; false: as their parts, for comparison"},
    {"memory_limit", LODE_OPT_F64, offsetof(lode_engine_options, memory_limit), "0", 0, 1e6, "GiB",
     "most memory of the process; a training that would need more is refused before it begins; 0: "
     "what the system has available"},
};
static const lode_option_table engine_table = {"engine", engine_rows,
                                               (int)(sizeof engine_rows / sizeof *engine_rows)};

static const lode_option search_rows[] = {
    {"supernet", LODE_OPT_BOOL, offsetof(lode_search_options, supernet), "true", 0, 0, NULL,
     "train a supernet first, by sections supernet and arch"},
    {"searcher", LODE_OPT_STRING, offsetof(lode_search_options, searcher), "policy", 0, 0, NULL,
     "who proposes architectures: policy (the trained distribution), random, evolution"},
    {"discretize", LODE_OPT_ENUM, offsetof(lode_search_options, discretize), "best_of", 0, 0,
     LODE_DISCRETIZE_WORDS,
     "how the trained probabilities become networks: best_of: `trials` proposals are judged, the "
     "best stay; argmax, sample, top2 (DARTS' edges): that architecture itself, brought to the "
     "target"},
    {"trials", LODE_OPT_INT, offsetof(lode_search_options, trials), "16", 1, 1e6, NULL,
     "feasible architectures evaluated per target"},
    {"evaluator", LODE_OPT_STRING, offsetof(lode_search_options, evaluator), "supernet", 0, 0, NULL,
     "who judges them: supernet (inherited weights), train (short training), none"},
    {"recalibrate", LODE_OPT_INT, offsetof(lode_search_options, recalibrate), "2000", 1, 1e7,
     "images", "training images that recalibrate batch norm of a path"},
    {"eval_batches", LODE_OPT_INT, offsetof(lode_search_options, eval_batches), "0", 0, 1e7,
     "batches", "of the valid split per evaluation; 0 means all"},
    {"eval_epochs", LODE_OPT_F64, offsetof(lode_search_options, eval_epochs), "1", 0, 10000,
     "epochs", "length of the evaluator's short training"},
    {"targets", LODE_OPT_STRING_LIST, offsetof(lode_search_options, targets), "[]", 0, 0, NULL,
     "hard limits, one final search each: latency_ms<=5, or latency_ms<=0.6*baseline"},
    {"limits", LODE_OPT_STRING_LIST, offsetof(lode_search_options, limits), "[]", 0, 0, NULL,
     "further hard limits that hold in every search, beside its target: area_mm2<=4"},
    {"baselines", LODE_OPT_STRING_LIST, offsetof(lode_search_options, baselines), "[]", 0, 0, NULL,
     "networks trained beside the found ones: name=architecture"},
    {"keep", LODE_OPT_INT, offsetof(lode_search_options, keep), "1", 1, 1000, NULL,
     "final networks per target"},
    {"retrain", LODE_OPT_ENUM, offsetof(lode_search_options, retrain), "scratch", 0, 0,
     "scratch|inherit|none", "how final networks get their weights"},
    {"measure_rounds", LODE_OPT_INT, offsetof(lode_search_options, measure_rounds), "100", 3, 1e6,
     NULL, "timed passes of each final network"},
    {"seek_each", LODE_OPT_BOOL, offsetof(lode_search_options, seek_each), "false", 0, 0, NULL,
     "with arch.seek: the supernet trains weights alone, then every target gets a search of "
     "probabilities of its own on them"},
    {"seek_epochs", LODE_OPT_INT, offsetof(lode_search_options, seek_epochs), "6", 1, 1e6, "epochs",
     "seek_each: passes over the split arch for each target"},
    {"within", LODE_OPT_F64, offsetof(lode_search_options, within), "0", 0, 1, NULL,
     "searcher policy: networks leave at most this share of the limit over, where the space has "
     "such; 0: any network below the limit will do"},
};
static const lode_option_table search_table = {"search", search_rows,
                                               (int)(sizeof search_rows / sizeof *search_rows)};

static lode_status recipe_read_strategy(lode_recipe *r) {
    if (!r->search.supernet) return LODE_OK;
    LODE_TRY(
        lode_strategy_find(r->supernet.strategy ? r->supernet.strategy : "gumbel", &r->strategy));
    return lode_strategy_options_read(r->config, r->strategy, &r->strategy_options);
}

static lode_status recipe_read_searcher(lode_recipe *r) {
    LODE_TRY(lode_searcher_find(r->search.searcher, &r->searcher));
    if (!r->searcher->options) return LODE_OK;
    r->searcher_options = lode_calloc(1, r->searcher->options_size);
    if (!r->searcher_options) return LODE_ERR_NO_MEMORY;
    return lode_config_read(r->config, r->searcher->options, r->searcher_options);
}

/* Found at once, not when the phase begins hours later. */
static lode_status recipe_check_schedule(const char *section, const lode_train_options *o) {
    if (o->warmup > 0 && o->warmup >= (double)o->epochs)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "%s.warmup is %g epochs, and %s.epochs only %lld: lower the one or raise "
                         "the other",
                         section, o->warmup, section, (long long)o->epochs);
    return LODE_OK;
}

/* argmax, sample and top2 read probabilities: there must be some, and nobody else may propose. */
static lode_status recipe_check_discretize(const lode_recipe *r) {
    const char *rule = lode_discretize_name((lode_discretize)r->search.discretize);
    bool one = r->search.discretize == LODE_DISCRETIZE_ARGMAX ||
               r->search.discretize == LODE_DISCRETIZE_TOP2;
    if (r->search.discretize == LODE_DISCRETIZE_BEST_OF) return LODE_OK;
    if (strcmp(r->searcher->name, "policy") != 0)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "search.discretize is %s, so architectures come from the probabilities: "
                         "search.searcher must be policy, not %s",
                         rule, r->searcher->name);
    if (!r->strategy || !r->strategy->probabilities)
        return LODE_FAIL(LODE_ERR_CONFIG, "search.discretize is %s, but %s%s: use best_of", rule,
                         r->strategy ? "there are no probabilities after strategy "
                                     : "search.supernet is false",
                         r->strategy ? r->strategy->name : "");
    if (one && r->search.keep > 1)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "search.keep is %lld, but search.discretize %s gives one network: use "
                         "sample or best_of, or keep 1",
                         (long long)r->search.keep, rule);
    return LODE_OK;
}

bool lode_recipe_seeks(const lode_recipe *r) {
    if (!r->strategy || !r->strategy->options) return false;
    json_t *options = lode_options_json(r->strategy->options, r->strategy_options);
    const char *seek = json_string_value(json_object_get(options, "seek"));
    bool seeks = seek && strcmp(seek, "0") != 0; /* its first word is none */
    json_decref(options);
    return seeks;
}

/* One search of probabilities goes to one target. */
lode_status lode_recipe_check_seek(const lode_recipe *r) {
    bool seeks = lode_recipe_seeks(r);
    int n = r->search.targets.n;
    if (r->search.seek_each && !seeks)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "search.seek_each seeks every target, but arch.seek is none, or the "
                         "strategy has no probabilities: set arch.seek to limit or equal");
    if (seeks && n == 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "arch.seek steers to search.targets, and there is none: "
                                          "give one, or set arch.seek: none");
    if (seeks && n > 1 && !r->search.seek_each)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "arch.seek steers the probabilities to one target, and search.targets has "
                         "%d: set search.seek_each: true, which searches once for each",
                         n);
    return LODE_OK;
}

static lode_status recipe_check(const lode_recipe *r) {
    static const char *const evaluators[] = {"supernet", "train", "none"};
    bool known = false;
    for (int i = 0; i < 3; i++) known = known || strcmp(r->search.evaluator, evaluators[i]) == 0;
    if (!known)
        return LODE_FAIL(LODE_ERR_CONFIG, "search.evaluator: \"%s\", want supernet, train or none",
                         r->search.evaluator);
    if (!r->strategy && strcmp(r->search.evaluator, "supernet") == 0)
        return LODE_FAIL(
            LODE_ERR_CONFIG,
            "search.evaluator is supernet, but search.supernet is false: train one, or "
            "choose train or none");
    if (!r->strategy && r->search.retrain == LODE_RETRAIN_INHERIT)
        return LODE_FAIL(
            LODE_ERR_CONFIG,
            "search.retrain is inherit, but search.supernet is false: there is nothing to "
            "inherit");
    LODE_TRY(recipe_check_discretize(r));
    if (r->strategy) LODE_TRY(recipe_check_schedule("supernet", &r->supernet));
    if (r->search.retrain == LODE_RETRAIN_NONE) return LODE_OK;
    return recipe_check_schedule("train", &r->train);
}

static lode_status recipe_read(lode_recipe *r) {
    recipe_top top = {0};
    LODE_TRY(lode_config_read(r->config, &top_table, &top));
    LODE_TRY(lode_config_read(r->config, &output_table, &top));
    r->seed = (uint64_t)top.seed;
    r->threads = (int)top.threads;
    r->providers = top.providers;
    r->output = top.output;
    LODE_TRY(lode_data_options_read(r->config, &r->data));
    LODE_TRY(lode_config_read(r->config, &lode_space_option_table, &r->space));
    LODE_TRY(lode_config_read(r->config, &lode_supernet_train_option_table, &r->supernet));
    LODE_TRY(lode_config_read(r->config, &lode_train_option_table, &r->train));
    LODE_TRY(lode_config_read(r->config, &cost_table, &r->cost));
    LODE_TRY(lode_config_read(r->config, &lode_profile_option_table, &r->build));
    LODE_TRY(lode_config_read(r->config, &search_table, &r->search));
    LODE_TRY(lode_config_read(r->config, &engine_table, &r->engine));
    r->supernet.unfused = r->train.unfused = !r->engine.fuse;
    r->supernet.memory_limit = r->train.memory_limit =
        (int64_t)(r->engine.memory_limit * (double)(INT64_C(1) << 30));
    LODE_TRY(recipe_read_strategy(r));
    LODE_TRY(recipe_read_searcher(r));
    LODE_TRY(lode_config_finish(r->config));
    r->build.seed = r->seed;
    return recipe_check(r);
}

lode_status lode_recipe_load(const char *path, const char *const *sets, int n_sets,
                             lode_recipe **out) {
    *out = NULL;
    lode_status status = LODE_OK;
    lode_recipe *r = LODE_NEW(lode_recipe);
    if (!r) return LODE_ERR_NO_MEMORY;
    status = lode_config_load(path, &r->config);
    if (status == LODE_ERR_IO) status = LODE_FAIL(LODE_ERR_CONFIG, "recipe: %s", lode_last_error());
    LODE_GOTO(status);
    for (int i = 0; i < n_sets; i++) LODE_GOTO(lode_config_set(r->config, sets[i]));
    LODE_GOTO(recipe_read(r));
    *out = r;
    r = NULL;
done:
    lode_recipe_destroy(r);
    return status;
}

void lode_recipe_destroy(lode_recipe *r) {
    if (!r) return;
    lode_data_options_deinit(&r->data);
    lode_free(r->strategy_options);
    lode_free(r->searcher_options);
    lode_config_destroy(r->config);
    lode_free(r);
}

char *lode_recipe_text(const lode_recipe *r) { return lode_config_dump(r->config); }

const lode_option_table *const *lode_recipe_tables(void) {
    enum { RECIPE_MAX_TABLES = 64 };
    static const lode_option_table *tables[RECIPE_MAX_TABLES]; /* the same whoever fills it */
    const lode_option_table *const own[] = {&top_table,
                                            &lode_space_option_table,
                                            &lode_supernet_train_option_table,
                                            &lode_train_option_table,
                                            &cost_table,
                                            &lode_profile_option_table,
                                            &search_table,
                                            &engine_table,
                                            &output_table};
    int n = 0, n_strategies = 0;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) tables[n++] = own[i];
    n += lode_data_tables(tables + n, RECIPE_MAX_TABLES / 2);
    const lode_strategy_plugin *const *s = lode_strategy_plugins(&n_strategies);
    for (int i = 0; i < n_strategies && n < RECIPE_MAX_TABLES - 1; i++)
        if (s[i]->options) tables[n++] = s[i]->options;
    for (int i = 0; i < lode_n_searchers() && n < RECIPE_MAX_TABLES - 1; i++)
        if (lode_searcher_at(i)->options) tables[n++] = lode_searcher_at(i)->options;
    tables[n] = NULL;
    return tables;
}

const char *lode_recipe_table_strategy(const lode_option_table *table) {
    int n = 0;
    const lode_strategy_plugin *const *s = lode_strategy_plugins(&n);
    for (int i = 0; i < n; i++)
        if (s[i]->options == table) return s[i]->name;
    return NULL;
}
