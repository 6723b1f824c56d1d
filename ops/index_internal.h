/* index_internal.h: coordinates of elements, for the reference kernels. */
#ifndef LODE_OPS_INDEX_INTERNAL_H
#define LODE_OPS_INDEX_INTERNAL_H
#include "tensor/shape.h"

/* Coordinates of the i-th element in row-major order. */
static inline void lode_index_of(const lode_shape *s, int64_t i, int64_t index[LODE_MAX_DIMS]) {
    for (int d = s->n_dims - 1; d >= 0; d--) {
        index[d] = i % s->dim[d];
        i /= s->dim[d];
    }
}

/* Position in row-major order of the element at these coordinates. */
static inline int64_t lode_index_flat(const lode_shape *s, const int64_t *index) {
    int64_t i = 0;
    for (int d = 0; d < s->n_dims; d++) i = i * s->dim[d] + index[d];
    return i;
}

#endif
