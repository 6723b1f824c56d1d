/* shape.c: arithmetic of dims and strides; no memory, no tensors. */
#include "tensor/shape.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

lode_shape lode_shape_of(int n_dims, ...) {
    lode_shape s = {0};
    if (n_dims < 0) n_dims = 0;
    if (n_dims > LODE_MAX_DIMS) n_dims = LODE_MAX_DIMS;
    va_list args;
    va_start(args, n_dims);
    s.n_dims = n_dims;
    for (int i = 0; i < n_dims; i++) s.dim[i] = va_arg(args, int64_t);
    va_end(args);
    return s;
}

int64_t lode_shape_count(const lode_shape *s) {
    int64_t n = 1;
    for (int i = 0; i < s->n_dims; i++) n *= s->dim[i];
    return n;
}

bool lode_shape_equal(const lode_shape *a, const lode_shape *b) {
    if (a->n_dims != b->n_dims) return false;
    for (int i = 0; i < a->n_dims; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

lode_status lode_shape_check(const lode_shape *s) {
    char text[128];
    if (s->n_dims < 0 || s->n_dims > LODE_MAX_DIMS)
        return LODE_FAIL(LODE_ERR_SHAPE, "shape has %d dims, 0 to %d are possible", s->n_dims,
                         LODE_MAX_DIMS);
    int64_t n = 1;
    bool empty = false, too_many = false;
    for (int i = 0; i < s->n_dims; i++) {
        int64_t d = s->dim[i];
        if (d < 0)
            return LODE_FAIL(LODE_ERR_SHAPE, "shape %s: dim %d is negative",
                             lode_shape_print(s, text), i);
        if (d == 0)
            empty = true;
        else if (n > INT64_MAX / d)
            too_many = true;
        else
            n *= d;
    }
    if (too_many && !empty)
        return LODE_FAIL(LODE_ERR_SHAPE, "shape %s has more elements than 64 bits count",
                         lode_shape_print(s, text));
    return LODE_OK;
}

const char *lode_shape_print(const lode_shape *s, char out[128]) {
    size_t at = 0, size = 128;
    out[0] = '\0';
    at += (size_t)snprintf(out, size, "[");
    for (int i = 0; i < s->n_dims && i < LODE_MAX_DIMS && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%lld", i ? ", " : "", (long long)s->dim[i]);
    if (at < size - 1) snprintf(out + at, size - at, "]");
    return out;
}

lode_status lode_shape_broadcast(const lode_shape *a, const lode_shape *b, lode_shape *out) {
    lode_shape s = {0};
    s.n_dims = a->n_dims > b->n_dims ? a->n_dims : b->n_dims;
    for (int i = 1; i <= s.n_dims; i++) { /* from the last dim */
        int64_t da = i <= a->n_dims ? a->dim[a->n_dims - i] : 1;
        int64_t db = i <= b->n_dims ? b->dim[b->n_dims - i] : 1;
        if (da != db && da != 1 && db != 1) {
            char ta[128], tb[128];
            return LODE_FAIL(LODE_ERR_SHAPE,
                             "%s and %s do not broadcast: %lld against %lld, dim %d from the end",
                             lode_shape_print(a, ta), lode_shape_print(b, tb), (long long)da,
                             (long long)db, i);
        }
        s.dim[s.n_dims - i] = da == 1 ? db : da;
    }
    *out = s;
    return LODE_OK;
}

void lode_strides_contiguous(const lode_shape *s, int64_t stride[LODE_MAX_DIMS]) {
    int64_t step = 1;
    memset(stride, 0, LODE_MAX_DIMS * sizeof *stride);
    for (int i = s->n_dims - 1; i >= 0; i--) {
        stride[i] = step;
        if (s->dim[i] > 1) step *= s->dim[i];
    }
}

void lode_strides_channels_last(const lode_shape *s, int64_t stride[LODE_MAX_DIMS]) {
    static const int from_fastest[4] = {1, 3, 2, 0}; /* C, W, H, N */
    int64_t step = 1;
    memset(stride, 0, LODE_MAX_DIMS * sizeof *stride);
    for (int i = 0; i < 4; i++) {
        int d = from_fastest[i];
        stride[d] = step;
        if (s->dim[d] > 1) step *= s->dim[d];
    }
}
