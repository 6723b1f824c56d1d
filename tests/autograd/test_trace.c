/* test_trace.c: what a trace says about a forward that never ran. */
#include "support/support.h"
#include "tests/autograd/tiny_ops.h"

static lode_tensor *vector(int64_t n) {
    lode_tensor *t = NULL;
    assert_ok(lode_tensor_zeros(NULL, LODE_F32, &LODE_SHAPE1(n), LODE_CONTIGUOUS, &t));
    return t;
}
static lode_tape *new_trace(void) {
    lode_tape *t = NULL;
    assert_ok(lode_tape_create(LODE_TRACE, NULL, &t));
    return t;
}

static lode_status never(const lode_op_call *c) {
    (void)c;
    return LODE_FAIL(LODE_ERR_INTERNAL, "a kernel ran in a trace");
}

/* x, w given; "stem/": a = w x; h = half(a), a view; b = h + h; out: s = drop(b) */
static void test_calls(void **state) {
    (void)state;
    lode_tape *t = new_trace();
    lode_tensor *tx = vector(8), *tw = vector(8);
    int64_t in_use = lode_device_get_stats(lode_cpu_device()).bytes_in_use;
    lode_var *x = lode_tape_constant(t, tx), *w = lode_tape_leaf(t, tw, NULL);
    lode_scope s = lode_tape_enter(t, "stem");
    lode_scope in = lode_tape_enter(t, "conv");
    lode_var *a = lode_tape_leave(t, in, t_mul(t, w, x));
    lode_var *h = t_half(t, a, false), *b = lode_tape_leave(t, s, t_add(t, h, h));
    assert_null(a->value);
    lode_tape_set_step(t, 3, 4);
    lode_var *d = t_drop(t, b, NULL, 0.5);
    assert_ok(lode_tape_status(t));
    assert_int_equal(lode_device_get_stats(lode_cpu_device()).bytes_in_use, in_use);

    assert_int_equal(lode_trace_n(t), 4);
    assert_int_equal(lode_trace_n_values(t), 6);
    const struct {
        const char *op, *label;
        int x0, x1, y, last_use; /* of y */
        bool is_view;
        double flops;
    } want[] = {{"mul", "stem/conv", 1, 0, 2, 2, false, 8},
                {"half", "stem", 2, -1, 3, 2, true, 4},
                {"add", "stem", 3, 3, 4, 3, false, 4},
                {"drop", "", 4, -1, 5, 3, false, 4}};
    for (int i = 0; i < 4; i++) {
        const lode_trace_call *c = lode_trace_get(t, i);
        assert_string_equal(c->call.op->name, want[i].op);
        assert_string_equal(c->label, want[i].label);
        assert_int_equal(c->x_id[0], want[i].x0);
        if (c->call.n_x > 1) assert_int_equal(c->x_id[1], want[i].x1);
        assert_int_equal(c->y_id, want[i].y);
        assert_int_equal(lode_trace_last_use(t, c->y_id), want[i].last_use);
        assert_int_equal(c->is_view, want[i].is_view);
        assert_true(c->count.flops == want[i].flops);
        assert_null(c->call.y->data);
        assert_null(c->call.x[0]->data);
        assert_int_equal(c->call.y->shape.dim[0], want[i].flops == 8 ? 8 : 4);
    }
    const lode_trace_call *drop = lode_trace_get(t, 3);
    assert_null(drop->call.x[1]);
    assert_int_equal(drop->call.aux[0]->dtype, LODE_U8);
    assert_null(drop->call.aux[0]->data);
    assert_true(((const tiny_drop_params *)drop->call.params)->p == 0.5);
    assert_int_equal(lode_trace_last_use(t, 0), 0);
    assert_int_equal(lode_trace_id(d), 5);
    assert_null(lode_trace_get(t, 4));
    assert_null(lode_trace_get(t, -1));
    assert_int_equal(lode_trace_last_use(t, 6), -1);
    assert_int_equal(lode_trace_last_use(t, -1), -1);
    lode_tape_reset(t);
    assert_int_equal(lode_trace_n(t), 0);
    lode_tape_destroy(t);
    lode_tensor_release(tx);
    lode_tensor_release(tw);
}

static void test_no_kernel(void **state) {
    (void)state;
    const lode_op op = {.name = "never",
                        .n_inputs = 1,
                        .n_required = 1,
                        .infer = tiny_same,
                        .reference = {never, NULL}};
    lode_tape *t = new_trace();
    lode_tensor *a = vector(4);
    lode_var *x = lode_tape_leaf(t, a, NULL);
    lode_tape_check_finite(t, true);
    assert_non_null(lode_apply(t, &op, &x, 1, NULL));
    const lode_trace_call *c = lode_trace_get(t, 0);
    assert_true(c->count.flops == 0 && !c->call.train); /* an op without count counts nothing */
    lode_var *loss = t_sum(t, x);
    assert_fails(lode_backward(t, loss, 1), LODE_ERR_INVALID, "TRAIN");
    lode_tape_destroy(t);
    lode_tensor_release(a);
}

/* The same tensor given twice is one value; a detached var is its origin; unused values. */
static void test_ids(void **state) {
    (void)state;
    lode_tape *t = new_trace();
    lode_tensor *a = vector(4), *b = vector(4);
    lode_var *x = lode_tape_leaf(t, a, NULL), *again = lode_tape_constant(t, a);
    lode_var *unused = lode_tape_constant(t, b), *y = t_mul(t, x, again);
    lode_var *d = lode_detach(t, y), *z = t_add(t, d, x);
    assert_int_equal(lode_trace_id(x), lode_trace_id(again));
    assert_int_equal(lode_trace_id(d), lode_trace_id(y));
    assert_int_not_equal(lode_trace_id(unused), lode_trace_id(x));
    assert_int_equal(lode_trace_last_use(t, lode_trace_id(unused)), -1);
    assert_int_equal(lode_trace_last_use(t, lode_trace_id(y)), 1);
    assert_int_equal(lode_trace_last_use(t, lode_trace_id(z)), 1);
    assert_int_equal(lode_trace_n_values(t), 4);
    lode_tape_destroy(t);
    lode_tensor_release(a);
    lode_tensor_release(b);
}

/* A view of a view used late keeps the base to the end. */
static void test_view_chain(void **state) {
    (void)state;
    lode_tape *t = new_trace();
    lode_tensor *a = vector(16), *b = vector(4);
    lode_var *base = t_tanh(t, lode_tape_leaf(t, a, NULL));
    lode_var *quarter = t_half(t, t_half(t, base, false), false),
             *c = t_tanh(t, lode_tape_leaf(t, b, NULL));
    t_add(t, t_tanh(t, c), quarter); /* call 5 */
    assert_ok(lode_tape_status(t));
    assert_int_equal(lode_trace_n(t), 6);
    assert_int_equal(lode_trace_last_use(t, lode_trace_id(base)), 5);
    assert_int_equal(lode_trace_last_use(t, lode_trace_id(c)), 4);
    lode_tape_destroy(t);
    lode_tensor_release(a);
    lode_tensor_release(b);
}

/* Records of early calls stay where they are while the trace grows. */
static void test_growth(void **state) {
    (void)state;
    lode_tape *t = new_trace();
    lode_tensor *a = vector(4);
    lode_var *x = lode_tape_leaf(t, a, NULL);
    x = t_tanh(t, x);
    const lode_trace_call *first = lode_trace_get(t, 0);
    for (int i = 0; i < 2000; i++) x = t_tanh(t, x);
    assert_ptr_equal(first, lode_trace_get(t, 0));
    for (int i = 0; i < 2001; i++) assert_int_equal(lode_trace_get(t, i)->y_id, i + 1);
    lode_tape_destroy(t);
    lode_tensor_release(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls), cmocka_unit_test(test_no_kernel), cmocka_unit_test(test_ids),
        cmocka_unit_test(test_view_chain), cmocka_unit_test(test_growth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
