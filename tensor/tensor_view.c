/* tensor_view.c: other ways to look at the same storage. Nothing here touches an element, so all of
   it works on tensors without storage, as a trace needs. */
#include "tensor/tensor_internal.h"

#include <string.h>

/* A checked view: the last element lies within the storage. */
static lode_status view_make(lode_tensor *t, const lode_shape *shape, const int64_t *stride,
                             int64_t offset, lode_tensor **out) {
    lode_tensor *v = NULL;
    LODE_TRY(tensor_new_handle(t->device, t->dtype, shape, &v));
    memcpy(v->stride, stride, (size_t)shape->n_dims * sizeof *stride);
    if (t->storage != NULL) tensor_share_storage(v, t->storage, tensor_at_offset(t, offset));
    *out = v;
    return LODE_OK;
}

lode_status lode_tensor_view(lode_tensor *t, const lode_shape *shape, const int64_t *stride,
                             int64_t offset, lode_tensor **out) {
    char text[128];
    *out = NULL;
    LODE_TRY(lode_shape_check(shape));
    if (offset < 0)
        return LODE_FAIL(LODE_ERR_INVALID, "view: offset %lld is negative", (long long)offset);
    int64_t last = offset;
    bool empty = lode_shape_count(shape) == 0;
    for (int i = 0; i < shape->n_dims; i++) {
        if (stride[i] < 0)
            return LODE_FAIL(LODE_ERR_INVALID, "view: stride %lld of dim %d is negative",
                             (long long)stride[i], i);
        if (empty || shape->dim[i] <= 1 || stride[i] == 0) continue;
        if (shape->dim[i] - 1 > (INT64_MAX - last) / stride[i])
            return LODE_FAIL(LODE_ERR_SHAPE, "view: %s with these strides overflows",
                             lode_shape_print(shape, text));
        last += (shape->dim[i] - 1) * stride[i];
    }
    if (t->storage != NULL) {
        int64_t size = (int64_t)lode_dtype_size(t->dtype);
        int64_t begin = ((char *)t->data - (char *)t->storage->data) / size;
        int64_t n = (int64_t)t->storage->bytes / size - begin;
        if (empty ? offset > n : last >= n)
            return LODE_FAIL(LODE_ERR_SHAPE,
                             "view: %s reaches element %lld of a storage with %lld elements",
                             lode_shape_print(shape, text), (long long)last, (long long)n);
    }
    return view_make(t, shape, stride, offset, out);
}

lode_status lode_tensor_slice(lode_tensor *t, int dim, int64_t begin, int64_t end, int64_t step,
                              lode_tensor **out) {
    char text[128];
    *out = NULL;
    if (dim < 0 || dim >= t->shape.n_dims)
        return LODE_FAIL(LODE_ERR_SHAPE, "slice: dim %d of %s does not exist", dim,
                         lode_shape_print(&t->shape, text));
    if (begin < 0 || end < begin || end > t->shape.dim[dim] || step < 1)
        return LODE_FAIL(LODE_ERR_SHAPE, "slice: %lld:%lld:%lld of dim %d of %s is impossible",
                         (long long)begin, (long long)end, (long long)step, dim,
                         lode_shape_print(&t->shape, text));
    lode_shape shape = t->shape;
    int64_t stride[LODE_MAX_DIMS];
    memcpy(stride, t->stride, sizeof stride);
    shape.dim[dim] = end == begin ? 0 : (end - begin - 1) / step + 1;
    stride[dim] *= step;
    int64_t offset = lode_shape_count(&shape) == 0 ? 0 : begin * t->stride[dim];
    return view_make(t, &shape, stride, offset, out);
}

lode_status lode_tensor_transpose(lode_tensor *t, const int *perm, lode_tensor **out) {
    lode_shape shape = {.n_dims = t->shape.n_dims};
    int64_t stride[LODE_MAX_DIMS] = {0};
    unsigned seen = 0;
    *out = NULL;
    for (int i = 0; i < shape.n_dims; i++) {
        if (perm[i] < 0 || perm[i] >= shape.n_dims || (seen >> perm[i] & 1u) != 0)
            return LODE_FAIL(LODE_ERR_SHAPE,
                             "transpose: %d at place %d is no permutation of %d dims", perm[i], i,
                             shape.n_dims);
        seen |= 1u << perm[i];
        shape.dim[i] = t->shape.dim[perm[i]];
        stride[i] = t->stride[perm[i]];
    }
    return view_make(t, &shape, stride, 0, out);
}

/* Groups of old dims and new dims with equal products, from the left. Within a group the old dims
   must be packed (each stride is the next one's stride times its size); the new dims then share the
   stride of the group's last old dim. False when memory order forbids it. */
static bool reshape_strides(const lode_tensor *t, const lode_shape *to, int64_t *stride) {
    int64_t dim[LODE_MAX_DIMS], old[LODE_MAX_DIMS];
    int n = 0;
    for (int i = 0; i < t->shape.n_dims; i++) {
        if (t->shape.dim[i] == 1) continue;
        dim[n] = t->shape.dim[i];
        old[n++] = t->stride[i];
    }
    int from = 0, at = 0;
    while (at < to->n_dims) {
        int first_new = at, first_old = from;
        int64_t n_new = to->dim[at++], n_old = 1;
        while (n_new != n_old) {
            if (n_new < n_old) {
                n_new *= to->dim[at++];
            } else {
                if (from > first_old && old[from - 1] != old[from] * dim[from]) return false;
                n_old *= dim[from++];
            }
        }
        int64_t step = from > first_old ? old[from - 1] : 1;
        for (int i = at - 1; i >= first_new; i--) {
            stride[i] = step;
            step *= to->dim[i];
        }
    }
    return true;
}

lode_status lode_tensor_reshape(lode_tensor *t, const lode_shape *shape, lode_tensor **out) {
    char a[128], b[128];
    int64_t stride[LODE_MAX_DIMS] = {0};
    *out = NULL;
    LODE_TRY(lode_shape_check(shape));
    if (lode_shape_count(shape) != lode_tensor_count(t))
        return LODE_FAIL(LODE_ERR_SHAPE, "reshape: %s has %lld elements, %s has %lld",
                         lode_shape_print(&t->shape, a), (long long)lode_tensor_count(t),
                         lode_shape_print(shape, b), (long long)lode_shape_count(shape));
    if (lode_tensor_count(t) == 0)
        lode_strides_contiguous(shape, stride);
    else if (!reshape_strides(t, shape, stride))
        return LODE_FAIL(LODE_ERR_UNSUPPORTED, "reshape: %s to %s needs a copy",
                         lode_shape_print(&t->shape, a), lode_shape_print(shape, b));
    return view_make(t, shape, stride, 0, out);
}

lode_status lode_tensor_broadcast_to(lode_tensor *t, const lode_shape *shape, lode_tensor **out) {
    lode_shape both;
    int64_t stride[LODE_MAX_DIMS] = {0};
    *out = NULL;
    LODE_TRY(lode_shape_check(shape));
    LODE_TRY(lode_shape_broadcast(&t->shape, shape, &both));
    if (!lode_shape_equal(&both, shape)) {
        char a[128], b[128];
        return LODE_FAIL(LODE_ERR_SHAPE, "broadcast: %s does not fit into %s",
                         lode_shape_print(&t->shape, a), lode_shape_print(shape, b));
    }
    int shift = shape->n_dims - t->shape.n_dims;
    for (int i = shift; i < shape->n_dims; i++)
        stride[i] = t->shape.dim[i - shift] == shape->dim[i] ? t->stride[i - shift] : 0;
    return view_make(t, shape, stride, 0, out);
}
