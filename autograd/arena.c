/* arena.c: a stack of blocks for everything that lives as long as a recorded graph.

   Rewinding keeps the blocks, so that the second step of a training loop asks the system for
   nothing. */
#include "autograd/tape_internal.h"

enum { ARENA_BLOCK = 64 * 1024, ARENA_ALIGNMENT = 16 };

/* Makes block `i` at least `bytes` large; what it held is not needed any more. */
static lode_status arena_ready(tape_arena *a, int64_t i, size_t bytes) {
    if (i < a->n_blocks && a->block[i].size >= bytes) return LODE_OK;
    size_t size = bytes > ARENA_BLOCK ? bytes : ARENA_BLOCK;
    LODE_TRY(lode_grow((void **)&a->block, &a->capacity, i + 1, sizeof *a->block));
    char *fresh = lode_alloc(size, 1);
    if (fresh == NULL) return LODE_ERR_NO_MEMORY;
    if (i < a->n_blocks)
        lode_free(a->block[i].bytes);
    else
        a->n_blocks = i + 1;
    a->block[i] = (tape_block){fresh, size};
    return LODE_OK;
}

void *arena_allocate(tape_arena *a, size_t bytes) {
    bytes = (bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (a->current >= a->n_blocks || a->used + bytes > a->block[a->current].size) {
        int64_t next = a->used > 0 ? a->current + 1 : a->current;
        if (arena_ready(a, next, bytes) != LODE_OK) return NULL;
        a->current = next;
        a->used = 0;
    }
    void *p = a->block[a->current].bytes + a->used;
    a->used += bytes;
    return p;
}

tape_mark arena_mark(const tape_arena *a) { return (tape_mark){a->current, a->used}; }

void arena_rewind(tape_arena *a, tape_mark m) {
    a->current = m.current;
    a->used = m.used;
}

void arena_deinit(tape_arena *a) {
    for (int64_t i = 0; i < a->n_blocks; i++) lode_free(a->block[i].bytes);
    lode_free(a->block);
    *a = (tape_arena){0};
}
