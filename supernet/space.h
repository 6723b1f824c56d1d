/* space.h: a search space: layers, decisions, options. Written as text (YAML, docs/spaces.md), so a
   new one needs no C. `spaces/<name>.yaml` ship with Lode; any other is given by its path.

   A decision is one choice with n options ("layer 7: which block?"). An architecture (arch.h) is
   one option per decision. Several layers may read one decision (all cells of a type share their
   edges). */
#ifndef LODE_SUPERNET_SPACE_H
#define LODE_SUPERNET_SPACE_H
#include "core/config.h"
#include "core/rng.h"
#include "supernet/arch.h"

#include <stdbool.h>
#include <stdint.h>

#define LODE_MAX_OPTIONS 32

/* What it is about: which block; a size: channels of layers, kernel, expansion or hidden channels
   of a block, side of the input; or a key of the device file (hwcost/hardware.h). */
typedef enum lode_decision_kind {
    LODE_DECISION_BLOCK,
    LODE_DECISION_WIDTH,
    LODE_DECISION_KERNEL,
    LODE_DECISION_EXPAND,
    LODE_DECISION_HIDDEN,
    LODE_DECISION_RESOLUTION,
    LODE_DECISION_HARDWARE /* of the device: no layer reads it, costs of device files do */
} lode_decision_kind;

typedef struct lode_decision {
    const char *name; /* "layer3", "normal.2<-0", "layer3.mb.kernel" */
    lode_decision_kind kind;
    int n_options;
    const char *option[LODE_MAX_OPTIONS]; /* "k3_e6", "skip"; "c16", "k5", "e3", "h96", "r24" */
    /* of sizes: */
    const double *value;       /* [n_options] ascending */
    const char *block;         /* kernel, expansion: path of the block's parameters, "layer3.mb" */
    const char *key;           /* hardware: of the device file, "tile.m"; else NULL */
    const char *const *text;   /* hardware: [n_options] what the key is set to, "16" */
    int parent, parent_option; /* read only where that option is chosen; parent -1: always */
} lode_decision;

/* What a recipe or command line may change; 0 or NULL keeps what the file says. Section `space`. */
typedef struct lode_space_options {
    const char *name;      /* shipped name or path of a YAML file */
    int64_t classes;       /* outputs of the classifier */
    int64_t channels;      /* of the input image */
    int64_t size;          /* side of the input image; where it is a decision, of the largest */
    double width;          /* multiplies the channels of all layers (made divisible by 8), 0: 1 */
    int64_t repeats;       /* cells per stage, for cell spaces */
    int64_t cell_channels; /* channels of the first stage, for cell spaces */
    int64_t partial;       /* supernets of cells: options see one channel of so many; 0: 1 */
} lode_space_options;
LODE_API extern const lode_option_table lode_space_option_table;

LODE_API lode_status lode_space_load(const lode_space_options *options, lode_space **out);
/* From YAML text (a subnet carries its space within arch.json). */
LODE_API lode_status lode_space_parse(const char *text, const char *name,
                                      const lode_space_options *options, lode_space **out);
LODE_API lode_space *lode_space_retain(lode_space *s);
LODE_API void lode_space_release(lode_space *s);
/* Shipped spaces, sorted. Searched in $LODE_SPACES, the source tree, the install's data directory.
 */
LODE_API lode_status lode_space_names(char ***names, int64_t *n); /* lode_names_free */

LODE_API const char *lode_space_name(const lode_space *s);
LODE_API const char *lode_space_about(const lode_space *s);
LODE_API const char *lode_space_text(const lode_space *s); /* the YAML it was made from */
LODE_API lode_space_options lode_space_resolved(const lode_space *s);
LODE_API int lode_space_n_decisions(const lode_space *s);
LODE_API const lode_decision *lode_space_decision(const lode_space *s, int i);
/* The option computes nothing wherever the decision stands: skip, or none. */
LODE_API bool lode_space_option_is_empty(const lode_space *s, int decision, int option);
/* Are channels, kernels or expansions among the decisions, so that blocks read several of them and
   share weights? */
LODE_API bool lode_space_has_sizes(const lode_space *s);
/* log10 of the number of architectures (distinct canonical ones are fewer), honouring constraints.
 */
LODE_API double lode_space_log10_count(const lode_space *s);
/* Uniform over the valid architectures of the space. */
LODE_API lode_status lode_space_sample(const lode_space *s, lode_rng *rng, lode_arch *out);
/* Option numbers in range and the space's constraints kept (e.g. two kept edges per node). */
LODE_API lode_status lode_space_check(const lode_space *s, const lode_arch *a);
/* Index of a decision / option by name, -1 when absent. */
LODE_API int lode_space_find_decision(const lode_space *s, const char *name);
LODE_API int lode_space_find_option(const lode_space *s, int decision, const char *name);

/* What an option is to whoever counts. On the edge of a cell: what the set says, also where the
   shape changes and something else stands in. */
typedef enum lode_option_kind {
    LODE_OPTION_BLOCK, /* has a function of its own */
    LODE_OPTION_SKIP,  /* the identity */
    LODE_OPTION_NONE   /* nothing: its result is zero */
} lode_option_kind;
LODE_API lode_option_kind lode_space_option_kind(const lode_space *s, int decision, int option);
/* Types of cells, and the type whose edge a decision is: -1 for a layer's. *reduces: some cell of
   that type has a stride. */
LODE_API int lode_space_n_cells(const lode_space *s);
LODE_API int lode_space_cell_of(const lode_space *s, int decision, bool *reduces);

/* Are all nodes of a cell its output, side by side? Else only the last one is. */
LODE_API bool lode_space_cell_concats(const lode_space *s, int cell);

/* Between which states of its cell the edge of a decision leads; states are the cell's inputs, then
   its nodes. False for a layer's decision. */
LODE_API bool lode_space_edge_of(const lode_space *s, int decision, int *from, int *to);
/* Inputs and nodes of a cell. */
LODE_API int lode_space_cell_states(const lode_space *s, int cell, int *n_inputs);

/* The edges into the node that a cell's edge leads to: the first decision, and *n of them; -1 for a
   layer's decision. */
LODE_API int lode_space_node_of(const lode_space *s, int decision, int *n);

/* A constraint: of the n decisions from `first` on (the edges into one node) exactly `keep` have
   another option than `none`. No decision is part of two. */
typedef struct lode_space_keep {
    int first, n, keep, none;
} lode_space_keep;
LODE_API int lode_space_n_keeps(const lode_space *s);
LODE_API lode_space_keep lode_space_keep_at(const lode_space *s, int i);
#endif
