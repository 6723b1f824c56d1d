/* trainer_passes.c: forward and backward passes, and gradients of whoever asks.

   A pass is made for a turn (which loss, on which batch) and for somebody's gradients (who is not
   frozen). The two are told apart because a step may need other gradients than its turn's: those of
   the weights in the architecture's turn, for one that looks ahead.

   Every random number of a step is a function of (seed, step number), so the step can be done
   again: that is how a loss that is not a number is traced to its layer, and why gradients asked
   for twice are of one function. */
#include "core/platform.h"
#include "train/trainer_internal.h"

#include <math.h>
#include <string.h>

/* ---- where a step is ---- */
lode_step trainer_describe_step(const lode_trainer *t, lode_turn turn) {
    int64_t weights = (int64_t)t->at.epoch * t->n_train + (int64_t)t->at.weight_batch;
    bool is_weights = turn == LODE_TURN_WEIGHTS;
    return (lode_step){.turn = turn,
                       .seed = t->setup.seed,
                       .step = (int64_t)t->at.step,
                       .epoch = (int64_t)t->at.epoch,
                       .n_epochs = t->options.epochs,
                       .turn_step = is_weights ? weights : (int64_t)t->at.arch_total,
                       .n_turn_steps = is_weights ? t->total_steps - t->arch_steps : t->arch_steps,
                       .n_passes = 1,
                       .batch = t->batch,
                       .first_sample = t->comm->rank * t->batch};
}

double trainer_lr(const lode_trainer *t, lode_turn turn) {
    if (turn == LODE_TURN_ARCH) return t->arch_lr;
    int64_t step = (int64_t)t->at.epoch * t->n_train + (int64_t)t->at.weight_batch;
    return lode_schedule_at(&t->schedule, step);
}

lode_gradient_of trainer_trains(const lode_trainer *t, lode_turn turn) {
    lode_epoch_plan plan = lode_strategy_plan(t->strategy, (int64_t)t->at.epoch);
    bool both = turn == LODE_TURN_WEIGHTS ? plan.joint : plan.arch_weights;
    if (both) return LODE_GRADIENT_OF_BOTH;
    return turn == LODE_TURN_WEIGHTS ? LODE_GRADIENT_OF_WEIGHTS : LODE_GRADIENT_OF_ARCH;
}

void trainer_freeze(lode_trainer *t, lode_gradient_of of) {
    if (t->trains == (int)of) return;
    for (int i = 0; i < lode_supernet_n_parameters(t->setup.net); i++)
        lode_supernet_parameter(t->setup.net, i)->frozen = !(of & LODE_GRADIENT_OF_WEIGHTS);
    for (int i = 0; i < lode_strategy_n_parameters(t->strategy); i++)
        lode_strategy_parameter(t->strategy, i)->frozen = !(of & LODE_GRADIENT_OF_ARCH);
    t->trains = (int)of;
}

void trainer_clear_grads(lode_trainer *t) {
    lode_supernet_clear_grads(t->setup.net);
    for (int i = 0; i < lode_strategy_n_parameters(t->strategy); i++)
        lode_parameter_clear_grad(lode_strategy_parameter(t->strategy, i));
}

lode_status trainer_next_batch(lode_trainer *t, lode_turn turn, lode_batch *batch) {
    bool weights = turn == LODE_TURN_WEIGHTS;
    lode_loader *loader = weights ? t->train : t->arch_loader;
    int64_t n = weights ? t->n_train : t->n_arch, at = (int64_t)t->at.arch_total;
    if (loader == NULL)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "strategy %s plans no turns of the architecture, so the "
                         "split \"arch\" is not open",
                         lode_strategy_get_plugin(t->strategy)->name);
    if (weights) at = (int64_t)t->at.epoch * n + (int64_t)t->at.weight_batch;
    if (t->held_at[turn] != at) {
        t->held_at[turn] = -1;
        LODE_TRY(lode_loader_seek(loader, at / n, at % n));
        LODE_TRY(lode_loader_next(loader, &t->held[turn]));
        t->held_at[turn] = at;
    }
    *batch = t->held[turn];
    return LODE_OK;
}

/* ---- one pass ---- */
/* Dropout and the like: other masks in every pass and on every rank, the same when repeated. */
static void trainer_seed_tape(lode_trainer *t, const lode_step *step) {
    uint64_t index =
        (uint64_t)step->step | (uint64_t)step->pass << 44 | (uint64_t)t->comm->rank << 52;
    lode_tape_set_step(t->tape, step->seed, index);
}

lode_status trainer_forward(lode_trainer *t, const lode_step *step, const lode_batch *batch,
                            lode_var **logits, lode_var **loss) {
    lode_choice choice[LODE_MAX_DECISIONS];
    bool weights = step->turn == LODE_TURN_WEIGHTS;
    const lode_forward_options options = {
        .bn = weights && !t->probing ? LODE_BN_TRAIN : LODE_BN_BATCH,
        .drop_path =
            weights ? t->options.drop_path * (double)step->epoch / (double)step->n_epochs : 0,
        .remat = (lode_remat)t->options.remat,
        .fuse = t->options.unfused ? LODE_FUSE_NEVER : LODE_FUSE_TRAIN};
    memset(choice, 0, sizeof choice);
    lode_tape_reset(t->tape);
    trainer_seed_tape(t, step);
    LODE_TRY(lode_strategy_choose(t->strategy, t->tape, step, choice));
    int n = lode_space_n_decisions(lode_supernet_space(t->setup.net));
    for (int d = 0; d < n; d++) t->active[d] = choice[d].active;
    lode_var *x = lode_batch_input(t->tape, batch, t->dtype);
    *logits = lode_supernet_forward(t->tape, t->setup.net, x, choice, &options);
    lode_var *ce = lode_cross_entropy(t->tape, *logits, lode_tape_constant(t->tape, batch->labels),
                                      weights ? t->options.label_smoothing : 0);
    *loss = lode_strategy_loss(t->strategy, t->tape, step, *logits, ce);
    return lode_tape_status(t->tape);
}

/* The loss is not a number: does the pass again, looking at every result on the way. */
static lode_status trainer_explain(lode_trainer *t, const lode_step *step, const lode_batch *batch,
                                   double loss) {
    static const char *const hint = "lower lr, set clip (5 is usual) or give warmup epochs";
    lode_var *logits = NULL, *var = NULL;
    lode_tape_check_finite(t->tape, true);
    lode_status status = trainer_forward(t, step, batch, &logits, &var);
    lode_tape_check_finite(t->tape, false);
    const char *where = status == LODE_ERR_NUMERIC ? lode_last_error() : "no layer alone";
    return LODE_FAIL(LODE_ERR_NUMERIC,
                     "the loss is %g at step %lld (epoch %lld, turn of the %s, lr %g). First seen: "
                     "%s. What helps: %s",
                     loss, (long long)step->step, (long long)step->epoch,
                     lode_turn_name(step->turn), trainer_lr(t, step->turn), where, hint);
}

static lode_status trainer_blame(const lode_step *step) {
    return lode_error_context("step %lld (epoch %lld, turn of the %s)", (long long)step->step,
                              (long long)step->epoch, lode_turn_name(step->turn));
}

/* Adds the time since *begin to *sum, and begins anew. */
static void trainer_lap(double *begin, double *sum) {
    double now = lode_clock();
    *sum += now - *begin;
    *begin = now;
}

static lode_status trainer_pass(lode_trainer *t, const lode_step *step, const lode_batch *batch,
                                double *value) {
    lode_var *logits = NULL, *loss = NULL;
    double begin = lode_clock();
    if (trainer_forward(t, step, batch, &logits, &loss) != LODE_OK) return trainer_blame(step);
    trainer_lap(&begin, &t->last.forward);
    *value = lode_at(loss->value, 0);
    if (!isfinite(*value)) return trainer_explain(t, step, batch, *value);
    t->correct = (double)lode_count_correct(logits->value, batch->labels);
    /* A drawn path of nothing but `none` depends on no architecture parameter. */
    if (loss->requires_grad && lode_backward(t->tape, loss, 1.0 / t->comm->size) != LODE_OK)
        return trainer_blame(step);
    trainer_lap(&begin, &t->last.backward);
    return LODE_OK;
}

/* ---- gradients of all ranks ---- */
static lode_status trainer_reduce_one(const lode_trainer *t, lode_parameter *p) {
    return p->grad != NULL ? t->comm->all_reduce_sum(t->comm->self, p->grad) : LODE_OK;
}

static lode_status trainer_reduce(lode_trainer *t, lode_gradient_of of) {
    if (t->comm->size == 1) return LODE_OK;
    for (int i = 0; of & LODE_GRADIENT_OF_WEIGHTS && i < lode_supernet_n_parameters(t->setup.net);
         i++)
        LODE_TRY(trainer_reduce_one(t, lode_supernet_parameter(t->setup.net, i)));
    for (int i = 0; of & LODE_GRADIENT_OF_ARCH && i < lode_strategy_n_parameters(t->strategy); i++)
        LODE_TRY(trainer_reduce_one(t, lode_strategy_parameter(t->strategy, i)));
    return LODE_OK;
}

lode_status trainer_passes(lode_trainer *t, lode_step *step, const lode_batch *batch,
                           lode_gradient_of of, double *sum, double *last) {
    *sum = *last = 0;
    step->batch = batch->n;
    step->labels = batch->labels;
    step->comm = t->comm;
    step->n_passes = lode_strategy_n_passes(t->strategy, step);
    trainer_freeze(t, of);
    trainer_clear_grads(t);
    for (step->pass = 0; step->pass < step->n_passes; step->pass++) {
        LODE_TRY(trainer_pass(t, step, batch, last));
        *sum += *last;
    }
    step->pass = step->n_passes - 1;
    double begin = lode_clock();
    LODE_TRY(trainer_reduce(t, of));
    trainer_lap(&begin, &t->last.optimizer);
    return LODE_OK;
}

/* ---- what is lent ---- */
static lode_status trainer_lend_gradient(void *self, lode_turn on, lode_gradient_of of,
                                         double *loss) {
    lode_trainer *t = self;
    lode_step step = trainer_describe_step(t, on);
    lode_batch batch;
    double sum = 0, last = 0;
    LODE_TRY(trainer_next_batch(t, on, &batch));
    t->probing = true;
    lode_status status = trainer_passes(t, &step, &batch, of, &sum, &last);
    t->probing = false;
    if (loss != NULL) *loss = sum;
    return status;
}

lode_step_tools lode_trainer_tools(lode_trainer *t) {
    return (lode_step_tools){.self = t,
                             .weights = t->weights,
                             .lr = trainer_lr(t, LODE_TURN_WEIGHTS),
                             .gradient = trainer_lend_gradient};
}
