/* Forward kernels of MBConv blocks; native_mbconv.c tells how they play together.

   A row of the expanded image is computed when the depthwise convolution needs it, for LODE_V
   channels, and stands in a ring of as many rows as the kernel reaches over: it never leaves L1.
   Everything is done per block of LODE_V channels, whose tensors lie pixel by pixel. */
#include "ops/native/simd/simd_mbconv.h"

#include <math.h>

enum {
    BAND_FLOATS = 24576,   /* of packed rows: more than L1, but each row comes back soon */
    PROJECT_FLOATS = 6144, /* of a2 at a time: half of L1 */
    IN_FLOAT = 64          /* values that are summed in float */
};

static int64_t mb_wide(int64_t n) { return (n + V - 1) / V * V; }
static int64_t mb_power(int64_t n) {
    int64_t p = 1;
    while (p < n) p *= 2;
    return p;
}

/* Rows of a1 that so many rows of z2 see, and of dz2 that are needed for the rows of g1 they end.
 */
static int64_t mb_band_x(const simd_dw *d, int64_t rows) {
    return mb_power(dw_min(d->h, (rows - 1) * d->stride[0] + d->kh));
}
static int64_t mb_band_dy(const simd_dw *d, int64_t rows) {
    return mb_power(dw_min(d->oh, rows + (d->kh - 1) / d->stride[0] + 1));
}
static int64_t mb_band_floats(const simd_dw *d, int64_t rows) {
    return mb_band_x(d, rows) * d->x_row + mb_band_dy(d, rows) * d->dy_row;
}

void simd_run_mb_plan(simd_mb *m) {
    simd_dw *d = &m->dw;
    simd_run_dw_plan(d);
    m->low = m->act == LODE_ACT_NONE ? -HUGE_VALF : 0;
    m->high = m->act == LODE_ACT_RELU6 ? 6 : HUGE_VALF;
    m->blocks = mb_wide(d->c) / V;
    m->pairs = (m->blocks + 1) / 2;
    m->in_wide = mb_wide(m->in);
    m->out_wide = mb_wide(m->out);
    m->pixels = PROJECT_FLOATS / (m->blocks * V) / MB_LONG * MB_LONG;
    m->pixels = dw_max(2 * MB_LONG, dw_min(m->pixels, IN_FLOAT));
    for (m->band = 1; m->band < d->oh && mb_band_floats(d, m->band + 1) <= BAND_FLOATS;) m->band++;
    m->x_ring = mb_band_x(d, m->band);
    m->dy_ring = mb_band_dy(d, m->band);
    m->rows = dw_min(d->h, (m->band + d->kh) * d->stride[0]);
    /* Of a pair: packed rows of a1 and their slopes, dz2, u and g1; a row of zeros. */
    int64_t sweep =
        2 * (2 * m->x_ring * d->x_row + m->dy_ring * d->dy_row) + d->x_row + 4 * m->rows * d->w * V;
    int64_t project = dw_max(m->blocks * m->pixels, 2 * MB_BACKWARD_PIXELS) * V;
    m->scratch_floats = dw_max(sweep, project);
}

void simd_run_mb_begin(const simd_mb *m, float *scratch) {
    memset(scratch, 0, (size_t)m->scratch_floats * sizeof *scratch);
}

/* ---- expansion and depthwise convolution ---- */

/* Sums of z - shift and their squares, moved to double every few values. */
typedef struct mb_sums {
    lode_v shift, sum, squares;
    int64_t pending;
    double total[V], total2[V];
} mb_sums;

static void mb_sums_begin(mb_sums *s, lode_v shift) {
    memset(s, 0, sizeof *s);
    s->shift = shift;
}

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

/* Adds a row of n pixels, which goes to `out` on the way. stream: a constant. */
LODE_INLINE void mb_sums_move(bool stream, mb_sums *s, int64_t n, const float *row, float *out) {
    lode_v a = s->sum, b = s->squares, a2 = lode_v_zero(), b2 = a2;
    for (int64_t i = 0; i + 2 <= n; i += 2) {
        lode_v z0 = lode_v_load(row + i * V), z1 = lode_v_load(row + (i + 1) * V);
        lode_v u = z0 - s->shift, v = z1 - s->shift;
        if (stream) {
            lode_v_stream(out + i * V, z0);
            lode_v_stream(out + (i + 1) * V, z1);
        } else {
            lode_v_store(out + i * V, z0);
            lode_v_store(out + (i + 1) * V, z1);
        }
        a += u;
        b += u * u;
        a2 += v;
        b2 += v * v;
    }
    if (n % 2 == 1) {
        lode_v z = lode_v_load(row + (n - 1) * V), u = z - s->shift;
        lode_v_store(out + (n - 1) * V, z);
        a += u;
        b += u * u;
    }
    s->sum = a + a2;
    s->squares = b + b2;
    s->pending += n;
    if (s->pending >= IN_FLOAT) mb_sums_flush(s);
}

static void mb_sums_row(const simd_mb *m, mb_sums *s, int64_t n, const float *row, float *out) {
    if (m->streams)
        mb_sums_move(true, s, n, row, out);
    else
        mb_sums_move(false, s, n, row, out);
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

/* Row i of z2 of block q. */
static void mb_z2_row(const simd_mb *m, const mb_rows *r, const float *taps, int q, int64_t i,
                      float *out) {
    const simd_dw *d = &m->dw;
    int64_t top = i * d->stride[0] - d->pad[0];
    dw_rows t = {.taps = &d->taps};
    for (int64_t u = 0, h = top; u < d->kh; u++, h++) {
        if (h < 0 || h >= d->h) continue;
        t.row[t.n] = r->ring[q] + (h & (m->x_ring - 1)) * d->x_row;
        t.wrow[t.n++] = taps + u * d->kw * V;
    }
    dw_row(&t, d->ow, lode_v_zero(), V, out, V);
}

void simd_run_mb_forward(const simd_mb *m, const simd_mb_weights *w, int64_t pair, const float *x,
                         float *z2, double n_before, double *sum, double *m2, float *scratch) {
    const simd_dw *d = &m->dw;
    int64_t block = 2 * pair, nb = mb_pair_blocks(m, pair), taps = d->kh * d->kw * V;
    int64_t pixels = d->oh * d->ow, s = d->stride[0], p = d->pad[0];
    mb_rows r = {.done = 0};
    mb_sums sums[2];
    for (int q = 0; q < 2; q++) r.ring[q] = mb_carve(&scratch, m->x_ring * d->x_row);
    r.u = mb_carve(&scratch, 2 * m->rows * d->w * V);
    float *row = scratch; /* of z2 */
    for (int64_t first = 0; first < d->oh; first += m->band) {
        int64_t last = dw_min(d->oh, first + m->band);
        r.done = dw_max(r.done, first * s - p);
        mb_x_rows(m, w, &r, block, nb, x, dw_min(d->h, (last - 1) * s - p + d->kh));
        for (int q = 0; q < nb; q++)
            for (int64_t i = first; i < last; i++) {
                mb_z2_row(m, &r, w->depthwise + (block + q) * taps, q, i, row);
                if (i == 0) mb_sums_begin(&sums[q], lode_v_load(row));
                mb_sums_row(m, &sums[q], d->ow, row, z2 + (q * pixels + i * d->ow) * V);
            }
    }
    for (int q = 0; q < nb; q++)
        mb_sums_join(&sums[q], (double)pixels, n_before, sum + q * V, m2 + q * V);
    lode_v_stream_end();
}

/* ---- projection ---- */

/* z3[i, 0 .. width] = sum_k a[i,k] w[k, 0 .. nv vectors]; n pixels and nv are constants. a lies
   [blocks][pixels][V]. */
LODE_INLINE void mb_project_tile(int n, int nv, const simd_mb *m, const float *a, const float *w,
                                 float *z3, int64_t width) {
    lode_v sum[MB_LONG][2];
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
#define MB_TILE(size) mb_project_tile(size, nv, m, a + i * V, w, z3 + i * m->out, width)
    MB_EACH_TILE(n, nv, MB_TILE)
#undef MB_TILE
}

/* gate a2 of n pixels of all blocks. gate NULL: 1. */
static void mb_a2(const simd_mb *m, const simd_mb_weights *w, const float *gate, int64_t n,
                  const float *z2, int64_t block_floats, float *a) {
    for (int64_t b = 0; b < m->blocks; b++) {
        lode_v times = gate != NULL ? lode_v_load(gate + b * V) : lode_v_set(1.0f);
        lode_v scale = lode_v_load(w->scale2 + b * V), shift = lode_v_load(w->shift2 + b * V);
        lode_v low = lode_v_set(m->low), high = lode_v_set(m->high);
        const float *z = z2 + b * block_floats;
        float *out = a + b * m->pixels * V;
        if (mb_is_smooth(m)) {
            for (int64_t i = 0; i < n; i++)
                lode_v_store(out + i * V, lode_v_load(z + i * V) * scale + shift);
            mb_act_run(m, n, out, 1, out, NULL);
            for (int64_t i = 0; gate != NULL && i < n; i++)
                lode_v_store(out + i * V, lode_v_load(out + i * V) * times);
        } else
            for (int64_t i = 0; i < n; i++)
                lode_v_store(out + i * V,
                             act_clamp(low, high, lode_v_load(z + i * V) * scale + shift) * times);
    }
}

void simd_run_mb_project(const simd_mb *m, const simd_mb_weights *w, const float *z2,
                         const float *gate, float *z3, float *scratch) {
    int64_t pixels = m->dw.oh * m->dw.ow;
    for (int64_t i = 0; i < pixels; i += m->pixels) {
        int64_t n = dw_min(m->pixels, pixels - i), j = 0, next = i + n;
        mb_a2(m, w, gate, n, z2 + i * V, pixels * V, scratch);
        for (int64_t b = 0; next < pixels && b < m->blocks; b++)
            mb_prefetch(dw_min(m->pixels, pixels - next) * V, z2 + (b * pixels + next) * V);
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
