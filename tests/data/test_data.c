/* The data section of a recipe, from text to batches. */
#include "data/data.h"
#include "data/small_images.h"
#include "support/support.h"

#include <math.h>

static lode_config *config_of(const char *text) {
    lode_config *c;
    assert_ok(lode_config_parse(text, "recipe.yaml", &c));
    return c;
}

/* Opens the data of a recipe that names every key. */
static void open_recipe(const char *text, uint64_t seed, lode_data **out) {
    lode_config *c = config_of(text);
    lode_data_options o;
    assert_ok(lode_data_options_read(c, &o));
    assert_ok(lode_config_finish(c));
    assert_ok(lode_data_open(&o, seed, out));
    lode_data_options_deinit(&o); /* nothing of it is needed any more */
    lode_config_destroy(c);
}

static void defaults(void **state) {
    (void)state;
    lode_data_options o, read;
    lode_config *c = config_of("{}");
    assert_ok(lode_data_options_init(&o));
    assert_string_equal(o.name, "idx");
    assert_null(o.path);
    assert_int_equal(o.batch, 128);
    assert_int_equal(o.workers, 1);
    assert_int_equal(o.seed, -1);
    assert_int_equal(o.augment.crop, LODE_CROP_PAD);
    assert_int_equal(o.augment.pad, 0);
    assert_false(o.augment.flip);
    assert_ok(lode_data_options_read(c, &read));
    assert_string_equal(read.name, o.name);
    assert_int_equal(read.cache, o.cache);
    lode_data_options_deinit(&read);
    lode_config_destroy(c);
}

static void a_whole_section_is_read(void **state) {
    (void)state;
    lode_data_options o;
    lode_config *c = config_of(
        "data:\n"
        "  name: synthetic\n"
        "  classes: 4\n"
        "  valid: 0.2\n"
        "  arch_split: 0.25\n"
        "  limit: 500\n"
        "  limit_test: 100\n"
        "  stratified: true\n"
        "  seed: 3\n"
        "  batch: 32\n"
        "  workers: 2\n"
        "  size: 24\n"
        "  resize: 28\n"
        "  channels: 1\n"
        "  mean: 0.5\n"
        "  std: [0.25]\n"
        "  cache: 16\n"
        "  synthetic: {train: 600, test: 120, noise: 10}\n"
        "  augment: {crop: resized, scale: [0.5, 1], aspect: [1, 1], flip: true, cutout: 8,\n"
        "            brightness: 0.4, contrast: 0.3, saturation: 0.2}\n");
    assert_ok(lode_data_options_read(c, &o));
    assert_ok(lode_config_finish(c));
    assert_string_equal(o.name, "synthetic");
    assert_near(o.arch_split, 0.25, 0);
    assert_int_equal(o.mean.n, 1);
    assert_near(o.augment.scale.v[0], 0.5, 0);
    assert_int_equal(o.augment.crop, LODE_CROP_RESIZED);
    lode_data *d;
    assert_ok(lode_data_open(&o, 1, &d));
    assert_int_equal(lode_data_n_classes(d), 4);
    assert_int_equal(lode_data_n_samples(d, "train"), 300);
    assert_int_equal(lode_data_n_samples(d, "valid"), 100);
    assert_int_equal(lode_data_n_samples(d, "arch"), 100);
    assert_int_equal(lode_data_n_samples(d, "test"), 100);
    assert_int_equal(lode_data_n_samples(d, "trian"), 0);
    int channels, height, width;
    lode_data_input(d, &channels, &height, &width);
    assert_int_equal(channels, 1);
    assert_int_equal(height, 24);
    assert_int_equal(width, 24);
    char *text = lode_data_describe(d);
    assert_string_equal(text, "synthetic: 4 classes, 1x24x24; train 300, valid 100, arch 100, "
                              "test 100");
    lode_free(text);
    double mean[LODE_MAX_CHANNELS], std[LODE_MAX_CHANNELS];
    lode_data_normalization(d, mean, std);
    assert_near(mean[0], 0.5, 0);
    assert_near(std[0], 0.25, 0);
    lode_data_close(d);
    lode_data_options_deinit(&o);
    lode_config_destroy(c);
}

static void mistakes_are_explained(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"data: {name: cifr}", "did you mean `cifar`?"},
        {"data: {workers: -1}", "workers"},
        {"data: {augment: {crop: padded}}", "crop"},
        {"data: {mean: [2]}", "mean"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lode_data_options o;
        lode_config *c = config_of(bad[i].text);
        assert_fails(lode_data_options_read(c, &o), LODE_ERR_CONFIG, bad[i].words);
        lode_data_options_deinit(&o);
        lode_config_destroy(c);
    }
    lode_data_options o;
    lode_config *c = config_of("data: {name: synthetic, augment: {flop: true}}");
    assert_ok(lode_data_options_read(c, &o));
    assert_fails(lode_config_finish(c), LODE_ERR_CONFIG, "flip");
    lode_data_options_deinit(&o);
    lode_config_destroy(c);
}

static void impossible_data_is_refused(void **state) {
    (void)state;
    const double two[] = {0.1, 0.2};
    lode_data_options o;
    lode_data *d;
    assert_ok(lode_data_options_init(&o));
    o.name = "synthetic";
    o.mean = (lode_f64_list){2, two};
    assert_fails(lode_data_open(&o, 1, &d), LODE_ERR_CONFIG, "data.mean has 2 numbers for 3");
    o.mean.n = 0;
    o.channels = 2;
    assert_fails(lode_data_open(&o, 1, &d), LODE_ERR_CONFIG, "data.channels is 2");
    o.channels = 0;
    o.valid = 1e9;
    assert_fails(lode_data_open(&o, 1, &d), LODE_ERR_CONFIG, "data.valid");
    o.valid = 0;
    assert_ok(lode_data_open(&o, 1, &d));
    lode_loader *l;
    assert_fails(lode_data_loader(d, "valid", LODE_DATA_EVAL, 8, 0, &l), LODE_ERR_CONFIG,
                 "set data.valid");
    assert_null(l);
    lode_data_close(d);
}

static uint64_t epoch_fingerprint(lode_data *d, const char *split, lode_data_mode mode) {
    lode_loader *l;
    uint64_t h = 0;
    assert_ok(lode_data_loader(d, split, mode, 50, 1, &l));
    for (int64_t i = 0; i < lode_loader_n_batches(l); i++) {
        lode_batch b;
        assert_ok(lode_loader_next(l, &b));
        h = lode_hash_bytes(b.x->data, lode_tensor_bytes(b.x), h);
        h = lode_hash_bytes(b.index, (uint64_t)b.n * sizeof *b.index, h);
    }
    lode_loader_destroy(l);
    return h;
}

/* The run's seed decides order and augmentation, data.seed (when given) splits and made-up images.
 */
static void seeds(void **state) {
    (void)state;
    static const char text[] =
        "data: {name: synthetic, size: 8, valid: 0.5, augment: {pad: 1}, synthetic: {train: 200}}";
    static const char fixed[] = "data: {name: synthetic, size: 8, valid: 0.5, seed: 7, "
                                "augment: {pad: 1}, synthetic: {train: 200}}";
    lode_data *a, *b, *c, *d, *e;
    open_recipe(text, 1, &a);
    open_recipe(text, 1, &b);
    open_recipe(text, 2, &c);
    open_recipe(fixed, 1, &d);
    open_recipe(fixed, 2, &e);
    assert_true(epoch_fingerprint(a, "train", LODE_DATA_TRAIN) ==
                epoch_fingerprint(b, "train", LODE_DATA_TRAIN));
    assert_true(epoch_fingerprint(a, "valid", LODE_DATA_EVAL) !=
                epoch_fingerprint(c, "valid", LODE_DATA_EVAL));
    assert_true(epoch_fingerprint(d, "valid", LODE_DATA_EVAL) ==
                epoch_fingerprint(e, "valid", LODE_DATA_EVAL));
    assert_true(epoch_fingerprint(d, "train", LODE_DATA_TRAIN) !=
                epoch_fingerprint(e, "train", LODE_DATA_TRAIN));
    lode_data_close(a);
    lode_data_close(b);
    lode_data_close(c);
    lode_data_close(d);
    lode_data_close(e);
}

/* Images made at opening are those made one by one. */
static void stored_images_are_the_same(void **state) {
    (void)state;
    lode_data *a, *b;
    open_recipe("data: {name: synthetic, size: 8, synthetic: {train: 60, test: 20}}", 3, &a);
    open_recipe("data: {name: synthetic, size: 8, synthetic: {train: 60, test: 20, stored: true}}",
                3, &b);
    assert_true(epoch_fingerprint(a, "train", LODE_DATA_TRAIN) ==
                epoch_fingerprint(b, "train", LODE_DATA_TRAIN));
    assert_true(epoch_fingerprint(a, "test", LODE_DATA_EVAL) ==
                epoch_fingerprint(b, "test", LODE_DATA_EVAL));
    lode_data_close(a);
    lode_data_close(b);
}

static void loaders_have_the_usual_manners(void **state) {
    (void)state;
    lode_data *d;
    lode_loader *l;
    open_recipe("data: {name: synthetic, size: 4, synthetic: {train: 70, test: 25}}", 1, &d);
    assert_ok(lode_data_loader(d, "train", LODE_DATA_TRAIN, 32, 0, &l));
    assert_int_equal(lode_loader_n_batches(l), 2); /* the rest is dropped */
    lode_loader_destroy(l);
    assert_ok(lode_data_loader(d, "train", LODE_DATA_TRAIN, 100, 0, &l));
    assert_int_equal(lode_loader_n_batches(l), 1); /* unless there is nothing else */
    lode_loader_destroy(l);
    assert_ok(lode_data_loader(d, "test", LODE_DATA_EVAL, 10, 0, &l));
    assert_int_equal(lode_loader_n_batches(l), 3);
    lode_loader_destroy(l);
    assert_fails(lode_data_loader(d, "tests", LODE_DATA_EVAL, 10, 0, &l), LODE_ERR_NOT_FOUND,
                 "no split is called `tests`");
    lode_data_close(d);
}

/* Numbers come out with mean 0 and deviation 1: also when grey is made of RGB or the other way. */
static void usual_numbers_normalize(void **state) {
    (void)state;
    static const char *const recipes[] = {
        "data: {name: synthetic, size: 8}",
        "data: {name: synthetic, size: 8, channels: 1}",
    };
    for (int k = 0; k < 2; k++) {
        lode_data *d;
        lode_loader *l;
        lode_batch b;
        double sum = 0, squares = 0;
        open_recipe(recipes[k], 1, &d);
        assert_ok(lode_data_loader(d, "train", LODE_DATA_EVAL, 1024, 1, &l));
        assert_ok(lode_loader_next(l, &b));
        int64_t n = lode_tensor_count(b.x);
        for (int64_t i = 0; i < n; i++) {
            double v = ((const float *)b.x->data)[i];
            sum += v;
            squares += v * v;
        }
        assert_near(sum / (double)n, 0, 0.1);
        assert_near(sqrt(squares / (double)n), 1, 0.2);
        lode_loader_destroy(l);
        lode_data_close(d);
    }
}

static void channels_of_files_are_converted(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *text;
    lode_data *d;
    lode_loader *l;
    lode_batch b;
    double mean[LODE_MAX_CHANNELS], std[LODE_MAX_CHANNELS];
    small_write_idx(dir, 12, 6);
    text = lode_format("data: {path: %s, channels: 3, size: 8, mean: 0, std: 1}", dir);
    assert_non_null(text);
    open_recipe(text, 1, &d);
    assert_ok(lode_data_loader(d, "test", LODE_DATA_EVAL, 6, 0, &l));
    assert_ok(lode_loader_next(l, &b));
    assert_int_equal(b.x->shape.dim[1], 3);
    assert_int_equal(b.x->shape.dim[2], 8);
    for (int64_t i = 0; i < 6; i++)
        for (int64_t y = 0; y < 8; y++)
            assert_true(lode_at4(b.x, i, 0, y, 3) == lode_at4(b.x, i, 2, y, 3));
    lode_loader_destroy(l);
    lode_data_close(d);
    lode_free(text);
    small_folder(dir, "train/x");
    small_write_png(dir, "train/x/1.png", 8, 8, 3);
    text = lode_format("data: {name: folder, path: %s, channels: 1, size: 8}", dir);
    assert_non_null(text);
    open_recipe(text, 1, &d);
    lode_data_normalization(d, mean, std);
    assert_near(mean[0], 0.299 * 0.485 + 0.587 * 0.456 + 0.114 * 0.406, 1e-9);
    assert_string_equal(lode_data_class_name(d, 0), "x");
    assert_null(lode_data_class_name(d, 1));
    lode_data_close(d);
    lode_free(text);
    text = lode_format("data: {name: folder, path: %s}", dir);
    assert_non_null(text);
    lode_config *c = config_of(text);
    lode_data_options o;
    assert_ok(lode_data_options_read(c, &o));
    assert_fails(lode_data_open(&o, 1, &d), LODE_ERR_CONFIG, "differ in size: set data.size");
    lode_data_options_deinit(&o);
    lode_config_destroy(c);
    lode_free(text);
    test_remove_tree(dir);
    lode_free(dir);
}

/* Photographs end to end, with two workers and a cache. */
static void photographs_are_loaded(void **state) {
    (void)state;
    char *path = test_shared("data/photos-small");
    if (path == NULL) skip();
    char *text = lode_format("data: {name: folder, path: %s, size: 48, resize: 56, limit: 100, "
                             "limit_test: 40, stratified: true, "
                             "augment: {crop: resized, flip: true, brightness: 0.4}}",
                             path);
    lode_data *d;
    assert_non_null(text);
    open_recipe(text, 1, &d);
    assert_int_equal(lode_data_n_classes(d), 10);
    uint64_t first = epoch_fingerprint(d, "test", LODE_DATA_EVAL);
    assert_true(epoch_fingerprint(d, "test", LODE_DATA_EVAL) == first); /* now from the cache */
    lode_loader *l;
    lode_batch b;
    assert_ok(lode_data_loader(d, "train", LODE_DATA_TRAIN, 20, 2, &l));
    for (int i = 0; i < 10; i++) {
        assert_ok(lode_loader_next(l, &b));
        assert_true(lode_tensor_all_finite(b.x));
    }
    lode_loader_destroy(l);
    lode_data_close(d);
    lode_free(text);
    lode_free(path);
}

static void tables_are_listed(void **state) {
    (void)state;
    const lode_option_table *tables[16];
    int n = lode_data_tables(tables, 16);
    assert_int_equal(n, 4);
    assert_int_equal(lode_data_tables(tables, 1), 4);
    assert_string_equal(tables[0]->section, "data");
    assert_string_equal(tables[1]->section, "data.augment");
    assert_string_equal(tables[2]->section, "data.cifar");
    assert_string_equal(tables[3]->section, "data.synthetic");
    assert_ptr_equal(lode_data_table(), tables[0]);
}

static void no_memory_is_a_status(void **state) {
    (void)state;
    char *dir = test_temp_dir();
    small_write_idx(dir, 12, 6);
    lode_data_options o;
    lode_status status = LODE_ERR_NO_MEMORY;
    assert_ok(lode_data_options_init(&o));
    o.path = dir;
    o.valid = 0.25;
    lode_device_empty_cache(lode_cpu_device());
    int64_t before = lode_memory_get_stats().n_blocks, k;
    for (k = 0; status != LODE_OK && k < 200; k++) {
        lode_data *d = NULL;
        lode_loader *l = NULL;
        lode_batch b;
        test_fail_allocation(k);
        status = lode_data_open(&o, 1, &d);
        if (status == LODE_OK) status = lode_data_loader(d, "train", LODE_DATA_TRAIN, 4, 1, &l);
        if (status == LODE_OK) status = lode_loader_next(l, &b);
        test_fail_allocation(-1);
        lode_loader_destroy(l);
        lode_data_close(d);
        lode_device_empty_cache(lode_cpu_device());
        if (status != LODE_OK) assert_int_equal(status, LODE_ERR_NO_MEMORY);
        assert_int_equal(lode_memory_get_stats().n_blocks, before);
    }
    assert_int_equal(status, LODE_OK);
    assert_true(k > 20);
    test_remove_tree(dir);
    lode_free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(a_whole_section_is_read),
        cmocka_unit_test(mistakes_are_explained),
        cmocka_unit_test(impossible_data_is_refused),
        cmocka_unit_test(seeds),
        cmocka_unit_test(stored_images_are_the_same),
        cmocka_unit_test(loaders_have_the_usual_manners),
        cmocka_unit_test(usual_numbers_normalize),
        cmocka_unit_test(channels_of_files_are_converted),
        cmocka_unit_test(photographs_are_loaded),
        cmocka_unit_test(tables_are_listed),
        cmocka_unit_test(no_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
