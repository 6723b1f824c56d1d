/* text.c: lode_text, a growing text (declared in memory.h).

   The capacity always leaves room for the final NUL. The first failure empties the text and sticks,
   so that nobody can mistake half a text for a whole one. */
#include "core/memory.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void text_fail(lode_text *t, lode_status status) {
    lode_free(t->s);
    *t = (lode_text){.status = status};
}

/* Room for `more` characters and the NUL. */
static bool text_reserve(lode_text *t, size_t more) {
    if (t->status != LODE_OK) return false;
    if (more < t->capacity && t->length < t->capacity - more) return true;
    size_t want = t->length + more + 1;
    size_t capacity = t->capacity < 64 ? 64 : t->capacity;
    while (capacity < want && capacity < SIZE_MAX / 2) capacity *= 2;
    if (capacity < want || want < more) capacity = SIZE_MAX;
    char *s = lode_realloc(t->s, capacity, 1);
    if (s == NULL) {
        text_fail(t, LODE_ERR_NO_MEMORY);
        return false;
    }
    t->s = s;
    t->capacity = capacity;
    return true;
}

void lode_text_add_bytes(lode_text *t, const char *s, size_t n) {
    if (!text_reserve(t, n)) return;
    if (n > 0) memcpy(t->s + t->length, s, n);
    t->length += n;
    t->s[t->length] = '\0';
}

void lode_text_add(lode_text *t, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0)
        text_fail(t, LODE_FAIL(LODE_ERR_INVALID, "cannot format \"%s\"", fmt));
    else if (text_reserve(t, (size_t)n)) {
        vsnprintf(t->s + t->length, (size_t)n + 1, fmt, again);
        t->length += (size_t)n;
    }
    va_end(again);
}

lode_status lode_text_status(const lode_text *t) { return t->status; }

char *lode_text_take(lode_text *t) {
    lode_text_add_bytes(t, "", 0); /* an empty text is still a string */
    char *s = t->s;
    lode_status status = t->status;
    *t = (lode_text){.status = status};
    return s;
}

void lode_text_deinit(lode_text *t) {
    lode_free(t->s);
    *t = (lode_text){0};
}
