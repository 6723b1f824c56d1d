/* subnet_io.c: networks on disk. Weights are safetensors under the parameters' names; a subnet's
   directory has arch.json beside them, with the space's whole text and options, so that it needs
   nothing else. */
#include "core/json.h"
#include "core/platform.h"
#include "supernet/supernet_internal.h"
#include "tensor/tensor_io.h"

lode_status lode_supernet_save(const lode_supernet *net, const char *path) {
    lode_named_tensor *items = LODE_NEW_ARRAY(lode_named_tensor, net->n_parameters);
    if (items == NULL) return LODE_ERR_NO_MEMORY;
    for (int64_t i = 0; i < net->n_parameters; i++)
        items[i] = (lode_named_tensor){net->parameter[i]->name, net->parameter[i]->value};
    const char *metadata[] = {"format", "lode-network-1", "space", net->space->name, NULL};
    lode_status status = lode_tensors_save(path, items, net->n_parameters, metadata);
    lode_free(items);
    return status;
}

lode_status lode_supernet_load(lode_supernet *net, const char *path) {
    lode_tensor_file *f;
    LODE_TRY(lode_tensors_open(path, &f));
    lode_status status = LODE_OK;
    for (int64_t i = 0; i < net->n_parameters && status == LODE_OK; i++)
        status = lode_tensors_load_into(f, net->parameter[i]->name, net->parameter[i]->value);
    lode_tensors_close(f);
    return status;
}

/* ---- arch.json ---- */
static json_t *subnet_json(const lode_supernet *net) {
    const lode_space_options *r = &net->space->resolved;
    json_t *j = lode_arch_json(net->space, &net->arch);
    if (j == NULL) return NULL;
    json_t *options =
        json_pack("{s:I, s:I, s:I, s:f, s:I, s:I}", "classes", (json_int_t)r->classes, "channels",
                  (json_int_t)r->channels, "size", (json_int_t)r->size, "width", r->width,
                  "repeats", (json_int_t)r->repeats, "cell_channels", (json_int_t)r->cell_channels);
    bool good = json_object_set_new(j, "format", json_string("lode-subnet-1")) == 0 &&
                json_object_set_new(j, "dtype", json_string(lode_dtype_name(net->dtype))) == 0 &&
                json_object_set_new(j, "seed", json_integer((json_int_t)net->seed)) == 0 &&
                json_object_set_new(j, "space_options", options) == 0 &&
                json_object_set_new(j, "space_text", json_string(net->space->text)) == 0;
    if (good) return j;
    json_decref(j);
    (void)LODE_FAIL(LODE_ERR_NO_MEMORY, "subnet: no memory for arch.json");
    return NULL;
}

lode_status lode_subnet_save(const lode_supernet *net, const char *directory) {
    if (!net->fixed)
        return LODE_FAIL(LODE_ERR_INVALID, "subnet: only a fixed network can be saved as one; "
                                           "extract an architecture first");
    LODE_TRY(lode_make_directories(directory));
    char *arch = lode_path_join(directory, "arch.json");
    char *weights = lode_path_join(directory, "weights.safetensors");
    json_t *j = subnet_json(net);
    lode_status status = LODE_ERR_NO_MEMORY;
    if (arch == NULL || weights == NULL || j == NULL) goto done;
    LODE_GOTO(lode_supernet_save(net, weights));
    LODE_GOTO(lode_json_write(arch, j)); /* last: a directory with arch.json is whole */
done:
    json_decref(j);
    lode_free(weights);
    lode_free(arch);
    return status;
}

static lode_status subnet_options(const json_t *j, lode_space_options *o) {
    const json_t *options = json_object_get(j, "space_options");
    const char *what = "space_options";
    if (!json_is_object(options))
        return LODE_FAIL(LODE_ERR_DATA, "key `space_options` is missing or no object");
    LODE_TRY(lode_json_get_int(options, "classes", what, &o->classes));
    LODE_TRY(lode_json_get_int(options, "channels", what, &o->channels));
    LODE_TRY(lode_json_get_int(options, "size", what, &o->size));
    LODE_TRY(lode_json_get_f64(options, "width", what, &o->width));
    LODE_TRY(lode_json_get_int(options, "repeats", what, &o->repeats));
    return lode_json_get_int(options, "cell_channels", what, &o->cell_channels);
}

/* The untrained network that an arch.json describes. */
static lode_status subnet_from_json(const json_t *j, const char *path, lode_supernet **out) {
    const char *text, *dtype_name;
    int64_t seed;
    lode_dtype dtype;
    lode_arch arch;
    lode_space_options options = {0};
    lode_space *space = NULL;
    lode_status status;
    LODE_TRY(lode_json_get_string(j, "space_text", "subnet", &text));
    LODE_TRY(lode_json_get_string(j, "dtype", "subnet", &dtype_name));
    LODE_TRY(lode_json_get_int(j, "seed", "subnet", &seed));
    LODE_TRY(lode_dtype_from_name(dtype_name, &dtype));
    LODE_TRY(subnet_options(j, &options));
    LODE_TRY(lode_space_parse(text, path, &options, &space));
    LODE_GOTO(lode_arch_from_json(space, j, &arch));
    LODE_GOTO(lode_supernet_create(space, &arch, dtype, (uint64_t)seed, out));
done:
    lode_space_release(space);
    return status;
}

lode_status lode_subnet_load(const char *directory, lode_supernet **out) {
    char *arch = lode_path_join(directory, "arch.json");
    char *weights = lode_path_join(directory, "weights.safetensors");
    json_t *j = NULL;
    lode_supernet *net = NULL;
    lode_status status = LODE_ERR_NO_MEMORY;
    *out = NULL;
    if (arch == NULL || weights == NULL) goto done;
    LODE_GOTO(lode_json_read(arch, &j));
    status = subnet_from_json(j, arch, &net);
    if (status != LODE_OK) {
        status = lode_error_context("%s", arch);
        goto done;
    }
    LODE_GOTO(lode_supernet_load(net, weights));
    *out = net;
    net = NULL;
done:
    lode_supernet_destroy(net);
    json_decref(j);
    lode_free(weights);
    lode_free(arch);
    return status;
}
