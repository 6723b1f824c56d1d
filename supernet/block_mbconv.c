/* block_mbconv.c: the inverted residual of MobileNetV2 (Sandler et al. 2018), with the variations
   that mobile search spaces choose among.

   1x1 to h = expand * in channels, depthwise k x k with the stride, 1x1 to out; batch normalisation
   after each, activation after the first two; x is added when nothing changes shape. Groups divide
   both 1x1 convolutions and a channel shuffle after the first lets them talk (FBNet, Wu et al.
   2019). Squeeze-and-excite stands after the depthwise activation (MobileNetV3, Howard et al.
   2019); it reduces to a share of the hidden channels, or, as EfficientNet has it, of the input's.
   It trains as one operator. With expand 1 the first 1x1 is left out, as in MobileNetV2, unless
   `expand_conv: always`: FBNet's e1 blocks keep it. Where widths are searched, the hidden channels
   may be a number of their own, `hidden`, instead of a multiple of the input's. */
#include "supernet/block.h"

#include <math.h>

typedef struct block_mbconv_params {
    int64_t kernel, groups, hidden;
    double expand, se;
    int act, expand_conv, se_of;
} block_mbconv_params;

enum { BLOCK_MBCONV_AUTO, BLOCK_MBCONV_ALWAYS };
enum { BLOCK_MBCONV_OF_HIDDEN, BLOCK_MBCONV_OF_INPUT };

static const lode_option block_mbconv_rows[] = {
    {"kernel", LODE_OPT_INT, offsetof(block_mbconv_params, kernel), "3", 1, 31, NULL,
     "side of the depthwise kernel, odd"},
    {"expand", LODE_OPT_F64, offsetof(block_mbconv_params, expand), "6", 0.125, 64, NULL,
     "hidden channels over input channels"},
    {"hidden", LODE_OPT_INT, offsetof(block_mbconv_params, hidden), "0", 0, 1 << 20, NULL,
     "hidden channels as a number; 0: expand says"},
    {"groups", LODE_OPT_INT, offsetof(block_mbconv_params, groups), "1", 1, 4096, NULL,
     "groups of both 1x1 convolutions; above 1 the channels are shuffled after the first"},
    {"se", LODE_OPT_F64, offsetof(block_mbconv_params, se), "0", 0, 1, NULL,
     "squeeze-and-excite: share of the channels it reduces to, 0 for none"},
    {"se_of", LODE_OPT_ENUM, offsetof(block_mbconv_params, se_of), "hidden", 0, 0, "hidden|input",
     "the channels meant by se: hidden ones, to a multiple of 8, or the input's, rounded down"},
    {"act", LODE_OPT_ENUM, offsetof(block_mbconv_params, act), "relu", 0, 0, LODE_ACT_WORDS,
     "activation after the first two convolutions"},
    {"expand_conv", LODE_OPT_ENUM, offsetof(block_mbconv_params, expand_conv), "auto", 0, 0,
     "auto|always", "the first 1x1 when expand is 1: left out (auto) or kept (always)"},
};

/* The size that says how many channels are hidden. */
static lode_size block_mbconv_size(const block_mbconv_params *m) {
    return m->hidden > 0 ? LODE_SIZE_HIDDEN : LODE_SIZE_EXPAND;
}

/* At a value of that size. */
static int64_t block_mbconv_hidden(const void *params, double value, int64_t in) {
    const block_mbconv_params *m = params;
    double h = value * (double)in;
    if (m->hidden > 0) return (int64_t)value;
    return value == floor(value) ? (int64_t)h : lode_make_divisible(h, 8);
}

/* Channels between the squeeze-and-excite convolutions. */
static int64_t block_mbconv_reduced(const void *params, double value, int64_t in) {
    const block_mbconv_params *m = params;
    if (!(m->se > 0)) return 0; /* no squeeze-and-excite */
    if (m->se_of == BLOCK_MBCONV_OF_HIDDEN)
        return lode_make_divisible(m->se * (double)block_mbconv_hidden(m, value, in), 8);
    const int64_t reduced = (int64_t)(m->se * (double)in);
    return reduced > 0 ? reduced : 1;
}

/* What the params, the place and the decisions of a pass make of the block. Hidden channels are a
   decision wherever the expansion or the input's channels are one; their mask stands before all
   that reads them: the projection, and both convolutions of squeeze-and-excite. */
typedef struct block_mbconv_plan {
    int64_t hidden, reduced, kernel;
    bool expands, residual;
    lode_var *hidden_mask, *reduced_mask, *tap_mask; /* NULL: nothing is mixed */
} block_mbconv_plan;

static block_mbconv_plan block_mbconv_plan_of(lode_pass *p, const block_mbconv_params *m,
                                              const lode_site *site) {
    const lode_size which = block_mbconv_size(m);
    const double given = m->hidden > 0 ? (double)m->hidden : m->expand;
    const double value = lode_pass_size(p, which, given);
    block_mbconv_plan b = {
        .hidden = block_mbconv_hidden(m, value, site->in),
        .reduced = block_mbconv_reduced(m, value, site->in),
        .kernel = (int64_t)lode_pass_size(p, LODE_SIZE_KERNEL, (double)m->kernel),
        .expands = m->hidden > 0 || value != 1 || m->expand_conv == BLOCK_MBCONV_ALWAYS ||
                   lode_pass_decides(p, LODE_SIZE_EXPAND),
        .residual = lode_site_keeps_shape(site)};
    b.hidden_mask = lode_pass_hidden_mask(p, which, given, site->in, block_mbconv_hidden, m);
    if (m->se > 0 && m->se_of == BLOCK_MBCONV_OF_HIDDEN)
        b.reduced_mask = lode_pass_hidden_mask(p, which, given, site->in, block_mbconv_reduced, m);
    else if (m->se > 0) /* whatever the hidden channels are */
        b.reduced_mask = lode_pass_hidden_mask(p, LODE_SIZE_EXPAND, m->expand, site->in,
                                               block_mbconv_reduced, m);
    b.tap_mask = lode_pass_tap_mask(p);
    return b;
}

static lode_status block_mbconv_check(const void *params, const lode_site *site) {
    const block_mbconv_params *m = params;
    int64_t hidden = m->hidden > 0 ? m->hidden : block_mbconv_hidden(m, m->expand, site->in);
    if (m->kernel % 2 == 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "kernel is %lld; an odd one is needed",
                         (long long)m->kernel);
    if (site->in % m->groups != 0 || hidden % m->groups != 0 || site->out % m->groups != 0)
        return LODE_FAIL(
            LODE_ERR_CONFIG, "groups is %lld; it must divide %lld, %lld and %lld channels",
            (long long)m->groups, (long long)site->in, (long long)hidden, (long long)site->out);
    if (site->elastic && m->groups > 1)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "groups is %lld; where channels are a decision only 1 is "
                         "possible",
                         (long long)m->groups);
    return LODE_OK;
}

/* The same in one operator. A branch that may be dropped is added outside. */
static lode_var *block_mbconv_fused(lode_pass *p, const block_mbconv_params *m,
                                    const block_mbconv_plan *b, const lode_site *site,
                                    lode_var *x) {
    static const char *const names[3] = {"expand", "depthwise", "project"};
    bool drops = lode_pass_drops(p);
    lode_mbconv_spec s = {.hidden = b->hidden,
                          .reduced = b->reduced,
                          .out = site->out,
                          .kernel = b->kernel,
                          .stride = site->stride,
                          .groups = m->groups,
                          .act = (lode_act)m->act,
                          .expands = b->expands,
                          .residual = b->residual && !drops,
                          .hidden_mask = b->hidden_mask,
                          .reduced_mask = b->reduced_mask,
                          .tap_mask = b->tap_mask,
                          .out_mask = lode_pass_out_mask(p)};
    if (lode_tape_status(lode_pass_tape(p)) != LODE_OK) return NULL;
    lode_var *y = lode_pass_mbconv(p, names, x, s);
    if (!b->residual || !drops) return y;
    return lode_add(lode_pass_tape(p), lode_pass_drop_path(p, y), x);
}

/* conv, norm and mask, in the scope that lode_pass_conv_bn_act would give it. */
static lode_var *block_mbconv_project(lode_pass *p, const block_mbconv_params *m,
                                      const block_mbconv_plan *b, const lode_site *site,
                                      lode_var *x) {
    lode_conv_spec s = {
        .out = site->out, .kernel = 1, .groups = m->groups, .in_mask = b->hidden_mask};
    lode_scope scope = lode_tape_enter(lode_pass_tape(p), "project");
    lode_var *y = lode_pass_bn_out(p, "project.bn", lode_pass_conv(p, "project", x, s));
    return lode_tape_leave(lode_pass_tape(p), scope, y);
}

static lode_var *block_mbconv_forward(lode_pass *p, const void *params, const lode_site *site,
                                      lode_var *x) {
    const block_mbconv_params *m = params;
    lode_tape *t = lode_pass_tape(p);
    lode_act act = (lode_act)m->act;
    block_mbconv_plan b = block_mbconv_plan_of(p, m, site);
    lode_var *y = x;
    if (lode_tape_status(t) != LODE_OK) return NULL;
    if (lode_pass_fuses(p) && !lode_pass_masks_samples(p))
        return block_mbconv_fused(p, m, &b, site, x);
    if (b.expands) {
        lode_conv_spec expand = {.out = b.hidden, .kernel = 1, .groups = m->groups};
        y = lode_pass_conv_bn_act(p, "expand", y, expand, act);
        if (m->groups > 1) y = lode_channel_shuffle(t, y, (int)m->groups);
    }
    lode_conv_spec depthwise = {.out = b.hidden,
                                .kernel = b.kernel,
                                .stride = site->stride,
                                .groups = b.hidden,
                                .tap_mask = b.tap_mask};
    y = lode_pass_conv_bn_act(p, "depthwise", y, depthwise, act);
    if (b.hidden_mask != NULL && lode_pass_masks_samples(p)) { /* no weight can take it in */
        y = lode_pass_multiply(p, y, b.hidden_mask);
        b.hidden_mask = NULL;
    }
    if (m->se > 0) y = lode_pass_excite(p, y, b.reduced, b.hidden_mask, b.reduced_mask);
    y = block_mbconv_project(p, m, &b, site, y);
    if (!b.residual) return y;
    return lode_add(t, lode_pass_drop_path(p, y), x);
}

const lode_block_kind lode_block_mbconv = {
    .name = "mbconv",
    .about = "inverted residual: 1x1, depthwise, 1x1, with groups and squeeze-and-excite",
    .rows = block_mbconv_rows,
    .n_rows = sizeof block_mbconv_rows / sizeof block_mbconv_rows[0],
    .params_size = sizeof(block_mbconv_params),
    .elastic = true,
    .sizes = 1u << LODE_SIZE_KERNEL | 1u << LODE_SIZE_EXPAND | 1u << LODE_SIZE_HIDDEN,
    .check = block_mbconv_check,
    .forward = block_mbconv_forward,
};
