/* test_recurrent.c: LSTM and GRU: numbers of one unit, whole layers as PyTorch has them
   (tests/golden/make_recurrent.py), gradients of layers by finite differences, what is refused.
   labels: unit, golden */
#include "autograd/gradcheck.h"
#include "core/json.h"
#include "core/platform.h"
#include "support/hand.h"

#include <math.h>

/* One unit, all weights 0.5: numbers worked out by hand to 6 digits. */
static void test_one_unit(void **state) {
    (void)state;
    const double half[4] = {0.5, 0.5, 0.5, 0.5}, zero[3] = {0}, bias[3] = {0, 0, 0.1};
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_recurrent w = {.w_ih = hand_leaf(t, LODE_SHAPE2(4, 1), half),
                        .w_hh = hand_leaf(t, LODE_SHAPE2(4, 1), half)};
    lode_var *x = hand_leaf(t, LODE_SHAPE2(1, 1), (double[]){1}), *h = NULL;
    lode_var *before = hand_leaf(t, LODE_SHAPE2(1, 2), (double[]){0.2, 0.3});
    lode_var *after = lode_lstm(t, &x, 1, before, &w, &h);
    assert_non_null(after);
    assert_near(lode_at(after->value, 0), 0.318519, 1e-6);
    assert_near(lode_at(after->value, 1), 0.540446, 1e-6);
    assert_near(lode_at(h->value, 0), 0.318519, 1e-6);
    hand_backward(t, after, (double[]){1, 0});
    assert_near(lode_at(before->grad, 1), 0.315418, 1e-6);
    assert_near(lode_at(w.w_ih->grad, 0), 0.0600240, 1e-6); /* of the input gate */
    assert_near(lode_at(w.w_ih->grad, 3), 0.112865, 1e-6);  /* of the output gate */
    lode_tape_reset(t);
    /* a bias of the product with h is inside the reset */
    w = (lode_recurrent){.w_ih = hand_leaf(t, LODE_SHAPE2(3, 1), half),
                         .w_hh = hand_leaf(t, LODE_SHAPE2(3, 1), half)};
    x = hand_leaf(t, LODE_SHAPE2(1, 1), (double[]){1});
    before = hand_leaf(t, LODE_SHAPE2(1, 1), (double[]){0.2});
    after = lode_gru(t, &x, 1, before, &w, NULL);
    assert_non_null(after);
    assert_near(lode_at(after->value, 0), 0.310327, 1e-6);
    w.b_ih = hand_leaf(t, LODE_SHAPE1(3), zero);
    w.b_hh = hand_leaf(t, LODE_SHAPE1(3), bias);
    after = lode_gru(t, &x, 1, before, &w, NULL);
    assert_near(lode_at(after->value, 0), 0.326661, 1e-6);
    lode_tape_destroy(t);
}

/* ---- layers ---- */

enum { T = 4, N = 2, D = 3, H = 5 };

/* As `number` of the script. */
static lode_tensor *number(int stream, lode_shape shape) {
    double v[512];
    int64_t n = lode_shape_count(&shape);
    assert_true(n <= 512);
    for (int64_t i = 0; i < n; i++) v[i] = (double)((i * 37 + stream * 11) * 29 % 64 - 32) / 64;
    return hand_tensor(LODE_F64, LODE_CONTIGUOUS, shape, v);
}

static void check(const json_t *want, const char *key, const lode_tensor *got, int64_t offset) {
    const json_t *list = json_object_get(want, key);
    assert_non_null(got);
    for (int64_t i = 0; i < lode_tensor_count(got); i++) {
        const json_t *v = json_array_get(list, (size_t)(offset + i));
        assert_true(json_is_number(v));
        assert_near(lode_at(got, i), json_number_value(v), 1e-12);
    }
}

typedef lode_var *(*layer_fn)(lode_tape *, lode_var *const *, int, lode_var *,
                              const lode_recurrent *, lode_var **);

static void check_layer(const json_t *want, layer_fn layer, int gates) {
    static const char *const grad[] = {"dw_ih", "dw_hh", "db_ih", "db_hh"};
    const lode_shape shapes[] = {LODE_SHAPE2(gates * H, D), LODE_SHAPE2(gates * H, H),
                                 LODE_SHAPE1(gates * H), LODE_SHAPE1(gates * H)};
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *leaf[4], *x[T], *h[T], *y, *steps[T];
    for (int k = 0; k < 4; k++) {
        lode_tensor *v = number(k, shapes[k]);
        leaf[k] = lode_tape_leaf(t, v, NULL);
        lode_tensor_release(v);
    }
    const lode_recurrent w = {leaf[0], leaf[1], leaf[2], leaf[3]};
    lode_tensor *all = number(4, LODE_SHAPE3(T, N, D)), *dy = number(5, LODE_SHAPE3(T, N, H));
    for (int i = 0; i < T; i++) {
        lode_tensor *one = NULL;
        assert_ok(lode_tensor_create(NULL, LODE_F64, &LODE_SHAPE2(N, D), LODE_CONTIGUOUS, &one));
        for (int64_t k = 0; k < N * D; k++) lode_put(one, k, lode_at(all, i * N * D + k));
        x[i] = lode_tape_leaf(t, one, NULL);
        lode_tensor_release(one);
    }
    y = layer(t, x, T, NULL, &w, h);
    assert_ok(lode_tape_status(t));
    check(want, "state", y->value, 0);
    for (int i = 0; i < T; i++) {
        check(want, "y", h[i]->value, i * N * H);
        steps[i] = lode_reshape(t, h[i], &LODE_SHAPE3(1, N, H));
    }
    y = lode_concat(t, steps, T, 0);
    assert_ok(lode_backward_from(t, y, dy));
    for (int k = 0; k < 4; k++) check(want, grad[k], leaf[k]->grad, 0);
    for (int i = 0; i < T; i++) check(want, "dx", x[i]->grad, i * N * D);
    lode_tensor_release(all);
    lode_tensor_release(dy);
    lode_tape_destroy(t);
}

static void test_layers_are_those_of_pytorch(void **state) {
    (void)state;
    char *path = lode_path_join(LODE_TEST_DIR, "golden/recurrent.json");
    json_t *golden = NULL;
    assert_ok(lode_json_read(path, &golden));
    check_layer(json_object_get(golden, "lstm"), lode_lstm, 4);
    check_layer(json_object_get(golden, "gru"), lode_gru, 3);
    json_decref(golden);
    lode_free(path);
}

/* Two layers of three steps from a given state; x: the steps, then state and weights of each. */
typedef struct stack {
    layer_fn layer;
    int gates;
} stack;

static lode_var *stack_forward(lode_tape *t, void *ctx, lode_var *const *x, int n_x) {
    const stack *s = ctx;
    const lode_recurrent w[] = {{x[4], x[5], x[6], x[7]}, {x[8], x[9], NULL, NULL}};
    lode_var *h[3], *top[3];
    (void)n_x;
    s->layer(t, x, 3, x[3], &w[0], h);
    s->layer(t, h, 3, NULL, &w[1], top);
    return lode_add(t, lode_add(t, top[0], top[1]), top[2]);
}

static void test_gradients_of_two_layers(void **state) {
    (void)state;
    stack stacks[] = {{lode_lstm, 4}, {lode_gru, 3}};
    for (int s = 0; s < 2; s++) {
        int64_t g = stacks[s].gates, width = s == 0 ? 8 : 4;
        const lode_shape shapes[] = {
            LODE_SHAPE2(2, 3),     LODE_SHAPE2(2, 3),     LODE_SHAPE2(2, 3),  LODE_SHAPE2(2, width),
            LODE_SHAPE2(4 * g, 3), LODE_SHAPE2(4 * g, 4), LODE_SHAPE1(4 * g), LODE_SHAPE1(4 * g),
            LODE_SHAPE2(2 * g, 4), LODE_SHAPE2(2 * g, 2)};
        lode_tensor *x[10];
        bool differentiable[10];
        for (int i = 0; i < 10; i++) {
            x[i] = number(i, shapes[i]);
            differentiable[i] = true;
        }
        assert_ok(lode_gradcheck(NULL, stack_forward, &stacks[s], x, differentiable, 10,
                                 &(lode_gradcheck_options){.seed = 3}));
        for (int i = 0; i < 10; i++) lode_tensor_release(x[i]);
    }
}

static void test_what_does_not_fit_is_named(void **state) {
    (void)state;
    const double v[64] = {0};
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_var *x = hand_leaf(t, LODE_SHAPE2(2, 3), v);
    lode_recurrent w = {.w_ih = hand_leaf(t, LODE_SHAPE2(8, 3), v),
                        .w_hh = hand_leaf(t, LODE_SHAPE2(6, 2), v)};
    hand_fails(t, lode_lstm(t, &x, 1, NULL, &w, NULL), LODE_ERR_SHAPE, "lstm: w_ih is [8, 3]");
    lode_var *z = hand_leaf(t, LODE_SHAPE2(2, 8), v), *c = hand_leaf(t, LODE_SHAPE2(2, 3), v);
    hand_fails(t, lode_lstm_gates(t, z, z, c), LODE_ERR_SHAPE, "4 gates");
    z = hand_leaf(t, LODE_SHAPE2(2, 8), v);
    c = hand_leaf(t, LODE_SHAPE2(2, 3), v);
    hand_fails(t, lode_gru_gates(t, z, z, c), LODE_ERR_SHAPE, "3 gates");
    lode_tape_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_unit),
        cmocka_unit_test(test_layers_are_those_of_pytorch),
        cmocka_unit_test(test_gradients_of_two_layers),
        cmocka_unit_test(test_what_does_not_fit_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
