/* block_linear.c: the classifier: flattens, drops, multiplies, adds a bias; and the bn-activation
   pair that ends pre-activation networks. */
#include "supernet/block.h"

typedef struct block_linear_params {
    double dropout;
} block_linear_params;
typedef struct block_bn_act_params {
    int act;
} block_bn_act_params;

static const lode_option block_linear_rows[] = {
    {"dropout", LODE_OPT_F64, offsetof(block_linear_params, dropout), "0", 0, 0.95, NULL,
     "probability of dropping an input in training"},
};
static const lode_option block_bn_act_rows[] = {
    {"act", LODE_OPT_ENUM, offsetof(block_bn_act_params, act), "relu", 0, 0, LODE_ACT_WORDS,
     "activation"},
};

static lode_var *block_linear_forward(lode_pass *p, const void *params, const lode_site *site,
                                      lode_var *x) {
    const block_linear_params *c = params;
    lode_tape *t = lode_pass_tape(p);
    if (x == NULL) return NULL;
    if (x->value->shape.n_dims > 2) {
        lode_shape rows = LODE_SHAPE2(x->value->shape.dim[0], -1);
        x = lode_reshape(t, x, &rows);
    }
    if (c->dropout > 0) x = lode_dropout(t, x, c->dropout);
    return lode_pass_linear(p, "linear", x, site->out);
}

static lode_var *block_bn_act_forward(lode_pass *p, const void *params, const lode_site *site,
                                      lode_var *x) {
    const block_bn_act_params *c = params;
    (void)site;
    return lode_pass_bn_act(p, "bn", x, (lode_act)c->act);
}

const lode_block_kind lode_block_linear = {
    .name = "linear",
    .about = "fully connected layer with bias",
    .rows = block_linear_rows,
    .n_rows = sizeof block_linear_rows / sizeof block_linear_rows[0],
    .params_size = sizeof(block_linear_params),
    .elastic = true,
    .forward = block_linear_forward,
};

const lode_block_kind lode_block_bn_act = {
    .name = "bn_act",
    .about = "batch normalisation and activation",
    .rows = block_bn_act_rows,
    .n_rows = sizeof block_bn_act_rows / sizeof block_bn_act_rows[0],
    .params_size = sizeof(block_bn_act_params),
    .same_shape = true,
    .forward = block_bn_act_forward,
};
