/* pool.c: best fit with neighbors joined, in constant time.

   Free blocks lie in bins by size: one bin for each size up to 2 KiB, then sixteen per power of
   two. A request looks at some blocks of its own bin, then takes the smallest of the next bin that
   has any, which a bit map finds. If no bin has a block, the request is cut from behind the top of
   a segment. So old addresses, whose pages are there and may be in cache, are used first, the free
   end of a segment stays in one piece, and where a block comes to lie depends on the requests
   alone, not on how much room a segment has left: a plan that goes through the same requests on
   another pool finds out how far they reach.

   Descriptions of blocks lie apart from the blocks, whose memory may belong to a device that the
   host cannot read. A hash table finds the one of a used block. Descriptions come in chunks and are
   used again. Without memory for one a block is not cut but handed out whole. */
#include "core/memory.h"
#include "tensor/pool_internal.h"

#include <assert.h>

enum { POOL_LOOKS = 16, POOL_CHUNK = 126 };

struct pool_chunk {
    struct pool_chunk *next;
    pool_block block[POOL_CHUNK];
};

/* ---- lists ---- */
static void pool_push(pool_block **list, pool_block *b) {
    b->next = *list;
    b->link = list;
    if (*list != NULL) (*list)->link = &b->next;
    *list = b;
}

static void pool_unlink(pool_block *b) {
    *b->link = b->next;
    if (b->next != NULL) b->next->link = b->link;
}

/* ---- descriptions ---- */
static bool pool_has_spare(pool *p) {
    if (p->spare != NULL) return true;
    struct pool_chunk *c = LODE_NEW(struct pool_chunk);
    if (c == NULL) return false;
    c->next = p->chunks;
    p->chunks = c;
    for (int i = POOL_CHUNK - 1; i >= 0; i--) pool_push(&p->spare, &c->block[i]);
    return true;
}

static pool_block *pool_describe(pool *p, pool_segment *s, char *at, size_t bytes) {
    if (!pool_has_spare(p)) return NULL;
    pool_block *b = p->spare;
    pool_unlink(b);
    *b = (pool_block){.at = at, .bytes = bytes, .segment = s};
    return b;
}

void pool_trim(pool *p) {
    if (p->segments != NULL) return;
    while (p->chunks != NULL) {
        struct pool_chunk *c = p->chunks;
        p->chunks = c->next;
        lode_free(c);
    }
    p->spare = NULL;
    lode_free(p->bucket);
    p->bucket = NULL;
    p->n_buckets = 0;
}

/* ---- used blocks ---- */
static pool_block **pool_bucket(pool *p, const void *at) {
    uint64_t h = (uint64_t)(uintptr_t)at / POOL_UNIT * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    if (p->bucket == NULL) return &p->first_bucket[h % POOL_FIRST_BUCKETS];
    return &p->bucket[h & (p->n_buckets - 1)];
}

/* Twice as many buckets; as many as before when there is no memory. */
static void pool_rehash(pool *p) {
    size_t had = p->bucket != NULL ? p->n_buckets : POOL_FIRST_BUCKETS;
    if (p->n_used < had) return;
    pool_block **old = p->bucket != NULL ? p->bucket : p->first_bucket;
    pool_block **grown = LODE_NEW_ARRAY(pool_block *, 4 * had);
    if (grown == NULL) return;
    p->bucket = grown;
    p->n_buckets = 4 * had;
    for (size_t i = 0; i < had; i++)
        while (old[i] != NULL) {
            pool_block *b = old[i];
            pool_unlink(b);
            pool_push(pool_bucket(p, b->at), b);
        }
    if (old != p->first_bucket) lode_free(old);
}

static void *pool_hand_out(pool *p, pool_block *b) {
    pool_rehash(p);
    pool_push(pool_bucket(p, b->at), b);
    p->n_used++;
    return b->at;
}

/* ---- bins ---- */
static int pool_log2(size_t v) {
    int n = 0;
    for (int step = 32; step > 0; step /= 2)
        if (v >> step != 0) {
            v >>= step;
            n += step;
        }
    return n;
}

static int pool_bin_of(size_t bytes) {
    size_t units = bytes / POOL_UNIT;
    if (units < POOL_EXACT) return (int)units;
    int power = pool_log2(units);
    return POOL_EXACT + 16 * (power - 5) + (int)(units >> (power - 4) & 15);
}

static void pool_shelve(pool *p, pool_block *b) {
    int i = pool_bin_of(b->bytes);
    b->free = true;
    pool_push(&p->bin[i], b);
    p->some[i / 64] |= UINT64_C(1) << i % 64;
}

static void pool_unshelve(pool *p, pool_block *b) {
    int i = pool_bin_of(b->bytes);
    b->free = false;
    pool_unlink(b);
    if (p->bin[i] == NULL) p->some[i / 64] &= ~(UINT64_C(1) << i % 64);
}

/* The first bin from i on that holds a block; -1: none. */
static int pool_next_bin(const pool *p, int i) {
    for (int word = i / 64; i < POOL_N_BINS; i = 64 * ++word) {
        uint64_t some = p->some[word] >> i % 64;
        if (some == 0) continue;
        return i + pool_log2(some & (~some + 1));
    }
    return -1;
}

/* The smallest that is large enough among the first of a bin. */
static pool_block *pool_look(pool_block *b, size_t bytes) {
    pool_block *best = NULL;
    for (int looks = 0; b != NULL && looks < POOL_LOOKS; b = b->next, looks++)
        if (b->bytes >= bytes && (best == NULL || b->bytes < best->bytes)) best = b;
    return best;
}

static pool_block *pool_find(const pool *p, size_t bytes) {
    int i = pool_bin_of(bytes);
    pool_block *b = pool_look(p->bin[i], bytes);
    if (b != NULL) return b;
    i = pool_next_bin(p, i + 1);
    return i >= 0 ? pool_look(p->bin[i], bytes) : NULL;
}

/* ---- requests ---- */
static void *pool_take_free(pool *p, pool_block *b, size_t bytes) {
    pool_unshelve(p, b);
    pool_block *rest = NULL;
    if (b->bytes > bytes) rest = pool_describe(p, b->segment, b->at + bytes, b->bytes - bytes);
    if (rest != NULL) {
        b->bytes = bytes;
        rest->before = b;
        rest->after = b->after;
        b->after = rest;
        if (rest->after != NULL) rest->after->before = rest;
        pool_shelve(p, rest);
    }
    return pool_hand_out(p, b);
}

/* The segment with the least room that is enough. */
static pool_segment *pool_roomy(const pool *p, size_t bytes) {
    pool_segment *best = NULL;
    for (pool_segment *g = p->segments; g != NULL; g = g->next)
        if (g->bytes - g->top >= bytes &&
            (best == NULL || g->bytes - g->top < best->bytes - best->top))
            best = g;
    return best;
}

static void *pool_take_top(pool *p, pool_segment *g, size_t bytes) {
    pool_block *b = pool_describe(p, g, g->at + g->top, bytes);
    if (b == NULL) return NULL;
    b->before = g->last;
    if (g->last != NULL) g->last->after = b;
    g->last = b;
    g->top += bytes;
    if (g->top > g->touched) {
        p->touched += g->top - g->touched;
        g->touched = g->top;
    }
    return pool_hand_out(p, b);
}

void *pool_take(pool *p, size_t bytes) {
    assert(bytes > 0 && bytes % POOL_UNIT == 0);
    pool_block *b = pool_find(p, bytes);
    if (b != NULL) return pool_take_free(p, b, bytes);
    pool_segment *g = pool_roomy(p, bytes);
    return g != NULL ? pool_take_top(p, g, bytes) : NULL;
}

/* Joins `b` with the free block behind it. */
static void pool_join(pool *p, pool_block *b) {
    pool_block *gone = b->after;
    pool_unshelve(p, gone);
    b->bytes += gone->bytes;
    b->after = gone->after;
    if (b->after != NULL) b->after->before = b;
    pool_push(&p->spare, gone);
}

size_t pool_give(pool *p, void *at) {
    pool_block *b = *pool_bucket(p, at);
    while (b != NULL && b->at != (char *)at) b = b->next;
    assert(b != NULL);
    pool_unlink(b);
    p->n_used--;
    size_t bytes = b->bytes;
    pool_segment *g = b->segment;
    if (b->after != NULL && b->after->free) pool_join(p, b);
    if (b->before != NULL && b->before->free) {
        pool_block *before = b->before;
        pool_shelve(p, b);
        pool_unshelve(p, before);
        pool_join(p, before);
        b = before;
    }
    if (b->after != NULL) {
        pool_shelve(p, b);
    } else { /* the last one */
        g->last = b->before;
        if (g->last != NULL) g->last->after = NULL;
        g->top = (size_t)(b->at - g->at);
        pool_push(&p->spare, b);
    }
    return bytes;
}

/* ---- segments ---- */
bool pool_add(pool *p, void *at, size_t bytes) {
    pool_segment *g = LODE_NEW(pool_segment);
    if (g == NULL) return false;
    *g = (pool_segment){.at = at, .bytes = bytes, .next = p->segments};
    p->segments = g;
    p->reserved += bytes;
    return true;
}

bool pool_remove_empty(pool *p, void **at, size_t *bytes) {
    for (pool_segment **link = &p->segments; *link != NULL; link = &(*link)->next) {
        pool_segment *g = *link;
        if (g->top > 0) continue;
        *link = g->next;
        *at = g->at;
        *bytes = g->bytes;
        p->reserved -= g->bytes;
        p->touched -= g->touched;
        lode_free(g);
        return true;
    }
    return false;
}

size_t pool_room(const pool *p) {
    size_t room = 0;
    for (const pool_segment *g = p->segments; g != NULL; g = g->next)
        if (g->bytes - g->top > room) room = g->bytes - g->top;
    return room;
}
