/* Pure multiply-adds in registers, and the triad, for roofline.c. */
#include "ops/native/simd/simd_internal.h"

float simd_run_fma_peak(int rounds) {
    lode_v sum[SIMD_FMA_CHAINS], a = lode_v_set(0.999f), b = lode_v_set(1e-3f);
    float lane[LODE_V], total = 0;
    LODE_UNROLL for (int i = 0; i < SIMD_FMA_CHAINS; i++) sum[i] = lode_v_set((float)i);
    for (int r = 0; r < rounds; r++) {
        LODE_UNROLL for (int i = 0; i < SIMD_FMA_CHAINS; i++) sum[i] = sum[i] * a + b;
    }
    for (int i = 0; i < SIMD_FMA_CHAINS; i++) {
        lode_v_store(lane, sum[i]);
        total += lane[0];
    }
    return total;
}

void simd_run_triad(int64_t n, float *restrict a, const float *restrict b, const float *restrict c,
                    float s) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) a[i] = b[i] + s * c[i];
}
