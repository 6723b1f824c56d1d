/* energy.h: what this machine's processors have used, by their own counters (Linux powercap: RAPL
   of Intel and AMD).

   /sys/class/powercap has a directory per zone; those named package-N count whole processors, in
   microjoules that begin anew at max_energy_range_uj. Memory, disks and the power supply are not
   in them, everything else that runs on the processors is, and so is what they use idle. Counters
   move about every millisecond: measure many passes, never a single call. Reading them needs root
   on most systems. LODE_POWERCAP names another directory. */
#ifndef LODE_HWCOST_ENERGY_H
#define LODE_HWCOST_ENERGY_H
#include "core/status.h"

typedef struct lode_energy lode_energy;

/* LODE_ERR_UNSUPPORTED: no such counters, or none that this user may read; the message says what
   was looked for. */
LODE_API lode_status lode_energy_open(lode_energy **out);
LODE_API void lode_energy_close(lode_energy *e);
/* Millijoules of all packages since it was opened. Ask at least once a minute, or a counter may
   have begun anew twice. */
LODE_API lode_status lode_energy_read(lode_energy *e, double *mj);
#endif
