/* predictor_features.c: an architecture's features as a kind sees them: what the encoding says,
   given numbers behind it, and what is not 0 or 1 by itself brought to mean 0 and variance 1.

   With fit.differences given numbers are a learning curve y_1 .. y_n: behind them come y_{i+1} -
   y_i and the differences of these, as in Baker et al. 2017. (methods F3) */
#include "hwcost/predictor_file_internal.h"

#include <math.h>
#include <string.h>

int predictor_n_given_features(const lode_predictor_options *options, int n_given) {
    if (!options->differences) return n_given;
    return n_given + (n_given > 1 ? n_given - 1 : 0) + (n_given > 2 ? n_given - 2 : 0);
}

void predictor_features_given(const lode_predictor *p, const double *given, double *x) {
    int n = p->n_given;
    if (n == 0) return;
    x += lode_encoding_n(p->encoding) - lode_encoding_n_given(p->encoding);
    memcpy(x, given, (size_t)n * sizeof *x);
    for (int order = 1; p->options.differences && order <= 2; order++) {
        const double *before = x;
        if (n-- < 2) return;
        x += n + 1;
        for (int i = 0; i < n; i++) x[i] = before[i + 1] - before[i];
    }
}

lode_status predictor_features_fit(lode_predictor *p, const double *x, int64_t n) {
    int f = lode_encoding_n(p->encoding), first = lode_encoding_n_binary(p->encoding);
    if (f == first) return LODE_OK;
    LODE_TRY(
        lode_tensor_create(NULL, LODE_F64, &LODE_SHAPE2(2, f - first), LODE_CONTIGUOUS, &p->norm));
    for (int i = first; i < f; i++) {
        double mean = 0, variance = 0;
        for (int64_t r = 0; r < n; r++) mean += x[r * f + i] / (double)n;
        for (int64_t r = 0; r < n; r++)
            variance += (x[r * f + i] - mean) * (x[r * f + i] - mean) / (double)n;
        /* always the same, but for rounding: it says nothing */
        bool constant = !(sqrt(variance) > 1e-9 * fabs(mean));
        lode_put(p->norm, i - first, mean);
        lode_put(p->norm, f - first + i - first, constant ? 0 : 1 / sqrt(variance));
    }
    return LODE_OK;
}

void predictor_features_standardize(const lode_predictor *p, double *x) {
    int first = lode_encoding_n_binary(p->encoding), n = lode_encoding_n(p->encoding) - first;
    const double *mean = p->norm ? p->norm->data : NULL;
    for (int i = 0; mean && i < n; i++) x[first + i] = (x[first + i] - mean[i]) * mean[n + i];
}

void predictor_features_pull(const lode_predictor *p, double *dx) {
    int first = lode_encoding_n_binary(p->encoding), n = lode_encoding_n(p->encoding) - first;
    const double *mean = p->norm ? p->norm->data : NULL;
    for (int i = 0; mean && i < n; i++) dx[first + i] *= mean[n + i];
}
