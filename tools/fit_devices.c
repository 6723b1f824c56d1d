/* fit_devices.c: `lode cost fit --columns`: one model of many devices (hwcost/transfer.h). */
#include "core/json.h"
#include "core/memory.h"
#include "core/platform.h"
#include "tools/fit.h"

#include <stdio.h>
#include <string.h>

static json_t *devices_json(const lode_transfer *t) {
    const lode_transfer_info info = lode_transfer_get_info(t);
    json_t *list = json_array();
    for (int i = 0; i < info.n_devices; i++) {
        const lode_transfer_device *d = lode_transfer_device_at(t, i);
        json_t *j = json_pack("{s:s}", "column", d->name);
        json_object_set_new(j, "rmse", lode_json_number(d->held_out.rmse));
        json_object_set_new(j, "mape", lode_json_number(d->held_out.mape));
        json_object_set_new(j, "pearson", lode_json_number(d->held_out.pearson));
        json_object_set_new(j, "tau_b", lode_json_number(d->held_out.tau_b));
        json_array_append_new(list, j);
    }
    return list;
}

static void devices_print(const fit *f, const lode_transfer *t, double seconds) {
    const lode_transfer_info i = lode_transfer_get_info(t);
    cli_print(f->c,
              "%lld rows of %s, %d columns, %s: %lld to learn from and %lld for validation, %lld "
              "held out (seed %llu), %.2f s\n",
              (long long)f->rows.n, i.table, i.n_devices, i.kind, (long long)i.train,
              (long long)i.valid, (long long)i.test, (unsigned long long)i.seed, seconds);
    if (f->table.left_out > 0)
        cli_print(f->c, "%lld rows without all numbers are left out\n",
                  (long long)f->table.left_out);
    cli_print(f->c, "%-24s %12s %8s %8s %8s\n", "column", *i.unit ? i.unit : "RMSE", "MAPE %",
              "Pearson", "tau_b");
    for (int k = 0; k < i.n_devices; k++) {
        const lode_transfer_device *d = lode_transfer_device_at(t, k);
        cli_print(f->c, "%-24s %12.6g %8.2f %8.4f %8.4f\n", d->name, d->held_out.rmse,
                  d->held_out.mape, d->held_out.pearson, d->held_out.tau_b);
    }
}

lode_status fit_devices(fit *f, lode_predictor_part *part, json_t *result) {
    const char *name[MEASURED_MAX_COLUMNS];
    const char *kind = f->n_models > 0 ? f->model[0] : "mlp";
    lode_transfer_info info = {.seed = f->split.seed};
    lode_transfer_rows rows = {.space = f->space,
                               .n = f->table.n,
                               .arch = f->table.arch,
                               .n_devices = f->table.n_columns,
                               .name = name,
                               .value = f->table.value};
    lode_transfer *t = NULL;
    double begun = lode_clock();
    for (int i = 0; i < rows.n_devices; i++) name[i] = f->table.column[i];
    snprintf(info.unit, sizeof info.unit, "%s", f->info.unit);
    snprintf(info.table, sizeof info.table, "%s", f->info.table);
    LODE_TRY(lode_predictor_split_rows(&f->rows, &f->split, part));
    LODE_TRY(lode_transfer_fit(kind, &rows, part, &f->options, &info, cli_progress(f->c), &t));
    double seconds = lode_clock() - begun;
    lode_status status = f->output ? lode_transfer_write(t, f->output) : LODE_OK;
    if (status == LODE_OK) {
        info = lode_transfer_get_info(t);
        devices_print(f, t, seconds);
        json_object_set_new(result, "model", json_string(kind));
        json_object_set_new(result, "train", json_integer((json_int_t)info.train));
        json_object_set_new(result, "valid", json_integer((json_int_t)info.valid));
        json_object_set_new(result, "test", json_integer((json_int_t)info.test));
        json_object_set_new(result, "epochs", json_integer((json_int_t)info.epochs));
        json_object_set_new(result, "seconds", json_real(seconds));
        json_object_set_new(result, "devices", devices_json(t));
        if (f->output)
            cli_print(f->c,
                      "%s: lode cost adapt --from %s -t SAMPLES makes a cost of a new device "
                      "of it\n",
                      f->output, f->output);
    }
    lode_transfer_destroy(t);
    return status;
}
