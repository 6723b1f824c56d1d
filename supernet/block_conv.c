/* block_conv.c: one convolution with batch normalisation and activation, in either order: stems,
   heads, and the relu-conv-bn of cell spaces. */
#include "supernet/block.h"

typedef struct block_conv_params {
    int64_t kernel, groups, dilation;
    bool bias, bn;
    int act, order;
} block_conv_params;

enum { BLOCK_CONV_FIRST, BLOCK_CONV_ACT_FIRST };

static const lode_option block_conv_rows[] = {
    {"kernel", LODE_OPT_INT, offsetof(block_conv_params, kernel), "3", 1, 31, NULL,
     "side of the kernel, odd"},
    {"groups", LODE_OPT_INT, offsetof(block_conv_params, groups), "1", 1, 1 << 20, NULL,
     "groups of channels"},
    {"dilation", LODE_OPT_INT, offsetof(block_conv_params, dilation), "1", 1, 32, NULL,
     "distance between kernel taps"},
    {"bias", LODE_OPT_BOOL, offsetof(block_conv_params, bias), "false", 0, 0, NULL,
     "the convolution has a bias"},
    {"bn", LODE_OPT_BOOL, offsetof(block_conv_params, bn), "true", 0, 0, NULL,
     "batch normalisation after the convolution"},
    {"act", LODE_OPT_ENUM, offsetof(block_conv_params, act), "relu", 0, 0, LODE_ACT_WORDS,
     "activation"},
    {"order", LODE_OPT_ENUM, offsetof(block_conv_params, order), "conv_bn_act", 0, 0,
     "conv_bn_act|act_conv_bn", "where the activation stands"},
};

static lode_status block_conv_check(const void *params, const lode_site *site) {
    const block_conv_params *c = params;
    if (c->kernel % 2 == 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "kernel is %lld; an odd one is needed",
                         (long long)c->kernel);
    if (site->in % c->groups != 0 || site->out % c->groups != 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "groups is %lld; it must divide %lld and %lld channels",
                         (long long)c->groups, (long long)site->in, (long long)site->out);
    if (site->elastic && c->groups > 1)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "groups is %lld; where channels are a decision only 1 is "
                         "possible",
                         (long long)c->groups);
    return LODE_OK;
}

static lode_var *block_conv_forward(lode_pass *p, const void *params, const lode_site *site,
                                    lode_var *x) {
    const block_conv_params *c = params;
    lode_act act = (lode_act)c->act;
    lode_conv_spec s = {.out = site->out,
                        .kernel = c->kernel,
                        .stride = site->stride,
                        .dilation = c->dilation,
                        .groups = c->groups,
                        .bias = c->bias};
    if (c->order == BLOCK_CONV_ACT_FIRST) x = lode_pass_act(p, act, x);
    x = lode_pass_conv(p, "conv", x, s);
    if (c->order == BLOCK_CONV_ACT_FIRST) act = LODE_ACT_NONE;
    if (c->bn && act == LODE_ACT_NONE) return lode_pass_bn_out(p, "bn", x);
    return lode_pass_mask(p, c->bn ? lode_pass_bn_act(p, "bn", x, act) : lode_pass_act(p, act, x));
}

const lode_block_kind lode_block_conv = {
    .name = "conv",
    .about = "convolution, batch normalisation, activation",
    .rows = block_conv_rows,
    .n_rows = sizeof block_conv_rows / sizeof block_conv_rows[0],
    .params_size = sizeof(block_conv_params),
    .elastic = true,
    .check = block_conv_check,
    .forward = block_conv_forward,
};
