/* Optimizer steps as single sweeps: each array is read and written once. The order of operations
   is PyTorch's, so that long trainings agree to rounding. */
#include "ops/native/simd/simd_internal.h"

#include <math.h>

void simd_run_sgd(int64_t n, float *restrict w, const float *restrict grad, float *restrict m,
                  const simd_sgd *p) {
    float lr = p->lr, keep = p->keep, coupled = p->coupled, scale = p->grad_scale;
    float mu = p->momentum, damp = p->damp;
    if (!m) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            float v = w[i] * keep;
            w[i] = v - lr * (scale * grad[i] + coupled * w[i]);
        }
        return;
    }
    /* nesterov: g + mu m; otherwise m. As coefficients of (g, m), to keep one loop. */
    float of_g = p->nesterov ? 1.0f : 0.0f, of_m = p->nesterov ? mu : 1.0f;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float g = scale * grad[i] + coupled * w[i];
        float b = mu * m[i] + damp * g;
        m[i] = b;
        w[i] = w[i] * keep - lr * (of_g * g + of_m * b);
    }
}

void simd_run_adam(int64_t n, float *restrict w, const float *restrict grad, float *restrict m,
                   float *restrict v, const simd_adam *p) {
    float b1 = p->beta1, b2 = p->beta2, c1 = 1.0f - b1, c2 = 1.0f - b2, eps = p->eps;
    float step = p->step_size, root = 1.0f / p->root_correction;
    float keep = p->keep, coupled = p->coupled, scale = p->grad_scale;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float g = scale * grad[i] + coupled * w[i];
        float mi = b1 * m[i] + c1 * g, vi = b2 * v[i] + c2 * g * g;
        m[i] = mi;
        v[i] = vi;
        w[i] = w[i] * keep - step * mi / (sqrtf(vi) * root + eps);
    }
}

void simd_run_rmsprop(int64_t n, float *restrict w, const float *restrict grad, float *restrict v,
                      float *restrict mean, float *restrict buffer, const simd_rmsprop *p) {
    float lr = p->lr, a = p->alpha, c = 1.0f - a, mu = p->momentum;
    float keep = p->keep, coupled = p->coupled, scale = p->grad_scale;
    float inside = p->eps_inside ? p->eps : 0.0f, outside = p->eps_inside ? 0.0f : p->eps;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float g = scale * grad[i] + coupled * w[i];
        float vi = a * v[i] + c * g * g, variance = vi;
        v[i] = vi;
        if (mean) {
            float mi = a * mean[i] + c * g;
            mean[i] = mi;
            variance -= mi * mi;
        }
        float d = g / (sqrtf(variance + inside) + outside);
        if (buffer) {
            d += mu * buffer[i];
            buffer[i] = d;
        }
        w[i] = w[i] * keep - lr * d;
    }
}

void simd_run_ema(int64_t n, float *restrict ema, const float *restrict w, float keep) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) ema[i] += (1.0f - keep) * (w[i] - ema[i]);
}

double simd_run_sum_squares(int64_t n, const float *restrict x) {
    double lane[2 * LODE_V] = {0};
    int64_t i = 0;
    for (; i + 2 * LODE_V <= n; i += 2 * LODE_V)
        for (int l = 0; l < 2 * LODE_V; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
    double sum = 0;
    for (int l = 0; l < 2 * LODE_V; l++) sum += lane[l];
    for (; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}
