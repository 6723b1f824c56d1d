/* tensor_copy.c: whole-tensor work: copy, convert, fill, add.

   Each is a span function for tensor_walk: equal dense layouts arrive as long runs and are copied
   with memcpy or added in loops the compiler vectorises; the pairs of dtypes that occur in training
   have loops of their own, the rest goes element by element through double. */
#include "tensor/tensor_internal.h"

#include <string.h>

/* ---- spans ---- */
typedef struct copy_dtypes {
    lode_dtype to, from;
} copy_dtypes;

/* One loop per element type; the unit strides apart, so that the compiler vectorises them. */
#define COPY_LOOP(to_type, from_type, expr)                                                        \
    for (int64_t i = 0; i < n; i++) {                                                              \
        from_type v;                                                                               \
        memcpy(&v, b + i * sb, sizeof v);                                                          \
        to_type r = (expr);                                                                        \
        memcpy(a + i * sa, &r, sizeof r);                                                          \
    }
#define COPY_SPAN(name, to_type, from_type, expr)                                                  \
    static void name(void *ctx, char *a, int64_t sa, const char *b, int64_t sb, int64_t n) {       \
        (void)ctx;                                                                                 \
        if (sa == (int64_t)sizeof(to_type) && sb == (int64_t)sizeof(from_type)) {                  \
            sa = (int64_t)sizeof(to_type);                                                         \
            sb = (int64_t)sizeof(from_type);                                                       \
            COPY_LOOP(to_type, from_type, expr)                                                    \
        } else {                                                                                   \
            COPY_LOOP(to_type, from_type, expr)                                                    \
        }                                                                                          \
    }
COPY_SPAN(copy_span_1, uint8_t, uint8_t, v)
COPY_SPAN(copy_span_2, uint16_t, uint16_t, v)
COPY_SPAN(copy_span_4, uint32_t, uint32_t, v)
COPY_SPAN(copy_span_8, uint64_t, uint64_t, v)
COPY_SPAN(copy_span_f32_from_f64, float, double, (float)v)
COPY_SPAN(copy_span_f64_from_f32, double, float, (double)v)
COPY_SPAN(copy_span_f32_from_u8, float, uint8_t, (float)v)
COPY_SPAN(copy_span_f32_from_bf16, float, uint16_t, lode_bf16_to_f32(v))
COPY_SPAN(copy_span_bf16_from_f32, uint16_t, float, lode_bf16_from_f32(v))

static void copy_span_bytes(void *ctx, char *a, int64_t sa, const char *b, int64_t sb, int64_t n) {
    size_t size = *(const size_t *)ctx;
    if (sa == (int64_t)size && sb == (int64_t)size) {
        memcpy(a, b, (size_t)n * size);
        return;
    }
    switch (size) {
    case 1:
        copy_span_1(ctx, a, sa, b, sb, n);
        break;
    case 2:
        copy_span_2(ctx, a, sa, b, sb, n);
        break;
    case 4:
        copy_span_4(ctx, a, sa, b, sb, n);
        break;
    default:
        copy_span_8(ctx, a, sa, b, sb, n);
        break;
    }
}

static void copy_span_any(void *ctx, char *a, int64_t sa, const char *b, int64_t sb, int64_t n) {
    const copy_dtypes *d = ctx;
    for (int64_t i = 0; i < n; i++)
        lode_dtype_store(d->to, a + i * sa, lode_dtype_load(d->from, b + i * sb));
}

static void copy_walk(lode_tensor *dst, const lode_tensor *src) {
    static const struct {
        lode_dtype to, from;
        tensor_span_fn fn;
    } fast[] = {{LODE_F32, LODE_F64, copy_span_f32_from_f64},
                {LODE_F64, LODE_F32, copy_span_f64_from_f32},
                {LODE_F32, LODE_U8, copy_span_f32_from_u8},
                {LODE_F32, LODE_BF16, copy_span_f32_from_bf16},
                {LODE_BF16, LODE_F32, copy_span_bf16_from_f32}};
    if (dst->dtype == src->dtype) {
        size_t size = lode_dtype_size(dst->dtype);
        tensor_walk(dst, src, copy_span_bytes, &size);
        return;
    }
    for (size_t i = 0; i < sizeof fast / sizeof *fast; i++) {
        if (fast[i].to != dst->dtype || fast[i].from != src->dtype) continue;
        tensor_walk(dst, src, fast[i].fn, NULL);
        return;
    }
    tensor_walk(dst, src, copy_span_any, &(copy_dtypes){dst->dtype, src->dtype});
}

typedef struct fill_value {
    unsigned char bytes[8];
    size_t size;
} fill_value;

#define FILL_LOOP(type)                                                                            \
    {                                                                                              \
        type r;                                                                                    \
        memcpy(&r, v->bytes, sizeof r);                                                            \
        if (sa == (int64_t)sizeof r)                                                               \
            for (int64_t i = 0; i < n; i++) memcpy(a + i * (int64_t)sizeof r, &r, sizeof r);       \
        else                                                                                       \
            for (int64_t i = 0; i < n; i++) memcpy(a + i * sa, &r, sizeof r);                      \
    }
static void fill_span(void *ctx, char *a, int64_t sa, const char *b, int64_t sb, int64_t n) {
    const fill_value *v = ctx;
    (void)b;
    (void)sb;
    bool zero = true;
    for (size_t i = 0; i < v->size; i++) zero = zero && v->bytes[i] == 0;
    if (zero && sa == (int64_t)v->size) {
        memset(a, 0, (size_t)n * v->size);
        return;
    }
    switch (v->size) {
    case 1:
        FILL_LOOP(uint8_t) break;
    case 2:
        FILL_LOOP(uint16_t) break;
    case 4:
        FILL_LOOP(uint32_t) break;
    default:
        FILL_LOOP(uint64_t) break;
    }
}

#define ADD_LOOP(type)                                                                             \
    for (int64_t i = 0; i < n; i++) {                                                              \
        type v, r;                                                                                 \
        memcpy(&r, a + i * sa, sizeof r);                                                          \
        memcpy(&v, b + i * sb, sizeof v);                                                          \
        r += v;                                                                                    \
        memcpy(a + i * sa, &r, sizeof r);                                                          \
    }
#define ADD_SPAN(name, type)                                                                       \
    static void name(void *ctx, char *a, int64_t sa, const char *b, int64_t sb, int64_t n) {       \
        (void)ctx;                                                                                 \
        if (sa == (int64_t)sizeof(type) && sb == (int64_t)sizeof(type)) {                          \
            sa = sb = (int64_t)sizeof(type);                                                       \
            ADD_LOOP(type)                                                                         \
        } else {                                                                                   \
            ADD_LOOP(type)                                                                         \
        }                                                                                          \
    }
ADD_SPAN(add_span_f32, float)
ADD_SPAN(add_span_f64, double)

static void add_span_any(void *ctx, char *a, int64_t sa, const char *b, int64_t sb, int64_t n) {
    const copy_dtypes *d = ctx;
    for (int64_t i = 0; i < n; i++) {
        double r = lode_dtype_load(d->to, a + i * sa) + lode_dtype_load(d->from, b + i * sb);
        lode_dtype_store(d->to, a + i * sa, r);
    }
}

static void add_walk(lode_tensor *dst, const lode_tensor *src) {
    if (dst->dtype == LODE_F32 && src->dtype == LODE_F32)
        tensor_walk(dst, src, add_span_f32, NULL);
    else if (dst->dtype == LODE_F64 && src->dtype == LODE_F64)
        tensor_walk(dst, src, add_span_f64, NULL);
    else
        tensor_walk(dst, src, add_span_any, &(copy_dtypes){dst->dtype, src->dtype});
}

/* ---- two tensors, wherever they live ---- */
static lode_status copy_check(const char *what, const lode_tensor *dst, const lode_tensor *src) {
    if (!lode_shape_equal(&dst->shape, &src->shape)) {
        char a[128], b[128];
        return LODE_FAIL(LODE_ERR_SHAPE, "%s: destination %s, source %s", what,
                         lode_shape_print(&dst->shape, a), lode_shape_print(&src->shape, b));
    }
    if (dst->data == NULL || src->data == NULL)
        return LODE_FAIL(LODE_ERR_INVALID, "%s: a traced tensor has shapes but no elements", what);
    for (int i = 0; i < dst->shape.n_dims; i++)
        if (dst->stride[i] == 0 && dst->shape.dim[i] > 1)
            return LODE_FAIL(LODE_ERR_INVALID, "%s: cannot write into a broadcast view (dim %d)",
                             what, i);
    return LODE_OK;
}

static lode_status copy_on_host(lode_tensor *dst, const lode_tensor *src,
                                void (*walk)(lode_tensor *dst, const lode_tensor *src)) {
    if (tensor_on_host(dst) && tensor_on_host(src)) {
        walk(dst, src);
        return LODE_OK;
    }
    lode_tensor *a = NULL, *b = NULL;
    lode_status status;
    LODE_GOTO(tensor_stage_begin(dst, &a));
    LODE_GOTO(tensor_stage_begin((lode_tensor *)(uintptr_t)src, &b)); /* read only */
    walk(a, b);
done:
    lode_tensor_release(b);
    if (status != LODE_OK) {
        lode_tensor_release(a);
        return status;
    }
    return tensor_stage_end(dst, a, true);
}

lode_status lode_tensor_copy(lode_tensor *dst, const lode_tensor *src) {
    LODE_TRY(copy_check("copy", dst, src));
    bool a_host = tensor_on_host(dst), b_host = tensor_on_host(src);
    bool one_block =
        dst->dtype == src->dtype && lode_tensor_same_layout(dst, src) && lode_tensor_is_dense(dst);
    if (!one_block || (a_host && b_host) || (!a_host && !b_host && dst->device != src->device))
        return copy_on_host(dst, src, copy_walk);
    lode_device *d = a_host ? src->device : dst->device;
    const lode_device_ops *ops = lode_device_get_ops(d);
    size_t n = lode_tensor_bytes(dst);
    if (a_host) return ops->copy_out(lode_device_self(d), dst->data, src->data, n);
    if (b_host) return ops->copy_in(lode_device_self(d), dst->data, src->data, n);
    return ops->copy(lode_device_self(d), dst->data, src->data, n);
}

lode_status lode_tensor_add_into(lode_tensor *dst, const lode_tensor *src) {
    LODE_TRY(copy_check("add", dst, src));
    return copy_on_host(dst, src, add_walk);
}

lode_status lode_tensor_fill(lode_tensor *t, double v) {
    lode_tensor *host = NULL;
    fill_value value = {.size = lode_dtype_size(t->dtype)};
    lode_dtype_store(t->dtype, value.bytes, v);
    LODE_TRY(tensor_stage_begin(t, &host));
    tensor_walk(host, NULL, fill_span, &value);
    return tensor_stage_end(t, host, true);
}

lode_status lode_tensor_clone(const lode_tensor *src, lode_tensor **out) {
    LODE_TRY(lode_tensor_like(src, out));
    lode_status status = lode_tensor_copy(*out, src);
    if (status != LODE_OK) {
        lode_tensor_release(*out);
        *out = NULL;
    }
    return status;
}

lode_status lode_tensor_contiguous(lode_tensor *t, lode_layout layout, lode_tensor **out) {
    *out = NULL;
    if (layout == LODE_CONTIGUOUS ? lode_tensor_is_contiguous(t)
                                  : lode_tensor_is_channels_last(t)) {
        *out = lode_tensor_retain(t);
        return LODE_OK;
    }
    LODE_TRY(lode_tensor_create(t->device, t->dtype, &t->shape, layout, out));
    lode_status status = lode_tensor_copy(*out, t);
    if (status != LODE_OK) {
        lode_tensor_release(*out);
        *out = NULL;
    }
    return status;
}
