/* Means and covariances of the columns of a narrow matrix, and w^T cov w: what MBConv takes the
   statistics of a 1x1 convolution from (native_mbconv.c). All in double: the products are exact,
   and so is, for our purposes, the subtraction of squared means. */
#include "ops/native/simd/simd_internal.h"

#if LODE_V > 1
enum { VD = LODE_V / 2 };
typedef double mb_double __attribute__((vector_size(8 * (LODE_V / 2))));
#else
enum { VD = 1 };
typedef double mb_double;
#endif

enum { MOMENT_ROWS = 16, MOMENT_TILE = 8, QUADRATIC_ROWS = 8 };

LODE_INLINE mb_double mb_load_double(const double *p) {
    mb_double v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* products[i .. i+n, j .. j+VD] += x^T x of a few rows, `wide` apart; n is a constant. */
LODE_INLINE void mb_moment_tile(int n, int64_t rows, int64_t wide, const double *xi,
                                const double *xj, int64_t c, int64_t left, double *out) {
    mb_double sum[MOMENT_TILE];
    double lane[VD];
    LODE_UNROLL for (int i = 0; i < n; i++) memset(&sum[i], 0, sizeof sum[i]);
    for (int64_t r = 0; r < rows; r++, xi += wide, xj += wide) {
        mb_double v = mb_load_double(xj);
        LODE_UNROLL for (int i = 0; i < n; i++) sum[i] += xi[i] * v;
    }
    LODE_UNROLL for (int i = 0; i < n; i++) {
        if (left >= VD) {
            mb_double to = mb_load_double(out + i * c) + sum[i];
            memcpy(out + i * c, &to, sizeof to);
            continue;
        }
        memcpy(lane, &sum[i], sizeof lane);
        for (int64_t l = 0; l < left; l++) out[i * c + l] += lane[l];
    }
}

void simd_run_mb_moments(int64_t rows, int64_t c, const float *restrict x, double *restrict sum,
                         double *restrict products, double *restrict work) {
    int64_t wide = (c + VD - 1) / VD * VD;
    for (int64_t first = 0; first < rows; first += MOMENT_ROWS) {
        int64_t n = rows - first < MOMENT_ROWS ? rows - first : MOMENT_ROWS;
        for (int64_t r = 0; r < n; r++) {
            const float *restrict from = x + (first + r) * c;
            double *restrict to = work + r * wide;
            for (int64_t i = 0; i < c; i++) {
                to[i] = (double)from[i];
                sum[i] += to[i];
            }
            for (int64_t i = c; i < wide; i++) to[i] = 0;
        }
        for (int64_t i = 0, tile; i < c; i += tile) {
            tile = c - i >= MOMENT_TILE ? MOMENT_TILE : 1;
            for (int64_t j = i / VD * VD; j < c; j += VD) {
                double *out = products + i * c + j;
                if (tile == MOMENT_TILE)
                    mb_moment_tile(MOMENT_TILE, n, wide, work + i, work + j, c, c - j, out);
                else
                    mb_moment_tile(1, n, wide, work + i, work + j, c, c - j, out);
            }
        }
    }
}

/* n rows of w at once (a constant), so that cov is read once for them. */
LODE_INLINE void mb_quadratic_rows(int n, int64_t c, const double *cov, const float *w,
                                   double *out) {
    mb_double total[QUADRATIC_ROWS];
    double rest[QUADRATIC_ROWS] = {0};
    int64_t j = 0;
    LODE_UNROLL for (int i = 0; i < n; i++) memset(&total[i], 0, sizeof total[i]);
    for (; j + VD <= c; j += VD) {
        mb_double v[QUADRATIC_ROWS];
        LODE_UNROLL for (int i = 0; i < n; i++) memset(&v[i], 0, sizeof v[i]);
        for (int64_t k = 0; k < c; k++) {
            mb_double row = mb_load_double(cov + k * c + j);
            LODE_UNROLL for (int i = 0; i < n; i++) v[i] += (double)w[i * c + k] * row;
        }
        LODE_UNROLL for (int i = 0; i < n; i++) {
            double lane[VD];
            for (int l = 0; l < VD; l++) lane[l] = (double)w[i * c + j + l];
            total[i] += v[i] * mb_load_double(lane);
        }
    }
    for (; j < c; j++)
        for (int i = 0; i < n; i++)
            for (int64_t k = 0; k < c; k++)
                rest[i] += (double)w[i * c + k] * cov[k * c + j] * (double)w[i * c + j];
    for (int i = 0; i < n; i++) {
        double lane[VD];
        memcpy(lane, &total[i], sizeof lane);
        for (int l = 0; l < VD; l++) rest[i] += lane[l];
        out[i] = rest[i];
    }
}

void simd_run_mb_quadratic(int64_t n, int64_t c, const double *cov, const float *w, double *out) {
    int64_t i = 0;
    for (; i + QUADRATIC_ROWS <= n; i += QUADRATIC_ROWS)
        mb_quadratic_rows(QUADRATIC_ROWS, c, cov, w + i * c, out + i);
    for (; i < n; i++) mb_quadratic_rows(1, c, cov, w + i * c, out + i);
}
