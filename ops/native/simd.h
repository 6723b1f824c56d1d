/* simd.h: what the sources in ops/native/simd/ are written in, and the table they fill.

   They are compiled once per instruction set (cmake/native.cmake); LODE_ISA names the copy. Most
   are plain loops that the compiler vectorises. Where sums have to stay in registers across loops
   they use lode_v, LODE_V floats wide: a vector type of gcc and clang, which + - * work on, or a
   single float with other compilers. Kernels are serial; threads are the caller's business. */
#ifndef LODE_OPS_NATIVE_SIMD_H
#define LODE_OPS_NATIVE_SIMD_H
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LODE_V_MAX = 16 }; /* floats of the widest lode_v */

enum { SIMD_FMA_CHAINS = 12 };

/* Coefficients of one optimizer step, see ops/optimizer_step.h for the algorithms. */
typedef struct simd_sgd {
    float lr, momentum, damp, coupled, keep, grad_scale; /* w *= keep; g += coupled w */
    bool nesterov;
} simd_sgd;
typedef struct simd_adam {
    float beta1, beta2, eps, step_size, root_correction, coupled, keep, grad_scale;
} simd_adam;
typedef struct simd_rmsprop {
    float lr, alpha, eps, momentum, coupled, keep, grad_scale;
    bool eps_inside;
} simd_rmsprop;

/* A depthwise convolution of NHWC images, one image and LODE_V channels at a time. The first lines
   are the caller's; dw_plan fills in the rest, see simd_depthwise.c. */
enum { SIMD_DW_MAX_KERNEL = 15, SIMD_DW_MAX_STRIDE = 4 };
typedef struct simd_dw_taps {
    int n;
    int unit; /* +1, -1: pixels follow each other, and weights, forth or back; 0: as listed */
    int64_t at[SIMD_DW_MAX_KERNEL];   /* offset of each in a packed row of pixels */
    int64_t w_at[SIMD_DW_MAX_KERNEL]; /* and in its row of packed weights */
} simd_dw_taps;
typedef struct simd_dw_meeting {
    int n;
    int64_t u[SIMD_DW_MAX_KERNEL], shift[SIMD_DW_MAX_KERNEL];
} simd_dw_meeting;
typedef struct simd_dw {
    int64_t c, h, w, oh, ow, kh, kw;
    int64_t stride[2], pad[2], dilation[2];

    int act; /* a lode_act, applied to results of dw_forward */

    float low, high;         /* none, relu, relu6: y = min(max(u, low), high) */
    bool unit;               /* stride and dilation 1 along a row */
    int64_t run;             /* pixels of a packed row of x with one remainder modulo the stride */
    int64_t x_row, dy_row;   /* floats of packed rows */
    int64_t dy_left;         /* zero pixels before a packed row of dy */
    int64_t x_ring, dy_ring; /* packed rows in use at a time, a power of 2 */
    int64_t band;            /* rows of dy that a weight gradient takes at a time */
    int64_t x_floats;        /* of the packed x in scratch; dy follows */
    int64_t scratch_floats;
    simd_dw_taps taps;                         /* of a row, forward */
    simd_dw_taps gradient[SIMD_DW_MAX_STRIDE]; /* of a row of dx, by remainder of the column */
    simd_dw_meeting meet[SIMD_DW_MAX_STRIDE];  /* rows of taps, by remainder of the row */
} simd_dw;

/* A convolution as a product (simd_conv.c). packed [n / panel][runs * k][panel], as gemm_pack has
   it; columns past n are zeros, those of bias too. */
typedef struct simd_conv {
    int64_t n;         /* outputs */
    int64_t runs, k;   /* a pixel reads so many runs of k floats */
    const int64_t *at; /* [runs] floats from a pixel's first run to each */
    const float *packed, *bias;
    int64_t step; /* floats between pixels of y, and of r */
    int act;      /* a lode_act; low, high: as in simd_dw */
    float low, high;
} simd_conv;

/* An MBConv block, one image at a time (native_mbconv.c tells the idea). M channels lie between the
   1x1 convolutions, in blocks of LODE_V: a tensor of them is [blocks][pixels][LODE_V]. Kernels that
   go down an image take two blocks at once, a pair. The first lines are the caller's; mb_plan fills
   in the rest. */
typedef struct simd_mb {
    simd_dw dw; /* c = M, stride, pad; dilation 1 */
    int64_t in, out;
    int act; /* a lode_act */
    bool expands;
    bool streams; /* the expanded tensors of a batch are larger than caches */
    bool again;   /* g2 is computed twice instead of being written and read */

    float low, high;           /* none, relu, relu6: a = min(max(u, low), high) */
    int64_t blocks, pairs;     /* the last pair may be one block */
    int64_t in_wide, out_wide; /* in, out rounded up to vectors */
    int64_t pixels;            /* that a projection takes at a time */
    int64_t band;              /* rows of z2 that a sweep takes at a time */
    int64_t x_ring, dy_ring;   /* packed rows, powers of 2 */
    int64_t rows;              /* of the expanded image that a band brings or ends */
    int64_t scratch_floats;    /* of any of the kernels */
} simd_mb;
/* What the kernels read. Lanes past M are zeros. */
typedef struct simd_mb_weights {
    const float *expand;                  /* [blocks][in][V], scaled by norm 1 */
    const float *shift1;                  /* [M]: a1 = act(expand x + shift1) */
    const float *depthwise;               /* [blocks][k*k][V] */
    const float *scale2, *shift2, *mean2; /* [M]: a2 = act(scale2 z2 + shift2) */
    const float *project;                 /* [M][out_wide] */
    const float *project_t;               /* [blocks][out][V] */
    const float *expand_t;                /* [M][in_wide], scaled by norm 1 */
    const float *of_g, *of_z, *rest;      /* [M]: dz2 = of_g g2 + of_z z2 + rest */
} simd_mb_weights;
/* Squeeze-and-excite of one image: what the projection sees is gate a2, and what its gradient da
   means for a2 is gate da + spread. [M] each. */
typedef struct simd_mb_gate {
    const float *gate, *spread;
} simd_mb_gate;
/* Sums over the pixels of an image that the gates' backward needs, [M] each, in this order: da a2,
   da s, da s (z2 - mean2), s, s (z2 - mean2); s the activation's slope. */
enum { SIMD_MB_GATE_SUMS = 5 };

/* Flat loops over n floats: out[i] = f(in[0][i], in[1][i]; p). _BACKWARD: in[0] is what the
   operator keeps (x or y, as ops/activation.c says), in[1] is dy. */
typedef void (*simd_kernel)(int64_t n, const float *const *in, float *out, const float *p);
typedef enum simd_pointwise {
    SIMD_RELU,
    SIMD_RELU6,
    SIMD_LEAKY_RELU, /* p: slope */
    SIMD_HSIGMOID,
    SIMD_HSWISH,
    SIMD_SIGMOID,
    SIMD_SWISH,
    SIMD_TANH,
    SIMD_GELU,
    SIMD_N_ACTIVATIONS,
    SIMD_RELU_BACKWARD = SIMD_N_ACTIVATIONS, /* in the same order */
    SIMD_RELU6_BACKWARD,
    SIMD_LEAKY_RELU_BACKWARD,
    SIMD_HSIGMOID_BACKWARD,
    SIMD_HSWISH_BACKWARD,
    SIMD_SIGMOID_BACKWARD,
    SIMD_SWISH_BACKWARD,
    SIMD_TANH_BACKWARD,
    SIMD_GELU_BACKWARD,
    SIMD_ADD,
    SIMD_SUB,
    SIMD_MUL,
    SIMD_DIV,
    SIMD_SCALE, /* p[0] x + p[1] */
    SIMD_N_POINTWISE
} simd_pointwise;

/* Per channel: y = act(a (x - mean) + b). */
typedef struct simd_norm_act {
    int act; /* a lode_act */
    const float *mean, *a, *b;
} simd_norm_act;

typedef struct lode_simd {
    const char *name; /* "base", "avx2", "avx512" */
    int lanes;        /* LODE_V of the copy */

    /* rounds * SIMD_FMA_CHAINS independent vector multiply-adds; a = b + s c */
    float (*fma_peak)(int rounds);
    void (*triad)(int64_t n, float *a, const float *b, const float *c, float s);

    /* optimizers; m, v, mean, buffer may be NULL where the algorithm has none */
    void (*sgd)(int64_t n, float *w, const float *g, float *m, const simd_sgd *p);
    void (*adam)(int64_t n, float *w, const float *g, float *m, float *v, const simd_adam *p);
    void (*rmsprop)(int64_t n, float *w, const float *g, float *v, float *mean, float *buffer,
                    const simd_rmsprop *p);
    void (*ema)(int64_t n, float *ema, const float *w, float keep);
    double (*sum_squares)(int64_t n, const float *x);

    /* Depthwise. Packed weights are [blocks][kh*kw][lanes], blocks = channels / lanes rounded up.
       `block` says which channels; scratch has d->scratch_floats and must be zeroed by dw_begin,
       once for any number of calls of the same kind. */
    void (*dw_plan)(simd_dw *d);
    void (*dw_pack)(const simd_dw *d, int64_t block, const float *w, float *packed);
    void (*dw_begin)(const simd_dw *d, float *scratch);
    /* Rows first..last-1 of y. */
    void (*dw_forward)(const simd_dw *d, int64_t block, int64_t first, int64_t last, const float *x,
                       const float *packed, const float *bias, float *y, float *scratch);
    void (*dw_backward_data)(const simd_dw *d, int64_t block, const float *dy, const float *packed,
                             float *dx, float *scratch);
    /* partial [kh*kw][lanes] += this image's. */
    void (*dw_backward_weights)(const simd_dw *d, int64_t block, const float *x, const float *dy,
                                float *partial, float *scratch);

    /* p = softmax of k >= 1 values; the logarithm of the sum of their exponentials. */
    double (*softmax)(int64_t k, const float *x, float *p);

    /* A run of `count` windows of n pixels each, c channels; every window is `pixels` pixels behind
       the one before. max (n >= 1): y and the index of the largest, the first of equals. sum: y =
       sum of scale[t] in[t]. */
    void (*pool_max)(int64_t c, int n, const float *const *in, const int32_t *index, int64_t count,
                     int64_t pixels, float *y, int32_t *at);
    void (*pool_sum)(int64_t c, int n, const float *const *in, const float *scale, int64_t count,
                     int64_t pixels, float *y);

    /* C [m,n] (+)= A [m,k] B [k,n], serial. A[i,p] is a[i rs + p cs]. B in panels: [n / panel]
       [k_total][panel], columns past n are zeros; pack fills rows k_first .. + k of them from
       b[p rs + j cs]. */
    int64_t (*gemm_panel)(void);
    void (*gemm_pack)(int64_t k, int64_t n, const float *b, int64_t rs, int64_t cs, float *packed,
                      int64_t k_first, int64_t k_total);
    void (*gemm)(int64_t m, int64_t n, int64_t k, const float *a, int64_t rs, int64_t cs,
                 const float *packed, int64_t k_total, float *c, int64_t ldc, bool add);

    /* Rows of c floats: y[j groups + i] = x[i c/groups + j]. */
    void (*shuffle)(int64_t rows, int64_t c, int64_t groups, const float *x, float *y);
    /* y = act(conv + bias) + r of m pixels and panels first..last-1; x[i]: the first run of pixel
       i; y and r (may be NULL): pixel 0, output 0. */
    void (*conv)(const simd_conv *c, int64_t m, const float *const *x, int64_t first, int64_t last,
                 const float *r, float *y);

    /* Columns of dense [rows, c]. Statistics of one piece: mean, sum x, sum (x-mean)^2; off is
       scratch [c]. Gradient sums: sum g, sum g (x-mean). apply: y = a (x-mean) + b. grad:
       dx = of_g g + of_x (x-mean) + rest. */
    void (*norm_stats)(int64_t rows, int64_t c, const float *x, float *mean, double *sum,
                       double *m2, double *off);
    void (*norm_grad_sums)(int64_t rows, int64_t c, const float *x, const float *g,
                           const float *mean, double *sum, double *sum2);
    void (*norm_apply)(int64_t rows, int64_t c, const float *x, const float *mean, const float *a,
                       const float *b, float *y);
    void (*norm_grad)(int64_t rows, int64_t c, const float *x, const float *g, const float *mean,
                      const float *of_g, const float *of_x, const float *rest, float *dx);
    /* The same with an activation on top: g is times its slope first. */
    void (*norm_act_apply)(int64_t rows, int64_t c, const float *x, const simd_norm_act *n,
                           float *y);
    void (*norm_act_grad_sums)(int64_t rows, int64_t c, const float *x, const float *g,
                               const simd_norm_act *n, double *sum, double *sum2);
    void (*norm_act_grad)(int64_t rows, int64_t c, const float *x, const float *g,
                          const simd_norm_act *n, const float *of_x, const float *rest, float *dx);

    /* Rows of d floats: mean and 1/sqrt(variance + eps) of each, y = gamma xhat + beta. Gradient:
       dx (may be NULL); dgamma, dbeta [d] (may be NULL) are added to. */
    void (*row_norm)(int64_t rows, int64_t d, const float *x, const float *gamma, const float *beta,
                     double eps, float *y, float *mean, float *rstd);
    void (*row_norm_grad)(int64_t rows, int64_t d, const float *x, const float *g,
                          const float *gamma, const float *mean, const float *rstd, float *dx,
                          double *dgamma, double *dbeta);

    /* Rows of lstm_gates and gru_gates (ops/lstm_gates.c, ops/gru_gates.c have the formulas); gates
       may be NULL. Any gradient may be NULL; an LSTM's of zx and zh are the same, dz. */
    void (*lstm_gates)(int64_t rows, int64_t h, const float *zx, const float *zh, const float *c,
                       float *y, float *gates);
    void (*lstm_gates_grad)(int64_t rows, int64_t h, const float *c, const float *y,
                            const float *gates, const float *dy, float *dz, float *dc);
    void (*gru_gates)(int64_t rows, int64_t h, const float *zx, const float *zh,
                      const float *before, float *y, float *gates);
    void (*gru_gates_grad)(int64_t rows, int64_t h, const float *zh, const float *before,
                           const float *gates, const float *dy, float *dzx, float *dzh, float *dh);

    /* MBConv. Scratch: scratch_floats of the plan, zeroed by mb_begin once per call of the kind.
       moments: sum[c] and products[c][c] of columns += those of rows of x, products only from the
       diagonal on; work: 16 * (c + 16) doubles. quadratic: w^T cov w of n rows w of c floats. */
    void (*mb_plan)(simd_mb *m);
    void (*mb_begin)(const simd_mb *m, float *scratch);
    void (*mb_moments)(int64_t rows, int64_t c, const float *x, double *sum, double *products,
                       double *work);
    void (*mb_quadratic)(int64_t n, int64_t c, const double *cov, const float *w, double *out);
    /* One image x and pair: z2 [blocks][pixels][V] (from the pair's first block on, as everywhere),
       and its statistics joined to those of n_before values: sum, m2 [M]. */
    void (*mb_forward)(const simd_mb *m, const simd_mb_weights *w, int64_t pair, const float *x,
                       float *z2, double n_before, double *sum, double *m2, float *scratch);
    /* One image: means of a2, [M]. */
    void (*mb_pool)(const simd_mb *m, const simd_mb_weights *w, const float *z2, float *mean);
    /* One image: z3 [pixels,out]. gate [M] may be NULL. */
    void (*mb_project)(const simd_mb *m, const simd_mb_weights *w, const float *z2,
                       const float *gate, float *z3, float *scratch);
    /* One image: g2, the gradient behind norm 2, as z2 lies (not with `again`); dw [blocks][out][V]
       (may be NULL) += the projection's weight gradient; sum[M] += g2, sum_z += g2 (z2 - mean2). */
    void (*mb_project_backward)(const simd_mb *m, const simd_mb_weights *w, const float *dz3,
                                const float *z2, float *g2, float *dw, double *sum, double *sum_z,
                                float *scratch);
    /* The same with gates: g2 becomes da, the gradient of gate a2, instead; writes `sums`. */
    void (*mb_project_gated)(const simd_mb *m, const simd_mb_weights *w, const float *gate,
                             const float *dz3, const float *z2, float *da, float *dw, double *sums,
                             float *scratch);
    /* One image and pair: dw [blocks][k*k][V] (may be NULL) +=; with an expansion xg
       [blocks][in][V]
       += x^T g1, sum[M] += g1, g1 = the gradient behind norm 1, and dx = (add: +=) g1 expand_t;
       else dx of these channels. dx may be NULL. gate: NULL, or g2 is da. */
    void (*mb_backward)(const simd_mb *m, const simd_mb_weights *w, const simd_mb_gate *gate,
                        int64_t pair, const float *x, const float *z2, const float *g2,
                        const float *dz3, float *dw, float *xg, double *sum, float *dx, bool add,
                        float *scratch);
    /* out[i] = sum of from[p stride + i] over n pieces, i < count. */
    void (*mb_sum_pieces)(int64_t n, int64_t stride, int64_t count, const float *from, double *out);
    /* y += x a + b (+ r); a [c][c rounded up to V], b padded likewise; rows of c floats. */
    void (*mb_affine)(int64_t rows, int64_t c, const float *x, const float *a, const float *b,
                      const float *r, float *y);
    /* y = scale (x - mean) + shift (+ r); r may be NULL. */
    void (*mb_finish)(int64_t rows, int64_t c, const float *x, const float *mean,
                      const float *scale, const float *shift, const float *r, float *y);

    const simd_kernel *pointwise; /* [SIMD_N_POINTWISE] */
    /* sum[i] += sum_r x[r,i] (z[r,i]) of [rows, n]; z may be NULL. */
    void (*fold_rows)(int64_t rows, int64_t n, const float *x, const float *z, double *sum);
    /* y = sum_k w[k] o[k] of n floats each; dx = w dy and <o, dy> (o or dx may be NULL). */
    void (*mix)(int64_t n, int k, const float *const *o, const float *w, float *y);
    double (*mix_backward)(int64_t n, float w, const float *o, const float *dy, float *dx);
} lode_simd;

/* The copy in use: the best this processor runs, or what lode_simd_select chose. */
LODE_API const lode_simd *lode_simd_get(void);
/* By name; LODE_ERR_NOT_FOUND when it was not built, LODE_ERR_UNSUPPORTED when this processor lacks
   it. Process-wide: for tests and benches, before other threads run. NULL: the best. */
LODE_API lode_status lode_simd_select(const char *name);
/* Names of the copies built, NULL-terminated. */
LODE_API const char *const *lode_simd_names(void);

#ifdef LODE_ISA
#include <string.h>
#if defined(LODE_ISA_avx512) || defined(LODE_ISA_avx2)
#include <immintrin.h>
#endif

#define LODE_ISA_JOIN(f, isa)  f##_##isa
#define LODE_ISA_JOIN2(f, isa) LODE_ISA_JOIN(f, isa)
#define LODE_ISA_NAME(f)       LODE_ISA_JOIN2(f, LODE_ISA)

#if !defined(__GNUC__)
#define LODE_V 1
typedef float lode_v;
#else
#if defined(LODE_ISA_avx512)
#define LODE_V 16
#elif defined(LODE_ISA_avx2)
#define LODE_V 8
#else
#define LODE_V 4
#endif
typedef float lode_v __attribute__((vector_size(4 * LODE_V)));
#endif

static inline lode_v lode_v_load(const float *p) {
    lode_v v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void lode_v_store(float *p, lode_v v) { memcpy(p, &v, sizeof v); }
static inline lode_v lode_v_zero(void) {
    lode_v v;
    memset(&v, 0, sizeof v);
    return v;
}
static inline lode_v lode_v_set(float s) { return s - lode_v_zero(); }

/* The first n of LODE_V floats, 0 <= n <= LODE_V, the rest zero; and back. Masked moves where there
   are any: memcpy of a variable length is a call, 10 times slower than the convolution around it.
   */
#if LODE_V == 16
static inline lode_v lode_v_load_first(const float *p, int64_t n) {
    return (lode_v)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
static inline void lode_v_store_first(float *p, lode_v v, int64_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
#elif LODE_V == 8
static inline __m256i lode_v_first_mask(int64_t n) {
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}
static inline lode_v lode_v_load_first(const float *p, int64_t n) {
    return (lode_v)_mm256_maskload_ps(p, lode_v_first_mask(n));
}
static inline void lode_v_store_first(float *p, lode_v v, int64_t n) {
    _mm256_maskstore_ps(p, lode_v_first_mask(n), (__m256)v);
}
#else
static inline lode_v lode_v_load_first(const float *p, int64_t n) {
    float lane[LODE_V] = {0};
    for (int64_t i = 0; i < n; i++) lane[i] = p[i];
    return lode_v_load(lane);
}
static inline void lode_v_store_first(float *p, lode_v v, int64_t n) {
    float lane[LODE_V];
    lode_v_store(lane, v);
    for (int64_t i = 0; i < n; i++) p[i] = lane[i];
}
#endif

/* Past the caches, for what is read much later; p is aligned. lode_v_stream_end: before others read
   it. */
#if LODE_V == 16
static inline void lode_v_stream(float *p, lode_v v) { _mm512_stream_ps(p, (__m512)v); }
static inline void lode_v_stream_end(void) { _mm_sfence(); }
#elif LODE_V == 8
static inline void lode_v_stream(float *p, lode_v v) { _mm256_stream_ps(p, (__m256)v); }
static inline void lode_v_stream_end(void) { _mm_sfence(); }
#else
static inline void lode_v_stream(float *p, lode_v v) { lode_v_store(p, v); }
static inline void lode_v_stream_end(void) {}
#endif

#if defined(__GNUC__)
#define LODE_PREFETCH(p) __builtin_prefetch(p)
#else
#define LODE_PREFETCH(p) ((void)(p))
#endif
#if defined(__GNUC__)
#define LODE_INLINE static inline __attribute__((always_inline))
#else
#define LODE_INLINE static inline
#endif
#if defined(__clang__)
#define LODE_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define LODE_UNROLL _Pragma("GCC unroll 64")
#else
#define LODE_UNROLL
#endif
#endif
#endif
