/* asic.h: energy of fetching a value through a hierarchy of memories, and of adding up a partial
   sum there (Chen, Emer & Sze 2016, section IV-C; methods D4). e: energies per access of DRAM,
   global buffer, array and register file, over a multiply-accumulate's; a, b, c, d: how the value's
   reuse is split over them. */
#ifndef LODE_HWCOST_ASIC_H
#define LODE_HWCOST_ASIC_H
#include "core/status.h"

LODE_API double lode_asic_fetch(const double e[4], double a, double b, double c, double d);
LODE_API double lode_asic_sum(const double e[4], double a, double b, double c, double d);
#endif
