/* profile_fit.c: from sums of calls to whole networks, and whether that is to be believed.

   On a quiet machine whole networks take about what their calls took within them. When other
   programs run, they do not: one that takes the processor for some milliseconds at a time hits
   every long pass and few short calls. So a slope or a share that is far from 1 tells of load that
   the times of the calls themselves do not show. */
#include "core/memory.h"
#include "hwcost/profile_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Beyond these a fit is doubted. */
static const double fit_whole = 1.25, fit_slope = 1.5, fit_mape = 10, fit_stolen = 0.5;

static void fit_judge(const profile_line *l, double stolen, char *doubt, size_t size) {
    static const char *const again = "measure again when nothing else runs";
    const bool here = stolen >= 0;
    if (here && !(l->whole < fit_whole && l->whole > 1 / fit_whole))
        snprintf(doubt, size,
                 "whole networks take %.2f times the sum of their calls, where about 1 is usual: "
                 "other programs slowed one down and not the other; %s",
                 l->whole, again);
    else if (here && !(l->slope < fit_slope && l->slope > 1 / fit_slope))
        snprintf(doubt, size,
                 "the slope is %.2f, where about 1 is usual: other programs slowed long passes "
                 "down and not short ones; %s",
                 l->slope, again);
    else if (l->mape > fit_mape)
        snprintf(doubt, size, "the fit misses its own networks by %.1f %%; %s", l->mape, again);
    else if (stolen > fit_stolen)
        snprintf(doubt, size, "other programs had the processor for %.0f %% of the time; %s",
                 100 * stolen, again);
    else
        *doubt = '\0';
}

lode_status lode_profile_fit_line(const double *sum, const double *measured, int64_t n,
                                  double stolen, profile_line *out) {
    lode_agreement a;
    lode_summary share;
    lode_status status = LODE_OK;
    double *v = LODE_NEW_ARRAY(double, n + 1);
    *out = (profile_line){.slope = 1};
    LODE_GOTO(v ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < n; i++) v[i] = sum[i] > 0 ? measured[i] / sum[i] : INFINITY;
    LODE_GOTO(lode_summarize(v, n, &share));
    out->whole = share.median;
    lode_fit_line(sum, measured, n, &out->constant, &out->slope);
    const bool backwards = out->slope <= 0; /* noise: no machine gets faster by more work */
    if (backwards) out->constant = 0;
    if (backwards) out->slope = 1;
    for (int64_t i = 0; i < n; i++) v[i] = out->constant + out->slope * sum[i];
    LODE_GOTO(lode_agree(v, measured, n, &a));
    out->mape = a.mape;
    fit_judge(out, stolen, out->doubt, sizeof out->doubt);
    if (backwards)
        snprintf(out->doubt, sizeof out->doubt,
                 "networks do not take longer where their calls do: the sum of calls is left as it "
                 "is; measure again when the device is quiet");
done:
    lode_free(v);
    return status;
}

lode_status profile_fit(lode_supernet *net, int64_t batch, const lode_arch *arch, int64_t n,
                        const double *measured, double stolen, lode_table *table) {
    lode_status status = LODE_OK;
    lode_cost *cost = NULL;
    profile_line line;
    double *sum = LODE_NEW_ARRAY(double, n);
    LODE_GOTO(sum ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_cost_from_model(lode_cost_model_find("table"), table, net, batch, &cost));
    for (int64_t i = 0; i < n; i++) LODE_GOTO(lode_cost_hard(cost, &arch[i], &sum[i]));
    LODE_GOTO(lode_profile_fit_line(sum, measured, n, stolen, &line));
    lode_table_set_fit(table, line.constant, line.slope, line.mape, n);
    lode_table_set_doubt(table, line.doubt);
    if (*line.doubt) lode_log(LODE_LOG_WARN, "do not rely on this table: %s", line.doubt);
done:
    lode_cost_close(cost);
    lode_free(sum);
    return status;
}
