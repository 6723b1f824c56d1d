/* test_dtype.c: names, rounding, saturation. */
#include "support/support.h"
#include "tensor/dtype.h"

#include <math.h>

static double round_trip(lode_dtype t, double v) {
    unsigned char bytes[16];
    lode_dtype_store(t, bytes + 1, v); /* unaligned on purpose */
    return lode_dtype_load(t, bytes + 1);
}

static void test_names(void **state) {
    (void)state;
    lode_dtype t;
    for (int i = 0; i < LODE_N_DTYPES; i++) {
        assert_ok(lode_dtype_from_name(lode_dtype_name((lode_dtype)i), &t));
        assert_int_equal(t, i);
        assert_ok(lode_dtype_from_name(lode_dtype_safetensors((lode_dtype)i), &t));
        assert_int_equal(t, i);
        assert_true(lode_dtype_size(t) >= 1 && lode_dtype_size(t) <= 8);
        assert_int_equal(lode_dtype_is_float(t), t == LODE_F32 || t == LODE_F64 || t == LODE_BF16);
    }
    assert_fails(lode_dtype_from_name("f16", &t), LODE_ERR_DTYPE, "\"f16\"");
    assert_int_equal(lode_dtype_size(LODE_N_DTYPES), 0);
    assert_string_equal(lode_dtype_name((lode_dtype)-1), "?");
}

/* 1 + epsilon is the next number after 1. */
static void test_epsilon(void **state) {
    (void)state;
    const lode_dtype floats[] = {LODE_F32, LODE_F64, LODE_BF16};
    for (int i = 0; i < 3; i++) {
        double e = lode_dtype_epsilon(floats[i]);
        assert_true(round_trip(floats[i], 1 + e) == 1 + e);
        assert_true(round_trip(floats[i], 1 + e * 0.49) == 1);
    }
}

static void test_bf16(void **state) {
    (void)state;
    const double e = 0x1p-7;
    assert_true(round_trip(LODE_BF16, 1 + e / 2) == 1);           /* ties to even */
    assert_true(round_trip(LODE_BF16, 1 + e * 1.5) == 1 + 2 * e); /* ties to even */
    /* just beside a tie, where rounding to float first would lose the side */
    assert_true(round_trip(LODE_BF16, 1 + e / 2 + 0x1p-40) == 1 + e);
    assert_true(round_trip(LODE_BF16, 1 + e * 1.5 - 0x1p-40) == 1 + e);
    assert_true(round_trip(LODE_BF16, -(1 + e / 2 + 0x1p-40)) == -(1 + e));
    assert_true(isnan(round_trip(LODE_BF16, NAN)));
    assert_true(isinf(round_trip(LODE_BF16, INFINITY)));
    assert_true(isinf(round_trip(LODE_BF16, 3.4e38))); /* the largest bf16 is 3.39e38 */
    assert_true(signbit(round_trip(LODE_BF16, -0.0)));
    for (unsigned h = 0; h < 65536; h++) { /* every bf16 survives */
        float f = lode_bf16_to_f32((uint16_t)h);
        if (isnan(f))
            assert_true(isnan(lode_bf16_to_f32(lode_bf16_from_f32(f))));
        else
            assert_int_equal(lode_bf16_from_f32(f), h);
    }
}

static void test_integers(void **state) {
    (void)state;
    assert_true(round_trip(LODE_S8, 2.5) == 3);
    assert_true(round_trip(LODE_S8, -2.5) == -3);
    assert_true(round_trip(LODE_S8, 127.6) == 127);
    assert_true(round_trip(LODE_S8, -1e9) == -128);
    assert_true(round_trip(LODE_U8, -0.6) == 0);
    assert_true(round_trip(LODE_U8, 254.5) == 255);
    assert_true(round_trip(LODE_U8, INFINITY) == 255);
    assert_true(round_trip(LODE_S32, 1e10) == 2147483647.0);
    assert_true(round_trip(LODE_S32, -1e10) == -2147483648.0);
    assert_true(round_trip(LODE_S64, 1e30) == 0x1p63);
    assert_true(round_trip(LODE_S64, -1e30) == -0x1p63);
    assert_true(round_trip(LODE_S64, 0x1p62) == 0x1p62);
    for (int t = LODE_S64; t <= LODE_U8; t++) assert_true(round_trip((lode_dtype)t, NAN) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_epsilon),
                                       cmocka_unit_test(test_bf16),
                                       cmocka_unit_test(test_integers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
