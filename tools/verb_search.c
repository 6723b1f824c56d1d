/* verb_search.c: `lode search`: the main job, and the table of its networks. */
#include "core/memory.h"
#include "core/platform.h"
#include "search/run.h"
#include "tools/cli.h"
#include "tools/results.h"

#include <stdio.h>
#include <string.h>

static const cli_option search_options[] = {
    {"recipe", 'c', "FILE", "the recipe (needed)"},
    {"set", 0, "KEY=VALUE", "change one option of the recipe (may be repeated)"},
    {"output", 'o', "DIR", "run directory (default: the recipe's, else runs/<recipe>)"},
    {"resume", 0, NULL, "go on with a stopped, killed or failed run"},
    {"target", 0, "EXPR", "hard limit, replaces search.targets (may be repeated)"},
};

/* "recipes/fbnet-fashion.yaml" -> "runs/fbnet-fashion" */
static char *search_default_directory(const char *recipe) {
    const char *slash = strrchr(recipe, '/'), *name = slash ? slash + 1 : recipe;
    const char *dot = strrchr(name, '.');
    return lode_format("runs/%.*s", (int)(dot ? (size_t)(dot - name) : strlen(name)), name);
}

/* --seed, --threads and --target as assignments behind those of --set. */
static lode_status search_load_recipe(cli *c, const char *path, lode_recipe **out) {
    const char *assignment[128], *const *values;
    char seed[64], threads[64];
    lode_text targets = {0};
    int n = cli_get_all(c, "set", &values);
    for (int i = 0; i < n; i++) assignment[i] = values[i];
    if (cli_seed(c, 0) != 0 || cli_flag(c, "seed")) {
        snprintf(seed, sizeof seed, "seed=%llu", (unsigned long long)cli_seed(c, 0));
        assignment[n++] = seed;
    }
    if (cli_flag(c, "threads")) {
        snprintf(threads, sizeof threads, "threads=%d", cli_threads(c));
        assignment[n++] = threads;
    }
    int n_targets = cli_get_all(c, "target", &values);
    for (int i = 0; i < n_targets; i++)
        lode_text_add(&targets, "%s\"%s\"", i ? ", " : "search.targets=[", values[i]);
    if (n_targets) {
        lode_text_add(&targets, "]");
        LODE_TRY(lode_text_status(&targets));
        assignment[n++] = targets.s;
    }
    lode_status status = lode_recipe_load(path, assignment, n, out);
    lode_text_deinit(&targets);
    return status;
}

static lode_status search_run(cli *c) {
    const char *path = NULL;
    lode_recipe *recipe = NULL;
    lode_run_result result = {0};
    char *directory = NULL;
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "recipe", &path));
    LODE_GOTO(search_load_recipe(c, path, &recipe));
    directory = cli_get(c, "output", NULL) ? lode_strdup(cli_get(c, "output", NULL))
                : recipe->output           ? lode_strdup(recipe->output)
                                           : search_default_directory(path);
    LODE_GOTO(directory ? LODE_OK : LODE_ERR_NO_MEMORY);
    lode_run_setup setup = {.recipe = recipe,
                            .directory = directory,
                            .resume = cli_flag(c, "resume"),
                            .progress = cli_progress(c)};
    LODE_GOTO(lode_search_run(&setup, &result));
    results_print(c, &result);
    cli_print(c, "%s: %d networks in %.0f s\n", directory, result.n, result.seconds);
    cli_result(c, results_json(directory, &result));
done:
    if (status == LODE_ERR_STOPPED && directory)
        lode_log(LODE_LOG_WARN, "stopped; go on with: lode search -c %s -o %s --resume", path,
                 directory);
    lode_run_result_deinit(&result);
    lode_free(directory);
    lode_recipe_destroy(recipe);
    return status;
}

const cli_verb cli_verb_search = {
    .name = "search",
    .about = "the main job: everything a recipe says, from data to trained, measured subnets",
    .details =
        "Measures a latency table when the recipe names none, trains the supernet, proposes and "
        "judges architectures under each hard target, then extracts, trains, tests and measures "
        "the "
        "best. Writes recipe.yaml, run.json, metrics.jsonl, study.db, checkpoint/, pareto.csv and "
        "subnets/ into the run directory. Stopped or killed, it goes on with --resume. Exit code "
        "4: no "
        "architecture of the space meets a target; known before anything is measured or trained, "
        "unless the target's cost is yet to be measured.",
    .options = search_options,
    .n_options = (int)(sizeof search_options / sizeof *search_options),
    .tables = lode_recipe_tables,
    .run = search_run,
};
