/* comm.h: the ranks of one training job. One process is one rank of one; MPI or any other transport
   fills the same five members. Every rank samples the same path from (seed, step), so the only
   traffic of a step is the sum of its gradients. */
#ifndef LODE_TRAIN_COMM_H
#define LODE_TRAIN_COMM_H
#include "tensor/tensor.h"

typedef struct lode_comm {
    void *self;
    int rank, size; /* 0 <= rank < size */
    /* t = sum over ranks of t, the same bits on every rank. Dense f32 or f64. */
    lode_status (*all_reduce_sum)(void *self, lode_tensor *t);
    /* t = rank root's t. */
    lode_status (*broadcast)(void *self, lode_tensor *t, int root);
    lode_status (*barrier)(void *self);
} lode_comm;

/* The one-process communicator. Never NULL, never released. */
LODE_API const lode_comm *lode_comm_single(void);
/* What each rank must agree on before work begins: rank in range, members present. */
LODE_API lode_status lode_comm_check(const lode_comm *comm);
/* The sum of one number over the ranks. */
LODE_API lode_status lode_comm_sum(const lode_comm *comm, double *x, int n);
#endif
