/* tensor_internal.h: what the files of this room share. */
#ifndef LODE_TENSOR_TENSOR_INTERNAL_H
#define LODE_TENSOR_TENSOR_INTERNAL_H
#include "tensor/tensor.h"

#include <stdatomic.h>

struct lode_storage {
    atomic_int refs;
    bool owned; /* data came from the device; else it is the caller's */
    lode_device *device;
    void *data;
    size_t bytes;
};

/* A handle without storage, strides zero. */
lode_status tensor_new_handle(lode_device *device, lode_dtype dtype, const lode_shape *shape,
                              lode_tensor **out);
/* Lets `t` (without storage so far) share `storage` from `data` on. */
void tensor_share_storage(lode_tensor *t, lode_storage *storage, void *data);
/* Strides of a dense tensor whose dims have the memory order of `t`. */
void tensor_dense_strides(const lode_tensor *t, int64_t stride[LODE_MAX_DIMS]);
/* Offset of the last element from the first, in elements; -1 when there are none. */
int64_t tensor_last_offset(const lode_shape *s, const int64_t *stride);
/* Element offset of logical row-major index i. */
int64_t tensor_offset_of(const lode_tensor *t, int64_t i);

static inline bool tensor_on_host(const lode_tensor *t) {
    return lode_device_get_ops(t->device)->is_host != 0;
}
static inline char *tensor_at_offset(const lode_tensor *t, int64_t offset) {
    return (char *)t->data + offset * (int64_t)lode_dtype_size(t->dtype);
}

/* Elementwise work on other devices goes through host memory: slow and always right. `begin` gives
   a host tensor with the bytes and strides of t, or t itself when it is on the host; `end` writes
   it back when `write`, and forgets it. */
lode_status tensor_stage_begin(lode_tensor *t, lode_tensor **host);
lode_status tensor_stage_end(lode_tensor *t, lode_tensor *host, bool write);

/* ---- one walk over one or two tensors of equal shape (tensor_walk.c) ---- */
/* n elements; a and b advance by sa and sb bytes per element. */
typedef void (*tensor_span_fn)(void *ctx, char *a, int64_t sa, const char *b, int64_t sb,
                               int64_t n);
/* Calls `fn` on spans that cover every element once, in any order, perhaps on several threads.
   b NULL: one tensor only. Both on the host. */
void tensor_walk(const lode_tensor *a, const lode_tensor *b, tensor_span_fn fn, void *ctx);
#endif
