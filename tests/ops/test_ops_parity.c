/* labels: unit, parity
   Every provider against the reference, forward and backward, for every operator and example, in
   f32 and in whatever else it says it supports. A result that sums L products may be off by epsilon
   * sqrt(L) of its size, give or take a small factor; L is the call's operations per element of the
   result. Running statistics, which forward updates in place, are compared too. */
#include "support/walk.h"

#include <math.h>

static double sum_length(const walk_call *w, const lode_tensor *result) {
    lode_op_count count = {0};
    w->c.op->count(&w->c, &count);
    return fmax(1, count.flops / fmax(1, (double)lode_tensor_count(result)));
}

static void compare(const walk_call *want, const lode_tensor *a, const lode_tensor *b, double size,
                    const char *who, const char *what, int i) {
    if (a == NULL || b == NULL || lode_dtype_epsilon(a->dtype) <= 0) return;
    size = fmax(fmax(size, walk_largest(a)), 1e-3);
    double limit = 8 * lode_dtype_epsilon(a->dtype) * sqrt(sum_length(want, a)) * size;
    double seen = walk_distance(a, b);
    if (seen > limit)
        fail_msg("%s: %s differs from the reference in %s %d by %g, allowed is %g", want->name, who,
                 what, i, seen, limit);
}

static void check_call(const lode_op *op, lode_dtype dtype, int k, const lode_runner *runner,
                       const lode_provider *p) {
    walk_call want, got;
    walk_make(&want, op, dtype, k);
    walk_make(&got, op, dtype, k);
    walk_outputs(&want, k);
    walk_outputs(&got, k);
    walk_forward(&want, lode_reference_runner());
    walk_forward(&got, runner);
    assert_ptr_equal(got.c.provider, p);
    compare(&want, want.c.y, got.c.y, 0, p->name, "y", 0);
    for (int i = 0; i < want.e.n_x; i++)
        compare(&want, want.e.x[i], got.e.x[i], 0, p->name, "x (after forward)", i);
    if (!op->not_differentiable) {
        walk_backward(&want, lode_reference_runner());
        walk_backward(&got, runner);
        for (int i = 0; i < want.e.n_x; i++)
            compare(&want, want.dx[i], got.dx[i], walk_largest(want.dy), p->name, "dx", i);
    }
    walk_free(&want);
    walk_free(&got);
}

/* How many calls of this dtype the provider takes; those it takes it must get right. */
static int check_provider(const lode_provider *p, lode_dtype dtype) {
    lode_dispatch *d = NULL;
    lode_dispatch_options options = {.providers = p->name};
    walk_call w;
    int n = 0;
    assert_ok(lode_dispatch_create(&options, &d));
    for (int o = 0; o < lode_n_ops(); o++)
        for (int k = 0; k < WALK_EXAMPLES && walk_make(&w, lode_op_at(o), dtype, k); k++) {
            walk_outputs(&w, k);
            bool takes = lode_dispatch_choose(d, &w.c) == p;
            walk_free(&w);
            if (takes) check_call(lode_op_at(o), dtype, k, lode_dispatch_runner(d), p);
            n += takes;
        }
    lode_dispatch_destroy(d);
    return n;
}

static void test_providers_agree_with_the_reference(void **state) {
    (void)state;
    for (int i = 0; i < lode_n_providers(); i++) {
        const lode_provider *p = lode_provider_at(i);
        if (p->available != NULL && !p->available()) {
            print_message("SKIPPED: provider %s does not run on this machine\n", p->name);
            continue;
        }
        int n = check_provider(p, LODE_F32);
        print_message("%s: %d calls in f32\n", p->name, n);
        if (i < lode_n_providers() - 1) /* the reference itself takes every dtype */
            print_message("%s: %d calls in f64, %d in bf16\n", p->name, check_provider(p, LODE_F64),
                          check_provider(p, LODE_BF16));
        assert_true(n > 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_providers_agree_with_the_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
