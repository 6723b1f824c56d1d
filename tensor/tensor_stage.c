/* tensor_stage.c: a host mirror of a tensor that lives on another device.

   The mirror holds every byte from the tensor's first element to its last, gaps included, so the
   strides stay as they are and one transfer each way is enough. */
#include "tensor/tensor_internal.h"

#include <string.h>

static size_t stage_bytes(const lode_tensor *t) {
    return (size_t)(tensor_last_offset(&t->shape, t->stride) + 1) * lode_dtype_size(t->dtype);
}

lode_status tensor_stage_begin(lode_tensor *t, lode_tensor **host) {
    *host = NULL;
    if (t->data == NULL)
        return LODE_FAIL(LODE_ERR_INVALID, "tensor: a traced tensor has shapes but no elements");
    if (tensor_on_host(t)) {
        *host = lode_tensor_retain(t);
        return LODE_OK;
    }
    const lode_device_ops *ops = lode_device_get_ops(t->device);
    lode_tensor *flat = NULL, *mirror = NULL;
    size_t bytes = stage_bytes(t);
    LODE_TRY(
        lode_tensor_create(NULL, LODE_U8, &LODE_SHAPE1((int64_t)bytes), LODE_CONTIGUOUS, &flat));
    lode_status status = ops->wait(lode_device_self(t->device));
    if (status == LODE_OK)
        status = ops->copy_out(lode_device_self(t->device), flat->data, t->data, bytes);
    if (status == LODE_OK) status = tensor_new_handle(NULL, t->dtype, &t->shape, &mirror);
    if (status == LODE_OK) {
        memcpy(mirror->stride, t->stride, sizeof mirror->stride);
        tensor_share_storage(mirror, flat->storage, flat->data);
    }
    lode_tensor_release(flat);
    *host = mirror;
    return status;
}

lode_status tensor_stage_end(lode_tensor *t, lode_tensor *host, bool write) {
    lode_status status = LODE_OK;
    if (write && host != NULL && host != t)
        status = lode_device_get_ops(t->device)->copy_in(lode_device_self(t->device), t->data,
                                                         host->data, stage_bytes(t));
    lode_tensor_release(host);
    return status;
}
