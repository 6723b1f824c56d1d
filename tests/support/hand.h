/* hand.h: operators on numbers small enough to check on paper. f64, reference kernels. */
#ifndef LODE_TESTS_HAND_H
#define LODE_TESTS_HAND_H
#include "ops/ops.h"
#include "support/support.h"

/* A tape that runs the references; lode_tape_destroy. */
static inline lode_tape *hand_tape(lode_tape_mode mode) {
    lode_tape *t = NULL;
    assert_ok(lode_tape_create(mode, lode_reference_runner(), &t));
    lode_tape_set_step(t, 1, 0);
    return t;
}

static inline lode_tensor *hand_tensor(lode_dtype dtype, lode_layout layout, lode_shape shape,
                                       const double *v) {
    lode_tensor *x = NULL;
    assert_ok(lode_tensor_create(NULL, dtype, &shape, layout, &x));
    for (int64_t i = 0; i < lode_tensor_count(x); i++) lode_put(x, i, v[i]);
    return x;
}

/* A leaf with these values in row-major order; 4 dims are channels-last. */
static inline lode_var *hand_leaf(lode_tape *t, lode_shape shape, const double *v) {
    const lode_layout layout = shape.n_dims == 4 ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS;
    lode_tensor *x = hand_tensor(LODE_F64, layout, shape, v);
    lode_var *leaf = lode_tape_leaf(t, x, NULL);
    lode_tensor_release(x);
    assert_non_null(leaf);
    return leaf;
}

static inline void hand_check_at(const lode_tensor *x, lode_shape shape, const double *want,
                                 const char *what, const char *file, int line) {
    char a[128], b[128];
    if (x == NULL || !lode_shape_equal(&x->shape, &shape)) {
        print_error("%s is %s, wanted %s\n", what, x ? lode_shape_print(&x->shape, a) : "absent",
                    lode_shape_print(&shape, b));
        _fail(file, line);
    }
    for (int64_t i = 0; i < lode_tensor_count(x); i++) {
        char element[256];
        snprintf(element, sizeof element, "%s[%lld]", what, (long long)i);
        test_assert_near(lode_at(x, i), want[i], 1e-12, element, file, line);
    }
}
/* Shape and values, in row-major order. */
#define hand_check(tensor, shape, ...)                                                             \
    hand_check_at((tensor), (shape), (const double[]){__VA_ARGS__}, #tensor, __FILE__, __LINE__)

/* Backward from y with these gradients, row-major. */
static inline void hand_backward(lode_tape *t, lode_var *y, const double *v) {
    assert_non_null(y);
    lode_tensor *dy = hand_tensor(y->value->dtype, LODE_CONTIGUOUS, y->value->shape, v);
    assert_ok(lode_backward_from(t, y, dy));
    lode_tensor_release(dy);
}

/* The tape must have failed with `code` and a message that contains `words`; resets it. */
#define hand_fails(t, var, code, words)                                                            \
    do {                                                                                           \
        assert_null(var);                                                                          \
        assert_fails(lode_tape_status(t), (code), (words));                                        \
        lode_tape_reset(t);                                                                        \
    } while (0)
#endif
