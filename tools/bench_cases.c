/* bench_cases.c: every operator at sizes of real networks, written as forward code over a TRACE
   tape: the trace then holds the calls. Images are of the maps where mobile networks spend their
   time (32x32 with 96 channels, 16x16 with 144 to 192, 8x8 with 384, batch 64; 14x14 and 112x112 of
   ImageNet at batch 16). */
#include "core/memory.h"
#include "ops/ops.h"
#include "ops/relaxed.h"
#include "tools/bench_ops.h"

#include <string.h>

static lode_var *cases_tensor(lode_tape *t, lode_dtype dtype, lode_shape s, lode_layout layout) {
    lode_tensor *x = NULL;
    lode_status status = lode_tensor_shapeless_storage(dtype, &s, layout, &x);
    if (status != LODE_OK) return lode_tape_fail(t, status);
    lode_var *v = lode_tape_constant(t, x);
    lode_tensor_release(x);
    return v;
}

static lode_var *cases_image(lode_tape *t, int64_t n, int64_t c, int64_t side) {
    return cases_tensor(t, LODE_F32, LODE_SHAPE4(n, c, side, side), LODE_CHANNELS_LAST);
}
static lode_var *cases_weight(lode_tape *t, int64_t o, int64_t i, int64_t k) {
    return cases_tensor(t, LODE_F32, LODE_SHAPE4(o, i, k, k), LODE_CONTIGUOUS);
}
static lode_var *cases_vector(lode_tape *t, int64_t n) {
    return cases_tensor(t, LODE_F32, LODE_SHAPE1(n), LODE_CONTIGUOUS);
}
static lode_var *cases_matrix(lode_tape *t, int64_t m, int64_t n) {
    return cases_tensor(t, LODE_F32, LODE_SHAPE2(m, n), LODE_CONTIGUOUS);
}
static lode_var *cases_labels(lode_tape *t, int64_t n) {
    return cases_tensor(t, LODE_S32, LODE_SHAPE1(n), LODE_CONTIGUOUS);
}

/* ---- convolutions ---- */

static const struct cases_conv {
    int n, c, side, o, k, stride, groups; /* groups 0: depthwise */
} cases_convs[] = {
    {64, 16, 32, 96, 1, 1, 1},   {64, 96, 32, 16, 1, 1, 1},   {64, 32, 16, 192, 1, 1, 1},
    {64, 192, 16, 32, 1, 1, 1},  {64, 64, 8, 384, 1, 1, 1},   {64, 384, 8, 64, 1, 1, 1},
    {64, 16, 32, 96, 1, 1, 2},   {64, 64, 8, 384, 1, 1, 2},   {64, 96, 32, 96, 3, 1, 0},
    {64, 96, 32, 96, 5, 1, 0},   {64, 96, 32, 96, 7, 1, 0},   {64, 144, 16, 144, 3, 1, 0},
    {64, 144, 16, 144, 5, 1, 0}, {64, 144, 16, 144, 7, 1, 0}, {64, 96, 32, 96, 3, 2, 0},
    {64, 96, 32, 96, 5, 2, 0},   {64, 384, 8, 384, 3, 1, 0},  {64, 384, 8, 384, 7, 1, 0},
    {16, 384, 14, 384, 7, 1, 0}, {16, 96, 112, 96, 3, 2, 0},  {16, 32, 112, 32, 3, 1, 0},
    {64, 3, 32, 16, 3, 1, 1},    {16, 3, 224, 32, 3, 2, 1},   {64, 16, 32, 16, 3, 1, 1},
    {64, 32, 16, 32, 3, 1, 1},   {64, 64, 8, 64, 3, 1, 1},    {1, 96, 28, 96, 3, 1, 0},
    {1, 96, 28, 96, 5, 1, 0},    {1, 16, 28, 96, 1, 1, 1},
};

static void cases_record_convs(lode_tape *t) {
    for (size_t i = 0; i < sizeof cases_convs / sizeof *cases_convs; i++) {
        const struct cases_conv *r = &cases_convs[i];
        int groups = r->groups ? r->groups : r->c;
        lode_conv2d(t, cases_image(t, r->n, r->c, r->side),
                    cases_weight(t, r->o, r->c / groups, r->k), NULL,
                    lode_conv2d_same(r->k, r->stride, 1, groups));
    }
}

/* The three of an inverted residual in inference. */
static void cases_record_conv_acts(lode_tape *t) {
    lode_conv_act_params p = {.act = LODE_ACT_RELU6};
    p.conv = lode_conv2d_same(1, 1, 1, 1);
    lode_conv_act(t, cases_image(t, 1, 16, 32), cases_weight(t, 96, 16, 1), cases_vector(t, 96),
                  NULL, p);
    p.conv = lode_conv2d_same(3, 1, 1, 96);
    lode_conv_act(t, cases_image(t, 1, 96, 32), cases_weight(t, 96, 1, 3), cases_vector(t, 96),
                  NULL, p);
    p.act = LODE_ACT_NONE;
    p.conv = lode_conv2d_same(1, 1, 1, 1);
    lode_conv_act(t, cases_image(t, 1, 96, 32), cases_weight(t, 16, 96, 1), cases_vector(t, 16),
                  cases_image(t, 1, 16, 32), p);
}

/* A whole inverted residual, as one operator. */
static void cases_record_mbconv(lode_tape *t, int64_t c, int64_t side, int64_t k, int32_t stride) {
    int64_t hidden = 6 * c, channels[3] = {hidden, hidden, c};
    lode_mbconv_inputs in = {.x = cases_image(t, 64, c, side),
                             .depthwise = cases_weight(t, hidden, 1, k),
                             .project = cases_weight(t, c, hidden, 1),
                             .expand = cases_weight(t, hidden, c, 1)};
    for (int i = 0; i < 3; i++)
        in.norm[i] = (lode_mbconv_norm){cases_vector(t, channels[i]), cases_vector(t, channels[i]),
                                        cases_vector(t, channels[i]), cases_vector(t, channels[i])};
    lode_mbconv(t, &in,
                (lode_mbconv_params){.eps = 1e-5,
                                     .momentum = 0.1,
                                     .stride = stride,
                                     .act = LODE_ACT_RELU6,
                                     .residual = stride == 1,
                                     .update_running = 1});
}

static void cases_record_mbconvs(lode_tape *t) {
    for (int64_t k = 3; k <= 7; k += 2) {
        cases_record_mbconv(t, 16, 32, k, 1);
        cases_record_mbconv(t, 32, 16, k, 1);
        cases_record_mbconv(t, 64, 8, k, 1);
    }
    cases_record_mbconv(t, 16, 32, 3, 2);
}

/* ---- what moves data ---- */

static void cases_record_norms(lode_tape *t) {
    static const struct {
        int64_t n, c, side;
    } rows[] = {{64, 16, 32}, {64, 96, 32}, {64, 192, 16}, {64, 384, 8}, {16, 96, 112}};
    lode_batch_norm_params p = {1e-5, 0.1, 1, 1, 0, 0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        lode_batch_norm(t, cases_image(t, rows[i].n, rows[i].c, rows[i].side),
                        cases_vector(t, rows[i].c), cases_vector(t, rows[i].c),
                        cases_vector(t, rows[i].c), cases_vector(t, rows[i].c), p);
    p.use_batch = 0;
    lode_batch_norm(t, cases_image(t, 64, 96, 32), cases_vector(t, 96), cases_vector(t, 96),
                    cases_vector(t, 96), cases_vector(t, 96), p);
    lode_layer_norm(t, cases_matrix(t, 64 * 196, 192), cases_vector(t, 192), cases_vector(t, 192),
                    1e-5);
}

static void cases_record_gates(lode_tape *t) {
    lode_lstm_gates(t, cases_matrix(t, 256, 4 * 256), cases_matrix(t, 256, 4 * 256),
                    cases_matrix(t, 256, 256));
    lode_gru_gates(t, cases_matrix(t, 256, 3 * 256), cases_matrix(t, 256, 3 * 256),
                   cases_matrix(t, 256, 256));
}

static void cases_record_activations(lode_tape *t) {
    lode_var *(*const act[])(lode_tape *, lode_var *) = {
        lode_relu,    lode_relu6, lode_hsigmoid, lode_hswish,   lode_swish,
        lode_sigmoid, lode_tanh,  lode_gelu,     lode_identity,
    };
    for (size_t i = 0; i < sizeof act / sizeof *act; i++) act[i](t, cases_image(t, 64, 96, 32));
    lode_leaky_relu(t, cases_image(t, 64, 96, 32), 0.1);
}

static void cases_record_arithmetic(lode_tape *t) {
    lode_var *(*const both[])(lode_tape *, lode_var *, lode_var *) = {lode_add, lode_sub, lode_mul,
                                                                      lode_div};
    lode_var *option[9];
    for (int i = 0; i < 4; i++) both[i](t, cases_image(t, 64, 96, 32), cases_image(t, 64, 96, 32));
    lode_add(t, cases_image(t, 64, 16, 32), cases_image(t, 64, 16, 32));
    lode_mul(t, cases_image(t, 64, 96, 32), cases_image(t, 64, 96, 1)); /* squeeze and excite */
    lode_scale(t, cases_image(t, 64, 96, 32), 0.5, 1);
    lode_scale_rows(t, cases_image(t, 64, 96, 32), cases_vector(t, 64));
    lode_zero(t, cases_image(t, 64, 96, 32), (lode_zero_params){2, 0});
    for (int i = 0; i < 9; i++) option[i] = cases_image(t, 64, 16, 32);
    lode_weighted_sum(t, option, 9, cases_vector(t, 9));
    lode_weighted_sum(t, option, 9, cases_matrix(t, 64, 9));
}

static void cases_record_windows(lode_tape *t) {
    lode_max_pool(t, cases_image(t, 64, 16, 32), lode_pool_square(3, 1, 1));
    lode_avg_pool(t, cases_image(t, 64, 16, 32), lode_pool_square(3, 1, 1));
    lode_avg_pool(t, cases_image(t, 64, 16, 32), lode_pool_square(2, 2, 0));
    lode_global_avg_pool(t, cases_image(t, 64, 512, 8));
    lode_bilinear_upsample(t, cases_image(t, 16, 64, 28), (lode_upsample_params){56, 56, 0, 0});
    lode_grid_subsample(t, cases_image(t, 64, 96, 32), 24, 24);
    lode_grid_scatter(t, cases_image(t, 64, 96, 24), 32, 32);
}

static void cases_record_shapes(lode_tape *t) {
    lode_var *part[4];
    lode_pad_params pad;
    int perm[4] = {0, 2, 3, 1};
    memset(&pad, 0, sizeof pad);
    pad.before[2] = pad.before[3] = pad.after[2] = pad.after[3] = 1;
    for (int i = 0; i < 4; i++) part[i] = cases_image(t, 64, 36, 8);
    lode_concat(t, part, 4, 1);
    lode_channel_shuffle(t, cases_image(t, 64, 96, 32), 2);
    lode_pad(t, cases_image(t, 64, 96, 32), &pad);
    lode_slice(t, cases_image(t, 64, 96, 32), 1, 0, 48, 1);
    lode_reshape(t, cases_image(t, 64, 512, 1), &LODE_SHAPE2(64, 512));
    lode_transpose(t, cases_image(t, 64, 96, 32), perm);
    lode_reduce_sum(t, cases_image(t, 64, 96, 32), (lode_reduce_params){0, 0});
    lode_reduce_mean(t, cases_image(t, 64, 96, 32), (lode_reduce_params){12, 0});
    lode_reduce_max(t, cases_image(t, 64, 96, 32), (lode_reduce_params){12, 0});
}

/* ---- matrices, losses, chance ---- */

static void cases_record_matrices(lode_tape *t) {
    lode_linear(t, cases_matrix(t, 64, 512), cases_matrix(t, 10, 512), cases_vector(t, 10));
    lode_linear(t, cases_matrix(t, 16, 1280), cases_matrix(t, 1000, 1280), cases_vector(t, 1000));
    lode_matmul(t, cases_matrix(t, 512, 512), cases_matrix(t, 512, 512),
                (lode_matmul_params){0, 0});
    lode_batch_matmul(t, cases_tensor(t, LODE_F32, LODE_SHAPE3(64, 196, 64), LODE_CONTIGUOUS),
                      cases_tensor(t, LODE_F32, LODE_SHAPE3(64, 64, 196), LODE_CONTIGUOUS),
                      (lode_matmul_params){0, 0});
    lode_embedding(t, cases_matrix(t, 10000, 256), cases_labels(t, 4096));
}

static void cases_record_losses(lode_tape *t) {
    lode_softmax(t, cases_matrix(t, 64 * 196, 196));
    lode_log_softmax(t, cases_matrix(t, 128, 1000));
    lode_cross_entropy(t, cases_matrix(t, 64, 10), cases_labels(t, 64), 0);
    lode_cross_entropy(t, cases_matrix(t, 128, 1000), cases_labels(t, 128), 0.1);
    lode_kl_div(t, cases_matrix(t, 128, 1000), cases_matrix(t, 128, 1000), 4);
    lode_mse(t, cases_matrix(t, 128, 1000), cases_matrix(t, 128, 1000));
    lode_argmax_onehot(t, cases_matrix(t, 64, 9));
    lode_prefix_mask(t, cases_vector(t, 3), (int64_t[]){16, 24, 32}, 3, 32);
    lode_step_at_zero(t, cases_vector(t, 9));
    lode_l2_norm(t, cases_matrix(t, 576, 25)); /* a superkernel of 5x5 */
}

static void cases_record_chance(lode_tape *t) {
    lode_dropout_params drop = {.seed = 1, .p = 0.2, .purpose = LODE_RNG_DROPOUT};
    lode_var *x = cases_matrix(t, 128, 1280);
    if (x) lode_apply(t, &lode_op_dropout, &x, 1, &drop);
    lode_gumbel_noise(t, cases_vector(t, 9), &LODE_SHAPE2(64, 9),
                      lode_rng_stream(1, LODE_RNG_GUMBEL, 0));
}

lode_status bench_record_operators(lode_tape *t) {
    cases_record_convs(t);
    cases_record_conv_acts(t);
    cases_record_mbconvs(t);
    cases_record_norms(t);
    cases_record_gates(t);
    cases_record_activations(t);
    cases_record_arithmetic(t);
    cases_record_windows(t);
    cases_record_shapes(t);
    cases_record_matrices(t);
    cases_record_losses(t);
    cases_record_chance(t);
    return lode_tape_status(t);
}
