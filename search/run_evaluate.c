/* run_evaluate.c: who judges architectures in a run: the trained supernet, a short training,
   nobody.

   Decisions of the device (`hardware:` of a space) change no weight and no accuracy, so networks
   that differ in them alone are judged once. Judging is a function of the network, so a resumed
   search, which begins with an empty memory, finds the same. */
#include "core/memory.h"
#include "search/run_internal.h"
#include "train/evaluate.h"

#include <math.h>
#include <string.h>

/* Inherited weights: recalibrate the path's batch norm, then judge on the valid split. */
static lode_status run_evaluate_supernet(run_evaluation *e, int n, lode_trial *trial) {
    for (int i = 0; i < n; i++) {
        lode_evaluation out;
        lode_evaluate_setup setup = {.net = e->r->net,
                                     .arch = &trial[i].arch,
                                     .loader = e->calibrate,
                                     .runner = lode_dispatch_runner(e->r->dispatch),
                                     .bn = LODE_BN_RUNNING,
                                     .progress = NULL};
        LODE_TRY(lode_recalibrate(&setup, e->r->recipe->search.recalibrate));
        setup.loader = e->valid;
        setup.max_batches = e->r->recipe->search.eval_batches;
        LODE_TRY(lode_evaluate(&setup, &out));
        trial[i].state = LODE_TRIAL_DONE;
        trial[i].n_objectives = 1;
        trial[i].objective[0] = 1 - out.accuracy;
    }
    return LODE_OK;
}

/* A short training of its own, judged on the valid split. */
static lode_status run_evaluate_train(run_evaluation *e, int n, lode_trial *trial) {
    run *r = e->r;
    for (int i = 0; i < n; i++) {
        lode_supernet *net = NULL;
        lode_evaluation out = {0};
        lode_train_result result;
        lode_train_options options = r->recipe->train;
        options.epochs = (int64_t)ceil(r->recipe->search.eval_epochs);
        options.warmup *= (double)options.epochs / (double)r->recipe->train.epochs;
        options.eval_split = "";
        lode_train_setup train = {.phase = "evaluate",
                                  .data = r->data,
                                  .data_batch = r->recipe->data.batch,
                                  .workers = (int)r->recipe->data.workers,
                                  .runner = lode_dispatch_runner(r->dispatch),
                                  .options = &options,
                                  .seed = r->recipe->seed,
                                  .progress = r->progress};
        LODE_TRY(lode_supernet_create(r->space, &trial[i].arch, LODE_F32, r->recipe->seed, &net));
        train.net = net;
        lode_status status = lode_train(&train, &result);
        if (status == LODE_OK) {
            lode_evaluate_setup setup = {.net = net,
                                         .loader = e->valid,
                                         .runner = lode_dispatch_runner(r->dispatch),
                                         .bn = LODE_BN_RUNNING,
                                         .max_batches = r->recipe->search.eval_batches};
            status = lode_evaluate(&setup, &out);
        }
        lode_supernet_destroy(net);
        if (status != LODE_OK && status != LODE_ERR_NUMERIC) return status;
        trial[i].state = status == LODE_OK ? LODE_TRIAL_DONE : LODE_TRIAL_FAILED;
        trial[i].n_objectives = 1;
        trial[i].objective[0] = 1 - out.accuracy;
    }
    return LODE_OK;
}

/* Nobody judges: proposals are taken in the order they came. */
static lode_status run_evaluate_none(void *self, int n, lode_trial *trial) {
    (void)self;
    for (int i = 0; i < n; i++) {
        trial[i].state = LODE_TRIAL_DONE;
        trial[i].n_objectives = 1;
        trial[i].objective[0] = 1;
    }
    return LODE_OK;
}

/* ---- networks already judged ---- */

/* The architecture with the device left open: every option of it the first. */
static lode_arch evaluate_network_of(const run *r, const lode_arch *arch) {
    lode_arch network = *arch;
    for (int d = 0; d < arch->n; d++)
        if (lode_space_decision(r->space, d)->kind == LODE_DECISION_HARDWARE) network.option[d] = 0;
    return lode_arch_canonical(r->space, &network);
}

static lode_status evaluate_keep(run_evaluation *e, const lode_arch *network,
                                 const lode_trial *judged) {
    LODE_TRY(lode_grow((void **)&e->known, &e->capacity, e->n_known + 1, sizeof *e->known));
    e->known[e->n_known] = *judged;
    e->known[e->n_known++].arch = *network;
    return LODE_OK;
}

static lode_status evaluate_each(void *self, int n, lode_trial *trial) {
    run_evaluation *e = self;
    bool supernet = strcmp(e->r->recipe->search.evaluator, "supernet") == 0;
    for (int i = 0; i < n; i++) {
        lode_arch network = evaluate_network_of(e->r, &trial[i].arch);
        const lode_trial *known = NULL;
        for (int64_t k = 0; k < e->n_known && !known; k++)
            if (lode_arch_equal(&e->known[k].arch, &network)) known = &e->known[k];
        if (known) {
            trial[i].state = known->state;
            trial[i].n_objectives = known->n_objectives;
            memcpy(trial[i].objective, known->objective, sizeof known->objective);
            continue;
        }
        LODE_TRY(supernet ? run_evaluate_supernet(e, 1, &trial[i])
                          : run_evaluate_train(e, 1, &trial[i]));
        LODE_TRY(evaluate_keep(e, &network, &trial[i]));
    }
    return LODE_OK;
}

lode_status run_evaluation_open(run_evaluation *e, run *r, lode_evaluator *out) {
    const lode_recipe *recipe = r->recipe;
    *e = (run_evaluation){.r = r};
    out->name = recipe->search.evaluator;
    out->self = e;
    out->evaluate = strcmp(out->name, "none") == 0 ? run_evaluate_none : evaluate_each;
    if (out->evaluate == run_evaluate_none) return LODE_OK;
    LODE_TRY(lode_data_loader(r->data, "valid", LODE_DATA_EVAL, recipe->data.batch,
                              (int)recipe->data.workers, &e->valid));
    if (strcmp(out->name, "supernet") != 0) return LODE_OK;
    return lode_data_loader(r->data, "train", LODE_DATA_TRAIN, recipe->data.batch,
                            (int)recipe->data.workers, &e->calibrate);
}

void run_evaluation_close(run_evaluation *e) {
    lode_loader_destroy(e->calibrate);
    lode_loader_destroy(e->valid);
    lode_free(e->known);
    *e = (run_evaluation){0};
}
