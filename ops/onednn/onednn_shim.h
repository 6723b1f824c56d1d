/* onednn_shim.h: one face for the C APIs of oneDNN 2.x and 3.x.

   They differ in two things that matter here: a memory descriptor is a struct in 2.x and a handle
   in 3.x, and 3.x creates a primitive descriptor in one call where 2.x fills an operation
   descriptor first. Everything else in this room is written against the functions below. */
#ifndef LODE_OPS_ONEDNN_SHIM_H
#define LODE_OPS_ONEDNN_SHIM_H
#include <dnnl.h>
#include <string.h>

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t onednn_md;           /* owned */
typedef const_dnnl_memory_desc_t onednn_md_ref; /* borrowed */
#else
typedef dnnl_memory_desc_t onednn_md;
typedef const dnnl_memory_desc_t *onednn_md_ref;
#endif

/* A convolution, all three directions. bias NULL: none. For backward data src and dst are the
   gradients, for backward weights weights, bias and dst are. */
typedef struct onednn_conv {
    onednn_md src, weights, bias, dst;
    int has_bias;
    dnnl_dims_t stride, dilate, pad; /* dilate counts from 0 */
} onednn_conv;

#if DNNL_VERSION_MAJOR >= 3
static inline onednn_md_ref onednn_md_get(const onednn_md *md) { return *md; }
static inline dnnl_status_t onednn_md_strided(onednn_md *md, int n, const dnnl_dims_t dims,
                                              const dnnl_dims_t strides) {
    return dnnl_memory_desc_create_with_strides(md, n, dims, dnnl_f32, strides);
}
static inline dnnl_status_t onednn_md_any(onednn_md *md, int n, const dnnl_dims_t dims) {
    return dnnl_memory_desc_create_with_tag(md, n, dims, dnnl_f32, dnnl_format_tag_any);
}
static inline void onednn_md_deinit(onednn_md *md) {
    if (*md) dnnl_memory_desc_destroy(*md);
    *md = NULL;
}
static inline dnnl_status_t onednn_conv_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                                const onednn_conv *c, dnnl_primitive_attr_t attr) {
    return dnnl_convolution_forward_primitive_desc_create(
        pd, engine, dnnl_forward_inference, dnnl_convolution_direct, c->src, c->weights,
        c->has_bias ? c->bias : NULL, c->dst, c->stride, c->dilate, c->pad, c->pad, attr);
}
static inline dnnl_status_t onednn_conv_backward_data(dnnl_primitive_desc_t *pd,
                                                      dnnl_engine_t engine, const onednn_conv *c,
                                                      dnnl_primitive_attr_t attr,
                                                      dnnl_primitive_desc_t hint) {
    return dnnl_convolution_backward_data_primitive_desc_create(
        pd, engine, dnnl_convolution_direct, c->src, c->weights, c->dst, c->stride, c->dilate,
        c->pad, c->pad, hint, attr);
}
static inline dnnl_status_t onednn_conv_backward_weights(dnnl_primitive_desc_t *pd,
                                                         dnnl_engine_t engine, const onednn_conv *c,
                                                         dnnl_primitive_attr_t attr,
                                                         dnnl_primitive_desc_t hint) {
    return dnnl_convolution_backward_weights_primitive_desc_create(
        pd, engine, dnnl_convolution_direct, c->src, c->weights, c->has_bias ? c->bias : NULL,
        c->dst, c->stride, c->dilate, c->pad, c->pad, hint, attr);
}
#else
static inline onednn_md_ref onednn_md_get(const onednn_md *md) { return md; }
static inline dnnl_status_t onednn_md_strided(onednn_md *md, int n, const dnnl_dims_t dims,
                                              const dnnl_dims_t strides) {
    return dnnl_memory_desc_init_by_strides(md, n, dims, dnnl_f32, strides);
}
static inline dnnl_status_t onednn_md_any(onednn_md *md, int n, const dnnl_dims_t dims) {
    return dnnl_memory_desc_init_by_tag(md, n, dims, dnnl_f32, dnnl_format_tag_any);
}
static inline void onednn_md_deinit(onednn_md *md) { memset(md, 0, sizeof *md); }
static inline dnnl_status_t onednn_conv_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                                const onednn_conv *c, dnnl_primitive_attr_t attr) {
    dnnl_convolution_desc_t d;
    dnnl_status_t s = dnnl_dilated_convolution_forward_desc_init(
        &d, dnnl_forward_inference, dnnl_convolution_direct, &c->src, &c->weights,
        c->has_bias ? &c->bias : NULL, &c->dst, c->stride, c->dilate, c->pad, c->pad);
    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attr, engine, NULL) : s;
}
static inline dnnl_status_t onednn_conv_backward_data(dnnl_primitive_desc_t *pd,
                                                      dnnl_engine_t engine, const onednn_conv *c,
                                                      dnnl_primitive_attr_t attr,
                                                      dnnl_primitive_desc_t hint) {
    dnnl_convolution_desc_t d;
    dnnl_status_t s = dnnl_dilated_convolution_backward_data_desc_init(
        &d, dnnl_convolution_direct, &c->src, &c->weights, &c->dst, c->stride, c->dilate, c->pad,
        c->pad);
    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attr, engine, hint) : s;
}
static inline dnnl_status_t onednn_conv_backward_weights(dnnl_primitive_desc_t *pd,
                                                         dnnl_engine_t engine, const onednn_conv *c,
                                                         dnnl_primitive_attr_t attr,
                                                         dnnl_primitive_desc_t hint) {
    dnnl_convolution_desc_t d;
    dnnl_status_t s = dnnl_dilated_convolution_backward_weights_desc_init(
        &d, dnnl_convolution_direct, &c->src, &c->weights, c->has_bias ? &c->bias : NULL, &c->dst,
        c->stride, c->dilate, c->pad, c->pad);
    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attr, engine, hint) : s;
}
#endif
#endif
