/* Dense operands for conv2d: see conv_shape.h. Almost every call is dense already and costs nothing
   here; channel slices of elastic layers and gradients of views are copied. */
#include "ops/native/conv_shape.h"
#include "ops/native/pack.h"

static void operands_reserve_one(workspace *ws, const lode_tensor *t, lode_layout layout) {
    if (t && !lode_is_packed(t, layout)) workspace_floats(ws, lode_pack_count(t));
}

void conv_operands_reserve(workspace *ws, const lode_op_call *c, bool backward) {
    conv_shape s = conv_shape_of(c);
    for (int i = 0; i < 1 + backward; i++) { /* dx and dw lie as x and w do */
        operands_reserve_one(ws, c->x[0], LODE_CHANNELS_LAST);
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
static float *operands_out(workspace *ws, lode_tensor *t, lode_layout layout,
                           lode_tensor **unpack) {
    if (lode_is_packed(t, layout)) return t->data;
    *unpack = t;
    return workspace_floats(ws, lode_pack_count(t));
}

conv_operands conv_operands_forward(workspace *ws, const lode_op_call *c) {
    conv_operands m = {.x = operands_in(ws, c->x[0], LODE_CHANNELS_LAST)};
    m.w = operands_in(ws, c->x[1], LODE_CONTIGUOUS);
    if (c->n_x > 2 && c->x[2]) m.bias = operands_in(ws, c->x[2], LODE_CONTIGUOUS);
    m.y = operands_out(ws, c->y, LODE_CHANNELS_LAST, &m.unpack_y);
    return m;
}

bool conv_operands_backward(workspace *ws, size_t limit, const lode_op_call *c,
                            const lode_tensor *dy, lode_tensor *const *dx, conv_operands *out) {
    conv_operands m = {.x = NULL};
    if (dx[0]) m.dx = operands_out(ws, dx[0], LODE_CHANNELS_LAST, &m.unpack_dx);
    if (dx[1]) m.dw = operands_out(ws, dx[1], LODE_CONTIGUOUS, &m.unpack_dw);
    if (c->n_x > 2 && dx[2]) {
        if (!lode_is_packed(dx[2], LODE_CONTIGUOUS)) return false;
        m.dbias = dx[2]->data;
    }
    workspace rest = *ws;
    operands_reserve_one(&rest, dy, LODE_CHANNELS_LAST);
    if (dx[0]) operands_reserve_one(&rest, c->x[1], LODE_CONTIGUOUS);
    if (dx[1]) operands_reserve_one(&rest, c->x[0], LODE_CHANNELS_LAST);
    if (rest.used > limit) return false;
    m.y = operands_in(ws, dy, LODE_CHANNELS_LAST);
    if (dx[0]) m.w = operands_in(ws, c->x[1], LODE_CONTIGUOUS);
    if (dx[1]) m.x = operands_in(ws, c->x[0], LODE_CHANNELS_LAST);
    *out = m;
    return true;
}

void conv_operands_finish(const conv_operands *m) {
    if (m->unpack_y) lode_unpack(m->y, LODE_CHANNELS_LAST, m->unpack_y);
    if (m->unpack_dx) lode_unpack(m->dx, LODE_CHANNELS_LAST, m->unpack_dx);
    if (m->unpack_dw) lode_unpack(m->dw, LODE_CONTIGUOUS, m->unpack_dw);
}
