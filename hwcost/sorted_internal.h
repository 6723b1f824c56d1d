/* sorted_internal.h: arrays of entries that are kept sorted by a text, for tables of prices:
   look-ups are binary searches, and files of one device can be compared line by line. */
#ifndef LODE_HWCOST_SORTED_INTERNAL_H
#define LODE_HWCOST_SORTED_INTERNAL_H
#include "core/memory.h"

#include <stdbool.h>

/* An entry's first member is its text, a char *. Is there one with this text among entries[n], each
   of `size` bytes? *at: where it is, or where it would have to be. */
bool sorted_find(const void *entries, int64_t n, size_t size, const char *text, int64_t *at);
/* Makes a gap at `at` in (*entries)[n], which may move; the caller fills it. */
lode_status sorted_open(void **entries, int64_t *capacity, int64_t n, size_t size, int64_t at);
#endif
