/* labels: unit, parity
   Cross entropy of the native provider against the reference, for every instruction set: tails of
   vectors, many classes, labels of both widths, targets, smoothing, ignored rows, logits that
   overflow when they are not shifted; threads do not show; a label that is no class is told. */
#include "core/parallel.h"
#include "ops/dispatch.h"
#include "ops/native/simd.h"
#include "ops/ops.h"
#include "support/support.h"

#include <math.h>

typedef struct loss_case {
    int64_t rows, classes;
    lode_dtype wanted; /* LODE_F32: targets */
    double smoothing, spread, shift;
} loss_case;

static const loss_case cases[] = {
    {1, 1, LODE_S32, 0, 1, 0},       {3, 7, LODE_S64, 0, 2, 0},
    {5, 8, LODE_S32, 0.1, 2, 0},     {4, 17, LODE_F32, 0, 2, 0},
    {4, 33, LODE_F32, 0.2, 2, 0},    {64, 10, LODE_S32, 0, 3, 0},
    {33, 1000, LODE_S64, 0.1, 4, 0}, {9, 1003, LODE_F32, 0.1, 4, 0},
    {6, 37, LODE_S32, 0, 300, 1000}, {6, 37, LODE_S32, 0, 3, -2e4},
};
enum { N_CASES = sizeof cases / sizeof *cases };

typedef struct loss_run {
    lode_tensor *loss, *dx;
} loss_run;

static lode_tensor *made(lode_dtype dtype, lode_shape s) {
    lode_tensor *t = NULL;
    assert_ok(lode_tensor_create(NULL, dtype, &s, LODE_CONTIGUOUS, &t));
    return t;
}

static lode_tensor *wanted_of(const loss_case *k, lode_rng *rng) {
    if (k->wanted == LODE_F32) {
        lode_tensor *t = made(LODE_F32, LODE_SHAPE2(k->rows, k->classes));
        for (int64_t i = 0; i < k->rows * k->classes; i++)
            lode_put(t, i, 2 * lode_rng_uniform(rng) / (double)k->classes);
        return t;
    }
    lode_tensor *t = made(k->wanted, LODE_SHAPE1(k->rows));
    for (int64_t i = 0; i < k->rows; i++)
        lode_put(t, i, i % 4 == 1 ? -1 : (double)lode_rng_below(rng, k->classes));
    return t;
}

static loss_run run_on(const lode_runner *runner, const loss_case *k) {
    loss_run r = {NULL, NULL};
    lode_tape *t = NULL;
    lode_rng rng = lode_rng_stream(3, LODE_RNG_TEST, (uint64_t)(k - cases));
    lode_tensor *x = made(LODE_F32, LODE_SHAPE2(k->rows, k->classes));
    assert_ok(lode_tensor_fill_normal(x, &rng, k->shift, k->spread));
    lode_tensor *wanted = wanted_of(k, &rng);
    assert_ok(lode_tape_create(LODE_TRAIN, runner, &t));
    lode_var *leaf = lode_tape_leaf(t, x, &r.dx);
    lode_var *loss = lode_cross_entropy(t, leaf, lode_tape_constant(t, wanted), k->smoothing);
    assert_ok(lode_tape_status(t));
    r.loss = lode_take_value(loss);
    assert_ok(lode_backward(t, loss, 2));
    lode_tape_destroy(t);
    lode_tensor_release(x);
    lode_tensor_release(wanted);
    return r;
}

static void run_free(loss_run *r) {
    lode_tensor_release(r->loss);
    lode_tensor_release(r->dx);
}

static void compare(int number, const char *isa, const loss_run *want, const loss_run *got) {
    double loss = lode_at(want->loss, 0), off = fabs(lode_at(got->loss, 0) - loss);
    if (!(off <= 1e-6 * fmax(1, fabs(loss))))
        fail_msg("case %d on %s: loss %g is off by %g", number, isa, loss, off);
    for (int64_t i = 0; i < lode_tensor_count(want->dx); i++) {
        off = fabs(lode_at(got->dx, i) - lode_at(want->dx, i));
        if (!(off <= 3e-7)) fail_msg("case %d on %s: dx %d is off by %g", number, isa, (int)i, off);
    }
}

static lode_dispatch *native(void) {
    lode_dispatch *d = NULL;
    const lode_dispatch_options o = {.providers = "native"};
    assert_ok(lode_dispatch_create(&o, &d));
    return d;
}

static void test_agrees_with_the_reference(void **state) {
    (void)state;
    lode_dispatch *d = native();
    for (int i = 0; i < N_CASES; i++) {
        loss_run want = run_on(lode_reference_runner(), &cases[i]);
        for (const char *const *isa = lode_simd_names(); *isa != NULL; isa++) {
            if (lode_simd_select(*isa) == LODE_ERR_UNSUPPORTED) {
                if (i == 0) print_message("SKIPPED: this processor lacks %s\n", *isa);
                continue;
            }
            loss_run got = run_on(lode_dispatch_runner(d), &cases[i]);
            compare(i, *isa, &want, &got);
            run_free(&got);
        }
        assert_ok(lode_simd_select(NULL));
        run_free(&want);
    }
    assert_int_equal(lode_dispatch_get_stats(d).n_reference, 0);
    lode_dispatch_destroy(d);
}

static void test_threads_do_not_show(void **state) {
    (void)state;
    lode_dispatch *d = native();
    for (int i = 0; i < N_CASES; i++) {
        lode_set_threads(1);
        loss_run one = run_on(lode_dispatch_runner(d), &cases[i]);
        lode_set_threads(3);
        loss_run three = run_on(lode_dispatch_runner(d), &cases[i]);
        assert_true(lode_tensor_equal_bits(one.loss, three.loss));
        assert_true(lode_tensor_equal_bits(one.dx, three.dx));
        run_free(&one);
        run_free(&three);
    }
    lode_set_threads(0);
    lode_dispatch_destroy(d);
}

static void test_wrong_label(void **state) {
    (void)state;
    lode_dispatch *d = native();
    lode_tape *t = NULL;
    lode_tensor *x = made(LODE_F32, LODE_SHAPE2(2, 5)), *l = made(LODE_S64, LODE_SHAPE1(2));
    assert_ok(lode_tensor_fill(x, 0));
    lode_put(l, 0, 4);
    lode_put(l, 1, 5);
    assert_ok(lode_tape_create(LODE_TRAIN, lode_dispatch_runner(d), &t));
    assert_null(lode_cross_entropy(t, lode_tape_constant(t, x), lode_tape_constant(t, l), 0));
    assert_fails(lode_tape_status(t), LODE_ERR_DATA, "label 5 in row 1, but there are 5 classes");
    lode_tape_destroy(t);
    lode_tensor_release(x);
    lode_tensor_release(l);
    lode_dispatch_destroy(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_the_reference),
        cmocka_unit_test(test_threads_do_not_show),
        cmocka_unit_test(test_wrong_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
