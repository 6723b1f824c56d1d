/* roofline.h: what this machine can reach, measured: the yardstick of `lode bench`. */
#ifndef LODE_OPS_NATIVE_ROOFLINE_H
#define LODE_OPS_NATIVE_ROOFLINE_H
#include "core/status.h"

typedef struct lode_roofline {
    const char *isa;   /* instruction set of the kernels, "avx512" */
    int threads;       /* lode_get_threads() */
    double gflops;     /* multiply-add peak, f32, all threads; 10^9 operations a second */
    double cache_gbs;  /* triad a = b + s c on 3 x 128 KiB a thread; 10^9 bytes a second */
    double memory_gbs; /* the same on 3 x 64 MiB */
} lode_roofline;

/* Takes about `seconds` (0: 0.3), keeps the best of its repeats. Needs 192 MiB for a moment. */
LODE_API lode_status lode_roofline_measure(double seconds, lode_roofline *out);
#endif
