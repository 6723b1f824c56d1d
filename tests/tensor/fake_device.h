/* fake_device.h: a device whose memory the host may not touch: addresses are handed out with one
   bit turned, so that whoever takes one for host memory crashes. */
#ifndef LODE_TESTS_FAKE_DEVICE_H
#define LODE_TESTS_FAKE_DEVICE_H
#include "core/memory.h"
#include "tensor/tensor.h"

typedef struct fake_device {
    int64_t n_live, n_allocations, n_copies, fail_at; /* fail_at: allocation that fails, -1 none */
    int destroyed;
} fake_device;

#define FAKE_BIT ((uintptr_t)1 << 62)
static void *fake_turn(const void *p) { return (void *)((uintptr_t)p ^ FAKE_BIT); }

static void *fake_allocate(void *self, size_t bytes) {
    fake_device *f = self;
    if (f->n_allocations++ == f->fail_at) return NULL;
    void *p = lode_alloc_aligned(bytes, 64);
    if (p == NULL) return NULL;
    f->n_live++;
    return fake_turn(p);
}
static void fake_release(void *self, void *p, size_t bytes) {
    fake_device *f = self;
    (void)bytes;
    f->n_live--;
    lode_free(fake_turn(p));
}
static lode_status fake_copy_in(void *self, void *dst, const void *src, size_t n) {
    ((fake_device *)self)->n_copies++;
    memcpy(fake_turn(dst), src, n);
    return LODE_OK;
}
static lode_status fake_copy_out(void *self, void *dst, const void *src, size_t n) {
    ((fake_device *)self)->n_copies++;
    memcpy(dst, fake_turn(src), n);
    return LODE_OK;
}
static lode_status fake_copy(void *self, void *dst, const void *src, size_t n) {
    ((fake_device *)self)->n_copies++;
    memcpy(fake_turn(dst), fake_turn(src), n);
    return LODE_OK;
}
static lode_status fake_wait(void *self) {
    (void)self;
    return LODE_OK;
}
static void fake_destroy(void *self) { ((fake_device *)self)->destroyed++; }

static const lode_device_ops fake_device_ops = {
    .name = "fake",
    .allocate = fake_allocate,
    .release = fake_release,
    .copy_in = fake_copy_in,
    .copy_out = fake_copy_out,
    .copy = fake_copy,
    .wait = fake_wait,
    .destroy = fake_destroy,
};

static lode_device *fake_open(fake_device *f) {
    lode_device *d = NULL;
    *f = (fake_device){.fail_at = -1};
    assert_ok(lode_device_create(&fake_device_ops, f, &d));
    return d;
}
#endif
