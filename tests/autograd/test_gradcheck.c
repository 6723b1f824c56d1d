/* test_gradcheck.c: right gradients pass, wrong ones are found and named. */
#include "autograd/gradcheck.h"
#include "support/support.h"
#include "tests/autograd/tiny_ops.h"

static lode_tensor *values(lode_dtype dtype, int64_t n) {
    lode_tensor *t = NULL;
    lode_rng r = lode_rng_stream(2, LODE_RNG_TEST, (uint64_t)n);
    assert_ok(lode_tensor_create(NULL, dtype, &LODE_SHAPE1(n), LODE_CONTIGUOUS, &t));
    assert_ok(lode_tensor_fill_uniform(t, &r, -1, 1));
    return t;
}

/* tanh(x0 half(x1)) + drop(x0) */
static lode_var *right(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    (void)ctx;
    assert_int_equal(n_x, 2);
    lode_var *h = t_half(t, x[1], false);
    return t_add(t, t_tanh(t, t_mul(t, x[0], h)), t_drop(t, x[0], NULL, 0.5));
}

static void test_right(void **state) {
    (void)state;
    lode_tensor *x[] = {values(LODE_F64, 6), values(LODE_F64, 12)}, *old[2] = {NULL, NULL};
    const bool both[] = {true, true}, first[] = {true, false};
    for (int i = 0; i < 2; i++) assert_ok(lode_tensor_clone(x[i], &old[i]));
    assert_ok(lode_gradcheck(NULL, right, NULL, x, both, 2, NULL));
    assert_ok(lode_gradcheck(NULL, right, NULL, x, first, 2,
                             &(lode_gradcheck_options){.seed = 3, .n_elements = 100}));
    for (int i = 0; i < 2; i++) {
        assert_true(lode_tensor_equal_bits(x[i], old[i])); /* restored */
        lode_tensor_release(x[i]);
        lode_tensor_release(old[i]);
    }
}

static lode_status wrong_backward(const lode_op_call *c, const lode_tensor *dy,
                                  lode_tensor *const *dx) {
    LODE_TRY(tiny_mul_backward(c, dy, dx));
    int64_t k = lode_tensor_count(dy) - 1;
    if (dx[1] != NULL) lode_put(dx[1], k, lode_at(dx[1], k) * 1.01);
    return LODE_OK;
}
static lode_status nan_backward(const lode_op_call *c, const lode_tensor *dy,
                                lode_tensor *const *dx) {
    (void)c;
    (void)dy;
    return lode_tensor_fill(dx[0], NAN);
}

static void test_wrong(void **state) {
    (void)state;
    const lode_op wrong = {.name = "wrong",
                           .n_inputs = 2,
                           .n_required = 2,
                           .keeps = LODE_KEEP_ALL_X,
                           .infer = tiny_same,
                           .reference = {tiny_mul_forward, wrong_backward}};
    const lode_op nan = {.name = "nan",
                         .n_inputs = 1,
                         .n_required = 1,
                         .keeps = LODE_KEEP_ALL_X,
                         .infer = tiny_same,
                         .reference = {tiny_tanh_forward, nan_backward}};
    /* small: the element itself is found; large: only the direction sees it */
    for (int64_t n = 4; n <= 400; n += 396) {
        lode_op_example e = {.n_x = 2,
                             .x = {values(LODE_F64, n), values(LODE_F64, n)},
                             .differentiable = {true, true}};
        lode_put(e.x[0], n - 1, 0.9);
        assert_ok(lode_gradcheck_op(NULL, &tiny_mul, &e, NULL));
        assert_fails(lode_gradcheck_op(NULL, &wrong, &e, NULL), LODE_ERR_NUMERIC,
                     n == 4 ? "wrong: gradcheck: input 1 element 3: backward says"
                            : "wrong: gradcheck: along a random direction");
        e.differentiable[1] = false; /* nobody asks for the wrong one */
        assert_ok(lode_gradcheck_op(NULL, &wrong, &e, NULL));
        assert_ok(lode_gradcheck_op(NULL, &wrong, &e, &(lode_gradcheck_options){.tolerance = 0.1}));
        e.n_x = 1;
        assert_fails(lode_gradcheck_op(NULL, &nan, &e, NULL), LODE_ERR_NUMERIC, "nan");
        lode_tensor_release(e.x[0]);
        lode_tensor_release(e.x[1]);
    }
}

/* Nothing flows to x1: its gradient is absent, which is zero. */
static lode_var *detached(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    (void)n_x;
    return *(bool *)ctx ? t_mul(t, x[0], x[0]) : t_mul(t, x[0], lode_detach(t, x[1]));
}
static lode_var *nothing(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    (void)t;
    (void)ctx;
    (void)x;
    (void)n_x;
    return NULL;
}

static void test_absent_and_refused(void **state) {
    (void)state;
    lode_tensor *x[] = {values(LODE_F64, 5), values(LODE_F64, 5)}, *single = values(LODE_F32, 5);
    const bool both[] = {true, true};
    bool ignore = true, detach = false;
    assert_ok(lode_gradcheck(NULL, detached, &ignore, x, both, 2, NULL));
    assert_fails(lode_gradcheck(NULL, detached, &detach, x, both, 2, NULL), LODE_ERR_NUMERIC,
                 "input 1 element 0: backward says 0");
    assert_fails(lode_gradcheck(NULL, nothing, NULL, x, both, 2, NULL), LODE_ERR_INVALID,
                 "no result");
    assert_fails(
        lode_gradcheck(NULL, detached, &ignore, (lode_tensor *[]){single, x[1]}, both, 2, NULL),
        LODE_ERR_DTYPE, "input 0 is f32");
    lode_tensor_release(x[0]);
    lode_tensor_release(x[1]);
    lode_tensor_release(single);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_right), cmocka_unit_test(test_wrong),
                                       cmocka_unit_test(test_absent_and_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
