/* memory.h: every host allocation of Lode goes through one replaceable allocator. */
#ifndef LODE_CORE_MEMORY_H
#define LODE_CORE_MEMORY_H
#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

/* An allocator the embedder may bring. All functions may be called from any thread.
   `allocate` returns memory aligned to `alignment` (a power of two) or NULL. */
typedef struct lode_allocator {
    void *(*allocate)(void *self, size_t bytes, size_t alignment);
    void (*release)(void *self, void *p, size_t bytes);
    void *self;
} lode_allocator;

/* Replaces the allocator; NULL restores the default. Only while nothing is allocated, unless the
   new one can release the old one's blocks. */
LODE_API void lode_set_allocator(const lode_allocator *allocator);

/* `count * size` bytes, overflow-checked, 16-byte aligned, uninitialised / zeroed.
   NULL with lode_last_error() set when there is no memory. Zero bytes give a valid pointer. */
LODE_API void *lode_alloc(size_t count, size_t size);
LODE_API void *lode_calloc(size_t count, size_t size);
LODE_API void *lode_realloc(void *p, size_t count, size_t size);
LODE_API void *lode_alloc_aligned(size_t bytes, size_t alignment);
LODE_API void lode_free(void *p); /* NULL is fine; for all of the above */
LODE_API char *lode_strdup(const char *s);
LODE_API char *lode_strndup(const char *s, size_t n);
/* printf into fresh memory; NULL when there is none. */
LODE_API char *lode_format(const char *fmt, ...) LODE_PRINTF(1, 2);

/* Bytes and blocks now in use, and the most bytes ever in use since the last reset. */
typedef struct lode_memory_stats {
    int64_t bytes_in_use, peak_bytes, n_blocks, n_allocations;
} lode_memory_stats;
LODE_API lode_memory_stats lode_memory_get_stats(void);
LODE_API void lode_memory_reset_peak(void);

/* LODE_NEW(type): one zeroed object; LODE_NEW_ARRAY(type, n): n zeroed objects. */
#define LODE_NEW(type)          ((type *)lode_calloc(1, sizeof(type)))
#define LODE_NEW_ARRAY(type, n) ((type *)lode_calloc((size_t)(n), sizeof(type)))

/* Makes room for `want` elements in a growing array; doubles. *items may be NULL with *capacity 0.
 */
LODE_API lode_status lode_grow(void **items, int64_t *capacity, int64_t want, size_t item_size);

/* A growing text. Init with {0}; append never needs a check in between: failure sticks and
   lode_text_status tells. `lode_text_take` hands over the characters (lode_free). */
typedef struct lode_text {
    char *s;
    size_t length, capacity;
    lode_status status;
} lode_text;
LODE_API void lode_text_add(lode_text *t, const char *fmt, ...) LODE_PRINTF(2, 3);
LODE_API void lode_text_add_bytes(lode_text *t, const char *s, size_t n);
LODE_API lode_status lode_text_status(const lode_text *t);
LODE_API char *lode_text_take(lode_text *t);
LODE_API void lode_text_deinit(lode_text *t);
#endif
