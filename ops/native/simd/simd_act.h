/* simd_act.h: activations and their slopes on vectors in registers; `act` (a lode_act) is a
   constant to the compiler wherever these are used. */
#ifndef LODE_OPS_NATIVE_SIMD_ACT_H
#define LODE_OPS_NATIVE_SIMD_ACT_H
#include "ops/native/simd/simd_internal.h"
#include "ops/ops.h"

/* max(a, x) and min(a, x), x when it is NaN. a > b ? g : 0. */
#if LODE_V == 16
LODE_INLINE lode_v act_max(lode_v a, lode_v x) {
    return (lode_v)_mm512_max_ps((__m512)a, (__m512)x);
}
LODE_INLINE lode_v act_min(lode_v a, lode_v x) {
    return (lode_v)_mm512_min_ps((__m512)a, (__m512)x);
}
LODE_INLINE lode_v act_where(lode_v a, lode_v b, lode_v g) {
    __mmask16 more = _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
    return (lode_v)_mm512_maskz_mov_ps(more, (__m512)g);
}
#elif LODE_V == 8
LODE_INLINE lode_v act_max(lode_v a, lode_v x) {
    return (lode_v)_mm256_max_ps((__m256)a, (__m256)x);
}
LODE_INLINE lode_v act_min(lode_v a, lode_v x) {
    return (lode_v)_mm256_min_ps((__m256)a, (__m256)x);
}
LODE_INLINE lode_v act_where(lode_v a, lode_v b, lode_v g) {
    __m256 more = _mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GT_OQ);
    return (lode_v)_mm256_and_ps(more, (__m256)g);
}
#elif LODE_V > 1
typedef int32_t act_bits __attribute__((vector_size(4 * LODE_V)));
LODE_INLINE lode_v act_choose(act_bits take, lode_v a, lode_v b) {
    return (lode_v)((take & (act_bits)a) | (~take & (act_bits)b));
}
LODE_INLINE lode_v act_max(lode_v a, lode_v x) { return act_choose(x < a, a, x); }
LODE_INLINE lode_v act_min(lode_v a, lode_v x) { return act_choose(x > a, a, x); }
LODE_INLINE lode_v act_where(lode_v a, lode_v b, lode_v g) {
    return (lode_v)((a > b) & (act_bits)g);
}
#else
LODE_INLINE lode_v act_max(lode_v a, lode_v x) { return x < a ? a : x; }
LODE_INLINE lode_v act_min(lode_v a, lode_v x) { return x > a ? a : x; }
LODE_INLINE lode_v act_where(lode_v a, lode_v b, lode_v g) { return a > b ? g : 0; }
#endif

#if LODE_V > 1
typedef uint32_t act_word __attribute__((vector_size(4 * LODE_V)));
#else
typedef uint32_t act_word;
#endif

/* e^x as simd_exp of simd_pointwise.c has it. */
LODE_INLINE lode_v act_exp(lode_v x) {
    const lode_v magic = lode_v_set(12582912.0f);
    act_word bits;
    lode_v scale;
    x = act_min(lode_v_set(88.0f), act_max(lode_v_set(-87.0f), x));
    lode_v shifted = x * 1.44269504088896341f + magic, n = shifted - magic;
    lode_v r = x - n * 0.693359375f + n * 2.12194440e-4f;
    lode_v e = r * (1.0f / 5040) + 1.0f / 720;
    e = e * r + 1.0f / 120;
    e = e * r + 1.0f / 24;
    e = e * r + 1.0f / 6;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;
    memcpy(&scale, &bits, sizeof scale);
    return e * scale;
}

LODE_INLINE lode_v act_sigmoid(lode_v u) {
    return lode_v_set(1.0f) / (lode_v_set(1.0f) + act_exp(-u));
}

/* As simd_tanh of simd_pointwise.c: the odd series near 0, where the other form would cancel. */
LODE_INLINE lode_v act_tanh(lode_v x) {
    const lode_v edge = lode_v_set(0.3f);
    lode_v a = act_max(x, -x), s = x * x, far = 2.0f * act_sigmoid(2.0f * x) - 1.0f;
    lode_v near = s * (-1382.0f / 155925) + 62.0f / 2835;
    near = near * s - 17.0f / 315;
    near = near * s + 2.0f / 15;
    near = near * s - 1.0f / 3;
    near = near * s + 1.0f;
    return act_where(edge, a, x * near) + (far - act_where(edge, a, far));
}

/* act is a constant, hswish or swish; the others are clamps, see simd_mb. */
LODE_INLINE lode_v act_smooth(int act, lode_v u) {
    if (act == LODE_ACT_SWISH) return u * act_sigmoid(u);
    lode_v gate = act_min(lode_v_set(6.0f), act_max(lode_v_zero(), u + 3.0f));
    return u * gate * (1.0f / 6);
}

/* g times the slope at u; *a = act(u). */
LODE_INLINE lode_v act_smooth_gradient(int act, lode_v u, lode_v g, lode_v *a) {
    if (act == LODE_ACT_SWISH) {
        lode_v s = act_sigmoid(u), v = u * s;
        *a = v;
        return g * (s + v * (1.0f - s));
    }
    lode_v three = lode_v_set(3.0f), middle = g * (u * (1.0f / 3) + 0.5f);
    *a = act_smooth(act, u);
    middle = act_where(three, u, act_where(u, -three, middle));
    return middle + (g - act_where(three, u, g));
}

LODE_INLINE lode_v act_clamp(lode_v low, lode_v high, lode_v u) {
    return act_min(high, act_max(low, u));
}
/* u may be act(u) as well. */
LODE_INLINE lode_v act_clamp_gradient(lode_v low, lode_v high, lode_v u, lode_v g) {
    return act_where(high, u, act_where(u, low, g));
}
#endif
