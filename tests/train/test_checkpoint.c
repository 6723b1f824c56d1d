/* A checkpoint comes back bit for bit, is never half there, and damage leads to the one before. */
#include "core/platform.h"
#include "support/support.h"
#include "train/checkpoint.h"

static lode_checkpoint_info info_at(int64_t step) {
    return (lode_checkpoint_info){"train", UINT64_C(0xfedcba9876543210), step / 10, step, false};
}

/* A state of one tensor that says `value`, and some numbers. */
static void save_at(const char *dir, int64_t step, double value) {
    lode_state s = {0};
    lode_tensor *t = NULL;
    lode_checkpoint_info info = info_at(step);
    assert_ok(lode_tensor_create(NULL, LODE_F32, &LODE_SHAPE2(2, 3), LODE_CONTIGUOUS, &t));
    assert_ok(lode_tensor_fill(t, value));
    assert_ok(lode_state_add(&s, t, "net/%s.%d", "layer", 3));
    assert_ok(lode_state_add_numbers(&s, "numbers", (double[]){value, 1.0 / 3, -0.0}, 3));
    json_t *extra = json_pack("{s:i}", "lines", 7);
    assert_ok(lode_checkpoint_save(dir, &info, &s, extra));
    json_decref(extra);
    lode_state_deinit(&s);
    lode_tensor_release(t);
}

static double value_of(lode_checkpoint *c) {
    double v[3];
    assert_ok(lode_checkpoint_load_numbers(c, "numbers", v, 3));
    assert_true(v[1] == 1.0 / 3);
    return v[0];
}

static double newest(const char *dir) {
    lode_checkpoint *c = NULL;
    assert_ok(lode_checkpoint_open(dir, "train", &c));
    double v = value_of(c);
    lode_checkpoint_close(c);
    return v;
}

static int64_t n_files(const char *dir) {
    char **names = NULL;
    int64_t n = 0;
    assert_ok(lode_list_directory(dir, &names, &n));
    lode_names_free(names, n);
    return n;
}

static void everything_comes_back(void **state) {
    char *dir = test_temp_dir();
    lode_checkpoint *c = NULL;
    lode_tensor *t = NULL;
    (void)state;
    assert_fails(lode_checkpoint_open(dir, "train", &c), LODE_ERR_NOT_FOUND, "no checkpoint");
    save_at(dir, 40, 2.5);
    assert_ok(lode_checkpoint_open(dir, "train", &c));
    const lode_checkpoint_info *info = lode_checkpoint_get_info(c);
    assert_string_equal(info->phase, "train");
    assert_true(info->seed == UINT64_C(0xfedcba9876543210));
    assert_int_equal(info->epoch, 4);
    assert_int_equal(info->step, 40);
    assert_false(info->finished);
    assert_int_equal(json_integer_value(json_object_get(lode_checkpoint_extra(c), "lines")), 7);
    assert_true(lode_checkpoint_has(c, "net/layer.3"));
    assert_false(lode_checkpoint_has(c, "net/layer.4"));
    assert_ok(lode_checkpoint_get(c, "net/layer.3", &t));
    assert_near(lode_at(t, 5), 2.5, 0);
    lode_tensor_release(t);
    assert_near(value_of(c), 2.5, 0);
    double too_many[4];
    assert_fails(lode_checkpoint_load_numbers(c, "numbers", too_many, 4), LODE_ERR_SHAPE,
                 "step 40");
    lode_checkpoint_close(c);
    test_remove_tree(dir);
    lode_free(dir);
}

static void two_are_kept_and_phases_do_not_mix(void **state) {
    char *dir = test_temp_dir();
    lode_checkpoint *c = NULL;
    (void)state;
    for (int64_t step = 0; step <= 50; step += 10) save_at(dir, step, (double)step);
    assert_int_equal(n_files(dir), 4);
    assert_near(newest(dir), 50, 0);
    assert_fails(lode_checkpoint_open(dir, "tra", &c), LODE_ERR_NOT_FOUND, "tra");
    assert_fails(lode_checkpoint_open(dir, "../x", &c), LODE_ERR_INVALID, "../x");
    save_at(dir, 50, 51); /* the same step again */
    assert_near(newest(dir), 51, 0);
    save_at(dir, 20, 20); /* going on from an older one: what came later is gone */
    assert_near(newest(dir), 20, 0);
    assert_int_equal(n_files(dir), 2);
    assert_ok(lode_checkpoint_remove(dir, "train"));
    assert_int_equal(n_files(dir), 0);
    test_remove_tree(dir);
    lode_free(dir);
}

/* Changes one byte of a file, or cuts it to `length` when that is not negative. */
static void damage(const char *dir, const char *name, size_t at, int64_t length) {
    char *path = lode_path_join(dir, name);
    unsigned char *bytes = NULL;
    size_t n = 0;
    assert_ok(lode_file_read(path, (void **)&bytes, &n));
    if (at < n) bytes[at] ^= 0x10;
    assert_ok(lode_file_write_atomic(path, bytes, length >= 0 ? (size_t)length : n));
    lode_free(bytes);
    lode_free(path);
}

static void damage_leads_to_the_one_before(void **state) {
    static const char tensors[] = "train-000000000020.safetensors";
    static const char manifest[] = "train-000000000020.json";
    (void)state;
    for (int how = 0; how < 6; how++) {
        char *dir = test_temp_dir(), *path = NULL;
        save_at(dir, 10, 10);
        save_at(dir, 20, 20);
        switch (how) {
        case 0:
            damage(dir, tensors, 3, -1);
            break; /* header length */
        case 1:
            damage(dir, tensors, 200, -1);
            break; /* contents */
        case 2:
            damage(dir, tensors, SIZE_MAX, 100);
            break; /* cut */
        case 3:
            damage(dir, manifest, 0, -1);
            break; /* no JSON */
        case 4:
            damage(dir, manifest, SIZE_MAX, 0);
            break; /* empty */
        default:   /* missing */
            path = lode_path_join(dir, tensors);
            assert_ok(lode_file_remove(path));
            lode_free(path);
        }
        assert_near(newest(dir), 10, 0);
        save_at(dir, 15, 15); /* the damaged one is above: it must not come back */
        assert_near(newest(dir), 15, 0);
        test_remove_tree(dir);
        lode_free(dir);
    }
}

static void all_damaged_is_an_error(void **state) {
    char *dir = test_temp_dir();
    lode_checkpoint *c = NULL;
    (void)state;
    save_at(dir, 20, 20);
    damage(dir, "train-000000000020.safetensors", 150, -1);
    assert_fails(lode_checkpoint_open(dir, "train", &c), LODE_ERR_DATA, "CRC");
    assert_null(c);
    test_remove_tree(dir);
    lode_free(dir);
}

/* Written half: a tensor file without its manifest is no checkpoint, and the next save clears it.
 */
static void orphans_are_ignored(void **state) {
    char *dir = test_temp_dir(), *from, *to;
    (void)state;
    save_at(dir, 10, 10);
    from = lode_path_join(dir, "train-000000000010.safetensors");
    to = lode_path_join(dir, "train-000000000030.safetensors");
    void *bytes = NULL;
    size_t n = 0;
    assert_ok(lode_file_read(from, &bytes, &n));
    assert_ok(lode_file_write_atomic(to, bytes, n));
    lode_free(bytes);
    assert_near(newest(dir), 10, 0);
    save_at(dir, 20, 20);
    assert_int_equal(n_files(dir), 4);
    assert_near(newest(dir), 20, 0);
    lode_free(from);
    lode_free(to);
    test_remove_tree(dir);
    lode_free(dir);
}

/* The n-th allocation fails: a status, no leak, and the checkpoint before is still there. */
static void no_memory_is_a_status(void **state) {
    char *dir = test_temp_dir();
    bool done = false;
    (void)state;
    save_at(dir, 10, 10);
    for (int64_t n = 0; !done; n++) {
        lode_state s = {0};
        lode_checkpoint *c = NULL;
        lode_checkpoint_info info = info_at(20);
        test_fail_allocation(n);
        lode_status status = lode_state_add_numbers(&s, "numbers", (double[]){20, 1.0 / 3, 0}, 3);
        if (status == LODE_OK) status = lode_checkpoint_save(dir, &info, &s, NULL);
        if (status == LODE_OK) status = lode_checkpoint_open(dir, "train", &c);
        test_fail_allocation(-1);
        done = status == LODE_OK;
        if (!done) {
            assert_int_equal(status, LODE_ERR_NO_MEMORY);
            double v = newest(dir);
            assert_true(v == 10 || v == 20);
        }
        lode_checkpoint_close(c);
        lode_state_deinit(&s);
    }
    test_remove_tree(dir);
    lode_free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(two_are_kept_and_phases_do_not_mix),
        cmocka_unit_test(damage_leads_to_the_one_before),
        cmocka_unit_test(all_damaged_is_an_error),
        cmocka_unit_test(orphans_are_ignored),
        cmocka_unit_test(no_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
