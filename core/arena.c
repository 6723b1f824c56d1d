/* arena.c: first fit (arena.h). */
#include "core/arena.h"

#include "core/memory.h"

#include <stdlib.h>
#include <string.h>

typedef struct arena_block {
    int id;
    int64_t first, n; /* its parts */
    int64_t begin, bytes;
} arena_block;

typedef struct arena_plan {
    lode_arena_part *part; /* [n] by block */
    arena_block *block;    /* [n_blocks] in the order in which they are placed */
    int n_blocks;
    int64_t *offset; /* [n_blocks] by id */
} arena_plan;

/* ---- orders ---- */

static int arena_by_block(const void *a, const void *b) {
    const lode_arena_part *x = a, *y = b;
    if (x->block != y->block) return (x->block > y->block) - (x->block < y->block);
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static int arena_by_begin(const void *a, const void *b) {
    const arena_block *x = a, *y = b;
    if (x->begin != y->begin) return (x->begin > y->begin) - (x->begin < y->begin);
    if (x->bytes != y->bytes) return (x->bytes < y->bytes) - (x->bytes > y->bytes);
    return (x->id > y->id) - (x->id < y->id);
}

static int arena_by_size(const void *a, const void *b) {
    const arena_block *x = a, *y = b;
    if (x->bytes != y->bytes) return (x->bytes < y->bytes) - (x->bytes > y->bytes);
    return arena_by_begin(a, b);
}

/* ---- placing ---- */

/* The first address from `at` on where part p does not meet part q, which stands at `where`. */
static int64_t arena_clear(const lode_arena_part *p, const lode_arena_part *q, int64_t where,
                           int64_t at) {
    const bool together = p->begin < q->end && q->begin < p->end;
    const bool apart = at >= where + q->bytes || where >= at + p->bytes;
    return !together || apart || p->bytes == 0 || q->bytes == 0 ? at : where + q->bytes;
}

/* The address of block i where those before it have theirs. Each address that is passed over is
   taken, so the first that none objects to is the lowest. */
static int64_t arena_lowest(const arena_plan *a, int i) {
    const arena_block *b = &a->block[i];
    int64_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int k = 0; k < i; k++) {
            const arena_block *other = &a->block[k];
            for (int64_t p = b->first; p < b->first + b->n; p++)
                for (int64_t q = other->first; q < other->first + other->n; q++) {
                    const int64_t next =
                        arena_clear(&a->part[p], &a->part[q], a->offset[other->id], at);
                    moved = moved || next > at;
                    at = next;
                }
        }
    }
    return at;
}

static int64_t arena_place(arena_plan *a, int (*order)(const void *, const void *)) {
    int64_t bytes = 0;
    if (a->n_blocks > 0) qsort(a->block, (size_t)a->n_blocks, sizeof *a->block, order);
    for (int i = 0; i < a->n_blocks; i++) {
        const int64_t at = arena_lowest(a, i);
        a->offset[a->block[i].id] = at;
        if (at + a->block[i].bytes > bytes) bytes = at + a->block[i].bytes;
    }
    return bytes;
}

/* ---- the whole ---- */

/* The most is reached where some part begins. */
static int64_t arena_live(const lode_arena_part *part, int64_t n) {
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t sum = 0;
        for (int64_t k = 0; k < n; k++)
            if (part[k].begin <= part[i].begin && part[i].begin < part[k].end) sum += part[k].bytes;
        if (sum > most) most = sum;
    }
    return most;
}

static lode_status arena_gather(arena_plan *a, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        lode_arena_part *p = &a->part[i];
        if (p->begin == p->end) p->bytes = 0; /* never there */
        if (p->block < 0 || p->block >= a->n_blocks || p->begin > p->end || p->bytes < 0)
            return LODE_FAIL(
                LODE_ERR_INVALID, "arena: block %d of %d, steps %lld to %lld, %lld bytes", p->block,
                a->n_blocks, (long long)p->begin, (long long)p->end, (long long)p->bytes);
    }
    if (n > 0) qsort(a->part, (size_t)n, sizeof *a->part, arena_by_block);
    for (int i = 0; i < a->n_blocks; i++) a->block[i].id = i;
    for (int64_t i = 0; i < n; i++) {
        arena_block *b = &a->block[a->part[i].block];
        if (b->n++ == 0) {
            b->first = i;
            b->begin = a->part[i].begin;
        }
        if (a->part[i].bytes > b->bytes) b->bytes = a->part[i].bytes;
    }
    return LODE_OK;
}

lode_status lode_arena_plan(const lode_arena_part *part, int64_t n, int n_blocks, int64_t *offset,
                            lode_arena *out) {
    arena_plan a = {.n_blocks = n_blocks,
                    .part = LODE_NEW_ARRAY(lode_arena_part, n + 1),
                    .block = LODE_NEW_ARRAY(arena_block, n_blocks + 1),
                    .offset = LODE_NEW_ARRAY(int64_t, n_blocks + 1)};
    lode_status status = LODE_OK;
    *out = (lode_arena){0};
    LODE_GOTO(a.part && a.block && a.offset ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (n > 0) memcpy(a.part, part, (size_t)n * sizeof *part);
    LODE_GOTO(arena_gather(&a, n));
    out->live = arena_live(a.part, n);
    out->bytes = arena_place(&a, arena_by_begin);
    if (out->bytes > out->live) {
        int64_t *by_begin = a.offset;
        a.offset = LODE_NEW_ARRAY(int64_t, n_blocks + 1);
        const int64_t bytes = a.offset ? arena_place(&a, arena_by_size) : out->bytes;
        out->by_size = bytes < out->bytes;
        if (out->by_size) out->bytes = bytes;
        lode_free(out->by_size ? by_begin : a.offset);
        if (!out->by_size) a.offset = by_begin;
    }
    if (offset && n_blocks > 0) memcpy(offset, a.offset, (size_t)n_blocks * sizeof *offset);
done:
    lode_free(a.part);
    lode_free(a.block);
    lode_free(a.offset);
    return status;
}
