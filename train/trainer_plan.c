/* trainer_plan.c: goes through steps without computing them, and adds up.

   What is always there (weights, moments, batches) is counted; what comes and goes is planned on a
   device of its own, whose statistics start from nothing. Blocks are rounded to classes one by one,
   so the two sums may be added.

   Draws differ. Where all candidates are mixed, every step is like the first and PLAN_SAME of a
   kind say all. A strategy that draws paths needs the largest of many: PLAN_DRAWS of a kind are
   gone through, the very ones that will come first.

   A few steps are gone through before everything else. They tell the workspace's size, so that it
   lies in front of all the rest from the beginning, in the plan as in the training. */
#include "core/memory.h"
#include "train/trainer_internal.h"

#include <stdio.h>
#include <string.h>

enum { PLAN_DRAWS = 1000, PLAN_SAME = 4, PLAN_FIRST = 8, PLAN_MOVES = 1000000 };

/* Steps of one kind gone through. */
typedef struct plan_draws {
    int64_t n;
    uint64_t path; /* hash of the first one's */
    bool vary;
} plan_draws;

typedef struct plan_run {
    lode_trainer *t;
    lode_device *device; /* counting */
    lode_tape *tape;
    lode_batch batch;
    int64_t most_draws; /* of a kind */
    int64_t base;       /* the batch, which the loader holds anyway */
    int64_t made_batch; /* size the loaders were made for */
    lode_tape_plan peak;
    int64_t workspace;    /* as the steps left it */
    lode_turn turn;       /* of the peak */
    plan_draws draws[2];  /* by turn */
    bool *reached;        /* [n_parameters] had a gradient in some step */
    int64_t moments;      /* bytes of moments of those */
    int64_t peak_moments; /* at the peak */
} plan_run;

/* ---- one step ---- */
static void plan_begin(plan_run *p, lode_tape *tape) {
    trainer_clear_grads(p->t);
    lode_tape_plan_on(tape, p->device);
    lode_device_reset_peak(p->device);
}

/* Is this the moment? `here`: what the step held, beside the moments of the steps before. */
static void plan_compare(plan_run *p, lode_tape_plan here, lode_turn turn) {
    if (here.bytes + p->moments <= p->peak.bytes + p->peak_moments) return;
    p->peak = here;
    p->peak_moments = p->moments;
    p->turn = turn;
}

static int64_t plan_parameter_bytes(const lode_parameter *p) {
    return lode_device_rounded_bytes(lode_tensor_bytes(p->value));
}

/* The optimizer would make moments for what got a gradient for the first time. */
static void plan_note_moments(plan_run *p) {
    for (int i = 0; i < lode_supernet_n_parameters(p->t->setup.net); i++) {
        const lode_parameter *q = lode_supernet_parameter(p->t->setup.net, i);
        if (q->grad == NULL || p->reached[i]) continue;
        p->reached[i] = true;
        p->moments += lode_optimizer_n_moments(p->t->weights) * plan_parameter_bytes(q);
    }
}

/* The optimizer's moment: all gradients, and the moments made for them. */
static void plan_update(plan_run *p) {
    lode_tape_plan here = lode_tape_get_plan(p->tape);
    here.bytes = lode_device_get_stats(p->device).bytes_in_use;
    here.gradients = 0;
    for (int i = 0; i < lode_supernet_n_parameters(p->t->setup.net); i++) {
        const lode_parameter *q = lode_supernet_parameter(p->t->setup.net, i);
        here.gradients += q->grad != NULL ? plan_parameter_bytes(q) : 0;
    }
    plan_note_moments(p);
    plan_compare(p, here, LODE_TURN_WEIGHTS);
}

/* The step at t->at. */
static lode_status plan_step(plan_run *p, lode_turn turn) {
    lode_trainer *t = p->t;
    lode_step step = trainer_describe_step(t, turn);
    lode_var *logits = NULL, *loss = NULL;
    step.n_passes = lode_strategy_n_passes(t->strategy, &step);
    trainer_freeze(t, trainer_trains(t, turn));
    plan_begin(p, p->tape);
    for (step.pass = 0; step.pass < step.n_passes; step.pass++) {
        LODE_TRY(trainer_forward(t, &step, &p->batch, &logits, &loss));
        if (loss->requires_grad) LODE_TRY(lode_backward(p->tape, loss, 1));
    }
    plan_compare(p, lode_tape_get_plan(p->tape), turn);
    if (turn == LODE_TURN_WEIGHTS) plan_update(p);
    return LODE_OK;
}

/* Another one of its kind, as long as they tell anything new. */
static lode_status plan_draw(plan_run *p, lode_turn turn) {
    plan_draws *d = &p->draws[turn];
    if (d->n >= (d->vary ? p->most_draws : PLAN_SAME)) return LODE_OK;
    LODE_TRY(plan_step(p, turn));
    int n = lode_space_n_decisions(lode_supernet_space(p->t->setup.net));
    uint64_t path = lode_hash_bytes(p->t->active, (size_t)n * sizeof *p->t->active, 1);
    if (d->n++ == 0) d->path = path;
    d->vary = d->vary || path != d->path;
    return LODE_OK;
}

/* From where the training is, move by move. Where drop-path grows, one step of the last epoch too.
 */
static lode_status plan_walk(plan_run *p) {
    lode_trainer *t = p->t;
    trainer_move move;
    for (int64_t i = 0; i < PLAN_MOVES && (move = trainer_next(t)) != MOVE_FINISH; i++) {
        if (move == MOVE_WEIGHTS) LODE_TRY(plan_draw(p, LODE_TURN_WEIGHTS));
        if (move == MOVE_ARCH) LODE_TRY(plan_draw(p, LODE_TURN_ARCH));
        trainer_advance(&t->at, move);
    }
    t->at.epoch = (double)(t->options.epochs - 1);
    return t->options.drop_path > 0 ? plan_step(p, LODE_TURN_WEIGHTS) : LODE_OK;
}

/* ---- evaluation ---- */
static lode_status plan_evaluate_on(plan_run *p, lode_tape *tape, lode_tensor *x) {
    lode_trainer *t = p->t;
    lode_choice choice[LODE_MAX_DECISIONS];
    lode_arch arch;
    const lode_forward_options options = {.bn = trainer_eval_bn(t)};
    bool fixed = lode_supernet_is_fixed(t->setup.net, NULL);
    if (!fixed) {
        LODE_TRY(trainer_eval_arch(t, &arch));
        lode_choice_from_arch(&arch, choice);
    }
    plan_begin(p, tape);
    lode_supernet_forward(tape, t->setup.net, lode_tape_constant(tape, x), fixed ? NULL : choice,
                          &options);
    LODE_TRY(lode_tape_status(tape));
    lode_tape_plan now = lode_tape_get_plan(tape);
    now.bytes -= lode_device_rounded_bytes(lode_tensor_bytes(x)); /* the loader's, counted there */
    if (now.workspace < p->workspace) {
        now.bytes += p->workspace - now.workspace;
        now.workspace = p->workspace;
    }
    plan_compare(p, now, LODE_TURN_WEIGHTS);
    return LODE_OK;
}

static lode_status plan_evaluate(plan_run *p) {
    lode_trainer *t = p->t;
    lode_tape *tape = NULL;
    lode_tensor *x = NULL;
    lode_status status = LODE_OK;
    lode_shape shape = p->batch.x->shape;
    if (t->eval_loader == NULL) return LODE_OK;
    int64_t n = lode_loader_n_samples(t->eval_loader);
    shape.dim[0] = t->eval_batch < n ? t->eval_batch : n;
    p->workspace = lode_tape_get_plan(p->tape).workspace;
    lode_tape_plan_on(p->tape, NULL); /* the workspace is one and the same */
    LODE_GOTO(lode_tape_create(LODE_EVAL, t->setup.runner, &tape));
    LODE_GOTO(lode_tensor_create(p->device, t->dtype, &shape, LODE_CHANNELS_LAST, &x));
    LODE_GOTO(plan_evaluate_on(p, tape, x));
done:
    lode_tape_destroy(tape);
    lode_tensor_release(x);
    return status;
}

/* ---- what is always there ---- */
static int64_t plan_weights(const lode_trainer *t) {
    int64_t bytes = 0;
    for (int i = 0; i < lode_supernet_n_parameters(t->setup.net); i++)
        bytes += plan_parameter_bytes(lode_supernet_parameter(t->setup.net, i));
    for (int i = 0; i < lode_strategy_n_parameters(t->strategy); i++)
        bytes += plan_parameter_bytes(lode_strategy_parameter(t->strategy, i));
    return bytes;
}

static int64_t plan_batches(const lode_trainer *t) {
    lode_loader *const loader[] = {t->train, t->arch_loader, t->eval_loader};
    int64_t bytes = 0;
    for (int i = 0; i < 3; i++)
        if (loader[i] != NULL) bytes += lode_loader_bytes(loader[i]);
    return bytes;
}

/* Averages, and moments that are there or will be: as at the peak, or of everything when there are
   more paths to come than were gone through. */
static void plan_state(const plan_run *p, int64_t *now, int64_t *to_come) {
    const lode_trainer *t = p->t;
    int64_t moments = p->peak_moments, moments_now = lode_optimizer_state_bytes(t->weights);
    int64_t arch = 0, arch_now = t->arch != NULL ? lode_optimizer_state_bytes(t->arch) : 0;
    if (p->draws[LODE_TURN_WEIGHTS].n >= PLAN_DRAWS) {
        moments = 0;
        for (int i = 0; i < lode_supernet_n_parameters(t->setup.net); i++) {
            const lode_parameter *q = lode_supernet_parameter(t->setup.net, i);
            bool trains = q->kind != LODE_PARAM_RUNNING;
            moments += trains ? lode_optimizer_n_moments(t->weights) * plan_parameter_bytes(q) : 0;
        }
    }
    for (int i = 0; t->arch != NULL && i < lode_strategy_n_parameters(t->strategy); i++)
        arch += lode_optimizer_n_moments(t->arch) *
                plan_parameter_bytes(lode_strategy_parameter(t->strategy, i));
    *now = moments_now + arch_now + (t->ema != NULL ? lode_ema_bytes(t->ema) : 0);
    *to_come = (moments > moments_now ? moments - moments_now : 0) +
               (arch > arch_now ? arch - arch_now : 0);
}

/* Workspace that the runner holds already is part of the steps' and not of what is there besides.
 */
static void plan_sum(const plan_run *p, int64_t in_use, lode_memory_plan *out) {
    const lode_trainer *t = p->t;
    const lode_runner *runner = t->setup.runner;
    int64_t kept =
        runner->holds != NULL ? lode_device_rounded_bytes(runner->holds(runner->self)) : 0;
    int64_t workspace = p->peak.workspace > kept ? p->peak.workspace : kept;
    int64_t unused = workspace - p->peak.workspace;
    int64_t step = p->peak.bytes - p->base + unused, batches = plan_batches(t);
    int64_t state_now, state_to_come;
    plan_state(p, &state_now, &state_to_come);
    in_use -= kept;
    *out = (lode_memory_plan){.weights = plan_weights(t),
                              .optimizer = state_now + state_to_come,
                              .batches = batches * t->batch / p->made_batch,
                              .gradients = p->peak.gradients,
                              .workspace = workspace,
                              .activations = step - p->peak.gradients - workspace,
                              .turn = p->turn};
    out->other = in_use - out->weights - state_now - batches;
    out->to_come = state_to_come + out->batches - batches;
    out->total = in_use + out->to_come + step;
    int64_t reach = lode_device_get_stats(p->device).peak_touched - p->base + unused;
    out->to_come += (reach > step ? reach : step) - kept;
    out->held = in_use + kept + out->to_come;
}

/* ---- the whole ---- */
/* A fresh device with a batch on it. */
static lode_status plan_open_device(plan_run *p) {
    int channels = 0, height = 0, width = 0;
    lode_trainer *t = p->t;
    lode_data_input(t->setup.data, &channels, &height, &width);
    lode_shape x = LODE_SHAPE4(t->batch, channels, height, width), y = LODE_SHAPE1(t->batch);
    LODE_TRY(lode_device_create_counting(&p->device));
    LODE_TRY(lode_tensor_create(p->device, t->dtype, &x, LODE_CHANNELS_LAST, &p->batch.x));
    LODE_TRY(lode_tensor_create(p->device, LODE_S32, &y, LODE_CONTIGUOUS, &p->batch.labels));
    p->base = lode_device_get_stats(p->device).bytes_in_use;
    return LODE_OK;
}

static void plan_close_device(plan_run *p) {
    trainer_clear_grads(p->t);
    if (p->tape != NULL) lode_tape_plan_on(p->tape, NULL);
    lode_tensor_release(p->batch.x);
    lode_tensor_release(p->batch.labels);
    lode_device_destroy(p->device);
    p->batch.x = p->batch.labels = NULL;
    p->device = NULL;
}

static lode_status plan_open(plan_run *p, lode_trainer *t, int64_t made_batch) {
    *p = (plan_run){.t = t, .batch.n = t->batch, .made_batch = made_batch};
    p->reached = LODE_NEW_ARRAY(bool, lode_supernet_n_parameters(t->setup.net) + 1);
    if (p->reached == NULL) return LODE_ERR_NO_MEMORY;
    return lode_tape_create(LODE_TRAIN, t->setup.runner, &p->tape);
}

static void plan_close(plan_run *p) {
    plan_close_device(p);
    lode_tape_destroy(p->tape);
    lode_free(p->reached);
}

/* The steps to come, at most so many draws of a kind, on a fresh device. */
static lode_status plan_steps(plan_run *p, int64_t most_draws) {
    lode_trainer *t = p->t;
    plan_close_device(p);
    memset(p->reached, 0, (size_t)lode_supernet_n_parameters(t->setup.net) * sizeof *p->reached);
    memset(p->draws, 0, sizeof p->draws);
    p->peak = (lode_tape_plan){0};
    p->moments = p->peak_moments = 0;
    p->most_draws = most_draws;
    LODE_TRY(plan_open_device(p));
    return plan_walk(p);
}

static lode_status plan_make(lode_trainer *t, int64_t made_batch, lode_memory_plan *out) {
    plan_run p;
    lode_tape *tape = t->tape;
    trainer_position at = t->at;
    lode_status status = plan_open(&p, t, made_batch);
    int64_t in_use = lode_device_get_stats(lode_cpu_device()).bytes_in_use;
    if (status != LODE_OK) goto done;
    t->tape = p.tape;
    LODE_GOTO(plan_steps(&p, PLAN_FIRST));
    t->at = at;
    LODE_GOTO(plan_steps(&p, PLAN_DRAWS));
    LODE_GOTO(plan_evaluate(&p));
    plan_sum(&p, in_use, out);
done:
    t->tape = tape;
    t->at = at;
    plan_close(&p);
    if (status != LODE_OK) lode_error_context("planning memory");
    return status;
}

lode_status trainer_plan_variant(lode_trainer *t, const trainer_variant *v, lode_memory_plan *out) {
    trainer_variant was = {t->strategy, t->options.remat, t->batch};
    uint64_t active[LODE_MAX_DECISIONS];
    memcpy(active, t->active, sizeof active);
    t->strategy = v->strategy;
    t->options.remat = v->remat;
    t->batch = v->batch;
    lode_status status = plan_make(t, was.batch, out);
    t->strategy = was.strategy;
    t->options.remat = was.remat;
    t->batch = was.batch;
    memcpy(t->active, active, sizeof active);
    t->trains = -1;
    return status;
}

lode_status lode_trainer_plan(lode_trainer *t, lode_memory_plan *out) {
    const trainer_variant v = {t->strategy, t->options.remat, t->batch};
    *out = (lode_memory_plan){0};
    return trainer_plan_variant(t, &v, out);
}
