/* Depthwise convolution of NHWC images, forward and both gradients, any kernel, stride, dilation.

   A channel has its own small kernel and nothing to share with its neighbors, so a vector holds
   LODE_V channels of one pixel and the work is k*k multiply-adds per pixel from cache. Read
   straight from NHWC the pixels of a row lie C floats apart, which for C = 128, 256, ... falls into
   a few cache sets only; so rows of LODE_V channels are packed side by side first, with zeros left
   and right. Packing also does away with strides: the columns are sorted by their remainder modulo
   the stride, so that tap v of outputs j, j+1, j+2, ... reads consecutive pixels, column j*s + v*d
   is pixel  j + (v*d)/s  of remainder (v*d) % s. The gradient of the data is the same walk over dy,
   for each remainder of the column of dx with those taps that meet it. Rows outside the image are
   skipped, not padded: with k = 7 on a 7x7 image they are 40 % of the work.

   Forward and data gradient pack a row when its first output needs it, into a ring of as many rows
   as the kernel reaches over, which stays in L1. Kernels of 3, 5 and 7 at stride and dilation 1
   load each pixel once for all taps of a row (a third of the loads); the rest takes a list of taps.

   The weight gradient keeps one sum per tap in registers, as many rows of taps at a time as there
   are registers (with lists of taps one row, but twice, for even and odd pixels), over a band of
   rows. */
#include "ops/native/simd/simd_internal.h"

enum {
    V = LODE_V,
    TILE = 8,
    TAPS = SIMD_DW_MAX_KERNEL,
    /* Bands of x and dy for the weight gradient: with few taps per pixel they have to come from L1
       (32 KiB), with many L2 is fast enough and fewer rows are packed twice. */
    BAND_FLOATS_SMALL = 8192,
    BAND_FLOATS_LARGE = 32768
};

static int64_t dw_min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t dw_max(int64_t a, int64_t b) { return a > b ? a : b; }
/* Rounded down and up, for any a and b > 0. */
static int64_t dw_floor(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }
static int64_t dw_ceil(int64_t a, int64_t b) { return dw_floor(a + b - 1, b); }

static int64_t dw_lanes(const simd_dw *d, int64_t block) { return dw_min(V, d->c - block * V); }

/* ---- geometry of packed rows ---- */

/* Where tap v of output 0 lies in a packed row of x. */
static int64_t dw_x_at(const simd_dw *d, int64_t v) {
    int64_t column = v * d->dilation[1], s = d->stride[1];
    return (column % s * d->run + column / s) * V;
}

static int64_t dw_ring(int64_t rows) {
    int64_t ring = 1;
    while (ring < rows) ring *= 2;
    return ring;
}

/* Rows of x under so many rows of y. */
static int64_t dw_band_x(const simd_dw *d, int64_t out) {
    return dw_min(d->h, (out - 1) * d->stride[0] + (d->kh - 1) * d->dilation[0] + 1);
}
static int64_t dw_band(const simd_dw *d) {
    int64_t out = 1, most = d->kh * d->kw <= 9 ? BAND_FLOATS_SMALL : BAND_FLOATS_LARGE;
    while (out < d->oh && dw_band_x(d, out + 1) * d->x_row + (out + 1) * d->dy_row <= most) out++;
    return out;
}

/* Taps u along one side of k that meet position h of dx, by the remainder r of h + p modulo s:
   position (h + p - u d)/s of dy, which is (h + p - r)/s + shift. */
static simd_dw_meeting dw_meet(int64_t r, int64_t k, int64_t d, int64_t s) {
    simd_dw_meeting m = {.n = 0};
    for (int64_t u = 0; u < k; u++) {
        if ((r - u * d) % s != 0) continue;
        m.u[m.n] = u;
        m.shift[m.n++] = (r - u * d) / s;
    }
    return m;
}

/* Taps for columns r, r + s, r + 2s, ... of dx, from the last on: pixels of dy go up. */
static simd_dw_taps dw_gradient_taps(const simd_dw *d, int64_t r) {
    int64_t s = d->stride[1], at = (r + d->pad[1]) / s + d->dy_left;
    simd_dw_meeting m = dw_meet((r + d->pad[1]) % s, d->kw, d->dilation[1], s);
    simd_dw_taps t = {.n = m.n, .unit = -d->unit};
    for (int k = 0; k < m.n; k++) {
        t.at[k] = (at + m.shift[m.n - 1 - k]) * V;
        t.w_at[k] = m.u[m.n - 1 - k] * V;
    }
    return t;
}

/* All divisions are here, once for a call: images of 7x7 are done in a microsecond. */
void simd_run_dw_plan(simd_dw *d) {
    int64_t s = d->stride[1], reach = (d->kh - 1) * d->dilation[0];
    d->unit = s == 1 && d->dilation[1] == 1;
    d->run = dw_ceil(d->w + 2 * d->pad[1], s) + TILE;
    d->x_row = d->run * s * V;
    d->dy_left = dw_max(0, dw_ceil((d->kw - 1) * d->dilation[1] - d->pad[1], s));
    d->dy_row = (d->dy_left + dw_max((d->w - 1 + d->pad[1]) / s + 1, d->ow) + TILE) * V;
    d->x_ring = dw_ring(reach + 1);
    d->dy_ring = dw_ring(reach / d->stride[0] + 1);
    d->band = dw_band(d);
    d->x_floats = dw_max(d->x_ring, dw_band_x(d, d->band)) * d->x_row;
    d->scratch_floats = d->x_floats + dw_max(d->dy_ring, d->band) * d->dy_row + d->x_row;
    d->taps = (simd_dw_taps){.n = (int)d->kw, .unit = d->unit};
    for (int64_t v = 0; v < d->kw; v++) {
        d->taps.at[v] = dw_x_at(d, v);
        d->taps.w_at[v] = v * V;
    }
    for (int64_t r = 0; r < s; r++) d->gradient[r] = dw_gradient_taps(d, r);
    for (int64_t r = 0; r < d->stride[0]; r++)
        d->meet[r] = dw_meet(r, d->kh, d->dilation[0], d->stride[0]);
}

void simd_run_dw_begin(const simd_dw *d, float *scratch) {
    memset(scratch, 0, (size_t)d->scratch_floats * sizeof *scratch);
}
/* x first, then dy: apart, since what lies between the pixels must stay zero. Last a row of zeros.
 */
static float *dw_dy_part(const simd_dw *d, float *scratch) { return scratch + d->x_floats; }

/* ---- packing ---- */

void simd_run_dw_pack(const simd_dw *d, int64_t block, const float *w, float *packed) {
    int64_t taps = d->kh * d->kw, lanes = dw_lanes(d, block);
    float *out = packed + block * taps * V;
    for (int64_t t = 0; t < taps; t++)
        for (int64_t l = 0; l < V; l++)
            out[t * V + l] = l < lanes ? w[(block * V + l) * taps + t] : 0;
}

/* n pixels, `from` floats apart, side by side. */
LODE_INLINE void dw_pack_run(int64_t n, const float *x, int64_t from, int64_t lanes, float *out) {
    if (lanes == V)
        for (int64_t i = 0; i < n; i++) lode_v_store(out + i * V, lode_v_load(x + i * from));
    else
        for (int64_t i = 0; i < n; i++)
            lode_v_store(out + i * V, lode_v_load_first(x + i * from, lanes));
}

/* Row i of x; columns sorted by remainder. */
static void dw_pack_x(const simd_dw *d, int64_t lanes, const float *x, int64_t i, float *row) {
    int64_t s = d->stride[1], p = d->pad[1], run;
    if (s == 1) { /* no divisions: small images have short rows */
        dw_pack_run(d->w, x + i * d->w * d->c, d->c, lanes, row + p * V);
        return;
    }
    run = d->run;
    for (int64_t r = 0; r < s; r++) {
        int64_t j = ((r - p) % s + s) % s; /* first column of this remainder */
        if (j >= d->w) continue;
        dw_pack_run((d->w - j - 1) / s + 1, x + (i * d->w + j) * d->c, s * d->c, lanes,
                    row + (r * run + (j + p) / s) * V);
    }
}
static void dw_pack_dy(const simd_dw *d, int64_t lanes, const float *dy, int64_t i, float *row) {
    dw_pack_run(d->ow, dy + i * d->ow * d->c, d->c, lanes, row + d->dy_left * V);
}

/* ---- forward and backward data: rows of taps over packed rows ---- */

/* The rows of taps that meet a row. */
typedef struct dw_rows {
    const simd_dw_taps *taps;
    int n;
    const float *row[TAPS];  /* packed pixels, where output 0 starts */
    const float *wrow[TAPS]; /* packed weights */
} dw_rows;

LODE_INLINE void dw_store(int n, const lode_v *sum, int64_t lanes, int64_t keep, float *out,
                          int64_t step) {
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
    dw_store(n, sum, lanes, keep, out, step);
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
    dw_store(n, sum, lanes, keep, out, step);
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

static void dw_row(const dw_rows *t, int64_t n, lode_v start, int64_t lanes, float *out,
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

void simd_run_dw_forward(const simd_dw *d, int64_t block, const float *x, const float *packed,
                         const float *bias, float *y, float *scratch) {
    int64_t lanes = dw_lanes(d, block), mask = d->x_ring - 1, filled = 0;
    const float *w = packed + block * d->kh * d->kw * V;
    lode_v start = bias ? lode_v_load_first(bias + block * V, lanes) : lode_v_zero();
    dw_rows t;
    t.taps = &d->taps;
    x += block * V;
    y += block * V;
    for (int64_t i = 0; i < d->oh; i++) {
        int64_t top = i * d->stride[0] - d->pad[0], bottom = top + (d->kh - 1) * d->dilation[0];
        filled = dw_max(filled, top);
        for (; filled <= bottom && filled < d->h; filled++)
            dw_pack_x(d, lanes, x, filled, scratch + (filled & mask) * d->x_row);
        t.n = 0;
        for (int64_t u = 0, h = top; u < d->kh; u++, h += d->dilation[0]) {
            if (h < 0 || h >= d->h) continue;
            t.row[t.n] = scratch + (h & mask) * d->x_row;
            t.wrow[t.n++] = w + u * d->kw * V;
        }
        dw_row(&t, d->ow, start, lanes, y + i * d->ow * d->c, d->c);
    }
}

void simd_run_dw_backward_data(const simd_dw *d, int64_t block, const float *dy,
                               const float *packed, float *dx, float *scratch) {
    int64_t lanes = dw_lanes(d, block), s = d->stride[1], sh = d->stride[0];
    int64_t mask = d->dy_ring - 1, filled = 0, columns = s == 1 ? d->w : (d->w - 1) / s + 1;
    int64_t long_runs = s == 1 ? 1 : (d->w - 1) % s + 1; /* runs that have `columns` columns */
    const float *w = packed + block * d->kh * d->kw * V;
    float *ring = dw_dy_part(d, scratch);
    dw_rows t;
    dy += block * V;
    dx += block * V;
    int64_t base = d->pad[0] / sh, rest = d->pad[0] % sh; /* of h + p */
    for (int64_t h = 0; h < d->h; h++) {
        for (; filled <= base && filled < d->oh; filled++)
            dw_pack_dy(d, lanes, dy, filled, ring + (filled & mask) * d->dy_row);
        const simd_dw_meeting *m = &d->meet[rest];
        t.n = 0;
        for (int k = 0; k < m->n; k++) {
            int64_t i = base + m->shift[k];
            if (i < 0 || i >= d->oh) continue;
            t.row[t.n] = ring + (i & mask) * d->dy_row;
            t.wrow[t.n++] = w + m->u[k] * d->kw * V;
        }
        for (int64_t r = 0; r < s && r < d->w; r++) {
            t.taps = &d->gradient[r];
            dw_row(&t, r < long_runs ? columns : columns - 1, lode_v_zero(), lanes,
                   dx + (h * d->w + r) * d->c, s * d->c);
        }
        if (++rest == sh) {
            rest = 0;
            base++;
        }
    }
}

/* ---- backward weights ---- */

/* Rows of the kernel u .. u+n_u, over rows lo..hi of the band of y. */
typedef struct dw_weights {
    const simd_dw *d;
    const float *x, *dy, *zero; /* bands; a packed row of zeros for what lies outside */
    int64_t x_begin, y_begin;   /* their first rows */
    float *partial;
} dw_weights;

static const float *dw_weights_x(const dw_weights *b, int64_t i, int64_t u) {
    const simd_dw *d = b->d;
    int64_t h = i * d->stride[0] - d->pad[0] + u * d->dilation[0];
    return h < 0 || h >= d->h ? b->zero : b->x + (h - b->x_begin) * d->x_row;
}

/* n rows of k taps next to each other, TILE / 2 pixels at a time; n and k are constants. */
LODE_INLINE void dw_unit_weights(int n, int k, const dw_weights *b, int64_t u, int64_t lo,
                                 int64_t hi) {
    enum { STEP = TILE / 2, MOST = 14 };
    lode_v sum[MOST];
    LODE_UNROLL for (int i = 0; i < n * k; i++) sum[i] = lode_v_zero();
    for (int64_t i = lo; i < hi; i++) {
        const float *dy = b->dy + (i - b->y_begin) * b->d->dy_row, *x[3];
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
        const float *dy = b->dy + (i - b->y_begin) * b->d->dy_row, *x = dw_weights_x(b, i, u);
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

void simd_run_dw_backward_weights(const simd_dw *d, int64_t block, const float *x, const float *dy,
                                  float *partial, float *scratch) {
    int64_t lanes = dw_lanes(d, block), s = d->stride[0], p = d->pad[0], dil = d->dilation[0];
    float *dy_band = dw_dy_part(d, scratch);
    dw_weights b = {.d = d, .x = scratch, .dy = dy_band + d->dy_left * V, .partial = partial};
    b.zero = scratch + d->scratch_floats - d->x_row;
    x += block * V;
    dy += block * V;
    for (b.y_begin = 0; b.y_begin < d->oh; b.y_begin += d->band) {
        int64_t last = dw_min(d->oh, b.y_begin + d->band);
        int64_t end = dw_min(d->h, (last - 1) * s - p + (d->kh - 1) * dil + 1);
        b.x_begin = dw_max(0, b.y_begin * s - p);
        for (int64_t i = b.x_begin; i < end; i++)
            dw_pack_x(d, lanes, x, i, scratch + (i - b.x_begin) * d->x_row);
        for (int64_t i = b.y_begin; i < last; i++)
            dw_pack_dy(d, lanes, dy, i, dy_band + (i - b.y_begin) * d->dy_row);
        for (int64_t u = 0, n; u < d->kh; u += n) {
            /* Rows i of y for which row i*s - p + u*dil of x, or that of the last row of this pass,
               lies inside. */
            n = dw_weight_rows(d, u);
            int64_t lo = dw_max(b.y_begin, dw_ceil(p - (u + n - 1) * dil, s));
            int64_t hi = dw_min(last, dw_floor(d->h - 1 + p - u * dil, s) + 1);
            if (lo < hi) dw_weight_pass(&b, u, n, lo, hi);
        }
    }
}
