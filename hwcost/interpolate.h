/* interpolate.h: prices of calls between measured ones.

   Two measured calls a and b bracket a wanted call w when all three are the same operator with the
   same kernel, stride, padding and dtype, and differ in sizes only, all of which lie at the same
   place between: w = a (b/a)^s for every size, 0 < s < 1. Then its price is a's times (price b /
   price a)^s: a power law, which is exact where time goes with channels, with the area, or with
   both. Of several brackets the narrowest is taken. Nothing is extrapolated. */
#ifndef LODE_HWCOST_INTERPOLATE_H
#define LODE_HWCOST_INTERPOLATE_H
#include "hwcost/table.h"

/* False: no two measured calls bracket it. `median` is in the table's unit. */
LODE_API bool lode_table_interpolate(const lode_table *t, const char *call, double *median);
#endif
