/* verb_cost.c: `lode cost build | show`. */
#include "core/memory.h"
#include "core/parallel.h"
#include "hwcost/foreign.h"
#include "hwcost/hardware.h"
#include "tools/profile_options.h"
#include "tools/timed.h"
#include "tools/workspace.h"

#include <stdio.h>
#include <string.h>

#define COST_OPTION_MODEL                                                                          \
    { "model", 'm', "SUBNET", "a saved network (directory) instead of a space" }
#define COST_OPTION_PROVIDERS                                                                      \
    { "providers", 0, "LIST", "kernel providers allowed (native,onednn,portable,reference)" }

/* ---- build ---- */

static const cli_option build_options[] = {
    WORKSPACE_OPTION_SPACE,
    WORKSPACE_OPTION_SET,
    COST_OPTION_MODEL,
    COST_OPTION_PROVIDERS,
    {"output", 'o', "FILE", "where the table goes (needed)"},
    {"networks", 0, "N", "random networks that fit the whole (default 16; 0: no fit)"},
    PROFILE_OPTIONS,
    PROFILE_CPUS_OPTION,
    {"strict", 0, NULL, "write no table, and end with exit code 1, if its fit cannot be relied on"},
    PROFILE_REMOTE_OPTIONS,
    {"energy", 0, "FILE",
     "a table of energy_mj too, which goes here: told by the runner, or by this machine's "
     "counters (powercap)"},
};

static lode_status build_write(cli *c, const lode_table *table, const char *path) {
    lode_table_info info = lode_table_get_info(table);
    LODE_TRY(lode_table_write(table, path));
    cli_print(c, "%s: %s of %lld calls of space %s at batch %lld, %d threads, %s\n", path,
              info.quantity, (long long)lode_table_n(table), info.space, (long long)info.batch,
              info.threads, info.device);
    if (info.fit_mape >= 0)
        cli_print(c, "network = %.4f %s + %.4f x sum of calls; MAPE %.1f %% on %lld networks\n",
                  info.constant, info.unit, info.slope, info.fit_mape, (long long)info.networks);
    return LODE_OK;
}

/* With --strict a table that is not to be relied on is none, and the next try begins anew. */
static lode_status build_strict(cli *c, const lode_table *table, const char *journal) {
    const lode_table_info info = lode_table_get_info(table);
    if (*info.doubt == '\0' || !cli_flag(c, "strict")) return LODE_OK;
    LODE_TRY(lode_file_remove(journal));
    return LODE_FAIL(LODE_ERR_UNSUPPORTED, "--strict: no table of %s is written: %s", info.quantity,
                     info.doubt);
}

/* On this machine, or through a runner. */
static lode_status build_measure(cli *c, const workspace *w, const lode_profile_options *o,
                                 const profile_remote *r, bool with_energy, lode_table **table,
                                 lode_table **energy) {
    if (r->used)
        return lode_remote_space(w->net, w->dispatch, o, &r->remote, cli_progress(c), table,
                                 energy);
    LODE_TRY(lode_profile_space(w->net, w->dispatch, o, cli_progress(c), table));
    return with_energy ? lode_profile_space_energy(w->net, w->dispatch, o, cli_progress(c), energy)
                       : LODE_OK;
}

static lode_status build_run(cli *c) {
    workspace w = {0};
    lode_profile_options o;
    profile_remote r = {0};
    lode_table *table = NULL, *energy = NULL;
    char *journal = NULL;
    const char *path = NULL, *energy_path = cli_get(c, "energy", NULL);
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "output", &path));
    if (energy_path && !cli_get(c, "runner", NULL)) LODE_TRY(timed_need_counters());
    LODE_TRY(profile_options_read(c, &o));
    LODE_TRY(profile_pin(c));
    LODE_TRY(profile_remote_read(c, path, energy_path != NULL, &r));
    if (!r.used)
        LODE_GOTO((journal = lode_format("%s.partial", path)) ? LODE_OK : LODE_ERR_NO_MEMORY);
    o.journal = journal;
    LODE_GOTO(workspace_open(c, true, &w));
    LODE_GOTO(build_measure(c, &w, &o, &r, energy_path != NULL, &table, &energy));
    LODE_GOTO(build_strict(c, table, r.used ? r.journal : journal));
    LODE_GOTO(build_write(c, table, path));
    if (energy) LODE_GOTO(build_strict(c, energy, r.used ? r.journal : journal));
    if (energy) LODE_GOTO(build_write(c, energy, energy_path));
    LODE_GOTO(lode_file_remove(r.used ? r.journal : journal));
    lode_table_info info = lode_table_get_info(table);
    cli_result(c, json_pack("{s:s, s:I, s:f, s:f, s:f, s:s}", "table", path, "calls",
                            (json_int_t)lode_table_n(table), "constant", info.constant, "slope",
                            info.slope, "fit_mape", info.fit_mape, "doubt", info.doubt));
done:
    lode_table_destroy(table);
    lode_table_destroy(energy);
    profile_remote_deinit(&r);
    lode_free(journal);
    workspace_close(&w);
    return status;
}

const cli_verb cli_verb_cost_build = {
    .name = "cost build",
    .about = "measures every distinct operator call of a space, here or on another device",
    .details =
        "Runs random networks that cover every option of every decision, times each operator "
        "call where it runs, and writes one entry per distinct call: median, minimum, spread, "
        "samples, provider. Then fits constant and slope between sums of entries and whole "
        "networks. Leave the machine alone meanwhile. What it does besides is kept out as far as "
        "it "
        "can be: a reference network runs between the others, and passes count during which the "
        "machine was at its own, fastest speed; with --threads 1 a pass that other programs "
        "interrupted is timed by the processor time it had. The fit is not relied on if "
        "whole networks take less than 0.8 or more than 1.25 times the sum of their calls, the "
        "slope is below 0.67 or above 1.5 (neither is asked with --runner), it misses its own "
        "networks by more than 10 %, or other programs had the processor for more than half of the "
        "time: a warning says so, the table keeps it as \"doubt\", and whatever opens the table "
        "warns again; with --strict there is no table. Measure again when nothing else runs. With "
        "--runner nothing runs here: calls and "
        "networks are written as job directories, CMD has them measured on the device and writes "
        "result.json into each. Either way what was measured is kept in OUTPUT.partial: after a "
        "failure or a "
        "kill the same command goes on from there. Exit codes: 1 the runner failed or took too "
        "long, or --strict found a doubt, 3 it wrote something that is not as agreed.",
    .options = build_options,
    .n_options = (int)(sizeof build_options / sizeof *build_options),
    .run = build_run,
};

/* ---- show ---- */

static const cli_option show_options[] = {
    WORKSPACE_OPTION_SPACE,
    WORKSPACE_OPTION_SET,
    COST_OPTION_MODEL,
    {"arch", 'a', "ARCH", "architecture: text, code, or @file.json"},
    {"cost", 0, "MODEL",
     "macs, params, activation_bytes, latency_ms=TABLE, latency_ms=DEVICE (may be repeated)"},
    {"batch", 0, "N", "images per forward pass (default: the table's, else 1)"},
    {"interpolate", 0, NULL, "price calls a table lacks between measured ones, and say how many"},
    {"calls", 0, NULL, "list the operator calls too"},
};

static lode_status show_calls(cli *c, workspace *w, const lode_arch *arch, int64_t batch) {
    lode_tape *trace = NULL;
    lode_status status = LODE_OK;
    char macs[16];
    LODE_TRY(lode_tape_create(LODE_TRACE, NULL, &trace));
    LODE_GOTO(lode_supernet_trace(w->net, arch, batch > 0 ? batch : 1, false, trace));
    for (int i = 0; i < lode_trace_n(trace); i++) {
        const lode_trace_call *call = lode_trace_get(trace, i);
        char *text = lode_call_text(&call->call);
        LODE_GOTO(text ? LODE_OK : LODE_ERR_NO_MEMORY);
        cli_print(c, "  %-28s %8s  %s\n", call->label, cli_si(call->count.macs, macs), text);
        lode_free(text);
    }
done:
    lode_tape_destroy(trace);
    return status;
}

/* With --interpolate tables price calls between measured ones. */
static lode_status show_open(cli *c, const char *spec, lode_supernet *net, int64_t batch,
                             lode_cost **out) {
    const char *file = strchr(spec, '=');
    bool between = cli_flag(c, "interpolate") && file && !lode_hardware_is_file(file + 1) &&
                   !lode_foreign_is_file(file + 1);
    char *longer = lode_format("%s%s", spec, between ? ":interpolate" : "");
    if (!longer) return LODE_ERR_NO_MEMORY;
    lode_status status = lode_cost_open(longer, net, batch, out);
    lode_free(longer);
    return status;
}

static lode_status show_run(cli *c) {
    static const char *const defaults[] = {"macs", "params", "activation_bytes"};
    workspace w;
    lode_arch arch = {0};
    const char *const *specs = NULL, *text = cli_get(c, "arch", NULL);
    int64_t batch = 0;
    LODE_TRY(cli_get_int(c, "batch", 0, 1, 4096, &batch));
    LODE_TRY(workspace_open(c, true, &w));
    json_t *out = json_object();
    lode_status status = LODE_OK;
    int n = cli_get_all(c, "cost", &specs);
    const char *const *list = n ? specs : defaults;
    if (!lode_supernet_is_fixed(w.net, &arch)) {
        LODE_GOTO(text ? LODE_OK : cli_usage_error(c, "--arch is needed"));
        LODE_GOTO(lode_arch_parse(w.space, text, &arch));
    }
    for (int i = 0; i < (n ? n : 3); i++) {
        lode_cost *cost = NULL;
        double value = 0;
        LODE_GOTO(show_open(c, list[i], w.net, batch, &cost));
        int64_t between = lode_cost_n_interpolated(cost);
        status = lode_cost_hard(cost, &arch, &value);
        if (status == LODE_OK) {
            cli_print(c, "%-18s %.6g %s\n", lode_cost_name(cost), value, lode_cost_unit(cost));
            if (between > 0)
                cli_print(c, "%-18s (%lld calls of the space are priced between measured ones)\n",
                          "", (long long)between);
            json_object_set_new(out, lode_cost_name(cost),
                                json_pack("{s:f, s:s, s:I}", "value", value, "unit",
                                          lode_cost_unit(cost), "interpolated_calls",
                                          (json_int_t)between));
        }
        lode_cost_close(cost);
        LODE_GOTO(status);
    }
    if (cli_flag(c, "calls")) LODE_GOTO(show_calls(c, &w, &arch, batch));
done:
    workspace_close(&w);
    cli_result(c, out);
    return status;
}

const cli_verb cli_verb_cost_show = {
    .name = "cost show",
    .about = "prices one architecture",
    .options = show_options,
    .n_options = (int)(sizeof show_options / sizeof *show_options),
    .run = show_run,
};
