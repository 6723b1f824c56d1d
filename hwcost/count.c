/* count.c: costs that follow from shapes alone: multiply-accumulates, trainable parameters, bytes
   of activations. They need no device and have gradients like any other cost. */
#include "hwcost/cost.h"

static const char *count_unit_macs(const void *self) {
    (void)self;
    return "MACs";
}

static const char *count_unit_params(const void *self) {
    (void)self;
    return "parameters";
}

static const char *count_unit_bytes(const void *self) {
    (void)self;
    return "bytes";
}

static lode_status count_macs(void *self, const lode_trace_call *call, double *out) {
    (void)self;
    *out = call->count.macs;
    return LODE_OK;
}

/* Operators hold their trained tensors in inputs 1 and 2 (weight and bias, gamma and beta). */
static lode_status count_params(void *self, const lode_trace_call *call, double *out) {
    static const lode_op *const with_weights[] = {&lode_op_conv2d, &lode_op_linear,
                                                  &lode_op_batch_norm, &lode_op_layer_norm};
    (void)self;
    *out = 0;
    for (size_t k = 0; k < sizeof with_weights / sizeof *with_weights; k++) {
        if (call->call.op != with_weights[k]) continue;
        for (int i = 1; i <= 2 && i < call->call.n_x; i++)
            if (call->call.x[i]) *out += (double)lode_tensor_count(call->call.x[i]);
    }
    return LODE_OK;
}

static lode_status count_activation_bytes(void *self, const lode_trace_call *call, double *out) {
    (void)self;
    *out = call->is_view ? 0 : (double)lode_tensor_bytes(call->call.y);
    return LODE_OK;
}

const lode_cost_model lode_cost_model_macs = {
    .name = "macs",
    .about = "multiply-accumulates of convolutions and linear layers (1 MAC = 2 FLOPs)",
    .unit = count_unit_macs,
    .op_cost = count_macs,
};

const lode_cost_model lode_cost_model_params = {
    .name = "params",
    .about = "trainable parameters",
    .unit = count_unit_params,
    .op_cost = count_params,
    .training = true, /* a parameter counts although inference might fold it away */
};

const lode_cost_model lode_cost_model_activation_bytes = {
    .name = "activation_bytes",
    .about = "bytes written by all operators of one forward pass",
    .unit = count_unit_bytes,
    .op_cost = count_activation_bytes,
};

/* ---- no sum ---- */

static lode_status count_peak_memory(void *self, const lode_tape *trace, double *out) {
    size_t bytes, live;
    (void)self;
    LODE_TRY(lode_frozen_plan_bytes(trace, &bytes, &live));
    *out = (double)bytes;
    return LODE_OK;
}

static lode_status count_peak_live(void *self, const lode_tape *trace, double *out) {
    size_t bytes, live;
    (void)self;
    LODE_TRY(lode_frozen_plan_bytes(trace, &bytes, &live));
    *out = (double)live;
    return LODE_OK;
}

static lode_form count_folded(const void *self) {
    (void)self;
    return LODE_FORM_FOLDED;
}

const lode_cost_model lode_cost_model_peak_memory_bytes = {
    .name = "peak_memory_bytes",
    .about = "most bytes of input and activations that Lode's own inference holds at a time",
    .unit = count_unit_bytes,
    .trace_cost = count_peak_memory,
    .form = count_folded,
};

const lode_cost_model lode_cost_model_peak_live_bytes = {
    .name = "peak_live_bytes",
    .about = "the same without the gaps between values: a lower bound of any plan of addresses",
    .unit = count_unit_bytes,
    .trace_cost = count_peak_live,
    .form = count_folded,
};
