/* shape.h: dims, strides, broadcasting. Shapes are small values, copied freely. */
#ifndef LODE_TENSOR_SHAPE_H
#define LODE_TENSOR_SHAPE_H
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

#define LODE_MAX_DIMS 6

typedef struct lode_shape {
    int n_dims; /* 0 for a scalar */
    int64_t dim[LODE_MAX_DIMS];
} lode_shape;

/* n_dims arguments of type int64_t; the macros below convert for you. */
LODE_API lode_shape lode_shape_of(int n_dims, ...);
/* LODE_SHAPE(3, 4): one to six dims. */
#define LODE_SHAPE(...)                                                                            \
    ((lode_shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})
#define LODE_SHAPE1(a)          ((lode_shape){1, {(a)}})
#define LODE_SHAPE2(a, b)       ((lode_shape){2, {(a), (b)}})
#define LODE_SHAPE3(a, b, c)    ((lode_shape){3, {(a), (b), (c)}})
#define LODE_SHAPE4(a, b, c, d) ((lode_shape){4, {(a), (b), (c), (d)}})
#define LODE_SCALAR             ((lode_shape){0, {0}})

LODE_API int64_t lode_shape_count(const lode_shape *s); /* product of dims; 1 for a scalar */
LODE_API bool lode_shape_equal(const lode_shape *a, const lode_shape *b);
/* Checked: no negative dim, product fits int64_t. */
LODE_API lode_status lode_shape_check(const lode_shape *s);
/* "[2, 3, 4]" into a buffer of 128; returns it. */
LODE_API const char *lode_shape_print(const lode_shape *s, char out[128]);
/* NumPy broadcasting; LODE_ERR_SHAPE names the dims that clash. */
LODE_API lode_status lode_shape_broadcast(const lode_shape *a, const lode_shape *b,
                                          lode_shape *out);
/* Row-major strides in elements. */
LODE_API void lode_strides_contiguous(const lode_shape *s, int64_t stride[LODE_MAX_DIMS]);
/* Logical N,C,H,W stored N,H,W,C; for n_dims 4 only. */
LODE_API void lode_strides_channels_last(const lode_shape *s, int64_t stride[LODE_MAX_DIMS]);
#endif
