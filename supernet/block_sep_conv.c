/* block_sep_conv.c: the separable and dilated convolutions of DARTS (Liu et al. 2019): activation,
   depthwise k x k, 1x1, batch normalisation; the separable one does this twice, with the stride in
   the first, the dilated one once with dilation 2. */
#include "supernet/block.h"

typedef struct block_sep_params {
    int64_t kernel, dilation;
    int act;
} block_sep_params;

static const lode_option block_sep_rows[] = {
    {"kernel", LODE_OPT_INT, offsetof(block_sep_params, kernel), "3", 1, 31, NULL,
     "side of the depthwise kernel, odd"},
    {"act", LODE_OPT_ENUM, offsetof(block_sep_params, act), "relu", 0, 0, LODE_ACT_WORDS,
     "activation before each depthwise convolution"},
};
static const lode_option block_dil_rows[] = {
    {"kernel", LODE_OPT_INT, offsetof(block_sep_params, kernel), "3", 1, 31, NULL,
     "side of the depthwise kernel, odd"},
    {"dilation", LODE_OPT_INT, offsetof(block_sep_params, dilation), "2", 1, 32, NULL,
     "distance between kernel taps"},
    {"act", LODE_OPT_ENUM, offsetof(block_sep_params, act), "relu", 0, 0, LODE_ACT_WORDS,
     "activation before the depthwise convolution"},
};

static lode_status block_sep_check(const void *params, const lode_site *site) {
    const block_sep_params *c = params;
    (void)site;
    if (c->kernel % 2 == 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "kernel is %lld; an odd one is needed",
                         (long long)c->kernel);
    return LODE_OK;
}

/* depthwise, 1x1, bn, act; `n` tells first and second apart in the names. */
static lode_var *block_sep_unit(lode_pass *p, const block_sep_params *c, const char *const n[3],
                                int64_t out, int64_t stride, lode_act act, lode_var *x) {
    if (x == NULL) return NULL;
    int64_t in = x->value->shape.dim[1];
    lode_scope scope = lode_tape_enter(lode_pass_tape(p), n[0]);
    lode_conv_spec depthwise = {
        .out = in, .kernel = c->kernel, .stride = stride, .dilation = c->dilation, .groups = in};
    lode_conv_spec pointwise = {.out = out, .kernel = 1};
    lode_var *y = lode_pass_conv(p, n[0], x, depthwise);
    y = lode_pass_conv(p, n[1], y, pointwise);
    return lode_tape_leave(lode_pass_tape(p), scope, lode_pass_bn_act(p, n[2], y, act));
}

static lode_var *block_sep_conv_forward(lode_pass *p, const void *params, const lode_site *site,
                                        lode_var *x) {
    static const char *const first[3] = {"depthwise1", "pointwise1", "bn1"};
    static const char *const second[3] = {"depthwise2", "pointwise2", "bn2"};
    lode_act act = (lode_act)((const block_sep_params *)params)->act;
    x = lode_pass_act(p, act, x);
    x = block_sep_unit(p, params, first, site->in, site->stride, act, x);
    return block_sep_unit(p, params, second, site->out, 1, LODE_ACT_NONE, x);
}

static lode_var *block_dil_conv_forward(lode_pass *p, const void *params, const lode_site *site,
                                        lode_var *x) {
    static const char *const only[3] = {"depthwise", "pointwise", "bn"};
    x = lode_pass_act(p, (lode_act)((const block_sep_params *)params)->act, x);
    return block_sep_unit(p, params, only, site->out, site->stride, LODE_ACT_NONE, x);
}

const lode_block_kind lode_block_sep_conv = {
    .name = "sep_conv",
    .about = "activation, depthwise, 1x1, bn, twice",
    .rows = block_sep_rows,
    .n_rows = sizeof block_sep_rows / sizeof block_sep_rows[0],
    .params_size = sizeof(block_sep_params),
    .check = block_sep_check,
    .forward = block_sep_conv_forward,
};

const lode_block_kind lode_block_dil_conv = {
    .name = "dil_conv",
    .about = "activation, dilated depthwise, 1x1, bn",
    .rows = block_dil_rows,
    .n_rows = sizeof block_dil_rows / sizeof block_dil_rows[0],
    .params_size = sizeof(block_sep_params),
    .check = block_sep_check,
    .forward = block_dil_conv_forward,
};
