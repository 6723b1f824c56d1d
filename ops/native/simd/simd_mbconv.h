/* simd_mbconv.h: what the forward and backward kernels of MBConv blocks share: products of pixels
   with blocks of LODE_V channels, and packed rows of the expanded image. */
#ifndef LODE_OPS_NATIVE_SIMD_MBCONV_H
#define LODE_OPS_NATIVE_SIMD_MBCONV_H
#include "ops/native/simd/simd_act.h"
#include "ops/native/simd/simd_depthwise.h"

/* Rows of a tile of sums that stays in registers: of two vectors, and of one. */
enum { MB_ROWS = V == 16 ? 12 : 6, MB_LONG = V == 16 ? 16 : 8 };
enum { MB_BACKWARD_PIXELS = 64 }; /* that the projection's backward takes at a time */

/* Calls TILE(size) for rows until all n are done: sizes are constants, tiles few and none much
   smaller than the rest. TILE reads `i`. */
#define MB_EACH_TILE(n, nv, TILE)                                                                  \
    for (int64_t i = 0, left; (left = (n)-i) > 0;) {                                               \
        if ((nv) == 1 && left >= MB_LONG) {                                                        \
            TILE(MB_LONG);                                                                         \
            i += MB_LONG;                                                                          \
        } else if ((nv) == 2 && left >= MB_ROWS && left != MB_ROWS + 4) {                          \
            TILE(MB_ROWS);                                                                         \
            i += MB_ROWS;                                                                          \
        } else if (V == 16 && left >= 8) {                                                         \
            TILE(8);                                                                               \
            i += 8;                                                                                \
        } else if (left >= 4) {                                                                    \
            TILE(4);                                                                               \
            i += 4;                                                                                \
        } else if (left >= 2) {                                                                    \
            TILE(2);                                                                               \
            i += 2;                                                                                \
        } else {                                                                                   \
            TILE(1);                                                                               \
            i += 1;                                                                                \
        }                                                                                          \
    }

/* out[v][i] = start[v] + sum_k x[i,k] w[v][k], of n pixels and nv blocks (constants), which lie
   `plane` and k*V floats apart. Rows are addressed from every third, which takes few registers. */
LODE_INLINE void mb_point_tile(int n, int nv, int64_t k, const float *x, int64_t from,
                               const float *w, const lode_v *start, float *out, int64_t plane) {
    lode_v sum[MB_LONG][2];
    const float *row[(MB_LONG + 2) / 3], *w1 = w + k * V;
    LODE_UNROLL for (int i = 0; i < (n + 2) / 3; i++) row[i] = x + 3 * i * from;
    LODE_UNROLL for (int i = 0; i < n; i++) {
        LODE_UNROLL for (int v = 0; v < nv; v++) sum[i][v] = start[v];
    }
    for (int64_t p = 0; p < k; p++) {
        lode_v w0p = lode_v_load(w + p * V), w1p = nv == 2 ? lode_v_load(w1 + p * V) : w0p;
        LODE_UNROLL for (int i = 0; i < n; i++) {
            lode_v s = lode_v_set(row[i / 3][(i % 3) * from]);
            sum[i][0] += s * w0p;
            if (nv == 2) sum[i][1] += s * w1p;
        }
        LODE_UNROLL for (int i = 0; i < (n + 2) / 3; i++) row[i]++;
    }
    LODE_UNROLL for (int i = 0; i < n; i++) {
        LODE_UNROLL for (int v = 0; v < nv; v++) lode_v_store(out + v * plane + i * V, sum[i][v]);
    }
}

LODE_INLINE void mb_point_of(int nv, int64_t n, int64_t k, const float *x, int64_t from,
                             const float *w, const lode_v *start, float *out, int64_t plane) {
#define MB_TILE(size) mb_point_tile(size, nv, k, x + i * from, from, w, start, out + i * V, plane)
    MB_EACH_TILE(n, nv, MB_TILE)
#undef MB_TILE
}

/* Any number of pixels, `from` floats apart, times nv (1 or 2) blocks of w. */
static void mb_point(int64_t nv, int64_t n, int64_t k, const float *x, int64_t from, const float *w,
                     const lode_v *start, float *out, int64_t plane) {
    if (nv == 2)
        mb_point_of(2, n, k, x, from, w, start, out, plane);
    else
        mb_point_of(1, n, k, x, from, w, start, out, plane);
}

/* acc[v][k][V] += sum_i x[i,k] g[v][i] for n k's and nv blocks (constants). */
LODE_INLINE void mb_outer_tile(int n, int nv, int64_t rows, const float *x, int64_t from,
                               const float *g, int64_t plane, float *acc, int64_t acc_plane) {
    lode_v sum[MB_LONG][2];
    LODE_UNROLL for (int i = 0; i < n; i++) {
        LODE_UNROLL for (int v = 0; v < nv; v++) sum[i][v] =
            lode_v_load(acc + v * acc_plane + i * V);
    }
    for (int64_t r = 0; r < rows; r++, x += from, g += V) {
        lode_v g0 = lode_v_load(g), g1 = nv == 2 ? lode_v_load(g + plane) : g0;
        LODE_UNROLL for (int i = 0; i < n; i++) {
            lode_v s = lode_v_set(x[i]);
            sum[i][0] += s * g0;
            if (nv == 2) sum[i][1] += s * g1;
        }
    }
    LODE_UNROLL for (int i = 0; i < n; i++) {
        LODE_UNROLL for (int v = 0; v < nv; v++)
            lode_v_store(acc + v * acc_plane + i * V, sum[i][v]);
    }
}

LODE_INLINE void mb_outer_of(int nv, int64_t k, int64_t rows, const float *x, int64_t from,
                             const float *g, int64_t plane, float *acc) {
#define MB_TILE(size) mb_outer_tile(size, nv, rows, x + i, from, g, plane, acc + i * V, k * V)
    MB_EACH_TILE(k, nv, MB_TILE)
#undef MB_TILE
}

/* acc [nv][k][V] += x^T g: rows of k floats of x, `from` apart, and of nv blocks g. */
static inline void mb_outer(int64_t nv, int64_t k, int64_t rows, const float *x, int64_t from,
                            const float *g, int64_t plane, float *acc) {
    if (nv == 2)
        mb_outer_of(2, k, rows, x, from, g, plane, acc);
    else
        mb_outer_of(1, k, rows, x, from, g, plane, acc);
}

/* ---- rows of a1 ---- */

static inline bool mb_is_smooth(const simd_mb *m) {
    return m->act == LODE_ACT_HSWISH || m->act == LODE_ACT_SWISH;
}
static inline int64_t mb_pair_blocks(const simd_mb *m, int64_t pair) {
    return dw_min(2, m->blocks - 2 * pair);
}

/* a = act(u) of n vectors, u `step` vectors apart; slope: act'(u). act: a constant. */
LODE_INLINE void mb_smooth_run(int act, int64_t n, const float *u, int64_t step, float *a,
                               float *slope) {
    for (int64_t i = 0; i < n; i++) {
        lode_v at = lode_v_load(u + i * step * V), value;
        if (slope != NULL)
            lode_v_store(slope + i * V, act_smooth_gradient(act, at, lode_v_set(1.0f), &value));
        else
            value = act_smooth(act, at);
        lode_v_store(a + i * V, value);
    }
}

/* slope: NULL, or wanted of the smooth ones. */
static inline void mb_act_run(const simd_mb *m, int64_t n, const float *u, int64_t step, float *a,
                              float *slope) {
    lode_v low = lode_v_set(m->low), high = lode_v_set(m->high);
    if (m->act == LODE_ACT_HSWISH)
        mb_smooth_run(LODE_ACT_HSWISH, n, u, step, a, slope);
    else if (m->act == LODE_ACT_SWISH)
        mb_smooth_run(LODE_ACT_SWISH, n, u, step, a, slope);
    else
        for (int64_t i = 0; i < n; i++)
            lode_v_store(a + i * V, act_clamp(low, high, lode_v_load(u + i * step * V)));
}

/* Packed rows of a1 of a pair, columns sorted by their remainder modulo the stride (see
   simd_depthwise.c): ring[q] of block q. */
typedef struct mb_rows {
    float *ring[2], *slope[2]; /* slope NULL: not wanted */
    float *u;                  /* [2][m->rows * W][V] */
    int64_t done;
} mb_rows;

/* Row i of block q, from u or, without an expansion, from x. */
static inline void mb_x_row(const simd_mb *m, const mb_rows *r, int64_t block, int q,
                            const float *x, const float *u, int64_t i) {
    const simd_dw *d = &m->dw;
    int64_t s = d->stride[1], p = d->pad[1], row = (i & (m->x_ring - 1)) * d->x_row;
    for (int64_t k = 0; k < s; k++) {
        int64_t j = s == 1 ? 0 : ((k - p) % s + s) % s; /* first column of this remainder */
        if (j >= d->w) continue;
        int64_t at = row + (s == 1 ? p * V : (k * d->run + (j + p) / s) * V);
        int64_t n = s == 1 ? d->w : (d->w - j - 1) / s + 1;
        if (m->expands)
            mb_act_run(m, n, u + j * V, s, r->ring[q] + at,
                       r->slope[q] != NULL ? r->slope[q] + at : NULL);
        else
            dw_pack_run(n, x + (i * d->w + j) * m->in + block * V, s * m->in,
                        dw_min(V, d->c - block * V), r->ring[q] + at);
    }
}

/* Rows from r->done up to `end`, of nb blocks from `block` on. */
static inline void mb_x_rows(const simd_mb *m, const simd_mb_weights *w, mb_rows *r, int64_t block,
                             int64_t nb, const float *x, int64_t end) {
    const simd_dw *d = &m->dw;
    int64_t first = r->done, plane = m->rows * d->w * V;
    if (end <= first) return;
    r->done = end;
    if (m->expands) {
        lode_v start[2] = {lode_v_load(w->shift1 + block * V), lode_v_zero()};
        if (nb == 2) start[1] = lode_v_load(w->shift1 + (block + 1) * V);
        mb_point(nb, (end - first) * d->w, m->in, x + first * d->w * m->in, m->in,
                 w->expand + block * m->in * V, start, r->u, plane);
    }
    for (int q = 0; q < nb; q++)
        for (int64_t i = first; i < end; i++)
            mb_x_row(m, r, block + q, q, x, r->u + q * plane + (i - first) * d->w * V, i);
}

static inline void mb_add_lanes(lode_v v, double *sum) {
    float lane[V];
    lode_v_store(lane, v);
    for (int l = 0; l < V; l++) sum[l] += (double)lane[l];
}

/* Brings n floats near while something else is computed. */
static inline void mb_prefetch(int64_t n, const float *p) {
    for (int64_t i = 0; i < n; i += 16) LODE_PREFETCH(p + i);
}

static inline float *mb_carve(float **scratch, int64_t floats) {
    float *p = *scratch;
    *scratch += floats;
    return p;
}
#endif
