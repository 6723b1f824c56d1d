/* transfer_file.c: a model of many devices on disk: a safetensors file like a predictor's
   (predictor_file.c), whose "info" lists the devices. */
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/predictor_file_internal.h"
#include "tensor/tensor_io.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FILE_FORMAT "lode-devices-1"

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

static char *file_info(const lode_transfer *t) {
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
    char *line = NULL;
    bool ok = devices != NULL;
    for (int k = 0; ok && k < i->n_devices; k++)
        ok = json_array_append_new(devices, file_device(&t->device[k])) == 0;
    if (ok && j && numbers && json_object_update(j, numbers) == 0 &&
        json_object_set_new(j, "spread", lode_json_number(t->spread)) == 0 &&
        json_object_set(j, "devices", devices) == 0 &&
        json_object_set_new(j, "space_options", predictor_file_space_options(space)) == 0)
        line = lode_json_line(j);
    json_decref(devices);
    json_decref(numbers);
    json_decref(j);
    return line;
}

lode_status lode_transfer_write(const lode_transfer *t, const char *path) {
    lode_named_tensor items[PREDICTOR_MAX_TENSORS];
    int64_t n = t->plugin->tensors(t->self, items);
    char *info = file_info(t);
    if (!info)
        return LODE_FAIL(LODE_ERR_NO_MEMORY, "%s: no memory, or text that is not UTF-8", path);
    const char *metadata[] = {"format",     FILE_FORMAT,
                              "info",       info,
                              "space_text", lode_space_text(lode_encoding_space(t->encoding)),
                              NULL};
    lode_status status = lode_tensors_save(path, items, n, metadata);
    lode_free(info);
    return status;
}

/* ---- reading ---- */

static lode_status file_read_device(const json_t *j, lode_transfer_device *d) {
    LODE_TRY(predictor_file_text(j, "name", d->name, sizeof d->name));
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
    LODE_TRY(predictor_file_text(j, "kind", i->kind, sizeof i->kind));
    LODE_TRY(predictor_file_text(j, "unit", i->unit, sizeof i->unit));
    LODE_TRY(predictor_file_text(j, "table", i->table, sizeof i->table));
    LODE_TRY(predictor_file_text(j, "created", i->created, sizeof i->created));
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

static lode_status file_read(lode_tensor_file *f, const char *path, lode_transfer **out) {
    const char *format = lode_tensors_metadata(f, "format");
    const char *line = lode_tensors_metadata(f, "info");
    lode_encoding_parts parts = {.options = true};
    lode_transfer *t = NULL;
    lode_space *space = NULL;
    json_t *j = NULL;
    lode_status status = LODE_OK;
    if (!format || !line || strcmp(format, FILE_FORMAT) != 0)
        return LODE_FAIL(LODE_ERR_DATA,
                         "no model of several devices of format %s (it says %s); "
                         "`lode cost fit --columns` makes them",
                         FILE_FORMAT, format ? format : "nothing");
    t = LODE_NEW(lode_transfer);
    LODE_GOTO(t ? LODE_OK : LODE_ERR_NO_MEMORY);
    LODE_GOTO(lode_json_parse(line, "info", &j));
    LODE_GOTO(file_read_info(j, t));
    LODE_GOTO(predictor_find(t->info.kind, &t->plugin));
    if (!t->plugin->combine) {
        status = LODE_FAIL(LODE_ERR_DATA, "info: kind %s is not for several devices", t->info.kind);
        goto done;
    }
    LODE_GOTO(predictor_file_read_options(j, &t->options));
    LODE_GOTO(predictor_file_read_space(j, lode_tensors_metadata(f, "space_text"), path, &space));
    t->options.paths = t->options.paths && !t->plugin->plain;
    parts.paths = t->options.paths;
    LODE_GOTO(lode_encoding_create(space, &parts, &t->encoding));
    LODE_GOTO(file_load(f, t));
    *out = t;
    t = NULL;
done:
    lode_transfer_destroy(t);
    lode_space_release(space);
    json_decref(j);
    return status;
}

lode_status lode_transfer_read(const char *path, lode_transfer **out) {
    lode_tensor_file *f = NULL;
    *out = NULL;
    LODE_TRY(lode_tensors_open(path, &f));
    lode_status status = file_read(f, path, out);
    lode_tensors_close(f);
    return status == LODE_OK ? LODE_OK : lode_error_context("%s", path);
}

bool lode_transfer_is_file(const char *path) { return predictor_file_is(path, FILE_FORMAT); }
