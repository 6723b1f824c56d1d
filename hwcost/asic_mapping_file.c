/* asic_mapping_file.c: reads device files of the kind asic_mapping. */
#include "core/memory.h"
#include "hwcost/asic_internal.h"
#include "hwcost/asic_mapping_internal.h"

#include <math.h>
#include <string.h>

static lode_status mapped_read_mapping(const lode_yaml *list, int64_t elements, lode_nest *m) {
    if (list->kind != LODE_YAML_LIST || list->n == 0)
        return lode_yaml_fail(list,
                              "mapping %s wants a list of directives, [spatial K 1, temporal C 64, "
                              "cluster 64, ...]",
                              m->name);
    for (int i = 0; i < list->n; i++) {
        if (list->item[i]->kind != LODE_YAML_SCALAR)
            return lode_yaml_fail(list->item[i], "mapping %s: want words, e.g. spatial K 1",
                                  m->name);
        lode_yaml_mark_used(list->item[i]);
        LODE_TRY(lode_nest_add(m, list->item[i]->scalar));
    }
    return lode_nest_check(m, elements);
}

static lode_status mapped_read_mappings(lode_yaml *root, mapped *m) {
    lode_yaml *map = lode_yaml_get(root, "mappings");
    if (!map || map->kind != LODE_YAML_MAP || map->n < 1 || map->n > MAPPED_MAX)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "%s: key `mappings` wants a map of 1 to %d mappings, {NAME: [spatial K 1, "
                         "temporal C 64, cluster 64, spatial C 1]}",
                         lode_yaml_name(root), (int)MAPPED_MAX);
    for (m->n = 0; m->n < map->n; m->n++) {
        lode_yaml *list = map->item[m->n];
        lode_nest_init(&m->mapping[m->n], list->key);
        lode_yaml_mark_used(list);
        lode_status status = mapped_read_mapping(list, m->array.elements, &m->mapping[m->n]);
        if (status != LODE_OK) return lode_error_context("%s", lode_yaml_name(root));
    }
    return LODE_OK;
}

/* The mapping that `key` names; def NULL: it must be there. */
static lode_status mapped_choose(lode_yaml *root, mapped *m, const char *key, const lode_nest *def,
                                 const lode_nest **out) {
    const char *name = NULL, *names[MAPPED_MAX];
    LODE_TRY(lode_yaml_string(root, key, NULL, &name));
    *out = def;
    if (!name && def) return LODE_OK;
    if (!name)
        return LODE_FAIL(LODE_ERR_CONFIG, "%s: key `%s` is missing", lode_yaml_name(root), key);
    for (int i = 0; i < m->n; i++) {
        *out = &m->mapping[i];
        names[i] = m->mapping[i].name;
        if (strcmp(names[i], name) == 0) return LODE_OK;
    }
    const char *near = lode_nearest_word(name, names, m->n);
    return LODE_FAIL(LODE_ERR_CONFIG, "%s: %s is `%s`, which is not one of `mappings`%s%s",
                     lode_yaml_name(root), key, name, near ? "; nearest is " : "",
                     near ? near : "");
}

static lode_status mapped_read_map(lode_yaml *root, const char *key, const char *example,
                                   lode_yaml **out) {
    *out = lode_yaml_get(root, key);
    if (*out && (*out)->kind == LODE_YAML_MAP) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG, "%s: key `%s` wants a map, %s", lode_yaml_name(root), key,
                     example);
}

static lode_status mapped_read_memory(lode_yaml *root, mapped *m) {
    double l2_kib = 0;
    LODE_TRY(lode_yaml_f64(root, "l1_bytes", 0, 0, 1e9, &m->l1_bytes));
    LODE_TRY(lode_yaml_f64(root, "l2_kib", 0, 0, 1e9, &l2_kib));
    m->l2_bytes = l2_kib > 0 ? 1024 * l2_kib : INFINITY;
    if (!(m->l1_bytes > 0)) m->l1_bytes = INFINITY;
    return asic_need(root, "dram_gbps", 1e9, &m->dram_gbps);
}

static lode_status mapped_read_noc(lode_yaml *root, mapped *m) {
    lode_yaml *map = NULL;
    LODE_TRY(mapped_read_map(root, "noc", "{words_per_cycle: 64}", &map));
    LODE_TRY(asic_need(map, "words_per_cycle", 1e9, &m->array.words_per_cycle));
    LODE_TRY(lode_yaml_f64(map, "hops", 1, 0, 1e6, &m->array.hops));
    return lode_yaml_f64(map, "cycles_per_hop", 1, 0, 1e6, &m->array.cycles_per_hop);
}

static lode_status mapped_read_energy(lode_yaml *root, mapped *m) {
    lode_yaml *map = NULL;
    LODE_TRY(mapped_read_map(root, "energy", "{mac_pj: 0.5}", &map));
    LODE_TRY(asic_need(map, "mac_pj", 1e6, &m->mac_pj));
    LODE_TRY(lode_yaml_f64(map, "l1", 1.68, 0, 1e6, &m->l1));
    LODE_TRY(lode_yaml_f64(map, "l2", 18.61, 0, 1e6, &m->l2));
    LODE_TRY(lode_yaml_f64(map, "dram", 0, 0, 1e6, &m->dram));
    return lode_yaml_f64(map, "static_w", 0, 0, 1e6, &m->static_w);
}

static lode_status mapped_read_area(lode_yaml *root, mapped *m) {
    lode_yaml *map = lode_yaml_get(root, "area");
    m->has_area = map != NULL;
    if (!map) return LODE_OK;
    if (!isfinite(m->l1_bytes) || !isfinite(m->l2_bytes))
        return LODE_FAIL(LODE_ERR_CONFIG, "%s: `area` needs `l1_bytes` and `l2_kib`",
                         lode_yaml_name(root));
    LODE_TRY(lode_yaml_f64(map, "fixed_mm2", 0, 0, 1e6, &m->fixed_mm2));
    LODE_TRY(lode_yaml_f64(map, "mac_um2", 283, 0, 1e9, &m->mac_um2));
    LODE_TRY(lode_yaml_f64(map, "sram_um2_per_byte", 0.104, 0, 1e9, &m->sram_um2));
    LODE_TRY(lode_yaml_f64(map, "bus_um2", 101.7938, 0, 1e9, &m->bus_um2));
    return lode_yaml_f64(map, "arbiter_um2", 395.473, 0, 1e9, &m->arbiter_um2);
}

static lode_status mapped_read(lode_yaml *root, mapped *m) {
    LODE_TRY(lode_yaml_int(root, "elements", 0, 0, 1 << 24, &m->array.elements));
    if (m->array.elements < 1)
        return LODE_FAIL(LODE_ERR_CONFIG, "%s: key `elements` is missing", lode_yaml_name(root));
    LODE_TRY(lode_yaml_f64(root, "macs_per_cycle", 1, 1e-3, 1e6, &m->array.macs_per_cycle));
    LODE_TRY(asic_need(root, "clock_mhz", 1e5, &m->clock_mhz));
    LODE_TRY(mapped_read_memory(root, m));
    LODE_TRY(mapped_read_noc(root, m));
    LODE_TRY(mapped_read_energy(root, m));
    LODE_TRY(mapped_read_area(root, m));
    LODE_TRY(mapped_read_mappings(root, m));
    LODE_TRY(mapped_choose(root, m, "mapping", NULL, &m->dense));
    return mapped_choose(root, m, "depthwise_mapping", m->dense, &m->depthwise);
}

lode_status mapped_load(lode_yaml *root, lode_hardware_dtype dtype, void **self) {
    mapped *m = LODE_NEW(mapped);
    if (!m) return LODE_ERR_NO_MEMORY;
    m->bytes = lode_hardware_dtype_bytes(dtype);
    lode_status status = mapped_read(root, m);
    if (status == LODE_OK)
        *self = m;
    else
        lode_free(m);
    return status;
}
