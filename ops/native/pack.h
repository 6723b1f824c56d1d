/* pack.h: f32 tensors of any strides to and from dense buffers.

   Fast kernels want dense memory in one of two orders: contiguous (row-major) or channels-last.
   Most tensors already are; slices and broadcasts are copied into workspace first. Dims of size 1
   never matter. */
#ifndef LODE_OPS_NATIVE_PACK_H
#define LODE_OPS_NATIVE_PACK_H
#include "tensor/tensor.h"

/* Elements lie one after another in `layout` order (LODE_CHANNELS_LAST: 4 dims). */
bool lode_is_packed(const lode_tensor *t, lode_layout layout);
/* Floats of a dense copy. */
size_t lode_pack_count(const lode_tensor *t);
void lode_pack(const lode_tensor *t, lode_layout layout, float *dst);
void lode_unpack(const float *src, lode_layout layout, lode_tensor *t);
/* t's own data when it is packed already, else `buffer`, filled. */
const float *lode_packed(const lode_tensor *t, lode_layout layout, float *buffer);
#endif
