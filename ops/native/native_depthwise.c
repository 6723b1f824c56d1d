/* Depthwise conv2d on our own kernels (simd/simd_depthwise.c), over threads.

   A piece of work is one image (or a few small ones) with all its channels, so that a thread reads
   whole cache lines and pages of it; when the batch is small, images are cut by channels too. A
   weight gradient has one partial per piece, added in order of the pieces: same bits whatever the
   number of threads. */
#include "core/parallel.h"
#include "ops/native/conv_shape.h"
#include "ops/native/native_internal.h"
#include "ops/native/rows.h"
#include "ops/native/simd.h"

enum {
    DW_PIECES = 16,        /* at least so many, if there is so much to cut */
    DW_PIECE_PIXELS = 512, /* times blocks of channels: less is not worth a piece */
    DW_BANDS_FROM = 8      /* pieces: so few are cut by rows as well */
};

typedef struct dw_job {
    const lode_simd *simd;
    simd_dw d;
    int64_t n, blocks, images, span; /* a piece: `images` images, `span` blocks of channels */
    int64_t columns;                 /* pieces that share their images */
    int64_t bands, height;           /* forward: of rows of y, where channels are few */
    size_t scratch_floats;           /* of a thread */
    conv_operands m;
    float *packed;  /* [blocks, taps, lanes] */
    float *partial; /* [n/images, blocks, taps, lanes] */
    float *scratch; /* [threads, scratch_floats] */
    bool forward;
} dw_job;

bool native_depthwise_supports(const lode_op_call *c) {
    if (!call_is_f32(c) || c->x[0]->shape.n_dims != 4) return false;
    conv_shape s = conv_shape_of(c);
    bool fits = s.groups == s.c && s.c == s.o && s.cg == 1 && s.oh > 0 && s.ow > 0;
    for (int i = 0; i < 2; i++) {
        int64_t k = i == 0 ? s.kh : s.kw;
        fits = fits && k <= SIMD_DW_MAX_KERNEL && s.stride[i] <= SIMD_DW_MAX_STRIDE &&
               s.pad[i] <= s.dilation[i] * (k - 1);
    }
    return fits;
}

/* oneDNN's weight gradient is 5 to 9 times slower than ours from kernel 5 on and a tie at 3, where
   its other passes gain up to 1.4 times on small images and strides. Dilated ones with a
   stride, backward on oneDNN, were 9 % of a step in DARTS' space. */
bool native_depthwise_pays(const lode_op_call *c) {
    if (!native_depthwise_supports(c)) return false;
#ifdef LODE_HAVE_ONEDNN
    conv_shape s = conv_shape_of(c);
    bool dilated = s.dilation[0] > 1 || s.dilation[1] > 1;
    return s.taps > 9 || dilated || (s.stride[0] == 1 && s.stride[1] == 1 && s.h * s.w >= 256);
#else
    return true;
#endif
}

static int dw_act(const lode_op_call *c) {
    if (c->op != &lode_op_conv_act) return LODE_ACT_NONE;
    return ((const lode_conv_act_params *)c->params)->act;
}

static dw_job dw_job_of(const conv_shape *s, int act) {
    dw_job j = {.simd = lode_simd_get(), .n = s->n};
    j.d = (simd_dw){.c = s->c,
                    .h = s->h,
                    .w = s->w,
                    .oh = s->oh,
                    .ow = s->ow,
                    .kh = s->kh,
                    .kw = s->kw,
                    .act = act};
    for (int i = 0; i < 2; i++) {
        j.d.stride[i] = s->stride[i];
        j.d.pad[i] = s->pad[i];
        j.d.dilation[i] = s->dilation[i];
    }
    j.blocks = (s->c + j.simd->lanes - 1) / j.simd->lanes;
    j.images = (s->n + DW_PIECES - 1) / DW_PIECES;
    int64_t rows = (s->n + j.images - 1) / j.images;
    j.columns = rows < DW_PIECES ? (DW_PIECES + rows - 1) / rows : 1;
    if (j.columns > j.blocks) j.columns = j.blocks;
    j.span = (j.blocks + j.columns - 1) / j.columns;
    const int64_t line = 16 / j.simd->lanes; /* blocks that share a cache line: one thread's */
    j.span = line > 1 ? (j.span + line - 1) / line * line : j.span;
    j.columns = (j.blocks + j.span - 1) / j.span;
    j.height = s->oh;
    if (rows * j.columns < DW_BANDS_FROM && s->oh * s->ow * j.span > DW_PIECE_PIXELS) {
        int64_t bands = (DW_BANDS_FROM + rows * j.columns - 1) / (rows * j.columns);
        int64_t most = s->oh * s->ow * j.span / DW_PIECE_PIXELS;
        bands = bands < most ? bands : most;
        j.height = (s->oh + bands - 1) / bands;
    }
    j.bands = (s->oh + j.height - 1) / j.height;
    j.simd->dw_plan(&j.d);
    j.scratch_floats = ((size_t)j.d.scratch_floats + 15) / 16 * 16;
    return j;
}

static int64_t dw_rows(const dw_job *j) { return (j->n + j->images - 1) / j->images; }
static int64_t dw_taps(const dw_job *j) { return j->d.kh * j->d.kw; }
static int64_t dw_packed_floats(const dw_job *j) { return j->blocks * dw_taps(j) * j->simd->lanes; }

/* prepared: the packed weights, if there are any already; only read then. */
static void dw_take(dw_job *j, workspace *ws, bool forward, const void *prepared) {
    if (prepared != NULL)
        memcpy(&j->packed, &prepared, sizeof j->packed);
    else
        j->packed = workspace_floats(ws, (size_t)dw_packed_floats(j));
    if (!forward) j->partial = workspace_floats(ws, (size_t)(dw_rows(j) * dw_packed_floats(j)));
    j->scratch = workspace_floats(ws, (size_t)lode_get_threads() * j->scratch_floats);
}

size_t native_depthwise_workspace(const lode_op_call *c, bool backward) {
    conv_shape s = conv_shape_of(c);
    dw_job j = dw_job_of(&s, dw_act(c));
    workspace ws = {NULL, 0};
    conv_operands_reserve(&ws, c, backward);
    workspace before = ws;
    dw_take(&j, &ws, !backward, c->prepared);
    size_t sums = s.bias ? lode_column_sums_scratch(s.n * s.oh * s.ow, s.o) : 0;
    return before.used + (ws.used - before.used > sums ? ws.used - before.used : sums);
}

static void dw_pack_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const dw_job *j = ctx;
    (void)piece;
    for (int64_t b = begin; b < end; b++) j->simd->dw_pack(&j->d, b, j->m.w, j->packed);
}

static void dw_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const dw_job *j = ctx;
    const simd_dw *d = &j->d;
    int64_t band = j->forward ? piece % j->bands : 0, of = j->forward ? piece / j->bands : piece;
    int64_t row = of / j->columns, block = of % j->columns * j->span;
    int64_t top = band * j->height, bottom = top + j->height < d->oh ? top + j->height : d->oh;
    int64_t last_block = block + j->span < j->blocks ? block + j->span : j->blocks;
    int64_t last = (row + 1) * j->images < j->n ? (row + 1) * j->images : j->n;
    int64_t x_image = d->c * d->h * d->w, y_image = d->c * d->oh * d->ow;
    int64_t taps = dw_taps(j) * j->simd->lanes;
    float *scratch = j->scratch + (size_t)lode_parallel_thread() * j->scratch_floats;
    (void)begin, (void)end;
    j->simd->dw_begin(d, scratch);
    for (int64_t n = row * j->images; n < last; n++) {
        for (int64_t b = block; b < last_block; b++) {
            float *x = j->m.x ? j->m.x + n * x_image : NULL, *y = j->m.y + n * y_image;
            if (j->forward)
                j->simd->dw_forward(d, b, top, bottom, x, j->packed, j->m.bias, y, scratch);
            if (j->m.dx)
                j->simd->dw_backward_data(d, b, y, j->packed, j->m.dx + n * x_image, scratch);
            if (j->m.dw)
                j->simd->dw_backward_weights(d, b, x, y, j->partial + (row * j->blocks + b) * taps,
                                             scratch);
        }
    }
}

/* Partials of every row of pieces, added in order, to dw [C,1,kh,kw]. Blocks begin..end. */
static void dw_sum_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const dw_job *j = ctx;
    int64_t lanes = j->simd->lanes, taps = dw_taps(j);
    double sum[LODE_V_MAX];
    (void)piece;
    for (int64_t b = begin; b < end; b++) {
        int64_t n = j->d.c - b * lanes < lanes ? j->d.c - b * lanes : lanes;
        for (int64_t t = 0; t < taps; t++) {
            const float *p = j->partial + (b * taps + t) * lanes;
            for (int64_t l = 0; l < lanes; l++) sum[l] = 0;
            for (int64_t r = 0; r < dw_rows(j); r++, p += dw_packed_floats(j))
                for (int64_t l = 0; l < lanes; l++) sum[l] += (double)p[l];
            for (int64_t l = 0; l < n; l++) j->m.dw[(b * lanes + l) * taps + t] = (float)sum[l];
        }
    }
}

static void dw_run(dw_job *j, bool packed) {
    if (j->m.w && !packed) lode_parallel_for(j->blocks, 8, dw_pack_piece, j);
    if (j->m.dw)
        memset(j->partial, 0, (size_t)(dw_rows(j) * dw_packed_floats(j)) * sizeof *j->partial);
    if (j->forward || j->m.dx || j->m.dw)
        lode_parallel_for(dw_rows(j) * j->columns * (j->forward ? j->bands : 1), 1, dw_piece, j);
    if (j->m.dw) lode_parallel_for(j->blocks, 1, dw_sum_piece, j);
}

lode_status native_depthwise_forward(const lode_op_call *c) {
    conv_shape s = conv_shape_of(c);
    dw_job j = dw_job_of(&s, dw_act(c));
    workspace ws = {c->workspace, 0};
    j.forward = true;
    j.m = conv_operands_forward(&ws, c);
    dw_take(&j, &ws, true, c->prepared);
    dw_run(&j, c->prepared != NULL);
    return conv_operands_finish(&j.m);
}

size_t native_depthwise_packed_floats(const lode_op_call *c) {
    conv_shape s = conv_shape_of(c);
    dw_job j = dw_job_of(&s, dw_act(c));
    return (size_t)dw_packed_floats(&j);
}

void native_depthwise_pack(const lode_op_call *c, const float *w, float *packed) {
    conv_shape s = conv_shape_of(c);
    dw_job j = dw_job_of(&s, dw_act(c));
    for (int64_t b = 0; b < j.blocks; b++) j.simd->dw_pack(&j.d, b, w, packed);
}

lode_status native_depthwise_backward(const lode_op_call *c, const lode_tensor *dy,
                                      lode_tensor *const *dx) {
    conv_shape s = conv_shape_of(c);
    dw_job j = dw_job_of(&s, dw_act(c));
    workspace ws = {c->workspace, 0}, need = ws;
    if (!conv_operands_backward(&ws, c->workspace_bytes, c, dy, dx, &j.m))
        return c->op->reference.backward(c, dy, dx);
    need = ws;
    dw_take(&j, &need, false, NULL);
    dw_run(&j, false);
    if (j.m.dbias) lode_column_sums(s.n * s.oh * s.ow, s.o, j.m.y, j.m.dbias, ws.base + ws.used);
    return conv_operands_finish(&j.m);
}
