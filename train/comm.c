/* comm.c: one process: a sum over one rank is the number itself. */
#include "train/comm.h"

static lode_status comm_single_sum(void *self, lode_tensor *t) {
    (void)self, (void)t;
    return LODE_OK;
}
static lode_status comm_single_broadcast(void *self, lode_tensor *t, int root) {
    (void)self, (void)t;
    if (root != 0) return LODE_FAIL(LODE_ERR_INVALID, "comm: there is one rank, no rank %d", root);
    return LODE_OK;
}
static lode_status comm_single_barrier(void *self) {
    (void)self;
    return LODE_OK;
}

const lode_comm *lode_comm_single(void) {
    static const lode_comm single = {
        NULL, 0, 1, comm_single_sum, comm_single_broadcast, comm_single_barrier};
    return &single;
}

lode_status lode_comm_check(const lode_comm *comm) {
    if (comm->size < 1 || comm->rank < 0 || comm->rank >= comm->size)
        return LODE_FAIL(LODE_ERR_INVALID, "comm: rank %d of %d", comm->rank, comm->size);
    if (comm->all_reduce_sum == NULL || comm->broadcast == NULL || comm->barrier == NULL)
        return LODE_FAIL(LODE_ERR_INVALID, "comm: rank %d lacks a member", comm->rank);
    return LODE_OK;
}

lode_status lode_comm_sum(const lode_comm *comm, double *x, int n) {
    if (comm->size == 1) return LODE_OK;
    lode_tensor *t = NULL;
    LODE_TRY(lode_tensor_wrap(x, LODE_F64, &LODE_SHAPE1(n), &t));
    lode_status status = comm->all_reduce_sum(comm->self, t);
    lode_tensor_release(t);
    return status;
}
