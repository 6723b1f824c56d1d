/* test_json.c: reading with places, typed members, writing that reads back to the same. */
#include "core/json.h"
#include "core/platform.h"
#include "support/support.h"

#include <math.h>

static json_t *parse(const char *text) {
    json_t *v = NULL;
    assert_ok(lode_json_parse(text, "a.json", &v));
    return v;
}

static void bad_json_says_where(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "a.json:1:"},
        {"{\n \"a\": 1,\n \"b\" 2\n}", "a.json:3:"},
        {"{\"a\": 1, \"a\": 2}", "duplicate"},
        {"[1, 2", "a.json:1:"},
        {"[NaN]", "a.json:1:"},
        {"{} x", "a.json:1:"},
        {"[\"\xff\"]", "a.json:1:"},
    };
    json_t *before = json_null();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *v = before; /* must become NULL */
        assert_fails(lode_json_parse(bad[i].text, "a.json", &v), LODE_ERR_DATA, bad[i].words);
        assert_null(v);
    }
}

static void members_are_typed(void **state) {
    (void)state;
    json_t *o =
        parse("{\"i\": -3, \"f\": 0.5, \"b\": true, \"s\": \"text\", \"n\": null, \"a\": []}");
    int64_t i = 0;
    double f = 0;
    bool b = false;
    const char *s = NULL;
    assert_ok(lode_json_get_int(o, "i", "file", &i));
    assert_int_equal(i, -3);
    assert_ok(lode_json_get_f64(o, "f", "file", &f));
    assert_true(f == 0.5);
    assert_ok(lode_json_get_f64(o, "i", "file", &f));
    assert_true(f == -3);
    assert_ok(lode_json_get_bool(o, "b", "file", &b));
    assert_true(b);
    assert_ok(lode_json_get_string(o, "s", "file", &s));
    assert_string_equal(s, "text");

    assert_fails(lode_json_get_int(o, "x", "arch.json", &i), LODE_ERR_DATA,
                 "arch.json: key `x` is missing");
    assert_fails(lode_json_get_int(o, "f", "arch.json", &i), LODE_ERR_DATA,
                 "arch.json: key `f` should be an integer and is a number");
    assert_fails(lode_json_get_f64(o, "s", "w", &f), LODE_ERR_DATA, "a number and is text");
    assert_fails(lode_json_get_bool(o, "n", "w", &b), LODE_ERR_DATA, "true or false and is null");
    assert_fails(lode_json_get_string(o, "a", "w", &s), LODE_ERR_DATA, "text and is an array");
    assert_fails(lode_json_get_string(o, "b", "w", &s), LODE_ERR_DATA, "text and is true");
    assert_fails(lode_json_get_int(json_object_get(o, "a"), "k", "w", &i), LODE_ERR_DATA,
                 "w: not a JSON object");
    assert_fails(lode_json_get_int(NULL, "k", "w", &i), LODE_ERR_DATA, "w: not a JSON object");
    json_decref(o);
}

static void lines_are_compact_and_exact(void **state) {
    (void)state;
    const char text[] = "{\"b\":1,\"a\":[0.1,1.0,-3,1e-300,true,false,null,\"x\\\"\\\\\\n\\t\\u0001"
                        "\xc3\xa4\"],\"e\":{},\"f\":[],\"g\":{\"h\":[[1],{\"i\":2}]}}";
    json_t *v = parse(text);
    char *line = lode_json_line(v);
    assert_string_equal(line, text);
    lode_free(line);
    json_decref(v);
}

static void files_are_written_for_people(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "r.json");
    json_t *v =
        parse("{\"name\": \"x\", \"list\": [1, 2.5], \"deep\": {\"a\": [{\"b\": []}, {}]}}");
    json_t *again = NULL;
    void *bytes;
    size_t n;
    assert_ok(lode_json_write(path, v));
    assert_ok(lode_file_read(path, &bytes, &n));
    assert_string_equal(bytes, "{\n"
                               "  \"name\": \"x\",\n"
                               "  \"list\": [1, 2.5],\n"
                               "  \"deep\": {\n"
                               "    \"a\": [\n"
                               "      {\n"
                               "        \"b\": []\n"
                               "      },\n"
                               "      {}\n"
                               "    ]\n"
                               "  }\n"
                               "}\n");
    assert_ok(lode_json_read(path, &again));
    assert_true(json_equal(v, again));
    json_decref(again);
    again = v;
    assert_fails(lode_json_read("no/such.json", &again), LODE_ERR_IO, "no/such.json");
    assert_null(again);
    assert_fails(lode_json_write("no/such.json", v), LODE_ERR_IO, "no/such.json");
    assert_ok(lode_file_write_atomic(path, "{\n]", 3));
    assert_fails(lode_json_read(path, &again), LODE_ERR_DATA, "r.json:2:");
    lode_free(bytes);
    json_decref(v);
    lode_free(path);
    test_remove_tree(dir);
    lode_free(dir);
}

static void what_json_cannot_say_is_null(void **state) {
    (void)state;
    const double odd[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        json_t *v = lode_json_number(odd[i]);
        assert_true(json_is_null(v));
        json_decref(v);
    }
    json_t *v = lode_json_number(2);
    assert_true(json_is_real(v));
    char *line = lode_json_line(v);
    assert_string_equal(line, "2.0");
    lode_free(line);
    json_decref(v);
}

static void no_memory_is_a_status(void **state) {
    (void)state;
    char *dir = test_temp_dir(), *path = lode_path_join(dir, "r.json");
    json_t *v = parse("{\"a\": [1, 2, 3], \"b\": \"0123456789012345678901234567890123456789\", "
                      "\"c\": \"0123456789012345678901234567890123456789\"}");
    int64_t blocks = lode_memory_get_stats().n_blocks, n = 0;
    for (;; n++) {
        json_t *again = NULL;
        char *line = NULL;
        test_fail_allocation(n);
        lode_status status = lode_json_write(path, v);
        if (status == LODE_OK) status = lode_json_read(path, &again);
        if (status == LODE_OK && (line = lode_json_line(v)) == NULL) status = lode_last_status();
        int64_t asked = test_fail_allocation(-1);
        json_decref(again);
        lode_free(line);
        assert_int_equal(lode_memory_get_stats().n_blocks, blocks);
        if (asked <= n) {
            assert_ok(status);
            break;
        }
        assert_int_equal(status, LODE_ERR_NO_MEMORY);
    }
    assert_true(n >= 5);
    json_decref(v);
    lode_free(path);
    test_remove_tree(dir);
    lode_free(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_json_says_where),
        cmocka_unit_test(members_are_typed),
        cmocka_unit_test(lines_are_compact_and_exact),
        cmocka_unit_test(files_are_written_for_people),
        cmocka_unit_test(what_json_cannot_say_is_null),
        cmocka_unit_test(no_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
