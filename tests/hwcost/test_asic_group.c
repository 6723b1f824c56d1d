/* test_asic_group.c: several arrays on a chip: each layer on the one that suits it, energy within a
   deadline against all assignments. labels: unit */
#include "core/memory.h"
#include "core/platform.h"
#include "core/rng.h"
#include "hwcost/asic.h"
#include "hwcost/hardware.h"
#include "hwcost/pricing.h"

#include <math.h>

/* All k^n assignments: the least energy that keeps the deadline; INFINITY: none does. */
static double best_of_all(int n, int k, const double *ms, const double *mj, double deadline) {
    int64_t all = 1;
    double best = INFINITY;
    for (int i = 0; i < n; i++) all *= k;
    for (int64_t code = 0; code < all; code++) {
        double t = 0, e = 0;
        int64_t rest = code;
        for (int i = 0; i < n; i++, rest /= k) {
            t += ms[i * k + rest % k];
            e += mj[i * k + rest % k];
        }
        if (t <= deadline) best = fmin(best, e);
    }
    return best;
}

static void assignments_against_all(void **state) {
    (void)state;
    enum { N = 7, K = 3, TRIALS = 300 };
    lode_rng rng = lode_rng_stream(3, LODE_RNG_TEST, 7);
    double excess = 0;
    int exact = 0, kept = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        double ms[N * K], mj[N * K], fastest = 0, t = 0, e = 0, slow = 0;
        int part[N];
        for (int i = 0; i < N; i++) {
            double least = INFINITY, most = 0;
            for (int k = 0; k < K; k++) {
                ms[i * K + k] = 1 + (double)lode_rng_below(&rng, 100);
                mj[i * K + k] = 1 + (double)lode_rng_below(&rng, 100);
                least = fmin(least, ms[i * K + k]);
                most = fmax(most, ms[i * K + k]);
            }
            fastest += least;
            slow += most;
        }
        double deadline = fastest + (slow - fastest) * ((double)lode_rng_below(&rng, 12) - 1) / 10;
        double want = best_of_all(N, K, ms, mj, deadline);
        bool keeps = lode_asic_assign(N, K, ms, mj, deadline, part, &t, &e);
        double t_again = 0, e_again = 0;
        for (int i = 0; i < N; i++) {
            t_again += ms[i * K + part[i]];
            e_again += mj[i * K + part[i]];
        }
        assert_near(t, t_again, 0);
        assert_near(e, e_again, 0);
        assert_true(keeps == (deadline >= fastest)); /* a deadline that can be kept is kept */
        if (!keeps) {
            assert_near(t, fastest, 0);
            continue;
        }
        kept++;
        assert_true(t <= deadline && e >= want);
        excess += e / want - 1;
        exact += e == want;
    }
    print_message("%d of %d assignments are the best, the mean is %.2f %% above\n", exact, kept,
                  100 * excess / kept);
    assert_true(exact > kept / 2 && excess / kept < 0.05);
}

#define CHIP                                                                                       \
    "name: x\ndtype: f16\nclock_mhz: 100\nenergy: {mac_pj: 2}\n"                                   \
    "area: {fixed_mm2: 1, element_mm2: 0.5, buffer_mm2_per_kib: 0.01}\n"
#define WS   "dataflow: weight_stationary, rows: 8, columns: 8, buffer_kib: 64, dram_gbps: 1"
#define OS   "dataflow: output_stationary, rows: 4, columns: 16, buffer_kib: 32, dram_gbps: 2"
#define PAIR CHIP "kind: asic_group\nparts: [{" WS "}, {" OS "}]\n"
static const char one[] = CHIP "kind: asic\ndataflow: weight_stationary\nrows: 8\ncolumns: 8\n"
                               "buffer_kib: 64\ndram_gbps: 1\n";
static const char two[] = CHIP "kind: asic\ndataflow: output_stationary\nrows: 4\ncolumns: 16\n"
                               "buffer_kib: 32\ndram_gbps: 2\n";
#define NET                                                                                        \
    "name: net\ninput: {channels: 3, size: 24}\nclasses: 10\n"                                     \
    "sets: {s: {a: {op: mbconv, kernel: 3, expand: 3}, b: {op: mbconv, kernel: 5, expand: 6}}}\n"  \
    "layers:\n  - {name: stem, op: conv, kernel: 3, channels: 16}\n"                               \
    "  - {choice: s, channels: 16}\n  - {choice: s, channels: 24, stride: 2}\n"                    \
    "  - {name: pool, op: global_pool}\n  - {name: classifier, op: linear}\n"

static double price(priced_space *f, const char *device, const char *quantity, bool gradient) {
    lode_hardware *h = NULL;
    lode_cost *cost = NULL;
    double v = 0;
    lode_arch arch = {.n = 2, .option = {0, 1}};
    assert_ok(lode_hardware_parse(device, "device", NULL, &h));
    assert_ok(
        lode_cost_from_model(lode_hardware_find_quantity(h, quantity), h->self, f->net, 1, &cost));
    assert_ok(lode_cost_hard(cost, &arch, &v));
    assert_true(lode_cost_has_gradient(cost) == gradient);
    if (gradient) priced_gradient(f, cost);
    lode_cost_close(cost);
    lode_hardware_close(h);
    return v;
}

static void open_text(const char *text, priced_space *f) {
    assert_ok(lode_space_parse(text, "test", NULL, &f->space));
    assert_ok(lode_supernet_create(f->space, NULL, LODE_F32, 1, &f->net));
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &f->trace));
}

/* Call by call: the least of the two devices alone, and the other quantity of the same choice. */
static void layers_go_where_they_suit(void **state) {
    (void)state;
    priced_space f;
    lode_hardware *h[2] = {NULL, NULL};
    lode_arch arch = {.n = 2, .option = {0, 1}};
    double ms = 0, mj_there = 0, mj = 0, ms_there = 0;
    int used[2] = {0, 0};
    open_text(NET, &f);
    assert_ok(lode_hardware_parse(one, "one", NULL, &h[0]));
    assert_ok(lode_hardware_parse(two, "two", NULL, &h[1]));
    assert_ok(lode_supernet_trace_folded(f.net, &arch, 1, f.trace));
    for (int i = 0; i < lode_trace_n(f.trace); i++) {
        double t[2], e[2];
        for (int k = 0; k < 2; k++) {
            const lode_trace_call *call = lode_trace_get(f.trace, i);
            assert_ok(
                lode_hardware_find_quantity(h[k], "latency_ms")->op_cost(h[k]->self, call, &t[k]));
            assert_ok(
                lode_hardware_find_quantity(h[k], "energy_mj")->op_cost(h[k]->self, call, &e[k]));
        }
        int fast = t[1] < t[0] || (t[1] == t[0] && e[1] < e[0]);
        int little = e[1] < e[0] || (e[1] == e[0] && t[1] < t[0]);
        used[fast]++;
        ms += t[fast], mj_there += e[fast];
        mj += e[little], ms_there += t[little];
    }
    assert_true(used[0] > 0 && used[1] > 0);
    assert_near(price(&f, PAIR, "latency_ms", true), ms, 1e-12);
    assert_near(price(&f, PAIR, "energy_mj", true), mj_there, 1e-12);
    assert_near(price(&f, PAIR "assign: energy\n", "energy_mj", true), mj, 1e-12);
    assert_near(price(&f, PAIR "assign: energy\n", "latency_ms", true), ms_there, 1e-12);
    assert_true(ms < ms_there && mj < mj_there);
    /* Within a deadline: little energy when there is time, that of the fastest when there is none,
       between them otherwise. */
    assert_near(price(&f, PAIR "deadline_ms: 1000\n", "energy_by_deadline_mj", false), mj, 1e-12);
    char *tight = lode_format("%sdeadline_ms: %.17g\n", PAIR, ms * 1e-3);
    assert_near(price(&f, tight, "energy_by_deadline_mj", false), mj_there, 1e-12);
    char *half = lode_format("%sdeadline_ms: %.17g\n", PAIR, (ms + ms_there) / 2);
    double between = price(&f, half, "energy_by_deadline_mj", false);
    assert_true(between > mj && between <= mj_there);
    /* 1 + 64 and 64 elements, 64 and 32 KiB */
    assert_near(price(&f, PAIR, "area_mm2", true), 1 + 0.5 * 128 + 0.01 * 96, 1e-12);
    lode_free(half);
    lode_free(tight);
    for (int k = 0; k < 2; k++) lode_hardware_close(h[k]);
    priced_close(&f);
}

/* A space decides keys of the parts, by their number. */
static void parts_are_decisions(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "pair.yaml");
    char *spec = lode_format("latency_ms=%s", path);
    priced_space f;
    lode_cost *cost = NULL;
    assert_ok(lode_file_write_atomic(path, PAIR, strlen(PAIR)));
    open_text(NET "hardware: {parts.0.dataflow: [weight_stationary, row_stationary], parts.1.rows: "
                  "[4, 8], parts.1.columns: [16, 8]}\n",
              &f);
    assert_string_equal(lode_space_decision(f.space, 3)->name, "hardware.parts.1.rows");
    assert_string_equal(lode_space_decision(f.space, 3)->option[1], "rows8");
    assert_ok(lode_cost_open(spec, f.net, 1, &cost));
    for (int code = 0; code < 8; code++) {
        priced_space plain;
        double v = 0;
        lode_arch a = {
            .n = 5,
            .option = {0, 1, (uint8_t)(code / 4), (uint8_t)(code / 2 % 2), (uint8_t)(code % 2)}};
        char *text = lode_format(
            CHIP
            "kind: asic_group\nparts:\n  - {dataflow: %s, rows: 8, columns: 8, buffer_kib: 64, "
            "dram_gbps: 1}\n  - {dataflow: output_stationary, rows: %d, columns: %d, "
            "buffer_kib: 32, dram_gbps: 2}\n",
            code / 4 ? "row_stationary" : "weight_stationary", code / 2 % 2 ? 8 : 4,
            code % 2 ? 8 : 16);
        open_text(NET, &plain);
        assert_ok(lode_cost_hard(cost, &a, &v));
        assert_near(v, price(&plain, text, "latency_ms", true), 1e-12);
        priced_close(&plain);
        lode_free(text);
    }
    priced_gradient(&f, cost);
    lode_cost_close(cost);
    priced_close(&f);
    open_text(NET "hardware: {parts.2.rows: [4]}\n", &f);
    assert_fails(lode_cost_open(spec, f.net, 1, &cost), LODE_ERR_CONFIG, "decides `parts.2.rows`");
    priced_close(&f);
    test_remove_tree(dir);
    lode_free(spec);
    lode_free(path);
    lode_free(dir);
}

static void bad_files_say_what(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {CHIP "kind: asic_group\n", "`parts` wants a list"},
        {CHIP "kind: asic_group\nparts: []\n", "`parts` wants a list"},
        {CHIP "kind: asic_group\nparts: [4]\n", "is a map"},
        {CHIP "kind: asic_group\nparts: [{rows: 8}]\n", "`columns` is missing"},
        {PAIR "assign: both\n", "want latency or energy"},
        {CHIP "kind: asic_group\nparts: [{" WS ", clock_mhz: 3}]\n", "clock_mhz"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lode_hardware *h = NULL;
        assert_fails(lode_hardware_parse(bad[i].text, "x.yaml", NULL, &h), LODE_ERR_CONFIG,
                     bad[i].words);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assignments_against_all),
        cmocka_unit_test(layers_go_where_they_suit),
        cmocka_unit_test(parts_are_decisions),
        cmocka_unit_test(bad_files_say_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
