/* conv2d through oneDNN, all groups, strides and dilations, in all three directions.

   Images go in as dense NHWC; the weights are reordered from OIHW to the primitive's own layout at
   each call (2 to 10 us; without it NHWC 1x1 convolutions fall to a reference kernel 100 times
   slower). Forward is always forward_inference: for convolution it computes the same. */
#include "core/parallel.h"
#include "ops/native/conv_shape.h"
#include "ops/native/rows.h"
#include "ops/onednn/onednn_internal.h"

#include <limits.h>

bool onednn_conv2d_supports(const lode_op_call *c) {
    if (!call_is_f32(c) || c->x[0]->shape.n_dims != 4) return false;
    conv_shape s = conv_shape_of(c);
    return s.oh > 0 && s.ow > 0 && s.c * s.h * s.w < INT_MAX && s.o * s.oh * s.ow < INT_MAX &&
           s.o * s.cg * s.taps < INT_MAX;
}

static onednn_conv_key conv2d_key(const conv_shape *s, onednn_direction direction, bool bias) {
    onednn_conv_key k;
    memset(&k, 0, sizeof k);
    k.n = s->n;
    k.c = s->c;
    k.h = s->h;
    k.w = s->w;
    k.o = s->o;
    k.oh = s->oh;
    k.ow = s->ow;
    k.kernel[0] = (int32_t)s->kh;
    k.kernel[1] = (int32_t)s->kw;
    for (int i = 0; i < 2; i++) {
        k.stride[i] = (int32_t)s->stride[i];
        k.pad[i] = (int32_t)s->pad[i];
        k.dilation[i] = (int32_t)s->dilation[i];
    }
    k.groups = (int32_t)s->groups;
    k.has_bias = bias;
    k.direction = (int32_t)direction;
    k.threads = lode_get_threads();
    return k;
}

static size_t conv2d_round(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Bytes of the plan's scratch; 0 when there is no such plan (running will say why). */
static size_t conv2d_scratch(const conv_shape *s, onednn_direction direction, bool bias) {
    onednn_conv_key key = conv2d_key(s, direction, bias);
    onednn_plan *plan = NULL;
    if (onednn_plan_acquire(&key, &plan) != LODE_OK) return 0;
    size_t bytes = conv2d_round(plan->scratch_bytes) + conv2d_round(plan->weights_bytes);
    onednn_plan_release(plan);
    return bytes;
}

size_t onednn_conv2d_workspace(const lode_op_call *c, bool backward) {
    conv_shape s = conv_shape_of(c);
    workspace ws = {NULL, 0};
    conv_operands_reserve(&ws, c, backward);
    if (!backward) return ws.used + conv2d_scratch(&s, ONEDNN_FORWARD, s.bias);
    size_t data = conv2d_scratch(&s, ONEDNN_BACKWARD_DATA, false);
    size_t weights = conv2d_scratch(&s, ONEDNN_BACKWARD_WEIGHTS, s.bias);
    size_t sums = s.bias ? lode_column_sums_scratch(s.n * s.oh * s.ow, s.o) : 0;
    size_t most = data > weights ? data : weights;
    return ws.used + (most > sums ? most : sums);
}

/* Runs one direction with what is left of the workspace as scratch. */
static lode_status conv2d_run(const lode_op_call *c, const workspace *ws,
                              onednn_direction direction, float *src, float *w, float *bias,
                              float *dst) {
    conv_shape s = conv_shape_of(c);
    onednn_conv_key key = conv2d_key(&s, direction, bias != NULL);
    onednn_plan *plan = NULL;
    lode_status status;
    LODE_TRY(onednn_plan_acquire(&key, &plan));
    size_t need = ws->used + conv2d_round(plan->scratch_bytes) + conv2d_round(plan->weights_bytes);
    if (need > c->workspace_bytes)
        status =
            LODE_FAIL(LODE_ERR_INTERNAL, "onednn: conv2d got %zu bytes of workspace, needs %zu",
                      c->workspace_bytes, need);
    else
        status = onednn_plan_run(plan, direction, src, w, bias, dst, ws->base + ws->used);
    onednn_plan_release(plan);
    return status;
}

lode_status onednn_conv2d_forward(const lode_op_call *c) {
    workspace ws = {c->workspace, 0};
    conv_operands m = conv_operands_forward(&ws, c);
    LODE_TRY(conv2d_run(c, &ws, ONEDNN_FORWARD, m.x, m.w, m.bias, m.y));
    return conv_operands_finish(&m);
}

lode_status onednn_conv2d_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx) {
    conv_shape s = conv_shape_of(c);
    workspace ws = {c->workspace, 0};
    conv_operands m;
    if (!conv_operands_backward(&ws, c->workspace_bytes, c, dy, dx, &m))
        return c->op->reference.backward(c, dy, dx);
    if (m.dx) LODE_TRY(conv2d_run(c, &ws, ONEDNN_BACKWARD_DATA, m.dx, m.w, NULL, m.y));
    if (m.dw)
        LODE_TRY(conv2d_run(c, &ws, ONEDNN_BACKWARD_WEIGHTS, m.x, m.dw, m.dbias, m.y));
    else if (m.dbias)
        lode_column_sums(s.n * s.oh * s.ow, s.o, m.y, m.dbias, ws.base + ws.used);
    return conv_operands_finish(&m);
}
