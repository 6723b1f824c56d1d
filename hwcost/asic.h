/* asic.h: energy of fetching a value through a hierarchy of memories, and of adding up a partial
   sum there (Chen, Emer & Sze 2016, section IV-C; methods D4). e: energies per access of DRAM,
   global buffer, array and register file, over a multiply-accumulate's; a, b, c, d: how the value's
   reuse is split over them. */
#ifndef LODE_HWCOST_ASIC_H
#define LODE_HWCOST_ASIC_H
#include "core/status.h"

#include <stdbool.h>

LODE_API double lode_asic_fetch(const double e[4], double a, double b, double c, double d);
LODE_API double lode_asic_sum(const double e[4], double a, double b, double c, double d);

/* Which of k arrays runs each of n layers, ms and mj [n][k], so that energy is little and the sum
   of times keeps a deadline (NASAIC, Yang et al. 2020: mapping under a limit of latency, by a
   heuristic). Begins with the least energy for each layer, moves layers to faster arrays where a
   millisecond costs least until the deadline holds, then takes back what still fits. part [n], and
   the sums. False: no assignment keeps the deadline; the fastest is given. */
LODE_API bool lode_asic_assign(int n, int k, const double *ms, const double *mj, double deadline,
                               int *part, double *ms_sum, double *mj_sum);
#endif
