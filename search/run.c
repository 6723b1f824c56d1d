/* run.c: opens everything a recipe names, walks the phases, keeps run.json, gathers the results. */
#include "search/run.h"

#include "core/json.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "lode_build.h"
#include "search/run_internal.h"

#include <stdio.h>
#include <string.h>

char *run_path(const run *r, const char *relative) {
    return lode_path_join(r->directory, relative);
}

/* Why and where the supernet's training ended early; null when it did not, or is not done. */
static json_t *run_stop_json(const lode_early_stop *stop) {
    if (stop->rule == LODE_STOP_NONE) return json_null();
    return json_pack("{s:s, s:I, s:I, s:o}", "rule", lode_stop_rule_name(stop->rule), "epoch",
                     (json_int_t)stop->epoch, "kept_epoch", (json_int_t)stop->kept_epoch, "value",
                     lode_json_number(stop->value));
}

lode_status run_write_status(const run *r, const char *status_text, const char *phase) {
    lode_cpu cpu = lode_cpu_get();
    char now[32];
    lode_timestamp(now);
    char *path = run_path(r, "run.json");
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:s, s:o, s:s}", "status",
                          status_text, "phase", phase, "version", LODE_VERSION, "compiler",
                          LODE_BUILD_COMPILER, "cpu", cpu.name, "threads", lode_get_threads(),
                          "seed", (json_int_t)r->recipe->seed, "space", r->recipe->space.name,
                          "supernet_stopped", run_stop_json(&r->stop), "updated", now);
    lode_status status = path && o ? LODE_OK : LODE_ERR_NO_MEMORY;
    if (status == LODE_OK) status = lode_json_write(path, o);
    json_decref(o);
    lode_free(path);
    return status;
}

/* A fresh run needs a directory without one; a resumed one needs the same recipe. */
static lode_status run_prepare_directory(const run *r) {
    lode_status status = LODE_OK;
    void *old = NULL;
    size_t n = 0;
    char *recipe_path = run_path(r, "recipe.yaml"), *text = lode_recipe_text(r->recipe);
    LODE_GOTO(recipe_path && text ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_make_directories(r->directory));
    bool exists = lode_file_exists(recipe_path);
    if (exists && !r->resume)
        LODE_GOTO(LODE_FAIL(LODE_ERR_CONFIG,
                            "%s already holds a run: go on with --resume, or choose another "
                            "directory with -o",
                            r->directory));
    if (exists) {
        LODE_GOTO(lode_file_read(recipe_path, &old, &n));
        if (strcmp(old, text) != 0)
            LODE_GOTO(LODE_FAIL(LODE_ERR_CONFIG,
                                "%s was made with another recipe (compare it with the one given); "
                                "use the same options to resume, or another directory",
                                recipe_path));
    } else
        LODE_GOTO(lode_file_write_atomic(recipe_path, text, strlen(text)));
done:
    lode_free(old);
    lode_free(text);
    lode_free(recipe_path);
    return status;
}

static lode_status run_fit_space(const run *r, lode_space_options *o) {
    int channels = 0, height = 0, width = 0;
    *o = r->recipe->space;
    lode_data_input(r->data, &channels, &height, &width);
    if (height != width)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "data: images are %dx%d, networks want squares: set "
                         "data.size",
                         height, width);
    if (o->classes == 0) o->classes = lode_data_n_classes(r->data);
    if (o->channels == 0) o->channels = channels;
    if (o->size == 0) o->size = height;
    return LODE_OK;
}

/* A search ends in networks with all channels, and costs are theirs. */
static lode_status run_open_whole(run *r, lode_space_options o) {
    const lode_search_options *search = &r->recipe->search;
    r->whole = r->net;
    if (o.partial <= 1) return LODE_OK;
    if (search->retrain != LODE_RETRAIN_SCRATCH || strcmp(search->evaluator, "supernet") == 0)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "with space.partial %lld networks cannot inherit the supernet's weights: "
                         "set search.retrain scratch and search.evaluator none or train",
                         (long long)o.partial);
    o.partial = 1;
    r->whole = NULL;
    LODE_TRY(lode_space_load(&o, &r->whole_space));
    return lode_supernet_create(r->whole_space, NULL, LODE_F32, r->recipe->seed, &r->whole);
}

static lode_status run_open(run *r) {
    lode_space_options space;
    lode_dispatch_options dispatch = {.providers = r->recipe->providers};
    char *study = NULL;
    lode_status status = LODE_OK;
    lode_set_threads(r->recipe->threads);
    LODE_GOTO(lode_data_open(&r->recipe->data, r->recipe->seed, &r->data));
    LODE_GOTO(run_fit_space(r, &space));
    LODE_GOTO(lode_space_load(&space, &r->space));
    if (r->recipe->search.discretize == LODE_DISCRETIZE_TOP2 && lode_space_n_keeps(r->space) == 0)
        LODE_GOTO(LODE_FAIL(LODE_ERR_CONFIG,
                            "search.discretize is top2, but space %s has no cell with `keep`: use "
                            "argmax",
                            lode_space_name(r->space)));
    LODE_GOTO(lode_supernet_create(r->space, NULL, LODE_F32, r->recipe->seed, &r->net));
    LODE_GOTO(run_open_whole(r, space));
    LODE_GOTO(lode_dispatch_create(&dispatch, &r->dispatch));
    LODE_GOTO(run_open_known_costs(r));
    LODE_GOTO(run_check_targets(r));
    LODE_GOTO(run_check_memory(r)); /* before anything is on disk */
    LODE_GOTO(run_prepare_directory(r));
    study = run_path(r, "study.db");
    LODE_GOTO(study ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_study_open(study, r->space, r->recipe->seed, &r->study));
done:
    lode_free(study);
    return status;
}

static void run_close(run *r) {
    lode_study_close(r->study);
    lode_strategy_destroy(r->strategy);
    for (int i = 0; i < r->n_costs; i++) lode_cost_close(r->cost[i]);
    if (r->whole != r->net) lode_supernet_destroy(r->whole);
    lode_supernet_destroy(r->net);
    lode_space_release(r->whole_space);
    lode_space_release(r->space);
    lode_dispatch_destroy(r->dispatch);
    lode_data_close(r->data);
}

/* "name=architecture" -> subnets/name */
static lode_status run_baselines(run *r) {
    const lode_string_list *b = &r->recipe->search.baselines;
    for (int i = 0; i < b->n; i++) {
        lode_arch arch;
        char name[64];
        const char *equals = strchr(b->v[i], '=');
        size_t n = equals ? (size_t)(equals - b->v[i]) : 0;
        if (n == 0 || n >= sizeof name)
            return LODE_FAIL(LODE_ERR_CONFIG, "search.baselines: \"%s\": want name=architecture",
                             b->v[i]);
        memcpy(name, b->v[i], n);
        name[n] = '\0';
        LODE_TRY(lode_arch_parse(r->space, equals + 1, &arch));
        LODE_TRY(run_finalist(r, name, "baseline", "", &arch));
    }
    return LODE_OK;
}

static lode_status run_phases(run *r) {
    LODE_TRY(run_open_costs(r));
    LODE_TRY(run_resolve_targets(r));
    LODE_TRY(run_train_supernet(r));
    LODE_TRY(run_judge_mixture(r));
    LODE_TRY(run_baselines(r));
    for (int i = 0; i < r->n_targets; i++) LODE_TRY(run_search_target(r, &r->target[i]));
    if (r->n_targets == 0) LODE_TRY(run_search_target(r, NULL));
    return run_measure(r);
}

/* ---- results ---- */

void lode_run_result_deinit(lode_run_result *r) {
    for (int i = 0; i < r->n; i++) {
        lode_free(r->network[i].arch);
        lode_free(r->network[i].device);
        lode_free(r->network[i].costs);
    }
    lode_free(r->network);
    memset(r, 0, sizeof *r);
}

static double run_json_number(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : -1;
}

/* Decisions of the device: "hardware.tile.m": "m16" among the choices. */
static lode_status run_read_device(json_t *choices, char **out) {
    static const char prefix[] = "hardware.";
    const char *key;
    json_t *value;
    lode_text text = {0};
    json_object_foreach(choices, key, value) {
        if (strncmp(key, prefix, sizeof prefix - 1) != 0) continue;
        /* "m16" of tile.m is 16, "dataflow_x" of dataflow is x */
        const char *dot = strrchr(key, '.') + 1, *option = json_string_value(value);
        size_t n = strlen(dot);
        if (!option) continue;
        if (strncmp(option, dot, n) == 0) option += option[n] == '_' ? n + 1 : n;
        lode_text_add(&text, "%s%s %s", text.length ? ", " : "", key + sizeof prefix - 1, option);
    }
    *out = text.length ? lode_text_take(&text) : lode_strdup("");
    return *out ? LODE_OK : LODE_ERR_NO_MEMORY;
}

static lode_status run_read_costs(json_t *costs, char **out) {
    const char *key;
    json_t *value;
    lode_text text = {0};
    json_object_foreach(costs, key, value) {
        if (strcmp(key, "latency_ms") == 0 || strcmp(key, "macs") == 0 ||
            strcmp(key, "params") == 0)
            continue;
        lode_text_add(&text, "%s%s %.5g", text.length ? ", " : "", key,
                      run_json_number(value, "predicted"));
    }
    *out = text.length ? lode_text_take(&text) : lode_strdup("");
    return *out ? LODE_OK : LODE_ERR_NO_MEMORY;
}

static lode_status run_read_network(const char *path, lode_run_network *out, double *drift) {
    json_t *root = NULL;
    const char *text = NULL;
    lode_status status = LODE_OK;
    LODE_GOTO(lode_json_read(path, &root));
    LODE_GOTO(lode_json_get_string(root, "name", path, &text));
    snprintf(out->name, sizeof out->name, "%s", text);
    LODE_GOTO(lode_json_get_string(root, "role", path, &text));
    snprintf(out->role, sizeof out->role, "%s", text);
    LODE_GOTO(lode_json_get_string(root, "target", path, &text));
    snprintf(out->target, sizeof out->target, "%s", text);
    LODE_GOTO(lode_json_get_string(json_object_get(root, "arch"), "text", path, &text));
    out->arch = lode_strdup(text);
    LODE_GOTO(out->arch ? LODE_OK : LODE_ERR_NO_MEMORY);
    const json_t *latency = json_object_get(json_object_get(root, "cost"), "latency_ms");
    LODE_GOTO(
        run_read_device(json_object_get(json_object_get(root, "arch"), "choices"), &out->device));
    LODE_GOTO(run_read_costs(json_object_get(root, "cost"), &out->costs));
    out->elsewhere = json_is_false(json_object_get(latency, "of_table"));
    out->accuracy = run_json_number(root, "accuracy");
    out->accuracy_supernet = run_json_number(root, "accuracy_supernet");
    out->accuracy_unrecalibrated = run_json_number(root, "accuracy_supernet_unrecalibrated");
    out->accuracy_mixture = run_json_number(json_object_get(root, "discretization"), "mixture");
    out->trained = json_integer_value(json_object_get(root, "epochs")) > 0;
    out->latency_predicted = run_json_number(latency, "predicted");
    out->latency_measured = run_json_number(latency, "measured");
    *drift = run_json_number(latency, "drift");
    out->macs = run_json_number(root, "macs");
    out->params = run_json_number(root, "params");
done:
    json_decref(root);
    return status;
}

static double run_latency_of(const lode_run_network *n) {
    return n->elsewhere ? n->latency_predicted : n->latency_measured;
}

static void run_mark_front(lode_run_result *r) {
    for (int i = 0; i < r->n; i++) {
        lode_run_network *a = &r->network[i];
        a->on_front = true;
        for (int j = 0; j < r->n; j++) {
            const lode_run_network *b = &r->network[j];
            double ours = run_latency_of(a), theirs = run_latency_of(b);
            bool no_worse = b->accuracy >= a->accuracy && theirs <= ours;
            bool better = b->accuracy > a->accuracy || theirs < ours;
            if (no_worse && better) a->on_front = false;
        }
    }
}

/* Baselines first, then by name. */
static void run_sort(lode_run_result *r) {
    for (int i = 1; i < r->n; i++)
        for (int j = i; j > 0; j--) {
            lode_run_network *a = &r->network[j - 1], *b = &r->network[j];
            int a_base = strcmp(a->role, "baseline") == 0,
                b_base = strcmp(b->role, "baseline") == 0;
            if (b_base <= a_base) break;
            lode_run_network t = *a;
            *a = *b;
            *b = t;
        }
}

lode_status lode_run_read_results(const char *directory, lode_run_result *result) {
    memset(result, 0, sizeof *result);
    result->drift = -1;
    lode_status status = LODE_OK;
    char **names = NULL;
    int64_t n = 0;
    char *subnets = lode_path_join(directory, "subnets");
    if (!subnets) return LODE_ERR_NO_MEMORY;
    if (!lode_is_directory(subnets)) goto done;
    LODE_GOTO(lode_list_directory(subnets, &names, &n));
    result->network = LODE_NEW_ARRAY(lode_run_network, n + 1);
    LODE_GOTO(result->network ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < n; i++) {
        char *path = lode_format("%s/%s/result.json", subnets, names[i]);
        LODE_GOTO(path ? LODE_OK : LODE_ERR_NO_MEMORY);
        if (lode_file_exists(path))
            status = run_read_network(path, &result->network[result->n++], &result->drift);
        lode_free(path);
        LODE_GOTO(status);
    }
    run_sort(result);
    run_mark_front(result);
done:
    lode_names_free(names, n);
    lode_free(subnets);
    if (status != LODE_OK) lode_run_result_deinit(result);
    return status;
}

static lode_status run_write_pareto(const run *r, const lode_run_result *result) {
    lode_text csv = {0};
    char *path = run_path(r, "pareto.csv");
    lode_text_add(&csv, "name,role,accuracy,latency_ms_predicted,latency_ms_measured,macs,params,"
                        "on_front,arch\n");
    for (int i = 0; i < result->n; i++) {
        const lode_run_network *n = &result->network[i];
        lode_text_add(&csv, "%s,%s,%.6f,%.6g,%.6g,%.0f,%.0f,%d,\"%s\"\n", n->name, n->role,
                      n->accuracy, n->latency_predicted, n->latency_measured, n->macs, n->params,
                      n->on_front, n->arch);
    }
    lode_status status = path ? lode_text_status(&csv) : LODE_ERR_NO_MEMORY;
    if (status == LODE_OK) status = lode_file_write_atomic(path, csv.s, csv.length);
    lode_text_deinit(&csv);
    lode_free(path);
    return status;
}

lode_status lode_search_run(const lode_run_setup *setup, lode_run_result *result) {
    run r = {.recipe = setup->recipe,
             .directory = setup->directory,
             .progress = setup->progress,
             .resume = setup->resume};
    double start = lode_clock();
    lode_status status = LODE_OK;
    memset(result, 0, sizeof *result);
    LODE_GOTO(lode_recipe_check_seek(setup->recipe));
    LODE_GOTO(run_open(&r));
    LODE_GOTO(run_phases(&r));
    LODE_GOTO(lode_run_read_results(setup->directory, result));
    LODE_GOTO(run_write_pareto(&r, result));
    LODE_GOTO(run_write_status(&r, "done", ""));
    result->seconds = lode_clock() - start;
done:
    if (status != LODE_OK && r.study) {
        /* The story of the failure outlives the status file's own possible failure. */
        char story[1024];
        snprintf(story, sizeof story, "%s", lode_last_error());
        run_write_status(&r, status == LODE_ERR_STOPPED ? "stopped" : "failed", "");
        LODE_FAIL(status, "%s", story);
    }
    run_close(&r);
    return status;
}

lode_status lode_search_run_target(const lode_run_setup *setup, const char *target,
                                   lode_arch *out) {
    run r = {.recipe = setup->recipe,
             .directory = setup->directory,
             .progress = setup->progress,
             .resume = true};
    run_target resolved = {.name = ""};
    run_sought sought = {0};
    char key[16];
    int n = 0;
    lode_status status = LODE_OK;
    lode_trial *best = LODE_NEW_ARRAY(lode_trial, setup->recipe->search.keep);
    char *origin = NULL, *weights = run_path(&r, "supernet.safetensors");
    char *checkpoint = run_path(&r, "checkpoint");
    LODE_GOTO(best && weights && checkpoint ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (!lode_file_exists(weights) || !lode_is_directory(checkpoint))
        LODE_GOTO(LODE_FAIL(LODE_ERR_NOT_FOUND,
                            "%s: no trained supernet (supernet.safetensors and checkpoint/); "
                            "finish the run with lode search --resume first",
                            setup->directory));
    LODE_GOTO(run_open(&r));
    LODE_GOTO(run_open_costs(&r));
    LODE_GOTO(run_resolve_target(&r, target, &resolved));
    LODE_GOTO(run_resolve_targets(&r));
    LODE_GOTO(run_train_supernet(&r)); /* is trained: comes back at once with its weights */
    origin = lode_format("extract %s", resolved.text);
    LODE_GOTO(origin ? LODE_OK : LODE_ERR_NO_MEMORY);
    snprintf(key, sizeof key, "%08x", (unsigned)lode_hash_text(origin));
    LODE_GOTO(run_seek(&r, &resolved, key, &sought));
    LODE_GOTO(run_find(&r, &resolved, sought.strategy, origin, best, &n));
    LODE_GOTO(run_write_status(&r, "done", ""));
    if (n == 0)
        LODE_GOTO(LODE_FAIL(LODE_ERR_INFEASIBLE, "no architecture that meets %s could be judged",
                            target));
    *out = best[0].arch;
done:
    run_sought_deinit(&sought);
    run_close(&r);
    lode_free(origin);
    lode_free(checkpoint);
    lode_free(weights);
    lode_free(best);
    return status;
}
