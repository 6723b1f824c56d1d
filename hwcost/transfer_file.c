/* transfer_file.c: a model of many devices on disk: a safetensors file like a predictor's
   (predictor_file.c), whose "info" lists the devices. */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/predictor_file_internal.h"
#include "tensor/tensor_io.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const predictor_file_format file_format = {"lode-devices-1", "model of several devices",
                                                  "lode cost fit --columns"};

/* ---- writing ---- */

static json_t *file_device(const lode_transfer_device *d) {
    json_t *j = json_pack("{s:s}", "name", d->name);
    json_object_set_new(j, "mean", lode_json_number(d->mean));
    json_object_set_new(j, "scale", lode_json_number(d->scale));
    json_object_set_new(j, "smallest", lode_json_number(d->smallest));
    json_object_set_new(j, "largest", lode_json_number(d->largest));
    json_object_set_new(j, "held_out", predictor_file_errors(&d->held_out));
    return j;
}

static json_t *file_info(const lode_transfer *t) {
    const lode_transfer_info *i = &t->info;
    const lode_space *space = lode_encoding_space(t->encoding);
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", i->kind, "unit", i->unit, "table",
                          i->table, "created", i->created, "space", lode_space_name(space));
    json_t *numbers =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "seed", (json_int_t)i->seed, "train",
                  (json_int_t)i->train, "valid", (json_int_t)i->valid, "test", (json_int_t)i->test,
                  "epochs", (json_int_t)i->epochs, "hidden", (json_int_t)t->options.hidden,
                  "layers", (json_int_t)t->options.layers, "paths", (int)t->options.paths);
    json_t *devices = json_array();
    bool ok = devices != NULL;
    for (int k = 0; ok && k < i->n_devices; k++)
        ok = json_array_append_new(devices, file_device(&t->device[k])) == 0;
    ok = ok && j && numbers && json_object_update(j, numbers) == 0 &&
         json_object_set_new(j, "spread", lode_json_number(t->spread)) == 0 &&
         json_object_set(j, "devices", devices) == 0 &&
         json_object_set_new(j, "space_options", predictor_file_space_options(space)) == 0;
    json_decref(devices);
    json_decref(numbers);
    if (ok) return j;
    json_decref(j);
    return NULL;
}

lode_status lode_transfer_write(const lode_transfer *t, const char *path) {
    lode_named_tensor items[PREDICTOR_MAX_TENSORS];
    int64_t n = t->plugin->tensors(t->self, items);
    return predictor_file_write(path, &file_format, file_info(t), lode_encoding_space(t->encoding),
                                items, n);
}

/* ---- reading ---- */

static lode_status file_read_device(const json_t *j, lode_transfer_device *d) {
    LODE_TRY(lode_json_copy_string(j, "name", "device", d->name, sizeof d->name));
    LODE_TRY(lode_json_get_f64(j, "mean", "device", &d->mean));
    LODE_TRY(lode_json_get_f64(j, "scale", "device", &d->scale));
    LODE_TRY(lode_json_get_f64(j, "smallest", "device", &d->smallest));
    LODE_TRY(lode_json_get_f64(j, "largest", "device", &d->largest));
    d->held_out = predictor_file_read_errors(json_object_get(j, "held_out"));
    return LODE_OK;
}

static lode_status file_read_info(const json_t *j, lode_transfer *t) {
    lode_transfer_info *i = &t->info;
    const json_t *devices = json_object_get(j, "devices");
    int64_t seed;
    LODE_TRY(lode_json_copy_string(j, "kind", "info", i->kind, sizeof i->kind));
    LODE_TRY(lode_json_copy_string(j, "unit", "info", i->unit, sizeof i->unit));
    LODE_TRY(lode_json_copy_string(j, "table", "info", i->table, sizeof i->table));
    LODE_TRY(lode_json_copy_string(j, "created", "info", i->created, sizeof i->created));
    LODE_TRY(lode_json_get_int(j, "seed", "info", &seed));
    i->seed = (uint64_t)seed;
    LODE_TRY(predictor_file_count(j, "train", 0, INT64_MAX, &i->train));
    LODE_TRY(predictor_file_count(j, "valid", 0, INT64_MAX, &i->valid));
    LODE_TRY(predictor_file_count(j, "test", 0, INT64_MAX, &i->test));
    LODE_TRY(predictor_file_count(j, "epochs", 0, INT64_MAX, &i->epochs));
    LODE_TRY(lode_json_get_f64(j, "spread", "info", &t->spread));
    size_t n = json_array_size(devices);
    if (n < 2 || n > PREDICTOR_MAX_OUTPUTS || !(t->spread > 0))
        return LODE_FAIL(LODE_ERR_DATA,
                         "info: %d devices with spread %g; want 2 to %d devices and "
                         "a positive spread",
                         (int)n, t->spread, PREDICTOR_MAX_OUTPUTS);
    i->n_devices = (int)n;
    for (size_t k = 0; k < n; k++)
        LODE_TRY(file_read_device(json_array_get(devices, k), &t->device[k]));
    return LODE_OK;
}

static lode_status file_load(lode_tensor_file *f, lode_transfer *t) {
    LODE_TRY(t->plugin->load(t->encoding, &t->options, f, &t->self));
    int n = t->plugin->outputs(t->self);
    return n == t->info.n_devices
               ? LODE_OK
               : LODE_FAIL(LODE_ERR_DATA, "%d devices are listed, the tensors are made for %d",
                           t->info.n_devices, n);
}

static lode_status file_read(const predictor_file *f, void **out) {
    lode_encoding_parts parts = {.options = true};
    lode_transfer *t = LODE_NEW(lode_transfer);
    lode_space *space = NULL;
    lode_status status = LODE_OK;
    LODE_GOTO(t ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(file_read_info(f->info, t));
    LODE_GOTO(predictor_find(t->info.kind, &t->plugin));
    if (!t->plugin->combine) {
        status = LODE_FAIL(LODE_ERR_DATA, "info: kind %s is not for several devices", t->info.kind);
        goto done;
    }
    LODE_GOTO(predictor_file_read_options(f->info, &t->options));
    LODE_GOTO(predictor_file_read_space(f, &space));
    t->options.paths = t->options.paths && !t->plugin->plain;
    parts.paths = t->options.paths;
    LODE_GOTO(lode_encoding_create(space, &parts, &t->encoding));
    LODE_GOTO(file_load(f->tensors, t));
    *out = t;
    t = NULL;
done:
    lode_transfer_destroy(t);
    lode_space_release(space);
    return status;
}

lode_status lode_transfer_read(const char *path, lode_transfer **out) {
    void *t = NULL;
    lode_status status = predictor_file_read(path, &file_format, file_read, &t);
    *out = t;
    return status;
}

bool lode_transfer_is_file(const char *path) { return predictor_file_is(path, &file_format); }
