/* test_yaml.c: text to tree with lines, aliases and merges, bounds, typed reads, unknown keys. */
#include "core/config.h"
#include "support/support.h"

static lode_yaml *parse(const char *text) {
    lode_yaml *y = NULL;
    assert_ok(lode_yaml_parse(text, "s.yaml", &y));
    assert_non_null(y);
    return y;
}

static void a_tree_knows_its_lines(void **state) {
    (void)state;
    lode_yaml *y = parse("# comment\n"
                         "name: fbnet\n"
                         "stages:\n"
                         "  - {width: 16, repeat: 1}\n"
                         "  -\n"
                         "    width: 24\n"
                         "    quoted: \"24\"\n"
                         "empty:\n"
                         "list: [a, b]\n");
    assert_int_equal(y->kind, LODE_YAML_MAP);
    assert_int_equal(y->n, 4);
    assert_string_equal(lode_yaml_name(y), "s.yaml");
    lode_yaml *name = lode_yaml_get(y, "name"), *stages = lode_yaml_get(y, "stages");
    assert_int_equal(name->line, 2);
    assert_string_equal(name->key, "name");
    assert_string_equal(name->scalar, "fbnet");
    assert_true(name->used);
    assert_int_equal(stages->kind, LODE_YAML_LIST);
    assert_int_equal(stages->line, 3);
    assert_int_equal(stages->n, 2);
    assert_null(stages->item[0]->key);
    assert_int_equal(stages->item[0]->line, 4);
    lode_yaml *second = stages->item[1];
    assert_false(second->item[0]->used);
    assert_int_equal(lode_yaml_get(second, "width")->line, 6);
    assert_false(lode_yaml_get(second, "width")->quoted);
    assert_true(lode_yaml_get(second, "quoted")->quoted);
    assert_true(lode_yaml_is_null(lode_yaml_get(y, "empty")));
    assert_false(lode_yaml_is_null(lode_yaml_get(y, "list")));
    assert_null(lode_yaml_get(y, "absent"));
    assert_null(lode_yaml_get(name, "no map"));
    assert_null(lode_yaml_get(NULL, "nothing"));
    lode_yaml_destroy(y);
    lode_yaml_destroy(NULL);
}

static void empty_and_odd_roots(void **state) {
    (void)state;
    const char *const empty[] = {"", "\n\n", "# only this\n", "---\n...\n"};
    for (int i = 0; i < 3; i++) {
        lode_yaml *y = parse(empty[i]);
        assert_int_equal(y->kind, LODE_YAML_MAP);
        assert_int_equal(y->n, 0);
        lode_yaml_destroy(y);
    }
    lode_yaml *y = parse(empty[3]);
    assert_true(lode_yaml_is_null(y));
    lode_yaml_destroy(y);
    y = parse("[1, 2]");
    assert_int_equal(y->kind, LODE_YAML_LIST);
    lode_yaml_destroy(y);
    y = parse(
        "\xef\xbb\xbfkey: v\r\nother: w\r\n"); /* a byte order mark, and lines as of Windows */
    assert_string_equal(lode_yaml_get(y, "key")->scalar, "v");
    assert_int_equal(lode_yaml_get(y, "other")->line, 2);
    lode_yaml_destroy(y);
}

static void maps_of_any_size_are_found(void **state) {
    (void)state;
    lode_text t = {0};
    for (int i = 0; i < 2000; i++) lode_text_add(&t, "k%d: %d\n", i * 7919 % 2000, i);
    assert_ok(lode_text_status(&t));
    lode_yaml *y = parse(t.s);
    assert_int_equal(y->n, 2000);
    for (int i = 0; i < 2000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i * 7919 % 2000);
        assert_int_equal(atoi(lode_yaml_get(y, key)->scalar), i);
    }
    assert_null(lode_yaml_get(y, "k2000"));
    assert_ok(lode_yaml_check_used(y, NULL));
    lode_yaml_destroy(y);
    lode_text_deinit(&t);
}

static void aliases_and_merges_are_expanded(void **state) {
    (void)state;
    lode_yaml *y = parse("base: &base {width: 16, act: relu}\n"
                         "more: &more {act: swish, se: true}\n"
                         "a: *base\n"
                         "b: {<<: *base, width: 24}\n"
                         "c: {<<: [*base, *more], k: 3}\n"
                         "d: {'<<': plain}\n"
                         "e: {<<: {<<: *more, x: 1}}\n");
    lode_yaml *a = lode_yaml_get(y, "a"), *b = lode_yaml_get(y, "b"), *c = lode_yaml_get(y, "c");
    assert_string_equal(lode_yaml_get(a, "act")->scalar, "relu");
    assert_false(lode_yaml_get(lode_yaml_get(y, "base"), "act") == lode_yaml_get(a, "act"));
    assert_int_equal(b->n, 2);
    assert_string_equal(lode_yaml_get(b, "width")->scalar, "24");
    assert_string_equal(lode_yaml_get(b, "act")->scalar, "relu");
    assert_int_equal(c->n, 4);
    assert_string_equal(lode_yaml_get(c, "act")->scalar, "relu"); /* the first of the list wins */
    assert_string_equal(lode_yaml_get(c, "se")->scalar, "true");
    assert_string_equal(lode_yaml_get(lode_yaml_get(y, "d"), "<<")->scalar, "plain");
    assert_int_equal(lode_yaml_get(y, "e")->n, 3);
    lode_yaml_destroy(y);
}

static void bad_text_says_where(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"a: 1\nb: [1,\n", "s.yaml:3: "},
        {"a: 1\n\tb: 2\n", "s.yaml:2: "},
        {"a: b: c\n", "s.yaml:1: mapping values are not allowed"},
        {"a: 1\nb: 2\na: 3\n", "s.yaml:3: key `a`: stands twice"},
        {"a: \"open\n", "s.yaml:2: "},
        {"a: 1\nb: \xff\n", "s.yaml:2: "},
        {"a: \x01\n", "s.yaml:1: "},
        {"a: *nobody\n", "s.yaml:1: found undefined alias"},
        {"a: 1\n---\nb: 2\n", "s.yaml:3: a second document"},
        {"[1, 2]: x\n", "s.yaml:1: a key should be plain text"},
        {"a: 1\n? {b: c}\n: x\n", "s.yaml:2: a key should be plain text"},
        {"'': x\n", "s.yaml:1: a key is empty"},
        {"a: !python/object x\n", "s.yaml:1: the tag !python/object has no meaning here"},
        {"a: \"x\\0y\"\n", "s.yaml:1: text with a NUL byte inside"},
        {"\"x\\0y\": 1\n", "s.yaml:1: text with a NUL byte inside"},
        {"a: &a [*a]\n", "s.yaml:1: nested deeper than 64 levels, or an alias of itself"},
        {"a: {<<: 3}\n", "s.yaml:1: the merge key << wants a map or a list of maps"},
        {"a:\n - <<: [3]\n", "s.yaml:2: the merge key << wants a map or a list of maps"},
    };
    lode_yaml some, *before = &some;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lode_yaml *y = before; /* must become NULL */
        assert_fails(lode_yaml_parse(bad[i].text, "s.yaml", &y), LODE_ERR_CONFIG, bad[i].words);
        assert_null(y);
    }
}

static void bombs_do_not_go_off(void **state) {
    (void)state;
    lode_yaml *y = NULL;
    lode_text t = {0};
    lode_text_add(&t, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++) {
        lode_text_add(&t, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++) lode_text_add(&t, "*a%d,", i - 1);
        lode_text_add(&t, "]\n");
    }
    assert_fails(lode_yaml_parse(t.s, "s.yaml", &y), LODE_ERR_CONFIG,
                 "aliases stand for more than");
    assert_null(y);
    lode_text_deinit(&t);
    for (int i = 0; i < 3000; i++) lode_text_add(&t, "[");
    assert_int_equal(lode_yaml_parse(t.s, "s.yaml", &y), LODE_ERR_CONFIG);
    lode_text_deinit(&t);
    for (int i = 0; i < 70; i++) lode_text_add(&t, "[");
    for (int i = 0; i < 70; i++) lode_text_add(&t, "]");
    assert_fails(lode_yaml_parse(t.s, "s.yaml", &y), LODE_ERR_CONFIG, "nested deeper");
    lode_text_deinit(&t);
    /* A large file without aliases is not a bomb. */
    for (int i = 0; i < 70000; i++) lode_text_add(&t, "- %d\n", i);
    assert_ok(lode_yaml_parse(t.s, "s.yaml", &y));
    assert_int_equal(y->n, 70000);
    lode_yaml_destroy(y);
    lode_text_deinit(&t);
}

static void keys_are_read_by_type(void **state) {
    (void)state;
    lode_yaml *y = parse("i: 42\nf: 0.5\nb: on\ns: text\nn: ~\nl: [1]\nm: {}\n");
    int64_t i = 0;
    double f = 0;
    bool b = false;
    const char *s = NULL;
    assert_ok(lode_yaml_int(y, "i", 7, 0, 100, &i));
    assert_int_equal(i, 42);
    assert_ok(lode_yaml_int(y, "absent", 7, 0, 1, &i)); /* a default need not be in range */
    assert_int_equal(i, 7);
    assert_ok(lode_yaml_f64(y, "f", 1, 0, 1, &f));
    assert_true(f == 0.5);
    assert_ok(lode_yaml_f64(y, "i", 1, 0, 0, &f));
    assert_true(f == 42);
    assert_ok(lode_yaml_f64(y, "absent", 1.5, 0, 0, &f));
    assert_true(f == 1.5);
    assert_ok(lode_yaml_bool(y, "b", false, &b));
    assert_true(b);
    assert_ok(lode_yaml_bool(y, "absent", false, &b));
    assert_false(b);
    assert_ok(lode_yaml_string(y, "s", "d", &s));
    assert_string_equal(s, "text");
    assert_ok(lode_yaml_string(y, "absent", "d", &s));
    assert_string_equal(s, "d");
    assert_ok(lode_yaml_string(y, "n", NULL, &s));
    assert_null(s);

    assert_fails(lode_yaml_int(y, "i", 7, 0, 41, &i), LODE_ERR_CONFIG,
                 "s.yaml:1: key `i`: 42 is not between 0 and 41");
    assert_fails(lode_yaml_int(y, "f", 7, 0, 1, &i), LODE_ERR_CONFIG, "not a whole number");
    assert_fails(lode_yaml_f64(y, "s", 7, 0, 1, &f), LODE_ERR_CONFIG, "s.yaml:4: key `s`: `text`");
    assert_fails(lode_yaml_f64(y, "f", 7, 1, 2, &f), LODE_ERR_CONFIG, "0.5 is not between 1 and 2");
    assert_fails(lode_yaml_bool(y, "i", true, &b), LODE_ERR_CONFIG, "neither true nor false");
    assert_fails(lode_yaml_string(y, "n", "d", &s), LODE_ERR_CONFIG, "key `n`: has no value");
    assert_fails(lode_yaml_int(y, "n", 7, 0, 1, &i), LODE_ERR_CONFIG, "has no value");
    assert_fails(lode_yaml_int(y, "l", 7, 0, 1, &i), LODE_ERR_CONFIG, "one value and is a list");
    assert_fails(lode_yaml_string(y, "m", "d", &s), LODE_ERR_CONFIG, "one value and is a section");
    assert_fails(lode_yaml_fail(y->item[0], "is %s", "odd"), LODE_ERR_CONFIG,
                 "s.yaml:1: key `i`: is odd");
    assert_fails(lode_yaml_fail(y, "is odd"), LODE_ERR_CONFIG, "s.yaml:1: is odd");
    lode_yaml_destroy(y);
}

static void unread_keys_are_found(void **state) {
    (void)state;
    lode_yaml *y = parse("name: x\nstages:\n  - {width: 3}\n  - {widht: 4}\nzzz: 1\n");
    int64_t n;
    const char *s;
    assert_fails(lode_yaml_check_used(y, NULL), LODE_ERR_CONFIG, "s.yaml:1: key `name`: unknown");
    assert_ok(lode_yaml_string(y, "name", NULL, &s));
    lode_yaml *stages = lode_yaml_get(y, "stages");
    for (int i = 0; i < 2; i++) assert_ok(lode_yaml_int(stages->item[i], "width", 1, 0, 9, &n));
    assert_fails(lode_yaml_check_used(y, NULL), LODE_ERR_CONFIG,
                 "s.yaml:4: key `widht`: unknown key; did you mean `width`?");
    lode_yaml_mark_used(stages);
    const char *const known[] = {"zzzz", "other", NULL};
    assert_fails(lode_yaml_check_used(y, known), LODE_ERR_CONFIG,
                 "s.yaml:5: key `zzz`: unknown key; did you mean `zzzz`?");
    assert_non_null(lode_yaml_get(y, "zzz"));
    assert_ok(lode_yaml_check_used(y, known));
    lode_yaml_destroy(y);
}

static void the_dump_reads_back(void **state) {
    (void)state;
    const char text[] = "name: fbnet\n"
                        "none: null\n"
                        "quoted: 'null'\n"
                        "lines: \"a\\nb\"\n"
                        "list: [1, 2, 'x, y']\n"
                        "empty: []\n"
                        "nothing: {}\n"
                        "stages:\n"
                        "- width: 3\n"
                        "  ops: [a, b]\n"
                        "- - [1]\n"
                        "  - {}\n";
    lode_yaml *y = parse(text);
    char *dump = lode_yaml_dump(y);
    assert_string_equal(dump, text);
    lode_free(dump);
    lode_yaml_destroy(y);
    y = parse("a: ~\n'<<': {b: c}\n");
    dump = lode_yaml_dump(y);
    lode_yaml *again = parse(dump);
    assert_true(lode_yaml_is_null(lode_yaml_get(again, "a")));
    assert_string_equal(lode_yaml_get(lode_yaml_get(again, "<<"), "b")->scalar, "c");
    lode_free(dump);
    lode_yaml_destroy(y);
    lode_yaml_destroy(again);
}

static void no_memory_is_a_status_and_no_leak(void **state) {
    (void)state;
    int64_t blocks = lode_memory_get_stats().n_blocks, n = 0;
    for (;; n++) {
        lode_yaml *y = NULL;
        char *dump = NULL;
        test_fail_allocation(n);
        lode_status status = lode_yaml_parse(
            "a: &a {b: 1, c: [2, 3]}\nd: {<<: *a, e: 4}\nf: {<<: [*a, {g: 5}]}\n", "s.yaml", &y);
        if (status == LODE_OK && (dump = lode_yaml_dump(y)) == NULL) status = lode_last_status();
        int64_t asked = test_fail_allocation(-1);
        lode_free(dump);
        lode_yaml_destroy(y);
        assert_int_equal(lode_memory_get_stats().n_blocks, blocks);
        if (asked <= n) {
            assert_ok(status);
            break;
        }
        assert_int_equal(status, LODE_ERR_NO_MEMORY);
    }
    assert_true(n > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_knows_its_lines),
        cmocka_unit_test(empty_and_odd_roots),
        cmocka_unit_test(maps_of_any_size_are_found),
        cmocka_unit_test(aliases_and_merges_are_expanded),
        cmocka_unit_test(bad_text_says_where),
        cmocka_unit_test(bombs_do_not_go_off),
        cmocka_unit_test(keys_are_read_by_type),
        cmocka_unit_test(unread_keys_are_found),
        cmocka_unit_test(the_dump_reads_back),
        cmocka_unit_test(no_memory_is_a_status_and_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
