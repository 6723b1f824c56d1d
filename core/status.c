/* status.c: the thread-local story of the last failure.

   The text lives in a fixed buffer per thread, so that telling about "out of memory" needs none.
   Every message is formatted into a local copy first: the arguments may point into the old story,
   as in LODE_FAIL(status, "%s", lode_last_error()). */
#include "core/status.h"

#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { STATUS_TEXT_SIZE = 2048 };

typedef struct status_story {
    lode_status status;
    char text[STATUS_TEXT_SIZE];
} status_story;

static _Thread_local status_story story;

const char *lode_status_name(lode_status status) {
    static const char *const names[LODE_N_STATUS] = {
        [LODE_OK] = "ok",
        [LODE_ERR_INVALID] = "invalid argument",
        [LODE_ERR_SHAPE] = "shape",
        [LODE_ERR_DTYPE] = "dtype",
        [LODE_ERR_UNSUPPORTED] = "unsupported",
        [LODE_ERR_NO_MEMORY] = "out of memory",
        [LODE_ERR_IO] = "input/output",
        [LODE_ERR_DATA] = "bad data",
        [LODE_ERR_CONFIG] = "bad configuration",
        [LODE_ERR_NOT_FOUND] = "not found",
        [LODE_ERR_INFEASIBLE] = "infeasible",
        [LODE_ERR_NUMERIC] = "not a number",
        [LODE_ERR_STOPPED] = "stopped",
        [LODE_ERR_DEVICE] = "device",
        [LODE_ERR_INTERNAL] = "internal error",
    };
    int i = (int)status;
    return i >= 0 && i < LODE_N_STATUS ? names[i] : "unknown status";
}

const char *lode_last_error(void) { return story.text; }

lode_status lode_last_status(void) { return story.status; }

void lode_error_clear(void) {
    story.status = LODE_OK;
    story.text[0] = '\0';
}

lode_status lode_error_set(lode_status status, const char *file, int line, const char *fmt, ...) {
    char text[STATUS_TEXT_SIZE];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    story.status = status;
    memcpy(story.text, text, strlen(text) + 1);
    lode_log(LODE_LOG_DEBUG, "%s:%d: %s: %s", file, line, lode_status_name(status), text);
    return status;
}

lode_status lode_error_context(const char *fmt, ...) {
    char text[STATUS_TEXT_SIZE];
    va_list args;
    va_start(args, fmt);
    /* A context that fills the buffer would hide the cause: it gets at most half. */
    vsnprintf(text, sizeof text / 2, fmt, args);
    va_end(args);
    size_t used = strlen(text), room = sizeof text - used - 3, n = strlen(story.text);
    memcpy(text + used, ": ", 2);
    memcpy(text + used + 2, story.text, n < room ? n : room);
    text[used + 2 + (n < room ? n : room)] = '\0';
    memcpy(story.text, text, strlen(text) + 1);
    return story.status;
}
