/* profile_options.h: the options of verbs that measure calls of a space. */
#ifndef LODE_TOOLS_PROFILE_OPTIONS_H
#define LODE_TOOLS_PROFILE_OPTIONS_H
#include "hwcost/profile.h"
#include "tools/cli.h"

/* Rows of the verb's option table. "networks" is read, too, where a verb offers it. */
#define PROFILE_OPTIONS                                                                            \
    {"batch", 0, "N", "images per forward pass (default 1)"},                                      \
        {"warmup", 0, "N", "untimed passes of each architecture (default 3)"},                     \
        {"rounds", 0, "N", "timed passes of each architecture (default 40)"}, {                    \
        "budget", 0, "SECONDS", "stop measuring after this time, with at least three rounds"       \
    }

lode_status profile_options_read(cli *c, lode_profile_options *o);
#endif
