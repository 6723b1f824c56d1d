/* device.h: where storage lives. A device is a contract; the CPU is one, an accelerator another.

   Each device hands memory out of few large segments, which it keeps (pool_internal.h): writing a
   reused buffer is 2-6 times faster than a fresh one, and what one size gave back serves every
   other. A segment that nobody uses goes back to the system when more than 5/4 of the most ever in
   use plus 64 MiB would be reserved. */
#ifndef LODE_TENSOR_DEVICE_H
#define LODE_TENSOR_DEVICE_H
#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct lode_device lode_device;

/* What a device must bring. Pointers it allocates are at least 64-byte aligned. */
typedef struct lode_device_ops {
    const char *name;                            /* "cpu", "cuda:0" */
    void *(*allocate)(void *self, size_t bytes); /* NULL when there is no memory */
    void (*release)(void *self, void *p, size_t bytes);
    lode_status (*copy_in)(void *self, void *device_dst, const void *host_src, size_t bytes);
    lode_status (*copy_out)(void *self, void *host_dst, const void *device_src, size_t bytes);
    lode_status (*copy)(void *self, void *dst, const void *src, size_t bytes);
    lode_status (*wait)(void *self); /* until all work queued so far is done */
    void (*destroy)(void *self);
    int is_host; /* pointers can be read by the CPU */
} lode_device_ops;

typedef struct lode_device_stats {
    int64_t bytes_in_use;         /* by live storages, each rounded up to 64 bytes */
    int64_t peak_bytes;           /* most ever in use since the last reset */
    int64_t bytes_reserved;       /* of segments, from the system */
    int64_t peak_reserved;        /* most ever reserved since the last reset */
    int64_t bytes_touched;        /* of segments, handed out at least once: what the system had to
                                     put memory behind */
    int64_t peak_touched;         /* most ever touched since the last reset */
    int64_t n_allocations;        /* requests */
    int64_t n_system_allocations; /* segments */
} lode_device_stats;

/* The process-wide CPU device; always there, never destroyed by users. */
LODE_API lode_device *lode_cpu_device(void);
LODE_API lode_status lode_device_create(const lode_device_ops *ops, void *self, lode_device **out);
/* After the last of its tensors was released. */
LODE_API void lode_device_destroy(lode_device *d);
LODE_API const lode_device_ops *lode_device_get_ops(const lode_device *d);
LODE_API void *lode_device_self(const lode_device *d);
LODE_API lode_device_stats lode_device_get_stats(const lode_device *d);
LODE_API void lode_device_reset_peak(lode_device *d);
/* A device whose tensors have addresses but no memory behind them (they read as zeros), to count
   what a computation would hold: same blocks at the same distances, same statistics as the
   CPU's. */
LODE_API lode_status lode_device_create_counting(lode_device **out);
/* Bytes that a request of `bytes` counts as in use. */
LODE_API int64_t lode_device_rounded_bytes(size_t bytes);
/* Asks the system now for `bytes` more than are in use, in one segment unless half of it is there:
   for whoever knows what is to come (lode_trainer_plan). Their pages cost nothing before they are
   used. LODE_ERR_NO_MEMORY. */
LODE_API lode_status lode_device_reserve(lode_device *d, int64_t bytes);
/* Gives every segment back that no tensor uses. */
LODE_API void lode_device_empty_cache(lode_device *d);

/* Used by tensors and workspaces. Thread-safe, at least 64-byte aligned. NULL with
   lode_last_error() set when out of memory. Release with the bytes that were asked for. */
LODE_API void *lode_device_allocate(lode_device *d, size_t bytes);
LODE_API void lode_device_release(lode_device *d, void *p, size_t bytes);
#endif
