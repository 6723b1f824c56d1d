/* remote_internal.h: a list of jobs that is worked off (remote.c), for remote_build.c. */
#ifndef LODE_HWCOST_REMOTE_INTERNAL_H
#define LODE_HWCOST_REMOTE_INTERNAL_H
#include "hwcost/profile_internal.h"
#include "hwcost/remote.h"

typedef struct remote_job {
    lode_job_kind kind;
    char *name;            /* of a call: its text */
    const lode_arch *arch; /* of a network, or one that has the call; NULL: a fixed network */
    int call;              /* its number in that one's folded trace */
    /* measured so far */
    double *ms;
    int64_t n, capacity;
    double energy; /* mJ, < 0 none */
    int tries;     /* since it was last forgotten */
    int all_tries; /* ever */
    int64_t since; /* references before it */
    bool done;
    /* of what a drift spoiled the try during which the reference changed least; best_n 0: none */
    double *best_ms;
    int64_t best_n, best_capacity, best_since;
    double best_energy;
    /* when all is done */
    lode_summary latency; /* at the common speed */
} remote_job;

typedef struct remote_session {
    const lode_remote *remote;
    lode_supernet *net;
    lode_dispatch *dispatch;
    int64_t batch;
    uint64_t seed;
    const lode_progress *progress;
    remote_job *job; /* job[0] is the reference */
    int64_t n, capacity;
    double *reference; /* its medians, [n_references] */
    int64_t n_references, reference_capacity;
    double own;      /* what it takes at the device's own speed (profile_internal.h) */
    int64_t due;     /* jobs since the last of them */
    int64_t drifted; /* jobs that were measured again for it */
    char device[128];
} remote_session;

void remote_session_deinit(remote_session *s);
/* Takes over `name` (NULL: no memory). */
lode_status remote_add(remote_session *s, lode_job_kind kind, char *name, const lode_arch *arch,
                       int call);
/* Measures all. about (borrowed): what the journal is of. */
lode_status remote_measure(remote_session *s, json_t *about);
#endif
