/* Flat loops of the pointwise operators, and sums of rows. Forward kernels read in[0] (and in[1]);
   backward ones in[0] = what the operator keeps, in[1] = dy. `p`: the operator's parameters.

   exp is our own polynomial, because a loop that calls libm does not vectorise. */
#include "ops/native/simd/simd_internal.h"

#include <math.h>

/* ---- exp, tanh ---- */

/* e^x to 2 units in the last place. x = n ln 2 + r, |r| <= ln 2 / 2: 2^n by the exponent bits,
   e^r by its Taylor polynomial to r^7. Adding 1.5 * 2^23 rounds to an integer and leaves it in the
   low bits. Below -87 the result is about 1e-38 (never a subnormal), above 88 about 2e38. */
LODE_INLINE float simd_exp(float x) {
    const float magic = 12582912.0f;
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float shifted = x * 1.44269504088896341f + magic;
    float n = shifted - magic;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float e = 1.0f / 5040;
    e = e * r + 1.0f / 720;
    e = e * r + 1.0f / 120;
    e = e * r + 1.0f / 24;
    e = e * r + 1.0f / 6;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    uint32_t bits;
    float scale;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23; /* the magic number's own bits fall off the top */
    memcpy(&scale, &bits, sizeof scale);
    return e * scale;
}

LODE_INLINE float simd_sigmoid(float x) { return 1.0f / (1.0f + simd_exp(-x)); }

/* Near 0, where 1 - e^-2x would cancel, the odd series; its error at 0.3 is below 1e-8. */
LODE_INLINE float simd_tanh(float x) {
    float a = fabsf(x), e = simd_exp(-2.0f * a), s = x * x;
    float far = (1.0f - e) / (1.0f + e);
    float near =
        1.0f +
        s * (-1.0f / 3 +
             s * (2.0f / 15 + s * (-17.0f / 315 + s * (62.0f / 2835 + s * (-1382.0f / 155925)))));
    return a < 0.3f ? x * near : x < 0 ? -far : far;
}

/* ---- activations ---- */

LODE_INLINE float simd_clamp(float x, float lo, float hi) {
    x = x < lo ? lo : x; /* NaN stays NaN */
    return x > hi ? hi : x;
}
LODE_INLINE float simd_hsigmoid(float x) { return simd_clamp(x + 3.0f, 0, 6.0f) * (1.0f / 6); }
LODE_INLINE float simd_hswish_slope(float x) {
    float middle = (2.0f * x + 3.0f) * (1.0f / 6);
    return x <= -3.0f ? 0.0f : x >= 3.0f ? 1.0f : middle;
}
LODE_INLINE float simd_swish_slope(float x) {
    float s = simd_sigmoid(x);
    return s * (1.0f + x * (1.0f - s));
}
static float simd_gelu_below(float x) { return 0.5f * erfcf(-x * 0.70710678f); }
static float simd_gelu_slope(float x) {
    return simd_gelu_below(x) + x * 0.39894228f * expf(-0.5f * x * x);
}

/* EXPRESSION of x and of the first parameter p0. */
#define SIMD_FORWARD(NAME, EXPRESSION)                                                             \
    static void NAME##_forward(int64_t n, const float *const *in, float *restrict out,             \
                               const float *p) {                                                   \
        const float *restrict from = in[0];                                                        \
        const float p0 = p != NULL ? p[0] : 0;                                                     \
        (void)p0;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const float x = from[i];                                                               \
            out[i] = EXPRESSION;                                                                   \
        }                                                                                          \
    }
/* dx = dy * slope; EXPRESSION of k, which is kept. */
#define SIMD_BACKWARD(NAME, EXPRESSION)                                                            \
    static void NAME##_backward(int64_t n, const float *const *in, float *restrict out,            \
                                const float *p) {                                                  \
        const float *restrict kept = in[0], *restrict dy = in[1];                                  \
        const float p0 = p != NULL ? p[0] : 0;                                                     \
        (void)p0;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const float k = kept[i];                                                               \
            out[i] = dy[i] * (EXPRESSION);                                                         \
        }                                                                                          \
    }

SIMD_FORWARD(relu, x < 0 ? 0 : x)
SIMD_BACKWARD(relu, k > 0 ? 1.0f : 0.0f)
SIMD_FORWARD(relu6, simd_clamp(x, 0, 6.0f))
SIMD_BACKWARD(relu6, ((k > 0) & (k < 6.0f)) ? 1.0f : 0.0f)
SIMD_FORWARD(leaky_relu, x > 0 ? x : p0 * x)
SIMD_BACKWARD(leaky_relu, k > 0 ? 1.0f : p0)
SIMD_FORWARD(hsigmoid, simd_hsigmoid(x))
SIMD_BACKWARD(hsigmoid, ((k > 0) & (k < 1.0f)) ? 1.0f / 6 : 0.0f)
SIMD_FORWARD(hswish, x *simd_hsigmoid(x))
SIMD_BACKWARD(hswish, simd_hswish_slope(k))
SIMD_FORWARD(sigmoid, simd_sigmoid(x))
SIMD_BACKWARD(sigmoid, k *(1.0f - k))
SIMD_FORWARD(swish, x *simd_sigmoid(x))
SIMD_BACKWARD(swish, simd_swish_slope(k))
SIMD_FORWARD(tanh, simd_tanh(x))
SIMD_BACKWARD(tanh, 1.0f - k * k)
SIMD_FORWARD(gelu, x *simd_gelu_below(x))
SIMD_BACKWARD(gelu, simd_gelu_slope(k))

/* ---- arithmetic ---- */

/* EXPRESSION of a and b. */
#define SIMD_BINARY(NAME, EXPRESSION)                                                              \
    static void NAME##_forward(int64_t n, const float *const *in, float *restrict out,             \
                               const float *p) {                                                   \
        const float *restrict from_a = in[0], *restrict from_b = in[1];                            \
        (void)p;                                                                                   \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const float a = from_a[i], b = from_b[i];                                              \
            out[i] = EXPRESSION;                                                                   \
        }                                                                                          \
    }
SIMD_BINARY(add, a + b)
SIMD_BINARY(sub, a - b)
SIMD_BINARY(mul, a *b)
SIMD_BINARY(div, a / b)

static void scale_forward(int64_t n, const float *const *in, float *restrict out, const float *p) {
    const float *restrict x = in[0];
    const float factor = p[0], shift = p[1];
    for (int64_t i = 0; i < n; i++) out[i] = factor * x[i] + shift;
}

const simd_kernel simd_run_pointwise[SIMD_N_POINTWISE] = {
#define ACTIVATION(ID, NAME) [ID] = NAME##_forward, [ID##_BACKWARD] = NAME##_backward
    ACTIVATION(SIMD_RELU, relu),
    ACTIVATION(SIMD_RELU6, relu6),
    ACTIVATION(SIMD_LEAKY_RELU, leaky_relu),
    ACTIVATION(SIMD_HSIGMOID, hsigmoid),
    ACTIVATION(SIMD_HSWISH, hswish),
    ACTIVATION(SIMD_SIGMOID, sigmoid),
    ACTIVATION(SIMD_SWISH, swish),
    ACTIVATION(SIMD_TANH, tanh),
    ACTIVATION(SIMD_GELU, gelu),
#undef ACTIVATION
    [SIMD_ADD] = add_forward,
    [SIMD_SUB] = sub_forward,
    [SIMD_MUL] = mul_forward,
    [SIMD_DIV] = div_forward,
    [SIMD_SCALE] = scale_forward,
};

/* ---- sums ---- */

static void fold_line(int64_t n, const float *restrict x, const float *restrict z, double *sum) {
    enum { LANES = 2 * LODE_V };
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += (double)x[i + l] * (z != NULL ? (double)z[i + l] : 1);
    for (; i < n; i++) lane[0] += (double)x[i] * (z != NULL ? (double)z[i] : 1);
    for (int l = 0; l < LANES; l++) *sum += lane[l];
}

void simd_run_fold_rows(int64_t rows, int64_t n, const float *restrict x, const float *restrict z,
                        double *restrict sum) {
    if (n == 1) {
        fold_line(rows, x, z, sum);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        const float *restrict xr = x + r * n;
        if (z != NULL)
            for (int64_t i = 0; i < n; i++) sum[i] += (double)xr[i] * (double)z[r * n + i];
        else
            for (int64_t i = 0; i < n; i++) sum[i] += (double)xr[i];
    }
}
