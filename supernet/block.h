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
} lode_site;

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

/* A convolution with "same" padding, d(k-1)/2 on each side. */
typedef struct lode_conv_spec {
    int64_t out, kernel, stride, dilation, groups; /* stride, dilation, groups 0: 1 */
    bool bias;
} lode_conv_spec;

LODE_API lode_tape *lode_pass_tape(const lode_pass *p);
/* Weight `name`.weight [out, C/groups, k, k], and `name`.bias. */
LODE_API lode_var *lode_pass_conv(lode_pass *p, const char *name, lode_var *x, lode_conv_spec s);
/* Batch normalisation as the space and the pass say: `name`.gamma, .beta (when affine), .mean, .var
 */
LODE_API lode_var *lode_pass_bn(lode_pass *p, const char *name, lode_var *x);
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
} lode_mbconv_spec;
/* x times its gates: hsigmoid of two 1x1 convolutions of its channels' means, with biases and a
   relu between: se_reduce.weight [reduced,C,1,1], se_reduce.bias, se_expand.weight, se_expand.bias.
 */
LODE_API lode_var *lode_pass_excite(lode_pass *p, lode_var *x, int64_t reduced);
LODE_API bool lode_pass_fuses(const lode_pass *p);
LODE_API lode_var *lode_pass_mbconv(lode_pass *p, const char *const names[3], lode_var *x,
                                    lode_mbconv_spec s);
/* x [N,I] to [N,outputs]: `name`.weight, `name`.bias. */
LODE_API lode_var *lode_pass_linear(lode_pass *p, const char *name, lode_var *x, int64_t outputs);
/* Drops the branch per sample with the pass's drop-path probability (training only). */
LODE_API lode_var *lode_pass_drop_path(lode_pass *p, lode_var *x);
LODE_API bool lode_pass_drops(const lode_pass *p); /* lode_pass_drop_path does something */

/* methods 0.4: the multiple of `divisor` near v, never below 0.9 v. */
LODE_API int64_t lode_make_divisible(double v, int64_t divisor);
#endif
