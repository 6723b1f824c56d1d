/* labels: property. Three kills at random moments: the same final checkpoint, bit for bit, and the
   same metrics. */
#include "kill_run.h"

KILL_MAIN(3)
