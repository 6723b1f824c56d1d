/* test_tensor.c: handles, layouts, views. */
#include "support/support.h"
#include "tensor/tensor.h"

/* Elements 0, 1, 2, ... in row-major order. */
static lode_tensor *counting(const lode_shape *shape, lode_layout layout) {
    lode_tensor *t = NULL;
    assert_ok(lode_tensor_create(NULL, LODE_F32, shape, layout, &t));
    for (int64_t i = 0; i < lode_tensor_count(t); i++) lode_put(t, i, (double)i);
    return t;
}

static void test_create(void **state) {
    (void)state;
    lode_tensor *t = NULL;
    lode_shape image = LODE_SHAPE(2, 3, 4, 5), row = LODE_SHAPE(7), empty = LODE_SHAPE(3, 0);
    lode_shape scalar = LODE_SCALAR, huge = LODE_SHAPE(INT64_MAX / 4, 2);
    lode_device_stats before = lode_device_get_stats(lode_cpu_device());

    assert_ok(lode_tensor_create(NULL, LODE_F64, &image, LODE_CHANNELS_LAST, &t));
    assert_ptr_equal(t->device, lode_cpu_device());
    assert_int_equal(t->stride[1], 1);
    assert_int_equal((uintptr_t)t->data % 64, 0);
    assert_int_equal(lode_tensor_bytes(t), 960);
    assert_true(lode_tensor_is_channels_last(t) && lode_tensor_is_dense(t));
    assert_false(lode_tensor_is_contiguous(t));
    assert_int_equal(lode_device_get_stats(lode_cpu_device()).bytes_in_use,
                     before.bytes_in_use + 960);
    lode_tensor *again = lode_tensor_retain(t);
    lode_tensor_release(t);
    lode_put4(again, 1, 2, 3, 4, 5);
    assert_true(lode_at4(again, 1, 2, 3, 4) == 5);
    assert_true(lode_at(again, 119) == 5);
    lode_tensor_release(again);
    assert_int_equal(lode_device_get_stats(lode_cpu_device()).bytes_in_use, before.bytes_in_use);

    assert_ok(lode_tensor_zeros(NULL, LODE_S32, &empty, LODE_CONTIGUOUS, &t));
    assert_non_null(t->data);
    assert_int_equal(lode_tensor_count(t), 0);
    assert_true(lode_tensor_is_contiguous(t) && lode_tensor_is_dense(t));
    lode_tensor_release(t);
    assert_ok(lode_tensor_zeros(NULL, LODE_S8, &scalar, LODE_CONTIGUOUS, &t));
    assert_true(lode_at(t, 0) == 0 && lode_tensor_is_contiguous(t));
    lode_tensor_release(t);

    assert_fails(lode_tensor_create(NULL, LODE_F32, &row, LODE_CHANNELS_LAST, &t), LODE_ERR_SHAPE,
                 "channels-last needs [N, C, H, W], got [7]");
    assert_null(t);
    assert_fails(lode_tensor_create(NULL, LODE_F64, &huge, LODE_CONTIGUOUS, &t), LODE_ERR_SHAPE,
                 "more bytes");
    assert_fails(lode_tensor_create(NULL, LODE_U8, &huge, LODE_CONTIGUOUS, &t), LODE_ERR_NO_MEMORY,
                 "no memory");
    assert_fails(lode_tensor_create(NULL, LODE_N_DTYPES, &row, LODE_CONTIGUOUS, &t), LODE_ERR_DTYPE,
                 "dtype");
    assert_fails(lode_tensor_wrap(NULL, LODE_F32, &row, &t), LODE_ERR_INVALID, "NULL");
    lode_tensor_release(NULL);
    assert_null(lode_tensor_retain(NULL));
}

static void test_wrap(void **state) {
    (void)state;
    float data[6] = {1, 2, 3, 4, 5, 6};
    lode_shape s = LODE_SHAPE(2, 3);
    lode_tensor *t = NULL, *v = NULL;
    assert_ok(lode_tensor_wrap(data, LODE_F32, &s, &t));
    assert_ok(lode_tensor_slice(t, 1, 2, 3, 1, &v));
    lode_tensor_release(t); /* the view goes on */
    lode_put(v, 1, 60);
    assert_true(data[5] == 60 && lode_at(v, 0) == 3);
    lode_tensor_release(v);
}

/* One pixel or one channel: both orders are the same memory. */
static void test_ambiguous(void **state) {
    (void)state;
    const lode_shape shapes[] = {LODE_SHAPE(3, 5, 1, 1), LODE_SHAPE(3, 1, 4, 4),
                                 LODE_SHAPE(1, 1, 1, 1)};
    for (int i = 0; i < 3; i++)
        for (int l = 0; l < 2; l++) {
            lode_tensor *t = NULL, *same = NULL;
            assert_ok(lode_tensor_create(NULL, LODE_F32, &shapes[i], (lode_layout)l, &t));
            assert_true(lode_tensor_is_contiguous(t) && lode_tensor_is_channels_last(t));
            assert_ok(lode_tensor_contiguous(t, (lode_layout)!l, &same));
            assert_ptr_equal(same, t);
            lode_tensor_release(same);
            lode_tensor_release(t);
        }
}

static void test_like(void **state) {
    (void)state;
    lode_shape image = LODE_SHAPE(2, 3, 4, 5);
    lode_tensor *t = counting(&image, LODE_CHANNELS_LAST), *v = NULL, *l = NULL;
    assert_ok(lode_tensor_like(t, &l));
    assert_true(lode_tensor_same_layout(t, l) && l->storage != t->storage);
    lode_tensor_release(l);
    assert_ok(lode_tensor_slice(t, 1, 0, 2, 1, &v)); /* two of three channels: gaps */
    assert_false(lode_tensor_is_dense(v));
    assert_ok(lode_tensor_like(v, &l));
    assert_true(lode_tensor_is_channels_last(l));
    lode_tensor_release(l);
    assert_ok(lode_tensor_transpose(t, (int[]){3, 0, 2, 1}, &l));
    assert_true(lode_tensor_is_dense(l));
    assert_false(lode_tensor_is_contiguous(l) || lode_tensor_is_channels_last(l));
    lode_tensor_release(v);
    assert_ok(lode_tensor_like(l, &v));
    assert_true(lode_tensor_same_layout(l, v));
    lode_tensor_release(l);
    lode_tensor_release(v);
    lode_tensor_release(t);
}

static void test_slice_transpose(void **state) {
    (void)state;
    lode_shape s = LODE_SHAPE(4, 6);
    lode_tensor *t = counting(&s, LODE_CONTIGUOUS), *a = NULL, *b = NULL;
    assert_ok(lode_tensor_slice(t, 1, 1, 6, 2, &a)); /* columns 1 3 5 */
    assert_int_equal(a->shape.dim[1], 3);
    assert_ok(lode_tensor_slice(a, 0, 2, 4, 1, &b)); /* rows 2 3 */
    const double want[] = {13, 15, 17, 19, 21, 23};
    for (int i = 0; i < 6; i++) assert_true(lode_at(b, i) == want[i]);
    lode_tensor_release(a);
    assert_ok(lode_tensor_transpose(b, (int[]){1, 0}, &a));
    assert_true(lode_at_nd(a, (int64_t[]){2, 0}) == 17 && lode_at(a, 1) == 19);
    lode_tensor_release(a);
    lode_tensor_release(b);
    assert_ok(lode_tensor_slice(t, 0, 4, 4, 1, &a));
    assert_int_equal(lode_tensor_count(a), 0);
    lode_tensor_release(a);
    assert_fails(lode_tensor_slice(t, 2, 0, 1, 1, &a), LODE_ERR_SHAPE, "dim 2 of [4, 6]");
    assert_fails(lode_tensor_slice(t, 1, 0, 7, 1, &a), LODE_ERR_SHAPE, "0:7:1 of dim 1");
    assert_fails(lode_tensor_slice(t, 1, 3, 2, 1, &a), LODE_ERR_SHAPE, "impossible");
    assert_fails(lode_tensor_slice(t, 1, 0, 2, 0, &a), LODE_ERR_SHAPE, "impossible");
    assert_fails(lode_tensor_transpose(t, (int[]){1, 1}, &a), LODE_ERR_SHAPE, "permutation");
    assert_fails(lode_tensor_transpose(t, (int[]){0, 2}, &a), LODE_ERR_SHAPE, "permutation");
    assert_null(a);
    lode_tensor_release(t);
}

static void test_view(void **state) {
    (void)state;
    lode_shape s = LODE_SHAPE(12), w = LODE_SHAPE(3, 4);
    lode_tensor *t = counting(&s, LODE_CONTIGUOUS), *a = NULL, *b = NULL;
    assert_ok(lode_tensor_view(t, &w, (int64_t[]){2, 1}, 4, &a)); /* overlapping windows */
    assert_true(lode_at(a, 0) == 4 && lode_at(a, 4) == 6 && lode_at(a, 11) == 11);
    lode_tensor_release(a);
    assert_fails(lode_tensor_view(t, &w, (int64_t[]){4, 1}, 1, &a), LODE_ERR_SHAPE,
                 "[3, 4] reaches element 12 of a storage with 12 elements");
    assert_fails(lode_tensor_view(t, &w, (int64_t[]){4, -1}, 3, &a), LODE_ERR_INVALID, "negative");
    assert_fails(lode_tensor_view(t, &w, (int64_t[]){4, 1}, -1, &a), LODE_ERR_INVALID, "negative");
    assert_fails(lode_tensor_view(t, &w, (int64_t[]){INT64_MAX, 1}, 0, &a), LODE_ERR_SHAPE,
                 "overflow");
    assert_ok(lode_tensor_slice(t, 0, 6, 12, 1, &a));
    lode_shape six = LODE_SHAPE(6), seven = LODE_SHAPE(7);
    assert_ok(lode_tensor_view(a, &six, (int64_t[]){1}, 0, &b)); /* counts from the slice on */
    assert_true(lode_at(b, 5) == 11);
    lode_tensor_release(b);
    assert_fails(lode_tensor_view(a, &seven, (int64_t[]){1}, 0, &b), LODE_ERR_SHAPE, "6 elements");
    lode_tensor_release(a);
    lode_tensor_release(t);
}

/* Reshape agrees with row-major order, or refuses; which of both is known for these. */
static void test_reshape(void **state) {
    (void)state;
    const struct {
        lode_shape to;
        bool from_rows, from_last; /* possible from contiguous, from channels-last [2,4,3,3] */
    } cases[] = {
        {LODE_SHAPE(72), true, false},        {LODE_SHAPE(2, 4, 9), true, true},
        {LODE_SHAPE(2, 2, 2, 9), true, true}, {LODE_SHAPE(2, 36), true, false},
        {LODE_SHAPE(8, 9), true, false},      {LODE_SHAPE(1, 2, 1, 4, 9, 1), true, true},
        {LODE_SHAPE(2, 4, 3, 3), true, true},
    };
    lode_shape s = LODE_SHAPE(2, 4, 3, 3), wrong = LODE_SHAPE(71), scalar = LODE_SCALAR;
    lode_shape one = LODE_SHAPE(1, 1), none = LODE_SHAPE(0, 4), none2 = LODE_SHAPE(2, 0, 3);
    for (int l = 0; l < 2; l++) {
        lode_tensor *t = counting(&s, (lode_layout)l), *v = NULL;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            bool can = l == 0 ? cases[i].from_rows : cases[i].from_last;
            if (!can) {
                assert_fails(lode_tensor_reshape(t, &cases[i].to, &v), LODE_ERR_UNSUPPORTED,
                             "copy");
                assert_null(v);
                continue;
            }
            assert_ok(lode_tensor_reshape(t, &cases[i].to, &v));
            assert_ptr_equal(v->data, t->data);
            for (int64_t k = 0; k < 72; k++) assert_true(lode_at(v, k) == (double)k);
            lode_tensor_release(v);
        }
        assert_fails(lode_tensor_reshape(t, &wrong, &v), LODE_ERR_SHAPE,
                     "72 elements, [71] has 71");
        lode_tensor_release(t);
    }
    lode_tensor *t = counting(&scalar, LODE_CONTIGUOUS), *v = NULL;
    assert_ok(lode_tensor_reshape(t, &one, &v));
    assert_true(lode_at(v, 0) == 0);
    lode_tensor_release(t);
    assert_ok(lode_tensor_reshape(v, &scalar, &t));
    assert_int_equal(t->shape.n_dims, 0);
    lode_tensor_release(t);
    lode_tensor_release(v);
    t = counting(&none, LODE_CONTIGUOUS);
    assert_ok(lode_tensor_reshape(t, &none2, &v));
    assert_int_equal(lode_tensor_count(v), 0);
    lode_tensor_release(t);
    lode_tensor_release(v);
}

static void test_broadcast(void **state) {
    (void)state;
    lode_shape s = LODE_SHAPE(3, 1), w = LODE_SHAPE(2, 3, 4), bad = LODE_SHAPE(2, 4);
    lode_tensor *t = counting(&s, LODE_CONTIGUOUS), *v = NULL;
    assert_ok(lode_tensor_broadcast_to(t, &w, &v));
    for (int64_t i = 0; i < 24; i++) assert_true(lode_at(v, i) == (double)(i / 4 % 3));
    assert_false(lode_tensor_is_dense(v));
    assert_fails(lode_tensor_copy(v, v), LODE_ERR_INVALID, "broadcast view");
    lode_tensor_release(v);
    assert_fails(lode_tensor_broadcast_to(t, &bad, &v), LODE_ERR_SHAPE, "[3, 1]");
    lode_tensor_release(t);
    t = counting(&w, LODE_CONTIGUOUS);
    assert_fails(lode_tensor_broadcast_to(t, &s, &v), LODE_ERR_SHAPE, "broadcast");
    lode_tensor_release(t);
}

/* All of it on shapes alone. */
static void test_without_storage(void **state) {
    (void)state;
    lode_shape s = LODE_SHAPE(2, 4, 3, 3), w = LODE_SHAPE(2, 4, 9);
    lode_tensor *t = NULL, *a = NULL, *b = NULL;
    assert_ok(lode_tensor_shapeless_storage(LODE_F32, &s, LODE_CHANNELS_LAST, &t));
    assert_null(t->data);
    assert_ok(lode_tensor_reshape(t, &w, &a));
    assert_ok(lode_tensor_slice(a, 1, 1, 3, 1, &b));
    assert_null(b->data);
    assert_int_equal(b->stride[1], 1);
    lode_tensor_release(a);
    assert_ok(lode_tensor_shape_only(b, &a));
    assert_true(lode_tensor_same_layout(a, b) && a->data == NULL);
    assert_fails(lode_tensor_fill(t, 1), LODE_ERR_INVALID, "no elements");
    assert_fails(lode_tensor_copy(t, t), LODE_ERR_INVALID, "no elements");
    assert_true(lode_tensor_all_finite(t));
    lode_tensor_release(a);
    lode_tensor_release(b);
    lode_tensor_release(t);
}

/* Every allocation of a create fails once: a status, nothing kept. */
static void test_no_memory(void **state) {
    (void)state;
    lode_shape s = LODE_SHAPE(1000, 3);
    int64_t n_asked = 1, n_failed = 0; /* asked: n + 1 as long as the n-th was reached */
    for (int64_t n = 0; n_asked >= n; n++) {
        lode_tensor *t = NULL, *v = NULL;
        lode_device_empty_cache(lode_cpu_device());
        int64_t blocks = lode_memory_get_stats().n_blocks;
        test_fail_allocation(n);
        lode_status status = lode_tensor_zeros(NULL, LODE_F32, &s, LODE_CONTIGUOUS, &t);
        if (status == LODE_OK) status = lode_tensor_slice(t, 0, 5, 900, 1, &v);
        n_asked = test_fail_allocation(-1);
        n_failed += status != LODE_OK;
        if (status != LODE_OK) assert_int_equal(status, LODE_ERR_NO_MEMORY);
        assert_int_equal(v != NULL, status == LODE_OK);
        lode_tensor_release(t);
        lode_tensor_release(v);
        lode_device_empty_cache(lode_cpu_device());
        assert_int_equal(lode_memory_get_stats().n_blocks, blocks);
    }
    assert_true(n_failed >= 3); /* handle, storage, the view's handle; the device asks again */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),          cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_ambiguous),       cmocka_unit_test(test_like),
        cmocka_unit_test(test_slice_transpose), cmocka_unit_test(test_view),
        cmocka_unit_test(test_reshape),         cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_without_storage), cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
