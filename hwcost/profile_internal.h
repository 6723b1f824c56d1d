/* profile_internal.h: what the files of measuring share: one forward pass under a clock, and a
   watch that times each call. */
#ifndef LODE_HWCOST_PROFILE_INTERNAL_H
#define LODE_HWCOST_PROFILE_INTERNAL_H
#include "core/json.h"
#include "hwcost/profile.h"

/* ---- profile_run.c: times of calls ---- */

typedef struct profile_sample {
    uint64_t hash;
    char *text;
    char provider[16];
    double *ms;
    int64_t *round; /* that each is of */
    int64_t n, capacity, round_capacity;
} profile_sample;

/* Zeroed at first. */
typedef struct profile_timer {
    bool record;
    int64_t round;                  /* that is recorded */
    int lanes, calls;               /* of the pass: a lane's calls follow each other */
    double *last;                   /* [lanes] end of the lane's previous call */
    double *ms;                     /* [lanes, calls] all slices of the lane together */
    const lode_provider **provider; /* [lanes, calls] NULL: not run there, or a view */
    int64_t last_capacity, ms_capacity, provider_capacity;
    profile_sample *sample;
    int64_t n, capacity;
} profile_timer;

void profile_timer_deinit(profile_timer *t);
/* One sample of t->round. */
lode_status profile_timer_add(profile_timer *t, const char *call, const char *provider, double ms);

/* ---- profile_run.c: whole passes ---- */

typedef struct profile_bench {
    lode_frozen *frozen;
    lode_tensor *x;
    double checksum; /* results are read, so nothing can be left out */
} profile_bench;

/* arch NULL: a fixed network. */
lode_status profile_bench_init(lode_supernet *net, const lode_arch *arch, lode_form form,
                               lode_dispatch *dispatch, int64_t batch, profile_bench *b);
void profile_bench_deinit(profile_bench *b);
/* One bench per architecture. */
lode_status profile_benches_create(lode_supernet *net, const lode_arch *arch, int64_t n,
                                   lode_form form, lode_dispatch *dispatch, int64_t batch,
                                   profile_bench **out);
void profile_benches_destroy(profile_bench *b, int64_t n);
/* Two forward passes; *ms is the time of the second. timer NULL: calls are not timed. */
lode_status profile_run(profile_bench *b, profile_timer *timer, double *ms);

/* ---- profile_networks.c ---- */
/* One bench per network of s. */
lode_status profile_open_benches(const lode_profile_networks *s, profile_bench **out);

/* ---- profile_cover.c ---- */

/* Architectures in which every distinct call of the space occurs; *arch NULL and *n 1 for a fixed
   network. Constraints are not asked, as costs do not ask them. */
lode_status profile_cover_space(lode_supernet *net, lode_form form, int64_t batch, uint64_t seed,
                                lode_arch **arch, int64_t *n);

/* ---- profile.c ---- */

/* Constant and slope between sums of entries and whole networks, measured [n], into the table. */
lode_status profile_fit(lode_supernet *net, int64_t batch, const lode_arch *arch, int64_t n,
                        const double *measured, lode_table *table);

/* ---- profile_visits.c: many of them, in turn ---- */

typedef struct profile_visit {
    profile_bench *bench;
    bool timed; /* call by call, to the timer; else as a whole, to ms */
    double *ms; /* [rounds] */
} profile_visit;

typedef struct profile_schedule {
    int64_t warmup, rounds;
    double budget_s;  /* stop after this time and at least three rounds; 0: no limit */
    double precision; /* percent: stop after ten rounds when every visit's median is known so */
    uint64_t seed;    /* of the order */
    const lode_progress *progress;
    const char *journal; /* rounds are kept there and gone on from; NULL: not */
    json_t *about;       /* what the journal is of, borrowed */
} profile_schedule;

/* Each round pays every visit in a new random order, so that a change of the machine's speed meets
   all alike: calls and the networks they are to add up to too. Rounds during a drift of that speed
   are measured again, as long as they are no more than the others. *done (may be NULL): timed
   rounds that count, at most s->rounds. */
lode_status profile_visit_all(const profile_visit *v, int64_t n, const profile_schedule *s,
                              profile_timer *timer, int64_t *done);
/* For schedule.about; json_decref. */
json_t *profile_about(const char *what, const lode_supernet *net, int64_t batch, int64_t n,
                      uint64_t seed);
#endif
