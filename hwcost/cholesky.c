/* cholesky.c: symmetric positive systems of some thousand unknowns. Sums run along rows, four at a
   time, always in the same order. */
#include "hwcost/predictor_internal.h"

#include <math.h>

static double cholesky_dot(const double *a, const double *b, int64_t n) {
    double s[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) s[k] += a[i + k] * b[i + k];
    for (; i < n; i++) s[0] += a[i] * b[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

bool predictor_factor(double *a, int order) {
    int64_t n = order;
    for (int64_t i = 0; i < n; i++) {
        double *row = a + i * n;
        for (int64_t j = 0; j < i; j++)
            row[j] = (row[j] - cholesky_dot(row, a + j * n, j)) / a[j * n + j];
        row[i] -= cholesky_dot(row, row, i);
        if (!(row[i] > 0)) return false;
        row[i] = sqrt(row[i]);
    }
    return true;
}

void predictor_substitute(const double *l, double *b, int order) {
    int64_t n = order;
    for (int64_t i = 0; i < n; i++) b[i] = (b[i] - cholesky_dot(l + i * n, b, i)) / l[i * n + i];
    for (int64_t i = n - 1; i >= 0; i--) {
        b[i] /= l[i * n + i];
        for (int64_t k = 0; k < i; k++) b[k] -= l[i * n + k] * b[i];
    }
}

/* Row j of m is column j of the inverse of l, which is 0 above j; the diagonal of l^-T l^-1 is the
   square of each. */
void predictor_inverse_diagonal(const double *l, double *m, double *out, int order) {
    int64_t n = order;
    for (int64_t j = 0; j < n; j++) {
        double *column = m + j * n;
        column[j] = 1 / l[j * n + j];
        for (int64_t i = j + 1; i < n; i++)
            column[i] = -cholesky_dot(l + i * n + j, column + j, i - j) / l[i * n + i];
        out[j] = cholesky_dot(column + j, column + j, n - j);
    }
}
