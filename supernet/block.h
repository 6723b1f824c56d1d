/* block.h: the contract of a kind of block ("mbconv", "conv", "skip"): what a space's text calls an
   `op`.

   A kind is a const struct in its own file plus one line in blocks.def. Its forward function is
   written once and read twice: when a network is built it runs over shapes only and every
   lode_pass_* helper that needs a weight creates it; later the same calls, in the same order, find
   the weights again. So a block describes its weights by using them, and the two cannot drift
   apart. For that the calls may depend on params, site and the shape of x, and on nothing else. */
#ifndef LODE_SUPERNET_BLOCK_H
#define LODE_SUPERNET_BLOCK_H
#include "core/config.h"
#include "ops/ops.h"
#include "supernet/parameter.h"

/* Where a block stands: channels that come in and must go out, and how it divides the side of the
   map (rounded up). */
typedef struct lode_site {
    int64_t in, out, stride;
    bool elastic; /* in or out is a decision: the block works with the first of the channels */
    bool changes; /* the channels that go out are not those that come in, even if as many */
} lode_site;
/* The shape stays, so that x can be added or passed on. */
LODE_API bool lode_site_keeps_shape(const lode_site *site);

/* Sizes of a block that can be decisions, by the key that gives them. */
typedef enum lode_size {
    LODE_SIZE_KERNEL,
    LODE_SIZE_EXPAND,
    LODE_SIZE_HIDDEN,
    LODE_N_SIZES
} lode_size;

/* One forward of one network over one tape. */
typedef struct lode_pass lode_pass;

typedef struct lode_block_kind {
    const char *name;
    const char *about;       /* one sentence for docs and `--help` */
    const lode_option *rows; /* keys of the space's text that fill params */
    int n_rows;
    size_t params_size;
    bool same_channels; /* only where in == out */
    bool same_shape;    /* only where in == out and stride == 1 */
    bool nothing;       /* contributes nothing: forward is never called */
    bool identity;      /* y is x: costs nothing, is not dropped by drop-path */
    bool elastic;       /* can stand where widths are decisions (lode_pass_mask) */
    uint32_t sizes;     /* keys that can be decisions: 1 << lode_size */
    /* What `rows` cannot say (divisibility ...); may be NULL. The message names the key. */
    lode_status (*check)(const void *params, const lode_site *site);
    lode_var *(*forward)(lode_pass *p, const void *params, const lode_site *site, lode_var *x);
} lode_block_kind;

#define BLOCK(name) LODE_API extern const lode_block_kind lode_block_##name;
#include "supernet/blocks.def"
#undef BLOCK

LODE_API int lode_n_block_kinds(void);
LODE_API const lode_block_kind *lode_block_kind_at(int i);
LODE_API const lode_block_kind *lode_block_kind_find(const char *name); /* NULL when absent */

/* ---- what blocks are made of; all return NULL after a failure, like operators ---- */

/* For ENUM rows; the words of an `act` key, a lode_act each. */
#define LODE_ACT_WORDS "none|relu|relu6|hswish|swish"

/* A convolution with "same" padding, d(k-1)/2 on each side. Masks may be NULL; they multiply the
   weight, which is as good as multiplying the input's channels or mixing kernels. */
typedef struct lode_conv_spec {
    int64_t out, kernel, stride, dilation, groups; /* stride, dilation, groups 0: 1 */
    bool bias;
    lode_var *in_mask;  /* [C / groups] */
    lode_var *tap_mask; /* [1,1,k,k] */
} lode_conv_spec;

LODE_API lode_tape *lode_pass_tape(const lode_pass *p);
/* Weight `name`.weight [out, C/groups, k, k], and `name`.bias. */
LODE_API lode_var *lode_pass_conv(lode_pass *p, const char *name, lode_var *x, lode_conv_spec s);
/* Batch normalisation as the space and the pass say: `name`.gamma, .beta (when affine), .mean, .var
 */
LODE_API lode_var *lode_pass_bn(lode_pass *p, const char *name, lode_var *x);
/* lode_pass_bn, then lode_pass_act: one sweep where the pass fuses. */
LODE_API lode_var *lode_pass_bn_act(lode_pass *p, const char *name, lode_var *x, lode_act act);
LODE_API lode_var *lode_pass_act(lode_pass *p, lode_act act, lode_var *x);
/* The three in a row, in a scope of their own: `name`.weight, `name`.bn.gamma, ... */
LODE_API lode_var *lode_pass_conv_bn_act(lode_pass *p, const char *name, lode_var *x,
                                         lode_conv_spec s, lode_act act);
/* Expand, depthwise and project as one operator, where the pass allows that (the tape trains, norms
   use the batch's statistics): takes the parameters of three lode_pass_conv_bn_act of these names,
   the first only when `expands`, with a channel shuffle after it when there are groups; with
   `reduced` channels of squeeze-and-excite, those of lode_pass_excite before the third. */
typedef struct lode_mbconv_spec {
    int64_t hidden, out, kernel, stride, groups;
    int64_t reduced; /* 0: no squeeze-and-excite */
    lode_act act;
    bool expands, residual; /* residual: x is added */
    /* may be NULL, as in lode_conv_spec: */
    lode_var *hidden_mask, *reduced_mask, *out_mask; /* [hidden]; [reduced]; [out], after the last
                                                        norm */
    lode_var *tap_mask;                              /* [1,1,k,k] */
} lode_mbconv_spec;
/* x times its gates: hsigmoid of two 1x1 convolutions of its channels' means, with biases and a
   relu between: se_reduce.weight [reduced,C,1,1], se_reduce.bias, se_expand.weight, se_expand.bias.
   Masks may be NULL: in_mask [C], as in lode_conv_spec; reduced_mask [reduced] or [N,reduced]. */
LODE_API lode_var *lode_pass_excite(lode_pass *p, lode_var *x, int64_t reduced, lode_var *in_mask,
                                    lode_var *reduced_mask);
LODE_API bool lode_pass_fuses(const lode_pass *p);
LODE_API lode_var *lode_pass_mbconv(lode_pass *p, const char *const names[3], lode_var *x,
                                    lode_mbconv_spec s);
/* x [N,I] to [N,outputs]: `name`.weight, `name`.bias. */
LODE_API lode_var *lode_pass_linear(lode_pass *p, const char *name, lode_var *x, int64_t outputs);
/* Drops the branch per sample with the pass's drop-path probability (training only). */
LODE_API lode_var *lode_pass_drop_path(lode_pass *p, lode_var *x);
LODE_API bool lode_pass_drops(const lode_pass *p); /* lode_pass_drop_path does something */

/* ---- sizes that are decisions (Wan et al. 2020; Stamoulis et al. 2019) ----
   One option chosen: the block runs at that size, on the first channels and the middle taps of its
   weights. Several, mixed by weights g: it runs at the largest, and masks M = sum_i g_i 1_i, with
   ones over what option i has, make it their mixture. site->in and site->out say what runs; a mask
   is NULL where nothing is mixed, [C], or [N,C] for weights per sample. With weights that are
   one-hot both ways give the same numbers. */

/* Kernel, expansion or hidden channels in this pass; `given` is the params' value. */
LODE_API double lode_pass_size(const lode_pass *p, lode_size which, double given);
/* y times the mask of the block's outputs: after norm and activation, which would undo it. An
   elastic kind whose outputs are not its inputs' channels calls this, or lode_pass_bn_out, once. */
LODE_API lode_var *lode_pass_mask(lode_pass *p, lode_var *y);
/* lode_pass_bn and then the mask, folded into gamma and beta where that can be. */
LODE_API lode_var *lode_pass_bn_out(lode_pass *p, const char *name, lode_var *x);
/* The same mask, for lode_mbconv_spec. */
LODE_API lode_var *lode_pass_out_mask(lode_pass *p);
/* y [N,C,...] times a mask [C] or [N,C]. */
LODE_API lode_var *lode_pass_multiply(lode_pass *p, lode_var *y, lode_var *mask);
/* The size is a decision of the space, whether or not it is open still. */
LODE_API bool lode_pass_decides(const lode_pass *p, lode_size which);
/* Is a mask of the block one per sample, so that it cannot go into weights? */
LODE_API bool lode_pass_masks_samples(const lode_pass *p);
/* The mask of hidden channels, of which `count` tells the number at a value of `which` and a number
   of input channels, a prefix of those at larger ones. LODE_SIZE_EXPAND: they follow the input's
   channels, LODE_SIZE_HIDDEN: they do not. `given`: the params' value. */
typedef int64_t (*lode_hidden_count)(const void *params, double value, int64_t in);
LODE_API lode_var *lode_pass_hidden_mask(lode_pass *p, lode_size which, double given, int64_t in,
                                         lode_hidden_count count, const void *params);
/* The mask of a kernel's taps [1,1,k,k]. */
LODE_API lode_var *lode_pass_tap_mask(lode_pass *p);

/* methods 0.4: the multiple of `divisor` near v, never below 0.9 v. */
LODE_API int64_t lode_make_divisible(double v, int64_t divisor);
#endif
