/* test_log.c: silence by default, levels, long lines, progress with missing members. */
#include "core/log.h"
#include "support/support.h"

typedef struct kept {
    int n;
    lode_log_level level;
    char text[8192];
} kept;

static void keep(void *self, lode_log_level level, const char *text) {
    kept *k = self;
    k->n++;
    k->level = level;
    snprintf(k->text, sizeof k->text, "%s", text);
}

static void the_library_starts_silent(void **state) {
    (void)state;
    assert_int_equal(lode_get_log_level(), LODE_LOG_NONE);
    lode_log(LODE_LOG_ERROR, "nobody hears %d", 1);
}

static void levels_filter(void **state) {
    (void)state;
    kept k = {0};
    lode_set_log(keep, &k, LODE_LOG_WARN);
    assert_int_equal(lode_get_log_level(), LODE_LOG_WARN);
    lode_log(LODE_LOG_DEBUG, "no");
    lode_log(LODE_LOG_INFO, "no");
    assert_int_equal(k.n, 0);
    lode_log(LODE_LOG_WARN, "x %d", 5);
    assert_int_equal(k.level, LODE_LOG_WARN);
    assert_string_equal(k.text, "x 5");
    lode_log(LODE_LOG_ERROR, "y");
    assert_int_equal(k.n, 2);
    lode_set_log(keep, &k, LODE_LOG_NONE);
    lode_log(LODE_LOG_ERROR, "no");
    lode_log(LODE_LOG_NONE, "no");
    assert_int_equal(k.n, 2);
    lode_set_log(NULL, NULL, LODE_LOG_DEBUG);
    assert_int_equal(lode_get_log_level(), LODE_LOG_NONE);
    lode_log(LODE_LOG_ERROR, "no");
    assert_int_equal(k.n, 2);
}

static void long_lines_are_cut(void **state) {
    (void)state;
    static kept k;
    lode_set_log(keep, &k, LODE_LOG_DEBUG);
    lode_log(LODE_LOG_INFO, "%*s", 6000, "x");
    lode_set_log(NULL, NULL, LODE_LOG_NONE);
    assert_int_equal(k.n, 1);
    assert_int_equal(strlen(k.text), 4095);
}

typedef struct bar {
    int64_t done, total;
    const char *stage, *metrics;
    bool stop;
} bar;

static void bar_update(void *self, const char *stage, int64_t done, int64_t total,
                       const char *metrics) {
    bar *b = self;
    *b = (bar){done, total, stage, metrics, b->stop};
}
static bool bar_should_stop(void *self) { return ((bar *)self)->stop; }

static void progress_may_lack_anything(void **state) {
    (void)state;
    bar b = {0};
    lode_progress none = {0}, whole = {&b, bar_update, bar_should_stop};
    lode_progress_update(NULL, "s", 1, 2, "");
    lode_progress_update(&none, "s", 1, 2, "");
    assert_false(lode_progress_should_stop(NULL));
    assert_false(lode_progress_should_stop(&none));
    lode_progress_update(&whole, "train", 3, 10, "loss 0.4");
    assert_int_equal(b.done, 3);
    assert_int_equal(b.total, 10);
    assert_string_equal(b.stage, "train");
    assert_string_equal(b.metrics, "loss 0.4");
    assert_false(lode_progress_should_stop(&whole));
    b.stop = true;
    assert_true(lode_progress_should_stop(&whole));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_starts_silent),
        cmocka_unit_test(levels_filter),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(progress_may_lack_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
