/* labels: unit, parity
   conv_act of the native provider against the reference, for every instruction set: 1x1, larger
   kernels, strides, dilation, groups, depthwise, tails of panels, every activation, with and
   without bias and r; and a call with prepared weights has the bits of one without. */
#include "core/memory.h"
#include "ops/dispatch.h"
#include "ops/native/simd.h"
#include "ops/ops.h"
#include "support/support.h"

#include <math.h>

typedef struct conv_case {
    int64_t N, C, H, W, O;
    int k, stride, dilation, groups, act;
    bool bias, r;
} conv_case;

static const conv_case cases[] = {
    {2, 5, 7, 6, 9, 1, 1, 1, 1, LODE_ACT_RELU, true, true},
    {1, 16, 32, 32, 96, 1, 1, 1, 1, LODE_ACT_RELU6, true, false},
    {1, 96, 16, 16, 24, 1, 1, 1, 1, LODE_ACT_NONE, true, true},
    {3, 33, 5, 5, 70, 1, 2, 1, 1, LODE_ACT_HSWISH, true, true},
    {1, 40, 7, 7, 320, 1, 1, 1, 1, LODE_ACT_SWISH, false, false},
    {2, 8, 1, 1, 17, 1, 1, 1, 1, LODE_ACT_SWISH, true, true},
    {2, 3, 33, 31, 16, 3, 2, 1, 1, LODE_ACT_RELU, true, false},
    {2, 16, 9, 8, 33, 3, 1, 1, 1, LODE_ACT_RELU6, true, true},
    {1, 6, 11, 12, 8, 5, 1, 2, 1, LODE_ACT_HSWISH, true, false},
    {2, 12, 8, 9, 20, 1, 1, 1, 4, LODE_ACT_NONE, true, true},
    {2, 12, 8, 9, 20, 3, 2, 1, 2, LODE_ACT_RELU, false, true},
    {1, 6, 13, 9, 12, 3, 1, 2, 3, LODE_ACT_SWISH, true, true},
    {2, 37, 9, 11, 37, 3, 1, 1, 37, LODE_ACT_RELU, true, false},
    {1, 32, 12, 12, 32, 5, 2, 1, 32, LODE_ACT_RELU6, true, true},
    {2, 19, 8, 8, 19, 7, 1, 1, 19, LODE_ACT_HSWISH, true, false},
    {1, 24, 9, 9, 24, 3, 1, 2, 24, LODE_ACT_SWISH, false, true},
};

enum { INPUTS = 4 };

static lode_tensor *drawn(lode_shape s, lode_layout layout, uint64_t stream, double std) {
    lode_tensor *t = NULL;
    lode_rng r = lode_rng_stream(13, LODE_RNG_TEST, stream);
    assert_ok(lode_tensor_create(NULL, LODE_F32, &s, layout, &t));
    assert_ok(lode_tensor_fill_normal(t, &r, 0, std));
    return t;
}

typedef struct conv_run {
    lode_tensor *x[INPUTS];
    lode_conv_act_params p;
    lode_op_call c;
} conv_run;

static void run_make(const conv_case *k, conv_run *r) {
    int64_t I = k->C / k->groups;
    lode_inferred in = {0};
    memset(r, 0, sizeof *r);
    r->p = (lode_conv_act_params){lode_conv2d_same(k->k, k->stride, k->dilation, k->groups), k->act,
                                  0};
    r->x[0] = drawn(LODE_SHAPE4(k->N, k->C, k->H, k->W), LODE_CHANNELS_LAST, 0, 1);
    r->x[1] = drawn(LODE_SHAPE4(k->O, I, k->k, k->k), LODE_CONTIGUOUS, 1,
                    2 / sqrt((double)(I * k->k * k->k)));
    if (k->bias) r->x[2] = drawn(LODE_SHAPE1(k->O), LODE_CONTIGUOUS, 2, 1);
    r->c = (lode_op_call){.op = &lode_op_conv_act, .params = &r->p, .n_x = INPUTS, .x = r->x};
    assert_ok(lode_op_conv_act.infer(&r->c, &in));
    if (k->r) r->x[3] = drawn(in.shape, LODE_CHANNELS_LAST, 3, 1);
    assert_ok(lode_tensor_create(NULL, LODE_F32, &in.shape, LODE_CHANNELS_LAST, &r->c.y));
    assert_ok(lode_tensor_fill(r->c.y, (double)NAN));
}

static void run_free(conv_run *r) {
    for (int i = 0; i < INPUTS; i++) lode_tensor_release(r->x[i]);
    lode_tensor_release(r->c.y);
}

static void check_case(int number, const char *isa, lode_dispatch *d) {
    conv_run want, got, again;
    const lode_kernel *kernel;
    const lode_runner *reference = lode_reference_runner(), *runner = lode_dispatch_runner(d);
    run_make(&cases[number], &want);
    run_make(&cases[number], &got);
    run_make(&cases[number], &again);
    assert_ok(reference->forward(reference->self, &want.c));
    assert_ok(runner->forward(runner->self, &got.c));
    assert_string_equal(got.c.provider->name, "native");
    for (int64_t i = 0; i < lode_tensor_count(want.c.y); i++) {
        double off = fabs(lode_at(want.c.y, i) - lode_at(got.c.y, i));
        if (!(off < 2e-5))
            fail_msg("%s: case %d: element %d is off by %g", isa, number, (int)i, off);
    }
    assert_ok(lode_dispatch_prepare(d, &again.c, 6, &kernel));
    assert_non_null(again.c.prepared);
    void *workspace = lode_alloc(again.c.workspace_bytes + 1, 1);
    for (int times = 0; times < 2; times++) {
        assert_ok(lode_tensor_fill(again.c.y, (double)NAN));
        assert_ok(lode_dispatch_run(d, &again.c, kernel, workspace));
        assert_true(lode_tensor_equal_bits(got.c.y, again.c.y));
    }
    lode_free(workspace);
    lode_dispatch_forget(&again.c, kernel);
    /* Weights that may change are not prepared. */
    assert_ok(lode_dispatch_prepare(d, &again.c, 0, &kernel));
    assert_null(again.c.prepared);
    run_free(&want);
    run_free(&got);
    run_free(&again);
}

static void test_every_instruction_set(void **state) {
    (void)state;
    for (const char *const *isa = lode_simd_names(); *isa != NULL; isa++) {
        lode_dispatch *d = NULL;
        if (lode_simd_select(*isa) == LODE_ERR_UNSUPPORTED) {
            print_message("SKIPPED: this processor lacks %s\n", *isa);
            continue;
        }
        assert_ok(lode_dispatch_create(NULL, &d));
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_case((int)i, *isa, d);
        lode_dispatch_destroy(d);
    }
    assert_ok(lode_simd_select(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_instruction_set)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
