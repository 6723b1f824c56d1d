/* json.h: thin helpers over jansson; errors name file, line and key. */
#ifndef LODE_CORE_JSON_H
#define LODE_CORE_JSON_H
#include "core/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A key that stands twice in an object is an error. */
LODE_API lode_status lode_json_read(const char *path, json_t **out); /* json_decref */
LODE_API lode_status lode_json_parse(const char *text, const char *name, json_t **out);
/* Atomic, indented by 2, keys in insertion order, a final newline. A double is written with as few
   digits as read back to the same bits. */
LODE_API lode_status lode_json_write(const char *path, const json_t *value);
/* One line, compact, doubles exact; lode_free. */
LODE_API char *lode_json_line(const json_t *value);

/* Typed member access; the message says which key of which `what` was wrong or missing
   (LODE_ERR_DATA). */
LODE_API lode_status lode_json_get_int(const json_t *o, const char *key, const char *what,
                                       int64_t *out);
LODE_API lode_status lode_json_get_f64(const json_t *o, const char *key, const char *what,
                                       double *out);
LODE_API lode_status lode_json_get_bool(const json_t *o, const char *key, const char *what,
                                        bool *out);
/* Borrowed from `o`. */
LODE_API lode_status lode_json_get_string(const json_t *o, const char *key, const char *what,
                                          const char **out);
/* Into out[n]; text that does not fit is an error. */
LODE_API lode_status lode_json_copy_string(const json_t *o, const char *key, const char *what,
                                           char *out, size_t n);
/* json_real that maps NaN and infinities to null, as JSON has no word for them. */
LODE_API json_t *lode_json_number(double x);
#endif
