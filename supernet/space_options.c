/* space_options.c: what decisions and options stand for, to whoever counts or constrains them. */
#include "supernet/space_internal.h"

/* The first layer that reads a decision, or NULL. */
static const space_layer *space_reader(const lode_space *s, int decision) {
    for (int64_t i = 0; i < s->n_layers; i++) {
        const space_layer *l = &s->layer[i];
        if (l->kind == SPACE_CHOICE && l->decision == decision) return l;
        if (l->kind == SPACE_CELL && decision >= l->decision &&
            decision < l->decision + l->cell->n_edges)
            return l;
    }
    return NULL;
}

lode_option_kind lode_space_option_kind(const lode_space *s, int decision, int option) {
    const space_layer *l = space_reader(s, decision);
    if (l == NULL) return LODE_OPTION_BLOCK;
    const space_op *op =
        l->kind == SPACE_CELL ? &l->cell->set->option[option].op : &l->option[option];
    if (op->kind->nothing) return LODE_OPTION_NONE;
    return op->kind->identity ? LODE_OPTION_SKIP : LODE_OPTION_BLOCK;
}

int lode_space_n_cells(const lode_space *s) { return s->n_cells; }

int lode_space_cell_of(const lode_space *s, int decision, bool *reduces) {
    const space_layer *l = space_reader(s, decision);
    *reduces = false;
    if (l == NULL || l->kind != SPACE_CELL) return -1;
    for (int64_t i = 0; i < s->n_layers; i++)
        if (s->layer[i].kind == SPACE_CELL && s->layer[i].cell == l->cell)
            *reduces = *reduces || s->layer[i].site.stride > 1;
    return (int)(l->cell - s->cell);
}

int lode_space_node_of(const lode_space *s, int decision, int *n) {
    const space_layer *l = space_reader(s, decision);
    *n = 0;
    if (l == NULL || l->kind != SPACE_CELL) return -1;
    const space_edge *edge = l->cell->edge;
    int first = -1, to = edge[decision - l->decision].to;
    for (int e = 0; e < l->cell->n_edges; e++) {
        if (edge[e].to != to) continue;
        if (first < 0) first = l->decision + e;
        ++*n;
    }
    return first;
}

bool lode_space_cell_concats(const lode_space *s, int cell) { return s->cell[cell].concat; }

int lode_space_cell_states(const lode_space *s, int cell, int *n_inputs) {
    *n_inputs = s->cell[cell].n_inputs;
    return s->cell[cell].n_inputs + s->cell[cell].n_nodes;
}

bool lode_space_edge_of(const lode_space *s, int decision, int *from, int *to) {
    const space_layer *l = space_reader(s, decision);
    if (l == NULL || l->kind != SPACE_CELL) return false;
    *from = l->cell->edge[decision - l->decision].from;
    *to = l->cell->edge[decision - l->decision].to;
    return true;
}

int lode_space_n_keeps(const lode_space *s) { return (int)s->n_groups; }

lode_space_keep lode_space_keep_at(const lode_space *s, int i) {
    const space_group *g = &s->group[i];
    return (lode_space_keep){.first = g->first, .n = g->n, .keep = g->keep, .none = g->none};
}
