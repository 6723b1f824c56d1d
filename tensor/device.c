/* device.c: the caching allocator every device stands behind, and the CPU.

   Sizes are rounded up to classes: multiples of 64 up to 512, then eight classes per power of two,
   so at most an eighth is wasted. A released block goes to its class's stack and the next request
   of that class takes it from there: no system call, no page fault. The stack has room for every
   block of its class that exists (made when the block is), so releasing never needs memory and
   never fails.

   What is kept has a bound. Before the system is asked for more, the cache gives back its longest
   unused classes until all reserved memory is within twice the most ever in use plus 64 MiB: a
   program whose shapes change (a supernet sampling widths) does not collect every shape it ever
   saw, and a steady loop never reaches the bound, so it never asks the system.

   The lock is a spinning flag: it is held for a few instructions, and for a system call only when
   the cache misses. Statistics are kept under it. */
#include "tensor/device.h"

#include "core/memory.h"
#include "core/platform.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <threads.h>

enum {
    DEVICE_ALIGNMENT = 64,
    DEVICE_FIRST_POWER = 9, /* 512 */
    DEVICE_LAST_POWER = 47, /* up to 2^48 bytes */
    DEVICE_N_CLASSES = 8 + 8 * (DEVICE_LAST_POWER - DEVICE_FIRST_POWER + 1),
    DEVICE_CACHE_SLACK = 64 << 20
};

typedef struct device_class {
    void **cached; /* [n_cached], room for n_blocks */
    int64_t n_cached, capacity;
    int64_t n_blocks; /* cached and in use */
    uint64_t last_use;
} device_class;

struct lode_device {
    const lode_device_ops *ops;
    void *self;
    atomic_flag lock;
    lode_device_stats stats;
    int64_t high_water; /* most ever in use, not touched by resets */
    uint64_t clock;     /* counts requests */
    device_class classes[DEVICE_N_CLASSES];
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
    for (int i = 0; i < DEVICE_N_CLASSES; i++) lode_free(d->classes[i].cached);
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

/* ---- classes ---- */
/* The class of a request and its rounded size; -1 when no class is that large. */
static int device_class_of(size_t bytes, size_t *rounded) {
    if (bytes <= 512) {
        size_t n = bytes == 0 ? 1 : (bytes + 63) / 64;
        *rounded = n * 64;
        return (int)n - 1;
    }
    int power = DEVICE_FIRST_POWER; /* 2^power < bytes <= 2^(power+1) */
    while (power <= DEVICE_LAST_POWER && ((bytes - 1) >> (power + 1)) != 0) power++;
    if (power > DEVICE_LAST_POWER) return -1;
    size_t base = (size_t)1 << power, step = base / 8;
    size_t k = (bytes - base + step - 1) / step; /* 1..8 */
    *rounded = base + k * step;
    return 8 + 8 * (power - DEVICE_FIRST_POWER) + (int)k - 1;
}

static size_t device_class_bytes(int index) {
    if (index < 8) return ((size_t)index + 1) * 64;
    size_t base = (size_t)1 << (DEVICE_FIRST_POWER + (index - 8) / 8);
    return base + ((size_t)(index - 8) % 8 + 1) * (base / 8);
}

int64_t lode_device_rounded_bytes(size_t bytes) {
    size_t rounded = 0;
    return device_class_of(bytes, &rounded) >= 0 ? (int64_t)rounded : INT64_MAX;
}

/* ---- giving back (under the lock) ---- */
static void device_drop_class(lode_device *d, int index) {
    device_class *c = &d->classes[index];
    size_t bytes = device_class_bytes(index);
    d->stats.bytes_reserved -= c->n_cached * (int64_t)bytes;
    c->n_blocks -= c->n_cached;
    while (c->n_cached > 0) d->ops->release(d->self, c->cached[--c->n_cached], bytes);
}

static void device_drop_all(lode_device *d) {
    for (int i = 0; i < DEVICE_N_CLASSES; i++) device_drop_class(d, i);
}

static void device_keep_bound(lode_device *d, int64_t coming) {
    int64_t bound = 2 * d->high_water + DEVICE_CACHE_SLACK;
    while (d->stats.bytes_reserved + coming > bound) {
        int oldest = -1;
        for (int i = 0; i < DEVICE_N_CLASSES; i++)
            if (d->classes[i].n_cached > 0 &&
                (oldest < 0 || d->classes[i].last_use < d->classes[oldest].last_use))
                oldest = i;
        if (oldest < 0) return;
        device_drop_class(d, oldest);
    }
}

/* ---- requests ---- */
static void *device_from_system(lode_device *d, device_class *c, size_t bytes) {
    if (lode_grow((void **)&c->cached, &c->capacity, c->n_blocks + 1, sizeof *c->cached) != LODE_OK)
        return NULL;
    device_keep_bound(d, (int64_t)bytes);
    void *p = d->ops->allocate(d->self, bytes);
    if (p == NULL && d->stats.bytes_reserved > d->stats.bytes_in_use) {
        /* the cache holds it in other sizes */
        device_drop_all(d);
        p = d->ops->allocate(d->self, bytes);
    }
    if (p == NULL) return NULL;
    d->stats.n_system_allocations++;
    d->stats.bytes_reserved += (int64_t)bytes;
    if (d->stats.bytes_reserved > d->stats.peak_reserved)
        d->stats.peak_reserved = d->stats.bytes_reserved;
    c->n_blocks++;
    return p;
}

static void *device_take(lode_device *d, int index, size_t bytes) {
    device_class *c = &d->classes[index];
    d->stats.n_allocations++;
    c->last_use = ++d->clock;
    void *p = c->n_cached > 0 ? c->cached[--c->n_cached] : device_from_system(d, c, bytes);
    if (p == NULL) return NULL;
    d->stats.bytes_in_use += (int64_t)bytes;
    if (d->stats.bytes_in_use > d->stats.peak_bytes) d->stats.peak_bytes = d->stats.bytes_in_use;
    if (d->stats.bytes_in_use > d->high_water) d->high_water = d->stats.bytes_in_use;
    return p;
}

void *lode_device_allocate(lode_device *d, size_t bytes) {
    size_t rounded = 0;
    int index = device_class_of(bytes, &rounded);
    void *p = NULL;
    int64_t in_use = 0;
    if (index >= 0) {
        device_lock(d);
        p = device_take(d, index, rounded);
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
    size_t rounded = 0;
    device_class *c = &d->classes[device_class_of(bytes, &rounded)];
    device_lock(d);
    c->cached[c->n_cached++] = p;
    d->stats.bytes_in_use -= (int64_t)rounded;
    device_unlock(d);
}

lode_device_stats lode_device_get_stats(const lode_device *d) {
    /* Only the lock is written: every device lives in writable memory. */
    lode_device *m = (lode_device *)(uintptr_t)d;
    device_lock(m);
    lode_device_stats s = m->stats;
    device_unlock(m);
    return s;
}

void lode_device_reset_peak(lode_device *d) {
    device_lock(d);
    d->stats.peak_bytes = d->stats.bytes_in_use;
    d->stats.peak_reserved = d->stats.bytes_reserved;
    device_unlock(d);
}

void lode_device_empty_cache(lode_device *d) {
    device_lock(d);
    device_drop_all(d);
    for (int i = 0; i < DEVICE_N_CLASSES; i++) {
        device_class *c = &d->classes[i];
        if (c->n_blocks > 0) continue;
        lode_free(c->cached);
        c->cached = NULL;
        c->capacity = 0;
    }
    device_unlock(d);
}
