/* tensor_element.c: single elements, random contents, and tests over all elements. */
#include "tensor/tensor_internal.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* ---- one element ---- */
int64_t tensor_offset_of(const lode_tensor *t, int64_t i) {
    int64_t offset = 0;
    for (int d = t->shape.n_dims - 1; d > 0; d--) {
        offset += i % t->shape.dim[d] * t->stride[d];
        i /= t->shape.dim[d];
    }
    return t->shape.n_dims > 0 ? offset + i * t->stride[0] : 0;
}

static int64_t element_offset_nd(const lode_tensor *t, const int64_t *index) {
    int64_t offset = 0;
    for (int d = 0; d < t->shape.n_dims; d++) offset += index[d] * t->stride[d];
    return offset;
}

static double element_load(const lode_tensor *t, int64_t offset) {
    const void *p = tensor_at_offset(t, offset);
    if (tensor_on_host(t)) return lode_dtype_load(t->dtype, p);
    unsigned char bytes[8];
    lode_status status = lode_device_get_ops(t->device)->copy_out(
        lode_device_self(t->device), bytes, p, lode_dtype_size(t->dtype));
    return status == LODE_OK ? lode_dtype_load(t->dtype, bytes) : (double)NAN;
}

static void element_store(lode_tensor *t, int64_t offset, double v) {
    void *p = tensor_at_offset(t, offset);
    if (tensor_on_host(t)) {
        lode_dtype_store(t->dtype, p, v);
        return;
    }
    unsigned char bytes[8];
    lode_dtype_store(t->dtype, bytes, v);
    lode_device_get_ops(t->device)->copy_in(lode_device_self(t->device), p, bytes,
                                            lode_dtype_size(t->dtype));
}

double lode_at(const lode_tensor *t, int64_t i) { return element_load(t, tensor_offset_of(t, i)); }
void lode_put(lode_tensor *t, int64_t i, double v) { element_store(t, tensor_offset_of(t, i), v); }
double lode_at_nd(const lode_tensor *t, const int64_t *index) {
    return element_load(t, element_offset_nd(t, index));
}
void lode_put_nd(lode_tensor *t, const int64_t *index, double v) {
    element_store(t, element_offset_nd(t, index), v);
}

/* ---- random contents: drawn in logical order, so the layout does not matter ---- */
static lode_status element_fill_random(lode_tensor *t, lode_rng *r, double (*draw)(lode_rng *),
                                       double shift, double factor) {
    lode_tensor *host = NULL;
    LODE_TRY(tensor_stage_begin(t, &host));
    int64_t n = lode_tensor_count(host);
    for (int64_t i = 0; i < n; i++) lode_put(host, i, shift + factor * draw(r));
    return tensor_stage_end(t, host, true);
}

lode_status lode_tensor_fill_uniform(lode_tensor *t, lode_rng *r, double lo, double hi) {
    return element_fill_random(t, r, lode_rng_uniform, lo, hi - lo);
}
lode_status lode_tensor_fill_normal(lode_tensor *t, lode_rng *r, double mean, double std) {
    return element_fill_random(t, r, lode_rng_normal, mean, std);
}

/* ---- tests over all elements ---- */
typedef struct element_test {
    lode_dtype dtype;
    atomic_bool failed;
} element_test;

/* An exponent of all ones is infinite or NaN. Counting instead of leaving early lets the compiler
   vectorise. */
static void element_finite_f32(void *ctx, char *a, int64_t sa, const char *b, int64_t sb,
                               int64_t n) {
    element_test *test = ctx;
    uint32_t bad = 0;
    (void)b;
    (void)sb;
    if (sa == 4) {
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, a + i * 4, 4);
            bad |= (bits & 0x7f800000u) == 0x7f800000u;
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, a + i * sa, 4);
            bad |= (bits & 0x7f800000u) == 0x7f800000u;
        }
    }
    if (bad) atomic_store_explicit(&test->failed, true, memory_order_relaxed);
}

static void element_finite_any(void *ctx, char *a, int64_t sa, const char *b, int64_t sb,
                               int64_t n) {
    element_test *test = ctx;
    (void)b;
    (void)sb;
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(lode_dtype_load(test->dtype, a + i * sa))) {
            atomic_store_explicit(&test->failed, true, memory_order_relaxed);
            return;
        }
}

static void element_equal(void *ctx, char *a, int64_t sa, const char *b, int64_t sb, int64_t n) {
    element_test *test = ctx;
    size_t size = lode_dtype_size(test->dtype);
    bool equal = true;
    if (sa == (int64_t)size && sb == (int64_t)size)
        equal = memcmp(a, b, (size_t)n * size) == 0;
    else
        for (int64_t i = 0; i < n && equal; i++) equal = memcmp(a + i * sa, b + i * sb, size) == 0;
    if (!equal) atomic_store_explicit(&test->failed, true, memory_order_relaxed);
}

/* Host mirrors for reading; the const is only for the caller's peace: nothing is written. */
static lode_status element_mirror(const lode_tensor *t, lode_tensor **host) {
    return tensor_stage_begin((lode_tensor *)(uintptr_t)t, host);
}

bool lode_tensor_all_finite(const lode_tensor *t) {
    lode_tensor *host = NULL;
    if (t->data == NULL || !lode_dtype_is_float(t->dtype)) return true;
    if (element_mirror(t, &host) != LODE_OK) return false;
    element_test test = {.dtype = t->dtype};
    tensor_walk(host, NULL, t->dtype == LODE_F32 ? element_finite_f32 : element_finite_any, &test);
    lode_tensor_release(host);
    return !atomic_load(&test.failed);
}

bool lode_tensor_equal_bits(const lode_tensor *a, const lode_tensor *b) {
    lode_tensor *host_a = NULL, *host_b = NULL;
    element_test test = {.dtype = a->dtype};
    if (a->dtype != b->dtype || !lode_shape_equal(&a->shape, &b->shape)) return false;
    bool equal = element_mirror(a, &host_a) == LODE_OK && element_mirror(b, &host_b) == LODE_OK;
    if (equal) {
        tensor_walk(host_a, host_b, element_equal, &test);
        equal = !atomic_load(&test.failed);
    }
    lode_tensor_release(host_a);
    lode_tensor_release(host_b);
    return equal;
}
