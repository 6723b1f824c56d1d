/* order.h: how much memory a network needs when its operators run one after another, and in
   which order it needs least (methods D6).

   A graph of tensors and of nodes that read some and write one. A tensor is live from the node that
   makes it to the last that reads it; given tensors from the start, kept ones to the end. While a
   node runs, its inputs and its output are live, and its workspace. A node may write over an input
   whose last reader it is and that is as large (element-wise operators; depthwise convolutions with
   a channel of scratch, Lin et al. 2020, MCUNet): then the two are one buffer. The peak is the
   largest sum over the steps: a lower bound of what an allocator needs. One that moves nothing may
   need more, since what is free need not lie together: lode_order_place gives everything an address
   and tells how much that is. */
#ifndef LODE_HWCOST_ORDER_H
#define LODE_HWCOST_ORDER_H
#include "core/arena.h"
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct lode_order lode_order;

LODE_API lode_status lode_order_create(lode_order **out);
LODE_API void lode_order_destroy(lode_order *s);
/* Ids count from 0. */
LODE_API lode_status lode_order_add_tensor(lode_order *s, double bytes, int *id);
typedef struct lode_order_step {
    const int *input; /* [n_inputs], copied; at most 64; one may stand twice */
    int n_inputs;
    int output;          /* written by this node alone */
    double workspace;    /* bytes */
    uint64_t over;       /* bit i: may write over input i */
    double over_scratch; /* bytes of workspace when it does */
} lode_order_step;
/* Nodes are added in an order in which they can run; that order is what `order` NULL means. */
LODE_API lode_status lode_order_add_node(lode_order *s, const lode_order_step *step);
LODE_API void lode_order_keep(lode_order *s, int tensor); /* live to the end */
LODE_API int lode_order_n_nodes(const lode_order *s);

/* Peak of an order [n_nodes]; LODE_ERR_INVALID when it reads what is not made yet. */
LODE_API lode_status lode_order_peak(const lode_order *s, const int *order, double *peak);
/* The least peak over all orders, and one that has it (order [n_nodes], may be NULL). Best-first
   over sets of finished nodes; gives up at max_states sets (0: a million) with the best of the
   given and a greedy order: *exact tells. */
LODE_API lode_status lode_order_best(const lode_order *s, int64_t max_states, int *order,
                                     double *peak, bool *exact);
/* Addresses for an order [n_nodes] (core/arena.h: first fit, in whole bytes): out->bytes is what an
   allocator needs, out->live the peak. A result that is written over an input stands at its
   address. offset [n_tensors] (may be NULL): where each tensor begins; -1: never in memory of its
   own. */
LODE_API lode_status lode_order_place(const lode_order *s, const int *order, int64_t *offset,
                                      lode_arena *out);
#endif
