/* run_device.c: the device for a proposed network (`hardware:` of a space).

   Devices are cheap to try: no weight and no accuracy depends on them, a price is a look into a
   table, and there are at most 1024. So random search and evolution need not stumble on one: each
   proposed network gets, of all devices, the one that leaves most room under the limits, where
   the fullest limit counts. A network is turned down when no device at all keeps them. (FNAS tries
   tiles for each network likewise: Jiang et al. 2019, "FNAS-Design".) */
#include "search/run_internal.h"

#include <math.h>
#include <string.h>

bool run_has_device(const run *r) {
    for (int d = 0; d < lode_space_n_decisions(r->space); d++)
        if (lode_space_decision(r->space, d)->kind == LODE_DECISION_HARDWARE) return true;
    return false;
}

/* The next device, as an odometer turns; false after the last. */
static bool device_next(const run *r, lode_arch *arch) {
    for (int d = arch->n - 1; d >= 0; d--) {
        const lode_decision *decision = lode_space_decision(r->space, d);
        if (decision->kind != LODE_DECISION_HARDWARE) continue;
        if (++arch->option[d] < decision->n_options) return true;
        arch->option[d] = 0;
    }
    return false;
}

/* How full the fullest limit is, above 1: broken. Stops where it is not below `most` any more. */
static lode_status device_fullest(const run_device *s, const lode_arch *arch, double most,
                                  double *out) {
    *out = 0;
    for (int i = 0; i < s->n_limits && *out < most; i++) {
        double value = 0;
        LODE_TRY(lode_cost_hard(s->limit[i].cost, arch, &value));
        *out = fmax(*out, value / s->limit[i].most);
    }
    return LODE_OK;
}

lode_status run_fit_device(void *self, lode_arch *arch) {
    const run_device *s = self;
    lode_arch trial = *arch, best = *arch;
    double least = INFINITY;
    for (int d = 0; d < arch->n; d++)
        if (lode_space_decision(s->r->space, d)->kind == LODE_DECISION_HARDWARE)
            trial.option[d] = 0;
    do {
        double fullest = 0;
        LODE_TRY(device_fullest(s, &trial, least, &fullest));
        if (fullest < least) { /* the first of equals */
            least = fullest;
            best = trial;
        }
    } while (device_next(s->r, &trial));
    *arch = best;
    return LODE_OK;
}
