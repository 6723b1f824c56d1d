/* profile_energy.c: energy of whole networks, here.

   A counter that moves every millisecond says nothing of a pass of one, so each network runs for
   ENERGY_SECONDS in one piece, three times, the networks in turn; the median counts. What the
   processors use idle is part of it: a pass that takes longer costs more. */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/energy.h"
#include "hwcost/profile_internal.h"

enum { ENERGY_TURNS = 3 };
static const double ENERGY_SECONDS = 0.2;

/* Millijoules a pass. */
static lode_status energy_of_passes(profile_bench *b, lode_energy *counters, double *mj) {
    const profile_clock clock = {.wall = lode_clock};
    profile_pass pass;
    double before, after, start = lode_clock();
    int64_t passes = 0;
    LODE_TRY(lode_energy_read(counters, &before));
    do {
        LODE_TRY(profile_run(b, &clock, NULL, &pass));
        passes += 2; /* profile_run makes two */
    } while (lode_clock() - start < ENERGY_SECONDS);
    LODE_TRY(lode_energy_read(counters, &after));
    if (!(after > before))
        return LODE_FAIL(
            LODE_ERR_UNSUPPORTED,
            "energy: the counters did not move in %.1f s; they are not of this machine. "
            "Leave energy out, or measure it with --runner",
            ENERGY_SECONDS);
    *mj = (after - before) / (double)passes;
    return LODE_OK;
}

static lode_status energy_all(profile_bench *bench, int64_t n, const lode_progress *progress,
                              double *mj) {
    lode_energy *counters = NULL;
    lode_status status = LODE_OK;
    LODE_TRY(lode_energy_open(&counters));
    for (int64_t i = 0; i < n * ENERGY_TURNS; i++) {
        if (lode_progress_should_stop(progress))
            LODE_GOTO(LODE_FAIL(LODE_ERR_STOPPED, "energy: stopped after %lld of %lld",
                                (long long)i, (long long)(n * ENERGY_TURNS)));
        LODE_GOTO(energy_of_passes(&bench[i % n], counters, &mj[i % n * ENERGY_TURNS + i / n]));
    }
done:
    lode_energy_close(counters);
    return status;
}

lode_status lode_profile_energy(const lode_profile_networks *s, double *out) {
    profile_bench *bench = NULL;
    lode_status status = LODE_OK;
    double *mj = LODE_NEW_ARRAY(double, s->n *ENERGY_TURNS);
    LODE_GOTO(mj ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(profile_open_benches(s, &bench));
    LODE_GOTO(energy_all(bench, s->n, s->progress, mj));
    for (int64_t i = 0; i < s->n; i++) {
        lode_summary turns;
        LODE_GOTO(lode_summarize(mj + i * ENERGY_TURNS, ENERGY_TURNS, &turns));
        out[i] = turns.median;
    }
done:
    profile_benches_destroy(bench, s->n);
    lode_free(mj);
    return status;
}
