/* predictor_gcn.c   a graph convolutional network over the edges' operations of cells.

   After BRP-NAS (Dudziak et al. 2020). Every edge of every cell type is a node of the graph, and so
   are each cell's states; one more node is joined to all (their global node). An edge u -> v is
   joined to the states u and v. A layer is h += swish(layer_norm((A + I) h W + b)); the answer is a
   linear function of the sum of h over the nodes. An edge whose operation is `none` is cut out: its
   row and column of A, and its part of the sum, are multiplied by 1 - p(none), so that the graph,
   too, is differentiable in the probabilities.

   Deviations from BRP-NAS: states are nodes, so that edges meet where they meet in the cell; A is
   symmetric, rows divided by their degree in the full graph; layers add to what was there, and all
   nodes are summed instead of reading the global one, as costs are nearly sums; swish, for a
   continuous gradient; squared error, minibatches. 2 fit.layers layers of fit.hidden / 2.
   (methods D5) */
#include "core/memory.h"
#include "hwcost/predictor_internal.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

/* The graph of a space, row by row: edges first, then states, then the global node. */
typedef struct gcn_graph {
    int n_edges, n_nodes, n_kinds; /* kinds: options, one per state of a cell, global */
    int decision[LODE_MAX_DECISIONS], from[LODE_MAX_DECISIONS], to[LODE_MAX_DECISIONS];
} gcn_graph;

static lode_status gcn_graph_init(const lode_space *space, gcn_graph *g) {
    int first[LODE_MAX_DECISIONS], n_states = 0, max_states = 0, n_options = 0, inputs;
    int n_cells = lode_space_n_cells(space);
    *g = (gcn_graph){0};
    for (int c = 0; c < n_cells && c < LODE_MAX_DECISIONS; c++) {
        int states = lode_space_cell_states(space, c, &inputs);
        first[c] = n_states;
        n_states += states;
        max_states = states > max_states ? states : max_states;
    }
    for (int d = 0; d < lode_space_n_decisions(space); d++) {
        bool reduces;
        int from, to, cell = lode_space_cell_of(space, d, &reduces);
        if (cell < 0 || !lode_space_edge_of(space, d, &from, &to)) continue;
        int options = lode_space_decision(space, d)->n_options;
        g->decision[g->n_edges] = d;
        g->from[g->n_edges] = first[cell] + from;
        g->to[g->n_edges++] = first[cell] + to;
        n_options = options > n_options ? options : n_options;
    }
    if (g->n_edges < lode_space_n_decisions(space))
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "predictor gcn: it reads cells, and space %s has decisions that are no "
                         "edge of a cell; use mlp",
                         lode_space_name(space));
    for (int e = 0; e < g->n_edges; e++) {
        g->from[e] += g->n_edges;
        g->to[e] += g->n_edges;
    }
    g->n_nodes = g->n_edges + n_states + 1;
    g->n_kinds = n_options + max_states + 1;
    return LODE_OK;
}

int64_t predictor_gcn_width(const predictor_net *net) { return (net->options.hidden + 1) / 2; }
static int64_t gcn_layers(const predictor_net *net) { return 2 * net->options.layers; }

enum { GCN_PICK, GCN_OFFSET, GCN_ACTIVE, GCN_ONE, GCN_JOIN, GCN_SELF, GCN_N_CONSTANTS };

static void gcn_join(lode_tensor *a, int n, int i, int j) {
    lode_put(a, i * n + j, 1);
    lode_put(a, j * n + i, 1);
}

/* h_0 = x PICK + OFFSET [nodes, kinds]; active = ONE - x ACTIVE [nodes]. */
static void gcn_fill_nodes(const predictor_net *net, const gcn_graph *g, lode_tensor *const *c) {
    const lode_space *space = lode_encoding_space(net->encoding);
    int64_t row = (int64_t)g->n_nodes * g->n_kinds, state = 0;
    for (int e = 0; e < g->n_edges; e++) {
        int d = g->decision[e];
        for (int k = 0; k < lode_space_decision(space, d)->n_options; k++) {
            int64_t x = lode_encoding_at(net->encoding, d) + k;
            lode_put(c[GCN_PICK], x * row + e * g->n_kinds + k, 1);
            if (lode_space_option_kind(space, d, k) == LODE_OPTION_NONE)
                lode_put(c[GCN_ACTIVE], x * g->n_nodes + e, 1);
        }
    }
    for (int i = g->n_edges; i < g->n_nodes; i++) {
        /* a state is its number within its cell; cells follow each other */
        int inputs, cell = 0, at = (int)state++;
        while (cell < lode_space_n_cells(space) &&
               at >= lode_space_cell_states(space, cell, &inputs))
            at -= lode_space_cell_states(space, cell++, &inputs);
        int64_t kind = i == g->n_nodes - 1 ? 0 : 1 + at;
        lode_put(c[GCN_OFFSET], i * g->n_kinds + g->n_kinds - 1 - kind, 1);
    }
    (void)lode_tensor_fill(c[GCN_ONE], 1);
}

static lode_status gcn_fill_joins(const gcn_graph *g, lode_tensor *const *c) {
    int n = g->n_nodes;
    for (int e = 0; e < g->n_edges; e++) {
        gcn_join(c[GCN_JOIN], n, e, g->from[e]);
        gcn_join(c[GCN_JOIN], n, e, g->to[e]);
    }
    for (int i = 0; i < n - 1; i++) gcn_join(c[GCN_JOIN], n, i, n - 1);
    for (int i = 0; i < n; i++) {
        double degree = 1;
        for (int j = 0; j < n; j++) degree += lode_at(c[GCN_JOIN], i * n + j);
        for (int j = 0; j < n; j++)
            lode_put(c[GCN_JOIN], i * n + j, lode_at(c[GCN_JOIN], i * n + j) / degree);
        lode_put(c[GCN_SELF], i * n + i, 1 / degree);
    }
    return LODE_OK;
}

lode_status predictor_gcn_add(predictor_net *net) {
    gcn_graph g;
    lode_tensor *c[GCN_N_CONSTANTS];
    LODE_TRY(gcn_graph_init(lode_encoding_space(net->encoding), &g));
    int64_t f = lode_encoding_n(net->encoding), n = g.n_nodes, kinds = g.n_kinds;
    const lode_shape shapes[GCN_N_CONSTANTS] = {
        [GCN_PICK] = LODE_SHAPE2(f, n * kinds), [GCN_OFFSET] = LODE_SHAPE1(n * kinds),
        [GCN_ACTIVE] = LODE_SHAPE2(f, n),       [GCN_ONE] = LODE_SHAPE1(n),
        [GCN_JOIN] = LODE_SHAPE3(1, n, n),      [GCN_SELF] = LODE_SHAPE3(1, n, n)};
    static const char *const names[] = {"pick", "offset", "active", "one", "join", "self"};
    for (int i = 0; i < GCN_N_CONSTANTS; i++)
        LODE_TRY(predictor_net_add_constant(net, names[i], &shapes[i], &c[i]));
    gcn_fill_nodes(net, &g, c);
    LODE_TRY(gcn_fill_joins(&g, c));
    int64_t in = kinds;
    for (int i = 0; i < gcn_layers(net); i++) {
        LODE_TRY(predictor_net_add_linear(net, "graph", i, in, predictor_gcn_width(net),
                                          sqrt(2 / (double)in)));
        in = predictor_gcn_width(net);
    }
    return LODE_OK;
}

int predictor_gcn_n_tensors(const predictor_net *net) {
    return GCN_N_CONSTANTS + 2 * (int)gcn_layers(net);
}

static lode_status gcn_build(predictor_net *net) {
    LODE_TRY(predictor_gcn_add(net));
    return predictor_net_add_linear(net, "out", 0, predictor_gcn_width(net), net->outputs, 0);
}

lode_var *predictor_gcn_embed(const predictor_net *net, lode_tape *t, lode_var *const *w,
                              lode_var *x) {
    if (!x) return NULL;
    int64_t rows = x->value->shape.dim[0], n = w[GCN_ONE]->value->shape.dim[0];
    int64_t kinds = w[GCN_OFFSET]->value->shape.dim[0] / n;
    const lode_matmul_params plain = {0};
    const int64_t layers = gcn_layers(net);
    lode_var *active = lode_sub(t, w[GCN_ONE], lode_matmul(t, x, w[GCN_ACTIVE], plain));
    lode_var *a = lode_mul(t, lode_reshape(t, active, &LODE_SHAPE3(rows, n, 1)),
                           lode_reshape(t, active, &LODE_SHAPE3(rows, 1, n)));
    a = lode_add(t, lode_mul(t, a, w[GCN_JOIN]), w[GCN_SELF]);
    lode_var *h = lode_add(t, lode_matmul(t, x, w[GCN_PICK], plain), w[GCN_OFFSET]);
    h = lode_reshape(t, h, &LODE_SHAPE3(rows, n, kinds));
    for (int64_t i = 0; i < layers; i++) {
        lode_var *const *layer = w + GCN_N_CONSTANTS + 2 * i;
        lode_var *z = lode_linear(t, lode_batch_matmul(t, a, h, plain), layer[0], layer[1]);
        z = lode_swish(t, lode_layer_norm(t, z, NULL, NULL, 1e-5));
        h = i == 0 ? z : lode_add(t, h, z);
    }
    h = lode_mul(t, h, lode_reshape(t, active, &LODE_SHAPE3(rows, n, 1)));
    return lode_reduce_mean(t, h, (lode_reduce_params){.dims = 1u << 1});
}

static lode_var *gcn_forward(const predictor_net *net, lode_tape *t, lode_var *const *w,
                             lode_var *x) {
    lode_var *const *out = w + predictor_gcn_n_tensors(net);
    return lode_linear(t, predictor_gcn_embed(net, t, w, x), out[0], out[1]);
}

static const predictor_net_kind gcn_kind = {
    .build = gcn_build, .forward = gcn_forward, .lr = 3, .decay = 0.01, .alone = true};

lode_status predictor_gcn_check(const lode_space *space) {
    gcn_graph g;
    return gcn_graph_init(space, &g);
}

static lode_status gcn_fit(predictor_job *job, void **self) {
    return predictor_net_fit(&gcn_kind, job, self);
}

static lode_status gcn_load(const lode_encoding *encoding, const lode_predictor_options *options,
                            lode_tensor_file *file, void **self) {
    return predictor_net_load(&gcn_kind, encoding, options, file, self);
}

const lode_predictor_plugin lode_predictor_gcn = {
    .name = "gcn",
    .about = "a graph convolutional network over cells (Dudziak et al. 2020), alone or on top of "
             "ridge regression",
    .needs_options = true,
    .check = predictor_gcn_check,
    .fit = gcn_fit,
    .load = gcn_load,
    .tensors = predictor_net_tensors,
    .destroy = predictor_net_destroy,
    .predict = predictor_net_predict,
    .outputs = predictor_net_outputs,
    .combine = predictor_net_combine,
};
