/* profile_internal.h: what the files of measuring share: one forward pass under a clock, a watch
   that times each call, rounds of many passes, and which of them count. */
#ifndef LODE_HWCOST_PROFILE_INTERNAL_H
#define LODE_HWCOST_PROFILE_INTERNAL_H
#include "core/json.h"
#include "hwcost/profile.h"

/* ---- profile_run.c: clocks ---- */

/* Seconds. */
typedef struct profile_clock {
    double (*wall)(void);
    double (*own)(void); /* processor time of this thread; NULL where several compute */
    double own_cost_s;   /* one reading of it */
} profile_clock;
LODE_API profile_clock lode_profile_clock_here(void);

/* ---- profile_run.c: times of calls ---- */

typedef struct profile_sample {
    uint64_t hash;
    char *text;
    char provider[16];
    double *ms;
    int64_t *pass; /* that each is of */
    int64_t n, capacity, pass_capacity;
} profile_sample;

/* Zeroed at first. */
typedef struct profile_timer {
    bool record;
    int64_t pass;                   /* that is recorded */
    double (*now)(void);            /* the clock of this pass */
    double now_cost_s;              /* of a reading, taken off each call */
    int lanes, calls;               /* of the pass: a lane's calls follow each other */
    double *last;                   /* [lanes] end of the lane's previous call */
    double *ms;                     /* [lanes, calls] all slices of the lane together */
    const lode_provider **provider; /* [lanes, calls] NULL: not run there, or a view */
    int64_t last_capacity, ms_capacity, provider_capacity;
    profile_sample *sample;
    int64_t n, capacity;
} profile_timer;

void profile_timer_deinit(profile_timer *t);
/* One sample of t->pass. */
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
/* What a forward pass took. */
typedef struct profile_pass {
    double ms;        /* its own time: what others took of it is taken off where that is known */
    double wall_ms;   /* by the clock on the wall */
    double stolen_ms; /* of wall_ms: others had the processor */
} profile_pass;
/* Two forward passes; *out is of the second. timer NULL: calls are not timed. Where other programs
   took more than a hundredth of the pass, processor time counts instead of the wall's; calls are
   then timed once more by it. */
lode_status profile_run(profile_bench *b, const profile_clock *clock, profile_timer *timer,
                        profile_pass *out);

/* ---- profile_networks.c ---- */
/* One bench per network of s. */
lode_status profile_open_benches(const lode_profile_networks *s, profile_bench **out);

/* ---- profile_cover.c ---- */

/* Architectures in which every distinct call of the space occurs; *arch NULL and *n 1 for a fixed
   network. Constraints are not asked, as costs do not ask them. */
lode_status profile_cover_space(lode_supernet *net, lode_form form, int64_t batch, uint64_t seed,
                                lode_arch **arch, int64_t *n);

/* ---- profile_fit.c ---- */

/* Constant and slope between sums of entries and whole networks, measured [n], into the table; and
   whether they are to be believed. stolen: share of the time that others had, < 0: another device,
   where whole networks may take much less than their calls by themselves. */
lode_status profile_fit(lode_supernet *net, int64_t batch, const lode_arch *arch, int64_t n,
                        const double *measured, double stolen, lode_table *table);
/* The part of it that is numbers. sum [n] of entries. *doubt: what speaks against the fit, with
   numbers and what to do; "" when nothing does. */
typedef struct profile_line {
    double constant, slope;
    double mape;  /* of the networks it is fitted to, percent */
    double whole; /* median of measured / sum */
    char doubt[256];
} profile_line;
LODE_API lode_status lode_profile_fit_line(const double *sum, const double *measured, int64_t n,
                                           double stolen, profile_line *out);

/* ---- profile.c ---- */

/* lode_profile_space by other clocks. */
LODE_API lode_status lode_profile_space_clocked(lode_supernet *net, lode_dispatch *dispatch,
                                                const lode_profile_options *options,
                                                const profile_clock *clock,
                                                const lode_progress *progress, lode_table **out);

/* ---- profile_speed.c: the machine's own speed ---- */

/* A pass lies between two passes of the reference network, which took before[i] and after[i] ms.
   *own: what the reference takes when nothing slows the machine down: the middle of its fastest
   state, as long as that lasted 3 % of the time. */
LODE_API lode_status lode_profile_own_speed(const double *before, const double *after, int64_t n,
                                            double *own);
/* Was the machine at its own speed, before and after? */
LODE_API bool lode_profile_at_speed(double before, double after, double own);

/* ---- profile_visits.c: many of them, in turn ---- */

typedef struct profile_visit {
    profile_bench *bench;
    bool timed; /* call by call, to the timer; else as a whole, to ms */
    double *ms; /* [rounds] those that count */
    int64_t *n; /* how many they are */
} profile_visit;

typedef struct profile_schedule {
    int64_t warmup, rounds;
    double budget_s;  /* stop after this time and at least three rounds; 0: no limit */
    double precision; /* percent: stop after ten rounds when every visit's median is known so */
    uint64_t seed;    /* of the order */
    const profile_clock *clock;
    const lode_progress *progress;
    const char *journal; /* rounds are kept there and gone on from; NULL: not */
    json_t *about;       /* what the journal is of, borrowed */
} profile_schedule;

/* Each round pays every visit in a new random order, so that a change of the machine's speed meets
   all alike: calls and the networks they are to add up to too. The first visit's network is the
   reference: it runs before and after every few visits. Passes between two of its at the machine's
   own speed count; rounds go on, up to twice as many, until every visit has s->rounds such passes.
   A visit that has hardly any keeps all, brought to that speed by the reference beside each.
   *stolen: share of the time that other programs had. */
lode_status profile_visit_all(const profile_visit *v, int64_t n, const profile_schedule *s,
                              profile_timer *timer, double *stolen);
/* For schedule.about; json_decref. */
json_t *profile_about(const char *what, const lode_supernet *net, int64_t batch, int64_t n,
                      uint64_t seed);
#endif
