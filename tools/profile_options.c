/* profile_options.c: see profile_options.h. */
#include "tools/profile_options.h"

#include "core/memory.h"
#include "core/number.h"
#include "core/parallel.h"
#include "core/platform.h"

static lode_status read_precision(cli *c, double def, double *out) {
    const char *text = cli_get(c, "precision", NULL);
    *out = def;
    if (text && (!lode_f64_parse(text, out) || !(*out >= 0)))
        return cli_usage_error(c, "--precision %s: want a percentage such as 3", text);
    return LODE_OK;
}

lode_status profile_options_read(cli *c, lode_profile_options *o) {
    int64_t budget = 0;
    *o = (lode_profile_options){.journal = NULL};
    LODE_TRY(lode_options_default(&lode_profile_option_table, o));
    LODE_TRY(cli_get_int(c, "batch", o->batch, 1, 4096, &o->batch));
    LODE_TRY(cli_get_int(c, "warmup", o->warmup, 0, 10000, &o->warmup));
    LODE_TRY(cli_get_int(c, "rounds", o->rounds, 3, 100000, &o->rounds));
    LODE_TRY(cli_get_int(c, "networks", o->networks, 0, 10000, &o->networks));
    LODE_TRY(cli_get_int(c, "budget", 0, 0, 1000000, &budget));
    o->budget_s = (double)budget;
    LODE_TRY(read_precision(c, o->precision, &o->precision));
    o->seed = cli_seed(c, 1);
    return LODE_OK;
}

lode_status profile_pin(cli *c) {
    const char *cpus = cli_get(c, "cpus", NULL);
    if (!cpus) return LODE_OK;
    LODE_TRY(lode_pin_cpus(cpus));
    lode_set_threads(cli_threads(c)); /* one per core means of these */
    return LODE_OK;
}

static lode_status remote_read_numbers(cli *c, bool energy, lode_remote *r) {
    int64_t timeout = 600;
    r->protocol = (lode_job_protocol){.threads = lode_get_threads(), .energy = energy};
    LODE_TRY(cli_get_int(c, "runner-jobs", 1, 1, 16, &r->directories));
    LODE_TRY(cli_get_int(c, "runner-timeout", 600, 0, 10000000, &timeout));
    LODE_TRY(cli_get_int(c, "warmup", 10, 0, 10000, &r->protocol.warmup));
    LODE_TRY(cli_get_int(c, "repeats", 50, 1, 100000, &r->protocol.repeats));
    r->timeout_s = (double)timeout;
    r->keep = cli_flag(c, "keep-jobs");
    return read_precision(c, 3, &r->precision);
}

lode_status profile_remote_read(cli *c, const char *base, bool energy, profile_remote *out) {
    *out = (profile_remote){.used = cli_get(c, "runner", NULL) != NULL};
    if (!out->used) return LODE_OK;
    lode_status status = remote_read_numbers(c, energy, &out->remote);
    if (status == LODE_OK && base) {
        out->directory = lode_format("%s.jobs", base);
        out->journal = lode_format("%s.partial", base);
        if (!out->directory || !out->journal) status = LODE_ERR_NO_MEMORY;
    } else if (status == LODE_OK)
        status = lode_make_temp_directory("lode-jobs", &out->directory);
    out->remote.command = cli_get(c, "runner", NULL);
    out->remote.directory = out->directory;
    out->remote.journal = out->journal;
    if (status != LODE_OK) profile_remote_deinit(out);
    return status;
}

void profile_remote_deinit(profile_remote *r) {
    lode_free(r->directory);
    lode_free(r->journal);
    *r = (profile_remote){0};
}
