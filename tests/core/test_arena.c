/* test_arena.c: addresses by first fit: examples on paper, and what must hold for any blocks.
   labels: unit, property */
#include "core/arena.h"
#include "core/rng.h"
#include "support/support.h"

static lode_arena plan(const lode_arena_part *part, int64_t n, int n_blocks, int64_t *offset) {
    lode_arena out;
    assert_ok(lode_arena_plan(part, n, n_blocks, offset, &out));
    return out;
}

/* Lifetimes are half open: what ends at step 2 and what begins there share their bytes; two of the
   same life never do. */
static void lifetimes(void **state) {
    (void)state;
    int64_t at[3];
    const lode_arena_part after[] = {{0, 0, 2, 8}, {1, 2, 4, 8}};
    assert_int_equal(plan(after, 2, 2, at).bytes, 8);
    assert_int_equal(at[0], at[1]);
    const lode_arena_part same[] = {{0, 1, 3, 8}, {1, 1, 3, 8}, {2, 1, 3, 8}};
    assert_int_equal(plan(same, 3, 3, at).bytes, 24);
    const lode_arena_part never[] = {{0, 1, 3, 8}, {1, 2, 2, 5}, {2, 0, 3, 0}};
    assert_int_equal(plan(never, 3, 3, at).bytes, 8);
    assert_int_equal(plan(NULL, 0, 0, NULL).bytes, 0);
}

/* Three one after another by begin: 2 at 0, 3 over it, and when the 2 is gone a 4 that its gap does
   not hold goes on top: 9. By size the 4 lies at 0, the 3 over it, the 2 under the 3: 7. */
static void the_better_order(void **state) {
    (void)state;
    int64_t at[3];
    const lode_arena_part p[] = {{0, 0, 2, 2}, {1, 1, 4, 3}, {2, 2, 4, 4}};
    const lode_arena a = plan(p, 3, 3, at);
    assert_int_equal(a.live, 7);
    assert_int_equal(a.bytes, 7);
    assert_true(a.by_size);
    assert_int_equal(at[2], 0);
    assert_int_equal(at[1], 4);
    assert_int_equal(at[0], 0);
}

/* A block that shrinks to 2 of 10 bytes at step 3 leaves room behind it. */
static void parts_of_a_block(void **state) {
    (void)state;
    int64_t at[2];
    const lode_arena_part p[] = {{0, 0, 3, 10}, {0, 3, 6, 2}, {1, 3, 6, 8}};
    assert_int_equal(plan(p, 3, 2, at).bytes, 10);
    assert_int_equal(at[0], 0);
    assert_int_equal(at[1], 2);
}

static void refuses(void **state) {
    (void)state;
    lode_arena out;
    assert_fails(lode_arena_plan(&(lode_arena_part){1, 0, 1, 1}, 1, 1, NULL, &out),
                 LODE_ERR_INVALID, "block 1 of 1");
    assert_fails(lode_arena_plan(&(lode_arena_part){0, 2, 1, 1}, 1, 1, NULL, &out),
                 LODE_ERR_INVALID, "steps 2 to 1");
}

enum { N = 40, STEPS = 30 };

/* Byte by byte: no two owners at any step, nothing beyond the arena, never below the live bytes. */
static void nothing_overlaps(void **state) {
    (void)state;
    lode_rng rng = lode_rng_stream(4, LODE_RNG_TEST, 9);
    int gaps = 0, by_size = 0;
    for (int k = 0; k < 300; k++) {
        lode_arena_part part[2 * N];
        int64_t at[N], n = 0, most = 0;
        const int blocks = 1 + (int)lode_rng_below(&rng, N);
        for (int b = 0; b < blocks; b++) {
            const int64_t begin = (int64_t)lode_rng_below(&rng, STEPS - 1);
            const int64_t end = begin + 1 + (int64_t)lode_rng_below(&rng, STEPS - begin);
            const int64_t bytes = 1 + (int64_t)lode_rng_below(&rng, 50);
            const int64_t cut = begin + (int64_t)lode_rng_below(&rng, end - begin);
            part[n++] = (lode_arena_part){b, begin, cut, bytes};
            part[n++] = (lode_arena_part){b, cut, end, 1 + (int64_t)lode_rng_below(&rng, bytes)};
        }
        const lode_arena a = plan(part, n, blocks, at);
        for (int64_t t = 0; t < STEPS; t++) {
            static unsigned char used[N * 50];
            int64_t sum = 0;
            memset(used, 0, sizeof used);
            for (int64_t i = 0; i < n; i++) {
                if (part[i].begin > t || t >= part[i].end) continue;
                sum += part[i].bytes;
                assert_true(at[part[i].block] >= 0 && at[part[i].block] + part[i].bytes <= a.bytes);
                for (int64_t j = 0; j < part[i].bytes; j++)
                    assert_int_equal(used[at[part[i].block] + j]++, 0);
            }
            if (sum > most) most = sum;
        }
        assert_int_equal(a.live, most);
        assert_true(a.bytes >= most);
        gaps += a.bytes > most;
        by_size += a.by_size;
    }
    print_message("%d of 300 plans have gaps, %d are by size\n", gaps, by_size);
    assert_true(by_size > 0 && gaps > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lifetimes),        cmocka_unit_test(the_better_order),
        cmocka_unit_test(parts_of_a_block), cmocka_unit_test(refuses),
        cmocka_unit_test(nothing_overlaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
