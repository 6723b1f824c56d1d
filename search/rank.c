/* rank.c: see rank.h. All is quadratic in n, which is hundreds. */
#include "search/rank.h"

#include "core/memory.h"
#include "core/rng.h"

#include <math.h>
#include <stdlib.h>

enum { RANK_RESAMPLES = 1000 };

static int rank_sign(double x) { return (x > 0) - (x < 0); }

double lode_kendall_tau_b(const double *a, const double *b, int64_t n) {
    double agree = 0, in_a = 0, in_b = 0; /* pairs: concordant minus discordant, not tied */
    for (int64_t i = 1; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            int x = rank_sign(a[i] - a[j]), y = rank_sign(b[i] - b[j]);
            agree += x * y;
            in_a += x != 0;
            in_b += y != 0;
        }
    return in_a > 0 && in_b > 0 ? agree / sqrt(in_a * in_b) : 0;
}

/* rank[i]: 1 + values below + half of the other equal ones. */
static void rank_values(const double *v, int64_t n, double *rank) {
    for (int64_t i = 0; i < n; i++) {
        rank[i] = 1;
        for (int64_t j = 0; j < n; j++)
            if (j != i) rank[i] += v[j] < v[i] ? 1 : v[j] == v[i] ? 0.5 : 0;
    }
}

lode_status lode_spearman(const double *a, const double *b, int64_t n, double *out) {
    double *x = LODE_NEW_ARRAY(double, n), *y = LODE_NEW_ARRAY(double, n);
    double xx = 0, yy = 0, xy = 0, mean = 0.5 * (double)(n + 1);
    lode_status status = x != NULL && y != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
    if (status == LODE_OK) {
        rank_values(a, n, x);
        rank_values(b, n, y);
        for (int64_t i = 0; i < n; i++) {
            xx += (x[i] - mean) * (x[i] - mean);
            yy += (y[i] - mean) * (y[i] - mean);
            xy += (x[i] - mean) * (y[i] - mean);
        }
        *out = xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
    }
    lode_free(x);
    lode_free(y);
    return status;
}

static int rank_compare_doubles(const void *a, const void *b) {
    return rank_sign(*(const double *)a - *(const double *)b);
}

static lode_status rank_bootstrap(const double *score, const double *truth, int64_t n,
                                  uint64_t seed, lode_rank *out) {
    double *s = LODE_NEW_ARRAY(double, n), *t = LODE_NEW_ARRAY(double, n);
    double *tau = LODE_NEW_ARRAY(double, RANK_RESAMPLES);
    lode_status status = s && t && tau ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int r = 0; status == LODE_OK && r < RANK_RESAMPLES; r++) {
        lode_rng rng = lode_rng_stream(seed, LODE_RNG_MEASURE, (uint64_t)r);
        for (int64_t i = 0; i < n; i++) {
            int64_t k = lode_rng_below(&rng, n);
            s[i] = score[k];
            t[i] = truth[k];
        }
        tau[r] = lode_kendall_tau_b(s, t, n);
    }
    if (status == LODE_OK) {
        qsort(tau, RANK_RESAMPLES, sizeof *tau, rank_compare_doubles);
        out->tau_low = tau[RANK_RESAMPLES / 40];
        out->tau_high = tau[RANK_RESAMPLES - 1 - RANK_RESAMPLES / 40];
    }
    lode_free(s);
    lode_free(t);
    lode_free(tau);
    return status;
}

/* The best truth among the k largest scores. */
static double rank_best_of(const double *score, const double *truth, int64_t n, int k) {
    double best = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        int64_t above = 0;
        for (int64_t j = 0; j < n; j++)
            above += score[j] > score[i] || (score[j] == score[i] && j < i);
        if (above < k) best = fmax(best, truth[i]);
    }
    return best;
}

lode_status lode_rank_compare(const double *score, const double *truth, int64_t n, uint64_t seed,
                              lode_rank *out) {
    *out = (lode_rank){0};
    if (n < 2)
        return LODE_FAIL(LODE_ERR_INVALID, "ranking: %lld architectures, at least 2 are needed",
                         (long long)n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(score[i]) || !isfinite(truth[i]))
            return LODE_FAIL(LODE_ERR_NUMERIC, "ranking: value %lld is not finite", (long long)i);
    out->tau_b = lode_kendall_tau_b(score, truth, n);
    LODE_TRY(lode_spearman(score, truth, n, &out->spearman));
    for (int i = 0; i < LODE_RANK_TOPS; i++)
        out->regret[i] =
            rank_best_of(score, truth, n, (int)n) - rank_best_of(score, truth, n, lode_rank_top[i]);
    return rank_bootstrap(score, truth, n, seed, out);
}
