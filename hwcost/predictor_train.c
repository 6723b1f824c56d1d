/* predictor_train.c: trains a predictor's network: AdamW on squared errors of standardized targets,
   a rate that falls to 0 along a cosine, and the weights of the epoch that validated best.

   The order of the rows comes from (seed, epoch). Kernels are those that promise the same bits at
   any number of threads. */
#include "core/memory.h"
#include "core/parallel.h"
#include "hwcost/predictor_internal.h"
#include "ops/dispatch.h"
#include "ops/ops.h"
#include "ops/optimizer_step.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct training {
    predictor_net *net;
    predictor_job *job;
    lode_dispatch *dispatch;
    lode_tape *tape;
    int64_t f, outputs, steps;                     /* features; steps so far */
    int64_t *order;                                /* [train.n] */
    lode_tensor *moment[PREDICTOR_MAX_TENSORS][2]; /* of Adam */
    lode_tensor *best[PREDICTOR_MAX_TENSORS];      /* weights of the best epoch */
} training;

static void training_deinit(training *t) {
    lode_tape_destroy(t->tape);
    lode_dispatch_destroy(t->dispatch);
    lode_free(t->order);
    for (int i = 0; i < PREDICTOR_MAX_TENSORS; i++) {
        lode_tensor_release(t->moment[i][0]);
        lode_tensor_release(t->moment[i][1]);
        lode_tensor_release(t->best[i]);
    }
}

static bool training_is_trained(const training *t, int i) {
    return t->net->param[i]->kind != LODE_PARAM_RUNNING;
}

static lode_status training_init(training *t) {
    const lode_dispatch_options o = {.deterministic = true};
    LODE_TRY(lode_dispatch_create(&o, &t->dispatch));
    LODE_TRY(lode_tape_create(LODE_TRAIN, lode_dispatch_runner(t->dispatch), &t->tape));
    t->f = lode_encoding_n(t->net->encoding);
    t->outputs = t->net->outputs;
    t->order = LODE_NEW_ARRAY(int64_t, t->job->train.n + 1);
    if (!t->order) return LODE_ERR_NO_MEMORY;
    for (int i = 0; i < t->net->n; i++) {
        const lode_tensor *value = t->net->param[i]->value;
        if (!training_is_trained(t, i)) continue;
        for (int m = 0; m < 2; m++)
            LODE_TRY(lode_tensor_zeros(NULL, LODE_F32, &value->shape, LODE_CONTIGUOUS,
                                       &t->moment[i][m]));
        LODE_TRY(lode_tensor_clone(value, &t->best[i]));
    }
    return LODE_OK;
}

/* Squared error of some rows (row NULL: the first n) on the tape; trains: parameters are leaves. */
static lode_status training_loss(training *t, const predictor_samples *s, const int64_t *row,
                                 int64_t n, bool trains, lode_var **loss) {
    lode_tensor *x = NULL, *y = NULL;
    lode_var *w[PREDICTOR_MAX_TENSORS];
    lode_status status = LODE_OK;
    lode_tape_reset(t->tape);
    LODE_GOTO(lode_tensor_create(NULL, LODE_F32, &LODE_SHAPE2(n, t->f), LODE_CONTIGUOUS, &x));
    LODE_GOTO(lode_tensor_create(NULL, LODE_F32, &LODE_SHAPE2(n, t->outputs), LODE_CONTIGUOUS, &y));
    for (int64_t i = 0; i < n; i++) {
        int64_t from = row ? row[i] : i;
        for (int64_t k = 0; k < t->f; k++)
            ((float *)x->data)[i * t->f + k] = (float)s->x[from * t->f + k];
        for (int64_t k = 0; k < t->outputs; k++)
            ((float *)y->data)[i * t->outputs + k] = (float)s->y[from * t->outputs + k];
    }
    for (int i = 0; i < t->net->n; i++)
        w[i] = trains ? lode_parameter_var(t->tape, t->net->param[i])
                      : lode_tape_constant(t->tape, t->net->param[i]->value);
    *loss =
        lode_mse(t->tape, predictor_net_output(t->net, t->tape, w, lode_tape_constant(t->tape, x)),
                 lode_tape_constant(t->tape, y));
    status = lode_tape_status(t->tape);
done:
    lode_tensor_release(x);
    lode_tensor_release(y);
    return status;
}

static lode_status training_step(training *t, const int64_t *row, int64_t n, double lr) {
    lode_var *loss = NULL;
    LODE_TRY(training_loss(t, &t->job->train, row, n, true, &loss));
    LODE_TRY(lode_backward(t->tape, loss, 1));
    t->steps++;
    const predictor_net_kind *kind = t->net->kind;
    double decay = t->job->options->decay * (kind->decay > 0 ? kind->decay : 1);
    if (kind->lr > 0) lr *= kind->lr;
    for (int i = 0; i < t->net->n; i++) {
        lode_parameter *p = t->net->param[i];
        if (!training_is_trained(t, i) || !p->grad) continue;
        const lode_adam_params o = {.lr = lr,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .eps = 1e-8,
                                    .weight_decay = p->kind == LODE_PARAM_WEIGHT ? decay : 0,
                                    .step = t->steps,
                                    .decoupled = true};
        LODE_TRY(lode_adam_step(p->value, p->grad, t->moment[i][0], t->moment[i][1], &o));
        lode_parameter_clear_grad(p);
    }
    return LODE_OK;
}

/* Mean squared error of the rows for validation; 0 when there are none. */
static lode_status training_validate(training *t, int64_t epoch, double *valid) {
    lode_var *loss = NULL;
    *valid = 0;
    if (t->job->valid.n == 0) return LODE_OK;
    LODE_TRY(training_loss(t, &t->job->valid, NULL, t->job->valid.n, false, &loss));
    *valid = lode_at(loss->value, 0);
    if (!isfinite(*valid))
        return LODE_FAIL(LODE_ERR_NUMERIC,
                         "fit: the error is not finite after epoch %lld; a smaller fit.lr may help",
                         (long long)epoch);
    return LODE_OK;
}

static lode_status training_epoch(training *t, int64_t epoch, double *valid) {
    const lode_predictor_options *o = t->job->options;
    int64_t n = t->job->train.n;
    lode_rng rng = lode_rng_stream(t->net->seed, LODE_RNG_SHUFFLE, (uint64_t)epoch);
    lode_rng_permutation(&rng, t->order, n);
    for (int64_t i = 0; i < n; i += o->batch) {
        double at = ((double)epoch + (double)i / (double)n) / (double)o->epochs;
        LODE_TRY(training_step(t, t->order + i, n - i < o->batch ? n - i : o->batch,
                               o->lr * 0.5 * (1 + cos(3.14159265358979323846 * at))));
    }
    return training_validate(t, epoch + 1, valid);
}

static lode_status training_keep(training *t, bool back) {
    for (int i = 0; i < t->net->n; i++) {
        if (!training_is_trained(t, i)) continue;
        lode_tensor *value = t->net->param[i]->value;
        LODE_TRY(lode_tensor_copy(back ? value : t->best[i], back ? t->best[i] : value));
    }
    return LODE_OK;
}

static lode_status training_run(training *t) {
    const lode_predictor_options *o = t->job->options;
    bool judged = t->job->valid.n > 0;
    double best;
    LODE_TRY(training_validate(t, 0, &best)); /* ridge regression alone */
    for (int64_t epoch = 0; epoch < o->epochs; epoch++) {
        double valid;
        char text[48];
        if (lode_progress_should_stop(t->job->progress))
            return LODE_FAIL(LODE_ERR_STOPPED, "fit: stopped in epoch %lld of %lld",
                             (long long)epoch + 1, (long long)o->epochs);
        LODE_TRY(training_epoch(t, epoch, &valid));
        if (!judged || valid < best) {
            best = valid;
            t->job->epochs = epoch + 1;
            LODE_TRY(training_keep(t, false));
        }
        snprintf(text, sizeof text, "valid %.4g", judged ? sqrt(valid) : 0);
        lode_progress_update(t->job->progress, "fit", epoch + 1, o->epochs, text);
        if (judged && epoch + 1 - t->job->epochs >= o->patience) break;
    }
    return training_keep(t, true);
}

lode_status predictor_net_train(predictor_net *net, predictor_job *job) {
    training t = {.net = net, .job = job};
    int threads = lode_get_threads();
    lode_set_threads(1); /* steps of some ten microseconds: handing them out costs more */
    lode_status status = training_init(&t);
    job->epochs = 0;
    if (status == LODE_OK) status = training_run(&t);
    training_deinit(&t);
    lode_set_threads(threads);
    return status;
}
