/* test_arch.c: an architecture survives every code it can be written in; canonical forms. */
#include "core/json.h"
#include "core/platform.h"
#include "supernet/supernet.h"
#include "support/support.h"

static lode_space *load(const char *name) {
    lode_space *s;
    lode_space_options options = {.name = name};
    assert_ok(lode_space_load(&options, &s));
    return s;
}

static void check_round_trip(const lode_space *s, const lode_arch *a) {
    lode_arch b;
    char *text = lode_arch_text(s, a), *code = lode_arch_code(s, a);
    assert_true(text != NULL && code != NULL);
    assert_ok(lode_arch_parse(s, text, &b));
    assert_true(lode_arch_equal(a, &b));
    assert_ok(lode_arch_parse(s, code, &b));
    assert_true(lode_arch_equal(a, &b));
    json_t *j = lode_arch_json(s, a);
    assert_non_null(j);
    assert_string_equal(json_string_value(json_object_get(j, "text")), text);
    assert_ok(lode_arch_from_json(s, j, &b));
    assert_true(lode_arch_equal(a, &b));
    json_decref(j);
    lode_arch c = lode_arch_canonical(s, a), d = lode_arch_canonical(s, &c);
    assert_true(lode_arch_equal(&c, &d));
    assert_true(lode_arch_hash(s, a) == lode_arch_hash(s, &c));
    assert_ok(lode_space_check(s, &c));
    lode_free(text);
    lode_free(code);
}

static void test_round_trips(void **state) {
    (void)state;
    char **names;
    int64_t n;
    assert_ok(lode_space_names(&names, &n));
    for (int64_t i = 0; i < n; i++) {
        lode_space *s = load(names[i]);
        lode_rng rng = lode_rng_stream(1, LODE_RNG_TEST, (uint64_t)i);
        for (int k = 0; k < 200; k++) {
            lode_arch a;
            assert_ok(lode_space_sample(s, &rng, &a));
            check_round_trip(s, &a);
        }
        lode_space_release(s);
    }
    lode_names_free(names, n);
}

static void test_codes(void **state) {
    (void)state;
    lode_arch a, b;
    lode_space *s = load("nasbench201");
    const char *published =
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|"
        "nor_conv_1x1~2|";
    assert_ok(lode_arch_parse(s, published, &a));
    assert_ok(lode_arch_parse(s, "333132", &b)); /* the same cell in the table's digits */
    assert_true(lode_arch_equal(&a, &b));
    assert_ok(lode_arch_parse(s, "3, 3,3,1 ,3,2", &b));
    assert_ok(lode_arch_parse(s, " 3 3 3\t1 3 2 ", &b)); /* as in a cell of a CSV */
    assert_true(lode_arch_equal(&a, &b));
    char *code = lode_arch_code(s, &a);
    assert_string_equal(code, published);
    lode_free(code);
    struct {
        const char *text, *words;
    } bad[] = {
        {"|nor_conv_3x3~0|+|nor_conv_3x3~0|", "an edge is op~source"},
        {"|nor_conv_3x3~1|", "should come from 0"},
        {"|nor~0|", "no operation `nor`"},
        {"33313", "has no option"},
        {"333136", "has no option `6`"},
        {"", "has no option"},
        {"none,none", "2 options given"},
        {"none,none,none,none,none,none,none", "too many"},
        {"none,none,none,none,none,non", "did you mean `none`"},
        {"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|x", "goes on"},
        {"@/nowhere/arch.json", "/nowhere/arch.json"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lode_status status = lode_arch_parse(s, bad[i].text, &a);
        if (status == LODE_OK || strstr(lode_last_error(), bad[i].words) == NULL)
            fail_msg("\"%s\": \"%s\" lacks \"%s\"", bad[i].text, lode_last_error(), bad[i].words);
    }
    lode_space_release(s);
    s = load("nasbench-macro");
    assert_fails(lode_arch_parse(s, published, &a), LODE_ERR_INVALID, "no code of the form");
    lode_space_release(s);
    s = load("darts");
    assert_fails(lode_arch_parse(s, "0000000000000000000000000000", &a), LODE_ERR_INVALID,
                 "keeps 2");
    lode_space_release(s);
}

static void test_json(void **state) {
    (void)state;
    lode_arch a, b;
    char *dir = test_temp_dir();
    char *path = lode_path_join(dir, "arch.json"), *at = lode_format("@%s", path);
    lode_space *s = load("fbnet-fashion"), *other = load("fbnet-cifar");
    lode_rng rng = lode_rng_stream(2, LODE_RNG_TEST, 0);
    assert_ok(lode_space_sample(s, &rng, &a));
    json_t *j = lode_arch_json(s, &a);
    assert_ok(lode_json_write(path, j));
    assert_ok(lode_arch_parse(s, at, &b));
    assert_true(lode_arch_equal(&a, &b));
    assert_fails(lode_arch_from_json(other, j, &b), LODE_ERR_INVALID, "belongs to space");
    json_object_set_new(json_object_get(j, "choices"), "layer9", json_string("skip"));
    assert_fails(lode_arch_from_json(s, j, &b), LODE_ERR_DATA, "8 choices for the 7");
    json_object_del(json_object_get(j, "choices"), "layer3");
    assert_fails(lode_arch_from_json(s, j, &b), LODE_ERR_DATA, "layer3");
    json_object_del(j, "choices");
    assert_fails(lode_arch_from_json(s, j, &b), LODE_ERR_DATA, "choices");
    json_decref(j);
    lode_space_release(other);
    lode_space_release(s);
    lode_free(at);
    lode_free(path);
    test_remove_tree(dir);
    lode_free(dir);
}

/* Identities go to the end of their stage, and only within it. */
static void test_skips_last(void **state) {
    (void)state;
    /* stages of 2, 3, 3 layers; the first of each changes the shape and stays */
    const char *pairs[][2] = {{"22222202", "22222220"}, /* 222 202 */
                              {"02022012", "02022012"}, /* 022 012: identity first is no skip */
                              {"20202010", "20220010"}, /* 202 010 */
                              {"00000000", "00000000"},
                              {"01201101", "01210110"}};
    lode_space *s = load("nasbench-macro");
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        lode_arch a;
        assert_ok(lode_arch_parse(s, pairs[i][0], &a));
        lode_arch c = lode_arch_canonical(s, &a);
        char *code = lode_arch_code(s, &c);
        assert_string_equal(code, pairs[i][1]);
        lode_free(code);
    }
    lode_space_release(s);
}

/* Hand-made equalities of NAS-Bench-201 cells, and one that only looks equal. */
static void test_cell_canonical(void **state) {
    (void)state;
    lode_space *s = load("nasbench201");
    struct {
        const char *a, *b;
        bool equal;
    } pairs[] = {
        /* edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2 */
        {"300010", "030001", true},  /* conv then skip, through node 1 or node 2 */
        {"300010", "000300", true},  /* or straight to the output */
        {"130010", "030100", true},  /* x, and a conv whose result nobody reads */
        {"100010", "030100", false}, /* which is paid for all the same */
        {"100030", "000300", true},  /* a skip before the conv */
        {"300020", "030002", true},  /* conv 3x3, conv 1x1 */
        {"300020", "200030", false}, /* not in the other order */
        {"300011", "300010", true},  /* a skip from a node that is zero */
        {"101031", "001300", false}, /* x added on the way */
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        lode_arch a, b;
        assert_ok(lode_arch_parse(s, pairs[i].a, &a));
        assert_ok(lode_arch_parse(s, pairs[i].b, &b));
        bool equal = lode_arch_hash(s, &a) == lode_arch_hash(s, &b);
        if (equal != pairs[i].equal) fail_msg("%s and %s", pairs[i].a, pairs[i].b);
    }
    lode_space_release(s);
}

/* Hashes are part of saved studies: they never change. */
static void test_hash_stable(void **state) {
    (void)state;
    lode_space *s = load("nasbench-macro");
    lode_arch a;
    assert_ok(lode_arch_parse(s, "22212220", &a));
    char hash[20];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)lode_arch_hash(s, &a));
    assert_string_equal(hash, "67dd7ba37bac1820");
    lode_space_release(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),    cmocka_unit_test(test_codes),
        cmocka_unit_test(test_json),           cmocka_unit_test(test_skips_last),
        cmocka_unit_test(test_cell_canonical), cmocka_unit_test(test_hash_stable),
    };
    return cmocka_run_group_tests_name("supernet/arch", tests, NULL, NULL);
}
