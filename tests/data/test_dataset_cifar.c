/* CIFAR's binary version, small. The real one: test_cifar_real.c. */
#include "data/bytes_internal.h"
#include "data/dataset.h"
#include "data/small_files.h"

enum { ROWS = 30 };

static lode_status open_at(const char *path, lode_dataset **out) {
    lode_dataset_request r = {.path = path};
    return lode_dataset_open("cifar", &r, out);
}

static void check_pixels(lode_dataset *d, lode_part part, int64_t i, int64_t made_as) {
    lode_scratch s = {0};
    lode_sample x;
    assert_ok(lode_dataset_get(d, part, i, &s, &x));
    assert_int_equal(x.height, 32);
    assert_int_equal(x.width, 32);
    assert_int_equal(x.channels, 3);
    for (int k = 0; k < 1024; k++)
        for (int c = 0; c < 3; c++)
            assert_int_equal(x.pixels[3 * k + c], small_cifar_pixel(made_as, c, k));
    assert_null(s.bytes);
}

static void cifar10_is_read(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    lode_dataset *d;
    const char names[] = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    small_write_cifar10(dir, ROWS);
    small_write(dir, "batches.meta.txt", names, sizeof names - 1);
    assert_ok(open_at(dir, &d));
    const lode_dataset_info *info = lode_dataset_get_info(d);
    assert_int_equal(info->n_classes, 10);
    assert_string_equal(info->class_name[0], "airplane");
    assert_string_equal(info->class_name[9], "truck");
    assert_near(info->mean[0], 0.4914, 1e-4);
    assert_near(info->std[2], 0.2616, 1e-4);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TRAIN), 5 * ROWS);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TEST), ROWS);
    for (int64_t i = 0; i < 5 * ROWS; i += 29) {
        check_pixels(d, LODE_PART_TRAIN, i, i);
        assert_int_equal(lode_dataset_label(d, LODE_PART_TRAIN, i), i % 10);
    }
    check_pixels(d, LODE_PART_TEST, 3, 5 * ROWS + 3);
    lode_dataset_close(d);
    test_remove_tree(dir);
    lode_free(dir);
}

/* Within the archive's folder; with a list of names that does not fit. */
static void cifar10_is_found_one_folder_down(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *inner = small_path(dir, "cifar-10-batches-bin");
    lode_dataset *d;
    assert_ok(lode_make_directories(inner));
    small_write_cifar10(inner, 2);
    small_write(inner, "batches.meta.txt", "one\ntwo\n", 8);
    assert_ok(open_at(dir, &d));
    assert_null(lode_dataset_get_info(d)->class_name);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TRAIN), 10);
    lode_dataset_close(d);
    test_remove_tree(dir);
    lode_free(inner);
    lode_free(dir);
}

static void cifar100_has_two_kinds_of_labels(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    lode_dataset *d;
    const lode_dataset_plugin *plugin;
    size_t n;
    uint8_t *b = small_cifar_rows(0, 200, 2, 100, &n);
    small_write(dir, "train.bin", b, n);
    lode_free(b);
    b = small_cifar_rows(200, 50, 2, 100, &n);
    small_write(dir, "test.bin", b, n);
    lode_free(b);
    assert_ok(open_at(dir, &d));
    assert_int_equal(lode_dataset_get_info(d)->n_classes, 100);
    assert_int_equal(lode_dataset_label(d, LODE_PART_TRAIN, 137), 37);
    check_pixels(d, LODE_PART_TEST, 49, 249);
    lode_dataset_close(d);
    assert_ok(lode_dataset_find("cifar", &plugin));
    int options[4] = {0}; /* larger than the plug-in's struct of one enum */
    assert_true(plugin->options_size <= sizeof options);
    assert_ok(lode_options_assign(plugin->options, "labels", "coarse", options));
    lode_dataset_request r = {.path = dir, .options = options};
    assert_ok(lode_dataset_open("cifar", &r, &d));
    assert_int_equal(lode_dataset_get_info(d)->n_classes, 20);
    assert_int_equal(lode_dataset_label(d, LODE_PART_TRAIN, 137), 137 % 20);
    lode_dataset_close(d);
    test_remove_tree(dir);
    lode_free(dir);
}

static void missing_files_are_named(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *path = small_path(dir, "data_batch_4.bin");
    lode_dataset *d;
    assert_fails(open_at(dir, &d), LODE_ERR_IO, "no CIFAR files");
    assert_fails(open_at(dir, &d), LODE_ERR_IO, "cifar-10-binary.tar.gz");
    small_write(dir, "data_batch_1", "pickle", 6);
    assert_fails(open_at(dir, &d), LODE_ERR_DATA, "Python version");
    small_write_cifar10(dir, 2);
    assert_ok(lode_file_remove(path));
    assert_fails(open_at(dir, &d), LODE_ERR_IO, "data_batch_4.bin");
    assert_null(d);
    lode_free(path);
    test_remove_tree(dir);
    lode_free(dir);
}

static void truncated_files_are_refused(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    lode_dataset *d;
    size_t n;
    small_write_cifar10(dir, ROWS);
    uint8_t *b = small_cifar_rows(0, ROWS, 1, 10, &n);
    small_write(dir, "data_batch_2.bin", b, n - 100);
    assert_fails(open_at(dir, &d), LODE_ERR_DATA,
                 "data_batch_2.bin: 92090 bytes are not whole rows of 3073: the last one begins at "
                 "offset 89117 and lacks 100 bytes");
    small_write(dir, "data_batch_2.bin", b, 0);
    assert_fails(open_at(dir, &d), LODE_ERR_DATA, "0 bytes are not whole rows");
    lode_free(b);
    test_remove_tree(dir);
    lode_free(dir);
}

static void labels_out_of_range_are_found(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    lode_dataset *d;
    size_t n;
    small_write_cifar10(dir, ROWS);
    uint8_t *b = small_cifar_rows(0, ROWS, 1, 10, &n);
    b[7 * 3073] = 10;
    small_write(dir, "test_batch.bin", b, n);
    assert_fails(open_at(dir, &d), LODE_ERR_DATA,
                 "test_batch.bin: label 10 at offset 21511, wanted 0 to 9");
    lode_free(b);
    test_remove_tree(dir);
    lode_free(dir);
}

static void fewer_classes_than_there_are_is_an_error(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    lode_dataset *d;
    small_write_cifar10(dir, 1);
    lode_dataset_request r = {.path = dir, .n_classes = 8};
    assert_fails(lode_dataset_open("cifar", &r, &d), LODE_ERR_CONFIG, "change data.classes");
    test_remove_tree(dir);
    lode_free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cifar10_is_read),
        cmocka_unit_test(cifar10_is_found_one_folder_down),
        cmocka_unit_test(cifar100_has_two_kinds_of_labels),
        cmocka_unit_test(missing_files_are_named),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(labels_out_of_range_are_found),
        cmocka_unit_test(fewer_classes_than_there_are_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
