/* transfer.c: fitting many devices at once. See transfer.h; transfer_adapt.c adapts. */
#include "hwcost/transfer.h"

#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/predictor_file_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void lode_transfer_destroy(lode_transfer *t) {
    if (!t) return;
    if (t->self) t->plugin->destroy(t->self);
    lode_encoding_destroy(t->encoding);
    lode_free(t);
}

lode_transfer_info lode_transfer_get_info(const lode_transfer *t) { return t->info; }
const lode_transfer_device *lode_transfer_device_at(const lode_transfer *t, int i) {
    return &t->device[i];
}
lode_space *lode_transfer_space(const lode_transfer *t) { return lode_encoding_space(t->encoding); }

/* ---- rows ---- */

/* Rows to learn from, those for validation behind the others. */
typedef struct transfer_data {
    int64_t n_train, n_valid, n_test, f, d; /* f features, d devices */
    double *x, *y;                          /* [n, f], [n, d] */
} transfer_data;

static lode_status transfer_gather(const lode_encoding *e, const lode_transfer_rows *rows,
                                   const lode_predictor_part *part, transfer_data *t) {
    int64_t at = 0;
    for (int64_t i = 0; i < rows->n; i++) {
        t->n_train += part[i] == LODE_PART_TRAIN;
        t->n_valid += part[i] == LODE_PART_VALID;
        t->n_test += part[i] == LODE_PART_TEST;
    }
    t->f = lode_encoding_n(e);
    t->d = rows->n_devices;
    if (t->n_train < 2)
        return LODE_FAIL(LODE_ERR_DATA, "%lld rows to learn from: want at least 2",
                         (long long)t->n_train);
    t->x = lode_alloc((size_t)((t->n_train + t->n_valid) * t->f), sizeof *t->x);
    t->y = lode_alloc((size_t)((t->n_train + t->n_valid) * t->d), sizeof *t->y);
    if (!t->x || !t->y) return LODE_ERR_NO_MEMORY;
    for (int which = LODE_PART_TRAIN; which <= LODE_PART_VALID; which++)
        for (int64_t i = 0; i < rows->n; i++) {
            if ((int)part[i] != which) continue;
            LODE_TRY(predictor_encode(e, &rows->arch[i], 1, t->x + at * t->f));
            memcpy(t->y + at++ * t->d, rows->value + i * t->d, (size_t)t->d * sizeof *t->y);
        }
    return LODE_OK;
}

static void transfer_standardize(lode_transfer *t, transfer_data *data) {
    int64_t n = data->n_train + data->n_valid, d = data->d;
    for (int64_t k = 0; k < d; k++) {
        lode_transfer_device *device = &t->device[k];
        double *y = data->y + k, variance = 0;
        device->mean = 0;
        device->smallest = device->largest = y[0];
        for (int64_t i = 0; i < n; i++) {
            device->mean += y[i * d] / (double)n;
            device->smallest = fmin(device->smallest, y[i * d]);
            device->largest = fmax(device->largest, y[i * d]);
        }
        for (int64_t i = 0; i < n; i++)
            variance += (y[i * d] - device->mean) * (y[i * d] - device->mean) / (double)n;
        device->scale = variance > 0 ? sqrt(variance) : 1;
        for (int64_t i = 0; i < n; i++) y[i * d] = (y[i * d] - device->mean) / device->scale;
    }
}

static double transfer_spread(const transfer_data *data) {
    int64_t n = data->n_train + data->n_valid;
    double spread = 0;
    for (int64_t k = 0; k < data->f; k++) {
        double mean = 0;
        for (int64_t i = 0; i < n; i++) mean += data->x[i * data->f + k] / (double)n;
        for (int64_t i = 0; i < n; i++) {
            double e = data->x[i * data->f + k] - mean;
            spread += e * e / (double)n;
        }
    }
    return spread > 0 ? spread : 1;
}

static lode_status transfer_judge(lode_transfer *t, const lode_transfer_rows *rows,
                                  const lode_predictor_part *part) {
    int64_t n = t->info.test, d = rows->n_devices, at = 0;
    lode_arch *arch = LODE_NEW_ARRAY(lode_arch, n + 1);
    double *x = LODE_NEW_ARRAY(double, n *lode_encoding_n(t->encoding) + 1);
    double *y = LODE_NEW_ARRAY(double, n *d + 1), *a = LODE_NEW_ARRAY(double, n + 1);
    double *b = LODE_NEW_ARRAY(double, n + 1);
    lode_status status = LODE_OK;
    LODE_GOTO(arch && x && y && a && b ? LODE_OK : LODE_ERR_NO_MEMORY);
    for (int64_t i = 0; i < rows->n; i++)
        if (part[i] == LODE_PART_TEST) arch[at++] = rows->arch[i];
    LODE_GOTO(predictor_encode(t->encoding, arch, n, x));
    LODE_GOTO(t->plugin->predict(t->self, x, n, y, NULL));
    for (int64_t k = 0; k < d && n > 0; k++) {
        lode_transfer_device *device = &t->device[k];
        at = 0;
        for (int64_t i = 0; i < rows->n; i++)
            if (part[i] == LODE_PART_TEST) b[at++] = rows->value[i * d + k];
        for (int64_t i = 0; i < n; i++) a[i] = device->mean + device->scale * y[i * d + k];
        LODE_GOTO(lode_agree(a, b, n, &device->held_out));
    }
done:
    lode_free(arch);
    lode_free(x);
    lode_free(y);
    lode_free(a);
    lode_free(b);
    return status;
}

/* ---- fitting ---- */

static lode_status transfer_create(const char *kind, const lode_transfer_rows *rows,
                                   const lode_predictor_options *options,
                                   const lode_transfer_info *info, lode_transfer **out) {
    const lode_predictor_plugin *plugin = NULL;
    LODE_TRY(lode_predictor_check_kind(kind, rows->space, options));
    LODE_TRY(predictor_find(kind, &plugin));
    if (!plugin->combine)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "predictor %s learns one device at a time; for several take mlp or linear",
                         kind);
    if (options->encoding != LODE_READS_OPTIONS || options->target != LODE_TARGET_VALUE)
        return LODE_FAIL(LODE_ERR_UNSUPPORTED,
                         "several devices are learned from options, as values; leave fit.encoding "
                         "and fit.target as they are");
    if (rows->n_devices < 2 || rows->n_devices > PREDICTOR_MAX_OUTPUTS)
        return LODE_FAIL(LODE_ERR_CONFIG, "%d devices: want 2 to %d columns", rows->n_devices,
                         PREDICTOR_MAX_OUTPUTS);
    lode_transfer *t = LODE_NEW(lode_transfer);
    if (!t) return LODE_ERR_NO_MEMORY;
    t->plugin = plugin;
    t->options = *options;
    t->options.paths = options->paths && !plugin->plain;
    t->info = *info;
    t->info.n_devices = rows->n_devices;
    snprintf(t->info.kind, sizeof t->info.kind, "%s", kind);
    lode_timestamp(t->info.created);
    for (int k = 0; k < rows->n_devices; k++)
        snprintf(t->device[k].name, sizeof t->device[k].name, "%s", rows->name[k]);
    const lode_encoding_parts parts = {.options = true, .paths = t->options.paths};
    lode_status status = lode_encoding_create(rows->space, &parts, &t->encoding);
    if (status == LODE_OK)
        *out = t;
    else
        lode_transfer_destroy(t);
    return status;
}

lode_status lode_transfer_fit(const char *kind, const lode_transfer_rows *rows,
                              const lode_predictor_part *part,
                              const lode_predictor_options *options, const lode_transfer_info *info,
                              const lode_progress *progress, lode_transfer **out) {
    lode_transfer *t = NULL;
    transfer_data d = {0};
    lode_status status = LODE_OK;
    *out = NULL;
    LODE_TRY(transfer_create(kind, rows, options, info, &t));
    LODE_GOTO(transfer_gather(t->encoding, rows, part, &d));
    t->info.train = d.n_train;
    t->info.valid = d.n_valid;
    t->info.test = d.n_test;
    transfer_standardize(t, &d);
    t->spread = transfer_spread(&d);
    predictor_job job = {.encoding = t->encoding,
                         .train = {d.n_train, d.x, d.y},
                         .valid = {d.n_valid, d.x + d.n_train * d.f, d.y + d.n_train * d.d},
                         .options = &t->options,
                         .outputs = rows->n_devices,
                         .seed = info->seed,
                         .progress = progress};
    LODE_GOTO(t->plugin->fit(&job, &t->self));
    t->info.epochs = job.epochs;
    LODE_GOTO(transfer_judge(t, rows, part));
    *out = t;
    t = NULL;
done:
    lode_free(d.x);
    lode_free(d.y);
    lode_transfer_destroy(t);
    return status;
}
