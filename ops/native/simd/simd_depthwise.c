/* Depthwise convolution of NHWC images, forward and both gradients, any kernel, stride, dilation.

   A channel has its own small kernel and nothing to share with its neighbors, so a vector holds
   LODE_V channels of one pixel and the work is k*k multiply-adds per pixel from cache. Read
   straight from NHWC the pixels of a row lie C floats apart, which for C = 128, 256, ... falls into
   a few cache sets only; so a band of rows of LODE_V channels is packed side by side first, with
   zeros left and right of each row. Packing also does away with strides: the columns are sorted by
   their remainder modulo the stride, so that tap v of outputs j, j+1, j+2, ... reads consecutive
   pixels, column j*s + v*d  is pixel  j + (v*d)/s  of remainder (v*d) % s. The gradient of the data
   is the same walk over dy, for each remainder of the column of dx with those taps that meet it.
   Rows outside the image are skipped, not padded: with k = 7 on a 7x7 image they are 40 % of the
   work. All three run at one load per multiply-add, TILE independent sums in registers.

   The weight gradient keeps one sum per tap, a row of taps at a time, twice (even and odd pixels)
   to hide the latency of the addition. */
#include "ops/native/simd/simd_internal.h"

enum {
    V = LODE_V,
    TILE = 8,
    BAND_FLOATS = 32768, /* 128 KiB of packed pixels: half of a small L2 cache */
    TAPS = SIMD_DW_MAX_KERNEL
};

static int64_t dw_min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t dw_max(int64_t a, int64_t b) { return a > b ? a : b; }
/* Rounded down and up, for any a and b > 0. */
static int64_t dw_floor(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }
static int64_t dw_ceil(int64_t a, int64_t b) { return dw_floor(a + b - 1, b); }

static int64_t dw_lanes(const simd_dw *d, int64_t block) { return dw_min(V, d->c - block * V); }

/* ---- geometry of the packed bands ---- */

/* Packed row of x: `stride` runs, one per remainder, of this many pixels. */
static int64_t dw_run(const simd_dw *d) {
    return dw_ceil(d->w + 2 * d->pad[1], d->stride[1]) + TILE;
}
static int64_t dw_x_row(const simd_dw *d) { return dw_run(d) * d->stride[1] * V; }
/* Packed row of dy: so many zero pixels before it. */
static int64_t dw_dy_left(const simd_dw *d) {
    return dw_max(0, dw_ceil((d->kw - 1) * d->dilation[1] - d->pad[1], d->stride[1]));
}
static int64_t dw_dy_row(const simd_dw *d) {
    int64_t reach = dw_max((d->w - 1 + d->pad[1]) / d->stride[1] + 1, d->ow);
    return (dw_dy_left(d) + reach + TILE) * V;
}
/* Rows of x under so many rows of y, and how many rows of y make a band. */
static int64_t dw_x_rows(const simd_dw *d, int64_t out) {
    return dw_min(d->h, (out - 1) * d->stride[0] + (d->kh - 1) * d->dilation[0] + 1);
}
static int64_t dw_out_band(const simd_dw *d) {
    int64_t out = 1;
    while (out < d->oh && dw_x_rows(d, out + 1) * dw_x_row(d) <= BAND_FLOATS) out++;
    return out;
}
/* Rows of dy over so many rows of dx. */
static int64_t dw_dy_rows(const simd_dw *d, int64_t in) {
    return dw_min(d->oh, (in - 1 + (d->kh - 1) * d->dilation[0]) / d->stride[0] + 1);
}
static int64_t dw_in_band(const simd_dw *d) {
    int64_t in = 1;
    while (in < d->h && dw_dy_rows(d, in + 1) * dw_dy_row(d) <= BAND_FLOATS) in++;
    return in;
}

size_t simd_run_dw_scratch(const simd_dw *d) {
    int64_t out = dw_out_band(d);
    int64_t x = dw_x_rows(d, out) * dw_x_row(d);
    int64_t dy = dw_max(dw_dy_rows(d, dw_in_band(d)), out) * dw_dy_row(d);
    return (size_t)(x + dy);
}
void simd_run_dw_begin(const simd_dw *d, float *scratch) {
    memset(scratch, 0, simd_run_dw_scratch(d) * sizeof *scratch);
}
/* x first, then dy. */
static float *dw_dy_band(const simd_dw *d, float *scratch) {
    return scratch + dw_x_rows(d, dw_out_band(d)) * dw_x_row(d);
}

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

/* Rows begin..end of x; columns sorted by remainder. */
static void dw_pack_x(const simd_dw *d, int64_t lanes, const float *x, int64_t begin, int64_t end,
                      float *band) {
    int64_t s = d->stride[1], p = d->pad[1], run = dw_run(d), row = dw_x_row(d);
    for (int64_t i = begin; i < end; i++) {
        for (int64_t r = 0; r < s; r++) {
            int64_t j = ((r - p) % s + s) % s; /* first column of this remainder */
            if (j >= d->w) continue;
            dw_pack_run((d->w - j - 1) / s + 1, x + (i * d->w + j) * d->c, s * d->c, lanes,
                        band + (i - begin) * row + (r * run + (j + p) / s) * V);
        }
    }
}
static void dw_pack_dy(const simd_dw *d, int64_t lanes, const float *dy, int64_t begin, int64_t end,
                       float *band) {
    int64_t left = dw_dy_left(d), row = dw_dy_row(d);
    for (int64_t i = begin; i < end; i++)
        dw_pack_run(d->ow, dy + i * d->ow * d->c, d->c, lanes, band + (i - begin) * row + left * V);
}

/* ---- forward and backward data: rows of taps over packed rows ---- */

typedef struct dw_taps {
    int n_rows, n;           /* rows of taps that meet this row; taps in each */
    const float *row[TAPS];  /* packed pixels, where output 0 starts */
    const float *wrow[TAPS]; /* packed weights */
    int64_t at[TAPS];        /* of tap k: offset in row */
    int64_t w_at[TAPS];      /* and in wrow */
} dw_taps;

/* Outputs j .. j+n, n a constant. */
LODE_INLINE void dw_tile(int n, const dw_taps *t, int64_t j, lode_v start, int64_t lanes,
                         int64_t keep, float *out, int64_t step) {
    lode_v sum[TILE];
    LODE_UNROLL for (int i = 0; i < n; i++) sum[i] = start;
    for (int r = 0; r < t->n_rows; r++) {
        const float *row = t->row[r] + j * V, *wrow = t->wrow[r];
        for (int k = 0; k < t->n; k++) {
            const float *x = row + t->at[k];
            lode_v w = lode_v_load(wrow + t->w_at[k]);
            LODE_UNROLL for (int i = 0; i < n; i++) sum[i] += lode_v_load(x + i * V) * w;
        }
    }
    if (lanes == V && keep == n) {
        LODE_UNROLL for (int i = 0; i < n; i++) lode_v_store(out + i * step, sum[i]);
        return;
    }
    LODE_UNROLL for (int i = 0; i < n; i++) {
        if (i < keep) lode_v_store_first(out + i * step, sum[i], lanes);
    }
}

/* n outputs, `step` floats apart. Packed rows reach a tile further than needed. */
static void dw_row(const dw_taps *t, int64_t n, lode_v start, int64_t lanes, float *out,
                   int64_t step) {
    int64_t j = 0;
    for (; j + TILE <= n; j += TILE) dw_tile(TILE, t, j, start, lanes, TILE, out + j * step, step);
    if (n - j > TILE / 2)
        dw_tile(TILE, t, j, start, lanes, n - j, out + j * step, step);
    else if (n - j > 2)
        dw_tile(TILE / 2, t, j, start, lanes, n - j, out + j * step, step);
    else if (n - j > 0)
        dw_tile(2, t, j, start, lanes, n - j, out + j * step, step);
}

/* Where tap v of output 0 lies in a packed row of x. */
static int64_t dw_x_at(const simd_dw *d, int64_t v) {
    int64_t column = v * d->dilation[1], s = d->stride[1];
    return (column % s * dw_run(d) + column / s) * V;
}

void simd_run_dw_forward(const simd_dw *d, int64_t block, const float *x, const float *packed,
                         const float *bias, float *y, float *scratch) {
    int64_t lanes = dw_lanes(d, block), s = d->stride[0], p = d->pad[0], dil = d->dilation[0];
    int64_t row = dw_x_row(d), out_band = dw_out_band(d);
    const float *w = packed + block * d->kh * d->kw * V;
    lode_v start = bias ? lode_v_load_first(bias + block * V, lanes) : lode_v_zero();
    dw_taps t = {.n = (int)d->kw};
    for (int64_t v = 0; v < d->kw; v++) {
        t.at[v] = dw_x_at(d, v);
        t.w_at[v] = v * V;
    }
    x += block * V;
    y += block * V;
    for (int64_t first = 0; first < d->oh; first += out_band) {
        int64_t last = dw_min(d->oh, first + out_band);
        int64_t begin = dw_max(0, first * s - p);
        int64_t end = dw_min(d->h, (last - 1) * s - p + (d->kh - 1) * dil + 1);
        dw_pack_x(d, lanes, x, begin, end, scratch);
        for (int64_t i = first; i < last; i++) {
            t.n_rows = 0;
            for (int64_t u = 0; u < d->kh; u++) {
                int64_t h = i * s - p + u * dil;
                if (h < 0 || h >= d->h) continue;
                t.row[t.n_rows] = scratch + (h - begin) * row;
                t.wrow[t.n_rows++] = w + u * d->kw * V;
            }
            dw_row(&t, d->ow, start, lanes, y + i * d->ow * d->c, d->c);
        }
    }
}

/* Rows of dy that meet row h of dx, and their rows of weights. */
static void dw_gradient_rows(const simd_dw *d, int64_t h, const float *w, const float *band,
                             int64_t begin, dw_taps *t) {
    t->n_rows = 0;
    for (int64_t u = 0; u < d->kh; u++) {
        int64_t i = h + d->pad[0] - u * d->dilation[0];
        if (i < 0 || i % d->stride[0] != 0 || i / d->stride[0] >= d->oh) continue;
        t->row[t->n_rows] = band + (i / d->stride[0] - begin) * dw_dy_row(d);
        t->wrow[t->n_rows++] = w + u * d->kw * V;
    }
}

/* Taps that meet columns r, r + s, r + 2s, ... of dx. */
static void dw_gradient_taps(const simd_dw *d, int64_t r, dw_taps *t) {
    t->n = 0;
    for (int64_t v = 0; v < d->kw; v++) {
        int64_t j = r + d->pad[1] - v * d->dilation[1], s = d->stride[1];
        if (j % s != 0) continue;
        t->at[t->n] = (j / s + dw_dy_left(d)) * V;
        t->w_at[t->n++] = v * V;
    }
}

void simd_run_dw_backward_data(const simd_dw *d, int64_t block, const float *dy,
                               const float *packed, float *dx, float *scratch) {
    int64_t lanes = dw_lanes(d, block), s = d->stride[1], p = d->pad[0];
    int64_t reach = (d->kh - 1) * d->dilation[0], in_band = dw_in_band(d);
    const float *w = packed + block * d->kh * d->kw * V;
    float *band = dw_dy_band(d, scratch);
    dw_taps taps[SIMD_DW_MAX_STRIDE];
    for (int64_t r = 0; r < s; r++) dw_gradient_taps(d, r, &taps[r]);
    dy += block * V;
    dx += block * V;
    for (int64_t first = 0; first < d->h; first += in_band) {
        int64_t last = dw_min(d->h, first + in_band);
        int64_t begin = dw_max(0, dw_ceil(first + p - reach, d->stride[0]));
        int64_t end = dw_min(d->oh, (last - 1 + p) / d->stride[0] + 1);
        dw_pack_dy(d, lanes, dy, begin, end, band);
        for (int64_t h = first; h < last; h++) {
            for (int64_t r = 0; r < s && r < d->w; r++) {
                dw_gradient_rows(d, h, w, band, begin, &taps[r]);
                dw_row(&taps[r], (d->w - r - 1) / s + 1, lode_v_zero(), lanes,
                       dx + (h * d->w + r) * d->c, s * d->c);
            }
        }
    }
}

/* ---- backward weights ---- */

/* n taps (a constant) of one row of the kernel, over rows first..last of the band. */
LODE_INLINE void dw_weight_taps(int n, const int64_t *at, int64_t rows, int64_t ow, const float *x,
                                int64_t x_step, const float *dy, int64_t dy_step, float *partial) {
    lode_v even[TILE], odd[TILE];
    LODE_UNROLL for (int k = 0; k < n; k++) even[k] = odd[k] = lode_v_zero();
    for (int64_t i = 0; i < rows; i++, x += x_step, dy += dy_step) {
        const float *tap[TILE];
        LODE_UNROLL for (int k = 0; k < n; k++) tap[k] = x + at[k];
        int64_t j = 0;
        for (; j + 2 <= ow; j += 2) {
            lode_v a = lode_v_load(dy + j * V), b = lode_v_load(dy + (j + 1) * V);
            LODE_UNROLL for (int k = 0; k < n; k++) {
                even[k] += lode_v_load(tap[k] + j * V) * a;
                odd[k] += lode_v_load(tap[k] + (j + 1) * V) * b;
            }
        }
        if (j < ow) {
            lode_v a = lode_v_load(dy + j * V);
            LODE_UNROLL for (int k = 0; k < n; k++) even[k] += lode_v_load(tap[k] + j * V) * a;
        }
    }
    LODE_UNROLL for (int k = 0; k < n; k++)
        lode_v_store(partial + k * V, lode_v_load(partial + k * V) + (even[k] + odd[k]));
}

static void dw_weight_row(int64_t n, const int64_t *at, int64_t rows, int64_t ow, const float *x,
                          int64_t x_step, const float *dy, int64_t dy_step, float *partial) {
    if (rows <= 0) return;
    while (n > 0) {
        int64_t now = n > 7 ? 7 : n;
        switch (now) {
        case 7:
            dw_weight_taps(7, at, rows, ow, x, x_step, dy, dy_step, partial);
            break;
        case 6:
            dw_weight_taps(6, at, rows, ow, x, x_step, dy, dy_step, partial);
            break;
        case 5:
            dw_weight_taps(5, at, rows, ow, x, x_step, dy, dy_step, partial);
            break;
        case 4:
            dw_weight_taps(4, at, rows, ow, x, x_step, dy, dy_step, partial);
            break;
        case 3:
            dw_weight_taps(3, at, rows, ow, x, x_step, dy, dy_step, partial);
            break;
        case 2:
            dw_weight_taps(2, at, rows, ow, x, x_step, dy, dy_step, partial);
            break;
        default:
            dw_weight_taps(1, at, rows, ow, x, x_step, dy, dy_step, partial);
            break;
        }
        n -= now;
        at += now;
        partial += now * V;
    }
}

void simd_run_dw_backward_weights(const simd_dw *d, int64_t block, const float *x, const float *dy,
                                  float *partial, float *scratch) {
    int64_t lanes = dw_lanes(d, block), s = d->stride[0], p = d->pad[0], dil = d->dilation[0];
    int64_t x_row = dw_x_row(d), dy_row = dw_dy_row(d), out_band = dw_out_band(d);
    float *dy_band = dw_dy_band(d, scratch);
    int64_t at[TAPS];
    for (int64_t v = 0; v < d->kw; v++) at[v] = dw_x_at(d, v);
    x += block * V;
    dy += block * V;
    for (int64_t first = 0; first < d->oh; first += out_band) {
        int64_t last = dw_min(d->oh, first + out_band);
        int64_t begin = dw_max(0, first * s - p);
        int64_t end = dw_min(d->h, (last - 1) * s - p + (d->kh - 1) * dil + 1);
        dw_pack_x(d, lanes, x, begin, end, scratch);
        dw_pack_dy(d, lanes, dy, first, last, dy_band);
        for (int64_t u = 0; u < d->kh; u++) {
            /* Rows of y whose row i*s - p + u*dil of x is inside. */
            int64_t lo = dw_max(first, dw_ceil(p - u * dil, s));
            int64_t hi = dw_min(last, dw_floor(d->h - 1 + p - u * dil, s) + 1);
            dw_weight_row(d->kw, at, hi - lo, d->ow,
                          scratch + (lo * s - p + u * dil - begin) * x_row, s * x_row,
                          dy_band + (lo - first) * dy_row + dw_dy_left(d) * V, dy_row,
                          partial + u * d->kw * V);
        }
    }
}
