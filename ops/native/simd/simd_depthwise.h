/* simd_depthwise.h: the inner loops of depthwise convolutions over packed rows, see
   simd_depthwise.c; simd_mbconv_backward.c walks the same rows. */
#ifndef LODE_OPS_NATIVE_SIMD_DEPTHWISE_H
#define LODE_OPS_NATIVE_SIMD_DEPTHWISE_H
#include "ops/native/simd/simd_act.h"

enum { V = LODE_V, TILE = 8, TAPS = SIMD_DW_MAX_KERNEL };

static inline int64_t dw_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t dw_max(int64_t a, int64_t b) { return a > b ? a : b; }
/* Rounded down and up, for any a and b > 0. */
static inline int64_t dw_floor(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }
static inline int64_t dw_ceil(int64_t a, int64_t b) { return dw_floor(a + b - 1, b); }

static inline int64_t dw_lanes(const simd_dw *d, int64_t block) {
    return dw_min(V, d->c - block * V);
}

/* ---- packing ---- */

/* n pixels, `from` floats apart, side by side. */
LODE_INLINE void dw_pack_run(int64_t n, const float *x, int64_t from, int64_t lanes, float *out) {
    if (lanes == V)
        for (int64_t i = 0; i < n; i++) lode_v_store(out + i * V, lode_v_load(x + i * from));
    else
        for (int64_t i = 0; i < n; i++)
            lode_v_store(out + i * V, lode_v_load_first(x + i * from, lanes));
}

/* ---- forward and backward data: rows of taps over packed rows ---- */

/* The rows of taps that meet a row. */
typedef struct dw_rows {
    const simd_dw_taps *taps;
    int n;
    const float *row[TAPS];  /* packed pixels, where output 0 starts */
    const float *wrow[TAPS]; /* packed weights */
    bool clamps;             /* results go between low and high */
    lode_v low, high;
} dw_rows;

LODE_INLINE void dw_store(int n, const dw_rows *t, lode_v *sum, int64_t lanes, int64_t keep,
                          float *out, int64_t step) {
    if (t->clamps) {
        LODE_UNROLL for (int i = 0; i < n; i++) sum[i] = act_clamp(t->low, t->high, sum[i]);
    }
    if (lanes == V && keep == n) {
        LODE_UNROLL for (int i = 0; i < n; i++) lode_v_store(out + i * step, sum[i]);
        return;
    }
    LODE_UNROLL for (int i = 0; i < n; i++) {
        if (i < keep) lode_v_store_first(out + i * step, sum[i], lanes);
    }
}

/* n outputs from pixel x on; n, k and unit are constants. */
LODE_INLINE void dw_unit_tile(int n, int k, int unit, const dw_rows *t, int64_t j, lode_v start,
                              int64_t lanes, int64_t keep, float *out, int64_t step) {
    lode_v sum[TILE];
    LODE_UNROLL for (int i = 0; i < n; i++) sum[i] = start;
    for (int r = 0; r < t->n; r++) {
        const float *x = t->row[r] + t->taps->at[0] + j * V, *wrow = t->wrow[r] + t->taps->w_at[0];
        lode_v w[7];
        LODE_UNROLL for (int v = 0; v < k; v++) w[v] = lode_v_load(wrow + v * unit * V);
        LODE_UNROLL for (int i = 0; i < n + k - 1; i++) {
            lode_v pixel = lode_v_load(x + i * V);
            LODE_UNROLL for (int v = 0; v < k; v++) {
                if (i - v >= 0 && i - v < n) sum[i - v] += pixel * w[v];
            }
        }
    }
    dw_store(n, t, sum, lanes, keep, out, step);
}

LODE_INLINE void dw_list_tile(int n, const dw_rows *t, int64_t j, lode_v start, int64_t lanes,
                              int64_t keep, float *out, int64_t step) {
    lode_v sum[TILE];
    LODE_UNROLL for (int i = 0; i < n; i++) sum[i] = start;
    for (int r = 0; r < t->n; r++) {
        const float *row = t->row[r] + j * V, *wrow = t->wrow[r];
        for (int k = 0; k < t->taps->n; k++) {
            const float *x = row + t->taps->at[k];
            lode_v w = lode_v_load(wrow + t->taps->w_at[k]);
            LODE_UNROLL for (int i = 0; i < n; i++) sum[i] += lode_v_load(x + i * V) * w;
        }
    }
    dw_store(n, t, sum, lanes, keep, out, step);
}

/* k and unit are constants; k 0: a list. n outputs, `step` floats apart; packed rows reach a tile
   further than needed. */
LODE_INLINE void dw_row_of(int k, int unit, const dw_rows *t, int64_t n, lode_v start,
                           int64_t lanes, float *out, int64_t step) {
#define DW_TILE(size, keep)                                                                        \
    (k ? dw_unit_tile(size, k, unit, t, j, start, lanes, keep, out + j * step, step)               \
       : dw_list_tile(size, t, j, start, lanes, keep, out + j * step, step))
    int64_t j = 0;
    for (; j + TILE <= n; j += TILE) DW_TILE(TILE, TILE);
    if (n - j > TILE / 2)
        DW_TILE(TILE, n - j);
    else if (n - j > 2)
        DW_TILE(TILE / 2, n - j);
    else if (n - j > 0)
        DW_TILE(2, n - j);
#undef DW_TILE
}

static inline void dw_row(const dw_rows *t, int64_t n, lode_v start, int64_t lanes, float *out,
                          int64_t step) {
    switch (t->taps->unit * t->taps->n) {
    case 3:
        dw_row_of(3, 1, t, n, start, lanes, out, step);
        break;
    case 5:
        dw_row_of(5, 1, t, n, start, lanes, out, step);
        break;
    case 7:
        dw_row_of(7, 1, t, n, start, lanes, out, step);
        break;
    case -3:
        dw_row_of(3, -1, t, n, start, lanes, out, step);
        break;
    case -5:
        dw_row_of(5, -1, t, n, start, lanes, out, step);
        break;
    case -7:
        dw_row_of(7, -1, t, n, start, lanes, out, step);
        break;
    default:
        dw_row_of(0, 0, t, n, start, lanes, out, step);
        break;
    }
}

/* ---- backward weights ---- */

/* Rows of the kernel u .. u+n_u, over rows lo..hi of the band of y. */
typedef struct dw_weights {
    const simd_dw *d;
    const float *x, *dy, *zero; /* bands; a packed row of zeros for what lies outside */
    int64_t x_begin, y_begin;   /* their first rows */
    int64_t x_mask, y_mask;     /* of rings of rows; -1: no rings */
    float *partial;
} dw_weights;

static inline const float *dw_weights_dy(const dw_weights *b, int64_t i) {
    return b->dy + ((i - b->y_begin) & b->y_mask) * b->d->dy_row;
}
static inline const float *dw_weights_x(const dw_weights *b, int64_t i, int64_t u) {
    const simd_dw *d = b->d;
    int64_t h = i * d->stride[0] - d->pad[0] + u * d->dilation[0];
    return h < 0 || h >= d->h ? b->zero : b->x + ((h - b->x_begin) & b->x_mask) * d->x_row;
}

/* n rows of k taps next to each other, TILE / 2 pixels at a time; n and k are constants. */
LODE_INLINE void dw_unit_weights(int n, int k, const dw_weights *b, int64_t u, int64_t lo,
                                 int64_t hi) {
    enum { STEP = TILE / 2, MOST = 14 };
    lode_v sum[MOST];
    LODE_UNROLL for (int i = 0; i < n * k; i++) sum[i] = lode_v_zero();
    for (int64_t i = lo; i < hi; i++) {
        const float *dy = dw_weights_dy(b, i), *x[3];
        int64_t j = 0;
        LODE_UNROLL for (int r = 0; r < n; r++) x[r] = dw_weights_x(b, i, u + r);
        for (; j + STEP <= b->d->ow; j += STEP) {
            lode_v g[STEP];
            LODE_UNROLL for (int t = 0; t < STEP; t++) g[t] = lode_v_load(dy + (j + t) * V);
            LODE_UNROLL for (int r = 0; r < n; r++) {
                LODE_UNROLL for (int t = 0; t < STEP + k - 1; t++) {
                    lode_v pixel = lode_v_load(x[r] + (j + t) * V);
                    LODE_UNROLL for (int v = 0; v < k; v++) {
                        if (t - v >= 0 && t - v < STEP) sum[r * k + v] += pixel * g[t - v];
                    }
                }
            }
        }
        for (; j < b->d->ow; j++) {
            lode_v g = lode_v_load(dy + j * V);
            LODE_UNROLL for (int r = 0; r < n; r++) {
                LODE_UNROLL for (int v = 0; v < k; v++) sum[r * k + v] +=
                    lode_v_load(x[r] + (j + v) * V) * g;
            }
        }
    }
    float *partial = b->partial + u * k * V;
    LODE_UNROLL for (int i = 0; i < n * k; i++)
        lode_v_store(partial + i * V, lode_v_load(partial + i * V) + sum[i]);
}

/* Taps first .. first+n of kernel row u, n a constant, wherever they lie. */
LODE_INLINE void dw_list_weights(int n, const dw_weights *b, int64_t u, int64_t first, int64_t lo,
                                 int64_t hi) {
    lode_v even[TILE], odd[TILE];
    LODE_UNROLL for (int k = 0; k < n; k++) even[k] = odd[k] = lode_v_zero();
    for (int64_t i = lo; i < hi; i++) {
        const float *dy = dw_weights_dy(b, i), *x = dw_weights_x(b, i, u);
        const float *tap[TILE];
        int64_t j = 0;
        LODE_UNROLL for (int k = 0; k < n; k++) tap[k] = x + b->d->taps.at[first + k];
        for (; j + 2 <= b->d->ow; j += 2) {
            lode_v g0 = lode_v_load(dy + j * V), g1 = lode_v_load(dy + (j + 1) * V);
            LODE_UNROLL for (int k = 0; k < n; k++) {
                even[k] += lode_v_load(tap[k] + j * V) * g0;
                odd[k] += lode_v_load(tap[k] + (j + 1) * V) * g1;
            }
        }
        if (j < b->d->ow) {
            lode_v g = lode_v_load(dy + j * V);
            LODE_UNROLL for (int k = 0; k < n; k++) even[k] += lode_v_load(tap[k] + j * V) * g;
        }
    }
    float *partial = b->partial + (u * b->d->kw + first) * V;
    LODE_UNROLL for (int k = 0; k < n; k++)
        lode_v_store(partial + k * V, lode_v_load(partial + k * V) + (even[k] + odd[k]));
}

static void dw_weight_list(const dw_weights *b, int64_t u, int64_t lo, int64_t hi) {
    int64_t v = 0, n = b->d->kw;
    for (; v + 7 <= n; v += 7) dw_list_weights(7, b, u, v, lo, hi);
    switch (n - v) {
    case 6:
        dw_list_weights(6, b, u, v, lo, hi);
        break;
    case 5:
        dw_list_weights(5, b, u, v, lo, hi);
        break;
    case 4:
        dw_list_weights(4, b, u, v, lo, hi);
        break;
    case 3:
        dw_list_weights(3, b, u, v, lo, hi);
        break;
    case 2:
        dw_list_weights(2, b, u, v, lo, hi);
        break;
    case 1:
        dw_list_weights(1, b, u, v, lo, hi);
        break;
    default:
        break;
    }
}

/* Rows of the kernel from u on that one pass takes: as many sums as registers allow. */
static int64_t dw_weight_rows(const simd_dw *d, int64_t u) {
    int64_t most = !d->unit ? 1 : d->kw == 3 ? 3 : d->kw == 5 || (d->kw == 7 && V == 16) ? 2 : 1;
    return dw_min(most, d->kh - u);
}

static void dw_weight_pass(const dw_weights *b, int64_t u, int64_t n, int64_t lo, int64_t hi) {
    switch (b->d->unit ? b->d->kw * 10 + n : 0) {
    case 33:
        dw_unit_weights(3, 3, b, u, lo, hi);
        break;
    case 32:
        dw_unit_weights(2, 3, b, u, lo, hi);
        break;
    case 31:
        dw_unit_weights(1, 3, b, u, lo, hi);
        break;
    case 52:
        dw_unit_weights(2, 5, b, u, lo, hi);
        break;
    case 51:
        dw_unit_weights(1, 5, b, u, lo, hi);
        break;
    case 72:
        dw_unit_weights(2, 7, b, u, lo, hi);
        break;
    case 71:
        dw_unit_weights(1, 7, b, u, lo, hi);
        break;
    default:
        dw_weight_list(b, u, lo, hi);
        break;
    }
}

/* Adds what rows first .. last of dy have to say. */
static inline void dw_weight_band(const dw_weights *b, int64_t first, int64_t last) {
    const simd_dw *d = b->d;
    int64_t s = d->stride[0], p = d->pad[0], dil = d->dilation[0];
    for (int64_t u = 0, n; u < d->kh; u += n) {
        /* Rows i of y for which row i*s - p + u*dil of x, or that of the last row of this pass,
           lies inside. */
        n = dw_weight_rows(d, u);
        int64_t lo = dw_max(first, dw_ceil(p - (u + n - 1) * dil, s));
        int64_t hi = dw_min(last, dw_floor(d->h - 1 + p - u * dil, s) + 1);
        if (lo < hi) dw_weight_pass(b, u, n, lo, hi);
    }
}
#endif
