/* evaluate.c: one epoch of a loader over an EVAL tape, which forgets as it goes. */
#include "train/evaluate.h"

#include <stdio.h>

static int64_t evaluate_row_argmax(const lode_tensor *x, int64_t row, int64_t n_classes) {
    int64_t best = 0;
    for (int64_t k = 1; k < n_classes; k++)
        if (lode_at(x, row * n_classes + k) > lode_at(x, row * n_classes + best)) best = k;
    return best;
}

int64_t lode_count_correct(const lode_tensor *logits, const lode_tensor *labels) {
    int64_t n = lode_tensor_count(labels), correct = 0;
    int64_t n_classes = logits->shape.dim[logits->shape.n_dims - 1];
    for (int64_t i = 0; i < n; i++)
        correct += evaluate_row_argmax(logits, i, n_classes) == (int64_t)lode_at(labels, i);
    return correct;
}

/* The network's dtype may differ from the loader's f32. */
lode_var *lode_batch_input(lode_tape *t, const lode_batch *batch, lode_dtype dtype) {
    if (batch->x->dtype == dtype) return lode_tape_constant(t, batch->x);
    lode_tensor *x = NULL;
    lode_status status =
        lode_tensor_create(batch->x->device, dtype, &batch->x->shape, LODE_CHANNELS_LAST, &x);
    if (status == LODE_OK) status = lode_tensor_copy(x, batch->x);
    lode_var *v = status == LODE_OK ? lode_tape_constant(t, x) : lode_tape_fail(t, status);
    lode_tensor_release(x);
    return v;
}

/* Logits of one batch on a fresh tape. */
static lode_var *evaluate_forward(const lode_evaluate_setup *s, lode_tape *t, lode_bn_mode bn,
                                  const lode_batch *batch) {
    lode_choice choice[LODE_MAX_DECISIONS];
    const lode_forward_options options = {.bn = bn};
    lode_tape_reset(t);
    if (s->arch != NULL) lode_choice_from_arch(s->arch, choice);
    if (s->mixture != NULL) {
        lode_status status = lode_strategy_mixture(s->mixture, t, choice);
        if (status != LODE_OK) return lode_tape_fail(t, status);
    }
    lode_dtype dtype = lode_supernet_parameter(s->net, 0)->value->dtype;
    return lode_supernet_forward(t, s->net, lode_batch_input(t, batch, dtype),
                                 s->arch != NULL || s->mixture != NULL ? choice : NULL, &options);
}

static lode_status evaluate_batch(const lode_evaluate_setup *s, lode_tape *t,
                                  const lode_batch *batch, double *loss, int64_t *correct) {
    lode_var *logits = evaluate_forward(s, t, s->bn, batch);
    lode_var *ce = lode_cross_entropy(t, logits, lode_tape_constant(t, batch->labels), 0);
    LODE_TRY(lode_tape_status(t));
    *loss += lode_at(ce->value, 0) * (double)batch->n;
    *correct += lode_count_correct(logits->value, batch->labels);
    return LODE_OK;
}

static lode_status evaluate_check(const lode_evaluate_setup *s) {
    if (s->arch == NULL && s->mixture == NULL && !lode_supernet_is_fixed(s->net, NULL))
        return LODE_FAIL(LODE_ERR_INVALID,
                         "evaluate: the network has decisions, so an architecture or a mixture is "
                         "needed");
    return LODE_OK;
}

lode_status lode_evaluate(const lode_evaluate_setup *setup, lode_evaluation *out) {
    lode_status status = LODE_OK;
    lode_tape *t = NULL;
    double loss = 0;
    int64_t correct = 0, seen = 0;
    *out = (lode_evaluation){0};
    LODE_TRY(evaluate_check(setup));
    int64_t n = lode_loader_n_batches(setup->loader);
    if (setup->max_batches > 0 && setup->max_batches < n) n = setup->max_batches;
    LODE_TRY(lode_loader_seek(setup->loader, 0, 0));
    LODE_TRY(lode_tape_create(LODE_EVAL, setup->runner, &t));
    for (int64_t i = 0; i < n; i++) {
        lode_batch batch;
        char text[64];
        if (lode_progress_should_stop(setup->progress)) {
            status = LODE_FAIL(LODE_ERR_STOPPED, "stopped while evaluating, at batch %lld of %lld",
                               (long long)i, (long long)n);
            goto done;
        }
        LODE_GOTO(lode_loader_next(setup->loader, &batch));
        LODE_GOTO(evaluate_batch(setup, t, &batch, &loss, &correct));
        seen += batch.n;
        snprintf(text, sizeof text, "acc %.4f", (double)correct / (double)seen);
        lode_progress_update(setup->progress, "evaluate", i + 1, n, text);
    }
    if (seen > 0)
        *out = (lode_evaluation){(double)correct / (double)seen, loss / (double)seen, seen};
done:
    lode_tape_destroy(t);
    return status;
}

lode_status lode_recalibrate(const lode_evaluate_setup *setup, int64_t n_images) {
    lode_status status = LODE_OK;
    lode_tape *t = NULL;
    LODE_TRY(evaluate_check(setup));
    if (n_images <= 0 || n_images > lode_loader_n_samples(setup->loader))
        n_images = lode_loader_n_samples(setup->loader);
    int64_t n = lode_loader_n_batches(setup->loader);
    LODE_TRY(lode_loader_seek(setup->loader, 0, 0));
    LODE_TRY(lode_supernet_calibrate_begin(setup->net));
    LODE_GOTO(lode_tape_create(LODE_EVAL, setup->runner, &t));
    for (int64_t i = 0, seen = 0; i < n && seen < n_images; i++) {
        lode_batch batch;
        if (lode_progress_should_stop(setup->progress)) {
            status = LODE_FAIL(LODE_ERR_STOPPED, "stopped while recalibrating batch norm");
            goto done;
        }
        LODE_GOTO(lode_loader_next(setup->loader, &batch));
        evaluate_forward(setup, t, LODE_BN_CALIBRATE, &batch);
        LODE_GOTO(lode_tape_status(t));
        seen += batch.n;
        lode_progress_update(setup->progress, "recalibrate", seen, n_images, "");
    }
    status = lode_supernet_calibrate_end(setup->net);
done:
    lode_tape_destroy(t);
    return status;
}
