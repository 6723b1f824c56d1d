/* trainer.h: the training loop: one for supernets, subnets and fixed networks.

   It knows no method: a strategy says what each step trains. Its state is (seed, epoch, position)
   and tensors, so that a run stopped or killed at any moment and resumed gives the same bits as one
   that never stopped. Per epoch: all batches of the split "train" for the weights; then, when the
   strategy asks for it, all of "arch" for its parameters (or one arch step after every few weight
   steps).

   metrics.jsonl gets the memory plan, and one line per turn and evaluation; the fields that depend
   on the clock (images_per_s, time) come last. */
#ifndef LODE_TRAIN_TRAINER_H
#define LODE_TRAIN_TRAINER_H
#include "core/log.h"
#include "data/data.h"
#include "train/comm.h"
#include "train/evaluate.h"
#include "train/memory_plan.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/strategy.h"
#include "train/watch.h"

typedef struct lode_train_options {
    int64_t epochs;
    int64_t batch;        /* over all ranks; 0: data.batch */
    const char *strategy; /* NULL: fixed for a fixed network, gumbel for a supernet */
    const char *optimizer;
    double lr, lr_final;
    int schedule;    /* lode_schedule_kind */
    double warmup;   /* epochs of linear warm-up, may be a fraction */
    double lr_every; /* epochs, schedule step */
    double lr_gamma; /* schedule step */
    double weight_decay, momentum, beta1, beta2, rho, eps;
    bool nesterov, decoupled, decay_all, eps_inside;
    double label_smoothing;
    double clip;               /* global norm; 0: none */
    double ema;                /* decay of the average of weights; 0: none */
    double drop_path;          /* grows linearly from 0 to this over the run */
    int remat;                 /* lode_remat: none, layer (slower, far less memory) */
    bool unfused;              /* lode_fuse: never; a recipe says so in engine.fuse */
    int64_t memory_limit;      /* bytes the process may hold at most, 0: what the system has
                                  available; a recipe says so in engine.memory_limit */
    int64_t eval_every;        /* epochs between evaluations on `eval_split`; 0: only at the end */
    const char *eval_split;    /* "valid", "test"; evaluation is left out when it is empty */
    int64_t eval_batch;        /* 0: batch */
    int64_t log_every;         /* steps between metrics lines within an epoch; 0: none */
    int64_t checkpoint_steps;  /* 0: not by steps */
    double checkpoint_seconds; /* 0: not by time */
} lode_train_options;

/* The same rows under two names: sections "supernet" and "train". */
/* Zero the struct before it is read: what section "engine" sets has no row in these tables. */
LODE_API extern const lode_option_table lode_train_option_table;
LODE_API extern const lode_option_table lode_supernet_train_option_table;

typedef struct lode_train_result {
    double loss, accuracy; /* of the last epoch of weights */
    lode_evaluation eval;  /* last evaluation; n == 0: none */
    int64_t epochs, steps; /* done in all, earlier runs included */
    double seconds;        /* of this run */
    double images_per_s;   /* of this run's weight steps */
    lode_early_stop stop;  /* rule LODE_STOP_NONE: all epochs were made */
    /* lode_train only */
    lode_memory_plan plan;
    int64_t peak_bytes, peak_held; /* measured in this run: to compare with total and held */
} lode_train_result;

/* Everything is borrowed and must outlive the trainer. */
typedef struct lode_train_setup {
    const char *phase; /* "supernet", "train": in metrics lines and the checkpoint's name */
    lode_supernet *net;
    lode_strategy *strategy; /* NULL: made from options->strategy with default options, no costs */
    lode_data *data;
    int64_t data_batch; /* used when options->batch is 0 */
    int workers;        /* loader threads */
    const lode_runner *runner;
    const lode_train_options *options;
    uint64_t seed;
    const char *metrics_path;         /* NULL: no metrics */
    const char *checkpoint_directory; /* NULL: no checkpoints */
    bool resume; /* go on from the newest checkpoint, when there is one; else start afresh */
    const lode_comm *comm; /* NULL: one process */
    const lode_progress *progress;
} lode_train_setup;

typedef struct lode_trainer lode_trainer;
/* Loads the checkpoint when resuming, and cuts metrics_path back to where the checkpoint was
   written. LODE_ERR_CONFIG names an option that changed since. */
LODE_API lode_status lode_trainer_create(const lode_train_setup *setup, lode_trainer **out);
LODE_API void lode_trainer_destroy(lode_trainer *t);
/* What the training will hold, whether steps were made already or not; takes the time of about one
   step. Leaves no trace in the training. */
LODE_API lode_status lode_trainer_plan(lode_trainer *t, lode_memory_plan *out);
/* LODE_ERR_INFEASIBLE when what is to come does not fit into what is available or would pass
   options->memory_limit; names the options that help, each with the plan it would bring. */
LODE_API lode_status lode_trainer_check_memory(lode_trainer *t, const lode_memory_plan *plan);
/* Asks the system at once for what is to come, and a 32nd more: no step will have to. */
LODE_API lode_status lode_trainer_reserve(lode_trainer *t, const lode_memory_plan *plan);
/* To the end. LODE_ERR_STOPPED: progress asked to stop; a checkpoint was written, resume goes on.
   LODE_ERR_NUMERIC: the loss became NaN or infinite; names step, layer and what to change. */
LODE_API lode_status lode_trainer_run(lode_trainer *t, lode_train_result *result);
/* At most max_steps further steps (of either turn); *finished tells whether the run is complete.
   For benches and tests. */
LODE_API lode_status lode_trainer_run_steps(lode_trainer *t, int64_t max_steps, bool *finished);
/* What the last step did and where its time went, seconds: for benches. */
typedef struct lode_step_record {
    lode_turn turn;
    double wait;            /* for the loader's batch */
    double forward;         /* choices, network and loss, of all passes */
    double backward;        /* of all passes */
    double optimizer;       /* sum over ranks, optimizer, average, the strategy's after_step */
    const uint64_t *active; /* [n_decisions] options that ran in the last pass; borrowed */
} lode_step_record;
LODE_API lode_step_record lode_trainer_last_step(const lode_trainer *t);
LODE_API lode_status lode_trainer_save(lode_trainer *t);      /* a checkpoint now */
LODE_API int64_t lode_trainer_n_steps(const lode_trainer *t); /* done so far, both turns */
LODE_API int64_t lode_trainer_total_steps(const lode_trainer *t);
LODE_API lode_strategy *lode_trainer_strategy(lode_trainer *t);
/* Gradients at the present place, between two steps; they leave no trace in the training. Valid
   until the next step; `self` is the trainer. */
LODE_API lode_step_tools lode_trainer_tools(lode_trainer *t);
/* With `ema`: the averaged weights become the network's (call once, after run). */
LODE_API lode_status lode_trainer_use_average(lode_trainer *t);

/* create, plan, check_memory, reserve, run, use_average when ema is on, destroy. The plan and the
   measured peak are logged, and stand in metrics.jsonl. */
LODE_API lode_status lode_train(const lode_train_setup *setup, lode_train_result *result);
/* The plan and check_memory alone, for whoever has other long work to do before; touches no file.
 */
LODE_API lode_status lode_train_fits(const lode_train_setup *setup);
#endif
