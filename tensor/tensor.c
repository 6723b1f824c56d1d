/* tensor.c: handles, storage, and questions about layout.

   A handle (lode_tensor) says where elements are; a storage owns their bytes. Views are further
   handles on the same storage, so a small view keeps a large storage alive. Both are counted with
   atomics: retain and release may come from any thread, the last one frees. */
#include "core/memory.h"
#include "tensor/tensor_internal.h"

#include <assert.h>
#include <string.h>

/* ---- life ---- */
lode_status tensor_new_handle(lode_device *device, lode_dtype dtype, const lode_shape *shape,
                              lode_tensor **out) {
    *out = NULL;
    if ((unsigned)dtype >= LODE_N_DTYPES)
        return LODE_FAIL(LODE_ERR_DTYPE, "tensor: dtype number %d is unknown", (int)dtype);
    LODE_TRY(lode_shape_check(shape));
    if (lode_shape_count(shape) > INT64_MAX / (int64_t)lode_dtype_size(dtype)) {
        char text[128];
        return LODE_FAIL(LODE_ERR_SHAPE, "tensor: %s of %s has more bytes than 64 bits count",
                         lode_shape_print(shape, text), lode_dtype_name(dtype));
    }
    lode_tensor *t = LODE_NEW(lode_tensor);
    if (t == NULL) return LODE_ERR_NO_MEMORY;
    t->dtype = dtype;
    t->shape = *shape;
    t->device = device != NULL ? device : lode_cpu_device();
    atomic_init(&t->refs, 1);
    *out = t;
    return LODE_OK;
}

void tensor_share_storage(lode_tensor *t, lode_storage *storage, void *data) {
    if (storage != NULL) atomic_fetch_add_explicit(&storage->refs, 1, memory_order_relaxed);
    t->storage = storage;
    t->data = data;
}

static void storage_release(lode_storage *s) {
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
    if (s->owned) lode_device_release(s->device, s->data, s->bytes);
    lode_free(s);
}

/* Gives a handle its own storage; `data` NULL: from the device. */
static lode_status tensor_attach(lode_tensor *t, void *data) {
    lode_storage *s = LODE_NEW(lode_storage);
    if (s == NULL) return LODE_ERR_NO_MEMORY;
    atomic_init(&s->refs, 1);
    s->device = t->device;
    s->bytes = lode_tensor_bytes(t);
    s->owned = data == NULL;
    s->data = data != NULL ? data : lode_device_allocate(t->device, s->bytes);
    if (s->data == NULL) {
        lode_free(s);
        return LODE_ERR_NO_MEMORY;
    }
    t->storage = s;
    t->data = s->data;
    return LODE_OK;
}

static lode_status tensor_layout_strides(const lode_shape *shape, lode_layout layout,
                                         int64_t stride[LODE_MAX_DIMS]) {
    if (layout == LODE_CONTIGUOUS) {
        lode_strides_contiguous(shape, stride);
        return LODE_OK;
    }
    if (shape->n_dims != 4) {
        char text[128];
        return LODE_FAIL(LODE_ERR_SHAPE, "tensor: channels-last needs [N, C, H, W], got %s",
                         lode_shape_print(shape, text));
    }
    lode_strides_channels_last(shape, stride);
    return LODE_OK;
}

lode_status lode_tensor_shapeless_storage(lode_dtype dtype, const lode_shape *shape,
                                          lode_layout layout, lode_tensor **out) {
    lode_tensor *t = NULL;
    *out = NULL;
    LODE_TRY(tensor_new_handle(NULL, dtype, shape, &t));
    lode_status status = tensor_layout_strides(shape, layout, t->stride);
    if (status != LODE_OK) {
        lode_tensor_release(t);
        return status;
    }
    *out = t;
    return LODE_OK;
}

lode_status lode_tensor_shape_only(const lode_tensor *t, lode_tensor **out) {
    LODE_TRY(tensor_new_handle(t->device, t->dtype, &t->shape, out));
    memcpy((*out)->stride, t->stride, sizeof t->stride);
    return LODE_OK;
}

lode_status lode_tensor_create(lode_device *device, lode_dtype dtype, const lode_shape *shape,
                               lode_layout layout, lode_tensor **out) {
    lode_tensor *t = NULL;
    *out = NULL;
    LODE_TRY(lode_tensor_shapeless_storage(dtype, shape, layout, &t));
    if (device != NULL) t->device = device;
    lode_status status = tensor_attach(t, NULL);
    if (status != LODE_OK) {
        lode_tensor_release(t);
        return status;
    }
    *out = t;
    return LODE_OK;
}

lode_status lode_tensor_zeros(lode_device *device, lode_dtype dtype, const lode_shape *shape,
                              lode_layout layout, lode_tensor **out) {
    LODE_TRY(lode_tensor_create(device, dtype, shape, layout, out));
    lode_status status = lode_tensor_fill(*out, 0);
    if (status != LODE_OK) {
        lode_tensor_release(*out);
        *out = NULL;
    }
    return status;
}

lode_status lode_tensor_like(const lode_tensor *t, lode_tensor **out) {
    return lode_tensor_like_on(t->device, t, out);
}

lode_status lode_tensor_like_on(lode_device *device, const lode_tensor *t, lode_tensor **out) {
    lode_tensor *y = NULL;
    *out = NULL;
    LODE_TRY(tensor_new_handle(device, t->dtype, &t->shape, &y));
    tensor_dense_strides(t, y->stride);
    lode_status status = tensor_attach(y, NULL);
    if (status != LODE_OK) {
        lode_tensor_release(y);
        return status;
    }
    *out = y;
    return LODE_OK;
}

lode_status lode_tensor_wrap(void *data, lode_dtype dtype, const lode_shape *shape,
                             lode_tensor **out) {
    lode_tensor *t = NULL;
    *out = NULL;
    if (data == NULL) return LODE_FAIL(LODE_ERR_INVALID, "tensor: cannot wrap NULL");
    LODE_TRY(lode_tensor_shapeless_storage(dtype, shape, LODE_CONTIGUOUS, &t));
    lode_status status = tensor_attach(t, data);
    if (status != LODE_OK) {
        lode_tensor_release(t);
        return status;
    }
    *out = t;
    return LODE_OK;
}

lode_tensor *lode_tensor_retain(lode_tensor *t) {
    if (t != NULL) atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void lode_tensor_release(lode_tensor *t) {
    if (t == NULL) return;
    int before = atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before != 1) return;
    storage_release(t->storage);
    lode_free(t);
}

/* ---- layout ---- */
int64_t lode_tensor_count(const lode_tensor *t) { return lode_shape_count(&t->shape); }

size_t lode_tensor_bytes(const lode_tensor *t) {
    return (size_t)lode_tensor_count(t) * lode_dtype_size(t->dtype);
}

/* Equal wherever a dim has more than one element: elsewhere a stride means nothing. */
static bool tensor_has_strides(const lode_tensor *t, const int64_t *stride) {
    for (int i = 0; i < t->shape.n_dims; i++)
        if (t->shape.dim[i] > 1 && t->stride[i] != stride[i]) return false;
    return true;
}

bool lode_tensor_is_contiguous(const lode_tensor *t) {
    int64_t stride[LODE_MAX_DIMS];
    lode_strides_contiguous(&t->shape, stride);
    return lode_tensor_count(t) == 0 || tensor_has_strides(t, stride);
}

bool lode_tensor_is_channels_last(const lode_tensor *t) {
    int64_t stride[LODE_MAX_DIMS];
    if (t->shape.n_dims != 4) return false;
    lode_strides_channels_last(&t->shape, stride);
    return lode_tensor_count(t) == 0 || tensor_has_strides(t, stride);
}

bool lode_tensor_is_dense(const lode_tensor *t) {
    int64_t stride[LODE_MAX_DIMS];
    tensor_dense_strides(t, stride);
    return lode_tensor_count(t) == 0 || tensor_has_strides(t, stride);
}

bool lode_tensor_same_layout(const lode_tensor *a, const lode_tensor *b) {
    return lode_shape_equal(&a->shape, &b->shape) && tensor_has_strides(a, b->stride);
}

/* Dims from the largest stride to the smallest, equal ones in their order, then packed. Dims of one
   element do not take part and get the stride they would have in row-major order. */
void tensor_dense_strides(const lode_tensor *t, int64_t stride[LODE_MAX_DIMS]) {
    int order[LODE_MAX_DIMS], n = 0;
    lode_strides_contiguous(&t->shape, stride);
    for (int i = 0; i < t->shape.n_dims; i++) {
        if (t->shape.dim[i] == 1) continue;
        int at = n++;
        for (; at > 0 && t->stride[order[at - 1]] < t->stride[i]; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    int64_t step = 1;
    for (int k = n - 1; k >= 0; k--) {
        stride[order[k]] = step;
        if (t->shape.dim[order[k]] > 1) step *= t->shape.dim[order[k]];
    }
}

int64_t tensor_last_offset(const lode_shape *s, const int64_t *stride) {
    int64_t last = 0;
    for (int i = 0; i < s->n_dims; i++) {
        if (s->dim[i] == 0) return -1;
        last += (s->dim[i] - 1) * stride[i];
    }
    return last;
}
