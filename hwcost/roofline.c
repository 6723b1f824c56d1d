/* roofline.c: the roofline as a kind of device file: latency_ms, and energy_mj where the file gives
   energies. */
#include "hwcost/roofline.h"

#include "core/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the model ---- */

/* The better of two blockings with half of the inner memory, of `half` bytes, for what stays. */
static double roofline_blocked(double i, double w, double o, double half) {
    double weights_stay = i * ceil(w / half) + w, input_stays = w * ceil(i / half) + i;
    return o + fmin(weights_stay, input_stays);
}

void lode_roofline_bytes(const lode_roofline *r, const lode_work *w, double *bytes) {
    double b = lode_hardware_dtype_bytes(r->dtype);
    double i = b * w->input, k = b * w->weights;
    double o = b * (w->output + w->residual + w->biases), all = i + k + o;
    bool stream = w->what == LODE_WORK_DEPTHWISE || k == 0;
    for (int l = 0; l < r->n_levels; l++) {
        double inner = l > 0 ? 1024 * r->level[l - 1].kib : 0;
        if (l > 0 && all <= inner)
            bytes[l] = 0;
        else
            bytes[l] = l == 0 || stream ? all : roofline_blocked(i, k, o, inner / 2);
    }
}

static double roofline_lanes(const lode_roofline *r, const lode_work *w) {
    if (r->vector <= 1 || w->out_c <= 0) return 1;
    return (double)w->out_c / (ceil((double)w->out_c / r->vector) * r->vector);
}

double lode_roofline_us(const lode_roofline *r, const lode_work *w) {
    double bytes[LODE_ROOFLINE_LEVELS];
    double reached = r->peak_gflops * r->efficiency[w->what] * roofline_lanes(r, w);
    const double arithmetic = w->flops / (1e3 * reached);
    double memory = 0;
    if (w->output <= 0) return 0; /* a view */
    lode_roofline_bytes(r, w, bytes);
    for (int l = 0; l < r->n_levels; l++)
        memory = fmax(memory, bytes[l] / (1e3 * r->level[l].gbps));
    return fmax(arithmetic, memory) + (1 - r->overlap[w->what]) * fmin(arithmetic, memory) +
           r->overhead_us[w->what];
}

double lode_roofline_pj(const lode_roofline *r, const lode_work *w) {
    double bytes[LODE_ROOFLINE_LEVELS];
    double pj = r->mac_pj * w->macs + 1e6 * r->static_w * lode_roofline_us(r, w);
    lode_roofline_bytes(r, w, bytes);
    for (int l = 0; l < r->n_levels; l++) pj += r->level[l].pj_per_byte * bytes[l];
    return pj;
}

/* ---- the file ---- */

static lode_status roofline_read_peak(lode_yaml *root, lode_roofline *r) {
    lode_yaml *map = lode_yaml_get(root, "peak_gflops");
    const char *dtype = lode_hardware_dtype_name(r->dtype);
    if (!map || map->kind != LODE_YAML_MAP)
        return LODE_FAIL(LODE_ERR_CONFIG, "%s: key `peak_gflops` wants a map of dtypes, {f32: 100}",
                         lode_yaml_name(root));
    if (!lode_yaml_get(map, dtype))
        return lode_yaml_fail(map, "no peak for %s, which the network shall run in", dtype);
    lode_yaml_mark_used(map); /* the peaks of other dtypes are for other runs */
    return lode_yaml_f64(map, dtype, 0, 1e-9, 1e12, &r->peak_gflops);
}

/* One number for all classes, or a map of classes with `def` for the ones left out. */
static lode_status roofline_read_classes(lode_yaml *root, const char *key, double def, double min,
                                         double max, double *out) {
    lode_yaml *node = lode_yaml_get(root, key);
    bool map = node && node->kind == LODE_YAML_MAP;
    double all = def;
    if (node && !map) LODE_TRY(lode_yaml_f64(root, key, def, min, max, &all));
    for (int k = 0; k < LODE_N_WORK_CLASSES; k++) {
        out[k] = all;
        if (map)
            LODE_TRY(lode_yaml_f64(node, lode_work_class_name((lode_work_class)k), def, min, max,
                                   &out[k]));
    }
    return LODE_OK;
}

static lode_status roofline_read_level(lode_yaml *item, lode_roofline_level *level) {
    const char *name = NULL;
    if (item->kind != LODE_YAML_MAP)
        return lode_yaml_fail(item, "a level is a map, {level: L2, kib: 512, gbps: 40}");
    LODE_TRY(lode_yaml_string(item, "level", NULL, &name));
    if (!name) return lode_yaml_fail(item, "key `level` (its name) is missing");
    snprintf(level->name, sizeof level->name, "%s", name);
    LODE_TRY(lode_yaml_f64(item, "kib", 0, 0, 1e12, &level->kib));
    LODE_TRY(lode_yaml_f64(item, "gbps", 0, 0, 1e9, &level->gbps));
    LODE_TRY(lode_yaml_f64(item, "pj_per_byte", 0, 0, 1e9, &level->pj_per_byte));
    return level->gbps > 0 ? LODE_OK : lode_yaml_fail(item, "key `gbps` is missing or 0");
}

static lode_status roofline_read_memory(lode_yaml *root, lode_roofline *r) {
    lode_yaml *list = lode_yaml_get(root, "memory");
    if (!list || list->kind != LODE_YAML_LIST || list->n < 1 || list->n > LODE_ROOFLINE_LEVELS)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "%s: key `memory` wants a list of 1 to %d levels, the innermost first",
                         lode_yaml_name(root), LODE_ROOFLINE_LEVELS);
    for (int i = 0; i < list->n; i++) {
        LODE_TRY(roofline_read_level(list->item[i], &r->level[i]));
        if ((r->level[i].kib == 0) != (i == list->n - 1))
            return lode_yaml_fail(list->item[i], "all levels but the last have a size (`kib`)");
        if (i > 0 && i < list->n - 1 && r->level[i].kib <= r->level[i - 1].kib)
            return lode_yaml_fail(list->item[i], "level %s is not larger than the one before",
                                  r->level[i].name);
    }
    r->n_levels = list->n;
    return LODE_OK;
}

static lode_status roofline_read_energy(lode_yaml *root, lode_roofline *r) {
    lode_yaml *map = lode_yaml_get(root, "energy");
    if (!map) return LODE_OK;
    r->has_energy = true;
    LODE_TRY(lode_yaml_f64(map, "mac_pj", 0, 0, 1e9, &r->mac_pj));
    return lode_yaml_f64(map, "static_w", 0, 0, 1e6, &r->static_w);
}

static lode_status roofline_read(lode_yaml *root, lode_roofline *r) {
    LODE_TRY(roofline_read_peak(root, r));
    LODE_TRY(lode_yaml_f64(root, "vector", 1, 1, 65536, &r->vector));
    LODE_TRY(roofline_read_classes(root, "efficiency", 1, 1e-6, 1, r->efficiency));
    LODE_TRY(roofline_read_classes(root, "overlap", 1, 0, 1, r->overlap));
    LODE_TRY(roofline_read_classes(root, "overhead_us", 0, 0, 1e9, r->overhead_us));
    LODE_TRY(lode_yaml_f64(root, "network_us", 0, 0, 1e9, &r->network_us));
    LODE_TRY(roofline_read_memory(root, r));
    return roofline_read_energy(root, r);
}

static lode_status roofline_load(lode_yaml *root, lode_hardware_dtype dtype, void **self) {
    lode_roofline *r = LODE_NEW(lode_roofline);
    if (!r) return LODE_ERR_NO_MEMORY;
    r->dtype = dtype;
    lode_status status = roofline_read(root, r);
    if (status == LODE_OK)
        *self = r;
    else
        lode_free(r);
    return status;
}

static void roofline_add_classes(lode_text *t, const char *key, const double *v) {
    lode_text_add(t, "%s: {", key);
    for (int k = 0; k < LODE_N_WORK_CLASSES; k++)
        lode_text_add(t, "%s%s: %.4g", k > 0 ? ", " : "", lode_work_class_name((lode_work_class)k),
                      v[k]);
    lode_text_add(t, "}\n");
}

char *lode_roofline_text(const lode_roofline *r) {
    lode_text t = {0};
    lode_text_add(&t, "kind: roofline\ndtype: %s\npeak_gflops: {%s: %.4g}\n",
                  lode_hardware_dtype_name(r->dtype), lode_hardware_dtype_name(r->dtype),
                  r->peak_gflops);
    if (r->vector > 1) lode_text_add(&t, "vector: %g\n", r->vector);
    roofline_add_classes(&t, "efficiency", r->efficiency);
    roofline_add_classes(&t, "overlap", r->overlap);
    roofline_add_classes(&t, "overhead_us", r->overhead_us);
    if (r->network_us > 0) lode_text_add(&t, "network_us: %.4g\n", r->network_us);
    lode_text_add(&t, "memory:\n");
    for (int l = 0; l < r->n_levels; l++) {
        lode_text_add(&t, "  - {level: %s, ", r->level[l].name);
        if (r->level[l].kib > 0) lode_text_add(&t, "kib: %g, ", r->level[l].kib);
        lode_text_add(&t, "gbps: %.4g", r->level[l].gbps);
        if (r->has_energy) lode_text_add(&t, ", pj_per_byte: %.4g", r->level[l].pj_per_byte);
        lode_text_add(&t, "}\n");
    }
    if (r->has_energy)
        lode_text_add(&t, "energy: {mac_pj: %.4g, static_w: %.4g}\n", r->mac_pj, r->static_w);
    if (lode_text_status(&t) == LODE_OK) return lode_text_take(&t);
    lode_text_deinit(&t);
    return NULL;
}

/* ---- cost models ---- */

static const char *roofline_unit_ms(const void *self) {
    (void)self;
    return "ms";
}

static const char *roofline_unit_mj(const void *self) {
    (void)self;
    return "mJ";
}

static lode_form roofline_form(const void *self) {
    (void)self;
    return LODE_FORM_FOLDED;
}

static double roofline_constant_ms(const void *self) {
    return 1e-3 * ((const lode_roofline *)self)->network_us;
}

static double roofline_constant_mj(const void *self) {
    const lode_roofline *r = self;
    return 1e-3 * r->network_us * r->static_w;
}

static lode_status roofline_latency(void *self, const lode_trace_call *call, double *out) {
    lode_work w;
    lode_work_of(call, &w);
    *out = 1e-3 * lode_roofline_us(self, &w);
    return LODE_OK;
}

static lode_status roofline_energy(void *self, const lode_trace_call *call, double *out) {
    const lode_roofline *r = self;
    lode_work w;
    if (!r->has_energy)
        return LODE_FAIL(LODE_ERR_CONFIG, "energy_mj: the device file gives no energies; add "
                                          "`energy: {mac_pj: .., static_w: ..}` to it");
    lode_work_of(call, &w);
    *out = 1e-9 * lode_roofline_pj(r, &w);
    return LODE_OK;
}

static const lode_cost_model roofline_latency_ms = {
    .name = "latency_ms",
    .about = "sum over calls of the longest of arithmetic and memory, plus overheads",
    .unit = roofline_unit_ms,
    .op_cost = roofline_latency,
    .constant = roofline_constant_ms,
    .form = roofline_form,
};

static const lode_cost_model roofline_energy_mj = {
    .name = "energy_mj",
    .about = "arithmetic, traffic of every level of memory, and power at rest",
    .unit = roofline_unit_mj,
    .op_cost = roofline_energy,
    .constant = roofline_constant_mj,
    .form = roofline_form,
};

static const lode_cost_model *const roofline_quantities[] = {&roofline_latency_ms,
                                                             &roofline_energy_mj};

const lode_hardware_kind lode_hardware_roofline = {
    .name = "roofline",
    .about = "processors and GPUs: peak, bandwidth of each level of memory, overheads",
    .load = roofline_load,
    .close = lode_free,
    .quantity = roofline_quantities,
    .n_quantities = (int)(sizeof roofline_quantities / sizeof *roofline_quantities),
};
