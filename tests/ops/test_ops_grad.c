/* labels: unit, grad
   Every operator's gradient against differences in f64 to 1e-6, for every example, layouts with
   gaps and permutations included. */
#include "autograd/gradcheck.h"
#include "support/walk.h"

static void test_gradients(void **state) {
    (void)state;
    walk_call w;
    for (int o = 0; o < lode_n_ops(); o++) {
        const lode_op *op = lode_op_at(o);
        for (int k = 0; k < WALK_EXAMPLES && walk_make(&w, op, LODE_F64, k); k++) {
            bool any = false;
            for (int i = 0; i < w.e.n_x; i++) any |= w.e.differentiable[i];
            if (any && !op->not_differentiable) {
                lode_gradcheck_options options = {.tolerance = 1e-6, .seed = (uint64_t)k};
                if (lode_gradcheck_op(lode_reference_runner(), op, &w.e, &options) != LODE_OK)
                    fail_msg("%s: %s", w.name, lode_last_error());
            }
            walk_free(&w);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
