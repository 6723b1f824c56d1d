/* test_device.c: reuse, joining, reserves, statistics, bounds, threads. */
#include "core/parallel.h"
#include "core/rng.h"
#include "support/support.h"
#include "tensor/device.h"
#include "tests/tensor/fake_device.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

static void test_reuse(void **state) {
    (void)state;
    fake_device f;
    lode_device *d = fake_open(&f);
    void *a = lode_device_allocate(d, 1000);
    lode_device_release(d, a, 1000);
    void *b = lode_device_allocate(d, 1001);
    assert_ptr_equal(a, b);
    lode_device_stats s = lode_device_get_stats(d);
    assert_int_equal(s.n_allocations, 2);
    assert_int_equal(s.n_system_allocations, 1);
    int64_t block = lode_device_rounded_bytes(1001), empty = lode_device_rounded_bytes(0);
    assert_int_equal(s.bytes_in_use, block);
    /* A red zone of 64 bytes lies behind each block under the address sanitizer. */
    assert_in_range(s.bytes_touched, block, block + 64);
    assert_true(s.bytes_reserved >= block);
    void *c = lode_device_allocate(d, 0);
    assert_non_null(c);
    assert_int_equal(lode_device_get_stats(d).peak_bytes, block + empty);
    lode_device_release(d, b, 1001);
    lode_device_reset_peak(d);
    assert_int_equal(lode_device_get_stats(d).peak_bytes, empty);
    lode_device_empty_cache(d);
    assert_int_equal(f.n_live, 1);
    lode_device_release(d, c, 0);
    lode_device_empty_cache(d);
    s = lode_device_get_stats(d);
    assert_int_equal(s.bytes_reserved + s.bytes_touched + s.bytes_in_use, 0);
    lode_device_destroy(d);
    assert_int_equal(f.n_live, 0);
    assert_int_equal(f.destroyed, 1);
}

/* Never less than asked, to 64 bytes at most more. */
static void test_rounding(void **state) {
    (void)state;
    fake_device f;
    lode_device *d = fake_open(&f);
    for (size_t bytes = 1; bytes < (size_t)3 << 20; bytes += bytes / 37 + 1) {
        void *p = lode_device_allocate(d, bytes);
        int64_t rounded = lode_device_get_stats(d).bytes_in_use;
        assert_int_equal(rounded, ((int64_t)bytes + 63) / 64 * 64);
        assert_int_equal(rounded, lode_device_rounded_bytes(bytes));
        lode_device_release(d, p, bytes);
        assert_int_equal(lode_device_get_stats(d).bytes_in_use, 0);
    }
    lode_device_destroy(d);
    assert_int_equal(f.n_live, 0);
}

/* What small ones gave back in any order serves a large one. */
static void test_neighbors_join(void **state) {
    (void)state;
    static const int order[3][8] = {
        {0, 1, 2, 3, 4, 5, 6, 7}, {7, 6, 5, 4, 3, 2, 1, 0}, {1, 3, 5, 7, 2, 0, 6, 4}};
    fake_device f;
    lode_device *d = fake_open(&f);
    for (int o = 0; o < 3; o++) {
        void *p[8], *stays;
        for (int i = 0; i < 8; i++) p[i] = lode_device_allocate(d, 100 * KIB);
        stays = lode_device_allocate(d, 100 * KIB);
        for (int i = 0; i < 8; i++) lode_device_release(d, p[order[o][i]], 100 * KIB);
        void *all = lode_device_allocate(d, 8 * 100 * KIB - 3000);
        assert_ptr_equal(all, p[0]);
        void *rest = lode_device_allocate(d, 20 * KIB); /* does not fit in what is left of it */
        assert_true((char *)rest >= (char *)stays + 100 * KIB);
        lode_device_release(d, rest, 20 * KIB);
        lode_device_release(d, stays, 100 * KIB);
        lode_device_release(d, all, 8 * 100 * KIB - 3000);
    }
    assert_int_equal(lode_device_get_stats(d).n_system_allocations, 1);
    lode_device_destroy(d);
}

static void test_failure(void **state) {
    (void)state;
    fake_device f;
    lode_device *d = fake_open(&f);
    assert_null(lode_device_allocate(d, SIZE_MAX));
    assert_int_equal(lode_last_status(), LODE_ERR_NO_MEMORY);
    void *a = lode_device_allocate(d, 100), *b = lode_device_allocate(d, 20 * MIB);
    lode_device_release(d, b, 20 * MIB);
    f.fail_at = f.n_allocations; /* fails once; giving the idle back and asking again works */
    void *c = lode_device_allocate(d, 30 * MIB);
    assert_non_null(c);
    assert_int_equal(f.n_live, 2);
    f.fail_at = f.n_allocations;
    assert_int_equal(lode_device_reserve(d, 40 * MIB), LODE_ERR_NO_MEMORY);
    lode_device_release(d, a, 100);
    lode_device_release(d, c, 30 * MIB);
    lode_device_destroy(d);
    assert_int_equal(f.n_live, 0);

    const lode_device_ops broken = {.name = "broken"};
    assert_fails(lode_device_create(&broken, NULL, &d), LODE_ERR_INVALID, "broken");
    assert_null(d);
}

/* Ever larger ones: what is reserved stays within the bound. */
static void test_bound(void **state) {
    (void)state;
    fake_device f;
    lode_device *d = fake_open(&f);
    const size_t base = (size_t)8 << 20;
    for (size_t k = 0; k < 100; k++) {
        size_t bytes = base + k * (base / 8);
        void *p = lode_device_allocate(d, bytes);
        assert_non_null(p);
        lode_device_release(d, p, bytes);
        lode_device_stats s = lode_device_get_stats(d);
        assert_true(s.bytes_reserved <= s.peak_bytes + s.peak_bytes / 4 + 64 * MIB);
        assert_true(s.bytes_touched <= s.bytes_reserved);
    }
    assert_true(f.n_live < 20); /* some went back */
    lode_device_destroy(d);
    assert_int_equal(f.n_live, 0);
}

/* ---- a made-up program: many lives of many sizes ---- */
enum { N_LIVES = 300, N_REQUESTS = 60000 };
typedef struct life {
    unsigned char *p;
    size_t bytes;
    unsigned char mark;
} life;

/* Steps that allocate forward and give back backward, with some that live longer. */
static void play(lode_device *d, uint64_t seed, bool writes, int n) {
    life lives[N_LIVES] = {{0}};
    lode_rng rng = lode_rng_stream(seed, LODE_RNG_SEARCH, 0);
    for (int i = 0; i < n; i++) {
        life *l = &lives[lode_rng_below(&rng, N_LIVES)];
        if (l->p != NULL) {
            for (size_t k = 0; writes && k < l->bytes; k += 61)
                if (l->p[k] != l->mark) fail_msg("byte %zu of %zu was written", k, l->bytes);
            lode_device_release(d, l->p, l->bytes);
            l->p = NULL;
        } else {
            l->bytes = (size_t)(8 << lode_rng_below(&rng, 14)) + (size_t)lode_rng_below(&rng, 5000);
            l->p = lode_device_allocate(d, l->bytes);
            l->mark = (unsigned char)lode_rng_below(&rng, 256);
            assert_non_null(l->p);
            assert_int_equal((uintptr_t)l->p % 64, 0);
            if (writes) memset(l->p, l->mark, l->bytes);
        }
    }
    for (int i = 0; i < N_LIVES; i++) lode_device_release(d, lives[i].p, lives[i].bytes);
}

static void test_blocks_never_overlap(void **state) {
    (void)state;
    lode_device *d = lode_cpu_device();
    int64_t before = lode_device_get_stats(d).bytes_in_use;
    play(d, 1, true, N_REQUESTS);
    assert_int_equal(lode_device_get_stats(d).bytes_in_use, before);
}

/* A counting device says how far the same requests reach on another one; whoever reserves that
   needs nothing more. */
static void test_a_reserve_is_enough(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) {
        fake_device f;
        lode_device *d = fake_open(&f), *counting = NULL;
        assert_ok(lode_device_create_counting(&counting));
        play(counting, seed, false, N_REQUESTS / 5);
        lode_device_stats plan = lode_device_get_stats(counting);
        assert_true(plan.peak_touched >= plan.peak_bytes);
        assert_true((double)plan.peak_touched < 1.25 * (double)plan.peak_bytes);
        assert_ok(lode_device_reserve(d, plan.peak_touched));
        assert_ok(lode_device_reserve(d, plan.peak_touched)); /* it is there */
        assert_int_equal(f.n_allocations, 1);
        play(d, seed, false, N_REQUESTS / 5);
        assert_int_equal(lode_device_get_stats(d).peak_touched, plan.peak_touched);
        play(d, seed, false, N_REQUESTS / 5);
        assert_int_equal(lode_device_get_stats(d).n_system_allocations, 1);
        lode_device_destroy(d);
        lode_device_destroy(counting);
    }
}

/* A second reserve, when a few tensors stayed, adds what is missing. */
static void test_a_reserve_grows(void **state) {
    (void)state;
    fake_device f;
    lode_device *d = fake_open(&f);
    assert_ok(lode_device_reserve(d, 0));
    assert_int_equal(f.n_live, 0);
    assert_ok(lode_device_reserve(d, 100 * MIB));
    assert_ok(lode_device_reserve(d, 120 * MIB)); /* the first was not in use */
    assert_int_equal(f.n_live, 1);
    assert_int_equal(lode_device_get_stats(d).bytes_reserved, 120 * MIB);
    void *p = lode_device_allocate(d, 10 * MIB);
    assert_ok(lode_device_reserve(d, 140 * MIB));
    assert_int_equal(f.n_live, 2);
    int64_t least =
        140 * MIB + lode_device_rounded_bytes(10 * MIB); /* in whole pages, red zones beside */
    int64_t reserved = lode_device_get_stats(d).bytes_reserved;
    assert_true(reserved >= least && reserved <= least + 4 * KIB);
    lode_device_release(d, p, 10 * MIB);
    lode_device_destroy(d);
    assert_int_equal(f.n_live, 0);
}

/* No allocation of the host's memory can fail a release, and a request that cannot be described
   fails as a whole. */
static void test_descriptions_may_fail(void **state) {
    (void)state;
    for (int n = 0; n < 12; n++) {
        fake_device f;
        lode_device *d = fake_open(&f);
        void *p[300] = {NULL};
        test_fail_allocation(n);
        for (int i = 0; i < 300; i++) p[i] = lode_device_allocate(d, (size_t)(i % 7 + 1) * 9000);
        test_fail_allocation(-1);
        for (int i = 0; i < 300; i += 2) {
            lode_device_release(d, p[i], (size_t)(i % 7 + 1) * 9000);
            p[i] = NULL;
        }
        test_fail_allocation(0);
        for (int i = 0; i < 300; i++) lode_device_release(d, p[i], (size_t)(i % 7 + 1) * 9000);
        test_fail_allocation(-1);
        assert_int_equal(lode_device_get_stats(d).bytes_in_use, 0);
        lode_device_destroy(d);
        assert_int_equal(f.n_live, 0);
    }
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_neighbors_join),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_blocks_never_overlap),
        cmocka_unit_test(test_a_reserve_is_enough),
        cmocka_unit_test(test_a_reserve_grows),
        cmocka_unit_test(test_descriptions_may_fail),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
