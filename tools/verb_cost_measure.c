/* verb_cost_measure.c: `lode cost measure`: measured networks as rows to fit predictors to. */
#include "core/memory.h"
#include "core/platform.h"
#include "tools/timed.h"

static const cli_option measure_options[] = {
    WORKSPACE_OPTION_SPACE,
    WORKSPACE_OPTION_SET,
    TIMED_OPTION_PROVIDERS,
    {"output", 'o', "FILE",
     "CSV: arch,latency_ms,min_ms,spread and with --energy energy_mj (needed)"},
    {"count", 'n', "N", "random networks (default 100)"},
    TIMED_OPTION_ARCH,
    {"batch", 0, "N", "images per forward pass (default 1)"},
    {"warmup", 0, "N", "untimed passes of each network (default 3; with --runner 10)"},
    {"rounds", 0, "N", "timed passes of each network (default 30)"},
    {"energy", 0, NULL,
     "energy too: of the runner, or here by the processors' counters (powercap)"},
    PROFILE_CPUS_OPTION,
    PROFILE_REMOTE_OPTIONS,
};

static lode_status measure_run(cli *c) {
    timed_networks v;
    const char *path = NULL;
    const bool energy = cli_flag(c, "energy");
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "output", &path));
    LODE_GOTO(timed_init(&v, c, 100));
    LODE_GOTO(profile_pin(c));
    LODE_GOTO(profile_remote_read(c, path, energy, &v.remote));
    LODE_GOTO(workspace_open(c, true, &v.w));
    if (v.batch == 0) v.batch = 1;
    if (!v.remote.used)
        LODE_GOTO((v.journal = lode_format("%s.partial", path)) ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (energy && !v.remote.used) LODE_GOTO(timed_need_counters());
    v.with_energy = energy;
    LODE_GOTO(timed_choose(&v, 78)); /* others than those of verify */
    LODE_GOTO(timed_run(&v));
    LODE_GOTO(timed_write_rows(&v, energy, path));
    LODE_GOTO(lode_file_remove(v.remote.used ? v.remote.journal : v.journal));
    cli_print(c,
              "%s: %lld networks of space %s; `lode cost fit -t %s --column latency_ms` makes a "
              "cost of them\n",
              path, (long long)v.n, lode_space_name(v.w.space), path);
    cli_result(c, json_pack("{s:s, s:I}", "rows", path, "networks", (json_int_t)v.n));
done:
    timed_deinit(&v);
    return status;
}

const cli_verb cli_verb_cost_measure = {
    .name = "cost measure",
    .about = "measures networks of a space into a CSV, for `lode cost fit`",
    .details = "Whole networks, random ones or those of --arch, measured in interleaved rounds "
               "here, or with --runner on another "
               "device. Others are drawn than `lode cost verify` draws with the same seed.",
    .options = measure_options,
    .n_options = (int)(sizeof measure_options / sizeof *measure_options),
    .run = measure_run,
};
