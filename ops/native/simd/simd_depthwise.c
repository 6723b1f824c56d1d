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
#include "ops/native/simd/simd_depthwise.h"

#include <math.h>

enum {
    /* Bands of x and dy for the weight gradient: with few taps per pixel they have to come from L1
       (32 KiB), with many L2 is fast enough and fewer rows are packed twice. */
    BAND_FLOATS_SMALL = 8192,
    BAND_FLOATS_LARGE = 32768
};

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
    d->low = d->act == LODE_ACT_NONE || d->act > LODE_ACT_RELU6 ? -HUGE_VALF : 0;
    d->high = d->act == LODE_ACT_RELU6 ? 6 : HUGE_VALF;
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

/* ---- the three passes ---- */

/* hswish or swish of a row of n pixels that was just written. */
static void dw_smooth(int act, int64_t n, int64_t lanes, float *y, int64_t step) {
    for (int64_t j = 0; j < n; j++, y += step) {
        lode_v u = lode_v_load_first(y, lanes);
        u = act == LODE_ACT_SWISH ? act_smooth(LODE_ACT_SWISH, u) : act_smooth(LODE_ACT_HSWISH, u);
        lode_v_store_first(y, u, lanes);
    }
}

void simd_run_dw_forward(const simd_dw *d, int64_t block, int64_t first, int64_t last,
                         const float *x, const float *packed, const float *bias, float *y,
                         float *scratch) {
    int64_t lanes = dw_lanes(d, block), mask = d->x_ring - 1, filled = 0;
    const float *w = packed + block * d->kh * d->kw * V;
    lode_v start = bias ? lode_v_load_first(bias + block * V, lanes) : lode_v_zero();
    dw_rows t = {.taps = &d->taps, .clamps = d->act == LODE_ACT_RELU || d->act == LODE_ACT_RELU6};
    t.low = lode_v_set(d->low);
    t.high = lode_v_set(d->high);
    x += block * V;
    y += block * V;
    for (int64_t i = first; i < last; i++) {
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
        if (d->act > LODE_ACT_RELU6) dw_smooth(d->act, d->ow, lanes, y + i * d->ow * d->c, d->c);
    }
}

void simd_run_dw_backward_data(const simd_dw *d, int64_t block, const float *dy,
                               const float *packed, float *dx, float *scratch) {
    int64_t lanes = dw_lanes(d, block), s = d->stride[1], sh = d->stride[0];
    int64_t mask = d->dy_ring - 1, filled = 0, columns = s == 1 ? d->w : (d->w - 1) / s + 1;
    int64_t long_runs = s == 1 ? 1 : (d->w - 1) % s + 1; /* runs that have `columns` columns */
    const float *w = packed + block * d->kh * d->kw * V;
    float *ring = dw_dy_part(d, scratch);
    dw_rows t = {.clamps = false};
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

void simd_run_dw_backward_weights(const simd_dw *d, int64_t block, const float *x, const float *dy,
                                  float *partial, float *scratch) {
    int64_t lanes = dw_lanes(d, block), s = d->stride[0], p = d->pad[0], dil = d->dilation[0];
    float *dy_band = dw_dy_part(d, scratch);
    dw_weights b = {.d = d,
                    .x = scratch,
                    .dy = dy_band + d->dy_left * V,
                    .partial = partial,
                    .x_mask = -1,
                    .y_mask = -1};
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
        dw_weight_band(&b, b.y_begin, last);
    }
}
