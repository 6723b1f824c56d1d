/* test_tensor_io.c: what was saved comes back; what is damaged or hostile is refused with its
 * reason. */
#include "core/platform.h"
#include "support/support.h"
#include "tensor/tensor_io.h"

static char *dir;
static int set_up(void **state) {
    (void)state;
    dir = test_temp_dir();
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    test_remove_tree(dir);
    lode_free(dir);
    return 0;
}

static lode_tensor *random_tensor(lode_dtype dtype, const lode_shape *shape, lode_layout layout) {
    lode_tensor *t = NULL;
    lode_rng r = lode_rng_stream(5, LODE_RNG_TEST, (uint64_t)dtype);
    assert_ok(lode_tensor_create(NULL, dtype, shape, layout, &t));
    assert_ok(lode_tensor_fill_uniform(t, &r, -200, 200));
    return t;
}

/* ---- there and back ---- */
static void test_round_trip(void **state) {
    (void)state;
    lode_shape image = LODE_SHAPE(2, 3, 4, 5), scalar = LODE_SCALAR, empty = LODE_SHAPE(0, 7);
    lode_shape odd = LODE_SHAPE(3);
    const char *names[] = {"u8",    "f32/weight", "s64 \"quoted\"", "bf16",
                           "empty", "f64",        "\xc3\xa4"};
    lode_named_tensor items[7] = {
        {names[0], random_tensor(LODE_U8, &odd, LODE_CONTIGUOUS)},
        {names[1], random_tensor(LODE_F32, &image, LODE_CHANNELS_LAST)},
        {names[2], random_tensor(LODE_S64, &scalar, LODE_CONTIGUOUS)},
        {names[3], random_tensor(LODE_BF16, &odd, LODE_CONTIGUOUS)},
        {names[4], random_tensor(LODE_F32, &empty, LODE_CONTIGUOUS)},
        {names[5], random_tensor(LODE_F64, &image, LODE_CONTIGUOUS)},
        {names[6], random_tensor(LODE_S8, &odd, LODE_CONTIGUOUS)},
    };
    const char *metadata[] = {"format", "pt", "note", "two\nlines", NULL};
    char *path = lode_path_join(dir, "all.safetensors");
    lode_tensor_file *f = NULL;
    assert_ok(lode_tensors_save(path, items, 7, metadata));
    assert_ok(lode_tensors_open(path, &f));
    assert_int_equal(lode_tensors_n(f), 7);
    assert_string_equal(lode_tensors_metadata(f, "note"), "two\nlines");
    assert_int_equal(strlen(lode_tensors_metadata(f, "crc32")), 8);
    assert_null(lode_tensors_metadata(f, "absent"));
    assert_string_equal(lode_tensors_name(f, 0), names[2]); /* 8 bytes first, in the order given */
    assert_string_equal(lode_tensors_name(f, 6), names[6]);
    assert_null(lode_tensors_name(f, 7));
    for (int i = 0; i < 7; i++) {
        lode_tensor *t = NULL;
        assert_ok(lode_tensors_get(f, items[i].name, &t));
        assert_true(lode_tensor_equal_bits(t, items[i].tensor));
        assert_ok(lode_tensor_fill(t, 1));
        assert_ok(lode_tensors_load_into(f, items[i].name, t));
        assert_true(lode_tensor_equal_bits(t, items[i].tensor));
        lode_tensor_release(t);
    }
    /* another dtype and layout */
    lode_tensor *t = random_tensor(LODE_F64, &image, LODE_CHANNELS_LAST);
    assert_ok(lode_tensors_load_into(f, names[1], t));
    for (int64_t k = 0; k < 120; k++) assert_true(lode_at(t, k) == lode_at(items[1].tensor, k));
    assert_fails(lode_tensors_load_into(f, names[0], t), LODE_ERR_SHAPE,
                 "\"u8\" is [3], wanted is");
    assert_fails(lode_tensors_load_into(f, "f32/weigth", t), LODE_ERR_NOT_FOUND, "f32/weight");
    lode_tensor_release(t);
    assert_fails(lode_tensors_get(f, "f46", &t), LODE_ERR_NOT_FOUND, "\"f64\"");
    assert_null(t);
    lode_tensors_close(f);
    lode_tensors_close(NULL);
    for (int i = 0; i < 7; i++) lode_tensor_release(items[i].tensor);
    lode_free(path);
}

static void test_nothing(void **state) {
    (void)state;
    char *path = lode_path_join(dir, "none.safetensors");
    lode_tensor_file *f = NULL;
    lode_tensor *t = NULL;
    assert_ok(lode_tensors_save(path, NULL, 0, NULL));
    assert_ok(lode_tensors_open(path, &f));
    assert_int_equal(lode_tensors_n(f), 0);
    assert_fails(lode_tensors_get(f, "x", &t), LODE_ERR_NOT_FOUND, "\"x\"");
    lode_tensors_close(f);
    lode_free(path);
}

static void test_save_errors(void **state) {
    (void)state;
    lode_shape s = LODE_SHAPE(2);
    lode_tensor *t = random_tensor(LODE_F32, &s, LODE_CONTIGUOUS), *shape = NULL;
    assert_ok(lode_tensor_shape_only(t, &shape));
    const lode_named_tensor twice[] = {{"a", t}, {"a", t}}, text[] = {{"\xff", t}};
    const lode_named_tensor meta[] = {{"__metadata__", t}}, traced[] = {{"a", shape}};
    const char *const crc[] = {"crc32", "00000000", NULL};
    char *path = lode_path_join(dir, "bad.safetensors");
    char *nowhere = lode_path_join(dir, "absent/bad.safetensors");
    assert_fails(lode_tensors_save(path, twice, 2, NULL), LODE_ERR_INVALID, "\"a\"");
    assert_fails(lode_tensors_save(path, text, 1, NULL), LODE_ERR_INVALID, "UTF-8");
    assert_fails(lode_tensors_save(path, meta, 1, NULL), LODE_ERR_INVALID, "__metadata__");
    assert_fails(lode_tensors_save(path, traced, 1, NULL), LODE_ERR_INVALID, "cannot save \"a\"");
    assert_fails(lode_tensors_save(path, twice, 1, crc), LODE_ERR_INVALID, "crc32");
    assert_false(lode_file_exists(path));
    assert_fails(lode_tensors_save(nowhere, twice, 1, NULL), LODE_ERR_IO, "absent");
    lode_tensor_release(t);
    lode_tensor_release(shape);
    lode_free(path);
    lode_free(nowhere);
}

/* ---- hostile headers ---- */
typedef struct hostile {
    const char *header;
    int n_data;
    const char *words; /* NULL: legal */
} hostile;

static lode_status open_made(const char *header, size_t n_header, int n_data, lode_tensor_file **f,
                             char *bytes) {
    for (int i = 0; i < 8; i++) bytes[i] = (char)(n_header >> 8 * i & 0xff);
    memcpy(bytes + 8, header, n_header);
    memset(bytes + 8 + n_header, 1, (size_t)n_data);
    return lode_tensors_open_bytes(bytes, 8 + n_header + (size_t)n_data, "made", f);
}

static void test_hostile(void **state) {
    (void)state;
#define X       "\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
#define Y(a, b) "\"y\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[" #a "," #b "]}"
    static const hostile all[] = {
        {"{" X "}", 8, NULL},
        {"{" X "}   ", 8, NULL},
        {"{}", 0, NULL},
        {"{" X "," Y(8, 12) "}", 12, NULL},
        {"{" Y(8, 12) "," X "}", 12, NULL},
        {"{\"__metadata__\":{}," X "}", 8, NULL},
        {"{" X "}", 7, "truncated"},
        {"{" X "}", 9, "8 bytes, the file has 9"},
        {"{" X "," Y(4, 8) "}", 8, "begins at byte 4, the one before ends at 8"},
        {"{" X "," Y(9, 13) "}", 13, "begins at byte 9"},
        {"{" X "," Y(8, 13) "}", 13, "\"y\" of shape [4] and dtype U8 has 5 bytes"},
        {"{" X "," Y(12, 8) "}", 12, "12 to 8"},
        {"{" X "," Y(-4, 0) "}", 8, "data_offsets[0]"},
        {"{" X "," Y(8, 9223372036854775807) "}", 12, "truncated"},
        {"{" X "," Y(8, 92233720368547758070) "}", 12, "JSON"},
        {"{" X "," Y(8, 12.0) "}", 12, "data_offsets[1]"},
        {"{" X "," X "}", 8, "duplicate"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "0 to 0"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "data_offsets"},
        {"{\"x\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]}}", 8, "\"F16\""},
        {"{\"x\":{\"dtype\":7,\"shape\":[4],\"data_offsets\":[0,8]}}", 8, "no dtype"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8,
         "shape must be a list"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]}}", 8, "shape[0]"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "shape[0]"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2,1,1,1,1,1,1],\"data_offsets\":[0,8]}}", 8,
         "up to 6"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         "more elements"},
        {"{\"x\":{\"dtype\":\"F64\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
         "has 0 bytes"},
        {"{\"x\":[]}", 0, "no dtype"},
        {"{\"x\":null}", 0, "no dtype"},
        {"[]", 0, "no JSON object"},
        {"", 0, "no JSON object"},
        {"{", 0, "no JSON object"},
        {"{}}", 0, "no JSON object"},
        {"{\"__metadata__\":[]}", 0, "__metadata__"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "\"a\""},
        {"{\"__metadata__\":{\"crc32\":\"00000000\"}," X "}", 8, "checksum"},
        {"{\"__metadata__\":{\"crc32\":\"nonsense\"}}", 0, "checksum"},
        {"{\"__metadata__\":{\"crc32\":\"\"}}", 0, "checksum"},
        {"{\"__metadata__\":{\"crc32\":\"00000000\"}}", 0, NULL},
    };
#undef X
#undef Y
    char bytes[512];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        lode_tensor_file *f = NULL;
        size_t n = strlen(all[i].header);
        if (all[i].words == NULL) {
            assert_ok(open_made(all[i].header, n, all[i].n_data, &f, bytes));
            lode_tensors_close(f);
        } else {
            assert_fails(open_made(all[i].header, n, all[i].n_data, &f, bytes), LODE_ERR_DATA,
                         all[i].words);
            assert_null(f);
            assert_non_null(strstr(lode_last_error(), "made"));
        }
    }
}

static void test_header_length(void **state) {
    (void)state;
    lode_tensor_file *f = NULL;
    const unsigned char lengths[][8] = {
        {3}, {0, 0, 0, 0, 0, 0, 0, 128}, {255, 255, 255, 255, 255, 255, 255, 255}};
    unsigned char bytes[10] = {0};
    for (size_t i = 0; i < 3; i++) {
        memcpy(bytes, lengths[i], 8);
        memcpy(bytes + 8, "{}", 2);
        assert_fails(lode_tensors_open_bytes(bytes, 10, "made", &f), LODE_ERR_DATA,
                     "header should have");
    }
    for (size_t n = 0; n < 8; n++)
        assert_fails(lode_tensors_open_bytes(bytes, n, "made", &f), LODE_ERR_DATA, "too short");
    assert_null(f);
}

/* ---- a real file, damaged everywhere ---- */
static void test_damage(void **state) {
    (void)state;
    lode_shape s = LODE_SHAPE(3, 2);
    lode_named_tensor items[] = {{"weight", random_tensor(LODE_F32, &s, LODE_CONTIGUOUS)},
                                 {"bias", random_tensor(LODE_BF16, &s, LODE_CONTIGUOUS)}};
    char *path = lode_path_join(dir, "whole.safetensors"),
         *cut = lode_path_join(dir, "cut.safetensors");
    void *whole = NULL;
    size_t n = 0;
    lode_tensor_file *f = NULL;
    assert_ok(lode_tensors_save(path, items, 2, NULL));
    assert_ok(lode_file_read(path, &whole, &n));
    for (size_t k = 0; k < n; k++) { /* cut anywhere */
        assert_ok(lode_file_write_atomic(cut, whole, k));
        assert_int_equal(lode_tensors_open(cut, &f), LODE_ERR_DATA);
        assert_non_null(strstr(lode_last_error(), cut));
        k += k < n - 40 ? 11 : 0;
    }
    unsigned char *bytes = whole;
    for (size_t k = 0; k < n; k++) /* any byte changed: refused, or a legal file all the same */
        for (int bit = 0; bit < 8; bit++) {
            bytes[k] ^= (unsigned char)(1 << bit);
            lode_status status = lode_tensors_open_bytes(bytes, n, "damaged", &f);
            bool in_data = k >= n - 36;
            if (status == LODE_OK) {
                assert_false(in_data); /* the checksum sees every flipped bit of the data */
                for (int64_t i = 0; i < lode_tensors_n(f); i++) {
                    lode_tensor *t = NULL;
                    assert_ok(lode_tensors_get(f, lode_tensors_name(f, i), &t));
                    lode_tensor_release(t);
                }
                lode_tensors_close(f);
            } else {
                assert_int_equal(status, LODE_ERR_DATA);
            }
            bytes[k] ^= (unsigned char)(1 << bit);
        }
    assert_ok(lode_tensors_open_bytes(bytes, n, "whole again", &f));
    lode_tensors_close(f);
    assert_fails(lode_tensors_open(dir, &f), LODE_ERR_IO, dir);
    lode_free(whole);
    lode_free(path);
    lode_free(cut);
    lode_tensor_release(items[0].tensor);
    lode_tensor_release(items[1].tensor);
}

/* ---- no memory ---- */
static lode_status save_and_load(const char *path, const lode_named_tensor *items) {
    const char *const metadata[] = {"key", "value", NULL};
    lode_tensor_file *f = NULL;
    lode_tensor *t = NULL;
    lode_status status;
    LODE_GOTO(lode_tensors_save(path, items, 2, metadata));
    LODE_GOTO(lode_tensors_open(path, &f));
    LODE_GOTO(lode_tensors_get(f, "b", &t));
    LODE_GOTO(lode_tensors_load_into(f, "a", items[0].tensor));
    status = lode_tensors_load_into(f, "absent", t);
    if (status == LODE_ERR_NOT_FOUND) status = LODE_OK;
done:
    lode_tensor_release(t);
    lode_tensors_close(f);
    return status;
}

static void test_no_memory(void **state) {
    (void)state;
    lode_shape s = LODE_SHAPE(5);
    lode_named_tensor items[] = {{"a", random_tensor(LODE_F32, &s, LODE_CONTIGUOUS)},
                                 {"b", random_tensor(LODE_S64, &s, LODE_CONTIGUOUS)}};
    char *path = lode_path_join(dir, "memory.safetensors");
    assert_ok(save_and_load(path, items));
    int64_t n_asked = 1, n_failed = 0; /* asked: n + 1 as long as the n-th was reached */
    for (int64_t n = 0; n_asked >= n; n++) {
        lode_device_empty_cache(lode_cpu_device());
        int64_t blocks = lode_memory_get_stats().n_blocks;
        test_fail_allocation(n);
        lode_status status = save_and_load(path, items);
        n_asked = test_fail_allocation(-1);
        n_failed += status != LODE_OK;
        if (status != LODE_OK) assert_int_equal(status, LODE_ERR_NO_MEMORY);
        lode_device_empty_cache(lode_cpu_device());
        assert_int_equal(lode_memory_get_stats().n_blocks, blocks);
    }
    assert_true(n_failed > 10);
    lode_free(path);
    lode_tensor_release(items[0].tensor);
    lode_tensor_release(items[1].tensor);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_save_errors),   cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_header_length), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
