/* labels: unit, property
   Providers that promise it give the same bits with 1, 2 and 3 threads, forward and backward, for
   every operator; on batches large enough to be cut into several grains. */
#include "core/parallel.h"
#include "support/walk.h"

enum { MOST_ELEMENTS = 40000 };

static int larger_by(const walk_call *w) {
    int64_t n = lode_shape_count(&w->in.shape);
    for (int i = 0; i < w->e.n_x; i++)
        if (w->e.x[i] != NULL && lode_tensor_count(w->e.x[i]) > n) n = lode_tensor_count(w->e.x[i]);
    int64_t factor = MOST_ELEMENTS / (n + 1);
    return factor < 1 ? 1 : factor > 40 ? 40 : (int)factor;
}

static void run(walk_call *out, const walk_call *w, unsigned batch, int factor,
                const lode_runner *runner, int threads, int k) {
    lode_set_threads(threads);
    walk_grow(out, w, batch, factor);
    walk_outputs(out, k);
    walk_forward(out, runner);
    if (!w->c.op->not_differentiable) walk_backward(out, runner);
}

static void check_same(const walk_call *a, const walk_call *b, const char *who, int threads) {
    bool same = lode_tensor_equal_bits(a->c.y, b->c.y);
    for (int i = 0; i < a->in.n_aux; i++)
        same = same && lode_tensor_equal_bits(a->c.aux[i], b->c.aux[i]);
    for (int i = 0; i < a->e.n_x && !a->c.op->not_differentiable; i++)
        same = same && (a->dx[i] == NULL || lode_tensor_equal_bits(a->dx[i], b->dx[i]));
    if (!same) fail_msg("%s: %s gives other bits with %d threads", a->name, who, threads);
}

static int check_call(const lode_op *op, int k, lode_dispatch *d, const lode_provider *p) {
    walk_call w, one, many;
    const lode_runner *runner = lode_dispatch_runner(d);
    if (!walk_make(&w, op, LODE_F32, k)) return -1;
    unsigned batch = walk_batch(&w);
    int factor = batch != 0 ? larger_by(&w) : 1;
    run(&one, &w, batch, factor, runner, 1, k);
    int n = one.c.provider == p;
    for (int threads = 2; n > 0 && threads <= 3; threads++) {
        run(&many, &w, batch, factor, runner, threads, k);
        check_same(&one, &many, p->name, threads);
        walk_free(&many);
    }
    walk_free(&one);
    walk_free(&w);
    return n;
}

static void test_same_bits_at_any_number_of_threads(void **state) {
    (void)state;
    for (int i = 0; i < lode_n_providers(); i++) {
        const lode_provider *p = lode_provider_at(i);
        lode_dispatch_options options = {.providers = p->name, .deterministic = true};
        lode_dispatch *d = NULL;
        int n = 0, one;
        if (!p->same_bits_any_threads || (p->available != NULL && !p->available())) {
            print_message("SKIPPED: provider %s makes no such promise here\n", p->name);
            continue;
        }
        assert_ok(lode_dispatch_create(&options, &d));
        for (int o = 0; o < lode_n_ops(); o++)
            for (int k = 0; k < 12 && (one = check_call(lode_op_at(o), k, d, p)) >= 0; k++)
                n += one;
        lode_dispatch_destroy(d);
        print_message("%s: %d calls\n", p->name, n);
        assert_true(n > 0);
    }
    lode_set_threads(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits_at_any_number_of_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
