/* labels: unit, parity
   Steps by hand numbers, and the vector kernels of every instruction set against the formulas in
   double, over several steps and sizes with tails. */
#include "core/parallel.h"
#include "ops/native/simd.h"
#include "ops/optimizer_step.h"
#include "support/support.h"

#include <math.h>

enum { STATES = 5, STEPS = 4 };

static lode_tensor *filled(lode_dtype dtype, int64_t n, uint64_t stream, bool zero) {
    lode_tensor *t = NULL;
    lode_shape s = LODE_SHAPE1(n);
    lode_rng r = lode_rng_stream(7, LODE_RNG_TEST, stream);
    assert_ok(lode_tensor_zeros(NULL, dtype, &s, LODE_CONTIGUOUS, &t));
    if (!zero) { /* the same values whatever the dtype */
        for (int64_t i = 0; i < n; i++)
            lode_put(t, i, (double)(int32_t)lode_rng_u32(&r) / 2147483648.0);
    }
    return t;
}

/* Configuration c of 12: which optimizer, with what. */
static lode_status step(int c, lode_tensor **t, int64_t k) {
    double decay = c % 2 ? 0.01 : 0, scale = c % 3 ? 0.5 : 0;
    if (c < 5) {
        lode_sgd_params p = {0.1,   c == 0 ? 0 : 0.9, c == 4 ? 0.3 : 0, decay,
                             scale, c == 2,           c == 3,           k == 0};
        return lode_sgd_step(t[0], t[1], t[2], &p);
    }
    if (c < 7) {
        lode_adam_params p = {0.01, 0.9, 0.999, 1e-8, 0.02, scale, k + 1, c == 6};
        return lode_adam_step(t[0], t[1], t[2], t[3], &p);
    }
    if (c < 11) {
        lode_rmsprop_params p = {0.01, 0.9, 1e-3, c == 8 ? 0 : 0.9, decay, scale, c == 9, c == 10};
        return lode_rmsprop_step(t[0], t[1], t[2], c == 7 ? t[3] : NULL, t[4], &p);
    }
    return lode_ema_step(t[0], t[1], 0.99);
}

static void run_and_compare(int64_t n) {
    for (int c = 0; c < 12; c++) {
        lode_tensor *fast[STATES], *slow[STATES];
        for (int i = 0; i < STATES; i++) {
            fast[i] = filled(LODE_F32, n, (uint64_t)i, i > 1);
            slow[i] = filled(LODE_F64, n, (uint64_t)i, i > 1);
        }
        for (int64_t k = 0; k < STEPS; k++) {
            assert_ok(step(c, fast, k));
            assert_ok(step(c, slow, k));
        }
        for (int i = 0; i < STATES; i++) {
            for (int64_t e = 0; e < n; e++) {
                /* Values that were drawn as f32 differ from f64 by rounding already; dividing by a
                   small root magnifies it. */
                if (fabs(lode_at(fast[i], e) - lode_at(slow[i], e)) > 2e-4)
                    fail_msg("configuration %d, n %d, tensor %d, element %d: %.9g, wanted %.9g", c,
                             (int)n, i, (int)e, lode_at(fast[i], e), lode_at(slow[i], e));
            }
            lode_tensor_release(fast[i]);
            lode_tensor_release(slow[i]);
        }
    }
}

static void every_instruction_set_follows_the_formulas(void **state) {
    (void)state;
    for (const char *const *name = lode_simd_names(); *name; name++) {
        if (lode_simd_select(*name) != LODE_OK) {
            print_message("SKIPPED: %s\n", lode_last_error());
            continue;
        }
        for (int64_t n = 1; n < 40; n = n * 2 + 1) run_and_compare(n);
        run_and_compare(40000);
    }
    assert_ok(lode_simd_select(NULL));
    assert_fails(lode_simd_select("mmx"), LODE_ERR_NOT_FOUND, "mmx");
}

static void sgd_by_hand(void **state) {
    (void)state;
    float w[2] = {1, -2}, g[2] = {0.5f, 1}, m[2] = {0, 0};
    lode_tensor *t[3];
    lode_shape s = LODE_SHAPE1(2);
    assert_ok(lode_tensor_wrap(w, LODE_F32, &s, &t[0]));
    assert_ok(lode_tensor_wrap(g, LODE_F32, &s, &t[1]));
    assert_ok(lode_tensor_wrap(m, LODE_F32, &s, &t[2]));
    lode_sgd_params p = {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.1, .nesterov = true};
    assert_ok(lode_sgd_step(t[0], t[1], t[2], &p));
    /* g = 0.5 + 0.1 = 0.6, m = 0.6, w = 1 - 0.1 (0.6 + 0.54); g = 1 - 0.2 = 0.8, ... */
    assert_near(m[0], 0.6, 1e-6);
    assert_near(w[0], 0.886, 1e-6);
    assert_near(w[1], -2 - 0.1 * (0.8 + 0.72), 1e-6);
    for (int i = 0; i < 3; i++) lode_tensor_release(t[i]);
}

static void wrong_arguments_are_refused(void **state) {
    (void)state;
    lode_tensor *w = filled(LODE_F32, 4, 0, false), *g = filled(LODE_F32, 5, 1, false);
    lode_tensor *d = filled(LODE_F64, 4, 1, false);
    lode_sgd_params p = {.lr = 0.1};
    assert_fails(lode_sgd_step(w, g, NULL, &p), LODE_ERR_SHAPE, "[5]");
    assert_fails(lode_sgd_step(w, d, NULL, &p), LODE_ERR_DTYPE, "f64");
    p.momentum = 0.9;
    assert_fails(lode_sgd_step(w, w, NULL, &p), LODE_ERR_INVALID, "buffer");
    lode_adam_params a = {.lr = 0.1};
    assert_fails(lode_adam_step(w, w, w, w, &a), LODE_ERR_INVALID, "step");
    lode_tensor_release(w);
    lode_tensor_release(g);
    lode_tensor_release(d);
}

static void sum_of_squares_has_the_same_bits_on_any_number_of_threads(void **state) {
    (void)state;
    lode_tensor *t = filled(LODE_F32, 300001, 3, false), *view = NULL;
    double slow = 0, one, two;
    for (int64_t i = 0; i < 300001; i++) slow += lode_at(t, i) * lode_at(t, i);
    lode_set_threads(1);
    one = lode_sum_squares(t);
    lode_set_threads(3);
    two = lode_sum_squares(t);
    lode_set_threads(0);
    assert_true(one == two);
    assert_near(one, slow, 1e-12);
    assert_ok(lode_tensor_slice(t, 0, 0, 300001, 3, &view)); /* strided */
    slow = 0;
    for (int64_t i = 0; i < 300001; i += 3) slow += lode_at(t, i) * lode_at(t, i);
    assert_near(lode_sum_squares(view), slow, 1e-12);
    lode_put(t, 5, NAN);
    assert_true(isnan(lode_sum_squares(t)));
    lode_tensor_release(view);
    lode_tensor_release(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_by_hand),
        cmocka_unit_test(every_instruction_set_follows_the_formulas),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(sum_of_squares_has_the_same_bits_on_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
