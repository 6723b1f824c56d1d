/* Dense operands for conv2d: see conv_shape.h. Almost every call is dense already and costs nothing
   here; channel slices of elastic layers and gradients of views are copied. */
#include "ops/native/conv_shape.h"
#include "ops/native/pack.h"

/* t, or in *view the pixels of it that a 1x1 convolution with stride reads. */
static lode_tensor *operands_image(const conv_shape *s, lode_tensor *t, lode_tensor *view) {
    if (!t || (s->every[0] == 1 && s->every[1] == 1)) return t;
    *view = *t;
    view->shape.dim[2] = s->h;
    view->shape.dim[3] = s->w;
    view->stride[2] *= s->every[0];
    view->stride[3] *= s->every[1];
    return view;
}

static void operands_reserve_one(workspace *ws, const lode_tensor *t, lode_layout layout) {
    if (t && !lode_is_packed(t, layout)) workspace_floats(ws, lode_pack_count(t));
}

void conv_operands_reserve(workspace *ws, const lode_op_call *c, bool backward) {
    conv_shape s = conv_shape_of(c);
    lode_tensor view;
    const lode_tensor *x = operands_image(&s, c->x[0], &view);
    for (int i = 0; i < 1 + backward; i++) { /* dx and dw lie as x and w do */
        operands_reserve_one(ws, x, LODE_CHANNELS_LAST);
        operands_reserve_one(ws, c->x[1], LODE_CONTIGUOUS);
    }
    if (s.bias) operands_reserve_one(ws, c->x[2], LODE_CONTIGUOUS);
    if (backward)
        workspace_floats(ws, (size_t)(s.n * s.o * s.oh * s.ow)); /* dy: any strides */
    else
        operands_reserve_one(ws, c->y, LODE_CHANNELS_LAST);
}

/* An input: its own memory or a filled copy. */
static float *operands_in(workspace *ws, const lode_tensor *t, lode_layout layout) {
    if (lode_is_packed(t, layout)) return t->data;
    float *copy = workspace_floats(ws, lode_pack_count(t));
    lode_pack(t, layout, copy);
    return copy;
}

/* An output: its own memory, or a buffer to be unpacked into *unpack. */
static float *operands_out(workspace *ws, lode_tensor *t, const lode_tensor *seen,
                           lode_layout layout, lode_tensor **unpack) {
    if (lode_is_packed(seen, layout)) return t->data;
    *unpack = t;
    return workspace_floats(ws, lode_pack_count(seen));
}

conv_operands conv_operands_forward(workspace *ws, const lode_op_call *c) {
    conv_operands m = {.shape = conv_shape_of(c)};
    lode_tensor view;
    m.x = operands_in(ws, operands_image(&m.shape, c->x[0], &view), LODE_CHANNELS_LAST);
    m.w = operands_in(ws, c->x[1], LODE_CONTIGUOUS);
    if (m.shape.bias) m.bias = operands_in(ws, c->x[2], LODE_CONTIGUOUS);
    m.y = operands_out(ws, c->y, c->y, LODE_CHANNELS_LAST, &m.unpack_y);
    return m;
}

bool conv_operands_backward(workspace *ws, size_t limit, const lode_op_call *c,
                            const lode_tensor *dy, lode_tensor *const *dx, conv_operands *out) {
    conv_operands m = {.shape = conv_shape_of(c)};
    lode_tensor view;
    const lode_tensor *x = operands_image(&m.shape, c->x[0], &view);
    if (dx[0]) {
        lode_tensor dx_view;
        m.dx = operands_out(ws, dx[0], operands_image(&m.shape, dx[0], &dx_view),
                            LODE_CHANNELS_LAST, &m.unpack_dx);
    }
    if (dx[1]) m.dw = operands_out(ws, dx[1], dx[1], LODE_CONTIGUOUS, &m.unpack_dw);
    if (m.shape.bias && dx[2]) {
        if (!lode_is_packed(dx[2], LODE_CONTIGUOUS)) return false;
        m.dbias = dx[2]->data;
    }
    workspace rest = *ws;
    operands_reserve_one(&rest, dy, LODE_CHANNELS_LAST);
    if (dx[0]) operands_reserve_one(&rest, c->x[1], LODE_CONTIGUOUS);
    if (dx[1]) operands_reserve_one(&rest, x, LODE_CHANNELS_LAST);
    if (rest.used > limit) return false;
    m.y = operands_in(ws, dy, LODE_CHANNELS_LAST);
    if (dx[0]) m.w = operands_in(ws, c->x[1], LODE_CONTIGUOUS);
    if (dx[1]) m.x = operands_in(ws, x, LODE_CHANNELS_LAST);
    *out = m;
    return true;
}

lode_status conv_operands_finish(const conv_operands *m) {
    lode_tensor view;
    if (m->unpack_y) lode_unpack(m->y, LODE_CHANNELS_LAST, m->unpack_y);
    if (m->unpack_dx) {
        lode_tensor *dx = operands_image(&m->shape, m->unpack_dx, &view);
        if (dx == &view) LODE_TRY(lode_tensor_fill(m->unpack_dx, 0)); /* pixels nobody read */
        lode_unpack(m->dx, LODE_CHANNELS_LAST, dx);
    }
    if (m->unpack_dw) lode_unpack(m->dw, LODE_CONTIGUOUS, m->unpack_dw);
    return LODE_OK;
}
