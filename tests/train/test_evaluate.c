/* labels: unit, property. Accuracy and loss against counting by hand; recalibrated statistics
   against the statistics of the images themselves. */
#include "train_fixture.h"

#include <math.h>

static lode_loader *loader_of(fixture *f, const char *split, int64_t batch) {
    lode_loader *l = NULL;
    assert_ok(lode_data_loader(f->data, split, LODE_DATA_EVAL, batch, 0, &l));
    return l;
}

static lode_evaluation evaluate(fixture *f, const lode_arch *arch, const char *split, int64_t batch,
                                lode_bn_mode bn) {
    lode_evaluation e;
    lode_loader *l = loader_of(f, split, batch);
    const lode_evaluate_setup setup = {
        .net = f->net, .arch = arch, .loader = l, .runner = f->setup.runner, .bn = bn};
    assert_ok(lode_evaluate(&setup, &e));
    lode_loader_destroy(l);
    return e;
}

static void recalibrate(fixture *f, const lode_arch *arch, const char *split, int64_t batch,
                        int64_t n) {
    lode_loader *l = loader_of(f, split, batch);
    const lode_evaluate_setup setup = {
        .net = f->net, .arch = arch, .loader = l, .runner = f->setup.runner};
    assert_ok(lode_recalibrate(&setup, n));
    lode_loader_destroy(l);
}

static void correct_rows_are_counted(void **state) {
    lode_tensor *x = NULL, *y = NULL;
    const double v[] = {1, 2, 3, /**/ 5, 5, 1, /**/ 0, -1, -2, /**/ NAN, 1, 0};
    const double labels[] = {2, 0, 1, -1};
    (void)state;
    assert_ok(lode_tensor_create(NULL, LODE_F32, &LODE_SHAPE2(4, 3), LODE_CONTIGUOUS, &x));
    assert_ok(lode_tensor_create(NULL, LODE_S32, &LODE_SHAPE1(4), LODE_CONTIGUOUS, &y));
    for (int64_t i = 0; i < 12; i++) lode_put(x, i, v[i]);
    for (int64_t i = 0; i < 4; i++) lode_put(y, i, labels[i]);
    assert_int_equal(lode_count_correct(x, y), 2); /* first of equals wins */
    lode_tensor_release(x);
    lode_tensor_release(y);
}

/* With running statistics samples are independent: the batch size does not matter. */
static void batches_do_not_matter(void **state) {
    fixture f;
    (void)state;
    fixture_open(&f, "{epochs: 2}", "{}", "k3,k5", NULL, 0);
    lode_train_result r;
    assert_ok(lode_train(&f.setup, &r));
    lode_evaluation a = evaluate(&f, NULL, "test", 16, LODE_BN_RUNNING);
    lode_evaluation b = evaluate(&f, NULL, "test", 7, LODE_BN_RUNNING); /* 7 + 7 + 2 */
    assert_int_equal(a.n, 16);
    assert_int_equal(b.n, 16);
    assert_near(a.accuracy, b.accuracy, 0);
    assert_near(a.loss, b.loss, 1e-5);
    assert_true(fabs(a.accuracy * 16 - round(a.accuracy * 16)) < 1e-9);
    fixture_close(&f);
}

/* One batch of all images: pooled mean and biased variance are what batch mode uses, layer by
 * layer. */
static void recalibrated_equals_batch_statistics(void **state) {
    const lode_arch arch = {2, {1, 0}};
    fixture f;
    (void)state;
    fixture_open(&f, "{epochs: 2}", "{}", NULL, NULL, 0);
    lode_evaluation before = evaluate(&f, &arch, "train", 48, LODE_BN_RUNNING);
    lode_evaluation batch = evaluate(&f, &arch, "train", 48, LODE_BN_BATCH);
    recalibrate(&f, &arch, "train", 48, 0);
    lode_evaluation after = evaluate(&f, &arch, "train", 48, LODE_BN_RUNNING);
    assert_true(fabs(before.loss - batch.loss) > 1e-3);
    assert_near(after.loss, batch.loss, 1e-5);
    assert_near(after.accuracy, batch.accuracy, 1.0 / 48 + 1e-9);
    fixture_close(&f);
}

/* Again gives the same bits; another path's statistics stay; fewer images read fewer batches. */
static void recalibrating_touches_the_path_only(void **state) {
    const lode_arch arch = {2, {0, 0}};
    fixture f;
    (void)state;
    fixture_open(&f, "{epochs: 2}", "{}", NULL, NULL, 0);
    lode_parameter *on = lode_supernet_find(f.net, "layer1.k3.depthwise.bn.mean");
    lode_parameter *off = lode_supernet_find(f.net, "layer1.k5.depthwise.bn.mean");
    lode_tensor *first = NULL, *kept = NULL, *weights = NULL;
    assert_non_null(on);
    assert_non_null(off);
    assert_ok(lode_tensor_clone(off->value, &kept));
    assert_ok(lode_tensor_clone(lode_supernet_parameter(f.net, 0)->value, &weights));
    recalibrate(&f, &arch, "train", 8, 16);
    assert_ok(lode_tensor_clone(on->value, &first));
    recalibrate(&f, &arch, "train", 8, 16);
    assert_true(lode_tensor_equal_bits(on->value, first));
    assert_true(lode_tensor_equal_bits(off->value, kept));
    assert_true(lode_tensor_equal_bits(lode_supernet_parameter(f.net, 0)->value, weights));
    recalibrate(&f, &arch, "train", 8, 24);
    assert_false(lode_tensor_equal_bits(on->value, first));
    lode_tensor_release(first);
    lode_tensor_release(kept);
    lode_tensor_release(weights);
    fixture_close(&f);
}

static bool always(void *self) {
    (void)self;
    return true;
}

static void refusals_and_stopping(void **state) {
    fixture f;
    lode_evaluation e;
    (void)state;
    fixture_open(&f, "{epochs: 2}", "{}", NULL, NULL, 0);
    lode_loader *l = loader_of(&f, "test", 8);
    const lode_progress progress = {NULL, NULL, always};
    const lode_arch arch = {2, {0, 0}};
    lode_evaluate_setup setup = {.net = f.net, .loader = l, .runner = f.setup.runner};
    assert_fails(lode_evaluate(&setup, &e), LODE_ERR_INVALID, "architecture");
    assert_fails(lode_recalibrate(&setup, 8), LODE_ERR_INVALID, "architecture");
    setup.arch = &arch;
    setup.progress = &progress;
    assert_fails(lode_evaluate(&setup, &e), LODE_ERR_STOPPED, "batch 0 of 2");
    assert_fails(lode_recalibrate(&setup, 8), LODE_ERR_STOPPED, "recalibrating");
    setup.progress = NULL;
    setup.max_batches = 1;
    assert_ok(lode_evaluate(&setup, &e));
    assert_int_equal(e.n, 8);
    lode_loader_destroy(l);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correct_rows_are_counted),
        cmocka_unit_test(batches_do_not_matter),
        cmocka_unit_test(recalibrated_equals_batch_statistics),
        cmocka_unit_test(recalibrating_touches_the_path_only),
        cmocka_unit_test(refusals_and_stopping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
