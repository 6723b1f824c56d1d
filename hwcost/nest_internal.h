/* nest_internal.h: boxes of the seven loops, and words of tensors in them. */
#ifndef LODE_HWCOST_NEST_INTERNAL_H
#define LODE_HWCOST_NEST_INTERNAL_H
#include "hwcost/nest.h"

typedef struct nest_box {
    int64_t start, length; /* of all units together */
    int64_t part;          /* of one of them, the last may have less */
} nest_box;

typedef struct nest_extent {
    double all, shared; /* of them with the step before */
} nest_extent;

enum { NEST_INPUTS, NEST_WEIGHTS, NEST_OUTPUTS };

/* Of one tensor, boxes [LODE_N_NEST_DIMS] of now and of the step before (lengths 0: there was
   none). together: a word once however many elements have it, else once in each of them. */
nest_extent nest_words(const lode_nest_layer *l, const nest_box *now, const nest_box *before,
                       int tensor, bool together);

static inline int64_t nest_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t nest_min(int64_t a, int64_t b) { return a < b ? a : b; }
#endif
