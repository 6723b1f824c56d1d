/* supernet_internal.h: a network's layers and the pass that runs them. */
#ifndef LODE_SUPERNET_SUPERNET_INTERNAL_H
#define LODE_SUPERNET_SUPERNET_INTERNAL_H
#include "supernet/space_internal.h"
#include "supernet/supernet.h"

/* The parameters of one block, in the order in which its forward asks for them. */
typedef struct net_slot {
    int first, n;
    bool present; /* false for what a fixed network left out */
} net_slot;

typedef struct net_layer {
    const space_layer *l;
    net_slot *slot; /* FIXED [1]; CHOICE [n_options]; CELL [2 + n_edges * n_options] */
    int n_slots;
} net_layer;

/* Pooled statistics of one batch normalisation: count, mean, sum of squared deviations. */
typedef struct net_pool {
    lode_tensor *batch_mean, *batch_var; /* [C] where the operator leaves one batch's */
    double n;
    double *mean, *m2; /* [C] */
} net_pool;

struct lode_supernet {
    lode_space *space;
    lode_dtype dtype;
    uint64_t seed;
    bool fixed;
    int64_t partial;  /* one channel of so many goes through an edge's options; 1: all do */
    lode_arch arch;   /* of a fixed network */
    net_layer *layer; /* [space->n_layers] */
    lode_parameter **parameter;
    int64_t n_parameters, parameter_capacity;
    lode_block *block; /* [n_blocks]; names are owned */
    int64_t n_blocks, block_capacity;
    net_pool **pool; /* [n_parameters], at the running mean's index; NULL outside calibration */
};

/* A size in one pass. weights NULL: one option is active; else the active ones are mixed. */
typedef struct net_size {
    const space_size *of;
    uint64_t active;
    lode_var *weights;
} net_size;
/* Those that a layer reads. While the supernet is built there are none: all have their largest. */
typedef struct net_sizes {
    int n;
    net_size at[LODE_MAX_READS];
} net_sizes;

struct lode_pass {
    lode_supernet *net;
    lode_tape *tape;
    lode_forward_options options;
    bool building;
    net_sizes sizes;      /* of the layer that runs */
    const space_layer *l; /* it, and the block in it */
    const space_op *op;
    int64_t *elements; /* when not NULL: trainable elements that were asked for are added */
    int cursor;        /* next parameter of the block that runs */
    const char *path;  /* building: "layer3.k5_e6" */
};

/* ---- sizes.c ---- */
lode_status net_read_sizes(lode_pass *p, const space_layer *l, const lode_choice *choice);
/* Weights of the sizes that are mixed, for the inputs of a recomputed region; how many. */
int net_size_inputs(const net_sizes *s, lode_var **out /* [LODE_MAX_READS] */);
/* The site with the channels of this pass. */
lode_site net_real_site(const lode_pass *p, const lode_site *site);
/* Is `part` what a smaller option has of a weight: the first channels, the middle taps? */
bool net_is_part(const lode_shape *whole, const lode_shape *part);
lode_status net_part_of(lode_tensor *whole, const lode_shape *shape, lode_tensor **out);
lode_var *net_part_var(lode_pass *p, lode_parameter *q, const lode_shape *shape);

/* ---- resolution.c ---- */
/* Resolutions that are mixed: sides of their maps at the layer where the pass is. */
typedef struct net_resolution {
    int n, top; /* options; the largest that is active. top -1: nothing is mixed */
    uint64_t active;
    lode_var *weights;
    int64_t height[LODE_MAX_WIDTHS], width[LODE_MAX_WIDTHS]; /* [n] */
} net_resolution;
/* The input at the (largest) resolution that was chosen. */
lode_var *net_enter_resolution(lode_pass *p, const lode_choice *choice, lode_var *x,
                               net_resolution *r);
/* Does the next layer run at several resolutions? */
bool net_mixes_resolutions(const net_resolution *r);
typedef lode_var *(*net_layer_runner)(lode_pass *p, void *ctx, lode_var *x);
lode_var *net_mix_resolutions(lode_pass *p, net_resolution *r, const char *name, lode_var *x,
                              net_layer_runner run, void *ctx);

/* ---- pass.c ---- */
void net_pool_destroy(net_pool *pool);

/* ---- supernet.c ---- */
/* Trainable elements of one block. */
int64_t net_slot_elements(const lode_supernet *net, const net_slot *slot);

/* ---- forward.c ---- */
lode_var *net_forward(lode_pass *p, lode_var *x, const lode_choice *choice);

/* ---- cell.c ---- */
lode_var *net_cell(lode_pass *p, int layer, lode_var *before, lode_var *x,
                   const lode_choice *choice);
/* ---- forward.c, for cell.c ---- */
/* Runs the block in `slot` of a layer below the current scope. `names` make the path of its
   parameters when building: "a.b". */
lode_var *net_run(lode_pass *p, int layer, int slot, const space_op *op, const lode_site *site,
                  const char *const names[2], lode_var *x);
/* Options of one decision at one place: the one that is active, or a mixture. *dead: nothing but
   `none` was active; then NULL comes back without a failure. */
typedef struct net_mixed {
    int layer, edge;
    const char *name; /* of the block */
    int decision, first_slot;
} net_mixed;
lode_var *net_mixture(lode_pass *p, const net_mixed *m, const lode_choice *choice, lode_var *x,
                      bool *dead);
bool net_option_is_nothing(const lode_pass *p, const net_mixed *m, int option);
/* A map of ones as the options give it for x. */
lode_var *net_ones(lode_pass *p, const net_mixed *m, const lode_var *x);
/* One option in a scope of its own. */
lode_var *net_run_option(lode_pass *p, const net_mixed *m, int option, lode_var *x);

/* ---- partial.c ---- */
/* An edge of a supernet with partial channels; as net_mixture. */
lode_var *net_partial_edge(lode_pass *p, const net_mixed *m, const lode_choice *choice,
                           int64_t stride, lode_var *x, bool *dead);

/* ---- remat.c: the same, kept or computed again as p->options say ---- */
lode_var *net_block(lode_pass *p, int layer, int slot, const space_op *op, const lode_site *site,
                    const char *const names[2], lode_var *x);
lode_var *net_option(lode_pass *p, const net_mixed *m, int option, lode_var *x);
/* Weighted sum of the active options; `none` is zero, and so is what is not active, or ones. */
lode_var *net_weighted(lode_pass *p, const net_mixed *m, const lode_choice *choice, lode_var *x);

/* ---- blocks.c ---- */
lode_status net_list_blocks(lode_supernet *net);

#endif
