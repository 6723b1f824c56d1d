/* arena.h: addresses for blocks of memory whose lifetimes are known ahead.

   A block is a rectangle: so many bytes from one step to another (half open: [begin, end)). Some
   blocks shrink: a result written over a larger operand keeps its address and needs less from then
   on. So a block is made of parts that stand at one address, one after another in time. Blocks that
   are alive at once must not share a byte; finding the smallest arena is NP-hard, and first fit
   does well: one after another, each at the lowest address that is free over its whole life. Two
   orders are tried, by decreasing size and by begin, and the smaller arena is kept. No arena is
   below `live`, the most bytes that are alive at one step.                        (methods D6) */
#ifndef LODE_CORE_ARENA_H
#define LODE_CORE_ARENA_H
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct lode_arena_part {
    int block;          /* 0 .. n_blocks - 1 */
    int64_t begin, end; /* steps, begin <= end; parts of a block do not overlap */
    int64_t bytes;
} lode_arena_part;

typedef struct lode_arena {
    int64_t bytes; /* what the blocks span, from 0 */
    int64_t live;  /* lower bound */
    bool by_size;  /* the order that was better; by begin when they are equal */
} lode_arena;

/* offset [n_blocks] (may be NULL): where each block begins. */
LODE_API lode_status lode_arena_plan(const lode_arena_part *part, int64_t n, int n_blocks,
                                     int64_t *offset, lode_arena *out);
#endif
