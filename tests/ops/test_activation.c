/* test_activation.c: values and slopes known in closed form. */
#include "support/hand.h"

#include <math.h>

typedef lode_var *(*activation)(lode_tape *t, lode_var *x);

static lode_var *leaky(lode_tape *t, lode_var *x) { return lode_leaky_relu(t, x, 0.1); }

/* phi(1) and Phi(1) of the standard normal, sigmoid(1), tanh(1). */
#define DENSITY 0.24197072451914337
#define BELOW   0.84134474606854293
#define SIGMOID 0.73105857863000487
#define TANH    0.76159415595576485

static void test_values_and_slopes(void **state) {
    (void)state;
    static const struct {
        activation f;
        double x, y, slope;
    } known[] = {
        {lode_relu, -1, 0, 0},
        {lode_relu, 0, 0, 0}, /* the kink counts to the flat side */
        {lode_relu, 2.5, 2.5, 1},
        {lode_relu6, -1, 0, 0},
        {lode_relu6, 5, 5, 1},
        {lode_relu6, 6, 6, 0},
        {lode_relu6, 7, 6, 0},
        {leaky, -2, -0.2, 0.1},
        {leaky, 3, 3, 1},
        {lode_hsigmoid, -4, 0, 0},
        {lode_hsigmoid, 1, 4.0 / 6, 1.0 / 6},
        {lode_hsigmoid, 4, 1, 0},
        {lode_hswish, -4, 0, 0},
        {lode_hswish, -1, -1.0 / 3, 1.0 / 6},
        {lode_hswish, 1, 2.0 / 3, 5.0 / 6},
        {lode_hswish, 4, 4, 1},
        {lode_sigmoid, 0, 0.5, 0.25},
        {lode_sigmoid, 1, SIGMOID, SIGMOID * (1 - SIGMOID)},
        {lode_sigmoid, -800, 0, 0},
        {lode_sigmoid, 800, 1, 0},
        {lode_swish, 0, 0, 0.5},
        {lode_swish, 1, SIGMOID, SIGMOID * (2 - SIGMOID)},
        {lode_swish, -800, 0, 0},
        {lode_swish, 800, 800, 1},
        {lode_tanh, 1, TANH, 1 - TANH * TANH},
        {lode_tanh, -50, -1, 0},
        {lode_gelu, 0, 0, 0.5},
        {lode_gelu, 1, BELOW, BELOW + DENSITY},
        {lode_gelu, -1, BELOW - 1, 1 - BELOW - DENSITY},
        {lode_gelu, -60, 0, 0},
    };
    lode_tape *t = hand_tape(LODE_TRAIN);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        lode_var *x = hand_leaf(t, LODE_SHAPE1(1), &known[i].x);
        lode_var *y = known[i].f(t, x);
        assert_non_null(y);
        hand_check(y->value, LODE_SHAPE1(1), known[i].y);
        hand_backward(t, y, (double[]){3});
        hand_check(x->grad, LODE_SHAPE1(1), 3 * known[i].slope);
        lode_tape_reset(t);
    }
    lode_tape_destroy(t);
}

/* The result stands in memory as the input does. */
static void test_layout_follows_input(void **state) {
    (void)state;
    const double v[24] = {1, -2, 3};
    const lode_shape shape = LODE_SHAPE4(2, 3, 2, 2);
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_tensor *plain = hand_tensor(LODE_F64, LODE_CONTIGUOUS, shape, v);
    assert_true(lode_tensor_is_channels_last(lode_relu(t, hand_leaf(t, shape, v))->value));
    assert_true(lode_tensor_is_contiguous(lode_relu(t, lode_tape_constant(t, plain))->value));
    lode_tensor_release(plain);
    lode_tape_destroy(t);
}

static void test_refuses(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_tensor *index = hand_tensor(LODE_S32, LODE_CONTIGUOUS, LODE_SHAPE1(2), (double[]){1, 2});
    lode_var *y = lode_swish(t, lode_tape_constant(t, index));
    hand_fails(t, y, LODE_ERR_DTYPE, "swish: x is s32");
    lode_tensor_release(index);
    y = lode_leaky_relu(t, hand_leaf(t, LODE_SHAPE1(1), (double[]){1}), -0.5);
    hand_fails(t, y, LODE_ERR_INVALID, "slope -0.5");
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_and_slopes),
        cmocka_unit_test(test_layout_follows_input),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
