/* labels: unit, golden. Ten steps of every optimizer as PyTorch takes them; what has no gradient
   stays as it is; moments, counts and averages come back from a checkpoint. */
#include "golden_train.h"
#include "train/optimizer.h"

#include <math.h>

static lode_parameter *parameter(const char *name, lode_parameter_kind kind, int64_t n) {
    lode_parameter *p = NULL;
    assert_ok(lode_parameter_create(name, kind, LODE_F32, &LODE_SHAPE1(n), &p));
    for (int64_t i = 0; i < n; i++) lode_put(p->value, i, golden_number(1, (uint64_t)i));
    return p;
}

/* The gradient of step t. */
static void give_grad(lode_parameter *p, int t) {
    int64_t n = lode_tensor_count(p->value);
    if (p->grad == NULL) assert_ok(lode_tensor_like(p->value, &p->grad));
    for (int64_t i = 0; i < n; i++)
        lode_put(p->grad, i, golden_number(2, (uint64_t)(i + 1000 * t)));
}

static lode_optimizer_options options_of(const json_t *one) {
    lode_optimizer_options o = lode_optimizer_defaults();
    const json_t *nesterov = json_object_get(one, "nesterov");
    o.name = json_string_value(json_object_get(one, "name"));
    o.weight_decay = golden_get(one, "weight_decay", 0);
    o.momentum = golden_get(one, "momentum", 0);
    o.nesterov = json_is_true(nesterov);
    o.beta1 = golden_get(one, "beta1", o.beta1);
    o.beta2 = golden_get(one, "beta2", o.beta2);
    o.rho = golden_get(one, "rho", o.rho);
    o.eps = golden_get(one, "eps", o.eps);
    o.clip = golden_get(one, "clip", 0);
    return o;
}

static void steps_equal_torch(void **state) {
    json_t *file = golden_read("training_optimizers.json"), *one;
    int64_t n = (int64_t)golden_get(file, "n", 0);
    size_t i;
    (void)state;
    assert_true(json_array_size(json_object_get(file, "cases")) >= 9);
    json_array_foreach(json_object_get(file, "cases"), i, one) {
        lode_parameter *p = parameter("w", LODE_PARAM_WEIGHT, n);
        lode_optimizer_options options = options_of(one);
        lode_optimizer *o = NULL;
        assert_ok(lode_optimizer_create(&options, &p, 1, &o));
        const json_t *path = json_object_get(one, "path");
        for (size_t t = 0; t < json_array_size(path); t++) {
            give_grad(p, (int)t);
            assert_ok(lode_optimizer_step(o, golden_get(one, "lr", 0), NULL));
            for (int64_t k = 0; k < n; k++)
                assert_near(lode_at(p->value, k),
                            json_number_value(json_array_get(json_array_get(path, t), (size_t)k)),
                            2e-6);
        }
        lode_optimizer_destroy(o);
        lode_parameter_destroy(p);
    }
    json_decref(file);
}

/* A path not taken: no decay, no momentum, and Adam's correction counts its own steps only. */
static void absent_gradients_leave_everything(void **state) {
    int n_plugins = 0;
    const lode_optimizer_plugin *const *plugins = lode_optimizer_plugins(&n_plugins);
    (void)state;
    for (int i = 0; i < n_plugins; i++) {
        lode_parameter *p[2] = {parameter("on", LODE_PARAM_WEIGHT, 5),
                                parameter("off", LODE_PARAM_WEIGHT, 5)};
        lode_tensor *kept = NULL;
        lode_optimizer_options options = lode_optimizer_defaults();
        lode_optimizer *o = NULL;
        options.name = plugins[i]->name;
        options.weight_decay = 0.1;
        assert_ok(lode_optimizer_create(&options, p, 2, &o));
        give_grad(p[0], 0), give_grad(p[1], 0);
        assert_ok(lode_optimizer_step(o, 0.1, NULL)); /* both have moments now */
        assert_true(lode_tensor_equal_bits(p[0]->value, p[1]->value));
        assert_ok(lode_tensor_clone(p[1]->value, &kept));
        lode_optimizer_clear_grads(o);
        assert_null(p[0]->grad);
        for (int t = 1; t < 5; t++) {
            give_grad(p[0], t);
            assert_ok(lode_optimizer_step(o, 0.1, NULL));
            assert_true(lode_tensor_equal_bits(p[1]->value, kept));
        }
        /* What was left alone goes on as if the steps between had not been. */
        lode_parameter *fresh = parameter("on", LODE_PARAM_WEIGHT, 5);
        lode_optimizer *alone = NULL;
        assert_ok(lode_optimizer_create(&options, &fresh, 1, &alone));
        for (int t = 0; t < 2; t++) {
            give_grad(fresh, t);
            assert_ok(lode_optimizer_step(alone, 0.1, NULL));
        }
        lode_optimizer_clear_grads(o);
        give_grad(p[1], 1);
        assert_ok(lode_optimizer_step(o, 0.1, NULL));
        assert_true(lode_tensor_equal_bits(p[1]->value, fresh->value));
        lode_tensor_release(kept);
        lode_optimizer_destroy(alone);
        lode_optimizer_destroy(o);
        lode_parameter_destroy(fresh);
        lode_parameter_destroy(p[0]);
        lode_parameter_destroy(p[1]);
    }
}

/* With zero gradients plain SGD only decays: by 1 - lr * decay, or not at all. */
static void decay_spares_what_it_should(void **state) {
    static const lode_parameter_kind kinds[] = {LODE_PARAM_WEIGHT, LODE_PARAM_BIAS, LODE_PARAM_NORM,
                                                LODE_PARAM_LOGITS, LODE_PARAM_RUNNING};
    (void)state;
    for (int all = 0; all < 2; all++)
        for (int decoupled = 0; decoupled < 2; decoupled++)
            for (int k = 0; k < 5; k++) {
                lode_parameter *p = parameter("p", kinds[k], 3);
                lode_optimizer *o = NULL;
                const double before = lode_at(p->value, 1);
                lode_optimizer_options options = lode_optimizer_defaults();
                options.momentum = 0;
                options.weight_decay = 0.5;
                options.decay_all = all;
                options.decoupled = decoupled;
                assert_ok(lode_optimizer_create(&options, &p, 1, &o));
                assert_ok(
                    lode_tensor_zeros(NULL, LODE_F32, &LODE_SHAPE1(3), LODE_CONTIGUOUS, &p->grad));
                assert_ok(lode_optimizer_step(o, 0.1, NULL));
                bool decays =
                    kinds[k] != LODE_PARAM_RUNNING &&
                    (all || kinds[k] == LODE_PARAM_WEIGHT || kinds[k] == LODE_PARAM_LOGITS);
                assert_near(lode_at(p->value, 1), before * (decays ? 0.95 : 1), 1e-7);
                lode_optimizer_destroy(o);
                lode_parameter_destroy(p);
            }
}

static void the_norm_is_over_all(void **state) {
    lode_parameter *p[2] = {parameter("a", LODE_PARAM_WEIGHT, 2),
                            parameter("b", LODE_PARAM_BIAS, 1)};
    lode_optimizer_options options = lode_optimizer_defaults();
    lode_optimizer *o = NULL;
    double norm = 0;
    (void)state;
    options.momentum = 0;
    options.clip = 6.5;
    assert_ok(lode_optimizer_create(&options, p, 2, &o));
    give_grad(p[0], 0), give_grad(p[1], 0);
    lode_put(p[0]->grad, 0, 3), lode_put(p[0]->grad, 1, 4), lode_put(p[1]->grad, 0, 12);
    double before = lode_at(p[1]->value, 0);
    assert_ok(lode_optimizer_step(o, 1, &norm));
    assert_near(norm, 13, 1e-12);
    assert_near(lode_at(p[1]->value, 0), before - 6, 1e-6); /* half of 12 */
    lode_put(p[0]->grad, 1, INFINITY);
    assert_fails(lode_optimizer_step(o, 1, &norm), LODE_ERR_NUMERIC, "gradient of a");
    lode_optimizer_destroy(o);
    lode_parameter_destroy(p[0]);
    lode_parameter_destroy(p[1]);
}

/* Kernels may give gradients in another memory order than the weights have. */
static void gradients_in_any_layout(void **state) {
    lode_parameter *p = NULL, *q = NULL;
    lode_optimizer_options options = lode_optimizer_defaults();
    lode_optimizer *o = NULL, *o2 = NULL;
    lode_shape shape = LODE_SHAPE4(2, 3, 3, 3);
    (void)state;
    assert_ok(lode_parameter_create("p", LODE_PARAM_WEIGHT, LODE_F32, &shape, &p));
    assert_ok(lode_parameter_create("q", LODE_PARAM_WEIGHT, LODE_F32, &shape, &q));
    assert_ok(lode_optimizer_create(&options, &p, 1, &o));
    assert_ok(lode_optimizer_create(&options, &q, 1, &o2));
    for (int t = 0; t < 2; t++) {
        lode_parameter_clear_grad(p);
        assert_ok(lode_tensor_create(NULL, LODE_F32, &shape, LODE_CHANNELS_LAST, &p->grad));
        give_grad(p, t);
        give_grad(q, t);
        assert_ok(lode_optimizer_step(o, 0.1, NULL));
        assert_ok(lode_optimizer_step(o2, 0.1, NULL));
    }
    assert_true(lode_tensor_equal_bits(p->value, q->value));
    lode_optimizer_destroy(o);
    lode_optimizer_destroy(o2);
    lode_parameter_destroy(p);
    lode_parameter_destroy(q);
}

/* ---- checkpoints ---- */
static void moments_and_averages_come_back(void **state) {
    char *dir = test_temp_dir();
    int n_plugins = 0;
    const lode_optimizer_plugin *const *plugins = lode_optimizer_plugins(&n_plugins);
    (void)state;
    for (int i = 0; i < n_plugins; i++) {
        lode_parameter *p[2] = {parameter("w/1", LODE_PARAM_WEIGHT, 5),
                                parameter("never", LODE_PARAM_WEIGHT, 5)};
        lode_optimizer_options options = lode_optimizer_defaults();
        lode_optimizer *o = NULL, *again = NULL;
        lode_ema *e = NULL, *e2 = NULL;
        lode_state s = {0};
        lode_checkpoint *c = NULL;
        lode_checkpoint_info info = {.phase = "t", .step = i};
        lode_tensor *kept = NULL;
        options.name = plugins[i]->name;
        assert_ok(lode_optimizer_create(&options, p, 2, &o));
        assert_ok(lode_ema_create(0.5, p, 2, &e));
        for (int t = 0; t < 3; t++) {
            give_grad(p[0], t);
            assert_ok(lode_optimizer_step(o, 0.1, NULL));
            assert_ok(lode_ema_update(e));
        }
        assert_ok(lode_state_add(&s, p[0]->value, "w"));
        assert_ok(lode_optimizer_save(o, &s, "opt"));
        assert_ok(lode_ema_save(e, &s, "ema"));
        assert_ok(lode_checkpoint_save(dir, &info, &s, NULL));
        give_grad(p[0], 3);
        assert_ok(lode_optimizer_step(o, 0.1, NULL));
        assert_ok(lode_ema_update(e));
        assert_ok(lode_tensor_clone(p[0]->value, &kept));
        assert_ok(lode_ema_swap(e)); /* the average is in the parameter now */

        assert_ok(lode_checkpoint_open(dir, "t", &c));
        assert_ok(lode_optimizer_create(&options, p, 2, &again));
        assert_ok(lode_ema_create(0.5, p, 2, &e2));
        assert_ok(lode_optimizer_load(again, c, "opt"));
        assert_ok(lode_ema_load(e2, c, "ema"));
        lode_tensor *average = NULL;
        assert_ok(lode_tensor_clone(p[0]->value, &average));
        assert_ok(lode_checkpoint_load(c, "w", p[0]->value));
        give_grad(p[0], 3);
        assert_ok(lode_optimizer_step(again, 0.1, NULL));
        assert_true(lode_tensor_equal_bits(p[0]->value, kept));
        assert_ok(lode_ema_update(e2));
        assert_ok(lode_ema_swap(e2));
        assert_true(lode_tensor_equal_bits(p[0]->value, average));

        lode_tensor_release(kept);
        lode_tensor_release(average);
        lode_checkpoint_close(c);
        lode_state_deinit(&s);
        lode_ema_destroy(e);
        lode_ema_destroy(e2);
        lode_optimizer_destroy(o);
        lode_optimizer_destroy(again);
        lode_parameter_destroy(p[0]);
        lode_parameter_destroy(p[1]);
    }
    test_remove_tree(dir);
    lode_free(dir);
}

/* d = min(0.9, (1 + t) / (10 + t)): 0.1 at the first update. */
static void the_average_follows(void **state) {
    lode_parameter *p = parameter("w", LODE_PARAM_RUNNING, 1);
    lode_ema *e = NULL;
    (void)state;
    lode_put(p->value, 0, 1);
    assert_ok(lode_ema_create(0.9, &p, 1, &e));
    lode_put(p->value, 0, 2);
    assert_ok(lode_ema_update(e));
    assert_ok(lode_ema_swap(e));
    assert_near(lode_at(p->value, 0), 0.1 * 1 + 0.9 * 2, 1e-6);
    assert_ok(lode_ema_swap(e));
    assert_near(lode_at(p->value, 0), 2, 0);
    lode_ema_destroy(e);
    assert_fails(lode_ema_create(1, &p, 1, &e), LODE_ERR_CONFIG, "(0, 1)");
    lode_parameter_destroy(p);
}

static void bad_options_are_refused(void **state) {
    lode_parameter *p = parameter("w", LODE_PARAM_WEIGHT, 1);
    lode_optimizer *o = NULL;
    lode_optimizer_options options = lode_optimizer_defaults();
    (void)state;
    options.name = "adma";
    assert_fails(lode_optimizer_create(&options, &p, 1, &o), LODE_ERR_NOT_FOUND, "`adam`");
    options = lode_optimizer_defaults();
    options.momentum = 1;
    assert_fails(lode_optimizer_create(&options, &p, 1, &o), LODE_ERR_CONFIG, "momentum");
    options = lode_optimizer_defaults();
    options.weight_decay = -1;
    assert_fails(lode_optimizer_create(&options, &p, 1, &o), LODE_ERR_CONFIG, "weight_decay");
    options = lode_optimizer_defaults();
    options.eps = 0;
    assert_fails(lode_optimizer_create(&options, &p, 1, &o), LODE_ERR_CONFIG, "eps");
    assert_null(o);
    lode_parameter_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_equal_torch),
        cmocka_unit_test(absent_gradients_leave_everything),
        cmocka_unit_test(decay_spares_what_it_should),
        cmocka_unit_test(the_norm_is_over_all),
        cmocka_unit_test(gradients_in_any_layout),
        cmocka_unit_test(moments_and_averages_come_back),
        cmocka_unit_test(the_average_follows),
        cmocka_unit_test(bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
