/* labels: unit, property
   When the n-th allocation of a call fails, n = 0, 1, 2, ..., the call says so and nothing leaks
   (the asan preset looks): reference and fastest kernels, forward and backward, every operator. */
#include "support/walk.h"

enum { MOST_ALLOCATIONS = 400 };

typedef lode_status (*walk_pass)(const walk_call *w, const lode_runner *runner);

static lode_status pass_forward(const walk_call *w, const lode_runner *runner) {
    lode_op_call c = w->c;
    return runner->forward(runner->self, &c);
}

static lode_status pass_backward(const walk_call *w, const lode_runner *runner) {
    lode_op_call c = w->c;
    return runner->backward(runner->self, &c, w->dy, w->dx);
}

/* Returns how many allocations were failed. */
static int check_pass(const walk_call *w, const lode_runner *runner, walk_pass pass) {
    for (int n = 0; n < MOST_ALLOCATIONS; n++) {
        test_fail_allocation(n);
        lode_status status = pass(w, runner);
        test_fail_allocation(-1);
        if (status == LODE_OK) return n;
        if (status != LODE_ERR_NO_MEMORY)
            fail_msg("%s: without memory: %s: %s", w->name, lode_status_name(status),
                     lode_last_error());
    }
    fail_msg("%s: more than %d allocations", w->name, MOST_ALLOCATIONS);
    return 0;
}

static void check_all(const lode_runner *runner) {
    walk_call w;
    int n_failed = 0;
    for (int o = 0; o < lode_n_ops(); o++)
        for (int k = 0; k < 4 && walk_make(&w, lode_op_at(o), LODE_F32, k); k++) {
            walk_outputs(&w, k);
            n_failed += check_pass(&w, runner, pass_forward);
            walk_forward(&w, runner);
            if (!w.c.op->not_differentiable) n_failed += check_pass(&w, runner, pass_backward);
            walk_free(&w);
        }
    assert_true(n_failed > lode_n_ops());
}

static void test_reference(void **state) {
    (void)state;
    check_all(lode_reference_runner());
}

static void test_fastest(void **state) {
    (void)state;
    lode_dispatch *d = NULL;
    assert_ok(lode_dispatch_create(NULL, &d));
    check_all(lode_dispatch_runner(d));
    lode_dispatch_destroy(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_fastest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
