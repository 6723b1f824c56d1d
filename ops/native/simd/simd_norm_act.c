/* Normalization with an activation on top, of the columns of dense [rows, c] matrices: what
   simd_norm.c does, with act(.) going forth and its slope going back in the same sweeps. The slope
   comes from x again, so that y need not be kept. */
#include "ops/native/simd/simd_act.h"

#include <math.h>

enum { V = LODE_V, PAIR = 2, IN_FLOAT = 64 };

/* Constants of the channels of one vector. */
typedef struct na_channels {
    lode_v mean, a, b;
} na_channels;

typedef struct na_act {
    int smooth; /* LODE_ACT_HSWISH or LODE_ACT_SWISH; -1: a clamp. A constant. */
    lode_v low, high;
} na_act;

LODE_INLINE lode_v na_load(const float *p, int64_t lanes) {
    return lanes >= V ? lode_v_load(p) : lode_v_load_first(p, lanes);
}
LODE_INLINE void na_store(float *p, lode_v v, int64_t lanes) {
    if (lanes >= V)
        lode_v_store(p, v);
    else
        lode_v_store_first(p, v, lanes);
}
LODE_INLINE na_channels na_channels_at(const simd_norm_act *n, int64_t i, int64_t lanes) {
    na_channels k = {na_load(n->mean + i, lanes), na_load(n->a + i, lanes),
                     na_load(n->b + i, lanes)};
    return k;
}
LODE_INLINE na_act na_act_of(int smooth, const simd_norm_act *n) {
    na_act f = {smooth, lode_v_set(n->act == LODE_ACT_NONE ? -HUGE_VALF : 0),
                lode_v_set(n->act == LODE_ACT_RELU6 ? 6 : HUGE_VALF)};
    return f;
}
/* g times the slope at u. */
LODE_INLINE lode_v na_slope(na_act f, lode_v u, lode_v g) {
    lode_v a;
    return f.smooth < 0 ? act_clamp_gradient(f.low, f.high, u, g)
                        : act_smooth_gradient(f.smooth, u, g, &a);
}

#define NA_BY_ACT(CALL)                                                                            \
    do {                                                                                           \
        if (n->act == LODE_ACT_HSWISH)                                                             \
            CALL(LODE_ACT_HSWISH);                                                                 \
        else if (n->act == LODE_ACT_SWISH)                                                         \
            CALL(LODE_ACT_SWISH);                                                                  \
        else                                                                                       \
            CALL(-1);                                                                              \
    } while (0)

LODE_INLINE void na_apply(int smooth, int64_t rows, int64_t c, const float *x,
                          const simd_norm_act *n, float *y) {
    na_act f = na_act_of(smooth, n);
    for (int64_t r = 0; r < rows; r++, x += c, y += c)
        for (int64_t i = 0; i < c; i += V) {
            na_channels k = na_channels_at(n, i, c - i);
            lode_v u = k.a * (na_load(x + i, c - i) - k.mean) + k.b;
            na_store(y + i, smooth < 0 ? act_clamp(f.low, f.high, u) : act_smooth(smooth, u),
                     c - i);
        }
}

void simd_run_norm_act_apply(int64_t rows, int64_t c, const float *x, const simd_norm_act *n,
                             float *y) {
#define NA_APPLY(act) na_apply(act, rows, c, x, n, y)
    NA_BY_ACT(NA_APPLY);
}

static void na_flush(lode_v v, int64_t lanes, double *sum) {
    float lane[V];
    lode_v_store(lane, v);
    for (int64_t l = 0; l < V && l < lanes; l++) sum[l] += (double)lane[l];
}

/* m vectors of columns from i on (a constant); the last may not be full. */
LODE_INLINE void na_sums_columns(int smooth, int m, int64_t rows, int64_t c, int64_t i,
                                 const float *x, const float *g, const simd_norm_act *n,
                                 double *sum, double *sum2) {
    na_act f = na_act_of(smooth, n);
    na_channels k[PAIR];
    LODE_UNROLL for (int v = 0; v < m; v++) k[v] = na_channels_at(n, i + v * V, c - i - v * V);
    for (int64_t first = 0; first < rows; first += IN_FLOAT) {
        int64_t last = first + IN_FLOAT < rows ? first + IN_FLOAT : rows;
        lode_v s[PAIR], s2[PAIR];
        LODE_UNROLL for (int v = 0; v < m; v++) s[v] = s2[v] = lode_v_zero();
        for (int64_t r = first; r < last; r++) {
            LODE_UNROLL for (int v = 0; v < m; v++) {
                int64_t at = r * c + i + v * V, lanes = c - i - v * V;
                lode_v off = na_load(x + at, lanes) - k[v].mean;
                lode_v gu = na_slope(f, k[v].a * off + k[v].b, na_load(g + at, lanes));
                s[v] += gu;
                s2[v] += gu * off;
            }
        }
        LODE_UNROLL for (int v = 0; v < m; v++) {
            na_flush(s[v], c - i - v * V, sum + i + v * V);
            na_flush(s2[v], c - i - v * V, sum2 + i + v * V);
        }
    }
}

LODE_INLINE void na_sums(int smooth, int64_t rows, int64_t c, const float *x, const float *g,
                         const simd_norm_act *n, double *sum, double *sum2) {
    int64_t i = 0;
    for (; i + PAIR * V <= c; i += PAIR * V)
        na_sums_columns(smooth, PAIR, rows, c, i, x, g, n, sum, sum2);
    for (; i < c; i += V) na_sums_columns(smooth, 1, rows, c, i, x, g, n, sum, sum2);
}

void simd_run_norm_act_grad_sums(int64_t rows, int64_t c, const float *x, const float *g,
                                 const simd_norm_act *n, double *sum, double *sum2) {
    for (int64_t i = 0; i < c; i++) sum[i] = sum2[i] = 0;
#define NA_SUMS(act) na_sums(act, rows, c, x, g, n, sum, sum2)
    NA_BY_ACT(NA_SUMS);
}

LODE_INLINE void na_grad(int smooth, int64_t rows, int64_t c, const float *x, const float *g,
                         const simd_norm_act *n, const float *of_x, const float *rest, float *dx) {
    na_act f = na_act_of(smooth, n);
    for (int64_t r = 0; r < rows; r++, x += c, g += c, dx += c)
        for (int64_t i = 0; i < c; i += V) {
            na_channels k = na_channels_at(n, i, c - i);
            lode_v off = na_load(x + i, c - i) - k.mean;
            lode_v gu = na_slope(f, k.a * off + k.b, na_load(g + i, c - i));
            na_store(dx + i, k.a * gu + (na_load(of_x + i, c - i) * off + na_load(rest + i, c - i)),
                     c - i);
        }
}

void simd_run_norm_act_grad(int64_t rows, int64_t c, const float *x, const float *g,
                            const simd_norm_act *n, const float *of_x, const float *rest,
                            float *dx) {
#define NA_GRAD(act) na_grad(act, rows, c, x, g, n, of_x, rest, dx)
    NA_BY_ACT(NA_GRAD);
}
