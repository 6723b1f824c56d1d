/* memory.c: one door for every host allocation.

   In front of each block stands a header with its size and its distance from the start of what the
   allocator gave, so that lode_free needs only the pointer while an embedder's allocator still
   learns the size back:

       raw                 user
        | padding | header | bytes ...          offset = user - raw, a multiple of the alignment

   Counters are relaxed atomics: they are statistics, and order nothing. */
#include "core/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct memory_header {
    size_t bytes;  /* as asked */
    size_t offset; /* from the allocator's pointer to the user's */
} memory_header;

enum { MEMORY_ALIGNMENT = 16 };
_Static_assert(sizeof(memory_header) <= MEMORY_ALIGNMENT, "the header must fit before the block");

static void *memory_default_allocate(void *self, size_t bytes, size_t alignment) {
    (void)self;
    if (alignment <= _Alignof(max_align_t)) return malloc(bytes);
    /* C11 wants a multiple of the alignment. */
    return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void memory_default_release(void *self, void *p, size_t bytes) {
    (void)self;
    (void)bytes;
    free(p);
}

static const lode_allocator memory_default = {memory_default_allocate, memory_default_release,
                                              NULL};
static lode_allocator allocator = {memory_default_allocate, memory_default_release, NULL};

static atomic_llong bytes_in_use, peak_bytes, n_blocks, n_allocations;

void lode_set_allocator(const lode_allocator *a) { allocator = a != NULL ? *a : memory_default; }

static void memory_count(long long bytes, long long blocks) {
    long long now = atomic_fetch_add_explicit(&bytes_in_use, bytes, memory_order_relaxed) + bytes;
    atomic_fetch_add_explicit(&n_blocks, blocks, memory_order_relaxed);
    long long peak = atomic_load_explicit(&peak_bytes, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak_explicit(
                             &peak_bytes, &peak, now, memory_order_relaxed, memory_order_relaxed)) {
    }
}

lode_memory_stats lode_memory_get_stats(void) {
    lode_memory_stats s = {
        .bytes_in_use = atomic_load_explicit(&bytes_in_use, memory_order_relaxed),
        .peak_bytes = atomic_load_explicit(&peak_bytes, memory_order_relaxed),
        .n_blocks = atomic_load_explicit(&n_blocks, memory_order_relaxed),
        .n_allocations = atomic_load_explicit(&n_allocations, memory_order_relaxed),
    };
    return s;
}

void lode_memory_reset_peak(void) {
    atomic_store_explicit(&peak_bytes, atomic_load_explicit(&bytes_in_use, memory_order_relaxed),
                          memory_order_relaxed);
}

static memory_header *memory_header_of(void *p) {
    return (memory_header *)(void *)((char *)p - sizeof(memory_header));
}

void *lode_alloc_aligned(size_t bytes, size_t alignment) {
    assert(alignment > 0 && (alignment & (alignment - 1)) == 0);
    if (alignment < MEMORY_ALIGNMENT) alignment = MEMORY_ALIGNMENT;
    char *raw = NULL;
    if (bytes <= SIZE_MAX / 2 - 2 * alignment)
        raw = allocator.allocate(allocator.self, bytes + alignment, alignment);
    if (raw == NULL) {
        LODE_FAIL(LODE_ERR_NO_MEMORY, "no memory for %zu bytes (%lld bytes in use)", bytes,
                  (long long)atomic_load_explicit(&bytes_in_use, memory_order_relaxed));
        return NULL;
    }
    atomic_fetch_add_explicit(&n_allocations, 1, memory_order_relaxed);
    memory_count((long long)bytes, 1);
    char *p = raw + alignment;
    *memory_header_of(p) = (memory_header){bytes, alignment};
    return p;
}

void lode_free(void *p) {
    if (p == NULL) return;
    memory_header h = *memory_header_of(p);
    memory_count(-(long long)h.bytes, -1);
    allocator.release(allocator.self, (char *)p - h.offset, h.bytes + h.offset);
}

/* count * size, or SIZE_MAX when that overflows: a size nothing can satisfy. */
static size_t memory_product(size_t count, size_t size) {
    return size != 0 && count > SIZE_MAX / size ? SIZE_MAX : count * size;
}

void *lode_alloc(size_t count, size_t size) {
    return lode_alloc_aligned(memory_product(count, size), MEMORY_ALIGNMENT);
}

void *lode_calloc(size_t count, size_t size) {
    void *p = lode_alloc(count, size);
    if (p != NULL) memset(p, 0, count * size);
    return p;
}

void *lode_realloc(void *p, size_t count, size_t size) {
    if (p == NULL) return lode_alloc(count, size);
    memory_header h = *memory_header_of(p);
    size_t bytes = memory_product(count, size);
    void *q = lode_alloc_aligned(bytes, h.offset); /* the offset is the block's alignment */
    if (q == NULL) return NULL;
    memcpy(q, p, bytes < h.bytes ? bytes : h.bytes);
    lode_free(p);
    return q;
}

char *lode_strndup(const char *s, size_t n) {
    const char *end = memchr(s, '\0', n);
    if (end != NULL) n = (size_t)(end - s);
    char *copy = lode_alloc(n + 1, 1);
    if (copy == NULL) return NULL;
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *lode_strdup(const char *s) { return lode_strndup(s, strlen(s)); }

char *lode_format(const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *s = NULL;
    if (n < 0)
        LODE_FAIL(LODE_ERR_INVALID, "cannot format \"%s\"", fmt);
    else
        s = lode_alloc((size_t)n + 1, 1);
    if (s != NULL) vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

lode_status lode_grow(void **items, int64_t *capacity, int64_t want, size_t item_size) {
    if (want <= *capacity) return LODE_OK;
    int64_t grown = *capacity < 8 ? 8 : *capacity;
    while (grown < want) grown = grown > INT64_MAX / 2 ? want : grown * 2;
    void *p = lode_realloc(*items, (size_t)grown, item_size);
    if (p == NULL) return LODE_ERR_NO_MEMORY;
    *items = p;
    *capacity = grown;
    return LODE_OK;
}
