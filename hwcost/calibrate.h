/* calibrate.h: fits a roofline (roofline.h) to times measured here.

   The calls of a space are timed where they run, as for a table (profile.h). Then the numbers of
   the device file are fitted to them: the peak is the most flops per second that any call reached;
   shares of it, overlaps and overheads per class of work, and the bandwidth of each level of
   memory, are those with the least sum of (ln predicted - ln measured)^2, found by a pattern search
   that is the same on every run. A class with fewer than four calls gets its share only: overlap 1,
   overhead that of calls without arithmetic. What no call depends on keeps its first guess. Sizes
   of caches are the system's. */
#ifndef LODE_HWCOST_CALIBRATE_H
#define LODE_HWCOST_CALIBRATE_H
#include "hwcost/profile.h"
#include "hwcost/roofline.h"

/* Fits to n calls that took us[i] each (> 0). On entry `r` has dtype, vector and levels with their
   names and sizes; on return everything but energies. *mape: of the fitted calls, percent. */
LODE_API lode_status lode_calibrate_fit(const lode_work *work, const double *us, int64_t n,
                                        lode_roofline *r, double *mape);

typedef struct lode_calibration {
    lode_roofline roofline;
    double mape;     /* of the fitted calls, percent */
    int64_t n_calls; /* distinct ones */
    lode_table_info info;
} lode_calibration;
/* Times the calls of the net's space at options->batch, f32, and fits. options->networks is not
   used. */
LODE_API lode_status lode_calibrate(lode_supernet *net, lode_dispatch *dispatch,
                                    const lode_profile_options *options,
                                    const lode_progress *progress, lode_calibration *out);
/* A space (YAML) made for it: convolutions of all classes from 7x7 to 112x112, with many channels
   and with few. */
LODE_API const char *lode_calibration_space(void);
#endif
