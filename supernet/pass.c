/* pass.c: what blocks are made of, for building and for running alike.

   While a network is built, asking for a parameter makes it, with its first values drawn from
   (seed, INIT, hash of the name): the same weight whatever else the network has. Later the same
   question takes the next parameter of the block. */
#include "supernet/supernet_internal.h"

#include <math.h>
#include <string.h>

lode_tape *lode_pass_tape(const lode_pass *p) { return p->tape; }

int64_t lode_make_divisible(double v, int64_t divisor) {
    double d = (double)divisor;
    int64_t n = (int64_t)floor((v + d / 2) / d) * divisor;
    if (n < divisor) n = divisor;
    return (double)n < 0.9 * v ? n + divisor : n;
}

/* ---- parameters ---- */
/* normal(0, spread), uniform(-spread, spread), or all the same. */
typedef enum pass_draw { PASS_NORMAL, PASS_UNIFORM, PASS_VALUE } pass_draw;
typedef struct pass_init {
    pass_draw draw;
    double spread;
} pass_init;

static lode_status pass_fill(const lode_supernet *net, lode_parameter *p, pass_init init) {
    lode_rng rng = lode_rng_stream(net->seed, LODE_RNG_INIT, lode_hash_text(p->name));
    switch (init.draw) {
    case PASS_NORMAL:
        return lode_tensor_fill_normal(p->value, &rng, 0, init.spread);
    case PASS_UNIFORM:
        return lode_tensor_fill_uniform(p->value, &rng, -init.spread, init.spread);
    case PASS_VALUE:
        break;
    }
    return lode_tensor_fill(p->value, init.spread);
}

static lode_status pass_make(lode_pass *p, const char *name, const char *suffix,
                             lode_parameter_kind kind, const lode_shape *shape, pass_init init) {
    lode_supernet *net = p->net;
    lode_parameter *made = NULL;
    LODE_TRY(lode_grow((void **)&net->parameter, &net->parameter_capacity, net->n_parameters + 1,
                       sizeof *net->parameter));
    char *full = lode_format("%s.%s.%s", p->path, name, suffix);
    if (full == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = lode_parameter_create(full, kind, net->dtype, shape, &made);
    if (status == LODE_OK) status = pass_fill(net, made, init);
    lode_free(full);
    if (status == LODE_OK)
        net->parameter[net->n_parameters++] = made;
    else
        lode_parameter_destroy(made);
    return status;
}

/* The next parameter of the block that runs, as a var; NULL after a failure. */
static lode_var *pass_parameter(lode_pass *p, const char *name, const char *suffix,
                                lode_parameter_kind kind, const lode_shape *shape, pass_init init) {
    lode_supernet *net = p->net;
    if (lode_tape_status(p->tape) != LODE_OK) return NULL;
    if (p->building) {
        lode_status status = pass_make(p, name, suffix, kind, shape, init);
        if (status != LODE_OK) return lode_tape_fail(p->tape, status);
    }
    lode_parameter *q = p->cursor < net->n_parameters ? net->parameter[p->cursor] : NULL;
    bool whole = q != NULL && lode_shape_equal(&q->value->shape, shape);
    if (!whole && (q == NULL || p->sizes.n == 0 || !net_is_part(&q->value->shape, shape)))
        return lode_tape_fail(p->tape,
                              LODE_FAIL(LODE_ERR_INTERNAL,
                                        "%s: parameter %s.%s is not the one made for this place; a "
                                        "block must ask for the same parameters in every pass",
                                        lode_tape_label(p->tape), name, suffix));
    p->cursor++;
    if (p->elements != NULL && kind != LODE_PARAM_RUNNING) *p->elements += lode_shape_count(shape);
    return whole ? lode_parameter_var(p->tape, q) : net_part_var(p, q, shape);
}

/* ---- layers ---- */
static pass_init pass_conv_init(const lode_space *s, const lode_shape *w, int64_t groups) {
    double taps = (double)(w->dim[2] * w->dim[3]);
    double fan_in = (double)w->dim[1] * taps, fan_out = (double)w->dim[0] / (double)groups * taps;
    if (s->conv_init == SPACE_UNIFORM) return (pass_init){PASS_UNIFORM, 1 / sqrt(fan_in)};
    return (pass_init){PASS_NORMAL, sqrt(2 / (s->conv_init == SPACE_FAN_IN ? fan_in : fan_out))};
}

static int64_t pass_one(int64_t v) { return v > 0 ? v : 1; }

/* A weight [O,C,k,k] times masks of its input channels [C] and of its taps [1,1,k,k], where given.
 */
static lode_var *pass_mask_weight(lode_pass *p, lode_var *w, lode_var *in, lode_var *taps) {
    if (taps != NULL) w = lode_mul(p->tape, w, taps);
    if (in == NULL || w == NULL) return w;
    const lode_shape columns = LODE_SHAPE4(1, w->value->shape.dim[1], 1, 1);
    return lode_mul(p->tape, w, lode_reshape(p->tape, in, &columns));
}

lode_var *lode_pass_conv(lode_pass *p, const char *name, lode_var *x, lode_conv_spec s) {
    if (x == NULL) return NULL;
    int64_t groups = pass_one(s.groups);
    lode_shape shape = LODE_SHAPE4(s.out, x->value->shape.dim[1] / groups, s.kernel, s.kernel);
    lode_shape bias_shape = LODE_SHAPE1(s.out);
    pass_init init = pass_conv_init(p->net->space, &shape, groups);
    pass_init bias_init = {PASS_VALUE, 0};
    lode_var *b = NULL;
    lode_var *w = pass_parameter(p, name, "weight", LODE_PARAM_WEIGHT, &shape, init);
    w = pass_mask_weight(p, w, s.in_mask, s.tap_mask);
    if (w == NULL) return NULL;
    if (init.draw == PASS_UNIFORM) bias_init = init;
    if (s.bias) {
        b = pass_parameter(p, name, "bias", LODE_PARAM_BIAS, &bias_shape, bias_init);
        if (b == NULL) return NULL;
    }
    return lode_conv2d(p->tape, x, w, b,
                       lode_conv2d_same((int)s.kernel, (int)pass_one(s.stride),
                                        (int)pass_one(s.dilation), (int)groups));
}

lode_var *lode_pass_linear(lode_pass *p, const char *name, lode_var *x, int64_t outputs) {
    if (x == NULL) return NULL;
    int64_t inputs = x->value->shape.dim[x->value->shape.n_dims - 1];
    double std = p->net->space->linear_std;
    pass_init init = {PASS_NORMAL, std}, bias_init = {PASS_VALUE, 0};
    if (std == 0) init = bias_init = (pass_init){PASS_UNIFORM, 1 / sqrt((double)inputs)};
    lode_shape shape = LODE_SHAPE2(outputs, inputs), bias_shape = LODE_SHAPE1(outputs);
    lode_var *w = pass_parameter(p, name, "weight", LODE_PARAM_WEIGHT, &shape, init);
    lode_var *b = pass_parameter(p, name, "bias", LODE_PARAM_BIAS, &bias_shape, bias_init);
    return b != NULL ? lode_linear(p->tape, x, w, b) : NULL;
}

lode_var *lode_pass_act(lode_pass *p, lode_act act, lode_var *x) {
    switch (act) {
    case LODE_ACT_NONE:
        break;
    case LODE_ACT_RELU:
        return lode_relu(p->tape, x);
    case LODE_ACT_RELU6:
        return lode_relu6(p->tape, x);
    case LODE_ACT_HSWISH:
        return lode_hswish(p->tape, x);
    case LODE_ACT_SWISH:
        return lode_swish(p->tape, x);
    }
    return x;
}

lode_var *lode_pass_drop_path(lode_pass *p, lode_var *x) {
    return lode_pass_drops(p) ? lode_drop_path(p->tape, x, p->options.drop_path) : x;
}
bool lode_pass_drops(const lode_pass *p) { return p->options.drop_path > 0; }

/* ---- batch normalisation ---- */
void net_pool_destroy(net_pool *pool) {
    if (pool == NULL) return;
    lode_tensor_release(pool->batch_mean);
    lode_tensor_release(pool->batch_var);
    lode_free(pool->mean);
    lode_free(pool->m2);
    lode_free(pool);
}

static lode_status pass_pool_create(const lode_tensor *like, net_pool **out) {
    net_pool *pool = LODE_NEW(net_pool);
    if (pool == NULL) return LODE_ERR_NO_MEMORY;
    lode_status status = LODE_ERR_NO_MEMORY;
    pool->mean = LODE_NEW_ARRAY(double, lode_tensor_count(like));
    pool->m2 = LODE_NEW_ARRAY(double, lode_tensor_count(like));
    if (pool->mean != NULL && pool->m2 != NULL)
        status = lode_tensor_zeros(like->device, like->dtype, &like->shape, LODE_CONTIGUOUS,
                                   &pool->batch_mean);
    if (status == LODE_OK)
        status = lode_tensor_zeros(like->device, like->dtype, &like->shape, LODE_CONTIGUOUS,
                                   &pool->batch_var);
    if (status == LODE_OK)
        *out = pool;
    else
        net_pool_destroy(pool);
    return status;
}

/* Joins one batch of n values per channel, whose mean and unbiased variance the operator left, to
   what was pooled so far (Chan, Golub & LeVeque 1983: no cancellation, unlike E[x^2] - E[x]^2). */
static void pass_pool_add(net_pool *pool, double n) {
    double total = pool->n + n;
    for (int64_t c = 0; c < lode_tensor_count(pool->batch_mean); c++) {
        double delta = lode_at(pool->batch_mean, c) - pool->mean[c];
        double m2 = n > 1 ? lode_at(pool->batch_var, c) * (n - 1) : 0;
        pool->mean[c] += delta * n / total;
        pool->m2[c] += m2 + delta * delta * pool->n * n / total;
    }
    pool->n = total;
}

/* Batch statistics go to scratch running statistics (momentum 1), and from there to the pool. */
static lode_var *pass_calibrate(lode_pass *p, lode_var *x, const lode_mbconv_norm *norm,
                                int mean_index, lode_batch_norm_params params) {
    lode_supernet *net = p->net;
    lode_tape *t = p->tape;
    if (net->pool == NULL)
        return lode_tape_fail(t, LODE_FAIL(LODE_ERR_INVALID, "supernet: LODE_BN_CALIBRATE without "
                                                             "lode_supernet_calibrate_begin"));
    net_pool **pool = &net->pool[mean_index];
    if (*pool == NULL) {
        lode_status status = pass_pool_create(norm->mean_run->value, pool);
        if (status != LODE_OK) return lode_tape_fail(t, status);
    }
    if (!lode_shape_equal(&(*pool)->batch_mean->shape, &norm->mean_run->value->shape))
        return lode_tape_fail(t, LODE_FAIL(LODE_ERR_INVALID,
                                           "supernet: %s is calibrated at two widths; begin anew "
                                           "for each architecture",
                                           net->parameter[mean_index]->name));
    params.use_batch = params.update_running = 1;
    params.momentum = 1;
    const lode_shape *s = &x->value->shape;
    double n = (double)(lode_shape_count(s) / s->dim[1]);
    lode_var *y =
        lode_batch_norm(t, x, norm->gamma, norm->beta, lode_tape_constant(t, (*pool)->batch_mean),
                        lode_tape_constant(t, (*pool)->batch_var), params);
    if (y != NULL && lode_tape_get_mode(t) != LODE_TRACE) pass_pool_add(*pool, n);
    return y;
}

/* Parameters of one norm, all NULL after a failure. */
static lode_mbconv_norm pass_norm(lode_pass *p, const char *name, int64_t channels,
                                  int *mean_index) {
    const pass_init zero = {PASS_VALUE, 0}, one = {PASS_VALUE, 1};
    lode_shape shape = LODE_SHAPE1(channels);
    lode_mbconv_norm n = {NULL, NULL, NULL, NULL};
    if (p->net->space->bn_affine) {
        n.gamma = pass_parameter(p, name, "gamma", LODE_PARAM_NORM, &shape, one);
        n.beta = pass_parameter(p, name, "beta", LODE_PARAM_NORM, &shape, zero);
    }
    *mean_index = p->cursor;
    n.mean_run = pass_parameter(p, name, "mean", LODE_PARAM_RUNNING, &shape, zero);
    n.var_run = pass_parameter(p, name, "var", LODE_PARAM_RUNNING, &shape, one);
    return n;
}

/* gamma M and beta M: what follows the norm is M times what it was. */
static void pass_mask_norm(lode_pass *p, lode_mbconv_norm *n, lode_var *mask) {
    n->gamma = n->gamma != NULL ? lode_mul(p->tape, n->gamma, mask) : mask;
    if (n->beta != NULL) n->beta = lode_mul(p->tape, n->beta, mask);
}

/* `mask` [C] or NULL. act: within the operator, not behind it. */
static lode_var *pass_bn(lode_pass *p, const char *name, lode_var *x, lode_var *mask,
                         lode_act act) {
    if (x == NULL) return NULL;
    const lode_space *s = p->net->space;
    int mean_index;
    lode_mbconv_norm n = pass_norm(p, name, x->value->shape.dim[1], &mean_index);
    if (n.var_run == NULL) return NULL;
    if (mask != NULL) pass_mask_norm(p, &n, mask);
    lode_bn_mode mode = p->options.bn;
    lode_batch_norm_params params = {
        .eps = s->bn_eps, .momentum = s->bn_momentum, .act = (int32_t)act};
    if (mode == LODE_BN_CALIBRATE) return pass_calibrate(p, x, &n, mean_index, params);
    params.use_batch = mode != LODE_BN_RUNNING;
    params.update_running = mode == LODE_BN_TRAIN;
    return lode_batch_norm(p->tape, x, n.gamma, n.beta, n.mean_run, n.var_run, params);
}

lode_var *lode_pass_bn(lode_pass *p, const char *name, lode_var *x) {
    return pass_bn(p, name, x, NULL, LODE_ACT_NONE);
}

lode_var *lode_pass_bn_act(lode_pass *p, const char *name, lode_var *x, lode_act act) {
    if (lode_pass_fuses(p)) return pass_bn(p, name, x, NULL, act);
    return lode_pass_act(p, act, lode_pass_bn(p, name, x));
}

lode_var *lode_pass_bn_out(lode_pass *p, const char *name, lode_var *x) {
    if (lode_pass_masks_samples(p))
        return lode_pass_mask(p, pass_bn(p, name, x, NULL, LODE_ACT_NONE));
    lode_var *mask = lode_pass_out_mask(p);
    return lode_tape_status(p->tape) == LODE_OK ? pass_bn(p, name, x, mask, LODE_ACT_NONE) : NULL;
}

lode_var *lode_pass_conv_bn_act(lode_pass *p, const char *name, lode_var *x, lode_conv_spec s,
                                lode_act act) {
    char bn[80];
    snprintf(bn, sizeof bn, "%s.bn", name);
    lode_scope scope = lode_tape_enter(p->tape, name);
    lode_var *y = lode_pass_bn_act(p, bn, lode_pass_conv(p, name, x, s), act);
    return lode_tape_leave(p->tape, scope, y);
}

lode_var *lode_pass_excite(lode_pass *p, lode_var *x, int64_t reduced, lode_var *in_mask,
                           lode_var *reduced_mask) {
    lode_tape *t = p->tape;
    if (x == NULL) return NULL;
    lode_scope scope = lode_tape_enter(t, "se");
    lode_conv_spec down = {.out = reduced, .kernel = 1, .bias = true, .in_mask = in_mask};
    lode_conv_spec up = {.out = x->value->shape.dim[1], .kernel = 1, .bias = true};
    lode_var *gate = lode_pass_conv(p, "se_reduce", lode_global_avg_pool(t, x), down);
    gate = lode_relu(t, gate);
    if (reduced_mask != NULL && reduced_mask->value->shape.n_dims == 2)
        gate = lode_pass_multiply(p, gate, reduced_mask);
    else
        up.in_mask = reduced_mask;
    gate = lode_pass_conv(p, "se_expand", gate, up);
    return lode_tape_leave(t, scope, lode_mul(t, x, lode_hsigmoid(t, gate)));
}

/* ---- several of them as one operator ---- */
bool lode_pass_fuses(const lode_pass *p) {
    const lode_tape_mode mode = lode_tape_get_mode(p->tape);
    if (p->building || p->options.fuse == LODE_FUSE_NEVER) return false;
    if (p->options.bn != LODE_BN_TRAIN && p->options.bn != LODE_BN_BATCH) return false;
    return mode == LODE_TRAIN || (mode == LODE_TRACE && p->options.fuse == LODE_FUSE_TRACE);
}

/* The weights that lode_pass_excite made, in its order. */
static bool pass_mbconv_gates(lode_pass *p, lode_mbconv_spec s, lode_mbconv_inputs *in) {
    const pass_init made = {PASS_VALUE, 0};
    const lode_shape shape[] = {LODE_SHAPE4(s.reduced, s.hidden, 1, 1), LODE_SHAPE1(s.reduced),
                                LODE_SHAPE4(s.hidden, s.reduced, 1, 1), LODE_SHAPE1(s.hidden)};
    if (s.reduced == 0) return true;
    in->reduce = pass_parameter(p, "se_reduce", "weight", LODE_PARAM_WEIGHT, &shape[0], made);
    in->reduce_bias = pass_parameter(p, "se_reduce", "bias", LODE_PARAM_BIAS, &shape[1], made);
    in->widen = pass_parameter(p, "se_expand", "weight", LODE_PARAM_WEIGHT, &shape[2], made);
    in->widen_bias = pass_parameter(p, "se_expand", "bias", LODE_PARAM_BIAS, &shape[3], made);
    in->reduce = pass_mask_weight(p, in->reduce, s.hidden_mask, NULL);
    in->widen = pass_mask_weight(p, in->widen, s.reduced_mask, NULL);
    return in->widen_bias != NULL;
}

lode_var *lode_pass_mbconv(lode_pass *p, const char *const names[3], lode_var *x,
                           lode_mbconv_spec s) {
    const lode_space *space = p->net->space;
    if (x == NULL) return NULL;
    const int64_t in = x->value->shape.dim[1];
    const lode_shape w[3] = {LODE_SHAPE4(s.hidden, in / s.groups, 1, 1),
                             LODE_SHAPE4(s.hidden, 1, s.kernel, s.kernel),
                             LODE_SHAPE4(s.out, s.hidden / s.groups, 1, 1)};
    lode_mbconv_inputs inputs = {.x = x};
    lode_var **weight[3] = {&inputs.expand, &inputs.depthwise, &inputs.project};
    for (int i = s.expands ? 0 : 1; i < 3; i++) {
        char bn[80];
        int mean_index;
        snprintf(bn, sizeof bn, "%s.bn", names[i]);
        if (i == 2 && !pass_mbconv_gates(p, s, &inputs)) return NULL;
        *weight[i] = pass_parameter(p, names[i], "weight", LODE_PARAM_WEIGHT, &w[i],
                                    (pass_init){PASS_VALUE, 0}); /* made when the parts were */
        inputs.norm[i] = pass_norm(p, bn, w[i].dim[0], &mean_index);
        if (inputs.norm[i].var_run == NULL) return NULL;
    }
    if (s.out_mask != NULL) pass_mask_norm(p, &inputs.norm[2], s.out_mask);
    inputs.depthwise = pass_mask_weight(p, inputs.depthwise, NULL, s.tap_mask);
    inputs.project = pass_mask_weight(p, inputs.project, s.hidden_mask, NULL);
    return lode_mbconv(p->tape, &inputs,
                       (lode_mbconv_params){.eps = space->bn_eps,
                                            .momentum = space->bn_momentum,
                                            .stride = (int32_t)s.stride,
                                            .act = (int32_t)s.act,
                                            .residual = s.residual,
                                            .groups = (int32_t)s.groups,
                                            .update_running = p->options.bn == LODE_BN_TRAIN});
}
