/* import_choices.c: tables of what an option of a layer costs.

   FBNet (Wu et al. 2019) and its reimplementations: a row per layer (counted from 0) with a column
   per candidate, or a row per layer and candidate (columns layer, op_name). Candidates are written
   as ir_k3_e1, k3_e1_g1, k3_s2 (e1 in two groups); ours are k3_e1, k3_e1_g2, ..., skip. Such a
   table prices the choices alone; stem and head are no part of it.

   HW-NAS-Bench (Li et al. 2021): FBNet's choices over the all-skip network, whose row (layer -1) is
   the constant; or, of NAS-Bench-201's cells, a base and a price per kind of operation, for any of
   the six edges (--where device=.. --where dataset=.. --where metric=..).

   HAQ (Wang et al. 2019): layer, weight bits, activation bits: options w4_a8 of layer0, layer1, ...
 */
#include "core/memory.h"
#include "hwcost/import_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Layer n of the source is the n-th choice of the space, "layer1" first. */
static lode_status import_add_choice(lode_foreign *t, const char *layer, int64_t n,
                                     const char *option, double v) {
    char key[96];
    snprintf(key, sizeof key, "%s%lld:%s", layer, (long long)n, option);
    return lode_foreign_add(t, key, v);
}

/* "ir_k3_s2_us" to "k3_e1_g2"; false when it is no candidate. */
static bool import_candidate(const char *name, char out[32]) {
    int kernel = 0, expand = 0, groups = 1, n = 0;
    if (strncmp(name, "ir_", 3) == 0) name += 3;
    if (strncmp(name, "skip", 4) == 0 && (name[4] == '\0' || name[4] == '_')) {
        snprintf(out, 32, "skip");
        return true;
    }
    if (sscanf(name, "k%d_e%d%n", &kernel, &expand, &n) == 2) {
        (void)sscanf(name + n, "_g%d", &groups);
    } else if (sscanf(name, "k%d_s%d%n", &kernel, &groups, &n) == 2) {
        expand = 1;
    } else {
        return false;
    }
    if (groups > 1)
        snprintf(out, 32, "k%d_e%d_g%d", kernel, expand, groups);
    else
        snprintf(out, 32, "k%d_e%d", kernel, expand);
    return true;
}

/* ---- FBNet ---- */

/* A row per layer and candidate. */
static lode_status import_fbnet_long(const import_source *s, const lode_import_options *o,
                                     int layer, int op, lode_foreign *t) {
    int value = -1;
    LODE_TRY(
        import_value_column(s, o, import_find(s, "latency_us") >= 0 ? "latency_us" : NULL, &value));
    for (int64_t r = 0; r < s->n_rows; r++) {
        int64_t n = 0;
        double v = 0;
        char option[32];
        LODE_TRY(import_int(s, r, layer, &n));
        LODE_TRY(import_f64(s, r, value, &v));
        if (!import_candidate(import_cell(s, r, op), option))
            return import_fail(s, r, "\"%s\" is no candidate of FBNet", import_cell(s, r, op));
        LODE_TRY(import_add_choice(t, "layer", n + 1, option, v));
    }
    return LODE_OK;
}

/* A column per candidate; an empty cell is no entry. */
static lode_status import_fbnet_wide(const import_source *s, const lode_import_options *o,
                                     int layer, lode_foreign *t) {
    for (int c = 0; c < s->n_columns; c++) {
        char option[32];
        if (c == layer) continue;
        if (!import_candidate(s->column[c], option))
            return LODE_FAIL(LODE_ERR_DATA, "%s: column %s is no candidate of FBNet", s->path,
                             s->column[c]);
        LODE_TRY(import_check_unit(s, o, s->column[c]));
        for (int64_t r = 0; r < s->n_rows; r++) {
            int64_t n = 0;
            double v = 0;
            if (import_cell(s, r, c)[0] == '\0') continue;
            LODE_TRY(import_int(s, r, layer, &n));
            LODE_TRY(import_f64(s, r, c, &v));
            LODE_TRY(import_add_choice(t, "layer", n + 1, option, v));
        }
    }
    return LODE_OK;
}

static lode_status import_fbnet(const import_source *s, const lode_import_options *o,
                                lode_foreign *t) {
    int layer = import_find(s, "layer"), op = import_find(s, "op_name");
    if (layer < 0) return LODE_FAIL(LODE_ERR_DATA, "%s: want a column `layer`", s->path);
    return op >= 0 ? import_fbnet_long(s, o, layer, op, t) : import_fbnet_wide(s, o, layer, t);
}

/* ---- HW-NAS-Bench ---- */

static lode_status import_hw_fbnet(const import_source *s, const lode_import_options *o,
                                   lode_foreign *t) {
    int layer = import_find(s, "layer"), op = import_find(s, "op_name"), value = -1;
    bool constant = false;
    LODE_TRY(import_value_column(s, o, NULL, &value));
    for (int64_t r = 0; r < s->n_rows; r++) {
        int64_t n = 0;
        double v = 0;
        char option[32];
        LODE_TRY(import_int(s, r, layer, &n));
        LODE_TRY(import_f64(s, r, value, &v));
        if (n < 0) {
            lode_foreign_set_constant(t, v);
            constant = true;
            continue;
        }
        if (!import_candidate(import_cell(s, r, op), option))
            return import_fail(s, r, "\"%s\" is no candidate of FBNet", import_cell(s, r, op));
        LODE_TRY(import_add_choice(t, "layer", n + 1, option, v));
        LODE_TRY(import_add_choice(t, "layer", n + 1, "skip", 0)); /* the others are over it */
    }
    if (constant) return LODE_OK;
    return LODE_FAIL(LODE_ERR_DATA, "%s: no row of layer -1, the network of skips", s->path);
}

static lode_status import_hw_cells(const import_source *s, lode_foreign *t) {
    static const struct {
        const char *option, *column;
    } ops[] = {{"none", NULL},
               {"skip_connect", NULL},
               {"nor_conv_1x1", "per_conv1x1"},
               {"nor_conv_3x3", "per_conv3x3"},
               {"avg_pool_3x3", "per_avgpool"}};
    double base = 0, price[5] = {0};
    if (s->n_rows != 1)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "%s: %lld rows; choose one by --where device=eyeriss --where "
                         "dataset=cifar10 --where metric=latency_ms",
                         s->path, (long long)s->n_rows);
    LODE_TRY(import_f64(s, 0, import_find(s, "base"), &base));
    for (int k = 0; k < 5; k++) {
        int column = ops[k].column ? import_find(s, ops[k].column) : -1;
        if (ops[k].column && column < 0)
            return LODE_FAIL(LODE_ERR_DATA, "%s: no column %s", s->path, ops[k].column);
        if (column >= 0) LODE_TRY(import_f64(s, 0, column, &price[k]));
    }
    lode_foreign_set_constant(t, base);
    for (int to = 1; to <= 3; to++)
        for (int from = 0; from < to; from++)
            for (int k = 0; k < 5; k++) {
                char key[64];
                snprintf(key, sizeof key, "cell.%d<-%d:%s", to, from, ops[k].option);
                LODE_TRY(lode_foreign_add(t, key, price[k]));
            }
    return LODE_OK;
}

static lode_status import_hwnasbench(const import_source *s, const lode_import_options *o,
                                     lode_foreign *t) {
    int metric = import_find(s, "metric");
    if (import_find(s, "base") >= 0) {
        if (metric >= 0 && s->n_rows == 1)
            LODE_TRY(import_check_unit(s, o, import_cell(s, 0, metric)));
        return import_hw_cells(s, t);
    }
    if (import_find(s, "layer") >= 0 && import_find(s, "op_name") >= 0)
        return import_hw_fbnet(s, o, t);
    return LODE_FAIL(LODE_ERR_DATA,
                     "%s: want columns op_name, layer and values, or base, per_conv1x1, ...",
                     s->path);
}

/* ---- HAQ ---- */

static lode_status import_haq(const import_source *s, const lode_import_options *o,
                              lode_foreign *t) {
    int layer = import_find(s, "layer"), w = import_find(s, "w_bits"), a = import_find(s, "a_bits");
    int value = -1;
    if (layer < 0 || w < 0 || a < 0)
        return LODE_FAIL(LODE_ERR_DATA, "%s: want columns layer, w_bits, a_bits", s->path);
    LODE_TRY(import_value_column(s, o, "cost", &value));
    for (int64_t r = 0; r < s->n_rows; r++) {
        int64_t n = 0, bits_w = 0, bits_a = 0;
        double v = 0;
        char option[32];
        LODE_TRY(import_int(s, r, layer, &n));
        LODE_TRY(import_int(s, r, w, &bits_w));
        LODE_TRY(import_int(s, r, a, &bits_a));
        LODE_TRY(import_f64(s, r, value, &v));
        snprintf(option, sizeof option, "w%d_a%d", (int)bits_w, (int)bits_a);
        LODE_TRY(import_add_choice(t, "layer", n, option, v));
    }
    return LODE_OK;
}

const lode_importer lode_importer_fbnet = {
    .name = "fbnet",
    .about = "FBNet (Wu et al. 2019) and reimplementations: layers by candidates",
    .keys = LODE_FOREIGN_CHOICES,
    .space = "fbnet",
    .read = import_fbnet,
};

const lode_importer lode_importer_hwnasbench = {
    .name = "hwnasbench",
    .about = "HW-NAS-Bench (Li et al. 2021): FBNet's candidates, or NAS-Bench-201's operations",
    .keys = LODE_FOREIGN_CHOICES,
    .space = "",
    .read = import_hwnasbench,
};

const lode_importer lode_importer_haq = {
    .name = "haq",
    .about = "HAQ (Wang et al. 2019): layers by bits of weights and activations",
    .keys = LODE_FOREIGN_CHOICES,
    .space = "",
    .read = import_haq,
};
