/* nest.h: how a layer is spread over an array of elements and over time, and what follows from
   it: steps, words that move, cycles (after MAESTRO, Kwon et al. 2019; methods D4).

   A layer is seven loops: N images, K output channels, C input channels, Y X rows and columns of
   the output, R S rows and columns of the kernel. In a depthwise layer C is the channel of outputs
   too, and K outputs of each. A mapping cuts the loops, outermost first:

     temporal C 64   64 values of C in a step, the next 64 in the next
     spatial K 1     one value of K in each unit, side by side; what is left over in further steps
     cluster 64      a unit of what stands above is 64 units of what follows; of the top level there
                     are as many as the elements suffice for. `cluster R`: as many as the layer's
                     kernel has rows
     temporal X all  the whole of it (as loops that are not named; N is then cut first, by 1)

   Steps follow in this order, the last loop fastest. A loop is at its first step, at one of the
   equal steady ones, or at a shorter edge; all steps of one combination are one case, with their
   count. In a step every element keeps what it needs until the next: what the elements together
   held in the last step is not fetched again (neighbors hand it on), a word that several need is
   sent once, sums of outputs that change leave, and come back if they are not complete. */
#ifndef LODE_HWCOST_NEST_H
#define LODE_HWCOST_NEST_H
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum lode_nest_dim {
    LODE_NEST_N,
    LODE_NEST_K,
    LODE_NEST_C,
    LODE_NEST_Y,
    LODE_NEST_X,
    LODE_NEST_R,
    LODE_NEST_S,
    LODE_N_NEST_DIMS
} lode_nest_dim;

enum { LODE_NEST_MAX_LEVELS = 4, LODE_NEST_MAX_LOOPS = 28 };

typedef struct lode_nest_loop {
    lode_nest_dim dim;
    int level;
    bool spatial;
    int64_t size; /* 0: all */
} lode_nest_loop;

typedef struct lode_nest {
    char name[32];
    int n_levels, n_loops;
    /* Units in a cluster of the level before, [0] unused; 0: as many as `cluster_dim` of the layer.
     */
    int64_t cluster[LODE_NEST_MAX_LEVELS];
    lode_nest_dim cluster_dim[LODE_NEST_MAX_LEVELS];
    lode_nest_loop loop[LODE_NEST_MAX_LOOPS]; /* in the order of steps */
} lode_nest;

/* An empty mapping, then one directive after another ("spatial K 1"), then what holds for the whole
   of it: enough elements, a spatial loop at each level. A level names a loop once, and one that
   is spatial is not cut again below.
   LODE_ERR_CONFIG says which directive and what was expected. */
LODE_API void lode_nest_init(lode_nest *m, const char *name);
LODE_API lode_status lode_nest_add(lode_nest *m, const char *directive);
LODE_API lode_status lode_nest_check(const lode_nest *m, int64_t elements);

typedef struct lode_nest_layer {
    int64_t size[LODE_N_NEST_DIMS];
    int64_t stride;
    bool depthwise;
    double real; /* share of the input that is no padding: nothing moves for the rest */
} lode_nest_layer;

/* One combination of first, steady and edge steps. Words, but for counts. */
typedef struct lode_nest_case {
    double count;           /* steps of this kind */
    bool first;             /* the very first step */
    double macs;            /* of all elements in one step */
    double element_macs;    /* of the busiest element */
    double inputs, weights; /* sent to the array, each word once */
    double sums;            /* incomplete sums that come back */
    double outputs;         /* sums of the step before that leave, complete or not */
    double fills;           /* inputs and weights written into elements, each in each */
} lode_nest_case;

/* What does not depend on the step. */
typedef struct lode_nest_tiles {
    double last_outputs;  /* leave after the last step */
    double element_words; /* inputs, weights and sums of one element in a step, at most */
    double array_words;   /* of all elements together, each word once */
} lode_nest_tiles;

/* Visits the cases in order of their first step. `elements` as in lode_nest_check. */
LODE_API void lode_nest_walk(const lode_nest *m, const lode_nest_layer *l, int64_t elements,
                             void (*visit)(void *self, const lode_nest_case *c), void *self,
                             lode_nest_tiles *tiles);

typedef struct lode_nest_array {
    int64_t elements;
    double macs_per_cycle;       /* of an element */
    double words_per_cycle;      /* of the network between second-level memory and elements */
    double hops, cycles_per_hop; /* of the network */
} lode_nest_array;

/* hops x cycles_per_hop + ceil(words / words_per_cycle) - 1; nothing for no words. */
LODE_API double lode_nest_delay(const lode_nest_array *a, double words);

typedef struct lode_nest_counts {
    double cycles;  /* the first step's transfers and arithmetic one after the other, then the most
                       of sending, arithmetic and collecting (double buffers), then the last sums */
    double compute; /* of them if nothing but arithmetic took time */
    double macs, steps;
    double inputs, weights, sums, outputs, fills; /* words, as above, of the whole layer */
    lode_nest_tiles tiles;
} lode_nest_counts;
LODE_API void lode_nest_count(const lode_nest *m, const lode_nest_layer *l,
                              const lode_nest_array *a, lode_nest_counts *out);
#endif
