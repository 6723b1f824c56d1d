/* statistics.c: medians, Kendall's tau_b, a weighted line. n is a few hundred: plain quadratic tau.
 */
#include "hwcost/statistics.h"

#include "core/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int statistics_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Quantile q of sorted v by linear interpolation. */
static double statistics_quantile(const double *v, int64_t n, double q) {
    double at = q * (double)(n - 1);
    int64_t i = (int64_t)at;
    if (i + 1 >= n) return v[n - 1];
    return v[i] + (at - (double)i) * (v[i + 1] - v[i]);
}

/* The values of sorted v within three interquartile ranges of the quartiles (Tukey's outer fences):
 *n of them from the result on. Fewer than six say nothing about each other. */
static const double *statistics_inner(const double *v, int64_t *n) {
    if (*n < 6) return v;
    const double lower = statistics_quantile(v, *n, 0.25), upper = statistics_quantile(v, *n, 0.75);
    const double reach = 3 * (upper - lower);
    int64_t first = 0, end = *n;
    while (first < end && v[first] < lower - reach) first++;
    while (end > first && v[end - 1] > upper + reach) end--;
    *n = end - first;
    return v + first;
}

static double statistics_interval(const double *v, int64_t n) {
    if (n < 6) return INFINITY;
    const double reach = 0.98 * sqrt((double)n) / (double)(n - 1);
    const double lo = statistics_quantile(v, n, fmax(0, 0.5 - reach));
    return 0.5 * (statistics_quantile(v, n, fmin(1, 0.5 + reach)) - lo);
}

lode_status lode_summarize(const double *v, int64_t n, lode_summary *out) {
    memset(out, 0, sizeof *out);
    if (n <= 0) return LODE_FAIL(LODE_ERR_INVALID, "summary of no values");
    double *s = lode_alloc((size_t)n, sizeof *s);
    if (!s) return LODE_ERR_NO_MEMORY;
    memcpy(s, v, (size_t)n * sizeof *s);
    qsort(s, (size_t)n, sizeof *s, statistics_compare);
    out->min = s[0];
    const int64_t all = n;
    const double *inner = statistics_inner(s, &n);
    out->outliers = all - n;
    out->median = statistics_quantile(inner, n, 0.5); /* trimming both ends keeps the median */
    double iqr = statistics_quantile(inner, n, 0.75) - statistics_quantile(inner, n, 0.25);
    out->spread = out->median > 0 ? iqr / out->median : 0;
    out->interval = out->median > 0 ? statistics_interval(inner, n) / out->median : INFINITY;
    lode_free(s);
    return LODE_OK;
}

static double statistics_tau_b(const double *x, const double *y, int64_t n) {
    double concordant = 0, tie_x = 0, tie_y = 0, pairs = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++) {
            int a = (x[i] > x[j]) - (x[i] < x[j]), b = (y[i] > y[j]) - (y[i] < y[j]);
            concordant += a * b;
            tie_x += a == 0;
            tie_y += b == 0;
            pairs += 1;
        }
    double scale = sqrt((pairs - tie_x) * (pairs - tie_y));
    return scale > 0 ? concordant / scale : 0;
}

static double statistics_pearson(const double *x, const double *y, int64_t n) {
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (int64_t i = 0; i < n; i++) {
        mx += x[i] / (double)n;
        my += y[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
        xy += (x[i] - mx) * (y[i] - my);
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}

lode_status lode_agree(const double *predicted, const double *measured, int64_t n,
                       lode_agreement *out) {
    memset(out, 0, sizeof *out);
    if (n <= 0) return LODE_FAIL(LODE_ERR_INVALID, "agreement of no values");
    for (int64_t i = 0; i < n; i++) {
        double e = predicted[i] - measured[i];
        out->mape += 100 * fabs(e) / fabs(measured[i]) / (double)n;
        out->bias += 100 * e / fabs(measured[i]) / (double)n;
        out->rmse += e * e / (double)n;
    }
    out->rmse = sqrt(out->rmse);
    out->tau_b = statistics_tau_b(predicted, measured, n);
    out->pearson = statistics_pearson(predicted, measured, n);
    return LODE_OK;
}

void lode_fit_line(const double *p, const double *m, int64_t n, double *a, double *b) {
    double w = 0, wp = 0, wm = 0, wpp = 0, wpm = 0;
    for (int64_t i = 0; i < n; i++) {
        double k = 1 / (m[i] * m[i]);
        w += k;
        wp += k * p[i];
        wm += k * m[i];
        wpp += k * p[i] * p[i];
        wpm += k * p[i] * m[i];
    }
    double det = w * wpp - wp * wp;
    *a = 0;
    *b = 1;
    if (n < 3 || det <= 1e-9 * w * wpp) return;
    *b = (w * wpm - wp * wm) / det;
    *a = (wm - *b * wp) / w;
}
