/* cell.c: a cell: inputs, nodes that sum their edges, and an output.

   Each edge is a block of its own ("cell3.2<-0"), each node's sum is one ("cell3.2"), so that every
   operator call has one block and each block reads few decisions. `none` edges are left out of the
   sums: no zeros are computed for them. Only where nothing at all reaches a node a zero tensor
   stands in, made by the node, so that the edges leaving it need not know. */
#include "supernet/supernet_internal.h"

enum { CELL_MAX_STATES = 18 }; /* 2 inputs, 16 nodes */

typedef struct cell_pass {
    lode_pass *p;
    int layer;
    const space_layer *l;
    const lode_choice *choice;
    lode_var *state[CELL_MAX_STATES];
} cell_pass;

static lode_scope cell_enter(cell_pass *c, const char *what, char label[96]) {
    snprintf(label, 96, "%s.%s", c->l->name, what);
    return lode_tape_enter(c->p->tape, label);
}

static lode_var *cell_input(cell_pass *c, int i, lode_var *x) {
    const space_layer *l = c->l;
    char label[96];
    if (l->pre[i].kind == NULL) return x;
    lode_scope scope = cell_enter(c, i == 0 ? "pre0" : "pre1", label);
    x = net_block(c->p, c->layer, i, &l->pre[i], &l->pre_site[i],
                  (const char *const[2]){label, NULL}, x);
    return lode_tape_leave(c->p->tape, scope, x);
}

static lode_var *cell_edge(cell_pass *c, int e, bool *dead) {
    const space_edge *edge = &c->l->cell->edge[e];
    char label[96], what[32];
    snprintf(what, sizeof what, "%d<-%d", edge->to, edge->from);
    lode_scope scope = cell_enter(c, what, label);
    net_mixed m = {.layer = c->layer,
                   .edge = e,
                   .name = label,
                   .decision = c->l->decision + e,
                   .first_slot = 2 + e * c->l->cell->set->n};
    const lode_supernet *net = c->p->net;
    lode_var *x = c->state[edge->from],
             *y = net->partial > 1 ? net_partial_edge(c->p, &m, c->choice,
                                                      space_edge_site(c->l, edge).stride, x, dead)
                                   : net_mixture(c->p, &m, c->choice, x, dead);
    lode_var *scale = c->choice != NULL && !net->fixed ? c->choice[m.decision].scale : NULL;
    if (y != NULL && scale != NULL) y = lode_weighted_sum(c->p->tape, &y, 1, scale);
    return lode_tape_leave(c->p->tape, scope, y);
}

/* Edges' results are not needed after the sum, unless they are a state passed on by a skip. */
static void cell_forget(cell_pass *c, lode_var *y, int n_states) {
    for (int i = 0; i < n_states; i++)
        if (c->state[i] == y) return;
    lode_forget(y);
}

static lode_var *cell_node(cell_pass *c, int node) {
    lode_tape *t = c->p->tape;
    const space_cell *cell = c->l->cell;
    lode_var *term[SPACE_MAX_IN_EDGES], *y = NULL;
    int n = 0;
    for (int e = 0; e < cell->n_edges; e++) {
        bool dead;
        if (cell->edge[e].to != node) continue;
        lode_var *x = cell_edge(c, e, &dead);
        if (x != NULL)
            term[n++] = x;
        else if (!dead)
            return NULL;
    }
    char label[96], what[32];
    snprintf(what, sizeof what, "%d", node);
    lode_scope scope = cell_enter(c, what, label);
    if (n == 0) {
        lode_zero_params zero = {.stride = (int32_t)c->l->site.stride};
        y = lode_zero(t, c->state[0], zero);
    }
    for (int i = 0; i < n; i++) y = i == 0 ? term[0] : lode_add(t, y, term[i]);
    y = lode_tape_leave(t, scope, y);
    for (int i = 0; i < n && n > 1; i++) cell_forget(c, term[i], node);
    return y;
}

lode_var *net_cell(lode_pass *p, int layer, lode_var *before, lode_var *x,
                   const lode_choice *choice) {
    const space_layer *l = p->net->layer[layer].l;
    const space_cell *cell = l->cell;
    cell_pass c = {.p = p, .layer = layer, .l = l, .choice = choice};
    int n_states = cell->n_inputs + cell->n_nodes;
    lode_scope scope = lode_tape_enter(p->tape, NULL);
    c.state[0] = cell_input(&c, 0, cell->n_inputs == 2 ? before : x);
    if (cell->n_inputs == 2) c.state[1] = cell_input(&c, 1, x);
    for (int i = cell->n_inputs; i < n_states; i++) {
        if (c.state[i - 1] == NULL) break;
        c.state[i] = cell_node(&c, i);
    }
    lode_var *y = c.state[n_states - 1];
    if (y != NULL && cell->concat) {
        char label[96];
        lode_scope output = cell_enter(&c, "out", label);
        y = lode_concat(p->tape, c.state + cell->n_inputs, cell->n_nodes, 1);
        y = lode_tape_leave(p->tape, output, y);
    }
    return lode_tape_leave(p->tape, scope, y);
}
