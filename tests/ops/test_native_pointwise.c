/* test_native_pointwise.c: native pointwise, moving, summing, pooling and normalizing kernels on
   tensors large enough to be cut into pieces, against the references; gradients dense and with
   gaps; every instruction set built; the same bits with one and three threads.   labels: parity */
#include "core/parallel.h"
#include "ops/dispatch.h"
#include "ops/native/simd.h"
#include "ops/ops.h"
#include "support/support.h"

#include <math.h>

enum { MAX_X = 6 };

typedef union params {
    lode_leaky_relu_params leaky;
    lode_scale_params scale;
    lode_reduce_params reduce;
    lode_concat_params concat;
    lode_slice_params slice;
    lode_pad_params pad;
    lode_transpose_params transpose;
    lode_reshape_params reshape;
    lode_channel_shuffle_params shuffle;
    lode_dropout_params dropout;
    lode_weighted_sum_params mixture;
    lode_pool_params pool;
    lode_batch_norm_params norm;
    lode_layer_norm_params rows;
} params;

typedef struct large_case {
    const lode_op *op;
    int n_x;
    lode_shape x[MAX_X];
    bool plain; /* 4-dim inputs in row-major order instead of channels-last */
    params p;
} large_case;

/* Images of some 54,000 floats, 4 pieces of the usual 16,384; odd sides, so that there are tails.
 */
#define IMAGE                                                                                      \
    {                                                                                              \
        4, { 5, 21, 27, 19 }                                                                       \
    }
#define GATE                                                                                       \
    {                                                                                              \
        4, { 5, 21, 1, 1 }                                                                         \
    }

/* Both pools: kernel, stride and padding of both sides (padding only where the kernel is square).
 */
#define POOL(kh, kw, stride, pad, count, ceil)                                                     \
    {&lode_op_max_pool,                                                                            \
     1,                                                                                            \
     {IMAGE},                                                                                      \
     false,                                                                                        \
     {.pool = {{kh, kw}, {stride, stride}, {pad, pad}, count, ceil}}},                             \
    {                                                                                              \
        &lode_op_avg_pool, 1, {IMAGE}, false, {                                                    \
            .pool = { {kh, kw}, {stride, stride}, {pad, pad}, ceil, count }                        \
        }                                                                                          \
    }
#define NORM(act)                                                                                  \
    {                                                                                              \
        &lode_op_batch_norm, 3, {IMAGE, {1, {21}}, {1, {21}}}, false, {                            \
            .norm = { 1e-5, 0.1, 1, 0, act, 0 }                                                    \
        }                                                                                          \
    }

static const large_case cases[] = {
    {&lode_op_relu, 1, {IMAGE}, false, {{0}}},
    {&lode_op_relu6, 1, {IMAGE}, true, {{0}}},
    {&lode_op_leaky_relu, 1, {IMAGE}, false, {.leaky = {0.1}}},
    {&lode_op_hsigmoid, 1, {IMAGE}, false, {{0}}},
    {&lode_op_hswish, 1, {IMAGE}, false, {{0}}},
    {&lode_op_sigmoid, 1, {IMAGE}, false, {{0}}},
    {&lode_op_swish, 1, {IMAGE}, false, {{0}}},
    {&lode_op_tanh, 1, {{1, {50021}}}, false, {{0}}},
    {&lode_op_gelu, 1, {{2, {33, 1031}}}, false, {{0}}},
    {&lode_op_scale, 1, {IMAGE}, false, {.scale = {-2, 0.5}}},
    {&lode_op_add, 2, {IMAGE, IMAGE}, false, {{0}}},
    {&lode_op_add, 2, {IMAGE, {4, {1, 21, 1, 1}}}, false, {{0}}},
    {&lode_op_add, 2, {{2, {601, 83}}, {1, {83}}}, false, {{0}}},
    {&lode_op_sub, 2, {{0, {0}}, IMAGE}, false, {{0}}},
    {&lode_op_sub, 2, {IMAGE, GATE}, true, {{0}}},
    {&lode_op_mul, 2, {IMAGE, GATE}, false, {{0}}},
    {&lode_op_mul, 2, {{2, {5, 16421}}, {2, {5, 1}}}, false, {{0}}},
    {&lode_op_mul, 2, {{4, {5, 700, 3, 5}}, {4, {1, 700, 1, 1}}}, false, {{0}}},
    {&lode_op_div, 2, {IMAGE, IMAGE}, false, {{0}}},
    {&lode_op_scale_rows, 2, {IMAGE, {1, {5}}}, false, {{0}}},
    {&lode_op_reduce_sum, 1, {IMAGE}, false, {.reduce = {0, 0}}},
    {&lode_op_reduce_sum, 1, {IMAGE}, false, {.reduce = {0xd, 0}}},
    {&lode_op_reduce_mean, 1, {IMAGE}, false, {.reduce = {0xc, 1}}},
    {&lode_op_reduce_mean, 1, {{2, {3, 40009}}}, false, {.reduce = {2, 0}}},
    {&lode_op_reduce_sum, 1, {{2, {20011, 3}}}, false, {.reduce = {2, 1}}},
    {&lode_op_global_avg_pool, 1, {IMAGE}, false, {{0}}},
    {&lode_op_concat, 3, {IMAGE, {4, {5, 3, 27, 19}}, IMAGE}, false, {.concat = {1, 0}}},
    {&lode_op_concat, 2, {IMAGE, IMAGE}, false, {.concat = {2, 0}}},
    {&lode_op_pad, 1, {IMAGE}, false, {.pad = {{0, 1, 2, -1}, {0, 0, 1, -3}, 0.5}}},
    {&lode_op_slice, 1, {IMAGE}, false, {.slice = {2, 20, 3, 1, 0}}},
    {&lode_op_slice, 1, {IMAGE}, false, {.slice = {1, 27, 2, 2, 0}}},
    {&lode_op_transpose, 1, {IMAGE}, false, {.transpose = {{0, 2, 3, 1}}}},
    {&lode_op_reshape, 1, {IMAGE}, false, {.reshape = {{5, -1}, 2, 0}}},
    {&lode_op_channel_shuffle, 1, {IMAGE}, false, {.shuffle = {3, 0}}},
    {&lode_op_channel_shuffle, 1, {{4, {2, 64, 16, 17}}}, false, {.shuffle = {2, 0}}},
    {&lode_op_dropout, 1, {IMAGE}, false, {.dropout = {7, 1, 3, 0.3, LODE_RNG_DROPOUT, 0}}},
    {&lode_op_dropout, 1, {{2, {33, 1280}}}, false, {.dropout = {7, 1, 2, 0.3, 1, 0}}},
    {&lode_op_dropout, 1, {IMAGE}, false, {.dropout = {7, 1, 1, 0.5, LODE_RNG_DROPOUT, 1}}},
    {&lode_op_weighted_sum,
     5,
     {{1, {4}}, IMAGE, IMAGE, IMAGE, IMAGE},
     false,
     {.mixture = {15, 4, 0}}},
    {&lode_op_weighted_sum, 4, {{2, {5, 5}}, IMAGE, IMAGE, IMAGE}, false, {.mixture = {21, 5, 0}}},
    POOL(3, 3, 1, 1, 0, 0),
    POOL(3, 3, 2, 1, 0, 1),
    POOL(3, 3, 2, 1, 1, 0),
    POOL(2, 2, 2, 0, 0, 0),
    POOL(2, 2, 2, 0, 1, 0),
    POOL(5, 5, 1, 2, 0, 1),
    POOL(7, 7, 1, 3, 0, 0),
    POOL(1, 4, 3, 0, 0, 0),
    POOL(8, 1, 1, 0, 0, 1),
    {&lode_op_layer_norm, 3, {{3, {5, 201, 64}}, {1, {64}}, {1, {64}}}, false, {.rows = {1e-5}}},
    {&lode_op_layer_norm, 1, {{2, {37, 1031}}}, false, {.rows = {1e-3}}},
    {&lode_op_lstm_gates, 3, {{2, {301, 148}}, {2, {301, 148}}, {2, {301, 37}}}, false, {{0}}},
    {&lode_op_gru_gates, 3, {{2, {301, 111}}, {2, {301, 111}}, {2, {301, 37}}}, false, {{0}}},
    NORM(LODE_ACT_NONE),
    NORM(LODE_ACT_RELU),
    NORM(LODE_ACT_RELU6),
    NORM(LODE_ACT_HSWISH),
    NORM(LODE_ACT_SWISH),
};

static lode_tensor *random_tensor(const lode_shape *s, lode_layout layout, uint64_t stream) {
    lode_tensor *t = NULL;
    lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, stream);
    assert_ok(lode_tensor_create(NULL, LODE_F32, s, layout, &t));
    assert_ok(lode_tensor_fill_normal(t, &rng, 0, 2));
    return t;
}

/* A gradient of y: dense like it, or every second element of something twice as wide. */
static lode_tensor *gradient_of(const lode_tensor *y, bool gaps) {
    lode_tensor *dy = NULL, *wide = NULL;
    lode_rng rng = lode_rng_stream(2, LODE_RNG_TEST, 0);
    lode_shape s = y->shape;
    const int last = s.n_dims - 1;
    if (!gaps || last < 0) {
        assert_ok(lode_tensor_like(y, &dy));
    } else {
        s.dim[last] *= 2;
        assert_ok(lode_tensor_create(NULL, LODE_F32, &s, LODE_CONTIGUOUS, &wide));
        assert_ok(lode_tensor_slice(wide, last, 1, s.dim[last], 2, &dy));
        lode_tensor_release(wide);
    }
    assert_ok(lode_tensor_fill_normal(dy, &rng, 0, 1));
    return dy;
}

static void check_near(const lode_tensor *a, const lode_tensor *b, const char *op,
                       const char *what) {
    /* An affine norm's gradients are sums of thousands of values. */
    const double limit = strstr(op, "_norm") != NULL ? 5e-5 : 2e-6;
    for (int64_t i = 0; i < lode_tensor_count(a); i++) {
        const double v = lode_at(a, i), w = lode_at(b, i);
        if (!(fabs(v - w) <= limit * fmax(1, fmax(fabs(v), fabs(w)))))
            fail_msg("%s: %s[%lld] is %.9g, the reference has %.9g (%s)", op, what, (long long)i, v,
                     w, lode_simd_get()->name);
    }
}

typedef struct results {
    lode_tensor *y, *dx[2][MAX_X];
} results;

static void results_release(results *r) {
    lode_tensor_release(r->y);
    for (int g = 0; g < 2; g++)
        for (int i = 0; i < MAX_X; i++) lode_tensor_release(r->dx[g][i]);
}

static results run_case(const lode_runner *runner, const large_case *k, lode_tensor **x) {
    results r = {0};
    lode_inferred in = {0};
    lode_op_call c = {.op = k->op, .n_x = k->n_x, .x = x, .train = true};
    if (k->op->params_size > 0) c.params = &k->p;
    assert_ok(k->op->infer(&c, &in));
    assert_ok(lode_tensor_create(NULL, LODE_F32, &in.shape, in.layout, &r.y));
    c.y = r.y;
    for (int i = 0; i < in.n_aux; i++)
        assert_ok(lode_tensor_create(NULL, in.aux[i].dtype, &in.aux[i].shape, in.aux[i].layout,
                                     &c.aux[i]));
    assert_ok(runner->forward(runner->self, &c));
    for (int gaps = 0; gaps < 2; gaps++) {
        lode_tensor *dy = gradient_of(r.y, gaps);
        for (int i = 0; i < k->n_x; i++) {
            assert_ok(lode_tensor_like(x[i], &r.dx[gaps][i]));
            assert_ok(lode_tensor_fill(r.dx[gaps][i], 1e30));
        }
        assert_ok(runner->backward(runner->self, &c, dy, r.dx[gaps]));
        lode_tensor_release(dy);
    }
    for (int i = 0; i < in.n_aux; i++) lode_tensor_release(c.aux[i]);
    return r;
}

static void compare(const results *a, const results *b, const large_case *k, bool bits) {
    char what[32];
    for (int gaps = 0; gaps < 2; gaps++)
        for (int i = 0; i < k->n_x; i++) {
            snprintf(what, sizeof what, "dx%d of %s dy", i, gaps ? "strided" : "dense");
            if (bits)
                assert_true(lode_tensor_equal_bits(a->dx[gaps][i], b->dx[gaps][i]));
            else
                check_near(a->dx[gaps][i], b->dx[gaps][i], k->op->name, what);
        }
    if (bits)
        assert_true(lode_tensor_equal_bits(a->y, b->y));
    else
        check_near(a->y, b->y, k->op->name, "y");
}

static void check_case(lode_dispatch *native, const large_case *k) {
    lode_tensor *x[MAX_X] = {NULL};
    for (int i = 0; i < k->n_x; i++) {
        const bool image = k->x[i].n_dims == 4 && !k->plain;
        x[i] = random_tensor(&k->x[i], image ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS, (uint64_t)i);
        for (int64_t j = 0; k->op == &lode_op_div && i == 1 && j < lode_tensor_count(x[1]); j++)
            lode_put(x[1], j, 1 + fabs(lode_at(x[1], j)));
    }
    results reference = run_case(lode_reference_runner(), k, x);
    for (const char *const *isa = lode_simd_names(); *isa != NULL; isa++) {
        if (lode_simd_select(*isa) != LODE_OK) continue; /* not on this processor */
        lode_set_threads(1);
        results one = run_case(lode_dispatch_runner(native), k, x);
        compare(&one, &reference, k, false);
        lode_set_threads(3);
        results three = run_case(lode_dispatch_runner(native), k, x);
        compare(&three, &one, k, true);
        results_release(&three);
        results_release(&one);
    }
    assert_ok(lode_simd_select(NULL));
    lode_set_threads(0);
    results_release(&reference);
    for (int i = 0; i < k->n_x; i++) lode_tensor_release(x[i]);
}

static void test_large_tensors(void **state) {
    (void)state;
    lode_dispatch *native = NULL;
    const lode_dispatch_options only = {.providers = "native"};
    assert_ok(lode_dispatch_create(&only, &native));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check_case(native, &cases[i]);
    assert_int_equal(lode_dispatch_get_stats(native).n_reference, 0); /* all of them ran natively */
    lode_dispatch_destroy(native);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_large_tensors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
