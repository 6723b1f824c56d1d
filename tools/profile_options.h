/* profile_options.h: the options of verbs that measure calls of a space. */
#ifndef LODE_TOOLS_PROFILE_OPTIONS_H
#define LODE_TOOLS_PROFILE_OPTIONS_H
#include "hwcost/profile.h"
#include "hwcost/remote.h"
#include "tools/cli.h"

/* Rows of the verb's option table. "networks" is read, too, where a verb offers it. */
#define PROFILE_OPTIONS                                                                            \
    {"batch", 0, "N", "images per forward pass (default 1)"},                                      \
        {"warmup", 0, "N", "untimed passes of each architecture (default 3)"},                     \
        {"rounds", 0, "N", "timed passes of each architecture (default 40)"}, {                    \
        "budget", 0, "SECONDS", "stop measuring after this time, with at least three rounds"       \
    }

lode_status profile_options_read(cli *c, lode_profile_options *o);

/* ---- measuring on another device ---- */
#define PROFILE_REMOTE_OPTIONS                                                                     \
    {"runner", 0, "CMD",                                                                           \
     "measure on another device: CMD gets job directories and writes result.json into each "       \
     "(docs/your-own-device.md)"},                                                                 \
        {"runner-jobs", 0, "N", "directories that CMD gets at once, at most 16 (default 1)"},      \
        {"runner-timeout", 0, "SECONDS", "for one run of CMD (default 600; 0: no limit)"},         \
        {"repeats", 0, "N", "passes that CMD is to time for each job (default 50)"},               \
        {"precision", 0, "PERCENT",                                                                \
         "stop early when medians are known within this; with --runner measure again until they "  \
         "are (default 1; with --runner 3; 0: rounds and repeats as given)"},                      \
    {                                                                                              \
        "keep-jobs", 0, NULL, "leave the job directories where they are"                           \
    }

/* The options above. *used false: no --runner, nothing else is touched. base: path that those of
   journal and job directories are made of (BASE.partial, BASE.jobs); NULL: no journal, and a fresh
   directory. energy: the device is to tell it. */
typedef struct profile_remote {
    bool used;
    lode_remote remote;
    char *directory, *journal; /* what remote points to */
} profile_remote;
lode_status profile_remote_read(cli *c, const char *base, bool energy, profile_remote *out);
void profile_remote_deinit(profile_remote *r);

/* --cpus, which every verb that measures has. */
#define PROFILE_CPUS_OPTION                                                                        \
    { "cpus", 0, "LIST", "run on these CPUs only, e.g. 0,2-3" }
lode_status profile_pin(cli *c);
#endif
