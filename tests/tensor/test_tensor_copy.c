/* test_tensor_copy.c: whole-tensor work against element-by-element loops, over dtypes, strides,
   threads and devices. */
#include "core/parallel.h"
#include "support/support.h"
#include "tensor/tensor.h"
#include "tests/tensor/fake_device.h"

#include <math.h>

/* The k-th way to hold a [3, 4, 5, 6]: dense orders, gaps, broadcast. */
enum { N_WAYS = 6 };
static lode_tensor *held(lode_dtype dtype, int way) {
    lode_shape s = LODE_SHAPE(3, 4, 5, 6), wide = LODE_SHAPE(3, 4, 11, 6),
               turned = LODE_SHAPE(6, 3, 5, 4);
    lode_shape flat = LODE_SHAPE(4, 1, 6);
    lode_tensor *base = NULL, *t = NULL;
    lode_rng r = lode_rng_stream(7, LODE_RNG_TEST, (uint64_t)way);
    const lode_shape *of = way == 2 || way == 4 ? &wide
                           : way == 3           ? &turned
                           : way == 5           ? &flat
                                                : &s;
    assert_ok(lode_tensor_create(
        NULL, dtype, of, way == 1 || way == 4 ? LODE_CHANNELS_LAST : LODE_CONTIGUOUS, &base));
    assert_ok(lode_tensor_fill_uniform(base, &r, -100, 300));
    switch (way) {
    case 2:
    case 4:
        assert_ok(lode_tensor_slice(base, 2, 1, 11, 2, &t));
        break;
    case 3:
        assert_ok(lode_tensor_transpose(base, (int[]){1, 3, 2, 0}, &t));
        break;
    case 5:
        assert_ok(lode_tensor_broadcast_to(base, &s, &t));
        break;
    default:
        return base;
    }
    lode_tensor_release(base);
    return t;
}

static void test_copy_all(void **state) {
    (void)state;
    for (int a = 0; a < LODE_N_DTYPES; a++)
        for (int b = 0; b < LODE_N_DTYPES; b++)
            for (int i = 0; i < N_WAYS - 1; i++) /* none writes into a broadcast view */
                for (int k = 0; k < N_WAYS; k++) {
                    lode_tensor *dst = held((lode_dtype)a, i), *src = held((lode_dtype)b, k);
                    assert_ok(lode_tensor_copy(dst, src));
                    for (int64_t e = 0; e < 360; e++) {
                        unsigned char want[8];
                        lode_dtype_store(dst->dtype, want, lode_at(src, e));
                        assert_true(lode_at(dst, e) == lode_dtype_load(dst->dtype, want));
                    }
                    lode_tensor_release(dst);
                    lode_tensor_release(src);
                }
}

/* A 64-bit integer that no double holds survives a copy. */
static void test_copy_exact(void **state) {
    (void)state;
    int64_t in[2] = {INT64_MAX - 1, -INT64_MAX}, out[2] = {0};
    lode_shape s = LODE_SHAPE(2);
    lode_tensor *a = NULL, *b = NULL;
    assert_ok(lode_tensor_wrap(in, LODE_S64, &s, &a));
    assert_ok(lode_tensor_wrap(out, LODE_S64, &s, &b));
    assert_ok(lode_tensor_copy(b, a));
    assert_memory_equal(in, out, sizeof in);
    assert_true(lode_tensor_equal_bits(a, b));
    out[1]++;
    assert_false(lode_tensor_equal_bits(a, b));
    lode_tensor_release(a);
    lode_tensor_release(b);
}

static void test_add_and_fill(void **state) {
    (void)state;
    const lode_dtype dtypes[] = {LODE_F32, LODE_F64, LODE_BF16, LODE_S32};
    for (int d = 0; d < 4; d++)
        for (int i = 0; i < N_WAYS - 1; i++)
            for (int k = 0; k < N_WAYS; k++) {
                lode_tensor *dst = held(dtypes[d], i), *src = held(dtypes[(d + k) % 2], k),
                            *old = NULL;
                assert_ok(lode_tensor_clone(dst, &old));
                assert_ok(lode_tensor_add_into(dst, src));
                for (int64_t e = 0; e < 360; e++) {
                    unsigned char want[8];
                    lode_dtype_store(dst->dtype, want, lode_at(old, e) + lode_at(src, e));
                    assert_true(lode_at(dst, e) == lode_dtype_load(dst->dtype, want));
                }
                assert_ok(lode_tensor_fill(dst, k == 0 ? 0 : 2.5));
                for (int64_t e = 0; e < 360; e++)
                    assert_true(lode_at(dst, e) == (k == 0 ? 0 : dtypes[d] == LODE_S32 ? 3 : 2.5));
                lode_tensor_release(dst);
                lode_tensor_release(src);
                lode_tensor_release(old);
            }
}

/* Writing a view leaves what lies between its elements alone. */
static void test_gaps(void **state) {
    (void)state;
    lode_shape s = LODE_SHAPE(4, 10);
    lode_tensor *t = NULL, *v = NULL;
    assert_ok(lode_tensor_zeros(NULL, LODE_F32, &s, LODE_CONTIGUOUS, &t));
    assert_ok(lode_tensor_slice(t, 1, 2, 8, 3, &v));
    assert_ok(lode_tensor_fill(v, 1));
    for (int64_t i = 0; i < 40; i++) assert_true(lode_at(t, i) == (i % 10 == 2 || i % 10 == 5));
    lode_tensor_release(v);
    lode_tensor_release(t);
}

static void test_clone_contiguous(void **state) {
    (void)state;
    for (int k = 0; k < N_WAYS; k++) {
        lode_tensor *t = held(LODE_F32, k), *c = NULL, *rows = NULL, *last = NULL;
        assert_ok(lode_tensor_clone(t, &c));
        assert_true(lode_tensor_is_dense(c) && lode_tensor_equal_bits(c, t));
        assert_ptr_not_equal(c->storage, t->storage);
        assert_ok(lode_tensor_contiguous(t, LODE_CONTIGUOUS, &rows));
        assert_ok(lode_tensor_contiguous(t, LODE_CHANNELS_LAST, &last));
        assert_true(lode_tensor_is_contiguous(rows) && lode_tensor_is_channels_last(last));
        assert_true(lode_tensor_equal_bits(rows, t) && lode_tensor_equal_bits(last, t));
        assert_int_equal(rows == t, k == 0);
        assert_int_equal(last == t, k == 1);
        lode_tensor_release(t);
        lode_tensor_release(c);
        lode_tensor_release(rows);
        lode_tensor_release(last);
    }
}

static void test_finite(void **state) {
    (void)state;
    const lode_dtype dtypes[] = {LODE_F32, LODE_F64, LODE_BF16};
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int d = 0; d < 3; d++)
        for (int k = 0; k < N_WAYS - 1; k++) {
            lode_tensor *t = held(dtypes[d], k);
            assert_true(lode_tensor_all_finite(t));
            for (int64_t e = 0; e < 360; e += 71) {
                double old = lode_at(t, e);
                lode_put(t, e, bad[e % 3]);
                assert_false(lode_tensor_all_finite(t));
                lode_put(t, e, old);
            }
            assert_true(lode_tensor_all_finite(t));
            lode_tensor_release(t);
        }
    lode_tensor *a = held(LODE_F32, 0), *b = held(LODE_F32, 1);
    assert_ok(lode_tensor_fill(a, 0));
    assert_ok(lode_tensor_fill(b, -0.0));
    assert_false(lode_tensor_equal_bits(a, b)); /* bits, not values */
    assert_ok(lode_tensor_fill(a, NAN));
    assert_true(lode_tensor_equal_bits(a, a));
    lode_tensor_release(a);
    lode_tensor_release(b);
}

/* Random contents do not depend on the layout; the moments are right. */
static void test_random(void **state) {
    (void)state;
    lode_shape s = LODE_SHAPE(5, 8, 30, 20);
    lode_tensor *a = NULL, *b = NULL;
    lode_rng ra = lode_rng_stream(1, LODE_RNG_TEST, 0), rb = ra;
    assert_ok(lode_tensor_create(NULL, LODE_F32, &s, LODE_CONTIGUOUS, &a));
    assert_ok(lode_tensor_create(NULL, LODE_F32, &s, LODE_CHANNELS_LAST, &b));
    assert_ok(lode_tensor_fill_normal(a, &ra, 3, 2));
    assert_ok(lode_tensor_fill_normal(b, &rb, 3, 2));
    assert_true(lode_tensor_equal_bits(a, b) && ra.position == rb.position);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < 24000; i++) sum += lode_at(a, i) / 24000;
    for (int64_t i = 0; i < 24000; i++) squares += pow(lode_at(a, i) - 3, 2) / 24000;
    assert_near(sum, 3, 0.02); /* three sigma: 0.04 */
    assert_near(squares, 4, 0.04);
    assert_ok(lode_tensor_fill_uniform(b, &rb, -1, 1));
    for (int64_t i = 0; i < 24000; i++) assert_true(fabs(lode_at(b, i)) <= 1);
    lode_tensor_release(a);
    lode_tensor_release(b);
}

/* Large enough for several pieces: any number of threads gives the same bits. */
static void test_threads(void **state) {
    (void)state;
    lode_shape s = LODE_SHAPE(4, 24, 61, 67);
    lode_tensor *src = NULL, *dst[2] = {NULL, NULL};
    lode_rng r = lode_rng_stream(3, LODE_RNG_TEST, 0);
    int threads = lode_get_threads();
    assert_ok(lode_tensor_create(NULL, LODE_F32, &s, LODE_CONTIGUOUS, &src));
    assert_ok(lode_tensor_fill_uniform(src, &r, -1, 1));
    for (int k = 0; k < 2; k++) {
        lode_set_threads(k == 0 ? 1 : 4);
        assert_ok(lode_tensor_create(NULL, LODE_F32, &s, LODE_CHANNELS_LAST, &dst[k]));
        assert_ok(lode_tensor_copy(dst[k], src));
        assert_true(lode_tensor_equal_bits(dst[k], src));
        assert_ok(lode_tensor_add_into(dst[k], src));
    }
    assert_true(lode_tensor_equal_bits(dst[0], dst[1]));
    lode_put(dst[0], 300000, INFINITY);
    assert_false(lode_tensor_all_finite(dst[0]));
    assert_false(lode_tensor_equal_bits(dst[0], dst[1]));
    lode_set_threads(threads);
    lode_tensor_release(src);
    lode_tensor_release(dst[0]);
    lode_tensor_release(dst[1]);
}

static void test_errors(void **state) {
    (void)state;
    lode_shape a = LODE_SHAPE(2, 3), b = LODE_SHAPE(3, 2);
    lode_tensor *x = NULL, *y = NULL;
    assert_ok(lode_tensor_zeros(NULL, LODE_F32, &a, LODE_CONTIGUOUS, &x));
    assert_ok(lode_tensor_zeros(NULL, LODE_F32, &b, LODE_CONTIGUOUS, &y));
    assert_fails(lode_tensor_copy(x, y), LODE_ERR_SHAPE, "destination [2, 3], source [3, 2]");
    assert_fails(lode_tensor_add_into(x, y), LODE_ERR_SHAPE, "destination [2, 3], source [3, 2]");
    assert_false(lode_tensor_equal_bits(x, y));
    lode_tensor_release(x);
    lode_tensor_release(y);
}

/* The same work on a device the host cannot read. */
static void test_device(void **state) {
    (void)state;
    fake_device f;
    lode_device *d = fake_open(&f);
    for (int k = 0; k < N_WAYS; k++) {
        lode_shape s = LODE_SHAPE(3, 4, 5, 6), wide = LODE_SHAPE(3, 4, 5, 13);
        lode_tensor *host = held(LODE_F32, k), *far = NULL, *back = NULL, *whole = NULL,
                    *part = NULL;
        assert_ok(lode_tensor_create(d, LODE_F32, &s, LODE_CHANNELS_LAST, &far));
        assert_ok(lode_tensor_copy(far, host));
        assert_true(lode_tensor_equal_bits(far, host));
        assert_true(lode_at(far, 77) == lode_at(host, 77));
        lode_put(far, 77, 0.5);
        assert_true(lode_at4(far, 0, 2, 2, 5) == 0.5);
        assert_ok(lode_tensor_clone(far, &back));
        assert_ptr_equal(back->device, d);
        assert_ok(lode_tensor_add_into(back, far));
        assert_true(lode_at(back, 5) == (double)(float)(2 * lode_at(host, 5)));
        /* a view with gaps: what lies between stays */
        assert_ok(lode_tensor_zeros(d, LODE_F64, &wide, LODE_CONTIGUOUS, &whole));
        assert_ok(lode_tensor_slice(whole, 3, 1, 13, 2, &part));
        assert_ok(lode_tensor_copy(part, far));
        assert_true(lode_at(whole, 0) == 0 && lode_at(whole, 1) == lode_at(far, 0));
        lode_put(part, 3, NAN);
        assert_false(lode_tensor_all_finite(whole));
        lode_tensor_release(host);
        lode_tensor_release(far);
        lode_tensor_release(back);
        lode_tensor_release(whole);
        lode_tensor_release(part);
    }
    assert_true(f.n_copies > 0);
    lode_device_destroy(d);
    assert_int_equal(f.n_live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_all),         cmocka_unit_test(test_copy_exact),
        cmocka_unit_test(test_add_and_fill),     cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_clone_contiguous), cmocka_unit_test(test_finite),
        cmocka_unit_test(test_random),           cmocka_unit_test(test_threads),
        cmocka_unit_test(test_errors),           cmocka_unit_test(test_device)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
