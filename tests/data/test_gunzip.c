/* gzip in memory: whole, in several members, truncated at every byte, and damaged. */
#include "data/bytes_internal.h"
#include "data/small_files.h"

enum { N = 5000 };

static void make(uint8_t plain[N]) {
    for (int i = 0; i < N; i++) plain[i] = (uint8_t)(i % 7 == 0 ? i / 7 : 'x');
}

static uint8_t *packed(const uint8_t *plain, size_t *n) {
    char *dir = test_temp_dir(), *path = small_path(dir, "a.gz");
    void *bytes;
    small_write_gz(dir, "a.gz", plain, N);
    assert_ok(lode_file_read(path, &bytes, n));
    lode_free(path);
    test_remove_tree(dir);
    lode_free(dir);
    return bytes;
}

static void one_and_two_members_are_unpacked(void **state) {
    (void)state;
    uint8_t plain[N], *out;
    size_t n, n_out;
    make(plain);
    uint8_t *gz = packed(plain, &n), *twice = lode_alloc(n, 2);
    assert_non_null(twice);
    assert_ok(lode_gunzip(gz, n, "a.gz", &out, &n_out));
    assert_int_equal(n_out, N);
    assert_memory_equal(out, plain, N);
    lode_free(out);
    memcpy(twice, gz, n);
    memcpy(twice + n, gz, n);
    assert_ok(lode_gunzip(twice, 2 * n, "aa.gz", &out, &n_out));
    assert_int_equal(n_out, 2 * N);
    assert_memory_equal(out, plain, N);
    assert_memory_equal(out + N, plain, N);
    lode_free(out);
    lode_free(twice);
    lode_free(gz);
}

static void every_truncation_is_noticed(void **state) {
    (void)state;
    uint8_t plain[N], *out;
    size_t n, n_out;
    make(plain);
    uint8_t *gz = packed(plain, &n);
    for (size_t k = 0; k < n; k++) {
        assert_int_equal(lode_gunzip(gz, k, "a.gz", &out, &n_out), LODE_ERR_DATA);
        assert_null(out);
    }
    assert_fails(lode_gunzip(gz, n - 5, "a.gz", &out, &n_out), LODE_ERR_DATA, "truncated?");
    lode_free(gz);
}

static void damage_and_garbage_are_noticed(void **state) {
    (void)state;
    uint8_t plain[N], *out;
    size_t n, n_out;
    make(plain);
    uint8_t *gz = packed(plain, &n);
    gz[n - 6] ^= 1; /* within the checksum */
    assert_fails(lode_gunzip(gz, n, "a.gz", &out, &n_out), LODE_ERR_DATA,
                 "damaged gzip data near offset");
    gz[n - 6] ^= 1;
    uint8_t *longer = lode_calloc(n + 9, 1);
    assert_non_null(longer);
    memcpy(longer, gz, n);
    assert_fails(lode_gunzip(longer, n + 9, "a.gz", &out, &n_out), LODE_ERR_DATA,
                 "incorrect header");
    assert_null(out);
    lode_free(longer);
    lode_free(gz);
}

static void no_memory_is_a_status(void **state) {
    (void)state;
    uint8_t plain[N], *out;
    size_t n, n_out;
    make(plain);
    uint8_t *gz = packed(plain, &n);
    lode_status status = LODE_ERR_NO_MEMORY;
    int64_t before = lode_memory_get_stats().n_blocks;
    for (int64_t k = 0; status == LODE_ERR_NO_MEMORY && k < 100; k++) {
        test_fail_allocation(k);
        status = lode_gunzip(gz, n, "a.gz", &out, &n_out);
        test_fail_allocation(-1);
        lode_free(out);
        assert_int_equal(lode_memory_get_stats().n_blocks, before);
    }
    assert_int_equal(status, LODE_OK);
    lode_free(gz);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_and_two_members_are_unpacked),
        cmocka_unit_test(every_truncation_is_noticed),
        cmocka_unit_test(damage_and_garbage_are_noticed),
        cmocka_unit_test(no_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
