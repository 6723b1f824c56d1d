/* space_read.c: the parts a space's text is made of: blocks, named sets of options, cells. */
#include "supernet/space_internal.h"

#include <ctype.h>
#include <string.h>

/* ---- kinds of block ---- */
#define BLOCK(name) &lode_block_##name,
static const lode_block_kind *const space_kinds[] = {
#include "supernet/blocks.def"
};
#undef BLOCK
enum { SPACE_N_KINDS = sizeof space_kinds / sizeof space_kinds[0] };

int lode_n_block_kinds(void) { return SPACE_N_KINDS; }

const lode_block_kind *lode_block_kind_at(int i) {
    return i >= 0 && i < SPACE_N_KINDS ? space_kinds[i] : NULL;
}

const lode_block_kind *lode_block_kind_find(const char *name) {
    for (int i = 0; i < SPACE_N_KINDS; i++)
        if (strcmp(space_kinds[i]->name, name) == 0) return space_kinds[i];
    return NULL;
}

/* ---- small reads ---- */
lode_status space_check_name(const lode_yaml *node, const char *name) {
    bool good = isalpha((unsigned char)name[0]) != 0;
    for (const char *c = name; *c != '\0'; c++)
        good = good && (isalnum((unsigned char)*c) || *c == '_' || *c == '-');
    if (good && strlen(name) < 64) return LODE_OK;
    return lode_yaml_fail(node,
                          "`%s` is no name: letters, digits, '_' and '-', a letter first, at most "
                          "63",
                          name);
}

lode_status space_read_word(lode_yaml *map, const char *key, const char *words, int def, int *out) {
    *out = def;
    lode_yaml *node = lode_yaml_get(map, key);
    if (node == NULL) return LODE_OK;
    if (node->kind == LODE_YAML_SCALAR) {
        size_t n = strlen(node->scalar);
        const char *word = words;
        for (int i = 0; n > 0; i++) {
            size_t length = strcspn(word, "|");
            *out = i;
            if (length == n && strncmp(word, node->scalar, n) == 0) return LODE_OK;
            if (word[length] == '\0') break;
            word += length + 1;
        }
    }
    return lode_yaml_fail(node, "should be one of %s", words);
}

/* ---- a block ---- */
static lode_status space_unknown_kind(const lode_yaml *node, const char *name) {
    const char *names[SPACE_N_KINDS];
    lode_text list = {0};
    for (int i = 0; i < SPACE_N_KINDS; i++) {
        names[i] = space_kinds[i]->name;
        lode_text_add(&list, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    const char *near = lode_nearest_word(name, names, SPACE_N_KINDS);
    lode_status status =
        near != NULL
            ? lode_yaml_fail(node, "no block is called `%s`; did you mean `%s`?", name, near)
            : lode_yaml_fail(node, "no block is called `%s`; there are %s", name,
                             list.s != NULL ? list.s : "many");
    lode_text_deinit(&list);
    return status;
}

/* space.width multiplies hidden channels too. */
static int64_t space_scale_hidden(const lode_space *s, double channels) {
    const double width = s->resolved.width;
    return width == 1 ? (int64_t)channels : lode_make_divisible(width * channels, 8);
}

static lode_status space_scale_choices(lode_space *s, const lode_yaml *node, space_size *size) {
    double *value = space_own(s, LODE_NEW_ARRAY(double, size->n));
    if (value == NULL) return LODE_ERR_NO_MEMORY;
    for (int k = 0; k < size->n; k++) {
        value[k] = (double)space_scale_hidden(s, size->value[k]);
        if (k > 0 && !(value[k] > value[k - 1]))
            return lode_yaml_fail(node, "space.width %g makes two choices the same, %g channels",
                                  s->resolved.width, value[k]);
    }
    size->value = value;
    return LODE_OK;
}

/* `kernel: {choices: [3, 5]}`; params get the largest. */
static lode_status space_read_op_size(lode_space *s, lode_yaml *node, const lode_option *row,
                                      const lode_option_table *table, void *params, space_op *out) {
    static const char *const word[LODE_N_SIZES] = {"kernel", "expand", "hidden"};
    int which = 0;
    while (which < LODE_N_SIZES && strcmp(row->name, word[which]) != 0) which++;
    if (which == LODE_N_SIZES || !(out->kind->sizes >> which & 1u))
        return lode_yaml_fail(node, "should be one value");
    space_size *size = &out->size[which];
    const double least = which == LODE_SIZE_HIDDEN ? 1 : row->min; /* 0 means: not given */
    LODE_TRY(space_read_size(s, node, least, row->max, which != LODE_SIZE_EXPAND, size));
    for (int k = 0; which == LODE_SIZE_KERNEL && k < size->n; k++)
        if ((int64_t)size->value[k] % 2 == 0)
            return lode_yaml_fail(node, "kernel is %g; an odd one is needed", size->value[k]);
    if (which == LODE_SIZE_HIDDEN) LODE_TRY(space_scale_choices(s, node, size));
    char largest[32];
    snprintf(largest, sizeof largest, "%.17g", space_size_largest(size));
    return lode_options_assign(table, row->name, largest, params);
}

lode_status space_read_op(lode_space *s, lode_yaml *map, space_op *out) {
    const char *name;
    LODE_TRY(lode_yaml_string(map, "op", NULL, &name));
    if (name == NULL) return lode_yaml_fail(map, "key `op` is missing: which block?");
    const lode_block_kind *kind = lode_block_kind_find(name);
    if (kind == NULL) return space_unknown_kind(lode_yaml_get(map, "op"), name);
    void *params = space_own(s, lode_calloc(1, kind->params_size));
    if (params == NULL) return LODE_ERR_NO_MEMORY;
    lode_option_table table = {kind->name, kind->rows, kind->n_rows};
    out->kind = kind;
    out->params = params;
    LODE_TRY(lode_options_default(&table, params));
    for (int i = 0; i < kind->n_rows; i++) {
        const char *key = kind->rows[i].name;
        lode_yaml *node = lode_yaml_get(map, key);
        if (node == NULL) continue;
        if (node->kind == LODE_YAML_MAP) {
            LODE_TRY(space_read_op_size(s, node, &kind->rows[i], &table, params, out));
            continue;
        }
        if (node->kind != LODE_YAML_SCALAR) return lode_yaml_fail(node, "should be one value");
        if (lode_options_assign(&table, key, node->scalar, params) != LODE_OK)
            return lode_error_context("%s:%d", lode_yaml_name(node), node->line);
        if (strcmp(key, "hidden") == 0) {
            int64_t *hidden = (int64_t *)((char *)params + kind->rows[i].offset);
            if (*hidden > 0) *hidden = space_scale_hidden(s, (double)*hidden);
        }
    }
    return LODE_OK;
}

bool lode_site_keeps_shape(const lode_site *site) {
    return site->in == site->out && site->stride == 1 && !site->changes;
}

lode_status space_check_op(const lode_yaml *node, const space_op *op, const lode_site *site) {
    const lode_block_kind *kind = op->kind;
    bool same_channels = site->in == site->out && !site->changes;
    if (site->elastic && !kind->elastic)
        return lode_yaml_fail(node,
                              "%s cannot stand where a number of channels is a decision, as it is "
                              "before or after this layer",
                              kind->name);
    if (kind->same_shape && !lode_site_keeps_shape(site))
        return lode_yaml_fail(node,
                              "%s cannot change the shape, and here %lld channels become %lld with "
                              "stride %lld (see `at_shape_change`)",
                              kind->name, (long long)site->in, (long long)site->out,
                              (long long)site->stride);
    if (kind->same_channels && !same_channels)
        return lode_yaml_fail(node, "%s cannot change the channels, and here %lld become %lld",
                              kind->name, (long long)site->in, (long long)site->out);
    if (kind->check != NULL && kind->check(op->params, site) != LODE_OK)
        return lode_error_context("%s:%d: %s", lode_yaml_name(node), node->line, kind->name);
    return LODE_OK;
}

/* ---- sets ---- */
static lode_status space_read_at_change(lode_space *s, lode_yaml *map, space_option *o) {
    lode_yaml *node = lode_yaml_get(map, "at_shape_change");
    o->at_change = SPACE_KEEP;
    if (node == NULL) return LODE_OK;
    if (node->kind == LODE_YAML_MAP) {
        o->at_change = SPACE_REPLACE;
        o->replacement.name = o->op.name;
        return space_read_op(s, node, &o->replacement);
    }
    if (node->kind == LODE_YAML_SCALAR && strcmp(node->scalar, "drop") == 0)
        o->at_change = SPACE_DROP;
    else if (node->kind != LODE_YAML_SCALAR || strcmp(node->scalar, "keep") != 0)
        return lode_yaml_fail(node, "should be keep, drop, or a block: {op: ...}");
    return LODE_OK;
}

static lode_status space_read_option(lode_space *s, lode_yaml *node, space_option *o) {
    node->used = true;
    LODE_TRY(space_check_name(node, node->key));
    if (node->kind != LODE_YAML_MAP) return lode_yaml_fail(node, "should be a block: {op: ...}");
    o->op.name = node->key;
    o->node = node;
    LODE_TRY(space_read_op(s, node, &o->op));
    return space_read_at_change(s, node, o);
}

static lode_status space_read_set(lode_space *s, lode_yaml *node, space_set *set) {
    node->used = true;
    set->name = node->key;
    LODE_TRY(space_check_name(node, node->key));
    if (node->kind != LODE_YAML_MAP || node->n == 0)
        return lode_yaml_fail(node, "should list options: {NAME: {op: ...}, ...}");
    if (node->n > LODE_MAX_OPTIONS)
        return lode_yaml_fail(node, "has %d options; at most %d", node->n, LODE_MAX_OPTIONS);
    set->option = space_own(s, LODE_NEW_ARRAY(space_option, node->n));
    if (set->option == NULL) return LODE_ERR_NO_MEMORY;
    set->n = node->n;
    int n_none = 0;
    for (int i = 0; i < node->n; i++) {
        LODE_TRY(space_read_option(s, node->item[i], &set->option[i]));
        if (set->option[i].op.kind->nothing && ++n_none > 1)
            return lode_yaml_fail(node->item[i], "is the second `none` of its set");
    }
    return LODE_OK;
}

lode_status space_read_sets(lode_space *s, lode_yaml *root) {
    lode_yaml *sets = lode_yaml_get(root, "sets");
    if (sets == NULL) return LODE_OK;
    if (sets->kind != LODE_YAML_MAP)
        return lode_yaml_fail(sets, "should be a map of sets: {NAME: {OPTION: {op: ...}}}");
    s->set = space_own(s, LODE_NEW_ARRAY(space_set, sets->n));
    if (s->set == NULL) return LODE_ERR_NO_MEMORY;
    s->n_sets = sets->n;
    for (int i = 0; i < sets->n; i++) LODE_TRY(space_read_set(s, sets->item[i], &s->set[i]));
    return LODE_OK;
}

/* ---- cells ---- */
/* All edges from earlier states. */
static lode_status space_all_edges(lode_space *s, space_cell *c) {
    int n = 0;
    for (int node = 0; node < c->n_nodes; node++) n += c->n_inputs + node;
    c->edge = space_own(s, LODE_NEW_ARRAY(space_edge, n));
    if (c->edge == NULL) return LODE_ERR_NO_MEMORY;
    for (int to = c->n_inputs; to < c->n_inputs + c->n_nodes; to++)
        for (int from = 0; from < to; from++) c->edge[c->n_edges++] = (space_edge){from, to};
    return LODE_OK;
}

/* A state's number: at most four digits, so that nothing overflows; -1 when there is none. */
static int space_read_state(const char **text) {
    int digits = 0, value = 0;
    for (; isdigit((unsigned char)**text) && digits < 4; digits++, (*text)++)
        value = 10 * value + (**text - '0');
    return digits > 0 ? value : -1;
}

/* One "TO<-FROM" of the list. */
static lode_status space_read_edge(const space_cell *c, const lode_yaml *item, space_edge *e) {
    const char *text = item->kind == LODE_YAML_SCALAR ? item->scalar : "";
    *e = (space_edge){.from = -1, .to = space_read_state(&text)};
    if (strncmp(text, "<-", 2) == 0) {
        text += 2;
        e->from = space_read_state(&text);
    }
    if (e->to < 0 || e->from < 0 || *text != '\0')
        return lode_yaml_fail(item, "an edge is written \"TO<-FROM\", as in \"2<-0\"");
    if (e->from >= e->to || e->to < c->n_inputs || e->to >= c->n_inputs + c->n_nodes)
        return lode_yaml_fail(item,
                              "edge %s: nodes are %d to %d, and edges come from lower numbers",
                              item->scalar, c->n_inputs, c->n_inputs + c->n_nodes - 1);
    return LODE_OK;
}

static lode_status space_read_edges(lode_space *s, lode_yaml *node, space_cell *c) {
    lode_yaml *list = lode_yaml_get(node, "edges");
    if (list == NULL) return space_all_edges(s, c);
    if (list->kind != LODE_YAML_LIST || list->n == 0)
        return lode_yaml_fail(list, "should be a list such as [\"1<-0\", \"2<-1\"]");
    c->edge = space_own(s, LODE_NEW_ARRAY(space_edge, list->n));
    if (c->edge == NULL) return LODE_ERR_NO_MEMORY;
    for (int i = 0; i < list->n; i++) {
        space_edge e;
        LODE_TRY(space_read_edge(c, list->item[i], &e));
        space_edge *last = c->n_edges > 0 ? &c->edge[c->n_edges - 1] : NULL;
        if (last != NULL && (e.to < last->to || (e.to == last->to && e.from <= last->from)))
            return lode_yaml_fail(list, "edges go by target, then source, each once; %s comes late",
                                  list->item[i]->scalar);
        c->edge[c->n_edges++] = e;
    }
    lode_yaml_mark_used(list);
    return LODE_OK;
}

static lode_status space_check_nodes(const space_cell *c) {
    for (int node = c->n_inputs; node < c->n_inputs + c->n_nodes; node++) {
        int n = 0;
        for (int e = 0; e < c->n_edges; e++) n += c->edge[e].to == node;
        if (n == 0 || n > SPACE_MAX_IN_EDGES)
            return lode_yaml_fail(c->node, "node %d has %d edges; 1 to %d are possible", node, n,
                                  SPACE_MAX_IN_EDGES);
        if (c->keep > n)
            return lode_yaml_fail(c->node, "keep is %d, and node %d has %d edges", c->keep, node,
                                  n);
    }
    return LODE_OK;
}

static lode_status space_read_cell(lode_space *s, lode_yaml *node, space_cell *c) {
    int64_t inputs, nodes, keep;
    int output;
    const char *set;
    node->used = true;
    *c = (space_cell){.name = node->key, .first_decision = -1, .node = node};
    LODE_TRY(space_check_name(node, node->key));
    if (node->kind != LODE_YAML_MAP) return lode_yaml_fail(node, "should be a section");
    LODE_TRY(lode_yaml_int(node, "inputs", 1, 1, 2, &inputs));
    LODE_TRY(lode_yaml_int(node, "nodes", 1, 1, 16, &nodes));
    LODE_TRY(lode_yaml_int(node, "keep", 0, 0, SPACE_MAX_IN_EDGES, &keep));
    LODE_TRY(space_read_word(node, "output", "last|concat", 0, &output));
    LODE_TRY(lode_yaml_bool(node, "preprocess", inputs == 2, &c->preprocess));
    LODE_TRY(lode_yaml_string(node, "set", NULL, &set));
    if (set == NULL) return lode_yaml_fail(node, "key `set` is missing: options of the edges");
    for (int i = 0; i < s->n_sets; i++)
        if (strcmp(s->set[i].name, set) == 0) c->set = &s->set[i];
    if (c->set == NULL)
        return lode_yaml_fail(lode_yaml_get(node, "set"), "there is no set `%s`", set);
    if (inputs == 2 && !c->preprocess)
        return lode_yaml_fail(node, "a cell of two inputs needs `preprocess: true`");
    c->n_inputs = (int)inputs;
    c->n_nodes = (int)nodes;
    c->keep = (int)keep;
    c->concat = output == 1;
    LODE_TRY(space_read_edges(s, node, c));
    return space_check_nodes(c);
}

lode_status space_read_cells(lode_space *s, lode_yaml *root) {
    lode_yaml *cells = lode_yaml_get(root, "cells");
    if (cells == NULL) return LODE_OK;
    if (cells->kind != LODE_YAML_MAP)
        return lode_yaml_fail(cells, "should be a map of cells: {NAME: {nodes: ..., set: ...}}");
    s->cell = space_own(s, LODE_NEW_ARRAY(space_cell, cells->n));
    if (s->cell == NULL) return LODE_ERR_NO_MEMORY;
    s->n_cells = cells->n;
    for (int i = 0; i < cells->n; i++) LODE_TRY(space_read_cell(s, cells->item[i], &s->cell[i]));
    return LODE_OK;
}
