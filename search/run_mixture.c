/* run_mixture.c: how good the supernet is as what the strategy trained it for: the mixture by its
   final probabilities. Beside the networks cut out of it, it shows what discretization costs.

   Batch norm uses each test batch's own statistics, as it does when architecture parameters are
   trained (methods 0.2, 0.3): running statistics of a supernet belong to no mixture, and
   recalibrating them would change what the cut-out networks inherit. Only reported; no choice is
   made by it. */
#include "core/json.h"
#include "core/memory.h"
#include "core/platform.h"
#include "search/run_internal.h"
#include "train/evaluate.h"

static lode_status mixture_read(run *r, const char *path) {
    json_t *o = NULL;
    LODE_TRY(lode_json_read(path, &o));
    const json_t *accuracy = json_object_get(o, "accuracy");
    r->mixture = json_is_number(accuracy) ? json_number_value(accuracy) : -1;
    json_decref(o);
    return LODE_OK;
}

static lode_status mixture_measure(run *r, lode_evaluation *out) {
    lode_loader *loader = NULL;
    LODE_TRY(lode_data_loader(r->data, "test", LODE_DATA_EVAL, r->recipe->data.batch,
                              (int)r->recipe->data.workers, &loader));
    lode_evaluate_setup setup = {.net = r->net,
                                 .mixture = r->strategy,
                                 .loader = loader,
                                 .runner = lode_dispatch_runner(r->dispatch),
                                 .bn = LODE_BN_BATCH,
                                 .progress = r->progress};
    lode_status status = lode_evaluate(&setup, out);
    lode_loader_destroy(loader);
    return status;
}

static lode_status mixture_write(run *r, const char *path, const lode_evaluation *e) {
    json_t *o = json_pack("{s:o, s:o, s:I, s:s, s:s}", "accuracy", lode_json_number(e->accuracy),
                          "loss", lode_json_number(e->loss), "n", (json_int_t)e->n, "split", "test",
                          "batch_norm", "batch");
    lode_status status = o ? lode_json_write(path, o) : LODE_ERR_NO_MEMORY;
    json_decref(o);
    r->mixture = e->accuracy;
    lode_log(LODE_LOG_INFO, "the supernet mixed by its probabilities: %.2f %% on test",
             100 * e->accuracy);
    return status;
}

lode_status run_judge_mixture(run *r) {
    lode_status status = LODE_OK;
    lode_evaluation e;
    r->mixture = -1;
    if (!r->strategy || !lode_strategy_get_plugin(r->strategy)->probabilities) return LODE_OK;
    char *path = run_path(r, "mixture.json");
    LODE_GOTO(path ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (lode_file_exists(path)) {
        LODE_GOTO(mixture_read(r, path));
        goto done;
    }
    LODE_GOTO(run_write_status(r, "running", "mixture"));
    LODE_GOTO(mixture_measure(r, &e));
    LODE_GOTO(mixture_write(r, path, &e));
done:
    lode_free(path);
    return status;
}
