/* cost_internal.h: what the files of costs share. */
#ifndef LODE_HWCOST_COST_INTERNAL_H
#define LODE_HWCOST_COST_INTERNAL_H
#include "hwcost/cost.h"

/* Prices of one block for every combination of the classes it reads, first read slowest. */
typedef struct cost_term {
    int n_reads;
    lode_block_read reads[LODE_MAX_READS];
    int n_combos;
    double *price;  /* [n_combos] */
    bool *known;    /* [n_combos] */
    uint64_t label; /* hash of the block's name */
} cost_term;

struct lode_cost {
    const lode_cost_model *model;
    void *self;
    bool owns_self;
    struct lode_hardware *hardware; /* owned; NULL: `self` comes from elsewhere */
    char name[64];
    lode_supernet *net; /* borrowed */
    lode_tape *trace;
    int64_t batch;
    double constant;
    int n_decisions;
    int n_options[LODE_MAX_DECISIONS];
    int n_terms;
    cost_term *term; /* [n_terms] */
};

/* Takes over `self` when owns_self, also when it fails. */
lode_status cost_create(const lode_cost_model *model, void *self, bool owns_self, const char *name,
                        lode_supernet *net, int64_t batch, lode_cost **out);
/* Is it a sum of terms? (Else of a trace, or of a whole architecture.) */
bool cost_is_sum(const lode_cost *c);
/* The classes of combination `combo`, [n_reads]. */
void cost_combo_classes(const cost_term *term, int combo, int *classes);
/* Architectures in which every block meets every combination of what it reads; lode_free. The
   space's constraints are not asked. */
lode_status cost_cover(lode_supernet *net, lode_arch **out, int64_t *n_out);
#endif
