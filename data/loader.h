/* loader.h: samples in order, made into batches ahead of time.

   The order of an epoch is the permutation of the stream (seed, SHUFFLE, epoch); the augmentation
   of a sample comes from (seed, AUGMENT, epoch * n_samples + sample). So a batch is a function of
   (seed, epoch, step) alone: not of the number of workers, nor of what was loaded before. A
   checkpoint stores (epoch, step), and lode_loader_seek goes there.

       LODE_TRY(lode_loader_seek(loader, epoch, step));
       for (...) {
           LODE_TRY(lode_loader_next(loader, &batch));      // endless: the epochs follow each other
           ... batch.x, batch.labels ...                    // until the next call
       }

   `workers` threads fill batches into buffers made once; next() waits for the oldest. With 0
   workers next() does the work itself. A loader that shuffles prepares the next epoch's first
   batches while the last ones are in use; one that does not stops at the end of the epoch until it
   is asked for more or sent back to the start. One loader, one calling thread. */
#ifndef LODE_DATA_LOADER_H
#define LODE_DATA_LOADER_H
#include "data/fit_cache.h"
#include "data/split.h"
#include "data/transform.h"
#include "tensor/tensor.h"

#include <stdbool.h>

typedef struct lode_loader_options {
    int64_t batch;     /* samples per batch (per rank), > 0 */
    int workers;       /* threads; 0: in the caller's */
    int prefetch;      /* batches ready ahead of the one in use; 0: workers + 1 */
    bool shuffle;      /* else ascending order */
    bool drop_last;    /* leave out an incomplete last batch */
    uint64_t seed;     /* of shuffling and augmentation */
    int rank, n_ranks; /* this process' share of every batch of n_ranks * batch; n_ranks 0: 1 */
    lode_fit_cache *fitted; /* borrowed; of an evaluation pipeline and this dataset's part only */
} lode_loader_options;

typedef struct lode_batch {
    lode_tensor *x;       /* f32 [n, C, H, W], channels-last */
    lode_tensor *labels;  /* s32 [n] */
    const int64_t *index; /* [n] sample numbers within the dataset's part */
    int64_t n;            /* options.batch but for an incomplete last one */
    int64_t epoch, step;  /* which batch this is */
    bool last;            /* of its epoch */
} lode_batch;

typedef struct lode_loader lode_loader;
/* Borrows dataset, split and pipeline. Starts at epoch 0, step 0. LODE_ERR_CONFIG when drop_last
   leaves no batch. Ranks share an incomplete last batch evenly; a rank whose share is empty gets
   n = 0 and no tensors, so that all ranks make the same steps. */
LODE_API lode_status lode_loader_create(lode_dataset *dataset, const lode_data_split *split,
                                        const lode_pipeline *pipeline,
                                        const lode_loader_options *options, lode_loader **out);
LODE_API void lode_loader_destroy(lode_loader *l);

LODE_API int64_t lode_loader_n_batches(const lode_loader *l); /* per epoch */
LODE_API int64_t lode_loader_n_samples(const lode_loader *l); /* of the split */
LODE_API int64_t lode_loader_bytes(const lode_loader *l); /* of tensors, for batches made ahead */
/* The next batch is `step` of `epoch`; step may be n_batches (the next epoch's start). Cheap when
   it is the next one anyway. */
LODE_API lode_status lode_loader_seek(lode_loader *l, int64_t epoch, int64_t step);
/* Position of the batch that next() will give: what a checkpoint stores. */
LODE_API void lode_loader_tell(const lode_loader *l, int64_t *epoch, int64_t *step);
/* The tensors belong to the loader and are valid until the next call of next, seek or destroy. A
   sample that cannot be read fails here, at its batch; the loader stays where it was. */
LODE_API lode_status lode_loader_next(lode_loader *l, lode_batch *out);
/* Seconds next() has spent waiting for workers (or working, without them) since the last call. */
LODE_API double lode_loader_take_wait(lode_loader *l);
#endif
