/* run_measure.c: the last phase: what the finished networks take on this machine. All are timed in
   turn, so they can be compared with each other, and their calls against the table, so that an
   error of the prediction can be told from a change of the machine. */
#include "core/json.h"
#include "core/memory.h"
#include "core/platform.h"
#include "search/run_internal.h"

typedef struct measured_network {
    char *directory, *path; /* of result.json */
    json_t *result;
    lode_supernet *net;
    lode_summary time;
} measured_network;

static json_t *measure_latency_of(const json_t *result) {
    return json_object_get(json_object_get(result, "cost"), "latency_ms");
}

static lode_status measure_open(const run *r, char *const *names, int64_t n, measured_network *m,
                                int64_t *n_open, bool *complete) {
    *n_open = 0;
    *complete = true;
    for (int64_t i = 0; i < n; i++) {
        measured_network *x = &m[*n_open];
        char *relative = lode_format("subnets/%s", names[i]);
        if (!relative) return LODE_ERR_NO_MEMORY;
        x->directory = run_path(r, relative);
        lode_free(relative);
        x->path = x->directory ? lode_path_join(x->directory, "result.json") : NULL;
        ++*n_open; /* from here on closed by the caller */
        if (!x->path) return LODE_ERR_NO_MEMORY;
        LODE_TRY(lode_json_read(x->path, &x->result));
        if (!json_is_number(json_object_get(measure_latency_of(x->result), "measured")))
            *complete = false;
    }
    return LODE_OK;
}

static lode_status measure_run(const run *r, measured_network *m, int64_t n, double *drift) {
    lode_status status = LODE_OK;
    const lode_cost *latency = r->cost[RUN_LATENCY];
    const lode_table *table = lode_cost_table(latency);
    if (table && *lode_table_get_info(table).runner) table = NULL; /* calls of another device */
    lode_supernet **net = LODE_NEW_ARRAY(lode_supernet *, n);
    lode_summary *time = LODE_NEW_ARRAY(lode_summary, n);
    LODE_GOTO(net && time ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < n; i++) {
        LODE_GOTO(lode_subnet_load(m[i].directory, &m[i].net));
        net[i] = m[i].net;
    }
    lode_profile_networks setup = {.net = net,
                                   .n = n,
                                   .form = LODE_FORM_FOLDED,
                                   .dispatch = r->dispatch,
                                   .batch = lode_cost_batch(latency),
                                   .warmup = 5,
                                   .rounds = r->recipe->search.measure_rounds,
                                   .table = table,
                                   .progress = r->progress};
    LODE_GOTO(lode_profile_run_networks(&setup, time, drift));
    for (int64_t i = 0; i < n; i++) m[i].time = time[i];
done:
    lode_free(time);
    lode_free(net);
    return status;
}

static lode_status measure_write(const measured_network *m, double drift) {
    json_t *latency = measure_latency_of(m->result);
    if (!latency)
        return LODE_FAIL(LODE_ERR_DATA,
                         "%s: no cost.latency_ms; delete the directory to make "
                         "this network again",
                         m->path);
    json_object_set_new(latency, "measured", lode_json_number(m->time.median));
    json_object_set_new(latency, "fastest", lode_json_number(m->time.min));
    json_object_set_new(latency, "spread", lode_json_number(m->time.spread));
    json_object_set_new(latency, "drift", drift > 0 ? lode_json_number(drift) : json_null());
    return lode_json_write(m->path, m->result);
}

/* Directories of finished networks; others (of a killed run) have no result.json. */
static void measure_drop_unfinished(const run *r, char **names, int64_t *n) {
    int64_t kept = 0;
    for (int64_t i = 0; i < *n; i++) {
        char *path = lode_format("%s/subnets/%s/result.json", r->directory, names[i]);
        bool finished = path && lode_file_exists(path);
        lode_free(path);
        if (finished) {
            char *t = names[kept];
            names[kept++] = names[i];
            names[i] = t;
        }
    }
    *n = kept;
}

lode_status run_measure(run *r) {
    lode_status status = LODE_OK;
    char **names = NULL;
    int64_t n_names = 0, n = 0, n_open = 0;
    double drift = -1;
    bool complete = true;
    measured_network *m = NULL;
    char *subnets = run_path(r, "subnets");
    LODE_GOTO(subnets ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (!lode_is_directory(subnets)) goto done;
    LODE_GOTO(lode_list_directory(subnets, &names, &n_names));
    n = n_names;
    measure_drop_unfinished(r, names, &n);
    m = LODE_NEW_ARRAY(measured_network, n + 1);
    LODE_GOTO(m ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(measure_open(r, names, n, m, &n_open, &complete));
    if (complete) goto done;
    LODE_GOTO(run_write_status(r, "running", "measure networks"));
    LODE_GOTO(measure_run(r, m, n, &drift));
    for (int64_t i = 0; i < n; i++) LODE_GOTO(measure_write(&m[i], drift));
done:
    for (int64_t i = 0; i < n_open; i++) {
        lode_supernet_destroy(m[i].net);
        json_decref(m[i].result);
        lode_free(m[i].path);
        lode_free(m[i].directory);
    }
    lode_free(m);
    lode_names_free(names, n_names);
    lode_free(subnets);
    return status;
}
