/* A serial matrix product C (+)= A B for blocks that lie in cache.

   B is packed into panels [k][2 V] of 2 V columns, so that the inner loop reads it in a line; A is
   read where it stands, one float broadcast at a time, through two strides, so that A may be a
   block of pixels, its transpose, or a slice. A tile of ROWS x 2 V sums stays in registers over all
   of k: 12 x 2 of the 32 registers of AVX-512, 6 x 2 of 16 elsewhere. */
#include "ops/native/simd/simd_internal.h"

enum { V = LODE_V, PANEL = 2 * V, ROWS = V == 16 ? 12 : 6 };

int64_t simd_run_gemm_panel(void) { return PANEL; }

void simd_run_gemm_pack(int64_t k, int64_t n, const float *b, int64_t rs, int64_t cs, float *packed,
                        int64_t k_first, int64_t k_total) {
    for (int64_t j = 0; j < n; j += PANEL) {
        int64_t width = n - j < PANEL ? n - j : PANEL;
        float *out = packed + j * k_total + k_first * PANEL;
        for (int64_t p = 0; p < k; p++, out += PANEL) {
            const float *row = b + p * rs + j * cs;
            if (cs == 1 && width == PANEL)
                memcpy(out, row, PANEL * sizeof *out);
            else {
                for (int64_t i = 0; i < width; i++) out[i] = row[i * cs];
                for (int64_t i = width; i < PANEL; i++) out[i] = 0;
            }
        }
    }
}

typedef struct gemm_a {
    const float *p;
    int64_t rs, cs;
} gemm_a;

LODE_INLINE void gemm_store(float *c, lode_v sum, int64_t width, bool add) {
    if (width >= V)
        lode_v_store(c, add ? lode_v_load(c) + sum : sum);
    else if (width > 0)
        lode_v_store_first(c, add ? lode_v_load_first(c, width) + sum : sum, width);
}

/* rows is a constant. */
LODE_INLINE void gemm_tile(int rows, int64_t k, gemm_a a, const float *b, float *c, int64_t ldc,
                           int64_t width, bool add) {
    lode_v sum[ROWS][2];
    LODE_UNROLL for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = lode_v_zero();
    for (int64_t p = 0; p < k; p++, b += PANEL) {
        lode_v b0 = lode_v_load(b), b1 = lode_v_load(b + V);
        const float *ap = a.p + p * a.cs;
        LODE_UNROLL for (int i = 0; i < rows; i++) {
            lode_v s = lode_v_set(ap[i * a.rs]);
            sum[i][0] += s * b0;
            sum[i][1] += s * b1;
        }
    }
    LODE_UNROLL for (int i = 0; i < rows; i++) {
        gemm_store(c + i * ldc, sum[i][0], width, add);
        gemm_store(c + i * ldc + V, sum[i][1], width - V, add);
    }
}

/* The same for panels of which V columns at most are in use. */
LODE_INLINE void gemm_half_tile(int rows, int64_t k, gemm_a a, const float *b, float *c,
                                int64_t ldc, int64_t width, bool add) {
    lode_v sum[ROWS];
    LODE_UNROLL for (int i = 0; i < rows; i++) sum[i] = lode_v_zero();
    for (int64_t p = 0; p < k; p++, b += PANEL) {
        lode_v b0 = lode_v_load(b);
        const float *ap = a.p + p * a.cs;
        LODE_UNROLL for (int i = 0; i < rows; i++) sum[i] += lode_v_set(ap[i * a.rs]) * b0;
    }
    LODE_UNROLL for (int i = 0; i < rows; i++) gemm_store(c + i * ldc, sum[i], width, add);
}

/* rows is a constant. */
LODE_INLINE void gemm_any_tile(int rows, int64_t k, gemm_a a, const float *b, float *c, int64_t ldc,
                               int64_t width, bool add) {
    if (width > V)
        gemm_tile(rows, k, a, b, c, ldc, width, add);
    else
        gemm_half_tile(rows, k, a, b, c, ldc, width, add);
}

/* How many of m rows the next tile takes: few tiles, and none much smaller than the rest. */
static int gemm_rows(int64_t m) {
    if (m >= ROWS && m != ROWS + 4) return ROWS;
    if (m >= 8 && ROWS > 8) return 8;
    return m >= 4 ? 4 : m >= 2 ? 2 : 1;
}

void simd_run_gemm(int64_t m, int64_t n, int64_t k, const float *a, int64_t rs, int64_t cs,
                   const float *packed, int64_t k_total, float *c, int64_t ldc, bool add) {
    for (int64_t j = 0; j < n; j += PANEL) {
        const float *b = packed + j * k_total;
        int64_t width = n - j;
        for (int64_t i = 0, rows; i < m; i += rows) {
            gemm_a at = {a + i * rs, rs, cs};
            float *out = c + i * ldc + j;
            rows = gemm_rows(m - i);
            switch (rows) {
            case ROWS:
                gemm_any_tile(ROWS, k, at, b, out, ldc, width, add);
                break;
#if LODE_V == 16
            case 8:
                gemm_any_tile(8, k, at, b, out, ldc, width, add);
                break;
#endif
            case 4:
                gemm_any_tile(4, k, at, b, out, ldc, width, add);
                break;
            case 2:
                gemm_any_tile(2, k, at, b, out, ldc, width, add);
                break;
            default:
                gemm_any_tile(1, k, at, b, out, ldc, width, add);
                break;
            }
        }
    }
}
