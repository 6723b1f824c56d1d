/* number.h: numbers as text and back, the same in every locale. */
#ifndef LODE_CORE_NUMBER_H
#define LODE_CORE_NUMBER_H
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

/* The whole of `s` as a decimal number: "12", "-0.5", ".5", "1e-3"; also ".inf", "-inf", ".nan"
   (any case). False, leaving *out alone, for anything else, for numbers beyond a double, and
   beyond 250 characters. */
LODE_API bool lode_f64_parse(const char *s, double *out);
/* The whole of `s` as a decimal integer, "1e6" included. */
LODE_API bool lode_i64_parse(const char *s, int64_t *out);
/* The shortest decimal text that lode_f64_parse reads back to the same bits ("0.1", "1e-300",
   ".inf"). Returns `out`. */
LODE_API char *lode_f64_format(double x, char out[32]);
#endif
