/* asic.c: accelerators with a hierarchy of buffers as a kind of device file: energy_mj, latency_ms,
   area_mm2 (Chen, Emer & Sze 2016, Eyeriss; Yang et al. 2020, NASAIC; methods D4).

   Every value that a multiply-accumulate uses is fetched through four levels: DRAM, global buffer,
   array of processing elements, register file. Its total reuse is split over them as a b c d:
   fetched a times from DRAM, each of those b times from the buffer, each of those handed to c
   elements, used d times there. With energies per access of the levels

     input, weight:  a E_DRAM + a b E_GLB + a b c E_array + a b c d E_RF
     partial sum:    (2a-1) E_DRAM + 2a(b-1) E_GLB + a b (c-1) E_array + 2 a b c (d-1) E_RF

   per distinct value, and a layer costs the sum over its values and its multiply-accumulates. What
   the split is follows from the dataflow; here from reuse counted per layer, with H x W x N outputs
   per weight (uses_w), K K C_out / groups per input (uses_x) and K K C_in / groups per partial sum
   (uses_y):

     row_stationary     a row of the filter stays in the register file and slides over a row of
   inputs: d is K for inputs, the row of outputs for weights, K for sums; c is the filter's K rows
   across the array; b what is left weight_stationary  a weight stays where it is for all outputs: d
   is all of uses_w; inputs are handed to as many elements as there are output channels side by side
     output_stationary  a sum stays until it is done: d is all of uses_y

   Values larger than half the global buffer come from DRAM more than once: a is how often, as in
   the roofline's blocking: of weights and inputs the one that is cheaper to repeat.

   Latency is what the elements need at the share of them the dataflow can use, or what DRAM's and
   the buffer's bandwidth need if that is more. Area is that of elements (with their register
   files), buffer and the wires of the bandwidth; a template (NASAIC) is a file that changes
   dataflow, elements and bandwidth. */
#include "hwcost/asic.h"

#include "core/memory.h"
#include "hwcost/asic_internal.h"

#include <math.h>
#include <string.h>

static const char *const asic_dataflows[] = {"row_stationary", "weight_stationary",
                                             "output_stationary"};

/* ---- reuse ---- */

typedef struct asic_split {
    double values, a, b, c, d;
} asic_split;

typedef struct asic_layer {
    asic_split input, weight, sum;
    double used; /* elements at work, of rows x columns */
} asic_layer;

static double asic_at_least(double v) { return v < 1 ? 1 : v; }

/* What of `total` is left after a and d and at most c: c is cut to it, b takes the rest. */
static asic_split asic_split_of(double values, double total, double a, double c, double d) {
    asic_split s = {.values = values};
    total = asic_at_least(total);
    s.d = fmin(asic_at_least(d), total);
    s.c = fmin(asic_at_least(c), total / s.d);
    s.a = asic_at_least(fmin(a, total / (s.d * s.c)));
    s.b = total / (s.d * s.c * s.a);
    return s;
}

/* How often inputs and weights come from DRAM, with half of the buffer for what stays. */
static void asic_repeats(const asic *m, const lode_work *w, double *input, double *weight) {
    double half = 512 * m->buffer_kib, i = m->bytes * w->input, k = m->bytes * w->weights;
    double by_weights = ceil(k / half), by_inputs = ceil(i / half);
    *input = *weight = 1;
    if (i + k <= 2 * half || w->what == LODE_WORK_DEPTHWISE) return;
    if (i * by_weights + k <= k * by_inputs + i)
        *input = asic_at_least(by_weights);
    else
        *weight = asic_at_least(by_inputs);
}

static void asic_layer_of(const asic *m, const lode_work *w, asic_layer *l) {
    double taps = (double)(w->k_h * w->k_w), k = (double)w->k_h, g = (double)w->groups;
    double uses_w = (double)(w->images * w->out_h * w->out_w);
    double sums = taps * (double)w->in_c / g, outs = (double)w->out_c / g;
    double uses_x = w->macs / asic_at_least(w->input);
    double a_x = 1, a_w = 1;
    memset(l, 0, sizeof *l);
    asic_repeats(m, w, &a_x, &a_w);
    switch (m->dataflow) {
    case ASIC_ROW: /* filter rows down the array, rows of outputs across, channels fill the rest */
        l->input = asic_split_of(w->input, uses_x, a_x, fmin(k, m->rows), k);
        l->weight = asic_split_of(w->weights, uses_w, a_w, fmin((double)w->out_h, m->columns),
                                  (double)w->out_w);
        l->sum = asic_split_of(w->output, sums, 1, fmin(k, m->rows), k);
        l->used = fmin(k * floor(m->rows / fmin(k, m->rows)), m->rows) *
                  fmin((double)(w->out_h * w->out_c), m->columns);
        if (k > m->rows) l->used = m->rows * fmin((double)w->out_h, m->columns);
        break;
    case ASIC_WEIGHT: /* C_in K K down, C_out across */
        l->input = asic_split_of(w->input, uses_x, a_x, fmin(outs, m->columns), 1);
        l->weight = asic_split_of(w->weights, uses_w, a_w, 1, uses_w);
        l->sum = asic_split_of(w->output, sums, 1, fmin(sums, m->rows), 1);
        l->used = fmin(sums, m->rows) * fmin(outs, m->columns);
        break;
    default: /* outputs down and across */
        l->input = asic_split_of(w->input, uses_x, a_x, fmin(outs, m->columns), 1);
        l->weight = asic_split_of(w->weights, uses_w, a_w, fmin(uses_w, m->rows), 1);
        l->sum = asic_split_of(w->output, sums, 1, 1, sums);
        l->used = fmin(uses_w, m->rows) * fmin((double)w->out_c, m->columns);
        break;
    }
}

/* ---- energy and time ---- */

double lode_asic_fetch(const double e[4], double a, double b, double c, double d) {
    return a * e[0] + a * b * e[1] + a * b * c * e[2] + a * b * c * d * e[3];
}

double lode_asic_sum(const double e[4], double a, double b, double c, double d) {
    return (2 * a - 1) * e[0] + 2 * a * (b - 1) * e[1] + a * b * (c - 1) * e[2] +
           2 * a * b * c * (d - 1) * e[3];
}

/* What passes DRAM and buffer, in values; and the time of the layer. */
double asic_us(const asic *m, const lode_work *w) {
    double dram = w->input + w->output + w->residual, buffer = dram, us = 0;
    if (w->macs > 0 && w->weights > 0) {
        asic_layer l;
        asic_layer_of(m, w, &l);
        dram = l.input.a * w->input + l.weight.a * w->weights + (2 * l.sum.a - 1) * w->output +
               w->residual;
        buffer = l.input.a * l.input.b * w->input + l.weight.a * l.weight.b * w->weights +
                 2 * l.sum.a * (l.sum.b - 1) * w->output + w->output + w->residual;
        us = w->macs / (asic_at_least(floor(l.used)) * m->clock_mhz);
    }
    us = fmax(us, dram * m->bytes / (1e3 * m->dram_gbps));
    return fmax(us, buffer * m->bytes / (1e3 * m->buffer_gbps));
}

double asic_pj(const asic *m, const lode_work *w) {
    const double e[4] = {m->dram, m->buffer, m->array, m->rf};
    double moved = w->residual + w->biases, accesses = 0;
    if (w->macs > 0 && w->weights > 0) {
        asic_layer l;
        asic_layer_of(m, w, &l);
        accesses =
            w->macs +
            l.input.values * lode_asic_fetch(e, l.input.a, l.input.b, l.input.c, l.input.d) +
            l.weight.values * lode_asic_fetch(e, l.weight.a, l.weight.b, l.weight.c, l.weight.d) +
            l.sum.values * lode_asic_sum(e, l.sum.a, l.sum.b, l.sum.c, l.sum.d);
    } else {
        accesses = w->macs;
        moved += w->input + w->output;
    }
    accesses += moved * (m->dram + m->buffer);
    return m->mac_pj * accesses + 1e6 * m->static_w * asic_us(m, w);
}

double asic_area(const asic *m) {
    return m->fixed_mm2 + m->element_mm2 * m->rows * m->columns +
           m->buffer_mm2_per_kib * m->buffer_kib + m->wire_mm2_per_gbps * m->dram_gbps;
}

/* ---- the file ---- */

static lode_status asic_read_dataflow(lode_yaml *root, asic *m) {
    const char *text = NULL;
    LODE_TRY(lode_yaml_string(root, "dataflow", "row_stationary", &text));
    for (int i = 0; i < ASIC_N_DATAFLOWS; i++)
        if (strcmp(text, asic_dataflows[i]) == 0) {
            m->dataflow = (asic_dataflow)i;
            return LODE_OK;
        }
    return LODE_FAIL(LODE_ERR_CONFIG,
                     "%s: dataflow is `%s`, want row_stationary, weight_stationary or "
                     "output_stationary",
                     lode_yaml_name(root), text);
}

lode_status asic_need(lode_yaml *root, const char *key, double max, double *out) {
    LODE_TRY(lode_yaml_f64(root, key, 0, 0, max, out));
    if (*out > 0) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG, "%s: key `%s` is missing", lode_yaml_name(root), key);
}

static lode_status asic_read_energy(lode_yaml *root, asic *m) {
    lode_yaml *map = lode_yaml_get(root, "energy");
    if (!map || map->kind != LODE_YAML_MAP)
        return LODE_FAIL(LODE_ERR_CONFIG, "%s: key `energy` wants a map, {mac_pj: 1.6}",
                         lode_yaml_name(root));
    LODE_TRY(asic_need(map, "mac_pj", 1e6, &m->mac_pj));
    LODE_TRY(lode_yaml_f64(map, "register_file", 1, 0, 1e6, &m->rf));
    LODE_TRY(lode_yaml_f64(map, "array", 2, 0, 1e6, &m->array));
    LODE_TRY(lode_yaml_f64(map, "buffer", 6, 0, 1e6, &m->buffer));
    LODE_TRY(lode_yaml_f64(map, "dram", 200, 0, 1e6, &m->dram));
    return lode_yaml_f64(map, "static_w", 0, 0, 1e6, &m->static_w);
}

static lode_status asic_read_area(lode_yaml *root, asic *m) {
    lode_yaml *map = lode_yaml_get(root, "area");
    m->has_area = map != NULL;
    if (!map) return LODE_OK;
    LODE_TRY(lode_yaml_f64(map, "fixed_mm2", 0, 0, 1e6, &m->fixed_mm2));
    LODE_TRY(lode_yaml_f64(map, "element_mm2", 0, 0, 1e6, &m->element_mm2));
    LODE_TRY(lode_yaml_f64(map, "buffer_mm2_per_kib", 0, 0, 1e6, &m->buffer_mm2_per_kib));
    return lode_yaml_f64(map, "wire_mm2_per_gbps", 0, 0, 1e6, &m->wire_mm2_per_gbps);
}

lode_status asic_read_array(lode_yaml *map, asic *m) {
    LODE_TRY(asic_read_dataflow(map, m));
    LODE_TRY(asic_need(map, "rows", 65536, &m->rows));
    LODE_TRY(asic_need(map, "columns", 65536, &m->columns));
    LODE_TRY(asic_need(map, "buffer_kib", 1e9, &m->buffer_kib));
    LODE_TRY(asic_need(map, "dram_gbps", 1e9, &m->dram_gbps));
    return lode_yaml_f64(map, "buffer_gbps", 1e9, 1e-9, 1e9, &m->buffer_gbps);
}

lode_status asic_read_chip(lode_yaml *root, asic *m) {
    LODE_TRY(asic_need(root, "clock_mhz", 1e5, &m->clock_mhz));
    LODE_TRY(asic_read_energy(root, m));
    return asic_read_area(root, m);
}

static lode_status asic_load(lode_yaml *root, lode_hardware_dtype dtype, void **self) {
    asic *m = LODE_NEW(asic);
    if (!m) return LODE_ERR_NO_MEMORY;
    m->bytes = lode_hardware_dtype_bytes(dtype);
    lode_status status = asic_read_array(root, m);
    if (status == LODE_OK) status = asic_read_chip(root, m);
    if (status == LODE_OK)
        *self = m;
    else
        lode_free(m);
    return status;
}

/* ---- cost models ---- */

const char *asic_unit_ms(const void *self) {
    (void)self;
    return "ms";
}

const char *asic_unit_mj(const void *self) {
    (void)self;
    return "mJ";
}

const char *asic_unit_mm2(const void *self) {
    (void)self;
    return "mm2";
}

lode_form asic_form(const void *self) {
    (void)self;
    return LODE_FORM_FOLDED;
}

static lode_status asic_latency(void *self, const lode_trace_call *call, double *out) {
    lode_work w;
    lode_work_of(call, &w);
    *out = 1e-3 * asic_us(self, &w);
    return LODE_OK;
}

static lode_status asic_energy(void *self, const lode_trace_call *call, double *out) {
    lode_work w;
    lode_work_of(call, &w);
    *out = 1e-9 * asic_pj(self, &w);
    return LODE_OK;
}

/* The chip's, whatever runs on it: what a network costs is nothing more. */
static lode_status asic_no_more_area(void *self, const lode_trace_call *call, double *out) {
    const asic *m = self;
    (void)call;
    *out = 0;
    if (m->has_area) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG, "area_mm2: the device file gives no area; add `area: "
                                      "{element_mm2: .., fixed_mm2: ..}` to it");
}

static double asic_constant_area(const void *self) { return asic_area(self); }

static const lode_cost_model asic_latency_ms = {
    .name = "latency_ms",
    .about = "elements the dataflow can use, or bandwidth of DRAM and buffer",
    .unit = asic_unit_ms,
    .op_cost = asic_latency,
    .form = asic_form,
};

static const lode_cost_model asic_energy_mj = {
    .name = "energy_mj",
    .about = "accesses of DRAM, buffer, array and register file, and multiply-accumulates",
    .unit = asic_unit_mj,
    .op_cost = asic_energy,
    .form = asic_form,
};

static const lode_cost_model asic_area_mm2 = {
    .name = "area_mm2",
    .about = "of the chip",
    .unit = asic_unit_mm2,
    .op_cost = asic_no_more_area,
    .constant = asic_constant_area,
    .form = asic_form,
};

static const lode_cost_model *const asic_quantities[] = {&asic_latency_ms, &asic_energy_mj,
                                                         &asic_area_mm2};

const lode_hardware_kind lode_hardware_asic = {
    .name = "asic",
    .about = "accelerators: energy per level of memory and dataflow, latency, area",
    .load = asic_load,
    .close = lode_free,
    .quantity = asic_quantities,
    .n_quantities = (int)(sizeof asic_quantities / sizeof *asic_quantities),
};
