/* test_parallel.c: every element once, the same pieces and the same bits at any thread count. */
#include "core/parallel.h"
#include "core/platform.h"
#include "core/rng.h"
#include "support/support.h"

#include <math.h>

enum { N = 100003 };

typedef struct job {
    unsigned char *seen; /* [n] */
    int64_t grain, n;
    int *bad;
} job;

static void mark(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    const job *j = ctx;
    if (begin != piece * j->grain || end <= begin || end > j->n || end - begin > j->grain)
        *j->bad = 1; /* any thread may say so */
    for (int64_t i = begin; i < end; i++) j->seen[i]++;
}

static void every_element_is_visited_once(void **state) {
    (void)state;
    static const int64_t sizes[] = {0, 1, 2, 7, 64, 1000}, grains[] = {1, 3, 64, 1000, 5000};
    for (int threads = 1; threads <= 5; threads += 2)
        for (int s = 0; s < 6; s++)
            for (int g = 0; g < 5; g++) {
                unsigned char seen[1000] = {0};
                int bad = 0;
                job j = {seen, grains[g], sizes[s], &bad};
                lode_set_threads(threads);
                lode_parallel_for(sizes[s], grains[g], mark, &j);
                assert_int_equal(bad, 0);
                for (int64_t i = 0; i < 1000; i++) assert_int_equal(seen[i], i < sizes[s]);
            }
    lode_set_threads(0);
}

static void pieces_are_counted(void **state) {
    (void)state;
    assert_int_equal(lode_parallel_pieces(0, 4), 0);
    assert_int_equal(lode_parallel_pieces(-3, 4), 0);
    assert_int_equal(lode_parallel_pieces(1, 4), 1);
    assert_int_equal(lode_parallel_pieces(4, 4), 1);
    assert_int_equal(lode_parallel_pieces(5, 4), 2);
    assert_int_equal(lode_parallel_pieces(INT64_MAX, INT64_MAX), 1);
    assert_int_equal(lode_parallel_pieces(INT64_MAX, 1), INT64_MAX);
}

static double term(void *ctx, int64_t begin, int64_t end) {
    const double *x = ctx;
    double sum = 0;
    for (int64_t i = begin; i < end; i++) sum += x[i];
    return sum;
}

static void sums_have_the_same_bits_at_any_width(void **state) {
    (void)state;
    double *x = lode_alloc(N, sizeof *x);
    assert_non_null(x);
    lode_rng r = lode_rng_stream(1, LODE_RNG_TEST, 0);
    for (int i = 0; i < N; i++) x[i] = exp(20 * lode_rng_uniform(&r)) * (i % 2 == 0 ? 1 : -1);
    lode_set_threads(1);
    double one = lode_parallel_sum(N, 100, term, x), by_hand = 0;
    for (int64_t begin = 0; begin < N; begin += 100)
        by_hand += term(x, begin, begin + 100 < N ? begin + 100 : N);
    assert_true(one == by_hand);
    for (int threads = 2; threads <= 7; threads++) {
        lode_set_threads(threads);
        for (int repeat = 0; repeat < 5; repeat++)
            assert_true(lode_parallel_sum(N, 100, term, x) == one);
    }
    assert_true(lode_parallel_sum(0, 100, term, x) == 0);
    lode_set_threads(0);
    lode_free(x);
}

static void nested(void *ctx, int64_t piece, int64_t begin, int64_t end) {
    (void)begin, (void)end;
    int64_t *sums = ctx;
    sums[piece] = (int64_t)lode_parallel_sum(1000, 10, term, (double[1000]){[5] = 3});
}

static void loops_within_loops_run(void **state) {
    (void)state;
    int64_t sums[20] = {0};
    lode_set_threads(4);
    lode_parallel_for(20, 1, nested, sums);
    for (int i = 0; i < 20; i++) assert_int_equal(sums[i], 3);
    lode_set_threads(0);
}

static void threads_are_set(void **state) {
    (void)state;
    lode_set_threads(0);
    int all = lode_get_threads();
    assert_true(all >= 1 && all <= lode_cpu_get().n_cores);
    lode_set_threads(3);
    assert_true(lode_get_threads() == 3 || all == 1); /* 1: built without OpenMP */
    lode_set_threads(-5);
    assert_int_equal(lode_get_threads(), all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_element_is_visited_once),
        cmocka_unit_test(pieces_are_counted),
        cmocka_unit_test(sums_have_the_same_bits_at_any_width),
        cmocka_unit_test(loops_within_loops_run),
        cmocka_unit_test(threads_are_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
