/* block_skip.c: the two options that compute nothing. `skip` passes x on; `none` contributes zero
   to the node of a cell, so the network leaves it out instead of adding zeros. */
#include "supernet/block.h"

static lode_var *block_skip_forward(lode_pass *p, const void *params, const lode_site *site,
                                    lode_var *x) {
    (void)p;
    (void)params;
    (void)site;
    return x;
}

const lode_block_kind lode_block_skip = {
    .name = "skip",
    .about = "identity",
    .same_shape = true,
    .identity = true,
    .elastic = true,
    .forward = block_skip_forward,
};

const lode_block_kind lode_block_none = {
    .name = "none",
    .about = "no connection: contributes nothing (cells only)",
    .nothing = true,
};
