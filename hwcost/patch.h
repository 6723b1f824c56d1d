/* patch.h: the first calls of a network computed patch by patch (Lin et al. 2021, MCUNetV2).

   The result of the last of these calls, the stage's result, is cut into grid x grid patches. Each
   is computed from the image alone, through all calls of the stage, before the next: of every
   tensor inside the stage there is never more than the part that one patch needs. Neighbors need
   overlapping parts, which are computed again for each: the halo, paid in multiply-accumulates.

   Which part is exact arithmetic, one axis at a time. For rows [a, b) of a result a window of k
   taps d apart, stride s, padding p reads the rows a s - p + d t .. (b - 1) s - p + d t, t < k,
   that lie in the input; a tensor that several calls read is needed where any of them needs it.
   What is computed is the interval from the first to the last needed row, and columns likewise, so
   patches at the border of the image are smaller: padding is not computed. Patches differ by at
   most one row or column where the grid does not divide the map. */
#ifndef LODE_HWCOST_PATCH_H
#define LODE_HWCOST_PATCH_H
#include "autograd/tape.h"

/* Can the first n calls of a trace run patch by patch? They can if each looks at a neighborhood of
   its input (convolutions, pooling by windows, element-wise operators of one size, concatenation of
   channels), and nothing of them but the last one's result is read later. */
LODE_API bool lode_patch_can(const lode_tape *trace, int n);
/* Which rows (axis 0) or columns (1) of each value patch i needs: [low, high) at [value * grid +
   i]; 0, 0 of what is no image of the stage. Errors as lode_patch_regions. */
LODE_API lode_status lode_patch_intervals(const lode_tape *trace, int n, int grid, int axis,
                                          int64_t *low, int64_t *high);

/* Of one value, over all patches. */
typedef struct lode_patch_region {
    int64_t most[2]; /* rows, columns of the largest part; 0: no tensor of the stage */
    int64_t sum[2];  /* rows of all rows of patches, columns of all columns: their product is the
                        number of pixels of all patches */
} lode_patch_region;
/* region [lode_trace_n_values]. LODE_ERR_INVALID: lode_patch_can says no, or a map smaller than
   the grid. */
LODE_API lode_status lode_patch_regions(const lode_tape *trace, int n, int grid,
                                        lode_patch_region *region);
/* Is input i of a call an activation, rather than a parameter? */
LODE_API bool lode_patch_is_activation(const lode_op_call *c, int i);
#endif
