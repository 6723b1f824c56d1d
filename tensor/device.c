/* device.c: the allocator every device stands behind, and the CPU.

   A device asks the system for few large segments and cuts requests out of them (pool.c), so a
   request costs a tenth of a microsecond, no system call, and no fresh page once the first steps
   are over. What a request counts is its size rounded up to 64 bytes.

   Whoever knows what is to come says so (lode_device_reserve), and one segment holds it all. Others
   get segments an eighth as large as what is there, so that there are never many. Before more is
   asked for, segments that nobody uses go back if what is reserved would otherwise exceed the bound
   in device.h.

   The lock is a spinning flag: it is held for a few instructions, and for a system call only when
   no segment has room. Statistics are kept under it.

   Under the address sanitizer blocks of the CPU that nobody uses may not be touched, and 64 bytes
   behind each used one neither. */
#include "tensor/device.h"

#include "core/memory.h"
#include "core/platform.h"
#include "tensor/pool_internal.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <threads.h>

#if defined(__SANITIZE_ADDRESS__)
#define DEVICE_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DEVICE_POISONS 1
#endif
#endif
#ifdef DEVICE_POISONS
#include <sanitizer/asan_interface.h>
enum { DEVICE_RED_ZONE = 64 };
#else
enum { DEVICE_RED_ZONE = 0 };
#endif

enum {
    DEVICE_ALIGNMENT = 64,
    DEVICE_PAGE = 4096,
    DEVICE_SLACK = 64 << 20,
    DEVICE_LEAST_SEGMENT = 4 << 20,
    DEVICE_MOST_SEGMENT = 256 << 20
};
#define DEVICE_COUNTED_ADDRESSES ((size_t)64 << 30)
#define DEVICE_MOST_BYTES        ((size_t)1 << 47)

struct lode_device {
    const lode_device_ops *ops;
    void *self;
    atomic_flag lock;
    lode_device_stats stats;
    int64_t high_water; /* most ever in use, not touched by resets */
    pool pool;
};

/* ---- the CPU ---- */
static void *cpu_allocate(void *self, size_t bytes) {
    (void)self;
    return lode_alloc_aligned(bytes, DEVICE_ALIGNMENT);
}
static void cpu_release(void *self, void *p, size_t bytes) {
    (void)self;
    (void)bytes;
    lode_free(p);
}
static lode_status cpu_copy(void *self, void *dst, const void *src, size_t bytes) {
    (void)self;
    if (bytes > 0) memmove(dst, src, bytes);
    return LODE_OK;
}
static lode_status cpu_wait(void *self) {
    (void)self;
    return LODE_OK;
}

static const lode_device_ops cpu_ops = {
    .name = "cpu",
    .allocate = cpu_allocate,
    .release = cpu_release,
    .copy_in = cpu_copy,
    .copy_out = cpu_copy,
    .copy = cpu_copy,
    .wait = cpu_wait,
    .is_host = 1,
};

/* ---- the device that only counts ---- */
static void *counting_allocate(void *self, size_t bytes) {
    (void)self;
    return lode_reserve_addresses(bytes);
}
static void counting_release(void *self, void *p, size_t bytes) {
    (void)self;
    lode_release_addresses(p, bytes);
}

static const lode_device_ops counting_ops = {
    .name = "counting",
    .allocate = counting_allocate,
    .release = counting_release,
    .copy_in = cpu_copy,
    .copy_out = cpu_copy,
    .copy = cpu_copy,
    .wait = cpu_wait,
    .is_host = 1,
};

lode_status lode_device_create_counting(lode_device **out) {
    return lode_device_create(&counting_ops, NULL, out);
}

/* The process-wide pool: like malloc's own, it lives as long as the process. */
static lode_device cpu_device = {.ops = &cpu_ops, .lock = ATOMIC_FLAG_INIT};

lode_device *lode_cpu_device(void) { return &cpu_device; }

/* ---- life ---- */
lode_status lode_device_create(const lode_device_ops *ops, void *self, lode_device **out) {
    *out = NULL;
    if (ops->allocate == NULL || ops->release == NULL || ops->copy_in == NULL ||
        ops->copy_out == NULL || ops->copy == NULL || ops->wait == NULL)
        return LODE_FAIL(LODE_ERR_INVALID,
                         "device %s: allocate, release, the three copies and wait must be given",
                         ops->name != NULL ? ops->name : "?");
    lode_device *d = LODE_NEW(lode_device);
    if (d == NULL) return LODE_ERR_NO_MEMORY;
    d->ops = ops;
    d->self = self;
    atomic_flag_clear(&d->lock);
    *out = d;
    return LODE_OK;
}

void lode_device_destroy(lode_device *d) {
    if (d == NULL || d == &cpu_device) return;
    lode_device_empty_cache(d);
    if (d->ops->destroy != NULL) d->ops->destroy(d->self);
    lode_free(d);
}

const lode_device_ops *lode_device_get_ops(const lode_device *d) { return d->ops; }
void *lode_device_self(const lode_device *d) { return d->self; }

/* ---- the lock ---- */
static void device_lock(lode_device *d) {
    for (int spins = 0; atomic_flag_test_and_set_explicit(&d->lock, memory_order_acquire); spins++)
        if (spins >= 64) thrd_yield();
}
static void device_unlock(lode_device *d) {
    atomic_flag_clear_explicit(&d->lock, memory_order_release);
}

/* ---- sizes ---- */
static size_t device_round(size_t bytes) {
    if (bytes > DEVICE_MOST_BYTES) return 0;
    return bytes == 0 ? POOL_UNIT : (bytes + POOL_UNIT - 1) / POOL_UNIT * POOL_UNIT;
}

int64_t lode_device_rounded_bytes(size_t bytes) {
    size_t rounded = device_round(bytes);
    return rounded > 0 ? (int64_t)rounded : INT64_MAX;
}

/* ---- what may be touched ---- */
static void device_poison(const lode_device *d, void *p, size_t bytes, bool on) {
#ifdef DEVICE_POISONS
    if (d->ops != &cpu_ops) return;
    if (on)
        ASAN_POISON_MEMORY_REGION(p, bytes);
    else
        ASAN_UNPOISON_MEMORY_REGION(p, bytes);
#else
    (void)d, (void)p, (void)bytes, (void)on;
#endif
}

/* ---- segments (under the lock) ---- */
static void device_drop_empty(lode_device *d) {
    void *at = NULL;
    size_t bytes = 0;
    while (pool_remove_empty(&d->pool, &at, &bytes)) {
        d->stats.bytes_reserved -= (int64_t)bytes;
        device_poison(d, at, bytes, false);
        d->ops->release(d->self, at, bytes);
    }
}

static bool device_add_segment(lode_device *d, size_t bytes) {
    bytes = (bytes + DEVICE_PAGE - 1) / DEVICE_PAGE * DEVICE_PAGE;
    void *at = d->ops->allocate(d->self, bytes);
    if (at == NULL) return false;
    if (!pool_add(&d->pool, at, bytes)) {
        d->ops->release(d->self, at, bytes);
        return false;
    }
    device_poison(d, at, bytes, true);
    d->stats.n_system_allocations++;
    d->stats.bytes_reserved += (int64_t)bytes;
    if (d->stats.bytes_reserved > d->stats.peak_reserved)
        d->stats.peak_reserved = d->stats.bytes_reserved;
    return true;
}

/* A segment with room for `bytes`; if need be a smaller one than one would like. */
static bool device_grow(lode_device *d, size_t bytes) {
    size_t wish = d->pool.reserved / 8;
    if (wish < DEVICE_LEAST_SEGMENT) wish = DEVICE_LEAST_SEGMENT;
    if (wish > DEVICE_MOST_SEGMENT) wish = DEVICE_MOST_SEGMENT;
    /* A plan lies in one segment, like what it stands for; its addresses cost nothing. */
    if (d->ops == &counting_ops && d->pool.segments == NULL &&
        device_add_segment(d, DEVICE_COUNTED_ADDRESSES))
        return true;
    if (wish < bytes) wish = bytes;
    if (d->stats.bytes_reserved + (int64_t)wish > d->high_water + d->high_water / 4 + DEVICE_SLACK)
        device_drop_empty(d);
    if (device_add_segment(d, wish)) return true;
    device_drop_empty(d);
    return device_add_segment(d, bytes);
}

lode_status lode_device_reserve(lode_device *d, int64_t bytes) {
    if (bytes <= 0) return LODE_OK;
    device_lock(d);
    size_t room = pool_room(&d->pool), want = (size_t)bytes;
    bool there = room >= want;
    if (!there) {
        device_drop_empty(d);
        room = pool_room(&d->pool);
        /* Half is there: only the other half comes on top. */
        there = device_add_segment(d, room > want / 2 ? want - room : want);
    }
    device_unlock(d);
    return there ? LODE_OK
                 : LODE_FAIL(LODE_ERR_NO_MEMORY,
                             "device %s has no memory for %lld bytes; a smaller batch needs less",
                             d->ops->name, (long long)bytes);
}

/* ---- requests ---- */
static void *device_take(lode_device *d, size_t bytes, size_t rounded) {
    size_t block = rounded + DEVICE_RED_ZONE;
    void *p = pool_take(&d->pool, block);
    if (p == NULL && device_grow(d, block)) p = pool_take(&d->pool, block);
    if (p == NULL) return NULL;
    lode_device_stats *s = &d->stats;
    s->n_allocations++;
    s->bytes_in_use += (int64_t)rounded;
    s->bytes_touched = (int64_t)d->pool.touched;
    if (s->bytes_in_use > s->peak_bytes) s->peak_bytes = s->bytes_in_use;
    if (s->bytes_touched > s->peak_touched) s->peak_touched = s->bytes_touched;
    if (s->bytes_in_use > d->high_water) d->high_water = s->bytes_in_use;
    device_poison(d, p, bytes, false);
    return p;
}

void *lode_device_allocate(lode_device *d, size_t bytes) {
    size_t rounded = device_round(bytes);
    void *p = NULL;
    int64_t in_use = 0;
    if (rounded > 0) {
        device_lock(d);
        p = device_take(d, bytes, rounded);
        in_use = d->stats.bytes_in_use;
        device_unlock(d);
    }
    if (p == NULL)
        LODE_FAIL(LODE_ERR_NO_MEMORY,
                  "device %s has no memory for %zu bytes more, %lld bytes are in use; "
                  "a smaller batch needs less",
                  d->ops->name, bytes, (long long)in_use);
    return p;
}

void lode_device_release(lode_device *d, void *p, size_t bytes) {
    if (p == NULL) return;
    device_lock(d);
    size_t block = pool_give(&d->pool, p);
    d->stats.bytes_in_use -= (int64_t)device_round(bytes);
    device_poison(d, p, block, true);
    device_unlock(d);
}

lode_device_stats lode_device_get_stats(const lode_device *d) {
    /* Only the lock is written: every device lives in writable memory. */
    lode_device *m = (lode_device *)(uintptr_t)d;
    device_lock(m);
    lode_device_stats s = m->stats;
    s.bytes_touched = (int64_t)m->pool.touched;
    device_unlock(m);
    return s;
}

void lode_device_reset_peak(lode_device *d) {
    device_lock(d);
    d->stats.peak_bytes = d->stats.bytes_in_use;
    d->stats.peak_reserved = d->stats.bytes_reserved;
    d->stats.peak_touched = (int64_t)d->pool.touched;
    device_unlock(d);
}

void lode_device_empty_cache(lode_device *d) {
    device_lock(d);
    device_drop_empty(d);
    pool_trim(&d->pool);
    device_unlock(d);
}
