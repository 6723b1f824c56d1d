/* timed.c: see timed.h. */
#include "tools/timed.h"

#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/energy.h"

#include <stdio.h>
#include <string.h>

void timed_deinit(timed_networks *v) {
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

lode_status timed_init(timed_networks *v, cli *c, int64_t count) {
    const char *const *given;
    const int n_given = cli_get_all(c, "arch", &given);
    *v = (timed_networks){.c = c, .n = count, .batch = 0, .form = LODE_FORM_FOLDED, .drift = -1};
    if (n_given > 0 && cli_get(c, "count", NULL))
        return cli_usage_error(c, "--count draws random networks, --arch names them: want one");
    LODE_TRY(cli_get_int(c, "count", count, 2, 100000, &v->n));
    if (n_given > 0) v->n = n_given;
    LODE_TRY(cli_get_int(c, "batch", 0, 1, 4096, &v->batch));
    LODE_TRY(cli_get_int(c, "warmup", 3, 0, 10000, &v->warmup));
    LODE_TRY(cli_get_int(c, "rounds", 30, 3, 100000, &v->rounds));
    v->arch = LODE_NEW_ARRAY(lode_arch, v->n);
    v->measured = LODE_NEW_ARRAY(lode_summary, v->n);
    v->m = LODE_NEW_ARRAY(double, v->n);
    v->energy = LODE_NEW_ARRAY(double, v->n);
    return v->arch && v->measured && v->m && v->energy ? LODE_OK : LODE_ERR_NO_MEMORY;
}

lode_status timed_choose(timed_networks *v, uint64_t index) {
    lode_rng rng = lode_rng_stream(cli_seed(v->c, 1), LODE_RNG_MEASURE, index);
    const char *const *given;
    const int n_given = cli_get_all(v->c, "arch", &given);
    for (int i = 0; i < n_given; i++) LODE_TRY(lode_arch_parse(v->w.space, given[i], &v->arch[i]));
    if (n_given > 0) return LODE_OK;
    for (int64_t i = 0; i < v->n; i++) LODE_TRY(lode_space_sample(v->w.space, &rng, &v->arch[i]));
    return LODE_OK;
}

lode_status timed_need_counters(void) {
    lode_energy *counters;
    LODE_TRY(lode_energy_open(&counters));
    lode_energy_close(counters);
    return LODE_OK;
}

/* The table's own reference runs between the networks, if it keeps one that this space has. */
static lode_status timed_run_remote(timed_networks *v) {
    lode_arch arch = v->arch[0];
    lode_remote_reference reference = {.arch = NULL};
    if (v->table && lode_remote_find_reference(v->table, v->w.net, &arch) == LODE_OK) {
        reference.arch = &arch;
    } else if (v->table) {
        lode_log(LODE_LOG_WARN, "how fast the device is now is not told: %s", lode_last_error());
        lode_error_clear();
    }
    LODE_TRY(lode_remote_networks(v->w.net, v->w.dispatch, v->arch, v->n, v->batch,
                                  &v->remote.remote, cli_progress(v->c), &reference, v->measured,
                                  v->energy));
    if (!reference.arch) return LODE_OK;
    const double then = lode_table_get_info(v->table).reference.value;
    v->drift = (v->of_energy ? reference.energy_mj : reference.latency_ms) / then;
    return LODE_OK;
}

lode_status timed_run(timed_networks *v) {
    const lode_profile_networks networks = {.net = &v->w.net,
                                            .arch = v->arch,
                                            .n = v->n,
                                            .form = v->form,
                                            .dispatch = v->w.dispatch,
                                            .batch = v->batch,
                                            .warmup = v->warmup,
                                            .rounds = v->rounds,
                                            /* times of calls say nothing about energies */
                                            .table = v->of_energy ? NULL : v->table,
                                            .journal = v->journal,
                                            .progress = cli_progress(v->c)};
    if (v->remote.used) {
        LODE_TRY(timed_run_remote(v));
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
static const char *timed_cost_label(const char *spec) {
    const char *file = strchr(spec, '=') ? strchr(spec, '=') + 1 : spec;
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

lode_status timed_write_rows(const timed_networks *v, bool energy, const char *path) {
    lode_text t = {0};
    lode_text_add(&t, "arch,latency_ms,min_ms,spread%s", energy ? ",energy_mj" : "");
    for (int k = 0; k < v->n_costs; k++) lode_text_add(&t, ",%s", timed_cost_label(v->spec[k]));
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
