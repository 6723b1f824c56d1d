/* test_status.c: the story of a failure: names, replacement, context, one per thread. */
#include "core/log.h"
#include "support/support.h"

#include <pthread.h>

static void every_status_has_a_name(void **state) {
    (void)state;
    for (int i = 0; i < LODE_N_STATUS; i++) {
        const char *name = lode_status_name((lode_status)i);
        assert_non_null(name);
        assert_string_not_equal(name, "unknown status");
        for (int j = 0; j < i; j++) assert_string_not_equal(name, lode_status_name((lode_status)j));
    }
    assert_string_equal(lode_status_name((lode_status)1000), "unknown status");
    assert_string_equal(lode_status_name((lode_status)-1), "unknown status");
}

static void a_story_is_set_replaced_and_cleared(void **state) {
    (void)state;
    lode_error_clear();
    assert_string_equal(lode_last_error(), "");
    assert_int_equal(lode_last_status(), LODE_OK);
    assert_int_equal(LODE_FAIL(LODE_ERR_SHAPE, "x has %d channels, w wants %d", 3, 4),
                     LODE_ERR_SHAPE);
    assert_string_equal(lode_last_error(), "x has 3 channels, w wants 4");
    assert_int_equal(lode_last_status(), LODE_ERR_SHAPE);
    /* The old story may be an argument of the new one. */
    LODE_FAIL(LODE_ERR_IO, "before: %s", lode_last_error());
    assert_string_equal(lode_last_error(), "before: x has 3 channels, w wants 4");
    assert_int_equal(lode_last_status(), LODE_ERR_IO);
    lode_error_clear();
    assert_string_equal(lode_last_error(), "");
}

static void context_stands_in_front(void **state) {
    (void)state;
    LODE_FAIL(LODE_ERR_DATA, "bad magic");
    assert_int_equal(lode_error_context("file %s", "a.idx"), LODE_ERR_DATA);
    assert_int_equal(lode_error_context("dataset %d", 7), LODE_ERR_DATA);
    assert_string_equal(lode_last_error(), "dataset 7: file a.idx: bad magic");
}

static void long_stories_are_cut_not_overrun(void **state) {
    (void)state;
    char *big = lode_alloc(10000, 1);
    assert_non_null(big);
    memset(big, 'x', 9999);
    big[9999] = '\0';
    LODE_FAIL(LODE_ERR_DATA, "%s", big);
    assert_int_equal(strlen(lode_last_error()), 2047);
    LODE_FAIL(LODE_ERR_DATA, "the cause");
    lode_error_context("%s", big);
    assert_true(strlen(lode_last_error()) < 2048);
    assert_non_null(strstr(lode_last_error(), ": the cause"));
    LODE_FAIL(LODE_ERR_DATA, "%s", big);
    lode_error_context("who");
    assert_int_equal(strncmp(lode_last_error(), "who: xxx", 8), 0);
    assert_int_equal(strlen(lode_last_error()), 2047);
    lode_free(big);
}

static void *thread_fails(void *p) {
    int *seen_empty = p;
    *seen_empty = lode_last_error()[0] == '\0';
    LODE_FAIL(LODE_ERR_IO, "in the thread");
    return NULL;
}

static void stories_belong_to_threads(void **state) {
    (void)state;
    int seen_empty = 0;
    pthread_t thread;
    LODE_FAIL(LODE_ERR_SHAPE, "in main");
    assert_int_equal(pthread_create(&thread, NULL, thread_fails, &seen_empty), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(seen_empty);
    assert_string_equal(lode_last_error(), "in main");
}

static lode_status try_it(lode_status s, int *reached) {
    LODE_TRY(s);
    *reached = 1;
    return LODE_OK;
}

static lode_status goto_it(lode_status s, int *reached) {
    lode_status status = LODE_OK;
    LODE_GOTO(s);
    *reached = 1;
done:
    return status;
}

static void try_and_goto_pass_failures_up(void **state) {
    (void)state;
    int reached = 0;
    assert_int_equal(try_it(LODE_ERR_IO, &reached), LODE_ERR_IO);
    assert_int_equal(goto_it(LODE_ERR_DATA, &reached), LODE_ERR_DATA);
    assert_int_equal(reached, 0);
    assert_int_equal(try_it(LODE_OK, &reached), LODE_OK);
    assert_int_equal(reached, 1);
    reached = 0;
    assert_int_equal(goto_it(LODE_OK, &reached), LODE_OK);
    assert_int_equal(reached, 1);
}

static void keep_text(void *self, lode_log_level level, const char *text) {
    char *kept = self;
    snprintf(kept, 256, "%d %s", (int)level, text);
}

static void failures_show_their_place_in_debug_logs(void **state) {
    (void)state;
    char kept[256] = "";
    lode_set_log(keep_text, kept, LODE_LOG_DEBUG);
    LODE_FAIL(LODE_ERR_SHAPE, "odd");
    lode_set_log(NULL, NULL, LODE_LOG_NONE);
    assert_non_null(strstr(kept, "test_status.c:"));
    assert_non_null(strstr(kept, "shape: odd"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name),
        cmocka_unit_test(a_story_is_set_replaced_and_cleared),
        cmocka_unit_test(context_stands_in_front),
        cmocka_unit_test(long_stories_are_cut_not_overrun),
        cmocka_unit_test(stories_belong_to_threads),
        cmocka_unit_test(try_and_goto_pass_failures_up),
        cmocka_unit_test(failures_show_their_place_in_debug_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
