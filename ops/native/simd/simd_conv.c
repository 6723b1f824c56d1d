/* The product inside every convolution that is not depthwise, with what follows it in inference:
   y = act(sum + bias) + r.

   A pixel of y is a sum over runs of floats of the image: one run for a 1x1 convolution, a row of
   taps (kw * C floats, which follow each other in NHWC) for a larger kernel without dilation, one
   run per tap with it. So the caller gives, per pixel, where its first run begins, and once for all
   how far the other runs lie from it; neither an im2col matrix nor a test for the border is needed,
   as the image has its zeros around it. Weights lie in panels of 2 V outputs, as simd_gemm.c has
   them, and a tile of 6 x 2 vectors of sums (12 x 2 with AVX-512) stays in registers over all runs.
   Bias is where sums begin; activation and r are applied before they are written, the only time. */
#include "ops/native/simd/simd_act.h"

enum { V = LODE_V, PANEL = 2 * V, ROWS = V == 16 ? 12 : 6, LONG = V == 16 ? 12 : 8 };

/* hswish and swish of what a tile wrote, in place. */
static void conv_smooth(int act, int64_t rows, int64_t width, const float *r, float *y,
                        int64_t step) {
    for (int64_t i = 0; i < rows; i++, y += step) {
        for (int64_t j = 0; j < width; j += V) {
            int64_t n = width - j < V ? width - j : V;
            lode_v u = lode_v_load_first(y + j, n);
            u = act == LODE_ACT_SWISH ? act_smooth(LODE_ACT_SWISH, u)
                                      : act_smooth(LODE_ACT_HSWISH, u);
            if (r != NULL) u += lode_v_load_first(r + i * step + j, n);
            lode_v_store_first(y + j, u, n);
        }
    }
}

LODE_INLINE void conv_store(lode_v low, lode_v high, lode_v sum, const float *r, float *y,
                            int64_t width) {
    sum = act_clamp(low, high, sum);
    if (width >= V) {
        lode_v_store(y, r != NULL ? sum + lode_v_load(r) : sum);
    } else if (width > 0) {
        lode_v_store_first(y, r != NULL ? sum + lode_v_load_first(r, width) : sum, width);
    }
}

/* rows pixels by nv vectors, both constants; b and bias from the tile's panel on. */
LODE_INLINE void conv_tile(int rows, int nv, const simd_conv *c, const float *const *x,
                           const float *b, const float *bias, int64_t width, const float *r,
                           float *y) {
    lode_v sum[LONG][2], low = lode_v_set(c->low), high = lode_v_set(c->high);
    LODE_UNROLL for (int v = 0; v < nv; v++) {
        lode_v start = lode_v_load(bias + v * V);
        LODE_UNROLL for (int i = 0; i < rows; i++) sum[i][v] = start;
    }
    for (int64_t l = 0; l < c->runs; l++) {
        const float *a[LONG];
        LODE_UNROLL for (int i = 0; i < rows; i++) a[i] = x[i] + c->at[l];
        for (int64_t p = 0; p < c->k; p++, b += PANEL) {
            lode_v b0 = lode_v_load(b), b1 = nv == 2 ? lode_v_load(b + V) : b0;
            LODE_UNROLL for (int i = 0; i < rows; i++) {
                lode_v s = lode_v_set(a[i][p]);
                sum[i][0] += s * b0;
                if (nv == 2) sum[i][1] += s * b1;
            }
        }
    }
    bool smooth = c->act > LODE_ACT_RELU6;
    LODE_UNROLL for (int i = 0; i < rows; i++) {
        LODE_UNROLL for (int v = 0; v < nv; v++)
            conv_store(low, high, sum[i][v], r != NULL && !smooth ? r + i * c->step + v * V : NULL,
                       y + i * c->step + v * V, width - v * V);
    }
    if (smooth) conv_smooth(c->act, rows, width < nv * V ? width : nv * V, r, y, c->step);
}

/* How many of m pixels the next tile takes: few tiles, and none much smaller than the rest. */
static int conv_rows(int64_t m, bool half) {
    int most = half ? LONG : ROWS;
    if (m >= most && m != most + 4) return most;
    if (m >= 8 && most >= 8) return 8;
    return m >= 4 ? 4 : m >= 2 ? 2 : 1;
}

void simd_run_conv(const simd_conv *c, int64_t m, const float *const *x, int64_t first,
                   int64_t last, const float *r, float *y) {
    for (int64_t j = first * PANEL; j < last * PANEL; j += PANEL) {
        const float *b = c->packed + j * c->runs * c->k, *bias = c->bias + j;
        int64_t width = c->n - j;
        bool half = width <= V;
#define CONV_TILE(size, nv)                                                                        \
    conv_tile(size, nv, c, x + i, b, bias, width, r != NULL ? r + i * c->step + j : NULL,          \
              y + i * c->step + j)
#define CONV_CASE(size)                                                                            \
    case size:                                                                                     \
        half ? CONV_TILE(size, 1) : CONV_TILE(size, 2);                                            \
        break;
        for (int64_t i = 0, rows; i < m; i += rows) {
            rows = conv_rows(m - i, half);
            switch (rows) {
#if LODE_V == 16
                CONV_CASE(12)
                CONV_CASE(8)
#else
                CONV_CASE(6)
            case 8:
                CONV_TILE(8, 1);
                break;
#endif
                CONV_CASE(4)
                CONV_CASE(2)
            default:
                half ? CONV_TILE(1, 1) : CONV_TILE(1, 2);
                break;
            }
        }
    }
}
