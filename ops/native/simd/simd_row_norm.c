/* Rows normalized one by one: rows are some hundred floats, so that all readings but the first are
   from cache. Sums of a few vectors are floats, then doubles. */
#include "ops/native/simd/simd_act.h"

#include <math.h>

enum { V = LODE_V, FLUSH = 16 /* vectors */ };

static double row_lanes(lode_v v) {
    float lane[V];
    double sum = 0;
    memcpy(lane, &v, sizeof lane);
    for (int i = 0; i < V; i++) sum += (double)lane[i];
    return sum;
}

/* Sums over one row, flushed now and then. */
typedef struct row_sum {
    lode_v part;
    double sum;
} row_sum;

LODE_INLINE void row_add(row_sum *s, lode_v v, int64_t vector) {
    s->part += v;
    if (vector % FLUSH != FLUSH - 1) return;
    s->sum += row_lanes(s->part);
    s->part = lode_v_zero();
}
LODE_INLINE double row_total(const row_sum *s) { return s->sum + row_lanes(s->part); }

static double row_mean(int64_t d, const float *x) {
    row_sum s = {lode_v_zero(), 0};
    int64_t i = 0;
    for (; i + V <= d; i += V) row_add(&s, lode_v_load(x + i), i / V);
    if (i < d) s.part += lode_v_load_first(x + i, d - i);
    return row_total(&s) / (double)d;
}

static double row_variance(int64_t d, const float *x, float mean) {
    row_sum s = {lode_v_zero(), 0};
    int64_t i = 0;
    for (; i + V <= d; i += V) {
        lode_v off = lode_v_load(x + i) - mean;
        row_add(&s, off * off, i / V);
    }
    double sum = row_total(&s);
    for (; i < d; i++) sum += (double)(x[i] - mean) * (double)(x[i] - mean);
    return sum / (double)d;
}

void simd_run_row_norm(int64_t rows, int64_t d, const float *x, const float *gamma,
                       const float *beta, double eps, float *y, float *mean, float *rstd) {
    for (int64_t r = 0; r < rows; r++, x += d, y += d) {
        const float m = (float)row_mean(d, x);
        const float scale = (float)(1 / sqrt(row_variance(d, x, m) + eps));
        for (int64_t i = 0; i < d; i++) y[i] = (x[i] - m) * scale * gamma[i] + beta[i];
        mean[r] = m;
        rstd[r] = scale;
    }
}

void simd_run_row_norm_grad(int64_t rows, int64_t d, const float *x, const float *g,
                            const float *gamma, const float *mean, const float *rstd, float *dx,
                            double *dgamma, double *dbeta) {
    for (int64_t r = 0; r < rows; r++, x += d, g += d) {
        const float m = mean[r], scale = rstd[r];
        row_sum sum = {lode_v_zero(), 0}, sum_xhat = sum;
        int64_t i = 0;
        for (; i + V <= d; i += V) {
            lode_v v = lode_v_load(g + i) * lode_v_load(gamma + i);
            row_add(&sum, v, i / V);
            row_add(&sum_xhat, v * (lode_v_load(x + i) - m), i / V);
        }
        double s = row_total(&sum), s_xhat = row_total(&sum_xhat);
        for (; i < d; i++) {
            s += (double)(g[i] * gamma[i]);
            s_xhat += (double)(g[i] * gamma[i] * (x[i] - m));
        }
        for (i = 0; dgamma && i < d; i++) dgamma[i] += (double)(g[i] * (x[i] - m) * scale);
        for (i = 0; dbeta && i < d; i++) dbeta[i] += (double)g[i];
        if (!dx) continue;
        const float rest = (float)(s / (double)d);
        const float of_x = (float)(s_xhat * (double)scale * (double)scale / (double)d);
        for (i = 0; i < d; i++) dx[i] = scale * (g[i] * gamma[i] - rest - (x[i] - m) * of_x);
        dx += d;
    }
}
