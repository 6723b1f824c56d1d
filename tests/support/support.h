/* support.h: what every test includes: cmocka with its needed headers, and a few helpers. */
#ifndef LODE_TESTS_SUPPORT_H
#define LODE_TESTS_SUPPORT_H
/* cmocka.h needs the others before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
/* clang-format on */

#include "core/memory.h"
#include "core/status.h"

/* Fails the test with Lode's story when `expr` is not LODE_OK. */
#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        lode_status assert_ok_status_ = (expr);                                                    \
        if (assert_ok_status_ != LODE_OK)                                                          \
            fail_msg("%s: %s: %s", #expr, lode_status_name(assert_ok_status_), lode_last_error()); \
    } while (0)
/* `expr` must fail with `code`, and say something that contains `words`. */
#define assert_fails(expr, code, words)                                                            \
    do {                                                                                           \
        lode_status assert_fails_status_ = (expr);                                                 \
        if (assert_fails_status_ != (code))                                                        \
            fail_msg("%s: wanted %s, got %s (%s)", #expr, lode_status_name(code),                  \
                     lode_status_name(assert_fails_status_), lode_last_error());                   \
        if (strstr(lode_last_error(), (words)) == NULL)                                            \
            fail_msg("%s: message \"%s\" lacks \"%s\"", #expr, lode_last_error(), (words));        \
    } while (0)
/* |a - b| <= tolerance * max(1, |a|, |b|) */
#define assert_near(a, b, tolerance) test_assert_near((a), (b), (tolerance), #a, __FILE__, __LINE__)
void test_assert_near(double a, double b, double tolerance, const char *what, const char *file,
                      int line);

/* A fresh directory below the build tree, removed by test_remove_tree; and a path within it. */
char *test_temp_dir(void); /* lode_free */
void test_remove_tree(const char *dir);
/* $LODE_SHARED/<relative> when it exists, else NULL after saying loudly that the test skips. */
char *test_shared(const char *relative); /* lode_free */

/* Fails the n-th allocation from now (0 = the next), through lode_set_allocator's hook; -1 turns it
   off. Returns how many allocations were asked since the last call. */
int64_t test_fail_allocation(int64_t n);
#endif
