/* ref.c: operands of reference kernels as plain doubles in logical row-major order.

   Whatever dtype and strides a tensor has, a reference kernel computes on a flat array of doubles.
   Contiguous f64 tensors (what gradient checks use) are that array already; for the rest one walk
   over the elements converts, with the dtype decided outside the innermost loop. The buffers hang
   in a list and go together in lode_ref_end. */
#include "ops/op_util.h"

#include <string.h>

struct lode_ref_buffer {
    struct lode_ref_buffer *next;
    lode_tensor *store; /* where the values go in the end; NULL: nowhere */
    double v[];
};

/* One run of n elements with a stride, to or from doubles. */
static void run_load(lode_dtype dtype, const char *p, int64_t stride, int64_t n, double *v) {
    if (dtype == LODE_F32) {
        const float *f = (const float *)(const void *)p;
        for (int64_t i = 0; i < n; i++) v[i] = (double)f[i * stride];
    } else if (dtype == LODE_F64) {
        const double *d = (const double *)(const void *)p;
        for (int64_t i = 0; i < n; i++) v[i] = d[i * stride];
    } else {
        int64_t step = stride * (int64_t)lode_dtype_size(dtype);
        for (int64_t i = 0; i < n; i++) v[i] = lode_dtype_load(dtype, p + i * step);
    }
}

static void run_store(lode_dtype dtype, char *p, int64_t stride, int64_t n, const double *v) {
    if (dtype == LODE_F32) {
        float *f = (float *)(void *)p;
        for (int64_t i = 0; i < n; i++) f[i * stride] = (float)v[i];
    } else if (dtype == LODE_F64) {
        double *d = (double *)(void *)p;
        for (int64_t i = 0; i < n; i++) d[i * stride] = v[i];
    } else {
        int64_t step = stride * (int64_t)lode_dtype_size(dtype);
        for (int64_t i = 0; i < n; i++) lode_dtype_store(dtype, p + i * step, v[i]);
    }
}

/* Walks the tensor in row-major order, one run per row of the last dim. */
static void tensor_convert(const lode_tensor *t, double *v, bool store) {
    int64_t size = (int64_t)lode_dtype_size(t->dtype);
    int last = t->shape.n_dims - 1;
    int64_t n = last < 0 ? 1 : t->shape.dim[last], stride = last < 0 ? 1 : t->stride[last];
    int64_t index[LODE_MAX_DIMS] = {0};
    char *p = t->data;
    if (lode_tensor_count(t) == 0) return;
    for (;;) {
        if (store)
            run_store(t->dtype, p, stride, n, v);
        else
            run_load(t->dtype, p, stride, n, v);
        v += n;
        int d = last - 1;
        for (; d >= 0; d--) { /* carry */
            p += t->stride[d] * size;
            if (++index[d] < t->shape.dim[d]) break;
            p -= t->stride[d] * t->shape.dim[d] * size;
            index[d] = 0;
        }
        if (d < 0) return;
    }
}

static bool usable_in_place(const lode_tensor *t) {
    return t->dtype == LODE_F64 && lode_tensor_is_contiguous(t);
}

void lode_ref_fail(lode_ref *r, lode_status status) {
    if (r->status == LODE_OK) r->status = status;
}

bool lode_ref_ok(const lode_ref *r) { return r->status == LODE_OK; }

static struct lode_ref_buffer *buffer_add(lode_ref *r, int64_t n, lode_tensor *store) {
    if (r->status != LODE_OK) return NULL;
    const size_t head = sizeof(struct lode_ref_buffer) / sizeof(double);
    struct lode_ref_buffer *b = lode_calloc((size_t)n + head, sizeof(double));
    if (b == NULL) {
        r->status = lode_last_status();
        return NULL;
    }
    b->next = r->first;
    b->store = store;
    r->first = b;
    return b;
}

const double *lode_ref_in(lode_ref *r, const lode_tensor *t) {
    if (t == NULL) return NULL;
    if (usable_in_place(t)) return t->data;
    struct lode_ref_buffer *b = buffer_add(r, lode_tensor_count(t), NULL);
    if (b == NULL) return NULL;
    tensor_convert(t, b->v, false);
    return b->v;
}

double *lode_ref_out(lode_ref *r, lode_tensor *t) {
    if (t == NULL) return NULL;
    if (usable_in_place(t)) return memset(t->data, 0, lode_tensor_bytes(t));
    struct lode_ref_buffer *b = buffer_add(r, lode_tensor_count(t), t);
    return b == NULL ? NULL : b->v;
}

double *lode_ref_inout(lode_ref *r, lode_tensor *t) {
    if (t == NULL) return NULL;
    if (usable_in_place(t)) return t->data;
    struct lode_ref_buffer *b = buffer_add(r, lode_tensor_count(t), t);
    if (b == NULL) return NULL;
    tensor_convert(t, b->v, false);
    return b->v;
}

double *lode_ref_scratch(lode_ref *r, int64_t n) {
    struct lode_ref_buffer *b = buffer_add(r, n, NULL);
    return b == NULL ? NULL : b->v;
}

lode_status lode_ref_end(lode_ref *r) {
    while (r->first != NULL) {
        struct lode_ref_buffer *b = r->first;
        if (r->status == LODE_OK && b->store != NULL) tensor_convert(b->store, b->v, true);
        r->first = b->next;
        lode_free(b);
    }
    return r->status;
}
