/* block_factorized_reduce.c: halves the map without losing half of its pixels (DARTS, Liu et al.
   2019): relu, then two 1x1 convolutions of stride 2, the second on the map shifted by one pixel
   down and right; their outputs side by side; batch normalisation.

   The shift is a pad by (-1, +1): for even sides the added row is never read, for odd sides it
   makes both halves equal (the paper's networks have even sides only). */
#include "supernet/block.h"

static lode_status block_factorized_check(const void *params, const lode_site *site) {
    (void)params;
    if (site->stride != 2)
        return LODE_FAIL(LODE_ERR_CONFIG, "factorized_reduce has stride 2, this place wants %lld",
                         (long long)site->stride);
    if (site->out % 2 != 0)
        return LODE_FAIL(LODE_ERR_CONFIG, "factorized_reduce needs even channels, not %lld",
                         (long long)site->out);
    return LODE_OK;
}

static lode_var *block_factorized_forward(lode_pass *p, const void *params, const lode_site *site,
                                          lode_var *x) {
    (void)params;
    lode_tape *t = lode_pass_tape(p);
    lode_conv_spec half = {.out = site->out / 2, .kernel = 1, .stride = 2};
    lode_pad_params shift = {.before = {0, 0, -1, -1}, .after = {0, 0, 1, 1}};
    x = lode_relu(t, x);
    lode_var *halves[2];
    halves[0] = lode_pass_conv(p, "conv1", x, half);
    halves[1] = lode_pass_conv(p, "conv2", lode_pad(t, x, &shift), half);
    return lode_pass_bn(p, "bn", lode_concat(t, halves, 2, 1));
}

const lode_block_kind lode_block_factorized_reduce = {
    .name = "factorized_reduce",
    .about = "relu, two shifted 1x1 convolutions of stride 2 side by side, bn",
    .check = block_factorized_check,
    .forward = block_factorized_forward,
};
