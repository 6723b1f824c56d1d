/* visits_internal.h: passes of many networks in rounds (profile_visits.c), and the file they are
   kept in (visits_journal.c). */
#ifndef LODE_HWCOST_VISITS_INTERNAL_H
#define LODE_HWCOST_VISITS_INTERNAL_H
#include "hwcost/profile_internal.h"

typedef struct visits {
    const profile_visit *v;
    int64_t n;
    const profile_schedule *s;
    profile_timer *timer; /* NULL: no visit is timed call by call */
    int64_t *order;       /* [n] */
    double *total;        /* [capacity, n] */
    double *before;       /* [capacity, n] the reference */
    double *after;        /* [capacity, n] */
    double *some;         /* [capacity] */
    int64_t *counted;     /* [n] passes at the machine's own speed */
    double own;           /* the reference at that speed */
    int64_t group;        /* passes between two looks at the reference */
    int64_t looks;        /* passes of it each, whose median counts */
    double stolen_ms, wall_ms;
    int64_t rounds, capacity;
} visits;

/* Adds the last round to the journal, if there is one. */
lode_status visits_write(const visits *w);
/* Takes over the rounds that are there. */
lode_status visits_resume(visits *w);
#endif
