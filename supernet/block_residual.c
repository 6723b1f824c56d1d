/* block_residual.c: the residual block between the stages of NAS-Bench-201 (Dong & Yang 2020): two
   relu-conv3x3-bn, the first with the stride. The shortcut is average pooling 2x2 and a bare 1x1
   convolution where the map shrinks, relu-conv1x1-bn where only the channels change, else x. */
#include "supernet/block.h"

static lode_status block_residual_check(const void *params, const lode_site *site) {
    (void)params;
    if (site->stride > 2)
        return LODE_FAIL(LODE_ERR_CONFIG, "residual has stride 1 or 2, not %lld",
                         (long long)site->stride);
    return LODE_OK;
}

static lode_var *block_residual_shortcut(lode_pass *p, const lode_site *site, lode_var *x) {
    lode_tape *t = lode_pass_tape(p);
    lode_conv_spec pointwise = {.out = site->out, .kernel = 1};
    if (site->stride == 2) {
        lode_pool_params window = lode_pool_square(2, 2, 0);
        window.ceil_mode = 1;
        return lode_pass_conv(p, "shortcut", lode_avg_pool(t, x, window), pointwise);
    }
    if (site->in == site->out) return x;
    x = lode_pass_conv(p, "shortcut", lode_relu(t, x), pointwise);
    return lode_pass_bn(p, "shortcut.bn", x);
}

static lode_var *block_residual_forward(lode_pass *p, const void *params, const lode_site *site,
                                        lode_var *x) {
    (void)params;
    lode_tape *t = lode_pass_tape(p);
    lode_conv_spec conv = {.out = site->out, .kernel = 3};
    lode_conv_spec strided = {.out = site->out, .kernel = 3, .stride = site->stride};
    lode_var *y = lode_pass_conv(p, "conv1", lode_relu(t, x), strided);
    y = lode_pass_bn_act(p, "conv1.bn", y, LODE_ACT_RELU);
    y = lode_pass_bn(p, "conv2.bn", lode_pass_conv(p, "conv2", y, conv));
    return lode_add(t, y, block_residual_shortcut(p, site, x));
}

const lode_block_kind lode_block_residual = {
    .name = "residual",
    .about = "two relu-conv3x3-bn around a shortcut",
    .check = block_residual_check,
    .forward = block_residual_forward,
};
