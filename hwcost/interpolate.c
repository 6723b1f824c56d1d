/* interpolate.c: brackets among the texts of calls. */
#include "hwcost/interpolate.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INTERPOLATE_MAX = 32 };

/* The sizes in a call's text. Numbers after a letter are parameters (k5, s2, f32) and part of the
   pattern; groups (g96) are a size, since depthwise convolutions have as many as channels. */
typedef struct interpolate_sizes {
    int n;
    double v[INTERPOLATE_MAX];
} interpolate_sizes;

static bool interpolate_is_size(const char *text, const char *at) {
    if (!isdigit((unsigned char)*at)) return false;
    if (at == text) return true;
    unsigned char before = (unsigned char)at[-1];
    if (before == 'g' && (at - 1 == text || at[-2] == ' ')) return true;
    return !isalnum(before) && before != '.';
}

/* Reads `text`; with `like` its pattern must be that of `like`: the same but for sizes. */
static bool interpolate_read(const char *text, const char *like, interpolate_sizes *out) {
    const char *a = text, *b = like;
    out->n = 0;
    while (*a) {
        if (interpolate_is_size(text, a)) {
            char *end_a = NULL, *end_b = NULL;
            if (like && !interpolate_is_size(like, b)) return false;
            if (out->n == INTERPOLATE_MAX) return false;
            out->v[out->n++] = strtod(a, &end_a);
            a = end_a;
            if (like) (void)strtod(b, &end_b);
            if (like) b = end_b;
            continue;
        }
        if (like && *a != *b) return false;
        a++;
        if (like) b++;
    }
    return !like || *b == '\0';
}

/* Where w lies between a and b, for all sizes alike; false: nowhere. *width: ln of the largest
 * ratio. */
static bool interpolate_place(const interpolate_sizes *a, const interpolate_sizes *b,
                              const interpolate_sizes *w, double *s, double *width) {
    *width = 0;
    for (int i = 0; i < w->n; i++) {
        if (a->v[i] == b->v[i]) {
            if (w->v[i] != a->v[i]) return false;
            continue;
        }
        if (!(a->v[i] > 0 && b->v[i] > 0 && w->v[i] > 0)) return false;
        double range = log(b->v[i] / a->v[i]), at = log(w->v[i] / a->v[i]) / range;
        if (!(at > 0 && at < 1)) return false;
        /* Output sizes are rounded: 15 -> 8, 28 -> 14. */
        if (*width > 0 && fabs(at - *s) > 0.05) return false;
        if (fabs(range) > *width) {
            *width = fabs(range);
            *s = at;
        }
    }
    return *width > 0;
}

bool lode_table_interpolate(const lode_table *t, const char *call, double *median) {
    interpolate_sizes w, a, b;
    double best = INFINITY;
    if (!interpolate_read(call, NULL, &w)) return false;
    for (int64_t i = 0; i < lode_table_n(t); i++) {
        const lode_table_entry *x = lode_table_at(t, i);
        if (!interpolate_read(x->call, call, &a)) continue;
        for (int64_t k = i + 1; k < lode_table_n(t); k++) {
            const lode_table_entry *y = lode_table_at(t, k);
            double s = 0, width = 0;
            if (!interpolate_read(y->call, call, &b)) continue;
            if (!interpolate_place(&a, &b, &w, &s, &width) || width >= best) continue;
            best = width;
            if (x->median > 0 && y->median > 0)
                *median = x->median * pow(y->median / x->median, s);
            else
                *median = x->median + s * (y->median - x->median);
        }
    }
    return isfinite(best);
}
