/* Folders of images: which is which class and part, the cache, and what is said about bad trees. */
#include "data/dataset.h"
#include "data/small_images.h"

static lode_status open_at(const char *path, int64_t cache_bytes, lode_dataset **out) {
    lode_dataset_request r = {.path = path, .cache_bytes = cache_bytes};
    return lode_dataset_open("folder", &r, out);
}

/* PART/ant and PART/bee, two images each of different sizes. */
static void write_part(const char *dir, const char *part) {
    char *p = small_path(dir, part), *ant = small_path(p, "ant"), *bee = small_path(p, "bee");
    assert_ok(lode_make_directories(ant));
    assert_ok(lode_make_directories(bee));
    small_write_png(ant, "1.png", 8, 10, 3);
    small_write_jpeg(ant, "2.JPG");
    small_write_png(bee, "a.png", 7, 7, 1);
    small_write_jpeg(bee, "b.jpeg");
    lode_free(p);
    lode_free(ant);
    lode_free(bee);
}

static void a_tree_is_read(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    lode_dataset *d;
    lode_scratch s = {0};
    lode_sample x;
    write_part(dir, "train");
    write_part(dir, "val");
    small_write(dir, "train/ant/notes.txt", "no image", 8); /* ignored */
    small_write(dir, "train/README", "no folder", 9);
    assert_ok(open_at(dir, 0, &d));
    const lode_dataset_info *info = lode_dataset_get_info(d);
    assert_int_equal(info->n_classes, 2);
    assert_string_equal(info->class_name[0], "ant");
    assert_string_equal(info->class_name[1], "bee");
    assert_int_equal(info->height, 0);
    assert_int_equal(info->channels, 3);
    assert_near(info->mean[0], 0.485, 1e-12);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TRAIN), 4);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_VALID), 0);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TEST), 4); /* val judges */
    assert_ok(lode_dataset_get(d, LODE_PART_TRAIN, 0, &s, &x));
    assert_int_equal(x.label, 0);
    assert_int_equal(x.height, 8);
    assert_int_equal(x.width, 10);
    assert_int_equal(x.pixels[(3 * 10 + 4) * 3 + 2], small_picture(3, 4, 2));
    assert_ok(lode_dataset_get(d, LODE_PART_TEST, 2, &s, &x)); /* grey, expanded */
    assert_int_equal(x.label, 1);
    assert_int_equal(x.channels, 3);
    for (int c = 0; c < 3; c++)
        assert_int_equal(x.pixels[(2 * 7 + 5) * 3 + c], small_picture(2, 5, 0));
    assert_ok(lode_dataset_get(d, LODE_PART_TEST, 3, &s, &x));
    assert_int_equal(x.height, 20);
    assert_int_equal(x.width, 30);
    lode_scratch_deinit(&s);
    lode_dataset_close(d);
    test_remove_tree(dir);
    lode_free(dir);
}

static void parts_are_told_by_their_names(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *train = small_path(dir, "train");
    lode_dataset *d;
    write_part(dir, "train");
    assert_ok(open_at(train, 0, &d)); /* classes right below: all of it is train */
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TRAIN), 4);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TEST), 0);
    lode_dataset_close(d);
    write_part(dir, "valid");
    write_part(dir, "test");
    assert_ok(open_at(dir, 0, &d));
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_VALID), 4);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TEST), 4);
    lode_dataset_close(d);
    lode_free(train);
    test_remove_tree(dir);
    lode_free(dir);
}

static void bad_trees_are_explained(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    lode_dataset *d;
    assert_fails(open_at(NULL, 0, &d), LODE_ERR_CONFIG, "data.path");
    assert_fails(open_at("/nowhere", 0, &d), LODE_ERR_IO, "/nowhere is not a folder");
    assert_fails(open_at(dir, 0, &d), LODE_ERR_DATA, "no .jpg, .jpeg or .png");
    write_part(dir, "val");
    assert_fails(open_at(dir, 0, &d), LODE_ERR_DATA, "train does not");
    write_part(dir, "train");
    small_folder(dir, "val/cow");
    assert_fails(open_at(dir, 0, &d), LODE_ERR_DATA, "val/cow: a class that is not in");
    assert_null(d);
    test_remove_tree(dir);
    lode_free(dir);
}

static void a_bad_image_is_named(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    lode_dataset *d;
    lode_scratch s = {0};
    lode_sample x;
    static small_bytes b;
    write_part(dir, "train");
    small_jpeg(&b);
    small_write(dir, "train/bee/b.jpeg", b.bytes, b.n - 20);
    assert_ok(open_at(dir, 1 << 20, &d));
    assert_ok(lode_dataset_get(d, LODE_PART_TRAIN, 2, &s, &x));
    assert_fails(lode_dataset_get(d, LODE_PART_TRAIN, 3, &s, &x), LODE_ERR_DATA,
                 "train/bee/b.jpeg: its");
    lode_scratch_deinit(&s);
    lode_dataset_close(d);
    test_remove_tree(dir);
    lode_free(dir);
}

/* With room for everything files are read once: deleting them is not noticed. Without, it is. */
static void the_cache_keeps_what_fits(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *train = small_path(dir, "train");
    lode_dataset *all, *some;
    lode_scratch s = {0};
    lode_sample x;
    write_part(dir, "train");
    assert_ok(open_at(train, 1 << 20, &all));
    assert_ok(open_at(train, 300, &some)); /* one of 8x10x3, or of 7x7x3 */
    for (int64_t i = 0; i < 4; i++) {
        assert_ok(lode_dataset_get(all, LODE_PART_TRAIN, i, &s, &x));
        assert_ok(lode_dataset_get(some, LODE_PART_TRAIN, i, &s, &x));
    }
    test_remove_tree(train);
    for (int64_t i = 0; i < 4; i++) {
        assert_ok(lode_dataset_get(all, LODE_PART_TRAIN, i, &s, &x));
        assert_int_equal(x.label, i / 2);
        assert_ptr_not_equal(x.pixels, s.bytes);
    }
    assert_ok(lode_dataset_get(some, LODE_PART_TRAIN, 0, &s, &x));
    assert_fails(lode_dataset_get(some, LODE_PART_TRAIN, 1, &s, &x), LODE_ERR_IO, "2.JPG");
    lode_scratch_deinit(&s);
    lode_dataset_close(all);
    lode_dataset_close(some);
    test_remove_tree(dir);
    lode_free(train);
    lode_free(dir);
}

/* 700 photographs, 13 of them grey. */
static void photographs_are_read(void **state) {
    (void)state;
    char *path = test_shared("data/photos-small");
    lode_dataset *d;
    lode_scratch s = {0};
    int n_grey = 0;
    if (path == NULL) skip();
    assert_ok(open_at(path, 0, &d));
    assert_int_equal(lode_dataset_get_info(d)->n_classes, 10);
    assert_string_equal(lode_dataset_get_info(d)->class_name[2], "grand_piano");
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TRAIN), 500);
    assert_int_equal(lode_dataset_n_samples(d, LODE_PART_TEST), 200);
    for (int p = 0; p < LODE_N_PARTS; p++)
        for (int64_t i = 0; i < lode_dataset_n_samples(d, (lode_part)p); i++) {
            lode_sample x;
            bool grey = true;
            assert_ok(lode_dataset_get(d, (lode_part)p, i, &s, &x));
            assert_in_range(x.width, 121, 300);
            assert_in_range(x.height, 121, 300);
            assert_int_equal(x.label, i / (p == LODE_PART_TRAIN ? 50 : 20));
            for (int k = 0; grey && k < x.height * x.width; k++)
                grey = x.pixels[3 * k] == x.pixels[3 * k + 1] &&
                       x.pixels[3 * k] == x.pixels[3 * k + 2];
            n_grey += grey;
        }
    assert_true(n_grey >= 13);
    lode_scratch_deinit(&s);
    lode_dataset_close(d);
    lode_free(path);
}

static void no_memory_is_a_status(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    lode_status status = LODE_ERR_NO_MEMORY;
    write_part(dir, "train");
    write_part(dir, "val");
    int64_t before = lode_memory_get_stats().n_blocks, k;
    for (k = 0; status != LODE_OK && k < 1000; k++) {
        lode_dataset *d = NULL;
        lode_scratch s = {0};
        lode_sample x;
        test_fail_allocation(k);
        status = open_at(dir, 1 << 20, &d);
        if (status == LODE_OK) status = lode_dataset_get(d, LODE_PART_TRAIN, 1, &s, &x);
        test_fail_allocation(-1);
        lode_dataset_close(d);
        lode_scratch_deinit(&s);
        assert_int_equal(lode_memory_get_stats().n_blocks, before);
    }
    assert_int_equal(status, LODE_OK);
    assert_true(k > 20);
    test_remove_tree(dir);
    lode_free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_is_read),
        cmocka_unit_test(parts_are_told_by_their_names),
        cmocka_unit_test(bad_trees_are_explained),
        cmocka_unit_test(a_bad_image_is_named),
        cmocka_unit_test(the_cache_keeps_what_fits),
        cmocka_unit_test(photographs_are_read),
        cmocka_unit_test(no_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
