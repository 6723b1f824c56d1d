/* timed.h: whole networks under the clock, here or through a runner: what `lode cost verify` and
   `lode cost measure` share. */
#ifndef LODE_TOOLS_TIMED_H
#define LODE_TOOLS_TIMED_H
#include "tools/profile_options.h"
#include "tools/workspace.h"

enum { TIMED_MAX_COSTS = 16 };

#define TIMED_OPTION_PROVIDERS                                                                     \
    { "providers", 0, "LIST", "kernel providers allowed (native,onednn,portable,reference)" }

/* Networks that are measured, and what each cost predicts for them. */
typedef struct timed_networks {
    cli *c;
    workspace w;
    int64_t n, batch, warmup, rounds;
    lode_form form;
    lode_arch *arch;
    lode_summary *measured;
    double *m;        /* medians, or energies */
    double *energy;   /* mJ, NULL: not asked for */
    bool with_energy; /* energy is wanted */
    bool of_energy;   /* m is of energy_mj */
    int n_costs;
    lode_cost *cost[TIMED_MAX_COSTS];
    const char *spec[TIMED_MAX_COSTS];
    double *p[TIMED_MAX_COSTS]; /* [n] predictions */
    const lode_table *table;    /* of the first cost that has one */
    double drift; /* the table's calls here, or its reference behind a runner: now / in the table;
                     < 0: not known */
    profile_remote remote;
    char *journal; /* of measuring here, NULL: none */
} timed_networks;

#define TIMED_OPTION_ARCH                                                                          \
    {                                                                                              \
        "arch", 'a', "ARCH",                                                                       \
            "this network instead of random ones: text, code, or @file.json such as a search's "   \
            "@run/subnets/NAME/arch.json (may be repeated)"                                        \
    }

/* Counts of the command line; those of --arch, or `count` networks unless --count says otherwise.
   timed_deinit either way. */
lode_status timed_init(timed_networks *v, cli *c, int64_t count);
void timed_deinit(timed_networks *v);
/* The networks of --arch, or random ones of the space; other indices give others. */
lode_status timed_choose(timed_networks *v, uint64_t index);
/* LODE_ERR_UNSUPPORTED where this machine has no counters of energy: told before minutes of
   measuring, not after. */
lode_status timed_need_counters(void);
/* Fills measured, m and, where it is wanted, energy. */
lode_status timed_run(timed_networks *v);
/* CSV: arch,latency_ms,min_ms,spread[,energy_mj], and what each cost says. */
lode_status timed_write_rows(const timed_networks *v, bool energy, const char *path);
#endif
