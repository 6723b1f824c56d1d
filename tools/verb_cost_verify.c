/* verb_cost_verify.c: `lode cost verify`: measured networks beside what cost models say. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/hardware.h"
#include "tools/timed.h"

#include <stdio.h>
#include <string.h>

static const cli_option verify_options[] = {
    WORKSPACE_OPTION_SPACE,
    WORKSPACE_OPTION_SET,
    TIMED_OPTION_PROVIDERS,
    {"cost", 0, "MODEL",
     "what to verify: latency_ms=TABLE, =DEVICE or =PREDICTOR, or energy_mj=... (needed; repeated: "
     "all against the same measurements)"},
    {"batch", 0, "N", "images per forward pass (default: the table's, else 1)"},
    {"count", 'n', "N", "random networks (default 30)"},
    TIMED_OPTION_ARCH,
    {"warmup", 0, "N", "untimed passes of each network (default 3; with --runner 10)"},
    {"rounds", 0, "N", "timed passes of each network (default 30)"},
    {"rows", 0, "FILE", "write a CSV: architectures, measurements, predictions"},
    PROFILE_CPUS_OPTION,
    PROFILE_REMOTE_OPTIONS,
};

/* Costs of one quantity, batch and form. */
static lode_status verify_open_costs(timed_networks *v) {
    const char *const *specs;
    const int n = cli_get_all(v->c, "cost", &specs);
    if (n == 0) return cli_usage_error(v->c, "--cost is needed");
    if (n > TIMED_MAX_COSTS) return cli_usage_error(v->c, "--cost: at most %d", TIMED_MAX_COSTS);
    for (int k = 0; k < n; k++) {
        const bool latency = strncmp(specs[k], "latency_ms=", 11) == 0;
        const bool energy = strncmp(specs[k], "energy_mj=", 10) == 0;
        if (!latency && !energy)
            return cli_usage_error(v->c,
                                   "--cost %s: want latency_ms= or energy_mj= and a table, a "
                                   "device or a predictor",
                                   specs[k]);
        if (k > 0 && energy != v->of_energy)
            return cli_usage_error(v->c, "--cost %s: all costs must be of one quantity", specs[k]);
        v->of_energy = v->with_energy = energy;
        LODE_TRY(lode_cost_open(specs[k], v->w.net, v->batch, &v->cost[k]));
        v->spec[k] = specs[k];
        v->n_costs++;
        v->p[k] = LODE_NEW_ARRAY(double, v->n);
        if (!v->p[k]) return LODE_ERR_NO_MEMORY;
        const lode_table *table = lode_cost_table(v->cost[k]);
        if (table && !v->table) {
            v->table = table;
            v->form = lode_cost_form(v->cost[k]);
        }
        if (table) v->batch = lode_cost_batch(v->cost[k]);
    }
    if (v->batch == 0) v->batch = 1;
    return LODE_OK;
}

/* A table says where and how it was measured. */
static void verify_warn(const timed_networks *v) {
    if (!v->table) return;
    const lode_table_info info = lode_table_get_info(v->table);
    if (info.threads != lode_get_threads())
        lode_log(LODE_LOG_WARN, "the table was measured with %d threads, now %d (--threads)",
                 info.threads, lode_get_threads());
    if (*info.runner && !v->remote.used)
        lode_log(LODE_LOG_WARN,
                 "the table was measured on another device (%s); without --runner \"%s\" it is "
                 "compared with this machine",
                 info.device, info.runner);
}

static void verify_print_networks(const timed_networks *v) {
    cli_print(v->c, "%-10s %-10s %-8s  architecture\n", "predicted", "measured", "error");
    for (int64_t i = 0; i < v->n; i++) {
        char *text = lode_arch_code(v->w.space, &v->arch[i]);
        cli_print(v->c, "%-10.4f %-10.4f %+6.1f %%  %s\n", v->p[0][i], v->m[i],
                  100 * (v->p[0][i] - v->m[i]) / v->m[i], text ? text : "");
        lode_free(text);
    }
}

static json_t *verify_rows_json(const timed_networks *v, const double *p) {
    json_t *rows = json_array();
    for (int64_t i = 0; i < v->n; i++) {
        char *text = lode_arch_code(v->w.space, &v->arch[i]);
        json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:f}", "arch", text ? text : "",
                                              "predicted", p[i], "measured", v->m[i], "spread",
                                              v->measured[i].spread));
        lode_free(text);
    }
    return rows;
}

/* MAPE and bias had the machine been as fast as when the table was measured. */
static lode_status verify_without_drift(const timed_networks *v, const double *p0,
                                        lode_agreement *out) {
    double *p = LODE_NEW_ARRAY(double, v->n);
    if (p == NULL) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < v->n; i++) p[i] = v->drift * p0[i];
    lode_status status = lode_agree(p, v->m, v->n, out);
    lode_free(p);
    return status;
}

static lode_status verify_report_cost(const timed_networks *v, int k, json_t **out) {
    lode_agreement a, even;
    const char *unit = lode_cost_unit(v->cost[k]);
    LODE_TRY(lode_agree(v->p[k], v->m, v->n, &a));
    if (v->n_costs > 1) cli_print(v->c, "%s\n  ", v->spec[k]);
    cli_print(v->c,
              "%lld networks, %s: MAPE %.2f %%, bias %+.2f %%, RMSE %.4f, Kendall tau %.3f, "
              "Pearson %.3f\n",
              (long long)v->n, unit, a.mape, a.bias, a.rmse, a.tau_b, a.pearson);
    *out = json_pack("{s:s, s:f, s:f, s:f, s:f, s:f}", "cost", v->spec[k], "mape", a.mape, "bias",
                     a.bias, "rmse", a.rmse, "tau_b", a.tau_b, "pearson", a.pearson);
    json_object_set_new(*out, "drift", v->drift > 0 ? json_real(v->drift) : json_null());
    json_object_set_new(*out, "networks", verify_rows_json(v, v->p[k]));
    if (!(v->drift > 0) || lode_cost_table(v->cost[k]) != v->table) return LODE_OK;
    LODE_TRY(verify_without_drift(v, v->p[k], &even));
    cli_print(v->c,
              "%s%s take%s %.2f of %s %s in the table now; predictions times that: "
              "MAPE %.2f %%, bias %+.2f %%\n",
              v->n_costs > 1 ? "  " : "", v->remote.used ? "the reference network" : "calls",
              v->remote.used ? "s" : "", v->drift, v->remote.used ? "its" : "their",
              v->of_energy ? "energy" : "time", even.mape, even.bias);
    json_object_set_new(*out, "mape_without_drift", json_real(even.mape));
    json_object_set_new(*out, "bias_without_drift", json_real(even.bias));
    return LODE_OK;
}

/* One cost: its object; several: an object with a list of them. */
static lode_status verify_report(const timed_networks *v) {
    json_t *list = json_array(), *one = NULL;
    lode_status status = LODE_OK;
    if (v->n_costs == 1) verify_print_networks(v);
    for (int k = 0; status == LODE_OK && k < v->n_costs; k++) {
        status = verify_report_cost(v, k, &one);
        if (status == LODE_OK) json_array_append_new(list, one);
    }
    if (status == LODE_OK)
        cli_result(v->c, v->n_costs == 1 ? json_incref(json_array_get(list, 0))
                                         : json_pack("{s:O}", "costs", list));
    json_decref(list);
    return status;
}

static lode_status verify_run(cli *c) {
    timed_networks v;
    const char *rows = cli_get(c, "rows", NULL), *spec = NULL;
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "cost", &spec));
    LODE_GOTO(timed_init(&v, c, 30));
    LODE_GOTO(profile_pin(c));
    LODE_GOTO(profile_remote_read(c, rows, strncmp(spec, "energy_mj=", 10) == 0, &v.remote));
    LODE_GOTO(workspace_open(c, true, &v.w));
    LODE_GOTO(verify_open_costs(&v));
    if (v.with_energy && !v.remote.used) LODE_GOTO(timed_need_counters());
    verify_warn(&v);
    LODE_GOTO(timed_choose(&v, 77));
    for (int64_t i = 0; i < v.n; i++)
        for (int k = 0; k < v.n_costs; k++)
            LODE_GOTO(lode_cost_hard(v.cost[k], &v.arch[i], &v.p[k][i]));
    LODE_GOTO(timed_run(&v));
    if (rows) LODE_GOTO(timed_write_rows(&v, v.of_energy, rows));
    LODE_GOTO(verify_report(&v));
    if (v.remote.journal) LODE_GOTO(lode_file_remove(v.remote.journal));
done:
    timed_deinit(&v);
    return status;
}

const cli_verb cli_verb_cost_verify = {
    .name = "cost verify",
    .about = "measures networks end to end against tables, device files and predictors",
    .details = "Draws random networks, or takes those of --arch, prices them, measures them as "
               "wholes in interleaved rounds "
               "(with --runner on another device) and prints error, bias and rank correlation. "
               "Where a table stands among the costs, its calls are timed in the same rounds: how "
               "much slower they are now than in the table tells a change of the machine's speed "
               "from an error of the model. Through a runner the table's reference network, which "
               "ran between the jobs when it was built, runs between the networks again and tells "
               "the same.",
    .options = verify_options,
    .n_options = (int)(sizeof verify_options / sizeof *verify_options),
    .run = verify_run,
};
