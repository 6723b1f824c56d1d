/* One window of a pool, all channels of it: the inner loops of native_pool.c. */
#include "ops/native/simd/simd_internal.h"

void simd_run_pool_max(int64_t c, int n, const float *const *in, const int32_t *index,
                       float *restrict y, int32_t *restrict at) {
    const float *restrict first = in[0];
    for (int64_t i = 0; i < c; i++) {
        y[i] = first[i];
        at[i] = index[0];
    }
    for (int t = 1; t < n; t++) {
        const float *restrict x = in[t];
        int32_t here = index[t];
#pragma omp simd
        for (int64_t i = 0; i < c; i++) {
            bool more = x[i] > y[i]; /* the first of equals stays */
            y[i] = more ? x[i] : y[i];
            at[i] = more ? here : at[i];
        }
    }
}

void simd_run_pool_sum(int64_t c, int n, const float *const *in, float scale, float *restrict y) {
    const float *restrict first = in[0];
    for (int64_t i = 0; i < c; i++) y[i] = first[i];
    for (int t = 1; t < n; t++) {
        const float *restrict x = in[t];
#pragma omp simd
        for (int64_t i = 0; i < c; i++) y[i] += x[i];
    }
#pragma omp simd
    for (int64_t i = 0; i < c; i++) y[i] *= scale;
}

void simd_run_pool_spread(int64_t c, int n, float *const *out, float scale,
                          const float *restrict g) {
    for (int t = 0; t < n; t++) {
        float *restrict dx = out[t];
#pragma omp simd
        for (int64_t i = 0; i < c; i++) dx[i] += scale * g[i];
    }
}
