/* mcu.c: microcontrollers as a kind of device file: peak_memory_bytes, flash_bytes, latency_ms.

   Memory. A network on a microcontroller runs one operator after another out of one arena, so what
   counts is the peak of live tensors over the steps (order.h), in the deployed type. Depthwise
   convolutions can work in place: channel by channel into a scratch of one channel, which then
   overwrites the input's channel (Lin et al. 2020, MCUNet: TinyEngine). Element-wise operators can
   write over an operand nobody needs afterwards. Whether the sum with a residual is a step of its
   own is the runtime's choice (`fused_add`). A convolution may need a buffer of columns (im2col of
   CMSIS-NN: int16, `im2col_columns` of k k C_in / groups).

   Flash. Weights in the deployed type, and a bias and a scale per output channel, and code.

   Latency. Cycles per multiply-accumulate of each class of work, cycles per output element of the
   rest, cycles per call. No cache: that is how such chips are fast enough to predict. */
#include "core/memory.h"
#include "hwcost/hardware.h"
#include "hwcost/order.h"
#include "hwcost/work.h"
#include "ops/ops.h"

#include <string.h>

typedef struct mcu {
    lode_hardware_dtype dtype;
    double clock_mhz;
    double cycles_per_mac[LODE_N_WORK_CLASSES];
    double cycles_per_element, cycles_per_call, cycles_per_network;
    bool in_place_depthwise, in_place_elementwise, fused_add, reorder;
    double im2col_columns;
    double bias_bytes, scale_bytes, code_kib, runtime_kib;
} mcu;

/* ---- the file ---- */

static lode_status mcu_read_cycles(lode_yaml *root, mcu *m) {
    lode_yaml *map = lode_yaml_get(root, "cycles_per_mac");
    if (!map || map->kind != LODE_YAML_MAP)
        return LODE_FAIL(
            LODE_ERR_CONFIG,
            "%s: key `cycles_per_mac` wants a map of conv, pointwise, depthwise, linear",
            lode_yaml_name(root));
    for (int k = 0; k < LODE_WORK_OTHER; k++) {
        const char *name = lode_work_class_name((lode_work_class)k);
        if (!lode_yaml_get(map, name)) return lode_yaml_fail(map, "key `%s` is missing", name);
        LODE_TRY(lode_yaml_f64(map, name, 0, 1e-6, 1e6, &m->cycles_per_mac[k]));
    }
    return LODE_OK;
}

static lode_status mcu_read_memory(lode_yaml *root, mcu *m) {
    LODE_TRY(lode_yaml_bool(root, "in_place_depthwise", true, &m->in_place_depthwise));
    LODE_TRY(lode_yaml_bool(root, "in_place_elementwise", true, &m->in_place_elementwise));
    LODE_TRY(lode_yaml_bool(root, "fused_add", false, &m->fused_add));
    LODE_TRY(lode_yaml_bool(root, "reorder", true, &m->reorder));
    LODE_TRY(lode_yaml_f64(root, "im2col_columns", 0, 0, 1e6, &m->im2col_columns));
    return lode_yaml_f64(root, "runtime_kib", 0, 0, 1e6, &m->runtime_kib);
}

static lode_status mcu_read(lode_yaml *root, mcu *m) {
    LODE_TRY(lode_yaml_f64(root, "clock_mhz", 0, 0, 1e5, &m->clock_mhz));
    if (!(m->clock_mhz > 0))
        return LODE_FAIL(LODE_ERR_CONFIG, "%s: key `clock_mhz` is missing", lode_yaml_name(root));
    LODE_TRY(mcu_read_cycles(root, m));
    LODE_TRY(lode_yaml_f64(root, "cycles_per_element", 1, 0, 1e6, &m->cycles_per_element));
    LODE_TRY(lode_yaml_f64(root, "cycles_per_call", 0, 0, 1e12, &m->cycles_per_call));
    LODE_TRY(lode_yaml_f64(root, "cycles_per_network", 0, 0, 1e12, &m->cycles_per_network));
    LODE_TRY(lode_yaml_f64(root, "bias_bytes", 4, 0, 64, &m->bias_bytes));
    LODE_TRY(lode_yaml_f64(root, "scale_bytes", 4, 0, 64, &m->scale_bytes));
    LODE_TRY(lode_yaml_f64(root, "code_kib", 0, 0, 1e6, &m->code_kib));
    return mcu_read_memory(root, m);
}

static lode_status mcu_load(lode_yaml *root, lode_hardware_dtype dtype, void **self) {
    mcu *m = LODE_NEW(mcu);
    if (!m) return LODE_ERR_NO_MEMORY;
    m->dtype = dtype;
    lode_status status = mcu_read(root, m);
    if (status == LODE_OK)
        *self = m;
    else
        lode_free(m);
    return status;
}

/* ---- latency and flash: sums over calls ---- */

static const char *mcu_unit_ms(const void *self) {
    (void)self;
    return "ms";
}

static const char *mcu_unit_bytes(const void *self) {
    (void)self;
    return "bytes";
}

static lode_form mcu_form(const void *self) {
    (void)self;
    return LODE_FORM_FOLDED;
}

static double mcu_ms(const mcu *m, double cycles) { return cycles / (1e3 * m->clock_mhz); }

static double mcu_constant_ms(const void *self) {
    const mcu *m = self;
    return mcu_ms(m, m->cycles_per_network);
}

static lode_status mcu_latency(void *self, const lode_trace_call *call, double *out) {
    const mcu *m = self;
    lode_work w;
    *out = 0;
    if (call->is_view) return LODE_OK;
    lode_work_of(call, &w);
    double cycles = m->cycles_per_call;
    if (w.what == LODE_WORK_OTHER) /* pooling reads more than it writes */
        cycles += m->cycles_per_element * (w.input > w.output ? w.input : w.output);
    else
        cycles += m->cycles_per_mac[w.what] * w.macs + m->cycles_per_element * w.residual;
    *out = mcu_ms(m, cycles);
    return LODE_OK;
}

static double mcu_constant_flash(const void *self) { return 1024 * ((const mcu *)self)->code_kib; }

static lode_status mcu_flash(void *self, const lode_trace_call *call, double *out) {
    const mcu *m = self;
    lode_work w;
    lode_work_of(call, &w);
    *out = lode_hardware_dtype_bytes(m->dtype) * w.weights;
    if (w.weights > 0)
        *out += (m->bias_bytes + m->scale_bytes) * (double)w.out_c;
    else
        *out += m->bias_bytes * w.biases; /* norms that follow no convolution */
    return LODE_OK;
}

/* ---- memory: the trace as a schedule ---- */

typedef struct mcu_graph {
    const mcu *m;
    const lode_tape *trace;
    lode_order *s;
    int *tensor; /* [n_values] of the schedule; -1: none yet. Views share their input's. */
} mcu_graph;

static double mcu_bytes(const mcu *m, const lode_tensor *t) {
    return lode_hardware_dtype_bytes(m->dtype) * (double)lode_tensor_count(t);
}

/* Parameters stay in flash; only what the network is given and what calls make takes memory. */
static lode_status mcu_tensor_of(mcu_graph *g, int value, const lode_tensor *t, int *out) {
    if (g->tensor[value] < 0)
        LODE_TRY(lode_order_add_tensor(g->s, mcu_bytes(g->m, t), &g->tensor[value]));
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

/* Inputs that are activations: all but the parameters of convolutions, linear layers and norms. */
static bool mcu_is_activation(const lode_op_call *c, int i) {
    if (!c->x[i]) return false;
    if (c->op == &lode_op_conv2d || c->op == &lode_op_conv_act) return i == 0 || i == 3;
    if (c->op == &lode_op_linear || c->op == &lode_op_batch_norm || c->op == &lode_op_layer_norm)
        return i == 0;
    return true;
}

static lode_status mcu_list_inputs(mcu_graph *g, const lode_trace_call *call, int *input,
                                   uint64_t *same_size, int *n) {
    const lode_op_call *c = &call->call;
    *n = 0;
    *same_size = 0;
    for (int i = 0; i < c->n_x; i++) {
        if (!mcu_is_activation(c, i)) continue;
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
    LODE_TRY(lode_order_add_tensor(g->s, mcu_bytes(g->m, call->call.y), &sum));
    conv->n_inputs = 1;
    conv->output = sum;
    conv->over &= 1;
    LODE_TRY(lode_order_add_node(g->s, conv));
    int both[2] = {sum, r};
    return lode_order_add_node(g->s,
                               &(lode_order_step){.input = both,
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
        step.over_scratch =
            lode_hardware_dtype_bytes(g->m->dtype) * (double)(w.images * w.out_h * w.out_w);
    } else if (w.what == LODE_WORK_CONV) {
        step.workspace = 2 * g->m->im2col_columns * (double)(w.k_h * w.k_w * w.in_c / w.groups);
    }
    if (c->op != &lode_op_conv_act || n < 2) return lode_order_add_node(g->s, &step);
    if (!g->m->fused_add) return mcu_add_in_two(g, call, &step, y);
    if (g->m->in_place_elementwise) step.over |= same_size & 2; /* y over r, which it reads once */
    return lode_order_add_node(g->s, &step);
}

static lode_status mcu_memory(void *self, const lode_tape *trace, double *out) {
    const mcu *m = self;
    mcu_graph g = {.m = m, .trace = trace};
    lode_status status = LODE_OK;
    int n_values = lode_trace_n_values(trace), n = lode_trace_n(trace);
    bool exact = true;
    *out = 0;
    g.tensor = LODE_NEW_ARRAY(int, n_values + 1);
    LODE_GOTO(g.tensor ? LODE_OK : LODE_ERR_NO_MEMORY);
    memset(g.tensor, 0xff, (size_t)n_values * sizeof *g.tensor);
    LODE_GOTO(lode_order_create(&g.s));
    for (int i = 0; i < n; i++) LODE_GOTO(mcu_add_call(&g, lode_trace_get(trace, i)));
    if (n > 0) lode_order_keep(g.s, g.tensor[lode_trace_get(trace, n - 1)->y_id]);
    /* Within the limit nearly all networks are exact; beyond it the peak is that of a good order.
     */
    if (m->reorder)
        LODE_GOTO(lode_order_best(g.s, 20000, NULL, out, &exact));
    else
        LODE_GOTO(lode_order_peak(g.s, NULL, out));
    *out += 1024 * m->runtime_kib;
done:
    lode_order_destroy(g.s);
    lode_free(g.tensor);
    return status;
}

/* ---- cost models ---- */

static const lode_cost_model mcu_latency_ms = {
    .name = "latency_ms",
    .about = "cycles per multiply-accumulate of each class of work",
    .unit = mcu_unit_ms,
    .op_cost = mcu_latency,
    .constant = mcu_constant_ms,
    .form = mcu_form,
};

static const lode_cost_model mcu_peak_memory_bytes = {
    .name = "peak_memory_bytes",
    .about = "most bytes of activations at any time, in the best order of operators",
    .unit = mcu_unit_bytes,
    .trace_cost = mcu_memory,
    .form = mcu_form,
};

static const lode_cost_model mcu_flash_bytes = {
    .name = "flash_bytes",
    .about = "weights, biases, scales and code",
    .unit = mcu_unit_bytes,
    .op_cost = mcu_flash,
    .constant = mcu_constant_flash,
    .form = mcu_form,
};

static const lode_cost_model *const mcu_quantities[] = {&mcu_latency_ms, &mcu_peak_memory_bytes,
                                                        &mcu_flash_bytes};

const lode_hardware_kind lode_hardware_mcu = {
    .name = "mcu",
    .about = "microcontrollers: peak memory of a schedule, flash, cycles per class of work",
    .load = mcu_load,
    .close = lode_free,
    .quantity = mcu_quantities,
    .n_quantities = (int)(sizeof mcu_quantities / sizeof *mcu_quantities),
};
