/* test_backward.c: gradients on small numbers, where they go, and when memory goes. */
#include "support/support.h"
#include "tests/autograd/tiny_ops.h"

enum { N = 1024, VECTOR = N * (int)sizeof(float) };

static lode_tape *new_tape(void) {
    lode_tape *t = NULL;
    assert_ok(lode_tape_create(LODE_TRAIN, NULL, &t));
    return t;
}
/* first, first + 1, ... */
static lode_tensor *vector(int64_t n, double first) {
    lode_tensor *t = NULL;
    assert_ok(lode_tensor_create(NULL, LODE_F32, &LODE_SHAPE1(n), LODE_CONTIGUOUS, &t));
    for (int64_t i = 0; i < n; i++) lode_put(t, i, first + (double)i);
    return t;
}
static void release(lode_tensor **t, int n) {
    for (int i = 0; i < n; i++) {
        lode_tensor_release(t[i]);
        t[i] = NULL;
    }
}
static int64_t in_use(void) { return lode_device_get_stats(lode_cpu_device()).bytes_in_use; }

/* ---- values ---- */
static void test_product(void **state) {
    (void)state;
    lode_tape *t = new_tape();
    lode_tensor *w[] = {vector(3, 1), vector(3, 5)}, *dw[2] = {NULL, NULL};
    lode_var *a = lode_tape_leaf(t, w[0], &dw[0]), *b = lode_tape_leaf(t, w[1], &dw[1]);
    lode_var *loss = t_sum(t, t_mul(t, t_mul(t, a, b), a)); /* sum a^2 b */
    assert_near(lode_at(loss->value, 0), 1 * 5 + 4 * 6 + 9 * 7, 1e-6);
    assert_ok(lode_backward(t, loss, 2));
    for (int i = 0; i < 3; i++) {
        double x = 1 + i, y = 5 + i;
        assert_near(lode_at(dw[0], i), 2 * 2 * x * y, 1e-6);
        assert_near(lode_at(dw[1], i), 2 * x * x, 1e-6);
    }
    assert_ptr_equal(a->grad, dw[0]);
    lode_tape_destroy(t);
    release(w, 2);
    release(dw, 2);
}

/* One var as several inputs of one call, and an optional input that is there or not. */
static void test_twice_in_one_call(void **state) {
    (void)state;
    lode_tape *t = new_tape();
    lode_tensor *w = vector(3, 2), *dw = NULL;
    lode_var *a = lode_tape_leaf(t, w, &dw);
    lode_var *cube = lode_apply(t, &tiny_mul, (lode_var *[]){a, a, a}, 3, NULL);
    assert_ok(lode_backward(t, t_sum(t, t_add(t, cube, t_mul(t, a, a))), 1));
    for (int i = 0; i < 3; i++) assert_near(lode_at(dw, i), 3 * pow(2 + i, 2) + 2 * (2 + i), 1e-6);
    lode_tape_destroy(t);
    release(&w, 1);
    release(&dw, 1);
}

static void test_view(void **state) {
    (void)state;
    lode_tape *t = new_tape();
    lode_tensor *w = vector(6, 1), *dw = NULL;
    lode_var *a = lode_tape_leaf(t, w, &dw), *h = t_half(t, a, false), *c = t_half(t, a, true);
    assert_ptr_equal(h->value->storage, w->storage);
    lode_var *loss = t_add(t, t_sum(t, t_mul(t, h, c)), t_sum(t, a)); /* sum a_i^2, i < 3; sum a */
    assert_ok(lode_backward(t, loss, 1));
    for (int i = 0; i < 6; i++) assert_near(lode_at(dw, i), i < 3 ? 2 * (1 + i) + 1 : 1, 1e-6);
    lode_tape_destroy(t);
    release(&w, 1);
    release(&dw, 1);
}

static void test_detach(void **state) {
    (void)state;
    lode_tape *t = new_tape();
    lode_tensor *w = vector(3, 1), *dw = NULL;
    lode_var *a = lode_tape_leaf(t, w, &dw), *y = t_mul(t, a, a);
    assert_ok(lode_backward(t, t_sum(t, t_mul(t, lode_detach(t, y), a)), 1)); /* sg(a^2) a */
    for (int i = 0; i < 3; i++) assert_near(lode_at(dw, i), pow(1 + i, 2), 1e-6);
    lode_tape_destroy(t);
    release(&w, 1);
    release(&dw, 1);
}

static void test_backward_from(void **state) {
    (void)state;
    lode_tape *t = new_tape();
    lode_tensor *w = vector(3, 1), *dw = NULL, *dy = vector(3, 10), *wrong = vector(4, 0);
    lode_var *a = lode_tape_leaf(t, w, &dw), *y = t_mul(t, a, a);
    assert_fails(lode_backward_from(t, y, wrong), LODE_ERR_SHAPE,
                 "the result is [3], its gradient [4]");
    assert_ok(lode_backward_from(t, y, dy));
    for (int i = 0; i < 3; i++) assert_near(lode_at(dw, i), 2 * (1 + i) * (10 + i), 1e-6);
    /* the result is itself a leaf: dy is added, and stays the caller's */
    assert_ok(lode_backward_from(t, a, dy));
    assert_near(lode_at(dw, 2), 2 * 3 * 12 + 12, 1e-6);
    assert_true(lode_at(dy, 2) == 12);
    lode_tape_destroy(t);
    release((lode_tensor *[]){w, dw, dy, wrong}, 4);
}

/* ---- where gradients go ---- */
static void test_slots(void **state) {
    (void)state;
    lode_tape *t = new_tape();
    lode_tensor *w[] = {vector(2, 1), vector(2, 1), vector(2, 1)}, *dw[3] = {NULL, NULL, NULL};
    for (int step = 1; step <= 3; step++) {
        lode_var *a = lode_tape_leaf(t, w[0], &dw[0]), *again = lode_tape_leaf(t, w[0], &dw[0]);
        lode_var *unused = lode_tape_leaf(t, w[1], &dw[1]), *own = lode_tape_leaf(t, w[2], NULL);
        assert_ok(lode_backward(t, t_sum(t, t_add(t, t_add(t, a, again), own)), 1));
        assert_true(lode_at(dw[0], 1) == 2 * step); /* two leaves, accumulated over steps */
        assert_ptr_equal(a->grad, again->grad);
        assert_null(dw[1]); /* absent stays absent */
        assert_null(unused->grad);
        assert_true(lode_at(own->grad, 0) == 1);
        if (step == 2) lode_tape_reset(t); /* without a reset in between as well as with one */
    }
    lode_tape_destroy(t);
    release(w, 3);
    release(dw, 3);
}

static void test_retain_grad(void **state) {
    (void)state;
    lode_tape *t = new_tape();
    lode_tensor *w = vector(3, 1), *dw = NULL;
    lode_var *a = lode_tape_leaf(t, w, &dw), *h = t_mul(t, a, a), *y = t_mul(t, h, h);
    lode_retain_grad(h);
    lode_retain_grad(NULL);
    assert_ok(lode_backward(t, t_sum(t, y), 1));
    for (int i = 0; i < 3; i++) assert_near(lode_at(h->grad, i), 2 * pow(1 + i, 2), 1e-6);
    assert_null(y->grad);
    assert_null(h->value);
    lode_tape_destroy(t);
    release(&w, 1);
    release(&dw, 1);
}

/* ---- what a kernel sees ---- */
static int witness_calls;
static lode_status witness_infer(const lode_op_call *c, lode_inferred *out) {
    out->shape = c->x[0]->shape;
    out->dtype = c->x[0]->dtype;
    out->n_aux = c->train ? 1 : 0;
    out->aux[0].shape = LODE_SHAPE(5);
    out->aux[0].dtype = LODE_S32;
    return LODE_OK;
}
static lode_status witness_forward(const lode_op_call *c) {
    assert_int_equal(c->aux[0] != NULL, c->train);
    if (c->train) lode_put(c->aux[0], 4, 77);
    return lode_tensor_copy(c->y, c->x[0]);
}
/* keeps x[1]: the rest has shapes only. x[0] wants a gradient, x[1] is constant, x[2] absent. */
static lode_status witness_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx) {
    witness_calls++;
    assert_null(c->x[0]->data);
    assert_null(c->y->data);
    assert_non_null(c->x[1]->data);
    assert_null(c->x[2]);
    assert_int_equal(c->x[0]->shape.dim[0], 3);
    assert_int_equal(c->y->stride[0], 1);
    assert_true(lode_at(c->aux[0], 4) == 77);
    assert_true(*(const int32_t *)c->params == 42);
    assert_true(c->train && !c->repeated);
    assert_null(dx[1]);
    assert_null(dx[2]);
    return lode_tensor_copy(dx[0], dy);
}
static const lode_op witness = {.name = "witness",
                                .n_inputs = 3,
                                .n_required = 2,
                                .params_size = 4,
                                .keeps = LODE_KEEP_X(1),
                                .infer = witness_infer,
                                .reference = {witness_forward, witness_backward}};

static void test_kernel_sees(void **state) {
    (void)state;
    lode_tape *t = new_tape();
    lode_tensor *w = vector(3, 1), *dw = NULL;
    int32_t params = 42;
    lode_var *x[2] = {lode_tape_leaf(t, w, &dw), lode_tape_constant(t, w)};
    lode_var *y = lode_apply(t, &witness, x, 2, &params);
    assert_non_null(lode_apply(t, &witness, (lode_var *[]){x[1], x[1]}, 2, &params)); /* no train */
    params = 0; /* they were copied */
    x[0] = x[1] = NULL;
    witness_calls = 0;
    assert_ok(lode_backward(t, t_sum(t, y), 1));
    assert_int_equal(witness_calls, 1);
    lode_tape_destroy(t);
    release(&w, 1);
    release(&dw, 1);
}

/* ---- when memory goes ---- */
static int64_t probe_seen[20];
static int probe_n;
static lode_status probe_backward(const lode_op_call *c, const lode_tensor *dy,
                                  lode_tensor *const *dx) {
    probe_seen[probe_n++] = in_use();
    return tiny_tanh_backward(c, dy, dx);
}

/* A chain of 20: at each step of the walk one activation less is there, and never more than two
   gradients. */
static void test_freed_as_used(void **state) {
    (void)state;
    const lode_op probe = {.name = "probe",
                           .n_inputs = 1,
                           .n_required = 1,
                           .keeps = LODE_KEEP_Y,
                           .infer = tiny_same,
                           .reference = {tiny_tanh_forward, probe_backward}};
    lode_tape *t = new_tape();
    lode_tensor *w = vector(N, 0), *dw = NULL;
    int64_t before = in_use();
    lode_var *x = lode_tape_leaf(t, w, &dw);
    for (int i = 0; i < 20; i++) x = lode_apply(t, &probe, &x, 1, NULL);
    probe_n = 0;
    assert_ok(lode_backward(t, t_sum(t, x), 1));
    assert_int_equal(probe_n, 20);
    /* activations left, dy, dx, and the loss */
    for (int i = 0; i < 20; i++)
        assert_int_equal(probe_seen[i] - before, (20 - i + 2) * VECTOR + 64);
    lode_tape_destroy(t);
    release(&w, 1);
    release(&dw, 1);
    assert_int_equal(in_use(), before - VECTOR);
}

/* A branch the loss does not depend on is dropped unseen. */
static void test_dead_branch(void **state) {
    (void)state;
    lode_tape *t = new_tape();
    lode_tensor *w = vector(3, 1), *dw = NULL;
    lode_var *a = lode_tape_leaf(t, w, &dw);
    int32_t params = 42;
    lode_var *y = t_tanh(t, a);
    assert_non_null(lode_apply(t, &witness, (lode_var *[]){y, a}, 2, &params));
    witness_calls = 0;
    assert_ok(lode_backward(t, t_sum(t, y), 1));
    assert_int_equal(witness_calls, 0);
    lode_tape_destroy(t);
    release(&w, 1);
    release(&dw, 1);
}

/* ---- refusals ---- */
static void test_refusals(void **state) {
    (void)state;
    lode_tape *t = new_tape(), *eval = NULL;
    lode_tensor *w = vector(3, 1), *dw = NULL;
    assert_ok(lode_tape_create(LODE_EVAL, NULL, &eval));
    lode_var *a = lode_tape_leaf(t, w, &dw), *c = lode_tape_constant(t, w);
    lode_var *y = t_tanh(t, a), *loss = t_sum(t, y), *other = t_sum(t, t_mul(t, a, a));
    assert_fails(lode_backward(eval, t_sum(eval, lode_tape_leaf(eval, w, NULL)), 1),
                 LODE_ERR_INVALID, "TRAIN");
    assert_fails(lode_backward(t, y, 1), LODE_ERR_SHAPE, "one element");
    assert_fails(lode_backward(t, t_sum(t, c), 1), LODE_ERR_INVALID, "does not depend");
    assert_fails(lode_backward(t, NULL, 1), LODE_ERR_INVALID, "does not belong");
    assert_fails(lode_backward(eval, loss, 1), LODE_ERR_INVALID, "TRAIN");
    assert_ok(lode_backward(t, loss, 1)); /* nothing of that hurt the tape */
    assert_true(lode_at(loss->value, 0) > 0);
    assert_fails(lode_backward(t, other, 1), LODE_ERR_INVALID, "consumed");
    assert_fails(lode_backward(t, loss, 1), LODE_ERR_INVALID, "consumed");
    assert_non_null(t_add(t, t_sum(t, a), lode_detach(t, loss))); /* the way to go on */
    lode_tape_reset(t);
    a = lode_tape_leaf(t, w, &dw);
    loss = t_sum(t, a);
    assert_ok(lode_backward(t, loss, 1));
    assert_null(t_add(t, loss, loss));
    assert_fails(lode_tape_status(t), LODE_ERR_INVALID,
                 "add: input 0 belongs to a graph that backward consumed");
    lode_tape_destroy(t);
    lode_tape_destroy(eval);
    release(&w, 1);
    release(&dw, 1);
}

static lode_status broken_backward(const lode_op_call *c, const lode_tensor *dy,
                                   lode_tensor *const *dx) {
    (void)c;
    (void)dy;
    (void)dx;
    return LODE_FAIL(LODE_ERR_DEVICE, "the machine is on fire");
}

static void test_kernel_fails(void **state) {
    (void)state;
    const lode_op broken = {.name = "broken",
                            .n_inputs = 1,
                            .n_required = 1,
                            .infer = tiny_same,
                            .reference = {tiny_tanh_forward, broken_backward}};
    const lode_op none = {.name = "oneway",
                          .n_inputs = 1,
                          .n_required = 1,
                          .infer = tiny_same,
                          .reference = {tiny_tanh_forward, NULL}};
    const lode_op *ops[] = {&broken, &none};
    const lode_status wanted[] = {LODE_ERR_DEVICE, LODE_ERR_UNSUPPORTED};
    const char *words[] = {"layer3: broken: backward: the machine is on fire",
                           "layer3: oneway: backward: oneway: has no backward"};
    for (int k = 0; k < 2; k++) {
        lode_tape *t = new_tape();
        lode_tensor *w = vector(3, 1), *dw = NULL;
        int64_t before = in_use();
        lode_scope s = lode_tape_enter(t, "layer3");
        lode_var *x = lode_tape_leaf(t, w, &dw), *y = t_tanh(t, x);
        lode_var *z = lode_apply(t, ops[k], &y, 1, NULL);
        z = lode_tape_leave(t, s, t_sum(t, t_mul(t, z, z)));
        assert_fails(lode_backward(t, z, 1), wanted[k], words[k]);
        assert_fails(lode_tape_status(t), wanted[k], words[k]);
        assert_null(dw);
        lode_tape_reset(t);
        assert_int_equal(in_use(), before);
        lode_tape_destroy(t);
        release(&w, 1);
    }
}

static lode_status explode_backward(const lode_op_call *c, const lode_tensor *dy,
                                    lode_tensor *const *dx) {
    (void)c;
    (void)dy;
    return lode_tensor_fill(dx[0], INFINITY);
}

static void test_check_finite(void **state) {
    (void)state;
    const lode_op explode = {.name = "explode",
                             .n_inputs = 1,
                             .n_required = 1,
                             .infer = tiny_same,
                             .reference = {tiny_tanh_forward, explode_backward}};
    lode_tape *t = new_tape();
    lode_tensor *w = vector(3, 1), *dw = NULL;
    lode_tape_check_finite(t, true);
    lode_var *a = lode_tape_leaf(t, w, &dw), *y = t_sum(t, lode_apply(t, &explode, &a, 1, NULL));
    assert_fails(lode_backward(t, y, 1), LODE_ERR_NUMERIC,
                 "explode: the gradient of input 0 is not finite");
    assert_null(dw);
    lode_tape_destroy(t);
    release(&w, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_product),       cmocka_unit_test(test_twice_in_one_call),
        cmocka_unit_test(test_view),          cmocka_unit_test(test_detach),
        cmocka_unit_test(test_backward_from), cmocka_unit_test(test_slots),
        cmocka_unit_test(test_retain_grad),   cmocka_unit_test(test_kernel_sees),
        cmocka_unit_test(test_freed_as_used), cmocka_unit_test(test_dead_branch),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_kernel_fails),
        cmocka_unit_test(test_check_finite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
