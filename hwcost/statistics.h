/* statistics.h: the few robust statistics that measuring needs. Inputs are not changed. */
#ifndef LODE_HWCOST_STATISTICS_H
#define LODE_HWCOST_STATISTICS_H
#include "core/status.h"

#include <stdint.h>

typedef struct lode_summary {
    double min, median; /* median of what is left after dropping 10 % at each end, and outliers */
    double spread;      /* interquartile range / median, 0 when the median is 0 */
    /* Half the width of the 95 % confidence interval of the median / median; from the order of the
       values, so whatever their distribution (ranks n/2 -+ 0.98 sqrt(n)). Below six values they do
       not bound it, and it is infinite. */
    double interval;
    int64_t outliers; /* beyond three interquartile ranges from the quartiles; left out */
} lode_summary;
LODE_API lode_status lode_summarize(const double *v, int64_t n, lode_summary *out);

/* How well predictions fit measurements. */
typedef struct lode_agreement {
    double mape;  /* mean of |p - m| / m, percent */
    double bias;  /* mean of (p - m) / m, percent */
    double rmse;  /* in the unit of the values */
    double tau_b; /* Kendall's tau_b; ties counted */
    double pearson;
} lode_agreement;
LODE_API lode_status lode_agree(const double *predicted, const double *measured, int64_t n,
                                lode_agreement *out);
/* Least squares m = a + b p weighted by 1/m (relative error); b = 1, a = 0 when p does not vary. */
LODE_API void lode_fit_line(const double *p, const double *m, int64_t n, double *a, double *b);
#endif
