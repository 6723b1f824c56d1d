/* encode_internal.h: parts of an encoding, for encode.c: the graph of a cell (encode_paths.c), what
   follows from shapes (encode_counts.c). */
#ifndef LODE_HWCOST_ENCODE_INTERNAL_H
#define LODE_HWCOST_ENCODE_INTERNAL_H
#include "hwcost/encode.h"

enum { ENCODE_MAX_STATES = 40 };

/* One type of cell. States are numbered inputs first, then nodes; the edge of decision d leads from
   state from[d - first] to state to[d - first] > from. */
typedef struct encode_cell {
    int first, n_edges; /* decisions */
    int n_inputs, n_states;
    bool concat;        /* every node is an output, else the last */
    int at, n_features; /* of the encoding */
    int from[LODE_MAX_DECISIONS], to[LODE_MAX_DECISIONS];
    int none[LODE_MAX_DECISIONS]; /* option that computes nothing; -1: there is none */
} encode_cell;

/* Cell number `cell` of a space (lode_space_n_cells); n_edges 0: no decision belongs to it. */
lode_status encode_cell_init(const lode_space *space, int cell, encode_cell *out);
bool encode_cell_can_be_cut(const encode_cell *c); /* some edge can be none */
/* x [n_features], at p[d][k] of the whole space. */
void encode_cell_fill(const encode_cell *c, const double *const *p, double *x);
/* Adds to dp what the gradients dx [n_features] make of it. */
void encode_cell_pull(const encode_cell *c, const double *const *p, const double *dx,
                      double *const *dp);

typedef struct encode_counts encode_counts;
enum { ENCODE_N_COUNTS = 7 };
/* Builds the space's supernet to trace it. */
lode_status encode_counts_create(lode_space *space, encode_counts **out);
void encode_counts_destroy(encode_counts *c);
/* x [ENCODE_N_COUNTS] */
lode_status encode_counts_fill(const encode_counts *c, const double *const *p, double *x);
lode_status encode_counts_pull(const encode_counts *c, const double *const *p, const double *dx,
                               double *const *dp);
#endif
