/* mcu_memory.c: the trace as a schedule, and addresses for all that it holds.

   With patches (plan->n > 0) the schedule is that of one patch, which repeats, and then the rest.
   Every tensor of the stage has the room of its largest part, so that one set of addresses serves
   all patches. Two things outlive a patch: the stage's result, which is there in full from the
   start and into which its last call writes, and the image, if it is held, which every patch reads.
 */
#include "core/memory.h"
#include "hwcost/mcu_internal.h"
#include "hwcost/order.h"
#include "ops/ops.h"

#include <string.h>

typedef struct mcu_graph {
    const mcu *m;
    const lode_tape *trace;
    lode_order *s;
    int *tensor; /* [n_values] of the schedule; -1: none yet. Views share their input's. */
    const mcu_plan *plan;
    int i;      /* the call */
    int image;  /* value */
    int result; /* value: of the stage; -1: no patches */
    int whole;  /* tensor: the stage's result in full; its last call's output is a token without
                   bytes, and who reads the result waits for it */
} mcu_graph;

static double mcu_bytes(const mcu_graph *g, int value, const lode_tensor *t) {
    const double bytes = lode_hardware_dtype_bytes(g->m->dtype);
    const lode_patch_region *r = g->plan->n > 0 ? &g->plan->region[value] : NULL;
    if (value == g->result) return 0;
    if (r == NULL || r->most[0] == 0 || (value == g->image && !g->m->patch.streamed))
        return bytes * (double)lode_tensor_count(t);
    return bytes * (double)(t->shape.dim[0] * t->shape.dim[1] * r->most[0] * r->most[1]);
}

/* Parameters stay in flash; only what the network is given and what calls make takes memory. */
static lode_status mcu_tensor_of(mcu_graph *g, int value, const lode_tensor *t, int *out) {
    if (g->tensor[value] < 0)
        LODE_TRY(lode_order_add_tensor(g->s, mcu_bytes(g, value, t), &g->tensor[value]));
    *out = g->tensor[value];
    return LODE_OK;
}

/* Does the operator make element i of its result from element i of its inputs? */
static bool mcu_is_elementwise(const lode_op *op) {
    static const lode_op *const list[] = {
        &lode_op_add,      &lode_op_sub,    &lode_op_mul,   &lode_op_relu,
        &lode_op_relu6,    &lode_op_hswish, &lode_op_swish, &lode_op_hsigmoid,
        &lode_op_sigmoid,  &lode_op_tanh,   &lode_op_gelu,  &lode_op_leaky_relu,
        &lode_op_identity, &lode_op_scale,  &lode_op_div,   &lode_op_batch_norm,
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (op == list[i]) return true;
    return false;
}

/* Adds a step of the schedule with what holds between patches. */
static lode_status mcu_add_step(mcu_graph *g, const lode_order_step *given) {
    int input[LODE_MAX_INPUTS + 2];
    lode_order_step step = *given;
    const int image = g->tensor[g->image], token = g->result >= 0 ? g->tensor[g->result] : -1;
    if (g->result < 0) return lode_order_add_node(g->s, &step);
    memcpy(input, given->input, (size_t)given->n_inputs * sizeof *input);
    step.input = input;
    for (int i = 0; i < given->n_inputs; i++) {
        if (given->input[i] == image && !g->m->patch.streamed) step.over &= ~(1ull << i);
        if (given->input[i] != token || g->i < g->plan->n) continue;
        input[i] = g->whole;
        input[step.n_inputs++] = token;
    }
    if (step.output == token && image >= 0 && !g->m->patch.streamed)
        input[step.n_inputs++] = image; /* the next patch reads it again */
    return lode_order_add_node(g->s, &step);
}

static lode_status mcu_list_inputs(mcu_graph *g, const lode_trace_call *call, int *input,
                                   uint64_t *same_size, int *n) {
    const lode_op_call *c = &call->call;
    *n = 0;
    *same_size = 0;
    for (int i = 0; i < c->n_x; i++) {
        if (!lode_patch_is_activation(c, i)) continue;
        LODE_TRY(mcu_tensor_of(g, call->x_id[i], c->x[i], &input[*n]));
        if (lode_tensor_count(c->x[i]) == lode_tensor_count(c->y)) *same_size |= 1ull << *n;
        (*n)++;
    }
    return LODE_OK;
}

/* conv_act with a residual where the sum is a step of its own: y' = act(conv(x)), y = y' + r. */
static lode_status mcu_add_in_two(mcu_graph *g, const lode_trace_call *call, lode_order_step *conv,
                                  int y) {
    int sum = 0, r = conv->input[1];
    LODE_TRY(lode_order_add_tensor(g->s, mcu_bytes(g, call->y_id, call->call.y), &sum));
    conv->n_inputs = 1;
    conv->output = sum;
    conv->over &= 1;
    LODE_TRY(mcu_add_step(g, conv));
    int both[2] = {sum, r};
    return mcu_add_step(g, &(lode_order_step){.input = both,
                                              .n_inputs = 2,
                                              .output = y,
                                              .over = g->m->in_place_elementwise ? 3u : 0u});
}

static lode_status mcu_add_call(mcu_graph *g, const lode_trace_call *call) {
    const lode_op_call *c = &call->call;
    int input[LODE_MAX_INPUTS], n = 0, y = 0;
    uint64_t same_size = 0;
    lode_work w;
    if (call->is_view) return mcu_tensor_of(g, call->x_id[0], c->x[0], &g->tensor[call->y_id]);
    LODE_TRY(mcu_list_inputs(g, call, input, &same_size, &n));
    LODE_TRY(mcu_tensor_of(g, call->y_id, c->y, &y));
    lode_work_of(call, &w);
    lode_order_step step = {.input = input, .n_inputs = n, .output = y};
    if (mcu_is_elementwise(c->op)) {
        step.over = g->m->in_place_elementwise ? same_size : 0;
    } else if (w.what == LODE_WORK_DEPTHWISE && w.out_c == w.in_c) {
        step.over = g->m->in_place_depthwise ? 1 : 0;
        step.over_scratch = mcu_bytes(g, call->y_id, c->y) / (double)w.out_c;
    } else if (w.what == LODE_WORK_CONV) {
        step.workspace = 2 * g->m->im2col_columns * (double)(w.k_h * w.k_w * w.in_c / w.groups);
    }
    if (c->op != &lode_op_conv_act || n < 2) return mcu_add_step(g, &step);
    if (!g->m->fused_add) return mcu_add_in_two(g, call, &step, y);
    if (g->m->in_place_elementwise) step.over |= same_size & 2; /* y over r, which it reads once */
    return mcu_add_step(g, &step);
}

/* The stage's result is there before its first patch. */
static lode_status mcu_begin_stage(mcu_graph *g) {
    const lode_trace_call *last = g->plan->n > 0 ? lode_trace_get(g->trace, g->plan->n - 1) : NULL;
    g->image = lode_trace_get(g->trace, 0)->x_id[0];
    g->result = last ? last->y_id : -1;
    g->whole = -1;
    return last ? lode_order_add_tensor(g->s,
                                        lode_hardware_dtype_bytes(g->m->dtype) *
                                            (double)lode_tensor_count(last->call.y),
                                        &g->whole)
                : LODE_OK;
}

static lode_status mcu_build(mcu_graph *g) {
    const int n = lode_trace_n(g->trace);
    if (n == 0) return LODE_OK;
    LODE_TRY(mcu_begin_stage(g));
    for (g->i = 0; g->i < n; g->i++) LODE_TRY(mcu_add_call(g, lode_trace_get(g->trace, g->i)));
    const int last = lode_trace_get(g->trace, n - 1)->y_id;
    lode_order_keep(g->s, last == g->result ? g->whole : g->tensor[last]);
    return LODE_OK;
}

/* Within the limit nearly all networks are exact; beyond it the order is a good one. Where the best
   order leaves gaps, the given one may have fewer. */
static lode_status mcu_place_best(const mcu *m, const lode_order *s, lode_arena *out) {
    int *order = m->reorder ? LODE_NEW_ARRAY(int, lode_order_n_nodes(s) + 1) : NULL;
    lode_arena given;
    double peak = 0;
    lode_status status = order || !m->reorder ? LODE_OK : LODE_ERR_NO_MEMORY;
    if (status == LODE_OK && order) status = lode_order_best(s, 20000, order, &peak, NULL);
    if (status == LODE_OK) status = lode_order_place(s, order, NULL, out);
    if (status == LODE_OK && order && out->bytes > out->live) {
        status = lode_order_place(s, NULL, NULL, &given);
        if (status == LODE_OK && given.bytes < out->bytes) out->bytes = given.bytes;
    }
    lode_free(order);
    return status;
}

lode_status mcu_place(const mcu *m, const lode_tape *trace, mcu_plan *plan) {
    mcu_graph g = {.m = m, .trace = trace, .plan = plan};
    const int n_values = lode_trace_n_values(trace);
    lode_status status = LODE_OK;
    g.tensor = LODE_NEW_ARRAY(int, n_values + 1);
    LODE_GOTO(g.tensor ? LODE_OK : LODE_ERR_NO_MEMORY);
    memset(g.tensor, 0xff, (size_t)n_values * sizeof *g.tensor);
    LODE_GOTO(lode_order_create(&g.s));
    LODE_GOTO(mcu_build(&g));
    LODE_GOTO(mcu_place_best(m, g.s, &plan->arena));
done:
    lode_order_destroy(g.s);
    lode_free(g.tensor);
    return status;
}
