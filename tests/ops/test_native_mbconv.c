/* labels: unit, parity
   The fused MBConv of the native provider against the reference, for every instruction set: kernels
   1 to 9, strides, odd sizes and channels, tails of vectors, every activation, with and without
   expansion, residual, affine norms and squeeze-and-excite. Smooth activations must agree to
   rounding; where a slope jumps, a value on the other side of the jump may differ, so those are
   compared by their norms. */
#include "core/parallel.h"
#include "ops/dispatch.h"
#include "ops/native/simd.h"
#include "ops/ops.h"
#include "support/support.h"

#include <math.h>

typedef struct block_case {
    int64_t N, C, H, W, M, O, K;
    int stride, act;
    bool expands, affine, residual;
    int groups, R;
} block_case;

static const block_case cases[] = {
    /* kernels, at stride 1 and 2 */
    {3, 5, 9, 7, 21, 6, 1, 1, LODE_ACT_SWISH, true, true, false, 0, 0},
    {3, 5, 9, 7, 21, 6, 3, 1, LODE_ACT_SWISH, true, true, false, 0, 0},
    {3, 5, 9, 7, 21, 6, 5, 1, LODE_ACT_NONE, true, true, false, 0, 0},
    {3, 5, 9, 7, 21, 6, 7, 1, LODE_ACT_SWISH, true, true, false, 0, 0},
    {3, 5, 9, 7, 21, 6, 9, 1, LODE_ACT_NONE, true, true, false, 0, 0},
    {2, 6, 8, 11, 40, 9, 1, 2, LODE_ACT_SWISH, true, true, false, 0, 0},
    {2, 6, 8, 11, 40, 9, 3, 2, LODE_ACT_NONE, true, true, false, 0, 0},
    {2, 6, 8, 11, 40, 9, 5, 2, LODE_ACT_SWISH, true, true, false, 0, 0},
    {2, 6, 8, 11, 40, 9, 7, 2, LODE_ACT_NONE, true, true, false, 0, 0},
    {2, 6, 8, 11, 40, 9, 9, 3, LODE_ACT_SWISH, true, true, false, 0, 0},
    /* activations and the rest */
    {4, 8, 12, 12, 48, 8, 3, 1, LODE_ACT_RELU, true, true, true, 0, 0},
    {4, 8, 12, 12, 48, 8, 5, 1, LODE_ACT_RELU6, true, true, true, 0, 0},
    {4, 8, 12, 12, 48, 8, 3, 1, LODE_ACT_HSWISH, true, false, true, 0, 0},
    {4, 8, 12, 12, 48, 8, 3, 2, LODE_ACT_HSWISH, true, true, false, 0, 0},
    {5, 19, 6, 6, 19, 19, 3, 1, LODE_ACT_SWISH, false, true, true, 0, 0},
    {5, 37, 6, 5, 37, 3, 5, 2, LODE_ACT_RELU6, false, true, false, 0, 0},
    {3, 16, 7, 7, 16, 40, 3, 1, LODE_ACT_NONE, false, false, false, 0, 0},
    /* wide y (g2 is kept), many bands, one pixel, more images than pieces */
    {2, 33, 5, 5, 70, 35, 3, 1, LODE_ACT_RELU, true, true, false, 0, 0},
    {1, 3, 70, 66, 18, 4, 7, 1, LODE_ACT_SWISH, true, true, false, 0, 0},
    {1, 3, 90, 130, 17, 2, 5, 2, LODE_ACT_SWISH, true, true, false, 0, 0},
    {40, 4, 1, 1, 12, 4, 3, 1, LODE_ACT_SWISH, true, true, true, 0, 0},
    {37, 4, 6, 6, 24, 4, 3, 1, LODE_ACT_SWISH, true, true, true, 0, 0},
    /* groups */
    {3, 6, 6, 7, 36, 6, 3, 1, LODE_ACT_SWISH, true, true, true, 2, 0},
    {3, 6, 6, 7, 36, 9, 5, 2, LODE_ACT_RELU6, true, true, false, 3, 0},
    {3, 36, 6, 7, 36, 4, 3, 1, LODE_ACT_SWISH, false, true, false, 4, 0},
    /* squeeze-and-excite: kernels, strides, tails, activations, wide y, no expansion, groups */
    {3, 5, 9, 7, 21, 6, 3, 1, LODE_ACT_SWISH, true, true, false, 0, 7},
    {3, 5, 9, 7, 21, 6, 5, 2, LODE_ACT_NONE, true, true, false, 0, 8},
    {2, 6, 8, 11, 40, 9, 7, 1, LODE_ACT_RELU6, true, true, false, 0, 10},
    {2, 6, 8, 11, 40, 9, 9, 2, LODE_ACT_RELU, true, false, false, 0, 24},
    {9, 8, 12, 12, 48, 8, 5, 1, LODE_ACT_HSWISH, true, true, true, 0, 12},
    {5, 33, 11, 9, 70, 35, 3, 1, LODE_ACT_RELU, true, true, false, 0, 18},
    {5, 37, 6, 5, 37, 40, 5, 2, LODE_ACT_SWISH, false, true, false, 0, 1},
    {5, 19, 1, 1, 19, 19, 3, 1, LODE_ACT_NONE, false, true, true, 0, 33},
    {37, 6, 6, 7, 36, 6, 3, 1, LODE_ACT_SWISH, true, true, true, 3, 9},
};

enum { INPUTS = 20, OUTPUTS = 1 + INPUTS + 6 /* y, gradients, running statistics */ };

typedef struct block_run {
    lode_tensor *x[INPUTS], *grad[INPUTS], *out[OUTPUTS];
} block_run;

static lode_tensor *drawn(lode_shape s, uint64_t stream, double mean, double std) {
    lode_tensor *t = NULL;
    lode_rng r = lode_rng_stream(13, LODE_RNG_TEST, stream);
    assert_ok(lode_tensor_create(NULL, LODE_F32, &s,
                                 s.n_dims == 4 ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS, &t));
    assert_ok(lode_tensor_fill_normal(t, &r, mean, std));
    return t;
}

/* Inputs in the operator's order: x, depthwise, project, expand, three norms. */
static void block_inputs(const block_case *b, lode_tensor **x) {
    const int64_t G = b->groups > 0 ? b->groups : 1;
    x[0] = drawn(LODE_SHAPE4(b->N, b->C, b->H, b->W), 0, 0.3, 1);
    x[1] = drawn(LODE_SHAPE4(b->M, 1, b->K, b->K), 1, 0, 1 / (double)b->K);
    x[2] = drawn(LODE_SHAPE4(b->O, b->M / G, 1, 1), 2, 0, 1 / sqrt((double)b->M));
    if (b->expands) x[3] = drawn(LODE_SHAPE4(b->M, b->C / G, 1, 1), 3, 0, 1 / sqrt((double)b->C));
    for (int i = b->expands ? 0 : 1; i < 3; i++)
        for (int k = b->affine ? 0 : 2; k < 4; k++)
            x[4 + 4 * i + k] = drawn(LODE_SHAPE1(i < 2 ? b->M : b->O), 4, k % 3 == 0 ? 1 : 0, 0.2);
    if (b->R == 0) return;
    x[16] = drawn(LODE_SHAPE4(b->R, b->M, 1, 1), 5, 0, 1 / sqrt((double)b->M));
    if (b->affine) x[17] = drawn(LODE_SHAPE1(b->R), 6, 0.3, 0.5);
    x[18] = drawn(LODE_SHAPE4(b->M, b->R, 1, 1), 7, 0, 1 / sqrt((double)b->R));
    if (b->affine) x[19] = drawn(LODE_SHAPE1(b->M), 8, 0, 0.5);
}

/* `frozen`: of all inputs only x wants a gradient. */
static void block_run_on(const lode_runner *runner, const block_case *b, bool frozen,
                         block_run *r) {
    lode_tape *t = NULL;
    lode_var *v[INPUTS] = {NULL};
    memset(r, 0, sizeof *r);
    block_inputs(b, r->x);
    assert_ok(lode_tape_create(LODE_TRAIN, runner, &t));
    for (int i = 0; i < INPUTS; i++) {
        bool running = i >= 4 && i < 16 && i % 4 >= 2;
        if (r->x[i] == NULL) continue;
        v[i] = running || (frozen && i > 0) ? lode_tape_constant(t, r->x[i])
                                            : lode_tape_leaf(t, r->x[i], &r->grad[i]);
    }
    lode_mbconv_params p = {1e-3, 0.1, b->stride, b->act, b->residual, 1, b->groups, 0};
    lode_var *y = lode_apply(t, &lode_op_mbconv, v, INPUTS, &p);
    assert_ok(lode_tape_status(t));
    r->out[0] = lode_take_value(y);
    lode_tensor *dy = drawn(y->value->shape, 9, 0, 1);
    assert_ok(lode_backward_from(t, y, dy));
    lode_tensor_release(dy);
    lode_tape_destroy(t);
    for (int i = 0; i < INPUTS; i++) r->out[1 + i] = r->grad[i];
    for (int i = 0; i < 6; i++) r->out[1 + INPUTS + i] = r->x[4 + i / 2 * 4 + 2 + i % 2];
}

static void block_free(block_run *r) {
    lode_tensor_release(r->out[0]);
    for (int i = 0; i < INPUTS; i++) {
        lode_tensor_release(r->x[i]);
        lode_tensor_release(r->grad[i]);
    }
}

static void block_compare(const block_case *b, int number, const char *isa, const block_run *want,
                          const block_run *got) {
    bool smooth = b->act == LODE_ACT_NONE || b->act == LODE_ACT_SWISH;
    for (int i = 0; i < OUTPUTS; i++) {
        double off = 0, largest = 0, squares = 0, off_squares = 0;
        assert_int_equal(want->out[i] == NULL, got->out[i] == NULL);
        if (want->out[i] == NULL) continue;
        for (int64_t k = 0; k < lode_tensor_count(want->out[i]); k++) {
            double w = lode_at(want->out[i], k), d = fabs(lode_at(got->out[i], k) - w);
            if (!isfinite(d)) fail_msg("case %d on %s: output %d is not finite", number, isa, i);
            off = fmax(off, d);
            largest = fmax(largest, fabs(w));
            squares += w * w;
            off_squares += d * d;
        }
        /* A gradient that a norm takes away is a difference of sums: dy has size 1. */
        double limit = 2e-5 * fmax(largest, 1);
        if (smooth && off > limit)
            fail_msg("case %d on %s: output %d is off by %g, allowed is %g", number, isa, i, off,
                     limit);
        if (!smooth && sqrt(off_squares) > 3e-3 * sqrt(squares) + 1e-4)
            fail_msg("case %d on %s: output %d differs by %g of %g", number, isa, i,
                     sqrt(off_squares), sqrt(squares));
    }
}

static void test_agrees_with_the_reference(void **state) {
    (void)state;
    lode_dispatch *d = NULL;
    const lode_dispatch_options options = {.providers = "native"};
    assert_ok(lode_dispatch_create(&options, &d));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        block_run want, got;
        block_run_on(lode_reference_runner(), &cases[i], false, &want);
        for (const char *const *isa = lode_simd_names(); *isa != NULL; isa++) {
            if (lode_simd_select(*isa) == LODE_ERR_UNSUPPORTED) {
                print_message("SKIPPED: this processor does not run %s\n", *isa);
                continue;
            }
            block_run_on(lode_dispatch_runner(d), &cases[i], false, &got);
            block_compare(&cases[i], (int)i, *isa, &want, &got);
            block_free(&got);
        }
        assert_ok(lode_simd_select(NULL));
        block_free(&want);
    }
    assert_int_equal(lode_dispatch_get_stats(d).n_reference, 0);
    lode_dispatch_destroy(d);
}

static void test_same_bits_on_any_number_of_threads(void **state) {
    (void)state;
    lode_dispatch *d = NULL;
    assert_ok(lode_dispatch_create(NULL, &d));
    for (size_t i = 10; i < sizeof cases / sizeof *cases; i++) {
        block_run one, many;
        lode_set_threads(1);
        block_run_on(lode_dispatch_runner(d), &cases[i], false, &one);
        for (int threads = 2; threads <= 3; threads++) {
            lode_set_threads(threads);
            block_run_on(lode_dispatch_runner(d), &cases[i], false, &many);
            for (int k = 0; k < OUTPUTS; k++)
                if (one.out[k] != NULL)
                    assert_true(lode_tensor_equal_bits(one.out[k], many.out[k]));
            block_free(&many);
        }
        block_free(&one);
    }
    lode_set_threads(0);
    lode_dispatch_destroy(d);
}

/* What nobody wants is not computed, and the rest stays the same. */
static void test_frozen_weights(void **state) {
    (void)state;
    lode_dispatch *d = NULL;
    assert_ok(lode_dispatch_create(NULL, &d));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        block_run all, frozen;
        block_run_on(lode_dispatch_runner(d), &cases[i], false, &all);
        block_run_on(lode_dispatch_runner(d), &cases[i], true, &frozen);
        assert_true(lode_tensor_equal_bits(all.out[0], frozen.out[0]));
        assert_true(lode_tensor_equal_bits(all.grad[0], frozen.grad[0]));
        assert_null(frozen.grad[1]);
        block_free(&all);
        block_free(&frozen);
    }
    lode_dispatch_destroy(d);
}

typedef struct twin_watch {
    lode_runner inner;
    int calls, twins;
} twin_watch;

static lode_status twin_forward(void *self, lode_op_call *c) {
    twin_watch *w = self;
    w->calls++;
    w->twins += c->twin != NULL;
    return w->inner.forward(w->inner.self, c);
}

/* Candidates on one x share its moments, and nothing shows: each y has the bits it has alone. */
static void test_twins_share_moments(void **state) {
    (void)state;
    enum { CANDIDATES = 3 };
    lode_dispatch *d = NULL;
    lode_tape *t = NULL;
    block_case b = cases[10], bare = b; /* without an expansion there is nothing to share */
    block_run alone, inputs = {0}, other = {0};
    bare.expands = false;
    bare.M = bare.C;
    assert_ok(lode_dispatch_create(NULL, &d));
    block_run_on(lode_dispatch_runner(d), &b, false, &alone);
    twin_watch watch = {.inner = *lode_dispatch_runner(d)};
    const lode_runner runner = {&watch, twin_forward, NULL, NULL, NULL};
    assert_ok(lode_tape_create(LODE_TRAIN, &runner, &t));
    block_inputs(&b, inputs.x);
    block_inputs(&bare, other.x);
    lode_var *x = lode_tape_leaf(t, inputs.x[0], &inputs.grad[0]);
    for (int k = 0; k < CANDIDATES; k++) {
        const block_case *is = k == 1 ? &bare : &b;
        lode_tensor **from = k == 1 ? other.x : inputs.x;
        lode_mbconv_params p = {1e-3, 0.1, is->stride, is->act, is->residual, 1, is->groups, 0};
        lode_var *v[INPUTS] = {x};
        for (int i = 1; i < INPUTS; i++)
            if (from[i] != NULL) v[i] = lode_tape_constant(t, from[i]);
        lode_var *y = lode_apply(t, &lode_op_mbconv, v, INPUTS, &p);
        assert_ok(lode_tape_status(t));
        if (k != 1) assert_true(lode_tensor_equal_bits(y->value, alone.out[0]));
        assert_int_equal(watch.twins, k);
    }
    lode_var *v[INPUTS] = {lode_tape_leaf(t, other.x[0], &other.grad[0])};
    for (int i = 1; i < INPUTS; i++)
        if (inputs.x[i] != NULL) v[i] = lode_tape_constant(t, inputs.x[i]);
    lode_mbconv_params p = {1e-3, 0.1, b.stride, b.act, b.residual, 1, b.groups, 0};
    assert_non_null(lode_apply(t, &lode_op_mbconv, v, INPUTS, &p));
    assert_int_equal(watch.calls, CANDIDATES + 1);
    assert_int_equal(watch.twins, 2); /* another x has no twin */
    lode_tape_destroy(t);
    block_free(&alone);
    block_free(&inputs);
    block_free(&other);
    lode_dispatch_destroy(d);
}

/* Statistics come out of the moments of x: a large mean must not drown a small spread, nor may
   channels that nearly cancel. */
static void test_statistics_far_from_zero(void **state) {
    (void)state;
    const block_case b = {4, 6, 8, 8, 24, 6, 3, 1, LODE_ACT_NONE, true, true, false, 0, 0};
    lode_dispatch *d = NULL;
    assert_ok(lode_dispatch_create(NULL, &d));
    block_run want, got;
    const lode_runner *runner[2] = {lode_reference_runner(), lode_dispatch_runner(d)};
    block_run *run[2] = {&want, &got};
    for (int k = 0; k < 2; k++) {
        lode_tape *t = NULL;
        lode_var *v[INPUTS];
        memset(run[k], 0, sizeof *run[k]);
        block_inputs(&b, run[k]->x);
        for (int64_t i = 0; i < lode_tensor_count(run[k]->x[0]); i++)
            lode_put(run[k]->x[0], i, 64 + lode_at(run[k]->x[0], i) / 8);
        assert_ok(lode_tape_create(LODE_EVAL, runner[k], &t));
        for (int i = 0; i < INPUTS; i++)
            v[i] = run[k]->x[i] != NULL ? lode_tape_constant(t, run[k]->x[i]) : NULL;
        lode_mbconv_params p = {1e-5, 1, 1, LODE_ACT_NONE, 0, 1, 1, 0};
        run[k]->out[0] = lode_take_value(lode_apply(t, &lode_op_mbconv, v, INPUTS, &p));
        assert_ok(lode_tape_status(t));
        lode_tape_destroy(t);
    }
    for (int64_t i = 0; i < b.M; i++) {
        double mean = lode_at(want.x[6], i), var = lode_at(want.x[7], i);
        assert_near(lode_at(got.x[6], i), mean, 1e-5 * (1 + fabs(mean)));
        assert_near(lode_at(got.x[7], i), var, 1e-5 * var);
    }
    block_free(&want);
    block_free(&got);
    lode_dispatch_destroy(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_the_reference),
        cmocka_unit_test(test_same_bits_on_any_number_of_threads),
        cmocka_unit_test(test_frozen_weights),
        cmocka_unit_test(test_twins_share_moments),
        cmocka_unit_test(test_statistics_far_from_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
