/* labels: unit, grad. The published check values of each form, its gradients, its refusals. */
#include "autograd/gradcheck.h"
#include "support/hand.h"
#include "train/loss.h"

static lode_tensor *scalar(double v) {
    return hand_tensor(LODE_F64, LODE_CONTIGUOUS, LODE_SCALAR, &v);
}

/* Value, and the gradients on the loss and on the cost. */
static void form_is(lode_cost_loss_params p, double loss, double cost, double value, double d_loss,
                    double d_cost, double tolerance) {
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_tensor *l = scalar(loss), *c = scalar(cost), *dl = NULL, *dc = NULL;
    assert_ok(lode_cost_loss_check(&p));
    lode_var *y = lode_cost_loss(t, lode_tape_leaf(t, l, &dl), lode_tape_leaf(t, c, &dc), &p);
    assert_ok(lode_tape_status(t));
    assert_near(lode_at(y->value, 0), value, tolerance);
    assert_ok(lode_backward(t, y, 1));
    assert_near(lode_at(dl, 0), d_loss, tolerance);
    assert_near(lode_at(dc, 0), d_cost, tolerance);
    lode_tape_destroy(t);
    lode_tensor_release(l);
    lode_tensor_release(c);
    lode_tensor_release(dl);
    lode_tensor_release(dc);
}

/* Wu et al. 2019, eq. 2 with alpha 0.2, beta 0.6: CE 2, 20 ms. */
static void fbnet_reads_both_ways(void **state) {
    (void)state;
    lode_cost_loss_params p = {.a = 0.2, .b = 0.6, .kind = LODE_COST_LOSS_FBNET};
    form_is(p, 2, 20, 0.77261, 0.386305, 0.0077371, 5e-6);
    p.kind = LODE_COST_LOSS_FBNET_LOG;
    form_is(p, 2, 20, 0.71898, 0.35949, 2 * 0.2 * 0.6 / 20, 5e-6);
}

/* ProxylessNAS' two forms, CE 2, 60 of 80 ms; the plain sum; the hinge on both sides. */
static void other_forms(void **state) {
    (void)state;
    form_is(
        (lode_cost_loss_params){.a = 0.2, .b = 0.3, .target = 80, .kind = LODE_COST_LOSS_MUL_LOG},
        2, 60, 0.391934, 0.195967, 0.391934 * 0.3 / (4.0943446 * 60), 1e-6);
    form_is((lode_cost_loss_params){.a = 0.1, .target = 80, .kind = LODE_COST_LOSS_ADD_LINEAR}, 2,
            60, 1.975, 1, 0.1 / 80, 1e-12);
    form_is((lode_cost_loss_params){.a = 0.5, .kind = LODE_COST_LOSS_ADDITIVE}, 2, 60, 32, 1, 0.5,
            1e-12);
    form_is((lode_cost_loss_params){.a = 0.1, .kind = LODE_COST_LOSS_ADD_LOG}, 2, 60,
            2 + 0.40943445622221, 1, 0.1 / 60, 1e-12);
    lode_cost_loss_params hinge = {.a = 0.1, .target = 80, .kind = LODE_COST_LOSS_HINGE};
    form_is(hinge, 2, 60, 2, 1, 0, 1e-12);
    form_is(hinge, 2, 100, 2.025, 1, 0.1 / 80, 1e-12);
}

/* NNI's penalty L (1 + n)^s with n = C/T - 1 is MnasNet's L (C/T)^s: 1.3 of the target. */
static void powers_of_the_ratio(void **state) {
    lode_cost_loss_params p = {.a = 1, .b = 0.5, .target = 10, .kind = LODE_COST_LOSS_POWER};
    (void)state;
    form_is(p, 2, 13, 2.28035, 1.140175, 0.5 * 2.28035 / 13, 5e-6);
    lode_tape *t = hand_tape(LODE_TRAIN);
    lode_tensor *l = scalar(2), *c = scalar(0);
    assert_null(lode_cost_loss(t, lode_tape_constant(t, l), lode_tape_constant(t, c), &p));
    assert_fails(lode_tape_status(t), LODE_ERR_NUMERIC, "add_linear");
    lode_tape_destroy(t);
    lode_tensor_release(l);
    lode_tensor_release(c);
}

static void gradients_of_every_form(void **state) {
    (void)state;
    for (int k = 0; k < 4 * LODE_N_COST_LOSSES; k++) {
        lode_op_example e = {.dtype = LODE_F64};
        lode_rng rng = lode_rng_stream(7, LODE_RNG_TEST, (uint64_t)k);
        assert_ok(lode_op_cost_loss.example(&e, &rng, k));
        assert_ok(lode_gradcheck_op(lode_reference_runner(), &lode_op_cost_loss, &e, NULL));
        for (int i = 0; i < e.n_x; i++) lode_tensor_release(e.x[i]);
    }
}

/* A latency below one unit has a negative logarithm: the message must lead out of it. */
static void logarithm_below_one_is_refused(void **state) {
    (void)state;
    for (int kind = LODE_COST_LOSS_FBNET; kind <= LODE_COST_LOSS_MUL_LOG; kind++) {
        lode_tape *t = hand_tape(LODE_TRAIN);
        lode_tensor *l = scalar(2), *c = scalar(0.5);
        lode_cost_loss_params p = {.a = 0.2, .b = 0.6, .target = 20, .kind = kind};
        lode_var *y = lode_cost_loss(t, lode_tape_constant(t, l), lode_tape_constant(t, c), &p);
        assert_null(y);
        assert_fails(lode_tape_status(t), LODE_ERR_NUMERIC, "smaller unit");
        lode_tape_destroy(t);
        lode_tensor_release(l);
        lode_tensor_release(c);
    }
}

static void bad_parameters_are_refused(void **state) {
    (void)state;
    lode_cost_loss_kind kind;
    lode_cost_loss_params p = {.a = 1, .kind = LODE_COST_LOSS_HINGE};
    assert_fails(lode_cost_loss_check(&p), LODE_ERR_CONFIG, "arch.target");
    p = (lode_cost_loss_params){.a = 1, .target = 0.5, .kind = LODE_COST_LOSS_MUL_LOG};
    assert_fails(lode_cost_loss_check(&p), LODE_ERR_CONFIG, "add_linear");
    p = (lode_cost_loss_params){.a = -1};
    assert_fails(lode_cost_loss_check(&p), LODE_ERR_CONFIG, "negative");
    p = (lode_cost_loss_params){.kind = 99};
    assert_fails(lode_cost_loss_check(&p), LODE_ERR_INVALID, "99");
    assert_fails(lode_cost_loss_find("fbent", &kind), LODE_ERR_NOT_FOUND, "fbnet");
    assert_ok(lode_cost_loss_find("mul_log", &kind));
    assert_int_equal(kind, LODE_COST_LOSS_MUL_LOG);
    assert_string_equal(lode_cost_loss_name(kind), "mul_log");
}

static void vectors_are_refused(void **state) {
    (void)state;
    lode_tape *t = hand_tape(LODE_EVAL);
    lode_tensor *l = hand_tensor(LODE_F64, LODE_CONTIGUOUS, LODE_SHAPE1(2), (double[]){1, 2});
    lode_tensor *c = scalar(3);
    lode_cost_loss_params p = {.a = 1};
    assert_null(lode_cost_loss(t, lode_tape_constant(t, l), lode_tape_constant(t, c), &p));
    assert_fails(lode_tape_status(t), LODE_ERR_SHAPE, "one element");
    lode_tape_destroy(t);
    lode_tensor_release(l);
    lode_tensor_release(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fbnet_reads_both_ways),
        cmocka_unit_test(other_forms),
        cmocka_unit_test(powers_of_the_ratio),
        cmocka_unit_test(gradients_of_every_form),
        cmocka_unit_test(logarithm_below_one_is_refused),
        cmocka_unit_test(bad_parameters_are_refused),
        cmocka_unit_test(vectors_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
