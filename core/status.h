/* status.h: how everything in Lode fails.

   A function that can fail returns lode_status and leaves the story in lode_last_error(), which is
   thread-local: what happened, which values were seen and wanted, which option to change.
   LODE_FAIL begins a story, LODE_TRY passes a failure up, LODE_GOTO passes it to a `done:` label.
 */
#ifndef LODE_CORE_STATUS_H
#define LODE_CORE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LODE_API                          __attribute__((visibility("default")))
#define LODE_PRINTF(fmt_index, first_arg) __attribute__((format(printf, fmt_index, first_arg)))
#else
#define LODE_API
#define LODE_PRINTF(fmt_index, first_arg)
#endif

typedef enum lode_status {
    LODE_OK = 0,
    LODE_ERR_INVALID,     /* an argument or option value is not allowed */
    LODE_ERR_SHAPE,       /* shapes do not fit each other */
    LODE_ERR_DTYPE,       /* a dtype is not supported here */
    LODE_ERR_UNSUPPORTED, /* legal, but this build or provider cannot do it */
    LODE_ERR_NO_MEMORY,
    LODE_ERR_IO,         /* the operating system refused: missing file, full disk, ... */
    LODE_ERR_DATA,       /* a file's contents are not what they should be */
    LODE_ERR_CONFIG,     /* a recipe, space or table says something impossible */
    LODE_ERR_NOT_FOUND,  /* no such name; also "no more" in iterations */
    LODE_ERR_INFEASIBLE, /* no architecture meets the constraint */
    LODE_ERR_NUMERIC,    /* NaN or infinity where a number is needed */
    LODE_ERR_STOPPED,    /* stopped on request; the work can be resumed */
    LODE_ERR_DEVICE,     /* an accelerator failed or is absent */
    LODE_ERR_INTERNAL,   /* our own bug */
    LODE_N_STATUS
} lode_status;

/* "shape", "out of memory", ... ; never NULL. */
LODE_API const char *lode_status_name(lode_status status);

/* The calling thread's last story, "" when there is none. Valid until the thread's next failure. */
LODE_API const char *lode_last_error(void);
LODE_API lode_status lode_last_status(void);
LODE_API void lode_error_clear(void);

/* Replaces the story with a new one ("file:line" is kept apart for debug logs). Returns `status`.
 */
LODE_API lode_status lode_error_set(lode_status status, const char *file, int line, const char *fmt,
                                    ...) LODE_PRINTF(4, 5);
/* Puts "fmt: " in front of the current story: who was being served when it happened. Returns the
   current status, so that `return lode_error_context("recipe %s", path);` passes the failure up. */
LODE_API lode_status lode_error_context(const char *fmt, ...) LODE_PRINTF(1, 2);

#define LODE_FAIL(status, ...) lode_error_set((status), __FILE__, __LINE__, __VA_ARGS__)

/* Returns from the calling function when `expr` failed. */
#define LODE_TRY(expr)                                                                             \
    do {                                                                                           \
        lode_status lode_try_status_ = (expr);                                                     \
        if (lode_try_status_ != LODE_OK) return lode_try_status_;                                  \
    } while (0)

/* Sets the local variable `status` and jumps to `done` when `expr` failed. */
#define LODE_GOTO(expr)                                                                            \
    do {                                                                                           \
        status = (expr);                                                                           \
        if (status != LODE_OK) goto done;                                                          \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
