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

/* Streams of the auto-encoder, beside those of epochs. */
enum { TRAINING_PRETRAIN_STREAM = 1 << 24, TRAINING_JUDGED = 200 };

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

/* What a loss is made of. */
typedef struct training_goal {
    bool trains;        /* parameters are leaves */
    bool error;         /* squared error of the targets */
    double reconstruct; /* times the auto-encoder's cross-entropy */
} training_goal;

/* The auto-encoder's cross-entropy of options, a mean over decisions. */
static lode_var *training_decode(training *t, lode_var *const *w, lode_var *x) {
    lode_var *options = NULL;
    lode_var *logits = t->net->kind->decode(t->net, t->tape, w + PREDICTOR_NET_FIRST, x, &options);
    return lode_cross_entropy(t->tape, logits, options, 0);
}

/* Of some rows (row NULL: the first n) on the tape. */
static lode_status training_loss(training *t, const predictor_samples *s, const int64_t *row,
                                 int64_t n, training_goal goal, lode_var **loss) {
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
        w[i] = goal.trains ? lode_parameter_var(t->tape, t->net->param[i])
                           : lode_tape_constant(t->tape, t->net->param[i]->value);
    lode_var *in = lode_tape_constant(t->tape, x), *error = NULL, *decode = NULL;
    if (goal.error)
        error = lode_mse(t->tape, predictor_net_output(t->net, t->tape, w, in),
                         lode_tape_constant(t->tape, y));
    if (goal.reconstruct > 0)
        decode = lode_scale(t->tape, training_decode(t, w, in), goal.reconstruct, 0);
    *loss = error && decode ? lode_add(t->tape, error, decode) : error ? error : decode;
    status = lode_tape_status(t->tape);
done:
    lode_tensor_release(x);
    lode_tensor_release(y);
    return status;
}

static lode_status training_step(training *t, const predictor_samples *s, const int64_t *row,
                                 int64_t n, training_goal goal, double lr) {
    lode_var *loss = NULL;
    LODE_TRY(training_loss(t, s, row, n, goal, &loss));
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
    LODE_TRY(training_loss(t, &t->job->valid, NULL, t->job->valid.n, (training_goal){.error = true},
                           &loss));
    *valid = lode_at(loss->value, 0);
    if (!isfinite(*valid))
        return LODE_FAIL(LODE_ERR_NUMERIC,
                         "fit: the error is not finite after epoch %lld; a smaller fit.lr may help",
                         (long long)epoch);
    return LODE_OK;
}

static lode_status training_keep(training *t, bool back) {
    for (int i = 0; i < t->net->n; i++) {
        if (!training_is_trained(t, i)) continue;
        lode_tensor *value = t->net->param[i]->value;
        LODE_TRY(lode_tensor_copy(back ? value : t->best[i], back ? t->best[i] : value));
    }
    return LODE_OK;
}

/* One pass over rows in an order of the epoch's own; the rate falls from lr to 0 over `epochs`. */
static lode_status training_pass(training *t, const predictor_samples *s, int64_t *order,
                                 training_goal goal, int64_t epoch, int64_t epochs) {
    const lode_predictor_options *o = t->job->options;
    uint64_t stream = (uint64_t)epoch + (goal.error ? 0 : TRAINING_PRETRAIN_STREAM);
    lode_rng rng = lode_rng_stream(t->net->seed, LODE_RNG_SHUFFLE, stream);
    lode_rng_permutation(&rng, order, s->n);
    for (int64_t i = 0; i < s->n; i += o->batch) {
        double at = ((double)epoch + (double)i / (double)s->n) / (double)epochs;
        LODE_TRY(training_step(t, s, order + i, s->n - i < o->batch ? s->n - i : o->batch, goal,
                               o->lr * 0.5 * (1 + cos(3.14159265358979323846 * at))));
    }
    return LODE_OK;
}

static lode_status training_epoch(training *t, int64_t epoch, double *valid) {
    const lode_predictor_options *o = t->job->options;
    const training_goal goal = {
        .trains = true, .error = true, .reconstruct = t->net->kind->decode ? o->reconstruct : 0};
    LODE_TRY(training_pass(t, &t->job->train, t->order, goal, epoch, o->epochs));
    return training_validate(t, epoch + 1, valid);
}

/* ---- the auto-encoder, before any target ---- */

/* x [n, features]: architectures of the space, only their options. */
static lode_status training_draw(training *t, uint64_t stream, int64_t n, double *x) {
    const lode_space *space = lode_encoding_space(t->net->encoding);
    lode_rng rng = lode_rng_stream(t->net->seed, LODE_RNG_SAMPLE_ARCH, stream);
    for (int64_t i = 0; i < n; i++) {
        lode_arch arch;
        LODE_TRY(lode_space_sample(space, &rng, &arch));
        LODE_TRY(lode_encode_arch(t->net->encoding, &arch, x + i * t->f));
        for (int k = lode_encoding_n_options(t->net->encoding); k < t->f; k++) x[i * t->f + k] = 0;
    }
    return LODE_OK;
}

/* The share of decisions whose largest logit is that of the option. */
static lode_status training_reconstructed(training *t, const predictor_samples *s, double *share) {
    lode_var *options = NULL, *logits = NULL, *w[PREDICTOR_MAX_TENSORS];
    lode_tensor *x = NULL;
    int64_t right = 0, rows = 0, k = 0;
    lode_status status = LODE_OK;
    lode_tape_reset(t->tape);
    LODE_GOTO(lode_tensor_create(NULL, LODE_F32, &LODE_SHAPE2(s->n, t->f), LODE_CONTIGUOUS, &x));
    for (int64_t i = 0; i < s->n * t->f; i++) lode_put(x, i, s->x[i]);
    for (int i = 0; i < t->net->n; i++) w[i] = lode_tape_constant(t->tape, t->net->param[i]->value);
    logits = t->net->kind->decode(t->net, t->tape, w + PREDICTOR_NET_FIRST,
                                  lode_tape_constant(t->tape, x), &options);
    LODE_GOTO(lode_tape_status(t->tape));
    rows = options->value->shape.dim[0];
    k = options->value->shape.dim[1];
    for (int64_t r = 0; r < rows; r++) {
        int64_t most = 0;
        for (int64_t i = 1; i < k; i++)
            if (lode_at(logits->value, r * k + i) > lode_at(logits->value, r * k + most)) most = i;
        right += lode_at(options->value, r * k + most) > 0.5;
    }
    *share = (double)right / (double)rows;
done:
    lode_tensor_release(x);
    return status;
}

static lode_status training_pretrain(training *t) {
    const lode_predictor_options *o = t->job->options;
    const training_goal goal = {.trains = true, .reconstruct = 1};
    int64_t n = o->unlabeled, *order = LODE_NEW_ARRAY(int64_t, n);
    double *x = LODE_NEW_ARRAY(double, n * t->f), *y = LODE_NEW_ARRAY(double, n);
    const predictor_samples drawn = {n, x, y};
    lode_status status = LODE_OK;
    LODE_GOTO(order && x && y ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(training_draw(t, TRAINING_PRETRAIN_STREAM, n, x));
    for (int64_t epoch = 0; epoch < o->pretrain; epoch++) {
        if (lode_progress_should_stop(t->job->progress))
            LODE_GOTO(LODE_FAIL(LODE_ERR_STOPPED, "fit: stopped in epoch %lld of %lld",
                                (long long)epoch + 1, (long long)o->pretrain));
        LODE_GOTO(training_pass(t, &drawn, order, goal, epoch, o->pretrain));
        lode_progress_update(t->job->progress, "pretrain", epoch + 1, o->pretrain, "");
    }
    /* judged on others */
    predictor_samples fresh = {n < TRAINING_JUDGED ? n : TRAINING_JUDGED, x, y};
    LODE_GOTO(training_draw(t, TRAINING_PRETRAIN_STREAM + 1, fresh.n, x));
    LODE_GOTO(training_reconstructed(t, &fresh, &t->job->reconstructed));
    LODE_GOTO(training_keep(t, false));
done:
    lode_free(order);
    lode_free(x);
    lode_free(y);
    return status;
}

static lode_status training_run(training *t) {
    const lode_predictor_options *o = t->job->options;
    bool judged = t->job->valid.n > 0;
    double best;
    if (t->net->kind->decode) LODE_TRY(training_pretrain(t));
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
