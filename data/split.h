/* split.h: which samples train and which judge.

   The dataset's own test part is never touched by training or search: it is the split "test". Its
   train part is permuted once by the stream (seed, SPLIT, part), shortened to `limit`, and cut into
   "valid" (accuracy while searching), "arch" (architecture parameters: FBNet's 20 %, DARTS' half)
   and "train" (weights: what remains). A dataset that brings a valid part keeps it unless `valid`
   asks for a cut. Each list is in ascending order: shuffling is the loader's. */
#ifndef LODE_DATA_SPLIT_H
#define LODE_DATA_SPLIT_H
#include "data/dataset.h"

#include <stdbool.h>

typedef struct lode_split_options {
    double valid;       /* below 1: a fraction of the (limited) train part; else a count */
    double arch;        /* below 1: a fraction of what valid leaves; else a count */
    int64_t limit;      /* of train samples, valid and arch included; 0: all */
    int64_t limit_test; /* of test samples, and of a valid part of its own; 0: all */
    bool stratified;    /* every list, and every limit, has the classes in proportion */
    uint64_t seed;
} lode_split_options;

typedef struct lode_data_split {
    const char *name; /* "train", "valid", "arch", "test" */
    lode_part part;
    int64_t n;
    int64_t *index; /* [n] sample numbers within the part, ascending */
} lode_data_split;

enum { LODE_N_SPLITS = 4 };
typedef struct lode_splits {
    lode_data_split split[LODE_N_SPLITS]; /* train, valid, arch, test; n may be 0 */
} lode_splits;

/* LODE_ERR_CONFIG when the cuts leave nothing to train on. */
LODE_API lode_status lode_splits_init(const lode_dataset *d, const lode_split_options *options,
                                      lode_splits *out);
LODE_API void lode_splits_deinit(lode_splits *s);
/* LODE_ERR_NOT_FOUND for a name that is none of the four; LODE_ERR_CONFIG for an empty one, saying
   which option would fill it. */
LODE_API lode_status lode_splits_find(const lode_splits *s, const char *name,
                                      const lode_data_split **out);
#endif
