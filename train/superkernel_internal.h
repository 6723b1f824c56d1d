/* superkernel_internal.h: the chains of indicators behind strategy_superkernel.c. */
#ifndef LODE_TRAIN_SUPERKERNEL_INTERNAL_H
#define LODE_TRAIN_SUPERKERNEL_INTERNAL_H
#include "supernet/supernet.h"

/* One mbconv with sizes. Decisions that it does not have are -1. */
typedef struct superkernel_block {
    lode_parameter *depthwise;  /* [rows,1,side,side], of the network */
    int kernel, expand, choice; /* choice: the block, option `own`, or a skip */
    int own;
    int64_t rows, side;
} superkernel_block;

/* What the chains look at and fill. */
typedef struct superkernel_chains {
    lode_space *space;
    lode_dtype dtype;
    lode_parameter **threshold; /* [decisions]: [options - 1]; NULL where there is one option */
    lode_var **weights;         /* [decisions] of the current pass */
    double dropout;             /* of indicators in the current pass */
} superkernel_chains;

/* Weights of the block's decisions on a tape, with their gradients to thresholds and kernel. */
void superkernel_weigh(const superkernel_chains *c, lode_tape *t, const superkernel_block *b);
/* Options of the block's decisions at the thresholds of now; 0 for those it does not have. */
void superkernel_settle(const superkernel_chains *c, const superkernel_block *b, int *kernel,
                        int *expand, int *choice);
#endif
