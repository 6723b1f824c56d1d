/* fpga_overlap.h: when a network is done whose layers each have a processing element of their own,
   and start before the layer before them has ended (FNAS, Jiang et al. 2019: the tile-based task
   graph and its schedule; methods D3).

   A stage is a layer on its element. Its task (s, m, n) adds input-channel tile n to output-channel
   tile m of the part s of the map (parts row by row). Parts are the outermost loop. With outputs
   reused, a stage goes through all n for one m, and output tiles come out one by one; with inputs
   reused, through all m for one n, and output tiles come out together at the end, but the first n
   is all it takes to begin. So layers alternate: one that hands out tiles one by one feeds one that
   takes them so.

   All tasks of a stage take `task` cycles. A task can begin `fill` cycles after the last tile it
   reads has been written (its double buffer is loaded), and an output tile is written `drain`
   cycles after its last task. A stage alone takes fill + tasks task + drain: with task = L2 /
   ceil(N/Tn) that is the L of fpga.h.

   Earliest: every task begins as soon as it can. Gapless: a stage begins as late as it must to
   run without a pause; then its end is where it begins and its processing time, FNAS's analysis,
   and never earlier than the first. */
#ifndef LODE_HWCOST_FPGA_OVERLAP_H
#define LODE_HWCOST_FPGA_OVERLAP_H
#include "hwcost/fpga.h"

#include <stdbool.h>

typedef enum lode_overlap_reuse { LODE_OVERLAP_OUTPUTS, LODE_OVERLAP_INPUTS } lode_overlap_reuse;

/* What a stage reads of another: rows [r stride - pad, r stride - pad + kernel) for its row r, cut
   to the map; columns likewise. */
typedef struct lode_overlap_input {
    int from;          /* a stage before; -1: the network's input, there from the beginning */
    bool whole_map;    /* all rows and columns */
    bool all_channels; /* else of channels: own tile m (depthwise, sums), or input tile n */
    bool own_channels;
    int64_t kernel[2], stride[2], pad[2];
} lode_overlap_input;

enum { LODE_OVERLAP_MAX_INPUTS = 8 };

typedef struct lode_overlap_stage {
    int64_t rows, columns, channels; /* of the result */
    int64_t depth;                   /* input channels that are added up; 1: none (depthwise) */
    lode_fpga_tile tile;
    lode_overlap_reuse reuse;
    double task, fill, drain; /* cycles */
    int n_inputs;
    lode_overlap_input input[LODE_OVERLAP_MAX_INPUTS];
} lode_overlap_stage;

/* Tasks of a stage. */
LODE_API int64_t lode_overlap_n_tasks(const lode_overlap_stage *s);
/* Cycles until all n stages are done; start and end [n] of the stages' work (may be NULL): the
   first task's begin, the last tile written. LODE_ERR_INVALID: a stage reads a later one.
   LODE_ERR_UNSUPPORTED: more than 1e8 tasks. */
LODE_API lode_status lode_overlap_run(const lode_overlap_stage *stage, int n, bool gapless,
                                      double *start, double *end, double *cycles);
#endif
