/* yaml_get.c: typed reads of a map's keys, for readers that walk a tree by themselves. */
#include "core/config_internal.h"

/* The plain value under `key`; *out NULL when the key is absent. */
static lode_status yaml_get_scalar(lode_yaml *map, const char *key, const lode_yaml **out) {
    const lode_yaml *node = lode_yaml_get(map, key);
    *out = NULL;
    if (node == NULL) return LODE_OK;
    if (node->kind != LODE_YAML_SCALAR)
        return lode_yaml_fail(node, "should be one value and is a %s",
                              node->kind == LODE_YAML_LIST ? "list" : "section");
    *out = node;
    return LODE_OK;
}

/* The same for what cannot be null. */
static lode_status yaml_get_value(lode_yaml *map, const char *key, const lode_yaml **out) {
    LODE_TRY(yaml_get_scalar(map, key, out));
    if (*out != NULL && lode_yaml_is_null(*out)) return lode_yaml_fail(*out, "has no value");
    return LODE_OK;
}

lode_status lode_yaml_int(lode_yaml *map, const char *key, int64_t def, int64_t min, int64_t max,
                          int64_t *out) {
    const lode_yaml *node;
    int64_t x = def;
    LODE_TRY(yaml_get_value(map, key, &node));
    if (node != NULL && option_parse_int(node->scalar, 0, 0, &x) != LODE_OK)
        return yaml_context(node);
    if (node != NULL && min != max && (x < min || x > max))
        return lode_yaml_fail(node, "%s is not between %lld and %lld", node->scalar, (long long)min,
                              (long long)max);
    *out = x;
    return LODE_OK;
}

lode_status lode_yaml_f64(lode_yaml *map, const char *key, double def, double min, double max,
                          double *out) {
    const lode_yaml *node;
    *out = def;
    LODE_TRY(yaml_get_value(map, key, &node));
    if (node == NULL || option_parse_f64(node->scalar, min, max, out) == LODE_OK) return LODE_OK;
    return yaml_context(node);
}

lode_status lode_yaml_bool(lode_yaml *map, const char *key, bool def, bool *out) {
    const lode_yaml *node;
    *out = def;
    LODE_TRY(yaml_get_value(map, key, &node));
    if (node == NULL || option_parse_bool(node->scalar, out) == LODE_OK) return LODE_OK;
    return yaml_context(node);
}

lode_status lode_yaml_string(lode_yaml *map, const char *key, const char *def, const char **out) {
    const lode_yaml *node;
    *out = def;
    LODE_TRY(yaml_get_scalar(map, key, &node));
    if (node == NULL) return LODE_OK;
    if (!lode_yaml_is_null(node))
        *out = node->scalar;
    else if (def != NULL)
        return lode_yaml_fail(node, "has no value");
    return LODE_OK;
}
