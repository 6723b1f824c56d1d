/* sorted.c: see sorted_internal.h. */
#include "hwcost/sorted_internal.h"

#include <string.h>

static const char *sorted_text(const void *entries, size_t size, int64_t i) {
    return *(char *const *)((const char *)entries + (size_t)i * size);
}

bool sorted_find(const void *entries, int64_t n, size_t size, const char *text, int64_t *at) {
    int64_t lo = 0, hi = n;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (strcmp(sorted_text(entries, size, mid), text) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *at = lo;
    return lo < n && strcmp(sorted_text(entries, size, lo), text) == 0;
}

lode_status sorted_open(void **entries, int64_t *capacity, int64_t n, size_t size, int64_t at) {
    LODE_TRY(lode_grow(entries, capacity, n + 1, size));
    char *gap = (char *)*entries + (size_t)at * size;
    memmove(gap + size, gap, (size_t)(n - at) * size);
    return LODE_OK;
}
