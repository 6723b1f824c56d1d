/* asic_group.c: chips with several arrays of different dataflows as a kind of device file:
   latency_ms, energy_mj, energy_by_deadline_mj, area_mm2 (NASAIC, Yang et al. 2020: heterogeneous
   sub-accelerators; methods D4).

   Layers of a network run one after another, each on the array that suits it: the fastest, or the
   one of least energy (`assign`). That is a sum over calls, so it has a gradient. With
   `deadline_ms` layers are assigned together, for little energy within the deadline (asic.h), which
   is no sum. Arrays share the chip's clock and energies; area is the sum of theirs. NASAIC runs
   several networks at a time; here it is one. */
#include "core/memory.h"
#include "hwcost/asic_internal.h"

#include <math.h>
#include <string.h>

enum { GROUP_MAX_PARTS = 8 };

typedef struct group {
    int n;
    asic part[GROUP_MAX_PARTS];
    bool by_energy;
    double deadline_ms; /* 0: none */
} group;

/* ---- the file ---- */

static lode_status group_read_assign(lode_yaml *root, group *g) {
    const char *text = NULL;
    LODE_TRY(lode_yaml_string(root, "assign", "latency", &text));
    g->by_energy = strcmp(text, "energy") == 0;
    if (g->by_energy || strcmp(text, "latency") == 0) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG, "%s: assign is `%s`, want latency or energy",
                     lode_yaml_name(root), text);
}

static lode_status group_read(lode_yaml *root, double bytes, group *g) {
    asic chip = {.bytes = bytes};
    lode_yaml *list = lode_yaml_get(root, "parts");
    if (!list || list->kind != LODE_YAML_LIST || list->n < 1 || list->n > GROUP_MAX_PARTS)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "%s: key `parts` wants a list of 1 to %d arrays, [{dataflow: .., rows: ..,"
                         " columns: .., buffer_kib: .., dram_gbps: ..}]",
                         lode_yaml_name(root), (int)GROUP_MAX_PARTS);
    LODE_TRY(asic_read_chip(root, &chip));
    LODE_TRY(group_read_assign(root, g));
    LODE_TRY(lode_yaml_f64(root, "deadline_ms", 0, 0, 1e9, &g->deadline_ms));
    for (g->n = 0; g->n < list->n; g->n++) {
        if (list->item[g->n]->kind != LODE_YAML_MAP)
            return lode_yaml_fail(list->item[g->n], "each of `parts` is a map");
        g->part[g->n] = chip;
        LODE_TRY(asic_read_array(list->item[g->n], &g->part[g->n]));
    }
    return LODE_OK;
}

static lode_status group_load(lode_yaml *root, lode_hardware_dtype dtype, void **self) {
    group *g = LODE_NEW(group);
    if (!g) return LODE_ERR_NO_MEMORY;
    lode_status status = group_read(root, lode_hardware_dtype_bytes(dtype), g);
    if (status == LODE_OK)
        *self = g;
    else
        lode_free(g);
    return status;
}

/* ---- cost models ---- */

static double group_ms(const group *g, int part, const lode_work *w) {
    return 1e-3 * asic_us(&g->part[part], w);
}

static double group_mj(const group *g, int part, const lode_work *w) {
    return 1e-9 * asic_pj(&g->part[part], w);
}

/* Ties go to the other quantity, then to the first. */
static int group_choose(const group *g, const lode_work *w) {
    int best = 0;
    for (int i = 1; i < g->n; i++) {
        double t = group_ms(g, i, w), t0 = group_ms(g, best, w);
        double e = group_mj(g, i, w), e0 = group_mj(g, best, w);
        bool better = g->by_energy ? e < e0 || (e == e0 && t < t0) : t < t0 || (t == t0 && e < e0);
        if (better) best = i;
    }
    return best;
}

static lode_status group_latency(void *self, const lode_trace_call *call, double *out) {
    lode_work w;
    lode_work_of(call, &w);
    *out = group_ms(self, group_choose(self, &w), &w);
    return LODE_OK;
}

static lode_status group_energy(void *self, const lode_trace_call *call, double *out) {
    lode_work w;
    lode_work_of(call, &w);
    *out = group_mj(self, group_choose(self, &w), &w);
    return LODE_OK;
}

static lode_status group_by_deadline(void *self, const lode_tape *trace, double *out) {
    const group *g = self;
    int n = lode_trace_n(trace);
    double ms_sum = 0;
    if (!(g->deadline_ms > 0))
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "energy_by_deadline_mj: the device file gives no energy deadline; add "
                         "`deadline_ms: ..` to it");
    double *ms = LODE_NEW_ARRAY(double, 2 * (int64_t)n * g->n + 1), *mj = ms + (int64_t)n * g->n;
    int *part = LODE_NEW_ARRAY(int, n + 1);
    lode_status status = ms && part ? LODE_OK : LODE_ERR_NO_MEMORY;
    for (int i = 0; status == LODE_OK && i < n; i++) {
        lode_work w;
        lode_work_of(lode_trace_get(trace, i), &w);
        for (int k = 0; k < g->n; k++) {
            ms[i * g->n + k] = group_ms(g, k, &w);
            mj[i * g->n + k] = group_mj(g, k, &w);
        }
    }
    if (status == LODE_OK)
        (void)lode_asic_assign(n, g->n, ms, mj, g->deadline_ms, part, &ms_sum, out);
    lode_free(part);
    lode_free(ms);
    return status;
}

static lode_status group_no_more_area(void *self, const lode_trace_call *call, double *out) {
    const group *g = self;
    (void)call;
    *out = 0;
    if (g->part[0].has_area) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG, "area_mm2: the device file gives no area; add `area: "
                                      "{element_mm2: .., fixed_mm2: ..}` to it");
}

static double group_area(const void *self) {
    const group *g = self;
    double sum = g->part[0].fixed_mm2;
    for (int i = 0; i < g->n; i++) sum += asic_area(&g->part[i]) - g->part[i].fixed_mm2;
    return sum;
}

static const lode_cost_model group_latency_ms = {
    .name = "latency_ms",
    .about = "of layers, each on the array of the group that suits it",
    .unit = asic_unit_ms,
    .op_cost = group_latency,
    .form = asic_form,
};

static const lode_cost_model group_energy_mj = {
    .name = "energy_mj",
    .about = "of the same layers on the same arrays",
    .unit = asic_unit_mj,
    .op_cost = group_energy,
    .form = asic_form,
};

static const lode_cost_model group_energy_by_deadline_mj = {
    .name = "energy_by_deadline_mj",
    .about = "layers assigned to arrays for little energy within deadline_ms",
    .unit = asic_unit_mj,
    .trace_cost = group_by_deadline,
    .form = asic_form,
};

static const lode_cost_model group_area_mm2 = {
    .name = "area_mm2",
    .about = "of all arrays",
    .unit = asic_unit_mm2,
    .op_cost = group_no_more_area,
    .constant = group_area,
    .form = asic_form,
};

static const lode_cost_model *const group_quantities[] = {
    &group_latency_ms, &group_energy_mj, &group_energy_by_deadline_mj, &group_area_mm2};

const lode_hardware_kind lode_hardware_asic_group = {
    .name = "asic_group",
    .about = "chips of several arrays: each layer on the one that suits it (NASAIC)",
    .load = group_load,
    .close = lode_free,
    .quantity = group_quantities,
    .n_quantities = (int)(sizeof group_quantities / sizeof *group_quantities),
};
