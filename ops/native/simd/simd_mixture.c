/* The mixture's inner loops: several options into one sum, and back. */
#include "ops/native/simd/simd_internal.h"

/* y stays in the nearest cache while the options pass by, two at a time. */
void simd_run_mix(int64_t n, int k, const float *const *o, const float *w, float *restrict y) {
    enum { BLOCK = 1024 };
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        const int64_t m = n - begin < BLOCK ? n - begin : BLOCK;
        float *restrict to = y + begin;
        int j = k % 2;
        if (j == 1) {
            const float *restrict a = o[0] + begin;
            for (int64_t i = 0; i < m; i++) to[i] = w[0] * a[i];
        } else {
            memset(to, 0, (size_t)m * sizeof *to);
        }
        for (; j < k; j += 2) {
            const float *restrict a = o[j] + begin, *restrict b = o[j + 1] + begin;
            const float wa = w[j], wb = w[j + 1];
            for (int64_t i = 0; i < m; i++) to[i] += wa * a[i] + wb * b[i];
        }
    }
}

double simd_run_mix_backward(int64_t n, float w, const float *restrict o, const float *restrict dy,
                             float *restrict dx) {
    double sum = 0;
    if (o != NULL) simd_run_fold_rows(n, 1, o, dy, &sum);
    if (dx != NULL)
        for (int64_t i = 0; i < n; i++) dx[i] = w * dy[i];
    return sum;
}
