/* systolic.c: weight-stationary systolic arrays as a kind of device file: latency_ms, energy_mj,
   area_mm2, memory_bytes (NASCaps, Marchisio et al. 2020; methods D4; formulas in systolic.h).

   Energy is power times time: that of all elements, and that of the accumulators the layer keeps.
   Memory is that of the weights. Layers run one after another.

   Lode has no capsules, so convolutions and linear layers are what is priced: a linear layer as
   their class layer (no map; one vector after another). Groups of a convolution are layers of their
   own, since a row's input goes to all columns: depthwise layers use one column. What has no
   weights passes the accumulators, a value a cycle and column, with the elements off; so does a
   residual, and a product of two activations takes a multiply-accumulate a cycle and element. */
#include "hwcost/systolic.h"

#include "core/memory.h"
#include "hwcost/asic_internal.h"

#include <math.h>

typedef struct systolic {
    lode_systolic_array array;
    double bytes, period_ns;
    double element_mw, accumulator_mw;
    double element_um2, accumulator_um2, fixed_mm2;
    bool has_power, has_area;
} systolic;

/* ---- formulas ---- */

static double systolic_sums(const lode_systolic_layer *l) {
    return (l->taps + 1) * l->in_c * l->in_capsules;
}

static double systolic_data(const lode_systolic_layer *l) {
    return l->pixels > 0 ? l->pixels * l->in_c * l->in_capsules : 1;
}

double lode_systolic_weights(const lode_systolic_layer *l) {
    return (l->in_c * l->taps + 1) * l->out_c * l->out_capsules * l->in_capsules;
}

double lode_systolic_cycles(const lode_systolic_array *a, const lode_systolic_layer *l) {
    double at_once = a->columns * fmin(a->rows * a->width, systolic_sums(l));
    return (a->rows + a->stages - 1) * ceil(lode_systolic_weights(l) / at_once) + systolic_data(l);
}

double lode_systolic_accumulators(const lode_systolic_array *a, const lode_systolic_layer *l) {
    if (systolic_data(l) == 1) return a->columns;
    return a->columns * fmax(systolic_sums(l) - a->rows * a->width + 1, 1);
}

/* ---- calls ---- */

typedef struct systolic_price {
    double cycles;
    double nj; /* mW x ns is pJ; 1e-3 of it */
} systolic_price;

static void systolic_add(const systolic *s, double cycles, double elements, double accumulators,
                         systolic_price *p) {
    double mw = elements * s->element_mw + accumulators * s->accumulator_mw;
    p->cycles += cycles;
    p->nj += 1e-3 * mw * cycles * s->period_ns;
}

static systolic_price systolic_price_of(const systolic *s, const lode_work *w) {
    systolic_price p = {0};
    double elements = s->array.rows * s->array.columns, columns = s->array.columns;
    if (w->weights > 0 && w->images > 0) {
        bool map = w->what != LODE_WORK_LINEAR;
        double groups = (double)w->groups, images = (double)w->images;
        lode_systolic_layer l = {.in_c = (double)w->in_c / groups,
                                 .out_c = (double)w->out_c / groups,
                                 .taps = (double)(w->k_h * w->k_w),
                                 .pixels = map ? images * (double)(w->out_h * w->out_w) : 0,
                                 .in_capsules = 1,
                                 .out_capsules = 1};
        /* data of further vectors of a linear layer: one cycle each */
        double cycles = groups * lode_systolic_cycles(&s->array, &l) + (map ? 0 : images - 1);
        systolic_add(s, cycles, elements, lode_systolic_accumulators(&s->array, &l), &p);
        systolic_add(s, w->residual / columns, 0, columns, &p);
    } else if (w->macs > 0) {
        systolic_add(s, w->macs / (elements * s->array.width), elements, columns, &p);
    } else {
        systolic_add(s, fmax(w->input, w->output) / columns, 0, columns, &p);
    }
    return p;
}

/* ---- the file ---- */

static lode_status systolic_read_pair(lode_yaml *root, const char *key, const char *element,
                                      const char *accumulator, double *e, double *a,
                                      lode_yaml **out) {
    *out = lode_yaml_get(root, key);
    if (!*out) return LODE_OK;
    if ((*out)->kind != LODE_YAML_MAP)
        return LODE_FAIL(LODE_ERR_CONFIG, "%s: key `%s` wants a map, {%s: .., %s: ..}",
                         lode_yaml_name(root), key, element, accumulator);
    LODE_TRY(asic_need(*out, element, 1e9, e));
    return asic_need(*out, accumulator, 1e9, a);
}

static lode_status systolic_read(lode_yaml *root, systolic *s) {
    lode_yaml *power = NULL, *area = NULL;
    LODE_TRY(asic_need(root, "rows", 65536, &s->array.rows));
    LODE_TRY(asic_need(root, "columns", 65536, &s->array.columns));
    LODE_TRY(asic_need(root, "period_ns", 1e6, &s->period_ns));
    LODE_TRY(lode_yaml_f64(root, "width", 1, 1, 65536, &s->array.width));
    LODE_TRY(lode_yaml_f64(root, "stages", 1, 1, 65536, &s->array.stages));
    LODE_TRY(systolic_read_pair(root, "power", "element_mw", "accumulator_mw", &s->element_mw,
                                &s->accumulator_mw, &power));
    LODE_TRY(systolic_read_pair(root, "area", "element_um2", "accumulator_um2", &s->element_um2,
                                &s->accumulator_um2, &area));
    s->has_power = power != NULL;
    s->has_area = area != NULL;
    return area ? lode_yaml_f64(area, "fixed_mm2", 0, 0, 1e6, &s->fixed_mm2) : LODE_OK;
}

static lode_status systolic_load(lode_yaml *root, lode_hardware_dtype dtype, void **self) {
    systolic *s = LODE_NEW(systolic);
    if (!s) return LODE_ERR_NO_MEMORY;
    s->bytes = lode_hardware_dtype_bytes(dtype);
    lode_status status = systolic_read(root, s);
    if (status == LODE_OK)
        *self = s;
    else
        lode_free(s);
    return status;
}

/* ---- cost models ---- */

static const char *systolic_unit_bytes(const void *self) {
    (void)self;
    return "bytes";
}

static lode_status systolic_latency(void *self, const lode_trace_call *call, double *out) {
    const systolic *s = self;
    lode_work w;
    lode_work_of(call, &w);
    *out = 1e-6 * systolic_price_of(s, &w).cycles * s->period_ns;
    return LODE_OK;
}

static lode_status systolic_energy(void *self, const lode_trace_call *call, double *out) {
    const systolic *s = self;
    lode_work w;
    lode_work_of(call, &w);
    *out = 1e-6 * systolic_price_of(s, &w).nj;
    if (s->has_power) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG, "energy_mj: the device file gives no power; add `power: "
                                      "{element_mw: .., accumulator_mw: ..}` to it");
}

static lode_status systolic_memory(void *self, const lode_trace_call *call, double *out) {
    const systolic *s = self;
    lode_work w;
    lode_work_of(call, &w);
    *out = s->bytes * (w.weights + w.biases);
    return LODE_OK;
}

static lode_status systolic_no_more_area(void *self, const lode_trace_call *call, double *out) {
    const systolic *s = self;
    (void)call;
    *out = 0;
    if (s->has_area) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG, "area_mm2: the device file gives no area; add `area: "
                                      "{element_um2: .., accumulator_um2: ..}` to it");
}

/* As NASCaps counts it: an accumulator for each element. */
static double systolic_area(const void *self) {
    const systolic *s = self;
    return s->fixed_mm2 +
           1e-6 * s->array.rows * s->array.columns * (s->element_um2 + s->accumulator_um2);
}

static const lode_cost_model systolic_latency_ms = {
    .name = "latency_ms",
    .about = "loads of weights and streamed data of a weight-stationary systolic array",
    .unit = asic_unit_ms,
    .op_cost = systolic_latency,
    .form = asic_form,
};

static const lode_cost_model systolic_energy_mj = {
    .name = "energy_mj",
    .about = "power of elements and accumulators over that time",
    .unit = asic_unit_mj,
    .op_cost = systolic_energy,
    .form = asic_form,
};

static const lode_cost_model systolic_area_mm2 = {
    .name = "area_mm2",
    .about = "of elements and accumulators",
    .unit = asic_unit_mm2,
    .op_cost = systolic_no_more_area,
    .constant = systolic_area,
    .form = asic_form,
};

static const lode_cost_model systolic_memory_bytes = {
    .name = "memory_bytes",
    .about = "weights and biases",
    .unit = systolic_unit_bytes,
    .op_cost = systolic_memory,
    .form = asic_form,
};

static const lode_cost_model *const systolic_quantities[] = {
    &systolic_latency_ms, &systolic_energy_mj, &systolic_area_mm2, &systolic_memory_bytes};

const lode_hardware_kind lode_hardware_systolic = {
    .name = "systolic",
    .about = "weight-stationary systolic arrays (NASCaps)",
    .load = systolic_load,
    .close = lode_free,
    .quantity = systolic_quantities,
    .n_quantities = (int)(sizeof systolic_quantities / sizeof *systolic_quantities),
};
