/* predictor_file.c: a predictor on disk: a safetensors file. Its tensors are those of the kind; the
   rest stands in the file's metadata: "info" (one line of JSON: what it is, where it came from, how
   good it is, the scale of its targets) and "space_text", so that the file needs nothing else. */
#include "core/json.h"
#include "core/memory.h"
#include "core/platform.h"
#include "hwcost/predictor_file_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const predictor_file_format file_format = {"lode-predictor-2", "predictor", "lode cost fit"};

/* ---- writing ---- */

json_t *predictor_file_errors(const lode_agreement *a) {
    json_t *j = json_object();
    json_object_set_new(j, "rmse", lode_json_number(a->rmse));
    json_object_set_new(j, "mape", lode_json_number(a->mape));
    json_object_set_new(j, "bias", lode_json_number(a->bias));
    json_object_set_new(j, "pearson", lode_json_number(a->pearson));
    json_object_set_new(j, "tau_b", lode_json_number(a->tau_b));
    return j;
}

json_t *predictor_file_space_options(const lode_space *space) {
    const lode_space_options r = lode_space_resolved(space);
    return json_pack("{s:I, s:I, s:I, s:f, s:I, s:I}", "classes", (json_int_t)r.classes, "channels",
                     (json_int_t)r.channels, "size", (json_int_t)r.size, "width", r.width,
                     "repeats", (json_int_t)r.repeats, "cell_channels",
                     (json_int_t)r.cell_channels);
}

static json_t *file_info(const lode_predictor *p) {
    const lode_predictor_info *i = &p->info;
    const lode_space *space = lode_encoding_space(p->encoding);
    json_t *j =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "kind", i->kind, "quantity",
                  i->quantity, "unit", i->unit, "device", i->device, "table", i->table, "column",
                  i->column, "created", i->created, "space", lode_space_name(space));
    json_t *numbers =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "seed", (json_int_t)i->seed, "train",
                  (json_int_t)i->train, "valid", (json_int_t)i->valid, "test", (json_int_t)i->test,
                  "epochs", (json_int_t)i->epochs, "hidden", (json_int_t)p->options.hidden,
                  "layers", (json_int_t)p->options.layers);
    bool ok = j && numbers && json_object_update(j, numbers) == 0 &&
              (!*i->adapted_from ||
               json_object_set_new(j, "adapted_from", json_string(i->adapted_from)) == 0) &&
              json_object_set_new(j, "paths", json_boolean(p->options.paths)) == 0 &&
              json_object_set_new(j, "encoding", json_integer(p->options.encoding)) == 0 &&
              json_object_set_new(j, "target", json_integer(p->options.target)) == 0 &&
              json_object_set_new(j, "reconstructed", lode_json_number(i->reconstructed)) == 0 &&
              json_object_set_new(j, "differences", json_boolean(p->options.differences)) == 0 &&
              json_object_set_new(j, "given", json_string(i->given)) == 0 &&
              json_object_set_new(j, "n_given", json_integer(p->n_given)) == 0 &&
              json_object_set_new(j, "mean", lode_json_number(p->mean)) == 0 &&
              json_object_set_new(j, "scale", lode_json_number(p->scale)) == 0 &&
              json_object_set_new(j, "smallest", lode_json_number(i->smallest)) == 0 &&
              json_object_set_new(j, "largest", lode_json_number(i->largest)) == 0 &&
              json_object_set_new(j, "held_out", predictor_file_errors(&i->held_out)) == 0 &&
              json_object_set_new(j, "space_options", predictor_file_space_options(space)) == 0;
    json_decref(numbers);
    if (ok) return j;
    json_decref(j);
    return NULL;
}

lode_status predictor_file_write(const char *path, const predictor_file_format *format,
                                 json_t *info, const lode_space *space,
                                 const lode_named_tensor *items, int64_t n) {
    char *line = info ? lode_json_line(info) : NULL;
    json_decref(info);
    if (!line)
        return LODE_FAIL(LODE_ERR_NO_MEMORY, "%s: no memory, or text that is not UTF-8", path);
    const char *metadata[] = {"format",     format->name,           "info", line,
                              "space_text", lode_space_text(space), NULL};
    lode_status status = lode_tensors_save(path, items, n, metadata);
    lode_free(line);
    return status;
}

lode_status lode_predictor_write(const lode_predictor *p, const char *path) {
    lode_named_tensor items[PREDICTOR_MAX_TENSORS + 2];
    int64_t n = p->plugin->tensors(p->self, items);
    if (p->knots) items[n++] = (lode_named_tensor){"target", p->knots};
    if (p->norm) items[n++] = (lode_named_tensor){"features", p->norm};
    return predictor_file_write(path, &file_format, file_info(p), lode_encoding_space(p->encoding),
                                items, n);
}

/* ---- reading ---- */

lode_status predictor_file_count(const json_t *j, const char *key, int64_t min, int64_t max,
                                 int64_t *out) {
    LODE_TRY(lode_json_get_int(j, key, "info", out));
    if (*out < min || *out > max)
        return LODE_FAIL(LODE_ERR_DATA, "info: key `%s` is %lld, want %lld to %lld", key,
                         (long long)*out, (long long)min, (long long)max);
    return LODE_OK;
}

/* An error that was not finite is null. */
static double file_error(const json_t *j, const char *key) {
    const json_t *v = json_object_get(j, key);
    return json_is_number(v) ? json_number_value(v) : INFINITY;
}

lode_agreement predictor_file_read_errors(const json_t *j) {
    return (lode_agreement){.rmse = file_error(j, "rmse"),
                            .mape = file_error(j, "mape"),
                            .bias = file_error(j, "bias"),
                            .pearson = file_error(j, "pearson"),
                            .tau_b = file_error(j, "tau_b")};
}

lode_status predictor_file_read_options(const json_t *j, lode_predictor_options *o) {
    LODE_TRY(lode_options_default(&lode_predictor_option_table, o));
    LODE_TRY(predictor_file_count(j, "hidden", 1, 4096, &o->hidden));
    LODE_TRY(predictor_file_count(j, "layers", 1, 16, &o->layers));
    return lode_json_get_bool(j, "paths", "info", &o->paths);
}

static lode_status file_read_info(const json_t *j, lode_predictor *p) {
    lode_predictor_info *i = &p->info;
    int64_t seed;
    LODE_TRY(lode_json_copy_string(j, "kind", "info", i->kind, sizeof i->kind));
    LODE_TRY(lode_json_copy_string(j, "quantity", "info", i->quantity, sizeof i->quantity));
    LODE_TRY(lode_json_copy_string(j, "unit", "info", i->unit, sizeof i->unit));
    LODE_TRY(lode_json_copy_string(j, "device", "info", i->device, sizeof i->device));
    LODE_TRY(lode_json_copy_string(j, "table", "info", i->table, sizeof i->table));
    LODE_TRY(lode_json_copy_string(j, "column", "info", i->column, sizeof i->column));
    LODE_TRY(lode_json_copy_string(j, "created", "info", i->created, sizeof i->created));
    if (json_object_get(j, "adapted_from"))
        LODE_TRY(lode_json_copy_string(j, "adapted_from", "info", i->adapted_from,
                                       sizeof i->adapted_from));
    LODE_TRY(lode_json_copy_string(j, "given", "info", i->given, sizeof i->given));
    LODE_TRY(lode_json_get_f64(j, "reconstructed", "info", &i->reconstructed));
    LODE_TRY(lode_json_get_int(j, "seed", "info", &seed));
    i->seed = (uint64_t)seed;
    LODE_TRY(predictor_file_count(j, "train", 0, INT64_MAX, &i->train));
    LODE_TRY(predictor_file_count(j, "valid", 0, INT64_MAX, &i->valid));
    LODE_TRY(predictor_file_count(j, "test", 0, INT64_MAX, &i->test));
    LODE_TRY(predictor_file_count(j, "epochs", 0, INT64_MAX, &i->epochs));
    LODE_TRY(lode_json_get_f64(j, "mean", "info", &p->mean));
    LODE_TRY(lode_json_get_f64(j, "scale", "info", &p->scale));
    LODE_TRY(lode_json_get_f64(j, "smallest", "info", &i->smallest));
    LODE_TRY(lode_json_get_f64(j, "largest", "info", &i->largest));
    i->held_out = predictor_file_read_errors(json_object_get(j, "held_out"));
    return LODE_OK;
}

lode_status predictor_file_read_space(const predictor_file *f, lode_space **out) {
    const json_t *options = json_object_get(f->info, "space_options");
    const char *text = lode_tensors_metadata(f->tensors, "space_text"), *what = "space_options";
    lode_space_options o = {0};
    if (!text || !json_is_object(options))
        return LODE_FAIL(LODE_ERR_DATA, "space_text or space_options is missing");
    LODE_TRY(lode_json_get_int(options, "classes", what, &o.classes));
    LODE_TRY(lode_json_get_int(options, "channels", what, &o.channels));
    LODE_TRY(lode_json_get_int(options, "size", what, &o.size));
    LODE_TRY(lode_json_get_f64(options, "width", what, &o.width));
    LODE_TRY(lode_json_get_int(options, "repeats", what, &o.repeats));
    LODE_TRY(lode_json_get_int(options, "cell_channels", what, &o.cell_channels));
    return lode_space_parse(text, f->path, &o, out);
}

/* The scale of features that are not 0 or 1. */
static lode_status file_read_norm(lode_tensor_file *f, lode_predictor *p) {
    int64_t n = lode_encoding_n(p->encoding) - lode_encoding_n_binary(p->encoding);
    if (n == 0) return LODE_OK;
    LODE_TRY(lode_tensor_create(NULL, LODE_F64, &LODE_SHAPE2(2, n), LODE_CONTIGUOUS, &p->norm));
    return lode_tensors_load_into(f, "features", p->norm);
}

static lode_status file_read(const predictor_file *f, void **out) {
    const json_t *j = f->info;
    const char *kind;
    const lode_predictor_plugin *plugin = NULL;
    lode_predictor_options options;
    lode_predictor *p = NULL;
    lode_space *space = NULL;
    int64_t encoding = 0, target = 0, n_given = 0;
    lode_status status = LODE_OK;
    LODE_GOTO(lode_json_get_string(j, "kind", "info", &kind));
    LODE_GOTO(predictor_find(kind, &plugin));
    LODE_GOTO(predictor_file_read_options(j, &options));
    LODE_GOTO(predictor_file_count(j, "encoding", 0, LODE_READS_NONE, &encoding));
    LODE_GOTO(predictor_file_count(j, "target", 0, LODE_TARGET_RANK, &target));
    LODE_GOTO(lode_json_get_bool(j, "differences", "info", &options.differences));
    LODE_GOTO(predictor_file_count(j, "n_given", 0, LODE_PREDICTOR_MAX_GIVEN, &n_given));
    options.encoding = (int)encoding;
    options.target = (int)target;
    LODE_GOTO(predictor_file_read_space(f, &space));
    LODE_GOTO(predictor_create(plugin, space, &options, (int)n_given, &p));
    LODE_GOTO(file_read_info(j, p));
    LODE_GOTO(file_read_norm(f->tensors, p));
    LODE_GOTO(predictor_target_load(p, f->tensors));
    LODE_GOTO(plugin->load(p->encoding, &p->options, f->tensors, &p->self));
    if (plugin->outputs && plugin->outputs(p->self) != 1) {
        status = LODE_FAIL(LODE_ERR_DATA,
                           "a predictor answers one number, its tensors are made for "
                           "%d",
                           plugin->outputs(p->self));
        goto done;
    }
    *out = p;
    p = NULL;
done:
    lode_predictor_destroy(p);
    lode_space_release(space);
    return status;
}

lode_status lode_predictor_read(const char *path, lode_predictor **out) {
    void *p = NULL;
    lode_status status = predictor_file_read(path, &file_format, file_read, &p);
    *out = p;
    return status;
}

bool lode_predictor_is_file(const char *path) { return predictor_file_is(path, &file_format); }

static lode_status file_read_as(lode_tensor_file *tensors, const predictor_file_format *format,
                                const char *path,
                                lode_status (*read)(const predictor_file *f, void **out),
                                void **out) {
    const char *name = lode_tensors_metadata(tensors, "format");
    const char *line = lode_tensors_metadata(tensors, "info");
    json_t *info = NULL;
    if (!name || !line || strcmp(name, format->name) != 0)
        return LODE_FAIL(LODE_ERR_DATA, "no %s of format %s (it says %s); `%s` makes them",
                         format->what, format->name, name ? name : "nothing", format->maker);
    LODE_TRY(lode_json_parse(line, "info", &info));
    lode_status status = read(&(predictor_file){tensors, info, path}, out);
    json_decref(info);
    return status;
}

lode_status predictor_file_read(const char *path, const predictor_file_format *format,
                                lode_status (*read)(const predictor_file *f, void **out),
                                void **out) {
    lode_tensor_file *tensors = NULL;
    *out = NULL;
    LODE_TRY(lode_tensors_open(path, &tensors));
    lode_status status = file_read_as(tensors, format, path, read, out);
    lode_tensors_close(tensors);
    return status == LODE_OK ? LODE_OK : lode_error_context("%s", path);
}

bool predictor_file_is(const char *path, const predictor_file_format *format) {
    /* eight bytes of length, then the header, of which the metadata is the first entry */
    char want[64];
    lode_mapping m;
    bool found = false;
    snprintf(want, sizeof want, "\"%s\"", format->name);
    if (lode_map_file(path, &m) != LODE_OK) {
        lode_error_clear();
        return false;
    }
    size_t length = strlen(want), n = m.n < 4096 ? m.n : 4096;
    if (n > 9 && m.bytes[8] == '{')
        for (size_t i = 9; i + length <= n && !found; i++)
            found = memcmp(m.bytes + i, want, length) == 0;
    lode_unmap_file(&m);
    return found;
}
