/* Backward kernels of MBConv blocks; native_mbconv.c tells how they play together.

   g2 is the gradient behind norm 2 (its activation's slope applied): project_t dz3 times a slope.
   It is computed twice, once for its sums and the projection's weights, once more, when the sums
   are known, for dz2 = of_g g2 + of_z z2 + rest: a product of a few FMAs per value instead of
   writing and reading an expanded tensor.

   The second sweep goes down an image for LODE_V channels, a band of rows of z2 at a time: rows of
   a1 are computed from x and rows of dz2 as above, both into rings of packed rows; the band's part
   of the depthwise weight gradient; the rows of g1 that are complete now; their part of x^T g1 and
   of dx. Nothing expanded is written but these rings. */
#include "ops/native/simd/simd_mbconv.h"

/* ---- projection ---- */

/* For n pixels: da (in: gradient of a2) and z2 to a2, sums of g2 and g2 (z2 - mean2). act: a
   constant; below 0 a clamp. */
LODE_INLINE void mb_g2_rows(int act, const simd_mb *m, const simd_mb_weights *w, int64_t b,
                            int64_t n, const float *da, const float *z2, float *a, lode_v sums[2]) {
    lode_v scale = lode_v_load(w->scale2 + b * V), shift = lode_v_load(w->shift2 + b * V);
    lode_v mean = lode_v_load(w->mean2 + b * V), s = lode_v_zero(), sz = s;
    lode_v low = lode_v_set(m->low), high = lode_v_set(m->high);
    for (int64_t i = 0; i < n; i++) {
        lode_v z = lode_v_load(z2 + i * V), u = z * scale + shift, g = lode_v_load(da + i * V), v;
        if (act < 0) {
            v = act_clamp(low, high, u);
            g = act_clamp_gradient(low, high, u, g);
        } else
            g = act_smooth_gradient(act, u, g, &v);
        lode_v_store(a + i * V, v);
        s += g;
        sz += g * (z - mean);
    }
    sums[0] = s;
    sums[1] = sz;
}

static void mb_add_lanes(lode_v v, double *sum) {
    float lane[V];
    lode_v_store(lane, v);
    for (int l = 0; l < V; l++) sum[l] += (double)lane[l];
}

void simd_run_mb_project_backward(const simd_mb *m, const simd_mb_weights *w, const float *dz3,
                                  const float *z2, float *dw, double *sum, double *sum_z,
                                  float *scratch) {
    enum { PIXELS = 64 };
    int64_t pixels = m->dw.oh * m->dw.ow;
    float *a = scratch;
    for (int64_t i = 0; i < pixels; i += m->pixels) {
        int64_t n = dw_min(m->pixels, pixels - i);
        const float *dz = dz3 + i * m->out;
        float *da = a + m->pixels * V;
        for (int64_t b = 0; b < m->blocks; b++) {
            const float *z = z2 + (b * pixels + i) * V;
            lode_v sums[2];
            mb_point(n, m->out, dz, m->out, w->project_t + b * m->out * V, lode_v_zero(), da);
            if (m->act == LODE_ACT_HSWISH)
                mb_g2_rows(LODE_ACT_HSWISH, m, w, b, n, da, z, a, sums);
            else if (m->act == LODE_ACT_SWISH)
                mb_g2_rows(LODE_ACT_SWISH, m, w, b, n, da, z, a, sums);
            else
                mb_g2_rows(-1, m, w, b, n, da, z, a, sums);
            mb_add_lanes(sums[0], sum + b * V);
            mb_add_lanes(sums[1], sum_z + b * V);
            mb_outer(m->out, n, dz, m->out, a, dw + b * m->out * V);
        }
    }
}

/* ---- depthwise convolution and expansion ---- */

LODE_INLINE void mb_dz2_pixels(int act, const simd_mb *m, const simd_mb_weights *w, int64_t b,
                               int64_t n, const float *z2, float *dz) {
    lode_v scale = lode_v_load(w->scale2 + b * V), shift = lode_v_load(w->shift2 + b * V);
    lode_v of_g = lode_v_load(w->of_g + b * V), of_z = lode_v_load(w->of_z + b * V);
    lode_v rest = lode_v_load(w->rest + b * V);
    lode_v low = lode_v_set(m->low), high = lode_v_set(m->high), unused;
    for (int64_t i = 0; i < n; i++) {
        lode_v z = lode_v_load(z2 + i * V), u = z * scale + shift, g = lode_v_load(dz + i * V);
        g = act < 0 ? act_clamp_gradient(low, high, u, g) : act_smooth_gradient(act, u, g, &unused);
        lode_v_store(dz + i * V, g * of_g + (z * of_z + rest));
    }
}

/* Row i of dz2, packed. */
static void mb_dz2_row(const simd_mb *m, const simd_mb_weights *w, int64_t b, const float *dz3,
                       const float *z2, int64_t i, float *row) {
    int64_t n = m->dw.ow;
    const float *z = z2 + i * n * V;
    row += m->dw.dy_left * V;
    mb_point(n, m->out, dz3 + i * n * m->out, m->out, w->project_t + b * m->out * V, lode_v_zero(),
             row);
    if (m->act == LODE_ACT_HSWISH)
        mb_dz2_pixels(LODE_ACT_HSWISH, m, w, b, n, z, row);
    else if (m->act == LODE_ACT_SWISH)
        mb_dz2_pixels(LODE_ACT_SWISH, m, w, b, n, z, row);
    else
        mb_dz2_pixels(-1, m, w, b, n, z, row);
}

/* n pixels of the gradient of a1 to g1, with their sum. a, slope: packed as a1 is. */
static lode_v mb_g1_run(const simd_mb *m, int64_t n, const float *a, const float *slope, float *g,
                        int64_t step, lode_v sum) {
    lode_v low = lode_v_set(m->low), high = lode_v_set(m->high);
    bool smooth = mb_is_smooth(m);
    for (int64_t i = 0; i < n; i++, g += step) {
        lode_v v = lode_v_load(g);
        if (smooth)
            v *= lode_v_load(slope + i * V);
        else
            v = act_clamp_gradient(low, high, lode_v_load(a + i * V), v);
        lode_v_store(g, v);
        sum += v;
    }
    return sum;
}

/* What one image and block is worked on with. */
typedef struct mb_sweep {
    const simd_mb *m;
    const simd_mb_weights *w;
    int64_t block;
    const float *taps;
    float *x, *slope, *dz2, *g; /* rings of packed rows; g1 */
    int64_t x_done, dz2_done, g_done;
} mb_sweep;

static void mb_gradient_rows(const mb_sweep *s, int64_t h, dw_rows *t) {
    const simd_dw *d = &s->m->dw;
    int64_t base = (h + d->pad[0]) / d->stride[0];
    const simd_dw_meeting *meet = &d->meet[(h + d->pad[0]) % d->stride[0]];
    t->n = 0;
    for (int k = 0; k < meet->n; k++) {
        int64_t i = base + meet->shift[k];
        if (i < 0 || i >= d->oh) continue;
        t->row[t->n] = s->dz2 + (i & (s->m->dy_ring - 1)) * d->dy_row;
        t->wrow[t->n++] = s->taps + meet->u[k] * d->kw * V;
    }
}

/* Row h of the gradient of a1 to out, pixels `pixel` floats apart. */
static void mb_gradient_row(const mb_sweep *s, int64_t h, int64_t lanes, float *out,
                            int64_t pixel) {
    const simd_dw *d = &s->m->dw;
    int64_t stride = d->stride[1];
    dw_rows t;
    mb_gradient_rows(s, h, &t);
    for (int64_t r = 0; r < stride && r < d->w; r++) {
        t.taps = &d->gradient[r];
        dw_row(&t, stride == 1 ? d->w : (d->w - r - 1) / stride + 1, lode_v_zero(), lanes,
               out + r * pixel, stride * pixel);
    }
}

static lode_v mb_g1_row(const mb_sweep *s, int64_t h, float *g, lode_v sum) {
    const simd_dw *d = &s->m->dw;
    int64_t stride = d->stride[1], p = d->pad[1], row = (h & (s->m->x_ring - 1)) * d->x_row;
    mb_gradient_row(s, h, V, g, V);
    for (int64_t j = 0; j < stride && j < d->w; j++) {
        int64_t r = (j + p) % stride, at = row + (r * d->run + (j + p) / stride) * V;
        sum = mb_g1_run(s->m, (d->w - j - 1) / stride + 1, s->x + at, s->slope + at, g + j * V,
                        stride * V, sum);
    }
    return sum;
}

/* dx (+)= g expand_t: n pixels, nv vectors; constants. */
LODE_INLINE void mb_dx_tile(int n, int nv, int64_t ld_w, const float *g, const float *w, float *dx,
                            int64_t c, int64_t width, bool add) {
    lode_v sum[MB_TILE][2];
    LODE_UNROLL for (int i = 0; i < n; i++) {
        LODE_UNROLL for (int v = 0; v < nv; v++) {
            const float *from = dx + i * c + v * V;
            int64_t left = width - v * V;
            sum[i][v] = !add        ? lode_v_zero()
                        : left >= V ? lode_v_load(from)
                                    : lode_v_load_first(from, left);
        }
    }
    for (int l = 0; l < V; l++, w += ld_w) {
        lode_v wv[2];
        LODE_UNROLL for (int v = 0; v < nv; v++) wv[v] = lode_v_load(w + v * V);
        LODE_UNROLL for (int i = 0; i < n; i++) {
            lode_v s = lode_v_set(g[i * V + l]);
            LODE_UNROLL for (int v = 0; v < nv; v++) sum[i][v] += s * wv[v];
        }
    }
    LODE_UNROLL for (int i = 0; i < n; i++) {
        LODE_UNROLL for (int v = 0; v < nv; v++) {
            float *to = dx + i * c + v * V;
            int64_t left = width - v * V;
            if (left >= V)
                lode_v_store(to, sum[i][v]);
            else
                lode_v_store_first(to, sum[i][v], left);
        }
    }
}

LODE_INLINE void mb_dx_columns(int nv, int64_t n, int64_t ld_w, const float *g, const float *w,
                               float *dx, int64_t c, int64_t width, bool add) {
    enum { MOST = V == 16 ? 12 : 4 };
    int64_t i = 0;
#define MB_DX(size)                                                                                \
    mb_dx_tile(size, nv, ld_w, g + i * V, w, dx + i * c, c, width, add);                           \
    i += size
    if (nv == 1)
        while (i + MB_TILE <= n) {
            MB_DX(MB_TILE);
        }
    while (i + MOST <= n && n - i != 16) {
        MB_DX(MOST);
    }
    while (i + 8 <= n && V == 16) {
        MB_DX(8);
    }
    while (i + 4 <= n) {
        MB_DX(4);
    }
    while (i < n) {
        MB_DX(1);
    }
#undef MB_DX
}

static void mb_dx(const simd_mb *m, int64_t n, const float *g, const float *w, float *dx,
                  bool add) {
    int64_t j = 0, c = m->in;
    for (; j + V < c; j += 2 * V) mb_dx_columns(2, n, m->in_wide, g, w + j, dx + j, c, c - j, add);
    if (j < c) mb_dx_columns(1, n, m->in_wide, g, w + j, dx + j, c, c - j, add);
}

/* The rows of the gradient of a1 that are complete, up to `end`. */
static void mb_finish_rows(mb_sweep *s, int64_t end, const float *x, float *xg, double *sum,
                           float *dx, bool add) {
    const simd_mb *m = s->m;
    const simd_dw *d = &m->dw;
    int64_t first = s->g_done, n = (end - first) * d->w;
    lode_v total = lode_v_zero();
    s->g_done = end;
    if (!m->expands) {
        int64_t lanes = dw_min(V, d->c - s->block * V);
        for (int64_t h = first; dx != NULL && h < end; h++)
            mb_gradient_row(s, h, lanes, dx + h * d->w * d->c + s->block * V, d->c);
        return;
    }
    for (int64_t h = first; h < end; h++)
        total = mb_g1_row(s, h, s->g + (h - first) * d->w * V, total);
    mb_add_lanes(total, sum);
    mb_outer(m->in, n, x + first * d->w * m->in, m->in, s->g, xg);
    if (dx != NULL)
        mb_dx(m, n, s->g, s->w->expand_t + s->block * V * m->in_wide, dx + first * d->w * m->in,
              add);
}

void simd_run_mb_backward(const simd_mb *m, const simd_mb_weights *w, int64_t block, const float *x,
                          const float *dz3, const float *z2, float *dw, float *xg, double *sum,
                          float *dx, bool add, float *scratch) {
    const simd_dw *d = &m->dw;
    int64_t s = d->stride[0], p = d->pad[0], x_floats = m->x_ring * d->x_row;
    mb_sweep sweep = {.m = m, .w = w, .block = block};
    sweep.taps = w->depthwise + block * d->kh * d->kw * V;
    sweep.x = scratch;
    sweep.slope = sweep.x + x_floats;
    sweep.dz2 = sweep.slope + x_floats;
    float *zero = sweep.dz2 + m->dy_ring * d->dy_row;
    sweep.g = zero + d->x_row;
    dw_weights b = {.d = d,
                    .x = sweep.x,
                    .dy = sweep.dz2 + d->dy_left * V,
                    .zero = zero,
                    .x_mask = m->x_ring - 1,
                    .y_mask = m->dy_ring - 1,
                    .partial = dw};
    for (int64_t first = 0; first < d->oh; first += m->band) {
        int64_t last = dw_min(d->oh, first + m->band);
        int64_t x_end = dw_min(d->h, (last - 1) * s - p + d->kh);
        sweep.x_done = dw_max(sweep.x_done, first * s - p);
        for (; sweep.x_done < x_end; sweep.x_done++) {
            int64_t at = (sweep.x_done & (m->x_ring - 1)) * d->x_row;
            mb_x_row(m, w, block, x, sweep.x_done, sweep.x + at, sweep.slope + at);
        }
        for (; sweep.dz2_done < last; sweep.dz2_done++)
            mb_dz2_row(m, w, block, dz3, z2, sweep.dz2_done,
                       sweep.dz2 + (sweep.dz2_done & (m->dy_ring - 1)) * d->dy_row);
        dw_weight_band(&b, first, last);
        int64_t end = last == d->oh ? d->h : dw_min(d->h, last * s - p);
        if (end > sweep.g_done) mb_finish_rows(&sweep, end, x, xg, sum, dx, add);
    }
}

/* ---- what is left for dx when the sums of norm 1 are known ---- */

void simd_run_mb_affine(int64_t rows, int64_t c, const float *restrict x, const float *restrict a,
                        const float *restrict b, const float *restrict r, float *restrict y) {
    int64_t wide = (c + V - 1) / V * V;
    for (int64_t j = 0; j < c; j += V) {
        int64_t lanes = dw_min(V, c - j);
        lode_v start = lode_v_load(b + j);
        for (int64_t i = 0; i < rows; i++) {
            lode_v sum = start + lode_v_load_first(y + i * c + j, lanes), more = lode_v_zero();
            if (r != NULL) sum += lode_v_load_first(r + i * c + j, lanes);
            int64_t k = 0;
            for (; k + 2 <= c; k += 2) {
                sum += lode_v_set(x[i * c + k]) * lode_v_load(a + k * wide + j);
                more += lode_v_set(x[i * c + k + 1]) * lode_v_load(a + (k + 1) * wide + j);
            }
            if (k < c) sum += lode_v_set(x[i * c + k]) * lode_v_load(a + k * wide + j);
            lode_v_store_first(y + i * c + j, sum + more, lanes);
        }
    }
}
