/* fuzz.h: what every fuzz target includes. A target is tests/fuzz/fuzz_<name>.c with one function
   that takes any bytes at all, and a folder tests/fuzz/corpus/fuzz_<name>/ of small examples.

   `./dev fuzz` runs it under libFuzzer; every test run replays the corpus, with a few hundred small
   injuries to each file (replay.c). A target finds crashes, leaks and broken
   promises (FUZZ_CHECK). */
#ifndef LODE_TESTS_FUZZ_H
#define LODE_TESTS_FUZZ_H
#include "core/memory.h"
#include "core/status.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* An assertion that stays in release builds. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken: %s (last error: %s)\n", __FILE__, __LINE__,            \
                    #condition, lode_last_error());                                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A failure must have told its story. */
#define FUZZ_CHECK_STORY(status)                                                                   \
    FUZZ_CHECK((status) == LODE_OK || (lode_last_status() == (status) && lode_last_error()[0]))

/* The bytes as a string: cut at the first NUL, lode_free. */
static inline char *fuzz_text(const uint8_t *bytes, size_t n) {
    char *text = lode_strndup((const char *)bytes, n);
    FUZZ_CHECK(text != NULL);
    return text;
}
#endif
