/* test_backward.c: gradients on small numbers, and when what is freed. */
#include "support/support.h"
#include "tests/autograd/tiny_ops.h"

static lode_tensor *vector(int64_t n, double first) {
    lode_tensor *t = NULL;
    assert_ok(lode_tensor_create(NULL, LODE_F32, &LODE_SHAPE1(n), LODE_CONTIGUOUS, &t));
    for (int64_t i = 0; i < n; i++) lode_put(t, i, first + (double)i);
    return t;
}

static void test_simple(void **state) {
    (void)state;
    lode_tape *t = NULL;
    lode_tensor *a = vector(3, 1), *b = vector(3, 5), *da = NULL, *db = NULL;
    assert_ok(lode_tape_create(LODE_TRAIN, NULL, &t));
    lode_var *va = lode_tape_leaf(t, a, &da), *vb = lode_tape_leaf(t, b, &db);
    lode_var *loss = t_sum(t, t_mul(t, t_mul(t, va, vb), va)); /* sum a^2 b */
    assert_non_null(loss);
    assert_near(lode_at(loss->value, 0), 1 * 5 + 4 * 6 + 9 * 7, 1e-6);
    assert_ok(lode_backward(t, loss, 2));
    for (int i = 0; i < 3; i++) {
        double x = 1 + i, y = 5 + i;
        assert_near(lode_at(da, i), 2 * 2 * x * y, 1e-6);
        assert_near(lode_at(db, i), 2 * x * x, 1e-6);
    }
    assert_ptr_equal(va->grad, da);
    lode_tape_destroy(t);
    lode_tensor_release(a);
    lode_tensor_release(b);
    lode_tensor_release(da);
    lode_tensor_release(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_simple)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
