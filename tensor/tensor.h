/* tensor.h: a refcounted handle over refcounted storage, with strides.

   Images are logically N,C,H,W everywhere; in memory they are channels-last (N,H,W,C): the stride
   of C is 1. Weights are contiguous O,I,H,W. Fields are readable by everybody and written only by
   tensor.c. A tensor without storage (data == NULL) has shape and dtype only: what a TRACE tape
   carries. One tensor, one thread at a time; retain and release are thread-safe. */
#ifndef LODE_TENSOR_TENSOR_H
#define LODE_TENSOR_TENSOR_H
#include "core/rng.h"
#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct lode_storage lode_storage;

typedef struct lode_tensor {
    lode_dtype dtype;
    lode_shape shape;
    int64_t stride[LODE_MAX_DIMS]; /* elements; may be 0 for broadcast views */
    lode_device *device;
    lode_storage *storage; /* NULL in a trace */
    void *data;            /* first element; NULL in a trace */
    _Atomic int refs;
} lode_tensor;

typedef enum lode_layout { LODE_CONTIGUOUS, LODE_CHANNELS_LAST } lode_layout;

/* Uninitialised. LODE_CHANNELS_LAST needs 4 dims. device NULL: the CPU. */
LODE_API lode_status lode_tensor_create(lode_device *device, lode_dtype dtype,
                                        const lode_shape *shape, lode_layout layout,
                                        lode_tensor **out);
LODE_API lode_status lode_tensor_zeros(lode_device *device, lode_dtype dtype,
                                       const lode_shape *shape, lode_layout layout,
                                       lode_tensor **out);
/* Same device, dtype, shape, memory order (dense); uninitialised. */
LODE_API lode_status lode_tensor_like(const lode_tensor *t, lode_tensor **out);
LODE_API lode_status lode_tensor_like_on(lode_device *device, const lode_tensor *t,
                                         lode_tensor **out);
/* Shape, strides and dtype without storage; the second takes them from `t`. */
LODE_API lode_status lode_tensor_shapeless_storage(lode_dtype dtype, const lode_shape *shape,
                                                   lode_layout layout, lode_tensor **out);
LODE_API lode_status lode_tensor_shape_only(const lode_tensor *t, lode_tensor **out);
/* Wraps caller's host memory, contiguous; the caller keeps it alive and owns it. */
LODE_API lode_status lode_tensor_wrap(void *data, lode_dtype dtype, const lode_shape *shape,
                                      lode_tensor **out);
LODE_API lode_tensor *lode_tensor_retain(lode_tensor *t); /* returns t; NULL is fine */
LODE_API void lode_tensor_release(lode_tensor *t);        /* NULL is fine */

/* Views share storage; they work on tensors without storage too. */
LODE_API lode_status lode_tensor_view(lode_tensor *t, const lode_shape *shape,
                                      const int64_t *stride, int64_t offset, lode_tensor **out);
/* Half-open range of one dim. */
LODE_API lode_status lode_tensor_slice(lode_tensor *t, int dim, int64_t begin, int64_t end,
                                       int64_t step, lode_tensor **out);
LODE_API lode_status lode_tensor_transpose(lode_tensor *t, const int *perm, lode_tensor **out);
/* Zero-copy when strides allow, LODE_ERR_UNSUPPORTED otherwise (caller copies). */
LODE_API lode_status lode_tensor_reshape(lode_tensor *t, const lode_shape *shape,
                                         lode_tensor **out);
LODE_API lode_status lode_tensor_broadcast_to(lode_tensor *t, const lode_shape *shape,
                                              lode_tensor **out);

LODE_API int64_t lode_tensor_count(const lode_tensor *t);
LODE_API size_t lode_tensor_bytes(const lode_tensor *t); /* count * element size */
LODE_API bool lode_tensor_is_contiguous(const lode_tensor *t);
LODE_API bool lode_tensor_is_channels_last(const lode_tensor *t); /* dense, 4 dims, C fastest */
LODE_API bool lode_tensor_is_dense(const lode_tensor *t); /* some permutation is contiguous */

/* Equal shapes, and equal strides wherever a dim has more than one element. */
LODE_API bool lode_tensor_same_layout(const lode_tensor *a, const lode_tensor *b);

/* Elementwise copy with dtype conversion, any strides; shapes equal. Fast for equal dense layouts.
 */
LODE_API lode_status lode_tensor_copy(lode_tensor *dst, const lode_tensor *src);
LODE_API lode_status lode_tensor_clone(const lode_tensor *src, lode_tensor **out);
LODE_API lode_status lode_tensor_contiguous(lode_tensor *t, lode_layout layout,
                                            lode_tensor **out); /* retained t, or a copy */
LODE_API lode_status lode_tensor_fill(lode_tensor *t, double v);
LODE_API lode_status lode_tensor_add_into(lode_tensor *dst,
                                          const lode_tensor *src); /* dst += src */
LODE_API lode_status lode_tensor_fill_uniform(lode_tensor *t, lode_rng *r, double lo, double hi);
LODE_API lode_status lode_tensor_fill_normal(lode_tensor *t, lode_rng *r, double mean, double std);

/* Element by logical row-major index, through strides, as double: slow and always right. */
LODE_API double lode_at(const lode_tensor *t, int64_t i);
LODE_API void lode_put(lode_tensor *t, int64_t i, double v);
/* Element by coordinates [n_dims]. */
LODE_API double lode_at_nd(const lode_tensor *t, const int64_t *index);
LODE_API void lode_put_nd(lode_tensor *t, const int64_t *index, double v);
static inline double lode_at4(const lode_tensor *t, int64_t a, int64_t b, int64_t c, int64_t d) {
    return lode_at_nd(t, (int64_t[4]){a, b, c, d});
}
static inline void lode_put4(lode_tensor *t, int64_t a, int64_t b, int64_t c, int64_t d, double v) {
    lode_put_nd(t, (int64_t[4]){a, b, c, d}, v);
}
/* False when any element is NaN or infinite. Fast for f32. */
LODE_API bool lode_tensor_all_finite(const lode_tensor *t);
LODE_API bool lode_tensor_equal_bits(const lode_tensor *a, const lode_tensor *b);
#endif
