/* profile_internal.h: what the files of measuring share: one forward pass under a clock, and a
   runner that times each call. */
#ifndef LODE_HWCOST_PROFILE_INTERNAL_H
#define LODE_HWCOST_PROFILE_INTERNAL_H
#include "hwcost/profile.h"

/* ---- profile_run.c: a runner that times each call ---- */

typedef struct profile_sample {
    uint64_t hash;
    char *text;
    char provider[16];
    double *ms;
    int64_t n, capacity;
} profile_sample;

typedef struct profile_timer {
    lode_runner runner; /* what the tape calls */
    const lode_runner *inner;
    bool record;
    double last; /* end of the previous call */
    profile_sample *sample;
    int64_t n, capacity;
} profile_timer;

/* `inner` does the work. */
void profile_timer_init(profile_timer *t, const lode_runner *inner);
void profile_timer_deinit(profile_timer *t);

/* ---- profile_run.c: whole passes ---- */

typedef struct profile_bench {
    lode_supernet *net;
    lode_tape *tape;
    lode_tensor *x;
    double checksum; /* results are read, so nothing can be left out */
} profile_bench;

lode_status profile_bench_init(lode_supernet *net, const lode_runner *runner, int64_t batch,
                               profile_bench *b);
void profile_bench_deinit(profile_bench *b);
/* One forward pass of `arch` (NULL: a fixed network); *ms is its time. `timer` is the runner the
   bench was made with, if it is one. */
lode_status profile_run(profile_bench *b, const lode_arch *arch, profile_timer *timer, double *ms);
#endif
