/* conv_shape.h: the numbers of a conv2d call, and where its workspace goes.

   Every provider's conv2d runs on the same dense memory: images NHWC, weights OIHW. What is not
   dense is copied through workspace (conv_operands). A 1x1 convolution with a stride reads every
   s-th pixel only, so it is a convolution without stride of a strided view of x: kernels never see
   the stride (and never meet oneDNN 2.6's JIT for it, which writes out of bounds). A workspace is
   planned by taking the same pieces in the same order from a NULL base. */
#ifndef LODE_OPS_NATIVE_CONV_SHAPE_H
#define LODE_OPS_NATIVE_CONV_SHAPE_H
#include "ops/backend.h"
#include "ops/ops.h"

#include <string.h>

typedef struct conv_shape {
    int64_t n, c, h, w;   /* x [N,C,H,W] */
    int64_t o, oh, ow;    /* y [N,O,OH,OW] */
    int64_t cg, og;       /* channels of a group, in and out */
    int64_t kh, kw, taps; /* kernel; taps = kh*kw */
    int64_t groups, stride[2], pad[2], dilation[2];
    bool bias;
    int64_t every[2]; /* x is every so many rows and columns of the call's x: 1x1 with stride */
} conv_shape;

static inline conv_shape conv_shape_of(const lode_op_call *c) {
    const lode_conv2d_params *p = c->params;
    const int64_t *x = c->x[0]->shape.dim, *w = c->x[1]->shape.dim;
    conv_shape s = {.n = x[0], .c = x[1], .h = x[2], .w = x[3], .o = w[0]};
    s.groups = p->groups;
    s.cg = w[1];
    s.og = s.groups > 0 ? s.o / s.groups : 0;
    s.kh = w[2];
    s.kw = w[3];
    s.taps = s.kh * s.kw;
    for (int i = 0; i < 2; i++) {
        s.stride[i] = p->stride[i];
        s.pad[i] = p->pad[i];
        s.dilation[i] = p->dilation[i];
    }
    s.oh = (s.h + 2 * s.pad[0] - s.dilation[0] * (s.kh - 1) - 1) / s.stride[0] + 1;
    s.ow = (s.w + 2 * s.pad[1] - s.dilation[1] * (s.kw - 1) - 1) / s.stride[1] + 1;
    s.bias = c->n_x > 2 && c->x[2];
    bool point = s.taps == 1 && s.pad[0] == 0 && s.pad[1] == 0;
    for (int i = 0; i < 2; i++) {
        s.every[i] = point ? s.stride[i] : 1;
        if (!point) continue;
        s.stride[i] = s.dilation[i] = 1;
        *(i == 0 ? &s.h : &s.w) = i == 0 ? s.oh : s.ow;
    }
    return s;
}

/* f32 on the host, nothing empty: what fast kernels ask before anything else. */
static inline bool call_is_f32(const lode_op_call *c) {
    for (int i = 0; i < c->n_x; i++) {
        const lode_tensor *x = c->x[i];
        if (x && (x->dtype != LODE_F32 || lode_shape_count(&x->shape) == 0)) return false;
    }
    return true;
}

/* Bump allocation from c->workspace; with base NULL it only counts. Pieces are 64-byte aligned. */
typedef struct workspace {
    char *base;
    size_t used;
} workspace;

static inline void *workspace_take(workspace *w, size_t bytes) {
    void *p = w->base ? w->base + w->used : NULL;
    w->used += (bytes + 63) / 64 * 64;
    return p;
}
static inline float *workspace_floats(workspace *w, size_t n) {
    return workspace_take(w, n * sizeof(float));
}

/* Dense memory of a call's tensors. Forward: x, w, y; backward: x, w, y = dy, dx, dw. */
typedef struct conv_operands {
    float *x, *w, *y, *dx, *dw, *bias, *dbias;     /* those not wanted are NULL */
    lode_tensor *unpack_y, *unpack_dx, *unpack_dw; /* where to put copies in the end, or NULL */
    conv_shape shape;
} conv_operands;

/* Bytes of copies that a forward or backward of c may need are taken from `ws`. */
void conv_operands_reserve(workspace *ws, const lode_op_call *c, bool backward);
/* Packs what has to be packed. */
conv_operands conv_operands_forward(workspace *ws, const lode_op_call *c);
/* False when ws (of `limit` bytes) is too small because dx lies otherwise than x: then nothing was
   done. w is packed only when dx is wanted, x only when dw is. */
bool conv_operands_backward(workspace *ws, size_t limit, const lode_op_call *c,
                            const lode_tensor *dy, lode_tensor *const *dx, conv_operands *out);
/* Copies results to where they belong. */
lode_status conv_operands_finish(const conv_operands *m);
#endif
