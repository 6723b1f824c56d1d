/* work.c: classes and sizes of traced calls. */
#include "hwcost/work.h"

#include "ops/ops.h"

#include <string.h>

const char *lode_work_class_name(lode_work_class what) {
    static const char *const name[] = {"conv", "pointwise", "depthwise", "linear", "other"};
    return name[what];
}

static double work_elements(const lode_op_call *c, int i) {
    return i < c->n_x && c->x[i] ? (double)lode_tensor_count(c->x[i]) : 0;
}

/* conv2d(x, w, b) and conv_act(x, w, b, r). */
static void work_of_conv(const lode_op_call *c, lode_work *w) {
    const lode_conv2d_params *p = c->params; /* conv_act's begin with them */
    const int64_t *x = c->x[0]->shape.dim, *k = c->x[1]->shape.dim, *y = c->y->shape.dim;
    w->weights = work_elements(c, 1);
    w->biases = work_elements(c, 2);
    w->residual = work_elements(c, 3);
    w->images = x[0];
    w->in_c = x[1], w->in_h = x[2], w->in_w = x[3];
    w->out_c = y[1], w->out_h = y[2], w->out_w = y[3];
    w->k_h = k[2], w->k_w = k[3];
    w->stride = p->stride[0];
    w->groups = p->groups;
    if (w->groups > 1 && w->groups == w->in_c)
        w->what = LODE_WORK_DEPTHWISE;
    else
        w->what = w->k_h * w->k_w == 1 ? LODE_WORK_POINTWISE : LODE_WORK_CONV;
}

static void work_of_linear(const lode_op_call *c, lode_work *w) {
    const lode_shape *x = &c->x[0]->shape;
    w->what = LODE_WORK_LINEAR;
    w->weights = work_elements(c, 1);
    w->biases = work_elements(c, 2);
    w->in_c = x->dim[x->n_dims - 1];
    w->out_c = c->y->shape.dim[c->y->shape.n_dims - 1];
    w->images = w->in_c > 0 ? lode_tensor_count(c->x[0]) / w->in_c : 0;
    w->in_h = w->in_w = w->out_h = w->out_w = w->k_h = w->k_w = w->stride = w->groups = 1;
}

void lode_work_of(const lode_trace_call *call, lode_work *out) {
    const lode_op_call *c = &call->call;
    memset(out, 0, sizeof *out);
    out->what = LODE_WORK_OTHER;
    if (call->is_view) return;
    out->macs = call->count.macs;
    out->flops = call->count.flops;
    out->input = work_elements(c, 0);
    out->output = (double)lode_tensor_count(c->y);
    if (c->op == &lode_op_conv2d || c->op == &lode_op_conv_act) {
        work_of_conv(c, out);
    } else if (c->op == &lode_op_linear) {
        work_of_linear(c, out);
    } else if (c->op == &lode_op_batch_norm || c->op == &lode_op_layer_norm) {
        for (int i = 1; i < c->n_x; i++) out->biases += work_elements(c, i);
    } else {
        if (out->macs > 0) out->what = LODE_WORK_LINEAR; /* matrix products */
        for (int i = 1; i < c->n_x; i++) out->input += work_elements(c, i);
    }
}
