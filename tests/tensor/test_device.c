/* test_device.c: classes, reuse, statistics, bounds, threads. */
#include "core/parallel.h"
#include "support/support.h"
#include "tensor/device.h"
#include "tests/tensor/fake_device.h"

static void test_reuse(void **state) {
    (void)state;
    fake_device f;
    lode_device *d = fake_open(&f);
    void *a = lode_device_allocate(d, 1000);
    lode_device_release(d, a, 1000);
    void *b = lode_device_allocate(d, 1001); /* the same class */
    assert_ptr_equal(a, b);
    lode_device_stats s = lode_device_get_stats(d);
    assert_int_equal(s.n_allocations, 2);
    assert_int_equal(s.n_system_allocations, 1);
    assert_int_equal(s.bytes_in_use, 1024);
    assert_int_equal(s.bytes_reserved, 1024);
    void *c = lode_device_allocate(d, 0);
    assert_non_null(c);
    assert_int_equal(lode_device_get_stats(d).peak_bytes, 1024 + 64);
    lode_device_release(d, b, 1001);
    lode_device_reset_peak(d);
    assert_int_equal(lode_device_get_stats(d).peak_bytes, 64);
    lode_device_empty_cache(d);
    assert_int_equal(f.n_live, 1);
    assert_int_equal(lode_device_get_stats(d).bytes_reserved, 64);
    lode_device_release(d, c, 0);
    lode_device_destroy(d);
    assert_int_equal(f.n_live, 0);
    assert_int_equal(f.destroyed, 1);
}

/* Rounding: never less than asked, an eighth more at most (or to 64), monotonous. */
static void test_classes(void **state) {
    (void)state;
    fake_device f;
    lode_device *d = fake_open(&f);
    int64_t before = 0;
    for (size_t bytes = 1; bytes < (size_t)3 << 20; bytes += bytes / 37 + 1) {
        void *p = lode_device_allocate(d, bytes);
        int64_t rounded = lode_device_get_stats(d).bytes_in_use;
        assert_true(rounded >= (int64_t)bytes && rounded % 64 == 0 && rounded >= before);
        assert_true(rounded <= (int64_t)bytes + (int64_t)bytes / 8 + 64);
        before = rounded;
        lode_device_release(d, p, bytes);
        assert_int_equal(lode_device_get_stats(d).bytes_in_use, 0);
    }
    lode_device_destroy(d);
    assert_int_equal(f.n_live, 0);
}

static void test_failure(void **state) {
    (void)state;
    fake_device f;
    lode_device *d = fake_open(&f);
    assert_null(lode_device_allocate(d, SIZE_MAX));
    assert_int_equal(lode_last_status(), LODE_ERR_NO_MEMORY);
    void *a = lode_device_allocate(d, 100), *b = lode_device_allocate(d, 200);
    lode_device_release(d, b, 200);
    f.fail_at = f.n_allocations; /* fails once; giving the cache back and asking again works */
    void *c = lode_device_allocate(d, 5000);
    assert_non_null(c);
    assert_int_equal(f.n_live, 2);
    lode_device_release(d, a, 100);
    lode_device_release(d, c, 5000);
    lode_device_destroy(d);
    assert_int_equal(f.n_live, 0);

    const lode_device_ops broken = {.name = "broken"};
    assert_fails(lode_device_create(&broken, NULL, &d), LODE_ERR_INVALID, "broken");
    assert_null(d);
}

/* Ever new sizes: what is reserved stays within twice the most in use plus the slack. */
static void test_bound(void **state) {
    (void)state;
    fake_device f;
    lode_device *d = fake_open(&f);
    const size_t base = (size_t)8 << 20;
    for (int round = 0; round < 2; round++)
        for (size_t k = 0; k < 24; k++) {
            size_t bytes = base + k * (base / 8);
            void *p = lode_device_allocate(d, bytes);
            assert_non_null(p);
            lode_device_release(d, p, bytes);
            lode_device_stats s = lode_device_get_stats(d);
            assert_true(s.bytes_reserved <= 2 * s.peak_bytes + (64 << 20));
        }
    assert_true(f.n_live < 20); /* some went back */
    lode_device_destroy(d);
    assert_int_equal(f.n_live, 0);
}

typedef struct hammer {
    lode_device *device;
    int wrong[64];
} hammer;

static void hammer_body(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    hammer *h = ctx;
    (void)begin;
    (void)end;
    for (int i = 0; i < 300; i++) {
        size_t n[3] = {(size_t)(64 + i % 7 * 64), 3000, (size_t)(1 + piece)};
        unsigned char *p[3];
        for (int k = 0; k < 3; k++) {
            p[k] = lode_device_allocate(h->device, n[k]);
            if (p[k] == NULL || (uintptr_t)p[k] % 64 != 0) h->wrong[piece]++;
            if (p[k] != NULL) memset(p[k], (int)piece, n[k]);
        }
        for (int k = 0; k < 3; k++) {
            for (size_t j = 0; p[k] != NULL && j < n[k]; j++)
                if (p[k][j] != (unsigned char)piece) h->wrong[piece]++;
            lode_device_release(h->device, p[k], n[k]);
        }
    }
}

static void test_threads(void **state) {
    (void)state;
    hammer h = {.device = lode_cpu_device()};
    int threads = lode_get_threads();
    lode_set_threads(4);
    int64_t before = lode_device_get_stats(h.device).bytes_in_use;
    lode_parallel_for(64, 1, hammer_body, &h);
    lode_set_threads(threads);
    for (int i = 0; i < 64; i++) assert_int_equal(h.wrong[i], 0);
    assert_int_equal(lode_device_get_stats(h.device).bytes_in_use, before);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reuse), cmocka_unit_test(test_classes),
                                       cmocka_unit_test(test_failure), cmocka_unit_test(test_bound),
                                       cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
