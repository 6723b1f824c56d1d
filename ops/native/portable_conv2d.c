/* conv2d of any kind on our own product kernel, for where no library is: not the fastest, never
   hopeless.

   A block of output pixels becomes a matrix [pixels, K], K = kh*kw*channels of a group (im2col: for
   1x1 it is x itself), times the weights [K, O]. The gradient of the data is the same with dy for x
   and the weights turned around; a tap that falls between the pixels of a strided dy is zero. The
   weight gradient multiplies the transposed block with dy, one partial sum per piece of pixels,
   added in order. Pieces do not depend on the number of threads. */
#include "core/parallel.h"
#include "ops/native/conv_shape.h"
#include "ops/native/native_internal.h"
#include "ops/native/portable_internal.h"
#include "ops/native/rows.h"
#include "ops/native/simd.h"

enum {
    PC_BLOCK_FLOATS = 1 << 15,  /* of a block of gathered pixels: 128 KiB */
    PC_WEIGHT_FLOATS = 1 << 13, /* the same for weight gradients: walked with a stride, from L1 */
    PC_ROWS = 48,               /* pixels in a block, at least */
    PC_PIECES = 16,             /* partial weight gradients, at most */
    PC_PARTIAL_FLOATS = 1 << 22 /* of all of them together */
};

/* One direction: gather from `from` [N, FH, FW, FC] at the pixels of `to` [N, TH, TW, TC]. */
typedef struct pc_side {
    int64_t h, w, c, cg; /* channels, and of a group */
} pc_side;

typedef struct pc_job {
    const lode_simd *simd;
    conv_shape s;
    bool forward; /* gather x at the pixels of y; else dy at the pixels of x */
    pc_side from, to;
    bool direct;       /* K = channels of a group and the pixels are the same: no gathering */
    int64_t k, padded; /* of a group: kh*kw*from.cg; to.cg in whole panels */
    int64_t block;     /* pixels */
    int64_t rows;      /* pixels of `to`, all images */
    int64_t piece;     /* pixels of a partial weight gradient */
    const float *x, *w, *bias;
    float *y;
    float *packed;  /* [groups, k, padded] */
    float *gather;  /* [threads, block, k] */
    float *dy_pack; /* [threads, block, padded], weight gradient */
    float *partial; /* [pieces, groups, k, to.cg] */
    float *dw;
} pc_job;

bool portable_conv2d_supports(const lode_op_call *c) {
    if (!call_is_f32(c) || c->x[0]->shape.n_dims != 4) return false;
    conv_shape s = conv_shape_of(c);
    return s.oh > 0 && s.ow > 0;
}

static int64_t pc_padded(const lode_simd *simd, int64_t n) {
    int64_t panel = simd->gemm_panel();
    return (n + panel - 1) / panel * panel;
}

static pc_job pc_job_of(const conv_shape *s, bool forward) {
    pc_job j = {.simd = lode_simd_get(), .s = *s, .forward = forward};
    pc_side x = {s->h, s->w, s->c, s->cg}, y = {s->oh, s->ow, s->o, s->og};
    j.from = forward ? x : y;
    j.to = forward ? y : x;
    j.k = s->taps * j.from.cg;
    j.padded = pc_padded(j.simd, j.to.cg);
    j.rows = s->n * j.to.h * j.to.w;
    j.direct =
        s->taps == 1 && s->stride[0] == 1 && s->stride[1] == 1 && s->pad[0] == 0 && s->pad[1] == 0;
    j.block = PC_BLOCK_FLOATS / j.k;
    if (j.block > 8 * PC_ROWS) j.block = 8 * PC_ROWS;
    j.block = j.block < PC_ROWS ? PC_ROWS : j.block / PC_ROWS * PC_ROWS;
    return j;
}

static void pc_take(pc_job *j, workspace *ws) {
    j->packed = workspace_floats(ws, (size_t)(j->s.groups * j->k * j->padded));
    if (!j->direct)
        j->gather = workspace_floats(ws, (size_t)(lode_get_threads() * j->block * j->k));
}

/* ---- gathering ---- */

/* Position in `from` that tap u of `to`'s position i meets along one side; -1: none. */
static int64_t pc_meet(const pc_job *j, int side, int64_t i, int64_t u) {
    const conv_shape *s = &j->s;
    int64_t n = side == 0 ? j->from.h : j->from.w, at;
    if (j->forward)
        at = i * s->stride[side] - s->pad[side] + u * s->dilation[side];
    else {
        at = i + s->pad[side] - u * s->dilation[side];
        if (at < 0) return -1;
        if (s->stride[side] != 1) {
            if (at % s->stride[side] != 0) return -1;
            at /= s->stride[side];
        }
    }
    return at >= 0 && at < n ? at : -1;
}

/* One row of taps of one pixel. `row` is the row of `from`, `left` the column that tap 0 meets. */
static void pc_gather_row(const pc_job *j, const float *row, int64_t q, float *out) {
    const pc_side *f = &j->from;
    const conv_shape *s = &j->s;
    int64_t left = q * s->stride[1] - s->pad[1];
    if (j->forward && s->dilation[1] == 1 && f->cg == f->c && left >= 0 && left + s->kw <= f->w) {
        memcpy(out, row + left * f->c, (size_t)(s->kw * f->c) * sizeof *out);
        return;
    }
    for (int64_t v = 0; v < s->kw; v++, out += f->cg) {
        int64_t column = pc_meet(j, 1, q, v);
        if (column < 0)
            memset(out, 0, (size_t)f->cg * sizeof *out);
        else
            memcpy(out, row + column * f->c, (size_t)f->cg * sizeof *out);
    }
}

/* Pixels begin..end of `to`, group g, as rows of k. */
static void pc_gather(const pc_job *j, int64_t g, int64_t begin, int64_t end, float *out) {
    const pc_side *f = &j->from;
    int64_t n = begin / (j->to.h * j->to.w), i = begin / j->to.w % j->to.h, q = begin % j->to.w;
    int64_t line = j->s.kw * f->cg;
    for (int64_t p = begin; p < end; p++) {
        const float *image = j->x + n * f->h * f->w * f->c + g * f->cg;
        for (int64_t u = 0; u < j->s.kh; u++, out += line) {
            int64_t row = pc_meet(j, 0, i, u);
            if (row < 0)
                memset(out, 0, (size_t)line * sizeof *out);
            else
                pc_gather_row(j, image + row * f->w * f->c, q, out);
        }
        if (++q == j->to.w) {
            q = 0;
            if (++i == j->to.h) {
                i = 0;
                n++;
            }
        }
    }
}

/* The block of pixels as a matrix; *stride between its rows. */
static const float *pc_block(const pc_job *j, int64_t g, int64_t begin, int64_t end,
                             int64_t *stride) {
    if (j->direct) {
        *stride = j->from.c;
        return j->x + begin * j->from.c + g * j->from.cg;
    }
    float *out = j->gather + lode_parallel_thread() * j->block * j->k;
    pc_gather(j, g, begin, end, out);
    *stride = j->k;
    return out;
}

/* ---- forward, backward data ---- */

/* Weights of group g in panels: forward [taps*cg, og], backward [taps*og, cg]. */
static void pc_pack_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const pc_job *j = ctx;
    const conv_shape *s = &j->s;
    int64_t from_c = s->taps, from_o = s->cg * s->taps; /* strides in w [O, cg, kh, kw] */
    (void)piece;
    for (int64_t g = begin; g < end; g++)
        for (int64_t t = 0; t < s->taps; t++)
            j->simd->gemm_pack(j->from.cg, j->to.cg, j->w + g * s->og * from_o + t,
                               j->forward ? from_c : from_o, j->forward ? from_o : from_c,
                               j->packed + g * j->k * j->padded, t * j->from.cg, j->k);
}

static void pc_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const pc_job *j = ctx;
    (void)piece;
    for (int64_t g = 0; g < j->s.groups; g++) {
        int64_t stride;
        const float *a = pc_block(j, g, begin, end, &stride);
        float *out = j->y + begin * j->to.c + g * j->to.cg;
        j->simd->gemm(end - begin, j->to.cg, j->k, a, stride, 1, j->packed + g * j->k * j->padded,
                      j->k, out, j->to.c, j->bias != NULL);
    }
}

static void pc_run(pc_job *j) {
    if (j->bias) lode_fill_rows(j->rows, j->to.c, j->bias, j->y);
    lode_parallel_for(j->s.groups, 1, pc_pack_piece, j);
    lode_parallel_for(j->rows, j->block, pc_piece, j);
}

/* ---- backward weights ---- */

static void pc_take_weights(pc_job *j, workspace *ws) {
    int64_t size = j->s.groups * j->k * j->to.cg, pieces = PC_PARTIAL_FLOATS / size;
    j->block = PC_WEIGHT_FLOATS / j->k / 16 * 16;
    if (j->block < 32) j->block = 32;
    if (j->block > 8 * PC_ROWS) j->block = 8 * PC_ROWS;
    if (pieces > PC_PIECES) pieces = PC_PIECES;
    if (pieces < 1) pieces = 1;
    j->piece = (j->rows + pieces - 1) / pieces;
    j->piece = (j->piece + j->block - 1) / j->block * j->block;
    pieces = lode_parallel_pieces(j->rows, j->piece);
    j->partial = workspace_floats(ws, (size_t)(pieces * size));
    j->dy_pack = workspace_floats(ws, (size_t)(lode_get_threads() * j->block * j->padded));
    if (!j->direct)
        j->gather = workspace_floats(ws, (size_t)(lode_get_threads() * j->block * j->k));
}

static void pc_weights_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const pc_job *j = ctx;
    float *dy_pack = j->dy_pack + lode_parallel_thread() * j->block * j->padded;
    for (int64_t p = begin; p < end; p += j->block) {
        int64_t n = end - p < j->block ? end - p : j->block;
        for (int64_t g = 0; g < j->s.groups; g++) {
            int64_t stride, size = j->k * j->to.cg;
            const float *a = pc_block(j, g, p, p + n, &stride);
            j->simd->gemm_pack(n, j->to.cg, j->y + p * j->to.c + g * j->to.cg, j->to.c, 1, dy_pack,
                               0, n);
            j->simd->gemm(j->k, j->to.cg, n, a, 1, stride, dy_pack, n,
                          j->partial + (piece * j->s.groups + g) * size, j->to.cg, p > begin);
        }
    }
}

/* Rows begin..end of the partials [pieces, groups, k, og], k = (tap, channel of the group), to dw
   [O, cg, taps]. */
static void pc_sum_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    enum { AT_ONCE = 64 };
    const pc_job *j = ctx;
    const conv_shape *s = &j->s;
    int64_t pieces = lode_parallel_pieces(j->rows, j->piece), size = s->groups * j->k * s->og;
    double sum[AT_ONCE];
    (void)piece;
    for (int64_t i = begin; i < end; i++) {
        int64_t g = i / j->k, t = i % j->k / s->cg, c = i % s->cg;
        for (int64_t o = 0; o < s->og; o += AT_ONCE) {
            int64_t n = s->og - o < AT_ONCE ? s->og - o : AT_ONCE;
            const float *p = j->partial + i * s->og + o;
            memset(sum, 0, sizeof sum);
            for (int64_t q = 0; q < pieces; q++, p += size)
                for (int64_t l = 0; l < n; l++) sum[l] += (double)p[l];
            float *dw = j->dw + ((g * s->og + o) * s->cg + c) * s->taps + t;
            for (int64_t l = 0; l < n; l++) dw[l * s->cg * s->taps] = (float)sum[l];
        }
    }
}

/* ---- the kernel ---- */

size_t portable_conv2d_workspace(const lode_op_call *c, bool backward) {
    if (native_depthwise_supports(c)) return native_depthwise_workspace(c, backward);
    conv_shape s = conv_shape_of(c);
    workspace ws = {NULL, 0};
    conv_operands_reserve(&ws, c, backward);
    workspace data = ws, weights = ws, sums = ws;
    pc_job j = pc_job_of(&s, !backward);
    pc_take(&j, &data);
    if (!backward) return data.used;
    j = pc_job_of(&s, true);
    pc_take_weights(&j, &weights);
    if (s.bias) workspace_take(&sums, lode_column_sums_scratch(s.n * s.oh * s.ow, s.o));
    size_t most = data.used > weights.used ? data.used : weights.used;
    return most > sums.used ? most : sums.used;
}

lode_status portable_conv2d_forward(const lode_op_call *c) {
    if (native_depthwise_supports(c)) return native_depthwise_forward(c);
    workspace ws = {c->workspace, 0};
    conv_operands m = conv_operands_forward(&ws, c);
    pc_job j = pc_job_of(&m.shape, true);
    pc_take(&j, &ws);
    j.x = m.x;
    j.w = m.w;
    j.bias = m.bias;
    j.y = m.y;
    pc_run(&j);
    return conv_operands_finish(&m);
}

lode_status portable_conv2d_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    if (native_depthwise_supports(c)) return native_depthwise_backward(c, dy, dx);
    workspace ws = {c->workspace, 0};
    conv_operands m;
    if (!conv_operands_backward(&ws, c->workspace_bytes, c, dy, dx, &m))
        return c->op->reference.backward(c, dy, dx);
    const conv_shape *s = &m.shape;
    if (m.dx) {
        workspace rest = ws;
        pc_job j = pc_job_of(s, false);
        pc_take(&j, &rest);
        j.x = m.y;
        j.w = m.w;
        j.y = m.dx;
        pc_run(&j);
    }
    if (m.dw) {
        workspace rest = ws;
        pc_job j = pc_job_of(s, true);
        pc_take_weights(&j, &rest);
        j.x = m.x;
        j.y = m.y;
        j.dw = m.dw;
        lode_parallel_for(j.rows, j.piece, pc_weights_piece, &j);
        lode_parallel_for(s->groups * j.k, 16, pc_sum_piece, &j);
    }
    if (m.dbias) lode_column_sums(s->n * s->oh * s->ow, s->o, m.y, m.dbias, ws.base + ws.used);
    return conv_operands_finish(&m);
}
