/* Backward kernels of MBConv blocks; native_mbconv.c tells how they play together.

   The second sweep goes down an image for a pair of blocks, a band of rows of z2 at a time: rows of
   a1 are computed from x, rows of dz2 from g2 and z2, both into rings of packed rows; the band's
   part of the depthwise weight gradient; the rows of g1 that are complete now; their part of x^T g1
   and of dx. Nothing expanded is written but these rings. */
#include "ops/native/simd/simd_mbconv.h"

/* ---- projection ---- */

enum { MB_DROP, MB_STORE, MB_STREAM }; /* what becomes of g2 */

/* Of n pixels and block b: da (in: gradient of a2) and z2 to a2 and g2, and the sums. act and keep
   are constants; act below 0: a clamp. */
LODE_INLINE void mb_g2_run(int act, int keep, const simd_mb *m, const simd_mb_weights *w, int64_t b,
                           int64_t n, float *da, const float *z2, float *g2, double *sum,
                           double *sum_z) {
    lode_v scale = lode_v_load(w->scale2 + b * V), shift = lode_v_load(w->shift2 + b * V);
    lode_v mean = lode_v_load(w->mean2 + b * V), s = lode_v_zero(), sz = s;
    lode_v low = lode_v_set(m->low), high = lode_v_set(m->high);
    for (int64_t i = 0; i < n; i++) {
        lode_v z = lode_v_load(z2 + i * V), u = z * scale + shift, g = lode_v_load(da + i * V), v;
        if (act < 0) {
            v = act_clamp(low, high, u);
            g = act_clamp_gradient(low, high, u, g);
        } else {
            g = act_smooth_gradient(act, u, g, &v);
        }
        lode_v_store(da + i * V, v);
        if (keep == MB_STORE) lode_v_store(g2 + i * V, g);
        if (keep == MB_STREAM) lode_v_stream(g2 + i * V, g);
        s += g;
        sz += g * (z - mean);
    }
    mb_add_lanes(s, sum + b * V);
    mb_add_lanes(sz, sum_z + b * V);
}

static void mb_g2(const simd_mb *m, const simd_mb_weights *w, int64_t b, int64_t n, float *da,
                  const float *z2, float *g2, double *sum, double *sum_z) {
    if (m->act == LODE_ACT_HSWISH)
        mb_g2_run(LODE_ACT_HSWISH, MB_STREAM, m, w, b, n, da, z2, g2, sum, sum_z);
    else if (m->act == LODE_ACT_SWISH)
        mb_g2_run(LODE_ACT_SWISH, MB_STREAM, m, w, b, n, da, z2, g2, sum, sum_z);
    else if (g2 == NULL)
        mb_g2_run(-1, MB_DROP, m, w, b, n, da, z2, g2, sum, sum_z);
    else if (m->streams)
        mb_g2_run(-1, MB_STREAM, m, w, b, n, da, z2, g2, sum, sum_z);
    else
        mb_g2_run(-1, MB_STORE, m, w, b, n, da, z2, g2, sum, sum_z);
}

void simd_run_mb_project_backward(const simd_mb *m, const simd_mb_weights *w, const float *dz3,
                                  const float *z2, float *g2, float *dw, double *sum, double *sum_z,
                                  float *scratch) {
    const lode_v zero[2] = {lode_v_zero(), lode_v_zero()};
    const int64_t most = MB_BACKWARD_PIXELS, plane = most * V;
    int64_t pixels = m->dw.oh * m->dw.ow;
    for (int64_t i = 0; i < pixels; i += most) {
        int64_t n = dw_min(most, pixels - i);
        const float *dz = dz3 + i * m->out;
        for (int64_t b = 0; b < m->blocks; b += 2) {
            int64_t nb = mb_pair_blocks(m, b / 2);
            for (int64_t q = b; q < b + nb; q++) mb_prefetch(n * V, z2 + (q * pixels + i) * V);
            mb_point(nb, n, m->out, dz, m->out, w->project_t + b * m->out * V, zero, scratch,
                     plane);
            for (int64_t q = b; q < b + nb; q++) {
                int64_t at = (q * pixels + i) * V;
                mb_g2(m, w, q, n, scratch + (q - b) * plane, z2 + at, m->again ? NULL : g2 + at,
                      sum, sum_z);
            }
            if (dw != NULL)
                mb_outer(nb, m->out, n, dz, m->out, scratch, plane, dw + b * m->out * V);
        }
    }
    lode_v_stream_end();
}

/* ---- depthwise convolution and expansion ---- */

/* What one image and pair is worked on with. */
typedef struct mb_sweep {
    const simd_mb *m;
    const simd_mb_weights *w;
    const simd_mb_gate *gate; /* may be NULL */
    int64_t block, blocks;    /* the pair's */
    mb_rows a1;
    float *dz2[2], *g; /* rings of packed rows; g1 [2][rows * W][V] */
    const float *zero;
    int64_t g_done;
} mb_sweep;

/* n pixels of dz2 of block b to `row`. kind, a constant: da is g2, or the gradient of a2 (a clamp
   follows), or that of gate a2 (any activation). */
enum { MB_OF_G2, MB_OF_A2, MB_OF_GATED };
LODE_INLINE void mb_dz2_run(int kind, int act, const mb_sweep *s, int64_t b, int64_t n,
                            const float *da, const float *z2, float *row) {
    const simd_mb_weights *w = s->w;
    lode_v of_g = lode_v_load(w->of_g + b * V), of_z = lode_v_load(w->of_z + b * V);
    lode_v scale = lode_v_load(w->scale2 + b * V), shift = lode_v_load(w->shift2 + b * V);
    lode_v rest = lode_v_load(w->rest + b * V);
    lode_v low = lode_v_set(s->m->low), high = lode_v_set(s->m->high);
    lode_v gate = kind == MB_OF_GATED ? lode_v_load(s->gate->gate + b * V) : scale;
    lode_v spread = kind == MB_OF_GATED ? lode_v_load(s->gate->spread + b * V) : scale;
    for (int64_t i = 0; i < n; i++) {
        lode_v z = lode_v_load(z2 + i * V), g = lode_v_load(da + i * V), a;
        if (kind == MB_OF_GATED) g = g * gate + spread;
        if (kind != MB_OF_G2)
            g = act < 0 ? act_clamp_gradient(low, high, z * scale + shift, g)
                        : act_smooth_gradient(act, z * scale + shift, g, &a);
        lode_v_store(row + i * V, g * of_g + (z * of_z + rest));
    }
}

static void mb_dz2_row(const mb_sweep *s, int64_t b, int64_t n, const float *da, const float *z2,
                       float *row) {
    const simd_mb *m = s->m;
    if (s->gate == NULL && !m->again)
        mb_dz2_run(MB_OF_G2, -1, s, b, n, da, z2, row);
    else if (s->gate == NULL)
        mb_dz2_run(MB_OF_A2, -1, s, b, n, da, z2, row);
    else if (m->act == LODE_ACT_HSWISH)
        mb_dz2_run(MB_OF_GATED, LODE_ACT_HSWISH, s, b, n, da, z2, row);
    else if (m->act == LODE_ACT_SWISH)
        mb_dz2_run(MB_OF_GATED, LODE_ACT_SWISH, s, b, n, da, z2, row);
    else
        mb_dz2_run(MB_OF_GATED, -1, s, b, n, da, z2, row);
}

/* Rows first .. last of dz2 of the pair, packed. */
static void mb_dz2_rows(mb_sweep *s, int64_t first, int64_t last, const float *z2, const float *g2,
                        const float *dz3) {
    const lode_v zero[2] = {lode_v_zero(), lode_v_zero()};
    const simd_mb *m = s->m;
    const simd_dw *d = &m->dw;
    int64_t plane = m->rows * d->w * V, line = d->ow * V;
    float *da = s->a1.u; /* used up by now */
    if (m->again)
        mb_point(s->blocks, (last - first) * d->ow, m->out, dz3 + first * d->ow * m->out, m->out,
                 s->w->project_t + s->block * m->out * V, zero, da, plane);
    for (int q = 0; q < s->blocks; q++)
        for (int64_t i = first; i < last; i++) {
            float *row = s->dz2[q] + (i & (m->dy_ring - 1)) * d->dy_row + d->dy_left * V;
            int64_t at = (q * d->oh + i) * line;
            const float *from = m->again ? da + q * plane + (i - first) * line : g2 + at;
            mb_dz2_row(s, s->block + q, d->ow, from, z2 + at, row);
        }
}

/* Row h of the gradient of a1 of block q to out, pixels `pixel` floats apart. */
static void mb_gradient_row(const mb_sweep *s, int q, int64_t h, int64_t lanes, float *out,
                            int64_t pixel) {
    const simd_dw *d = &s->m->dw;
    int64_t stride = d->stride[1], base = (h + d->pad[0]) / d->stride[0];
    const simd_dw_meeting *meet = &d->meet[(h + d->pad[0]) % d->stride[0]];
    const float *taps = s->w->depthwise + (s->block + q) * d->kh * d->kw * V;
    dw_rows t = {.n = 0};
    for (int k = 0; k < meet->n; k++) {
        int64_t i = base + meet->shift[k];
        if (i < 0 || i >= d->oh) continue;
        t.row[t.n] = s->dz2[q] + (i & (s->m->dy_ring - 1)) * d->dy_row;
        t.wrow[t.n++] = taps + meet->u[k] * d->kw * V;
    }
    for (int64_t r = 0; r < stride && r < d->w; r++) {
        t.taps = &d->gradient[r];
        dw_row(&t, stride == 1 ? d->w : (d->w - r - 1) / stride + 1, lode_v_zero(), lanes,
               out + r * pixel, stride * pixel);
    }
}

/* n pixels of the gradient of a1, `step` vectors apart, to g1; returns sum + theirs. a, slope:
   packed as a1 is. */
static lode_v mb_g1_run(const simd_mb *m, int64_t n, const float *a, const float *slope, float *g,
                        int64_t step, lode_v sum) {
    lode_v low = lode_v_set(m->low), high = lode_v_set(m->high);
    bool smooth = mb_is_smooth(m);
    for (int64_t i = 0; i < n; i++, g += step * V) {
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

static lode_v mb_g1_row(const mb_sweep *s, int q, int64_t h, float *g, lode_v sum) {
    const simd_dw *d = &s->m->dw;
    int64_t stride = d->stride[1], p = d->pad[1], row = (h & (s->m->x_ring - 1)) * d->x_row;
    mb_gradient_row(s, q, h, V, g, V);
    for (int64_t j = 0; j < stride && j < d->w; j++) {
        int64_t at = row + ((j + p) % stride * d->run + (j + p) / stride) * V;
        sum = mb_g1_run(s->m, (d->w - j - 1) / stride + 1, s->a1.ring[q] + at, s->a1.slope[q] + at,
                        g + j * V, stride, sum);
    }
    return sum;
}

/* dx (+)= g expand_t: n pixels, nv vectors; constants. g: nb blocks, `plane` apart. */
LODE_INLINE void mb_dx_tile(int n, int nv, int64_t nb, int64_t ld_w, const float *g, int64_t plane,
                            const float *w, float *dx, int64_t c, int64_t width, bool add) {
    lode_v sum[MB_LONG][2];
    LODE_UNROLL for (int i = 0; i < n; i++) {
        LODE_UNROLL for (int v = 0; v < nv; v++) {
            const float *from = dx + i * c + v * V;
            int64_t left = width - v * V;
            sum[i][v] = !add        ? lode_v_zero()
                        : left >= V ? lode_v_load(from)
                                    : lode_v_load_first(from, left);
        }
    }
    for (int64_t b = 0; b < nb; b++, g += plane)
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

LODE_INLINE void mb_dx_columns(int nv, int64_t n, int64_t nb, int64_t ld_w, const float *g,
                               int64_t plane, const float *w, float *dx, int64_t c, int64_t width,
                               bool add) {
#define MB_TILE(size) mb_dx_tile(size, nv, nb, ld_w, g + i * V, plane, w, dx + i * c, c, width, add)
    MB_EACH_TILE(n, nv, MB_TILE)
#undef MB_TILE
}

static void mb_dx(const mb_sweep *s, int64_t n, float *dx, bool add) {
    int64_t j = 0, c = s->m->in, ld = s->m->in_wide, plane = s->m->rows * s->m->dw.w * V;
    const float *w = s->w->expand_t + s->block * V * ld;
    for (; j + V < c; j += 2 * V)
        mb_dx_columns(2, n, s->blocks, ld, s->g, plane, w + j, dx + j, c, c - j, add);
    if (j < c) mb_dx_columns(1, n, s->blocks, ld, s->g, plane, w + j, dx + j, c, c - j, add);
}

/* The rows of the gradient of a1 that are complete, up to `end`. */
static void mb_finish_rows(mb_sweep *s, int64_t end, const float *x, float *xg, double *sum,
                           float *dx, bool add) {
    const simd_mb *m = s->m;
    const simd_dw *d = &m->dw;
    int64_t first = s->g_done, n = (end - first) * d->w, plane = m->rows * d->w * V;
    s->g_done = end;
    for (int q = 0; q < s->blocks; q++) {
        lode_v total = lode_v_zero();
        int64_t channel = (s->block + q) * V;
        for (int64_t h = first; h < end; h++)
            if (m->expands)
                total = mb_g1_row(s, q, h, s->g + q * plane + (h - first) * d->w * V, total);
            else if (dx != NULL)
                mb_gradient_row(s, q, h, dw_min(V, d->c - channel), dx + h * d->w * d->c + channel,
                                d->c);
        if (m->expands) mb_add_lanes(total, sum + q * V);
    }
    if (!m->expands) return;
    mb_outer(s->blocks, m->in, n, x + first * d->w * m->in, m->in, s->g, plane, xg);
    if (dx != NULL) mb_dx(s, n, dx + first * d->w * m->in, add);
}

static void mb_sweep_carve(mb_sweep *s, float *scratch) {
    const simd_mb *m = s->m;
    const simd_dw *d = &m->dw;
    for (int q = 0; q < 2; q++) {
        s->a1.ring[q] = mb_carve(&scratch, m->x_ring * d->x_row);
        s->a1.slope[q] = mb_carve(&scratch, m->x_ring * d->x_row);
        s->dz2[q] = mb_carve(&scratch, m->dy_ring * d->dy_row);
    }
    s->zero = mb_carve(&scratch, d->x_row);
    s->a1.u = mb_carve(&scratch, 2 * m->rows * d->w * V);
    s->g = scratch;
}

void simd_run_mb_backward(const simd_mb *m, const simd_mb_weights *w, const simd_mb_gate *gate,
                          int64_t pair, const float *x, const float *z2, const float *g2,
                          const float *dz3, float *dw, float *xg, double *sum, float *dx, bool add,
                          float *scratch) {
    const simd_dw *d = &m->dw;
    int64_t stride = d->stride[0], p = d->pad[0], line = d->ow * V;
    mb_sweep s = {
        .m = m, .w = w, .gate = gate, .block = 2 * pair, .blocks = mb_pair_blocks(m, pair)};
    mb_sweep_carve(&s, scratch);
    for (int64_t first = 0; first < d->oh; first += m->band) {
        int64_t last = dw_min(d->oh, first + m->band);
        int64_t end = last == d->oh ? d->h : dw_min(d->h, last * stride - p);
        for (int q = 0; q < s.blocks; q++) {
            mb_prefetch((last - first) * line, z2 + (q * d->oh + first) * line);
            if (!m->again) mb_prefetch((last - first) * line, g2 + (q * d->oh + first) * line);
        }
        s.a1.done = dw_max(s.a1.done, first * stride - p);
        mb_x_rows(m, w, &s.a1, s.block, s.blocks, x, dw_min(d->h, (last - 1) * stride - p + d->kh));
        mb_dz2_rows(&s, first, last, z2, g2, dz3);
        for (int q = 0; q < s.blocks && dw != NULL; q++) {
            dw_weights b = {.d = d,
                            .x = s.a1.ring[q],
                            .dy = s.dz2[q] + d->dy_left * V,
                            .zero = s.zero,
                            .x_mask = m->x_ring - 1,
                            .y_mask = m->dy_ring - 1,
                            .partial = dw + q * d->kh * d->kw * V};
            dw_weight_band(&b, first, last);
        }
        if (end > s.g_done) mb_finish_rows(&s, end, x, xg, sum, dx, add);
    }
}

/* ---- partial sums ---- */

void simd_run_mb_sum_pieces(int64_t n, int64_t stride, int64_t count, const float *restrict from,
                            double *restrict out) {
    for (int64_t i = 0; i < count; i++) out[i] = (double)from[i];
    for (int64_t p = 1; p < n; p++) {
        const float *restrict piece = from + p * stride;
        for (int64_t i = 0; i < count; i++) out[i] += (double)piece[i];
    }
}

/* ---- what is left for dx when the sums of norm 1 are known ---- */

/* n rows, nv vectors; constants. */
LODE_INLINE void mb_affine_tile(int n, int nv, int64_t c, int64_t width, int64_t wide,
                                const float *x, const float *a, const float *b, const float *r,
                                float *y) {
    lode_v sum[MB_LONG][2];
    const float *row[(MB_LONG + 2) / 3];
    LODE_UNROLL for (int i = 0; i < (n + 2) / 3; i++) row[i] = x + 3 * i * c;
    LODE_UNROLL for (int i = 0; i < n; i++) {
        LODE_UNROLL for (int v = 0; v < nv; v++) sum[i][v] = lode_v_load(b + v * V);
    }
    for (int64_t k = 0; k < c; k++, a += wide) {
        lode_v av[2];
        LODE_UNROLL for (int v = 0; v < nv; v++) av[v] = lode_v_load(a + v * V);
        LODE_UNROLL for (int i = 0; i < n; i++) {
            lode_v s = lode_v_set(row[i / 3][(i % 3) * c]);
            LODE_UNROLL for (int v = 0; v < nv; v++) sum[i][v] += s * av[v];
        }
        LODE_UNROLL for (int i = 0; i < (n + 2) / 3; i++) row[i]++;
    }
    LODE_UNROLL for (int i = 0; i < n; i++, y += c) {
        LODE_UNROLL for (int v = 0; v < nv; v++) {
            int64_t left = dw_min(V, width - v * V);
            sum[i][v] += lode_v_load_first(y + v * V, left);
            if (r != NULL) sum[i][v] += lode_v_load_first(r + v * V, left);
            lode_v_store_first(y + v * V, sum[i][v], left);
        }
        if (r != NULL) r += c;
    }
}

LODE_INLINE void mb_affine_columns(int nv, int64_t rows, int64_t c, int64_t width, int64_t wide,
                                   const float *x, const float *a, const float *b, const float *r,
                                   float *y) {
#define MB_TILE(size)                                                                              \
    mb_affine_tile(size, nv, c, width, wide, x + i * c, a, b, r != NULL ? r + i * c : NULL,        \
                   y + i * c)
    MB_EACH_TILE(rows, nv, MB_TILE)
#undef MB_TILE
}

void simd_run_mb_affine(int64_t rows, int64_t c, const float *x, const float *a, const float *b,
                        const float *r, float *y) {
    int64_t wide = (c + V - 1) / V * V, j = 0;
    for (; j + V < c; j += 2 * V)
        mb_affine_columns(2, rows, c, c - j, wide, x, a + j, b + j, r != NULL ? r + j : NULL,
                          y + j);
    if (j < c)
        mb_affine_columns(1, rows, c, c - j, wide, x, a + j, b + j, r != NULL ? r + j : NULL,
                          y + j);
}
