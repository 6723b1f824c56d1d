/* profile.h: measures on this machine: whole networks, and the operator calls within them.

   Networks are measured as they are deployed: folded and replayed (supernet/frozen.h). Calls are
   timed where they will run: random architectures of the space are executed one after another, and
   a watch takes the time of every call. So inputs come from their real predecessor, weights are as
   cold as in use, and what lies between two kernels is counted with the later one. Architectures
   are drawn so that every option of every decision is covered equally often (a Latin square),
   visited in random order, together with the whole networks that constant and slope are fitted to.
   Each distinct call becomes one entry: trimmed median, minimum, spread, number of samples.
   (methods D1, D7)

   Two things are kept out. The machine's drift: one network, the reference, runs again and again
   between the others, and passes count during which it took what it takes when nothing slows the
   machine down (profile_speed.c). Other programs: with one thread, a pass that they interrupted is
   timed by the processor time it had (profile_run.c). What is left of either is told, and a fit
   that cannot be believed is marked in the table (lode_table_info.doubt). */
#ifndef LODE_HWCOST_PROFILE_H
#define LODE_HWCOST_PROFILE_H
#include "core/log.h"
#include "hwcost/statistics.h"
#include "hwcost/table.h"
#include "supernet/frozen.h"

typedef struct lode_profile_options {
    int64_t batch;    /* images per forward */
    int64_t warmup;   /* untimed forwards of each architecture */
    int64_t rounds;   /* timed visits to each architecture */
    int64_t networks; /* random architectures of the constant-and-slope fit; 0: no fit */
    double budget_s;  /* stop after this many seconds, with what there is; 0: no limit */
    double
        precision; /* percent: stop after ten rounds when all medians are known within it; 0: no */
    uint64_t seed;
    const char *journal; /* rounds are kept in this file, and a killed measurement goes on from
                            them; whoever wrote the table removes it. NULL: nothing is kept */
} lode_profile_options;
LODE_API extern const lode_option_table lode_profile_option_table; /* section "cost.build" */

/* Measures every distinct call of the net's space and fits constant and slope. */
LODE_API lode_status lode_profile_space(lode_supernet *net, lode_dispatch *dispatch,
                                        const lode_profile_options *options,
                                        const lode_progress *progress, lode_table **out);

/* The same of energy, mJ, by the processors' counters (energy.h): each call runs by itself, again
   and again, each network as a whole; of `options` batch, networks and seed are read. About 0.2 s a
   call and 0.6 s a network. LODE_ERR_UNSUPPORTED: no counters. */
LODE_API lode_status lode_profile_space_energy(lode_supernet *net, lode_dispatch *dispatch,
                                               const lode_profile_options *options,
                                               const lode_progress *progress, lode_table **out);

/* Time of one whole forward pass in inference, ms: trimmed median of `rounds` after `warmup`.
   `arch` may be NULL for a fixed network. */
LODE_API lode_status lode_profile_network(lode_supernet *net, const lode_arch *arch, lode_form form,
                                          lode_dispatch *dispatch, int64_t batch, int64_t warmup,
                                          int64_t rounds, lode_summary *out);

/* Networks that are to be compared: architectures of net[0], or with arch NULL fixed networks
   net[n]. All are visited in turn, in a new random order each round. */
typedef struct lode_profile_networks {
    lode_supernet *const *net;
    const lode_arch *arch; /* [n] or NULL */
    int64_t n;
    lode_form form;
    lode_dispatch *dispatch;
    int64_t batch, warmup, rounds;
    const lode_table *table; /* NULL: no drift */
    const char *journal;     /* as in lode_profile_options */
    const lode_progress *progress;
} lode_profile_networks;
/* out [n]. *drift (may be NULL): how much slower this machine runs the networks' calls now than
   when the table was measured, the time of all of them now / their time in the table; < 0: no
   table, or no call of it. Calls are timed in the rounds of the wholes. It tells an error of the
   prediction from a change of the machine's clock or load. */
LODE_API lode_status lode_profile_run_networks(const lode_profile_networks *s, lode_summary *out,
                                               double *drift);
/* Millijoules per forward pass, out [n], by the processors' counters (energy.h); at least 0.6 s per
   network. warmup, rounds, table and journal are not read. LODE_ERR_UNSUPPORTED: no counters. */
LODE_API lode_status lode_profile_energy(const lode_profile_networks *s, double *out);
#endif
