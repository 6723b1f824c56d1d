/* labels: unit, property
   References take every float type: in bf16 they give what f64 gives on the same values, rounded
   once, forward and backward, for every operator. */
#include "support/walk.h"

#include <math.h>

static void copy_inputs(walk_call *to, const walk_call *from) {
    for (int i = 0; i < from->e.n_x; i++)
        if (from->e.x[i] != NULL) assert_ok(lode_tensor_copy(to->e.x[i], from->e.x[i]));
}

/* Saved statistics are rounded too, so backward may be off by a few units in the last place. */
static void compare(const walk_call *w, const lode_tensor *want, const lode_tensor *got,
                    double size, double units, const char *what) {
    if (want == NULL) return;
    double limit = units * lode_dtype_epsilon(LODE_BF16) * fmax(size, walk_largest(want));
    double off = walk_distance(want, got);
    if (off > limit) fail_msg("%s: %s is off by %g, allowed is %g", w->name, what, off, limit);
}

static void check(walk_call *want, walk_call *got, int k) {
    const lode_runner *runner = lode_reference_runner();
    copy_inputs(want, got);
    walk_outputs(want, k);
    walk_outputs(got, k);
    assert_ok(lode_tensor_copy(want->dy, got->dy));
    walk_forward(want, runner);
    walk_forward(got, runner);
    compare(want, want->c.y, got->c.y, 0, 1, "y");
    if (want->c.op->not_differentiable) return;
    walk_backward(want, runner);
    walk_backward(got, runner);
    for (int i = 0; i < want->e.n_x; i++)
        compare(want, want->dx[i], got->dx[i], walk_largest(want->dy), 8, "dx");
}

static void test_bf16(void **state) {
    (void)state;
    walk_call want, got;
    for (int o = 0; o < lode_n_ops(); o++)
        for (int k = 0; k < 30 && walk_make(&want, lode_op_at(o), LODE_F64, k); k++) {
            assert_true(walk_make(&got, lode_op_at(o), LODE_BF16, k));
            assert_int_equal(got.in.dtype, LODE_BF16);
            check(&want, &got, k);
            walk_free(&want);
            walk_free(&got);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
