/* blocks.c: which parts of a network read which decisions.

   The list mirrors forward.c and cell.c: a fixed layer, a choice layer, and for a cell its
   preprocessed inputs, each edge, each node and the output. Options that put the same block with
   the same keys in the same place share a class; a node only tells `none` from the rest. Sizes that
   are decisions (widths, kernels, expansions) are read beside the choice of a block. A fixed
   network has the same blocks, which read nothing. */
#include "supernet/supernet_internal.h"

static lode_block *blocks_add(lode_supernet *net, char *name) {
    if (name == NULL) return NULL;
    if (lode_grow((void **)&net->block, &net->block_capacity, net->n_blocks + 1,
                  sizeof *net->block) != LODE_OK) {
        lode_free(name);
        return NULL;
    }
    lode_block *b = &net->block[net->n_blocks++];
    *b = (lode_block){.name = name};
    return b;
}

/* Classes of one decision's options at one place. */
static void blocks_read_options(const lode_supernet *net, lode_block *b, const space_layer *l,
                                int edge) {
    if (net->fixed) return;
    lode_block_read *r = &b->reads[b->n_reads++];
    r->decision = edge < 0 ? l->decision : l->decision + edge;
    int n = net->space->decision[r->decision].n_options;
    const space_op *op[LODE_MAX_OPTIONS];
    for (int k = 0; k < n; k++) {
        op[k] = edge < 0 ? &l->option[k] : space_edge_op(l, &l->cell->edge[edge], k);
        int like = 0;
        while (!space_op_equal(op[like], op[k])) like++;
        r->class_of[k] = like < k ? r->class_of[like] : (uint8_t)r->n_classes++;
    }
}

/* Sizes, each of whose options is another block. */
static void blocks_read_sizes(const lode_supernet *net, lode_block *b, const space_layer *l) {
    for (int i = 0; i < l->n_sizes && !net->fixed; i++) {
        lode_block_read *r = &b->reads[b->n_reads++];
        *r = (lode_block_read){.decision = l->size[i].decision, .n_classes = l->size[i].n};
        for (int k = 0; k < r->n_classes; k++) r->class_of[k] = (uint8_t)k;
    }
}

/* Which of a node's edges are there. */
static void blocks_read_node(const lode_supernet *net, lode_block *b, const space_layer *l,
                             int node) {
    const space_cell *c = l->cell;
    for (int e = 0; e < c->n_edges && !net->fixed; e++) {
        if (c->edge[e].to != node) continue;
        int nothing = -1;
        for (int k = 0; k < c->set->n; k++)
            if (c->set->option[k].op.kind->nothing) nothing = k;
        if (nothing < 0) continue;
        lode_block_read *r = &b->reads[b->n_reads++];
        *r = (lode_block_read){.decision = l->decision + e, .n_classes = c->set->n > 1 ? 2 : 1};
        for (int k = 0; k < c->set->n; k++) r->class_of[k] = (uint8_t)(k != nothing);
        if (c->set->n == 1) r->class_of[0] = 0;
    }
}

static lode_status blocks_cell(lode_supernet *net, const space_layer *l) {
    const space_cell *c = l->cell;
    for (int i = 0; i < c->n_inputs; i++)
        if (l->pre[i].kind != NULL && blocks_add(net, lode_format("%s.pre%d", l->name, i)) == NULL)
            return LODE_ERR_NO_MEMORY;
    for (int e = 0; e < c->n_edges; e++) {
        lode_block *b =
            blocks_add(net, lode_format("%s.%d<-%d", l->name, c->edge[e].to, c->edge[e].from));
        if (b == NULL) return LODE_ERR_NO_MEMORY;
        blocks_read_options(net, b, l, e);
    }
    for (int i = c->n_inputs; i < c->n_inputs + c->n_nodes; i++) {
        lode_block *b = blocks_add(net, lode_format("%s.%d", l->name, i));
        if (b == NULL) return LODE_ERR_NO_MEMORY;
        blocks_read_node(net, b, l, i);
    }
    if (c->concat && blocks_add(net, lode_format("%s.out", l->name)) == NULL)
        return LODE_ERR_NO_MEMORY;
    return LODE_OK;
}

/* What takes the input to its resolution. */
static lode_status blocks_input(lode_supernet *net) {
    const space_layer reads = {.n_sizes = 1, .size = {net->space->side}};
    lode_block *b = blocks_add(net, lode_strdup(SPACE_INPUT_BLOCK));
    if (b == NULL) return LODE_ERR_NO_MEMORY;
    blocks_read_sizes(net, b, &reads);
    return LODE_OK;
}

lode_status net_list_blocks(lode_supernet *net) {
    if (net->space->side.n > 0) LODE_TRY(blocks_input(net));
    for (int64_t i = 0; i < net->space->n_layers; i++) {
        const space_layer *l = net->layer[i].l;
        if (l->kind == SPACE_CELL) {
            LODE_TRY(blocks_cell(net, l));
            continue;
        }
        lode_block *b = blocks_add(net, lode_strdup(l->name));
        if (b == NULL) return LODE_ERR_NO_MEMORY;
        if (l->kind == SPACE_CHOICE) blocks_read_options(net, b, l, -1);
        blocks_read_sizes(net, b, l);
    }
    return LODE_OK;
}

int lode_supernet_n_blocks(const lode_supernet *net) { return (int)net->n_blocks; }

const lode_block *lode_supernet_block(const lode_supernet *net, int i) {
    return i >= 0 && i < net->n_blocks ? &net->block[i] : NULL;
}
