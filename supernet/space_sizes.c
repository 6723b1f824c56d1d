/* space_sizes.c: sizes that are decisions: `channels: {choices: [16, 24], decision: NAME}` of a
   layer, `kernel`, `expand` and `hidden` of a block.

   A width may be read by many layers: those of one item share it, and items that name the same
   decision do, which is what residual additions need. Sizes of a block belong to the layer and the
   option they stand in; where another option is chosen they mean nothing. */
#include "supernet/space_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */
static lode_status sizes_read_value(const lode_yaml *item, double lo, double hi, bool whole,
                                    double *out) {
    char *end = NULL;
    *out = item->kind == LODE_YAML_SCALAR ? strtod(item->scalar, &end) : 0;
    if (end == NULL || end == item->scalar || *end != '\0' || !(*out >= lo && *out <= hi) ||
        (whole && *out != (double)(int64_t)*out))
        return lode_yaml_fail(item, "should be a %snumber from %g to %g", whole ? "whole " : "", lo,
                              hi);
    return LODE_OK;
}

lode_status space_read_size(lode_space *s, lode_yaml *node, double lo, double hi, bool whole,
                            space_size *out) {
    lode_yaml *list = lode_yaml_get(node, "choices");
    if (list == NULL || list->kind != LODE_YAML_LIST || list->n == 0)
        return lode_yaml_fail(node, "should be one value or {choices: [SMALL, ..., LARGE]}");
    if (list->n > LODE_MAX_WIDTHS)
        return lode_yaml_fail(list, "has %d choices; at most %d", list->n, LODE_MAX_WIDTHS);
    double *value = space_own(s, LODE_NEW_ARRAY(double, list->n));
    if (value == NULL) return LODE_ERR_NO_MEMORY;
    for (int i = 0; i < list->n; i++) {
        LODE_TRY(sizes_read_value(list->item[i], lo, hi, whole, &value[i]));
        if (i > 0 && !(value[i] > value[i - 1]))
            return lode_yaml_fail(list, "choices go from small to large, each once; %s comes late",
                                  list->item[i]->scalar);
    }
    lode_yaml_mark_used(list);
    *out = (space_size){.n = list->n, .value = value, .decision = -1};
    return LODE_OK;
}

double space_size_largest(const space_size *size) { return size->value[size->n - 1]; }

bool space_size_same(const space_size *a, const space_size *b) {
    return a->n == b->n && (a->n == 0 || a->decision == b->decision);
}

/* ---- decisions ---- */
/* Layers share widths only, and only the same ones. */
static lode_status sizes_share(const lode_space *s, const lode_yaml *node, int decision,
                               lode_decision_kind kind, space_size *size) {
    const lode_decision *d = &s->decision[decision];
    bool same = kind == LODE_DECISION_WIDTH && d->kind == kind && d->n_options == size->n;
    for (int k = 0; same && k < size->n; k++) same = d->value[k] == size->value[k];
    if (!same)
        return lode_yaml_fail(
            node, "decision `%s` is there already, and is not about these choices", d->name);
    size->decision = decision;
    return LODE_OK;
}

lode_status space_add_size(lode_space *s, const lode_yaml *node, lode_decision like,
                           space_size *size) {
    static const char letter[] = {[LODE_DECISION_WIDTH] = 'c',
                                  [LODE_DECISION_KERNEL] = 'k',
                                  [LODE_DECISION_EXPAND] = 'e',
                                  [LODE_DECISION_HIDDEN] = 'h',
                                  [LODE_DECISION_RESOLUTION] = 'r'};
    char *name;
    memcpy(&name, &like.name, sizeof name);
    if (space_own(s, name) == NULL) return LODE_ERR_NO_MEMORY;
    const int known = lode_space_find_decision(s, name);
    if (known >= 0) return sizes_share(s, node, known, like.kind, size);
    like.n_options = size->n;
    like.value = size->value;
    for (int k = 0; k < size->n; k++) {
        like.option[k] = space_own(s, lode_format("%c%g", letter[like.kind], size->value[k]));
        if (like.option[k] == NULL) return LODE_ERR_NO_MEMORY;
    }
    LODE_TRY(space_add_decision(s, name, &size->decision));
    s->decision[size->decision] = like;
    return LODE_OK;
}

/* ---- what a layer reads ---- */
static bool sizes_add_read(space_layer *l, const space_size *size) {
    if (size->n == 0) return true;
    for (int i = 0; i < l->n_sizes; i++)
        if (l->size[i].decision == size->decision) return true;
    if (l->n_sizes == LODE_MAX_READS - 1) return false; /* one is left for the choice of a block */
    l->size[l->n_sizes++] = *size;
    return true;
}

lode_status space_list_sizes(const lode_space *s, const lode_yaml *node, space_layer *l) {
    enum { MOST = 1 << 14 };
    if (s->side.n > 0 && l->kind == SPACE_CELL)
        return lode_yaml_fail(node, "a cell cannot run at a resolution that is a decision");
    bool fits = sizes_add_read(l, &s->side) && sizes_add_read(l, &l->in_width) &&
                sizes_add_read(l, &l->out_width);
    for (int i = 0; i < LODE_N_SIZES; i++) {
        fits = fits && sizes_add_read(l, &l->op.size[i]);
        for (int k = 0; k < l->n_options; k++)
            fits = fits && sizes_add_read(l, &l->option[k].size[i]);
    }
    if (!fits)
        return lode_yaml_fail(node, "layer `%s` reads more than %d decisions", l->name,
                              LODE_MAX_READS);
    int64_t combinations = l->kind == SPACE_CHOICE ? l->n_options : 1;
    for (int i = 0; i < l->n_sizes; i++) combinations *= l->size[i].n;
    if (combinations > MOST)
        return lode_yaml_fail(node,
                              "layer `%s` can be %lld different blocks, and each is priced; at "
                              "most %d are possible",
                              l->name, (long long)combinations, (int)MOST);
    return LODE_OK;
}

/* ---- sizes that are read only with their option ---- */
int space_option_combinations(const space_op *op) {
    int n = 1;
    for (int i = 0; i < LODE_N_SIZES; i++)
        if (op->size[i].n > 0) n *= op->size[i].n;
    return n;
}

bool lode_space_has_sizes(const lode_space *s) {
    for (int64_t d = 0; d < s->n_decisions; d++)
        if (s->decision[d].kind != LODE_DECISION_BLOCK &&
            s->decision[d].kind != LODE_DECISION_HARDWARE)
            return true;
    return false;
}

bool space_is_parent(const lode_space *s, int decision) {
    for (int64_t d = 0; d < s->n_decisions; d++)
        if (s->decision[d].parent == decision) return true;
    return false;
}

void space_clear_unread(const lode_space *s, lode_arch *a) {
    for (int d = 0; d < a->n; d++) {
        const lode_decision *size = &s->decision[d];
        if (size->parent >= 0 && a->option[size->parent] != size->parent_option) a->option[d] = 0;
    }
}
