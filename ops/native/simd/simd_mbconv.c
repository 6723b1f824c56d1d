/* Forward kernels of MBConv blocks; native_mbconv.c tells how they play together.

   A row of the expanded image is computed when the depthwise convolution needs it, for LODE_V
   channels, and stands in a ring of as many rows as the kernel reaches over: it never leaves L1.
   Everything is done per block of LODE_V channels, whose tensors lie pixel by pixel. */
#include "ops/native/simd/simd_mbconv.h"

#include <math.h>

enum {
    /* Backward: bands of a1 and dz2, as for the weight gradient of simd_depthwise.c. */
    BAND_SMALL = 10240,
    BAND_LARGE = 32768,
    PROJECT_FLOATS = 6144, /* of a2 at a time: half of L1 */
    IN_FLOAT = 64,         /* values that are summed in float */
    MOMENT_ROWS = 16
};

static int64_t mb_wide(int64_t n) { return (n + V - 1) / V * V; }
static int64_t mb_power(int64_t n) {
    int64_t p = 1;
    while (p < n) p *= 2;
    return p;
}

/* Rows of a1 that so many rows of z2 see. */
static int64_t mb_band_x(const simd_dw *d, int64_t rows) {
    return dw_min(d->h, (rows - 1) * d->stride[0] + d->kh);
}
static int64_t mb_band_dy(const simd_dw *d, int64_t rows) {
    return dw_min(d->oh, rows + (d->kh - 1) / d->stride[0] + 1);
}
static int64_t mb_band_floats(const simd_mb *m, int64_t rows) {
    return mb_power(mb_band_x(&m->dw, rows)) * m->dw.x_row +
           mb_power(mb_band_dy(&m->dw, rows)) * m->dw.dy_row;
}

void simd_run_mb_plan(simd_mb *m) {
    simd_dw *d = &m->dw;
    int64_t most = d->kh * d->kw <= 9 ? BAND_SMALL : BAND_LARGE;
    simd_run_dw_plan(d);
    m->low = m->act == LODE_ACT_NONE ? -HUGE_VALF : 0;
    m->high = m->act == LODE_ACT_RELU6 ? 6 : HUGE_VALF;
    m->blocks = mb_wide(d->c) / V;
    m->in_wide = mb_wide(m->in);
    m->out_wide = mb_wide(m->out);
    m->pixels = PROJECT_FLOATS / (m->blocks * V) / MB_TILE * MB_TILE;
    m->pixels = dw_max(MB_TILE, dw_min(m->pixels, IN_FLOAT));
    for (m->band = 1; m->band < d->oh && mb_band_floats(m, m->band + 1) <= most;) m->band++;
    m->x_ring = mb_power(mb_band_x(d, m->band));
    m->dy_ring = mb_power(mb_band_dy(d, m->band));
    /* Packed rows of a1, their slopes, a row of zeros; dz2; g1 of the rows that a band ends. */
    int64_t rows = dw_min(d->h, (m->band + d->kh) * d->stride[0]);
    int64_t backward =
        (2 * m->x_ring + 1) * d->x_row + m->dy_ring * d->dy_row + rows * (d->w + TILE) * V;
    int64_t forward = d->x_ring * d->x_row;
    int64_t project = (m->blocks + 2) * V * m->pixels;
    m->scratch_floats = dw_max(backward, dw_max(forward, project));
}

void simd_run_mb_begin(const simd_mb *m, float *scratch) {
    memset(scratch, 0, (size_t)m->scratch_floats * sizeof *scratch);
}

/* ---- means and covariances ---- */

#if LODE_V > 1
enum { VD = LODE_V / 2 };
typedef double mb_double __attribute__((vector_size(8 * (LODE_V / 2))));
#else
enum { VD = 1 };
typedef double mb_double;
#endif

LODE_INLINE mb_double mb_load_double(const double *p) {
    mb_double v;
    memcpy(&v, p, sizeof v);
    return v;
}

enum { MOMENT_TILE = 8 };

/* products[i .. i+n, j .. j+VD] += x^T x of a few rows, `wide` apart; n is a constant. */
LODE_INLINE void mb_moment_tile(int n, int64_t rows, int64_t wide, const double *xi,
                                const double *xj, int64_t c, int64_t left, double *out) {
    mb_double sum[MOMENT_TILE];
    double lane[VD];
    LODE_UNROLL for (int i = 0; i < n; i++) memset(&sum[i], 0, sizeof sum[i]);
    for (int64_t r = 0; r < rows; r++, xi += wide, xj += wide) {
        mb_double v = mb_load_double(xj);
        LODE_UNROLL for (int i = 0; i < n; i++) sum[i] += xi[i] * v;
    }
    LODE_UNROLL for (int i = 0; i < n; i++) {
        memcpy(lane, &sum[i], sizeof lane);
        for (int64_t l = 0; l < VD && l < left; l++) out[i * c + l] += lane[l];
    }
}

/* Only columns from the diagonal's vector on; mirrored by the caller. */
void simd_run_mb_moments(int64_t rows, int64_t c, const float *x, double *sum, double *products,
                         double *work) {
    int64_t wide = (c + VD - 1) / VD * VD;
    for (int64_t first = 0; first < rows; first += MOMENT_ROWS) {
        int64_t n = dw_min(MOMENT_ROWS, rows - first);
        for (int64_t r = 0; r < n; r++) {
            const float *from = x + (first + r) * c;
            double *to = work + r * wide;
            for (int64_t i = 0; i < c; i++) to[i] = (double)from[i];
            for (int64_t i = 0; i < c; i++) sum[i] += to[i];
            for (int64_t i = c; i < wide; i++) to[i] = 0;
        }
        for (int64_t i = 0, tile; i < c; i += tile) {
            tile = c - i >= MOMENT_TILE ? MOMENT_TILE : 1;
            for (int64_t j = i / VD * VD; j < c; j += VD) {
                double *out = products + i * c + j;
                if (tile == MOMENT_TILE)
                    mb_moment_tile(MOMENT_TILE, n, wide, work + i, work + j, c, c - j, out);
                else
                    mb_moment_tile(1, n, wide, work + i, work + j, c, c - j, out);
            }
        }
    }
}

void simd_run_mb_cov_times(int64_t c, const double *restrict cov, const float *restrict w,
                           double *restrict v) {
    for (int64_t i = 0; i < c; i++) v[i] = 0;
    for (int64_t k = 0; k < c; k++) {
        const double *restrict row = cov + k * c, s = (double)w[k];
        for (int64_t i = 0; i < c; i++) v[i] += s * row[i];
    }
}

/* ---- expansion and depthwise convolution ---- */

/* Sums of z - shift and their squares, moved to double every few values. */
typedef struct mb_sums {
    lode_v shift, sum, squares;
    int64_t pending;
    double total[V], total2[V];
} mb_sums;

static void mb_sums_flush(mb_sums *s) {
    float a[V], b[V];
    lode_v_store(a, s->sum);
    lode_v_store(b, s->squares);
    for (int l = 0; l < V; l++) {
        s->total[l] += (double)a[l];
        s->total2[l] += (double)b[l];
    }
    s->sum = s->squares = lode_v_zero();
    s->pending = 0;
}

static void mb_sums_row(mb_sums *s, int64_t n, const float *z) {
    lode_v a = s->sum, b = s->squares, a2 = lode_v_zero(), b2 = a2;
    int64_t i = 0;
    for (; i + 2 <= n; i += 2) {
        lode_v u = lode_v_load(z + i * V) - s->shift, v = lode_v_load(z + (i + 1) * V) - s->shift;
        a += u;
        b += u * u;
        a2 += v;
        b2 += v * v;
    }
    if (i < n) {
        lode_v u = lode_v_load(z + i * V) - s->shift;
        a += u;
        b += u * u;
    }
    s->sum = a + a2;
    s->squares = b + b2;
    s->pending += n;
    if (s->pending >= IN_FLOAT) mb_sums_flush(s);
}

/* Joins n values to n_before (Chan et al. 1979). */
static void mb_sums_join(mb_sums *s, double n, double n_before, double *sum, double *m2) {
    float shift[V];
    mb_sums_flush(s);
    lode_v_store(shift, s->shift);
    for (int l = 0; l < V; l++) {
        double mean = (double)shift[l] + s->total[l] / n;
        double off = n_before > 0 ? mean - sum[l] / n_before : 0;
        m2[l] += s->total2[l] - s->total[l] * s->total[l] / n +
                 off * off * n_before * n / (n_before + n);
        sum[l] += mean * n;
    }
}

void simd_run_mb_forward(const simd_mb *m, const simd_mb_weights *w, int64_t block, const float *x,
                         float *z2, double n_before, double *sum, double *m2, float *scratch) {
    const simd_dw *d = &m->dw;
    int64_t mask = d->x_ring - 1, filled = 0;
    const float *taps = w->depthwise + block * d->kh * d->kw * V;
    mb_sums s = {.shift = lode_v_zero()};
    s.sum = s.squares = lode_v_zero();
    dw_rows t;
    t.taps = &d->taps;
    for (int64_t i = 0; i < d->oh; i++) {
        int64_t top = i * d->stride[0] - d->pad[0], bottom = top + d->kh - 1;
        float *out = z2 + i * d->ow * V;
        filled = dw_max(filled, top);
        for (; filled <= bottom && filled < d->h; filled++)
            mb_x_row(m, w, block, x, filled, scratch + (filled & mask) * d->x_row, NULL);
        t.n = 0;
        for (int64_t u = 0, h = top; u < d->kh; u++, h++) {
            if (h < 0 || h >= d->h) continue;
            t.row[t.n] = scratch + (h & mask) * d->x_row;
            t.wrow[t.n++] = taps + u * d->kw * V;
        }
        dw_row(&t, d->ow, lode_v_zero(), V, out, V);
        if (i == 0) s.shift = lode_v_load(out);
        mb_sums_row(&s, d->ow, out);
    }
    mb_sums_join(&s, (double)(d->oh * d->ow), n_before, sum, m2);
}

/* ---- projection ---- */

/* z3[i, 0 .. width] = sum_k a[i,k] w[k, 0 .. nv vectors]; n pixels and nv are constants. a lies
   [blocks][pixels][V]. */
LODE_INLINE void mb_project_tile(int n, int nv, const simd_mb *m, const float *a, const float *w,
                                 float *z3, int64_t width) {
    lode_v sum[MB_TILE][2];
    LODE_UNROLL for (int i = 0; i < n; i++) {
        LODE_UNROLL for (int v = 0; v < nv; v++) sum[i][v] = lode_v_zero();
    }
    for (int64_t b = 0; b < m->blocks; b++, a += m->pixels * V)
        for (int l = 0; l < V; l++, w += m->out_wide) {
            lode_v wv[2];
            LODE_UNROLL for (int v = 0; v < nv; v++) wv[v] = lode_v_load(w + v * V);
            LODE_UNROLL for (int i = 0; i < n; i++) {
                lode_v s = lode_v_set(a[i * V + l]);
                LODE_UNROLL for (int v = 0; v < nv; v++) sum[i][v] += s * wv[v];
            }
        }
    LODE_UNROLL for (int i = 0; i < n; i++) {
        LODE_UNROLL for (int v = 0; v < nv; v++) {
            float *out = z3 + i * m->out + v * V;
            if (width - v * V >= V)
                lode_v_store(out, sum[i][v]);
            else
                lode_v_store_first(out, sum[i][v], width - v * V);
        }
    }
}

LODE_INLINE void mb_project_columns(int nv, const simd_mb *m, int64_t n, const float *a,
                                    const float *w, float *z3, int64_t width) {
    enum { MOST = V == 16 ? 12 : 4 };
    int64_t i = 0;
#define MB_PROJECT(size)                                                                           \
    mb_project_tile(size, nv, m, a + i * V, w, z3 + i * m->out, width);                            \
    i += size
    if (nv == 1)
        while (i + MB_TILE <= n) {
            MB_PROJECT(MB_TILE);
        }
    while (i + MOST <= n && n - i != 16) {
        MB_PROJECT(MOST);
    }
    while (i + 8 <= n && V == 16) {
        MB_PROJECT(8);
    }
    while (i + 4 <= n) {
        MB_PROJECT(4);
    }
    while (i < n) {
        MB_PROJECT(1);
    }
#undef MB_PROJECT
}

static void mb_a2(const simd_mb *m, const simd_mb_weights *w, int64_t n, const float *z2,
                  int64_t block_floats, float *a) {
    for (int64_t b = 0; b < m->blocks; b++) {
        lode_v scale = lode_v_load(w->scale2 + b * V), shift = lode_v_load(w->shift2 + b * V);
        lode_v low = lode_v_set(m->low), high = lode_v_set(m->high);
        const float *z = z2 + b * block_floats;
        float *out = a + b * m->pixels * V;
        if (mb_is_smooth(m)) {
            for (int64_t i = 0; i < n; i++)
                lode_v_store(out + i * V, lode_v_load(z + i * V) * scale + shift);
            mb_act_row(m, n, out, NULL);
        } else
            for (int64_t i = 0; i < n; i++)
                lode_v_store(out + i * V,
                             act_clamp(low, high, lode_v_load(z + i * V) * scale + shift));
    }
}

void simd_run_mb_project(const simd_mb *m, const simd_mb_weights *w, const float *z2, float *z3,
                         float *scratch) {
    int64_t pixels = m->dw.oh * m->dw.ow;
    for (int64_t i = 0; i < pixels; i += m->pixels) {
        int64_t n = dw_min(m->pixels, pixels - i), j = 0;
        mb_a2(m, w, n, z2 + i * V, pixels * V, scratch);
        for (; j + V < m->out; j += 2 * V)
            mb_project_columns(2, m, n, scratch, w->project + j, z3 + i * m->out + j, m->out - j);
        if (j < m->out)
            mb_project_columns(1, m, n, scratch, w->project + j, z3 + i * m->out + j, m->out - j);
    }
}

void simd_run_mb_finish(int64_t rows, int64_t c, const float *restrict x,
                        const float *restrict mean, const float *restrict scale,
                        const float *restrict shift, const float *restrict r, float *restrict y) {
    for (int64_t i = 0; i < rows; i++, x += c, y += c) {
        if (r == NULL) {
            for (int64_t k = 0; k < c; k++) y[k] = scale[k] * (x[k] - mean[k]) + shift[k];
            continue;
        }
        for (int64_t k = 0; k < c; k++) y[k] = scale[k] * (x[k] - mean[k]) + shift[k] + r[k];
        r += c;
    }
}
