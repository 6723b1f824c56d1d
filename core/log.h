/* log.h: levels and one sink. Nothing else in the library prints. */
#ifndef LODE_CORE_LOG_H
#define LODE_CORE_LOG_H
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum lode_log_level {
    LODE_LOG_DEBUG,
    LODE_LOG_INFO,
    LODE_LOG_WARN,
    LODE_LOG_ERROR,
    LODE_LOG_NONE
} lode_log_level;

typedef void (*lode_log_sink)(void *self, lode_log_level level, const char *text);

/* The library starts silent (no sink). `sink` NULL silences again. Set once at start. */
LODE_API void lode_set_log(lode_log_sink sink, void *self, lode_log_level level);
LODE_API lode_log_level lode_get_log_level(void);
LODE_API void lode_log(lode_log_level level, const char *fmt, ...) LODE_PRINTF(2, 3);

/* Long work reports through this, and asks through it whether to stop. Any member may be NULL. */
typedef struct lode_progress {
    void *self;
    /* `stage` e.g. "train", `metrics` e.g. "loss 0.412 acc 0.861", total < 0 when unknown. */
    void (*update)(void *self, const char *stage, int64_t done, int64_t total, const char *metrics);
    /* True when the user asked to stop (Ctrl-C): the work saves what it has and returns
       LODE_ERR_STOPPED. */
    bool (*should_stop)(void *self);
} lode_progress;
LODE_API void lode_progress_update(const lode_progress *p, const char *stage, int64_t done,
                                   int64_t total, const char *metrics);
LODE_API bool lode_progress_should_stop(const lode_progress *p);
#endif
