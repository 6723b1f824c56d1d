/* yaml.c: text <-> tree through libyaml.

   libyaml composes a document of numbered nodes, in which an alias is the number of its anchor. The
   tree wants a node for every place, so aliases are expanded by copying. A few lines of nested
   aliases can stand for more nodes than there are atoms, hence the bounds on nodes and depth. */
#include "core/config_internal.h"
#include "core/platform.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

enum { YAML_MAX_ALIASED = 1 << 16, YAML_MAX_DEPTH = 64 };

typedef struct yaml_reader {
    yaml_document_t document;
    yaml_source *source;
    ptrdiff_t n_nodes, max_nodes;
} yaml_reader;

/* ---- text to tree ---- */

static lode_status yaml_convert(yaml_reader *r, int index, int line, int depth, lode_yaml **out);

/* "NAME:LINE: what", the line only where there are several. */
static lode_status yaml_fail_at(const yaml_source *source, size_t line, const char *what) {
    if (source->no_lines) return LODE_FAIL(LODE_ERR_CONFIG, "%s: %s", source->name, what);
    return LODE_FAIL(LODE_ERR_CONFIG, "%s:%zu: %s", source->name, line, what);
}

static lode_status yaml_reader_fail(const yaml_reader *r, int line, const char *what) {
    return yaml_fail_at(r->source, (size_t)line, what);
}

static int yaml_line(const yaml_node_t *node) { return (int)node->start_mark.line + 1; }

/* A scalar's text, which C wants without NUL inside. */
static lode_status yaml_check_scalar(const yaml_reader *r, const yaml_node_t *node) {
    if (memchr(node->data.scalar.value, '\0', node->data.scalar.length) == NULL) return LODE_OK;
    return yaml_reader_fail(r, yaml_line(node), "text with a NUL byte inside");
}

static lode_status yaml_convert_list(yaml_reader *r, const yaml_node_t *node, int depth,
                                     lode_yaml *list) {
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top;
         i++) {
        lode_yaml *item = NULL;
        LODE_TRY(yaml_convert(r, *i, 0, depth + 1, &item));
        LODE_TRY(yaml_append(list, item));
    }
    return LODE_OK;
}

/* Moves the children of `from` whose keys `map` lacks: what the map itself says wins. */
static lode_status yaml_merge(lode_yaml *map, lode_yaml *from) {
    const lode_yaml *twice;
    LODE_TRY(yaml_sort(map, &twice));
    for (int i = 0; i < from->n; i++) /* ask before appending makes the sorted keys stale */
        from->item[i]->used = yaml_find(map, from->item[i]->key) != NULL;
    for (int i = 0; i < from->n; i++) {
        lode_yaml *child = from->item[i];
        if (child->used) continue;
        from->item[i] = NULL;
        LODE_TRY(yaml_append(map, child));
    }
    return LODE_OK;
}

/* The value of a key "<<": a map, or a list of maps of which the first wins. */
static lode_status yaml_convert_merge(yaml_reader *r, int index, int line, int depth,
                                      lode_yaml *map) {
    lode_yaml *value = NULL;
    lode_status status = yaml_convert(r, index, line, depth + 1, &value);
    if (status != LODE_OK) goto done;
    int n = value->kind == LODE_YAML_LIST ? value->n : 1;
    for (int i = 0; status == LODE_OK && i < n; i++) {
        lode_yaml *from = value->kind == LODE_YAML_LIST ? value->item[i] : value;
        if (from->kind != LODE_YAML_MAP)
            status = yaml_reader_fail(r, line, "the merge key << wants a map or a list of maps");
        else
            status = yaml_merge(map, from);
    }
done:
    lode_yaml_destroy(value);
    return status;
}

static bool yaml_is_merge_key(const yaml_node_t *key) {
    return key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && key->data.scalar.length == 2 &&
           memcmp(key->data.scalar.value, "<<", 2) == 0;
}

static lode_status yaml_convert_pair(yaml_reader *r, const yaml_node_t *key, int value, int depth,
                                     lode_yaml *map) {
    lode_yaml *child = NULL;
    LODE_TRY(yaml_convert(r, value, yaml_line(key), depth + 1, &child));
    lode_status status = yaml_set_key(child, (const char *)key->data.scalar.value);
    if (status == LODE_OK) return yaml_append(map, child);
    lode_yaml_destroy(child);
    return status;
}

static lode_status yaml_check_key(const yaml_reader *r, const yaml_node_t *key) {
    if (key->type != YAML_SCALAR_NODE)
        return yaml_reader_fail(r, yaml_line(key), "a key should be plain text");
    if (key->data.scalar.length == 0) return yaml_reader_fail(r, yaml_line(key), "a key is empty");
    return yaml_check_scalar(r, key);
}

/* First the map's own pairs, then what it merges. */
static lode_status yaml_convert_map(yaml_reader *r, const yaml_node_t *node, int depth,
                                    lode_yaml *map) {
    const yaml_node_pair_t *begin = node->data.mapping.pairs.start;
    const yaml_node_pair_t *end = node->data.mapping.pairs.top;
    const lode_yaml *twice;
    for (const yaml_node_pair_t *p = begin; p < end; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->document, p->key);
        LODE_TRY(yaml_check_key(r, key));
        if (!yaml_is_merge_key(key)) LODE_TRY(yaml_convert_pair(r, key, p->value, depth, map));
    }
    LODE_TRY(yaml_sort(map, &twice));
    if (twice != NULL) return lode_yaml_fail(twice, "stands twice in its section");
    for (const yaml_node_pair_t *p = begin; p < end; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->document, p->key);
        if (yaml_is_merge_key(key))
            LODE_TRY(yaml_convert_merge(r, p->value, yaml_line(key), depth, map));
    }
    return yaml_sort(map, &twice);
}

static lode_status yaml_check_bounds(yaml_reader *r, const yaml_node_t *node, int depth) {
    static const char standard[] = "tag:yaml.org,2002:";
    const char *tag = (const char *)node->tag;
    char what[160];
    if (depth > YAML_MAX_DEPTH) {
        snprintf(what, sizeof what, "nested deeper than %d levels, or an alias of itself",
                 YAML_MAX_DEPTH);
        return yaml_reader_fail(r, yaml_line(node), what);
    }
    if (++r->n_nodes > r->max_nodes) {
        snprintf(what, sizeof what, "aliases stand for more than %d values", YAML_MAX_ALIASED);
        return yaml_reader_fail(r, yaml_line(node), what);
    }
    if (tag != NULL && strncmp(tag, standard, sizeof standard - 1) != 0) {
        snprintf(what, sizeof what, "the tag %.100s has no meaning here", tag);
        return yaml_reader_fail(r, yaml_line(node), what);
    }
    return LODE_OK;
}

/* `line` 0: that of the node itself. */
static lode_status yaml_convert(yaml_reader *r, int index, int line, int depth, lode_yaml **out) {
    const yaml_node_t *node = yaml_document_get_node(&r->document, index);
    *out = NULL;
    LODE_TRY(yaml_check_bounds(r, node, depth));
    lode_yaml_kind kind = node->type == YAML_SCALAR_NODE     ? LODE_YAML_SCALAR
                          : node->type == YAML_SEQUENCE_NODE ? LODE_YAML_LIST
                                                             : LODE_YAML_MAP;
    lode_yaml *y = yaml_node_create(r->source, kind, line > 0 ? line : yaml_line(node));
    if (y == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = LODE_OK;
    if (kind == LODE_YAML_MAP)
        status = yaml_convert_map(r, node, depth, y);
    else if (kind == LODE_YAML_LIST)
        status = yaml_convert_list(r, node, depth, y);
    else {
        status = yaml_check_scalar(r, node);
        if (status == LODE_OK)
            status =
                yaml_set_text(y, (const char *)node->data.scalar.value, node->data.scalar.length,
                              node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE);
    }
    if (status == LODE_OK)
        *out = y;
    else
        lode_yaml_destroy(y);
    return status;
}

/* libyaml's complaint in our form. A byte that is no UTF-8 has an offset instead of a line. */
static lode_status yaml_parser_fail(const yaml_parser_t *parser, const yaml_source *source,
                                    const char *text) {
    if (parser->error == YAML_MEMORY_ERROR)
        return LODE_FAIL(LODE_ERR_NO_MEMORY, "%s: no memory to parse it", source->name);
    size_t line = parser->problem_mark.line + 1;
    if (parser->error == YAML_READER_ERROR) {
        line = 1;
        for (size_t i = 0; i < parser->problem_offset; i++) line += text[i] == '\n';
    }
    char what[256];
    const char *problem = parser->problem != NULL ? parser->problem : "not YAML";
    const char *context = parser->context;
    snprintf(what, sizeof what, "%.100s%s%.100s%s", problem, context != NULL ? " (" : "",
             context != NULL ? context : "", context != NULL ? ")" : "");
    return yaml_fail_at(source, line, what);
}

/* The first document becomes the tree; a second one is an error. */
static lode_status yaml_read_documents(yaml_parser_t *parser, yaml_reader *r, const char *text,
                                       lode_yaml **out) {
    lode_status status = LODE_OK;
    if (!yaml_parser_load(parser, &r->document)) return yaml_parser_fail(parser, r->source, text);
    const yaml_node_t *root = yaml_document_get_root_node(&r->document);
    if (root == NULL) {
        *out = yaml_node_create(r->source, LODE_YAML_MAP, 1);
        if (*out == NULL) status = LODE_ERR_NO_MEMORY;
    } else {
        r->max_nodes = r->document.nodes.top - r->document.nodes.start + YAML_MAX_ALIASED;
        status = yaml_convert(r, 1, 0, 0, out);
    }
    yaml_document_delete(&r->document);
    if (status != LODE_OK || root == NULL) return status;

    if (!yaml_parser_load(parser, &r->document))
        status = yaml_parser_fail(parser, r->source, text);
    else {
        root = yaml_document_get_root_node(&r->document);
        if (root != NULL) status = yaml_reader_fail(r, yaml_line(root), "a second document");
        yaml_document_delete(&r->document);
    }
    if (status != LODE_OK) {
        lode_yaml_destroy(*out);
        *out = NULL;
    }
    return status;
}

static lode_status yaml_parse_source(const char *text, size_t n, yaml_source *source,
                                     lode_yaml **out) {
    yaml_parser_t parser;
    yaml_reader r = {.source = source};
    *out = NULL;
    if (source == NULL) return LODE_ERR_NO_MEMORY;
    if (!yaml_parser_initialize(&parser))
        return LODE_FAIL(LODE_ERR_NO_MEMORY, "%s: no memory to parse it", source->name);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    lode_status status = yaml_read_documents(&parser, &r, text, out);
    yaml_parser_delete(&parser);
    return status;
}

static lode_status yaml_parse_bytes(const char *text, size_t n, const char *name, lode_yaml **out) {
    yaml_source *source = yaml_source_create(name);
    lode_status status = yaml_parse_source(text, n, source, out);
    yaml_source_release(source);
    return status;
}

lode_status lode_yaml_parse(const char *text, const char *name, lode_yaml **out) {
    return yaml_parse_bytes(text, strlen(text), name, out);
}

lode_status lode_yaml_read(const char *path, lode_yaml **out) {
    void *bytes;
    size_t n;
    *out = NULL;
    LODE_TRY(lode_file_read(path, &bytes, &n));
    lode_status status = yaml_parse_bytes(bytes, n, path, out);
    lode_free(bytes);
    return status;
}

lode_status yaml_parse_value(const char *text, const char *name, lode_yaml **out) {
    yaml_source *source = yaml_source_create(name);
    if (source != NULL) source->no_lines = true;
    lode_status status = yaml_parse_source(text, strlen(text), source, out);
    yaml_source_release(source);
    if (status != LODE_OK || (*out)->kind != LODE_YAML_MAP || (*out)->n > 0) return status;
    if (strchr(text, '{') != NULL) return LODE_OK; /* an empty map, and meant so */
    lode_yaml_destroy(*out);
    *out = yaml_new_scalar(name, "", false);
    return *out != NULL ? LODE_OK : LODE_ERR_NO_MEMORY;
}

/* ---- tree to text ---- */

/* libyaml goes from plain to 'single' to "double" quotes where it must. Starting from single quotes
   for what was quoted, a text that had to be quoted looks the same when it is written again. */
static bool yaml_emit_scalar(yaml_emitter_t *e, const char *text, bool quoted) {
    yaml_event_t event;
    union {
        const char *constant;
        yaml_char_t *plain;
    } value = {text}; /* libyaml copies the value, but does not say const */
    yaml_scalar_style_t style = strchr(text, '\n') != NULL ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
                                : quoted                   ? YAML_SINGLE_QUOTED_SCALAR_STYLE
                                                           : YAML_PLAIN_SCALAR_STYLE;
    return yaml_scalar_event_initialize(&event, NULL, NULL, value.plain, (int)strlen(text), 1, 1,
                                        style) &&
           yaml_emitter_emit(e, &event);
}

static bool yaml_emit(yaml_emitter_t *e, const lode_yaml *y);

/* Lists of plain values stand on one line. */
static bool yaml_emit_list(yaml_emitter_t *e, const lode_yaml *y) {
    yaml_event_t event;
    bool flat = true;
    for (int i = 0; i < y->n; i++) flat = flat && y->item[i]->kind == LODE_YAML_SCALAR;
    yaml_sequence_style_t style = flat ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE;
    if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style) ||
        !yaml_emitter_emit(e, &event))
        return false;
    for (int i = 0; i < y->n; i++)
        if (!yaml_emit(e, y->item[i])) return false;
    return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

static bool yaml_emit_map(yaml_emitter_t *e, const lode_yaml *y) {
    yaml_event_t event;
    yaml_mapping_style_t style = y->n == 0 ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE;
    if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style) ||
        !yaml_emitter_emit(e, &event))
        return false;
    for (int i = 0; i < y->n; i++) {
        const char *key = y->item[i]->key; /* a quoted "<<" is a key like any other */
        if (!yaml_emit_scalar(e, key, strcmp(key, "<<") == 0) || !yaml_emit(e, y->item[i]))
            return false;
    }
    return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

static bool yaml_emit(yaml_emitter_t *e, const lode_yaml *y) {
    if (y->kind == LODE_YAML_LIST) return yaml_emit_list(e, y);
    if (y->kind == LODE_YAML_MAP) return yaml_emit_map(e, y);
    return yaml_emit_scalar(e, lode_yaml_is_null(y) ? "null" : y->scalar, y->quoted);
}

static bool yaml_emit_document(yaml_emitter_t *e, const lode_yaml *root) {
    yaml_event_t event;
    return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
           yaml_emitter_emit(e, &event) &&
           yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
           yaml_emitter_emit(e, &event) && yaml_emit(e, root) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(e, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(e, &event);
}

static int yaml_write_to_text(void *text, unsigned char *bytes, size_t n) {
    lode_text_add_bytes(text, (const char *)bytes, n);
    return lode_text_status(text) == LODE_OK;
}

char *lode_yaml_dump(const lode_yaml *root) {
    yaml_emitter_t e;
    lode_text t = {0};
    if (!yaml_emitter_initialize(&e)) {
        LODE_FAIL(LODE_ERR_NO_MEMORY, "no memory to write YAML");
        return NULL;
    }
    yaml_emitter_set_output(&e, yaml_write_to_text, &t);
    yaml_emitter_set_unicode(&e, 1);
    yaml_emitter_set_width(&e, -1);
    bool ok = yaml_emit_document(&e, root);
    if (!ok && lode_text_status(&t) == LODE_OK)
        LODE_FAIL(LODE_ERR_INTERNAL, "cannot write YAML: %s",
                  e.problem != NULL ? e.problem : "no memory");
    yaml_emitter_delete(&e);
    if (ok) return lode_text_take(&t);
    lode_text_deinit(&t);
    return NULL;
}

lode_status lode_yaml_set_scalar(lode_yaml *node, const char *text) {
    if (node->kind != LODE_YAML_SCALAR) return lode_yaml_fail(node, "is no single value");
    return yaml_set_text(node, text, strlen(text), false);
}
