/* cost_internal.h: what the files of costs share. */
#ifndef LODE_HWCOST_COST_INTERNAL_H
#define LODE_HWCOST_COST_INTERNAL_H
#include "hwcost/cost.h"
#include "hwcost/hardware.h"

enum {
    COST_MAX_HARDWARE = 6, /* decisions of the device that a cost reads */
    COST_MAX_READS = LODE_MAX_READS + COST_MAX_HARDWARE
};

/* cost_hardware.c: a device file with each combination of what the space decides of it, first
   decision slowest; without such decisions the file alone. Zeros: the cost is of no device file. */
typedef struct cost_hardware {
    int n_reads, decision[COST_MAX_HARDWARE], n_options[COST_MAX_HARDWARE];
    int n;                   /* combinations */
    lode_hardware **variant; /* [n] owned */
} cost_hardware;

/* Prices of one block for every combination of the classes it reads, first read slowest. */
typedef struct cost_term {
    int n_reads;
    lode_block_read reads[COST_MAX_READS];
    int n_combos;
    double *price;  /* [n_combos] */
    bool *known;    /* [n_combos] */
    uint64_t label; /* hash of the block's name; 0: the constant of a device that is decided */
} cost_term;

struct lode_cost {
    const lode_cost_model *model;
    void *self;
    bool owns_self;
    cost_hardware hardware;
    int variant; /* the combination traced last */
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

/* Opens the file for a space, or for the architecture that a fixed network has. */
lode_status cost_hardware_open(const char *file, lode_supernet *net, cost_hardware *out);
void cost_hardware_close(cost_hardware *h);
/* Puts what combination `at` decides before the story of an error; of networks that are not fixed.
 */
lode_status cost_hardware_context(const cost_hardware *h, const lode_space *space, int at);
int cost_hardware_of(const cost_hardware *h, const lode_arch *arch);
/* The cost by quantity `name`; takes over *h, also when it fails. */
lode_status cost_create_on(const lode_cost_model *model, cost_hardware *h, const char *name,
                           lode_supernet *net, int64_t batch, lode_cost **out);
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
