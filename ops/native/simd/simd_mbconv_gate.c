/* Squeeze-and-excite within MBConv blocks: what its gates need of an image, forth and back.

   The gates' gradients are known only when an image's projection is walked back, and then the
   gradient behind norm 2 is (gate da + spread) s: da the gradient of what the projection saw, s the
   activation's slope. Its sums over pixels follow from sums of da s and of s, so that one sweep
   does and nothing but da is written. */
#include "ops/native/simd/simd_mbconv.h"

enum { IN_FLOAT = 64, CHAINS = 4 /* sums side by side */ };

/* Sum of act(scale z + shift) over n pixels, IN_FLOAT at most. act: a constant, below 0 a clamp. */
LODE_INLINE lode_v mb_pool_run(int act, const simd_mb *m, int64_t n, const float *z, lode_v scale,
                               lode_v shift) {
    lode_v low = lode_v_set(m->low), high = lode_v_set(m->high), sum[CHAINS];
    LODE_UNROLL for (int k = 0; k < CHAINS; k++) sum[k] = lode_v_zero();
    for (int64_t i = 0; i < n; i += CHAINS) {
        LODE_UNROLL for (int k = 0; k < CHAINS; k++) {
            if (i + k >= n) break;
            lode_v u = lode_v_load(z + (i + k) * V) * scale + shift;
            sum[k] += act < 0 ? act_clamp(low, high, u) : act_smooth(act, u);
        }
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static lode_v mb_pool_some(const simd_mb *m, int64_t n, const float *z, lode_v scale,
                           lode_v shift) {
    if (m->act == LODE_ACT_HSWISH) return mb_pool_run(LODE_ACT_HSWISH, m, n, z, scale, shift);
    if (m->act == LODE_ACT_SWISH) return mb_pool_run(LODE_ACT_SWISH, m, n, z, scale, shift);
    return mb_pool_run(-1, m, n, z, scale, shift);
}

void simd_run_mb_pool(const simd_mb *m, const simd_mb_weights *w, const float *z2, float *mean) {
    int64_t pixels = m->dw.oh * m->dw.ow;
    for (int64_t b = 0; b < m->blocks; b++, z2 += pixels * V) {
        lode_v scale = lode_v_load(w->scale2 + b * V), shift = lode_v_load(w->shift2 + b * V);
        double sum[V] = {0};
        for (int64_t i = 0; i < pixels; i += IN_FLOAT)
            mb_add_lanes(mb_pool_some(m, dw_min(IN_FLOAT, pixels - i), z2 + i * V, scale, shift),
                         sum);
        for (int l = 0; l < V; l++) mean[b * V + l] = (float)(sum[l] / (double)pixels);
    }
}

enum { MB_DROP, MB_STORE, MB_STREAM }; /* what becomes of da */

/* Of n pixels and block b: da_in to gate a2, the sums, and da_in itself to `da`. act and keep are
   constants; act below 0: a clamp. */
LODE_INLINE void mb_gated_run(int act, int keep, const simd_mb *m, const simd_mb_weights *w,
                              const float *gate, int64_t b, int64_t n, float *da_in,
                              const float *z2, float *da, double *sums) {
    lode_v scale = lode_v_load(w->scale2 + b * V), shift = lode_v_load(w->shift2 + b * V);
    lode_v mean = lode_v_load(w->mean2 + b * V), times = lode_v_load(gate + b * V);
    lode_v low = lode_v_set(m->low), high = lode_v_set(m->high), one = lode_v_set(1.0f);
    lode_v sum[SIMD_MB_GATE_SUMS];
    LODE_UNROLL for (int k = 0; k < SIMD_MB_GATE_SUMS; k++) sum[k] = lode_v_zero();
    for (int64_t i = 0; i < n; i++) {
        lode_v z = lode_v_load(z2 + i * V), u = z * scale + shift, g = lode_v_load(da_in + i * V);
        lode_v a, slope, off = z - mean;
        if (act < 0) {
            a = act_clamp(low, high, u);
            slope = act_clamp_gradient(low, high, u, one);
        } else {
            slope = act_smooth_gradient(act, u, one, &a);
        }
        lode_v_store(da_in + i * V, a * times);
        if (keep == MB_STORE) lode_v_store(da + i * V, g);
        if (keep == MB_STREAM) lode_v_stream(da + i * V, g);
        sum[0] += g * a;
        g *= slope;
        sum[1] += g;
        sum[2] += g * off;
        sum[3] += slope;
        sum[4] += slope * off;
    }
    for (int k = 0; k < SIMD_MB_GATE_SUMS; k++)
        mb_add_lanes(sum[k], sums + (k * m->blocks + b) * V);
}

static void mb_gated(const simd_mb *m, const simd_mb_weights *w, const float *gate, int64_t b,
                     int64_t n, float *da_in, const float *z2, float *da, double *sums) {
    if (m->act == LODE_ACT_HSWISH)
        mb_gated_run(LODE_ACT_HSWISH, MB_STREAM, m, w, gate, b, n, da_in, z2, da, sums);
    else if (m->act == LODE_ACT_SWISH)
        mb_gated_run(LODE_ACT_SWISH, MB_STREAM, m, w, gate, b, n, da_in, z2, da, sums);
    else if (m->again)
        mb_gated_run(-1, MB_DROP, m, w, gate, b, n, da_in, z2, da, sums);
    else if (m->streams)
        mb_gated_run(-1, MB_STREAM, m, w, gate, b, n, da_in, z2, da, sums);
    else
        mb_gated_run(-1, MB_STORE, m, w, gate, b, n, da_in, z2, da, sums);
}

void simd_run_mb_project_gated(const simd_mb *m, const simd_mb_weights *w, const float *gate,
                               const float *dz3, const float *z2, float *da, float *dw,
                               double *sums, float *scratch) {
    const lode_v zero[2] = {lode_v_zero(), lode_v_zero()};
    const int64_t most = MB_BACKWARD_PIXELS, plane = most * V;
    int64_t pixels = m->dw.oh * m->dw.ow;
    memset(sums, 0, (size_t)(SIMD_MB_GATE_SUMS * m->blocks * V) * sizeof *sums);
    for (int64_t i = 0; i < pixels; i += most) {
        int64_t n = dw_min(most, pixels - i);
        const float *dz = dz3 + i * m->out;
        for (int64_t b = 0; b < m->blocks; b += 2) {
            int64_t nb = mb_pair_blocks(m, b / 2);
            for (int64_t q = b; q < b + nb; q++) mb_prefetch(n * V, z2 + (q * pixels + i) * V);
            mb_point(nb, n, m->out, dz, m->out, w->project_t + b * m->out * V, zero, scratch,
                     plane);
            for (int64_t q = b; q < b + nb; q++) {
                int64_t at = (q * pixels + i) * V;
                mb_gated(m, w, gate, q, n, scratch + (q - b) * plane, z2 + at,
                         m->again ? NULL : da + at, sums);
            }
            if (dw != NULL)
                mb_outer(nb, m->out, n, dz, m->out, scratch, plane, dw + b * m->out * V);
        }
    }
    lode_v_stream_end();
}
