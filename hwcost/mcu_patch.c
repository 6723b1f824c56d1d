/* mcu_patch.c: which of a network's first calls run by patches, and in how many. */
#include "core/memory.h"
#include "core/number.h"
#include "hwcost/mcu_internal.h"

#include <string.h>

enum { PATCH_MOST_LAYERS = 10000, PATCH_MOST_GRID = 64, PATCH_AUTO_GRID = 8 };

/* ---- the file ---- */

/* A number, or `auto`: 0. */
static lode_status patch_read_number(lode_yaml *map, const char *key, int most, int *out) {
    const char *text = NULL;
    int64_t n = 0;
    LODE_TRY(lode_yaml_string(map, key, "auto", &text));
    *out = 0;
    if (strcmp(text, "auto") == 0) return LODE_OK;
    if (!lode_i64_parse(text, &n) || n < 1 || n > most)
        return lode_yaml_fail(lode_yaml_get(map, key), "want auto or a number from 1 to %d", most);
    *out = (int)n;
    return LODE_OK;
}

static lode_status patch_read_map(lode_yaml *map, mcu_patch *p) {
    const char *image = NULL;
    LODE_TRY(patch_read_number(map, "layers", PATCH_MOST_LAYERS, &p->layers));
    LODE_TRY(patch_read_number(map, "grid", PATCH_MOST_GRID, &p->grid));
    LODE_TRY(lode_yaml_f64(map, "budget_kib", 0, 0, 1e9, &p->budget_kib));
    LODE_TRY(lode_yaml_string(map, "image", "held", &image));
    p->streamed = strcmp(image, "streamed") == 0;
    if (!p->streamed && strcmp(image, "held") != 0)
        return lode_yaml_fail(lode_yaml_get(map, "image"), "want held or streamed");
    p->on = true;
    return LODE_OK;
}

lode_status mcu_patch_read(lode_yaml *root, mcu_patch *out) {
    lode_yaml *node = lode_yaml_get(root, "patch");
    *out = (mcu_patch){.on = false};
    if (!node) return LODE_OK;
    if (node->kind == LODE_YAML_MAP) return patch_read_map(node, out);
    if (node->kind == LODE_YAML_SCALAR && strcmp(node->scalar, "none") == 0) return LODE_OK;
    out->on = node->kind == LODE_YAML_SCALAR && strcmp(node->scalar, "auto") == 0;
    return out->on ? LODE_OK
                   : lode_yaml_fail(node, "want none, auto, or a map of layers, grid, image, "
                                          "budget_kib");
}

/* ---- a plan ---- */

void mcu_plan_deinit(mcu_plan *plan) {
    lode_free(plan->region);
    *plan = (mcu_plan){.n = 0};
}

static double patch_share(const mcu_plan *p, int value, const lode_tensor *t) {
    const lode_patch_region *r = &p->region[value];
    return (double)(r->sum[0] * r->sum[1]) / (double)(t->shape.dim[2] * t->shape.dim[3]);
}

static void patch_count(const mcu *m, const lode_tape *trace, mcu_plan *p) {
    p->cycles = p->macs = 0;
    for (int i = 0; i < lode_trace_n(trace); i++) {
        const lode_trace_call *t = lode_trace_get(trace, i);
        const bool in_stage = i < p->n;
        const double output = in_stage ? patch_share(p, t->y_id, t->call.y) : 1;
        const double input = in_stage ? patch_share(p, t->x_id[0], t->call.x[0]) : 1;
        p->macs += t->count.macs * output;
        p->cycles += mcu_cycles(m, t, output, input, in_stage ? p->grid * p->grid : 1);
    }
}

static lode_status patch_plan(const mcu *m, const lode_tape *trace, int n, int grid,
                              mcu_plan *out) {
    *out = (mcu_plan){.n = n, .grid = grid};
    if (n > 0) {
        out->region = LODE_NEW_ARRAY(lode_patch_region, lode_trace_n_values(trace));
        if (!out->region) return LODE_ERR_NO_MEMORY;
        LODE_TRY(lode_patch_regions(trace, n, grid, out->region));
    }
    patch_count(m, trace, out);
    return mcu_place(m, trace, out);
}

/* ---- choosing ---- */

static bool patch_fits(const mcu *m, const mcu_plan *p) {
    return (double)p->arena.bytes + 1024 * m->runtime_kib <= 1024 * m->patch.budget_kib;
}

/* With a budget the fastest that keeps it; else, and where none does, the one that needs least. */
static bool patch_better(const mcu *m, const mcu_plan *a, const mcu_plan *b) {
    const bool a_fits = patch_fits(m, a), b_fits = patch_fits(m, b);
    if (m->patch.budget_kib > 0 && a_fits != b_fits) return a_fits;
    if (m->patch.budget_kib > 0 && a_fits) return a->cycles < b->cycles;
    if (a->arena.bytes != b->arena.bytes) return a->arena.bytes < b->arena.bytes;
    return a->cycles < b->cycles;
}

static lode_status patch_try(const mcu *m, const lode_tape *trace, int n, int grid,
                             mcu_plan *best) {
    mcu_plan p;
    const lode_shape *y = &lode_trace_get(trace, n - 1)->call.y->shape;
    const int64_t most = y->dim[2] < y->dim[3] ? y->dim[2] : y->dim[3];
    if (grid > most) grid = (int)most;
    if (grid < 2) return LODE_OK;
    lode_status status = patch_plan(m, trace, n, grid, &p);
    if (status == LODE_OK && (best->n < 0 || patch_better(m, &p, best))) {
        mcu_plan_deinit(best);
        *best = p;
        return LODE_OK;
    }
    mcu_plan_deinit(&p);
    return status;
}

static lode_status patch_try_grids(const mcu *m, const lode_tape *trace, int n, mcu_plan *best) {
    if (m->patch.grid > 0) return patch_try(m, trace, n, m->patch.grid, best);
    for (int grid = 2; grid <= PATCH_AUTO_GRID; grid++)
        LODE_TRY(patch_try(m, trace, n, grid, best));
    return LODE_OK;
}

lode_status mcu_choose(const mcu *m, const lode_tape *trace, mcu_plan *out) {
    const int calls = lode_trace_n(trace);
    int n = m->patch.layers > 0 && m->patch.layers < calls ? m->patch.layers : calls;
    *out = (mcu_plan){.n = 0};
    LODE_TRY(patch_plan(m, trace, 0, 1, out));
    if (!m->patch.on || m->patch.grid == 1) return LODE_OK;
    const bool choose = m->patch.layers == 0 || m->patch.grid == 0;
    for (; n > 0; n--) {
        if (!lode_patch_can(trace, n)) continue;
        if (!choose) { /* both given: this is what runs */
            mcu_plan_deinit(out);
            out->n = -1;
        }
        LODE_TRY(patch_try_grids(m, trace, n, out));
        if (m->patch.layers > 0) break;
    }
    return out->n >= 0 ? LODE_OK : patch_plan(m, trace, 0, 1, out); /* a map of one row */
}
