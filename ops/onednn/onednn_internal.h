/* onednn_internal.h: the provider's cache of convolution primitives, and its kernels.

   Creating a primitive costs 0.1 to 1.4 ms cold, running a small one some microseconds, so they are
   kept: a table of fixed size, least recently used out first, keyed by everything that shapes the
   code oneDNN generates. The table is the one piece of process-wide state in this room (oneDNN has
   one CPU engine per process); it is guarded by a mutex and holds no Lode memory. */
#ifndef LODE_OPS_ONEDNN_INTERNAL_H
#define LODE_OPS_ONEDNN_INTERNAL_H
#include "ops/backend.h"
#include "ops/onednn/onednn_shim.h"

typedef enum onednn_direction {
    ONEDNN_FORWARD,
    ONEDNN_BACKWARD_DATA,
    ONEDNN_BACKWARD_WEIGHTS
} onednn_direction;

/* Compared bytewise: zero it before filling. */
typedef struct onednn_conv_key {
    int64_t n, c, h, w, o, oh, ow;
    int32_t kernel[2], stride[2], pad[2], dilation[2];
    int32_t groups, has_bias, direction;
    int32_t threads; /* 1, or as many as lode_set_threads says */
} onednn_conv_key;

/* A primitive with what it takes to run it. Images are dense NHWC outside; weights are OIHW outside
   and whatever `weights` says inside: `reorder` goes there (or back, for weight gradients). */
typedef struct onednn_plan {
    dnnl_primitive_desc_t pd, reorder_pd;
    dnnl_primitive_t primitive, reorder; /* reorder NULL: the weights fit as they are */
    onednn_md user_weights;
    onednn_md_ref weights; /* inside, owned by pd */
    size_t weights_bytes, scratch_bytes;
} onednn_plan;

/* Finds or makes the plan and holds it until release. */
lode_status onednn_plan_acquire(const onednn_conv_key *key, onednn_plan **out);
void onednn_plan_release(onednn_plan *plan);

/* Weights from outside to inside (and back): `inside` has weights_bytes. Where both are the same
   nothing is done and `inside` is not touched: use what onednn_plan_inside says. */
static inline void *onednn_plan_inside(const onednn_plan *p, void *outside, void *inside) {
    return p->reorder ? inside : outside;
}
lode_status onednn_plan_pack(const onednn_plan *plan, void *outside, void *inside);
lode_status onednn_plan_unpack(const onednn_plan *plan, void *inside, void *outside);
/* Runs it, on weights inside. src, weights, bias, dst are the memory of the roles above; scratch
   has scratch_bytes, 64-byte aligned. */
lode_status onednn_plan_run(const onednn_plan *plan, onednn_direction direction, void *src,
                            void *weights, void *bias, void *dst, void *scratch);

/* LODE_OK, or a failure that says what was tried and oneDNN's code. */
lode_status onednn_check(dnnl_status_t s, const char *what);

bool onednn_conv2d_supports(const lode_op_call *c);
lode_status onednn_conv2d_forward(const lode_op_call *c);
lode_status onednn_conv2d_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx);
size_t onednn_conv2d_workspace(const lode_op_call *c, bool backward);

bool onednn_linear_supports(const lode_op_call *c);
lode_status onednn_linear_forward(const lode_op_call *c);
lode_status onednn_linear_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx);
size_t onednn_linear_workspace(const lode_op_call *c, bool backward);

/* matmul and batch_matmul */
bool onednn_matmul_supports(const lode_op_call *c);
lode_status onednn_matmul_forward(const lode_op_call *c);
lode_status onednn_matmul_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx);
size_t onednn_matmul_workspace(const lode_op_call *c, bool backward);

extern const lode_provider lode_provider_onednn;
#endif
