/* yaml_tree.c: the nodes of a configuration: lookups that remember, checks, changes.

   Every lookup leaves a trace: a key that was found is marked as used, a key that was not is noted
   in its map. So after all reading is done, a key that is not used is unknown, and the noted keys
   of the same map are what its writer may have meant, without a list of legal keys anywhere. */
#include "core/config_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { YAML_MAX_MISSED = 256, YAML_PATH_PART = 128 };

static yaml_node *yaml_of(lode_yaml *y) { return (yaml_node *)y; }
static const yaml_node *yaml_of_const(const lode_yaml *y) { return (const yaml_node *)y; }

/* ---- nodes ---- */

yaml_source *yaml_source_create(const char *name) {
    yaml_source *s = LODE_NEW(yaml_source);
    if (s == NULL) return NULL;
    s->refs = 1;
    s->name = lode_strdup(name);
    if (s->name == NULL) {
        lode_free(s);
        return NULL;
    }
    return s;
}

void yaml_source_release(yaml_source *source) {
    if (source == NULL || --source->refs > 0) return;
    lode_free(source->name);
    lode_free(source);
}

lode_yaml *yaml_node_create(yaml_source *source, lode_yaml_kind kind, int line) {
    yaml_node *node = LODE_NEW(yaml_node);
    if (node == NULL) return NULL;
    node->y.kind = kind;
    node->y.line = line;
    node->source = source;
    source->refs++;
    return &node->y;
}

lode_yaml *yaml_new(const char *name, lode_yaml_kind kind) {
    yaml_source *source = yaml_source_create(name);
    if (source == NULL) return NULL;
    source->no_lines = true;
    lode_yaml *node = yaml_node_create(source, kind, 1);
    yaml_source_release(source);
    return node;
}

lode_yaml *yaml_new_scalar(const char *name, const char *text, bool quoted) {
    lode_yaml *node = yaml_new(name, LODE_YAML_SCALAR);
    if (node != NULL && yaml_set_text(node, text, strlen(text), quoted) != LODE_OK) {
        lode_yaml_destroy(node);
        return NULL;
    }
    return node;
}

void lode_yaml_destroy(lode_yaml *root) {
    if (root == NULL) return;
    yaml_node *node = yaml_of(root);
    for (int i = 0; i < root->n; i++) lode_yaml_destroy(root->item[i]);
    for (int64_t i = 0; i < node->n_missed; i++) lode_free(node->missed[i]);
    lode_free(node->missed);
    lode_free(node->sorted);
    lode_free(root->item);
    lode_free(node->key);
    lode_free(node->text);
    yaml_source_release(node->source);
    lode_free(node);
}

lode_status yaml_set_key(lode_yaml *y, const char *key) {
    char *copy = lode_strdup(key);
    if (copy == NULL) return LODE_ERR_NO_MEMORY;
    lode_free(yaml_of(y)->key);
    y->key = yaml_of(y)->key = copy;
    return LODE_OK;
}

lode_status yaml_set_text(lode_yaml *y, const char *text, size_t n, bool quoted) {
    char *copy = lode_strndup(text, n);
    if (copy == NULL) return LODE_ERR_NO_MEMORY;
    lode_free(yaml_of(y)->text);
    y->scalar = yaml_of(y)->text = copy;
    y->quoted = quoted;
    return LODE_OK;
}

lode_status yaml_append(lode_yaml *list, lode_yaml *item) {
    if (item == NULL) return LODE_ERR_NO_MEMORY;
    void *items = list->item;
    if (lode_grow(&items, &yaml_of(list)->capacity, list->n + 1, sizeof *list->item) != LODE_OK) {
        lode_yaml_destroy(item);
        return LODE_ERR_NO_MEMORY;
    }
    list->item = items;
    list->item[list->n++] = item;
    return LODE_OK;
}

lode_yaml *yaml_copy(const lode_yaml *y) {
    lode_yaml *copy = yaml_node_create(yaml_of_const(y)->source, y->kind, y->line);
    if (copy == NULL) return NULL;
    lode_status status = LODE_OK;
    copy->used = y->used;
    if (y->key != NULL) status = yaml_set_key(copy, y->key);
    if (status == LODE_OK && y->scalar != NULL)
        status = yaml_set_text(copy, y->scalar, strlen(y->scalar), y->quoted);
    for (int i = 0; status == LODE_OK && i < y->n; i++)
        status = yaml_append(copy, yaml_copy(y->item[i]));
    if (status == LODE_OK) return copy;
    lode_yaml_destroy(copy);
    return NULL;
}

/* ---- lookups ---- */

static int yaml_compare_keys(const void *a, const void *b) {
    return strcmp((*(lode_yaml *const *)a)->key, (*(lode_yaml *const *)b)->key);
}

lode_status yaml_sort(lode_yaml *map, const lode_yaml **twice) {
    yaml_node *node = yaml_of(map);
    *twice = NULL;
    lode_free(node->sorted);
    node->n_sorted = 0;
    node->sorted = LODE_NEW_ARRAY(lode_yaml *, map->n);
    if (node->sorted == NULL) return LODE_ERR_NO_MEMORY;
    if (map->n == 0) return LODE_OK;
    memcpy(node->sorted, map->item, (size_t)map->n * sizeof *map->item);
    qsort(node->sorted, (size_t)map->n, sizeof *node->sorted, yaml_compare_keys);
    node->n_sorted = map->n;
    for (int i = 1; i < map->n && *twice == NULL; i++) {
        const lode_yaml *a = node->sorted[i - 1], *b = node->sorted[i];
        if (strcmp(a->key, b->key) == 0) *twice = a->line > b->line ? a : b;
    }
    return LODE_OK;
}

lode_yaml *yaml_find(const lode_yaml *map, const char *key) {
    const yaml_node *node = yaml_of_const(map);
    if (node->n_sorted != map->n) {
        for (int i = 0; i < map->n; i++)
            if (strcmp(map->item[i]->key, key) == 0) return map->item[i];
        return NULL;
    }
    int low = 0, high = map->n;
    while (low < high) {
        int middle = low + (high - low) / 2, order = strcmp(node->sorted[middle]->key, key);
        if (order == 0) return node->sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Only a help for messages: beyond a bound, or without memory, it is left out. */
static void yaml_note_missed(yaml_node *node, const char *key) {
    if (node->n_missed >= YAML_MAX_MISSED) return;
    for (int64_t i = 0; i < node->n_missed; i++)
        if (strcmp(node->missed[i], key) == 0) return;
    void *missed = node->missed;
    if (lode_grow(&missed, &node->missed_capacity, node->n_missed + 1, sizeof(char *)) != LODE_OK)
        return;
    node->missed = missed;
    char *copy = lode_strdup(key);
    if (copy != NULL) node->missed[node->n_missed++] = copy;
}

lode_yaml *lode_yaml_get(lode_yaml *map, const char *key) {
    if (map == NULL || map->kind != LODE_YAML_MAP) return NULL;
    lode_yaml *child = yaml_find(map, key);
    if (child != NULL)
        child->used = true;
    else
        yaml_note_missed(yaml_of(map), key);
    return child;
}

bool lode_yaml_is_null(const lode_yaml *node) {
    if (node->kind != LODE_YAML_SCALAR || node->quoted) return false;
    const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(node->scalar, words[i]) == 0) return true;
    return false;
}

const char *lode_yaml_name(const lode_yaml *node) { return yaml_of_const(node)->source->name; }

void lode_yaml_mark_used(lode_yaml *node) {
    if (node == NULL) return;
    node->used = true;
    for (int i = 0; i < node->n; i++) lode_yaml_mark_used(node->item[i]);
}

/* ---- messages ---- */

lode_status yaml_context(const lode_yaml *node) {
    char line[24] = "";
    if (!yaml_of_const(node)->source->no_lines) snprintf(line, sizeof line, ":%d", node->line);
    if (node->key == NULL) return lode_error_context("%s%s", lode_yaml_name(node), line);
    return lode_error_context("%s%s: key `%s`", lode_yaml_name(node), line, node->key);
}

lode_status lode_yaml_fail(const lode_yaml *node, const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    LODE_FAIL(LODE_ERR_CONFIG, "%s", text);
    return yaml_context(node);
}

const lode_yaml *yaml_find_unused(const lode_yaml *root, const lode_yaml **map) {
    for (int i = 0; i < root->n; i++) {
        const lode_yaml *child = root->item[i];
        if (root->kind == LODE_YAML_MAP && !child->used) {
            *map = root;
            return child;
        }
        const lode_yaml *found = yaml_find_unused(child, map);
        if (found != NULL) return found;
    }
    return NULL;
}

const char *yaml_nearest_key(const lode_yaml *map, const char *key, const char *const *known) {
    const yaml_node *node = yaml_of_const(map);
    int n = 0;
    while (known != NULL && known[n] != NULL) n++;
    const char **words = LODE_NEW_ARRAY(const char *, n + node->n_missed);
    if (words == NULL) return NULL;
    for (int i = 0; i < n; i++) words[i] = known[i];
    for (int64_t i = 0; i < node->n_missed; i++) words[n + i] = node->missed[i];
    const char *nearest = lode_nearest_word(key, words, n + (int)node->n_missed);
    lode_free(words);
    return nearest;
}

lode_status lode_yaml_check_used(const lode_yaml *root, const char *const *known) {
    const lode_yaml *map, *node = yaml_find_unused(root, &map);
    if (node == NULL) return LODE_OK;
    const char *near = yaml_nearest_key(map, node->key, known);
    if (near != NULL) return lode_yaml_fail(node, "unknown key; did you mean `%s`?", near);
    return lode_yaml_fail(node, "unknown key");
}

/* ---- dotted paths ---- */

/* Copies the first part of a dotted path and returns what follows it ("" at the end, NULL when a
   part is empty or too long). */
static const char *yaml_path_part(const char *path, char part[YAML_PATH_PART]) {
    size_t n = strcspn(path, ".");
    if (n == 0 || n >= YAML_PATH_PART) return NULL;
    memcpy(part, path, n);
    part[n] = '\0';
    if (path[n] == '\0') return path + n;
    return path[n + 1] == '\0' ? NULL : path + n + 1;
}

/* Parts of printable ASCII, with points between. */
static bool yaml_is_path(const char *path) {
    char part[YAML_PATH_PART];
    for (const char *s = path; *s != '\0'; s++)
        if (*s <= ' ' || *s > '~') return false;
    while (path != NULL && *path != '\0') path = yaml_path_part(path, part);
    return path != NULL;
}

/* The item a part names in a list: "0", "1", ..., or -1. */
static int yaml_list_index(const lode_yaml *list, const char *part) {
    int i = 0;
    for (const char *s = part; *s != '\0'; s++) {
        if (*s < '0' || *s > '9' || i > list->n) return -1;
        i = 10 * i + (*s - '0');
    }
    return i < list->n ? i : -1;
}

lode_status yaml_walk(lode_yaml *root, const char *dotted, lode_yaml **out) {
    char part[YAML_PATH_PART];
    lode_yaml *node = root;
    *out = NULL;
    for (const char *rest = dotted; *rest != '\0';) {
        rest = yaml_path_part(rest, part);
        if (rest == NULL) return LODE_FAIL(LODE_ERR_INVALID, "`%s` is not a path a.b.c", dotted);
        const char *is = node->kind == LODE_YAML_LIST ? "a list" : "a value";
        int i = node->kind == LODE_YAML_LIST ? yaml_list_index(node, part) : -1;
        if (i >= 0)
            node = node->item[i];
        else if (node->kind == LODE_YAML_MAP)
            node = lode_yaml_get(node, part);
        else if (lode_yaml_is_null(node))
            node = NULL;
        else
            return lode_yaml_fail(node, "is %s, and should be a section with keys such as `%s`", is,
                                  part);
        if (node == NULL) return LODE_OK;
    }
    *out = node;
    return LODE_OK;
}

/* Replaces *slot by `value`, which inherits the key. */
static lode_status yaml_replace(lode_yaml *parent, lode_yaml **slot, lode_yaml *value) {
    lode_status status = LODE_OK;
    if ((*slot)->key != NULL) status = yaml_set_key(value, (*slot)->key);
    if (status != LODE_OK) {
        lode_yaml_destroy(value);
        return status;
    }
    yaml_of(parent)->n_sorted = -1;
    lode_yaml_destroy(*slot);
    *slot = value;
    return LODE_OK;
}

static lode_yaml **yaml_slot(lode_yaml *parent, const char *part) {
    if (parent->kind == LODE_YAML_LIST) {
        int i = yaml_list_index(parent, part);
        return i >= 0 ? &parent->item[i] : NULL;
    }
    for (int i = 0; i < parent->n; i++)
        if (strcmp(parent->item[i]->key, part) == 0) return &parent->item[i];
    return NULL;
}

/* Puts `value` (taken) under the name `part`. */
static lode_status yaml_put_child(lode_yaml *parent, const char *part, lode_yaml *value) {
    lode_yaml **slot = yaml_slot(parent, part);
    if (slot != NULL) return yaml_replace(parent, slot, value);
    lode_status status = LODE_OK;
    if (parent->kind == LODE_YAML_LIST)
        status = LODE_FAIL(LODE_ERR_CONFIG, "`%s` is not one of the %d items of this list", part,
                           parent->n);
    else
        status = yaml_set_key(value, part);
    if (status == LODE_OK) return yaml_append(parent, value);
    lode_yaml_destroy(value);
    return status;
}

lode_status yaml_put(lode_yaml *root, const char *dotted, lode_yaml *value) {
    char part[YAML_PATH_PART];
    lode_status status = LODE_OK;
    lode_yaml *node = root;
    if (value == NULL) return LODE_ERR_NO_MEMORY;
    if (dotted[0] == '\0' || !yaml_is_path(dotted)) { /* before anything is made */
        status = LODE_FAIL(LODE_ERR_CONFIG, "`%s` is not a path such as train.lr", dotted);
        goto done;
    }
    for (const char *rest = dotted;;) {
        rest = yaml_path_part(rest, part);
        if (node->kind == LODE_YAML_SCALAR) {
            status = lode_yaml_fail(node, "is no section, so nothing can be set below it");
            goto done;
        }
        if (*rest == '\0') break;
        lode_yaml **next = yaml_slot(node, part);
        if (next == NULL || lode_yaml_is_null(*next)) { /* a section that is not there yet */
            lode_yaml *map = yaml_new(lode_yaml_name(value), LODE_YAML_MAP);
            status = map != NULL ? yaml_put_child(node, part, map) : LODE_ERR_NO_MEMORY;
            if (status != LODE_OK) goto done;
            next = yaml_slot(node, part);
        }
        node = *next;
    }
    return yaml_put_child(node, part, value);
done:
    lode_yaml_destroy(value);
    return status;
}
