/* Counted work is additive over the batch: with weights read once, every count is a + b * batch,
   multiply-accumulates and bytes written have a = 0. For every operator, from the table. */
#include "support/walk.h"

static lode_op_count count_of(walk_call *w) {
    lode_op_count count = {-1, -1, -1, -1};
    lode_tensor *y = NULL;
    assert_ok(lode_tensor_shapeless_storage(w->in.dtype, &w->in.shape, w->in.layout, &y));
    w->c.y = y;
    w->c.op->count(&w->c, &count);
    w->c.y = NULL;
    lode_tensor_release(y);
    return count;
}

static void check_affine(const char *name, const char *what, double one, double two, double three) {
    if (two - one != three - two)
        fail_msg("%s: %s are %.17g, %.17g, %.17g for batches of 1, 2, 3 parts", name, what, one,
                 two, three);
}

static void check_growth(const walk_call *w, unsigned batch) {
    walk_call more[3];
    lode_op_count n[3];
    for (int i = 0; i < 3; i++) {
        walk_grow(&more[i], w, batch, i + 1);
        n[i] = count_of(&more[i]);
        walk_free(&more[i]);
    }
    check_affine(w->name, "macs", n[0].macs, n[1].macs, n[2].macs);
    check_affine(w->name, "flops", n[0].flops, n[1].flops, n[2].flops);
    check_affine(w->name, "bytes read", n[0].bytes_read, n[1].bytes_read, n[2].bytes_read);
    check_affine(w->name, "bytes written", n[0].bytes_written, n[1].bytes_written,
                 n[2].bytes_written);
    if (n[1].macs != 2 * n[0].macs) fail_msg("%s: macs do not double with the batch", w->name);
}

static void check_one(walk_call *w) {
    lode_op_count n = count_of(w);
    double most = 0;
    for (int i = 0; i < w->e.n_x; i++)
        if (w->e.x[i] != NULL) most += (double)lode_tensor_bytes(w->e.x[i]);
    double written = (double)lode_shape_count(&w->in.shape) * (double)lode_dtype_size(w->in.dtype);
    if (n.macs < 0 || n.flops < 2 * n.macs)
        fail_msg("%s: %g macs are at least twice as many flops, not %g", w->name, n.macs, n.flops);
    if (n.bytes_written != written)
        fail_msg("%s: writes %g bytes, not %g", w->name, written, n.bytes_written);
    if (n.bytes_read < 0 || (n.bytes_read > most && n.bytes_read > most + written))
        fail_msg("%s: reads %g bytes of %g", w->name, n.bytes_read, most);
}

static void test_counts_are_additive_over_the_batch(void **state) {
    (void)state;
    walk_call w;
    for (int o = 0; o < lode_n_ops(); o++) {
        const lode_op *op = lode_op_at(o);
        int n_grown = 0;
        for (int k = 0; k < WALK_EXAMPLES && walk_make(&w, op, LODE_F32, k); k++) {
            check_one(&w);
            unsigned batch = walk_batch(&w);
            if (batch != 0) check_growth(&w, batch);
            n_grown += batch != 0;
            walk_free(&w);
        }
        /* Only what makes its output out of nothing has no batch. */
        if (n_grown == 0 && !(op->stochastic && op->not_differentiable))
            fail_msg("%s: no example could be made larger", op->name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts_are_additive_over_the_batch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
