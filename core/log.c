/* log.c: the level, the sink, and the helpers that spare callers a NULL check. */
#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
    lode_log_sink sink;
    void *self;
    lode_log_level level;
} log_to = {NULL, NULL, LODE_LOG_NONE};

void lode_set_log(lode_log_sink sink, void *self, lode_log_level level) {
    log_to.sink = sink;
    log_to.self = self;
    log_to.level = sink != NULL ? level : LODE_LOG_NONE;
}

lode_log_level lode_get_log_level(void) { return log_to.level; }

void lode_log(lode_log_level level, const char *fmt, ...) {
    if (log_to.sink == NULL || level < log_to.level || level >= LODE_LOG_NONE) return;
    /* A fixed buffer, because "out of memory" is logged too; what does not fit is cut. */
    char text[4096];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    log_to.sink(log_to.self, level, text);
}

void lode_progress_update(const lode_progress *p, const char *stage, int64_t done, int64_t total,
                          const char *metrics) {
    if (p != NULL && p->update != NULL) p->update(p->self, stage, done, total, metrics);
}

bool lode_progress_should_stop(const lode_progress *p) {
    return p != NULL && p->should_stop != NULL && p->should_stop(p->self);
}
