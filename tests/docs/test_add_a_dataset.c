/* docs/add-a-dataset.md: its code compiles and does what the page says. */
#include "add-a-dataset/data/dataset_raw.c"
#include "data/loader.h"
#include "support/support.h"

enum { CLASSES = 3, H = 4, W = 5, N = 10, ROW = 1 + H * W * 3 };

static size_t make_file(uint8_t *b, int n) {
    const uint8_t header[RAW_HEADER] = {'R', 'A', 'W', '1', CLASSES, H, W, 3};
    memcpy(b, header, sizeof header);
    for (int i = 0; i < n * ROW; i++)
        b[RAW_HEADER + i] = (uint8_t)(i % ROW == 0 ? i / ROW % CLASSES : i);
    return RAW_HEADER + (size_t)n * ROW;
}

static void write_file(const char *dir, const char *name, const uint8_t *b, size_t n) {
    char *path = lode_path_join(dir, name);
    assert_non_null(path);
    assert_ok(lode_file_write_atomic(path, b, n));
    lode_free(path);
}

static void the_dataset_of_the_page_is_loaded(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    uint8_t b[RAW_HEADER + N * ROW];
    lode_dataset *d;
    lode_dataset_request r = {.path = dir};
    write_file(dir, "train.raw", b, make_file(b, N));
    write_file(dir, "test.raw", b, make_file(b, 4));
    assert_ok(lode_dataset_open_plugin(&lode_dataset_raw, &r, &d));
    assert_int_equal(lode_dataset_get_info(d)->n_classes, CLASSES);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TRAIN), N);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_VALID), 0);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TEST), 4);
    lode_splits splits;
    lode_pipeline *pipeline;
    lode_loader *l;
    lode_batch batch;
    lode_pipeline_options p = {.height = H, .width = W, .channels = 3};
    for (int c = 0; c < 3; c++) p.std[c] = 1.0 / 255;
    assert_ok(lode_splits_init(d, &(lode_split_options){.valid = 0.2}, &splits));
    assert_ok(lode_pipeline_create(&p, &pipeline));
    assert_ok(lode_loader_create(d, &splits.split[0], pipeline,
                                 &(lode_loader_options){.batch = 8, .workers = 2}, &l));
    assert_ok(lode_loader_next(l, &batch));
    assert_int_equal(batch.n, 8);
    for (int64_t i = 0; i < 8; i++) {
        int64_t at = batch.index[i] * ROW + 1; /* pixel 0 */
        assert_near(lode_at(batch.labels, i), (double)(batch.index[i] % CLASSES), 0);
        assert_near(lode_at4(batch.x, i, 1, 2, 3), (double)(uint8_t)(at + (2 * W + 3) * 3 + 1),
                    1e-4);
    }
    lode_loader_destroy(l);
    lode_pipeline_destroy(pipeline);
    lode_splits_deinit(&splits);
    lode_dataset_close(d);
    test_remove_tree(dir);
    lode_free(dir);
}

static void its_messages_say_what_is_wrong(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    uint8_t b[RAW_HEADER + N * ROW];
    lode_dataset *d;
    lode_dataset_request none = {0}, r = {.path = dir};
    assert_fails(lode_dataset_open_plugin(&lode_dataset_raw, &none, &d), LODE_ERR_CONFIG,
                 "data.path");
    assert_fails(lode_dataset_open_plugin(&lode_dataset_raw, &r, &d), LODE_ERR_IO, "train.raw");
    size_t n = make_file(b, N);
    write_file(dir, "train.raw", b, n);
    write_file(dir, "test.raw", b, n - 1);
    assert_fails(lode_dataset_open_plugin(&lode_dataset_raw, &r, &d), LODE_ERR_DATA,
                 "test.raw: the row at offset 557 has 60 bytes, wanted 61");
    b[RAW_HEADER + ROW] = CLASSES;
    write_file(dir, "test.raw", b, n);
    assert_fails(lode_dataset_open_plugin(&lode_dataset_raw, &r, &d), LODE_ERR_DATA,
                 "label 3 at offset 69, wanted 0 to 2");
    b[5] = H + 1;
    write_file(dir, "test.raw", b, n);
    assert_fails(lode_dataset_open_plugin(&lode_dataset_raw, &r, &d), LODE_ERR_DATA, "alike");
    b[0] = 'L';
    write_file(dir, "test.raw", b, n);
    assert_fails(lode_dataset_open_plugin(&lode_dataset_raw, &r, &d), LODE_ERR_DATA,
                 "does not begin with RAW1");
    assert_null(d);
    test_remove_tree(dir);
    lode_free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dataset_of_the_page_is_loaded),
        cmocka_unit_test(its_messages_say_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
