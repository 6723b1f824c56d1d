/* schedule.h: rates and temperatures as pure functions of the step, so that a resumed run needs to
   store nothing. */
#ifndef LODE_TRAIN_SCHEDULE_H
#define LODE_TRAIN_SCHEDULE_H
#include "core/status.h"

#include <stdint.h>

#define LODE_SCHEDULE_WORDS    "cosine|constant|linear|step"
#define LODE_TEMPERATURE_WORDS "exponential|linear|constant"

typedef enum lode_schedule_kind {
    LODE_SCHEDULE_COSINE,   /* final + (peak - final) (1 + cos(pi p)) / 2 */
    LODE_SCHEDULE_CONSTANT, /* peak */
    LODE_SCHEDULE_LINEAR,   /* peak + (final - peak) p */
    LODE_SCHEDULE_STEP      /* peak gamma^floor((t - warmup) / every) */
} lode_schedule_kind;

/* p = (t - warmup) / (total - warmup), for t in warmup .. total - 1; total and beyond: p = 1. */
typedef struct lode_schedule {
    lode_schedule_kind kind;
    double peak, final;
    int64_t total, warmup; /* steps. Step t < warmup has peak (t + 1) / warmup. */
    int64_t every;         /* STEP */
    double gamma;          /* STEP */
} lode_schedule;
LODE_API lode_status lode_schedule_check(const lode_schedule *s);
LODE_API double lode_schedule_at(const lode_schedule *s, int64_t step);

typedef enum lode_temperature_kind {
    LODE_TEMPERATURE_EXPONENTIAL, /* start exp(-rate e), never below end */
    LODE_TEMPERATURE_LINEAR,      /* start - rate e, never below end */
    LODE_TEMPERATURE_CONSTANT     /* start */
} lode_temperature_kind;

/* e = epoch 0 .. n - 1; e < 0 counts as 0. rate 0: the one that reaches `end` in the last epoch. */
typedef struct lode_temperature {
    lode_temperature_kind kind;
    double start, end, rate;
    int64_t n;
} lode_temperature;
LODE_API lode_status lode_temperature_check(const lode_temperature *t);
LODE_API double lode_temperature_at(const lode_temperature *t, int64_t epoch);
#endif
