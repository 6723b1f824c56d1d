/* verb_cost_verify.c: `lode cost verify | measure`: whole networks under the clock, here or through
   a runner, beside what cost models say or as rows to fit predictors to. */
#include "core/memory.h"
#include "core/parallel.h"
#include "core/platform.h"
#include "hwcost/energy.h"
#include "hwcost/hardware.h"
#include "tools/profile_options.h"
#include "tools/workspace.h"

#include <stdio.h>
#include <string.h>

enum { VERIFY_MAX_COSTS = 16 };

#define VERIFY_OPTION_PROVIDERS                                                                    \
    { "providers", 0, "LIST", "kernel providers allowed (native,onednn,portable,reference)" }

/* Networks that are measured, and what each cost predicts for them. */
typedef struct verify_work {
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
    lode_cost *cost[VERIFY_MAX_COSTS];
    const char *spec[VERIFY_MAX_COSTS];
    double *p[VERIFY_MAX_COSTS]; /* [n] predictions */
    const lode_table *table;     /* of the first cost that has one */
    double drift;                /* as lode_profile_run_networks has it */
    profile_remote remote;
    char *journal; /* of measuring here, NULL: none */
} verify_work;

static void verify_deinit(verify_work *v) {
    for (int k = 0; k < v->n_costs; k++) {
        lode_cost_close(v->cost[k]);
        lode_free(v->p[k]);
    }
    lode_free(v->arch);
    lode_free(v->measured);
    lode_free(v->m);
    lode_free(v->energy);
    profile_remote_deinit(&v->remote);
    lode_free(v->journal);
    workspace_close(&v->w);
}

static lode_status verify_init(verify_work *v, cli *c, int64_t count) {
    *v = (verify_work){.c = c, .n = count, .batch = 0, .form = LODE_FORM_FOLDED, .drift = -1};
    LODE_TRY(cli_get_int(c, "count", count, 2, 100000, &v->n));
    LODE_TRY(cli_get_int(c, "batch", 0, 1, 4096, &v->batch));
    LODE_TRY(cli_get_int(c, "warmup", 3, 0, 10000, &v->warmup));
    LODE_TRY(cli_get_int(c, "rounds", 30, 3, 100000, &v->rounds));
    v->arch = LODE_NEW_ARRAY(lode_arch, v->n);
    v->measured = LODE_NEW_ARRAY(lode_summary, v->n);
    v->m = LODE_NEW_ARRAY(double, v->n);
    v->energy = LODE_NEW_ARRAY(double, v->n);
    return v->arch && v->measured && v->m && v->energy ? LODE_OK : LODE_ERR_NO_MEMORY;
}

static lode_status verify_sample(verify_work *v, uint64_t index) {
    lode_rng rng = lode_rng_stream(cli_seed(v->c, 1), LODE_RNG_MEASURE, index);
    for (int64_t i = 0; i < v->n; i++) LODE_TRY(lode_space_sample(v->w.space, &rng, &v->arch[i]));
    return LODE_OK;
}

/* Told before minutes of measuring, not after. */
static lode_status verify_need_counters(void) {
    lode_energy *counters;
    LODE_TRY(lode_energy_open(&counters));
    lode_energy_close(counters);
    return LODE_OK;
}

/* Fills measured and m. */
static lode_status verify_measure(verify_work *v) {
    const lode_profile_networks networks = {.net = &v->w.net,
                                            .arch = v->arch,
                                            .n = v->n,
                                            .form = v->form,
                                            .dispatch = v->w.dispatch,
                                            .batch = v->batch,
                                            .warmup = v->warmup,
                                            .rounds = v->rounds,
                                            .table = v->table,
                                            .journal = v->journal,
                                            .progress = cli_progress(v->c)};
    if (v->remote.used) {
        LODE_TRY(lode_remote_networks(v->w.net, v->w.dispatch, v->arch, v->n, v->batch,
                                      &v->remote.remote, cli_progress(v->c), v->measured,
                                      v->energy));
    } else {
        LODE_TRY(lode_profile_run_networks(&networks, v->measured, &v->drift));
        if (v->with_energy) LODE_TRY(lode_profile_energy(&networks, v->energy));
    }
    for (int64_t i = 0; i < v->n; i++)
        v->m[i] = v->of_energy ? v->energy[i] : v->measured[i].median;
    return LODE_OK;
}

/* ---- rows ---- */

/* What stands behind the = of a cost, without its folders. */
static const char *verify_cost_label(const char *spec) {
    const char *file = strchr(spec, '=') ? strchr(spec, '=') + 1 : spec;
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

/* arch,latency_ms,min_ms,spread[,energy_mj], and what each cost says. */
static lode_status verify_write_rows(const verify_work *v, bool energy, const char *path) {
    lode_text t = {0};
    lode_text_add(&t, "arch,latency_ms,min_ms,spread%s", energy ? ",energy_mj" : "");
    for (int k = 0; k < v->n_costs; k++) lode_text_add(&t, ",%s", verify_cost_label(v->spec[k]));
    for (int64_t i = 0; i < v->n; i++) {
        char *code = lode_arch_code(v->w.space, &v->arch[i]);
        /* A comma would end the cell; options may be separated by blanks as well. */
        for (char *at = code; at && (at = strchr(at, ',')) != NULL;) *at = ' ';
        lode_text_add(&t, "\n%s,%.6g,%.6g,%.3f", code ? code : "", v->measured[i].median,
                      v->measured[i].min, v->measured[i].spread);
        if (energy) lode_text_add(&t, ",%.6g", v->energy[i]);
        for (int k = 0; k < v->n_costs; k++) lode_text_add(&t, ",%.6g", v->p[k][i]);
        lode_free(code);
    }
    lode_text_add(&t, "\n");
    lode_status status = lode_text_status(&t);
    if (status == LODE_OK) status = lode_file_write_atomic(path, t.s, t.length);
    lode_text_deinit(&t);
    return status;
}

/* ---- verify ---- */

static const cli_option verify_options[] = {
    WORKSPACE_OPTION_SPACE,
    WORKSPACE_OPTION_SET,
    VERIFY_OPTION_PROVIDERS,
    {"cost", 0, "MODEL",
     "what to verify: latency_ms=TABLE, =DEVICE or =PREDICTOR, or energy_mj=... (needed; repeated: "
     "all against the same measurements)"},
    {"batch", 0, "N", "images per forward pass (default: the table's, else 1)"},
    {"count", 'n', "N", "random networks (default 30)"},
    {"warmup", 0, "N", "untimed passes of each network (default 3; with --runner 10)"},
    {"rounds", 0, "N", "timed passes of each network (default 30)"},
    {"rows", 0, "FILE", "write a CSV: architectures, measurements, predictions"},
    PROFILE_CPUS_OPTION,
    PROFILE_REMOTE_OPTIONS,
};

/* Costs of one quantity, batch and form. */
static lode_status verify_open_costs(verify_work *v) {
    const char *const *specs;
    const int n = cli_get_all(v->c, "cost", &specs);
    if (n == 0) return cli_usage_error(v->c, "--cost is needed");
    if (n > VERIFY_MAX_COSTS) return cli_usage_error(v->c, "--cost: at most %d", VERIFY_MAX_COSTS);
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
static void verify_warn(const verify_work *v) {
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

static void verify_print_networks(const verify_work *v) {
    cli_print(v->c, "%-10s %-10s %-8s  architecture\n", "predicted", "measured", "error");
    for (int64_t i = 0; i < v->n; i++) {
        char *text = lode_arch_code(v->w.space, &v->arch[i]);
        cli_print(v->c, "%-10.4f %-10.4f %+6.1f %%  %s\n", v->p[0][i], v->m[i],
                  100 * (v->p[0][i] - v->m[i]) / v->m[i], text ? text : "");
        lode_free(text);
    }
}

static json_t *verify_rows_json(const verify_work *v, const double *p) {
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
static lode_status verify_without_drift(const verify_work *v, const double *p0,
                                        lode_agreement *out) {
    double *p = LODE_NEW_ARRAY(double, v->n);
    if (p == NULL) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < v->n; i++) p[i] = v->drift * p0[i];
    lode_status status = lode_agree(p, v->m, v->n, out);
    lode_free(p);
    return status;
}

static lode_status verify_report_cost(const verify_work *v, int k, json_t **out) {
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
              "%scalls take %.2f of their time in the table now; predictions times that: "
              "MAPE %.2f %%, bias %+.2f %%\n",
              v->n_costs > 1 ? "  " : "", v->drift, even.mape, even.bias);
    json_object_set_new(*out, "mape_without_drift", json_real(even.mape));
    json_object_set_new(*out, "bias_without_drift", json_real(even.bias));
    return LODE_OK;
}

/* One cost: its object; several: an object with a list of them. */
static lode_status verify_report(const verify_work *v) {
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
    verify_work v;
    const char *rows = cli_get(c, "rows", NULL), *spec = NULL;
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "cost", &spec));
    LODE_GOTO(verify_init(&v, c, 30));
    LODE_GOTO(profile_pin(c));
    LODE_GOTO(profile_remote_read(c, rows, strncmp(spec, "energy_mj=", 10) == 0, &v.remote));
    LODE_GOTO(workspace_open(c, true, &v.w));
    LODE_GOTO(verify_open_costs(&v));
    if (v.with_energy && !v.remote.used) LODE_GOTO(verify_need_counters());
    verify_warn(&v);
    LODE_GOTO(verify_sample(&v, 77));
    for (int64_t i = 0; i < v.n; i++)
        for (int k = 0; k < v.n_costs; k++)
            LODE_GOTO(lode_cost_hard(v.cost[k], &v.arch[i], &v.p[k][i]));
    LODE_GOTO(verify_measure(&v));
    if (rows) LODE_GOTO(verify_write_rows(&v, v.of_energy, rows));
    LODE_GOTO(verify_report(&v));
    if (v.remote.journal) LODE_GOTO(lode_file_remove(v.remote.journal));
done:
    verify_deinit(&v);
    return status;
}

const cli_verb cli_verb_cost_verify = {
    .name = "cost verify",
    .about = "measures random networks end to end against tables, device files and predictors",
    .details = "Draws random networks, prices them, measures them as wholes in interleaved rounds "
               "(with --runner on another device) and prints error, bias and rank correlation. "
               "Where a table stands among the costs, its calls are timed in the same rounds: how "
               "much slower they are now than in the table tells a change of the machine's speed "
               "from an error of the model.",
    .options = verify_options,
    .n_options = (int)(sizeof verify_options / sizeof *verify_options),
    .run = verify_run,
};

/* ---- measure ---- */

static const cli_option measure_options[] = {
    WORKSPACE_OPTION_SPACE,
    WORKSPACE_OPTION_SET,
    VERIFY_OPTION_PROVIDERS,
    {"output", 'o', "FILE",
     "CSV: arch,latency_ms,min_ms,spread and with --energy energy_mj (needed)"},
    {"count", 'n', "N", "random networks (default 100)"},
    {"batch", 0, "N", "images per forward pass (default 1)"},
    {"warmup", 0, "N", "untimed passes of each network (default 3; with --runner 10)"},
    {"rounds", 0, "N", "timed passes of each network (default 30)"},
    {"energy", 0, NULL,
     "energy too: of the runner, or here by the processors' counters (powercap)"},
    PROFILE_CPUS_OPTION,
    PROFILE_REMOTE_OPTIONS,
};

static lode_status measure_run(cli *c) {
    verify_work v;
    const char *path = NULL;
    const bool energy = cli_flag(c, "energy");
    lode_status status = LODE_OK;
    LODE_TRY(cli_need(c, "output", &path));
    LODE_GOTO(verify_init(&v, c, 100));
    LODE_GOTO(profile_pin(c));
    LODE_GOTO(profile_remote_read(c, path, energy, &v.remote));
    LODE_GOTO(workspace_open(c, true, &v.w));
    if (v.batch == 0) v.batch = 1;
    if (!v.remote.used)
        LODE_GOTO((v.journal = lode_format("%s.partial", path)) ? LODE_OK : LODE_ERR_NO_MEMORY);
    if (energy && !v.remote.used) LODE_GOTO(verify_need_counters());
    v.with_energy = energy;
    LODE_GOTO(verify_sample(&v, 78)); /* others than those of verify */
    LODE_GOTO(verify_measure(&v));
    LODE_GOTO(verify_write_rows(&v, energy, path));
    if (v.remote.journal) LODE_GOTO(lode_file_remove(v.remote.journal));
    cli_print(c,
              "%s: %lld networks of space %s; `lode cost fit -t %s --column latency_ms` makes a "
              "cost of them\n",
              path, (long long)v.n, lode_space_name(v.w.space), path);
    cli_result(c, json_pack("{s:s, s:I}", "rows", path, "networks", (json_int_t)v.n));
done:
    verify_deinit(&v);
    return status;
}

const cli_verb cli_verb_cost_measure = {
    .name = "cost measure",
    .about = "measures random networks of a space into a CSV, for `lode cost fit`",
    .details = "Whole networks, measured in interleaved rounds here, or with --runner on another "
               "device. Others are drawn than `lode cost verify` draws with the same seed.",
    .options = measure_options,
    .n_options = (int)(sizeof measure_options / sizeof *measure_options),
    .run = measure_run,
};
