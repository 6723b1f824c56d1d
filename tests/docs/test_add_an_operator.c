/* The operator of docs/add-an-operator.md, as the page shows it. */
#include "autograd/gradcheck.h"
#include "ops/op_util.h"
#include "support/hand.h"

/* The prototype stands in a header, so it comes first. */
/* clang-format off */
#include "add-an-operator/ops/ops.h"
#include "add-an-operator/ops/elu.c"
/* clang-format on */

static void test_on_paper(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE1(3), (double[]){2, 0, -log(2)});
    lode_var *y = lode_elu(t, x, 4);
    hand_check(y->value, LODE_SHAPE1(3), 2, 0, -2);
    hand_backward(t, y, (double[]){1, 1, 1});
    hand_check(x->grad, LODE_SHAPE1(3), 1, 4, 2);
    hand_fails(t, lode_elu(t, hand_leaf(t, LODE_SHAPE1(1), (double[]){0}), -1), LODE_ERR_INVALID,
               "elu: alpha -1 must be positive");
    lode_tape_destroy(t);
}

static void test_examples(void **state) {
    (void)state;
    for (int k = 0; k < 20; k++) {
        lode_op_example e = {.dtype = LODE_F64};
        lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, (uint64_t)k);
        assert_ok(lode_op_elu.example(&e, &rng, k));
        assert_ok(lode_gradcheck_op(lode_reference_runner(), &lode_op_elu, &e, NULL));
        for (int i = 0; i < e.n_x; i++) lode_tensor_release(e.x[i]);
    }
}

static void test_trace_prices_it(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_TRACE);
    lode_elu(t, hand_leaf(t, LODE_SHAPE1(5), (double[]){1, 2, 3, 4, 5}), 0.5);
    const lode_trace_call *c = lode_trace_get(t, 0);
    char text[96];
    assert_near(c->count.flops, 15, 0);
    assert_near(c->count.bytes_read + c->count.bytes_written, 80, 0);
    c->call.op->print_params(c->call.params, text);
    assert_string_equal(text, "alpha 0.5");
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_paper),
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_trace_prices_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
