/* test_shape.c: counts, broadcasting, strides. */
#include "support/support.h"
#include "tensor/shape.h"

static void test_count_and_print(void **state) {
    (void)state;
    char text[128];
    lode_shape scalar = LODE_SCALAR, s = LODE_SHAPE(2, 3, 4), empty = LODE_SHAPE(2, 0, 4);
    assert_int_equal(s.n_dims, 3);
    assert_int_equal(lode_shape_count(&scalar), 1);
    assert_int_equal(lode_shape_count(&s), 24);
    assert_int_equal(lode_shape_count(&empty), 0);
    assert_string_equal(lode_shape_print(&s, text), "[2, 3, 4]");
    assert_string_equal(lode_shape_print(&scalar, text), "[]");
    lode_shape of = lode_shape_of(3, (int64_t)2, (int64_t)3, (int64_t)4);
    assert_true(lode_shape_equal(&of, &s));
    assert_false(lode_shape_equal(&of, &empty));
    assert_false(lode_shape_equal(&of, &scalar));
    lode_shape huge = LODE_SHAPE(INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
    assert_true(strlen(lode_shape_print(&huge, text)) < 128);
}

static void test_check(void **state) {
    (void)state;
    lode_shape big = LODE_SHAPE(INT64_MAX / 2, 3), negative = LODE_SHAPE(2, -1);
    lode_shape none = LODE_SHAPE(INT64_MAX, INT64_MAX, 0), most = LODE_SHAPE(INT64_MAX);
    lode_shape many = {.n_dims = LODE_MAX_DIMS + 1};
    assert_fails(lode_shape_check(&big), LODE_ERR_SHAPE, "more elements");
    assert_fails(lode_shape_check(&negative), LODE_ERR_SHAPE, "dim 1 is negative");
    assert_fails(lode_shape_check(&many), LODE_ERR_SHAPE, "7 dims");
    assert_ok(lode_shape_check(&none));
    assert_ok(lode_shape_check(&most));
}

static void test_broadcast(void **state) {
    (void)state;
    lode_shape a = LODE_SHAPE(8, 1, 6, 1), b = LODE_SHAPE(7, 1, 5), c = LODE_SHAPE(3), out;
    lode_shape want = LODE_SHAPE(8, 7, 6, 5), scalar = LODE_SCALAR, empty = LODE_SHAPE(0, 1);
    lode_shape empty_row = LODE_SHAPE(0, 3);
    assert_ok(lode_shape_broadcast(&a, &b, &out));
    assert_true(lode_shape_equal(&out, &want));
    assert_ok(lode_shape_broadcast(&scalar, &b, &out));
    assert_true(lode_shape_equal(&out, &b));
    assert_ok(lode_shape_broadcast(&empty, &c, &out));
    assert_true(lode_shape_equal(&out, &empty_row));
    assert_fails(lode_shape_broadcast(&b, &c, &out), LODE_ERR_SHAPE,
                 "[7, 1, 5] and [3] do not broadcast: 5 against 3");
}

static void test_strides(void **state) {
    (void)state;
    int64_t s[LODE_MAX_DIMS];
    lode_shape image = LODE_SHAPE(2, 3, 4, 5);
    const int64_t rows[] = {60, 20, 5, 1}, last[] = {60, 1, 15, 3};
    lode_strides_contiguous(&image, s);
    assert_memory_equal(s, rows, sizeof rows);
    lode_strides_channels_last(&image, s);
    assert_memory_equal(s, last, sizeof last);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_and_print), cmocka_unit_test(test_check),
        cmocka_unit_test(test_broadcast), cmocka_unit_test(test_strides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
