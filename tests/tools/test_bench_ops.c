/* The calls that `lode bench ops` measures, and one of them on its kernels. labels: unit */
#include "support/support.h"
#include "tools/bench_ops.h"

#include <string.h>

static lode_tape *recorded(void) {
    lode_tape *t;
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &t));
    assert_ok(bench_record_operators(t));
    return t;
}

/* An operator that comes new into ops.def gets a line in tools/bench_cases.c. */
static void every_operator_is_measured(void **state) {
    (void)state;
    lode_tape *t = recorded();
    for (int i = 0; i < lode_n_ops(); i++) {
        bool found = false;
        for (int k = 0; k < lode_trace_n(t); k++)
            found = found || lode_trace_get(t, k)->call.op == lode_op_at(i);
        if (!found) fail_msg("tools/bench_cases.c has no case of %s", lode_op_at(i)->name);
    }
    lode_tape_destroy(t);
}

static const lode_trace_call *find(const lode_tape *t, const char *text) {
    for (int i = 0; i < lode_trace_n(t); i++) {
        char *s = lode_call_text(&lode_trace_get(t, i)->call);
        bool here = s && strcmp(s, text) == 0;
        lode_free(s);
        if (here) return lode_trace_get(t, i);
    }
    fail_msg("no case %s", text);
    return NULL;
}

/* Work is counted as the page says; all providers that take the call give the same. */
static void a_call_is_counted_and_runs(void **state) {
    (void)state;
    bench_call b;
    lode_tape *t = recorded();
    assert_ok(bench_call_open(find(t, "conv2d s1 p1 d1 g96 [1,96,28,28] [96,1,3,3] f32"), &b));
    double image = 96 * 28 * 28, weights = 96 * 9;
    assert_near(b.flops[0], 2 * image * 9, 0);
    assert_near(b.flops[1], 4 * image * 9, 0);
    assert_near(b.bytes[0], 4 * (2 * image + weights), 0);
    assert_near(b.bytes[1], 4 * (3 * image + 2 * weights), 0);
    int n = 0;
    double first = 0, first_dw = 0;
    for (int i = 0; i < lode_n_providers(); i++) {
        const lode_kernel *k = bench_call_kernel(&b, lode_provider_at(i), false);
        const lode_kernel *back = bench_call_kernel(&b, lode_provider_at(i), true);
        if (!k) continue;
        size_t bytes = k->workspace ? k->workspace(&b.call, false) : 0,
               back_bytes = back && back->workspace ? back->workspace(&b.call, true) : 0;
        if (back_bytes > bytes) bytes = back_bytes;
        void *memory = lode_alloc_aligned(bytes + 64, 64);
        assert_non_null(memory);
        assert_ok(bench_call_run(&b, k, false, memory, bytes));
        if (back) assert_ok(bench_call_run(&b, back, true, memory, bytes));
        if (n++ == 0) {
            first = lode_at(b.call.y, 100);
            first_dw = lode_at(b.dx[1], 5);
        }
        assert_near(lode_at(b.call.y, 100), first, 1e-4);
        if (back) assert_near(lode_at(b.dx[1], 5), first_dw, 1e-3);
        lode_free(memory);
    }
    assert_true(n >= 2);
    bench_call_close(&b);
    lode_tape_destroy(t);
}

/* Running statistics, labels and noise get no gradient. */
static void gradients_go_where_training_sends_them(void **state) {
    (void)state;
    bench_call b;
    lode_tape *t = recorded();
    assert_ok(
        bench_call_open(find(t, "batch_norm batch [64,384,8,8] [384] [384] [384] [384] f32"), &b));
    assert_true(b.dx[0] && b.dx[1] && b.dx[2]);
    assert_true(!b.dx[3] && !b.dx[4]);
    bench_call_close(&b);
    assert_ok(bench_call_open(find(t, "cross_entropy [64,10] [64]:s32 f32"), &b));
    assert_true(b.dx[0] && !b.dx[1]);
    for (int i = 0; i < 64; i++) assert_true(lode_at(b.x[1], i) >= 0 && lode_at(b.x[1], i) < 10);
    bench_call_close(&b);
    assert_ok(bench_call_open(find(t, "argmax_onehot [64,9] f32"), &b));
    for (int i = 0; i < lode_n_providers(); i++)
        assert_null(bench_call_kernel(&b, lode_provider_at(i), true));
    bench_call_close(&b);
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_is_measured),
        cmocka_unit_test(a_call_is_counted_and_runs),
        cmocka_unit_test(gradients_go_where_training_sends_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
