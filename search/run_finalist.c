/* run_finalist.c: from an architecture to a network one can ship: extract, judge with inherited
   weights, train, test, write. Its latency is measured with all others in run_measure.c. */
#include "core/json.h"
#include "core/memory.h"
#include "core/platform.h"
#include "search/run_internal.h"
#include "train/evaluate.h"

#include <stdio.h>
#include <string.h>

typedef struct finalist {
    run *r;
    const char *name, *role, *target;
    const lode_arch *arch;
    char *directory;
    lode_supernet *net; /* the fixed network */
    double accuracy, accuracy_supernet, accuracy_unrecalibrated;
    double loss;
} finalist;

static lode_status finalist_test(finalist *f, lode_supernet *net, lode_evaluation *out) {
    lode_loader *loader = NULL;
    LODE_TRY(lode_data_loader(f->r->data, "test", LODE_DATA_EVAL, f->r->recipe->data.batch,
                              (int)f->r->recipe->data.workers, &loader));
    lode_evaluate_setup setup = {.net = net,
                                 .loader = loader,
                                 .runner = lode_dispatch_runner(f->r->dispatch),
                                 .bn = LODE_BN_RUNNING,
                                 .progress = f->r->progress};
    lode_status status = lode_evaluate(&setup, out);
    lode_loader_destroy(loader);
    return status;
}

static lode_status finalist_recalibrate(finalist *f, lode_supernet *net) {
    lode_loader *loader = NULL;
    LODE_TRY(lode_data_loader(f->r->data, "train", LODE_DATA_TRAIN, f->r->recipe->data.batch,
                              (int)f->r->recipe->data.workers, &loader));
    lode_evaluate_setup setup = {.net = net,
                                 .loader = loader,
                                 .runner = lode_dispatch_runner(f->r->dispatch),
                                 .bn = LODE_BN_RUNNING};
    lode_status status = lode_recalibrate(&setup, f->r->recipe->search.recalibrate);
    lode_loader_destroy(loader);
    return status;
}

/* The supernet's path as a network of its own, judged on test before and after recalibration. */
static lode_status finalist_inherit(finalist *f, lode_supernet **out) {
    lode_evaluation before, after;
    LODE_TRY(lode_supernet_extract(f->r->net, f->arch, out));
    LODE_TRY(finalist_test(f, *out, &before));
    LODE_TRY(finalist_recalibrate(f, *out));
    LODE_TRY(finalist_test(f, *out, &after));
    f->accuracy_unrecalibrated = before.accuracy;
    f->accuracy_supernet = after.accuracy;
    return LODE_OK;
}

static lode_status finalist_train(finalist *f) {
    lode_status status = LODE_OK;
    lode_train_result result;
    char relative[128];
    snprintf(relative, sizeof relative, "checkpoint/%s", f->name);
    char *checkpoint = run_path(f->r, relative);
    char *metrics = lode_path_join(f->directory, "metrics.jsonl");
    LODE_GOTO(checkpoint && metrics ? LODE_OK : LODE_ERR_NO_MEMORY);
    lode_train_setup setup = {.phase = "train",
                              .net = f->net,
                              .data = f->r->data,
                              .data_batch = f->r->recipe->data.batch,
                              .workers = (int)f->r->recipe->data.workers,
                              .runner = lode_dispatch_runner(f->r->dispatch),
                              .options = &f->r->recipe->train,
                              .seed = f->r->recipe->seed,
                              .metrics_path = metrics,
                              .checkpoint_directory = checkpoint,
                              .resume = f->r->resume,
                              .progress = f->r->progress};
    LODE_GOTO(lode_train(&setup, &result));
done:
    lode_free(checkpoint);
    lode_free(metrics);
    return status;
}

static lode_status finalist_make_net(finalist *f) {
    int retrain = f->r->recipe->search.retrain;
    lode_supernet *inherited = NULL;
    lode_status status = LODE_OK;
    f->accuracy_supernet = f->accuracy_unrecalibrated = -1;
    if (f->r->recipe->strategy && f->r->whole == f->r->net)
        LODE_GOTO(finalist_inherit(f, &inherited));
    if (retrain == LODE_RETRAIN_SCRATCH || !inherited)
        LODE_GOTO(
            lode_supernet_create(f->r->space, f->arch, LODE_F32, f->r->recipe->seed, &f->net));
    else {
        f->net = inherited;
        inherited = NULL;
    }
    if (retrain != LODE_RETRAIN_NONE) LODE_GOTO(finalist_train(f));
done:
    lode_supernet_destroy(inherited);
    return status;
}

/* ---- result.json ---- */

static json_t *finalist_number(double v) { return v < 0 ? json_null() : lode_json_number(v); }

/* From the mixture to a network of its own: what each step costs or brings, on test. */
static json_t *finalist_gap_json(const finalist *f) {
    const run *r = f->r;
    bool found = strcmp(f->role, "found") == 0;
    const lode_strategy *by = r->found_by ? r->found_by : r->strategy;
    bool likely = by && lode_strategy_get_plugin(by)->probabilities;
    lode_arch mode;
    json_t *o = json_object();
    if (found) {
        int rule = r->recipe->search.discretize;
        json_object_set_new(o, "rule", json_string(lode_discretize_name((lode_discretize)rule)));
        json_object_set_new(o, "searcher", json_string(r->recipe->searcher->name));
    }
    if (likely && lode_strategy_best(by, &mode) == LODE_OK) {
        double mine = lode_strategy_log_probability(by, f->arch);
        double most = lode_strategy_log_probability(by, &mode);
        json_object_set_new(o, "log_probability", lode_json_number(mine));
        json_object_set_new(o, "log_probability_most", lode_json_number(most));
    }
    json_object_set_new(o, "mixture", finalist_number(found ? r->mixture : -1));
    json_object_set_new(o, "mixture_batch_norm", json_string("batch"));
    json_object_set_new(o, "cut_out", finalist_number(f->accuracy_unrecalibrated));
    json_object_set_new(o, "recalibrated", finalist_number(f->accuracy_supernet));
    bool trained = r->recipe->search.retrain != LODE_RETRAIN_NONE;
    json_object_set_new(o, "retrained", finalist_number(trained ? f->accuracy : -1));
    return o;
}

static json_t *finalist_cost_json(finalist *f) {
    json_t *costs = json_object();
    for (int i = 0; costs && i < f->r->n_costs; i++) {
        double predicted = 0;
        json_t *o = json_object();
        if (!o || lode_cost_hard(f->r->cost[i], f->arch, &predicted) != LODE_OK) {
            json_decref(o);
            json_decref(costs);
            return NULL;
        }
        bool counted = i == RUN_MACS || i == RUN_PARAMS;
        json_object_set_new(o, "predicted", lode_json_number(predicted));
        json_object_set_new(o, "measured", counted ? lode_json_number(predicted) : json_null());
        json_object_set_new(o, "unit", json_string(lode_cost_unit(f->r->cost[i])));
        if (i == RUN_LATENCY) /* else it is measured on this machine, which it does not price */
            json_object_set_new(o, "of_table",
                                json_boolean(lode_cost_table(f->r->cost[i]) != NULL));
        json_object_set_new(costs, lode_cost_name(f->r->cost[i]), o);
    }
    return costs;
}

static json_t *finalist_json(finalist *f) {
    json_t *o = json_object(), *costs = finalist_cost_json(f);
    if (!o || !costs) {
        json_decref(o);
        json_decref(costs);
        return NULL;
    }
    double macs = json_number_value(json_object_get(json_object_get(costs, "macs"), "predicted"));
    double params =
        json_number_value(json_object_get(json_object_get(costs, "params"), "predicted"));
    json_object_set_new(o, "name", json_string(f->name));
    json_object_set_new(o, "role", json_string(f->role));
    json_object_set_new(o, "target", json_string(f->target));
    json_object_set_new(o, "arch", lode_arch_json(f->r->space, f->arch));
    json_object_set_new(o, "space", json_string(lode_space_name(f->r->space)));
    json_object_set_new(o, "accuracy", lode_json_number(f->accuracy));
    json_object_set_new(o, "accuracy_supernet",
                        f->accuracy_supernet < 0 ? json_null()
                                                 : lode_json_number(f->accuracy_supernet));
    json_object_set_new(o, "accuracy_supernet_unrecalibrated",
                        f->accuracy_unrecalibrated < 0
                            ? json_null()
                            : lode_json_number(f->accuracy_unrecalibrated));
    json_object_set_new(o, "discretization", finalist_gap_json(f));
    json_object_set_new(o, "cost", costs);
    json_object_set_new(o, "macs", json_integer((json_int_t)macs));
    json_object_set_new(o, "params", json_integer((json_int_t)params));
    json_object_set_new(o, "seed", json_integer((json_int_t)f->r->recipe->seed));
    json_object_set_new(o, "dataset", json_string(f->r->recipe->data.name));
    json_object_set_new(o, "epochs",
                        json_integer(f->r->recipe->search.retrain == LODE_RETRAIN_NONE
                                         ? 0
                                         : f->r->recipe->train.epochs));
    return o;
}

static lode_status finalist_write(finalist *f) {
    lode_status status = LODE_OK;
    json_t *o = NULL;
    char *path = lode_path_join(f->directory, "result.json");
    LODE_GOTO(path ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_subnet_save(f->net, f->directory));
    o = finalist_json(f);
    LODE_GOTO(o ? LODE_OK : LODE_FAIL(LODE_ERR_NO_MEMORY, "no memory for result.json"));
    LODE_GOTO(
        lode_json_write(path, o)); /* comes last: its presence means the network is finished */
done:
    json_decref(o);
    lode_free(path);
    return status;
}

lode_status run_finalist(run *r, const char *name, const char *role, const char *target,
                         const lode_arch *arch) {
    finalist f = {.r = r, .name = name, .role = role, .target = target, .arch = arch};
    lode_status status = LODE_OK;
    lode_evaluation test;
    char relative[128], *done_path = NULL;
    snprintf(relative, sizeof relative, "subnets/%s", name);
    f.directory = run_path(r, relative);
    done_path = f.directory ? lode_path_join(f.directory, "result.json") : NULL;
    LODE_GOTO(done_path ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (lode_file_exists(done_path)) goto done;
    LODE_GOTO(run_write_status(r, "running", name));
    LODE_GOTO(lode_make_directories(f.directory));
    LODE_GOTO(finalist_make_net(&f));
    LODE_GOTO(finalist_test(&f, f.net, &test));
    f.accuracy = test.accuracy;
    LODE_GOTO(finalist_write(&f));
done:
    lode_supernet_destroy(f.net);
    lode_free(done_path);
    lode_free(f.directory);
    return status;
}
