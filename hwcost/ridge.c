/* ridge.c: linear least squares with a penalty, in closed form.

   With x and y centered on the rows, (X'X / n + lambda I) w = X'y / n, by Cholesky; the offset is
   not shrunk. One-hot features add up to 1 within each decision, so X'X is singular and lambda is
   what makes w unique: the shortest of those that fit alike. (Hoerl & Kennard 1970) X'X is made
   once for all outputs and lambdas, its factor once a lambda for all outputs. */
#include "core/memory.h"
#include "hwcost/predictor_internal.h"

#include <math.h>
#include <string.h>

static const double ridge_lambda[] = {1e-9, 1e-7, 1e-5, 1e-4, 3e-4, 1e-3,
                                      3e-3, 1e-2, 3e-2, 1e-1, 1};
enum {
    RIDGE_N = sizeof ridge_lambda / sizeof *ridge_lambda,
    RIDGE_UNKNOWN = 5 /* no validation */
};

/* The system of some rows. */
typedef struct ridge {
    int f, outputs;
    int64_t n;
    double *a, *factor; /* [f, f] lower half: X'X / n, and what is factored */
    double *b;          /* [outputs, f] X'y / n */
    double *mean;       /* [f] of x */
    double *mean_y;     /* [outputs] */
    double *row;        /* [f + outputs] one row, centered */
} ridge;

static void ridge_deinit(ridge *r) {
    lode_free(r->a);
    lode_free(r->factor);
    lode_free(r->b);
    lode_free(r->mean);
    lode_free(r->mean_y);
    lode_free(r->row);
}

static void ridge_add_row(ridge *r, const double *x, const double *y) {
    double n = (double)r->n, *row = r->row, *row_y = row + r->f;
    for (int i = 0; i < r->f; i++) row[i] = x[i] - r->mean[i];
    for (int o = 0; o < r->outputs; o++) row_y[o] = y[o] - r->mean_y[o];
    for (int i = 0; i < r->f; i++) {
        if (row[i] == 0) continue;
        double *ai = r->a + (size_t)i * (size_t)r->f;
        for (int j = 0; j <= i; j++) ai[j] += row[i] * row[j] / n;
        for (int o = 0; o < r->outputs; o++)
            r->b[(size_t)o * (size_t)r->f + (size_t)i] += row[i] * row_y[o] / n;
    }
}

static lode_status ridge_init(ridge *r, const predictor_samples *s, int f, int outputs) {
    *r = (ridge){.f = f, .outputs = outputs, .n = s->n};
    r->a = LODE_NEW_ARRAY(double, (int64_t)f *f);
    r->factor = LODE_NEW_ARRAY(double, (int64_t)f *f);
    r->b = LODE_NEW_ARRAY(double, (int64_t)outputs *f);
    r->mean = LODE_NEW_ARRAY(double, f);
    r->mean_y = LODE_NEW_ARRAY(double, outputs);
    r->row = LODE_NEW_ARRAY(double, (int64_t)f + outputs);
    if (!r->a || !r->factor || !r->b || !r->mean || !r->mean_y || !r->row)
        return LODE_ERR_NO_MEMORY;
    for (int64_t k = 0; k < s->n; k++) {
        for (int i = 0; i < f; i++) r->mean[i] += s->x[k * f + i] / (double)s->n;
        for (int o = 0; o < outputs; o++) r->mean_y[o] += s->y[k * outputs + o] / (double)s->n;
    }
    for (int64_t k = 0; k < s->n; k++) ridge_add_row(r, s->x + k * f, s->y + k * outputs);
    return LODE_OK;
}

static lode_status ridge_factor(ridge *r, double lambda) {
    memcpy(r->factor, r->a, (size_t)r->f * (size_t)r->f * sizeof *r->a);
    for (int i = 0; i < r->f; i++) r->factor[(size_t)i * (size_t)r->f + (size_t)i] += lambda;
    if (predictor_factor(r->factor, r->f)) return LODE_OK;
    return LODE_FAIL(LODE_ERR_NUMERIC,
                     "ridge regression of %d features on %lld rows: no solution in double at "
                     "lambda %g",
                     r->f, (long long)r->n, lambda);
}

/* Of one output, at the lambda that was factored last: w [f + 1]. */
static void ridge_solve(const ridge *r, int output, double *w) {
    memcpy(w, r->b + (size_t)output * (size_t)r->f, (size_t)r->f * sizeof *w);
    predictor_substitute(r->factor, w, r->f);
    w[r->f] = r->mean_y[output];
    for (int i = 0; i < r->f; i++) w[r->f] -= r->mean[i] * w[i];
}

double predictor_ridge_at(const double *w, const double *x, int n_features) {
    double y = w[n_features];
    for (int i = 0; i < n_features; i++) y += w[i] * x[i];
    return y;
}

/* ---- the penalty ---- */

/* choice [outputs]: for each output the lambda that fits `valid` best; w [f + 1] is room. */
static lode_status ridge_choose(ridge *r, const predictor_samples *valid, double *w, int *choice) {
    double best[PREDICTOR_MAX_OUTPUTS];
    for (int o = 0; o < r->outputs; o++) {
        best[o] = INFINITY;
        choice[o] = RIDGE_UNKNOWN;
    }
    for (int i = 0; i < RIDGE_N && valid->n > 0; i++) {
        LODE_TRY(ridge_factor(r, ridge_lambda[i]));
        for (int o = 0; o < r->outputs; o++) {
            double error = 0;
            ridge_solve(r, o, w);
            for (int64_t k = 0; k < valid->n; k++) {
                double e =
                    predictor_ridge_at(w, valid->x + k * r->f, r->f) - valid->y[k * r->outputs + o];
                error += e * e;
            }
            if (error < best[o]) {
                best[o] = error;
                choice[o] = i;
            }
        }
    }
    return LODE_OK;
}

static lode_status ridge_solve_all(ridge *r, const int *choice, double *w) {
    for (int i = 0; i < RIDGE_N; i++) {
        bool factored = false;
        for (int o = 0; o < r->outputs; o++) {
            if (choice[o] != i) continue;
            if (!factored) LODE_TRY(ridge_factor(r, ridge_lambda[i]));
            factored = true;
            ridge_solve(r, o, w + (int64_t)o * (r->f + 1));
        }
    }
    return LODE_OK;
}

lode_status predictor_ridge_best(const predictor_job *job, bool both, double *w) {
    int f = lode_encoding_n(job->encoding), choice[PREDICTOR_MAX_OUTPUTS];
    const predictor_samples all = {job->train.n + job->valid.n, job->train.x, job->train.y};
    ridge r = {0};
    lode_status status = LODE_OK;
    LODE_GOTO(ridge_init(&r, &job->train, f, job->outputs));
    LODE_GOTO(ridge_choose(&r, &job->valid, w, choice));
    if (both && job->valid.n > 0) {
        ridge_deinit(&r);
        LODE_GOTO(ridge_init(&r, &all, f, job->outputs));
    }
    LODE_GOTO(ridge_solve_all(&r, choice, w));
done:
    ridge_deinit(&r);
    return status;
}
