/* block_basic.c: the basic block of ResNet (He et al. 2016): convolution, norm, activation,
   convolution, norm, plus the input, activation.

   Where the shape changes, the shortcut is a 1x1 convolution with a norm (`project`), or there is
   none, as in the networks of Channel-Bench-Macro. The channels between the two convolutions may be
   a number of their own, and a decision. */
#include "supernet/block.h"

typedef struct block_basic_params {
    int64_t kernel, hidden;
    int act, shortcut;
} block_basic_params;

enum { BLOCK_BASIC_PROJECT, BLOCK_BASIC_NONE };

static const lode_option block_basic_rows[] = {
    {"kernel", LODE_OPT_INT, offsetof(block_basic_params, kernel), "3", 1, 31, NULL,
     "side of both kernels, odd"},
    {"hidden", LODE_OPT_INT, offsetof(block_basic_params, hidden), "0", 0, 1 << 20, NULL,
     "channels between the convolutions; 0: those that go out"},
    {"act", LODE_OPT_ENUM, offsetof(block_basic_params, act), "relu", 0, 0, LODE_ACT_WORDS,
     "activation between the convolutions and at the end"},
    {"shortcut", LODE_OPT_ENUM, offsetof(block_basic_params, shortcut), "project", 0, 0,
     "project|none", "what is added where the shape changes: a 1x1 of the input, or nothing"},
};

static lode_status block_basic_check(const void *params, const lode_site *site) {
    const block_basic_params *b = params;
    (void)site;
    if (b->kernel % 2 == 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "kernel is %lld; an odd one is needed",
                         (long long)b->kernel);
    return LODE_OK;
}

static int64_t block_basic_hidden(const void *params, double value, int64_t in) {
    (void)params;
    (void)in;
    return (int64_t)value;
}

/* What is added to the second norm; NULL: nothing, or a failure. */
static lode_var *block_basic_shortcut(lode_pass *p, const block_basic_params *b,
                                      const lode_site *site, lode_var *x) {
    if (lode_site_keeps_shape(site)) return x;
    if (b->shortcut == BLOCK_BASIC_NONE) return NULL;
    lode_conv_spec s = {.out = site->out, .kernel = 1, .stride = site->stride};
    return lode_pass_bn_out(p, "shortcut.bn", lode_pass_conv(p, "shortcut", x, s));
}

static lode_var *block_basic_forward(lode_pass *p, const void *params, const lode_site *site,
                                     lode_var *x) {
    const block_basic_params *b = params;
    lode_tape *t = lode_pass_tape(p);
    lode_act act = (lode_act)b->act;
    /* Without `hidden` the channels between follow those that go out, and so does their mask. */
    lode_var *mask = b->hidden > 0 ? lode_pass_hidden_mask(p, LODE_SIZE_HIDDEN, (double)b->hidden,
                                                           site->in, block_basic_hidden, b)
                                   : lode_pass_out_mask(p);
    lode_conv_spec first = {.out = site->out, .kernel = b->kernel, .stride = site->stride};
    lode_conv_spec second = {.out = site->out, .kernel = b->kernel};
    if (b->hidden > 0) first.out = (int64_t)lode_pass_size(p, LODE_SIZE_HIDDEN, (double)b->hidden);
    if (lode_tape_status(t) != LODE_OK) return NULL;
    lode_var *y = lode_pass_conv_bn_act(p, "conv1", x, first, act);
    if (mask != NULL && lode_pass_masks_samples(p)) /* no weight can take it in */
        y = lode_pass_multiply(p, y, mask);
    else
        second.in_mask = mask;
    y = lode_pass_bn_out(p, "conv2.bn", lode_pass_conv(p, "conv2", y, second));
    lode_var *shortcut = block_basic_shortcut(p, b, site, x);
    if (lode_tape_status(t) != LODE_OK) return NULL;
    if (shortcut == x)
        y = lode_add(t, lode_pass_drop_path(p, y), x);
    else if (shortcut != NULL)
        y = lode_add(t, y, shortcut);
    return lode_pass_act(p, act, y);
}

const lode_block_kind lode_block_basic = {
    .name = "basic",
    .about = "two convolutions and a shortcut, as in ResNet",
    .rows = block_basic_rows,
    .n_rows = sizeof block_basic_rows / sizeof block_basic_rows[0],
    .params_size = sizeof(block_basic_params),
    .elastic = true,
    .sizes = 1u << LODE_SIZE_HIDDEN,
    .check = block_basic_check,
    .forward = block_basic_forward,
};
