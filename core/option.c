/* option.c: one row of an option table: text to field, field to text. */
#include "core/config_internal.h"
#include "core/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- scalars ---- */

static bool option_is_word(const char *text, const char *word) {
    size_t n = strlen(word);
    if (strlen(text) != n) return false;
    for (size_t i = 0; i < n; i++) /* true, True, TRUE: a letter and its capital differ by 32 */
        if (text[i] != word[i] && text[i] != word[i] - 32) return false;
    return true;
}

static bool option_is_bool(const char *text, bool *out) {
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    for (int i = 0; i < 3; i++) {
        if (!option_is_word(text, yes[i]) && !option_is_word(text, no[i])) continue;
        *out = option_is_word(text, yes[i]);
        return true;
    }
    return false;
}

lode_status option_parse_bool(const char *text, bool *out) {
    if (option_is_bool(text, out)) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG, "`%s` is neither true nor false", text);
}

static lode_status option_check_range(double x, const char *text, double min, double max) {
    char low[32], high[32];
    if (min == max || (x >= min && x <= max)) return LODE_OK;
    return LODE_FAIL(LODE_ERR_CONFIG, "%s is not between %s and %s", text,
                     lode_f64_format(min, low), lode_f64_format(max, high));
}

lode_status option_parse_int(const char *text, double min, double max, int64_t *out) {
    int64_t x;
    if (!lode_i64_parse(text, &x))
        return LODE_FAIL(LODE_ERR_CONFIG, "`%s` is not a whole number", text);
    LODE_TRY(option_check_range((double)x, text, min, max));
    *out = x;
    return LODE_OK;
}

lode_status option_parse_f64(const char *text, double min, double max, double *out) {
    double x;
    if (!lode_f64_parse(text, &x) || isnan(x))
        return LODE_FAIL(LODE_ERR_CONFIG, "`%s` is not a number", text);
    LODE_TRY(option_check_range(x, text, min, max));
    *out = x;
    return LODE_OK;
}

/* The i-th of "a|b|c" and its length, or NULL. */
static const char *option_word(const char *words, int i, size_t *n) {
    for (; i > 0; i--) {
        words = strchr(words, '|');
        if (words == NULL) return NULL;
        words++;
    }
    *n = strcspn(words, "|");
    return words;
}

static lode_status option_bad_word(const char *text, const char *words) {
    enum { MAX_WORDS = 64 };
    const char *list[MAX_WORDS], *near = NULL;
    char *copy = lode_strdup(words);
    if (copy == NULL) return LODE_ERR_NO_MEMORY;
    int n = 0;
    for (char *s = copy; s != NULL && n < MAX_WORDS;) {
        list[n++] = s;
        s = strchr(s, '|');
        if (s != NULL) *s++ = '\0';
    }
    near = lode_nearest_word(text, list, n);
    if (near != NULL)
        LODE_FAIL(LODE_ERR_CONFIG, "`%s` is not one of %s; did you mean `%s`?", text, words, near);
    else
        LODE_FAIL(LODE_ERR_CONFIG, "`%s` is not one of %s", text, words);
    lode_free(copy);
    return LODE_ERR_CONFIG;
}

static lode_status option_parse_enum(const char *text, const char *words, int *out) {
    size_t n;
    const char *word;
    for (int i = 0; (word = option_word(words, i, &n)) != NULL; i++) {
        if (strlen(text) != n || strncmp(text, word, n) != 0) continue;
        *out = i;
        return LODE_OK;
    }
    return option_bad_word(text, words);
}

static void *option_field(const lode_option *row, void *options) {
    return (char *)options + row->offset;
}

/* Everything that is one plain value. A string keeps pointing to `text`. */
static lode_status option_parse(const lode_option *row, const char *text, void *options) {
    void *field = option_field(row, options);
    switch (row->type) {
    case LODE_OPT_BOOL:
        return option_parse_bool(text, field);
    case LODE_OPT_INT:
        return option_parse_int(text, row->min, row->max, field);
    case LODE_OPT_F64:
        return option_parse_f64(text, row->min, row->max, field);
    case LODE_OPT_ENUM:
        return option_parse_enum(text, row->words, field);
    case LODE_OPT_STRING:
        *(const char **)field = text;
        return LODE_OK;
    case LODE_OPT_F64_LIST:
    case LODE_OPT_STRING_LIST:
        break;
    }
    return LODE_FAIL(LODE_ERR_UNSUPPORTED, "a list cannot be given here");
}

/* ---- from YAML ---- */

void option_pool_deinit(option_pool *pool) {
    for (int64_t i = 0; i < pool->n; i++) lode_free(pool->block[i]);
    lode_free(pool->block);
    *pool = (option_pool){0};
}

/* Takes `block` even when it fails. */
static lode_status option_pool_take(option_pool *pool, void *block) {
    void *blocks = pool->block;
    if (block == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = lode_grow(&blocks, &pool->capacity, pool->n + 1, sizeof *pool->block);
    if (status != LODE_OK) {
        lode_free(block);
        return status;
    }
    pool->block = blocks;
    pool->block[pool->n++] = block;
    return LODE_OK;
}

static lode_status option_keep_text(option_pool *pool, const char *text, const char **out) {
    char *copy = lode_strdup(text);
    LODE_TRY(option_pool_take(pool, copy));
    *out = copy;
    return LODE_OK;
}

/* A plain value counts as a list of one. */
static int option_list_length(const lode_yaml *node) {
    return node->kind == LODE_YAML_LIST ? node->n : 1;
}

static lode_status option_list_item(const lode_yaml *node, int i, const lode_yaml **item) {
    *item = node->kind == LODE_YAML_LIST ? node->item[i] : node;
    if ((*item)->kind != LODE_YAML_SCALAR || lode_yaml_is_null(*item))
        return LODE_FAIL(LODE_ERR_CONFIG, "item %d of the list is not a plain value", i + 1);
    return LODE_OK;
}

static lode_status option_read_f64_list(const lode_option *row, const lode_yaml *node,
                                        option_pool *pool, lode_f64_list *out) {
    int n = option_list_length(node);
    double *v = LODE_NEW_ARRAY(double, n);
    LODE_TRY(option_pool_take(pool, v));
    for (int i = 0; i < n; i++) {
        const lode_yaml *item;
        LODE_TRY(option_list_item(node, i, &item));
        LODE_TRY(option_parse_f64(item->scalar, row->min, row->max, &v[i]));
    }
    *out = (lode_f64_list){n, v};
    return LODE_OK;
}

static lode_status option_read_string_list(const lode_yaml *node, option_pool *pool,
                                           lode_string_list *out) {
    int n = option_list_length(node);
    const char **v = LODE_NEW_ARRAY(const char *, n);
    LODE_TRY(option_pool_take(pool, v));
    for (int i = 0; i < n; i++) {
        const lode_yaml *item;
        LODE_TRY(option_list_item(node, i, &item));
        LODE_TRY(option_keep_text(pool, item->scalar, &v[i]));
    }
    *out = (lode_string_list){n, v};
    return LODE_OK;
}

static lode_status option_read_node(const lode_option *row, const lode_yaml *node,
                                    option_pool *pool, void *options) {
    void *field = option_field(row, options);
    bool null = lode_yaml_is_null(node);
    if (null && row->type == LODE_OPT_STRING && row->def == NULL) {
        *(const char **)field = NULL;
        return LODE_OK;
    }
    if (null) return LODE_FAIL(LODE_ERR_CONFIG, "has no value");
    if (node->kind == LODE_YAML_MAP)
        return LODE_FAIL(LODE_ERR_CONFIG, "should be a value and is a section");
    if (row->type == LODE_OPT_F64_LIST) return option_read_f64_list(row, node, pool, field);
    if (row->type == LODE_OPT_STRING_LIST) return option_read_string_list(node, pool, field);
    if (node->kind == LODE_YAML_LIST)
        return LODE_FAIL(LODE_ERR_CONFIG, "should be one value and is a list");
    if (row->type == LODE_OPT_STRING) return option_keep_text(pool, node->scalar, field);
    return option_parse(row, node->scalar, options);
}

lode_status option_read(const lode_option *row, const lode_yaml *node, option_pool *pool,
                        void *options) {
    if (option_read_node(row, node, pool, options) == LODE_OK) return LODE_OK;
    return yaml_context(node);
}

/* ---- defaults ---- */

static bool option_is_list(const lode_option *row) {
    return row->type == LODE_OPT_F64_LIST || row->type == LODE_OPT_STRING_LIST;
}

static size_t option_field_size(const lode_option *row) {
    switch (row->type) {
    case LODE_OPT_BOOL:
        return sizeof(bool);
    case LODE_OPT_INT:
        return sizeof(int64_t);
    case LODE_OPT_F64:
        return sizeof(double);
    case LODE_OPT_STRING:
        return sizeof(const char *);
    case LODE_OPT_ENUM:
        return sizeof(int);
    case LODE_OPT_F64_LIST:
        return sizeof(lode_f64_list);
    case LODE_OPT_STRING_LIST:
        return sizeof(lode_string_list);
    }
    return 0;
}

lode_status option_read_default(const lode_option *row, option_pool *pool, void *options) {
    memset(option_field(row, options), 0, option_field_size(row));
    if (row->def == NULL) return LODE_OK;
    if (!option_is_list(row)) return option_parse(row, row->def, options);
    lode_yaml *node = NULL;
    lode_status status = lode_yaml_parse(row->def, row->name, &node);
    if (status != LODE_OK) return status;
    if (node->kind == LODE_YAML_LIST && node->n == 0)
        status = LODE_OK; /* [] is what the field holds already, and needs no owner */
    else if (pool == NULL)
        status = LODE_FAIL(LODE_ERR_UNSUPPORTED, "a list with a default needs lode_config_read");
    else
        status = option_read_node(row, node, pool, options);
    lode_yaml_destroy(node);
    return status;
}

static lode_status option_context(const lode_option_table *table, const lode_option *row) {
    const char *dot = table->section[0] == '\0' || strcmp(table->section, "--") == 0 ? "" : ".";
    return lode_error_context("%s%s%s", table->section, dot, row->name);
}

lode_status lode_options_default(const lode_option_table *table, void *options) {
    for (int i = 0; i < table->n_rows; i++)
        if (option_read_default(&table->rows[i], NULL, options) != LODE_OK)
            return option_context(table, &table->rows[i]);
    return LODE_OK;
}

lode_status lode_options_assign(const lode_option_table *table, const char *name, const char *text,
                                void *options) {
    for (int i = 0; i < table->n_rows; i++) {
        if (strcmp(table->rows[i].name, name) != 0) continue;
        if (option_parse(&table->rows[i], text, options) == LODE_OK) return LODE_OK;
        return option_context(table, &table->rows[i]);
    }
    return LODE_FAIL(LODE_ERR_NOT_FOUND, "no option `%s`", name);
}

/* ---- to YAML ---- */

/* Texts that YAML would take for something else are quoted. */
static lode_yaml *option_text_to_yaml(const char *text) {
    double number;
    bool truth;
    if (text == NULL) return yaml_new_scalar("", "null", false);
    lode_yaml *node = yaml_new_scalar("", text, false);
    if (node == NULL) return NULL;
    node->quoted =
        lode_yaml_is_null(node) || lode_f64_parse(text, &number) || option_is_bool(text, &truth);
    return node;
}

static lode_yaml *option_f64_to_yaml(double x) {
    char s[32];
    return yaml_new_scalar("", lode_f64_format(x, s), false);
}

static lode_yaml *option_list_to_yaml(const lode_option *row, const void *field) {
    lode_yaml *list = yaml_new("", LODE_YAML_LIST);
    lode_status status = list != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
    if (row->type == LODE_OPT_F64_LIST) {
        const lode_f64_list *v = field;
        for (int i = 0; status == LODE_OK && i < v->n; i++)
            status = yaml_append(list, option_f64_to_yaml(v->v[i]));
    } else {
        const lode_string_list *v = field;
        for (int i = 0; status == LODE_OK && i < v->n; i++)
            status = yaml_append(list, option_text_to_yaml(v->v[i]));
    }
    if (status == LODE_OK) return list;
    lode_yaml_destroy(list);
    return NULL;
}

static lode_yaml *option_enum_to_yaml(const lode_option *row, int i) {
    size_t n;
    const char *word = option_word(row->words, i, &n);
    char *text = word != NULL ? lode_strndup(word, n) : lode_format("%d", i);
    lode_yaml *node = text != NULL ? yaml_new_scalar("", text, false) : NULL;
    lode_free(text);
    return node;
}

lode_yaml *option_to_yaml(const lode_option *row, const void *options) {
    const void *field = (const char *)options + row->offset;
    char s[32];
    switch (row->type) {
    case LODE_OPT_BOOL:
        return yaml_new_scalar("", *(const bool *)field ? "true" : "false", false);
    case LODE_OPT_INT:
        snprintf(s, sizeof s, "%lld", (long long)*(const int64_t *)field);
        return yaml_new_scalar("", s, false);
    case LODE_OPT_F64:
        return option_f64_to_yaml(*(const double *)field);
    case LODE_OPT_STRING:
        return option_text_to_yaml(*(const char *const *)field);
    case LODE_OPT_ENUM:
        return option_enum_to_yaml(row, *(const int *)field);
    case LODE_OPT_F64_LIST:
    case LODE_OPT_STRING_LIST:
        break;
    }
    return option_list_to_yaml(row, field);
}
