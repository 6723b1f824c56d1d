/* mcu.c: microcontrollers as a kind of device file: peak_memory_bytes, flash_bytes, latency_ms.

   Memory. A network on a microcontroller runs one operator after another out of one arena, so what
   counts is the arena that all live tensors fit into at fixed addresses (order.h), in the deployed
   type. Depthwise
   convolutions can work in place: channel by channel into a scratch of one channel, which then
   overwrites the input's channel (Lin et al. 2020, MCUNet: TinyEngine). Element-wise operators can
   write over an operand nobody needs afterwards. Whether the sum with a residual is a step of its
   own is the runtime's choice (`fused_add`). A convolution may need a buffer of columns (im2col of
   CMSIS-NN: int16, `im2col_columns` of k k C_in / groups).

   Flash. Weights in the deployed type, and a bias and a scale per output channel, and code.

   Latency. Cycles per multiply-accumulate of each class of work, cycles per output element of the
   rest, cycles per call. No cache: that is how such chips are fast enough to predict.

   Patches. The first calls may run patch by patch (patch.h), which saves memory where maps are
   largest and costs cycles where patches overlap. */
#include "core/memory.h"
#include "hwcost/mcu_internal.h"

#include <math.h>

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
    LODE_TRY(mcu_patch_read(root, &m->patch));
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

double mcu_cycles(const mcu *m, const lode_trace_call *call, double of_output, double of_input,
                  double times) {
    lode_work w;
    if (call->is_view) return 0;
    lode_work_of(call, &w);
    double cycles = m->cycles_per_call * times;
    if (w.what == LODE_WORK_OTHER) /* pooling reads more than it writes */
        cycles += m->cycles_per_element * fmax(w.input * of_input, w.output * of_output);
    else
        cycles +=
            (m->cycles_per_mac[w.what] * w.macs + m->cycles_per_element * w.residual) * of_output;
    return cycles;
}

static lode_status mcu_latency(void *self, const lode_trace_call *call, double *out) {
    const mcu *m = self;
    *out = mcu_ms(m, mcu_cycles(m, call, 1, 1, 1));
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

/* ---- of the whole network ---- */

static lode_status mcu_plan_ms(void *self, const lode_tape *trace, double *out) {
    const mcu *m = self;
    mcu_plan p;
    lode_status status = mcu_choose(m, trace, &p);
    *out = mcu_ms(m, p.cycles + m->cycles_per_network);
    mcu_plan_deinit(&p);
    return status;
}

static lode_status mcu_plan_bytes(void *self, const lode_tape *trace, double *out) {
    const mcu *m = self;
    mcu_plan p;
    lode_status status = mcu_choose(m, trace, &p);
    *out = (double)p.arena.bytes + 1024 * m->runtime_kib;
    mcu_plan_deinit(&p);
    return status;
}

static lode_status mcu_plan_live(void *self, const lode_tape *trace, double *out) {
    const mcu *m = self;
    mcu_plan p;
    lode_status status = mcu_choose(m, trace, &p);
    *out = (double)p.arena.live + 1024 * m->runtime_kib;
    mcu_plan_deinit(&p);
    return status;
}

static lode_status mcu_plan_macs(void *self, const lode_tape *trace, double *out) {
    mcu_plan p;
    lode_status status = mcu_choose(self, trace, &p);
    *out = p.macs;
    mcu_plan_deinit(&p);
    return status;
}

static lode_status mcu_plan_layers(void *self, const lode_tape *trace, double *out) {
    mcu_plan p;
    lode_status status = mcu_choose(self, trace, &p);
    *out = p.n;
    mcu_plan_deinit(&p);
    return status;
}

static lode_status mcu_plan_grid(void *self, const lode_tape *trace, double *out) {
    mcu_plan p;
    lode_status status = mcu_choose(self, trace, &p);
    *out = p.grid;
    mcu_plan_deinit(&p);
    return status;
}

/* ---- cost models ---- */

static const char *mcu_unit_macs(const void *self) {
    (void)self;
    return "MACs";
}

static const char *mcu_unit_calls(const void *self) {
    (void)self;
    return "calls";
}

static const char *mcu_unit_patches(const void *self) {
    (void)self;
    return "patches a side";
}

static const lode_cost_model mcu_latency_ms = {
    .name = "latency_ms",
    .about = "cycles per multiply-accumulate of each class of work",
    .unit = mcu_unit_ms,
    .op_cost = mcu_latency,
    .constant = mcu_constant_ms,
    .form = mcu_form,
};

/* Patches are no property of a call: no sum, and no gradient. */
static const lode_cost_model mcu_latency_by_patches_ms = {
    .name = "latency_ms",
    .about = "cycles per multiply-accumulate of each class of work, overlapping patches included",
    .unit = mcu_unit_ms,
    .trace_cost = mcu_plan_ms,
    .form = mcu_form,
};

static const lode_cost_model mcu_peak_memory_bytes = {
    .name = "peak_memory_bytes",
    .about = "the arena that holds all activations at fixed addresses, in the best order of "
             "operators",
    .unit = mcu_unit_bytes,
    .trace_cost = mcu_plan_bytes,
    .form = mcu_form,
};

static const lode_cost_model mcu_peak_live_bytes = {
    .name = "peak_live_bytes",
    .about = "most bytes of activations that are needed at any time: no arena is smaller",
    .unit = mcu_unit_bytes,
    .trace_cost = mcu_plan_live,
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

static const lode_cost_model mcu_patch_macs = {
    .name = "patch_macs",
    .about = "multiply-accumulates, those of overlapping patches as often as they are done",
    .unit = mcu_unit_macs,
    .trace_cost = mcu_plan_macs,
    .form = mcu_form,
};

static const lode_cost_model mcu_patch_layers = {
    .name = "patch_layers",
    .about = "calls that run by patches",
    .unit = mcu_unit_calls,
    .trace_cost = mcu_plan_layers,
    .form = mcu_form,
};

static const lode_cost_model mcu_patch_grid = {
    .name = "patch_grid",
    .about = "rows, and columns, of patches",
    .unit = mcu_unit_patches,
    .trace_cost = mcu_plan_grid,
    .form = mcu_form,
};

static const lode_cost_model *const mcu_quantities[] = {
    &mcu_latency_ms, &mcu_peak_memory_bytes, &mcu_peak_live_bytes, &mcu_flash_bytes,
    &mcu_patch_macs, &mcu_patch_layers,      &mcu_patch_grid};

static const lode_cost_model *mcu_as_set(const void *self, const lode_cost_model *quantity) {
    const mcu *m = self;
    return m->patch.on && quantity == &mcu_latency_ms ? &mcu_latency_by_patches_ms : quantity;
}

const lode_hardware_kind lode_hardware_mcu = {
    .name = "mcu",
    .about = "microcontrollers: memory of a schedule, flash, cycles per class of work, patches",
    .load = mcu_load,
    .close = lode_free,
    .as_set = mcu_as_set,
    .quantity = mcu_quantities,
    .n_quantities = (int)(sizeof mcu_quantities / sizeof *mcu_quantities),
};
