/* conv_act.c   y = act(conv2d(x, w) + b) + r: what is left of conv2d, batch_norm, activation and
   residual add in inference, once the norm is folded into w and b (supernet/fold.c).

   The convolution is conv2d's in every respect: parameters, shapes, counts and the reference are
   borrowed from there, and what follows is done on its result. Backward, which nobody needs in
   inference but which makes this an operator like any other, computes u = conv2d + b once more. */
#include "ops/example_internal.h"
#include "ops/op_util.h"

#include <stdio.h>
#include <string.h>

enum { CONV_ACT_R = 3 };

/* The same call without activation and r; its parameters are the first of ours. */
static lode_op_call conv_act_conv(const lode_op_call *c) {
    lode_op_call conv = *c;
    conv.op = &lode_op_conv2d;
    conv.n_x = c->n_x < 3 ? c->n_x : 3;
    return conv;
}

static lode_act conv_act_of(const lode_op_call *c) {
    return (lode_act)((const lode_conv_act_params *)c->params)->act;
}

static const lode_tensor *conv_act_r(const lode_op_call *c) {
    return c->n_x > CONV_ACT_R ? c->x[CONV_ACT_R] : NULL;
}

/* u, in doubles; the caller releases it. */
static lode_status conv_act_sum(const lode_op_call *c, lode_tensor **u) {
    lode_op_call conv = conv_act_conv(c);
    LODE_TRY(lode_tensor_create(NULL, LODE_F64, &c->y->shape, LODE_CONTIGUOUS, u));
    conv.y = *u;
    lode_status status = lode_op_conv2d.reference.forward(&conv);
    if (status == LODE_OK) return LODE_OK;
    lode_tensor_release(*u);
    *u = NULL;
    return status;
}

static lode_status conv_act_forward(const lode_op_call *c) {
    lode_tensor *sum = NULL;
    lode_ref ref = {0};
    LODE_TRY(conv_act_sum(c, &sum));
    const double *u = sum->data, *r = lode_ref_in(&ref, conv_act_r(c));
    double *y = lode_ref_out(&ref, c->y);
    for (int64_t i = 0; lode_ref_ok(&ref) && i < lode_tensor_count(c->y); i++)
        y[i] = lode_act_value(conv_act_of(c), u[i]) + (r != NULL ? r[i] : 0);
    lode_tensor_release(sum);
    return lode_ref_end(&ref);
}

static lode_status conv_act_backward(const lode_op_call *c, const lode_tensor *dy,
                                     lode_tensor *const *dx) {
    lode_op_call conv = conv_act_conv(c);
    lode_tensor *sum = NULL;
    lode_ref ref = {0};
    if (c->n_x > CONV_ACT_R && dx[CONV_ACT_R] != NULL)
        LODE_TRY(lode_tensor_copy(dx[CONV_ACT_R], dy));
    LODE_TRY(conv_act_sum(c, &sum));
    double *u = sum->data; /* becomes its own gradient */
    const double *g = lode_ref_in(&ref, dy);
    for (int64_t i = 0; lode_ref_ok(&ref) && i < lode_tensor_count(dy); i++)
        u[i] = g[i] * lode_act_slope(conv_act_of(c), u[i]);
    lode_status status = lode_ref_end(&ref);
    if (status == LODE_OK) status = lode_op_conv2d.reference.backward(&conv, sum, dx);
    lode_tensor_release(sum);
    return status;
}

/* ---- shapes and counts ---- */

static lode_status conv_act_infer(const lode_op_call *c, lode_inferred *out) {
    const lode_conv_act_params *p = c->params;
    lode_op_call conv = conv_act_conv(c);
    if (lode_op_conv2d.infer(&conv, out) != LODE_OK) return lode_error_context("conv_act");
    if (p->act < LODE_ACT_NONE || p->act > LODE_ACT_SWISH)
        return LODE_FAIL(LODE_ERR_INVALID, "conv_act: act %d is no lode_act", p->act);
    if (conv_act_r(c) == NULL) return LODE_OK;
    LODE_TRY(lode_check_float(c, CONV_ACT_R, "r"));
    return lode_check_shape(c, CONV_ACT_R, "r", &out->shape);
}

static void conv_act_count(const lode_op_call *c, lode_op_count *out) {
    double n = (double)lode_tensor_count(c->y);
    lode_op_call conv = conv_act_conv(c);
    lode_op_count bytes;
    lode_op_conv2d.count(&conv, out);
    lode_count_copy(c, &bytes);
    out->bytes_read = bytes.bytes_read;
    out->flops += (conv_act_of(c) != LODE_ACT_NONE ? n : 0) + (conv_act_r(c) != NULL ? n : 0);
}

static void conv_act_print(const void *params, char out[96]) {
    char conv[96];
    lode_op_conv2d.print_params(params, conv);
    snprintf(out, 96, "%.80s %s", conv, lode_act_name(((const lode_conv_act_params *)params)->act));
}

/* ---- examples: those of conv2d, with every activation, with and without r ---- */

/* The example as a call; y is for the caller to release. */
static lode_status conv_act_example_call(const lode_op_example *e, lode_tensor **x,
                                         lode_op_call *c) {
    lode_inferred in = {0};
    memcpy(x, e->x, sizeof e->x);
    *c = (lode_op_call){.op = &lode_op_conv_act, .params = e->params.bytes, .n_x = e->n_x, .x = x};
    LODE_TRY(conv_act_infer(c, &in));
    return lode_tensor_create(NULL, LODE_F64, &in.shape, LODE_CONTIGUOUS, &c->y);
}

/* How near the activation's arguments come to a place where its slope jumps. */
static lode_status conv_act_distance(const lode_op_call *c, double *out) {
    lode_tensor *sum = NULL;
    LODE_TRY(conv_act_sum(c, &sum));
    const double *u = sum->data;
    *out = 1;
    for (int64_t i = 0; i < lode_tensor_count(sum); i++) {
        double d = lode_act_kink_distance(conv_act_of(c), u[i]);
        if (d < *out) *out = d;
    }
    lode_tensor_release(sum);
    return LODE_OK;
}

static lode_status conv_act_example(lode_op_example *e, lode_rng *rng, int k) {
    lode_conv_act_params p = {.act = k % (LODE_ACT_SWISH + 1)};
    lode_tensor *x[LODE_EXAMPLE_MAX_INPUTS];
    lode_op_call c;
    double distance = 0;
    LODE_TRY(lode_op_conv2d.example(e, rng, k));
    memcpy(&p.conv, e->params.bytes, sizeof p.conv);
    lode_example_set_params(e, &p, sizeof p);
    LODE_TRY(conv_act_example_call(e, x, &c));
    lode_status status = LODE_OK;
    for (int tries = 0; tries < 100 && status == LODE_OK && distance < 5e-4; tries++) {
        if (tries > 0) lode_example_fill(e->x[0], rng, -2, 2);
        status = conv_act_distance(&c, &distance);
    }
    if (status == LODE_OK && k / (LODE_ACT_SWISH + 1) % 2 == 0)
        status = lode_example_any_layout(e, rng, c.y->shape, k / 2);
    else if (status == LODE_OK)
        status = lode_example_absent(e);
    lode_tensor_release(c.y);
    return status;
}

const lode_op lode_op_conv_act = {
    .name = "conv_act",
    .n_inputs = 4,
    .n_required = 2,
    .params_size = sizeof(lode_conv_act_params),
    .keeps = LODE_KEEP_X(0) | LODE_KEEP_X(1) | LODE_KEEP_X(2),
    .infer = conv_act_infer,
    .reference = {.forward = conv_act_forward, .backward = conv_act_backward},
    .count = conv_act_count,
    .example = conv_act_example,
    .print_params = conv_act_print,
};

lode_var *lode_conv_act(lode_tape *t, lode_var *x, lode_var *w, lode_var *b, lode_var *r,
                        lode_conv_act_params p) {
    return lode_apply(t, &lode_op_conv_act, (lode_var *[]){x, w, b, r}, 4, &p);
}
