/* fpga.c: FPGAs with one tiled engine as a kind of device file: latency_ms, dsp.

   Tm and Tn are the hardware. Tr and Tc are loops: a file may list several, and each layer takes
   the pair with the fewest cycles among those whose buffers fit. Depthwise convolutions use the
   diagonal only, Tn = 1. What has no weights streams through the ports. */
#include "hwcost/fpga.h"

#include "core/memory.h"
#include "hwcost/fpga_internal.h"
#include "hwcost/work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double fpga_ceil(int64_t a, int64_t b) { return (double)((a + b - 1) / b); }

void lode_fpga_times_of(const lode_fpga_layer *l, const lode_fpga_tile *t, const lode_fpga_ports *b,
                        lode_fpga_times *out) {
    double k2 = (double)(l->kernel * l->kernel);
    double rows = (double)((t->r - 1) * l->stride + l->kernel);
    double columns = (double)((t->c - 1) * l->stride + l->kernel);
    out->outputs = (double)(t->m * t->r * t->c) / b->output;
    out->compute = k2 * (double)(t->r * t->c);
    out->inputs = (double)t->n * rows * columns / b->input;
    out->weights = (double)(t->m * t->n) * k2 / b->weight;
    out->l1 = fmax(out->compute, fmax(out->inputs, out->weights));
    out->l2 = fmax(fpga_ceil(l->n, t->n) * out->l1, out->outputs);
}

double lode_fpga_cycles(const lode_fpga_layer *l, const lode_fpga_tile *t,
                        const lode_fpga_ports *b) {
    lode_fpga_times x;
    lode_fpga_times_of(l, t, b, &x);
    return fpga_ceil(l->r, t->r) * fpga_ceil(l->c, t->c) * fpga_ceil(l->m, t->m) * x.l2 +
           x.outputs + x.l1;
}

lode_fpga_bound lode_fpga_bound_of(const lode_fpga_layer *l, const lode_fpga_tile *t,
                                   const lode_fpga_ports *b) {
    lode_fpga_times x;
    lode_fpga_times_of(l, t, b, &x);
    if (x.outputs > fpga_ceil(l->n, t->n) * x.l1) return LODE_FPGA_OUTPUTS;
    if (x.compute >= x.inputs && x.compute >= x.weights) return LODE_FPGA_COMPUTE;
    return x.inputs >= x.weights ? LODE_FPGA_INPUTS : LODE_FPGA_WEIGHTS;
}

double lode_fpga_bram18k(const lode_fpga_layer *l, const lode_fpga_tile *t, double bits) {
    const double block = 18 * 1024;
    double rows = (double)((t->r - 1) * l->stride + l->kernel);
    double columns = (double)((t->c - 1) * l->stride + l->kernel);
    return 2 * (double)t->n * ceil(rows * columns * bits / block) +
           2 * (double)t->m * ceil((double)(t->r * t->c) * bits / block) +
           2 * (double)(t->m * t->n) * ceil((double)(l->kernel * l->kernel) * bits / block);
}

double fpga_dsp_per_unit(lode_hardware_dtype dtype) { return dtype == LODE_HARDWARE_F32 ? 5 : 1; }

static double fpga_dsp_of(const fpga *f) {
    return (double)(f->tm * f->tn) * fpga_dsp_per_unit(f->dtype);
}

/* ---- the file ---- */

static lode_status fpga_read_choice(lode_yaml *node, const lode_yaml *parent, const char *key,
                                    int64_t *out) {
    char *end = NULL;
    long long v = node->kind == LODE_YAML_SCALAR ? strtoll(node->scalar, &end, 10) : 0;
    if (node->kind != LODE_YAML_SCALAR || end == node->scalar || *end != '\0' || v < 1 || v > 65536)
        return lode_yaml_fail(parent, "key `%s` wants whole numbers from 1", key);
    *out = v;
    return LODE_OK;
}

/* A number or a list of them. */
static lode_status fpga_read_choices(lode_yaml *map, const char *key, int64_t *out, int *n) {
    lode_yaml *node = lode_yaml_get(map, key);
    if (!node) return lode_yaml_fail(map, "key `%s` is missing", key);
    lode_yaml_mark_used(node);
    *n = 1;
    if (node->kind != LODE_YAML_LIST) return fpga_read_choice(node, node, key, out);
    if (node->n < 1 || node->n > FPGA_MAX_CHOICES)
        return lode_yaml_fail(node, "want 1 to %d choices", FPGA_MAX_CHOICES);
    *n = node->n;
    for (int i = 0; i < node->n; i++) LODE_TRY(fpga_read_choice(node->item[i], node, key, &out[i]));
    return LODE_OK;
}

static lode_status fpga_read_tile(lode_yaml *root, fpga *f) {
    lode_yaml *map = lode_yaml_get(root, "tile");
    int64_t m[FPGA_MAX_CHOICES], n[FPGA_MAX_CHOICES];
    int n_m = 0, n_n = 0;
    if (!map || map->kind != LODE_YAML_MAP)
        return LODE_FAIL(LODE_ERR_CONFIG, "%s: key `tile` wants a map, {m: 16, n: 8, r: 14, c: 14}",
                         lode_yaml_name(root));
    LODE_TRY(fpga_read_choices(map, "m", m, &n_m));
    LODE_TRY(fpga_read_choices(map, "n", n, &n_n));
    LODE_TRY(fpga_read_choices(map, "r", f->tr, &f->n_tr));
    LODE_TRY(fpga_read_choices(map, "c", f->tc, &f->n_tc));
    if (n_m + n_n != 2) return lode_yaml_fail(map, "m and n are the hardware: one number each");
    f->tm = m[0];
    f->tn = n[0];
    if (fpga_dsp_of(f) > f->dsp)
        return lode_yaml_fail(map, "%g DSP are needed, the device has %g", fpga_dsp_of(f), f->dsp);
    return LODE_OK;
}

static lode_status fpga_read(lode_yaml *root, fpga *f) {
    LODE_TRY(lode_yaml_f64(root, "clock_mhz", 100, 1e-3, 1e5, &f->clock_mhz));
    LODE_TRY(lode_yaml_f64(root, "dsp", 1e9, 1, 1e9, &f->dsp));
    LODE_TRY(lode_yaml_f64(root, "bram18k", 1e9, 1, 1e9, &f->bram18k));
    LODE_TRY(lode_yaml_f64(root, "input_words", 4, 1e-3, 1e6, &f->ports.input));
    LODE_TRY(lode_yaml_f64(root, "weight_words", 4, 1e-3, 1e6, &f->ports.weight));
    LODE_TRY(lode_yaml_f64(root, "output_words", 4, 1e-3, 1e6, &f->ports.output));
    return fpga_read_tile(root, f);
}

lode_status fpga_load(lode_yaml *root, lode_hardware_dtype dtype, void **self) {
    fpga *f = LODE_NEW(fpga);
    if (!f) return LODE_ERR_NO_MEMORY;
    f->dtype = dtype;
    lode_status status = fpga_read(root, f);
    if (status == LODE_OK)
        *self = f;
    else
        lode_free(f);
    return status;
}

/* ---- cost models ---- */

/* The best of the listed loops; negative: none fits. */
static double fpga_best(const fpga *f, const lode_fpga_layer *l, int64_t tn) {
    double bits = 8 * lode_hardware_dtype_bytes(f->dtype), best = -1;
    for (int i = 0; i < f->n_tr; i++)
        for (int j = 0; j < f->n_tc; j++) {
            lode_fpga_tile t = {f->tm, tn, f->tr[i], f->tc[j]};
            if (lode_fpga_bram18k(l, &t, bits) > f->bram18k) continue;
            double cycles = lode_fpga_cycles(l, &t, &f->ports);
            if (best < 0 || cycles < best) best = cycles;
        }
    return best;
}

static lode_status fpga_latency(void *self, const lode_trace_call *call, double *out) {
    const fpga *f = self;
    lode_work w;
    lode_work_of(call, &w);
    double cycles = w.input / f->ports.input + w.output / f->ports.output;
    *out = 0;
    if (call->is_view) return LODE_OK;
    if (w.weights > 0) {
        bool deep = w.what == LODE_WORK_DEPTHWISE;
        lode_fpga_layer l = {w.out_c / (deep ? 1 : w.groups),
                             deep ? 1 : w.in_c / w.groups,
                             w.out_h,
                             w.out_w,
                             w.k_h,
                             w.stride};
        double one = fpga_best(f, &l, deep ? 1 : f->tn);
        if (one < 0)
            return LODE_FAIL(
                LODE_ERR_CONFIG,
                "fpga: no tile of the file fits %g BRAM for %s; smaller tile.r, tile.c", f->bram18k,
                call->label);
        cycles = one * (double)(w.images * (deep ? 1 : w.groups)) + w.residual / f->ports.input;
    }
    *out = cycles / (1e3 * f->clock_mhz);
    return LODE_OK;
}

const char *fpga_unit_ms(const void *self) {
    (void)self;
    return "ms";
}

const char *fpga_unit_dsp(const void *self) {
    (void)self;
    return "DSP";
}

lode_form fpga_form(const void *self) {
    (void)self;
    return LODE_FORM_FOLDED;
}

static lode_status fpga_no_dsp(void *self, const lode_trace_call *call, double *out) {
    (void)self;
    (void)call;
    *out = 0;
    return LODE_OK;
}

static double fpga_constant_dsp(const void *self) { return fpga_dsp_of(self); }

static const lode_cost_model fpga_latency_ms = {
    .name = "latency_ms",
    .about = "cycles of a tiled engine with double buffers",
    .unit = fpga_unit_ms,
    .op_cost = fpga_latency,
    .form = fpga_form,
};

static const lode_cost_model fpga_dsp = {
    .name = "dsp",
    .about = "multipliers the engine takes",
    .unit = fpga_unit_dsp,
    .op_cost = fpga_no_dsp,
    .constant = fpga_constant_dsp,
    .form = fpga_form,
};

static const lode_cost_model *const fpga_quantities[] = {&fpga_latency_ms, &fpga_dsp};

const lode_hardware_kind lode_hardware_fpga = {
    .name = "fpga",
    .about = "FPGAs: cycles of a tiled convolution engine, multipliers",
    .load = fpga_load,
    .close = lode_free,
    .quantity = fpga_quantities,
    .n_quantities = (int)(sizeof fpga_quantities / sizeof *fpga_quantities),
};
