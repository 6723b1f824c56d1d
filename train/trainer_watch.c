/* trainer_watch.c: the trainer watches its architecture parameters at the end of every epoch.

   A measurement sets the parameters to alpha +- eps v, takes gradients of the mixture's loss on
   the same batches, and puts every bit back. The history of measurements, with the parameters of
   each, is part of a checkpoint, so that a resumed run stops where it would have stopped and goes
   back to the same parameters. */
#include "core/memory.h"
#include "train/hessian.h"
#include "train/trainer_internal.h"

#include <math.h>
#include <string.h>

/* One row per measurement: completed epochs, eigenvalue, the parameters [n]. */
struct trainer_watch {
    lode_watch_options options;
    int64_t n_alpha, capacity;
    double *rows;        /* [capacity][2 + n_alpha] */
    double *epoch;       /* [capacity] gathered for the rule */
    double *value;       /* [capacity] */
    double *gradient;    /* [n_alpha] of one batch */
    lode_tensor **saved; /* [n_parameters] */
};

static int64_t watch_count_alpha(const lode_trainer *t) {
    int64_t n = 0;
    for (int i = 0; i < lode_strategy_n_parameters(t->strategy); i++)
        n += lode_tensor_count(lode_strategy_parameter(t->strategy, i)->value);
    return n;
}

static lode_status watch_check(const lode_trainer *t, const lode_watch_options *o) {
    int skips = 0;
    const lode_strategy_plugin *plugin = lode_strategy_get_plugin(t->strategy);
    if (o->hessian_every > 0 && plugin->mixture == NULL)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "arch.hessian_every: strategy %s has no mixture that depends on its "
                         "parameters; set it to 0",
                         plugin->name);
    if (o->hessian_every > 0 && t->arch_loader == NULL)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "arch.hessian_every: strategy %s has no turns of the architecture here, "
                         "so there are no batches of the split arch to measure on; set it to 0",
                         plugin->name);
    if (o->stop_on == LODE_STOP_EIGENVALUE && o->hessian_every == 0)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "arch.stop_on is eigenvalue and arch.hessian_every is 0: measure it every "
                         "so many epochs (the authors: 2)");
    if (o->stop_window % 2 == 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "arch.stop_window must be odd, seen %lld",
                         (long long)o->stop_window);
    return o->stop_on == LODE_STOP_SKIPS ? lode_strategy_normal_skips(t->strategy, &skips)
                                         : LODE_OK;
}

lode_status trainer_watch_create(lode_trainer *t) {
    const lode_strategy_plugin *plugin = lode_strategy_get_plugin(t->strategy);
    if (plugin->watch == NULL || lode_supernet_is_fixed(t->setup.net, NULL)) return LODE_OK;
    const lode_watch_options *o = plugin->watch(lode_strategy_self(t->strategy));
    LODE_TRY(watch_check(t, o));
    trainer_watch *w = t->watch = LODE_NEW(trainer_watch);
    if (w == NULL) return LODE_ERR_NO_MEMORY;
    w->options = *o;
    w->n_alpha = watch_count_alpha(t);
    w->capacity = o->hessian_every > 0 ? t->options.epochs / o->hessian_every + 1 : 1;
    w->rows = LODE_NEW_ARRAY(double, w->capacity *(2 + w->n_alpha));
    w->epoch = LODE_NEW_ARRAY(double, w->capacity);
    w->value = LODE_NEW_ARRAY(double, w->capacity);
    w->gradient = LODE_NEW_ARRAY(double, w->n_alpha);
    w->saved = LODE_NEW_ARRAY(lode_tensor *, lode_strategy_n_parameters(t->strategy));
    return w->rows && w->epoch && w->value && w->gradient && w->saved ? LODE_OK
                                                                      : LODE_ERR_NO_MEMORY;
}

void trainer_watch_destroy(lode_trainer *t) {
    trainer_watch *w = t->watch;
    if (w == NULL) return;
    lode_free(w->rows);
    lode_free(w->epoch);
    lode_free(w->value);
    lode_free(w->gradient);
    lode_free(w->saved);
    lode_free(w);
    t->watch = NULL;
}

/* ---- on disk ---- */

lode_status trainer_watch_save(const lode_trainer *t, lode_state *s) {
    const trainer_watch *w = t->watch;
    if (w == NULL || w->options.hessian_every == 0) return LODE_OK;
    return lode_state_add_numbers(s, "watch", w->rows, (int)(w->capacity * (2 + w->n_alpha)));
}

lode_status trainer_watch_load(lode_trainer *t, lode_checkpoint *c) {
    trainer_watch *w = t->watch;
    if (w == NULL || w->options.hessian_every == 0) return LODE_OK;
    return lode_checkpoint_load_numbers(c, "watch", w->rows, (int)(w->capacity * (2 + w->n_alpha)));
}

/* ---- parameters as one vector ---- */

/* to[n_alpha] = parameters. */
static void watch_read_alpha(const lode_trainer *t, double *to) {
    for (int i = 0; i < lode_strategy_n_parameters(t->strategy); i++) {
        const lode_tensor *v = lode_strategy_parameter(t->strategy, i)->value;
        for (int64_t k = 0; k < lode_tensor_count(v); k++) *to++ = lode_at(v, k);
    }
}

static void watch_write_alpha(lode_trainer *t, const double *from) {
    for (int i = 0; i < lode_strategy_n_parameters(t->strategy); i++) {
        lode_tensor *v = lode_strategy_parameter(t->strategy, i)->value;
        for (int64_t k = 0; k < lode_tensor_count(v); k++) lode_put(v, k, *from++);
    }
}

/* to += factor * gradients, which stay. */
static void watch_add_gradient(const lode_trainer *t, double factor, double *to) {
    for (int i = 0; i < lode_strategy_n_parameters(t->strategy); i++) {
        const lode_parameter *p = lode_strategy_parameter(t->strategy, i);
        int64_t n = lode_tensor_count(p->value);
        for (int64_t k = 0; p->grad != NULL && k < n; k++) to[k] += factor * lode_at(p->grad, k);
        to += n;
    }
}

/* ---- the gradient of the mixture's loss ---- */

static lode_status watch_batch_gradient(lode_trainer *t, const lode_batch *batch) {
    lode_choice choice[LODE_MAX_DECISIONS];
    const lode_forward_options options = {.bn = LODE_BN_BATCH,
                                          .remat = (lode_remat)t->options.remat,
                                          .fuse = t->options.unfused ? LODE_FUSE_NEVER
                                                                     : LODE_FUSE_TRAIN};
    memset(choice, 0, sizeof choice);
    lode_tape_reset(t->tape);
    LODE_TRY(lode_strategy_mixture(t->strategy, t->tape, choice));
    lode_var *x = lode_batch_input(t->tape, batch, t->dtype);
    lode_var *logits = lode_supernet_forward(t->tape, t->setup.net, x, choice, &options);
    lode_var *loss =
        lode_cross_entropy(t->tape, logits, lode_tape_constant(t->tape, batch->labels), 0);
    LODE_TRY(lode_tape_status(t->tape));
    return loss->requires_grad ? lode_backward(t->tape, loss, 1) : LODE_OK;
}

typedef struct watch_point {
    lode_trainer *t;
    const double *alpha; /* [n_alpha] */
    double *moved;       /* [n_alpha] */
} watch_point;

/* The mean over hessian_batches batches and all ranks, at alpha + shift v. */
static lode_status watch_gradient(void *self, const double *v, double shift, double *gradient) {
    watch_point *at = self;
    lode_trainer *t = at->t;
    trainer_watch *w = t->watch;
    int64_t n = w->options.hessian_batches;
    if (n > t->n_arch) n = t->n_arch;
    for (int64_t i = 0; i < w->n_alpha; i++) at->moved[i] = at->alpha[i] + shift * v[i];
    watch_write_alpha(t, at->moved);
    memset(gradient, 0, sizeof *gradient * (size_t)w->n_alpha);
    t->held_at[LODE_TURN_ARCH] = -1; /* the loader will have other batches in its buffers */
    for (int64_t i = 0; i < n; i++) {
        lode_batch batch;
        LODE_TRY(lode_loader_seek(t->arch_loader, 0, i));
        LODE_TRY(lode_loader_next(t->arch_loader, &batch));
        lode_optimizer_clear_grads(t->arch);
        LODE_TRY(watch_batch_gradient(t, &batch));
        watch_add_gradient(t, 1.0 / (double)(n * t->comm->size), gradient);
    }
    lode_optimizer_clear_grads(t->arch);
    for (int64_t i = 0; i < w->n_alpha; i++) LODE_TRY(lode_comm_sum(t->comm, &gradient[i], 1));
    return LODE_OK;
}

/* Rounding of the parameters and of the gradients against the third derivative. */
static double watch_eps(const lode_trainer *t) { return t->dtype == LODE_F64 ? 1e-4 : 1e-2; }

lode_status trainer_watch_measure(lode_trainer *t, lode_hessian_ends *out) {
    trainer_watch *w = t->watch;
    lode_status status = LODE_OK;
    double *alpha = LODE_NEW_ARRAY(double, w->n_alpha), *moved = LODE_NEW_ARRAY(double, w->n_alpha);
    LODE_GOTO(alpha && moved ? LODE_OK : LODE_ERR_NO_MEMORY);
    watch_read_alpha(t, alpha);
    trainer_freeze(t, LODE_GRADIENT_OF_ARCH);
    watch_point at = {t, alpha, moved};
    const lode_hessian_setup setup = {
        .n = w->n_alpha,
        .self = &at,
        .gradient = watch_gradient,
        .eps = watch_eps(t),
        .max_steps = (int)w->options.hessian_steps,
        .rng = lode_rng_stream(t->setup.seed, LODE_RNG_MEASURE, UINT64_MAX)};
    status = lode_hessian_find_ends(&setup, out);
    watch_write_alpha(t, alpha); /* the doubles hold every bit of an f32 */
    lode_tape_reset(t->tape);
    if (status != LODE_OK) lode_error_context("arch.hessian_every");
done:
    lode_free(alpha);
    lode_free(moved);
    return status;
}

/* ---- at the end of an epoch ---- */

static void watch_stop(lode_trainer *t, lode_stop_rule rule, double kept_epoch, double value) {
    t->at.stop_rule = rule;
    t->at.stop_epoch = t->at.epoch + 1;
    t->at.stop_kept = kept_epoch;
    t->at.stop_value = value;
}

static lode_status watch_eigenvalue(lode_trainer *t) {
    trainer_watch *w = t->watch;
    lode_hessian_ends ends;
    double mean, ratio;
    int64_t n = (int64_t)t->at.n_measured, width = 2 + w->n_alpha;
    LODE_TRY(trainer_watch_measure(t, &ends));
    double *row = w->rows + n * width;
    row[0] = t->at.epoch + 1;
    row[1] = ends.largest;
    watch_read_alpha(t, row + 2);
    t->at.n_measured = (double)++n;
    for (int64_t i = 0; i < n; i++) {
        w->epoch[i] = w->rows[i * width];
        w->value[i] = w->rows[i * width + 1];
    }
    int64_t keep = lode_watch_eigenvalues(&w->options, w->epoch, w->value, n, &mean, &ratio);
    LODE_TRY(trainer_write_hessian(t, &ends, mean, ratio));
    if (w->options.stop_on != LODE_STOP_EIGENVALUE || keep < 0) return LODE_OK;
    watch_write_alpha(t, w->rows + keep * width + 2);
    watch_stop(t, LODE_STOP_EIGENVALUE, w->epoch[keep], ratio);
    return LODE_OK;
}

static lode_status watch_skips(lode_trainer *t) {
    const lode_watch_options *o = &t->watch->options;
    int skips = 0;
    double done = t->at.epoch + 1;
    LODE_TRY(lode_strategy_normal_skips(t->strategy, &skips));
    if (skips >= o->stop_skips && done >= (double)o->stop_start)
        watch_stop(t, LODE_STOP_SKIPS, done, skips);
    return LODE_OK;
}

lode_status trainer_watch_epoch(lode_trainer *t) {
    const trainer_watch *w = t->watch;
    int64_t done = (int64_t)t->at.epoch + 1;
    if (w == NULL || t->arch == NULL) return LODE_OK;
    if (w->options.hessian_every > 0 && done % w->options.hessian_every == 0)
        LODE_TRY(watch_eigenvalue(t));
    if (w->options.stop_on == LODE_STOP_SKIPS) {
        lode_epoch_plan plan = lode_strategy_plan(t->strategy, (int64_t)t->at.epoch);
        if (plan.arch_after || plan.arch_every > 0 || plan.joint) LODE_TRY(watch_skips(t));
    }
    lode_early_stop stop = trainer_early_stop(t);
    if (stop.rule != LODE_STOP_NONE && done < t->options.epochs)
        lode_log(LODE_LOG_INFO,
                 "%s: stopped early after epoch %lld of %lld on %s (%s %.4g); architecture "
                 "parameters of epoch %lld",
                 t->setup.phase, (long long)stop.epoch, (long long)t->options.epochs,
                 lode_stop_rule_name(stop.rule),
                 stop.rule == LODE_STOP_SKIPS ? "skips in a normal cell:" : "ratio of means",
                 stop.value, (long long)stop.kept_epoch);
    return LODE_OK;
}

lode_early_stop trainer_early_stop(const lode_trainer *t) {
    return (lode_early_stop){.rule = (lode_stop_rule)(int)t->at.stop_rule,
                             .epoch = (int64_t)t->at.stop_epoch,
                             .kept_epoch = (int64_t)t->at.stop_kept,
                             .value = t->at.stop_value};
}
