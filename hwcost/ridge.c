/* ridge.c: linear least squares with a penalty, in closed form.

   With x and y centered on the rows, (X'X / n + lambda I) w = X'y / n, by Cholesky; the offset is
   not shrunk. One-hot features add up to 1 within each decision, so X'X is singular and lambda is
   what makes w unique: the shortest of those that fit alike. (Hoerl & Kennard 1970) */
#include "core/memory.h"
#include "hwcost/predictor_internal.h"

#include <math.h>
#include <string.h>

static void ridge_gram(const predictor_samples *s, int f, const double *mean, double mean_y,
                       double *a, double *b, double *row) {
    for (int64_t r = 0; r < s->n; r++) {
        for (int i = 0; i < f; i++) row[i] = s->x[r * f + i] - mean[i];
        double y = s->y[r] - mean_y;
        for (int i = 0; i < f; i++) {
            if (row[i] == 0) continue;
            double *ai = a + (size_t)i * (size_t)f;
            for (int j = 0; j <= i; j++) ai[j] += row[i] * row[j] / (double)s->n;
            b[i] += row[i] * y / (double)s->n;
        }
    }
}

lode_status predictor_ridge(const predictor_samples *s, int n_features, double lambda, double *w) {
    int f = n_features;
    lode_status status = LODE_OK;
    double mean_y = 0, *a = LODE_NEW_ARRAY(double, (int64_t)f *f), *row = NULL;
    double *mean = LODE_NEW_ARRAY(double, 2 * (int64_t)f);
    LODE_GOTO(a && mean ? LODE_OK : LODE_ERR_NO_MEMORY);
    row = mean + f;
    for (int64_t r = 0; r < s->n; r++) {
        for (int i = 0; i < f; i++) mean[i] += s->x[r * f + i] / (double)s->n;
        mean_y += s->y[r] / (double)s->n;
    }
    memset(w, 0, (size_t)(f + 1) * sizeof *w);
    ridge_gram(s, f, mean, mean_y, a, w, row);
    for (int i = 0; i < f; i++) a[(size_t)i * (size_t)f + (size_t)i] += lambda;
    if (!predictor_factor(a, f)) {
        status = LODE_FAIL(LODE_ERR_NUMERIC,
                           "ridge regression of %d features on %lld rows: no "
                           "solution in double at lambda %g",
                           f, (long long)s->n, lambda);
        goto done;
    }
    predictor_substitute(a, w, f);
    w[f] = mean_y;
    for (int i = 0; i < f; i++) w[f] -= mean[i] * w[i];
done:
    lode_free(a);
    lode_free(mean);
    return status;
}

double predictor_ridge_at(const double *w, const double *x, int n_features) {
    double y = w[n_features];
    for (int i = 0; i < n_features; i++) y += w[i] * x[i];
    return y;
}

/* One output: train and valid have it alone. */
static lode_status ridge_best(const predictor_samples *train, const predictor_samples *valid,
                              const predictor_samples *last, int f, double *w) {
    static const double list[] = {1e-9, 1e-7, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1};
    double best = INFINITY, lambda = 1e-3;
    for (size_t i = 0; valid->n > 0 && i < sizeof list / sizeof *list; i++) {
        double error = 0;
        LODE_TRY(predictor_ridge(train, f, list[i], w));
        for (int64_t r = 0; r < valid->n; r++) {
            double e = predictor_ridge_at(w, valid->x + r * f, f) - valid->y[r];
            error += e * e;
        }
        if (error < best) {
            best = error;
            lambda = list[i];
        }
    }
    return predictor_ridge(last, f, lambda, w);
}

lode_status predictor_ridge_best(const predictor_job *job, bool both, double *w) {
    int f = lode_encoding_n(job->encoding);
    int64_t n = job->train.n + job->valid.n; /* valid follows train in memory */
    double *y = LODE_NEW_ARRAY(double, n);
    lode_status status = y ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int o = 0; o < job->outputs && status == LODE_OK; o++) {
        for (int64_t i = 0; i < n; i++) y[i] = job->train.y[i * job->outputs + o];
        const predictor_samples train = {job->train.n, job->train.x, y};
        const predictor_samples valid = {job->valid.n, job->valid.x, y + job->train.n};
        const predictor_samples all = {n, job->train.x, y};
        status = ridge_best(&train, &valid, both ? &all : &train, f, w + (int64_t)o * (f + 1));
    }
    lode_free(y);
    return status;
}
