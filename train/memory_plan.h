/* memory_plan.h: what the tensors of a training will hold, known before its first step.

   The plan goes through steps of the training (choices of the strategy, forward, backward) on a
   tape that computes nothing (lode_tape_plan_on): the same code asks for the same blocks, so the
   plan cannot drift from what runs. Where a strategy draws paths, it goes through as many draws as
   tell, of the very steps that will come.

   Bytes are counted as the device counts them: a plan's total compares with peak_bytes of
   lode_device_get_stats. */
#ifndef LODE_TRAIN_MEMORY_PLAN_H
#define LODE_TRAIN_MEMORY_PLAN_H
#include "train/strategy.h"

typedef struct lode_memory_plan {
    /* always there */
    int64_t weights;   /* parameters and running statistics of network and strategy */
    int64_t optimizer; /* moments; with `ema` the averages too */
    int64_t batches;   /* made ahead by the loaders */
    int64_t other;     /* tensors of the process that are none of this training's */
    /* at the moment of a step at which most is in use */
    int64_t gradients;   /* of parameters */
    int64_t activations; /* values kept for backward, and their gradients */
    int64_t workspace;   /* of kernels */

    int64_t total; /* the sum of the above */
    int64_t held; /* total, and the gaps between blocks: what the system has to put memory behind */
    int64_t to_come; /* of `held`, what was not there yet when the plan was made */
    lode_turn turn;  /* of the step with that moment */
} lode_memory_plan;

/* "12.3 MiB", "4.56 GiB" */
LODE_API const char *lode_bytes_text(int64_t bytes, char out[24]);
#endif
