/* conv_act on our own kernels: what inference spends its time in.

   Depthwise convolutions go the way native_depthwise.c has for them. Everything else is one product
   per pixel (simd/simd_conv.c) over an image with its zeros around it: 1x1 convolutions read x
   where it stands, also with a stride; others read a copy with a border, which costs one pass over
   x for k*k*O multiply-adds per value. Work is cut into blocks of pixels, and where there are few
   pixels (the last layers of a network, one image) into blocks of outputs as well. Every sum is
   taken in one order by one thread, so neither the cut nor the threads show in the bits.

   Packed weights and bias depend on the weights alone: where a call is repeated they are made once
   (lode_kernel.prepare), else in workspace at each call. */
#include "core/memory.h"
#include "core/parallel.h"
#include "ops/native/conv_shape.h"
#include "ops/native/native_internal.h"
#include "ops/native/pack.h"
#include "ops/native/simd.h"

#include <math.h>

enum {
    CA_PIXELS = 48, /* of a piece: a multiple of every tile */
    CA_PIECES = 8   /* at least so many, if there are panels to cut */
};

typedef struct ca_job {
    const lode_simd *simd;
    simd_conv k; /* of one group */
    int64_t n, c, h, w, o, oh, ow, cg, og, kh, kw, taps, groups;
    int64_t stride[2], pad[2], dilation[2];
    int64_t xh, xw;              /* sides of the image with its border */
    int64_t panels, padded;      /* of a group's outputs; in floats */
    int64_t pixels;              /* of all images of y */
    int64_t rows, columns, span; /* blocks of pixels; blocks of `span` panels */
    int64_t *at;
    const float *x, *r;
    float *border, *y;
    float *packed; /* [groups][padded / panel][runs * k][panel], then bias [groups][padded] */
} ca_job;

bool native_conv_act_supports(const lode_op_call *c) {
    if (!call_is_f32(c) || c->x[0]->shape.n_dims != 4) return false;
    conv_shape s = conv_shape_of(c);
    return s.oh > 0 && s.ow > 0;
}

static void ca_cut(ca_job *j) {
    j->pixels = j->n * j->oh * j->ow;
    j->rows = (j->pixels + CA_PIXELS - 1) / CA_PIXELS;
    j->columns = j->rows * j->groups < CA_PIECES ? CA_PIECES / (j->rows * j->groups) : 1;
    if (j->columns > j->panels) j->columns = j->panels;
    j->span = (j->panels + j->columns - 1) / j->columns;
    j->columns = (j->panels + j->span - 1) / j->span;
}

static ca_job ca_job_of(const lode_op_call *c) {
    const lode_conv_act_params *p = c->params;
    conv_shape s = conv_shape_of(c);
    ca_job j = {.simd = lode_simd_get(), .n = s.n, .c = s.c, .o = s.o, .oh = s.oh, .ow = s.ow};
    j.h = c->x[0]->shape.dim[2];
    j.w = c->x[0]->shape.dim[3];
    j.cg = s.cg;
    j.og = s.og;
    j.kh = s.kh;
    j.kw = s.kw;
    j.taps = s.taps;
    j.groups = s.groups;
    for (int i = 0; i < 2; i++) {
        j.stride[i] = p->conv.stride[i];
        j.pad[i] = p->conv.pad[i];
        j.dilation[i] = p->conv.dilation[i];
    }
    j.xh = j.h + 2 * j.pad[0];
    j.xw = j.w + 2 * j.pad[1];
    bool whole_rows = j.groups == 1 && j.dilation[1] == 1;
    int64_t panel = j.simd->gemm_panel();
    j.panels = (j.og + panel - 1) / panel;
    j.padded = j.panels * panel;
    j.k = (simd_conv){.n = j.og,
                      .runs = whole_rows ? j.kh : j.taps,
                      .k = whole_rows ? j.kw * j.cg : j.cg,
                      .step = j.o,
                      .act = p->act};
    j.k.low = p->act == LODE_ACT_RELU || p->act == LODE_ACT_RELU6 ? 0 : -HUGE_VALF;
    j.k.high = p->act == LODE_ACT_RELU6 ? 6 : HUGE_VALF;
    ca_cut(&j);
    return j;
}

/* ---- weights ---- */

static size_t ca_packed_floats(const ca_job *j) {
    return (size_t)(j->groups * j->padded * (j->taps * j->cg + 1));
}
static float *ca_bias(const ca_job *j) {
    return j->packed + j->groups * j->padded * j->taps * j->cg;
}

/* w dense OIHW; bias NULL: zeros. */
static void ca_pack(const ca_job *j, const float *w, const lode_tensor *bias) {
    const int64_t k = j->taps * j->cg;
    float *b = ca_bias(j);
    for (int64_t g = 0; g < j->groups; g++) {
        for (int64_t t = 0; t < j->taps; t++)
            j->simd->gemm_pack(j->cg, j->og, w + g * j->og * k + t, j->taps, k,
                               j->packed + g * k * j->padded, t * j->cg, k);
        for (int64_t i = 0; i < j->padded; i++, b++)
            *b = bias != NULL && i < j->og
                     ? ((const float *)bias->data)[(g * j->og + i) * bias->stride[0]]
                     : 0;
    }
}

/* ---- the image with its border ---- */

/* Rows begin..end of all images. */
static void ca_border_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const ca_job *j = ctx;
    const int64_t row = j->xw * j->c, side = j->pad[1] * j->c;
    (void)piece;
    for (int64_t i = begin; i < end; i++) {
        int64_t h = i % j->xh - j->pad[0];
        float *out = j->border + i * row;
        if (h < 0 || h >= j->h) {
            memset(out, 0, (size_t)row * sizeof *out);
            continue;
        }
        memset(out, 0, (size_t)side * sizeof *out);
        memcpy(out + side, j->x + (i / j->xh * j->h + h) * j->w * j->c,
               (size_t)(j->w * j->c) * sizeof *out);
        memset(out + row - side, 0, (size_t)side * sizeof *out);
    }
}

/* ---- the product ---- */

static void ca_piece(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const ca_job *j = ctx;
    const float *x[CA_PIXELS];
    const int64_t g = piece % j->groups, column = piece / j->groups % j->columns;
    const int64_t first = piece / j->groups / j->columns * CA_PIXELS;
    const int64_t m = j->pixels - first < CA_PIXELS ? j->pixels - first : CA_PIXELS;
    const int64_t last = (column + 1) * j->span < j->panels ? (column + 1) * j->span : j->panels;
    int64_t n = first / (j->oh * j->ow), i = first / j->ow % j->oh, q = first % j->ow;
    const int64_t right = j->stride[1] * j->c;
    simd_conv k = j->k;
    (void)begin, (void)end;
    const float *at = j->x + ((n * j->xh + i * j->stride[0]) * j->xw) * j->c + g * j->cg;
    for (int64_t p = 0; p < m; p++) {
        x[p] = at + q * right;
        if (++q < j->ow) continue;
        q = 0;
        if (++i == j->oh) i = 0, n++;
        at = j->x + ((n * j->xh + i * j->stride[0]) * j->xw) * j->c + g * j->cg;
    }
    k.packed = j->packed + g * j->taps * j->cg * j->padded;
    k.bias = ca_bias(j) + g * j->padded;
    const int64_t to = first * j->o + g * j->og;
    j->simd->conv(&k, m, x, column * j->span, last, j->r != NULL ? j->r + to : NULL, j->y + to);
}

static void ca_run(ca_job *j) {
    if (j->pad[0] > 0 || j->pad[1] > 0) {
        lode_parallel_for(j->n * j->xh, 1 + 4096 / (j->xw * j->c), ca_border_piece, j);
        j->x = j->border;
    }
    for (int64_t l = 0; l < j->k.runs; l++) {
        bool whole = j->k.runs == j->kh && j->k.k == j->kw * j->cg;
        int64_t u = whole ? l : l / j->kw, v = whole ? 0 : l % j->kw;
        j->at[l] = (u * j->dilation[0] * j->xw + v * j->dilation[1]) * j->c;
    }
    j->k.at = j->at;
    lode_parallel_for(j->rows * j->columns * j->groups, 1, ca_piece, j);
}

/* ---- the kernel ---- */

/* Memory of a call, and with a base its operands, in one order. */
typedef struct ca_operands {
    float *x, *w, *r; /* copies, NULL where the tensor is dense */
    float *y;
} ca_operands;

static const lode_tensor *ca_r(const lode_op_call *c) { return c->n_x > 3 ? c->x[3] : NULL; }

static float *ca_copy(workspace *ws, const lode_tensor *t, lode_layout layout) {
    return t == NULL || lode_is_packed(t, layout) ? NULL : workspace_floats(ws, lode_pack_count(t));
}

static ca_operands ca_take(ca_job *j, workspace *ws, const lode_op_call *c) {
    ca_operands m = {.x = ca_copy(ws, c->x[0], LODE_CHANNELS_LAST)};
    m.r = ca_copy(ws, ca_r(c), LODE_CHANNELS_LAST);
    m.y = ca_copy(ws, c->y, LODE_CHANNELS_LAST);
    if (j->pad[0] > 0 || j->pad[1] > 0)
        j->border = workspace_floats(ws, (size_t)(j->n * j->xh * j->xw * j->c));
    j->at = workspace_take(ws, (size_t)j->k.runs * sizeof *j->at);
    if (c->prepared == NULL) {
        m.w = ca_copy(ws, c->x[1], LODE_CONTIGUOUS);
        j->packed = workspace_floats(ws, ca_packed_floats(j));
    }
    return m;
}

size_t native_conv_act_workspace(const lode_op_call *c, bool backward) {
    if (backward) return 0; /* the reference's */
    if (native_depthwise_supports(c)) return native_depthwise_workspace(c, false);
    ca_job j = ca_job_of(c);
    workspace ws = {NULL, 0};
    ca_take(&j, &ws, c);
    return ws.used;
}

lode_status native_conv_act_prepare(const lode_op_call *c, uint64_t constant, void **out) {
    const bool depthwise = native_depthwise_supports(c);
    ca_job j = ca_job_of(c);
    size_t n = depthwise ? native_depthwise_packed_floats(c) : ca_packed_floats(&j);
    float *w = NULL;
    lode_status status = LODE_ERR_NO_MEMORY;
    *out = NULL;
    if ((constant & 6) != 6) return LODE_OK; /* w and b */
    float *packed = lode_alloc_aligned(n * sizeof *packed, 64);
    if (!lode_is_packed(c->x[1], LODE_CONTIGUOUS))
        w = lode_alloc(lode_pack_count(c->x[1]), sizeof *w);
    if (packed == NULL || (w == NULL && !lode_is_packed(c->x[1], LODE_CONTIGUOUS))) goto done;
    const float *dense = lode_packed(c->x[1], LODE_CONTIGUOUS, w);
    j.packed = packed;
    if (depthwise)
        native_depthwise_pack(c, dense, packed);
    else
        ca_pack(&j, dense, c->n_x > 2 ? c->x[2] : NULL);
    *out = packed;
    packed = NULL;
    status = LODE_OK;
done:
    lode_free(w);
    lode_free(packed);
    return status;
}

void native_conv_act_release(void *prepared) { lode_free(prepared); }

/* Depthwise convolutions have no r of their own: it is added where y is still in cache. */
static lode_status ca_depthwise(const lode_op_call *c) {
    const lode_tensor *r = ca_r(c);
    LODE_TRY(native_depthwise_forward(c));
    return r != NULL ? lode_tensor_add_into(c->y, r) : LODE_OK;
}

lode_status native_conv_act_forward(const lode_op_call *c) {
    if (native_depthwise_supports(c)) return ca_depthwise(c);
    ca_job j = ca_job_of(c);
    workspace ws = {c->workspace, 0};
    ca_operands m = ca_take(&j, &ws, c);
    j.x = lode_packed(c->x[0], LODE_CHANNELS_LAST, m.x);
    if (ca_r(c) != NULL) j.r = lode_packed(ca_r(c), LODE_CHANNELS_LAST, m.r);
    j.y = m.y != NULL ? m.y : c->y->data;
    if (c->prepared == NULL)
        ca_pack(&j, lode_packed(c->x[1], LODE_CONTIGUOUS, m.w), c->n_x > 2 ? c->x[2] : NULL);
    else
        memcpy(&j.packed, &c->prepared, sizeof j.packed); /* only read */
    ca_run(&j);
    if (m.y != NULL) lode_unpack(m.y, LODE_CHANNELS_LAST, c->y);
    return LODE_OK;
}
