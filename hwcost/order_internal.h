/* order_internal.h: the graph, and running it step by step (order.c), for the search over
   orders (order_search.c). */
#ifndef LODE_HWCOST_ORDER_INTERNAL_H
#define LODE_HWCOST_ORDER_INTERNAL_H
#include "hwcost/order.h"

typedef struct order_node {
    int *input; /* [n_inputs] */
    int n_inputs, output;
    double workspace, over_scratch;
    uint64_t over;
} order_node;

struct lode_order {
    order_node *node;
    int64_t n_nodes, node_capacity;
    double *bytes;  /* [n_tensors] */
    int *producer;  /* [n_tensors], -1: given */
    int *n_readers; /* [n_tensors] nodes that read it, plus one when kept */
    int64_t n_tensors, bytes_capacity, producer_capacity, readers_capacity;
};

/* A point of a run: which nodes are done, how many readers of each tensor are left. */
typedef struct order_run {
    const lode_order *s;
    bool *done;   /* [n_nodes] */
    int *waiting; /* [n_tensors] readers that are not done */
    bool *made;   /* [n_tensors] */
    double live;  /* bytes */
    int64_t n_done;
} order_run;

lode_status order_run_init(const lode_order *s, order_run *r);
void order_run_reset(order_run *r);
void order_run_deinit(order_run *r);
/* Does input i stand among the earlier ones already? */
bool order_is_repeat(const int *input, int i);
bool order_is_ready(const order_run *r, int node);
/* Bytes in use while the node runs next, and how many more (or less) are live after it. */
void order_try(const order_run *r, int node, double *during, double *change);
void order_do(order_run *r, int node);
#endif
