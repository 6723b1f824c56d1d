/* trainer_step.c: one step of the weights or of the architecture parameters: gradients from the
   passes (trainer_passes.c) or from the strategy, then whoever moves the parameters. */
#include "core/platform.h"
#include "train/trainer_internal.h"

/* The gradient of the step, left in the parameters. sum, last: see trainer_passes. */
static lode_status trainer_take_gradient(lode_trainer *t, lode_step *step, const lode_batch *batch,
                                         double *sum, double *last) {
    const lode_strategy_plugin *plugin = lode_strategy_get_plugin(t->strategy);
    if (step->turn == LODE_TURN_WEIGHTS || plugin->arch_gradient == NULL)
        return trainer_passes(t, step, batch, trainer_trains(t, step->turn), sum, last);
    const lode_step_tools tools = lode_trainer_tools(t);
    LODE_TRY(plugin->arch_gradient(lode_strategy_self(t->strategy), step, &tools, last));
    *sum = *last;
    return LODE_OK;
}

static lode_status trainer_move_parameters(lode_trainer *t, const lode_step *step) {
    const lode_strategy_plugin *plugin = lode_strategy_get_plugin(t->strategy);
    lode_gradient_of trains = trainer_trains(t, step->turn);
    bool weights = step->turn == LODE_TURN_WEIGHTS,
         arch = !weights || trains & LODE_GRADIENT_OF_ARCH;
    if (weights) LODE_TRY(lode_optimizer_step(t->weights, trainer_lr(t, LODE_TURN_WEIGHTS), NULL));
    if (arch && plugin->update != NULL)
        LODE_TRY(plugin->update(lode_strategy_self(t->strategy), step));
    else if (arch && t->arch != NULL)
        LODE_TRY(lode_optimizer_step(t->arch, trainer_lr(t, LODE_TURN_ARCH), NULL));
    trainer_clear_grads(t);
    return weights && t->ema != NULL ? lode_ema_update(t->ema) : LODE_OK;
}

static lode_status trainer_blame(const lode_step *step, lode_status status) {
    if (status != LODE_OK)
        lode_error_context("step %lld (epoch %lld, turn of the %s)", (long long)step->step,
                           (long long)step->epoch, lode_turn_name(step->turn));
    return status;
}

lode_status trainer_step(lode_trainer *t, lode_turn turn) {
    lode_batch batch;
    lode_step step = trainer_describe_step(t, turn);
    double loss = 0, sum = 0, begin = lode_clock();
    t->last = (lode_step_record){.turn = turn};
    LODE_TRY(trainer_next_batch(t, turn, &batch));
    t->last.wait = lode_clock() - begin;
    step.batch = batch.n;
    step.labels = batch.labels;
    step.comm = t->comm;
    LODE_TRY(trainer_take_gradient(t, &step, &batch, &sum, &loss));
    t->at.sums[turn].correct += t->correct;
    begin = lode_clock();
    LODE_TRY(trainer_blame(&step, trainer_move_parameters(t, &step)));
    LODE_TRY(lode_strategy_after_step(t->strategy, &step, loss));
    t->last.optimizer += lode_clock() - begin;
    t->at.sums[turn].loss += sum * (double)batch.n;
    t->at.sums[turn].seen += (double)batch.n;
    t->line_images += (double)(batch.n * t->comm->size);
    return LODE_OK;
}
