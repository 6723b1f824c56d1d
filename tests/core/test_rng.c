/* test_rng.c: Philox against its published vectors, positions, and the shape of each distribution.
   Seeds are fixed, so that the statistical bounds hold or fail once and for all. */
#include "core/rng.h"
#include "support/support.h"

#include <math.h>

enum { N = 100000 };

/* The known answers that come with the paper's own code (Random123, kat_vectors). */
static void philox_gives_the_known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t out[4];
        lode_philox4x32(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

/* Saved results depend on the layout of the counter: seed | block, purpose, index. */
static void a_stream_is_philox_of_its_names(void **state) {
    (void)state;
    lode_rng r = lode_rng_stream(0x1122334455667788u, LODE_RNG_TEST, 0xaabbccdd00112233u);
    uint32_t counter[4] = {5, (uint32_t)LODE_RNG_TEST << 24, 0x00112233, 0xaabbccdd}, out[4];
    const uint32_t key[2] = {0x55667788, 0x11223344};
    lode_philox4x32(counter, key, out);
    for (uint64_t j = 0; j < 4; j++) assert_int_equal(lode_rng_u32_at(&r, 20 + j), out[j]);
    counter[1] |= 1; /* positions beyond 2^34 do not wrap around */
    lode_philox4x32(counter, key, out);
    assert_int_equal(lode_rng_u32_at(&r, (uint64_t)1 << 34 | 20), out[0]);
}

static void draws_depend_on_position_alone(void **state) {
    (void)state;
    lode_rng a = lode_rng_stream(1, LODE_RNG_TEST, 2), b = a;
    uint32_t filled[37];
    lode_rng_fill_at(&a, 3, filled, 37);
    assert_int_equal(a.position, 0);
    for (uint64_t i = 0; i < 40; i++) {
        uint32_t x = lode_rng_u32(&b);
        assert_int_equal(x, lode_rng_u32_at(&a, i));
        if (i >= 3) assert_int_equal(x, filled[i - 3]);
    }
    b.position = 3;
    uint64_t two = lode_rng_u64(&b);
    assert_int_equal(two, (uint64_t)filled[1] << 32 | filled[0]);
    assert_int_equal(b.position, 5);
}

static void streams_differ_in_every_name(void **state) {
    (void)state;
    lode_rng r[] = {
        lode_rng_stream(1, LODE_RNG_TEST, 1),
        lode_rng_stream(2, LODE_RNG_TEST, 1),
        lode_rng_stream(1, LODE_RNG_GUMBEL, 1),
        lode_rng_stream(1, LODE_RNG_TEST, 2),
        lode_rng_stream(1ull << 32, LODE_RNG_TEST, 1),
        lode_rng_stream(1, LODE_RNG_TEST, 1ull << 32),
    };
    enum { K = sizeof r / sizeof r[0] };
    for (int i = 0; i < K; i++)
        for (int j = 0; j < i; j++) {
            int same = 0;
            for (uint64_t p = 0; p < 64; p++)
                same += lode_rng_u32_at(&r[i], p) == lode_rng_u32_at(&r[j], p);
            assert_int_equal(same, 0);
        }
}

/* Neighbouring streams, as neighbouring samples use them, are uncorrelated. */
static void neighbouring_streams_are_uncorrelated(void **state) {
    (void)state;
    double sum = 0;
    for (uint64_t i = 0; i < N; i++) {
        lode_rng a = lode_rng_stream(7, LODE_RNG_TEST, i),
                 b = lode_rng_stream(7, LODE_RNG_TEST, i + 1);
        sum += (lode_rng_uniform(&a) - 0.5) * (lode_rng_uniform(&b) - 0.5);
    }
    assert_near(sum / N * 12, 0, 4 / sqrt(N));
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov-Smirnov distance between sorted samples and a distribution. */
static double ks_distance(double *x, int n, double (*cdf)(double)) {
    double d = 0;
    qsort(x, (size_t)n, sizeof *x, compare_doubles);
    for (int i = 0; i < n; i++) {
        double f = cdf(x[i]);
        d = fmax(d, fmax(f - (double)i / n, (double)(i + 1) / n - f));
    }
    return d;
}

static double uniform_cdf(double x) { return x; }
static double normal_cdf(double x) { return 0.5 * erfc(-x / sqrt(2)); }
static double gumbel_cdf(double x) { return exp(-exp(-x)); }

/* 1.95 / sqrt(n): a fair generator exceeds it once in a thousand seeds. */
static void check_distribution(double (*draw)(lode_rng *), double (*cdf)(double), double mean,
                               double variance, uint64_t draws_each) {
    double *x = lode_alloc(N, sizeof *x), sum = 0, sum2 = 0;
    assert_non_null(x);
    lode_rng r = lode_rng_stream(11, LODE_RNG_TEST, 0);
    for (int i = 0; i < N; i++) {
        x[i] = draw(&r);
        sum += x[i];
        sum2 += (x[i] - mean) * (x[i] - mean);
    }
    assert_int_equal(r.position, draws_each * N);
    assert_near(sum / N, mean, 4 * sqrt(variance / N));
    assert_near(sum2 / N / variance, 1, 0.03);
    double d = ks_distance(x, N, cdf);
    assert_true(d < 1.95 / sqrt(N));
    lode_free(x);
}

static void uniform_is_uniform(void **state) {
    (void)state;
    check_distribution(lode_rng_uniform, uniform_cdf, 0.5, 1.0 / 12, 2);
}
static void normal_is_normal(void **state) {
    (void)state;
    check_distribution(lode_rng_normal, normal_cdf, 0, 1, 4);
}
static void gumbel_is_gumbel(void **state) {
    (void)state;
    const double pi = acos(-1);
    check_distribution(lode_rng_gumbel, gumbel_cdf, 0.57721566490153286, pi * pi / 6, 2);
}

static void uniform_at_is_uniform_and_open(void **state) {
    (void)state;
    lode_rng r = lode_rng_stream(3, LODE_RNG_TEST, 0);
    double *x = lode_alloc(N, sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < N; i++) {
        x[i] = lode_rng_uniform_at(&r, (uint64_t)i);
        assert_true(x[i] > 0 && x[i] < 1);
    }
    assert_true(ks_distance(x, N, uniform_cdf) < 1.95 / sqrt(N));
    lode_free(x);
}

/* Every bit of the 32 is set half of the time, and neighbours in a stream are independent. */
static void bits_are_fair(void **state) {
    (void)state;
    int ones[32] = {0}, equal[32] = {0};
    lode_rng r = lode_rng_stream(5, LODE_RNG_TEST, 9);
    uint32_t last = lode_rng_u32(&r);
    for (int i = 0; i < N; i++) {
        uint32_t x = lode_rng_u32(&r);
        for (int b = 0; b < 32; b++) {
            ones[b] += (int)(x >> b & 1);
            equal[b] += (x >> b & 1) == (last >> b & 1);
        }
        last = x;
    }
    for (int b = 0; b < 32; b++) {
        assert_near((double)ones[b] / N, 0.5, 2.5 / sqrt(N));
        assert_near((double)equal[b] / N, 0.5, 2.5 / sqrt(N));
    }
}

static void below_is_fair(void **state) {
    (void)state;
    lode_rng r = lode_rng_stream(13, LODE_RNG_TEST, 0);
    enum { K = 7 };
    int64_t seen[K] = {0};
    for (int i = 0; i < N; i++) {
        int64_t x = lode_rng_below(&r, K);
        assert_true(x >= 0 && x < K);
        seen[x]++;
    }
    double chi2 = 0;
    for (int i = 0; i < K; i++) {
        double e = (double)N / K;
        chi2 += ((double)seen[i] - e) * ((double)seen[i] - e) / e;
    }
    assert_true(chi2 < 22.46); /* 6 degrees of freedom, one in a thousand */
    for (int i = 0; i < 100; i++) assert_int_equal(lode_rng_below(&r, 1), 0);
    /* 3 * 2^61: taking the remainder of a 64-bit draw unchecked would put half of all draws into
       the first third. */
    int64_t n = (int64_t)3 << 61, low = 0;
    for (int i = 0; i < N; i++) low += lode_rng_below(&r, n) < (int64_t)1 << 61;
    assert_near((double)low / N, 1.0 / 3, 4 * sqrt(2.0 / 9 / N));
}

static void pick_follows_the_weights(void **state) {
    (void)state;
    lode_rng r = lode_rng_stream(17, LODE_RNG_TEST, 0);
    const double p[] = {0, 1, 2, 0, 5, 0};
    int seen[6] = {0};
    for (int i = 0; i < N; i++) {
        int k = lode_rng_pick(&r, p, 6);
        assert_in_range(k, 0, 5);
        seen[k]++;
    }
    for (int i = 0; i < 6; i++) {
        double e = p[i] / 8;
        if (p[i] == 0) assert_int_equal(seen[i], 0);
        assert_near((double)seen[i] / N, e, 4 * sqrt(e * (1 - e) / N) + 1e-12);
    }
    const double zero[] = {0, 0, 0}, one[] = {3};
    assert_int_equal(lode_rng_pick(&r, zero, 3), 2);
    assert_int_equal(lode_rng_pick(&r, one, 1), 0);
}

static void permutations_are_fair(void **state) {
    (void)state;
    int seen[24] = {0};
    for (uint64_t i = 0; i < 24000; i++) {
        lode_rng r = lode_rng_stream(19, LODE_RNG_SHUFFLE, i);
        int64_t p[4];
        lode_rng_permutation(&r, p, 4);
        int code = 0, digit[4] = {6, 2, 1, 0};
        for (int a = 0; a < 4; a++) {
            int smaller = 0;
            for (int b = a + 1; b < 4; b++) {
                assert_int_not_equal(p[a], p[b]);
                smaller += p[b] < p[a];
            }
            code += smaller * digit[a];
        }
        seen[code]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 24; i++) chi2 += (seen[i] - 1000.0) * (seen[i] - 1000.0) / 1000;
    assert_true(chi2 < 49.73); /* 23 degrees of freedom, one in a thousand */
    lode_rng r = lode_rng_stream(19, LODE_RNG_SHUFFLE, 0);
    int64_t one = -1;
    lode_rng_permutation(&r, NULL, 0);
    lode_rng_permutation(&r, &one, 1);
    assert_int_equal(one, 0);
}

static void hashes_are_stable_and_spread(void **state) {
    (void)state;
    /* Saved with results, so these may never change; worked out apart, with Python's integers. */
    assert_int_equal(lode_hash_text(""), 0xefd01f60ba992926u);
    assert_int_equal(lode_hash_text("stage1.block0.conv.weight"), 0x2b95557f4174b7cau);
    assert_int_equal(lode_hash_text("ab"), lode_hash_bytes("ab", 2, 0));
    assert_true(lode_hash_bytes("ab", 2, 1) != lode_hash_bytes("ab", 2, 0));
    /* One flipped bit of input flips about half of the output. */
    int flipped = 0;
    for (uint32_t i = 0; i < 1024; i++) {
        uint32_t a = i * 2654435761u, b = a ^ 1u << i % 32;
        uint64_t d = lode_hash_bytes(&a, 4, 0) ^ lode_hash_bytes(&b, 4, 0);
        for (; d != 0; d &= d - 1) flipped++;
    }
    assert_near(flipped / 1024.0 / 64, 0.5, 0.01);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(a_stream_is_philox_of_its_names),
        cmocka_unit_test(draws_depend_on_position_alone),
        cmocka_unit_test(streams_differ_in_every_name),
        cmocka_unit_test(neighbouring_streams_are_uncorrelated),
        cmocka_unit_test(uniform_is_uniform),
        cmocka_unit_test(normal_is_normal),
        cmocka_unit_test(gumbel_is_gumbel),
        cmocka_unit_test(uniform_at_is_uniform_and_open),
        cmocka_unit_test(bits_are_fair),
        cmocka_unit_test(below_is_fair),
        cmocka_unit_test(pick_follows_the_weights),
        cmocka_unit_test(permutations_are_fair),
        cmocka_unit_test(hashes_are_stable_and_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
