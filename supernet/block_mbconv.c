/* block_mbconv.c: the inverted residual of MobileNetV2 (Sandler et al. 2018), with the variations
   that mobile search spaces choose among.

   1x1 to h = expand * in channels, depthwise k x k with the stride, 1x1 to out; batch normalisation
   after each, activation after the first two; x is added when nothing changes shape. Groups divide
   both 1x1 convolutions and a channel shuffle after the first lets them talk (FBNet, Wu et al.
   2019). Squeeze-and-excite stands after the depthwise activation (MobileNetV3, Howard et al.
   2019). It trains as one operator. With expand 1 the first
   1x1 is left out, as in MobileNetV2, unless `expand_conv: always`: FBNet's e1 blocks keep it. */
#include "supernet/block.h"

#include <math.h>

typedef struct block_mbconv_params {
    int64_t kernel, groups;
    double expand, se;
    int act, expand_conv;
} block_mbconv_params;

enum { BLOCK_MBCONV_AUTO, BLOCK_MBCONV_ALWAYS };

static const lode_option block_mbconv_rows[] = {
    {"kernel", LODE_OPT_INT, offsetof(block_mbconv_params, kernel), "3", 1, 31, NULL,
     "side of the depthwise kernel, odd"},
    {"expand", LODE_OPT_F64, offsetof(block_mbconv_params, expand), "6", 0.125, 64, NULL,
     "hidden channels over input channels"},
    {"groups", LODE_OPT_INT, offsetof(block_mbconv_params, groups), "1", 1, 4096, NULL,
     "groups of both 1x1 convolutions; above 1 the channels are shuffled after the first"},
    {"se", LODE_OPT_F64, offsetof(block_mbconv_params, se), "0", 0, 1, NULL,
     "squeeze-and-excite: reduced over hidden channels, 0 for none"},
    {"act", LODE_OPT_ENUM, offsetof(block_mbconv_params, act), "relu", 0, 0, LODE_ACT_WORDS,
     "activation after the first two convolutions"},
    {"expand_conv", LODE_OPT_ENUM, offsetof(block_mbconv_params, expand_conv), "auto", 0, 0,
     "auto|always", "the first 1x1 when expand is 1: left out (auto) or kept (always)"},
};

static int64_t block_mbconv_hidden(const block_mbconv_params *m, int64_t in) {
    double h = m->expand * (double)in;
    return m->expand == floor(m->expand) ? (int64_t)h : lode_make_divisible(h, 8);
}

static bool block_mbconv_expands(const block_mbconv_params *m) {
    return m->expand != 1 || m->expand_conv == BLOCK_MBCONV_ALWAYS;
}

static lode_status block_mbconv_check(const void *params, const lode_site *site) {
    const block_mbconv_params *m = params;
    int64_t hidden = block_mbconv_hidden(m, site->in);
    if (m->kernel % 2 == 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "kernel is %lld; an odd one is needed",
                         (long long)m->kernel);
    if (site->in % m->groups != 0 || hidden % m->groups != 0 || site->out % m->groups != 0)
        return LODE_FAIL(
            LODE_ERR_CONFIG, "groups is %lld; it must divide %lld, %lld and %lld channels",
            (long long)m->groups, (long long)site->in, (long long)hidden, (long long)site->out);
    return LODE_OK;
}

/* Channels between the squeeze-and-excite convolutions; 0: none. */
static int64_t block_mbconv_reduced(const block_mbconv_params *m, int64_t hidden) {
    return m->se > 0 ? lode_make_divisible(m->se * (double)hidden, 8) : 0;
}

/* The same in one operator. A branch that may be dropped is added outside. */
static lode_var *block_mbconv_fused(lode_pass *p, const block_mbconv_params *m,
                                    const lode_site *site, lode_var *x) {
    static const char *const names[3] = {"expand", "depthwise", "project"};
    bool residual = site->stride == 1 && site->in == site->out, drops = lode_pass_drops(p);
    int64_t hidden = block_mbconv_hidden(m, site->in);
    lode_mbconv_spec s = {.hidden = hidden,
                          .reduced = block_mbconv_reduced(m, hidden),
                          .out = site->out,
                          .kernel = m->kernel,
                          .stride = site->stride,
                          .groups = m->groups,
                          .act = (lode_act)m->act,
                          .expands = block_mbconv_expands(m),
                          .residual = residual && !drops};
    lode_var *y = lode_pass_mbconv(p, names, x, s);
    if (!residual || !drops) return y;
    return lode_add(lode_pass_tape(p), lode_pass_drop_path(p, y), x);
}

static lode_var *block_mbconv_forward(lode_pass *p, const void *params, const lode_site *site,
                                      lode_var *x) {
    const block_mbconv_params *m = params;
    lode_tape *t = lode_pass_tape(p);
    lode_act act = (lode_act)m->act;
    int64_t hidden = block_mbconv_hidden(m, site->in);
    lode_var *y = x;
    if (lode_pass_fuses(p)) return block_mbconv_fused(p, m, site, x);
    if (block_mbconv_expands(m)) {
        lode_conv_spec expand = {.out = hidden, .kernel = 1, .groups = m->groups};
        y = lode_pass_conv_bn_act(p, "expand", y, expand, act);
        if (m->groups > 1) y = lode_channel_shuffle(t, y, (int)m->groups);
    }
    lode_conv_spec depthwise = {
        .out = hidden, .kernel = m->kernel, .stride = site->stride, .groups = hidden};
    y = lode_pass_conv_bn_act(p, "depthwise", y, depthwise, act);
    if (m->se > 0) y = lode_pass_excite(p, y, block_mbconv_reduced(m, hidden));
    lode_conv_spec project = {.out = site->out, .kernel = 1, .groups = m->groups};
    y = lode_pass_conv_bn_act(p, "project", y, project, LODE_ACT_NONE);
    if (site->stride != 1 || site->in != site->out) return y;
    return lode_add(t, lode_pass_drop_path(p, y), x);
}

const lode_block_kind lode_block_mbconv = {
    .name = "mbconv",
    .about = "inverted residual: 1x1, depthwise, 1x1, with groups and squeeze-and-excite",
    .rows = block_mbconv_rows,
    .n_rows = sizeof block_mbconv_rows / sizeof block_mbconv_rows[0],
    .params_size = sizeof(block_mbconv_params),
    .check = block_mbconv_check,
    .forward = block_mbconv_forward,
};
