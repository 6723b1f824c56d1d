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
#endif
