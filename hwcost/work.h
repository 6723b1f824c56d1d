/* work.h: a traced call as analytical cost models see it: which class of work, on which shapes, how
   many elements it reads and writes. Elements, not bytes: the device file says how many bytes an
   element has where the network is deployed. */
#ifndef LODE_HWCOST_WORK_H
#define LODE_HWCOST_WORK_H
#include "autograd/tape.h"

typedef enum lode_work_class {
    LODE_WORK_CONV,      /* k x k > 1, dense or in groups of more than one channel */
    LODE_WORK_POINTWISE, /* 1x1 */
    LODE_WORK_DEPTHWISE, /* one channel a group */
    LODE_WORK_LINEAR,    /* and matrix products */
    LODE_WORK_OTHER,     /* no multiply-accumulates: pooling, sums, activations, norms */
    LODE_N_WORK_CLASSES
} lode_work_class;
/* "conv", "pointwise", ... */
LODE_API const char *lode_work_class_name(lode_work_class what);

typedef struct lode_work {
    lode_work_class what;
    double macs, flops; /* as lode_op_count */
    double input;       /* elements of what comes from other calls, a residual not included */
    double residual;    /* of r in conv_act, 0: none */
    double weights, biases, output;
    /* Of convolutions; linear layers are 1x1 maps. in_c and out_c are of all groups. */
    int64_t images, in_c, in_h, in_w, out_c, out_h, out_w, k_h, k_w, stride, groups;
} lode_work;

/* A view has no work: everything is 0 and `what` is OTHER. */
LODE_API void lode_work_of(const lode_trace_call *call, lode_work *out);
#endif
