/* block_pool.c: max, average and global pooling.

   Odd kernels pad by k/2, even ones do not pad (but take the last, partial window), so that the
   side is divided by the stride and rounded up. Averages do not count the padding. */
#include "supernet/block.h"

typedef struct block_pool_params {
    int64_t kernel;
    bool bn;
} block_pool_params;

static const lode_option block_pool_rows[] = {
    {"kernel", LODE_OPT_INT, offsetof(block_pool_params, kernel), "3", 1, 31, NULL,
     "side of the window"},
    {"bn", LODE_OPT_BOOL, offsetof(block_pool_params, bn), "false", 0, 0, NULL,
     "batch normalisation after the pooling"},
};

static lode_pool_params block_pool_window(const block_pool_params *c, const lode_site *site) {
    bool odd = c->kernel % 2 != 0;
    lode_pool_params w =
        lode_pool_square((int)c->kernel, (int)site->stride, odd ? (int)(c->kernel / 2) : 0);
    w.ceil_mode = !odd;
    w.count_include_pad = 0;
    return w;
}

static lode_status block_pool_check(const void *params, const lode_site *site) {
    const block_pool_params *c = params;
    if (c->kernel % 2 == 0 && site->stride != c->kernel)
        return LODE_FAIL(LODE_ERR_CONFIG,
                         "kernel is %lld with stride %lld; an even kernel must equal the stride",
                         (long long)c->kernel, (long long)site->stride);
    if (site->elastic && c->bn)
        return LODE_FAIL(LODE_ERR_CONFIG, "bn is set; a pool where channels are a decision has "
                                          "none, for it would undo the mask of the input");
    return LODE_OK;
}

static lode_var *block_max_pool_forward(lode_pass *p, const void *params, const lode_site *site,
                                        lode_var *x) {
    const block_pool_params *c = params;
    lode_var *y = lode_max_pool(lode_pass_tape(p), x, block_pool_window(c, site));
    return c->bn ? lode_pass_bn(p, "bn", y) : y;
}

static lode_var *block_avg_pool_forward(lode_pass *p, const void *params, const lode_site *site,
                                        lode_var *x) {
    const block_pool_params *c = params;
    lode_var *y = lode_avg_pool(lode_pass_tape(p), x, block_pool_window(c, site));
    return c->bn ? lode_pass_bn(p, "bn", y) : y;
}

static lode_var *block_global_pool_forward(lode_pass *p, const void *params, const lode_site *site,
                                           lode_var *x) {
    (void)params;
    (void)site;
    return lode_global_avg_pool(lode_pass_tape(p), x);
}

const lode_block_kind lode_block_max_pool = {
    .name = "max_pool",
    .about = "largest value of a window",
    .rows = block_pool_rows,
    .n_rows = sizeof block_pool_rows / sizeof block_pool_rows[0],
    .params_size = sizeof(block_pool_params),
    .same_channels = true,
    .elastic = true,
    .check = block_pool_check,
    .forward = block_max_pool_forward,
};

const lode_block_kind lode_block_avg_pool = {
    .name = "avg_pool",
    .about = "mean of a window, padding not counted",
    .rows = block_pool_rows,
    .n_rows = sizeof block_pool_rows / sizeof block_pool_rows[0],
    .params_size = sizeof(block_pool_params),
    .same_channels = true,
    .elastic = true,
    .check = block_pool_check,
    .forward = block_avg_pool_forward,
};

const lode_block_kind lode_block_global_pool = {
    .name = "global_pool",
    .about = "mean over the whole map",
    .same_channels = true,
    .elastic = true,
    .forward = block_global_pool_forward,
};
