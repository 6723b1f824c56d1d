/* number.c: strtod and printf obey the process's locale, which belongs to the embedding program: a
   German one would write 0,5. So the decimal point is translated on the way in and out. */
#include "core/number.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 250 }; /* characters; nobody means a longer number */

static bool number_is_word(const char *s, const char *word) {
    for (; *s != '\0' && tolower((unsigned char)*s) == *word; s++) word++;
    return *s == '\0' && *word == '\0';
}

static const char *number_digits(const char *s, int *n) {
    for (; *s >= '0' && *s <= '9'; s++) ++*n;
    return s;
}

/* [+-] digits [. digits] [e [+-] digits]; sets *point to the dot, or NULL. */
static bool number_is_decimal(const char *s, const char **point) {
    int mantissa = 0, exponent = 0;
    *point = NULL;
    if (*s == '+' || *s == '-') s++;
    s = number_digits(s, &mantissa);
    if (*s == '.') {
        *point = s;
        s = number_digits(s + 1, &mantissa);
    }
    if (mantissa == 0) return false;
    if (*s == '\0') return true;
    if (*s != 'e' && *s != 'E') return false;
    s++;
    if (*s == '+' || *s == '-') s++;
    s = number_digits(s, &exponent);
    return exponent > 0 && *s == '\0';
}

static bool number_parse_special(const char *s, double *out) {
    bool negative = *s == '-';
    if (*s == '+' || *s == '-') s++;
    if (number_is_word(s, ".inf") || number_is_word(s, "inf"))
        *out = negative ? -INFINITY : INFINITY;
    else if (number_is_word(s, ".nan") || number_is_word(s, "nan"))
        *out = NAN;
    else
        return false;
    return true;
}

bool lode_f64_parse(const char *s, double *out) {
    const char *point;
    if (!number_is_decimal(s, &point)) return number_parse_special(s, out);
    char text[NUMBER_MAX + 32];
    const char *local = localeconv()->decimal_point;
    size_t n = strlen(s), m = strlen(local);
    if (n > NUMBER_MAX || n + m >= sizeof text) return false;
    memcpy(text, s, n + 1);
    if (point != NULL) {
        size_t at = (size_t)(point - s);
        memcpy(text + at, local, m);
        memcpy(text + at + m, point + 1, n - at);
    }
    double x = strtod(text, NULL);
    if (isinf(x)) return false;
    *out = x;
    return true;
}

bool lode_i64_parse(const char *s, int64_t *out) {
    int n = 0;
    const char *end = number_digits(s + (*s == '+' || *s == '-'), &n);
    if (n > 0 && strlen(s) <= NUMBER_MAX && *end == '\0') {
        errno = 0;
        long long x = strtoll(s, NULL, 10);
        if (errno == ERANGE) return false;
        *out = (int64_t)x;
        return true;
    }
    double x;
    if (!lode_f64_parse(s, &x) || !(fabs(x) <= 0x1p53) || x != floor(x)) return false;
    *out = (int64_t)x;
    return true;
}

char *lode_f64_format(double x, char out[32]) {
    if (isnan(x)) return strcpy(out, ".nan");
    if (isinf(x)) return strcpy(out, x < 0 ? "-.inf" : ".inf");
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, x);
        if (strtod(out, NULL) == x) break;
    }
    const char *local = localeconv()->decimal_point;
    char *at = strstr(out, local);
    if (at != NULL && strcmp(local, ".") != 0) {
        size_t n = strlen(local);
        *at = '.';
        memmove(at + 1, at + n, strlen(at + n) + 1);
    }
    return out;
}
