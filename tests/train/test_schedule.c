/* labels: unit, golden. Rates against PyTorch's schedulers, warm-up, temperatures. */
#include "golden_train.h"
#include "train/schedule.h"

#include <math.h>

static int kind_of(const char *name) {
    static const char *const names[] = {"cosine", "constant", "linear", "step"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) return i;
    fail_msg("schedule %s", name);
    return 0;
}

static void schedules_equal_torch(void **state) {
    (void)state;
    json_t *file = golden_read("training_schedules.json"), *one;
    size_t i;
    json_array_foreach(json_object_get(file, "cases"), i, one) {
        lode_schedule s = {
            .kind = (lode_schedule_kind)kind_of(json_string_value(json_object_get(one, "kind"))),
            .peak = golden_get(one, "peak", 0),
            .final = golden_get(one, "final", 0),
            .total = (int64_t)golden_get(one, "total", 0),
            .every = (int64_t)golden_get(one, "every", 0),
            .gamma = golden_get(one, "gamma", 0)};
        assert_ok(lode_schedule_check(&s));
        const json_t *rates = json_object_get(one, "rates");
        for (size_t t = 0; t < json_array_size(rates); t++)
            assert_near(lode_schedule_at(&s, (int64_t)t),
                        json_number_value(json_array_get(rates, t)), 1e-12);
    }
    json_decref(file);
}

static void warmup_rises_to_the_peak(void **state) {
    (void)state;
    lode_schedule s = {LODE_SCHEDULE_COSINE, 0.4, 0, 12, 4, 0, 0};
    const double want[] = {0.1, 0.2, 0.3, 0.4, 0.4};
    for (int t = 0; t < 5; t++) assert_near(lode_schedule_at(&s, t), want[t], 1e-15);
    assert_near(lode_schedule_at(&s, 8), 0.2, 1e-15); /* half of the 8 main steps */
    assert_near(lode_schedule_at(&s, 12), 0, 1e-15);
    assert_near(lode_schedule_at(&s, 1000), 0, 1e-15);
}

static void impossible_schedules_are_refused(void **state) {
    (void)state;
    lode_schedule s = {LODE_SCHEDULE_COSINE, 0.4, 0, 12, 12, 0, 0};
    assert_fails(lode_schedule_check(&s), LODE_ERR_CONFIG, "warm-up takes 12");
    s = (lode_schedule){LODE_SCHEDULE_STEP, 0.4, 0, 12, 0, 0, 0.1};
    assert_fails(lode_schedule_check(&s), LODE_ERR_CONFIG, "lr_every");
    s = (lode_schedule){LODE_SCHEDULE_COSINE, NAN, 0, 12, 0, 0, 0};
    assert_fails(lode_schedule_check(&s), LODE_ERR_CONFIG, "lr");
    lode_temperature t = {LODE_TEMPERATURE_LINEAR, 1, 2, 0, 3};
    assert_fails(lode_temperature_check(&t), LODE_ERR_CONFIG, "above its start");
    t = (lode_temperature){LODE_TEMPERATURE_CONSTANT, 0, 1, 0, 3};
    assert_fails(lode_temperature_check(&t), LODE_ERR_CONFIG, "above 0");
}

/* FBNet: 5 exp(-0.045 epoch), 3.188 at epoch 10 (Wu et al. 2019); GDAS: linear 10 to 0.1. */
static void temperatures_fall(void **state) {
    (void)state;
    lode_temperature fbnet = {LODE_TEMPERATURE_EXPONENTIAL, 5, 0.01, 0.045, 90};
    assert_near(lode_temperature_at(&fbnet, 0), 5, 1e-15);
    assert_near(lode_temperature_at(&fbnet, 10), 3.188, 5e-4);
    fbnet.end = 0.1;
    assert_near(lode_temperature_at(&fbnet, 200), 0.1, 1e-15);
    lode_temperature reach = {LODE_TEMPERATURE_EXPONENTIAL, 5, 0.1, 0, 8};
    assert_near(lode_temperature_at(&reach, 7), 0.1, 1e-12);
    lode_temperature gdas = {LODE_TEMPERATURE_LINEAR, 10, 0.1, 0, 250};
    assert_near(lode_temperature_at(&gdas, 0), 10, 1e-15);
    assert_near(lode_temperature_at(&gdas, 124), 10 - 9.9 * 124 / 249, 1e-12);
    assert_near(lode_temperature_at(&gdas, 249), 0.1, 1e-12);
    lode_temperature constant = {LODE_TEMPERATURE_CONSTANT, 2, 1, 0, 3};
    assert_near(lode_temperature_at(&constant, 77), 2, 0);
    lode_temperature single = {LODE_TEMPERATURE_EXPONENTIAL, 5, 0.1, 0, 1};
    assert_near(lode_temperature_at(&single, 0), 5, 1e-15);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_equal_torch),
        cmocka_unit_test(warmup_rises_to_the_peak),
        cmocka_unit_test(impossible_schedules_are_refused),
        cmocka_unit_test(temperatures_fall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
