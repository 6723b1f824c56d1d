/* trainer_internal.h: the trainer's parts: where it is (position), what it needs (the rest).

   trainer.c walks, trainer_step.c does one step, trainer_passes.c is the passes and gradients in
   it, trainer_state.c brings the position and the tensors to disk and back, trainer_metrics.c
   writes lines, trainer_options.c holds the rows. */
#ifndef LODE_TRAIN_TRAINER_INTERNAL_H
#define LODE_TRAIN_TRAINER_INTERNAL_H
#include "train/hessian.h"
#include "train/trainer.h"

/* Sums over the steps of one kind of turn since the epoch began. */
typedef struct trainer_sums {
    double loss, correct, seen; /* loss weighted by samples */
} trainer_sums;

/* All that changes besides tensors. Saved as plain numbers, in this order: doubles only. */
typedef struct trainer_position {
    double epoch;
    double weight_batch; /* weight steps done in this epoch */
    double arch_batch;   /* architecture steps done in this epoch */
    double arch_total;   /* architecture steps done in all: the place in the split "arch" */
    double step;         /* steps of both kinds in all */
    trainer_sums sums[2];
    trainer_sums last[2]; /* of the last epoch that was completed */
    double eval_accuracy, eval_loss, eval_n;
    double n_measured;                                   /* rows of the watch */
    double stop_rule, stop_epoch, stop_kept, stop_value; /* lode_early_stop */
} trainer_position;
enum { TRAINER_NUMBERS = sizeof(trainer_position) / sizeof(double) };

typedef struct trainer_watch trainer_watch;

struct lode_trainer {
    lode_train_setup setup;
    lode_train_options options;
    const lode_comm *comm;
    lode_strategy *strategy, *own_strategy;
    lode_optimizer *weights, *arch; /* arch NULL: the strategy has no parameters */
    double arch_lr;
    lode_ema *ema;        /* NULL: off */
    trainer_watch *watch; /* NULL: nothing to watch */
    lode_tape *tape;
    lode_loader *train, *arch_loader, *eval_loader; /* the last two may be NULL */
    int64_t n_train, n_arch;                        /* batches per epoch */
    int64_t batch, eval_batch;                      /* per rank */
    lode_schedule schedule;
    lode_dtype dtype;
    int64_t total_steps, arch_steps; /* of both turns, of the architecture's */

    trainer_position at;
    int trains;   /* lode_gradient_of: whose parameters are not frozen now; -1: not set yet */
    bool probing; /* gradients for somebody to look at: running statistics stay */
    bool finished;
    lode_batch held[2]; /* by turn: the loader's batch, until its next one is asked for */
    int64_t held_at[2]; /* which one it is, counted over the epochs; -1: none */

    double started, last_save, line_started; /* seconds of the clock */
    double line_images;                      /* since line_started */
    double run_images, run_seconds;          /* of weight steps in this run */
    lode_step_record last;
    double correct;                      /* of the last pass */
    uint64_t active[LODE_MAX_DECISIONS]; /* of the last pass */
};

/* trainer_step.c */
lode_status trainer_step(lode_trainer *t, lode_turn turn);

/* trainer_passes.c */
lode_step trainer_describe_step(const lode_trainer *t, lode_turn turn);
double trainer_lr(const lode_trainer *t, lode_turn turn);
/* Whose gradients a step of `turn` takes in this epoch. */
lode_gradient_of trainer_trains(const lode_trainer *t, lode_turn turn);
/* Only these parameters get gradients. */
void trainer_freeze(lode_trainer *t, lode_gradient_of of);
void trainer_clear_grads(lode_trainer *t);
/* The batch of the turn's next step; the same one until that step is done. */
lode_status trainer_next_batch(lode_trainer *t, lode_turn turn, lode_batch *batch);
/* Forward of one pass on t->tape; the loss is left there. */
lode_status trainer_forward(lode_trainer *t, const lode_step *step, const lode_batch *batch,
                            lode_var **logits, lode_var **loss);
/* All passes of a step, forward and backward, then the sum over ranks of the gradients. sum: of the
   losses, last: of the last pass. */
lode_status trainer_passes(lode_trainer *t, lode_step *step, const lode_batch *batch,
                           lode_gradient_of of, double *sum, double *last);

/* trainer.c */
int64_t trainer_arch_steps(const lode_trainer *t, const lode_epoch_plan *plan); /* of one epoch */
lode_status trainer_eval_arch(lode_trainer *t, lode_arch *arch);
lode_bn_mode trainer_eval_bn(const lode_trainer *t);
typedef enum trainer_move { MOVE_WEIGHTS, MOVE_ARCH, MOVE_END_EPOCH, MOVE_FINISH } trainer_move;
trainer_move trainer_next(const lode_trainer *t);              /* the one thing that comes next */
void trainer_advance(trainer_position *at, trainer_move move); /* the position after it */

/* trainer_plan.c */
/* A training that differs from t's in some of these. */
typedef struct trainer_variant {
    lode_strategy *strategy;
    int remat;
    int64_t batch; /* per rank */
} trainer_variant;
lode_status trainer_plan_variant(lode_trainer *t, const trainer_variant *v, lode_memory_plan *out);

/* trainer_memory.c */
void trainer_tell_plan(const lode_trainer *t, const lode_memory_plan *plan);
void trainer_tell_peak(const lode_trainer *t, const lode_train_result *r);

/* trainer_watch.c */
lode_status trainer_watch_create(lode_trainer *t);
void trainer_watch_destroy(lode_trainer *t);
lode_status trainer_watch_save(const lode_trainer *t, lode_state *s);
lode_status trainer_watch_load(lode_trainer *t, lode_checkpoint *c);
/* Measures what is due after this epoch; may set the position to stopped. */
lode_status trainer_watch_epoch(lode_trainer *t);
/* The spectrum's ends at the parameters now, which keep every bit. */
lode_status trainer_watch_measure(lode_trainer *t, lode_hessian_ends *out);
lode_early_stop trainer_early_stop(const lode_trainer *t);

/* trainer_state.c */
lode_status trainer_save(lode_trainer *t, bool finished);
lode_status trainer_resume(lode_trainer *t);

/* trainer_metrics.c */
lode_status trainer_write_turn(lode_trainer *t, lode_turn turn);
/* mean, ratio: NAN where there is none yet. */
lode_status trainer_write_hessian(lode_trainer *t, const lode_hessian_ends *ends, double mean,
                                  double ratio);
lode_status trainer_write_plan(lode_trainer *t, const lode_memory_plan *plan);
lode_status trainer_write_eval(lode_trainer *t, const lode_evaluation *e, const lode_arch *arch);
void trainer_show_progress(lode_trainer *t, lode_turn turn);

/* trainer_options.c */
lode_status trainer_check_options(const lode_train_options *o);
lode_optimizer_options trainer_optimizer_options(const lode_train_options *o);
#endif
