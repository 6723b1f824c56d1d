/* The real CIFAR-10, 60,000 images, unpacked from $LODE_SHARED.
   labels: slow, noasan */
#include "data/dataset.h"
#include "data/small_files.h"

static void cifar10_is_whole(void **state) {
    (void)state;
    char *packed = test_shared("data/cifar-10-batches-bin"), *unpack = test_shared("data/unpack");
    lode_dataset *d;
    if (packed == NULL || unpack == NULL) {
        lode_free(packed);
        lode_free(unpack);
        skip();
    }
    char *dir = test_temp_dir(), *command = lode_format("'%s' '%s' > /dev/null", unpack, dir);
    assert_non_null(command);
    assert_int_equal(system(command), 0);
    lode_dataset_request r = {.path = dir};
    assert_ok(lode_dataset_open("cifar", &r, &d));
    const lode_dataset_info *info = lode_dataset_get_info(d);
    int64_t count[LODE_N_PARTS][10] = {{0}};
    for (int p = 0; p < LODE_N_PARTS; p++)
        for (int64_t i = 0; i < lode_dataset_n_samples(d, (lode_part)p); i++)
            count[p][lode_dataset_label(d, (lode_part)p, i)]++;
    for (int c = 0; c < 10; c++) {
        assert_int_equal(count[LODE_PART_TRAIN][c], 5000);
        assert_int_equal(count[LODE_PART_TEST][c], 1000);
    }
    assert_string_equal(info->class_name[6], "frog");
    double mean[LODE_MAX_CHANNELS], std[LODE_MAX_CHANNELS];
    assert_ok(lode_dataset_measure(d, LODE_PART_TRAIN, 0, mean, std));
    for (int c = 0; c < 3; c++) {
        assert_near(mean[c], info->mean[c], 1e-4);
        assert_near(std[c], info->std[c], 1e-4);
    }
    lode_dataset_close(d);
    test_remove_tree(dir);
    lode_free(command);
    lode_free(dir);
    lode_free(packed);
    lode_free(unpack);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(cifar10_is_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
