/* config.c: a recipe: one tree that the file and --set fill, and the tables that were read from it.

   lode_config_read leaves two things behind: the marks on the keys it found (what stays unmarked is
   unknown) and, for every option, the value it got, so that the resolved recipe can be written. */
#include "core/config.h"

#include "core/config_internal.h"

#include <string.h>

/* One option as it was resolved. */
typedef struct config_value {
    char *path; /* "train.sgd.lr" */
    lode_yaml *value;
} config_value;

struct lode_config {
    lode_yaml *root; /* a map */
    config_value *resolved;
    int64_t n_resolved, capacity;
    option_pool pool;
};

/* Takes `root` even when it fails. */
static lode_status config_create(lode_yaml *root, lode_config **out) {
    lode_status status = LODE_ERR_NO_MEMORY;
    lode_config *c = NULL;
    if (root->kind != LODE_YAML_MAP)
        status = lode_yaml_fail(root, "a recipe consists of sections, `section:` and keys below");
    else
        c = LODE_NEW(lode_config);
    *out = c;
    if (c == NULL) {
        lode_yaml_destroy(root);
        return status;
    }
    c->root = root;
    return LODE_OK;
}

lode_status lode_config_parse(const char *text, const char *name, lode_config **out) {
    lode_yaml *root;
    *out = NULL;
    LODE_TRY(lode_yaml_parse(text, name, &root));
    return config_create(root, out);
}

lode_status lode_config_load(const char *path, lode_config **out) {
    lode_yaml *root;
    *out = NULL;
    if (path == NULL) return lode_config_parse("", "recipe", out);
    LODE_TRY(lode_yaml_read(path, &root));
    return config_create(root, out);
}

void lode_config_destroy(lode_config *c) {
    if (c == NULL) return;
    for (int64_t i = 0; i < c->n_resolved; i++) {
        lode_free(c->resolved[i].path);
        lode_yaml_destroy(c->resolved[i].value);
    }
    lode_free(c->resolved);
    option_pool_deinit(&c->pool);
    lode_yaml_destroy(c->root);
    lode_free(c);
}

/* ---- --set ---- */

lode_status lode_config_set(lode_config *c, const char *assignment) {
    const char *equals = strchr(assignment, '=');
    if (equals == NULL || equals == assignment)
        return LODE_FAIL(LODE_ERR_CONFIG, "--set %s: wants KEY=VALUE, such as train.lr=0.1",
                         assignment);
    lode_status status = LODE_ERR_NO_MEMORY;
    lode_yaml *value = NULL;
    char *path = lode_strndup(assignment, (size_t)(equals - assignment));
    char *name = lode_format("--set %s", assignment);
    if (path == NULL || name == NULL) goto done;
    LODE_GOTO(yaml_parse_value(equals + 1, name, &value));
    status = yaml_put(c->root, path, value); /* takes value */
    if (status != LODE_OK) lode_error_context("%s", name);
done:
    lode_free(path);
    lode_free(name);
    return status;
}

/* ---- reading ---- */

static char *config_path(const char *section, const char *name) {
    return section[0] == '\0' ? lode_strdup(name) : lode_format("%s.%s", section, name);
}

/* Notes what the option got; a later reading of the same option counts. */
static lode_status config_note(lode_config *c, const char *path, const lode_option *row,
                               const void *options) {
    lode_yaml *value = option_to_yaml(row, options);
    if (value == NULL) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < c->n_resolved; i++) {
        if (strcmp(c->resolved[i].path, path) != 0) continue;
        lode_yaml_destroy(c->resolved[i].value);
        c->resolved[i].value = value;
        return LODE_OK;
    }
    lode_status status;
    char *copy = lode_strdup(path);
    void *resolved = c->resolved;
    if (copy == NULL) {
        status = LODE_ERR_NO_MEMORY;
        goto failed;
    }
    status = lode_grow(&resolved, &c->capacity, c->n_resolved + 1, sizeof *c->resolved);
    if (status != LODE_OK) goto failed;
    c->resolved = resolved;
    c->resolved[c->n_resolved++] = (config_value){copy, value};
    return LODE_OK;
failed:
    lode_free(copy);
    lode_yaml_destroy(value);
    return status;
}

static lode_status config_read_row(lode_config *c, const char *section, const lode_option *row,
                                   void *options) {
    lode_yaml *node;
    char *path = config_path(section, row->name);
    if (path == NULL) return LODE_ERR_NO_MEMORY;
    bool can_be_absent = row->def != NULL || row->type == LODE_OPT_STRING ||
                         row->type == LODE_OPT_F64_LIST || row->type == LODE_OPT_STRING_LIST;
    lode_status status = yaml_walk(c->root, path, &node);
    if (status != LODE_OK) goto done;
    if (node != NULL)
        status = option_read(row, node, &c->pool, options);
    else if (!can_be_absent)
        status = LODE_FAIL(LODE_ERR_CONFIG, "%s: `%s` must be given: %s", lode_yaml_name(c->root),
                           path, row->help);
    else if ((status = option_read_default(row, &c->pool, options)) != LODE_OK)
        lode_error_context("default of `%s`", path);
    if (status == LODE_OK) status = config_note(c, path, row, options);
done:
    lode_free(path);
    return status;
}

lode_status lode_config_read(lode_config *c, const lode_option_table *table, void *options) {
    lode_yaml *section; /* marks it as used, even when the table has no rows */
    LODE_TRY(yaml_walk(c->root, table->section, &section));
    for (int i = 0; i < table->n_rows; i++)
        LODE_TRY(config_read_row(c, table->section, &table->rows[i], options));
    return LODE_OK;
}

lode_yaml *lode_config_node(lode_config *c, const char *dotted) {
    lode_yaml *node;
    if (yaml_walk(c->root, dotted, &node) != LODE_OK) return NULL;
    lode_yaml_mark_used(node);
    return node;
}

/* ---- afterwards ---- */

/* The known option elsewhere whose last part is `key`, or NULL. */
static const char *config_elsewhere(const lode_config *c, const char *key) {
    for (int64_t i = 0; i < c->n_resolved; i++) {
        const char *path = c->resolved[i].path, *dot = strrchr(path, '.');
        if (strcmp(dot != NULL ? dot + 1 : path, key) == 0) return path;
    }
    return NULL;
}

lode_status lode_config_finish(lode_config *c) {
    const lode_yaml *map, *node = yaml_find_unused(c->root, &map);
    if (node == NULL) return LODE_OK;
    const char *near = config_elsewhere(c, node->key);
    if (near == NULL) near = yaml_nearest_key(map, node->key, NULL);
    if (near != NULL) return lode_yaml_fail(node, "unknown key; did you mean `%s`?", near);
    return lode_yaml_fail(node, "unknown key");
}

/* What the recipe holds, with each option read put in its place. */
char *lode_config_dump(const lode_config *c) {
    char *text = NULL;
    lode_yaml *root = yaml_copy(c->root);
    if (root == NULL) return NULL;
    for (int64_t i = 0; i < c->n_resolved; i++)
        if (yaml_put(root, c->resolved[i].path, yaml_copy(c->resolved[i].value)) != LODE_OK)
            goto done;
    text = lode_yaml_dump(root);
done:
    lode_yaml_destroy(root);
    return text;
}
