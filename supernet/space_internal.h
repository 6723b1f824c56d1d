/* space_internal.h: a space as the room sees it: the text, compiled into a chain of layers.

   Three kinds of layer follow each other. FIXED runs one block. CHOICE runs one of several, or a
   mixture. A CELL is a small graph whose edges are choices; all cells of one type share decisions.
   Names and params live as long as the space: names of the text in its YAML tree, made ones in
   `owned`. Widths of layers, and kernel and expansion of their blocks, may be decisions of their
   own: a space_size. */
#ifndef LODE_SUPERNET_SPACE_INTERNAL_H
#define LODE_SUPERNET_SPACE_INTERNAL_H
#include "core/memory.h"
#include "supernet/block.h"
#include "supernet/supernet.h"

#include <stdatomic.h>

#define SPACE_MAX_IN_EDGES 8 /* edges into one node: what a node's block can read */

/* A size that is a decision: value[k], ascending, is what option k of `decision` means. n 0: it is
   no decision, the text gives one value. */
typedef struct space_size {
    int n, decision;
    const double *value; /* [n] */
} space_size;

/* A block as the text describes it; where the shape changes it may be left out or replaced. */
typedef struct space_op {
    const char *name; /* of the option; NULL for fixed layers */
    const lode_block_kind *kind;
    const void *params; /* [kind->params_size]; of sizes that are decisions, the largest */
    space_size size[LODE_N_SIZES]; /* by lode_size; decision -1 in a set, made where it is used */
} space_op;
typedef enum space_at_change { SPACE_KEEP, SPACE_DROP, SPACE_REPLACE } space_at_change;
typedef struct space_option {
    space_op op;
    space_at_change at_change;
    space_op replacement; /* same name, other block */
    const lode_yaml *node;
} space_option;
typedef struct space_set {
    const char *name;
    int n;
    space_option *option; /* [n] */
} space_set;

/* States of a cell are numbered inputs first, then nodes. Edges are sorted by target, then source.
 */
typedef struct space_edge {
    int from, to;
} space_edge;
typedef struct space_cell {
    const char *name;
    const space_set *set;
    int n_inputs, n_nodes, n_edges;
    space_edge *edge; /* [n_edges] */
    bool concat;      /* output: all nodes side by side, else the last one */
    bool preprocess;  /* inputs pass a relu-1x1-bn (or factorized reduce) to the cell's channels */
    int keep;         /* edges that stay at each node, 0: any */
    int first_decision; /* -1 before the first use */
    const lode_yaml *node;
} space_cell;

typedef enum space_layer_kind { SPACE_FIXED, SPACE_CHOICE, SPACE_CELL } space_layer_kind;
typedef struct space_layer {
    space_layer_kind kind;
    const char *name;
    lode_site site;                 /* of the block; of a cell: channels of its nodes as out */
    int64_t out;                    /* channels that leave the layer */
    space_size in_width, out_width; /* site has the largest */
    int n_sizes;
    space_size size[LODE_MAX_READS]; /* all that the layer reads: side of the input, widths, sizes
                                        of its blocks */
    space_op op;                     /* FIXED */
    int decision;                    /* CHOICE */
    int n_options;                   /* CHOICE */
    space_op *option;                /* CHOICE [n_options] */
    const space_cell *cell;
    space_op pre[2];       /* CELL: preprocessing of the inputs; kind NULL: none */
    lode_site pre_site[2]; /* CELL: its stride is 2 where the cell before halved the map */
} space_layer;

/* At each of n_nodes nodes of a cell, exactly `keep` of the edges into it are not `none`. */
typedef struct space_group {
    int first, n; /* decisions */
    int keep;
    int none; /* option number of `none` */
} space_group;

typedef enum space_code { SPACE_CODE_TEXT, SPACE_CODE_DIGITS, SPACE_CODE_CELL } space_code;
typedef enum space_canonical {
    SPACE_CANONICAL_PLAIN,
    SPACE_CANONICAL_SKIPS_LAST,
    SPACE_CANONICAL_CELL
} space_canonical;

typedef enum space_init { SPACE_FAN_OUT, SPACE_FAN_IN, SPACE_UNIFORM } space_init;

struct lode_space {
    atomic_int refs;
    char *text;
    lode_yaml *root;
    const char *name, *about;
    lode_space_options resolved;
    space_size side; /* of the input */
    double bn_eps, bn_momentum;
    bool bn_affine;
    int conv_init;     /* space_init */
    double linear_std; /* 0: uniform over 1/sqrt(inputs) */
    int code, canonical;

    space_set *set;
    int n_sets;
    space_cell *cell;
    int n_cells;
    space_layer *layer;
    int64_t n_layers, layer_capacity;
    lode_decision *decision;
    int64_t n_decisions, decision_capacity;
    space_group *group; /* constraints */
    int64_t n_groups, group_capacity;
    uint32_t *canonical_of; /* SPACE_CANONICAL_CELL: number of the canonical arch [count] */

    void **owned; /* [n_owned] freed with the space */
    int64_t n_owned, owned_capacity;
};

/* The block that takes an input to its resolution, where that is a decision. */
#define SPACE_INPUT_BLOCK "resolution"

/* ---- space.c ---- */
void *space_own(lode_space *s, void *p); /* takes p, also when it fails; NULL in gives NULL */
lode_status space_add_decision(lode_space *s, const char *name, int *index);
bool space_op_equal(const space_op *a, const space_op *b);

/* ---- space_read.c: a block's keys ---- */
/* The `op` of a map and its keys. */
lode_status space_read_op(lode_space *s, lode_yaml *map, space_op *out);
/* Can `op` stand at `site`? */
lode_status space_check_op(const lode_yaml *node, const space_op *op, const lode_site *site);
/* One word of "a|b|c" under `key`. */
lode_status space_read_word(lode_yaml *map, const char *key, const char *words, int def, int *out);
/* Letters, digits, '_' and '-', beginning with a letter. */
lode_status space_check_name(const lode_yaml *node, const char *name);
lode_status space_read_sets(lode_space *s, lode_yaml *root);
lode_status space_read_cells(lode_space *s, lode_yaml *root);

/* ---- space_sizes.c ---- */
/* `{choices: [...]}` of values from lo to hi; the decision is made by space_add_size. */
lode_status space_read_size(lode_space *s, lode_yaml *node, double lo, double hi, bool whole,
                            space_size *out);
double space_size_largest(const space_size *size);
/* Both given, or both the same decision. */
bool space_size_same(const space_size *a, const space_size *b);
/* The decision `like.name` (taken over; NULL: LODE_ERR_NO_MEMORY) with options such as c16, made or
   shared with the layers that have it already. `node` is who asks. */
lode_status space_add_size(lode_space *s, const lode_yaml *node, lode_decision like,
                           space_size *size);
/* Fills l->size. */
lode_status space_list_sizes(const lode_space *s, const lode_yaml *node, space_layer *l);
/* Different blocks that an option of a layer can be. */
int space_option_combinations(const space_op *op);
/* Does the decision of a layer have sizes that are read only with one of its options? */
bool space_is_parent(const lode_space *s, int decision);
/* Sets the sizes of options that were not chosen to their first. */
void space_clear_unread(const lode_space *s, lode_arch *a);

/* ---- space_layers.c ---- */
/* space_hardware.c: decisions of the device, behind those of the layers. */
lode_status space_read_hardware(lode_space *s, lode_yaml *root);
lode_status space_read_layers(lode_space *s, lode_yaml *root);
/* The block of an edge's option, and where it stands. */
lode_site space_edge_site(const space_layer *l, const space_edge *e);
const space_op *space_edge_op(const space_layer *l, const space_edge *e, int option);

/* ---- space_sample.c ---- */
/* As many options as decisions, each in range; constraints are not asked. */
lode_status space_check_range(const lode_space *s, const lode_arch *a);

/* ---- arch_cell.c ---- */
/* The cell code, and back: LODE_ERR_INVALID says what is wrong with `text`. */
void arch_cell_write(const lode_space *s, const lode_arch *a, lode_text *out);
lode_status arch_cell_parse(const lode_space *s, const char *text, lode_arch *out);
/* Fills canonical_of; leaves it NULL for spaces too large to list. */
lode_status space_list_canonical(lode_space *s);
#endif
