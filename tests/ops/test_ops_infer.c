/* What infer says is what forward fills, what a view is, and what a trace sees; and calls that make
   no sense are refused with a message. For every operator, from the table. */
#include "support/walk.h"

#include <math.h>

static void check_filled(const walk_call *w, const lode_tensor *t, const char *what) {
    for (int64_t i = 0; i < lode_tensor_count(t); i++)
        if (!isfinite(lode_at(t, i)))
            fail_msg("%s: %s[%lld] was left undefined", w->name, what, (long long)i);
}

/* y and aux begin as NaN: every element inferred is written; gradients too. */
static void test_forward_and_backward_fill_what_was_inferred(void **state) {
    (void)state;
    walk_call w;
    for (int o = 0; o < lode_n_ops(); o++)
        for (int k = 0; k < WALK_EXAMPLES && walk_make(&w, lode_op_at(o), LODE_F64, k); k++) {
            walk_outputs(&w, k);
            walk_forward(&w, lode_reference_runner());
            check_filled(&w, w.c.y, "y");
            for (int i = 0; i < w.in.n_aux; i++) check_filled(&w, w.c.aux[i], "aux");
            if (!w.c.op->not_differentiable) walk_backward(&w, lode_reference_runner());
            for (int i = 0; i < w.e.n_x && !w.c.op->not_differentiable; i++)
                if (w.dx[i] != NULL) check_filled(&w, w.dx[i], "dx");
            walk_free(&w);
        }
}

/* A view shows what forward would have computed. */
static void test_views_equal_forward(void **state) {
    (void)state;
    walk_call w;
    int n_views = 0;
    for (int o = 0; o < lode_n_ops(); o++)
        for (int k = 0; k < WALK_EXAMPLES && walk_make(&w, lode_op_at(o), LODE_F64, k); k++) {
            lode_tensor *view = NULL;
            if (w.c.op->view != NULL && w.c.op->view(&w.c, &view) == LODE_OK) {
                n_views++;
                walk_outputs(&w, k);
                walk_forward(&w, lode_reference_runner());
                if (!lode_shape_equal(&view->shape, &w.in.shape) || view->dtype != w.in.dtype)
                    fail_msg("%s: the view has not the inferred shape", w.name);
                if (walk_distance(view, w.c.y) != 0)
                    fail_msg("%s: view and forward differ", w.name);
            }
            lode_tensor_release(view);
            walk_free(&w);
        }
    assert_true(n_views > 10);
}

/* A trace has no storage: the answer may not depend on values. */
static void test_infer_needs_no_values(void **state) {
    (void)state;
    walk_call w;
    for (int o = 0; o < lode_n_ops(); o++)
        for (int k = 0; k < WALK_EXAMPLES && walk_make(&w, lode_op_at(o), LODE_F32, k); k++) {
            lode_tensor *x[LODE_EXAMPLE_MAX_INPUTS] = {NULL};
            lode_op_call c = w.c;
            lode_inferred in = {0};
            c.x = x;
            for (int i = 0; i < w.e.n_x; i++) {
                const lode_tensor *from = w.e.x[i];
                if (from == NULL) continue;
                assert_ok(lode_tensor_shapeless_storage(from->dtype, &from->shape, LODE_CONTIGUOUS,
                                                        &x[i]));
                memcpy(x[i]->stride, from->stride, sizeof from->stride);
            }
            assert_ok(c.op->infer(&c, &in));
            if (!lode_shape_equal(&in.shape, &w.in.shape) || in.n_aux != w.in.n_aux)
                fail_msg("%s: infer says something else without values", w.name);
            for (int i = 0; i < LODE_EXAMPLE_MAX_INPUTS; i++) lode_tensor_release(x[i]);
            walk_free(&w);
        }
}

/* Puts `bad` in the place of input i and returns what infer says, which must be a story that begins
   with the operator's name when it refuses. */
static bool refused(walk_call *w, int i, lode_tensor *bad) {
    lode_tensor *good = w->e.x[i];
    lode_inferred in = {0};
    w->e.x[i] = bad;
    lode_error_clear();
    lode_status status = w->c.op->infer(&w->c, &in);
    w->e.x[i] = good;
    lode_tensor_release(bad);
    if (status == LODE_OK) return false;
    size_t n = strlen(w->c.op->name);
    if (strncmp(lode_last_error(), w->c.op->name, n) != 0 || lode_last_error()[n] != ':')
        fail_msg("%s, input %d: message \"%s\" does not name the operator", w->name, i,
                 lode_last_error());
    if (lode_last_status() != status) fail_msg("%s: the story has another status", w->name);
    return true;
}

static lode_tensor *shaped(lode_dtype dtype, const lode_shape *s) {
    lode_tensor *t = NULL;
    assert_ok(lode_tensor_shapeless_storage(dtype, s, LODE_CONTIGUOUS, &t));
    return t;
}

/* Ways to break input i: another dtype, one dim more, one dim less, each dim longer. */
static int break_input(walk_call *w, int i) {
    const lode_tensor *x = w->e.x[i];
    int n = refused(w, i, shaped(LODE_S8, &x->shape));
    lode_shape s = x->shape;
    if (s.n_dims < LODE_MAX_DIMS) {
        s.dim[s.n_dims++] = 2;
        n += refused(w, i, shaped(x->dtype, &s));
    }
    s = x->shape;
    if (s.n_dims > 0) {
        s.n_dims--;
        n += refused(w, i, shaped(x->dtype, &s));
    }
    for (int d = 0; d < x->shape.n_dims; d++) {
        s = x->shape;
        s.dim[d] = s.dim[d] * 7 + 5;
        n += refused(w, i, shaped(x->dtype, &s));
    }
    return n;
}

static void test_broken_calls_are_refused(void **state) {
    (void)state;
    walk_call w;
    for (int o = 0; o < lode_n_ops(); o++) {
        int n_refused = 0;
        for (int k = 0; k < 12 && walk_make(&w, lode_op_at(o), LODE_F32, k); k++) {
            for (int i = 0; i < w.e.n_x; i++)
                if (w.e.x[i] != NULL) n_refused += break_input(&w, i);
            walk_free(&w);
        }
        /* A view without parameters (identity) has nothing to mind. */
        bool takes_anything = lode_op_at(o)->view != NULL && lode_op_at(o)->params_size == 0;
        if (n_refused == 0 && !takes_anything) fail_msg("%s refuses nothing", lode_op_at(o)->name);
    }
}

static void test_table_is_sorted_and_found_by_name(void **state) {
    (void)state;
    for (int o = 0; o < lode_n_ops(); o++) {
        const lode_op *op = lode_op_at(o);
        assert_ptr_equal(lode_op_find(op->name), op);
        assert_non_null(op->infer);
        assert_non_null(op->count);
        assert_non_null(op->example);
        assert_non_null(op->reference.forward);
        assert_int_equal(op->reference.backward == NULL, op->not_differentiable);
        if (o > 0) assert_true(strcmp(lode_op_at(o - 1)->name, op->name) < 0);
    }
    assert_null(lode_op_find("no_such_operator"));
    assert_null(lode_op_at(-1));
    assert_null(lode_op_at(lode_n_ops()));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_and_backward_fill_what_was_inferred),
        cmocka_unit_test(test_views_equal_forward),
        cmocka_unit_test(test_infer_needs_no_values),
        cmocka_unit_test(test_broken_calls_are_refused),
        cmocka_unit_test(test_table_is_sorted_and_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
