/* pool_internal.h: blocks of any size out of few large pieces of a device's memory.

   A piece from the system is a segment. It is handed out from its beginning on; what lies behind
   `top` was not handed out yet, or is free again up to the end. Below `top` free blocks lie between
   used ones. Two free neighbours are one block, so a large request finds again what small ones
   gave back.

   Whoever uses a pool holds a lock of their own. */
#ifndef LODE_TENSOR_POOL_INTERNAL_H
#define LODE_TENSOR_POOL_INTERNAL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    POOL_UNIT = 64,
    POOL_EXACT = 32,     /* so many units have a bin for each size */
    POOL_LAST_POWER = 42 /* sizes up to 2^42 units */
};
#define POOL_N_BINS (POOL_EXACT + 16 * (POOL_LAST_POWER - 5))

typedef struct pool_block pool_block;
typedef struct pool_segment pool_segment;

/* A used block stands in a bucket, a free one in a bin, a description without a block among the
   spare ones. */
struct pool_block {
    char *at;
    size_t bytes;
    pool_block *before, *after; /* neighbors in the segment, NULL at its ends */
    pool_block *next, **link;   /* in its list; what points here */
    pool_segment *segment;
    bool free;
};

struct pool_segment {
    char *at;
    size_t bytes;
    size_t top;       /* what lies behind was not handed out */
    size_t touched;   /* the highest top ever */
    pool_block *last; /* ends at top, in use; NULL when top is 0 */
    pool_segment *next;
};

enum { POOL_FIRST_BUCKETS = 64 };
typedef struct pool {
    pool_segment *segments;
    size_t reserved, touched;               /* of all segments */
    uint64_t some[(POOL_N_BINS + 63) / 64]; /* bins that hold a block */
    pool_block *bin[POOL_N_BINS];
    pool_block **bucket; /* [n_buckets]; NULL: first_bucket */
    size_t n_buckets, n_used;
    pool_block *first_bucket[POOL_FIRST_BUCKETS];
    pool_block *spare;
    struct pool_chunk *chunks;
} pool;

/* A block of `bytes` (a multiple of POOL_UNIT) out of what is there; NULL when nothing fits or
   there is no memory for its description. */
void *pool_take(pool *p, size_t bytes);
/* Needs no memory, so it cannot fail. The size of the block. */
size_t pool_give(pool *p, void *at);
/* Adds a segment, which the pool does not own. False when there is no memory to describe it. */
bool pool_add(pool *p, void *at, size_t bytes);
/* A segment without used blocks, taken out of the pool; false when there is none. */
bool pool_remove_empty(pool *p, void **at, size_t *bytes);
/* The most that one segment could still hand out behind its top. */
size_t pool_room(const pool *p);
/* Gives the pool's own memory back if it describes nothing. */
void pool_trim(pool *p);
#endif
