/* simd_mbconv.h: what the forward and backward kernels of MBConv blocks share: products of pixels
   with blocks of LODE_V channels, and rows of packed pixels. */
#ifndef LODE_OPS_NATIVE_SIMD_MBCONV_H
#define LODE_OPS_NATIVE_SIMD_MBCONV_H
#include "ops/native/simd/simd_act.h"
#include "ops/native/simd/simd_depthwise.h"

enum { MB_TILE = V == 16 ? 16 : 8 }; /* pixels whose sums stay in registers */

/* out[i] = start + sum_k x[i,k] w[k] for n pixels, a constant; out[i] is a vector. */
LODE_INLINE void mb_point_tile(int n, int64_t k, const float *x, int64_t from, const float *w,
                               lode_v start, float *out) {
    lode_v sum[MB_TILE];
    LODE_UNROLL for (int i = 0; i < n; i++) sum[i] = start;
    for (int64_t p = 0; p < k; p++, x++, w += V) {
        lode_v wp = lode_v_load(w);
        LODE_UNROLL for (int i = 0; i < n; i++) sum[i] += lode_v_set(x[i * from]) * wp;
    }
    LODE_UNROLL for (int i = 0; i < n; i++) lode_v_store(out + i * V, sum[i]);
}

/* Any number of pixels, `from` floats apart. */
static void mb_point(int64_t n, int64_t k, const float *x, int64_t from, const float *w,
                     lode_v start, float *out) {
#define MB_POINT(size) mb_point_tile(size, k, x + i * from, from, w, start, out + i * V)
    int64_t i = 0;
    for (; i + MB_TILE <= n; i += MB_TILE) MB_POINT(MB_TILE);
    if (n - i >= 8) {
        MB_POINT(8);
        i += 8;
    }
    switch (n - i) {
    case 7:
        MB_POINT(7);
        break;
    case 6:
        MB_POINT(6);
        break;
    case 5:
        MB_POINT(5);
        break;
    case 4:
        MB_POINT(4);
        break;
    case 3:
        MB_POINT(3);
        break;
    case 2:
        MB_POINT(2);
        break;
    case 1:
        MB_POINT(1);
        break;
    default:
        break;
    }
#undef MB_POINT
}

/* acc [k][V] += sum_i x[i,k] g[i], x rows `from` floats apart; n a constant number of k at once. */
LODE_INLINE void mb_outer_tile(int n, int64_t rows, const float *x, int64_t from, const float *g,
                               float *acc) {
    lode_v sum[MB_TILE];
    LODE_UNROLL for (int i = 0; i < n; i++) sum[i] = lode_v_load(acc + i * V);
    for (int64_t r = 0; r < rows; r++, x += from, g += V) {
        lode_v gr = lode_v_load(g);
        LODE_UNROLL for (int i = 0; i < n; i++) sum[i] += lode_v_set(x[i]) * gr;
    }
    LODE_UNROLL for (int i = 0; i < n; i++) lode_v_store(acc + i * V, sum[i]);
}
static inline void mb_outer(int64_t k, int64_t rows, const float *x, int64_t from, const float *g,
                            float *acc) {
    int64_t i = 0;
    for (; i + MB_TILE <= k; i += MB_TILE)
        mb_outer_tile(MB_TILE, rows, x + i, from, g, acc + i * V);
    for (; i + 8 <= k; i += 8) mb_outer_tile(8, rows, x + i, from, g, acc + i * V);
    for (; i + 4 <= k; i += 4) mb_outer_tile(4, rows, x + i, from, g, acc + i * V);
    for (; i < k; i++) mb_outer_tile(1, rows, x + i, from, g, acc + i * V);
}

LODE_INLINE void mb_smooth_row(int act, int64_t n, float *a, float *slope) {
    for (int64_t i = 0; i < n; i++) {
        lode_v u = lode_v_load(a + i * V), value;
        if (slope != NULL)
            lode_v_store(slope + i * V, act_smooth_gradient(act, u, lode_v_set(1.0f), &value));
        else
            value = act_smooth(act, u);
        lode_v_store(a + i * V, value);
    }
}

static inline bool mb_is_smooth(const simd_mb *m) {
    return m->act == LODE_ACT_HSWISH || m->act == LODE_ACT_SWISH;
}

/* a = act(a) for n vectors; slope (may be NULL): act'(a), of smooth ones only. */
static inline void mb_act_row(const simd_mb *m, int64_t n, float *a, float *slope) {
    lode_v low = lode_v_set(m->low), high = lode_v_set(m->high);
    if (m->act == LODE_ACT_HSWISH)
        mb_smooth_row(LODE_ACT_HSWISH, n, a, slope);
    else if (m->act == LODE_ACT_SWISH)
        mb_smooth_row(LODE_ACT_SWISH, n, a, slope);
    else
        for (int64_t i = 0; i < n; i++)
            lode_v_store(a + i * V, act_clamp(low, high, lode_v_load(a + i * V)));
}

/* n pixels of a1, `from` floats of x apart, side by side. */
static inline void mb_x_run(const simd_mb *m, const simd_mb_weights *w, int64_t block, int64_t n,
                            const float *x, int64_t from, float *out, float *slope) {
    if (!m->expands) {
        dw_pack_run(n, x + block * V, from, dw_min(V, m->dw.c - block * V), out);
        return;
    }
    mb_point(n, m->in, x, from, w->expand + block * m->in * V, lode_v_load(w->shift1 + block * V),
             out);
    mb_act_row(m, n, out, slope);
}

/* Row i of a1, columns sorted by their remainder modulo the stride, see simd_depthwise.c. */
static inline void mb_x_row(const simd_mb *m, const simd_mb_weights *w, int64_t block,
                            const float *x, int64_t i, float *row, float *slope) {
    const simd_dw *d = &m->dw;
    int64_t s = d->stride[1], p = d->pad[1];
    for (int64_t r = 0; r < s; r++) {
        int64_t j = s == 1 ? 0 : ((r - p) % s + s) % s; /* first column of this remainder */
        if (j >= d->w) continue;
        int64_t at = s == 1 ? p * V : (r * d->run + (j + p) / s) * V;
        mb_x_run(m, w, block, (d->w - j - 1) / s + 1, x + (i * d->w + j) * m->in, s * m->in,
                 row + at, slope != NULL ? slope + at : NULL);
    }
}
#endif
