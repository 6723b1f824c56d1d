/* IDX files: what is read back, and what is said about files that are not as they should be. */
#include "data/bytes_internal.h"
#include "data/dataset.h"
#include "data/small_files.h"

enum { N_TRAIN = 20, N_TEST = 7 };

static lode_status open_at(const char *path, lode_dataset **out) {
    lode_dataset_request r = {.path = path};
    return lode_dataset_open("idx", &r, out);
}

static void check_samples(lode_dataset *d) {
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TRAIN), N_TRAIN);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TEST), N_TEST);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_VALID), 0);
    const lode_dataset_info *info = lode_dataset_get_info(d);
    assert_int_equal(info->n_classes, 5);
    assert_int_equal(info->height, SMALL_IDX_HEIGHT);
    assert_int_equal(info->width, SMALL_IDX_WIDTH);
    assert_int_equal(info->channels, 1);
    assert_null(info->class_name);
    lode_scratch s = {0};
    for (int64_t i = 0; i < N_TEST; i++) {
        lode_sample x;
        assert_ok(lode_dataset_get(d, LODE_PART_TEST, i, &s, &x));
        assert_int_equal(x.label, small_idx_label(i));
        assert_int_equal(x.channels, 1);
        for (int k = 0; k < SMALL_IDX_PIXELS; k++)
            assert_int_equal(x.pixels[k], small_idx_pixel(i, k));
    }
    lode_scratch_deinit(&s);
}

static void plain_files_are_read(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    lode_dataset *d;
    small_write_idx(dir, N_TRAIN, N_TEST);
    assert_ok(open_at(dir, &d));
    check_samples(d);
    double mean[LODE_MAX_CHANNELS], std[LODE_MAX_CHANNELS];
    assert_ok(lode_dataset_measure(d, LODE_PART_TRAIN, 0, mean, std));
    assert_near(lode_dataset_get_info(d)->mean[0], mean[0], 1e-12);
    assert_near(lode_dataset_get_info(d)->std[0], std[0], 1e-12);
    lode_dataset_close(d);
    test_remove_tree(dir);
    lode_free(dir);
}

/* Packed, with the spelling some mirrors use, behind a file prefix. */
static void packed_files_are_read(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *prefix = small_path(dir, "emnist-letters");
    lode_dataset *d;
    size_t n;
    uint8_t *b = small_idx_images(N_TRAIN, &n);
    small_write_gz(dir, "emnist-letters-train-images-idx3-ubyte.gz", b, n);
    lode_free(b);
    b = small_idx_labels(N_TRAIN, &n);
    small_write_gz(dir, "emnist-letters-train-labels-idx1-ubyte.gz", b, n);
    lode_free(b);
    b = small_idx_images(N_TEST, &n);
    small_write_gz(dir, "emnist-letters-t10k-images.idx3-ubyte.gz", b, n);
    lode_free(b);
    b = small_idx_labels(N_TEST, &n);
    small_write(dir, "emnist-letters-t10k-labels.idx1-ubyte", b, n);
    lode_free(b);
    assert_ok(open_at(prefix, &d));
    check_samples(d);
    lode_dataset_close(d);
    test_remove_tree(dir);
    lode_free(prefix);
    lode_free(dir);
}

static void missing_files_are_named(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *path;
    lode_dataset *d;
    small_write_idx(dir, N_TRAIN, N_TEST);
    path = small_path(dir, "t10k-labels-idx1-ubyte");
    assert_ok(lode_file_remove(path));
    assert_fails(open_at(dir, &d), LODE_ERR_IO, "t10k-labels-idx1-ubyte");
    assert_null(d);
    assert_fails(open_at("/nowhere", &d), LODE_ERR_IO, "/nowhere: no file train-images-idx3-ubyte");
    lode_free(path);
    test_remove_tree(dir);
    lode_free(dir);
}

static void counts_must_agree(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    lode_dataset *d;
    size_t n;
    small_write_idx(dir, N_TRAIN, N_TEST);
    uint8_t *b = small_idx_labels(N_TRAIN - 1, &n);
    small_write(dir, "train-labels-idx1-ubyte", b, n);
    lode_free(b);
    assert_fails(open_at(dir, &d), LODE_ERR_DATA, "has 20 images");
    assert_fails(open_at(dir, &d), LODE_ERR_DATA, "has 19 labels");
    b = small_idx_labels(N_TRAIN, &n);
    small_write(dir, "train-labels-idx1-ubyte", b, n);
    lode_free(b);
    b = small_idx_images(N_TEST, &n);
    small_put_u32(b + 8, SMALL_IDX_WIDTH);
    small_put_u32(b + 12, SMALL_IDX_HEIGHT);
    small_write(dir, "t10k-images-idx3-ubyte", b, n);
    lode_free(b);
    assert_fails(open_at(dir, &d), LODE_ERR_DATA, "images of 6x4, the train images have 4x6");
    test_remove_tree(dir);
    lode_free(dir);
}

static void labels_out_of_range_are_found(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    lode_dataset *d;
    size_t n;
    small_write_idx(dir, N_TRAIN, N_TEST);
    uint8_t *b = small_idx_labels(N_TEST, &n);
    b[8 + 3] = 9; /* a class the train part does not have */
    small_write(dir, "t10k-labels-idx1-ubyte", b, n);
    assert_fails(open_at(dir, &d), LODE_ERR_DATA,
                 "t10k-labels-idx1-ubyte: label 9 at offset 11, wanted 0 to 4");
    lode_dataset_request three = {.path = dir, .n_classes = 3},
                         ten = {.path = dir, .n_classes = 10};
    assert_fails(lode_dataset_open("idx", &three, &d), LODE_ERR_DATA, "wanted 0 to 2");
    assert_ok(lode_dataset_open("idx", &ten, &d));
    assert_int_equal(lode_dataset_get_info(d)->n_classes, 10);
    lode_dataset_close(d);
    lode_free(b);
    test_remove_tree(dir);
    lode_free(dir);
}

static void broken_headers_are_explained(void **state) {
    (void)state;
    lode_idx_header h;
    size_t n;
    uint8_t *b = small_idx_images(3, &n);
    assert_ok(lode_idx_parse(b, n, "x", 3, &h));
    assert_int_equal(h.offset, 16);
    assert_int_equal(h.dim[0], 3);
    assert_int_equal(h.dim[1], SMALL_IDX_HEIGHT);
    assert_int_equal(h.dim[2], SMALL_IDX_WIDTH);
    assert_fails(lode_idx_parse(b, 0, "x", 3, &h), LODE_ERR_DATA,
                 "x: ends at offset 0 within its header of 16 bytes");
    assert_fails(lode_idx_parse(b, 15, "x", 3, &h), LODE_ERR_DATA, "ends at offset 15");
    assert_fails(lode_idx_parse(b, n - 1, "x", 3, &h), LODE_ERR_DATA,
                 "promises 72 elements after offset 16, there are 71: truncated?");
    assert_fails(lode_idx_parse(b, n, "x", 1, &h), LODE_ERR_DATA,
                 "magic number 0x00000803 at offset 0, wanted 0x00000801");
    small_put_u32(b + 4, 2);
    assert_fails(lode_idx_parse(b, n, "x", 3, &h), LODE_ERR_DATA, "there are 72: what follows?");
    small_put_u32(b + 8, 0);
    assert_fails(lode_idx_parse(b, n, "x", 3, &h), LODE_ERR_DATA, "dimension 1 at offset 8 is 0");
    for (int i = 0; i < 3; i++) small_put_u32(b + 4 + 4 * i, 0x7fffffff); /* too many to count */
    assert_fails(lode_idx_parse(b, n, "x", 3, &h), LODE_ERR_DATA, "dimension 1 at offset 8");
    b[2] = 0x0d; /* floats */
    assert_fails(lode_idx_parse(b, n, "x", 3, &h), LODE_ERR_DATA, "0x00000d03");
    lode_free(b);
}

/* Debian's package: the real thing. */
static void fashion_mnist_is_read(void **state) {
    (void)state;
    lode_dataset *d;
    int64_t count[LODE_N_PARTS][10] = {{0}};
    if (!lode_is_directory("/usr/share/datasets/fashion-mnist")) {
        print_message("[  SKIP  ] Fashion-MNIST is not installed "
                      "(apt install dataset-fashion-mnist)\n");
        skip();
    }
    assert_ok(open_at(NULL, &d));
    const lode_dataset_info *info = lode_dataset_get_info(d);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TRAIN), 60000);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TEST), 10000);
    assert_int_equal(info->n_classes, 10);
    assert_int_equal(info->height, 28);
    assert_int_equal(info->width, 28);
    assert_near(info->mean[0], 0.2860, 1e-4);
    assert_near(info->std[0], 0.3530, 1e-4);
    assert_string_equal(info->class_name[9], "Ankle boot");
    for (int p = 0; p < LODE_N_PARTS; p++)
        for (int64_t i = 0; i < lode_dataset_n_samples(d, (lode_part)p); i++)
            count[p][lode_dataset_label(d, (lode_part)p, i)]++;
    for (int c = 0; c < 10; c++) {
        assert_int_equal(count[LODE_PART_TRAIN][c], 6000);
        assert_int_equal(count[LODE_PART_TEST][c], 1000);
    }
    lode_dataset_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_files_are_read),
        cmocka_unit_test(packed_files_are_read),
        cmocka_unit_test(missing_files_are_named),
        cmocka_unit_test(counts_must_agree),
        cmocka_unit_test(labels_out_of_range_are_found),
        cmocka_unit_test(broken_headers_are_explained),
        cmocka_unit_test(fashion_mnist_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
