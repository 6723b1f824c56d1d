/* ops.h: parameter structs and typed functions of all operators.

   Images x are [N,C,H,W], channels-last in memory. Functions take vars of one tape, return the
   result's var, NULL after a failure (see tape.h). "optional" inputs may be NULL. Parameter structs
   hold int32_t, int64_t and double only and are zeroed before use (they are hashed bytewise). */
#ifndef LODE_OPS_OPS_H
#define LODE_OPS_OPS_H
#include "autograd/tape.h"

#define OP(name) LODE_API extern const lode_op lode_op_##name;
#include "ops/ops.def"
#undef OP

/* ---- convolution and matrix products ---- */
/* y[n,o,i,j] = sum_{c,u,v} x[n, g*I + c, i*s + u*d - p, j*s + v*d - p] w[o,c,u,v] + b[o]; w [O,
   C/groups, kh, kw]. Output side: floor((H + 2p - d(k-1) - 1)/s) + 1. groups == C == O: depthwise.
   b optional. */
typedef struct lode_conv2d_params {
    int32_t stride[2], pad[2], dilation[2], groups, reserved;
} lode_conv2d_params;
LODE_API lode_var *lode_conv2d(lode_tape *t, lode_var *x, lode_var *w, lode_var *b,
                               lode_conv2d_params p);
/* Square kernel, "same" padding dilation*(k-1)/2 for odd k. */
LODE_API lode_conv2d_params lode_conv2d_same(int kernel, int stride, int dilation, int groups);
/* y = x w^T + b; x [..., I], w [O, I], b [O] optional; y [..., O]. */
LODE_API lode_var *lode_linear(lode_tape *t, lode_var *x, lode_var *w, lode_var *b);
/* [M,K] [K,N] -> [M,N]; transposes as flags. */
typedef struct lode_matmul_params {
    int32_t transpose_a, transpose_b;
} lode_matmul_params;
LODE_API lode_var *lode_matmul(lode_tape *t, lode_var *a, lode_var *b, lode_matmul_params p);
/* [B,M,K] [B,K,N] -> [B,M,N]; B of either may be 1. */
LODE_API lode_var *lode_batch_matmul(lode_tape *t, lode_var *a, lode_var *b, lode_matmul_params p);

/* ---- normalisation ---- */
/* x [N,C,H,W] or [N,C]. gamma, beta [C] optional (non-affine). mean_run, var_run [C]: running
   statistics, read when !use_batch, updated in place (r = (1-momentum) r + momentum v, variance
   unbiased, Ioffe & Szegedy 2015) when use_batch and they are given, unless call->repeated. aux:
   batch mean, 1/sqrt(var+eps). `act` (a lode_act, 0 for none) is applied to the result in the same
   sweep; backward finds its mask from x. */
typedef struct lode_batch_norm_params {
    double eps, momentum;
    int32_t use_batch, update_running, act, reserved;
} lode_batch_norm_params;
LODE_API lode_var *lode_batch_norm(lode_tape *t, lode_var *x, lode_var *gamma, lode_var *beta,
                                   lode_var *mean_run, lode_var *var_run, lode_batch_norm_params p);
/* Over the last dim. gamma, beta [D] optional. */
typedef struct lode_layer_norm_params {
    double eps;
} lode_layer_norm_params;
LODE_API lode_var *lode_layer_norm(lode_tape *t, lode_var *x, lode_var *gamma, lode_var *beta,
                                   double eps);

/* ---- activations (elementwise, any shape) ---- */
LODE_API lode_var *lode_relu(lode_tape *t, lode_var *x);
LODE_API lode_var *lode_relu6(lode_tape *t, lode_var *x);
typedef struct lode_leaky_relu_params {
    double slope;
} lode_leaky_relu_params;
LODE_API lode_var *lode_leaky_relu(lode_tape *t, lode_var *x, double slope);
LODE_API lode_var *lode_hsigmoid(lode_tape *t, lode_var *x); /* relu6(x+3)/6 */
LODE_API lode_var *lode_hswish(lode_tape *t, lode_var *x);   /* x relu6(x+3)/6 */
LODE_API lode_var *lode_swish(lode_tape *t, lode_var *x);    /* x sigmoid(x) */
LODE_API lode_var *lode_sigmoid(lode_tape *t, lode_var *x);
LODE_API lode_var *lode_tanh(lode_tape *t, lode_var *x);
LODE_API lode_var *lode_gelu(lode_tape *t, lode_var *x); /* exact, by erf */

/* The ones that may stand between the convolutions of a block. */
typedef enum lode_act {
    LODE_ACT_NONE,
    LODE_ACT_RELU,
    LODE_ACT_RELU6,
    LODE_ACT_HSWISH,
    LODE_ACT_SWISH
} lode_act;

/* y = act(conv2d(x, w) + b) + r in one call, as inference runs it; b [O] and r (y's shape)
   optional. conv as in conv2d. */
typedef struct lode_conv_act_params {
    lode_conv2d_params conv;
    int32_t act, reserved; /* a lode_act */
} lode_conv_act_params;
LODE_API lode_var *lode_conv_act(lode_tape *t, lode_var *x, lode_var *w, lode_var *b, lode_var *r,
                                 lode_conv_act_params p);

/* ---- a whole block ---- */
/* The inverted residual of MobileNetV2 in training, one operator for
       conv2d 1x1, batch_norm, act, conv2d depthwise k x k, batch_norm, act, conv2d 1x1, batch_norm
   ("same" padding, k odd, no biases; batch statistics), and x added when `residual`. With groups a
   channel_shuffle stands before the depthwise convolution, if there is an expansion. With `reduce`
   and `widen` a squeeze-and-excite (MobileNetV3, Howard et al. 2019) stands before the last 1x1:
   each channel of an image times hsigmoid(widen relu(reduce mean(channels))). Results are those of
   the parts; what is kept for backward is the second and third convolution's outputs instead of six
   or eight tensors (docs/fusion.md). Statistics are updated as batch_norm does. */
typedef struct lode_mbconv_params {
    double eps, momentum;
    int32_t stride, act, residual, update_running; /* act: a lode_act */
    int32_t groups, reserved;                      /* of both 1x1 convolutions; 0: 1 */
} lode_mbconv_params;
typedef struct lode_mbconv_norm {
    lode_var *gamma, *beta, *mean_run, *var_run; /* [channels], each may be NULL */
} lode_mbconv_norm;
typedef struct lode_mbconv_inputs {
    lode_var *x;         /* [N,C,H,W] */
    lode_var *depthwise; /* [M,1,k,k] */
    lode_var *project;   /* [O,M/groups,1,1] */
    lode_var *expand;    /* [M,C/groups,1,1]; NULL: left out with its norm and activation, M = C */
    lode_mbconv_norm norm[3];
    lode_var *reduce;      /* [R,M,1,1]; squeeze-and-excite, NULL: none */
    lode_var *reduce_bias; /* [R], may be NULL */
    lode_var *widen;       /* [M,R,1,1] */
    lode_var *widen_bias;  /* [M], may be NULL */
} lode_mbconv_inputs;
LODE_API lode_var *lode_mbconv(lode_tape *t, const lode_mbconv_inputs *in, lode_mbconv_params p);

/* ---- recurrent layers; PyTorch's weights, order of gates and equations ---- */
/* An LSTM's step behind its products: zx = W_ih x + b_ih and zh = W_hh h + b_hh, [N,4H], gates in
   the order i, f, g, o; c [N,H] the cell. y [N,2H]: h' in the first H columns, c' in the others. i,
   f, o = sigmoid(zx + zh)   g = tanh(zx + zh)   c' = f c + i g   h' = o tanh(c') Floats of one
   dtype; all three inputs get gradients. Hochreiter & Schmidhuber 1997. */
LODE_API lode_var *lode_lstm_gates(lode_tape *t, lode_var *zx, lode_var *zh, lode_var *c);
/* The same for a GRU: zx, zh [N,3H], gates in the order r, u (PyTorch's z), n; h, y [N,H].
       r, u = sigmoid(zx + zh)   n = tanh(zx_n + r zh_n)   y = (1 - u) n + u h
   Cho et al. 2014, reset after the product. */
LODE_API lode_var *lode_gru_gates(lode_tape *t, lode_var *zx, lode_var *zh, lode_var *h);
/* w_ih [4H,D] (GRU: [3H,D]), w_hh [4H,H], biases [4H] optional. */
typedef struct lode_recurrent {
    lode_var *w_ih, *w_hh, *b_ih, *b_hh;
} lode_recurrent;
/* One layer over n >= 1 steps x[i] [N,D]. state: before the first step, [N,2H] as lstm_gates has
   it, NULL: zeros. Returns the state after the last; h (may be NULL) gets h' [N,H] of every step.
   NULL after a failure. Made of `linear` and lstm_gates calls, so any length and several layers are
   a loop (docs/fusion.md). */
LODE_API lode_var *lode_lstm(lode_tape *t, lode_var *const *x, int n, lode_var *state,
                             const lode_recurrent *w, lode_var **h);
/* The same; the state is h [N,H]. */
LODE_API lode_var *lode_gru(lode_tape *t, lode_var *const *x, int n, lode_var *state,
                            const lode_recurrent *w, lode_var **h);

/* ---- arithmetic; NumPy broadcasting ---- */
LODE_API lode_var *lode_add(lode_tape *t, lode_var *a, lode_var *b);
LODE_API lode_var *lode_sub(lode_tape *t, lode_var *a, lode_var *b);
LODE_API lode_var *lode_mul(lode_tape *t, lode_var *a, lode_var *b);
LODE_API lode_var *lode_div(lode_tape *t, lode_var *a, lode_var *b);
typedef struct lode_scale_params {
    double factor, shift;
} lode_scale_params;
LODE_API lode_var *lode_scale(lode_tape *t, lode_var *x, double factor,
                              double shift); /* factor x + shift */
/* y[n,...] = s[n] x[n,...]; s [N]. */
LODE_API lode_var *lode_scale_rows(lode_tape *t, lode_var *x, lode_var *s);
/* The mixture: y = sum_k w[k] o_k (w [K]), or per sample y[n] = sum_k w[n,k] o_k[n] (w [N,K]).
   K <= 63. An o_k may be NULL: it is zero and its weight gets gradient 0. Gradient of w: <dy, o_k>,
   accumulated in double. The call's inputs are w and then the o_k that are present (bit k). */
typedef struct lode_weighted_sum_params {
    uint64_t present;
    int32_t k, reserved;
} lode_weighted_sum_params;
LODE_API lode_var *lode_weighted_sum(lode_tape *t, lode_var *const *o, int k, lode_var *w);
/* The mixture of widths: m[c] = sum of g[i] over the widths with c < width[i]; g [K] or [N,K], m
   [channels] or [N,channels]. A width of 0 has no part in it. Wan et al. 2020 (FBNetV2), eq. 4. */
#define LODE_MAX_WIDTHS 24
typedef struct lode_prefix_mask_params {
    int32_t width[LODE_MAX_WIDTHS], n, channels;
} lode_prefix_mask_params;
LODE_API lode_var *lode_prefix_mask(lode_tape *t, lode_var *g, const int64_t *width, int n,
                                    int64_t channels);
LODE_API lode_var *lode_identity(lode_tape *t, lode_var *x);
/* Zeros of x's shape with H and W divided by stride (rounded up) for 4 dims; gradient 0. */
typedef struct lode_zero_params {
    int32_t stride, channels;
} lode_zero_params; /* channels 0: as x */
LODE_API lode_var *lode_zero(lode_tape *t, lode_var *x, lode_zero_params p);

/* ---- pooling ---- */
typedef struct lode_pool_params {
    int32_t kernel[2], stride[2], pad[2], count_include_pad, ceil_mode;
} lode_pool_params;
LODE_API lode_pool_params lode_pool_square(int kernel, int stride, int pad);
LODE_API lode_var *lode_max_pool(lode_tape *t, lode_var *x,
                                 lode_pool_params p); /* aux: index; first of equals wins */
LODE_API lode_var *lode_avg_pool(lode_tape *t, lode_var *x, lode_pool_params p);
LODE_API lode_var *lode_global_avg_pool(lode_tape *t, lode_var *x); /* [N,C,H,W] -> [N,C,1,1] */
/* To (height, width), half-pixel centres (align_corners false) or corner-aligned. */
typedef struct lode_upsample_params {
    int32_t height, width, align_corners, reserved;
} lode_upsample_params;
LODE_API lode_var *lode_bilinear_upsample(lode_tape *t, lode_var *x, lode_upsample_params p);

/* Pixels on a regular grid, y[i,j] = x[floor(i H / height), floor(j W / width)]; and back to these
   places of a larger map, zeros elsewhere. Each is the other's gradient. Wan et al. 2020. */
typedef struct lode_grid_params {
    int32_t height, width;
} lode_grid_params;
LODE_API lode_var *lode_grid_subsample(lode_tape *t, lode_var *x, int64_t height, int64_t width);
LODE_API lode_var *lode_grid_scatter(lode_tape *t, lode_var *x, int64_t height, int64_t width);

/* ---- shape ---- */
typedef struct lode_concat_params {
    int32_t dim, reserved;
} lode_concat_params;
LODE_API lode_var *lode_concat(lode_tape *t, lode_var *const *x, int n, int dim);
typedef struct lode_slice_params {
    int64_t begin, end, step;
    int32_t dim, reserved;
} lode_slice_params;
LODE_API lode_var *lode_slice(lode_tape *t, lode_var *x, int dim, int64_t begin, int64_t end,
                              int64_t step);
/* n equal parts along dim, as slices into out[0..n). */
LODE_API lode_status lode_split(lode_tape *t, lode_var *x, int dim, int n, lode_var **out);
typedef struct lode_pad_params {
    int64_t before[LODE_MAX_DIMS], after[LODE_MAX_DIMS];
    double value;
} lode_pad_params;
LODE_API lode_var *lode_pad(lode_tape *t, lode_var *x,
                            const lode_pad_params *p); /* may be negative: crop */
typedef struct lode_reshape_params {
    int64_t dim[LODE_MAX_DIMS];
    int32_t n_dims, reserved;
} lode_reshape_params;
LODE_API lode_var *lode_reshape(lode_tape *t, lode_var *x,
                                const lode_shape *shape); /* one dim may be -1 */
typedef struct lode_transpose_params {
    int32_t perm[LODE_MAX_DIMS];
} lode_transpose_params;
LODE_API lode_var *lode_transpose(lode_tape *t, lode_var *x, const int *perm);
typedef struct lode_channel_shuffle_params {
    int32_t groups, reserved;
} lode_channel_shuffle_params;
LODE_API lode_var *lode_channel_shuffle(lode_tape *t, lode_var *x, int groups);

/* ---- reductions; dims as a bit mask, 0 = all; keep: keep reduced dims as 1 ---- */
typedef struct lode_reduce_params {
    uint32_t dims;
    int32_t keep;
} lode_reduce_params;
LODE_API lode_var *lode_reduce_sum(lode_tape *t, lode_var *x, lode_reduce_params p);
LODE_API lode_var *lode_reduce_mean(lode_tape *t, lode_var *x, lode_reduce_params p);
LODE_API lode_var *lode_reduce_max(lode_tape *t, lode_var *x,
                                   lode_reduce_params p); /* first of equals gets the gradient */

/* ---- softmax and losses; classes are the last dim ---- */
LODE_API lode_var *lode_softmax(lode_tape *t, lode_var *x);
LODE_API lode_var *lode_log_softmax(lode_tape *t, lode_var *x);
/* Mean over the batch of -sum_k q_k log softmax(x)_k. labels: s32 or s64 [N], q = (1-e) onehot +
   e/K; or soft targets, x's dtype [N,K], q = (1-e) target + e/K (no gradient to targets). aux:
   softmax. Label < 0: row is ignored (mean over the rest). Label >= K: LODE_ERR_DATA. */
typedef struct lode_cross_entropy_params {
    double smoothing;
} lode_cross_entropy_params;
LODE_API lode_var *lode_cross_entropy(lode_tape *t, lode_var *x, lode_var *labels,
                                      double smoothing);
/* Hinton et al. 2015: T^2 * mean_n KL(softmax(teacher/T) || softmax(student/T)); no gradient to the
 * teacher. */
typedef struct lode_kl_div_params {
    double temperature;
} lode_kl_div_params;
LODE_API lode_var *lode_kl_div(lode_tape *t, lode_var *student, lode_var *teacher,
                               double temperature);
LODE_API lode_var *lode_mse(lode_tape *t, lode_var *x,
                            lode_var *target); /* mean of squares; both get gradients */

/* ---- chance; TRAIN tapes only, identity otherwise (noise: always) ---- */
typedef struct lode_dropout_params {
    uint64_t seed, index, position; /* the rng stream */
    double p;                       /* probability to drop; kept values are divided by 1-p */
    int32_t purpose, per_sample;    /* per_sample: drop whole samples (drop-path) */
} lode_dropout_params;
LODE_API lode_var *lode_dropout(lode_tape *t, lode_var *x, double p);
LODE_API lode_var *lode_drop_path(lode_tape *t, lode_var *x, double p);
/* Gumbel(0,1) noise of a shape and dtype from a stream: -ln(-ln u). x gives dtype and device only.
 */
typedef struct lode_gumbel_params {
    uint64_t seed, index, position;
    int64_t dim[2]; /* [K] or [N,K] */
    int32_t purpose, n_dims;
} lode_gumbel_params;
LODE_API lode_var *lode_gumbel_noise(lode_tape *t, lode_var *x, const lode_shape *shape,
                                     lode_rng stream);

/* ---- other ---- */
/* table [V,D], index s32/s64 [...]: y [..., D]. */
LODE_API lode_var *lode_embedding(lode_tape *t, lode_var *table, lode_var *index);
/* 1 where x >= 0, 0 elsewhere; no gradient. */
LODE_API lode_var *lode_step_at_zero(lode_tape *t, lode_var *x);
/* sqrt(sum of x^2) over all elements, a scalar; gradient x / norm, 0 at x = 0. */
LODE_API lode_var *lode_l2_norm(lode_tape *t, lode_var *x);
/* One at the largest of the last dim (first of equals), zeros elsewhere; no gradient. */
LODE_API lode_var *lode_argmax_onehot(lode_tape *t, lode_var *x);
#endif
