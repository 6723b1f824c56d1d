/* evaluate.h: how good an architecture is: accuracy and loss over a loader, and the batch-norm
   recalibration that a path of a supernet needs before (methods 0.2, B3). */
#ifndef LODE_TRAIN_EVALUATE_H
#define LODE_TRAIN_EVALUATE_H
#include "core/log.h"
#include "data/loader.h"
#include "supernet/supernet.h"
#include "train/strategy.h"

typedef struct lode_evaluation {
    double accuracy; /* share of right answers, 0 .. 1 */
    double loss;     /* mean plain cross entropy */
    int64_t n;       /* samples judged */
} lode_evaluation;

typedef struct lode_evaluate_setup {
    lode_supernet *net;
    const lode_arch *arch;  /* NULL for a fixed network, or with a mixture */
    lode_strategy *mixture; /* instead of arch: all options, mixed by the strategy's probabilities;
                               NULL: none */
    lode_loader *loader;    /* judged from its start, one epoch */
    const lode_runner *runner;
    lode_bn_mode bn;     /* RUNNING for trained or recalibrated statistics, BATCH for a path of a
                            supernet that was not recalibrated */
    int64_t max_batches; /* 0: all */
    const lode_progress *progress;
} lode_evaluate_setup;
/* LODE_ERR_STOPPED when progress says so. */
LODE_API lode_status lode_evaluate(const lode_evaluate_setup *setup, lode_evaluation *out);

/* Pools batch statistics over the first n_images (0: one epoch) of setup->loader and writes them
   into the running statistics of every BN on the path. The weights stay; only net, arch, loader,
   runner, progress (and mixture) of the setup are read. Running it twice gives the same numbers. */
LODE_API lode_status lode_recalibrate(const lode_evaluate_setup *setup, int64_t n_images);

/* Rows whose largest logit is their label (first of equals). */
LODE_API int64_t lode_count_correct(const lode_tensor *logits, const lode_tensor *labels);
/* The batch's images in the network's dtype, as a constant of the tape. */
LODE_API lode_var *lode_batch_input(lode_tape *t, const lode_batch *batch, lode_dtype dtype);
#endif
