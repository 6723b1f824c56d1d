/* test_number.c: numbers as text: what counts as one, exact round trips, foreign locales. */
#include "core/number.h"
#include "core/rng.h"
#include "support/support.h"

#include <float.h>
#include <locale.h>
#include <math.h>

static void numbers_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double x;
    } good[] = {{"0", 0},          {"12", 12},         {"-0.5", -0.5},     {".5", .5},
                {"5.", 5},         {"1e-3", 1e-3},     {"1E+3", 1000},     {"+7", 7},
                {"1e-999", 0},     {"00012", 12},      {".inf", INFINITY}, {"-.Inf", -INFINITY},
                {"inf", INFINITY}, {"-INF", -INFINITY}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        double x = -77;
        assert_true(lode_f64_parse(good[i].text, &x));
        assert_true(x == good[i].x);
    }
    double x = 0;
    assert_true(lode_f64_parse(".nan", &x) && isnan(x));
    assert_true(lode_f64_parse("-0", &x) && x == 0 && signbit(x));
}

static void what_is_no_number_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",      "-",        ".",    "e5",   "1e",  "1e+",   "0x10",
                                      "1 ",    " 1",       "1,5",  "1_0",  "--1", "1.2.3", "ten",
                                      "1e999", "infinity", "1e5e", "nano", "1f",  "1d"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        double x = -77;
        int64_t n = -77;
        assert_false(lode_f64_parse(bad[i], &x));
        assert_false(lode_i64_parse(bad[i], &n));
        assert_true(x == -77 && n == -77);
    }
    char digits[400];
    double x = -77;
    memset(digits, '1', 399);
    digits[399] = '\0';
    assert_false(lode_f64_parse(digits, &x));
}

static void integers_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t n;
    } good[] = {{"0", 0},
                {"-12", -12},
                {"+3", 3},
                {"007", 7},
                {"1e6", 1000000},
                {"2.5e1", 25},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t n = -77;
        assert_true(lode_i64_parse(good[i].text, &n));
        assert_true(n == good[i].n);
    }
    static const char *const bad[] = {
        "1.5", "9223372036854775808", "-9223372036854775809", "1e30", ".inf", ".nan", "1e-1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t n = -77;
        assert_false(lode_i64_parse(bad[i], &n));
        assert_true(n == -77);
    }
}

static void check_round_trip(double x) {
    char s[32];
    double y = -77;
    assert_ptr_equal(lode_f64_format(x, s), s);
    assert_true(strlen(s) < 32);
    assert_true(lode_f64_parse(s, &y));
    assert_memory_equal(&x, &y, sizeof x);
}

static void doubles_survive_their_text(void **state) {
    (void)state;
    static const double special[] = {
        0,        -0.0,     0.1,         1.0 / 3,   DBL_MAX,
        -DBL_MAX, DBL_MIN,  DBL_EPSILON, 0x1p-1074, 123456789012345678.0,
        1e22,     INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) check_round_trip(special[i]);
    lode_rng r = lode_rng_stream(1, LODE_RNG_TEST, 0);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = lode_rng_u64(&r);
        double x;
        memcpy(&x, &bits, sizeof x);
        if (isfinite(x)) check_round_trip(x);
        check_round_trip(lode_rng_uniform(&r));
        check_round_trip((double)(float)lode_rng_normal(&r));
    }
    char s[32];
    double x = 0;
    lode_f64_format(NAN, s);
    assert_string_equal(s, ".nan");
    assert_true(lode_f64_parse(s, &x) && isnan(x));
}

static void the_text_is_the_shortest(void **state) {
    (void)state;
    char s[32];
    assert_string_equal(lode_f64_format(0.1, s), "0.1");
    assert_string_equal(lode_f64_format(100, s), "100");
    assert_string_equal(lode_f64_format(-2.5, s), "-2.5");
    assert_string_equal(lode_f64_format(1e-300, s), "1e-300");
    assert_string_equal(lode_f64_format(0.1 + 0.2, s), "0.30000000000000004");
}

/* A German program writes 0,5; its recipes still say 0.5. */
static void the_locale_does_not_matter(void **state) {
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "ru_RU.UTF-8"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !found; i++)
        found = setlocale(LC_NUMERIC, names[i]) != NULL &&
                strcmp(localeconv()->decimal_point, ",") == 0;
    if (!found) {
        print_message("[  SKIP  ] no locale with a decimal comma is installed\n");
        skip();
    }
    char s[32];
    double x = 0;
    assert_true(lode_f64_parse("0.5", &x) && x == 0.5);
    assert_false(lode_f64_parse("0,5", &x));
    assert_string_equal(lode_f64_format(0.25, s), "0.25");
    check_round_trip(1.0 / 3);
    setlocale(LC_NUMERIC, "C");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read),         cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(integers_are_read),        cmocka_unit_test(doubles_survive_their_text),
        cmocka_unit_test(the_text_is_the_shortest), cmocka_unit_test(the_locale_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
