/* Statistics and normalization of the columns of dense [rows, c] matrices: batch normalization of
   NHWC images.

   Sums run in float over 64 rows, then in double. The variance of a piece is taken around its own
   mean, in a second reading that comes from cache, and corrected for that mean's rounding:
       M2 = sum (x-m)^2 - (sum (x-m))^2 / n. */
#include "ops/native/simd/simd_internal.h"

enum { V = LODE_V, BLOCK = 4, IN_FLOAT = 64 };

/* What is summed over the rows. */
enum {
    OF_X,    /* x */
    OF_OFF,  /* (x-m)^2 and x-m */
    OF_GRAD, /* g and g (x-m) */
};

LODE_INLINE lode_v norm_load(const float *p, int64_t lanes) {
    return lanes == V ? lode_v_load(p) : lode_v_load_first(p, lanes);
}

static void norm_flush(lode_v a, int64_t lanes, double *sum) {
    float lane[V];
    lode_v_store(lane, a);
    for (int64_t l = 0; l < lanes; l++) sum[l] += (double)lane[l];
}

/* n vectors of columns (a constant); lanes < V: the only one is not full. Adds to sum, sum2. */
LODE_INLINE void norm_columns(int kind, int n, int64_t rows, int64_t c, int64_t lanes,
                              const float *x, const float *g, const float *mean, double *sum,
                              double *sum2) {
    lode_v m[BLOCK];
    LODE_UNROLL for (int v = 0; v < n; v++) m[v] =
        kind == OF_X ? lode_v_zero() : norm_load(mean + v * V, lanes);
    for (int64_t first = 0; first < rows; first += IN_FLOAT) {
        int64_t last = first + IN_FLOAT < rows ? first + IN_FLOAT : rows;
        lode_v a[2][BLOCK], b[2][BLOCK]; /* even and odd rows */
        LODE_UNROLL for (int v = 0; v < n; v++) a[0][v] = a[1][v] = b[0][v] = b[1][v] =
            lode_v_zero();
        for (int64_t r = first; r < last; r += 2) {
            LODE_UNROLL for (int o = 0; o < 2; o++) {
                if (r + o >= last) break;
                LODE_UNROLL for (int v = 0; v < n; v++) {
                    int64_t at = (r + o) * c + v * V;
                    lode_v off = norm_load(x + at, lanes) - m[v];
                    if (kind == OF_X) a[o][v] += off;
                    if (kind == OF_OFF) {
                        a[o][v] += off * off;
                        b[o][v] += off;
                    }
                    if (kind == OF_GRAD) {
                        lode_v gv = norm_load(g + at, lanes);
                        a[o][v] += gv;
                        b[o][v] += gv * off;
                    }
                }
            }
        }
        LODE_UNROLL for (int v = 0; v < n; v++) {
            norm_flush(a[0][v] + a[1][v], lanes, sum + v * V);
            if (kind != OF_X) norm_flush(b[0][v] + b[1][v], lanes, sum2 + v * V);
        }
    }
}

LODE_INLINE void norm_sums(int kind, int64_t rows, int64_t c, const float *x, const float *g,
                           const float *mean, double *sum, double *sum2) {
    int64_t i = 0;
    for (; i + BLOCK * V <= c; i += BLOCK * V)
        norm_columns(kind, BLOCK, rows, c, V, x + i, g + i, mean + i, sum + i, sum2 + i);
    for (; i < c; i += V)
        norm_columns(kind, 1, rows, c, c - i < V ? c - i : V, x + i, g + i, mean + i, sum + i,
                     sum2 + i);
}

void simd_run_norm_stats(int64_t rows, int64_t c, const float *x, float *mean, double *sum,
                         double *m2, double *off) {
    for (int64_t i = 0; i < c; i++) sum[i] = m2[i] = off[i] = 0;
    norm_sums(OF_X, rows, c, x, x, x, sum, sum);
    for (int64_t i = 0; i < c; i++) mean[i] = (float)(sum[i] / (double)rows);
    norm_sums(OF_OFF, rows, c, x, x, mean, m2, off);
    for (int64_t i = 0; i < c; i++) m2[i] -= off[i] * off[i] / (double)rows;
}

void simd_run_norm_grad_sums(int64_t rows, int64_t c, const float *x, const float *g,
                             const float *mean, double *sum, double *sum2) {
    for (int64_t i = 0; i < c; i++) sum[i] = sum2[i] = 0;
    norm_sums(OF_GRAD, rows, c, x, g, mean, sum, sum2);
}

void simd_run_norm_apply(int64_t rows, int64_t c, const float *restrict x,
                         const float *restrict mean, const float *restrict a,
                         const float *restrict b, float *restrict y) {
    for (int64_t r = 0; r < rows; r++, x += c, y += c) {
#pragma omp simd
        for (int64_t i = 0; i < c; i++) y[i] = a[i] * (x[i] - mean[i]) + b[i];
    }
}

void simd_run_norm_grad(int64_t rows, int64_t c, const float *restrict x, const float *restrict g,
                        const float *restrict mean, const float *restrict of_g,
                        const float *restrict of_x, const float *restrict rest,
                        float *restrict dx) {
    for (int64_t r = 0; r < rows; r++, x += c, g += c, dx += c) {
#pragma omp simd
        for (int64_t i = 0; i < c; i++)
            dx[i] = of_g[i] * g[i] + of_x[i] * (x[i] - mean[i]) + rest[i];
    }
}
