/* config_internal.h: what yaml.c, option.c and config.c share. */
#ifndef LODE_CORE_CONFIG_INTERNAL_H
#define LODE_CORE_CONFIG_INTERNAL_H
#include "core/config.h"
#include "core/memory.h"

/* ---- yaml_tree.c ---- */
/* Shared by the nodes of one text; goes with the last of them. */
typedef struct yaml_source {
    int refs;
    char *name;
    bool no_lines; /* one line of text: messages leave the number out */
} yaml_source;

/* What stands behind every lode_yaml. */
typedef struct yaml_node {
    lode_yaml y; /* first, so that one pointer is the other */
    yaml_source *source;
    char *key, *text;   /* own y.key and y.scalar */
    int64_t capacity;   /* of y.item */
    lode_yaml **sorted; /* a map's children by key; valid while n_sorted == y.n */
    int n_sorted;
    char **missed; /* keys that were looked up in vain: what a misspelt key may have meant */
    int64_t n_missed, missed_capacity;
} yaml_node;

yaml_source *yaml_source_create(const char *name);
void yaml_source_release(yaml_source *source);
lode_yaml *yaml_node_create(yaml_source *source, lode_yaml_kind kind, int line);
lode_status yaml_set_key(lode_yaml *node, const char *key);
lode_status yaml_set_text(lode_yaml *node, const char *text, size_t n, bool quoted);
/* Sorts a map's children for fast lookups; *twice becomes a child whose key stands twice. */
lode_status yaml_sort(lode_yaml *map, const lode_yaml **twice);
/* A child by key without marking, or NULL. */
lode_yaml *yaml_find(const lode_yaml *map, const char *key);
/* The first unread key in document order, and the map it stands in. */
const lode_yaml *yaml_find_unused(const lode_yaml *root, const lode_yaml **map);
/* Nearest of `known` and of what was missed in `map`; NULL when none is near. */
const char *yaml_nearest_key(const lode_yaml *map, const char *key, const char *const *known);

/* Building trees; messages leave out the line of nodes made here. */
lode_yaml *yaml_new(const char *name, lode_yaml_kind kind);
lode_yaml *yaml_new_scalar(const char *name, const char *text, bool quoted);
/* A deep copy, or NULL. */
lode_yaml *yaml_copy(const lode_yaml *node);
/* Appends to a list. Takes `item` even when it fails; NULL is "no memory". */
lode_status yaml_append(lode_yaml *list, lode_yaml *item);
/* Puts `value` at the dotted path below `root`, making maps on the way. Takes `value` likewise. */
lode_status yaml_put(lode_yaml *root, const char *dotted, lode_yaml *value);
/* The node at a dotted path, marking what it passes as used; *out NULL when absent (a null section
   is absent). Fails when the path runs through something that is no map. */
lode_status yaml_walk(lode_yaml *root, const char *dotted, lode_yaml **out);
/* Puts "NAME:LINE: key `k`" in front of the current story. */
lode_status yaml_context(const lode_yaml *node);

/* ---- yaml.c ---- */
/* lode_yaml_parse for a value given on a command line: without line numbers, null when empty. */
lode_status yaml_parse_value(const char *text, const char *name, lode_yaml **out);

/* ---- option.c ---- */
/* What the lists and strings of options are kept in. */
typedef struct option_pool {
    void **block; /* [n] */
    int64_t n, capacity;
} option_pool;
void option_pool_deinit(option_pool *pool);
/* node -> the option's field; and the field -> a node that reads back to it. */
lode_status option_read(const lode_option *row, const lode_yaml *node, option_pool *pool,
                        void *options);
lode_status option_read_default(const lode_option *row, option_pool *pool, void *options);
lode_yaml *option_to_yaml(const lode_option *row, const void *options);

/* Scalars; the story is without a place. min == max: no range. */
lode_status option_parse_bool(const char *text, bool *out);
lode_status option_parse_int(const char *text, double min, double max, int64_t *out);
lode_status option_parse_f64(const char *text, double min, double max, double *out);
#endif
