/* space_hardware.c: decisions of the device: `hardware: {tile.m: [8, 16], dataflow: [...]}`.

   A key is one of a device file (docs/costs.md), with a dot between a map and its key, or a list
   and the number of an item: "parts.0.rows". No layer reads such a decision and no weight depends
   on it; what reads it are costs by a device file (hwcost/cost_hardware.c). So networks and devices
   are searched together by whatever searches networks: FNAS's tiles (Jiang et al. 2019), NASAIC's
   templates and their allocation (Yang et al. 2020). Decision: "hardware.tile.m", options "m8",
   "m16"; "dataflow_row_stationary". */
#include "supernet/space_internal.h"

#include <ctype.h>
#include <string.h>

/* Letters, digits, _ and single dots between. */
static bool hardware_is_key(const char *key) {
    for (const char *k = key; *k; k++) {
        if (*k == '.' && (k == key || k[1] == '\0' || k[1] == '.')) return false;
        if (*k != '.' && !isalnum((unsigned char)*k) && *k != '_') return false;
    }
    return true;
}

static lode_status hardware_read_option(lode_space *s, const lode_yaml *list, int i,
                                        const char *last, lode_decision *d, const char **text) {
    const lode_yaml *item = list->item[i];
    const char *value = item->kind == LODE_YAML_SCALAR ? item->scalar : "";
    if (*value == '\0' || strlen(value) > 40 || strpbrk(value, ", \t\r\n|~\"") != NULL)
        return lode_yaml_fail(item, "should be a number or a word");
    for (int k = 0; k < i; k++)
        if (strcmp(text[k], value) == 0)
            return lode_yaml_fail(list, "%s stands there twice", value);
    text[i] = value; /* lives as long as the space's tree */
    d->option[i] =
        space_own(s, lode_format(isdigit((unsigned char)*value) ? "%s%s" : "%s_%s", last, value));
    return d->option[i] != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
}

static lode_status hardware_read_key(lode_space *s, lode_yaml *list) {
    lode_decision d = {.kind = LODE_DECISION_HARDWARE, .parent = -1, .key = list->key};
    const char *dot = strrchr(list->key, '.'), *last = dot != NULL ? dot + 1 : list->key;
    int index;
    if (!hardware_is_key(list->key))
        return lode_yaml_fail(list, "should be a key of a device file, such as tile.m or rows");
    if (list->kind != LODE_YAML_LIST || list->n < 1 || list->n > LODE_MAX_OPTIONS)
        return lode_yaml_fail(list, "should be a list of 1 to %d values", LODE_MAX_OPTIONS);
    const char **text = space_own(s, LODE_NEW_ARRAY(const char *, list->n));
    char *name = space_own(s, lode_format("hardware.%s", list->key));
    if (text == NULL || name == NULL) return LODE_ERR_NO_MEMORY;
    for (int i = 0; i < list->n; i++) LODE_TRY(hardware_read_option(s, list, i, last, &d, text));
    d.name = name;
    d.n_options = list->n;
    d.text = text;
    LODE_TRY(space_add_decision(s, name, &index));
    s->decision[index] = d;
    return LODE_OK;
}

lode_status space_read_hardware(lode_space *s, lode_yaml *root) {
    lode_yaml *map = lode_yaml_get(root, "hardware");
    if (map == NULL) return LODE_OK;
    if (map->kind != LODE_YAML_MAP || map->n == 0)
        return lode_yaml_fail(map, "should be a map of lists: {tile.m: [8, 16]}");
    for (int i = 0; i < map->n; i++) {
        lode_yaml_mark_used(map->item[i]);
        LODE_TRY(hardware_read_key(s, map->item[i]));
    }
    return LODE_OK;
}
