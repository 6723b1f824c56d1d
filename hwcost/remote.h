/* remote.h: measures on another device, through a command of the user's.

   What is to be measured is written as job directories (job.h); the command is run by `sh -c` with
   one or more of them as arguments, and writes result.json into each. Nothing is known about the
   device but these files. Three kinds of job make a table: every distinct call of the space by
   itself, whole networks, to which constant and slope are fitted, and the floor, a job with next to
   nothing in it: what a run costs whatever runs. The floor's time is taken off each call's, since
   in a network it is paid once and not per call.

   Speed that drifts: one network, the reference, is measured again after every job. What it
   takes in the fastest state that lasted (profile_speed.c) is the device's own speed. Jobs between
   two references of which one was off by more than 8 % are measured again, until they were tried
   eight times; in the end all are brought to that speed by the reference's time around them. The
   table keeps which network it was and what it took (lode_table_info.reference), so that networks
   that are measured on another day, with the same reference between them, tell a change of the
   device's speed from an error of the table.

   Each result goes into the journal as soon as it is read, and a measurement that was stopped goes
   on from there. */
#ifndef LODE_HWCOST_REMOTE_H
#define LODE_HWCOST_REMOTE_H
#include "core/log.h"
#include "hwcost/job.h"
#include "hwcost/profile.h"

typedef struct lode_remote {
    const char *command;   /* gets directories as "$@" */
    double timeout_s;      /* of one run of it; 0: none */
    int64_t directories;   /* per run of it, at most */
    const char *directory; /* job directories are made in it, and removed when they are read */
    const char *journal;   /* NULL: nothing is kept */
    bool keep;             /* job directories stay */
    lode_job_protocol protocol;
    double precision; /* percent: measured again, up to four times in all, until the confidence
                         interval of the median is within -+ this; 0: never */
} lode_remote;

/* As lode_profile_space, of the device: rounds, warmup and budget of `options` are not asked (the
   protocol has them). *energy NULL unless protocol.energy; the caller destroys both.
   LODE_ERR_IO: the command failed or took too long; its last words are in the message.
   LODE_ERR_DATA: what it wrote is not as agreed. Either way what was measured is kept in the
   journal, and the directory in question stays. */
LODE_API lode_status lode_remote_space(lode_supernet *net, lode_dispatch *dispatch,
                                       const lode_profile_options *options,
                                       const lode_remote *remote, const lode_progress *progress,
                                       lode_table **latency, lode_table **energy);
/* The network that runs between the others, and what it took at the device's own speed. */
typedef struct lode_remote_reference {
    const lode_arch *arch; /* in; NULL: the first of the networks */
    double latency_ms;     /* out */
    double energy_mj;      /* out; < 0: not measured */
} lode_remote_reference;
/* Architectures of a space as whole networks, ms, and mJ with protocol.energy (else NULL is fine).
   latency, energy [n], at the device's own speed. reference may be NULL: the first, and nobody asks
   what it took. */
LODE_API lode_status lode_remote_networks(lode_supernet *net, lode_dispatch *dispatch,
                                          const lode_arch *arch, int64_t n, int64_t batch,
                                          const lode_remote *remote, const lode_progress *progress,
                                          lode_remote_reference *reference, lode_summary *latency,
                                          double *energy);

/* The reference network that a table was measured by, as an architecture of net's space; a fixed
   net leaves *arch alone. What it takes now / lode_table_info.reference.value is how much slower
   the device is. LODE_ERR_UNSUPPORTED (or the error of reading its code) with the reason: the table
   keeps none, or the net has no such network. */
LODE_API lode_status lode_remote_find_reference(const lode_table *table, lode_supernet *net,
                                                lode_arch *arch);
/* Of the texts of a network's calls, folded, in their order. */
LODE_API lode_status lode_remote_hash(lode_supernet *net, const lode_arch *arch, int64_t batch,
                                      uint64_t *out);
#endif
