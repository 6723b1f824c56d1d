/* native_mbconv.h: what the two halves of the fused MBConv share; native_mbconv.c tells the idea.
 */
#ifndef LODE_OPS_NATIVE_MBCONV_H
#define LODE_OPS_NATIVE_MBCONV_H
#include "ops/mbconv.h"
#include "ops/native/conv_shape.h"
#include "ops/native/native_internal.h"
#include "ops/native/simd.h"

typedef struct mb_job {
    const lode_op_call *c;
    const lode_mbconv_params *p;
    const lode_simd *simd;
    mbconv_dims d;
    simd_mb m;
    simd_mb_weights w;      /* in workspace */
    int64_t wide, taps;     /* M rounded up to lanes; k*k */
    int64_t images, pieces; /* a piece: so many images */
    int64_t moment_images, moment_pieces;
    const float *x;                      /* dense, channels-last */
    const float *expand, *project;       /* [M,C], [O,M]; groups: filled with zeros, shuffled */
    float *dense_expand, *dense_project; /* memory for them if there are groups */
    float *y, *z2, *z3;
    double *stats, *mean_x, *cov; /* aux; mean_x [C], cov [C,C] */
    double *s1, *s2;              /* [pieces, wide or O] partial sums */
    double *work;                 /* [threads, work_doubles] */
    float *scratch;               /* [threads, m.scratch_floats] */
    size_t work_doubles, scratch_floats;

    /* backward */
    const float *dy;
    float *dx, *g2, *mean3;                 /* g2 lies as z2 does */
    float *dz3;                             /* [threads or N] */
    int64_t dz3_floats;                     /* of one image */
    float *of_g, *of_x, *rest;              /* [O] of norm 3 */
    float *dw_project, *dw_depthwise, *xg;  /* [pieces] of [blocks][O][V], [blocks][k*k][V], ... */
    float *cov32, *packed_cov;              /* [C,C], the same packed */
    float *kappa_w, *packed, *mix, *offset; /* [M,C], the same packed, [C, C wide], [C wide] */
    double *r1;                             /* [wide] sum of g1 */
    bool add_dy;
    lode_tensor *const *grad;

    /* squeeze-and-excite, native_mbconv_gate.c */
    mbconv_gate_row row;
    float *gates;                        /* aux: [N, row.size] */
    float *packed_reduce, *packed_widen; /* backward: transposed */
    float *d_gate, *d_reduced, *spread;  /* [N, wide], [N, R], [N, wide] */
    float *packed_gates;                 /* [N, M] or [N, R] packed */
    double *gate_sums;                   /* [threads, images, SIMD_MB_GATE_SUMS, wide] */
} mb_job;

/* Shapes and the cutting into pieces; nothing from memory. */
mb_job mb_job_of(const lode_op_call *c);
/* What both passes need of the workspace. */
void mb_take(mb_job *j, workspace *ws);
/* Aux outputs and weights, packed for both passes; backward: the statistics are known. */
void mb_bind(mb_job *j);
/* Workspace of a piece's thread. */
float *mb_scratch(const mb_job *j);
double *mb_work(const mb_job *j);
/* First and one past the last image of a piece. */
int64_t mb_first(const mb_job *j, int64_t piece);
int64_t mb_last(const mb_job *j, int64_t piece);

/* The channel of norm 1 (0) that stands at i: with groups they are shuffled. Others stay. */
int64_t mb_source(const mb_job *j, int norm, int64_t i);
/* Its element of a per-channel input, or `otherwise` when that is absent. */
double mb_channel(const mb_job *j, int norm, int what, int64_t i, double otherwise);
double mb_mean(const mb_job *j, int norm, int64_t i);
double mb_rstd(const mb_job *j, int norm, int64_t i);
/* gamma / sqrt(var + eps) */
double mb_scale(const mb_job *j, int norm, int64_t i);

/* Blocks begin .. end of the expansion's weights, when norm 1 is known. */
void mb_pack_expand(mb_job *j, int64_t begin, int64_t end);
/* scale2, shift2, mean2 and the projection's weights, when norm 2 is known. */
void mb_pack_project(mb_job *j);
void mb_pack_depthwise(mb_job *j);

/* Packed weights as small functions need to fill them. */
static inline float *mb_writable(const float *packed) {
    union {
        const float *from;
        float *to;
    } u = {packed};
    return u.to;
}
static inline void mb_put(lode_tensor *t, int64_t i, double v) {
    if (t != NULL) ((float *)t->data)[i * t->stride[0]] = (float)v;
}

/* ---- squeeze-and-excite; all do nothing without it ---- */
void mb_take_gates(mb_job *j, workspace *ws, bool backward);
void mb_pack_gates(mb_job *j, bool backward);
/* Means, reduced channels and gates of images begin .. end, when norm 2 is known. */
void mb_make_gates(const mb_job *j, int64_t begin, int64_t end);
/* [M] of an image; NULL without. */
const float *mb_gate(const mb_job *j, int64_t image);
/* Where an image's sums go, the k-th of this thread's piece. */
double *mb_gate_sums(const mb_job *j, int64_t k);
/* Images begin .. end: from their sums, gradients of gates and means, and sum g2, g2 (z2 - mean2).
 */
void mb_gates_backward(const mb_job *j, int64_t begin, int64_t end, double *sum, double *sum_z);
/* Weight gradients, when all images are done. */
void mb_gate_weights(mb_job *j);
#endif
