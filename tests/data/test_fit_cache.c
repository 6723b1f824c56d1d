/* The cache of fitted images: within its budget, the first copy stays, and nothing but speed
 * changes. */
#include "data/data.h"
#include "data/fit_cache.h"
#include "data/small_images.h"

static void what_fits_is_kept(void **state) {
    (void)state;
    lode_fit_cache *c;
    const uint8_t a[10] = "aaaaaaaaa", b[10] = "bbbbbbbbb";
    assert_ok(lode_fit_cache_create(5, 10, 29, &c)); /* two images */
    assert_null(lode_fit_cache_find(c, 4));
    lode_fit_cache_keep(c, 4, a);
    assert_memory_equal(lode_fit_cache_find(c, 4), a, 10);
    lode_fit_cache_keep(c, 4, b); /* the first stays */
    assert_memory_equal(lode_fit_cache_find(c, 4), a, 10);
    assert_int_equal(lode_fit_cache_n_kept(c), 1);
    lode_fit_cache_keep(c, 0, b);
    lode_fit_cache_keep(c, 1, b); /* no room */
    assert_null(lode_fit_cache_find(c, 1));
    assert_int_equal(lode_fit_cache_n_kept(c), 2);
    lode_fit_cache_destroy(c);
    lode_fit_cache_destroy(NULL);
    assert_ok(lode_fit_cache_create(5, 10, 100, &c));
    test_fail_allocation(0);
    lode_fit_cache_keep(c, 2, a); /* no memory: not kept, no harm */
    test_fail_allocation(-1);
    assert_int_equal(lode_fit_cache_n_kept(c), 0);
    lode_fit_cache_destroy(c);
}

static uint64_t judge(lode_data *d, int workers) {
    lode_loader *l;
    uint64_t h = 0;
    assert_ok(lode_data_loader(d, "test", LODE_DATA_EVAL, 3, workers, &l));
    for (int64_t i = 0; i < lode_loader_n_batches(l); i++) {
        lode_batch b;
        assert_ok(lode_loader_next(l, &b));
        h = lode_hash_bytes(b.x->data, lode_tensor_bytes(b.x), h);
        h = lode_hash_bytes(b.labels->data, lode_tensor_bytes(b.labels), h);
    }
    lode_loader_destroy(l);
    return h;
}

/* The second time no file is read, and the numbers are the same bits. */
static void images_are_fitted_once(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *val = small_path(dir, "val");
    for (int part = 0; part < 2; part++)
        for (int i = 0; i < 8; i++) {
            char name[32];
            snprintf(name, sizeof name, "%s/%c", part ? "val" : "train", 'a' + i % 2);
            small_folder(dir, name);
            snprintf(name, sizeof name, "%s/%c/%d.png", part ? "val" : "train", 'a' + i % 2, i);
            small_write_png(dir, name, 10 + i, 20 - i, i % 3 == 0 ? 1 : 3);
        }
    lode_data_options o;
    lode_data *with, *without;
    assert_ok(lode_data_options_init(&o));
    o.name = "folder";
    o.path = dir;
    o.size = 8;
    o.resize = 9;
    assert_ok(lode_data_open(&o, 1, &with));
    o.cache = 0;
    assert_ok(lode_data_open(&o, 1, &without));
    uint64_t h = judge(without, 0);
    assert_true(judge(without, 2) == h);
    assert_true(judge(with, 2) == h);
    test_remove_tree(val);
    for (int workers = 0; workers < 3; workers++) assert_true(judge(with, workers) == h);
    lode_loader *l;
    lode_batch b;
    assert_ok(lode_data_loader(without, "test", LODE_DATA_EVAL, 3, 0, &l));
    assert_fails(lode_loader_next(l, &b), LODE_ERR_IO, "val/a/0.png");
    lode_loader_destroy(l);
    lode_data_close(with);
    lode_data_close(without);
    test_remove_tree(dir);
    lode_free(val);
    lode_free(dir);
}

/* Workers of several loaders decode, fit and keep the same images at the same time. */
static void loaders_may_share_the_caches(void **state) {
    (void)state;
    enum { LOADERS = 3 };
    char *dir = test_temp_dir();
    for (int i = 0; i < 12; i++) {
        char name[32];
        small_folder(dir, "train/a");
        snprintf(name, sizeof name, "train/a/%02d.png", i);
        small_write_png(dir, name, 30, 20 + i, 3);
    }
    for (int round = 0; round < 5; round++) {
        lode_data_options o;
        lode_data *d;
        lode_loader *l[LOADERS];
        assert_ok(lode_data_options_init(&o));
        o.name = "folder";
        o.path = dir;
        o.size = 16;
        assert_ok(lode_data_open(&o, 1, &d));
        for (int k = 0; k < LOADERS; k++)
            assert_ok(lode_data_loader(d, "train", LODE_DATA_EVAL, 4, 2, &l[k]));
        for (int i = 0; i < 6; i++) {
            uint64_t h[LOADERS];
            for (int k = 0; k < LOADERS; k++) {
                lode_batch b;
                assert_ok(lode_loader_next(l[k], &b));
                h[k] = lode_hash_bytes(b.x->data, lode_tensor_bytes(b.x), 0);
            }
            assert_true(h[0] == h[1] && h[1] == h[2]);
        }
        for (int k = 0; k < LOADERS; k++) lode_loader_destroy(l[k]);
        lode_data_close(d);
    }
    test_remove_tree(dir);
    lode_free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_kept),
        cmocka_unit_test(images_are_fitted_once),
        cmocka_unit_test(loaders_may_share_the_caches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
