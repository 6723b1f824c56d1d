/* verb_cost.c: `lode cost build | show | verify`. */
#include "core/memory.h"
#include "core/parallel.h"
#include "hwcost/foreign.h"
#include "hwcost/hardware.h"
#include "tools/profile_options.h"
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
};

static lode_status build_run(cli *c) {
    workspace w;
    lode_profile_options o;
    lode_table *table = NULL;
    const char *path = NULL;
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "output", &path));
    LODE_TRY(profile_options_read(c, &o));
    LODE_TRY(workspace_open(c, true, &w));
    LODE_GOTO(lode_profile_space(w.net, w.dispatch, &o, cli_progress(c), &table));
    LODE_GOTO(lode_table_write(table, path));
    lode_table_info info = lode_table_get_info(table);
    cli_print(c, "%s: %lld calls of space %s at batch %lld, %d threads, %s\n", path,
              (long long)lode_table_n(table), info.space, (long long)info.batch, info.threads,
              info.device);
    if (info.fit_mape >= 0)
        cli_print(c, "network = %.4f ms + %.4f x sum of calls; MAPE %.1f %% on %lld networks\n",
                  info.constant, info.slope, info.fit_mape, (long long)info.networks);
    cli_result(c, json_pack("{s:s, s:I, s:f, s:f, s:f}", "table", path, "calls",
                            (json_int_t)lode_table_n(table), "constant", info.constant, "slope",
                            info.slope, "fit_mape", info.fit_mape));
done:
    lode_table_destroy(table);
    workspace_close(&w);
    return status;
}

const cli_verb cli_verb_cost_build = {
    .name = "cost build",
    .about = "measures every distinct operator call of a space on this machine",
    .details =
        "Runs random networks that cover every option of every decision, times each operator "
        "call where it runs, and writes one entry per distinct call: median, minimum, spread, "
        "samples, provider. Then fits constant and slope between sums of entries and whole "
        "networks. Leave the machine alone meanwhile.",
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

/* ---- verify ---- */

static const cli_option verify_options[] = {
    WORKSPACE_OPTION_SPACE,
    WORKSPACE_OPTION_SET,
    COST_OPTION_PROVIDERS,
    {"cost", 0, "MODEL", "the model to verify: latency_ms=TABLE or latency_ms=DEVICE (needed)"},
    {"batch", 0, "N", "images per forward pass (default: the table's, else 1)"},
    {"count", 'n', "N", "random networks (default 30)"},
    {"warmup", 0, "N", "untimed passes of each network (default 3)"},
    {"rounds", 0, "N", "timed passes of each network (default 30)"},
};

typedef struct verify_work {
    lode_arch *arch;
    lode_summary *measured;
    double *p, *m;
    double drift; /* as lode_profile_run_networks has it */
} verify_work;

/* MAPE and bias had the machine been as fast as when the table was measured. */
static lode_status verify_without_drift(const verify_work *v, int64_t n, lode_agreement *out) {
    double *p = LODE_NEW_ARRAY(double, n);
    if (p == NULL) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < n; i++) p[i] = v->drift * v->p[i];
    lode_status status = lode_agree(p, v->m, n, out);
    lode_free(p);
    return status;
}

static lode_status verify_report(cli *c, const workspace *w, lode_cost *cost, const verify_work *v,
                                 int64_t n) {
    lode_agreement a, even;
    json_t *rows = json_array();
    cli_print(c, "%-10s %-10s %-8s  architecture\n", "predicted", "measured", "error");
    for (int64_t i = 0; i < n; i++) {
        char *text = lode_arch_code(w->space, &v->arch[i]);
        cli_print(c, "%-10.4f %-10.4f %+6.1f %%  %s\n", v->p[i], v->m[i],
                  100 * (v->p[i] - v->m[i]) / v->m[i], text ? text : "");
        json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:f}", "arch", text ? text : "",
                                              "predicted", v->p[i], "measured", v->m[i], "spread",
                                              v->measured[i].spread));
        lode_free(text);
    }
    LODE_TRY(lode_agree(v->p, v->m, n, &a));
    cli_print(c,
              "%lld networks, %s: MAPE %.2f %%, bias %+.2f %%, RMSE %.4f, Kendall tau %.3f, "
              "Pearson %.3f\n",
              (long long)n, lode_cost_unit(cost), a.mape, a.bias, a.rmse, a.tau_b, a.pearson);
    if (v->drift > 0) {
        LODE_TRY(verify_without_drift(v, n, &even));
        cli_print(c,
                  "calls take %.2f of their time in the table now; predictions times that: "
                  "MAPE %.2f %%, bias %+.2f %%\n",
                  v->drift, even.mape, even.bias);
    }
    json_t *result =
        json_pack("{s:f, s:f, s:f, s:f, s:f, s:o}", "mape", a.mape, "bias", a.bias, "rmse", a.rmse,
                  "tau_b", a.tau_b, "pearson", a.pearson, "networks", rows);
    json_object_set_new(result, "drift", v->drift > 0 ? json_real(v->drift) : json_null());
    if (v->drift > 0) {
        json_object_set_new(result, "mape_without_drift", json_real(even.mape));
        json_object_set_new(result, "bias_without_drift", json_real(even.bias));
    }
    cli_result(c, result);
    return LODE_OK;
}

/* The measured table at path; NULL for a device file. */
static lode_status verify_table(const char *path, lode_table **table) {
    *table = NULL;
    if (lode_hardware_is_file(path)) return LODE_OK;
    LODE_TRY(lode_table_read(path, table));
    lode_table_info info = lode_table_get_info(*table);
    if (info.threads != lode_get_threads())
        lode_log(LODE_LOG_WARN, "the table was measured with %d threads, now %d (--threads)",
                 info.threads, lode_get_threads());
    return LODE_OK;
}

static lode_status verify_measure(cli *c, workspace *w, const char *path, lode_cost *cost,
                                  verify_work *v, int64_t n) {
    int64_t warmup = 3, rounds = 30;
    lode_table *table = NULL;
    lode_status status = LODE_OK;
    lode_rng rng = lode_rng_stream(cli_seed(c, 1), LODE_RNG_MEASURE, 77);
    LODE_TRY(cli_get_int(c, "warmup", 3, 0, 10000, &warmup));
    LODE_TRY(cli_get_int(c, "rounds", 30, 3, 100000, &rounds));
    LODE_GOTO(verify_table(path, &table));
    for (int64_t i = 0; i < n; i++) {
        LODE_GOTO(lode_space_sample(w->space, &rng, &v->arch[i]));
        LODE_GOTO(lode_cost_hard(cost, &v->arch[i], &v->p[i]));
    }
    const lode_profile_networks networks = {.net = &w->net,
                                            .arch = v->arch,
                                            .n = n,
                                            .form = lode_cost_form(cost),
                                            .dispatch = w->dispatch,
                                            .batch = lode_cost_batch(cost),
                                            .warmup = warmup,
                                            .rounds = rounds,
                                            .table = table,
                                            .progress = cli_progress(c)};
    LODE_GOTO(lode_profile_run_networks(&networks, v->measured, &v->drift));
    for (int64_t i = 0; i < n; i++) v->m[i] = v->measured[i].median;
done:
    lode_table_destroy(table);
    return status;
}

static lode_status verify_run(cli *c) {
    workspace w;
    verify_work v = {0};
    lode_cost *cost = NULL;
    const char *spec = NULL, *path;
    int64_t n = 30, batch = 0;
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "cost", &spec));
    LODE_TRY(cli_get_int(c, "count", 30, 2, 10000, &n));
    path = strchr(spec, '=');
    if (!path || strncmp(spec, "latency_ms=", 11) != 0)
        return cli_usage_error(c, "--cost %s: want latency_ms=TABLE or latency_ms=DEVICE", spec);
    LODE_TRY(cli_get_int(c, "batch", 0, 1, 4096, &batch));
    LODE_TRY(workspace_open(c, true, &w));
    LODE_GOTO(lode_cost_open(spec, w.net, batch, &cost));
    v.arch = LODE_NEW_ARRAY(lode_arch, n);
    v.measured = LODE_NEW_ARRAY(lode_summary, n);
    v.p = LODE_NEW_ARRAY(double, n);
    v.m = LODE_NEW_ARRAY(double, n);
    LODE_GOTO(v.arch && v.measured && v.p && v.m ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(verify_measure(c, &w, path + 1, cost, &v, n));
    LODE_GOTO(verify_report(c, &w, cost, &v, n));
done:
    lode_cost_close(cost);
    lode_free(v.arch);
    lode_free(v.measured);
    lode_free(v.p);
    lode_free(v.m);
    workspace_close(&w);
    return status;
}

const cli_verb cli_verb_cost_verify = {
    .name = "cost verify",
    .about = "measures random networks end to end against a table or a device file",
    .options = verify_options,
    .n_options = (int)(sizeof verify_options / sizeof *verify_options),
    .run = verify_run,
};
