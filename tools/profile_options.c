/* profile_options.c: see profile_options.h. */
#include "tools/profile_options.h"

lode_status profile_options_read(cli *c, lode_profile_options *o) {
    int64_t budget = 0;
    LODE_TRY(lode_options_default(&lode_profile_option_table, o));
    LODE_TRY(cli_get_int(c, "batch", o->batch, 1, 4096, &o->batch));
    LODE_TRY(cli_get_int(c, "warmup", o->warmup, 0, 10000, &o->warmup));
    LODE_TRY(cli_get_int(c, "rounds", o->rounds, 3, 100000, &o->rounds));
    LODE_TRY(cli_get_int(c, "networks", o->networks, 0, 10000, &o->networks));
    LODE_TRY(cli_get_int(c, "budget", 0, 0, 1000000, &budget));
    o->budget_s = (double)budget;
    o->seed = cli_seed(c, 1);
    return LODE_OK;
}
