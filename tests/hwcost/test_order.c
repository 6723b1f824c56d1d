/* test_order.c: peaks worked out on paper, and the best order against all orders of small random
   graphs. labels: unit */
#include "core/rng.h"
#include "hwcost/order.h"
#include "support/support.h"

#include <math.h>

static int tensor(lode_order *s, double bytes) {
    int id = -1;
    assert_ok(lode_order_add_tensor(s, bytes, &id));
    return id;
}

static void node(lode_order *s, const int *in, int n, int out, double ws, uint64_t over,
                 double scratch) {
    lode_order_step step = {.input = in,
                            .n_inputs = n,
                            .output = out,
                            .workspace = ws,
                            .over = over,
                            .over_scratch = scratch};
    assert_ok(lode_order_add_node(s, &step));
}

static double best_of(lode_order *s) {
    double peak = 0, again = 0;
    bool exact = false;
    int *order = LODE_NEW_ARRAY(int, lode_order_n_nodes(s) + 1);
    assert_ok(lode_order_best(s, 0, order, &peak, &exact));
    assert_true(exact);
    assert_ok(lode_order_peak(s, order, &again)); /* the order has that peak */
    assert_true(again == peak);
    lode_free(order);
    return peak;
}

/* methods D6: tensors of 4, 2, 8, 1: 2 and 8 at once. */
static void a_chain(void **state) {
    (void)state;
    lode_order *s = NULL;
    assert_ok(lode_order_create(&s));
    int a = tensor(s, 4), b = tensor(s, 2), c = tensor(s, 8), d = tensor(s, 1);
    double peak = 0;
    node(s, &a, 1, b, 0, 0, 0);
    node(s, &b, 1, c, 0, 0, 0);
    node(s, &c, 1, d, 0, 0, 0);
    lode_order_keep(s, d);
    assert_ok(lode_order_peak(s, NULL, &peak));
    assert_true(peak == 10);
    assert_true(best_of(s) == 10);
    int wrong[] = {1, 0, 2};
    assert_fails(lode_order_peak(s, wrong, &peak), LODE_ERR_INVALID, "node 1 cannot run");
    lode_order_destroy(s);
}

/* x (1) goes through a wide branch (10, then 1) and another one (10, then 1): one after the other
   they need 1 + 1 + 10 at once, side by side 1 + 10 + 10 */
static void branches_one_after_the_other(void **state) {
    (void)state;
    lode_order *s = NULL;
    double given = 0;
    assert_ok(lode_order_create(&s));
    int x = tensor(s, 1), a = tensor(s, 10), b = tensor(s, 10), c = tensor(s, 1), d = tensor(s, 1);
    int both[] = {c, d}, y = tensor(s, 1);
    node(s, &x, 1, a, 0, 0, 0);
    node(s, &x, 1, b, 0, 0, 0);
    node(s, &a, 1, c, 0, 0, 0);
    node(s, &b, 1, d, 0, 0, 0);
    node(s, both, 2, y, 0, 3, 0);
    lode_order_keep(s, y);
    assert_ok(lode_order_peak(s, NULL, &given));
    assert_true(given == 21); /* a, b, and x or c beside them */
    assert_true(best_of(s) == 12);
    lode_order_destroy(s);
}

/* Writing over: only the last reader may, only where it fits, and it costs the scratch. */
static void in_place(void **state) {
    (void)state;
    for (int readers = 1; readers <= 2; readers++)
        for (int larger = 0; larger < 2; larger++) {
            lode_order *s = NULL;
            double peak = 0;
            assert_ok(lode_order_create(&s));
            int x = tensor(s, 8), y = tensor(s, larger ? 9 : 8), z = tensor(s, 1);
            node(s, &x, 1, y, 0, 1, 2);
            if (readers == 2) node(s, &x, 1, z, 0, 0, 0);
            lode_order_keep(s, y);
            assert_ok(lode_order_peak(s, NULL, &peak));
            if (larger)
                assert_true(peak == (readers == 2 ? 18 : 17));
            else
                assert_true(peak == (readers == 2 ? 17 : 10));
            /* With two readers the other goes first: 8 + 1, then in place. */
            if (!larger) assert_true(best_of(s) == 10);
            lode_order_destroy(s);
        }
}

/* ---- against all orders ---- */

typedef struct everything {
    const lode_order *s;
    int n, order[9];
    bool used[9];
    const uint32_t *needs; /* [n] nodes that must be done before */
    double best;
} everything;

static void try_all(everything *e, int at, uint32_t done) {
    if (at == e->n) {
        double peak = 0;
        assert_ok(lode_order_peak(e->s, e->order, &peak));
        if (peak < e->best) e->best = peak;
        return;
    }
    for (int i = 0; i < e->n; i++) {
        if (done >> i & 1 || (e->needs[i] & ~done)) continue;
        e->order[at] = i;
        try_all(e, at + 1, done | 1u << i);
    }
}

static void best_of_all_orders(void **state) {
    (void)state;
    int improved = 0;
    for (int k = 0; k < 400; k++) {
        lode_rng rng = lode_rng_stream(7, LODE_RNG_TEST, (uint64_t)k);
        lode_order *s = NULL;
        int n = 3 + (int)lode_rng_below(&rng, 6), t[10];
        uint32_t needs[9] = {0};
        double given = 0;
        assert_ok(lode_order_create(&s));
        t[0] = tensor(s, 1 + (double)lode_rng_below(&rng, 9));
        for (int i = 0; i < n; i++) {
            int in[3], n_in = 1 + (int)lode_rng_below(&rng, 3);
            for (int j = 0; j < n_in; j++) {
                int from = (int)lode_rng_below(&rng, (uint64_t)i + 1); /* 0: the input */
                in[j] = t[from];
                if (from > 0) needs[i] |= 1u << (from - 1);
            }
            t[i + 1] = tensor(s, 1 + (double)lode_rng_below(&rng, 9));
            node(s, in, n_in, t[i + 1], (double)lode_rng_below(&rng, 4),
                 lode_rng_below(&rng, 2) ? 1 : 0, (double)lode_rng_below(&rng, 3));
        }
        lode_order_keep(s, t[n]);
        everything e = {.s = s, .n = n, .needs = needs, .best = INFINITY};
        try_all(&e, 0, 0);
        assert_true(best_of(s) == e.best);
        assert_ok(lode_order_peak(s, NULL, &given));
        improved += e.best < given;
        lode_order_destroy(s);
    }
    assert_true(improved > 50); /* the test would be idle if orders did not matter */
}

static void limits_and_memory(void **state) {
    (void)state;
    lode_order *s = NULL;
    bool exact = true;
    double peak = 0, given = 0;
    assert_ok(lode_order_create(&s));
    int x = tensor(s, 5), end[12];
    for (int i = 0; i < 12; i++) { /* twelve branches up and down */
        int up = tensor(s, 20 + i);
        end[i] = tensor(s, 3 + i % 4);
        node(s, &x, 1, up, 0, 0, 0);
        node(s, &up, 1, end[i], i, 0, 0);
    }
    int y = tensor(s, 2);
    node(s, end, 12, y, 0, 0, 0);
    lode_order_keep(s, y);
    assert_ok(lode_order_peak(s, NULL, &given));
    assert_ok(lode_order_best(s, 2, NULL, &peak, &exact));
    assert_false(exact);
    assert_true(peak <= given);
    assert_true(best_of(s) <= peak);
    for (int64_t k = 0;; k++) {
        test_fail_allocation(k);
        lode_status status = lode_order_best(s, 500, NULL, &peak, &exact);
        test_fail_allocation(-1);
        if (status == LODE_OK) break;
        assert_int_equal(status, LODE_ERR_NO_MEMORY);
    }
    lode_order_destroy(s);
}

/* Addresses of random graphs, some results over their inputs: what is live is the peak of the
   order, and tensors that are alive together do not overlap. */
static void addresses_of_random_graphs(void **state) {
    (void)state;
    lode_rng rng = lode_rng_stream(8, LODE_RNG_TEST, 2);
    int gaps = 0;
    for (int k = 0; k < 200; k++) {
        enum { N = 12 };
        lode_order *s = NULL;
        double bytes[N + 1], peak = 0;
        int last[N + 1], from[N + 1];
        int64_t at[N + 1];
        lode_arena a;
        assert_ok(lode_order_create(&s));
        for (int i = 0; i <= N; i++) {
            bytes[i] = (double)(1 + lode_rng_below(&rng, 20));
            assert_int_equal(tensor(s, bytes[i]), i);
            last[i] = from[i] = i - 1; /* nobody reads it: gone after its own step */
        }
        for (int i = 0; i < N; i++) { /* node i writes tensor i + 1 */
            const int in[2] = {i, (int)lode_rng_below(&rng, i + 1)};
            node(s, in, 2, i + 1, (double)lode_rng_below(&rng, 3),
                 (uint64_t)lode_rng_below(&rng, 4), (double)lode_rng_below(&rng, 2));
            last[in[0]] = last[in[1]] = i;
        }
        lode_order_keep(s, N);
        assert_ok(lode_order_peak(s, NULL, &peak));
        assert_ok(lode_order_place(s, NULL, at, &a));
        assert_true((double)a.live == peak && a.bytes >= a.live);
        gaps += a.bytes > a.live;
        for (int i = 0; i <= N; i++)
            for (int j = 0; j < i; j++) {
                /* After j's last step and before i's first they may share bytes; at that step only
                   a result that is written over its input does. */
                const bool over = last[j] == from[i] && at[i] == at[j] && bytes[i] <= bytes[j];
                const bool together = from[i] <= last[j] && from[j] <= last[i] && !over;
                const bool apart = (double)at[i] >= (double)at[j] + bytes[j] ||
                                   (double)at[j] >= (double)at[i] + bytes[i];
                assert_true(at[i] >= 0 && (!together || apart));
            }
        lode_order_destroy(s);
    }
    print_message("%d of 200 have gaps\n", gaps);
    assert_true(gaps > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain),
        cmocka_unit_test(addresses_of_random_graphs),
        cmocka_unit_test(branches_one_after_the_other),
        cmocka_unit_test(in_place),
        cmocka_unit_test(best_of_all_orders),
        cmocka_unit_test(limits_and_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
